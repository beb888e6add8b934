package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"ship/internal/event"
)

// Version of the objects that --json writes.
const Version = 1

// jsonEvent is an event as an object of its own line.
type jsonEvent struct {
	V int `json:"v"`
	event.Event
	Time string `json:"time"`
}

// jsonError is an error before the result.
type jsonError struct {
	V       int    `json:"v"`
	Type    string `json:"type"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// jsonResult is the last object.
type jsonResult struct {
	V      int    `json:"v"`
	Type   string `json:"type"`
	Result any    `json:"result"`
}

func eventJSON(e event.Event, now time.Time) []byte {
	e.Host, e.Phase, e.Item, e.Text = clip(e.Host), clip(e.Phase), clip(e.Item), clip(e.Text)
	return line(jsonEvent{Version, e, now.UTC().Format("2006-01-02T15:04:05.000Z")})
}

// line is one object on one line. Nothing in it acts on a terminal or a CI runner: those characters are escaped, so
// that whoever parses it gets them back.
func line(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // a caller's value that has no JSON form: say so in the same form
		return line(jsonError{Version, "error", "write the result as JSON: " + err.Error(), ""})
	}
	return []byte(escape(strings.TrimSuffix(b.String(), "\n")) + "\n")
}

func escape(s string) string {
	var b strings.Builder
	hashes := 0
	for _, r := range s {
		switch {
		case !shown(r):
			for _, u := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, u)
			}
		case r == '#' && hashes == 1: // ##[ and ##vso[ are commands for CI runners; # stands in strings only
			b.WriteString(`\u0023`)
			hashes = 0
			continue
		default:
			b.WriteRune(r)
		}
		if r == '#' {
			hashes++
		} else {
			hashes = 0
		}
	}
	return b.String()
}

func clip(s string) string {
	const limit = 64 << 10
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
