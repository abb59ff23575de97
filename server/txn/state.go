package txn

import (
	"fmt"
	"slices"
	"time"
)

// format is the version of everything in the journal's directory. It grows
// when an older binary could not roll back what a newer one has written.
const format = 1

// A State is a place in the life of a transaction.
type State string

// The states.
const (
	// Prepared: written down, rehearsed, nothing changed.
	Prepared State = "prepared"
	// Armed: the guard will roll back unless it is confirmed; nothing changed.
	Armed State = "armed"
	// Applying: steps are being carried out.
	Applying State = "applying"
	// Applied: every step is done; waiting for the confirmation.
	Applied State = "applied"
	// Confirmed: proven and kept.
	Confirmed State = "confirmed"
	// RollingBack: the server is being put back.
	RollingBack State = "rolling-back"
	// RolledBack: the server is as it was before, verified.
	RolledBack State = "rolled-back"
	// RollbackFailed: something could not be put back. Journal, snapshot and
	// boot unit stay; [Journal.Rollback] may be called again.
	RollbackFailed State = "rollback-failed"
)

// Final reports whether the transaction has ended.
func (s State) Final() bool {
	return s == Confirmed || s == RolledBack || s == RollbackFailed
}

// transitions are the only ways from state to state.
var transitions = map[State][]State{
	"":             {Prepared},
	Prepared:       {Armed, RollingBack},
	Armed:          {Applying, RollingBack},
	Applying:       {Applied, RollingBack},
	Applied:        {Confirmed, RollingBack},
	RollingBack:    {RollingBack, RolledBack, RollbackFailed},
	RollbackFailed: {RollingBack},
}

func allowed(from, to State) bool { return slices.Contains(transitions[from], to) }

// status is the content of the state file.
type status struct {
	Format int       `json:"format"`
	State  State     `json:"state"`
	Why    string    `json:"why,omitempty"`
	At     time.Time `json:"at"`
	// Boot and Deadline say until when the window is open: seconds of uptime of
	// that boot, because the clock may jump.
	Boot     string        `json:"boot,omitempty"`
	Armed    time.Duration `json:"armed,omitempty"`
	Deadline time.Duration `json:"deadline,omitempty"`
	// Clean says that nothing of the guard remains.
	Clean bool `json:"clean,omitempty"`
	// Settled says that a failed rollback was taken over by a person.
	Settled bool `json:"settled,omitempty"`
}

// A StateError says that a transaction is in a state from which what was asked
// for cannot follow: somebody else won.
type StateError struct {
	ID string
	// State is what the journal says, and Why its reason.
	State State
	Why   string
	// Wanted is the state that was asked for.
	Wanted State
}

// Error names the transaction and both states.
func (e *StateError) Error() string {
	s := fmt.Sprintf("transaction %s is %s and cannot become %s", e.ID, e.State, e.Wanted)
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s
}

// A FormatError says that a newer version has written the journal.
type FormatError struct {
	Path         string
	Found, Known int
}

// Error names the file and both formats.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s has format %d and this version knows formats up to %d: a newer version wrote it",
		e.Path, e.Found, e.Known)
}

// A NonceError says that a confirmation did not come from the desk that began
// the transaction.
type NonceError struct{ ID string }

// Error names the transaction.
func (e *NonceError) Error() string {
	return "transaction " + e.ID + " was begun by another desk: the nonce does not match"
}

// A LeftoverError says that a transaction has ended but that something of its
// guard could not be removed; [Journal.Recover] tries again.
type LeftoverError struct {
	ID    string
	State State
	Err   error
}

// Error names the transaction and its state.
func (e *LeftoverError) Error() string {
	return fmt.Sprintf("transaction %s is %s, but its guard could not be removed: %v", e.ID, e.State, e.Err)
}

// Unwrap returns Err.
func (e *LeftoverError) Unwrap() error { return e.Err }
