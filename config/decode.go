package config

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// decoder turns nodes into values. It goes on after a mistake, so that all are found.
type decoder struct {
	*report
	home string // of the user, for ~; "" = not known
}

// read takes the value of one key; path is where it stands.
type read func(n *node, path string)

// keys are those that a section knows.
type keys map[string]read

// section decodes a map whose keys are fixed. A key without a value is as if it were not there.
func (d decoder) section(n *node, path, name string, known keys) {
	if n.kind == null {
		return
	}
	if n.kind != mapping { // also broken, and then fail is silent
		d.fail(n, path, "", "expected a map, got %s", n.what())
		return
	}
	for _, e := range n.entries {
		if take, ok := known[e.key]; ok {
			if e.value.kind != null && e.value.kind != broken {
				take(e.value, join(path, e.key))
			}
			continue
		}
		if strings.HasPrefix(e.key, "x-") {
			continue
		}
		at := &node{src: e.src, line: e.line, column: e.column}
		full := e.key
		if name != "" {
			full = name + "." + e.key
		}
		switch hint := elsewhere(full); {
		case later(full):
			d.fail(at, join(path, e.key), "", "not supported by this version yet")
		case hint != "":
			d.fail(at, path, hint, "unknown key %s", clip(e.key))
		default:
			d.fail(at, path, nearest(e.key, known), "unknown key %s", clip(e.key))
		}
	}
}

// scalar is the text of a scalar, or ok = false and a mistake told.
func (d decoder) scalar(n *node, path, want string) (s string, ok bool) {
	if n.kind != scalar {
		d.fail(n, path, "", "expected %s, got %s", want, n.what())
		return "", false
	}
	return n.text, true
}

// line reads text of one line. Numbers are taken as they are written: 010 stays 010.
func (d decoder) line(n *node, path string) (string, bool) {
	s, ok := d.scalar(n, path, "text")
	switch {
	case !ok:
		return "", false
	case n.tag == "!!bool":
		d.fail(n, path, "put quotes around it if it is meant as text", "expected text, got %s", n.what())
		return "", false
	case s == "":
		d.fail(n, path, "", "must not be empty")
		return "", false
	case strings.ContainsFunc(s, controls):
		d.fail(n, path, "", "contains a control character or a line break")
		return "", false
	case len(s) > 4096:
		d.fail(n, path, "", "longer than 4096 bytes")
		return "", false
	}
	return s, true
}

// text reads one line that passes check, if there is one.
func (d decoder) text(to *string, check func(string) error) read {
	return func(n *node, path string) {
		s, ok := d.line(n, path)
		if !ok {
			return
		}
		if check != nil {
			if err := check(s); err != nil {
				d.refuse(n, path, err)
				return
			}
		}
		*to = s
	}
}

// hinted is an error that knows what to do about itself.
type hinted struct {
	message, hint string
}

func (h hinted) Error() string { return h.message }

// refuse reports that a check did not like the value of n.
func (d decoder) refuse(n *node, path string, err error) {
	hint := ""
	if h, ok := err.(hinted); ok {
		hint = h.hint
	}
	d.fail(n, path, hint, "%s: %s", n.shown(), err)
}

// lines reads a list of lines that pass check; each may be there once.
func (d decoder) lines(to *[]string, check func(string) error) read {
	return func(n *node, path string) {
		if n.kind != list {
			d.fail(n, path, "", "expected a list, got %s", n.what())
			return
		}
		seen := make(map[string]int)
		var all []string
		for i, item := range n.items {
			at, s := index(path, i), ""
			d.text(&s, check)(item, at)
			if s == "" {
				continue
			}
			if line, again := seen[s]; again {
				d.fail(item, at, "", "%s is in the list twice, the first time in line %d", item.shown(), line)
				continue
			}
			seen[s] = item.line
			all = append(all, s)
		}
		*to = all
	}
}

// filePath reads the name of a file of the controller. A ~ is the user's home, as everywhere else.
func (d decoder) filePath(to *string) read {
	return func(n *node, path string) {
		s := ""
		d.text(&s, d.checkHome)(n, path)
		*to = d.atHome(s)
	}
}

// filePaths reads a list of them.
func (d decoder) filePaths(to *[]string) read {
	return func(n *node, path string) {
		d.lines(to, d.checkHome)(n, path)
		for i, s := range *to {
			(*to)[i] = d.atHome(s)
		}
	}
}

func (d decoder) checkHome(s string) error {
	switch {
	case !strings.HasPrefix(s, "~"):
		return nil
	case !strings.HasPrefix(s, "~/"):
		return errors.New("only ~/ is known, not the homes of others")
	case d.home == "":
		return errors.New("where ~ is, is not known: HOME is not set")
	}
	return nil
}

func (d decoder) atHome(s string) string {
	if rest, ok := strings.CutPrefix(s, "~/"); ok {
		return filepath.Join(d.home, rest)
	}
	return s
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// whole reads a number between low and high.
func (d decoder) whole(to *int, low, high int) read {
	return func(n *node, path string) {
		s, ok := d.scalar(n, path, "a whole number")
		if !ok {
			return
		}
		v, err := strconv.Atoi(s)
		switch {
		case n.tag == "!!str" && err == nil:
			d.fail(n, path, "remove the quotes", "expected a whole number, got %s", n.what())
		case err != nil:
			d.fail(n, path, "", "expected a whole number, got %s", n.what())
		case v < low:
			d.fail(n, path, "", "%s is too small, the least is %d", n.shown(), low)
		case v > high:
			d.fail(n, path, "", "%s is too large, the most is %d", n.shown(), high)
		default:
			*to = v
		}
	}
}

func (d decoder) port(to *int) read { return d.whole(to, 1, 65535) }

// flag reads true or false.
func (d decoder) flag(to *bool) read {
	return func(n *node, path string) {
		switch s, ok := d.scalar(n, path, "true or false"); {
		case !ok:
		case s == "true" && n.tag != "!!str":
			*to = true
		case s == "false" && n.tag != "!!str":
			*to = false
		default:
			d.fail(n, path, "", "expected true or false, got %s", n.what())
		}
	}
}

// maxDuration is far above every timeout that makes sense, and far below overflow.
const maxDuration = 24 * time.Hour

// duration reads seconds (10, 0.5) or a text with units (10s, 1m30s), at least low.
func (d decoder) duration(to *time.Duration, low time.Duration) read {
	return func(n *node, path string) {
		s, ok := d.scalar(n, path, "a duration")
		if !ok {
			return
		}
		v, err := time.ParseDuration(s)
		if f, numeric := strconv.ParseFloat(s, 64); numeric == nil {
			if math.IsNaN(f) || math.Abs(f) > maxDuration.Seconds() {
				f = math.Copysign(maxDuration.Seconds()+1, f)
			}
			v, err = time.Duration(f*float64(time.Second)), nil
		}
		switch {
		case err != nil:
			d.fail(n, path, `write seconds (10) or a text like 10s or 1m30s`, "expected a duration, got %s", n.what())
		case v < low:
			d.fail(n, path, "", "%s is too short, the least is %s", n.shown(), low)
		case v > maxDuration:
			d.fail(n, path, "", "%s is too long, the most is 24h", n.shown())
		default:
			*to = v
		}
	}
}

// size reads bytes: 1048576, 10MB (of 1000) or 10MiB (of 1024).
func (d decoder) size(to *int64) read {
	return func(n *node, path string) {
		s, ok := d.scalar(n, path, "a size")
		if !ok {
			return
		}
		v, ok := parseSize(s)
		if !ok {
			d.fail(n, path, "write bytes (1048576) or a text like 10MB or 10MiB", "expected a size, got %s", n.what())
			return
		}
		*to = v
	}
}

func parseSize(s string) (int64, bool) {
	digits := strings.TrimRight(s, "KMGTiB ")
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || v < 0 {
		return 0, false
	}
	unit := int64(0)
	switch strings.TrimSpace(s[len(digits):]) {
	case "", "B":
		unit = 1
	case "KB":
		unit = 1e3
	case "MB":
		unit = 1e6
	case "GB":
		unit = 1e9
	case "KiB":
		unit = 1 << 10
	case "MiB":
		unit = 1 << 20
	case "GiB":
		unit = 1 << 30
	}
	if unit == 0 || v > math.MaxInt64/unit {
		return 0, false
	}
	return v * unit, true
}
