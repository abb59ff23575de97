package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Step is one change of a plan and who wants it.
type Step struct {
	// Controls are the IDs of the controls that want the change.
	Controls []string
	Resource Resource
	Change   Change
	// LocksOut says that one of the controls can cut people off.
	LocksOut bool
}

// A Plan is what a server needs, in the order in which it is to be done:
// installers, then what they were installed for, then starters, then followers.
type Plan struct {
	Steps []Step
	// Errors are the controls that could not tell what they want, by ID. A plan
	// with errors must not be applied.
	Errors map[string]error
	// Excepted are the exceptions whose controls were left out.
	Excepted []Exception
}

// Digest identifies the plan: two plans with one digest ask for the same
// changes from the same states.
func (p Plan) Digest() string {
	h := sha256.New()
	for _, s := range p.Steps {
		fmt.Fprintf(h, "%q %q %q\n", s.Change.Resource, s.Change.Before, s.Resource.Want())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Err returns the errors as one, nil if there are none.
func (p Plan) Err() error {
	var all []error
	for _, id := range sortedKeys(p.Errors) {
		all = append(all, fmt.Errorf("%s: %w", id, p.Errors[id]))
	}
	return errors.Join(all...)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Candidate looks at a host as a plan would leave it, before the plan is
// carried out: it is given the World in which the plan was tried, or the host
// itself if there is nothing to try.
type Candidate func(ctx context.Context, p Plan, r Reader) error

// MakePlan asks every control, in order, what it wants on the host that r
// shows. If r is a [Rehearser], each change is tried in a [World] at once, so
// that later controls build on it. If look is not nil it is called with the
// result before the World is closed.
//
// A control that fails does not stop the others: its error is in
// [Plan.Errors]. One that an [Exception] switches off is left out. The returned
// error is about the rehearsal itself or comes from look.
func MakePlan(ctx context.Context, r Reader, controls []Control, c Config, look Candidate) (Plan, error) {
	r = remember(r)
	p := planner{live: r, view: r, plan: Plan{Errors: map[string]error{}}, at: map[string]int{}}
	defer p.close()
	now := time.Now()
	for _, control := range controls {
		if e, inForce, _ := c.Exception(control.ID, now); inForce {
			p.plan.Excepted = append(p.plan.Excepted, e)
			continue
		}
		if err := p.add(ctx, control, c); err != nil {
			p.plan.Errors[control.ID] = err
		}
		if p.broken != nil {
			return Plan{}, p.broken
		}
	}
	p.addFollowers(ctx)
	slices.SortStableFunc(p.plan.Steps, func(a, b Step) int {
		return cmp.Compare(stage(a.Resource), stage(b.Resource))
	})
	if look != nil {
		if err := look(ctx, p.plan, p.view); err != nil {
			return Plan{}, err
		}
	}
	return p.plan, nil
}

// stage is the place of a resource's kind in the order of a plan.
func stage(r Resource) int {
	switch r.(type) {
	case Installer:
		return 0
	case Starter:
		return 2
	case Follower:
		return 3
	}
	return 1
}

type planner struct {
	live      Reader
	view      Reader // live until something changes, then world
	world     World
	plan      Plan
	at        map[string]int // index of a step by its resource's name
	followers []Step
	broken    error // why no World could be had
}

func (p *planner) close() {
	if p.world != nil {
		p.world.Close()
	}
}

func (p *planner) add(ctx context.Context, control Control, c Config) error {
	wants, err := control.Wants(ctx, p.view, c)
	if err != nil {
		return err
	}
	for _, r := range wants {
		step := Step{Controls: []string{control.ID}, Resource: r, LocksOut: control.LocksOut}
		if _, ok := r.(Follower); ok {
			p.followers = append(p.followers, step)
			continue
		}
		if err := p.addOne(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// addOne checks a resource and, if it needs a change, tries it in the World.
func (p *planner) addOne(ctx context.Context, s Step) error {
	change, err := Check(ctx, p.view, s.Resource)
	if err != nil {
		return err
	}
	if !change.Needed() {
		return nil
	}
	if stage(s.Resource) == 1 {
		if err := p.enterWorld(ctx); err != nil {
			return err
		}
		if p.world != nil {
			done, err := Apply(ctx, p.world, s.Resource, change)
			p.view = remember(p.world) // the old answers are about the old World
			if needs := (*NeedsSecretError)(nil); err != nil && !errors.As(err, &needs) {
				return err
			}
			change = done
		}
	}
	s.Change = change
	i, known := p.at[change.Resource]
	if !known {
		p.at[change.Resource] = len(p.plan.Steps)
		p.plan.Steps = append(p.plan.Steps, s)
		return nil
	}
	// Two controls want one thing: from what the first found to what the second
	// makes of it.
	first := &p.plan.Steps[i]
	first.Controls = append(first.Controls, s.Controls...)
	first.LocksOut = first.LocksOut || s.LocksOut
	first.Resource = s.Resource
	first.Change.After = change.After
	return nil
}

func (p *planner) enterWorld(ctx context.Context) error {
	if p.world != nil {
		return nil
	}
	rehearser, ok := p.live.(Rehearser)
	if !ok {
		return nil
	}
	w, err := rehearser.Rehearse(ctx)
	if err != nil {
		p.broken = fmt.Errorf("making a private copy to try the plan in: %w", err)
		return p.broken
	}
	p.world, p.view = w, w
	return nil
}

// addFollowers adds what has to follow from the World's files to the live host.
func (p *planner) addFollowers(ctx context.Context) {
	for _, s := range p.followers {
		f, err := s.Resource.(Follower).Follow(ctx, p.view)
		if err == nil {
			s.Resource = f
			s.Change, err = Check(ctx, p.live, f)
		}
		if err != nil {
			p.plan.Errors[s.Controls[0]] = err
			continue
		}
		if !s.Change.Needed() {
			continue
		}
		if i, known := p.at[s.Change.Resource]; known {
			first := &p.plan.Steps[i]
			first.Controls = append(first.Controls, s.Controls...)
			first.LocksOut = first.LocksOut || s.LocksOut
			continue
		}
		p.at[s.Change.Resource] = len(p.plan.Steps)
		p.plan.Steps = append(p.plan.Steps, s)
	}
}
