package sshx

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

func TestTrust(t *testing.T) {
	t.Parallel()
	host, other, rsaKey, authority := newKey(t, "ed25519"), newKey(t, "ed25519"), newKey(t, "rsa"), newKey(t, "ed25519")
	cert := host.certify(t, authority, ssh.HostCert, "web.example.com")
	wrongCert := host.certify(t, authority, ssh.HostCert, "db.example.com")
	line := func(names string, k key) string { return names + " " + k.authorized() }
	hashed := func(name string, k key) string {
		return line(xknownhosts.HashHostname(xknownhosts.Normalize(name)), k)
	}
	const (
		accepted = "accepted"
		unknown  = "unknown"
		changed  = "changed"
		reason   = "reason"
	)
	for name, tt := range map[string]struct {
		known string // known_hosts
		pin   string
		alias string
		port  int // default 22
		shown ssh.PublicKey
		want  string
		first string // the host key algorithm asked for first
	}{
		"empty":                    {shown: host.public(), want: unknown},
		"known":                    {known: line("web.example.com", host), shown: host.public(), want: accepted, first: "ssh-ed25519"},
		"upper case":               {known: line("WEB", other) + line("web.example.com,10.0.0.1", host), shown: host.public(), want: accepted},
		"changed":                  {known: line("web.example.com", other), shown: host.public(), want: changed, first: "ssh-ed25519"},
		"other kind":               {known: line("web.example.com", rsaKey), shown: host.public(), want: changed, first: "rsa-sha2-512"},
		"one of two":               {known: line("web.example.com", other) + line("web.example.com", host), shown: host.public(), want: accepted},
		"hashed":                   {known: hashed("web.example.com", host), shown: host.public(), want: accepted, first: "ssh-ed25519"},
		"hashed, changed":          {known: hashed("web.example.com", other), shown: host.public(), want: changed},
		"wildcard":                 {known: line("*.example.com", host), shown: host.public(), want: accepted},
		"negated":                  {known: line("*.example.com,!web.example.com", host), shown: host.public(), want: unknown},
		"port":                     {port: 2222, known: line("[web.example.com]:2222", host), shown: host.public(), want: accepted},
		"hashed port":              {port: 2222, known: hashed("[web.example.com]:2222", host), shown: host.public(), want: accepted},
		"other port":               {port: 2222, known: line("[web.example.com]:22022", host), shown: host.public(), want: unknown},
		"line without port":        {port: 2222, known: line("web.example.com", host), shown: host.public(), want: accepted},
		"port counts first":        {port: 2222, known: line("web.example.com", host) + line("[web.example.com]:2222", other), shown: host.public(), want: changed},
		"line without port, other": {port: 2222, known: line("web.example.com", other), shown: host.public(), want: unknown},
		"alias":                    {alias: "Prod", port: 2222, known: line("prod", host), shown: host.public(), want: accepted},
		"alias hides the name":     {alias: "prod", known: line("web.example.com", host), shown: host.public(), want: unknown},
		"authority":                {known: "@cert-authority " + line("*.example.com", authority), shown: cert, want: accepted, first: "ssh-ed25519-cert-v01@openssh.com"},
		"wrong authority":          {known: "@cert-authority " + line("*.example.com", other), shown: cert, want: reason},
		"cert of another host":     {known: "@cert-authority " + line("*.example.com", authority), shown: wrongCert, want: reason},
		"revoked":                  {known: line("web.example.com", host) + "@revoked " + line("*", host), shown: host.public(), want: reason},
		"unreadable line":          {known: "web.example.com ssh-new AAAA\nold 1024 35 1234\n" + line("web.example.com", host), shown: host.public(), want: accepted},
		"pin":                      {pin: host.authorized(), shown: host.public(), want: accepted, first: "ssh-ed25519"},
		"pin only":                 {pin: other.authorized(), known: line("web.example.com", host), shown: host.public(), want: changed},
		"pin of another kind":      {pin: rsaKey.authorized(), shown: host.public(), want: changed, first: "rsa-sha2-512"},
		"pin, key known elsewhere": {pin: host.authorized(), known: line("web.example.com", other), shown: host.public(), want: accepted},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings{written: "web", host: "Web.example.com", port: 22, keyAlias: tt.alias, pin: tt.pin,
				knownHosts: []string{write(t, t.TempDir()+"/known_hosts", tt.known)}}
			if tt.port != 0 {
				s.port = tt.port
			}
			tr, err := newTrust(s)
			must(t, err)
			got := accepted
			var e *HostKeyError
			if err := tr.check(s.addr(), &net.TCPAddr{}, tt.shown); errors.As(err, &e) {
				switch {
				case e.Reason != "":
					got = reason
				case e.Known:
					got = changed
				default:
					got = unknown
				}
				if e.Host != "web" || e.Fingerprint != host.fingerprint() || e.Hint() == "" {
					t.Errorf("error = %+v", e)
				}
				if got == changed && (len(e.Want) == 0 || !strings.Contains(err.Error(), e.Want[0]) || !strings.Contains(err.Error(), e.Fingerprint)) {
					t.Errorf("does not show both keys: %v", err)
				}
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			algorithms := tr.algorithms()
			if tt.first != "" && algorithms[0] != tt.first {
				t.Errorf("asks for %s first, want %s", algorithms[0], tt.first)
			}
			for _, weak := range ssh.InsecureAlgorithms().HostKeys {
				if slices.Contains(algorithms, weak) {
					t.Errorf("asks for %s", weak)
				}
			}
		})
	}
}

// What the error offers for known_hosts is what admits the key.
func TestTheLineOfAnUnknownKeyAdmitsIt(t *testing.T) {
	t.Parallel()
	k := newKey(t, "ecdsa")
	s := settings{written: "x", host: "fe80::1", port: 2222}
	tr, err := newTrust(s)
	must(t, err)
	var e *HostKeyError
	if !errors.As(tr.check("", nil, k.public()), &e) || e.Known {
		t.Fatal("not unknown")
	}
	s.knownHosts = []string{write(t, t.TempDir()+"/known_hosts", e.Line+"\n")}
	tr, err = newTrust(s)
	must(t, err)
	must(t, tr.check("", nil, k.public()))
}

func TestBadTrust(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := newKey(t, "ed25519")
	for name, s := range map[string]settings{
		"pin is a fingerprint":     {pin: k.fingerprint()},
		"pin has options":          {pin: "no-pty " + k.authorized()},
		"pin has two keys":         {pin: k.authorized() + k.authorized()},
		"file is missing":          {knownHosts: []string{dir + "/none"}, required: true},
		"file is a folder":         {knownHosts: []string{dir}},
		"revocation is unreadable": {knownHosts: []string{write(t, dir+"/known_hosts", "@revoked * ssh-new AAAA\n")}},
	} {
		s.written, s.host, s.port = "web", "web", 22
		_, err := newTrust(s)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), "ship-known-") {
			t.Errorf("%s: names a temporary file: %v", name, err)
		}
	}
	_, err := newTrust(settings{host: "web", port: 22, knownHosts: []string{dir + "/none"}})
	must(t, err)
}

func FuzzCopyReadable(f *testing.F) {
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		f.Fatal(err)
	}
	good := string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	f.Add("web " + good)
	f.Add("|1|AAAA|BBBB " + good + "@cert-authority * " + good)
	f.Add("# comment\n\nweb ssh-new AAAA\n@revoked x y z")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		from := write(t, dir+"/known_hosts", text)
		k, err := readKnown([]string{from}, true)
		if err != nil {
			return // a file that cannot be taken is refused as a whole, never read in part
		}
		// Whatever stands in the file, it takes the key itself to admit it.
		if err := k.check("web:22", signer.PublicKey()); err == nil && !strings.Contains(text, strings.Fields(good)[1]) {
			t.Error("admits a key that is not in the file")
		}
	})
}

func TestHostKeysOfARealServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	stranger := newKey(t, "ed25519")
	t.Run("only the second kind of key is known", func(t *testing.T) {
		o := s.options(t)
		write(t, o.KnownHosts[0], s.hostECDSA.known(s.addr()))
		c, err := Dial(t.Context(), s.addr(), o)
		must(t, err)
		must(t, c.Close())
	})
	for name, tt := range map[string]struct {
		known string
		pins  map[string]string
		seen  bool
	}{
		"unknown":     {},
		"changed":     {known: stranger.known(s.addr()), seen: true},
		"other pin":   {known: s.host.known(s.addr()), pins: map[string]string{"127.0.0.1": stranger.authorized()}, seen: true},
		"pin of port": {pins: map[string]string{"127.0.0.1": s.host.authorized(), s.addr(): stranger.authorized()}, seen: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.options(t)
			o.HostKeys = tt.pins
			write(t, o.KnownHosts[0], tt.known)
			var e *HostKeyError
			_, err := Dial(t.Context(), s.addr(), o)
			if !errors.As(err, &e) || e.Known != tt.seen || !strings.HasPrefix(e.Fingerprint, "SHA256:") || strings.Contains(err.Error(), "handshake failed") {
				t.Errorf("err = %v", err)
			}
		})
	}
	t.Run("pinned", func(t *testing.T) {
		o := s.options(t)
		write(t, o.KnownHosts[0], stranger.known(s.addr()))
		o.HostKeys = map[string]string{"127.0.0.1": s.hostECDSA.authorized()}
		c, err := Dial(t.Context(), s.addr(), o)
		must(t, err)
		must(t, c.Close())
	})
}

func TestCertifiedHost(t *testing.T) {
	t.Parallel()
	authority := newKey(t, "ed25519")
	s := newServer(t)
	s.stop()
	write(t, s.path("host_cert"), string(ssh.MarshalAuthorizedKey(s.host.certify(t, authority, ssh.HostCert, "127.0.0.1"))))
	s.start(t, "HostCertificate "+s.path("host_cert"))
	o := s.options(t)
	write(t, o.KnownHosts[0], "@cert-authority * "+authority.authorized())
	c, err := Dial(t.Context(), s.addr(), o)
	must(t, err)
	must(t, c.Close())
}
