package docker

import (
	"encoding/json"
	"errors"
	"net/http"

	"ship/internal/plain"
)

var (
	ErrNotFound    = errors.New("not found")                 // there is no such image, container, network, volume or blob
	ErrConflict    = errors.New("conflict")                  // the name is taken, or the thing is in use
	ErrUnsupported = errors.New("not offered by the engine") // the engine has no such service
)

// maxText bounds what an engine says inside one of our messages, in bytes.
const maxText = 2 << 10

// APIError is an answer that says no. errors.Is finds ErrNotFound and ErrConflict in it.
type APIError struct {
	Op      string // what was asked: "create container"
	Status  int    // HTTP status
	Message string // the engine's words, bounded and cleaned
}

func (e *APIError) Error() string { return e.Op + ": " + e.Message }

func (e *APIError) Is(target error) bool {
	return e.Status == http.StatusNotFound && target == ErrNotFound ||
		e.Status == http.StatusConflict && target == ErrConflict
}

// LoadError is a load that the engine took in and then reported as failed, mostly inside an answer with status 200.
type LoadError struct {
	Message string // the engine's words, bounded and cleaned
}

func (e *LoadError) Error() string { return "load image: " + e.Message }

// answerError is nil for an answer that reports success (304: it was so already), else it reads the engine's reason.
func answerError(op string, resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 || resp.StatusCode == http.StatusNotModified {
		return nil
	}
	// A body cut short still has the beginning of the reason, and the status is known: its error adds nothing.
	b, _ := readBounded(resp.Body, maxError)
	var m struct {
		Message string `json:"message"`
	}
	text := string(b)
	if json.Unmarshal(b, &m) == nil && m.Message != "" {
		text = m.Message
	}
	if text = plain.Line(text, maxText); text == "" {
		text = http.StatusText(resp.StatusCode)
	}
	return &APIError{Op: op, Status: resp.StatusCode, Message: text}
}
