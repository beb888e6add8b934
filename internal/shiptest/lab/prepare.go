//go:build linux

package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// user is a login of every host. The numbers are above those a Debian package takes.
type user struct {
	name   string
	id     int
	docker bool
}

const dockerGroup = 1600

func users() []user {
	return []user{{"deploy", 1500, true}, {"sudoer", 1501, false}, {"nobody2", 1502, false}}
}

const sshdConfig = `Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PidFile /run/sshd.pid
Subsystem sftp internal-sftp
`

// prepare makes the host's disk as its first boot will find it.
func (h *Host) prepare(ctx context.Context) error {
	for _, d := range []string{"root", "data/work", "data/docker", "data/containerd", "data/tmp"} {
		if err := os.MkdirAll(h.path(d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(h.path("data/tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	if err := errors.Join(h.writeSystem(), h.writeUsers(), h.writeHostKeys(), h.writeSpec()); err != nil {
		return fmt.Errorf("prepare %s: %w", h.Name, err)
	}
	if h.Options.Disk == "" {
		return nil
	}
	return h.makeDisk(ctx)
}

// makeDisk moves the prepared files to a disk image of the size asked for.
func (h *Host) makeDisk(ctx context.Context) error {
	size, err := ParseSize(h.Options.Disk)
	if err != nil {
		return err
	}
	image := h.path("disk.img")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		return err
	}
	if _, err := run(ctx, "", "mkfs.ext4", "-q", "-F", "-m", "0", "-d", h.path("data"), image); err != nil {
		return err
	}
	return emptyDir(h.path("data"))
}

func (h *Host) upper(elem ...string) string {
	return h.path(append([]string{"data", "upper"}, elem...)...)
}

// write makes a file of the host's root file system and the folders above it.
func (h *Host) write(name, content string, mode os.FileMode) error {
	path := h.upper(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask
}

func (h *Host) writeSystem() error {
	hosts := "127.0.0.1 localhost\n"
	for _, o := range h.lab.Hosts {
		hosts += o.Addr.String() + " " + o.Name + "\n"
	}
	hosts += nth(h.lab.Subnet, 1).String() + " " + Controller + "\n"
	daemon := fmt.Sprintf("{\"features\": {\"containerd-snapshotter\": %t}}\n", h.Options.ContainerdStore)
	return errors.Join(
		h.write("etc/hostname", h.Name+"\n", 0o644),
		h.write("etc/hosts", hosts, 0o644),
		h.write("etc/resolv.conf", "# a lab knows only the names in /etc/hosts\n", 0o644),
		h.write("etc/ssh/sshd_config", sshdConfig, 0o644),
		h.write("etc/docker/daemon.json", daemon, 0o644),
		h.write("etc/sudoers.d/ship-lab", "sudoer ALL=(ALL) NOPASSWD: ALL\n", 0o440),
	)
}

// writeUsers takes the engine's accounts and adds those of the lab.
func (h *Host) writeUsers() error {
	var passwd, shadow, group, members string
	for _, u := range users() {
		passwd += fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/bash\n", u.name, u.id, u.id, u.name)
		shadow += u.name + ":*:19000:0:99999:7:::\n"
		group += fmt.Sprintf("%s:x:%d:\n", u.name, u.id)
		if u.docker {
			members = strings.TrimPrefix(members+","+u.name, ",")
		}
	}
	group += fmt.Sprintf("docker:x:%d:%s\n", dockerGroup, members)
	for _, f := range []struct {
		name, lines string
		mode        os.FileMode
	}{{"etc/passwd", passwd, 0o644}, {"etc/shadow", shadow, 0o640}, {"etc/group", group, 0o644}} {
		old, err := os.ReadFile(filepath.Join(h.engine, f.name))
		if err != nil {
			return err
		}
		if err := h.write(f.name, withoutGroup(string(old), "docker")+f.lines, f.mode); err != nil {
			return err
		}
	}
	return h.writeHomes()
}

// withoutGroup drops the line of a name from a file like /etc/group.
func withoutGroup(file, name string) string {
	var kept strings.Builder
	for line := range strings.Lines(file) {
		if !strings.HasPrefix(line, name+":") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func (h *Host) writeHomes() error {
	key, err := os.ReadFile(h.lab.IdentityFile() + ".pub")
	if err != nil {
		return err
	}
	homes := map[string]int{"root": 0}
	for _, u := range users() {
		homes["home/"+u.name] = u.id
	}
	for home, id := range homes {
		if err := h.write(home+"/.ssh/authorized_keys", string(key), 0o600); err != nil {
			return err
		}
		for _, p := range []string{home, home + "/.ssh"} {
			if err := errors.Join(os.Chmod(h.upper(p), 0o700), os.Chown(h.upper(p), id, id)); err != nil {
				return err
			}
		}
		if err := os.Chown(h.upper(home, ".ssh/authorized_keys"), id, id); err != nil {
			return err
		}
	}
	return nil
}

// writeHostKeys makes two host keys, as real hosts have, while known_hosts has one of them: a client that does not
// ask for the known algorithm gets the other key and takes it for a forgery.
func (h *Host) writeHostKeys() error {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	for name, key := range map[string]any{"ed25519": ed, "ecdsa": ec} {
		private, public, err := encodeKey(key, h.Name)
		if err != nil {
			return err
		}
		file := "etc/ssh/ssh_host_" + name + "_key"
		if err := errors.Join(h.write(file, private, 0o600), h.write(file+".pub", public, 0o644)); err != nil {
			return err
		}
		if name == "ed25519" {
			if err := os.WriteFile(h.path("host_key.pub"), []byte(public), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// encodeKey returns a private key as OpenSSH keeps it and the line of its public half.
func encodeKey(key any, comment string) (private, public string, err error) {
	block, err := ssh.MarshalPrivateKey(key, comment)
	if err != nil {
		return "", "", err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return "", "", err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return string(pem.EncodeToMemory(block)), line + " " + comment + "\n", nil
}

func (h *Host) writeSpec() error {
	b, err := json.Marshal(spec{Name: h.Name, CIDR: h.Addr.String() + "/24", Engine: h.engine, Keep: h.lab.keep, Disk: h.Options.Disk != ""})
	if err != nil {
		return err
	}
	return os.WriteFile(h.path(specFile), b, 0o644)
}
