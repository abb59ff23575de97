package txn_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/server/txn"
)

// scene is a story in which one write fails. before has no fault.
type scene struct {
	name   string
	before func(b *bench) (id string)
	act    func(b *bench, id string) string
}

func scenes() []scene {
	begin := func(b *bench) string { return b.applied(b.begin("r1")) }
	return []scene{
		{
			name:   "apply and confirm",
			before: func(b *bench) string { return "" },
			act: func(b *bench, _ string) string {
				id, s, err := b.apply(b.begin("r1"))
				if err == nil && s == txn.Applied {
					b.j.Confirm(b.ctx, id, nonce)
				}
				return id
			},
		},
		{
			name:   "roll back",
			before: begin,
			act: func(b *bench, id string) string {
				b.j.Rollback(b.ctx, id, "test")
				return id
			},
		},
		{
			name: "boot",
			before: func(b *bench) string {
				id := begin(b)
				b.reboot()
				return id
			},
			act: func(b *bench, id string) string {
				b.m.loaded = "" // the daemon is not running yet
				if b.j.Boot(b.ctx); !b.f.dead {
					b.m.loaded = b.m.config()
					b.j.Finish(b.ctx)
				}
				return id
			},
		},
		{
			name: "packages",
			before: func(b *bench) string {
				return b.applied(txn.Begin{Meta: meta("r1", txn.Packages), Steps: b.steps(packageRes{"pwquality"})})
			},
			act: func(b *bench, id string) string {
				b.j.Rollback(b.ctx, id, "test")
				return id
			},
		},
		{
			name: "undo",
			before: func(b *bench) string {
				b.confirmed(txn.Begin{Meta: meta("r1", txn.Changes), Steps: b.steps(changes()[1:3]...)})
				return ""
			},
			act: func(b *bench, _ string) string {
				back, err := b.j.Undo(b.ctx, "")
				if err != nil {
					b.Fatal(err)
				}
				m := meta("r2", txn.Undo)
				m.Reverts, back[0].Meta = back[0].Reverts, m
				m.Reverts = back[0].Reverts
				id, s, err := b.apply(back[0])
				if err == nil && s == txn.Applied {
					b.j.Confirm(b.ctx, id, nonce)
				}
				return id
			},
		},
	}
}

// Whatever write fails, and whether or not it took effect, and also if nothing
// happens any more from then on: afterwards the machine is as it was or as it
// was to be, the journal says which, and nothing of the guard remains.
func TestEveryWriteFails(t *testing.T) {
	for _, sc := range scenes() {
		oldHost, newHost, writes := rehearseScene(t, sc)
		t.Logf("%s: %d writes", sc.name, writes)
		for _, kind := range []fault{refused, unheard, cutOff, cutAfter} {
			for _, power := range []bool{false, true} {
				if power && kind != cutOff && kind != cutAfter {
					continue
				}
				for at := 1; at <= writes+1; at++ {
					name := fmt.Sprintf("%s/%v/power=%v/%d", sc.name, kind, power, at)
					t.Run(name, func(t *testing.T) {
						inBubble(t, func(b *bench) { b.endure(sc, at, kind, power, oldHost, newHost) })
					})
				}
			}
		}
	}
}

// rehearseScene plays a scene without faults and returns what the host may look
// like and how many writes there are.
func rehearseScene(t *testing.T, sc scene) (oldHost, newHost string, writes int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		oldHost = b.m.String()
		id := sc.before(b)
		if id == "" {
			oldHost = b.m.String()
		}
		b.fuse(0, refused)
		sc.act(b, id)
		b.g.kill()
		newHost = b.m.String()
		writes = b.f.n
	})
	return oldHost, newHost, writes
}

func (b *bench) endure(sc scene, at int, kind fault, power bool, oldHost, newHost string) {
	id := sc.before(b)
	b.fuse(at, kind)
	sc.act(b, id)
	hit := b.f.hit
	if b.f.dead {
		if power {
			b.reboot()
			b.m.loaded = ""
			if err := b.j.Boot(b.Context()); err != nil {
				b.Errorf("%s: boot: %v", hit, err)
			}
			b.m.loaded = b.m.config()
			if err := b.j.Finish(b.Context()); err != nil {
				b.Errorf("%s: finish: %v", hit, err)
			}
		} else {
			b.g.kill()
			b.fuse(0, refused)
			b.open()
		}
	}
	// The desk reads back; the timer fires if it has not confirmed.
	if last := b.last(); last != "" {
		if s, _, err := b.j.State(last); err == nil && !s.Final() {
			if s == txn.Applied && !b.f.dead && kind < cutOff && id == "" {
				b.Logf("%s: applied and not confirmed", hit)
			}
			if err := b.j.Rollback(b.Context(), last, b.j.Why(last)); err != nil {
				b.Errorf("%s: rolling back: %v\n%s", hit, err, b.log(last))
			}
		}
	}
	time.Sleep(time.Hour) // everybody's time is over
	b.g.kill()
	if err := b.j.Recover(b.Context()); err != nil {
		b.Errorf("%s: recover: %v", hit, err)
	}
	b.settled(hit, oldHost, newHost)
}

// settled fails unless the host is what the journal says.
func (b *bench) settled(hit, oldHost, newHost string) {
	last := b.last()
	if last == "" {
		b.wantHost(oldHost)
		return
	}
	r, _, err := b.j.Show(last)
	if err != nil {
		b.Fatal(err)
	}
	want := oldHost
	if r.State == txn.Confirmed && (r.Kind == txn.Undo || newHost != oldHost) && !(r.Kind == txn.Changes && r.Run == "r1" && b.undoing(r)) {
		want = newHost
	}
	if b.want(last, r.State); r.State != txn.Confirmed && r.State != txn.RolledBack {
		b.Errorf("%s: the state is %s (%s)\n%s", hit, r.State, r.Why, b.log(last))
	}
	if got := b.m.String(); got != want {
		b.Errorf("%s: %s, but the host is\n%s\nwant\n%s\n%s", hit, r.State, got, want, b.log(last))
	}
	if h, _, err := b.j.Holder(); h != nil || err != nil {
		if gone, _ := b.j.Unlock(b.Context(), "bob"); gone != "" {
			b.Errorf("%s: claimed by %v, %v", hit, h, err)
		}
	}
}

// undoing reports whether r is the transaction that a scene was to undo and the
// undo never became a transaction.
func (b *bench) undoing(r txn.Record) bool { return len(r.Steps) == 2 }
