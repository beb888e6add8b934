package sshx

import (
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]address{
		"web-1":                   {host: "web-1"},
		"deploy@web-1":            {user: "deploy", host: "web-1"},
		"deploy@web-1:2222":       {user: "deploy", host: "web-1", port: 2222},
		"anna@corp.example@web-1": {user: "anna@corp.example", host: "web-1"},
		"10.0.0.1:22":             {host: "10.0.0.1", port: 22},
		"::1":                     {host: "::1"},
		"[::1]":                   {host: "::1"},
		"root@[fe80::1%eth0]:22":  {user: "root", host: "fe80::1%eth0", port: 22},
		"ssh://root@web-1:22/":    {user: "root", host: "web-1", port: 22},
		"zürich":                  {host: "zürich"},
	} {
		if got, err := parseAddress(spec); err != nil || got != want {
			t.Errorf("%s: %+v, %v", spec, got, err)
		}
	}
	for _, spec := range []string{
		"", "@web", "web:", "web:0", "web:65536", "web:ssh", "-oProxyCommand=reboot", "-l@web", "a b", "web;reboot", "$(reboot)",
		"a:b:c", "[::1", "[::1]22", "[web]:22", "web\n", "user'@web", "../web", strings.Repeat("x", 256),
	} {
		if got, err := parseAddress(spec); err == nil {
			t.Errorf("%q is accepted: %+v", spec, got)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"deploy@web:22", "[::1]:22", "ssh://a@b/", "a@b@c", ":", "@", "[]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		a, err := parseAddress(spec)
		if err != nil {
			return
		}
		if a.host == "" || strings.HasPrefix(a.host, "-") || strings.HasPrefix(a.user, "-") || strings.ContainsAny(a.host+a.user, " \n\x00'\"$;") {
			t.Errorf("%q gives %+v", spec, a)
		}
	})
}

// resolvers are the two ways to read ssh_config; they have to agree.
func resolvers(t *testing.T) map[string]string {
	t.Helper()
	client, err := exec.LookPath("ssh")
	must(t, err)
	return map[string]string{"ssh -G": client, "own reader": ""}
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	home := func(p string) string { return filepath.Join(dir, p) }
	write(t, home("included"), "Host included\n  HostName 10.9.9.9\n")
	config := write(t, home("config"), `
Include `+home("included")+`
Host web
  HostName 10.0.0.1
  User app
  Port 2200
  IdentityFile ~/.ssh/%r-%n
  IdentityFile "~/my key"
  CertificateFile ~/%h-cert.pub
  IdentitiesOnly yes
  IdentityAgent `+home("agent.sock")+`
  UserKnownHostsFile `+home("kh")+` `+home("kh2")+`
  GlobalKnownHostsFile none
  HostKeyAlias prod
  StrictHostKeyChecking no
  ConnectTimeout 7
  ServerAliveInterval 2
  AddressFamily inet
Host root22
  User `+me(t)+`
  Port 22
  ProxyJump none
Host lazy
  ServerAliveInterval 600
Host inside
  ProxyJump ops@bastion:2222,[::1]:44
Host cmd
  ProxyCommand nc %h %p
Host revoked
  RevokedHostKeys /etc/ssh/revoked
Host suffix
  HostName %h.example.com
Host noagent
  IdentityAgent none
Host token
  IdentityFile ~/%Z
`)
	base := func(change func(*settings)) settings {
		s := settings{
			host: "10.0.0.1", user: me(t), port: 22, network: "tcp", agent: "/run/agent",
			configured: []string{"default"}, knownHosts: []string{"default"},
			connectTimeout: defaultConnect, keepAlive: defaultKeepAlive,
		}
		change(&s)
		if s.written == "" {
			s.written = s.host
		}
		return s
	}
	for name, tt := range map[string]struct {
		spec string
		o    Options
		want settings
		err  string
	}{
		"plain": {spec: "plain", want: base(func(s *settings) { s.host = "plain" })},
		"all": {spec: "web", want: base(func(s *settings) {
			*s = settings{
				written: "web", host: "10.0.0.1", user: "app", port: 2200, network: "tcp4", agent: home("agent.sock"),
				configured: []string{home(".ssh/app-web"), home("my key")}, certificates: []string{home("10.0.0.1-cert.pub")},
				identitiesOnly: true, knownHosts: []string{home("kh"), home("kh2")}, keyAlias: "prod", lax: "no",
				connectTimeout: 7 * time.Second, keepAlive: 2 * time.Second,
			}
		})},
		"spec wins": {spec: "deploy@web:22", o: Options{User: "x", Port: 9}, want: base(func(s *settings) {
			*s = settings{
				written: "web", host: "10.0.0.1", user: "deploy", port: 22, network: "tcp4", agent: home("agent.sock"),
				configured: []string{home(".ssh/deploy-web"), home("my key")}, certificates: []string{home("10.0.0.1-cert.pub")},
				identitiesOnly: true, knownHosts: []string{home("kh"), home("kh2")}, keyAlias: "prod", lax: "no",
				connectTimeout: 7 * time.Second, keepAlive: 2 * time.Second,
			}
		})},
		"options fill in": {spec: "plain", o: Options{User: "deploy", Port: 2222, Jump: "bastion"}, want: base(func(s *settings) {
			s.host, s.user, s.port, s.jump = "plain", "deploy", 2222, []string{"bastion"}
		})},
		"explicit entries win, also those that say the default": {spec: "root22", o: Options{User: "deploy", Port: 2222, Jump: "bastion"},
			want: base(func(s *settings) { s.host = "root22" })},
		"explicit jump wins": {spec: "inside", o: Options{Jump: "other"}, want: base(func(s *settings) {
			s.host, s.jump = "inside", []string{"ops@bastion:2222", "[::1]:44"}
		})},
		"times of options win": {spec: "lazy", o: Options{ConnectTimeout: time.Second, KeepAlive: time.Minute}, want: base(func(s *settings) {
			s.host, s.connectTimeout, s.keepAlive = "lazy", time.Second, time.Minute
		})},
		"a long interval is not followed": {spec: "lazy", want: base(func(s *settings) { s.host = "lazy" })},
		"known hosts of options": {spec: "plain", o: Options{KnownHosts: []string{"/kh"}, Identities: []string{"/id"}}, want: base(func(s *settings) {
			s.host, s.knownHosts, s.required, s.identities = "plain", []string{"/kh"}, true, []string{"/id"}
		})},
		"include":                {spec: "included", want: base(func(s *settings) { s.written, s.host = "included", "10.9.9.9" })},
		"token in a host name":   {spec: "suffix", want: base(func(s *settings) { s.written, s.host = "suffix", "suffix.example.com" })},
		"no agent":               {spec: "noagent", want: base(func(s *settings) { s.host, s.agent = "noagent", "" })},
		"pin":                    {spec: "a@plain:2222", o: Options{HostKeys: map[string]string{"plain": "K"}}, want: base(func(s *settings) { s.host, s.user, s.port, s.pin = "plain", "a", 2222, "K" })},
		"pin of a port":          {spec: "plain:2222", o: Options{HostKeys: map[string]string{"plain": "K", "plain:2222": "L"}}, want: base(func(s *settings) { s.host, s.port, s.pin = "plain", 2222, "L" })},
		"IPv6":                   {spec: "[::1]:2222", want: base(func(s *settings) { s.host, s.port = "::1", 2222 })},
		"no files":               {spec: "web", o: Options{ConfigFile: "none", User: "deploy"}, want: base(func(s *settings) { s.host, s.user = "web", "deploy" })},
		"command":                {spec: "cmd:2222", want: base(func(s *settings) { s.host, s.port, s.proxy = "cmd", 2222, "nc cmd 2222" })},
		"command wins over jump": {spec: "cmd", o: Options{Jump: "bastion"}, want: base(func(s *settings) { s.host, s.proxy = "cmd", "nc cmd 22" })},
		"jump host itself":       {spec: "plain", o: Options{Jump: "ops@plain"}, want: base(func(s *settings) { s.host = "plain" })},
		"revoked":                {spec: "revoked", err: "RevokedHostKeys is not supported"},
		"token":                  {spec: "token", err: "%Z is not supported"},
		"no file":                {spec: "web", o: Options{ConfigFile: home("none")}, err: "no such file"},
	} {
		for way, client := range resolvers(t) {
			t.Run(name+" by "+way, func(t *testing.T) {
				o := tt.o
				if o.ConfigFile == "" {
					o.ConfigFile = config
				}
				o.Getenv = env("HOME", dir, "SSH_AUTH_SOCK", "/run/agent")
				got, err := resolve(t.Context(), tt.spec, o, client)
				if tt.err != "" {
					if err == nil || !strings.Contains(err.Error(), tt.err) {
						t.Errorf("err = %v", err)
					}
					return
				}
				must(t, err)
				if slices.Contains(got.configured, home(".ssh/id_ed25519")) {
					got.configured = []string{"default"}
				}
				if slices.Contains(got.knownHosts, "/etc/ssh/ssh_known_hosts") {
					got.knownHosts = []string{"default"}
				}
				if !reflect.DeepEqual(emptied(got), emptied(tt.want)) {
					t.Errorf("got  %+v\nwant %+v", got, tt.want)
				}
			})
		}
	}
}

// emptied makes empty lists nil, for comparing.
func emptied(s settings) settings {
	for _, l := range []*[]string{&s.jump, &s.configured, &s.certificates, &s.knownHosts, &s.identities} {
		if len(*l) == 0 {
			*l = nil
		}
	}
	return s
}

// What only ssh itself can decide.
func TestMatchExec(t *testing.T) {
	config := write(t, t.TempDir()+"/config", "Match host web exec \"test -d /\"\n  HostName 10.0.0.7\nMatch user deploy\n  Port 2207\n")
	o := Options{ConfigFile: config, User: "deploy", Port: 22}
	s, err := resolve(t.Context(), "web", o, resolvers(t)["ssh -G"])
	if err != nil || s.host != "10.0.0.7" || s.user != "deploy" || s.port != 2207 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := resolve(t.Context(), "web", o, ""); err == nil {
		t.Error("the own reader accepts Match exec")
	}
}

func TestRoute(t *testing.T) {
	config := write(t, t.TempDir()+"/config", `
Host outer
  HostName 10.0.0.1
Host inner
  ProxyJump outer
Host deep
  ProxyJump inner,last
Host last
  ProxyJump elsewhere
Host circle
  ProxyJump elcric
Host elcric
  ProxyJump circle
Host *.all bastion
  HostName %h
  ProxyJump bastion
`)
	for spec, want := range map[string]string{
		"outer": "outer", "inner": "outer inner", "deep": "outer inner last deep", "x.all": "loop", "circle": "loop",
	} {
		for way, client := range resolvers(t) {
			got, err := route(t.Context(), spec, Options{ConfigFile: config, Port: 2222}, client)
			var names []string
			for _, s := range got {
				names = append(names, s.written)
			}
			text := strings.Join(names, " ")
			if err != nil {
				text = err.Error()
			}
			if text != want && (err == nil || !strings.Contains(text, want)) {
				t.Errorf("%s by %s: %s", spec, way, text)
			}
			for i, s := range got {
				if (s.port == 2222) != (i == len(got)-1) {
					t.Errorf("%s by %s: hop %s has port %d", spec, way, s.written, s.port)
				}
			}
		}
	}
}

func TestParseEntries(t *testing.T) {
	t.Parallel()
	e, err := parseEntries([]byte("hostname h\nport 22\nIdentityFile ~/a b\nidentityfile \"c d\"\nempty\n\n"))
	must(t, err)
	if got := e.all("identityfile"); !slices.Equal(got, []string{"~/a b", "c d"}) || e.one("empty") != "" || e.one("none") != "" {
		t.Errorf("got %q", e)
	}
	if _, err := parseEntries([]byte("usage: ssh [-46AaCfGgKkMNnqsTtVvXxYy]\n")); err == nil {
		t.Error("accepts what is no answer")
	}
	for value, want := range map[string][]string{
		"":                          nil,
		"/a /b":                     {"/a", "/b"},
		"/with space/a /b":          {"/with space/a", "/b"},
		`"/with space/a" ~/b "~/c"`: {"/with space/a", "~/b", "~/c"},
		"none":                      {"none"},
	} {
		if got := paths(value); !slices.Equal(got, want) {
			t.Errorf("paths(%s) = %q", value, got)
		}
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add([]byte("hostname h\nport 22\nuserknownhostsfile /a \"/b c\"\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		e, err := parseEntries(out)
		if err != nil {
			return
		}
		s, err := fromEntries(address{host: "h"}, Options{}, e)
		if err == nil && (s.host == "" || s.port < 1 || s.port > 65535 || s.connectTimeout <= 0 || s.keepAlive <= 0) {
			t.Errorf("%q gives %+v", out, s)
		}
	})
}
