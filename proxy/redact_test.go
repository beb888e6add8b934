package proxy

import (
	"strings"
	"testing"
)

func TestRedactedQuery(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "",
		"page=2&q=shoes+red":                "page=2&q=shoes+red",
		"token=abc&page=2":                  "token=[redacted]&page=2",
		"a=1;password=x;b=2":                "a=1;password=[redacted];b=2",
		"API_KEY=x&apiKey=y&api-key=z&k=1":  "API_KEY=[redacted]&apiKey=[redacted]&api-key=[redacted]&k=1",
		"user%5Bpassword%5D=x":              "user%5Bpassword%5D=[redacted]",
		"%74oken=x":                         "%74oken=[redacted]",
		"to%ken=x":                          "to%ken=[redacted]",
		"X-Amz-Signature=x&X-Amz-Date=1":    "X-Amz-Signature=[redacted]&X-Amz-Date=1",
		"access_token=x&refreshToken=y":     "access_token=[redacted]&refreshToken=[redacted]",
		"code=1&postcode=2&monkey=3":        "code=[redacted]&postcode=2&monkey=3",
		"key2=a":                            "key2=[redacted]",
		"flag&eyJhbGciOiJIUzI1NiJ9.eyJzdWI": "flag&[redacted]",
		"=x&&token":                         "=x&&[redacted]",
		strings.Repeat("n", 500) + "=v":     strings.Repeat("n", maxName) + "=[redacted]",
	} {
		if got := redactedQuery(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func FuzzRedactedQuery(f *testing.F) {
	for _, s := range []string{"a=1&token=x", "%", "%zz=1;", "&&==", "=\xff", "tOkEn=%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := redactedQuery(s); len(got) > maxLogText {
			t.Errorf("%d bytes", len(got))
		}
		if got := redactedQuery("token=hunter2&" + s); strings.Contains(got, "hunter2") && !strings.Contains(s, "hunter2") {
			t.Errorf("%q", got)
		}
	})
}
