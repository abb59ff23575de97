// Package labtest gives a test real servers of a lab, fresh for this test and
// gone after it.
//
// If the machine cannot run a lab, the test is skipped with the reason, unless
// the variable HOLDFAST_MUST_RUN is 1: then it fails. If a lab fails to go up or
// down, the test fails.
package labtest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/lab"
)

// Require skips the test, or fails it if HOLDFAST_MUST_RUN is 1, on a machine
// that cannot run a lab.
func Require(t testing.TB) {
	t.Helper()
	err := lab.Check()
	if err == nil {
		return
	}
	if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
		t.Fatalf("HOLDFAST_MUST_RUN=1, but: %v", err)
	}
	t.Skip(err)
}

// An Option changes the lab of [Server].
type Option func(*lab.Options)

// Disk gives the server a file system that loses unsynced writes in a power cut.
func Disk(o *lab.Options) { o.Layer = lab.Disk }

// Server returns a fresh server with this suite, booted, alone in its lab.
func Server(t testing.TB, suite string, options ...Option) *lab.Server {
	t.Helper()
	o := lab.Options{Suite: suite, Servers: []string{"app-1"}}
	for _, option := range options {
		option(&o)
	}
	return Lab(t, o).Servers()[0]
}

// Lab returns a fresh lab, booted. It is ephemeral: if this process is killed,
// the next call on this machine takes the lab down.
func Lab(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	Require(t)
	if err := lab.Sweep(t.Context()); err != nil {
		t.Fatalf("take down the labs of processes that were killed: %v", err)
	}
	o.Ephemeral = true
	if o.Progress == nil {
		o.Progress = func(line string) { t.Log(line) }
	}
	l, err := lab.Up(t.Context(), ID(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, s := range l.Servers() {
				t.Logf("console of %s:\n%s", s.Name(), tail(s.Console()))
			}
		}
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	return l
}

// ID returns a lab id that no other test has.
func ID() string { return "test-" + strings.ToLower(rand.Text()[:12]) }

func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
