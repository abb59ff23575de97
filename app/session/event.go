package session

import "sync/atomic"

// A Kind says what happened to a session.
type Kind string

// The kinds.
const (
	Began       Kind = "began"
	Rotated     Kind = "rotated"      // it has a new token
	Ended       Kind = "ended"        // by its owner, by a new login, or because there were too many
	EndedOthers Kind = "ended others" // its owner ended all others
)

// An Event tells what happened to a session. It holds no token.
type Event struct {
	Kind    Kind
	Account string // key
	ID      string // of the session
	Addr    string // of the client when the session began, if known
}

// Stats is what a manager has done since the program started.
type Stats struct {
	Began, Rotated, Ended uint64
	Found, Missing        uint64 // requests with and without a session
	Touched               uint64 // how often it was written down that a session is in use
	Failed                uint64 // how often the store failed
}

type counters struct{ began, rotated, ended, found, missing, touched, failed atomic.Uint64 }

// Stats returns the counts at this moment.
func (m *Manager) Stats() Stats {
	c := &m.stats
	return Stats{
		Began: c.began.Load(), Rotated: c.rotated.Load(), Ended: c.ended.Load(),
		Found: c.found.Load(), Missing: c.missing.Load(), Touched: c.touched.Load(), Failed: c.failed.Load(),
	}
}

func (m *Manager) tell(k Kind, r Record) {
	switch k {
	case Began:
		m.stats.began.Add(1)
	case Rotated:
		m.stats.rotated.Add(1)
	case Ended:
		m.stats.ended.Add(1)
	}
	if m.OnEvent != nil {
		m.OnEvent(Event{Kind: k, Account: r.Account, ID: r.ID, Addr: r.Addr})
	}
}
