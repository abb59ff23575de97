package resource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Daemon is a running daemon that is to use the configuration that is in its
// files. A daemon that does not run is as good: it reads its files when it
// starts, as sshd does behind ssh.socket with the first connection.
//
// What a daemon has read cannot be asked for. It is told from times: a daemon
// runs what is in its files if none of them has changed, by the inode's ctime,
// since it last started or reloaded. What Set has reloaded itself it remembers
// in [markerDir] until the next start or reload, so that no clock is needed for
// it and a wrong one is healed by one reload.
type Daemon struct {
	// Unit is the unit's full name, such as "ssh.service".
	Unit string `json:"unit"`
	// Config are patterns of the files that the daemon reads when it starts or
	// reloads, in the syntax of path/filepath.Match.
	Config []string `json:"config"`
	// Reload says that the daemon takes up its configuration by a reload;
	// otherwise it is restarted.
	Reload bool `json:"reload"`
	// Loaded is the digest of the configuration that it is to run;
	// [Daemon.Follow] fills it in.
	Loaded string `json:"loaded,omitempty"`
}

// The states of a daemon beside "runs configuration DIGEST".
const (
	runsOlder  server.State = "runs an older configuration"
	notRunning server.State = "not running"
	leftOver   server.State = "not running, but processes are left of an earlier run"
)

func runs(digest string) server.State { return server.State("runs configuration " + digest) }

// Name returns "daemon UNIT".
func (d Daemon) Name() string { return "daemon " + d.Unit }

// Want returns "runs configuration DIGEST".
func (d Daemon) Want() server.State { return runs(d.Loaded) }

// Accepts reports whether s is the wanted configuration or a daemon that is not
// running.
func (d Daemon) Accepts(s server.State) bool { return s == d.Want() || s == notRunning }

// Follow returns d with the digest of the configuration that is in its files.
func (d Daemon) Follow(ctx context.Context, r server.Reader) (server.Follower, error) {
	digest, _, err := d.config(ctx, r)
	if err != nil {
		return nil, err
	}
	d.Loaded = digest
	return d, nil
}

// config returns the digest of the configuration and when it last changed. A
// directory that a pattern ranges over counts as changed when an entry came or
// went, and so does that of a file that is not there.
func (d Daemon) config(ctx context.Context, r server.Reader) (digest string, changed time.Time, err error) {
	later := func(e server.Entry) {
		if e.Changed.After(changed) {
			changed = e.Changed
		}
	}
	var files, dirs []string
	for _, pattern := range d.Config {
		found, err := r.Glob(ctx, pattern)
		if err != nil {
			return "", changed, err
		}
		files = append(files, found...)
		if len(found) == 0 || strings.ContainsAny(pattern, `*?[\`) {
			dirs = append(dirs, path.Dir(pattern))
		}
	}
	slices.Sort(files)
	sum := sha256.New()
	for _, file := range slices.Compact(files) {
		e, err := r.Read(ctx, file)
		if err != nil {
			return "", changed, err
		}
		fmt.Fprintf(sum, "%q %v %q\n", file, e.Mode.Type(), e.Content)
		later(e)
	}
	for _, dir := range dirs {
		e, found, err := readEntry(ctx, r, dir)
		if err != nil {
			return "", changed, err
		}
		if found {
			later(e)
		}
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), changed, nil
}

// Get tells which configuration the daemon runs.
func (d Daemon) Get(ctx context.Context, r server.Reader) (server.State, error) {
	p, err := showProcess(ctx, r, d.Unit)
	if err != nil {
		return "", err
	}
	if !p.running {
		return d.stopped(ctx, r)
	}
	digest, changed, err := d.config(ctx, r)
	if err != nil {
		return "", err
	}
	e, found, err := readEntry(ctx, r, d.marker())
	if err != nil {
		return "", err
	}
	if found {
		m := parseMark(e.Content)
		switch same := m.identity == p.identity(); {
		case m.invocation() == p.invocation && m.digest == digest && (same || m.changed == stamp(changed)):
			return runs(digest), nil
		case same:
			return runsOlder, nil
		}
	}
	read, err := p.read(ctx, r)
	if err != nil {
		return "", err
	}
	if changed.Before(read) {
		return runs(digest), nil
	}
	return runsOlder, nil
}

// stopped tells a unit without processes from one that systemd takes for
// stopped although its daemon answers still. systemd 257 loses sight of sshd
// when ssh.service is enabled under its other name while it runs.
func (d Daemon) stopped(ctx context.Context, r server.Reader) (server.State, error) {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd"} {
		e, found, err := readEntry(ctx, r, root+"/system.slice/"+d.Unit+"/cgroup.procs")
		if err != nil {
			return "", err
		}
		if found && e.Content != "" {
			return leftOver, nil
		}
	}
	return notRunning, nil
}

// markerDir is where Set remembers what it has reloaded; it is gone after a
// boot, as the daemons are.
const markerDir = "/run/holdfast/daemon"

func (d Daemon) marker() string { return markerDir + "/" + d.Unit }

// A mark is what a marker holds: the run of the daemon, and the files by time
// and content. Either of run and time may be another later and the mark still
// hold: sshd tells systemd some milliseconds after a reload that it is done,
// and a file may be changed and changed back. Times are only compared for being
// the same, so it does not matter by which clock.
type mark struct {
	identity string // two lines
	changed  string
	digest   string
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (m mark) String() string { return m.identity + m.changed + "\n" + m.digest + "\n" }

func (m mark) invocation() string {
	first, _, _ := strings.Cut(m.identity, "\n")
	return first
}

// parseMark is the inverse of String; what is none becomes a mark that never
// holds.
func parseMark(s string) mark {
	lines := strings.SplitAfter(s, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return mark{}
	}
	return mark{identity: lines[0] + lines[1], changed: strings.TrimSpace(lines[2]), digest: strings.TrimSpace(lines[3])}
}

// Set makes the daemon read its files.
func (d Daemon) Set(ctx context.Context, h server.Host, s server.State) error {
	now, err := d.Get(ctx, h)
	if err != nil || d.Accepts(now) {
		return err
	}
	if now == leftOver {
		return fmt.Errorf("%s is stopped for systemd, but processes are left of an earlier run", d.Unit)
	}
	before, err := showProcess(ctx, h, d.Unit)
	if err != nil {
		return err
	}
	digest, _, err := d.config(ctx, h)
	if err != nil {
		return err
	}
	if digest != d.Loaded {
		return fmt.Errorf("the configuration of %s was changed by something else", d.Unit)
	}
	verb := "try-restart"
	if d.Reload {
		verb = "reload"
	}
	if err := run(ctx, h, "", "systemctl", verb, d.Unit); err != nil {
		return err
	}
	after, err := showProcess(ctx, h, d.Unit)
	if err != nil || !after.running {
		return err
	}
	if after.identity() == before.identity() && (after.reloads != "" || !d.Reload) {
		return fmt.Errorf("systemctl %s %s said that it was done, but it was not", verb, d.Unit)
	}
	again, changed, err := d.config(ctx, h)
	if err != nil || again != digest {
		return errors.Join(err, fmt.Errorf("the configuration of %s changed while it was read", d.Unit))
	}
	for _, dir := range []string{path.Dir(markerDir), markerDir} {
		if _, found, err := readEntry(ctx, h, dir); err != nil {
			return err
		} else if !found {
			if err := h.Write(ctx, dir, server.Entry{Mode: fs.ModeDir | 0o700, Owner: "root", Group: "root"}); err != nil {
				return err
			}
		}
	}
	return h.Write(ctx, d.marker(), server.Entry{
		Mode: 0o600, Owner: "root", Group: "root", Content: mark{after.identity(), stamp(changed), digest}.String(),
	})
}
