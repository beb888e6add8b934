package main_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ship/internal/event"
	"ship/internal/shiptest/images"
	"ship/internal/shiptest/lab"
)

// TestSlowHostDelaysNobody: one host's line is much slower than those of the others, which have the image while most of it
// is still to come there.
func TestSlowHostDelaysNobody(t *testing.T) {
	helpersPlaced(t)
	// All layers are its own: of one that only the slow host had, it would be the source for the others.
	src := own(t, images.Spec{Ref: "slow:v1", Version: "slow-v1", Layers: []images.Layer{{Name: "slow", Size: 6 << 20, Files: 100, Dense: true}}})
	limit(t, 40*lab.Mbit)
	slow := world.lab.Host("h2")
	if err := slow.Limit(t.Context(), 2*lab.Mbit, 2*lab.Mbit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := slow.Limit(context.WithoutCancel(t.Context()), 0, 0); err != nil {
			t.Error(err)
		}
	})
	there := map[string]bool{}
	o := follow(t, command(t, append([]string{"push", src}, trio...)...), func(e event.Event) bool {
		if strings.HasPrefix(e.Text, "image is there") {
			there[e.Host] = true
		}
		return there["h1"] && there["h3"]
	}, func(*os.Process) {
		if there["h2"] {
			t.Error("the slow host was not the last: nothing is shown")
		}
	})
	if o.code != 0 {
		t.Error(o)
	}
	runs(t, "slow:v1", trio...)
	nothingLeft(t, trio...)
}

// TestHelperFrozen: a helper that lives and says nothing is given up and replaced; the others do not wait for it.
func TestHelperFrozen(t *testing.T) {
	helpersPlaced(t)
	const size = 12 << 20
	src := bulk(t, "frozen:v1", size)
	limit(t, 24*lab.Mbit)
	o := follow(t, command(t, append([]string{"push", src}, trio...)...), uplinkAt(size/3), func(*os.Process) {
		script(t, "h2", "pkill -STOP -f '[s]hip-helper.* serve '")
	})
	if o.code != 0 {
		t.Error(o)
	}
	runs(t, "frozen:v1", trio...)
	// Once it runs again, it sees that nobody is there. Its chunks stay for a next run: it had not been told to drop them.
	script(t, "h2", "pkill -CONT -f '[s]hip-helper.* serve '; for i in $(seq 100); do pgrep -f '[s]hip-helper.* (serve|join) ' || exit 0; sleep 0.1; done; exit 1")
}

// TestBehindAJumpHost: hosts that only another one reaches get the image through it, and feed each other.
func TestBehindAJumpHost(t *testing.T) {
	helpersPlaced(t)
	const size = 8 << 20
	src := bulk(t, "jump:v1", size)
	conf, err := os.ReadFile(world.lab.SSHConfig())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ssh_config")
	if err := os.WriteFile(path, append([]byte("Host h2 h3\n  ProxyJump h1\n"), conf...), 0o600); err != nil {
		t.Fatal(err)
	}
	var o outcome
	n := sent(t, func() {
		cmd := command(t, "push", src, "h2", "h3")
		cmd.Args[len(cmd.Args)-1] = path // of --ssh-config
		o = finish(t, cmd)
	})
	if o.code != 0 {
		t.Fatal(o)
	}
	if n > size*3/2 { // the image once, with the app that is in it; twice would be more than 2
		t.Errorf("%d bytes left here for a layer of %d: %s", n, size, o)
	}
	if direct, err := world.lab.Sent(t.Context(), lab.Controller, "h2"); err != nil || direct > 0 {
		t.Errorf("%d bytes went around the jump host: %v", direct, err)
	}
	runs(t, "jump:v1", "h2", "h3")
	nothingLeft(t, "h2", "h3")
}

// TestFewSessions: sshds that allow one session at a time, and two.
func TestFewSessions(t *testing.T) {
	helpersPlaced(t)
	for i, h := range []string{"h1", "h3"} {
		script(t, h, fmt.Sprintf(`cp /etc/ssh/sshd_config /root/sshd_config; sed -i '/^MaxSessions/d' /etc/ssh/sshd_config; echo 'MaxSessions %d' >>/etc/ssh/sshd_config; pkill -HUP -o -x sshd`, 1+i))
		t.Cleanup(func() {
			var out bytes.Buffer
			cmd := world.lab.Host(h).Command(context.WithoutCancel(t.Context()), "sh", "-c", "cp /root/sshd_config /etc/ssh/sshd_config; pkill -HUP -o -x sshd")
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("%v: %s", err, &out)
			}
		})
	}
	time.Sleep(time.Second) // the signal answers nothing
	src := bulk(t, "few:v1", 8<<20)
	mustShip(t, 0, "push", src, "h1", "h3")
	runs(t, "few:v1", "h1", "h3")
	nothingLeft(t, "h1", "h3")
}
