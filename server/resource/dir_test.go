package resource_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

func TestDir(t *testing.T) {
	const path = "/home/debian/.ssh"
	dir := resource.Dir{Path: path, Mode: 0o700, Owner: "debian", Group: "debian"}
	as := func(mode fs.FileMode, owner string) func(*hosttest.Host) {
		return entry(path, server.Entry{Mode: fs.ModeDir | mode, Owner: owner, Group: "debian"})
	}
	drift := as(0o777, "daemon")
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "missing", Resource: dir, Host: on(), Drift: drift},
		hosttest.Case{Name: "open", Resource: dir, Host: on(as(0o755, "debian"), put(path+"/config", "x")), Drift: drift},
		hosttest.Case{Name: "another's", Resource: dir, Host: on(as(0o700|fs.ModeSetgid, "root")), Drift: drift},
	)
}

func TestDirThatIsUsed(t *testing.T) {
	ctx, h := t.Context(), hosttest.Debian(t)
	dir := resource.Dir{Path: "/etc/a[b", Mode: 0o755}
	change, err := server.Check(ctx, h, dir)
	if err != nil {
		t.Fatal(err)
	}
	if change, err = server.Apply(ctx, h, dir, change); err != nil {
		t.Fatal(err)
	}
	h.Put("/etc/a[b/.mine", "x")
	err = server.Undo(ctx, h, dir, change)
	if err == nil || !strings.Contains(err.Error(), "not empty: it holds /etc/a[b/.mine") {
		t.Errorf("Undo: %v", err)
	}
	if !h.Exists("/etc/a[b/.mine") {
		t.Error("Undo removed what somebody else had put there")
	}
}
