package txn

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"path/filepath"
	"time"
)

// NonceHash returns what [Meta] wants to know of a nonce.
func NonceHash(nonce []byte) string {
	sum := sha256.Sum256(nonce)
	return hex.EncodeToString(sum[:])
}

// Confirm keeps what the transaction has done. The error is a [*NonceError] if
// the nonce is not that of the desk that began it, and a [*StateError] if
// something else has won or not everything is applied yet. Confirming twice is
// the same as once. A [*LeftoverError] means that it is confirmed.
func (j *Journal) Confirm(ctx context.Context, id string, nonce []byte) error {
	if _, err := j.status(id); err != nil {
		return err
	}
	p, err := j.plan(id)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(NonceHash(nonce)), []byte(p.NonceHash)) != 1 {
		return &NonceError{ID: id}
	}
	s, err := j.status(id)
	if err != nil {
		return err
	}
	if s.State != Confirmed {
		if err := j.shift(id, Confirmed, "", nil); err != nil {
			return err
		}
	}
	return j.finish(context.WithoutCancel(ctx), p)
}

// finish does what follows the end of a transaction. It may be called again.
func (j *Journal) finish(ctx context.Context, p planFile) error {
	s, err := j.status(p.ID)
	if err != nil {
		return err
	}
	if s.State == Confirmed && p.Kind != Undo {
		if err := j.remember(p); err != nil {
			return &LeftoverError{ID: p.ID, State: s.State, Err: err}
		}
	}
	if err := j.clean(ctx, p.ID); err != nil {
		return err
	}
	if p.More && s.State == Confirmed {
		return j.hold(p.Run, Grace)
	}
	return j.Release(p.Run)
}

// clean removes the guard and what only an open transaction needs.
func (j *Journal) clean(ctx context.Context, id string) error {
	s, err := j.status(id)
	if err != nil || s.Clean {
		return err
	}
	leftover := func(err error) error {
		if err == nil {
			return nil
		}
		err = &LeftoverError{ID: id, State: s.State, Err: err}
		j.tell(id, Event{What: Problem, Text: err.Error()})
		return err
	}
	if err := j.dropSecrets(id); err != nil {
		return leftover(err)
	}
	if err := j.disk.remove(j.path(id, "reserve")); err != nil {
		return leftover(err)
	}
	for _, name := range []string{"rehearsal", "room"} {
		if err := j.disk.remove(j.path(id, name)); err != nil {
			return leftover(err)
		}
	}
	if err := j.removeDrafts(j.path(id)); err != nil {
		return leftover(err)
	}
	// The journal's own files are written under its lock.
	if err := j.locked(func() error { return j.removeDrafts(j.dir) }); err != nil {
		return leftover(err)
	}
	if err := j.c.Guard.Disarm(ctx, id); err != nil {
		return leftover(err)
	}
	return leftover(j.amend(id, func(s *status) error {
		s.Clean = true
		return nil
	}))
}

// removeDrafts removes what writes that were cut off have left in a directory.
func (j *Journal) removeDrafts(dir string) error {
	drafts, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	for _, draft := range drafts {
		err = errors.Join(err, j.disk.remove(draft))
	}
	return err
}

// cleanAgain cleans up if the transaction has ended while its guard was being
// armed.
func (j *Journal) cleanAgain(ctx context.Context, id string) error {
	s, err := j.status(id)
	if err != nil || !s.State.Final() {
		return err
	}
	err = j.amend(id, func(s *status) error {
		s.Clean = false
		return nil
	})
	if err != nil {
		return err
	}
	return j.clean(ctx, id)
}

// Extend starts the window of an open transaction anew, but not past
// [MaxWindow] after arming. It returns how long the window is open now.
func (j *Journal) Extend(ctx context.Context, id string, window time.Duration) (time.Duration, error) {
	err := j.amend(id, func(s *status) error {
		if s.State != Armed && s.State != Applying && s.State != Applied {
			return &StateError{ID: id, State: s.State, Why: s.Why, Wanted: s.State}
		}
		now := j.uptime()
		window = max(0, min(window, s.Armed+MaxWindow-now))
		window = max(window, s.Deadline-now) // never shorter than it is
		s.Deadline = now + window
		return nil
	})
	if err != nil {
		return 0, err
	}
	if err := errors.Join(j.c.Guard.Arm(ctx, id, window), j.cleanAgain(ctx, id)); err != nil {
		return 0, err
	}
	p, err := j.plan(id)
	if err != nil {
		return 0, err
	}
	return window, j.hold(p.Run, window+Grace)
}

// Left returns how long the window of a transaction is still open; 0 if it is
// not.
func (j *Journal) Left(id string) (time.Duration, error) {
	s, err := j.status(id)
	if err != nil || s.State.Final() || s.State == RollingBack {
		return 0, err
	}
	return max(0, s.Deadline-j.uptime()), nil
}
