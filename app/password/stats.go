package password

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/holdfast-security/holdfast/app/gate"
)

// An Op is an operation of a Hasher.
type Op string

// The operations that an Event tells of.
const (
	OpHash   Op = "hash"
	OpVerify Op = "verify"
	OpDummy  Op = "dummy"
)

// An Event tells of one operation of a Hasher, its waiting in the gate included.
// It holds no password and no hash.
type Event struct {
	Op     Op
	Scheme string // ID; empty if the stored hash was not recognized
	Took   time.Duration
	Result Result // of OpVerify
	Err    error
}

// Stats counts what a Hasher has done since it was made.
type Stats struct {
	Hashed, Verified, Dummies int64 // ended without an error
	Matched, Outdated         int64 // of Verified: right passwords, and those to upgrade
	Busy                      int64 // refused by the gate
	Failed                    int64 // ended with any other error
}

type counters struct{ hashed, verified, dummies, matched, outdated, busy, failed atomic.Int64 }

// Stats returns what the hasher has done so far.
func (h *Hasher) Stats() Stats {
	c := &h.stats
	return Stats{
		Hashed: c.hashed.Load(), Verified: c.verified.Load(), Dummies: c.dummies.Load(),
		Matched: c.matched.Load(), Outdated: c.outdated.Load(),
		Busy: c.busy.Load(), Failed: c.failed.Load(),
	}
}

func (h *Hasher) observe(e Event) {
	c := &h.stats
	switch {
	case errors.Is(e.Err, gate.ErrBusy):
		c.busy.Add(1)
	case e.Err != nil:
		c.failed.Add(1)
	case e.Op == OpHash:
		c.hashed.Add(1)
	case e.Op == OpDummy:
		c.dummies.Add(1)
	default:
		c.verified.Add(1)
		if e.Result.Match {
			c.matched.Add(1)
		}
		if e.Result.Upgrade {
			c.outdated.Add(1)
		}
	}
	if h.Observe != nil {
		h.Observe(e)
	}
}
