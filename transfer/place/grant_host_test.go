package place

import (
	"strings"
	"testing"
)

// Whatever is in the way, the keys that let people in stay as they are.
func TestGrantInTheWay(t *testing.T) {
	h := host(t, "h1")
	sh := loginAs(t, h, "deploy")
	for _, c := range []struct{ name, set, undo, want string }{
		{"a file of root's", "chown root: authorized_keys", "chown deploy: authorized_keys", "not the user's"},
		{"a file of root's behind a link", "mv authorized_keys /etc/deploy.keys; ln -s /etc/deploy.keys authorized_keys; chown root: /etc/deploy.keys",
			"rm authorized_keys; chown deploy: /etc/deploy.keys; mv /etc/deploy.keys authorized_keys", "not the user's"},
		{"a file in a folder of root's behind a link", "mv authorized_keys /etc/deploy.keys; ln -s /etc/deploy.keys authorized_keys",
			"rm authorized_keys; mv /etc/deploy.keys authorized_keys", "cannot write beside"},
		{"a write protected file", "chmod 400 authorized_keys", "chmod 600 authorized_keys", "not the user's"},
		{"a folder of root's", "chown root: . && chmod 755 .", "chown deploy: . && chmod 700 .", "cannot be written"},
		{"a file for two names", "ln authorized_keys other", "rm other", ""},
		{"a full disk", "cp -a authorized_keys /tmp/keys && mount -t tmpfs -o size=4k,uid=1500,mode=700 none . && cp -a /tmp/keys ~deploy/.ssh/authorized_keys",
			"umount . && rm /tmp/keys", "cannot"},
	} {
		before := shell(t, h, "cd ~deploy/.ssh && "+c.set+"; cat ~deploy/.ssh/authorized_keys; stat -L -c '%U %a' ~deploy/.ssh/authorized_keys")
		err := Admit(t.Context(), sh, grantOf(t, "run1"))
		if c.want == "" {
			must(t, err)
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		_ = Revoke(t.Context(), sh, "run1") // it may be refused as well
		after := shell(t, h, "cat ~deploy/.ssh/authorized_keys; stat -L -c '%U %a' ~deploy/.ssh/authorized_keys; cd ~deploy/.ssh; ls -A | grep ship; true")
		if after != before {
			t.Errorf("%s: before\n%safterwards\n%s", c.name, before, after)
		}
		shell(t, h, "cd ~deploy/.ssh && "+strings.ReplaceAll(c.undo, "umount .", "cd / && umount ~deploy/.ssh"))
	}
}
