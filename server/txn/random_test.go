package txn_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/txn"
)

// Whatever order confirmations, rollbacks, timers, crashes, power cuts and
// recoveries come in: exactly one of confirm and rollback wins, the journal
// never changes its mind, and the host is what it says.
func TestRandomLives(t *testing.T) {
	lives := 300
	if testing.Short() {
		lives = 30
	}
	for seed := range lives {
		inBubble(t, func(b *bench) { b.live(uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (b *bench) live(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	oldHost := b.m.String()
	id, err := b.j.Begin(b.ctx, b.begin("r1"))
	if err != nil {
		b.Fatal(err)
	}
	var ends []txn.State // what callers were told
	told := func(err error, won txn.State) {
		var lost *txn.StateError
		switch {
		case err == nil:
			ends = append(ends, won)
		case errors.As(err, &lost) && lost.State.Final():
			ends = append(ends, lost.State)
		}
	}
	var trace []string
	moves := map[string]func(){
		"start":   func() { b.j.Start(b.ctx, id, secrets) },
		"confirm": func() { told(b.j.Confirm(b.ctx, id, nonce), txn.Confirmed) },
		"stranger": func() {
			if b.j.Confirm(b.ctx, id, []byte("no")) == nil {
				b.Error("a stranger has confirmed")
			}
		},
		"rollback": func() { told(b.j.Rollback(b.ctx, id, "test"), txn.RolledBack) },
		"both": func() {
			done := make(chan error)
			go func() { done <- b.j.Rollback(b.ctx, id, "test") }()
			told(b.j.Confirm(b.ctx, id, nonce), txn.Confirmed)
			told(<-done, txn.RolledBack)
		},
		"wait":    func() { time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) },
		"late":    func() { time.Sleep(10 * time.Minute) },
		"extend":  func() { b.j.Extend(b.ctx, id, time.Minute) },
		"recover": func() { b.j.Recover(b.ctx) },
		"unlock":  func() { b.j.Unlock(b.ctx, "bob") },
		"kill": func() {
			b.g.kill()
			b.fuse(0, refused)
			b.open()
		},
		"fuse": func() {
			if b.f.life().Err() != nil {
				b.g.kill() // nobody comes back from the dead
			}
			b.fuse(1+random.IntN(40), fault(random.IntN(4)))
			b.open()
		},
		"power": func() {
			b.reboot()
			b.m.loaded = ""
			b.j.Boot(b.ctx)
			b.m.loaded = b.m.config()
			b.j.Finish(b.ctx)
		},
	}
	names := make([]string, 0, len(moves))
	for name := range moves {
		names = append(names, name)
	}
	slices.Sort(names)
	if random.IntN(4) > 0 {
		moves["start"]()
	}
	for range 1 + random.IntN(12) {
		name := names[random.IntN(len(names))]
		trace = append(trace, name)
		moves[name]()
	}
	b.g.kill()
	b.fuse(0, refused)
	b.open()
	time.Sleep(time.Hour)
	for range 2 {
		if err := b.j.Recover(b.Context()); err != nil {
			b.Errorf("recover: %v", err)
		}
	}
	s, _, err := b.j.State(id)
	if s == txn.RollbackFailed { // more than one write has failed: a person tries again
		err = b.j.Rollback(b.Context(), id, "by hand")
		s = txn.RolledBack
	}
	if err != nil {
		b.Errorf("state: %v", err)
	}
	b.want(id, s)
	for _, e := range ends {
		if e != s && e != txn.RollbackFailed {
			b.Errorf("somebody was told %s, and it is %s", e, s)
		}
	}
	if s != txn.Confirmed {
		b.wantHost(oldHost)
	} else if b.m.String() == oldHost {
		b.Error("confirmed, but the host is as before")
	}
	if b.Failed() {
		b.Logf("moves: %v\n%s", trace, b.log(id))
	}
}
