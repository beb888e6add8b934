package config

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Transfer is how images go to the hosts.
type Transfer struct {
	Relay   bool              // hosts may feed each other
	Helper  bool              // a helper may run on hosts
	Delta   string            // "auto", "on" or "off"
	BWLimit int64             // of what this machine sends to all hosts together, bytes a second; 0 = none
	Groups  map[string]string // host as in servers, to its group; those that are not there are one group of their own
}

// DefaultTransfer is what counts where nothing is said.
func DefaultTransfer() Transfer { return Transfer{Relay: true, Helper: true, Delta: "auto"} }

func (d decoder) transfer(n *node, path string) Transfer {
	t := DefaultTransfer()
	d.section(n, path, "transfer", keys{
		"relay":   d.autoOrOff(&t.Relay),
		"helper":  d.autoOrOff(&t.Helper),
		"delta":   d.text(&t.Delta, oneOf("auto", "on", "off")),
		"bwlimit": d.bandwidth(&t.BWLimit),
		"groups":  d.groups(&t.Groups),
	})
	return t
}

// oneOf is a check for one of a few words.
func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return errors.New("expected " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1])
	}
}

func (d decoder) autoOrOff(to *bool) read {
	return func(n *node, path string) {
		word := ""
		if d.text(&word, oneOf("auto", "off"))(n, path); word != "" {
			*to = word == "auto"
		}
	}
}

func (d decoder) bandwidth(to *int64) read {
	return func(n *node, path string) {
		s, ok := d.line(n, path)
		if !ok {
			return
		}
		rate, err := parseBandwidth(s)
		if err != nil {
			d.refuse(n, path, err)
			return
		}
		*to = rate
	}
}

// leastBandwidth is the slowest limit, in bytes a second: below it a login takes longer than its timeout.
const leastBandwidth = 1000

// parseBandwidth reads 80mbit or 10MB as bytes a second, decimal, as the flag --bwlimit does.
func parseBandwidth(s string) (int64, error) {
	text := strings.TrimSuffix(strings.TrimSpace(s), "/s")
	number := strings.TrimRight(text, "bitkKmMgGB ")
	unit := strings.TrimSpace(text[len(number):])
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.Trim(number, "0123456789.") != "" {
		return 0, hinted{"not a bandwidth", "bits or bytes a second, as in 80mbit or 10MB"}
	}
	if unit == "" {
		return 0, hinted{"a bandwidth without a unit", "say bits or bytes, as in 80mbit or 10MB"}
	}
	factor := bandwidthUnit(unit)
	switch rate := v * factor; {
	case factor == 0:
		return 0, hinted{"not a unit of bandwidth", "kbit, mbit, gbit (bits a second) or kB, MB, GB (bytes a second)"}
	case rate < leastBandwidth:
		return 0, hinted{"too little", "the least is 8kbit; without the key there is no limit"}
	case rate > math.MaxInt64/2:
		return 0, hinted{"too much", "without the key there is no limit"}
	default:
		return int64(rate), nil
	}
}

// bandwidthUnit is how many bytes a second the unit stands for; 0 if it is none.
func bandwidthUnit(unit string) float64 {
	if bits, ok := strings.CutSuffix(strings.ToLower(unit), "bit"); ok {
		return map[string]float64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[bits] / 8
	}
	return map[string]float64{"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
}

func (d decoder) groups(to *map[string]string) read {
	return func(n *node, path string) {
		all := make(map[string]string)
		d.each(n, path, checkName, func(group string, value *node, path string) {
			var hosts []string
			d.lines(&hosts, checkHost)(value, path)
			d.checkOneGroup(all, group, value, path)
			for _, h := range hosts {
				all[h] = group
			}
		})
		if len(all) > 0 {
			*to = all
		}
	}
}

// checkOneGroup refuses the hosts of a group that are in another one of all.
func (d decoder) checkOneGroup(all map[string]string, group string, value *node, path string) {
	for i, item := range value.items {
		if other := all[item.text]; item.kind == scalar && other != "" && other != group {
			d.fail(item, index(path, i), "", "%s is in the group %s already", item.shown(), other)
		}
	}
}

// checkGroups refuses hosts that are nowhere in servers: a slip there would let hosts meet that must not.
func (d decoder) checkGroups(a *App, n *node) {
	for _, e := range n.get("groups").each() {
		for i, h := range e.value.items {
			if h.kind == scalar && !slices.Contains(a.Hosts(), h.text) {
				d.fail(h, index(join("transfer.groups", e.key), i), "hosts are written as in servers", "%s is no host of servers", h.shown())
			}
		}
	}
}

// each are the entries of a map; none of what is no map.
func (n *node) each() []entry {
	if n == nil {
		return nil
	}
	return n.entries
}

func (t Transfer) document() object {
	word := func(on bool) string {
		if on {
			return "auto"
		}
		return "off"
	}
	o := object{{"relay", word(t.Relay)}, {"helper", word(t.Helper)}, {"delta", t.Delta}}
	if t.BWLimit > 0 {
		o = append(o, member{"bwlimit", strconv.FormatInt(t.BWLimit, 10) + "B"})
	}
	members := make(map[string][]string)
	var names []string
	for h, g := range t.Groups {
		if members[g] == nil {
			names = append(names, g)
		}
		members[g] = append(members[g], h)
	}
	slices.Sort(names)
	var groups object
	for _, g := range names {
		slices.Sort(members[g])
		groups = append(groups, member{g, members[g]})
	}
	return o.filled("groups", groups)
}
