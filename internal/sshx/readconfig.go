package sshx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
)

const systemConfig = "/etc/ssh/ssh_config"

// usualIdentities are tried where no IdentityFile is said, as ssh does.
func usualIdentities() []string {
	return []string{"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk"}
}

// configFiles are the files of ssh_config, the one that counts more first. A file asked for by name has to be there.
func configFiles(o Options) ([]string, error) {
	switch o.ConfigFile {
	case "none":
		return nil, nil
	case "":
		var files []string
		if home := o.getenv("HOME"); home != "" {
			files = append(files, filepath.Join(home, ".ssh", "config"))
		}
		return append(files, systemConfig), nil
	}
	name, err := filepath.Abs(o.ConfigFile)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(name); err != nil {
		return nil, err
	}
	return []string{name}, nil
}

// readConfig finds what the files say without an ssh client. Tokens in HostName are limited to %h and %%, and a Match
// other than `host` and `all` is refused.
func readConfig(files []string, a address, o Options) (entries, error) {
	configs, err := parseConfigs(files)
	if err != nil {
		return nil, err
	}
	e := entries{}
	for _, key := range []string{
		"HostName", "User", "Port", "AddressFamily", "BindAddress", "IdentityAgent", "IdentitiesOnly", "HostKeyAlias",
		"UserKnownHostsFile", "GlobalKnownHostsFile", "StrictHostKeyChecking", "ProxyJump", "ProxyCommand",
		"RevokedHostKeys", "ConnectTimeout", "ServerAliveInterval", "IdentityFile", "CertificateFile",
	} {
		for _, c := range configs {
			values, err := c.GetAll(a.host, key)
			if err != nil {
				return nil, err
			}
			e[strings.ToLower(key)] = append(e[strings.ToLower(key)], values...)
		}
	}
	return e, e.complete(a, o)
}

func parseConfigs(files []string) ([]*ssh_config.Config, error) {
	var configs []*ssh_config.Config
	for _, name := range files {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c, err := ssh_config.DecodeBytes(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (an ssh client on the PATH would read it)", name, err)
		}
		configs = append(configs, c)
	}
	return configs, nil
}

// complete puts the spec over what was found, and defaults below it, so that e has all that `ssh -G` prints.
func (e entries) complete(a address, o Options) error {
	set := func(key string, spec string, defaults ...string) {
		if spec != "" {
			e[key] = []string{spec}
		}
		for _, d := range defaults {
			if len(e[key]) == 0 && d != "" {
				e[key] = []string{d}
			}
		}
	}
	login, err := loginName()
	if err != nil {
		return err
	}
	set("user", a.user, o.User, login)
	set("port", number(a.port), number(o.Port), strconv.Itoa(defaultPort))
	if e.one("proxycommand") == "" {
		set("proxyjump", "", o.Jump)
	}
	set("hostname", "", a.host)
	e["hostname"][0] = strings.NewReplacer("%%", "%", "%h", a.host).Replace(e["hostname"][0])
	set("userknownhostsfile", "", "~/.ssh/known_hosts ~/.ssh/known_hosts2")
	set("globalknownhostsfile", "", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")
	if len(e["identityfile"]) == 0 {
		e["identityfile"] = usualIdentities()
	}
	for key, values := range e {
		for i, v := range values {
			if key != "userknownhostsfile" && key != "globalknownhostsfile" {
				values[i] = unquote(v)
			}
		}
	}
	return nil
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
