package main

import (
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"
)

// An answer is what an operator types when a terminal shows something.
type answer struct{ to, typed string }

// A reader is what an operator types who has read what the terminal shows.
type reader func(shown string) string

// sitting runs holdfast in a terminal, answers what it asks, and returns the
// exit status and all that the terminal showed.
func (o operator) sitting(t *testing.T, answers []answer, args ...string) (code int, shown string) {
	t.Helper()
	return o.reading(t, answers, nil, args...)
}

// reading is sitting where some answers follow from what is shown: an answer that
// readers knows by what is typed.
func (o operator) reading(t *testing.T, answers []answer, readers map[string]reader, args ...string) (code int, shown string) {
	t.Helper()
	cmd := o.command(t.Context(), args...)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 160})
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	var mu sync.Mutex
	var text strings.Builder
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		piece := make([]byte, 4096)
		for {
			n, err := master.Read(piece)
			mu.Lock()
			text.Write(piece[:n])
			mu.Unlock()
			if err != nil {
				return // the other end is closed
			}
		}
	}()
	all := func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
	for _, a := range answers {
		question := regexp.MustCompile(a.to)
		for limit := time.After(2 * time.Minute); !question.MatchString(all()); {
			select {
			case <-limit:
				cmd.Process.Kill()
				t.Fatalf("it has not asked %q:\n%s", a.to, all())
			case <-ended:
				t.Fatalf("it has ended without asking %q:\n%s", a.to, all())
			case <-time.After(20 * time.Millisecond):
			}
		}
		typed := a.typed
		if read := readers[typed]; read != nil {
			typed = read(all())
		}
		if _, err := master.WriteString(typed + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	err = cmd.Wait()
	<-ended
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	o.keepsQuiet(t, args, all())
	return cmd.ProcessState.ExitCode(), all()
}

// Somebody who sits at a terminal is asked about a host key, and before servers
// are changed; what they type as a secret is not shown.
func (s stage) testTerminal(t *testing.T) {
	o := s.twin(t)
	if err := os.Remove(o.path("known_hosts")); err != nil {
		t.Fatal(err)
	}
	code, shown := o.sitting(t, []answer{{`is it the same\? \[y/N\] `, "n"}}, "plan", "app-1")
	if code != exitFailed || !strings.Contains(shown, "SHA256:") || !strings.Contains(shown, "is not known") {
		t.Errorf("exit status %d after a host key was denied:\n%s", code, shown)
	}
	if _, err := os.Stat(o.path("known_hosts")); err == nil {
		t.Error("a host key that was denied is pinned")
	}
	code, shown = o.sitting(t, []answer{{`is it the same\? \[y/N\] `, "yes"}, {`change 1 server\? \[y/N\] `, "n"}}, "apply", "app-1")
	if code != exitOK || !strings.Contains(shown, "nothing was changed") {
		t.Errorf("exit status %d after the answer no:\n%s", code, shown)
	}
	if !strings.Contains(shown, "\x1b[") {
		t.Errorf("no colour in a terminal:\n%s", shown)
	}
	if _, err := os.Stat(o.path("known_hosts")); err != nil {
		t.Error(err)
	}
	o.typing(t, "", "secrets", "remove", "password/alice").exits(t, exitOK)
	code, shown = o.sitting(t, []answer{{`new password of alice: `, "Not-shown-7x"}, {`once more: `, "Not-shown-7y"}}, "apply", "app-1")
	if code != exitFailed || !strings.Contains(shown, "the two were not the same") || strings.Contains(shown, "Not-shown") {
		t.Errorf("exit status %d after two passwords:\n%s", code, shown)
	}
}

// A key with a passphrase that nobody can be asked for is no key.
func (s stage) testLockedKey(t *testing.T) {
	o := s.twin(t)
	text, err := os.ReadFile(o.path(labAdmin))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("a passphrase of some length"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.path(labAdmin), pem.EncodeToMemory(locked), 0o600); err != nil {
		t.Fatal(err)
	}
	r := o.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: .*the passphrase of alice is needed and nobody can be asked$`, `^holdfast: no server was changed$`,
		`^holdfast: hint:     ssh-add alice$`)
	if strings.Contains(r.err, "preparing") {
		t.Errorf("a transaction was begun\n%s", r)
	}
}
