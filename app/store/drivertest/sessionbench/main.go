package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/session"
	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
	"github.com/holdfast-security/holdfast/app/store/memory"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sessionbench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("sessionbench", flag.ContinueOnError)
	sessions := f.Int("sessions", 10001, "how many there are")
	rounds := f.Int("rounds", 30, "rounds, in which all take turns")
	each := f.Int("lookups", 2000, "look-ups in a round")
	if err := f.Parse(args); err != nil {
		return err
	}
	server, err := drivertest.Start(ctx, drivertest.SQLite, true)
	if err != nil {
		return err
	}
	return errors.Join(measure(ctx, server, *sessions, *rounds, *each), server.Stop())
}

// A contender looks one of the sessions up, by its number.
type contender struct {
	name   string
	target time.Duration // 0 for scs
	look   func(i int) error
	took   []time.Duration // of one look-up, for each round
	cpu    []time.Duration // the same, of all threads of this process
}

func measure(ctx context.Context, server *drivertest.Server, sessions, rounds, each int) error {
	all, err := contenders(ctx, server, sessions)
	if err != nil {
		return err
	}
	for round := range rounds + 1 {
		for _, c := range all {
			start, before := time.Now(), cpu()
			for i := range each {
				if err := c.look((i*7919 + round) % sessions); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			if round > 0 { // the first warms up
				c.took = append(c.took, time.Since(start)/time.Duration(each))
				c.cpu = append(c.cpu, (cpu()-before)/time.Duration(each))
			}
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "one look-up\tprocessor\tclock\tclock, fastest round\ttarget for the processor")
	for _, c := range all {
		// Other programs on the machine make the time on the clock longer, so the
		// target is held against the processor's time, collection of garbage included.
		used, verdict := median(c.cpu), ""
		if c.target > 0 {
			verdict = fmt.Sprintf("<= %v (met)", c.target)
			if used > c.target {
				verdict = fmt.Sprintf("<= %v (MISSED)", c.target)
			}
		}
		fmt.Fprintf(w, "%s\t%.1f us\t%.1f us\t%.1f us\t%s\n", c.name, micros(used), micros(median(c.took)), micros(slices.Min(c.took)), verdict)
	}
	return w.Flush()
}

func median(all []time.Duration) time.Duration { return slices.Sorted(slices.Values(all))[len(all)/2] }

// cpu returns how long the threads of this process have run.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only for wrong arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func contenders(ctx context.Context, server *drivertest.Server, sessions int) ([]*contender, error) {
	db, err := server.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	own := store.New(db, store.SQLite)
	if err := own.Migrate(ctx); err != nil {
		return nil, err
	}
	other, err := server.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		"CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)",
		"CREATE INDEX sessions_expiry_idx ON sessions(expiry)",
	} {
		if _, err := other.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	var all []*contender
	for _, c := range []struct {
		name   string
		target time.Duration
		make   func() (func(int) error, error)
	}{
		{"session, memory", 15 * time.Microsecond, func() (func(int) error, error) { return ours(ctx, memory.New(), sessions) }},
		{"scs, memory", 0, func() (func(int) error, error) {
			return theirs(ctx, memstore.NewWithCleanupInterval(0), sessions)
		}},
		{"session, SQLite", 25 * time.Microsecond, func() (func(int) error, error) { return ours(ctx, own, sessions) }},
		{"scs, SQLite", 0, func() (func(int) error, error) {
			return theirs(ctx, sqlite3store.NewWithCleanupInterval(other, 0), sessions)
		}},
	} {
		look, err := c.make()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, &contender{name: c.name, target: c.target, look: look})
	}
	return all, nil
}

// ours looks up by a request: the cookie, the session, its account and both
// lifetimes.
func ours(ctx context.Context, s interface {
	session.Store
	login.Directory
}, sessions int) (func(int) error, error) {
	m := &session.Manager{Store: s, Lifetime: 24 * time.Hour, Idle: 24 * time.Hour}
	requests := make([]*http.Request, sessions)
	for i := range requests {
		a := login.NewAccount(login.ID(rand.Text()), "", "")
		if err := s.AddAccount(ctx, a); err != nil {
			return nil, err
		}
		r, w := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
		if _, err := m.Start(w, r, session.Proof{Account: a.Key, By: "password"}); err != nil {
			return nil, err
		}
		r.AddCookie(w.Result().Cookies()[0])
		requests[i] = r
	}
	return func(i int) error {
		_, err := m.Check(requests[i])
		return err
	}, nil
}

// theirs looks up by the token, and reads what a program would keep in a session.
func theirs(ctx context.Context, s scs.Store, sessions int) (func(int) error, error) {
	m := scs.New()
	m.Store, m.HashTokenInStore, m.IdleTimeout = s, true, 0
	tokens := make([]string, sessions)
	for i := range tokens {
		in, err := m.Load(ctx, "")
		if err != nil {
			return nil, err
		}
		m.Put(in, "account", rand.Text())
		m.Put(in, "by", "password")
		m.Put(in, "proven", time.Now().Unix())
		m.Put(in, "browser", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
		if tokens[i], _, err = m.Commit(in); err != nil {
			return nil, err
		}
	}
	return func(i int) error {
		in, err := m.Load(ctx, tokens[i])
		if err == nil && m.GetString(in, "account") == "" {
			err = errors.New("no account in the session")
		}
		return err
	}, nil
}
