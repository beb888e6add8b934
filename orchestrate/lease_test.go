package orchestrate

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// lease runs lease.sh with a real shell on a directory of the test's.
func lease(t *testing.T, dir, act, id, ttl, want, steal string) leaseAnswer {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), "sh", "-c", leaseScript, "ship", dir, act, id, ttl, want, steal)
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"who":"%s@ci","pid":7,"message":"deploy"}`+"\n", id))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("lease.sh %s: %v: %s", act, err, out)
	}
	a, err := parseLease(string(out))
	if err != nil {
		t.Fatalf("lease.sh %s: %v", act, err)
	}
	return a
}

func TestLeaseHasOneOwnerAndAnEnd(t *testing.T) {
	dir := t.TempDir() + "/app"
	if a := lease(t, dir, "acquire", "one", "60", "0", ""); !a.ok || a.fence != 1 {
		t.Fatalf("first acquire: %+v", a)
	}
	a := lease(t, dir, "acquire", "two", "60", "0", "")
	if a.held == nil || a.held.ID != "one" || a.held.Owner.Who != "one@ci" || a.held.Expires < 50*time.Second {
		t.Fatalf("acquire of a held lease: %+v", a.held)
	}
	if a := lease(t, dir, "release", "two", "0", "0", ""); a.held == nil {
		t.Fatal("a stranger released the lease")
	}
	if a := lease(t, dir, "renew", "one", "1", "9", ""); !a.ok || a.fence != 9 {
		t.Fatalf("renew with a higher fence: %+v", a)
	}
	time.Sleep(2100 * time.Millisecond) // the script counts whole seconds of the host's clock
	if a := lease(t, dir, "acquire", "two", "60", "0", ""); !a.ok || a.fence != 10 {
		t.Fatalf("acquire of an expired lease: %+v", a)
	}
	if a := lease(t, dir, "renew", "one", "60", "0", ""); a.ok || a.held == nil || a.held.ID != "two" {
		t.Fatalf("renew of a lost lease: %+v", a)
	}
	if a := lease(t, dir, "acquire", "three", "60", "0", "two"); !a.ok || a.fence != 11 {
		t.Fatalf("take over from an owner known to be dead: %+v", a)
	}
	if a := lease(t, dir, "release", "three", "0", "0", ""); a.held != nil {
		t.Fatalf("release: %+v", a)
	}
	if a := lease(t, dir, "status", "x", "0", "0", ""); a.held != nil || a.fence != 11 {
		t.Fatalf("status of a free lease: %+v", a)
	}
}

func TestLeaseLetsOneOfManyIn(t *testing.T) {
	dir := t.TempDir() + "/app"
	var wg sync.WaitGroup
	got := make([]leaseAnswer, 8)
	for i := range got {
		wg.Add(1)
		go func() {
			defer wg.Done()
			got[i] = lease(t, dir, "acquire", fmt.Sprint("run", i), "60", "0", "")
		}()
	}
	wg.Wait()
	in := 0
	for _, a := range got {
		if a.ok {
			in++
		}
	}
	if in != 1 {
		t.Fatalf("%d of %d runs hold the lease", in, len(got))
	}
}

func FuzzParseLease(f *testing.F) {
	f.Add("ok 3\n")
	f.Add("held 12 abc\n{\"who\":\"a\"}\n")
	f.Add("free 0")
	f.Add("held x y\n")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseLease(s)
		if err != nil && (a.ok || a.held != nil) {
			t.Fatalf("%q: an error with an answer", s)
		}
		if a.ok && a.held != nil {
			t.Fatalf("%q: held and got", s)
		}
	})
}
