package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// Run carries out an armed transaction, and then keeps package managers away
// until it has ended. It is called outside of every session, by [Guard.Start].
//
// If a step fails it rolls back. The error is nil if the transaction has ended
// or was taken over by somebody who ends it; what the outcome is, is in the
// journal. If ctx is done it stops where it is, and the guard rolls back.
func (j *Journal) Run(ctx context.Context, id string) error {
	release, err := j.take(ctx, id, false)
	if err != nil {
		return err
	}
	defer release()
	secrets, err := j.takeSecrets(id)
	if err != nil {
		return err
	}
	if err := j.shift(id, Applying, "", nil); err != nil {
		return err
	}
	err = j.apply(ctx, id, secrets)
	var lost *StateError
	switch {
	case err == nil || errors.As(err, &lost) && lost.ID == id:
		return nil
	case ctx.Err() != nil:
		if s, serr := j.status(id); serr == nil && (s.State.Final() || s.State == RollingBack) {
			return nil // whoever has stopped this goes on with it
		}
		return err
	}
	if err := j.shift(id, RollingBack, err.Error(), nil); err != nil {
		if errors.As(err, &lost) {
			return nil
		}
		return err
	}
	return j.rollBack(ctx, id, false)
}

func (j *Journal) apply(ctx context.Context, id string, secrets map[string]server.Secret) error {
	w, err := j.load(id)
	if err != nil {
		return err
	}
	if j.c.Hold != nil && !w.plan.has(installers) {
		release, err := j.c.Hold(ctx)
		if err != nil {
			return fmt.Errorf("keeping package managers away: %w", err)
		}
		defer release()
	}
	exact, err := w.untouchedSince(ctx)
	if err != nil {
		return err
	}
	for i, step := range w.plan.Steps {
		if err := w.still(Applying); err != nil {
			return err
		}
		if step.Stage == followers {
			if err := w.exactly(ctx, exact); err != nil {
				return err
			}
			exact = nil
		}
		if err := w.forward(ctx, i, secrets); err != nil {
			return err
		}
	}
	if err := w.exactly(ctx, exact); err != nil {
		return err
	}
	if err := j.sync(); err != nil {
		return err
	}
	if err := j.shift(id, Applied, "", nil); err != nil {
		return err
	}
	return w.wait(ctx)
}

// still returns a [*StateError] if the transaction has left a state.
func (w *work) still(want State) error {
	s, err := w.j.status(w.id)
	if err == nil && s.State != want {
		return &StateError{ID: w.id, State: s.State, Why: s.Why, Wanted: want}
	}
	return err
}

// wait returns when the transaction is no longer waiting for its confirmation.
func (w *work) wait(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := w.still(Applied); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// forward carries out step i: intent, change, what came of it.
func (w *work) forward(ctx context.Context, i int, secrets map[string]server.Secret) error {
	step := w.plan.Steps[i]
	r, err := w.j.c.Codec.Decode(step.Resource, secrets)
	if err != nil {
		return fmt.Errorf("reading %s from the journal: %w", step.Change.Resource, err)
	}
	if err := w.j.record(w.id, w.event(Begun, i, "")); err != nil {
		return err
	}
	w.progress[i].begun = true
	change := step.Change.change()
	done := change
	if w.plan.Kind == Undo {
		// Undo goes to exactly the state that was, not to one that is as good.
		err = server.Undo(ctx, w.host, r, swap(change))
	} else {
		done, err = server.Apply(ctx, w.host, r, change)
	}
	var drift *server.DriftError
	if errors.As(err, &drift) {
		e := w.event(Refused, i, err.Error())
		w.replay(e)
		return errors.Join(err, w.j.record(w.id, e))
	}
	if err != nil {
		return err
	}
	e := w.event(Done, i, "")
	if done.After != change.After {
		after := text(done.After)
		e.After = &after
	}
	if e.Touched, err = w.host.touched(ctx, w.known); err != nil {
		return err
	}
	if err := w.j.record(w.id, e); err != nil {
		return err
	}
	w.replay(e)
	return nil
}

func swap(c server.Change) server.Change {
	return server.Change{Resource: c.Resource, Before: c.After, After: c.Before}
}
