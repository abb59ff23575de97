package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/site"
	"github.com/holdfast-security/holdfast/server/txn"
)

// A subject is a server that faults are injected into, with its desk.
type subject struct {
	s       *lab.Server
	program string // bin/holdfast
	dir     string // of the desk
	home    string
	words   string // the admin's password
	// base is the tree with the packages and new the one with everything, and
	// shadow the account file of new without its hashes.
	base, new lab.Tree
	shadow    string
}

// exec runs a command in the server as from its console.
func (s *subject) exec(ctx context.Context, argv ...string) (string, error) {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	out, err := s.s.Exec(ctx, nil, argv...)
	return string(out), err
}

func (s *subject) sh(ctx context.Context, script string) error {
	_, err := s.exec(ctx, "sh", "-c", script)
	return err
}

// inNetwork runs a command of this machine in the server's network.
func (s *subject) inNetwork(ctx context.Context, stdin string, argv ...string) error {
	pid, err := s.s.Leader()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", pid)}, argv...)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv, err, out)
	}
	return nil
}

// A run is one command of the desk.
type run struct {
	cmd   *exec.Cmd
	ended chan struct{}
	mu    sync.Mutex
	said  bytes.Buffer
	code  int
}

// Write takes in what the desk says.
func (r *run) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.Write(p)
}

func (r *run) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

func (r *run) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// desk starts the program at a desk in dir.
func (s *subject) desk(ctx context.Context, dir string, args ...string) (*run, error) {
	cmd := exec.CommandContext(ctx, s.program, append([]string{"--accept-new-host-keys", "--yes"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+s.home, "XDG_CONFIG_HOME="+s.home, "XDG_CACHE_HOME="+s.home, "XDG_STATE_HOME="+s.home, "SSH_AUTH_SOCK=")
	r := &run{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = r, r
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // the status is in ProcessState
		r.code = cmd.ProcessState.ExitCode()
		close(r.ended)
	}()
	return r, nil
}

// must runs a command of the desk that has to end well.
func (s *subject) must(ctx context.Context, args ...string) error {
	ctx, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	r, err := s.desk(ctx, s.dir, args...)
	if err != nil {
		return err
	}
	<-r.ended
	if r.code != 0 {
		return fmt.Errorf("%s ended with %d: %s", args, r.code, tail(r.text()))
	}
	return nil
}

func tail(text string) string { return text[max(0, len(text)-3000):] }

// adminPassword reads what the desk keeps for the admin.
func adminPassword(dir string) (string, error) {
	identities, err := site.Identities(filepath.Join(dir, "identity.txt"), nil)
	if err != nil {
		return "", err
	}
	secrets, err := site.OpenSecrets(filepath.Join(dir, "secrets.age"), identities)
	if err != nil {
		return "", err
	}
	return secrets.Get(server.PasswordSecret("alice")).Reveal(), nil
}

// journal is what lies on the server's disk.
func (s *subject) journal(id string, name ...string) string {
	return filepath.Join(append([]string{s.s.Root(), server.StateDir, "txn", id}, name...)...)
}

// transactions returns the IDs in the journal, oldest first.
func (s *subject) transactions() []string {
	all, err := filepath.Glob(s.journal("*", "state.json"))
	if err != nil {
		return nil
	}
	var ids []string
	for _, path := range all {
		ids = append(ids, filepath.Base(filepath.Dir(path)))
	}
	slices.Sort(ids)
	return ids
}

// A state is what the journal says of a transaction.
type state struct {
	State    txn.State
	Why      string
	Clean    bool
	Settled  bool
	Deadline time.Duration
}

// status reads the state of a transaction; the zero value while a power cut has
// taken the disk away.
func (s *subject) status(id string) (state, error) {
	var st state
	data, err := os.ReadFile(s.journal(id, "state.json"))
	if errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(data, &st)
}

// purpose is what a transaction is for.
func (s *subject) purpose(id string) txn.Kind {
	var p txn.Meta
	data, err := os.ReadFile(s.journal(id, "plan.json"))
	if err != nil || json.Unmarshal(data, &p) != nil {
		return ""
	}
	return p.Kind
}

// log is the journal's log of a transaction.
func (s *subject) log(id string) []txn.Event {
	data, err := os.ReadFile(s.journal(id, "log.jsonl"))
	if err != nil {
		return nil
	}
	return txn.ParseLog(data)
}

// tree reads the server's files.
func (s *subject) tree(ctx context.Context) (lab.Tree, error) { return lab.TreeSnapshot(ctx, s.s) }

// masked is the account file without hashes and the days of their changes.
func (s *subject) masked() (string, error) {
	data, err := os.ReadFile(filepath.Join(s.s.Root(), "etc/shadow"))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) > 2 && strings.HasPrefix(f[1], "$") {
			f[1], f[2] = "usable", ""
		}
		fmt.Fprintln(&b, strings.Join(f, ":"))
	}
	return b.String(), nil
}

// differs says in lines how the server is different from one of its states.
// Planted files do not count.
func (s *subject) differs(ctx context.Context, secured bool, planted []string) ([]string, error) {
	now, err := s.tree(ctx)
	if err != nil {
		return nil, err
	}
	want := s.base
	if secured {
		want = s.new
	}
	var lines []string
	for _, line := range want.Diff(now) {
		if secured && strings.Contains(line, "/etc/shadow") {
			is, err := s.masked()
			if err != nil {
				return nil, err
			}
			if is == s.shadow {
				continue
			}
		}
		if !slices.ContainsFunc(planted, func(p string) bool { return strings.Contains(line, p) }) {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// login logs in with OpenSSH and becomes root.
func (s *subject) login(ctx context.Context, secured bool) error {
	argv := s.s.SSH("id", "-u")
	stdin := ""
	if secured {
		for i, arg := range argv {
			switch {
			case arg == s.s.Lab().Key():
				argv[i] = filepath.Join(s.dir, "alice")
			case strings.HasPrefix(arg, "root@"):
				argv[i] = strings.Replace(arg, "root@", "alice@", 1)
			}
		}
		argv = append(argv[:len(argv)-2], "sudo", "-S", "-k", "-p", "''", "id", "-u")
		stdin = s.words + "\n"
	}
	var err error
	for range 3 { // a login may meet sshd while it reloads
		ctx, stop := context.WithTimeout(ctx, 30*time.Second)
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(stdin)
		var out []byte
		out, err = cmd.CombinedOutput()
		stop()
		if err == nil && strings.HasSuffix(strings.TrimSpace(string(out)), "0") {
			return nil
		}
		err = fmt.Errorf("%s: %w: %s", argv, errors.Join(err), out)
		time.Sleep(time.Second)
	}
	return err
}

// remains returns what is left of the guard.
func (s *subject) remains(ctx context.Context) string {
	var found string
	for range 100 { // a service that has ended is forgotten a moment later
		var all []string
		for _, argv := range [][]string{
			{"systemctl", "list-units", "--all", "--plain", "--no-legend", "holdfast-txn-*", "holdfast-guard*", "holdfast-last-resort*"},
			{"find", "/run/systemd/system", "/etc/systemd/system", "/run/holdfast", "-name", "holdfast-txn-*", "-o", "-name", "holdfast-guard*", "-o", "-name", "holdfast-last-resort*", "-o", "-name", "guard-armed", "-o", "-name", "*.secrets"},
			{"find", "/etc", "/root", "/home", "/run", "/tmp", "/var/tmp", server.StateDir, "-xdev", "-name", ".*.tmp", "-o", "-name", "*holdfast*draft*", "-o", "-path", server.StateDir + "/txn/*/reserve", "-o", "-path", server.StateDir + "/txn/*/rehearsal"},
			{"sh", "-c", "for p in /proc/[0-9]*/exe; do readlink $p; done | grep holdfastd || true"},
		} {
			out, err := s.exec(ctx, argv...)
			if no := (*lab.CommandError)(nil); err != nil && !errors.As(err, &no) {
				return err.Error()
			}
			all = append(all, strings.TrimSpace(out))
		}
		if _, err := os.Lstat(filepath.Join(s.s.Root(), server.StateDir, "holder.json")); err == nil {
			all = append(all, "holder.json")
		}
		found = strings.TrimSpace(strings.Join(all, "\n"))
		if found == "" {
			return ""
		}
		time.Sleep(100 * time.Millisecond)
	}
	return found
}

// serve talks to a daemon of its own on the server, as a desk would.
func (s *subject) serve(ctx context.Context, binary, request string) (string, error) {
	cmd, err := s.s.Command(ctx, binary, "serve")
	if err != nil {
		return "", err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	if _, err := io.WriteString(in, request+"\n"); err != nil {
		return "", err
	}
	var line [64 << 10]byte
	n, err := out.Read(line[:])
	return string(line[:n]), errors.Join(err, in.Close(), cmd.Wait())
}
