package ui

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// vt is a small terminal: enough to see what a person would. It fails the test at a sequence that we do not use.
type vt struct {
	t             *testing.T
	mu            sync.Mutex
	columns       int
	rows          [][]rune
	row, column   int
	cursorVisible bool
}

var csi = regexp.MustCompile(`^\x1b\[(\??[0-9;]*)([A-Za-z])`)

func newVT(t *testing.T, columns int) *vt { return &vt{t: t, columns: columns, cursorVisible: true} }

func (v *vt) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := string(b)
	for s != "" {
		if m := csi.FindStringSubmatch(s); m != nil {
			v.control(m[1], m[2])
			s = s[len(m[0]):]
			continue
		}
		for i, r := range s {
			if i > 0 {
				s = s[i:]
				break
			}
			v.put(r)
			if i+len(string(r)) == len(s) {
				s = ""
			}
		}
	}
	return len(b), nil
}

func (v *vt) line() *[]rune {
	for len(v.rows) <= v.row {
		v.rows = append(v.rows, nil)
	}
	return &v.rows[v.row]
}

func (v *vt) put(r rune) {
	switch {
	case r == '\r':
		v.column = 0
	case r == '\n':
		v.row, v.column = v.row+1, 0
		v.line()
	case r < 0x20 || r == 0x7f:
		v.t.Errorf("control character %q on the terminal", r)
	default:
		if v.column == v.columns {
			v.row, v.column = v.row+1, 0
		}
		l := v.line()
		for len(*l) <= v.column {
			*l = append(*l, ' ')
		}
		(*l)[v.column] = r
		v.column++
	}
}

func (v *vt) control(params, final string) {
	l := v.line()
	switch n, _ := strconv.Atoi(params); {
	case final == "A" && n > 0:
		if v.row -= n; v.row < 0 {
			v.t.Errorf("cursor %d above the terminal", -v.row)
			v.row = 0
		}
	case final == "K" && params == "":
		*l = (*l)[:min(v.column, len(*l))]
	case final == "J" && params == "":
		*l = (*l)[:min(v.column, len(*l))]
		v.rows = v.rows[:v.row+1]
	case params == "?25" && (final == "h" || final == "l"):
		v.cursorVisible = final == "h"
	case final == "m":
	default:
		v.t.Errorf("sequence ESC [ %s %s", params, final)
	}
}

func (v *vt) size() (int, int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.columns, 24
}

// resize breaks long lines anew, as most terminals do.
func (v *vt) resize(columns int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var rows [][]rune
	row := v.row
	for i, l := range v.rows {
		if i == v.row {
			row = len(rows)
		}
		for len(l) > columns {
			rows = append(rows, slices.Clone(l[:columns]))
			l = l[columns:]
		}
		rows = append(rows, l)
	}
	v.columns, v.rows, v.row = columns, rows, row
}

// text is what is on the terminal, without the empty end.
func (v *vt) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, l := range v.rows {
		fmt.Fprintln(&b, strings.TrimRight(string(l), " "))
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
