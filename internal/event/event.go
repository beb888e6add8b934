// Package event is how packages below cmd tell what happens, without printing: one struct and one func type.
//
// Values go down, returns come up, events go sideways. Whoever renders them (package ui) decides what a person or a
// machine sees; an emitter never waits for a screen.
package event

// Type says what an event is about. The names are part of the --json contract.
type Type string

const (
	Phase    Type = "phase"    // Host entered Phase
	Progress Type = "progress" // Done of Total bytes of Phase are through, on Host: arrived there, from wherever
	Total    Type = "total"    // of all hosts together: Uplink, Peers and Saved so far; each event replaces the one before
	Layer    Type = "layer"    // one layer (Item) has a new state (Text: held, reading, sending, loaded)
	Message  Type = "message"  // something a person wants to know
	Warning  Type = "warning"  // something a person should act on, though the run goes on
)

// Event is one thing that happened. Host is "" for the controller itself. Text comes from us, never raw from a host.
type Event struct {
	Type  Type   `json:"type"`
	Host  string `json:"host,omitempty"`
	Phase string `json:"phase,omitempty"` // connect, ask, helper, read, send, load, verify, start, health, switch, watch, drain, stop, prune, remove, undo
	Item  string `json:"item,omitempty"`  // what it is about: a layer's short diff ID, a container's name
	Done  int64  `json:"done,omitempty"`  // bytes
	Total int64  `json:"total,omitempty"` // bytes; 0 = not known
	Text  string `json:"text,omitempty"`

	// Of Total, in bytes. None of them falls while a run lasts.
	Uplink int64 `json:"uplink,omitempty"` // left the controller, compressed
	Peers  int64 `json:"peers,omitempty"`  // hosts had them from other hosts
	Saved  int64 `json:"saved,omitempty"`  // stayed unsent because a patch stood for a whole layer
}

// Func receives events. It must be safe for concurrent use and must not block.
type Func func(Event)

// Emit calls f, if there is one: a nil Func drops events.
func (f Func) Emit(e Event) {
	if f != nil {
		f(e)
	}
}
