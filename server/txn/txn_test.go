package txn_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/txn"
)

// inBubble runs a test with time of its own.
func inBubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newBench(t)) })
}

func (b *bench) begin(run string) txn.Begin {
	b.Helper()
	return txn.Begin{Meta: meta(run, txn.Changes), Steps: b.steps(changes()...)}
}

func TestConfirm(t *testing.T) {
	inBubble(t, func(b *bench) {
		id := b.applied(b.begin("r1"))
		if b.g.armed[id] != txn.DefaultWindow {
			t.Errorf("armed with %v", b.g.armed)
		}
		var wrong *txn.NonceError
		if err := b.j.Confirm(b.ctx, id, []byte("somebody else's")); !errors.As(err, &wrong) {
			t.Errorf("a wrong nonce: %v", err)
		}
		for range 2 { // the answer to the first may be lost
			if err := b.j.Confirm(b.ctx, id, nonce); err != nil {
				t.Fatal(err)
			}
		}
		b.g.Stop(b.ctx, id)
		b.want(id, txn.Confirmed)
		if b.runErr != nil {
			t.Errorf("the run: %v", b.runErr)
		}
		var lost *txn.StateError
		if err := b.j.Rollback(b.ctx, id, "too late"); !errors.As(err, &lost) || lost.State != txn.Confirmed {
			t.Errorf("a rollback after the confirmation: %v", err)
		}
		b.want(id, txn.Confirmed)
		if got := b.m.loaded; !strings.Contains(got, "PasswordAuthentication no") {
			t.Errorf("the daemon runs %q", got)
		}
		site, err := b.j.Site()
		if err != nil || site.Name != "example" || site.Digest != "d1" || site.By != "ann" {
			t.Errorf("site %+v, %v", site, err)
		}
		if h, _, err := b.j.Holder(); h != nil || err != nil {
			t.Errorf("still claimed by %v, %v", h, err)
		}
	})
}

func TestRollbackByTimer(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		id := b.applied(b.begin("r1"))
		if err := b.j.Rollback(b.ctx, id, b.j.Why(id)); err != nil {
			t.Fatal(err)
		}
		b.want(id, txn.RolledBack)
		b.wantHost(old)
		var lost *txn.StateError
		if err := b.j.Confirm(b.ctx, id, nonce); !errors.As(err, &lost) || lost.State != txn.RolledBack {
			t.Errorf("a confirmation after the rollback: %v", err)
		}
		if site, err := b.j.Site(); err != nil || site.Name != "" {
			t.Errorf("site %+v, %v", site, err)
		}
	})
}

func TestFailedStepRollsBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		begin := b.begin("r1")
		begin.Steps = append(begin.Steps, b.steps(packageRes{"nosuch/deep"})...)
		begin.Steps[len(begin.Steps)-1].Change.Before = "something else" // drift
		id, s, err := b.apply(begin)
		if err != nil || s != txn.RolledBack {
			t.Fatalf("%s, %v\n%s", s, err, b.log(id))
		}
		b.g.Stop(b.ctx, id)
		b.want(id, txn.RolledBack)
		b.wantHost(old)
		r, events, err := b.j.Show(id)
		if err != nil || len(events) == 0 || !strings.Contains(r.Why, "was changed by something else") {
			t.Errorf("show: %+v, %v", r, err)
		}
	})
}

func TestMissingSecretRollsBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		id, err := b.j.Begin(b.ctx, b.begin("r1"))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.j.Start(b.ctx, id, nil); err != nil {
			t.Fatal(err)
		}
		for _, err := range b.j.Follow(b.ctx, id, 0) {
			if err != nil {
				t.Fatal(err)
			}
		}
		b.g.Stop(b.ctx, id)
		b.want(id, txn.RolledBack)
		b.wantHost(old)
	})
}

func TestNothingToDo(t *testing.T) {
	inBubble(t, func(b *bench) {
		begin := b.begin("r1")
		begin.Steps = nil
		if _, err := b.j.Begin(b.ctx, begin); !errors.Is(err, txn.ErrNothing) {
			t.Errorf("got %v", err)
		}
		if b.last() != "" {
			t.Error("a transaction was opened")
		}
	})
}

func TestForeignChangesDuringTheWindow(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		id := b.applied(b.begin("r1"))
		b.m.set("/etc/ssh/sshd_config.d/00-ours", "PermitRootLogin no # by bob\n") // ours, overwritten
		b.m.set("/etc/passwd", b.m.files["/etc/passwd"].Content+"bob:x:1001\n")    // ours, shared
		b.m.set("/etc/pam.d/other", "by bob\n")                                    // never ours
		if err := b.j.Rollback(b.ctx, id, "test"); err != nil {
			t.Fatal(err, b.log(id))
		}
		b.want(id, txn.RolledBack)
		if got := b.m.files["/etc/passwd"].Content; got != "root:x:0\nbob:x:1001\n" {
			t.Errorf("passwd is %q", got)
		}
		if _, ok := b.m.files["/etc/ssh/sshd_config.d/00-ours"]; ok {
			t.Error("our file is still there")
		}
		if b.m.files["/etc/pam.d/other"].Content != "by bob\n" {
			t.Error("a foreign file was lost")
		}
		kept := filepath.Join(b.dir, "txn", id, "kept/etc/ssh/sshd_config.d/00-ours.json")
		if data, err := os.ReadFile(kept); err != nil || len(data) == 0 {
			t.Errorf("what bob wrote was not kept: %v", err)
		}
		log := b.log(id)
		for _, what := range []string{"/etc/ssh/sshd_config.d/00-ours was changed", "/etc/passwd was changed", "/etc/pam.d/other was changed"} {
			if !strings.Contains(log, what) {
				t.Errorf("the log does not say %q", what)
			}
		}
		delete(b.m.files, "/etc/pam.d/other")
		b.m.files["/etc/passwd"] = file("root:x:0\n")
		delete(b.m.files, "/etc/passwd-")
		b.m.set("/etc/passwd-", "root:x:0:old\n")
		b.wantHost(old)
	})
}

func TestUndo(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		packages := txn.Begin{Meta: meta("r1", txn.Packages), Steps: b.steps(packageRes{"pwquality"})}
		packages.More = true
		first := b.confirmed(packages)
		second := b.confirmed(b.begin("r1"))
		secured := b.m.String()

		back, err := b.j.Undo(b.ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(back) != 2 || back[0].Reverts != second || back[1].Reverts != first || !back[0].More || back[1].More {
			t.Fatalf("undo is %+v", back)
		}
		for _, begin := range back {
			m := meta("r2", txn.Undo)
			m.Reverts, m.More = begin.Reverts, begin.More
			begin.Meta = m
			b.confirmed(begin)
		}
		b.wantHost(old)
		if secured == old {
			t.Fatal("nothing was changed")
		}
		history, err := b.j.History()
		if err != nil || len(history) != 4 || history[0].UndoneBy == "" || history[1].UndoneBy == "" {
			t.Errorf("history %+v, %v", history, err)
		}
		var none *txn.NotFoundError
		if _, err := b.j.Undo(b.ctx, ""); !errors.As(err, &none) {
			t.Errorf("undoing twice: %v", err)
		}
		var lost *txn.StateError
		if _, err := b.j.Undo(b.ctx, first); !errors.As(err, &lost) {
			t.Errorf("undoing what is undone: %v", err)
		}
	})
}

func TestUndoRolledBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.confirmed(b.begin("r1"))
		secured := b.m.String()
		back, err := b.j.Undo(b.ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		begin := back[0]
		m := meta("r2", txn.Undo)
		m.Reverts = begin.Reverts
		begin.Meta = m
		begin.Steps = begin.Steps[1:] // the secret's content is gone for good
		id := b.applied(begin)
		if err := b.j.Rollback(b.ctx, id, "test"); err != nil {
			t.Fatal(err, b.log(id))
		}
		b.want(id, txn.RolledBack)
		b.wantHost(secured)
	})
}

func TestUndoRefusesOnDrift(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.confirmed(b.begin("r1"))
		b.m.set("/etc/motd", "by bob\n")
		var drift *server.DriftError
		if _, err := b.j.Undo(b.ctx, ""); !errors.As(err, &drift) || drift.Resource != "file /etc/motd" {
			t.Errorf("got %v", err)
		}
	})
}

func TestTwoOperators(t *testing.T) {
	inBubble(t, func(b *bench) {
		id := b.applied(b.begin("r1"))
		other := b.begin("r2")
		other.Steps, other.By = b.steps(fileRes{"/etc/motd", "by bob\n"}), "bob"
		var locked *txn.LockedError
		if _, err := b.j.Begin(b.ctx, other); !errors.As(err, &locked) || locked.ID != id || locked.Gone {
			t.Errorf("beginning: %v", err)
		}
		if _, err := b.j.Unlock(b.ctx, "bob"); !errors.As(err, &locked) {
			t.Errorf("unlocking: %v", err)
		}
		b.g.kill()
		time.Sleep(txn.DefaultWindow + 2*txn.Grace)
		if _, err := b.j.Begin(b.ctx, other); !errors.As(err, &locked) || !locked.Gone {
			t.Errorf("beginning late: %v", err)
		}
		if got, err := b.j.Unlock(b.ctx, "bob"); err != nil || got != id {
			t.Errorf("unlocking late: %s, %v", got, err)
		}
		b.want(id, txn.RolledBack)
		other.Steps = b.steps(fileRes{"/etc/motd", "by bob\n"})
		b.confirmed(other)
	})
}

func TestOtherSite(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.confirmed(b.begin("r1"))
		next := txn.Begin{Meta: meta("r2", txn.Changes), Steps: b.steps(fileRes{"/etc/motd", "two\n"})}
		next.Site = "other"
		var other *txn.SiteError
		if _, err := b.j.Begin(b.ctx, next); !errors.As(err, &other) || other.Recorded != "example" {
			t.Errorf("got %v", err)
		}
		next.Site, next.SiteDigest = "example", "d2"
		b.confirmed(next)
		site, err := b.j.Site()
		if err != nil || !site.Older("d1") || site.Older("d2") || site.Older("d3") {
			t.Errorf("site %+v, %v", site, err)
		}
	})
}

func TestNewerFormat(t *testing.T) {
	inBubble(t, func(b *bench) {
		id := b.confirmed(b.begin("r1"))
		path := filepath.Join(b.dir, "txn", id, "state.json")
		if err := os.WriteFile(path, []byte(`{"format":99,"state":{"new":"shape"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		var newer *txn.FormatError
		if _, err := b.j.History(); !errors.As(err, &newer) || newer.Found != 99 {
			t.Errorf("history: %v", err)
		}
		next := txn.Begin{Meta: meta("r2", txn.Changes), Steps: b.steps(fileRes{"/etc/motd", "two\n"})}
		if _, err := b.j.Begin(b.ctx, next); !errors.As(err, &newer) {
			t.Errorf("begin: %v", err)
		}
	})
}

func TestExtend(t *testing.T) {
	inBubble(t, func(b *bench) {
		id := b.applied(b.begin("r1"))
		time.Sleep(time.Minute)
		if left, err := b.j.Extend(b.ctx, id, 5*time.Minute); err != nil || left != 5*time.Minute || b.g.armed[id] != left {
			t.Errorf("extended to %s, armed %s, %v", left, b.g.armed[id], err)
		}
		if left, err := b.j.Extend(b.ctx, id, time.Second); err != nil || left != 5*time.Minute {
			t.Errorf("shortened to %s, %v", left, err)
		}
		if left, err := b.j.Extend(b.ctx, id, 24*time.Hour); err != nil || left > txn.MaxWindow-time.Minute || left < 28*time.Minute {
			t.Errorf("extended past the cap to %s, %v", left, err)
		}
		if err := b.j.Confirm(b.ctx, id, nonce); err != nil {
			t.Fatal(err)
		}
		var lost *txn.StateError
		if _, err := b.j.Extend(b.ctx, id, time.Minute); !errors.As(err, &lost) {
			t.Errorf("extended after the end: %v", err)
		}
		b.g.Stop(b.ctx, id)
		b.want(id, txn.Confirmed)
	})
}

func TestRollbackFailedKeepsEverything(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		id := b.applied(b.begin("r1"))
		broken := b.m.fuse
		b.m.fuse = &fuse{dead: true} // no write on the host works
		if err := b.j.Rollback(b.ctx, id, "test"); err == nil {
			t.Fatal("the rollback worked on a host that cannot be changed")
		}
		if s, _, _ := b.j.State(id); s != txn.RollbackFailed || len(b.g.armed) != 1 {
			t.Errorf("state %s, armed %v", s, b.g.armed)
		}
		var locked *txn.LockedError
		if _, err := b.j.Begin(b.ctx, b.begin("r2")); !errors.As(err, &locked) {
			t.Errorf("beginning: %v", err)
		}
		b.m.fuse = broken
		if err := b.j.Rollback(b.ctx, id, "again"); err != nil {
			t.Fatal(err)
		}
		b.want(id, txn.RolledBack)
		b.wantHost(old)
	})
}
