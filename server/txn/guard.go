package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// Systemd is the guard of a real server. For one transaction it makes these
// units, all of them gone when the transaction has ended:
//
//	holdfast-txn-ID.service       carries it out, in a control group of its own
//	holdfast-guard-ID.timer       counts the window, in monotonic time
//	holdfast-guard-ID.service     rolls back: when the timer elapses, or at once
//	                              when the run dies; again and again until the
//	                              transaction has ended
//	holdfast-guard.service        at the next boot, before the firewall and sshd
//	                              read anything: puts the files back
//	holdfast-guard-finish.service at the next boot, once services run: the rest
//
// The first three lie in /run and vanish with a power cut, the last two in /etc
// and survive it. systemd starts whatever a target wants along with any unit
// that needs the target, so the last two have a condition: a file in /run that
// says that the boot in which they were made is not over.
//
// If the machine cannot be made to load them, Arm fails and nothing is applied.
// Nothing requires the boot units, so a rollback that hangs delays a boot by a
// minute and does not stop it.
type Systemd struct {
	// Host is the machine.
	Host server.Host
	// Binary is the absolute path of holdfastd on the root file system. It must
	// stay there as long as a transaction is open. Its arguments are the method
	// of [Journal] to be called: "txn-run ID", "txn-rollback ID", "txn-boot",
	// "txn-finish".
	Binary string
}

const (
	volatileUnits = "/run/systemd/system/"
	lastingUnits  = "/etc/systemd/system/"
	bootUnit      = "holdfast-guard.service"
	finishUnit    = "holdfast-guard-finish.service"
	// thisBoot exists while the boot in which a guard was armed lasts.
	thisBoot = DefaultRunDir + "/guard-armed"
)

// timeouts of the units, as systemd writes them.
const (
	bootLimit     = "60s"   // a boot must not hang
	rollbackLimit = "15min" // removing packages takes its time
	rollbackPause = "2s"    // before one that was cut off begins anew
	stopLimit     = "30s"   // a run that does not stop is killed
	oomAdjust     = "-500"  // the last to be killed when memory is short
	accuracy      = "1s"    // the default is a minute
)

func runUnit(id string) string      { return "holdfast-txn-" + id + ".service" }
func timerUnit(id string) string    { return "holdfast-guard-" + id + ".timer" }
func rollbackUnit(id string) string { return "holdfast-guard-" + id + ".service" }

// A unitFile is a file or a link that makes a unit.
type unitFile struct {
	path    string
	content string // of a link its target
	link    bool
}

// files returns what makes the guard of a transaction, in the order in which it
// is safe to write: what rolls back before what could need it.
func (s Systemd) files(id string, window time.Duration) []unitFile {
	boot := `[Unit]
Description=Holdfast: put back the files of an unconfirmed transaction
DefaultDependencies=no
ConditionPathExists=!` + thisBoot + `
RequiresMountsFor=` + server.StateDir + " " + s.Binary + `
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target network-pre.target nftables.service holdfast-firewall.service ssh.service ssh.socket shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
TimeoutStartSec=` + bootLimit + `
ExecStart=` + s.Binary + ` txn-boot
`
	finish := `[Unit]
Description=Holdfast: end the rollback of an unconfirmed transaction
ConditionPathExists=!` + thisBoot + `
After=` + bootUnit + ` basic.target dbus.service nftables.service ssh.service ssh.socket

[Service]
Type=oneshot
TimeoutStartSec=` + rollbackLimit + `
ExecStart=` + s.Binary + ` txn-finish
`
	timer := `[Unit]
Description=Holdfast: the window of transaction ` + id + `
CollectMode=inactive-or-failed

[Timer]
OnActiveSec=` + fmt.Sprintf("%dms", window.Milliseconds()) + `
AccuracySec=` + accuracy + `
Unit=` + rollbackUnit(id) + `
`
	run := `[Unit]
Description=Holdfast: transaction ` + id + `
CollectMode=inactive-or-failed
OnFailure=` + rollbackUnit(id) + `

[Service]
Type=exec
OOMScoreAdjust=` + oomAdjust + `
KillMode=mixed
TimeoutStopSec=` + stopLimit + `
ExecStart=` + s.Binary + ` txn-run ` + id + `
`
	return []unitFile{
		{path: thisBoot},
		{path: lastingUnits + bootUnit, content: boot},
		{path: lastingUnits + finishUnit, content: finish},
		{path: lastingUnits + "sysinit.target.wants/" + bootUnit, content: "../" + bootUnit, link: true},
		{path: lastingUnits + "multi-user.target.wants/" + finishUnit, content: "../" + finishUnit, link: true},
		{path: volatileUnits + rollbackUnit(id), content: s.rollback(id)},
		{path: volatileUnits + timerUnit(id), content: timer},
		// A soft reboot keeps /run and stops the timer: it is to be started again.
		{path: volatileUnits + "timers.target.wants/" + timerUnit(id), content: "../" + timerUnit(id), link: true},
		{path: volatileUnits + runUnit(id), content: run},
	}
}

// rollback is the unit that rolls back.
func (s Systemd) rollback(id string) string {
	return `[Unit]
Description=Holdfast: roll back transaction ` + id + `
CollectMode=inactive-or-failed
StartLimitIntervalSec=0

[Service]
Type=oneshot
OOMScoreAdjust=` + oomAdjust + `
TimeoutStartSec=` + rollbackLimit + `
Restart=on-failure
RestartSec=` + rollbackPause + `
ExecStart=` + s.Binary + ` txn-rollback ` + id + `
`
}

// Arm writes the units, starts the timer and makes sure that systemd knows all
// of them.
func (s Systemd) Arm(ctx context.Context, id string, window time.Duration) error {
	if e, err := s.Host.Read(ctx, s.Binary); err != nil {
		return fmt.Errorf("reading the program that would roll back: %w", err)
	} else if !e.Mode.IsRegular() || e.Mode&0o100 == 0 {
		return fmt.Errorf("%s is not a program", s.Binary)
	}
	for _, f := range s.files(id, window) {
		if err := s.write(ctx, f); err != nil {
			return fmt.Errorf("writing %s: %w", f.path, err)
		}
	}
	if err := s.Host.Run(ctx, "", "systemctl", "daemon-reload"); err != nil {
		return err
	}
	if err := s.Host.Run(ctx, "", "systemctl", "restart", timerUnit(id)); err != nil {
		return err
	}
	for _, u := range []struct{ name, want string }{
		{bootUnit, "LoadState=loaded UnitFileState=enabled"},
		{finishUnit, "LoadState=loaded UnitFileState=enabled"},
		{rollbackUnit(id), "LoadState=loaded"},
		{runUnit(id), "LoadState=loaded"},
		{timerUnit(id), "ActiveState=active LoadState=loaded"},
	} {
		if err := s.loaded(ctx, u.name, u.want); err != nil {
			return err
		}
	}
	return nil
}

// loaded returns an error unless systemd shows all of want for a unit.
func (s Systemd) loaded(ctx context.Context, unit, want string) error {
	state, err := unitState(ctx, s.Host, unit)
	if err != nil {
		return err
	}
	for _, w := range strings.Fields(want) {
		if !strings.Contains(" "+state+" ", " "+w+" ") {
			return fmt.Errorf("%s is not as it has to be: want %s, have %s", unit, want, state)
		}
	}
	return nil
}

func (s Systemd) write(ctx context.Context, f unitFile) error {
	dir := path.Dir(f.path)
	if _, err := s.Host.Read(ctx, dir); errors.Is(err, fs.ErrNotExist) {
		err = s.Host.Write(ctx, dir, server.Entry{Mode: fs.ModeDir | 0o755, Owner: "root", Group: "root"})
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	e := server.Entry{Mode: 0o644, Owner: "root", Group: "root", Content: f.content}
	if f.link {
		e.Mode = fs.ModeSymlink | 0o777
	}
	return s.Host.Write(ctx, f.path, e)
}

// Start starts the run and returns at once.
func (s Systemd) Start(ctx context.Context, id string) error {
	return s.Host.Run(ctx, "", "systemctl", "start", "--no-block", runUnit(id))
}

// Stop ends the run: first it is asked, then it is killed with all that it has
// started.
func (s Systemd) Stop(ctx context.Context, id string) error {
	return s.end(ctx, runUnit(id))
}

// end stops a unit if it is there at all.
func (s Systemd) end(ctx context.Context, unit string) error {
	state, err := unitState(ctx, s.Host, unit)
	if err != nil || strings.Contains(state, "LoadState=not-found") || strings.Contains(state, "ActiveState=inactive") {
		return err
	}
	return s.Host.Run(ctx, "", "systemctl", "stop", unit)
}

// Disarm stops the timer and removes the units. What is running goes on: the
// caller may be one of them.
func (s Systemd) Disarm(ctx context.Context, id string) error {
	if err := s.end(ctx, timerUnit(id)); err != nil {
		return err
	}
	if err := s.endPause(ctx, rollbackUnit(id)); err != nil {
		return err
	}
	for _, u := range []string{runUnit(id), rollbackUnit(id)} {
		if err := s.forget(ctx, u); err != nil {
			return err
		}
	}
	for _, f := range s.files(id, 0) {
		if err := s.Host.Remove(ctx, f.path); err != nil {
			return err
		}
	}
	// systemd does not mind an empty directory, but it would be a trace.
	for _, dir := range []string{
		lastingUnits + "sysinit.target.wants", lastingUnits + "multi-user.target.wants",
		volatileUnits + "timers.target.wants",
	} {
		if err := s.removeEmpty(ctx, dir); err != nil {
			return err
		}
	}
	return s.Host.Run(ctx, "", "systemctl", "daemon-reload")
}

// endPause stops a unit that is waiting to be started once more.
func (s Systemd) endPause(ctx context.Context, unit string) error {
	out, err := s.Host.Output(ctx, "systemctl", "show", "-p", "SubState", unit)
	if err != nil || strings.TrimSpace(out) != "SubState=auto-restart" {
		return err
	}
	return s.Host.Run(ctx, "", "systemctl", "stop", unit)
}

// forget makes systemd forget that a unit has failed: the journal tells it
// better, and a failed unit outlives its file.
func (s Systemd) forget(ctx context.Context, unit string) error {
	state, err := unitState(ctx, s.Host, unit)
	if err != nil || !strings.Contains(state, "ActiveState=failed") {
		return err
	}
	if err := s.Host.Run(ctx, "", "systemctl", "reset-failed", unit); err != nil {
		// It may have been forgotten by itself just now.
		state, again := unitState(ctx, s.Host, unit)
		if again != nil || strings.Contains(state, "ActiveState=failed") {
			return err
		}
	}
	return nil
}

func (s Systemd) removeEmpty(ctx context.Context, dir string) error {
	inside, err := s.Host.Glob(ctx, dir+"/*")
	if err != nil || len(inside) > 0 {
		return err
	}
	return s.Host.Remove(ctx, dir)
}
