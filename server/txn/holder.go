package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// Grace is how long a run keeps its claim on a server between two of its
// transactions, and how much longer than the window it is believed to be alive.
const Grace = time.Minute

// A Holder is whose run a server is claimed for.
type Holder struct {
	// Run joins the transactions of one run at the desk.
	Run string `json:"run"`
	// By is who applies, and Desk from where.
	By   string `json:"by"`
	Desk string `json:"desk"`
	// Since is when, for people.
	Since time.Time `json:"since"`
	// Boot and Deadline say until when the claim holds: seconds of uptime of that
	// boot.
	Boot     string        `json:"boot"`
	Deadline time.Duration `json:"deadline"`
}

type holderFile struct {
	Format int `json:"format"`
	Holder
}

// A LockedError says that the server is claimed for another run, or that a
// transaction is not ended.
type LockedError struct {
	// ID is the transaction; empty if there is none at the moment.
	ID     string
	State  State
	Holder Holder
	// Gone says that the holder's time is over: [Journal.Unlock] takes over.
	Gone bool
	// Left is how long the holder still has, 0 if Gone.
	Left time.Duration
}

// Error names the holder.
func (e *LockedError) Error() string {
	s := "the server is being worked on"
	if e.Holder.By != "" {
		s += fmt.Sprintf(" by %s from %s since %s", e.Holder.By, e.Holder.Desk, e.Holder.Since.Format(time.RFC3339))
	}
	if e.ID != "" {
		s += fmt.Sprintf(": transaction %s is %s", e.ID, e.State)
	}
	if e.Gone {
		s += ", and its time is over"
	} else if e.Left > 0 {
		s += fmt.Sprintf(", its time is over in %s", e.Left.Round(time.Second))
	}
	return s
}

func (j *Journal) holderPath() string { return filepath.Join(j.dir, "holder.json") }

// holder returns who has claimed the server; its zero value is nobody.
func (j *Journal) holder() (Holder, error) {
	var h holderFile
	err := j.disk.get(j.holderPath(), &h)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, nil
	}
	return h.Holder, err
}

// gone reports whether a claim has ended by itself.
func (j *Journal) gone(h Holder) (bool, error) {
	boot, err := j.bootID()
	if err != nil {
		return false, err
	}
	return h.Boot != boot || j.uptime() > h.Deadline, nil
}

// unfinished returns the transaction that has not ended, empty if there is none.
// A failed rollback counts until somebody has settled it.
func (j *Journal) unfinished() (string, status, error) {
	ids, err := j.ids()
	if err != nil {
		return "", status{}, err
	}
	for _, id := range ids {
		s, err := j.status(id)
		if err != nil {
			return "", status{}, err
		}
		if !s.State.Final() || s.State == RollbackFailed && !s.Settled {
			return id, s, nil
		}
	}
	return "", status{}, nil
}

// claim makes h the holder, or says who is. It is called under the lock.
func (j *Journal) claim(h Holder) error {
	now, err := j.holder()
	if err != nil {
		return err
	}
	gone, err := j.gone(now)
	if err != nil {
		return err
	}
	id, s, err := j.unfinished()
	if err != nil {
		return err
	}
	if id != "" || now.Run != "" && now.Run != h.Run && !gone {
		return j.lockedBy(id, s, now, gone)
	}
	return j.disk.put(j.holderPath(), holderFile{Format: format, Holder: h})
}

func (j *Journal) lockedBy(id string, s status, h Holder, gone bool) *LockedError {
	e := &LockedError{ID: id, State: s.State, Holder: h, Gone: gone}
	if !gone && h.Run != "" {
		e.Left = max(0, h.Deadline-j.uptime())
	}
	return e
}

// Settled returns a [*LockedError] while a transaction has not ended: what the
// server shows then may go away again.
func (j *Journal) Settled() error {
	id, s, err := j.unfinished()
	if err != nil || id == "" {
		return err
	}
	h, err := j.holder()
	if err != nil {
		return err
	}
	gone, err := j.gone(h)
	if err != nil {
		return err
	}
	return j.lockedBy(id, s, h, gone)
}

// Holder returns who has claimed the server and whether the claim has run out;
// nil if nobody has.
func (j *Journal) Holder() (*Holder, bool, error) {
	h, err := j.holder()
	if err != nil || h.Run == "" {
		return nil, false, err
	}
	gone, err := j.gone(h)
	return &h, gone, err
}

// Release gives the server free if run holds it and no transaction is under
// way.
func (j *Journal) Release(run string) error {
	return j.locked(func() error {
		h, err := j.holder()
		if err != nil || h.Run != run {
			return err
		}
		if id, _, err := j.unfinished(); err != nil || id != "" {
			return err
		}
		return j.disk.remove(j.holderPath())
	})
}

// hold moves the end of a run's claim to some time from now.
func (j *Journal) hold(run string, d time.Duration) error {
	return j.locked(func() error {
		h, err := j.holder()
		if err != nil || h.Run != run {
			return err
		}
		h.Deadline = j.uptime() + d
		return j.disk.put(j.holderPath(), holderFile{Format: format, Holder: h})
	})
}

// Unlock takes over a server whose holder is gone: it rolls back what that
// holder has left and settles what could not be rolled back. If the holder may
// still be alive, the error is a [*LockedError]. It returns the transaction that
// it found, empty if there was none.
func (j *Journal) Unlock(ctx context.Context, by string) (string, error) {
	h, err := j.holder()
	if err != nil {
		return "", err
	}
	gone, err := j.gone(h)
	if err != nil {
		return "", err
	}
	id, s, err := j.unfinished()
	if err != nil {
		return "", err
	}
	if h.Run != "" && !gone && s.State != RollbackFailed {
		return id, j.lockedBy(id, s, h, gone)
	}
	if id != "" && s.State != RollbackFailed {
		if err := j.Rollback(ctx, id, "unlocked by "+by); err != nil {
			return id, err
		}
	}
	if s.State == RollbackFailed {
		if err := j.settle(ctx, id, by); err != nil {
			return id, err
		}
	}
	return id, j.locked(func() error { return j.disk.remove(j.holderPath()) })
}

func (j *Journal) settle(ctx context.Context, id, by string) error {
	if err := j.leaveLastResort(ctx, id); err != nil {
		return fmt.Errorf("the server's own sshd does not start, so the last resort stays: %w", err)
	}
	err := j.amend(id, func(s *status) error {
		s.Settled = true
		return nil
	})
	if err != nil {
		return err
	}
	j.tell(id, Event{What: Note, Text: "the failed rollback was taken over by " + by})
	return j.clean(ctx, id)
}
