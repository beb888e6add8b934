package proxy

import (
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"ship/internal/shiptest/module"
)

// notPassed are the cases of h2spec that net/http's server decides otherwise, before this proxy sees anything of it: it refuses
// settings that are named twice, and answers headers that belong to one connection with 400 where h2spec wants the stream reset.
var notPassed = []string{
	"http2/6.5.3 Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE",
	"http2/8.1.2.2 Sends a HEADERS frame that contains the TE header field with any value other than \"trailers\"",
	"http2/8.1.2.2 Sends a HEADERS frame that contains the connection-specific header field",
}

// TestHTTP2Conforms runs h2spec: 142 of its 145 cases pass.
func TestHTTP2Conforms(t *testing.T) {
	h2spec, err := module.Build(t.Context(), module.Program{
		Module: "github.com/summerwind/h2spec", Version: "v2.2.1+incompatible", Package: "./cmd/h2spec",
		Requires: []string{"github.com/fatih/color v1.19.0", "github.com/spf13/cobra v1.10.2", "golang.org/x/net v0.62.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	g, addr := startTLS(t)
	g.certify("shop", newPair(t, "127.0.0.1"))
	a := newApp(t, "v1")
	a.HandleFunc("/whole", func(w http.ResponseWriter, r *http.Request) { // an answer before the request has ended would be right too
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "there must be enough of it for a small window")
	})
	g.deploy(Service{Name: "shop", TLS: &TLS{}}, a.Target, 1)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	out, err := exec.CommandContext(t.Context(), h2spec, "-h", host, "-p", port, "-t", "-k", "-P", "/whole", "-j", report).CombinedOutput()
	b, rerr := os.ReadFile(report)
	if rerr != nil {
		t.Fatalf("%v: %v: %s", rerr, err, out)
	}
	var told struct {
		Suites []struct {
			Package string `xml:"package,attr"`
			Cases   []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &told); err != nil {
		t.Fatal(err)
	}
	passed, skipped, failed := 0, 0, []string{}
	for _, s := range told.Suites {
		for _, c := range s.Cases {
			switch {
			case c.Failure != nil || c.Error != nil:
				failed = append(failed, fmt.Sprint(s.Package, " ", c.Name))
			case c.Skipped != nil:
				skipped++
			default:
				passed++
			}
		}
	}
	slices.Sort(failed)
	if passed != 142 || skipped != 0 || !slices.Equal(failed, notPassed) {
		t.Errorf("%d passed, %d were skipped, failed: %q\n%s", passed, skipped, failed, out)
	}
}
