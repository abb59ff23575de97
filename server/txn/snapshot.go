package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-security/holdfast/server"
)

// loginPath returns patterns of every file that decides who can log in and
// become root, and of the copies that account tools keep beside theirs.
func loginPath() []string {
	return []string{
		"/etc/ssh", "/etc/ssh/*", "/etc/ssh/*/*", "/etc/default/ssh",
		"/etc/pam.conf", "/etc/pam.d", "/etc/pam.d/*",
		"/etc/security", "/etc/security/*", "/etc/security/*/*",
		"/etc/sudoers", "/etc/sudoers.d", "/etc/sudoers.d/*", "/etc/sudoers-rs",
		"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid",
		"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-",
		"/etc/.pwd.lock", "/etc/login.defs", "/etc/nsswitch.conf", "/etc/shells", "/etc/securetty",
		"/etc/hosts.allow", "/etc/hosts.deny", "/etc/nologin", "/etc/environment",
		"/etc/nftables*", "/etc/nftables.d/*", "/etc/holdfast", "/etc/holdfast/*",
		"/etc/systemd/system/ssh*", "/etc/systemd/system/ssh*/*", "/etc/systemd/system/nftables*",
		"/etc/systemd/system/nftables*/*", "/etc/systemd/system/*.wants/ssh*", "/etc/systemd/system/*.wants/nftables*",
		"/etc/systemd/system/holdfast-firewall*", "/etc/systemd/system/*.wants/holdfast-firewall*",
		"/root/.ssh", "/root/.ssh/authorized_keys*", "/home/*/.ssh", "/home/*/.ssh/authorized_keys*",
	}
}

// A snapshot is what a rollback puts back. What matches one of its patterns and
// is not among its entries was not there.
type snapshot struct {
	Format   int               `json:"format"`
	Patterns []string          `json:"patterns"`
	Entries  map[string]*saved `json:"entries"`
	// Units are the states of the units that log people in.
	Units map[string]string `json:"units,omitempty"`
	// Ways are the ways in that work, and Door what a last resort has to know of
	// them.
	Ways []string `json:"ways,omitempty"`
	Door string   `json:"door,omitempty"`
	// Packages are the installed packages and their versions, for a person.
	Packages string `json:"packages,omitempty"`

	// more are entries saved later, nil for what was not there.
	more map[string]*saved
}

// covers reports whether the snapshot knows what was at a path.
func (s *snapshot) covers(p string) bool {
	if _, ok := s.more[p]; ok {
		return true
	}
	if _, ok := s.Entries[p]; ok {
		return true
	}
	return s.watches(p)
}

// watches reports whether a path belongs to the login path.
func (s *snapshot) watches(p string) bool {
	return slices.ContainsFunc(s.Patterns, func(pattern string) bool {
		ok, _ := path.Match(pattern, p)
		return ok
	})
}

// was returns what was at a path, nil if nothing.
func (s *snapshot) was(p string) *saved {
	if e, ok := s.Entries[p]; ok {
		return e
	}
	return s.more[p]
}

// size is about how many bytes of disk its content takes.
func (s *snapshot) size() int64 {
	var n int64
	for _, e := range s.Entries {
		n += int64(len(e.Content)) + 4096
	}
	return n
}

// scan reads everything that matches the patterns.
func scan(ctx context.Context, r server.Reader, patterns []string) (map[string]*saved, error) {
	found := map[string]*saved{}
	for _, pattern := range patterns {
		paths, err := r.Glob(ctx, pattern)
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", pattern, err)
		}
		for _, p := range paths {
			if _, ok := found[p]; ok {
				continue
			}
			e, err := look(ctx, r, p)
			if err != nil {
				return nil, err
			}
			// A pipe, a socket or a device cannot be put back, and none of them
			// decides about logins.
			if e != nil && e.Mode&fs.ModeType&^(fs.ModeDir|fs.ModeSymlink) == 0 {
				found[p] = e
			}
		}
	}
	return found, nil
}

// takeSnapshot reads the login path and the units of login.
func (j *Journal) takeSnapshot(ctx context.Context) (*snapshot, error) {
	s := &snapshot{Format: format, Patterns: loginPath(), more: map[string]*saved{}}
	var err error
	if s.Entries, err = scan(ctx, j.host, s.Patterns); err != nil {
		return nil, fmt.Errorf("taking the snapshot: %w", err)
	}
	if j.c.Door != nil {
		// If nobody is known to get in now, nobody can lose it.
		if s.Ways, err = j.c.Door.Ways(ctx, j.host); err == nil {
			s.Door, err = j.c.Door.Config(ctx, j.host)
		}
		if err != nil {
			j.c.Log.Warn("the ways in are not known", "err", err)
			s.Ways = nil
		}
	}
	if len(j.c.Units) == 0 {
		return s, nil
	}
	s.Units = map[string]string{}
	for _, u := range j.c.Units {
		if s.Units[u], err = unitState(ctx, j.host, u); err != nil {
			return nil, fmt.Errorf("taking the snapshot: %w", err)
		}
	}
	s.Packages, err = j.host.Output(ctx, "dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package} ${Version}\n")
	if err != nil {
		return nil, fmt.Errorf("taking the snapshot: %w", err)
	}
	return s, nil
}

func unitState(ctx context.Context, r server.Reader, unit string) (string, error) {
	out, err := r.Output(ctx, "systemctl", "show", "-p", "LoadState", "-p", "ActiveState", "-p", "UnitFileState", unit)
	if err != nil {
		return "", err
	}
	lines := strings.Fields(out)
	slices.Sort(lines)
	return strings.Join(lines, " "), nil
}

// loadSnapshot reads what takeSnapshot and saveMore have stored.
func (j *Journal) loadSnapshot(id string) (*snapshot, error) {
	s := &snapshot{}
	if err := j.disk.get(j.path(id, "snapshot.json"), s); err != nil {
		return nil, err
	}
	var err error
	s.more, err = j.loadMore(id)
	return s, err
}

// inOrder sorts paths so that each can be put back: what was there, directories
// before their content, then what was not there, content before directories.
func (s *snapshot) inOrder(paths []string) []string {
	var back, away []string
	for _, p := range slices.Sorted(slices.Values(paths)) {
		if s.was(p) == nil {
			away = append(away, p)
		} else {
			back = append(back, p)
		}
	}
	slices.Reverse(away)
	return slices.Concat(back, away)
}

// putBack makes what is at p what it was, if it is not that already. What was
// not there is removed in any case, because that also removes the draft that a
// write may have left that was cut off.
func (s *snapshot) putBack(ctx context.Context, h server.Host, p string) error {
	want := s.was(p)
	now, err := look(ctx, h, p)
	if err != nil {
		return err
	}
	if want == nil {
		return h.Remove(ctx, p)
	}
	if now.digest() == want.digest() {
		return nil
	}
	if err := s.restoreParents(ctx, h, p); err != nil {
		return err
	}
	if now != nil && now.Mode.Type() != want.Mode.Type() {
		if err := h.Remove(ctx, p); err != nil {
			return err
		}
	}
	return h.Write(ctx, p, want.entry())
}

// restoreParents makes sure that the directory of p is there.
func (s *snapshot) restoreParents(ctx context.Context, h server.Host, p string) error {
	dir := path.Dir(p)
	_, err := h.Read(ctx, dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == "/" {
		return err
	}
	if err := s.restoreParents(ctx, h, dir); err != nil {
		return err
	}
	e := s.was(dir)
	if e == nil {
		e = &saved{Mode: fs.ModeDir | 0o755, Owner: "root", Group: "root"}
	}
	return h.Write(ctx, dir, e.entry())
}

// rehearse puts the whole snapshot back into a scratch directory with the calls
// that a rollback uses, compares it byte by byte, owner, mode and attributes
// included, and removes it again.
func rehearse(ctx context.Context, h server.Host, s *snapshot, scratch string) (err error) {
	var made made
	defer func() { err = errors.Join(err, made.remove(context.WithoutCancel(ctx), h)) }()
	var files, dirs []string
	for p, e := range s.Entries {
		if e.Mode.IsDir() {
			dirs = append(dirs, p)
		} else {
			files = append(files, p)
		}
	}
	slices.Sort(dirs)
	for _, p := range slices.Concat(dirs, files) {
		if err := made.parents(ctx, h, scratch+p); err != nil {
			return fmt.Errorf("rehearsing the rollback: %w", err)
		}
	}
	for _, p := range dirs {
		if err := made.put(ctx, h, scratch, p, s.Entries[p]); err != nil {
			return fmt.Errorf("rehearsing the rollback: %w", err)
		}
	}
	err = atOnce(files, func(p string) error { return made.put(ctx, h, scratch, p, s.Entries[p]) })
	if err != nil {
		return fmt.Errorf("rehearsing the rollback: %w", err)
	}
	return nil
}

// atOnce does the same to many files. Each write waits for the disk, and a disk
// makes many of them durable at once.
func atOnce(paths []string, do func(p string) error) error {
	var g errgroup.Group
	g.SetLimit(32)
	for _, p := range paths {
		g.Go(func() error { return do(p) })
	}
	return g.Wait()
}

// made remembers what a rehearsal has made, so that exactly that is removed.
type made struct {
	mu    sync.Mutex
	dirs  map[string]bool
	files []string
}

func (m *made) add(p string, mode fs.FileMode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !mode.IsDir() {
		m.files = append(m.files, p)
		return
	}
	if m.dirs == nil {
		m.dirs = map[string]bool{}
	}
	m.dirs[p] = true
}

func (m *made) parents(ctx context.Context, h server.Host, p string) error {
	dir := path.Dir(p)
	if m.dirs[dir] || dir == "/" {
		return nil
	}
	_, err := h.Read(ctx, dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := m.parents(ctx, h, dir); err != nil {
		return err
	}
	m.add(dir, fs.ModeDir)
	return h.Write(ctx, dir, server.Entry{Mode: fs.ModeDir | 0o700, Owner: "root", Group: "root"})
}

func (m *made) put(ctx context.Context, h server.Host, scratch, p string, e *saved) error {
	m.add(scratch+p, e.Mode)
	if err := h.Write(ctx, scratch+p, e.entry()); err != nil {
		return err
	}
	back, err := look(ctx, h, scratch+p)
	if err != nil {
		return err
	}
	if back.digest() != e.digest() {
		return fmt.Errorf("%s does not come back as it was", p)
	}
	return nil
}

// remove takes away what was made, children first.
func (m *made) remove(ctx context.Context, h server.Host) error {
	all := []error{atOnce(m.files, func(p string) error { return h.Remove(ctx, p) })}
	for _, p := range slices.Backward(slices.Sorted(maps.Keys(m.dirs))) {
		if err := h.Remove(ctx, p); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}
