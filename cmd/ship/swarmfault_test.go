package main_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ship/internal/event"
	"ship/internal/shiptest/lab"
)

// script runs on a host, and must succeed.
func script(t *testing.T, host, text string) {
	t.Helper()
	if out, err := world.lab.Host(host).Exec(t.Context(), text); err != nil {
		t.Fatalf("%s: %s: %v", host, out, err)
	}
}

// healed undoes every cut at the test's end.
func healed(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { _ = world.lab.HealAll(context.WithoutCancel(t.Context())) }) // the next test would show it
}

// TestLinkCutForAWhile: a host that is gone for 20 seconds gets what it lacks when it is back.
func TestLinkCutForAWhile(t *testing.T) {
	helpersPlaced(t)
	healed(t)
	const size = 16 << 20
	src := bulk(t, "while:v1", size)
	limit(t, 24*lab.Mbit)
	h := world.lab.Host("h3")
	var once sync.WaitGroup
	var o outcome
	n := sent(t, func() {
		o = follow(t, command(t, "push", src, "h3"), uplinkAt(size/2), func(*os.Process) {
			if err := h.Cut(t.Context()); err != nil {
				t.Error(err)
			}
			once.Go(func() {
				time.Sleep(20 * time.Second)
				if err := h.Heal(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	})
	once.Wait()
	if o.code != 0 || n > size*15/10 {
		t.Errorf("%d bytes sent: %s", n, o)
	}
	t.Logf("%d bytes sent in %s", n, o.took)
	runs(t, "while:v1", "h3")
}

// TestPeersCut: hosts that cannot reach each other are fed from here.
func TestPeersCut(t *testing.T) {
	helpersPlaced(t)
	healed(t)
	if err := world.lab.Host("h1").Cut(t.Context(), "h2", "h3"); err != nil {
		t.Fatal(err)
	}
	src := bulk(t, "apart:v1", 8<<20)
	p := push(t, append([]string{src}, trio...)...)
	runs(t, "apart:v1", trio...)
	t.Logf("%+v", p.Hosts)
	nothingLeft(t, trio...)
}

// TestHelperKilled: another one goes on where it was.
func TestHelperKilled(t *testing.T) {
	helpersPlaced(t)
	const size = 16 << 20
	src := bulk(t, "killed:v1", size)
	limit(t, 24*lab.Mbit)
	o := follow(t, command(t, append([]string{"push", src}, trio...)...), uplinkAt(size/3), func(*os.Process) {
		script(t, "h1", "pkill -9 -f '[s]hip-helper.* serve '")
	})
	if o.code != 0 {
		t.Error(o)
	}
	wants(t, o.stdout, "starting the helper again")
	runs(t, "killed:v1", trio...)
}

// TestNoHelper: where no folder lets programs run, the image goes the plain way, and a line says so.
func TestNoHelper(t *testing.T) {
	script(t, "h2", "for d in /root/.cache /var/tmp /dev/shm /run/user; do mkdir -p $d; mount -t tmpfs -o noexec none $d; done")
	t.Cleanup(func() {
		if _, err := world.lab.Host("h2").Exec(context.WithoutCancel(t.Context()), "umount /root/.cache /var/tmp /dev/shm /run/user"); err != nil {
			t.Log(err)
		}
	})
	src := bulk(t, "plain:v1", 8<<20)
	o := mustShip(t, 0, "push", src, "h2")
	wants(t, o.stderr, "without a helper", "no folder where a program can be run")
	runs(t, "plain:v1", "h2")
	nothingLeft(t, "h2")
}

// TestSilentHostDelaysNobody: one host falls silent; the others finish all the same, and it too once it is heard again.
func TestSilentHostDelaysNobody(t *testing.T) {
	helpersPlaced(t)
	healed(t)
	const size = 12 << 20
	src := bulk(t, "silent:v1", size)
	limit(t, 24*lab.Mbit)
	var once sync.WaitGroup
	o := follow(t, command(t, append([]string{"push", src}, trio...)...), uplinkAt(size/3), func(*os.Process) {
		if err := world.lab.Host("h2").Cut(t.Context()); err != nil {
			t.Error(err)
		}
		once.Go(func() {
			for _, h := range []string{"h1", "h3"} {
				if out, err := world.lab.Host(h).Exec(t.Context(), "timeout 60 sh -c 'until docker image inspect silent:v1 >/dev/null 2>&1; do sleep 0.2; done'"); err != nil {
					t.Errorf("%s waits for the silent one: %s %v", h, out, err)
				}
			}
			if err := world.lab.Host("h2").Heal(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
	once.Wait()
	if o.code != 0 {
		t.Error(o)
	}
	runs(t, "silent:v1", trio...)
}

// TestTwoPushesAtOnce, of one image and of two, to the same host: both succeed, and neither takes the other's key or chunks.
func TestTwoPushesAtOnce(t *testing.T) {
	helpersPlaced(t)
	a, b := bulk(t, "atonce-a:v1", 8<<20), bulk(t, "atonce-b:v1", 8<<20)
	for _, pair := range [][2]string{{a, b}, {a, a}} {
		removeImage(t, "atonce-a:v1", trio...)
		var wg sync.WaitGroup
		for _, src := range pair {
			cmd := command(t, append([]string{"push", src}, trio...)...)
			wg.Go(func() {
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		wg.Wait()
		runs(t, "atonce-a:v1", trio...)
		nothingLeft(t, trio...)
	}
	runs(t, "atonce-b:v1", trio...)
}

// TestHardenedHosts: an sshd that forwards nothing and allows few sessions, and users who are not root.
func TestHardenedHosts(t *testing.T) {
	for _, h := range trio {
		script(t, h, `cp /etc/ssh/sshd_config /root/sshd_config; printf 'AllowTcpForwarding no\nAllowAgentForwarding no\nAllowStreamLocalForwarding no\nPermitTunnel no\n' >>/etc/ssh/sshd_config; pkill -HUP -o -x sshd`)
		t.Cleanup(func() {
			_, err := world.lab.Host(h).Exec(context.WithoutCancel(t.Context()), "cp /root/sshd_config /etc/ssh/sshd_config; pkill -HUP -o -x sshd")
			if err != nil {
				t.Log(err)
			}
		})
	}
	time.Sleep(time.Second)
	src := bulk(t, "hard:v1", 16<<20)
	hosts := []string{"h1", "deploy@h2", "sudoer@h3"}
	o := mustShip(t, 0, append([]string{"push", src, "--json"}, hosts...)...)
	if strings.Contains(o.stdout, "without a helper") || strings.Contains(o.stdout, "no line to") || strings.Contains(o.stdout, `"type":"`+string(event.Warning)) {
		t.Error(o)
	}
	runs(t, "hard:v1", hosts...)
	nothingLeft(t, hosts...)
}
