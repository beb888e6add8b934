package config

import (
	"errors"
	"strconv"
	"strings"
)

func checkProbeType(s string) error {
	if s != "http" && s != "tcp" {
		return hinted{"not a type of check", "http, or tcp for what does not speak it"}
	}
	return nil
}

// statuses reads a status, a range of them, or a list of both.
func (d decoder) statuses(n *node, path string, to *[]string) {
	if n.kind == list {
		d.lines(to, checkStatus)(n, path)
		return
	}
	s := ""
	if d.text(&s, checkStatus)(n, path); s != "" {
		*to = []string{s}
	}
}

func checkStatus(s string) error {
	from, to, both := strings.Cut(s, "-")
	if !both {
		to = from
	}
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	if err := errors.Join(err1, err2); err != nil || low < 100 || high > 599 || low > high {
		return hinted{"not a status", "one from 100 to 599, or a range as 200-299"}
	}
	return nil
}
