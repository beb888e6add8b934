// Package config reads ship.yaml: pure parsing, no host is asked and nothing is run.
//
// An App is one service at one destination. A role is a set of hosts that run the same container; it is proxied if
// requests reach it through the proxy. An environment has clear values, which stand in the file, and secrets, of which
// only the names do. A destination (staging, production) is a second file that lies over the first one.
//
// Reading is strict and complete: every mistake of a file is reported, all in one go, each with its place.
package config
