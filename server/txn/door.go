package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Door tells who can get into the machine over SSH and become root.
type Door interface {
	// Ways names every way in that works now, such as "root on port 22"; the
	// same way has the same name before and after. An error means that sshd
	// cannot be asked: nobody is known to get in.
	Ways(ctx context.Context, r server.Reader) ([]string, error)
	// Config returns what a last-resort sshd has to know of the one that works
	// now, one keyword of sshd_config(5) a line: where it listens, and how root
	// logs in.
	Config(ctx context.Context, r server.Reader) (string, error)
}

const (
	lastUnit   = "holdfast-last-resort.service"
	lastLink   = lastingUnits + "multi-user.target.wants/" + lastUnit
	lastConfig = server.StateDir + "/last-resort/sshd_config"
)

// openDoor makes sure, after everything of ours is undone, that one of the ways
// in of before works. If none does, somebody else has closed them meanwhile: the
// files of the login path that differ are moved aside, first those that sshd and
// PAM read, then all. If that is not enough, the last resort is an sshd of our
// own, and its problem is returned.
func (w *work) openDoor(ctx context.Context) (problems []string) {
	if w.j.c.Door == nil || len(w.snap.Ways) == 0 {
		return nil
	}
	if w.isOpen(ctx) {
		return nil
	}
	for _, ours := range []func(string) bool{
		func(p string) bool {
			return strings.HasPrefix(p, "/etc/ssh/") || strings.HasPrefix(p, "/etc/pam") || strings.HasPrefix(p, "/etc/default/")
		},
		func(string) bool { return true },
	} {
		w.moveAside(ctx, ours)
		w.restartLogin(ctx)
		w.undoAll(ctx, w.begun(followers))
		if w.isOpen(ctx) {
			w.tellAloud("what was in the way of logins is kept aside: " + strings.Join(w.moved, ", "))
			return nil
		}
	}
	if err := w.lastResort(ctx); err != nil {
		return []string{fmt.Sprintf("NOBODY CAN LOG IN, and an sshd of our own could not be started either: %v", err)}
	}
	loud := "NOBODY COULD LOG IN with what is in the way of the server's own sshd; " +
		lastUnit + " runs another one in its place, as " + lastConfig + " says, until somebody has put things right and takes over"
	w.tellAloud(loud)
	return []string{loud}
}

// tellAloud makes text part of the reason that every desk is told.
func (w *work) tellAloud(text string) {
	err := w.j.amend(w.id, func(s *status) error {
		if !strings.Contains(s.Why, text) {
			s.Why += "; " + text
		}
		return nil
	})
	if err != nil {
		w.note(Problem, "%s (%v)", text, err)
	}
}

// isOpen reports whether one of the ways of before works. A daemon that was just
// reloaded may need a moment.
func (w *work) isOpen(ctx context.Context) bool {
	var why error
	for range 10 {
		now, err := w.j.c.Door.Ways(ctx, w.host.Host)
		why = err
		if slices.ContainsFunc(now, func(way string) bool { return slices.Contains(w.snap.Ways, way) }) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
	if why != nil {
		w.note(Note, "no way in is known to work: %v", why)
	} else {
		w.note(Note, "no way in works of those that did: %s", strings.Join(w.snap.Ways, ", "))
	}
	return false
}

// moveAside keeps what others have changed in the login path, and puts back what
// was there.
func (w *work) moveAside(ctx context.Context, which func(path string) bool) {
	entries, err := scan(ctx, w.host, w.snap.Patterns)
	if err != nil {
		w.note(Problem, "looking for what is in the way: %v", err)
		return
	}
	differs := map[string]string{}
	changed(differs, w.snap, nil, entries)
	paths := slices.DeleteFunc(slices.Collect(maps.Keys(differs)), func(p string) bool { return !which(p) })
	for _, p := range w.snap.inOrder(paths) {
		if err := w.keep(ctx, p); err != nil {
			w.note(Problem, "keeping %s as it is: %v", p, err)
			continue
		}
		if err := stubborn(func() error { return w.snap.putBack(ctx, w.host.Host, p) }); err != nil {
			w.note(Problem, "putting %s back: %v", p, err)
			continue
		}
		if !slices.Contains(w.moved, p) {
			w.moved = append(w.moved, p)
		}
		w.note(Note, "%s was in the way: what somebody else has left there is kept in %s", p, w.j.keptPath(w.id, p))
	}
}

// restartLogin starts the units of login anew: nobody can log in, so there is
// nothing to be lost.
func (w *work) restartLogin(ctx context.Context) {
	run := func(argv ...string) {
		if err := stubborn(func() error { return w.host.Host.Run(ctx, "", argv...) }); err != nil {
			w.note(Problem, "%v", err)
		}
	}
	run("systemctl", "daemon-reload")
	for _, u := range w.activeBefore() {
		if service, ok := serviceOf(u); ok {
			run("systemctl", "stop", service)
		}
		run("systemctl", "restart", u)
	}
}

// activeBefore are the units of login that ran, sockets before services.
func (w *work) activeBefore() []string {
	all := slices.DeleteFunc(slices.Sorted(maps.Keys(w.snap.Units)), func(u string) bool {
		return !strings.Contains(w.snap.Units[u], "ActiveState=active")
	})
	slices.SortStableFunc(all, func(a, b string) int {
		return strings.Compare(path.Ext(b), path.Ext(a)) // .socket before .service
	})
	return all
}

// lastResort starts an sshd that reads one file of ours and nothing else: no
// other configuration, no PAM.
func (w *work) lastResort(ctx context.Context) error {
	config := "# Holdfast, the last resort: nobody could log in after transaction " + w.id + ".\n" + w.snap.Door +
		"UsePAM no\nPubkeyAuthentication yes\nAuthorizedKeysFile .ssh/authorized_keys\nSubsystem sftp internal-sftp\nPidFile none\n"
	unit := `[Unit]
Description=Holdfast: the last resort, an sshd that depends on nothing
After=network.target ` + strings.Join(w.j.c.Units, " ") + `

[Service]
ExecStartPre=-/usr/bin/systemctl stop ` + strings.Join(w.j.c.Units, " ") + `
ExecStartPre=-/usr/sbin/nft insert rule inet holdfast input tcp dport { ` + strings.Join(w.lastPorts(), ", ") + ` } accept
ExecStopPost=-/usr/bin/systemctl reload-or-restart holdfast-firewall.service
RuntimeDirectory=sshd
RuntimeDirectoryPreserve=yes
ExecStart=/usr/sbin/sshd -D -e -f ` + lastConfig + `
KillMode=process
Restart=always
RestartSec=2
`
	h := w.host.Host
	for _, f := range []struct {
		path string
		e    server.Entry
	}{
		{filepath.Dir(lastConfig), server.Entry{Mode: fs.ModeDir | 0o700, Owner: "root", Group: "root"}},
		{lastConfig, server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: config}},
		{lastingUnits + lastUnit, server.Entry{Mode: 0o644, Owner: "root", Group: "root", Content: unit}},
		{filepath.Dir(lastLink), server.Entry{Mode: fs.ModeDir | 0o755, Owner: "root", Group: "root"}},
		{lastLink, server.Entry{Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: "../" + lastUnit}},
	} {
		if err := stubborn(func() error { return h.Write(ctx, f.path, f.e) }); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"/usr/sbin/sshd", "-t", "-f", lastConfig}, {"systemctl", "daemon-reload"}, {"systemctl", "restart", lastUnit},
	} {
		if err := stubborn(func() error { return h.Run(ctx, "", argv...) }); err != nil {
			return err
		}
	}
	return nil
}

// lastPorts are the ports that the last resort listens on. Our firewall admits
// them from anywhere: it may be what nobody gets through, and without PAM and
// without passwords of root a key is needed.
func (w *work) lastPorts() []string {
	var ports []string
	for line := range strings.Lines(w.snap.Door) {
		at, ok := strings.CutPrefix(strings.TrimSpace(line), "ListenAddress ")
		if a, err := netip.ParseAddrPort(at); ok && err == nil && !slices.Contains(ports, fmt.Sprint(a.Port())) {
			ports = append(ports, fmt.Sprint(a.Port()))
		}
	}
	if len(ports) == 0 {
		return []string{"22"}
	}
	return ports
}

// leaveLastResort takes the last resort away again, if there is one, and starts
// the server's own sshd. It may be called again.
func (j *Journal) leaveLastResort(ctx context.Context, id string) error {
	there, err := look(ctx, j.host, lastingUnits+lastUnit)
	if err != nil || there == nil {
		return err
	}
	snap, err := j.loadSnapshot(id)
	if err != nil {
		return err
	}
	if err := j.host.Run(ctx, "", "systemctl", "stop", lastUnit); err != nil {
		return err
	}
	w := &work{j: j, id: id, snap: snap}
	for _, u := range w.activeBefore() {
		err = errors.Join(err, j.host.Run(ctx, "", "systemctl", "start", u))
	}
	if err != nil {
		// It is better than nothing.
		return errors.Join(err, j.host.Run(ctx, "", "systemctl", "start", lastUnit))
	}
	for _, path := range []string{lastLink, lastingUnits + lastUnit, lastConfig, filepath.Dir(lastConfig)} {
		if err := j.host.Remove(ctx, path); err != nil {
			return err
		}
	}
	return j.host.Run(ctx, "", "systemctl", "daemon-reload")
}
