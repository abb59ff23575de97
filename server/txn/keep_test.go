//go:build linux

package txn_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-security/holdfast/server/txn"
)

// contains returns the files below dir that hold a text.
func contains(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), text) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSecretsDoNotReachTheJournal(t *testing.T) {
	inBubble(t, func(b *bench) {
		id := b.applied(b.begin("r1"))
		if b.m.files["/home/token"].Content != "hunter2" {
			t.Fatal("the secret did not arrive")
		}
		for _, text := range []string{"hunter2", "aHVudGVyMg"} { // and in base64
			if found := contains(t, b.dir, text); found != nil {
				t.Errorf("the secret is in %s", found)
			}
			if found := contains(t, b.run, text); found != nil {
				t.Errorf("the secret was left in %s", found)
			}
		}
		if err := b.j.Rollback(b.ctx, id, "test"); err != nil {
			t.Fatal(err)
		}
		b.want(id, txn.RolledBack)
	})
}

func TestSecretsMustNotReachADisk(t *testing.T) {
	inBubble(t, func(b *bench) {
		disk, err := os.MkdirTemp("/var/tmp", "holdfast-txn-*")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(disk)
		b.run = disk
		b.open()
		id, err := b.j.Begin(b.ctx, b.begin("r1"))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.j.Start(b.ctx, id, secrets); err == nil || !strings.Contains(err.Error(), "not in memory") {
			t.Errorf("got %v", err)
		}
		b.want(id, txn.RolledBack)
	})
}

func TestStatesThatAreNotUnicode(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		b.confirmed(txn.Begin{
			Meta: meta("r1", txn.Changes), Steps: b.steps(fileRes{"/etc/pam.d/common-password", "pam_ours.so\n"}),
		})
		back, err := b.j.Undo(b.ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		m := meta("r2", txn.Undo)
		m.Reverts, back[0].Meta = back[0].Reverts, m
		b.confirmed(back[0])
		b.wantHost(old)
	})
}

func TestDiskIsFull(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		b.j.SetFault(func(path string, write func() error) error {
			if filepath.Base(path) == "reserve" && b.last() != "" {
				if s, _, _ := b.j.State(b.last()); s == txn.Prepared {
					return unix.ENOSPC
				}
			}
			return write()
		})
		if _, err := b.j.Begin(b.ctx, b.begin("r1")); err == nil || !strings.Contains(err.Error(), unix.ENOSPC.Error()) {
			t.Errorf("got %v", err)
		}
		b.want(b.last(), txn.RolledBack)
		b.wantHost(old)
	})
}

func TestIDsSortWhateverTheClockSays(t *testing.T) {
	inBubble(t, func(b *bench) {
		var ids []string
		for _, content := range []string{"one\n", "two\n", "three\n"} {
			begin := txn.Begin{Meta: meta(content, txn.Changes), Steps: b.steps(fileRes{"/etc/motd", content})}
			ids = append(ids, b.confirmed(begin))
		}
		if !(ids[0] < ids[1] && ids[1] < ids[2]) {
			t.Errorf("IDs %v", ids)
		}
		history, err := b.j.History()
		if err != nil || len(history) != 3 || history[2].Run != "three\n" || !history[2].Steps[0].Done {
			t.Errorf("history %+v, %v", history, err)
		}
	})
}

func TestUnknownIDs(t *testing.T) {
	inBubble(t, func(b *bench) {
		for _, id := range []string{"", "..", "20260102T030405Z-0000", "../../etc"} {
			if _, _, err := b.j.State(id); err == nil {
				t.Errorf("%q has a state", id)
			}
			if err := b.j.Confirm(b.ctx, id, nonce); err == nil {
				t.Errorf("%q was confirmed", id)
			}
		}
	})
}

func TestHoldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := txn.HoldFile(t.Context(), path, time.Second)
	if err != nil {
		t.Fatalf("without a package manager: %v", err)
	}
	release()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	release, err = txn.HoldFile(t.Context(), path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		release()
		if out, err := exec.CommandContext(t.Context(), os.Args[0], "hold-file", path).CombinedOutput(); err != nil {
			t.Errorf("after the release: %s, %v", out, err)
		}
	}()
	// A process does not disturb itself with such a lock: another has to ask.
	out, err := exec.CommandContext(t.Context(), os.Args[0], "hold-file", path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "a package manager is at work") {
		t.Errorf("somebody else got the lock: %s, %v", out, err)
	}
}

func TestTornLog(t *testing.T) {
	inBubble(t, func(b *bench) {
		old := b.m.String()
		id := b.applied(b.begin("r1"))
		f, err := os.OpenFile(filepath.Join(b.dir, "txn", id, "log.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(`{"what":"done","st`); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := b.j.Rollback(b.ctx, id, "test"); err != nil {
			t.Fatal(err)
		}
		b.want(id, txn.RolledBack)
		b.wantHost(old)
		_, events, err := b.j.Show(id)
		if err != nil {
			t.Fatal(err)
		}
		var states []string
		for _, e := range events {
			if e.What == txn.StateChanged {
				states = append(states, string(e.State))
			}
		}
		if got := strings.Join(states, " "); got != "prepared armed applying applied rolling-back rolled-back" {
			t.Errorf("the log tells of %s", got)
		}
	})
}
