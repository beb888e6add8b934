package plain

// escape is the length of the escape sequence at the start of s, 0 if there is none. A sequence that does not end, or
// that runs over a line's end, is only its introducer: a host shall not hide the rest of its words from us.
func escape(s string) int {
	intro, kind := 0, byte(0)
	switch {
	case len(s) >= 2 && s[0] == 0x1b:
		intro, kind = 2, s[1]
	case len(s) >= 2 && s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0: // C1 in UTF-8: the same as ESC and a letter
		intro, kind = 2, s[1]-0x40
	default:
		return 0
	}
	switch kind {
	case '[': // control sequence: parameters, then one final byte
		for i := intro; i < len(s) && s[i] >= 0x20; i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
	case ']', 'P', 'X', '^', '_': // strings: up to BEL or ESC \
		for i := intro; i < len(s) && s[i] != '\n'; i++ {
			switch {
			case s[i] == 0x07:
				return i + 1
			case s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			case s[i] == 0xc2 && i+1 < len(s) && s[i+1] == 0x9c:
				return i + 2
			}
		}
	case '(', ')', '*', '+', '#', '%': // one byte more: character sets
		if len(s) > intro && s[intro] > 0x20 && s[intro] < 0x7f {
			return intro + 1
		}
	}
	if kind < 0x20 || kind > 0x7e {
		return 1
	}
	return intro
}
