package lab_test

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// testPackages installs and purges a package, and sees both in the tree.
func testPackages(t *testing.T, s *lab.Server) {
	ctx := t.Context()
	before := snapshot(t, s)
	if _, err := s.Exec(ctx, nil, "apt-get", "install", "-qy", "tree"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exec(ctx, nil, "tree", "--version"); err != nil {
		t.Fatal(err)
	}
	diff := strings.Join(before.Diff(snapshot(t, s)), "\n")
	if !strings.Contains(diff, "/usr/bin/tree: added, -rwxr-xr-x 0:0 ") {
		t.Errorf("the tree does not show the package:\n%s", diff)
	}
	if _, err := s.Exec(ctx, nil, "apt-get", "purge", "-qy", "tree"); err != nil {
		t.Fatal(err)
	}
	after := snapshot(t, s)
	if diff := before.Diff(after); len(diff) > 0 || before.Hash() != after.Hash() {
		t.Errorf("after purging:\n%s", strings.Join(diff, "\n"))
	}
}

func snapshot(t *testing.T, s *lab.Server) lab.Tree {
	t.Helper()
	begin := time.Now()
	tree, err := lab.TreeSnapshot(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tree of %d paths in %v", len(tree), time.Since(begin))
	return tree
}

// Each thing that makes two trees different is seen, and nothing excluded is.
func TestTree(t *testing.T) {
	s := labtest.Server(t, lab.DefaultSuite)
	base := snapshot(t, s)
	for _, c := range []struct{ change, undo, want string }{
		{"touch /etc/x", "rm /etc/x", "/etc/x: added"},
		{"chmod 600 /etc/hosts", "chmod 644 /etc/hosts", "/etc/hosts: now -rw-------"},
		{"chown 7 /etc/hosts", "chown 0 /etc/hosts", "/etc/hosts: now -rw-r--r-- 7:0"},
		{"chgrp 7 /opt", "chgrp 0 /opt", "/opt: now drwxr-xr-x 0:7"},
		{"setcap cap_net_raw+ep /etc/hosts", "setcap -r /etc/hosts", "security.capability="},
		{"mv /etc/hosts /etc/h", "mv /etc/h /etc/hosts", "/etc/hosts: gone"},
		{"ln -s /etc/shadow /home/l", "rm /home/l", "/home/l: added, Lrwxrwxrwx 0:0 /etc/shadow"},
		{"mkfifo /root/f", "rm /root/f", "/root/f: added, prw"},
		{"mknod /root/d c 1 3", "rm /root/d", "/root/d: added, Dcrw-r--r-- 0:0 259"},
		{"cp -a /etc/hosts /etc/h && echo >>/etc/hosts", "mv /etc/h /etc/hosts", "/etc/hosts: now"},
		{"cp -a /etc/issue /etc/h && printf X | dd of=/etc/issue conv=notrunc status=none && touch -r /etc/h /etc/issue", "mv /etc/h /etc/issue", "/etc/issue: now"},
		{"mkdir /var/lib/holdfast && touch /etc/.pwd.lock /var/lib/apt/x", "true", ""},
	} {
		inside(t, s, c.change)
		diff := strings.Join(base.Diff(snapshot(t, s)), "\n")
		if !strings.Contains(diff, c.want) || (c.want == "") != (diff == "") {
			t.Errorf("%s:\n%s\nwant %q", c.change, diff, c.want)
		}
		inside(t, s, c.undo)
	}
	if now := snapshot(t, s); now.Hash() != base.Hash() {
		t.Errorf("after undoing all:\n%s", strings.Join(base.Diff(now), "\n"))
	}
}

// inside runs a shell line in the server.
func inside(t *testing.T, s *lab.Server, line string) {
	t.Helper()
	if _, err := s.Exec(t.Context(), nil, "sh", "-c", line); err != nil {
		t.Fatal(err)
	}
}
