package txn

import (
	"errors"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Record is a transaction as history tells it.
type Record struct {
	ID string `json:"id"`
	Meta
	State State  `json:"state"`
	Why   string `json:"why,omitempty"`
	// Began is when it was begun and At when it came into State.
	Began time.Time `json:"began"`
	At    time.Time `json:"at"`
	// UndoneBy is the confirmed transaction that has put it back.
	UndoneBy string       `json:"undone_by,omitempty"`
	Steps    []RecordStep `json:"steps"`
}

// A RecordStep is a step of a transaction and how far it came.
type RecordStep struct {
	Controls []string      `json:"controls,omitempty"`
	Change   server.Change `json:"change"`
	// Begun and Done say how far it came before the transaction was confirmed or
	// rolled back.
	Begun bool `json:"begun"`
	Done  bool `json:"done"`
}

// History returns all transactions, oldest first. Those that a newer version has
// written make it fail with a [*FormatError].
func (j *Journal) History() ([]Record, error) {
	ids, err := j.ids()
	if err != nil {
		return nil, err
	}
	all := make([]Record, 0, len(ids))
	undone := map[string]string{}
	for _, id := range ids {
		r, _, err := j.read(id)
		if err != nil {
			return nil, err
		}
		if r.Kind == Undo && r.State == Confirmed {
			undone[r.Reverts] = id
		}
		all = append(all, r)
	}
	for i := range all {
		all[i].UndoneBy = undone[all[i].ID]
	}
	return all, nil
}

// Show returns one transaction and all that its log holds.
func (j *Journal) Show(id string) (Record, []Event, error) {
	all, err := j.History()
	if err != nil {
		return Record{}, nil, err
	}
	for _, r := range all {
		if r.ID == id {
			_, events, err := j.read(id)
			return r, events, err
		}
	}
	return Record{}, nil, &NotFoundError{ID: id}
}

func (j *Journal) read(id string) (Record, []Event, error) {
	s, serr := j.status(id)
	p, perr := j.plan(id)
	events, err := j.events(id)
	if err := errors.Join(serr, perr, err); err != nil {
		return Record{}, nil, err
	}
	r := Record{ID: id, Meta: p.Meta, State: s.State, Why: s.Why, Began: p.Began, At: s.At}
	for _, step := range p.Steps {
		r.Steps = append(r.Steps, RecordStep{Controls: step.Controls, Change: step.Change.change()})
	}
	for _, e := range events {
		if e.Step < 1 || e.Step > len(r.Steps) {
			continue
		}
		step := &r.Steps[e.Step-1]
		switch e.What {
		case Begun:
			step.Begun = true
		case Refused:
			step.Begun = false
		case Done:
			step.Done = true
			if e.After != nil {
				step.Change.After = server.State(*e.After)
			}
		}
	}
	return r, events, nil
}
