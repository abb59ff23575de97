package txn

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-security/holdfast/server"
)

// Undo prepares what puts back a confirmed transaction and everything of the
// same run, or, if id is empty, the last run that was not undone: transactions
// to be begun one after the other, the last one first. The caller fills in who,
// the nonce and the run, and confirms each before it begins the next.
//
// It changes nothing. The error is a [*server.DriftError] if something else has
// changed what would be put back, a [*NotFoundError] if there is nothing, and a
// [*StateError] if the transaction was not confirmed or is undone already.
func (j *Journal) Undo(ctx context.Context, id string) ([]Begin, error) {
	run, err := j.undoable(id)
	if err != nil {
		return nil, err
	}
	var all []Begin
	for i, r := range slices.Backward(run) {
		b, err := j.reverse(r)
		if err != nil {
			return nil, err
		}
		b.More = i > 0
		all = append(all, b)
	}
	// Only the first can be looked at now: the others follow from it.
	if err := j.undrifted(ctx, all[0]); err != nil {
		return nil, err
	}
	return all, nil
}

// undoable returns the transactions of a run that are to be undone, in the
// order in which they were done.
func (j *Journal) undoable(id string) ([]Record, error) {
	history, err := j.History()
	if err != nil {
		return nil, err
	}
	open := func(r Record) bool { return r.State == Confirmed && r.Kind != Undo && r.UndoneBy == "" }
	var run string
	for _, r := range slices.Backward(history) {
		if id == "" && open(r) {
			run = r.Run
			break
		}
		if id != "" && r.ID == id {
			if r.UndoneBy != "" {
				return nil, &StateError{ID: id, State: r.State, Why: "it was undone by " + r.UndoneBy, Wanted: RolledBack}
			}
			if !open(r) {
				return nil, &StateError{ID: id, State: r.State, Why: r.Why, Wanted: RolledBack}
			}
			run = r.Run
			break
		}
	}
	if run == "" {
		return nil, &NotFoundError{ID: id}
	}
	return slices.DeleteFunc(history, func(r Record) bool { return r.Run != run || !open(r) }), nil
}

// reverse exchanges the ends of a transaction: ordinary steps first, installers
// after what used them, followers last.
func (j *Journal) reverse(r Record) (Begin, error) {
	p, err := j.plan(r.ID)
	if err != nil {
		return Begin{}, err
	}
	w, err := j.load(r.ID)
	if err != nil {
		return Begin{}, err
	}
	b := Begin{Meta: Meta{Kind: Undo, Site: p.Site, SiteDigest: p.SiteDigest, Window: p.Window, Reverts: r.ID}}
	for _, s := range []stage{ordinary, installers, followers} {
		for i, step := range slices.Backward(p.Steps) {
			if step.Stage != s {
				continue
			}
			res, err := j.c.Codec.Decode(step.Resource, nil)
			if err != nil {
				return Begin{}, fmt.Errorf("reading %s from the journal: %w", step.Change.Resource, err)
			}
			if after := w.progress[i].after; after != nil {
				step.Change.After = *after
			}
			b.Steps = append(b.Steps, server.Step{
				Controls: step.Controls, Resource: res, Change: swap(step.Change.change()), LocksOut: step.LocksOut,
			})
		}
	}
	return b, nil
}

func (j *Journal) undrifted(ctx context.Context, b Begin) error {
	for _, s := range b.Steps {
		if stageOf(s.Resource) == followers {
			continue
		}
		now, err := s.Resource.Get(ctx, j.host)
		if err != nil {
			return fmt.Errorf("reading %s: %w", s.Change.Resource, err)
		}
		if now != s.Change.Before {
			return &server.DriftError{Resource: s.Change.Resource, Expected: s.Change.Before, Found: now}
		}
	}
	return nil
}

// untouchedSince returns the files that the reverted transaction has touched and
// that nobody has touched since, with what they were before it: after the
// resources are undone they can be made exactly that.
func (w *work) untouchedSince(ctx context.Context) (map[string]*saved, error) {
	if w.plan.Kind != Undo || w.plan.Reverts == "" {
		return nil, nil
	}
	old, err := w.j.load(w.plan.Reverts)
	if err != nil {
		return nil, fmt.Errorf("reading what is to be undone: %w", err)
	}
	exact := map[string]*saved{}
	for path, left := range old.known {
		now, err := look(ctx, w.host, path)
		if err != nil {
			return nil, err
		}
		if now.digest() == left {
			exact[path] = old.snap.was(path)
		}
	}
	return exact, nil
}

// exactly makes files what they were, byte for byte, where undoing the
// resources has left a difference, such as in the copies that account tools
// keep.
func (w *work) exactly(ctx context.Context, exact map[string]*saved) error {
	if len(exact) == 0 {
		return nil
	}
	last := len(w.plan.Steps)
	if err := w.j.record(w.id, w.event(Begun, last, "")); err != nil {
		return err
	}
	w.progress[last].begun = true
	before := &snapshot{more: exact}
	for _, path := range before.inOrder(slices.Collect(maps.Keys(exact))) {
		if err := before.putBack(ctx, w.host, path); err != nil {
			return fmt.Errorf("making %s what it was: %w", path, err)
		}
	}
	e := w.event(Done, last, "")
	var err error
	if e.Touched, err = w.host.touched(ctx, w.known); err != nil {
		return err
	}
	if err := w.j.record(w.id, e); err != nil {
		return err
	}
	w.replay(e)
	return nil
}
