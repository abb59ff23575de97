//go:build linux

package machine_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/machine"
)

func plain(content string) server.Entry {
	return server.Entry{Mode: 0o644, Owner: "root", Group: "root", Content: content}
}

func TestDraftsAreSweptAndNeverShown(t *testing.T) {
	needRoot(t)
	m, dir := machine.New(), t.TempDir()
	path := filepath.Join(dir, "a.conf")
	drafts := []string{".a.conf.123.tmp", ".a.conf.4294967295.tmp"}
	foreign := []string{".a.conf.tmp", ".b.conf.123.tmp", ".a.conf.12x.tmp", ".a.conf.123"}
	for _, name := range append(drafts, foreign...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := m.Glob(t.Context(), dir+"/.a.conf.123*"); err != nil || len(got) != 1 {
		t.Errorf("Glob shows %v, %v", got, err)
	}
	steps := []func() error{
		func() error { return m.Write(t.Context(), path, plain("x")) },
		func() error { return m.Remove(t.Context(), path) },
	}
	for _, step := range steps {
		if err := os.WriteFile(filepath.Join(dir, drafts[0]), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := step(); err != nil {
			t.Fatal(err)
		}
		for _, name := range drafts {
			if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is still there: %v", name, err)
			}
		}
	}
	for _, name := range foreign {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestInheritedACL writes where a default access control list would give every
// new file another one.
func TestInheritedACL(t *testing.T) {
	needRoot(t)
	m, dir := machine.New(), t.TempDir()
	// Version 2; owner rwx, user 3012345 rwx, group rx, mask rwx, others nothing,
	// as linux/posix_acl_xattr.h has it.
	acl := "\x02\x00\x00\x00" +
		"\x01\x00\x07\x00\xff\xff\xff\xff" +
		"\x02\x00\x07\x00\xf9\xf6\x2d\x00" +
		"\x04\x00\x05\x00\xff\xff\xff\xff" +
		"\x10\x00\x07\x00\xff\xff\xff\xff" +
		"\x20\x00\x00\x00\xff\xff\xff\xff"
	if err := unix.Setxattr(dir, "system.posix_acl_default", []byte(acl), 0); err != nil {
		t.Fatal(err)
	}
	entries := map[string]server.Entry{
		"file":      plain("x"),
		"directory": {Mode: fs.ModeDir | 0o750, Owner: "root", Group: "root"},
	}
	withACL := plain("y")
	withACL.Mode = 0o770
	withACL.Xattrs = map[string]string{"system.posix_acl_access": acl}
	entries["with one"] = withACL
	for name, want := range entries {
		path := filepath.Join(dir, name)
		if err := m.Write(t.Context(), path, want); err != nil {
			t.Fatal(err)
		}
		got, err := m.Read(t.Context(), path)
		if err != nil || got.Mode != want.Mode || len(got.Xattrs) != len(want.Xattrs) ||
			got.Xattrs["system.posix_acl_access"] != want.Xattrs["system.posix_acl_access"] {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestCapabilitySurvives(t *testing.T) {
	needRoot(t)
	m, path := machine.New(), filepath.Join(t.TempDir(), "f")
	want := plain("#!/bin/true\n")
	want.Mode, want.Owner = 0o755, "1"
	// Revision 2, effective, CAP_NET_BIND_SERVICE.
	want.Xattrs = map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x04" + strings.Repeat("\x00", 14)}
	if err := m.Write(t.Context(), path, want); err != nil {
		t.Fatal(err)
	}
	got, err := m.Read(t.Context(), path)
	if err != nil || got.Xattrs["security.capability"] != want.Xattrs["security.capability"] {
		t.Errorf("%q, %v", got.Xattrs, err)
	}
	if got.Owner != "daemon" {
		t.Errorf("the owner is %s, want the name of account 1", got.Owner)
	}
}

func TestWhatCannotBeWrittenOrRead(t *testing.T) {
	needRoot(t)
	m, dir := machine.New(), t.TempDir()
	stranger := plain("x")
	stranger.Owner = "nobody-has-this-name"
	label := plain("x")
	label.Xattrs = map[string]string{"security.selinux": "x"}
	large := plain(strings.Repeat("x", machine.MaxFile+1))
	for name, e := range map[string]server.Entry{"stranger": stranger, "label": label, "large": large} {
		if err := m.Write(t.Context(), filepath.Join(dir, name), e); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	for _, path := range []string{"relative", "", dir + "/../x", dir + "/"} {
		if err := m.Write(t.Context(), path, plain("x")); err == nil {
			t.Errorf("%q was written", path)
		}
		if err := m.Remove(t.Context(), path); err == nil {
			t.Errorf("%q was removed", path)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	path := filepath.Join(dir, "large")
	if err := os.WriteFile(path, []byte(large.Content), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Read(t.Context(), path); !errors.Is(err, machine.ErrTooLarge) {
		t.Errorf("Read: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := m.Read(t.Context(), pipe); err == nil {
		t.Errorf("a pipe was read as %+v", e)
	}
	if err := m.Write(t.Context(), pipe, plain("x")); err == nil {
		t.Error("a pipe was replaced")
	}
	if e, err := m.Read(t.Context(), "/proc/self/mountinfo"); err != nil || e.Content == "" {
		t.Errorf("a file without a size: %q, %v", e.Content, err)
	}
}

// TestNamesFollowTheView changes the account database in a World.
func TestNamesFollowTheView(t *testing.T) {
	needRoot(t)
	w := enter(t, machine.Options{})
	owned := plain("x")
	owned.Owner = "3012347"
	if err := w.Write(t.Context(), "/etc/hf-names", owned); err != nil {
		t.Fatal(err)
	}
	owner := func() string {
		e, err := w.Read(t.Context(), "/etc/hf-names")
		if err != nil {
			t.Fatal(err)
		}
		return e.Owner
	}
	if got := owner(); got != "3012347" {
		t.Errorf("the owner is %s", got)
	}
	script(t, w, "", "useradd --uid 3012347 hfnames")
	if got := owner(); got != "hfnames" {
		t.Errorf("the owner is %s after the account was made", got)
	}
	script(t, w, "", "usermod --login hfnemas hfnames")
	if got := owner(); got != "hfnemas" {
		t.Errorf("the owner is %s after the account was renamed", got)
	}
}
