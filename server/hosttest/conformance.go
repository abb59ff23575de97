package hosttest

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-security/holdfast/server"
)

// TestHost checks that the hosts that open returns keep what server.Host, and
// where they implement it server.Rehearser, promise. open is called once for
// every test; a host shows root as an account, and what it lends as a
// server.World is put through the same tests.
//
// The tests work in t.TempDir(), whose path they make on a host that does not
// have it. A host must know the programs true, false, echo, cat and tee as they
// are everywhere, and must not know one called no-such-program.
func TestHost(t *testing.T, open func(t *testing.T) server.Host) {
	tests := []struct {
		name string
		run  func(*testing.T, *subject)
	}{
		{"missing", testMissing},
		{"file", testFile},
		{"replaced file", testReplace},
		{"link", testLink},
		{"directory", testDirectory},
		{"kinds do not mix", testKinds},
		{"no parent", testNoParent},
		{"remove", testRemove},
		{"glob", testGlob},
		{"changed", testChanged},
		{"commands", testCommands},
		{"failing commands", testFailingCommands},
		{"cancelled", testCancelled},
		{"side by side", testSideBySide},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, newSubject(t, open(t))) })
	}
	if _, ok := open(t).(server.Rehearser); !ok {
		return
	}
	lend := func(t *testing.T, h server.Host) server.World {
		w, err := h.(server.Rehearser).Rehearse(t.Context())
		if err != nil {
			t.Fatalf("Rehearse: %v", err)
		}
		t.Cleanup(func() {
			if err := w.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return w
	}
	t.Run("world", func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) { tt.run(t, newSubject(t, lend(t, open(t)))) })
		}
	})
	t.Run("world apart", func(t *testing.T) {
		h := open(t)
		testWorld(t, h, func() server.World { return lend(t, h) })
	})
}

// A subject is a host under test with a directory to work in.
type subject struct {
	host server.Host
	dir  string
}

func newSubject(t *testing.T, h server.Host) *subject {
	t.Helper()
	s := &subject{host: h, dir: t.TempDir()}
	makeDirs(t, h, s.dir)
	return s
}

// makeDirs makes the directory and those above it where they are missing.
func makeDirs(t *testing.T, h server.Host, dir string) {
	t.Helper()
	_, err := h.Read(t.Context(), dir)
	if err == nil || dir == "/" {
		return
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	makeDirs(t, h, filepath.Dir(dir))
	if err := h.Write(t.Context(), dir, directory(0o755)); err != nil {
		t.Fatal(err)
	}
}

func (s *subject) path(name string) string { return filepath.Join(s.dir, name) }

func (s *subject) write(t *testing.T, name string, e server.Entry) {
	t.Helper()
	if err := s.host.Write(t.Context(), s.path(name), e); err != nil {
		t.Fatalf("Write %s: %v", name, err)
	}
}

// shows fails the test unless the host has e at name.
func (s *subject) shows(t *testing.T, name string, e server.Entry) {
	t.Helper()
	got, err := s.host.Read(t.Context(), s.path(name))
	if err != nil {
		t.Fatalf("Read %s: %v", name, err)
	}
	if !same(got, e) {
		t.Fatalf("%s is %+v, want %+v", name, got, e)
	}
}

// lacks fails the test unless the host says that there is nothing at name.
func (s *subject) lacks(t *testing.T, name string) {
	t.Helper()
	e, err := s.host.Read(t.Context(), s.path(name))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Read %s: %+v, %v; want an error that wraps fs.ErrNotExist", name, e, err)
	}
}

func same(a, b server.Entry) bool {
	return a.Mode == b.Mode && a.Owner == b.Owner && a.Group == b.Group && a.Content == b.Content &&
		maps.Equal(a.Xattrs, b.Xattrs)
}

func file(content string, mode fs.FileMode) server.Entry {
	return server.Entry{Mode: mode, Owner: "root", Group: "root", Content: content}
}

func directory(mode fs.FileMode) server.Entry {
	return server.Entry{Mode: fs.ModeDir | mode, Owner: "root", Group: "root"}
}

func link(target string) server.Entry {
	return server.Entry{Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: target}
}

func testMissing(t *testing.T, s *subject) {
	s.lacks(t, "nothing")
	s.lacks(t, "nowhere/nothing")
}

func testFile(t *testing.T, s *subject) {
	s.write(t, "empty", file("", 0o644))
	s.shows(t, "empty", file("", 0o644))
	bytes := file("line\nzero \x00 and \xff\xfe, no line break", 0)
	bytes.Mode = 0o751 | fs.ModeSetuid | fs.ModeSetgid
	bytes.Xattrs = map[string]string{"trusted.holdfast": "value \x00\xff"}
	s.write(t, "bytes", bytes)
	s.shows(t, "bytes", bytes)
	if bytes, err := s.host.Read(t.Context(), s.path("bytes")); err != nil || bytes.Xattrs == nil {
		t.Errorf("Xattrs %v, %v", bytes.Xattrs, err)
	}
	if empty, err := s.host.Read(t.Context(), s.path("empty")); err != nil || empty.Xattrs != nil {
		t.Errorf("Xattrs %v, %v; want nil", empty.Xattrs, err)
	}
	// Numbers where no name is known. Nobody has these.
	stray := file("x", 0o600)
	stray.Owner, stray.Group = "3012345", "3012346"
	s.write(t, "stray", stray)
	s.shows(t, "stray", stray)
}

func testReplace(t *testing.T, s *subject) {
	old := file("old", 0o666)
	old.Xattrs = map[string]string{"trusted.holdfast": "old"}
	s.write(t, "f", old)
	for range 2 { // writing what is there is fine
		s.write(t, "f", file("new", 0o400))
		s.shows(t, "f", file("new", 0o400))
	}
	if got, err := s.host.Glob(t.Context(), s.path("*")); err != nil || !slices.Equal(got, []string{s.path("f")}) {
		t.Errorf("beside the file there are %v, %v", got, err)
	}
}

func testLink(t *testing.T, s *subject) {
	s.write(t, "target", file("target", 0o600))
	s.write(t, "l", link(s.path("target")))
	s.shows(t, "l", link(s.path("target")))
	s.write(t, "l", link("dangling"))
	s.shows(t, "l", link("dangling"))

	s.write(t, "l", link("target"))
	s.write(t, "l", file("not a link", 0o644))
	s.shows(t, "l", file("not a link", 0o644))
	s.shows(t, "target", file("target", 0o600))
	s.write(t, "l", link("target"))
	s.shows(t, "l", link("target"))

	// Only the last part of a path is not followed.
	s.write(t, "d", directory(0o755))
	s.write(t, "to-d", link("d"))
	s.write(t, "to-d/f", file("through a link", 0o644))
	s.shows(t, "d/f", file("through a link", 0o644))
}

func testDirectory(t *testing.T, s *subject) {
	s.write(t, "d", directory(0o770))
	s.write(t, "d/f", file("inside", 0o600))
	again := directory(0)
	again.Mode = fs.ModeDir | fs.ModeSticky | 0o700
	again.Owner = "3012345"
	s.write(t, "d", again)
	s.shows(t, "d", again)
	s.shows(t, "d/f", file("inside", 0o600))
}

func testKinds(t *testing.T, s *subject) {
	s.write(t, "d", directory(0o755))
	s.write(t, "f", file("f", 0o644))
	s.write(t, "l", link("f"))
	for name, e := range map[string]server.Entry{"f": directory(0o755), "l": directory(0o755), "d": file("x", 0o644)} {
		if err := s.host.Write(t.Context(), s.path(name), e); err == nil {
			t.Errorf("%s became a %v", name, e.Mode)
		}
	}
	if err := s.host.Write(t.Context(), s.path("d"), link("f")); err == nil {
		t.Error("a directory became a link")
	}
	pipe := file("", fs.ModeNamedPipe|0o644)
	if err := s.host.Write(t.Context(), s.path("p"), pipe); err == nil {
		t.Error("a pipe was made")
	}
	s.shows(t, "d", directory(0o755))
	s.shows(t, "f", file("f", 0o644))
	s.shows(t, "l", link("f"))
	s.lacks(t, "p")
}

func testNoParent(t *testing.T, s *subject) {
	for _, e := range []server.Entry{file("x", 0o644), directory(0o755), link("x")} {
		if err := s.host.Write(t.Context(), s.path("nowhere/x"), e); err == nil {
			t.Errorf("%v was written into a directory that is not there", e.Mode)
		}
	}
	s.lacks(t, "nowhere")
}

func testRemove(t *testing.T, s *subject) {
	s.write(t, "f", file("f", 0o644))
	s.write(t, "l", link("f"))
	s.write(t, "d", directory(0o755))
	s.write(t, "full", directory(0o755))
	s.write(t, "full/f", file("x", 0o644))
	for _, name := range []string{"l", "d", "nothing", "nowhere/nothing", "l"} {
		if err := s.host.Remove(t.Context(), s.path(name)); err != nil {
			t.Errorf("Remove %s: %v", name, err)
		}
		s.lacks(t, name)
	}
	s.shows(t, "f", file("f", 0o644))
	if err := s.host.Remove(t.Context(), s.path("full")); err == nil {
		t.Error("a directory that is not empty was removed")
	}
	s.shows(t, "full/f", file("x", 0o644))
}

func testGlob(t *testing.T, s *subject) {
	for _, d := range []string{"b", "a", "empty"} {
		s.write(t, d, directory(0o755))
	}
	for _, f := range []string{"b/2.conf", "b/10.conf", "a/1.conf", "a/.hidden.conf", "a/1.text", "top.conf"} {
		s.write(t, f, file("", 0o644))
	}
	s.write(t, "a/dangling.conf", link("nowhere"))
	tests := []struct {
		pattern string
		want    []string
	}{
		{"*/*.conf", []string{"a/.hidden.conf", "a/1.conf", "a/dangling.conf", "b/10.conf", "b/2.conf"}},
		{"a/[0-9].*", []string{"a/1.conf", "a/1.text"}},
		{"?", []string{"a", "b"}},
		{"top.conf", []string{"top.conf"}},
		{"nowhere/*", nil},
		{"top.conf/*", nil},
		{"empty/*", nil},
		{"nothing", nil},
	}
	for _, tt := range tests {
		var want []string
		for _, name := range tt.want {
			want = append(want, s.path(name))
		}
		got, err := s.host.Glob(t.Context(), s.path(tt.pattern))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Glob %s: %v, %v; want %v", tt.pattern, got, err, want)
		}
	}
	if got, err := s.host.Glob(t.Context(), s.path("[a")); err == nil {
		t.Errorf("Glob of a broken pattern: %v", got)
	}
}

func testChanged(t *testing.T, s *subject) {
	when := func() int64 {
		e, err := s.host.Read(t.Context(), s.path("f"))
		if err != nil || e.Changed.IsZero() {
			t.Fatalf("Changed %v, %v", e.Changed, err)
		}
		return e.Changed.UnixNano()
	}
	s.write(t, "f", file("x", 0o644))
	first := when()
	if second := when(); second != first {
		t.Error("reading changed Changed")
	}
	s.write(t, "f", file("x", 0o600))
	if when() < first {
		t.Error("Changed went back")
	}
}

// canceled returns a context that has ended.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func testCancelled(t *testing.T, s *subject) {
	ctx, h := canceled(t), s.host
	s.write(t, "f", file("old", 0o644))
	_, output := h.Output(ctx, "true")
	_, read := h.Read(ctx, s.path("f"))
	_, glob := h.Glob(ctx, s.path("*"))
	for name, err := range map[string]error{
		"Output": output, "Read": read, "Glob": glob,
		"Run":    h.Run(ctx, "new", "tee", s.path("f")),
		"Write":  h.Write(ctx, s.path("f"), file("new", 0o644)),
		"Remove": h.Remove(ctx, s.path("f")),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want an error that wraps context.Canceled", name, err)
		}
	}
	s.shows(t, "f", file("old", 0o644))
}
