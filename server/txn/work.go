package txn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"
)

// A work is one transaction in the hands of the one process that changes the
// host for it.
type work struct {
	j        *Journal
	id       string
	plan     planFile
	snap     *snapshot
	host     *recorder
	progress []progress // by step, and one more for what an undo makes exact
	// known are the files that the transaction has touched, as it left them.
	known   map[string]string
	foreign map[string]bool // what somebody else has changed; nil if not yet told
	failed  map[int]bool    // steps that this rollback could not undo
	moved   []string        // files of others that were moved out of the way of logins
	resumed bool            // this rollback goes on where another was cut off
}

// progress is what the log says of a step.
type progress struct {
	begun, done bool
	after       *text
	touched     map[string]string
}

// take makes the caller the one who works on a transaction. It waits for another
// one to stop if wait is true.
func (j *Journal) take(ctx context.Context, id string, wait bool) (release func(), err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		release, err := j.disk.lock(j.path(id, "work"), false)
		if !wait || !errors.Is(err, errBusy) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the one who works on transaction %s: %w", id, ctx.Err())
		case <-tick.C:
		}
	}
}

// load reads everything about a transaction.
func (j *Journal) load(id string) (*work, error) {
	p, err := j.plan(id)
	if err != nil {
		return nil, err
	}
	snap, err := j.loadSnapshot(id)
	if err != nil {
		return nil, err
	}
	events, err := j.events(id)
	if err != nil {
		return nil, err
	}
	w := &work{
		j: j, id: id, plan: p, snap: snap, progress: make([]progress, len(p.Steps)+1), known: map[string]string{},
		failed: map[int]bool{},
		host:   &recorder{Host: j.host, j: j, id: id, snap: snap, wrote: map[string]bool{}},
	}
	for _, e := range events {
		w.replay(e)
	}
	return w, nil
}

// replay takes in what the log says.
func (w *work) replay(e Event) {
	if e.What == Foreign {
		w.foreign = map[string]bool{}
		for _, p := range e.Paths {
			w.foreign[p] = true
		}
	}
	maps.Copy(w.known, e.Touched)
	if e.Step < 1 || e.Step > len(w.progress) {
		return
	}
	p := &w.progress[e.Step-1]
	switch e.What {
	case Begun:
		p.begun = true
	case Refused:
		p.begun = false
	case Done:
		p.done, p.after, p.touched = true, e.After, e.Touched
	}
}

// open reports whether a step was begun and the log does not say how it ended.
func (w *work) open() bool {
	for _, p := range w.progress {
		if p.begun && !p.done {
			return true
		}
	}
	return false
}

// event is an event about step i, counted from 0; the one after the last is about
// files that an undo makes exact.
func (w *work) event(what EventKind, i int, text string) Event {
	e := Event{What: what, Step: i + 1, Text: text}
	if i < len(w.plan.Steps) {
		e.Resource = w.plan.Steps[i].Change.Resource
	}
	return e
}

// note is told to a person and stops nothing.
func (w *work) note(what EventKind, format string, args ...any) {
	w.j.tell(w.id, Event{What: what, Text: fmt.Sprintf(format, args...)})
}

func (j *Journal) keptPath(id, path string) string {
	return j.path(id, "kept", filepath.FromSlash(path)) + ".json"
}
