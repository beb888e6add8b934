//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tools are what the lab runs on the machine, by the Debian package that has them.
func tools() map[string][]string {
	return map[string][]string{
		"iproute2": {"ip", "tc"}, "nftables": {"nft"}, "iptables": {"iptables"}, "procps": {"ps"},
		"openssh-client": {"ssh"}, "openssh-server": {"sshd"}, "debootstrap": {"debootstrap"},
		"util-linux": {"nsenter", "mount"}, "e2fsprogs": {"mkfs.ext4"},
	}
}

// Install installs by apt those tools that the machine lacks. With all there it costs nothing.
func Install(ctx context.Context, log io.Writer) error {
	var missing []string
	for pkg, names := range tools() {
		for _, name := range names {
			if !executable(tool(name)) {
				missing = append(missing, pkg)
				break
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	unlock, err := lock(ctx, "/run/ship-lab-apt.lock") // not the labs' lock: apt may take minutes
	if err != nil {
		return err
	}
	defer unlock()
	fmt.Fprintf(log, "installing %s\n", strings.Join(missing, " "))
	install := append([]string{"install", "-y", "-q", "--no-install-recommends"}, missing...)
	if apt(ctx, install) == nil {
		return nil
	}
	if err := apt(ctx, []string{"update", "-q"}); err != nil { // lists that are old or not there
		return err
	}
	return apt(ctx, install)
}

func apt(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the lab needs tools of Debian: apt-get %s: %w: %s", strings.Join(args, " "), err, tail(out, 800))
	}
	return nil
}

// plainDisk refuses a folder in which no host could run: an overlay cannot have its upper layer there.
func plainDisk(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if st.Type == unix.OVERLAYFS_SUPER_MAGIC || st.Type == unix.TMPFS_MAGIC {
		return fmt.Errorf("lab: %s lies on overlayfs or tmpfs; set SHIPLAB_DIR to a folder on a disk", filepath.Clean(dir))
	}
	return nil
}
