package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-security/holdfast/server"
)

// Boot is called while the machine starts, before the firewall and sshd: it
// puts back the files of every transaction that was not confirmed. It starts no
// service, because those that wait for it could never start. [Journal.Finish]
// does the rest.
func (j *Journal) Boot(ctx context.Context) error {
	ids, err := j.ids()
	if err != nil {
		return err
	}
	var all []error
	for _, id := range ids {
		s, err := j.status(id)
		if err != nil {
			all = append(all, err)
			continue
		}
		if s.State == Confirmed || s.State == RolledBack || s.Settled {
			continue
		}
		if err := j.boot(ctx, id); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

func (j *Journal) boot(ctx context.Context, id string) error {
	release, err := j.take(ctx, id, true)
	if err != nil {
		return err
	}
	defer release()
	s, err := j.status(id)
	if err != nil {
		return err
	}
	if err := j.shift(id, RollingBack, reason(s, "the server was restarted before the confirmation"), nil); err != nil {
		return err
	}
	return j.rollBack(ctx, id, true)
}

// Finish is called once the machine has started: it ends what [Journal.Boot] has
// begun, and whatever else [Journal.Recover] finds.
func (j *Journal) Finish(ctx context.Context) error { return j.Recover(ctx) }

// Recover looks after transactions that nobody looks after any more. It rolls
// back what another boot, a dead run or a window that has passed has left, and
// removes the remains of guards whose transaction has ended. It leaves alone
// what is under way.
func (j *Journal) Recover(ctx context.Context) error {
	ids, err := j.ids()
	if err != nil {
		return err
	}
	var all []error
	for _, id := range ids {
		if err := j.recoverOne(ctx, id); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

func (j *Journal) recoverOne(ctx context.Context, id string) error {
	s, err := j.status(id)
	if err != nil {
		return err
	}
	boot, err := j.bootID()
	if err != nil {
		return err
	}
	if s.State == RollbackFailed {
		return nil // a person decides
	}
	if s.State.Final() {
		if s.Clean {
			return nil
		}
		return j.after(ctx, id)
	}
	why := ""
	switch {
	case s.Boot != boot:
		why = "the server was restarted before the confirmation"
	case j.uptime() > s.Deadline+Grace:
		why = "the window has passed without a confirmation"
	case s.State == RollingBack || s.State == Applying:
		// Nobody holds it: whoever worked on it is dead.
		release, err := j.take(ctx, id, false)
		if errors.Is(err, errBusy) {
			return nil
		}
		if err != nil {
			return err
		}
		release()
		if why = s.Why; why == "" {
			why = "the run has died"
		}
	default:
		return nil
	}
	return j.Rollback(ctx, id, why)
}

// Why says, for a rollback that the guard begins, what the reason is.
func (j *Journal) Why(id string) string {
	if left, err := j.Left(id); err == nil && left > 0 {
		return "the run ended before its time"
	}
	return "the window has passed without a confirmation"
}

// quiet is a host on which no service is started, stopped or reloaded.
type quiet struct{ server.Host }

// Run refuses what waits for the service manager.
func (q quiet) Run(ctx context.Context, stdin string, argv ...string) error {
	if len(argv) > 1 && argv[0] == "systemctl" {
		files := []string{"enable", "disable", "mask", "unmask"}
		if !slices.Contains(files, argv[1]) || slices.Contains(argv, "--now") {
			return fmt.Errorf("%s has to wait until the machine has started", argv)
		}
	}
	return q.Host.Run(ctx, stdin, argv...)
}
