package hosttest

import (
	"errors"
	"fmt"
)

// A Fault is a way in which one call of a [Host] goes wrong.
type Fault int

// The faults. Reading calls fail alike as Refused and as Unheard, and are not
// touched by Ignored.
const (
	// None is no fault.
	None Fault = iota
	// Refused gives an error, and nothing has happened.
	Refused
	// Unheard does it, and gives an error all the same: the answer was lost.
	Unheard
	// Ignored does nothing and says that it went well.
	Ignored
)

// String returns the fault's name.
func (f Fault) String() string {
	return [...]string{"None", "Refused", "Unheard", "Ignored"}[f]
}

var (
	errRefused = errors.New("refused on demand")
	errUnheard = errors.New("the answer was lost on demand")
	errIgnored = errors.New("ignored on demand")
)

// faults counts calls and fails one of them.
type faults struct {
	calls, writes int
	failAt        int
	fault         Fault
}

// FailAt makes the n-th call from now, from 1, fail as f says, once. 0 takes
// the demand back.
func (h *Host) FailAt(n int, f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failAt, h.fault = n, f
	if n > 0 {
		h.failAt += h.calls
	}
}

// Calls returns how often the host was called as a [server.Host].
func (h *Host) Calls() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

// Writes returns how many of the calls were to Run, Write and Remove.
func (h *Host) Writes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writes
}

// count counts a call and returns the error of the fault that it has to show.
func (h *Host) count(changes bool) error {
	h.calls++
	if changes {
		h.writes++
	}
	if h.failAt != h.calls || h.failAt == 0 {
		return nil
	}
	switch {
	case h.fault == Refused, h.fault == Unheard && !changes:
		return errRefused
	case h.fault == Unheard:
		return errUnheard
	case h.fault == Ignored && changes:
		return errIgnored
	}
	return nil
}

// change counts a call that changes the host and carries it out, or not.
func (h *Host) change(what string, do func() error) error {
	demand := h.count(true)
	switch {
	case errors.Is(demand, errIgnored):
		return nil
	case errors.Is(demand, errRefused):
		return fmt.Errorf("%s: %w", what, demand)
	}
	if err := do(); err != nil {
		return err
	}
	if demand != nil {
		return fmt.Errorf("%s: %w", what, demand)
	}
	return nil
}
