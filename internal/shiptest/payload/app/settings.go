package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// settings are the environment variables, read. See the command's comment.
type settings struct {
	Port, Version                          string
	BootDelay, HealthDelay, CrashAfter     time.Duration
	ResponseDelay, StopDelay               time.Duration
	CrashOnBoot, Unhealthy, HealthRedirect bool
	IgnoreTerm, Broken                     bool
}

// readSettings reads the environment; versionFile counts where VERSION is not set, and may be missing.
func readSettings(getenv func(string) string, versionFile string) (settings, error) {
	s := settings{Port: getenv("PORT"), Version: getenv("VERSION")}
	if s.Port == "" {
		s.Port = "3000"
	}
	if s.Version == "" {
		b, _ := os.ReadFile(versionFile) // an app without a version is an app too
		s.Version = strings.TrimSpace(string(b))
	}
	for name, to := range map[string]*bool{
		"CRASH_ON_BOOT": &s.CrashOnBoot, "UNHEALTHY": &s.Unhealthy, "HEALTH_REDIRECT": &s.HealthRedirect, "IGNORE_TERM": &s.IgnoreTerm,
		"BROKEN": &s.Broken,
	} {
		*to = getenv(name) != "" && getenv(name) != "0"
	}
	var errs []error
	for name, to := range map[string]*time.Duration{
		"BOOT_DELAY": &s.BootDelay, "HEALTH_DELAY": &s.HealthDelay, "CRASH_AFTER": &s.CrashAfter,
		"RESPONSE_DELAY": &s.ResponseDelay, "STOP_DELAY": &s.StopDelay,
	} {
		if v := getenv(name); v != "" {
			d, err := time.ParseDuration(v)
			if err != nil || d < 0 {
				errs = append(errs, fmt.Errorf("%s: %q is no duration", name, v))
			}
			*to = d
		}
	}
	return s, errors.Join(errs...)
}
