package txn

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// verify returns what the rollback has not put back, and tells what somebody
// else has changed.
func (w *work) verify(ctx context.Context) (problems []string) {
	ours := map[string]bool{}
	for _, path := range w.paths(w.begun("")) {
		ours[path] = true
		now, err := look(ctx, w.host, path)
		if err == nil && now.digest() != w.snap.was(path).digest() && !w.left(path) {
			err = fmt.Errorf("%s is not as it was", path)
		}
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	for _, i := range w.begun("") {
		// What could be undone was read back then, and what was undone after it
		// may have changed it once more, as the end of an account changes its
		// password. Followers follow what there is now.
		if !w.failed[i] && w.plan.Steps[i].Stage != followers {
			continue
		}
		if err := stubborn(func() error { return w.isBack(ctx, i) }); err != nil && !w.filesAreBack(ctx, i) {
			problems = append(problems, err.Error())
		}
	}
	entries, err := scan(ctx, w.host, w.snap.Patterns)
	if err != nil {
		return append(problems, err.Error())
	}
	differs := map[string]string{}
	changed(differs, w.snap, nil, entries)
	for _, path := range slices.Sorted(maps.Keys(differs)) {
		if !ours[path] {
			w.note(Note, "%s was changed by something else while the transaction was open; it is left", path)
		}
	}
	for _, u := range slices.Sorted(maps.Keys(w.snap.Units)) {
		now, err := unitState(ctx, w.host, u)
		if err == nil && strings.Contains(w.snap.Units[u], "ActiveState=active") && !strings.Contains(now, "ActiveState=active") {
			err = fmt.Errorf("%s does not run: %s", u, now)
		}
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems
}

// isBack returns an error if step i is not in the state before it.
func (w *work) isBack(ctx context.Context, i int) error {
	step := w.plan.Steps[i]
	r, err := w.j.c.Codec.Decode(step.Resource, nil)
	if err != nil {
		return err
	}
	want := server.State(step.Change.Before)
	if f, ok := r.(server.Follower); ok {
		if f, err = f.Follow(ctx, w.host); err != nil {
			return err
		}
		r, want = f, f.Want()
	}
	now, err := r.Get(ctx, w.host)
	if err != nil {
		return fmt.Errorf("reading %s: %w", r.Name(), err)
	}
	if now != want {
		return fmt.Errorf("%s is not as it was", r.Name())
	}
	return nil
}

// filesAreBack reports whether step i did nothing but change files and all of
// them are what they were. Which files a step that was cut off has changed is not
// known: then all that the transaction has touched have to be.
func (w *work) filesAreBack(ctx context.Context, i int) bool {
	p := w.progress[i]
	touched := p.touched
	if !p.done {
		touched = w.known
	}
	if w.plan.Steps[i].Stage != ordinary || len(touched) == 0 {
		return false
	}
	for path := range touched {
		now, err := look(ctx, w.host, path)
		if err != nil || now.digest() != w.snap.was(path).digest() {
			return false
		}
	}
	return true
}
