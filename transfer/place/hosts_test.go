package place

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ship/internal/shiptest/lab"
	"ship/internal/shiptest/leak"
	"ship/internal/sshx"
)

func TestMain(m *testing.M) {
	lab.Init()
	if spec := os.Getenv("PLACE_TEST_DIAL"); spec != "" {
		os.Exit(dialAsHelper(context.Background(), spec))
	}
	os.Exit(leak.Main(withLab{m}))
}

// withLab takes the lab down after the tests that brought it up.
type withLab struct{ *testing.M }

func (m withLab) Run() int {
	code := m.M.Run()
	if theLab != nil {
		if err := theLab.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

var (
	labOnce sync.Once
	theLab  *lab.Lab
	labErr  error
)

// hardened is what careful people have in their sshd_config.
const hardened = `AllowTcpForwarding no
AllowAgentForwarding no
AllowStreamLocalForwarding no
PermitTunnel no
X11Forwarding no
GatewayPorts no
PermitUserRC no
`

// reload ends a script that changed sshd_config; sshd writes the file when it listens again.
const reload = "; p=$(cat /run/sshd.pid); rm /run/sshd.pid; kill -HUP $p; until [ -s /run/sshd.pid ]; do sleep 0.02; done"

// host returns a host whose sshd is hardened: h1 has OpenSSH 9.2, h2 10.0 and its clock shows the time of Tokyo.
func host(t testing.TB, name string) *lab.Host {
	t.Helper()
	labOnce.Do(func() {
		ctx := context.Background() // the lab outlives the test that needs it first
		theLab, labErr = lab.Up(ctx, lab.Options{Log: os.Stderr, Hosts: []lab.HostOptions{{Engine: "bookworm"}, {Engine: "trixie"}}})
		if labErr != nil {
			return
		}
		for _, h := range theLab.Hosts {
			_, err := h.Exec(ctx, "printf '%s' '"+hardened+"' >>/etc/ssh/sshd_config"+reload)
			labErr = errors.Join(labErr, err)
		}
		_, err := theLab.Host("h2").Exec(ctx, "ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime && date +%z | grep -q 0900")
		labErr = errors.Join(labErr, err)
	})
	must(t, labErr)
	return theLab.Host(name)
}

// remote is a Shell on a host.
type remote struct{ *sshx.Client }

func (r remote) Script(ctx context.Context, text string, args []string, stdin io.Reader) ([]byte, error) {
	res, err := r.Run(ctx, sshx.Command{Script: text, Argv: args, Stdin: stdin})
	return res.Stdout, err
}

// loginAs is a Shell as a user of a host. What the test puts into the user's folders goes after it.
func loginAs(t testing.TB, h *lab.Host, user string) Shell {
	t.Helper()
	c, err := sshx.Dial(t.Context(), user+"@"+h.Name, sshx.Options{ConfigFile: theLab.SSHConfig()})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	t.Cleanup(func() { shell(t, h, "rm -rf ~"+user+"/.cache /var/tmp/ship-* /dev/shm/ship-*") })
	return remote{c}
}

// shell runs a script as root on a host, past the network.
func shell(t testing.TB, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Exec(context.WithoutCancel(t.Context()), script) // clean-up too
	must(t, err)
	return out
}

// spec is how to log in to a host with a key, from anywhere in the lab.
func spec(t testing.TB, h *lab.Host, user string, seed []byte) PeerSpec {
	t.Helper()
	line := shell(t, h, "cat /etc/ssh/ssh_host_ed25519_key.pub")
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	must(t, err)
	return PeerSpec{Name: h.Name, User: user, Addrs: []netip.AddrPort{netip.AddrPortFrom(h.Addr, 22)}, HostKey: key.Marshal(), Key: seed}
}

// controller is the address of this machine in the lab.
func controller() netip.Addr { return theLab.Subnet.Addr().Next() }

// granted lets a new key run a command on a host, from this machine, and returns how to use it.
func granted(t testing.TB, h *lab.Host, user string, sh Shell, command string) PeerSpec {
	t.Helper()
	seed, public := newKey(t)
	g := Grant{Run: newName(), Key: public, From: []netip.Addr{controller()}, Command: command, Life: time.Hour}
	must(t, Admit(t.Context(), sh, g))
	t.Cleanup(func() { must(t, Revoke(context.WithoutCancel(t.Context()), sh, g.Run)) })
	return spec(t, h, user, seed)
}

// dialAsHelper is this program as the helper of a host: it joins another one, says what it hears, and ends.
func dialAsHelper(ctx context.Context, text string) int {
	var p PeerSpec
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		fmt.Println(err)
		return 2
	}
	c, err := DialPeer(ctx, p)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer c.Close()
	_, err = io.WriteString(c, "from "+strings.Join(addrsOf(LocalAddrs()), " ")+"\n")
	err = errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
	out, rerr := io.ReadAll(c)
	fmt.Printf("%s", out)
	if err := errors.Join(err, rerr); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func addrsOf(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}
