package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// patience is how long a rollback waits for an installation to come to the end
// of its step before it is cut off: package managers do not like that.
const patience = time.Minute

// Rollback puts the server back and ends the transaction as [RolledBack], or as
// [RollbackFailed], which is an error too. It is called by the timer, by an
// operator, and after a failed one again. It waits for a rollback that is under
// way. The error is a [*StateError] if the transaction was confirmed.
func (j *Journal) Rollback(ctx context.Context, id, why string) error {
	s, err := j.status(id)
	if err != nil {
		return err
	}
	if s.State == RolledBack {
		return j.after(ctx, id)
	}
	if err := j.shift(id, RollingBack, reason(s, why), nil); err != nil {
		lost := (*StateError)(nil)
		if !errors.As(err, &lost) || !lost.State.Final() {
			return err
		}
		if lost.State == RolledBack {
			err = nil // somebody else was faster
		}
		return errors.Join(err, j.after(ctx, id))
	}
	if err := j.stop(ctx, id); err != nil {
		j.tell(id, Event{What: Problem, Text: "stopping the run: " + err.Error()})
	}
	release, err := j.take(ctx, id, true)
	if err != nil {
		return err
	}
	defer release()
	if s, err = j.status(id); err != nil || s.State == RolledBack {
		return err // somebody else was at it and has finished
	}
	return j.rollBack(ctx, id, false)
}

// reason keeps the first reason of a rollback that is tried again.
func reason(s status, why string) string {
	if s.State == RollingBack || s.State == RollbackFailed {
		return s.Why
	}
	return why
}

// after repeats what follows the end of a transaction, in case a crash came
// between.
func (j *Journal) after(ctx context.Context, id string) error {
	p, err := j.plan(id)
	if err != nil {
		return err
	}
	return j.finish(ctx, p)
}

// stop ends the run. One that installs may finish its step: it looks at the
// state before the next.
func (j *Journal) stop(ctx context.Context, id string) error {
	if p, err := j.plan(id); err == nil && p.has(installers) {
		wait, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if release, err := j.take(wait, id, true); err == nil {
			release()
		}
	}
	return j.c.Guard.Stop(ctx, id)
}

// rollBack does the work of a rollback; the caller has taken the transaction
// and its state is [RollingBack]. If early, the machine is starting: only what
// needs no running service is put back, and the state stays.
func (j *Journal) rollBack(ctx context.Context, id string, early bool) error {
	// A session that ends must not end this.
	ctx = context.WithoutCancel(ctx)
	j.makeRoom(id)
	w, err := j.load(id)
	if errors.Is(err, fs.ErrNotExist) {
		// It ended before the snapshot was taken: nothing was changed.
		if early {
			return nil
		}
		return j.end(ctx, id, nil)
	}
	if err != nil {
		return j.end(ctx, id, []string{err.Error()})
	}
	if early {
		w.host.Host = quiet{w.host.Host}
	}
	problems := w.putBack(ctx, early)
	if early {
		return nil
	}
	return j.end(ctx, id, problems)
}

// end ends a rollback.
func (j *Journal) end(ctx context.Context, id string, problems []string) error {
	if err := stubborn(j.sync); err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		if err := j.disk.remove(j.path(id, "reserve")); err != nil {
			problems = append(problems, err.Error())
		}
		for _, p := range problems {
			j.tell(id, Event{What: Problem, Text: p})
		}
		err := j.shift(id, RollbackFailed, "", nil)
		return errors.Join(fmt.Errorf("transaction %s could not be rolled back: %s", id, strings.Join(problems, "; ")), err)
	}
	if err := j.shift(id, RolledBack, "", nil); err != nil {
		return err
	}
	return j.after(ctx, id)
}

// putBack undoes every step that was begun, makes the files what they were and
// returns what is not as it was. Nothing stops it half way.
func (w *work) putBack(ctx context.Context, early bool) (problems []string) {
	if err := w.tellForeign(ctx); err != nil {
		w.note(Problem, "finding out what somebody else has changed: %v", err)
	}
	rest := w.begun(ordinary)
	w.undoAll(ctx, rest)
	w.files(ctx, w.paths(rest))
	if early {
		return nil
	}
	follow := w.begun(followers)
	w.undoAll(ctx, follow)
	if install := w.begun(installers); len(install) > 0 {
		w.undoAll(ctx, install)
		w.files(ctx, w.paths(w.begun("")))
		w.undoAll(ctx, follow)
	}
	if err := w.j.leaveLastResort(ctx, w.id); err != nil {
		w.note(Problem, "taking the last resort away: %v", err)
	}
	w.units(ctx)
	problems = w.openDoor(ctx)
	return append(problems, w.verify(ctx)...)
}

// begun returns the steps of a stage, or of all, that may have changed
// something, last one first.
func (w *work) begun(s stage) []int {
	var all []int
	for i, step := range slices.Backward(w.plan.Steps) {
		if w.progress[i].begun && (s == "" || step.Stage == s) {
			all = append(all, i)
		}
	}
	return all
}

// undoAll undoes steps and remembers those that fail.
func (w *work) undoAll(ctx context.Context, steps []int) {
	for _, i := range steps {
		w.j.tell(w.id, w.event(Undoing, i, ""))
		// One failure may be an answer that was lost; the host tells.
		err := stubborn(func() error {
			w.j.makeRoom(w.id)
			return w.undo(ctx, i)
		})
		if err != nil {
			w.failed[i] = true
			w.j.tell(w.id, w.event(Problem, i, err.Error()))
			continue
		}
		w.j.tell(w.id, w.event(Undone, i, ""))
	}
}

func stubborn(f func() error) (err error) {
	for range 3 {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

// undo brings step i back to the state before it, whatever it is in: nobody has
// confirmed what there is, and logins must work.
func (w *work) undo(ctx context.Context, i int) error {
	step, p := w.plan.Steps[i], w.progress[i]
	r, err := w.j.c.Codec.Decode(step.Resource, nil)
	if err != nil {
		return err
	}
	change := step.Change.change()
	if p.after != nil {
		change.After = server.State(*p.after)
	}
	if step.Stage != followers {
		now, err := r.Get(ctx, w.host)
		if err != nil {
			return err
		}
		if now != change.After && now != change.Before {
			if p.done && !w.resumed {
				w.j.tell(w.id, w.event(Note, i, "it was changed by something else and is put back all the same"))
			}
			change.After = now
		}
	}
	if err := server.Undo(ctx, w.host, r, change); err != nil {
		return err
	}
	if sweeper, ok := r.(server.Sweeper); ok && !p.done {
		return sweeper.Sweep(ctx, w.host.Host)
	}
	return nil
}

// tellForeign finds out which touched files somebody else has changed since,
// once, before the rollback itself changes them.
func (w *work) tellForeign(ctx context.Context) error {
	if w.foreign != nil {
		w.resumed = true // another rollback was cut off
		return nil
	}
	e := Event{What: Foreign}
	if w.open() {
		// Which of the differences the open step has made cannot be told: they
		// count as ours.
		entries, err := scan(ctx, w.host, w.snap.Patterns)
		if err != nil {
			return err
		}
		e.Touched = map[string]string{}
		changed(e.Touched, w.snap, w.known, entries)
		for path := range w.snap.more {
			if now, err := look(ctx, w.host, path); err == nil {
				e.Touched[path] = now.digest()
			}
		}
	} else {
		for path, left := range w.known {
			now, err := look(ctx, w.host, path)
			if err != nil {
				return err
			}
			if d := now.digest(); d != left && d != w.snap.was(path).digest() {
				e.Paths = append(e.Paths, path)
			}
		}
		slices.Sort(e.Paths)
	}
	w.j.tell(w.id, e)
	w.replay(e)
	for _, path := range e.Paths {
		w.note(Note, "%s was changed by something else", path)
		if err := w.keep(ctx, path); err != nil {
			w.note(Problem, "keeping %s as it is: %v", path, err)
		}
	}
	return nil
}

// keep stores what is at path now.
func (w *work) keep(ctx context.Context, path string) error {
	now, err := look(ctx, w.host, path)
	if err != nil {
		return err
	}
	to := w.j.keptPath(w.id, path)
	if err := w.j.disk.mkdir(filepath.Dir(to)); err != nil {
		return err
	}
	return w.j.disk.put(to, moreFile{Format: format, Path: path, Entry: now})
}

// paths returns the files that steps have touched. Those of a step that was cut
// off, and those that were made exact by an undo, are in any list.
func (w *work) paths(steps []int) []string {
	in := map[int]bool{len(w.plan.Steps): true}
	for _, i := range steps {
		in[i] = true
	}
	all := map[string]bool{}
	for path := range w.known {
		all[path] = true
	}
	for path := range w.snap.more {
		all[path] = true
	}
	for i, p := range w.progress {
		for path := range p.touched {
			if !in[i] && !w.touchedBy(path, in) {
				delete(all, path)
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func (w *work) touchedBy(path string, steps map[int]bool) bool {
	for i := range steps {
		if _, ok := w.progress[i].touched[path]; ok {
			return true
		}
	}
	return false
}

// files makes files byte for byte what they were, except for those that
// somebody else has changed and from which our part is gone.
func (w *work) files(ctx context.Context, paths []string) {
	paths = slices.DeleteFunc(paths, w.left)
	for _, path := range w.snap.inOrder(paths) {
		err := stubborn(func() error {
			w.j.makeRoom(w.id)
			return w.snap.putBack(ctx, w.host.Host, path)
		})
		if err == nil && w.open() {
			err = stubborn(func() error { return w.sweep(ctx, path) })
		}
		if err != nil {
			w.note(Problem, "putting %s back: %v", path, err)
		}
	}
}

// sweep removes the draft that a write which was cut off has left beside a file:
// writing the file does.
func (w *work) sweep(ctx context.Context, path string) error {
	was := w.snap.was(path)
	if _, ours := w.snap.more[path]; !ours || was == nil || !was.Mode.IsRegular() {
		return nil // one that was not there has been removed, and its drafts with it
	}
	return w.host.Host.Write(ctx, path, was.entry())
}

// left reports whether a file is not to be put back.
func (w *work) left(path string) bool {
	return w.foreign[path] && !w.touchedBy(path, w.failed)
}

// units starts the units of login that ran before. A socket comes first, with
// its service stopped: systemd refuses a socket whose service is running already.
func (w *work) units(ctx context.Context) {
	for _, u := range w.activeBefore() {
		now, err := unitState(ctx, w.host, u)
		if err == nil && strings.Contains(now, "ActiveState=active") {
			continue
		}
		if service, ok := serviceOf(u); ok && err == nil {
			err = stubborn(func() error { return w.host.Host.Run(ctx, "", "systemctl", "stop", service) })
		}
		if err == nil {
			err = stubborn(func() error { return w.host.Host.Run(ctx, "", "systemctl", "start", u) })
		}
		if err != nil {
			w.note(Problem, "starting %s: %v", u, err)
		}
	}
}

// serviceOf returns the service of a socket unit, and whether u is one.
func serviceOf(u string) (string, bool) {
	name, ok := strings.CutSuffix(u, ".socket")
	return name + ".service", ok
}
