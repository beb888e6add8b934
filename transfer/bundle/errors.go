package bundle

import (
	"fmt"
	"time"

	"ship/layers"
)

// DamageError: bytes of a bundle are not those that were written.
type DamageError struct {
	File   string // of the bundle; of its part, if it was split
	Offset int64  // in that file, where the damaged stretch begins
	Length int64  // bytes of the stretch: the damage is somewhere in it
	Where  string // what lies there, for people
	Err    error  // why it cannot be read; nil = it can, but is something else
}

func (e *DamageError) Error() string {
	s := fmt.Sprintf("%s is damaged between bytes %d and %d: in %s", e.File, e.Offset, e.Offset+e.Length, e.Where)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *DamageError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *DamageError) Hint() string {
	return "copy the bundle once more, and look at the stick; nothing damaged was loaded"
}

// TruncatedError: the end of a bundle is missing.
type TruncatedError struct {
	File  string
	Have  int64  // bytes
	Want  int64  // bytes; 0 = not known, as the header is cut already
	Where string // what lies at the cut, for people
}

func (e *TruncatedError) Error() string {
	if e.Want == 0 {
		return fmt.Sprintf("%s is cut short after %d bytes: in %s", e.File, e.Have, e.Where)
	}
	return fmt.Sprintf("%s is cut short: it has %d of %d bytes and ends in %s", e.File, e.Have, e.Want, e.Where)
}

// Hint says what to do about it.
func (e *TruncatedError) Hint() string {
	return "copy the bundle once more, with all its parts; was the stick full, or taken out too early? nothing was loaded"
}

// ForeignError: the file is no bundle, or one of another version.
type ForeignError struct {
	File   string
	Reason string
}

func (e *ForeignError) Error() string { return e.File + " is not a bundle: " + e.Reason }

// Hint says what to do about it.
func (e *ForeignError) Hint() string { return "`ship bundle export` writes bundles" }

// LeftOutError: a layer is needed that the bundle was made without.
type LeftOutError struct {
	Layer     layers.DiffID
	Number    int // from the bottom, from 1
	Of        int // layers of the image
	Platform  Platform
	Inventory time.Time // when it was taken
}

// timeText is a time for people who may be far from each other.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func (e *LeftOutError) Error() string {
	return fmt.Sprintf("the bundle lacks layer %d of %d (%s): by the inventory of %s every %s host held it",
		e.Number, e.Of, e.Layer.Short(), timeText(e.Inventory), e.Platform)
}

// Hint says what to do about it.
func (e *LeftOutError) Hint() string { return HintFresh }

// HintFresh is what helps when a host lacks what a bundle leaves out.
const HintFresh = "take a fresh inventory with this host in it (`ship hosts inventory`), and export the bundle again"
