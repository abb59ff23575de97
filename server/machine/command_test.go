//go:build linux

package machine_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/machine"
)

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET", "of this process")
	out, err := machine.New().Output(t.Context(), "env", "EXTRA=1", "env")
	want := "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\nHOME=/root\nEXTRA=1\n"
	if err != nil || out != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
	out, err = machine.New().Output(t.Context(), "sh", "-c", "pwd; test -t 0 || echo none; (: </dev/tty) 2>/dev/null || echo none")
	if err != nil || out != "/\nnone\nnone\n" {
		t.Errorf("directory and terminals: %q, %v", out, err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	m := machine.New()
	failed := (*server.CommandError)(nil)
	if out, err := m.Output(t.Context(), "head", "-c", "17000000", "/dev/zero"); !errors.As(err, &failed) || failed.Exit != -1 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	err := m.Run(t.Context(), "", "sh", "-c", "seq 100000; echo the end >&2; exit 3")
	if !errors.As(err, &failed) || failed.Exit != 3 || len(failed.Output) > machine.MaxTranscript+10 ||
		!strings.HasSuffix(failed.Output, "100000\nthe end\n") {
		t.Errorf("%v", err)
	}
}

func TestHowCommandsEnd(t *testing.T) {
	m := machine.New()
	failed := (*server.CommandError)(nil)
	err := m.Run(t.Context(), "", "sh", "-c", "kill -9 $$")
	if !errors.As(err, &failed) || failed.Exit != -1 || failed.Err == nil {
		t.Errorf("killed: %v", err)
	}
	if err := m.Run(t.Context(), "", "/nowhere/program"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that is not there: %v", err)
	}
	if err := m.Run(t.Context(), ""); !errors.As(err, &failed) {
		t.Errorf("no command: %v", err)
	}
	// It leaves a child behind that keeps the output open.
	begin := time.Now()
	if err := m.Run(t.Context(), "", "sh", "-c", "sleep 20 &"); err != nil || time.Since(begin) > 10*time.Second {
		t.Errorf("a daemon: %v after %v", err, time.Since(begin))
	}
}

// TestCancelEndsTheGroup cancels a command with a child, both of which ignore
// SIGTERM, on the live machine and in a World.
func TestCancelEndsTheGroup(t *testing.T) {
	needRoot(t)
	for name, h := range map[string]server.Host{"machine": machine.New(), "world": enter(t, machine.Options{})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "/tmp/" + strings.ReplaceAll(t.Name(), "/", "-")
			defer h.Remove(context.WithoutCancel(t.Context()), path)
			reason := errors.New("had enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error)
			go func() {
				done <- h.Run(ctx, "", "sh", "-c", "trap '' TERM; sleep 1000 & echo $! $$ >"+path+"; wait; sleep 1000")
			}()
			var pids string
			for pids == "" {
				if e, err := h.Read(t.Context(), path); err == nil && strings.HasSuffix(e.Content, "\n") {
					pids = e.Content
				}
			}
			begin := time.Now()
			cancel(reason)
			err := <-done
			failed := (*server.CommandError)(nil)
			if !errors.As(err, &failed) || !errors.Is(err, reason) || failed.Exit != -1 {
				t.Errorf("%v, want a *server.CommandError that wraps the reason", err)
			}
			if took := time.Since(begin); took > 3*machine.Grace {
				t.Errorf("it took %v", took)
			}
			for _, pid := range strings.Fields(pids) {
				// A zombie is gone, too: in a World nobody reaps orphans.
				state := fmt.Sprintf("for i in $(seq 100); do kill -0 %s 2>/dev/null || exit 0; ps -o stat= -p %[1]s | grep -q Z && exit 0; sleep 0.05; done; exit 1", pid)
				if name == "world" {
					// ps shows the live machine's processes there; Close ends the rest.
					continue
				}
				if err := h.Run(t.Context(), "", "sh", "-c", state); err != nil {
					t.Errorf("process %s is still there: %v", pid, err)
				}
			}
		})
	}
}
