package drivertest_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/mfa/mfatest"
	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
	"github.com/holdfast-security/holdfast/app/throttle"
)

func TestSecondFactor(t *testing.T) {
	for _, kind := range drivertest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := drivertest.Require(t, kind)
			mfatest.Run(t, func(t *testing.T) func() *store.Store {
				s := drivertest.Store(t, server)
				return func() *store.Store { return s }
			})
			t.Run("replay in two processes", func(t *testing.T) { replayInProcesses(t, server) })
		})
	}
}

func second(s *store.Store) (*mfa.Service[*store.Store], error) {
	ring, err := keyring.New([]byte("a secret of thirty-two bytes or more"))
	if err != nil {
		return nil, err
	}
	limiter := &throttle.Limiter{Store: s, Keys: ring, Account: []throttle.Rate{{Burst: 1000, Every: time.Hour}}}
	return &mfa.Service[*store.Store]{Store: s, Keys: ring, Throttle: limiter}, nil
}

// Two processes get one code at the same moment; one of their requests passes.
func replayInProcesses(t *testing.T, server *drivertest.Server) {
	ctx := t.Context()
	dsn, err := server.FreshDSN(ctx)
	if err != nil {
		t.Fatal(err)
	}
	db, err := drivertest.Connect(server.Kind, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := store.New(db, server.Kind.Dialect())
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	m, err := second(s)
	if err != nil {
		t.Fatal(err)
	}
	e := m.Enroll("anna", "anna")
	confirmed := false
	for range 3 { // a step may end in between
		code, err := mfa.Code(e.Secret, time.Now().Add(-mfa.Step))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = m.Confirm(ctx, "anna", e.Sealed, code); err == nil {
			confirmed = true
			break
		}
	}
	if !confirmed {
		t.Fatal("no code of the app is taken")
	}
	code, err := mfa.Code(e.Secret, time.Now().Add(mfa.Step))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(2 * time.Second)
	var processes [2]*exec.Cmd
	var said [2]strings.Builder
	for i := range processes {
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestReplayChild$", "-test.v")
		cmd.Env = append(os.Environ(), "HOLDFAST_REPLAY="+strings.Join(
			[]string{string(server.Kind), dsn, code, strconv.FormatInt(start.UnixNano(), 10)}, "\n"))
		cmd.Stdout, cmd.Stderr = &said[i], &said[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes[i] = cmd
	}
	in := 0
	for i, cmd := range processes {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v: %s", i, err, &said[i])
		}
		_, rest, ok := strings.Cut(said[i].String(), "passed=")
		if !ok {
			t.Fatalf("process %d says %q", i, &said[i])
		}
		n, err := strconv.Atoi(rest[:1])
		if err != nil {
			t.Fatal(err)
		}
		in += n
	}
	if in != 1 {
		t.Errorf("one code let %d in", in)
	}
}

// TestReplayChild is one of the processes.
func TestReplayChild(t *testing.T) {
	task := strings.Split(os.Getenv("HOLDFAST_REPLAY"), "\n")
	if len(task) != 4 {
		t.Skip("only run by TestSecondFactor")
	}
	kind := drivertest.Kind(task[0])
	db, err := drivertest.Connect(kind, task[1])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m, err := second(store.New(db, kind.Dialect()))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	start, err := strconv.ParseInt(task[3], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(time.Unix(0, start)))
	var mu sync.Mutex
	var all sync.WaitGroup
	passed := 0
	for i := range 8 {
		all.Go(func() {
			_, err := m.Verify(t.Context(), "anna", task[2], netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				passed++
			case !errors.Is(err, mfa.ErrDenied):
				t.Error(err)
			}
		})
	}
	all.Wait()
	fmt.Printf("passed=%d\n", passed)
}
