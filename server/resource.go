package server

import (
	"context"
	"fmt"
)

// State is the state of a resource as text that a person can read and diff.
// The empty State means that the thing does not exist. Secrets stand in it as
// their [Digest].
type State string

// A Resource is one thing on a host that has a wanted state. Its implementations
// are plain data (package server/resource), because the journal stores them.
type Resource interface {
	// Name identifies the resource in plans, journals and messages, for example
	// "file /etc/ssh/sshd_config". Two resources with one name are one thing.
	Name() string
	// Want returns the wanted state.
	Want() State
	// Get reads the present state.
	Get(ctx context.Context, r Reader) (State, error)
	// Set brings the host to s, which is the wanted state or, on undo, an
	// earlier one. Setting a state twice is the same as setting it once.
	Set(ctx context.Context, h Host, s State) error
}

// A Chooser is a resource for which more states than Want's are good enough,
// such as any usable password. On a host that shows one of them there is
// nothing to do.
type Chooser interface {
	Resource
	// Accepts reports whether s is good enough.
	Accepts(s State) bool
}

// A Follower is a resource whose wanted state follows from what the other
// resources leave on the host, such as a daemon that is to run the
// configuration in its files. Followers are set after all others, in both
// directions, and again after a crash in between.
type Follower interface {
	Resource
	// Follow returns the resource with the state that is wanted on a host that
	// looks as r shows.
	Follow(ctx context.Context, r Reader) (Follower, error)
}

// An Installer is a resource that needs the network and may take minutes, such
// as a package. Installers are set before all others and undone after them, and
// never in a [World].
type Installer interface {
	Resource
	// Install does nothing; it tells an Installer from other resources.
	Install()
}

// A Starter is a resource of the service manager, such as a unit. Starters are
// set after what they start has its configuration and before followers, and
// never in a [World].
type Starter interface {
	Resource
	// Start does nothing; it tells a Starter from other resources.
	Start()
}

// A Shower is a resource whose state a person can look at.
type Shower interface {
	Resource
	// Show returns what to type on the host to see the state, as root.
	Show() string
}

// A Sweeper is a resource whose Set may leave something beside what it changes
// if it is cut off half way, such as the lock of a tool that was killed.
type Sweeper interface {
	Resource
	// Sweep removes that, and nothing that belongs to somebody who is still at
	// work. It may be called again.
	Sweep(ctx context.Context, h Host) error
}

// NeedsSecretError says that a resource cannot be set until the desk has sent a
// secret.
type NeedsSecretError struct {
	// Secret is its name in [Config.Secrets].
	Secret string
}

// Error names the secret.
func (e *NeedsSecretError) Error() string {
	return fmt.Sprintf("the secret %q is needed and was not given", e.Secret)
}

// A DriftError says that a host shows a state that the plan did not: somebody
// else has changed it since. Nothing was overwritten.
type DriftError struct {
	Resource        string
	Expected, Found State
}

// Error names the resource.
func (e *DriftError) Error() string {
	return e.Resource + " was changed by something else"
}

// A Change is the step from what a host has to what it should have. It is plain
// data: a plan is a list of changes, and so is the journal that a rollback
// reads after the process that made them is gone.
type Change struct {
	Resource string `json:"resource"`
	Before   State  `json:"before"`
	After    State  `json:"after"`
}

// Needed reports whether there is anything to do.
func (c Change) Needed() bool { return c.Before != c.After }

// accepts reports whether s is good enough for r.
func accepts(r Resource, s State) bool {
	if c, ok := r.(Chooser); ok {
		return c.Accepts(s)
	}
	return s == r.Want()
}

// Check finds what would have to change on the host that rd shows.
func Check(ctx context.Context, rd Reader, r Resource) (Change, error) {
	now, err := r.Get(ctx, rd)
	if err != nil {
		return Change{}, fmt.Errorf("reading %s: %w", r.Name(), err)
	}
	c := Change{Resource: r.Name(), Before: now, After: now}
	if !accepts(r, now) {
		c.After = r.Want()
	}
	return c, nil
}

// Apply carries out c and returns it with After as the host then shows it,
// which for a [Chooser] may differ from the wanted state.
//
// It may be called again after any error. A [*DriftError] means that nothing
// was done.
func Apply(ctx context.Context, h Host, r Resource, c Change) (Change, error) {
	now, err := move(ctx, h, r, c.Before, c.After, func(s State) bool { return accepts(r, s) })
	if err != nil {
		return c, err
	}
	c.After = now
	return c, nil
}

// Undo puts back what Apply replaced. It keeps the same promises.
//
// c may be what was to be done rather than what Apply returned, as it is after
// an Apply that was cut short: then whatever the resource accepts counts as its
// doing.
func Undo(ctx context.Context, h Host, r Resource, c Change) error {
	from := c.After
	if _, chooses := r.(Chooser); chooses && from == r.Want() {
		now, err := r.Get(ctx, h)
		if err != nil {
			return fmt.Errorf("reading %s: %w", r.Name(), err)
		}
		if accepts(r, now) {
			from = now
		}
	}
	_, err := move(ctx, h, r, from, c.Before, func(s State) bool { return s == c.Before })
	return err
}

// move is compare-and-set with read-back. It is the only place that changes a
// host, so what it promises holds for every resource: it never overwrites a
// state it was not told about, it may be run again after any error, and it
// believes the host rather than the command that claimed to have changed it.
func move(ctx context.Context, h Host, r Resource, from, to State, good func(State) bool) (State, error) {
	if f, ok := r.(Follower); ok {
		return follow(ctx, h, f)
	}
	now, err := r.Get(ctx, h)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", r.Name(), err)
	}
	// A host that is at its destination already may have got there by a run
	// whose answer was lost half way through Set. Set again: doing it twice is
	// the same as doing it once.
	if now != from && !good(now) {
		return "", &DriftError{Resource: r.Name(), Expected: from, Found: now}
	}
	if err := r.Set(ctx, h, to); err != nil {
		return "", fmt.Errorf("setting %s: %w", r.Name(), err)
	}
	now, err = r.Get(ctx, h)
	if err != nil {
		return "", fmt.Errorf("reading %s back: %w", r.Name(), err)
	}
	if !good(now) {
		return "", fmt.Errorf("%s was set, but the host does not show it", r.Name())
	}
	return now, nil
}

// follow brings f in line with what the host shows, whichever direction the
// other resources have just moved in.
func follow(ctx context.Context, h Host, f Follower) (State, error) {
	name := f.Name()
	f, err := f.Follow(ctx, h)
	if err != nil {
		return "", fmt.Errorf("reading what %s follows: %w", name, err)
	}
	now, err := f.Get(ctx, h)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	if accepts(f, now) {
		return now, nil
	}
	if err := f.Set(ctx, h, f.Want()); err != nil {
		return "", fmt.Errorf("setting %s: %w", f.Name(), err)
	}
	now, err = f.Get(ctx, h)
	if err != nil {
		return "", fmt.Errorf("reading %s back: %w", f.Name(), err)
	}
	if !accepts(f, now) {
		return "", fmt.Errorf("%s was set, but the host does not show it", f.Name())
	}
	return now, nil
}
