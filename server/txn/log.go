package txn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"
)

// An EventKind says what an [Event] is about.
type EventKind string

// The kinds of events.
const (
	// StateChanged: the transaction is now in State.
	StateChanged EventKind = "state"
	// Begun: a step is about to change the host.
	Begun EventKind = "begun"
	// Done: the step is done and read back.
	Done EventKind = "done"
	// Refused: the step found what the plan did not show and did nothing.
	Refused EventKind = "refused"
	// Undoing: a step is about to be put back.
	Undoing EventKind = "undoing"
	// Undone: the step is put back and read back.
	Undone EventKind = "undone"
	// Foreign: Paths were changed by somebody else before the rollback began.
	Foreign EventKind = "foreign"
	// Note: something that a person may want to know.
	Note EventKind = "note"
	// Problem: something failed. It is not the end yet.
	Problem EventKind = "problem"
)

// An Event is one line of a transaction's log.
type Event struct {
	// Seq counts the lines of the log from 1; it is not stored.
	Seq  int       `json:"-"`
	At   time.Time `json:"at"`
	What EventKind `json:"what"`
	// State is set if What is StateChanged.
	State State `json:"state,omitempty"`
	// Step is the number of the step from 1, and Resource its name; 0 and empty
	// if the event is not about a step.
	Step     int    `json:"step,omitempty"`
	Resource string `json:"resource,omitempty"`
	// Text is for people.
	Text string `json:"text,omitempty"`
	// After is what the host shows after a step, if it is not what was planned.
	After *text `json:"after,omitempty"`
	// Touched are the files that the step has changed and the digests of what it
	// left; an empty one means that the file is not there.
	Touched map[string]string `json:"touched,omitempty"`
	// Paths are files that somebody else has changed.
	Paths []string `json:"paths,omitempty"`
}

// ParseLog reads a log. A line that a crash has torn is left out, because a step
// whose end is not in the log counts as one that did not end.
func ParseLog(data []byte) []Event {
	var all []Event
	seq := 0
	for line := range bytes.Lines(data) {
		seq++
		if line[len(line)-1] != '\n' {
			break
		}
		var e Event
		if json.Unmarshal(line, &e) != nil || e.What == "" {
			continue
		}
		e.Seq = seq
		all = append(all, e)
	}
	return all
}

// record adds e to the log, durably.
func (j *Journal) record(id string, e Event) error {
	e.At = time.Now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	if err := j.disk.appendLine(j.path(id, "log.jsonl"), line); err != nil {
		return fmt.Errorf("writing the log of transaction %s: %w", id, err)
	}
	return nil
}

// tell is record for what must not stop anything.
func (j *Journal) tell(id string, e Event) {
	if err := j.record(id, e); err != nil {
		j.c.Log.Error("event lost", "err", err, "event", e)
	}
}

func (j *Journal) events(id string) ([]Event, error) {
	data, err := os.ReadFile(j.path(id, "log.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log of transaction %s: %w", id, err)
	}
	return ParseLog(data), nil
}

// Follow yields the events of a transaction after the one with number from (0
// for all), and waits for more until the transaction has ended and all of them
// have been yielded, or ctx is done.
func (j *Journal) Follow(ctx context.Context, id string, from int) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			// The state first: what was logged before the end is in the log then.
			s, err := j.status(id)
			if err != nil {
				yield(Event{}, err)
				return
			}
			all, err := j.events(id)
			if err != nil {
				yield(Event{}, err)
				return
			}
			ended := false
			for _, e := range all {
				if e.What == StateChanged {
					ended = e.State.Final()
				}
				if e.Seq <= from {
					continue
				}
				if !yield(e, nil) {
					return
				}
				from = e.Seq
			}
			if s.State.Final() && (ended || time.Since(s.At) > time.Second) {
				return
			}
			select {
			case <-ctx.Done():
				yield(Event{}, ctx.Err())
				return
			case <-tick.C:
			}
		}
	}
}
