package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/resource"
)

const (
	// codesUnit takes back lent codes if the desk does not come back: it is gone
	// after a boot, after which the next daemon does it.
	codesUnit = "holdfast-codes"
	// codesLimit is how long codes are lent: longer than any window.
	codesLimit = 30 * time.Minute
	// afterRollback is how long a desk has to look what a rollback has left.
	afterRollback = time.Minute
)

// lendCodes lends codes to a run, or takes them back.
func (d *daemon) lendCodes(ctx context.Context, in protocol.LendRequest, _ sender) (protocol.LendResult, error) {
	if in.Run == "" {
		return protocol.LendResult{}, protocol.Errorf(protocol.CodeMalformed, protocol.Unchanged, "no run is named")
	}
	if len(in.Secrets) == 0 {
		return protocol.LendResult{}, d.codesEnd(ctx, in.Run)
	}
	if err := d.codesEndIn(ctx, codesLimit); err != nil {
		return protocol.LendResult{}, err
	}
	got, err := resource.Lend(ctx, d.machine, in.Run, lentCodes(in.Secrets))
	return protocol.LendResult{Accounts: got}, err
}

// lendForRun notes the codes that a transaction will write for those whom it
// enrolls.
func (d *daemon) lendForRun(ctx context.Context, run string, secrets map[string]server.Secret) error {
	codes := lentCodes(secrets)
	if len(codes) == 0 {
		return nil
	}
	if err := d.codesEndIn(ctx, codesLimit); err != nil {
		return err
	}
	_, err := resource.Lend(ctx, d.machine, run, codes)
	return err
}

func lentCodes(secrets map[string]server.Secret) map[string][]string {
	codes := map[string][]string{}
	for name, secret := range secrets {
		if account, ok := strings.CutPrefix(name, server.LentSecret("")); ok {
			codes[account] = strings.Fields(secret.Reveal())
		}
	}
	return codes
}

// codesEnd takes back what a run was lent, or every run if run is empty.
func (d *daemon) codesEnd(ctx context.Context, run string) error {
	return resource.TakeBack(context.WithoutCancel(ctx), d.machine, run)
}

// codesEndIn makes the server itself take back all codes after a time, if any are
// lent or about to be.
func (d *daemon) codesEndIn(ctx context.Context, after time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	// The timer of an earlier run is in the way, if there is one.
	if err := d.machine.Run(ctx, "", "systemctl", "stop", codesUnit+".timer"); err != nil {
		if running, err := d.codesTimer(ctx); err != nil || running {
			return fmt.Errorf("stopping %s.timer: %w", codesUnit, err)
		}
	}
	return d.machine.Run(ctx, "", "systemd-run", "--quiet", "--collect", "--unit="+codesUnit, "--on-active="+after.String(),
		"--timer-property=AccuracySec=1s", self, "codes-end")
}

func (d *daemon) codesTimer(ctx context.Context) (running bool, err error) {
	out, err := d.machine.Output(ctx, "systemctl", "show", "--property=ActiveState", codesUnit+".timer")
	return strings.Contains(out, "ActiveState=active"), err
}

// codesOfOthers takes back what nothing else will: the codes of a run that a boot
// has cut off.
func (d *daemon) codesOfOthers(ctx context.Context) error {
	lent, err := resource.AnyLent(ctx, d.machine)
	if err != nil || !lent {
		return err
	}
	running, err := d.codesTimer(ctx)
	if err != nil || running {
		return err
	}
	return d.codesEnd(ctx, "")
}
