package ui

import (
	"bytes"
	"fmt"
	"slices"
)

// The escape sequences that we use, and no others (ECMA-48, and DEC's for the cursor).
const (
	cursorUp   = "\x1b[%dA"
	clearLine  = "\x1b[K" // from the cursor to the end of the line
	clearBelow = "\x1b[J"
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
)

// screen knows which lines of a frame are on the terminal. The cursor is always below them.
type screen struct {
	drawn  []string
	hidden bool // the cursor
	ended  bool // the last frame was drawn and stays
}

// up moves to the first line of the frame. If the terminal became narrower since, a line takes several rows.
func (s *screen) up(columns int) []byte {
	rows := 0
	for _, l := range s.drawn {
		rows += max(1, (width(l)+columns-1)/max(1, columns))
	}
	if rows == 0 {
		return nil
	}
	return fmt.Appendf(nil, "\r"+cursorUp, rows)
}

// erase takes the frame away.
func (s *screen) erase(columns int) []byte {
	b := s.up(columns)
	if b != nil {
		b = append(b, clearBelow...)
	}
	s.drawn = nil
	return b
}

// draw puts text where the frame was, and the frame below it. Lines are written over, not cleared first: that would
// flicker.
func (s *screen) draw(text []byte, frame []string, columns int, last bool) []byte {
	if s.ended {
		return text
	}
	var b bytes.Buffer
	if len(text) > 0 || !slices.Equal(frame, s.drawn) {
		if len(frame) > 0 && !s.hidden {
			b.WriteString(hideCursor)
			s.hidden = true
		}
		b.Write(s.up(columns))
		if len(text) > 0 {
			b.Write(bytes.ReplaceAll(text, []byte("\n"), []byte(clearLine+"\n")))
		}
		for _, l := range frame {
			b.WriteString(l + clearLine + "\n")
		}
		if len(s.drawn) > 0 {
			b.WriteString(clearBelow)
		}
		s.drawn = frame
	}
	if last {
		s.ended, s.drawn = true, nil
		if s.hidden {
			b.WriteString(showCursor)
			s.hidden = false
		}
	}
	return b.Bytes()
}
