package hosttest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Program is what a [Host] runs for a command. argv is the command without a
// leading "env NAME=value …". It returns what it prints on standard output; an
// error that is an [Exit] becomes a [*server.CommandError].
type Program func(ctx context.Context, h *Host, stdin string, argv []string) (string, error)

// An Exit is how a [Program] fails.
type Exit struct {
	Status int
	// Output is what it printed on both streams.
	Output string
}

// Error gives the status and the output.
func (e Exit) Error() string { return fmt.Sprintf("exit status %d: %s", e.Status, e.Output) }

// A Host is a machine in memory, a [server.Host] and a [server.Rehearser]. It
// may be used by several goroutines at once.
type Host struct {
	t     testing.TB
	world bool // that is lent, so that managers must not be run

	mu       sync.Mutex
	entries  map[string]server.Entry
	programs map[string]Program
	packages map[string]string // dpkg's word by name
	lists    bool              // the package lists are there
	units    map[string]unit
	tables   map[string]string // nftables, by family and name
	booted   time.Time
	clock    time.Time
	closed   bool

	faults // shared by nobody: a World has none
}

// New returns a host with an empty directory /etc, the account root and the
// programs cat, echo, env, false, tee and true.
func New(t testing.TB) *Host {
	h := &Host{
		t: t, entries: map[string]server.Entry{"/": directoryEntry(0o755)}, programs: basics(),
		packages: map[string]string{}, units: map[string]unit{}, tables: map[string]string{}, lists: true,
		// Files are older than the test, so that daemons have read them.
		clock: time.Now().Add(-24 * time.Hour).Truncate(time.Second),
	}
	h.booted = h.clock.Add(-10 * 24 * time.Hour)
	h.Put("/proc/stat", fmt.Sprintf("cpu  1 2 3 4\nbtime %d\nprocesses 5\n", h.booted.Unix()))
	h.Put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
	h.Put("/etc/group", "root:x:0:\n")
	return h
}

func directoryEntry(mode fs.FileMode) server.Entry {
	return server.Entry{Mode: fs.ModeDir | mode, Owner: "root", Group: "root"}
}

// Handle adds a program, or replaces one. Worlds lent before do not get it.
func (h *Host) Handle(name string, p Program) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.programs[name] = p
}

// Put puts a file at path, 0644 and root's, with the directories above it. It
// is for preparing a host and does not count as a call.
func (h *Host) Put(path, content string) {
	h.PutEntry(path, server.Entry{Mode: 0o644, Owner: "root", Group: "root", Content: content})
}

// PutEntry is Put for an entry of any kind.
func (h *Host) PutEntry(name string, e server.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if _, found := h.entries[dir]; !found {
			h.touch(dir, directoryEntry(0o755))
		}
	}
	h.touch(name, e)
}

// Delete deletes path and all below it. It does not count as a call.
func (h *Host) Delete(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(name)
}

func (h *Host) drop(name string) {
	for p := range h.entries {
		if p == name || strings.HasPrefix(p, name+"/") {
			delete(h.entries, p)
		}
	}
	h.touchParent(name)
}

// Content returns the content of the file at path, empty if there is none. It
// does not count as a call.
func (h *Host) Content(path string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[path].Content
}

// Exists reports whether something is at path. It does not count as a call.
func (h *Host) Exists(path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, found := h.entries[path]
	return found
}

// now lets the clock go on by a second and returns its time.
func (h *Host) now() time.Time {
	h.clock = h.clock.Add(time.Second)
	return h.clock
}

func (h *Host) touch(name string, e server.Entry) {
	if _, found := h.entries[name]; !found {
		h.touchParent(name)
	}
	e.Changed = h.now()
	e.Xattrs = maps.Clone(e.Xattrs)
	h.entries[name] = e
}

func (h *Host) touchParent(name string) {
	if dir, found := h.entries[path.Dir(name)]; found {
		dir.Changed = h.now()
		h.entries[path.Dir(name)] = dir
	}
}

// real is where path leads when links are followed in all parts but the last.
func (h *Host) real(name string) string {
	dir, base := path.Split(path.Clean(name))
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		at = path.Join(at, part)
		for range 8 {
			e := h.entries[at]
			if e.Mode.Type() != fs.ModeSymlink {
				break
			}
			if path.IsAbs(e.Content) {
				at = e.Content
			} else {
				at = path.Join(path.Dir(at), e.Content)
			}
		}
	}
	return path.Join(at, base)
}

// usable returns why the host cannot be asked.
func (h *Host) usable(ctx context.Context) error {
	if h.closed {
		return errors.New("the World is closed")
	}
	return ctx.Err()
}

// Read implements [server.Reader].
func (h *Host) Read(ctx context.Context, name string) (server.Entry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.usable(ctx); err != nil {
		return server.Entry{}, err
	}
	if err := h.count(false); err != nil {
		return server.Entry{}, fmt.Errorf("read %s: %w", name, err)
	}
	e, found := h.entries[h.real(name)]
	if !found {
		return server.Entry{}, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	e.Xattrs = maps.Clone(e.Xattrs)
	return e, nil
}

// Glob implements [server.Reader].
func (h *Host) Glob(ctx context.Context, pattern string) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.usable(ctx); err != nil {
		return nil, err
	}
	if err := h.count(false); err != nil {
		return nil, fmt.Errorf("glob %s: %w", pattern, err)
	}
	var all []string
	for name := range h.entries {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Output implements [server.Reader].
func (h *Host) Output(ctx context.Context, argv ...string) (string, error) {
	return h.command(ctx, false, "", argv)
}

// Run implements [server.Host].
func (h *Host) Run(ctx context.Context, stdin string, argv ...string) error {
	_, err := h.command(ctx, true, stdin, argv)
	return err
}

func (h *Host) command(ctx context.Context, changes bool, stdin string, argv []string) (string, error) {
	h.mu.Lock()
	err := h.usable(ctx)
	if err == nil {
		err = h.count(changes)
	}
	inner := argv
	for len(inner) > 0 && (inner[0] == "env" || strings.Contains(inner[0], "=")) {
		inner = inner[1:]
	}
	var program Program
	if len(inner) > 0 {
		program = h.programs[path.Base(inner[0])]
	}
	h.mu.Unlock()
	switch {
	case errors.Is(err, errIgnored):
		return "", nil
	case err != nil && !errors.Is(err, errUnheard):
		return "", &server.CommandError{Argv: argv, Exit: -1, Err: err}
	case program == nil:
		if len(inner) == 0 || inner[0] != "no-such-program" {
			h.t.Errorf("the host in memory knows no program for %q", argv)
		}
		return "", &server.CommandError{Argv: argv, Exit: -1, Err: exec.ErrNotFound}
	}
	out, failed := program(ctx, h, stdin, inner)
	if err != nil {
		return "", &server.CommandError{Argv: argv, Exit: -1, Err: err}
	}
	if exit := (Exit{}); errors.As(failed, &exit) {
		return "", &server.CommandError{Argv: argv, Exit: exit.Status, Output: exit.Output}
	}
	if failed != nil {
		return "", &server.CommandError{Argv: argv, Exit: -1, Err: failed}
	}
	return out, nil
}

// Write implements [server.Host].
func (h *Host) Write(ctx context.Context, name string, e server.Entry) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.usable(ctx); err != nil {
		return err
	}
	return h.change("write "+name, func() error {
		name := h.real(name)
		old, found := h.entries[name]
		parent, up := h.entries[path.Dir(name)]
		switch {
		case !up || !parent.Mode.IsDir():
			return &fs.PathError{Op: "write", Path: name, Err: errors.New("the parent directory is not there")}
		case e.Mode.Type() != 0 && !e.Mode.IsDir() && e.Mode.Type() != fs.ModeSymlink:
			return &fs.PathError{Op: "write", Path: name, Err: fs.ErrInvalid}
		case found && old.Mode.IsDir() != e.Mode.IsDir():
			return &fs.PathError{Op: "write", Path: name, Err: errors.New("a directory and a file do not replace each other")}
		}
		h.touch(name, e)
		return nil
	})
}

// Remove implements [server.Host].
func (h *Host) Remove(ctx context.Context, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.usable(ctx); err != nil {
		return err
	}
	return h.change("remove "+name, func() error {
		name := h.real(name)
		for p := range h.entries {
			if path.Dir(p) == name && p != name {
				return &fs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
			}
		}
		if _, found := h.entries[name]; found {
			h.drop(name)
		}
		return nil
	})
}

// String prints the host: every entry, package and unit that is there, without
// times, without /proc and /run, which a boot would make anew, and without the
// passwords and homes in the vault, which stay for whoever may need them again.
func (h *Host) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h.entries)) {
		if strings.HasPrefix(name, "/run") || strings.HasPrefix(name, "/proc") ||
			strings.HasPrefix(name, server.StateDir+"/vault/password-") || strings.HasPrefix(name, server.StateDir+"/vault/factor-") || strings.HasPrefix(name, server.StateDir+"/vault/home-") {
			continue
		}
		e := h.entries[name]
		fmt.Fprintf(&b, "%v %s:%s %s\n", e.Mode, e.Owner, e.Group, name)
		for _, x := range slices.Sorted(maps.Keys(e.Xattrs)) {
			fmt.Fprintf(&b, "    @%s %s\n", x, base64.StdEncoding.EncodeToString([]byte(e.Xattrs[x])))
		}
		for line := range strings.Lines(e.Content) {
			fmt.Fprintf(&b, "    %q\n", line)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.packages)) {
		fmt.Fprintf(&b, "package %s %s\n", name, h.packages[name])
	}
	for _, name := range slices.Sorted(maps.Keys(h.units)) {
		u := h.units[name]
		fmt.Fprintf(&b, "unit %s %s %s\n", name, u.Boot, u.Now)
	}
	for _, name := range slices.Sorted(maps.Keys(h.tables)) {
		fmt.Fprintf(&b, "table %s %q\n", name, h.tables[name])
	}
	return b.String()
}

// Rehearse implements [server.Rehearser].
func (h *Host) Rehearse(ctx context.Context) (server.World, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.usable(ctx); err != nil {
		return nil, err
	}
	return &World{Host: h.copy(true)}, nil
}

// Copy returns a host of its own that is as h is now, without its faults.
func (h *Host) Copy() *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.copy(h.world)
}

func (h *Host) copy(world bool) *Host {
	c := &Host{
		t: h.t, world: world, entries: maps.Clone(h.entries), programs: maps.Clone(h.programs),
		packages: maps.Clone(h.packages), lists: h.lists, units: maps.Clone(h.units),
		tables: maps.Clone(h.tables), booted: h.booted, clock: h.clock,
	}
	for name, e := range c.entries {
		e.Xattrs = maps.Clone(e.Xattrs)
		c.entries[name] = e
	}
	return c
}

// A World is a copy of a [Host] in which managers must not be run.
type World struct{ *Host }

// Close implements [server.World].
func (w *World) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}
