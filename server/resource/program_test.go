package resource_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

func TestProgram(t *testing.T) {
	const path = "/usr/bin/sudo"
	binary := func(mode fs.FileMode, owner string) func(*hosttest.Host) {
		return entry(path, server.Entry{Mode: mode, Owner: owner, Group: "root", Content: "\x7fELF\xff", Xattrs: map[string]string{"user.a": "b"}})
	}
	sudo := resource.Program{Path: path, Mode: fs.ModeSetuid | 0o755}
	whole := func(t testing.TB, h *hosttest.Host) {
		if h.Content(path) != "\x7fELF\xff" {
			t.Error("the program was changed")
		}
	}
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "without its setuid bit", Resource: sudo, Host: on(binary(0o755, "root")), Drift: binary(0o700, "root"), Shows: whole},
		hosttest.Case{Name: "another's", Resource: sudo, Host: on(binary(fs.ModeSetuid|0o755, "debian")), Drift: binary(0o700, "root"), Shows: whole},
	)
	t.Run("not installed", func(t *testing.T) {
		h := hosttest.Debian(t)
		change, err := server.Check(t.Context(), h, sudo)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Apply(t.Context(), h, sudo, change); err == nil || !strings.Contains(err.Error(), "is not installed") {
			t.Errorf("Apply: %v", err)
		}
	})
	t.Run("a link", func(t *testing.T) {
		h := hosttest.Debian(t)
		h.PutEntry(path, server.Entry{Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: "/usr/lib/sudo"})
		if _, err := server.Check(t.Context(), h, sudo); err == nil {
			t.Error("a link was taken for a program")
		}
	})
}
