package config

import (
	"fmt"
	"log/slog"
)

// redacted is what a Secret prints as, everywhere.
const redacted = "[redacted]"

// Secret is a value that must not get into a log, a message or a file by accident: it prints as [redacted], in every
// format. Reveal gives the value to where it is meant to go.
type Secret struct {
	value *string // a pointer, so that printing a struct around it by reflection shows an address at most
}

// NewSecret hides a value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal is the value.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Format is for all verbs of package fmt.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) } // a State has nowhere to report to

func (Secret) String() string { return redacted }

// MarshalText is for JSON, YAML and what else writes text.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue is for package slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
