package resource_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

// sshd refuses a configuration with a word that it does not know.
func sshd(_ context.Context, h *hosttest.Host, _ string, argv []string) (string, error) {
	if strings.Contains(h.Content(argv[len(argv)-1]), "nonsense") {
		return "", hosttest.Exit{Status: 255, Output: "Bad configuration option: nonsense\n"}
	}
	return "", nil
}

func TestFileThatFailsItsTest(t *testing.T) {
	ctx, h := t.Context(), hosttest.Debian(t)
	h.Handle("sshd", sshd)
	f := resource.File{
		Path: "/etc/ssh/sshd_config.d/00-a.conf", Mode: 0o600, Content: "nonsense\n", Test: []string{"sshd", "-t", "-f"},
	}
	h.Put(f.Path, "good\n")
	start := h.String()
	change, err := server.Check(ctx, h, f)
	if err != nil {
		t.Fatal(err)
	}
	_, err = server.Apply(ctx, h, f, change)
	if failed := (*resource.TestError)(nil); !errors.As(err, &failed) || !strings.Contains(err.Error(), "Bad configuration option") {
		t.Errorf("Apply: %v, want a *TestError with the words of sshd", err)
	}
	if got := h.String(); got != start {
		t.Errorf("the host has changed:\n%s", got)
	}
	// What was there before comes back, good or not.
	good := f
	good.Content = "better\n"
	h.Put(f.Path, "nonsense\n")
	if change, err = server.Check(ctx, h, good); err != nil {
		t.Fatal(err)
	}
	if change, err = server.Apply(ctx, h, good, change); err != nil {
		t.Fatal(err)
	}
	if err := server.Undo(ctx, h, good, change); err != nil || h.Content(f.Path) != "nonsense\n" {
		t.Errorf("Undo: %v, the file has %q", err, h.Content(f.Path))
	}
}

// A run that was killed may have left a draft: the next one takes it away,
// whichever way it goes.
func TestFileDraft(t *testing.T) {
	f := resource.File{
		Path: "/etc/ssh/sshd_config.d/00-a.conf", Mode: 0o600, Content: "new\n", Test: []string{"sshd", "-t", "-f"},
	}
	const draft = "/etc/ssh/sshd_config.d/.00-a.conf.holdfast-draft"
	for _, content := range []string{"old\n", "new\n"} {
		ctx, h := t.Context(), hosttest.Debian(t)
		var tested string
		h.Handle("sshd", func(_ context.Context, h *hosttest.Host, _ string, argv []string) (string, error) {
			tested = argv[len(argv)-1]
			if e, err := h.Read(ctx, tested); err != nil || e.Mode != 0o600 || e.Content != "new\n" {
				t.Errorf("the test was given %+v, %v", e, err)
			}
			return "", nil
		})
		h.PutEntry(f.Path, server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: content})
		h.Put(draft, "left over")
		change := server.Change{Resource: f.Name(), Before: server.State("0600 root:root\n\n" + content), After: f.Want()}
		if _, err := server.Apply(ctx, h, f, change); err != nil {
			t.Fatal(err)
		}
		if h.Exists(draft) || h.Content(f.Path) != "new\n" {
			t.Errorf("from %q: the host has\n%s", content, h)
		}
		if content == "old\n" && tested != draft {
			t.Errorf("tested %s, want %s", tested, draft)
		}
	}
}

func TestFileWhereADirectoryIs(t *testing.T) {
	h := hosttest.Debian(t)
	for _, r := range []server.Resource{resource.File{Path: "/etc/ssh"}, resource.Absent{Path: "/etc/ssh"}} {
		if _, err := server.Check(t.Context(), h, r); err == nil || !strings.Contains(err.Error(), "is a directory") {
			t.Errorf("%T: %v", r, err)
		}
	}
	if _, err := server.Check(t.Context(), h, resource.Dir{Path: "/etc/passwd"}); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("Dir: %v", err)
	}
}
