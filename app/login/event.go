package login

import (
	"net/netip"
	"sync/atomic"
)

// A Reason says how an attempt ended. It is for the program's own log; whoever is
// not let in must not learn it.
type Reason string

// The reasons.
const (
	In         Reason = "in"
	Unknown    Reason = "unknown"     // no account has this id
	Wrong      Reason = "wrong"       // the password
	NoPassword Reason = "no password" // the account has none
	Disabled   Reason = "disabled"    // the account is switched off
	Unusable   Reason = "unusable"    // the stored hash cannot be verified
	Locked     Reason = "locked"      // the account's attempts are used up
	TooMany    Reason = "too many"    // the network's attempts are used up
	Busy       Reason = "busy"        // the gate refused
)

// An Event tells how one attempt ended. It holds no login id, since people type
// their password into the wrong field.
type Event struct {
	Reason   Reason
	Account  string // key; empty if there is none
	Addr     netip.Addr
	Trusted  bool // came with a valid device cookie
	Upgraded bool // the stored hash was replaced by a better one
	Mailed   bool // a link was queued for the owner
	// Err is what went wrong beside: why a stored hash is unusable or was not
	// upgraded, or why no link was mailed.
	Err error
}

// Stats is what a service has done since the program started.
type Stats struct {
	In, Denied, Locked, TooMany, Busy, Upgraded, Mailed uint64
	// Late counts refusals that missed the deadline and came at a later one.
	Late uint64
}

type counters struct{ in, denied, locked, tooMany, busy, upgraded, mailed atomic.Uint64 }

// Stats returns the counts at this moment. Locked attempts are denied ones too.
func (s *Service) Stats() Stats {
	s.deadline.mu.Lock()
	late := s.deadline.late
	s.deadline.mu.Unlock()
	c := &s.stats
	return Stats{
		In: c.in.Load(), Denied: c.denied.Load(), Locked: c.locked.Load(), TooMany: c.tooMany.Load(),
		Busy: c.busy.Load(), Upgraded: c.upgraded.Load(), Mailed: c.mailed.Load(), Late: late,
	}
}

func (s *Service) tell(e Event) {
	c := &s.stats
	switch e.Reason {
	case In:
		c.in.Add(1)
	case TooMany:
		c.tooMany.Add(1)
	case Busy:
		c.busy.Add(1)
	case Locked:
		c.locked.Add(1)
		fallthrough
	default:
		c.denied.Add(1)
	}
	if e.Upgraded {
		c.upgraded.Add(1)
	}
	if e.Mailed {
		c.mailed.Add(1)
	}
	if s.OnAttempt != nil {
		s.OnAttempt(e)
	}
}
