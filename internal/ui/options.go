package ui

import (
	"fmt"
	"io"
)

// Mode is how progress is shown.
type Mode int

// The modes of --progress.
const (
	Auto  Mode = iota // TTY on a terminal, else Plain; None with JSON
	TTY               // live lines
	Plain             // a line at each change
	None              // warnings and results only
)

// UnmarshalText reads a flag's value.
func (m *Mode) UnmarshalText(b []byte) error {
	switch string(b) {
	case "auto":
		*m = Auto
	case "tty":
		*m = TTY
	case "plain":
		*m = Plain
	case "none":
		*m = None
	default:
		return fmt.Errorf("%q is none of auto, tty, plain, none", b)
	}
	return nil
}

// Color says whether colours are used.
type Color int

// The values of --color.
const (
	ColorAuto Color = iota // on a terminal, unless NO_COLOR or TERM=dumb says no
	ColorAlways
	ColorNever
)

// UnmarshalText reads a flag's value.
func (c *Color) UnmarshalText(b []byte) error {
	switch string(b) {
	case "auto":
		*c = ColorAuto
	case "always":
		*c = ColorAlways
	case "never":
		*c = ColorNever
	default:
		return fmt.Errorf("%q is none of auto, always, never", b)
	}
	return nil
}

// Options are what a UI needs to know about where it writes.
type Options struct {
	Mode     Mode
	JSON     bool
	Color    Color
	Verbose  bool                             // also a line for each layer
	Out, Err io.Writer                        // stdout and stderr
	Terminal bool                             // Err is a terminal
	Size     func() (width, height int)       // of the terminal, asked for each frame; nil = 80 x 24
	Getenv   func(name string) (string, bool) // NO_COLOR, CLICOLOR_FORCE, TERM, CI; nil = nothing is set
}

// settings are what Options come down to.
type settings struct {
	human      Mode // TTY, Plain or None
	asJSON     bool // results and errors
	jsonEvents bool // and what leads there
	color      bool
}

func (o Options) settings() settings {
	get := o.Getenv
	if get == nil {
		get = func(string) (string, bool) { return "", false }
	}
	says := func(name string) bool { v, _ := get(name); return v != "" && v != "0" && v != "false" }
	term, _ := get("TERM")
	s := settings{human: o.Mode, asJSON: o.JSON, jsonEvents: o.JSON && o.Mode != None}
	if o.Mode == Auto {
		switch {
		case o.JSON:
			s.human = None
		case o.Terminal && term != "dumb" && !says("CI"):
			s.human = TTY
		default:
			s.human = Plain
		}
	}
	no, _ := get("NO_COLOR") // no-color.org: any value that is not empty says no
	switch {
	case o.Color != ColorAuto:
		s.color = o.Color == ColorAlways
	case no != "" || term == "dumb":
	default:
		s.color = o.Terminal || says("CLICOLOR_FORCE")
	}
	return s
}
