package hosttest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-security/holdfast/server"
)

func testCommands(t *testing.T, s *subject) {
	ctx, h := t.Context(), s.host
	s.write(t, "f", file("content\n", 0o644))
	tests := []struct {
		argv []string
		want string
	}{
		{[]string{"true"}, ""},
		{[]string{"cat"}, ""}, // standard input is empty
		{[]string{"cat", s.path("f")}, "content\n"},
		{[]string{"echo", "$HOME;  *", ">x", "'"}, "$HOME;  * >x '\n"}, // and no shell reads it
	}
	for _, tt := range tests {
		if got, err := h.Output(ctx, tt.argv...); err != nil || got != tt.want {
			t.Errorf("Output %q: %q, %v; want %q", tt.argv, got, err, tt.want)
		}
	}
	for range 2 {
		if err := h.Run(ctx, "standard input\n", "tee", s.path("new")); err != nil {
			t.Fatalf("Run: %v", err)
		}
	}
	s.shows(t, "new", file("standard input\n", 0o644))
	if err := h.Run(ctx, "nobody reads this", "true"); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func testFailingCommands(t *testing.T, s *subject) {
	outputs := func(argv ...string) error {
		got, err := s.host.Output(t.Context(), argv...)
		if got != "" {
			t.Errorf("Output %q: %q beside %v", argv, got, err)
		}
		return err
	}
	runs := func(argv ...string) error { return s.host.Run(t.Context(), "", argv...) }
	tests := []struct {
		argv []string
		exit int
		says string
	}{
		{[]string{"false"}, 1, ""},
		{[]string{"cat", s.path("nothing")}, 1, s.path("nothing")},
		{[]string{"no-such-program", "argument"}, -1, ""},
	}
	for _, tt := range tests {
		for _, err := range []error{outputs(tt.argv...), runs(tt.argv...)} {
			failed := (*server.CommandError)(nil)
			if !errors.As(err, &failed) {
				t.Errorf("%q: %v, want a *server.CommandError", tt.argv, err)
				continue
			}
			if !slices.Equal(failed.Argv, tt.argv) || failed.Exit != tt.exit || (failed.Err == nil) != (tt.exit >= 0) {
				t.Errorf("%q: %+v, want exit status %d", tt.argv, failed, tt.exit)
			}
			if !strings.Contains(failed.Output, tt.says) {
				t.Errorf("%q: the error has the output %q, want %q in it", tt.argv, failed.Output, tt.says)
			}
			if errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q: the error wraps fs.ErrNotExist, which speaks of files", tt.argv)
			}
		}
	}
}

func testSideBySide(t *testing.T, s *subject) {
	var contents []string
	for i := range 8 {
		contents = append(contents, strings.Repeat(fmt.Sprint(i), 10_000))
	}
	s.write(t, "f", file(contents[0], 0o644))
	var wg sync.WaitGroup
	for _, content := range contents {
		wg.Go(func() {
			if err := s.host.Write(t.Context(), s.path("f"), file(content, 0o644)); err != nil {
				t.Errorf("Write: %v", err)
			}
			e, err := s.host.Read(t.Context(), s.path("f"))
			if err != nil || !slices.Contains(contents, e.Content) {
				t.Errorf("Read: %d bytes, %v; want one of the contents as a whole", len(e.Content), err)
			}
		})
	}
	wg.Wait()
}

// testWorld checks that what is done in a World stays there.
func testWorld(t *testing.T, h server.Host, lend func() server.World) {
	ctx := t.Context()
	const dir, name = "/etc", "/etc/holdfast-conformance"
	one, two := lend(), lend()
	before, err := h.Glob(ctx, dir+"/*")
	if err != nil {
		t.Fatal(err)
	}
	inside, err := one.Glob(ctx, dir+"/*")
	if err != nil || !slices.Equal(before, inside) {
		t.Errorf("%s in the World: %v, %v; want %v", dir, inside, err, before)
	}
	for _, path := range before {
		want, err := h.Read(ctx, path)
		if err != nil {
			t.Errorf("Read: %v", err)
			continue
		}
		if got, err := one.Read(ctx, path); err != nil || !same(got, want) || !got.Changed.Equal(want.Changed) {
			t.Errorf("%s in the World: %+v, %v; want %+v", path, got, err, want)
		}
	}

	makeDirs(t, one, dir)
	if err := one.Write(ctx, name, file("one", 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := one.Run(ctx, "by a command", "tee", name+"-2"); err != nil {
		t.Fatal(err)
	}
	for _, path := range before {
		// Directories that are not empty stay.
		if e, err := h.Read(ctx, path); err == nil && !e.Mode.IsDir() {
			if err := one.Remove(ctx, path); err != nil {
				t.Errorf("Remove: %v", err)
			}
		}
	}
	for where, r := range map[string]server.Reader{"the host": h, "another World": two} {
		after, err := r.Glob(ctx, dir+"/*")
		if err != nil || !slices.Equal(before, after) {
			t.Errorf("%s shows %v, %v; want %v", where, after, err, before)
		}
	}
	for _, argv := range [][]string{
		{"systemctl", "reload", "ssh"}, {"apt-get", "install", "sudo"}, {"dpkg", "--configure", "-a"},
		{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "sudo"},
	} {
		if err := one.Run(ctx, "", argv...); err == nil {
			t.Errorf("%q was run in a World", argv)
		}
	}

	for range 2 {
		if err := one.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := one.Read(ctx, dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read after Close: %v, want an error that says nothing about the file", err)
	}
	if err := one.Run(ctx, "", "true"); err == nil {
		t.Error("Run after Close succeeded")
	}
	if _, err := two.Read(ctx, name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the other World after Close: %v", err)
	}
}
