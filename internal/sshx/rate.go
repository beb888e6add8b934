package sshx

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"ship/internal/plain"
)

// leastRate is the slowest limit, in bytes a second: below it a login takes longer than its timeout.
const leastRate = 1000

// ParseRate reads a bandwidth: bits a second as 500kbit, 2.5mbit or 1gbit, bytes a second as 800kB, 10MB or 1GB; all of
// 1000, and a /s at the end changes nothing. It returns bytes a second, at least 1000.
func ParseRate(s string) (int64, error) {
	text := strings.TrimSuffix(strings.TrimSpace(s), "/s")
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit, err := rateUnit(strings.TrimSpace(text[len(digits):]))
	if err != nil {
		return 0, fmt.Errorf("not a bandwidth: %q: %w", plain.Text(s, 40), err)
	}
	number, err := strconv.ParseFloat(digits, 64)
	if err != nil || strings.Trim(digits, "0123456789.") != "" {
		return 0, fmt.Errorf("not a bandwidth: %q: it looks like 80mbit or 10MB", plain.Text(s, 40))
	}
	switch rate := number * unit; {
	case rate < leastRate:
		return 0, fmt.Errorf("a bandwidth of %q is too little: the least is 8kbit", plain.Text(s, 40))
	case rate > math.MaxInt64/2:
		return 0, fmt.Errorf("a bandwidth of %q is too much", plain.Text(s, 40))
	default:
		return int64(rate), nil
	}
}

// rateUnit is how many bytes a second the unit stands for.
func rateUnit(unit string) (float64, error) {
	if bits, ok := strings.CutSuffix(strings.ToLower(unit), "bit"); ok {
		if f, ok := map[string]float64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[bits]; ok {
			return f / 8, nil
		}
	}
	switch unit {
	case "B":
		return 1, nil
	case "kB", "KB":
		return 1e3, nil
	case "MB":
		return 1e6, nil
	case "GB":
		return 1e9, nil
	case "":
		return 0, errors.New("a unit is missing, as in 80mbit or 10MB")
	}
	if l := strings.ToLower(unit); l == "b" || l == "kb" || l == "mb" || l == "gb" {
		return 0, fmt.Errorf("%s may be bits or bytes: write mbit or MB", unit)
	}
	return 0, errors.New("units are kbit, mbit, gbit (bits a second) and kB, MB, GB (bytes a second)")
}
