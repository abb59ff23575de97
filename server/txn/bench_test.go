package txn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/txn"
)

// bench is a machine in memory with a journal on a real disk.
type bench struct {
	*testing.T
	dir, run string
	m        *memory
	f        *fuse
	g        *guard
	j        *txn.Journal
	boots    int
	door     txn.Door
	start    time.Time
	ctx      context.Context // ends when nothing happens any more
	runErr   error
}

var nonce = []byte("0123456789abcdef")

// newBench makes a machine. Directories come from the caller, because one that
// is made inside a synctest bubble is removed too early.
func newBench(t *testing.T) *bench {
	t.Helper()
	run, err := os.MkdirTemp("/dev/shm", "holdfast-txn-*")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-txn-*") // where a sync costs nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run); os.RemoveAll(dir) })
	b := &bench{T: t, dir: dir, run: run, m: newMemory(), f: &fuse{}, start: time.Now()}
	b.m.fuse = b.f
	b.fuse(0, refused)
	b.g = newGuard(b.f)
	b.open()
	return b
}

// fuse makes everything work again, until the write at fails.
func (b *bench) fuse(at int, kind fault) {
	b.ctx = b.f.reset(at, kind)
	b.Cleanup(b.f.die)
}

// open is a new process.
func (b *bench) open() {
	j, err := txn.Open(b.dir, b.m, txn.Config{Codec: codec{}, Guard: b.g, RunDir: b.run, Door: b.door})
	if err != nil {
		b.Fatal(err)
	}
	j.SetFault(b.f.do)
	j.SetSync(func() error { return b.f.do("sync", func() error { return nil }) })
	j.SetTime(func() time.Duration { return time.Since(b.start) }, fmt.Sprint("boot ", b.boots))
	b.j = j
	b.g.mu.Lock()
	defer b.g.mu.Unlock()
	b.g.failed = func(id string) { j.Rollback(b.f.life(), id, j.Why(id)) }
	b.g.run = func(ctx context.Context, id string) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(b.f.life(), cancel)()
		b.runErr = j.Run(ctx, id)
		return errors.Join(b.runErr, ctx.Err())
	}
}

// reboot is a power cut: all processes and all that is in memory are gone.
func (b *bench) reboot() {
	b.g.kill()
	b.boots++
	clearDir(b.T, b.run)
	b.fuse(0, refused)
	b.open()
}

func clearDir(t *testing.T, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// steps are the changes that bring the host to what resources want.
func (b *bench) steps(all ...server.Resource) []server.Step {
	b.Helper()
	var steps []server.Step
	for _, r := range all {
		if f, ok := r.(server.Follower); ok {
			r = f
			steps = append(steps, server.Step{
				Resource: r, Change: server.Change{Resource: r.Name(), Before: "old", After: "new"},
			})
			continue
		}
		c, err := server.Check(b.Context(), b.m, r)
		if err != nil {
			b.Fatal(err)
		}
		if c.Needed() {
			steps = append(steps, server.Step{Controls: []string{"c"}, Resource: r, Change: c})
		}
	}
	return steps
}

// changes touch files in and out of the login path, an account, a secret and a
// daemon.
func changes() []server.Resource {
	return []server.Resource{
		fileRes{"/etc/ssh/sshd_config.d/00-ours", "PasswordAuthentication no\n"},
		fileRes{"/etc/motd", "secured\n"},
		accountRes{"ann"},
		secretRes{Path: "/home/token"},
		daemonRes{},
	}
}

var secrets = map[string]server.Secret{"/home/token": server.NewSecret("hunter2")}

func meta(run string, kind txn.Kind) txn.Meta {
	return txn.Meta{
		Run: run, Kind: kind, Site: "example", SiteDigest: "d1", By: "ann", Desk: "laptop", DeskVersion: "1",
		NonceHash: txn.NonceHash(nonce),
	}
}

// apply begins and starts a transaction and waits until it is applied or ended.
func (b *bench) apply(begin txn.Begin) (id string, state txn.State, err error) {
	id, err = b.j.Begin(b.ctx, begin)
	if err != nil {
		return "", "", err
	}
	if err := b.j.Start(b.ctx, id, secrets); err != nil {
		return id, "", err
	}
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Minute)
	defer cancel()
	for e, err := range b.j.Follow(ctx, id, 0) {
		if err != nil {
			return id, "", err
		}
		if e.State == txn.Applied {
			return id, e.State, nil
		}
	}
	s, _, err := b.j.State(id)
	return id, s, err
}

// applied is apply that must come to its end.
func (b *bench) applied(begin txn.Begin) string {
	b.Helper()
	id, s, err := b.apply(begin)
	if err != nil || s != txn.Applied {
		b.Fatalf("applying: %s, %v\n%s", s, err, b.log(id))
	}
	return id
}

func (b *bench) confirmed(begin txn.Begin) string {
	b.Helper()
	id := b.applied(begin)
	if err := b.j.Confirm(b.ctx, id, nonce); err != nil {
		b.Fatal(err)
	}
	b.g.Stop(b.ctx, id) // which waits for the run, that ends by itself
	return id
}

func (b *bench) log(id string) string {
	data, _ := os.ReadFile(filepath.Join(b.dir, "txn", id, "log.jsonl"))
	return string(data)
}

// want fails unless the transaction is in a state and nothing of it remains but
// the journal.
func (b *bench) want(id string, want txn.State) {
	b.Helper()
	s, why, err := b.j.State(id)
	if err != nil || s != want {
		b.Errorf("state %s (%s), %v; want %s\n%s", s, why, err, want, b.log(id))
	}
	if len(b.g.armed) > 0 {
		b.Errorf("still armed: %v", b.g.armed)
	}
	entries, _ := os.ReadDir(b.run)
	if len(entries) > 0 {
		b.Errorf("left in memory: %v", entries)
	}
	for _, name := range []string{"reserve", "rehearsal"} {
		if _, err := os.Lstat(filepath.Join(b.dir, "txn", id, name)); !errors.Is(err, os.ErrNotExist) {
			b.Errorf("%s is still there: %v", name, err)
		}
	}
}

func (b *bench) wantHost(want string) {
	b.Helper()
	if got := b.m.String(); got != want {
		b.Errorf("the host is\n%s\nwant\n%s", got, want)
	}
}

// last is the newest transaction, empty if there is none.
func (b *bench) last() string {
	b.Helper()
	all, err := b.j.History()
	if err != nil {
		b.Fatal(err)
	}
	if len(all) == 0 {
		return ""
	}
	return slices.MaxFunc(all, func(x, y txn.Record) int { return strings.Compare(x.ID, y.ID) }).ID
}
