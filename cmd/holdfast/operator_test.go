package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/site"
)

// An operator sits at a desk of their own: a directory with a site file, and a
// home that no other operator shares.
type operator struct {
	dir, home string
	daemon    string
	lab       *lab.Lab
}

// newOperator makes a desk for a lab, as `holdfast lab site` does.
func newOperator(t *testing.T, l *lab.Lab) operator {
	t.Helper()
	o := operator{dir: filepath.Join(t.TempDir(), "desk"), home: t.TempDir(), daemon: builtDaemon(t), lab: l}
	if err := makeLabDesk(l, o.dir); err != nil {
		t.Fatal(err)
	}
	return o
}

// twin makes another desk with the same files.
func (o operator) twin(t *testing.T) operator {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "desk")
	if err := os.CopyFS(dir, os.DirFS(o.dir)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{labAdmin, identityName, "secrets.age"} {
		if err := os.Chmod(filepath.Join(dir, secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return operator{dir: dir, home: t.TempDir(), daemon: o.daemon, lab: o.lab}
}

func (o operator) path(name string) string { return filepath.Join(o.dir, name) }

// edit replaces text in a file of the desk.
func (o operator) edit(t *testing.T, name, old, new string) {
	t.Helper()
	text, err := os.ReadFile(o.path(name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not contain %q:\n%s", name, old, text)
	}
	if err := os.WriteFile(o.path(name), []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// secrets opens the desk's secrets.age.
func (o operator) secrets(t *testing.T) *site.Secrets {
	t.Helper()
	identities, err := site.Identities(o.path(identityName), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := site.OpenSecrets(o.path("secrets.age"), identities)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keep types a secret into `holdfast secrets set`.
func (o operator) keep(t *testing.T, name, secret string) {
	t.Helper()
	r := o.typing(t, secret+"\n", "secrets", "set", name)
	r.exits(t, exitOK)
}

func (o operator) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "holdfast", args...)
	cmd.Dir = o.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + o.home, "XDG_STATE_HOME=" + filepath.Join(o.home, "state"),
		"TMPDIR=" + os.TempDir(), daemonVariable + "=" + o.daemon,
	}
	return cmd
}

// A result is how a command has ended.
type result struct {
	args     []string
	code     int
	out, err string
}

// run runs holdfast without a terminal, pinning host keys.
func (o operator) run(t *testing.T, args ...string) result {
	t.Helper()
	return o.typing(t, "", append(args, "--accept-new-host-keys")...)
}

// typing runs holdfast with text on its standard input. Nothing that it prints
// may be a secret of the desk.
func (o operator) typing(t *testing.T, text string, args ...string) result {
	t.Helper()
	cmd := o.command(t.Context(), args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &out, &errs
	began := time.Now()
	err := cmd.Run()
	t.Logf("holdfast %s took %v", strings.Join(args, " "), time.Since(began).Round(10*time.Millisecond))
	return o.ended(t, args, err, out.String(), errs.String())
}

func (o operator) ended(t *testing.T, args []string, err error, out, errs string) result {
	t.Helper()
	r := result{args: args, out: out, err: errs}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("holdfast %s: %v", strings.Join(args, " "), err)
	}
	o.keepsQuiet(t, args, out+errs)
	if strings.Contains(out+errs, "\x1b") {
		t.Errorf("holdfast %s: prints control sequences although there is no terminal", strings.Join(args, " "))
	}
	return r
}

// keepsQuiet demands that no secret of the desk was printed.
func (o operator) keepsQuiet(t *testing.T, args []string, printed string) {
	t.Helper()
	if _, err := os.Stat(o.path("secrets.age")); err != nil {
		return
	}
	s := o.secrets(t)
	for _, name := range s.Names() {
		if strings.Contains(printed, s.Get(name).Reveal()) {
			t.Errorf("holdfast %s: prints the secret %s", strings.Join(args, " "), name)
		}
	}
}

func (r result) String() string {
	return "holdfast " + strings.Join(r.args, " ") + "\n--- standard output\n" + r.out + "--- standard error\n" + r.err
}

// exits demands an exit status.
func (r result) exits(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit status %d, want %d\n%s", r.code, code, r)
	}
}

// prints demands that standard output matches each pattern.
func (r result) prints(t *testing.T, patterns ...string) {
	t.Helper()
	r.demand(t, "standard output", r.out, patterns)
}

// says demands that standard error matches each pattern.
func (r result) says(t *testing.T, patterns ...string) {
	t.Helper()
	r.demand(t, "standard error", r.err, patterns)
}

func (r result) demand(t *testing.T, what, text string, patterns []string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(text) {
			t.Errorf("%s does not match %q\n%s", what, p, r)
		}
	}
}

// value reads standard output as JSON.
func (r result) value(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), v); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
}

// A running command is one that is watched until it says something.
type running struct {
	o    operator
	args []string
	cmd  *exec.Cmd
	out  bytes.Buffer
	err  watched
}

// begin starts holdfast and returns once its standard error matches pattern.
func (o operator) begin(t *testing.T, pattern string, args ...string) *running {
	t.Helper()
	args = append(args, "--accept-new-host-keys")
	r := &running{o: o, args: args, cmd: o.command(t.Context(), args...)}
	r.err = watched{pattern: regexp.MustCompile("(?m)" + pattern), seen: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.err
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.err.seen:
	case <-time.After(2 * time.Minute):
		r.cmd.Process.Kill()
		t.Fatalf("it has not said %q\n%s", pattern, r.wait(t))
	}
	return r
}

// signal ends the command by a signal and returns how it ended.
func (r *running) signal(t *testing.T, s syscall.Signal) result {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	return r.wait(t)
}

func (r *running) wait(t *testing.T) result {
	t.Helper()
	err := r.cmd.Wait()
	return r.o.ended(t, r.args, err, r.out.String(), r.err.String())
}

// watched is a buffer that tells when a pattern is in it.
type watched struct {
	pattern *regexp.Regexp
	seen    chan struct{}

	mu   sync.Mutex
	text []byte
	told bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if !w.told && w.pattern.Match(w.text) {
		w.told = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// password is an admin's password on the servers of the desk.
func (o operator) password(t *testing.T, account string) string {
	t.Helper()
	return o.secrets(t).Get(server.PasswordSecret(account)).Reveal()
}
