package proxy

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// redacted is what stands in the log for a value.
const redacted = "[redacted]"

// secretParts make a parameter secret wherever they stand in its name, secretWords when they are one of its words.
var (
	secretParts = [...]string{"token", "passw", "passphrase", "secret", "signature", "credential", "apikey", "accesskey", "session", "jwt", "bearer"}
	secretWords = [...]string{"key", "keys", "pass", "pwd", "pw", "sig", "sign", "hmac", "auth", "authorization", "code", "otp", "pin", "sid", "nonce", "hash", "ticket"}
)

// maxBare bounds, in bytes, a parameter without a value that is logged: what is longer may be a token on its own.
const maxBare = 24

// redactedQuery is a request's query as the log has it: parameters with a secret's name keep only that. Names are compared
// as an app would read them, and one that cannot be read counts as secret.
func redactedQuery(raw string) string {
	if raw == "" {
		return ""
	}
	raw = clipped(raw)
	var b strings.Builder
	for len(raw) > 0 {
		part, sep := raw, ""
		if i := strings.IndexAny(raw, "&;"); i >= 0 {
			part, sep = raw[:i], raw[i:i+1]
		}
		raw = raw[len(part)+len(sep):]
		name, _, valued := strings.Cut(part, "=")
		switch {
		case !valued && (len(part) > maxBare || isSecret(part)):
			b.WriteString(redacted)
		case valued && (len(name) > maxName || isSecret(name)):
			b.WriteString(clipName(name) + "=" + redacted)
		default:
			b.WriteString(part)
		}
		b.WriteString(sep)
	}
	return clipped(b.String())
}

func clipName(s string) string { return s[:min(len(s), maxName)] }

func isSecret(name string) bool {
	plain, err := url.QueryUnescape(name)
	if err != nil {
		return true
	}
	words := strings.FieldsFunc(apart(plain), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, w := range words {
		if slices.Contains(secretWords[:], strings.TrimRight(w, "0123456789")) {
			return true
		}
	}
	joined := strings.Join(words, "")
	return slices.ContainsFunc(secretParts[:], func(p string) bool { return strings.Contains(joined, p) })
}

// apart is the name in lower case, with its words apart: apiKey is "api key".
func apart(name string) string {
	var b strings.Builder
	low := false
	for _, r := range name {
		if low && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		low = unicode.IsLower(r) || unicode.IsDigit(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
