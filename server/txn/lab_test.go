//go:build linux

package txn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/txn"
)

const dropIn = "/etc/ssh/sshd_config.d/00-holdfast-test.conf"

// real is a server of a lab with the guard's program on it.
type real struct {
	*testing.T
	s      *lab.Server
	binary string
	old    lab.Tree
}

// TestOnServers proves the guard where it has to hold: with real systemd, sshd
// and power cuts.
func TestOnServers(t *testing.T) {
	labtest.Require(t)
	content, binary := buildProgram(t)
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			s := labtest.Server(t, suite, labtest.Disk)
			r := &real{T: t, s: s, binary: binary}
			r.install(content)
			for _, test := range []struct {
				name string
				run  func(r *real)
			}{
				{"confirm and undo", (*real).confirmAndUndo},
				{"the window passes", (*real).windowPasses},
				{"packages", (*real).packages},
				{"the run is killed", (*real).runKilled},
				{"the run is killed when applied", (*real).runKilledApplied},
				{"the power is cut when applied", (*real).powerCutApplied},
				{"the power is cut while applying", (*real).powerCutApplying},
				{"the power is cut after the confirmation", (*real).powerCutConfirmed},
			} {
				t.Run(test.name, func(t *testing.T) {
					r.T = t
					r.old = r.tree()
					test.run(r)
				})
			}
		})
	}
}

// buildProgram builds this test binary as the daemon for servers, and says where
// it has to lie on them.
func buildProgram(t *testing.T, flags ...string) (content []byte, path string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "holdfastd")
	build := exec.CommandContext(t.Context(), "go", append([]string{"test", "-c", "-o", program}, append(flags, ".")...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return content, "/usr/local/lib/holdfast/" + hex.EncodeToString(sum[:]) + "/holdfastd"
}

// TestPowerCutFindsAMissingSync leaves one fsync out on purpose: the power cuts of
// these tests have to lose what was not synced, or they would prove nothing.
func TestPowerCutFindsAMissingSync(t *testing.T) {
	labtest.Require(t)
	for _, c := range []struct {
		name  string
		flags []string
		want  bool
	}{
		{"every fsync", nil, true},
		{"one left out", []string{"-tags", "holdfast_no_fsync"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			content, binary := buildProgram(t, c.flags...)
			r := &real{T: t, s: labtest.Server(t, "trixie", labtest.Disk), binary: binary}
			r.install(content)
			r.old = r.tree()
			id := r.apply(0, slow()...)
			r.must("desk-wait", id, "begun5")
			r.cut()
			_, err := r.daemon(nil, "desk-wait", id, string(txn.RolledBack))
			now := r.tree()
			if survived := err == nil && now.Hash() == r.old.Hash(); survived != c.want {
				t.Errorf("the server came back as it was: %t, want %t (%v)\n%s", survived, c.want, err, differences(r.old, now))
				r.log()
			} else {
				t.Logf("%v\n%s", err, differences(r.old, now))
			}
		})
	}
}

func (r *real) install(content []byte) {
	r.Helper()
	path := filepath.Join(r.s.Root(), r.binary)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		r.Fatal(err)
	}
	r.exec("sync")
	// What the first change of any account makes is not what these tests are
	// about.
	r.exec("systemctl", "is-system-running", "--wait")
}

func (r *real) exec(argv ...string) string {
	r.Helper()
	out, err := r.s.Exec(r.Context(), nil, argv...)
	if no := (*lab.CommandError)(nil); err != nil && !errors.As(err, &no) {
		r.Fatal(err)
	}
	return string(out)
}

// daemon calls the program on the server.
func (r *real) daemon(stdin []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 90*time.Second)
	defer cancel()
	cmd, err := r.s.Command(ctx, append([]string{r.binary}, args...)...)
	if err != nil {
		return "", err
	}
	var out, problems bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &problems
	cmd.WaitDelay = 5 * time.Second // what it has started keeps its pipes open
	err = cmd.Run()
	if problems.Len() > 0 {
		r.Logf("%s: %s", args[0], strings.TrimSpace(problems.String()))
	}
	return strings.TrimSpace(out.String()), err
}

func (r *real) must(args ...string) string {
	r.Helper()
	out, err := r.daemon(nil, args...)
	if err != nil {
		r.log()
		r.Fatalf("%s: %v", args, err)
	}
	return out
}

// apply starts a transaction and returns its ID.
func (r *real) apply(window time.Duration, all ...server.Resource) string {
	r.Helper()
	kind := txn.Changes
	if _, ok := all[0].(server.Installer); ok {
		kind = txn.Packages
	}
	o := order{Kind: kind, Window: window, Secrets: map[string]string{server.PasswordSecret("ann"): "Correct-horse-7-battery"}}
	for _, res := range all {
		data, err := specs{}.Encode(res)
		if err != nil {
			r.Fatal(err)
		}
		o.Resources = append(o.Resources, data)
	}
	stdin, err := json.Marshal(o)
	if err != nil {
		r.Fatal(err)
	}
	id, err := r.daemon(stdin, "desk-apply")
	if err != nil {
		r.log()
		r.Fatal(err)
	}
	return id
}

// secure is a bit of everything, and nothing that locks root out.
func secure(more string) []server.Resource {
	return []server.Resource{
		resource.File{Path: dropIn, Mode: 0o600, Content: "MaxAuthTries 3\n" + more, Test: []string{"sshd", "-t", "-f"}},
		resource.File{Path: "/etc/motd", Mode: 0o644, Content: "secured\n"},
		resource.Account{Account: "ann", Shell: "/bin/bash", Groups: []string{"sudo"}},
		resource.Password{Account: "ann"},
		resource.Daemon{Unit: "ssh.service", Config: []string{"/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf"}, Reload: true},
	}
}

// lockOut is secure with a mistake that nobody can log in after.
func lockOut() []server.Resource { return secure("AllowGroups nosuchgroup\n") }

// slow is lockOut with a step that takes long when it is live.
func slow() []server.Resource {
	wait := resource.File{Path: "/etc/slow", Mode: 0o644, Content: "slow\n",
		Test: []string{"sh", "-c", "if grep -q holdfast-txn /proc/self/cgroup; then sleep 60; fi", "sh"}}
	return append(lockOut(), wait)
}

func (r *real) canLogIn() bool {
	argv := r.s.SSH("true")
	return exec.CommandContext(r.Context(), argv[0], argv[1:]...).Run() == nil
}

func (r *real) wantLogin() {
	r.Helper()
	if !r.canLogIn() {
		r.Error("root is locked out")
	}
}

func (r *real) tree() lab.Tree {
	r.Helper()
	t, err := lab.TreeSnapshot(r.Context(), r.s)
	if err != nil {
		r.Fatal(err)
	}
	return t
}

// wantOld fails unless the server is as it was, nothing of the guard remains and
// root can log in.
func (r *real) wantOld() {
	r.Helper()
	r.wantClean()
	now := r.tree()
	if now.Hash() != r.old.Hash() {
		r.Errorf("the tree differs:\n%s", differences(r.old, now))
		r.log()
	}
	r.wantLogin()
}

func differences(old, now lab.Tree) string {
	var all []string
	for p, n := range now {
		if o, ok := old[p]; !ok {
			all = append(all, "new "+p)
		} else if o != n {
			all = append(all, "changed "+p)
		}
	}
	for p := range old {
		if _, ok := now[p]; !ok {
			all = append(all, "gone "+p)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (r *real) wantClean() {
	r.Helper()
	var units, files string
	for range 50 { // a service that has ended is forgotten a moment later
		units = r.exec("systemctl", "list-units", "--all", "--plain", "--no-legend", "holdfast*")
		files = r.exec("find", "/run/systemd/system", "/etc/systemd/system", "/run/holdfast", "-name", "*holdfast*", "-o", "-name", "guard-armed", "-o", "-name", "*.secrets")
		files = strings.TrimSpace(strings.Replace(files, "/run/holdfast\n", "", 1))
		if units == "" && files == "" {
			return
		}
		r.exec("sleep", "0.1")
	}
	r.Errorf("of the guard remain the units\n%sand the files\n%s", units, files)
}

// log shows what the server's journals say.
func (r *real) log() {
	r.Helper()
	r.Log(r.exec("sh", "-c", "cd /var/lib/holdfast/txn && last=$(ls | tail -n 1) && cat $last/log.jsonl $last/state.json; "+
		"journalctl -b --no-pager -u 'holdfast*' | tail -n 40"))
}

func (r *real) confirmAndUndo() {
	began := time.Now()
	id := r.apply(0, secure("")...)
	r.must("desk-wait", id, string(txn.Applied))
	r.wantLogin()
	const lock = "/var/lib/dpkg/lock-frontend"
	if _, err := r.daemon(nil, "hold-file", lock); err == nil {
		r.Error("package managers may work while the transaction is open")
	}
	r.must("desk-confirm", id)
	r.Logf("apply and confirm took %s", time.Since(began))
	r.wantClean()
	r.must("hold-file", lock)
	if out := r.exec("sshd", "-T"); !strings.Contains(out, "maxauthtries 3") {
		r.Error("the change is not there")
	}
	r.must("desk-undo")
	r.wantOld()
}

func (r *real) windowPasses() {
	id := r.apply(5*time.Second, lockOut()...)
	r.must("desk-wait", id, string(txn.Applied))
	if r.canLogIn() {
		r.Error("the mistake of this test locks nobody out")
	}
	r.must("desk-wait", id, string(txn.RolledBack))
	r.wantOld()
}

func (r *real) packages() {
	r.must("desk-wait", r.apply(time.Second, resource.Package{Package: "libpam-pwquality"}), string(txn.RolledBack))
	r.wantOld()
	id := r.apply(0, resource.Package{Package: "libpam-pwquality"})
	r.must("desk-wait", id, string(txn.Applied))
	r.must("desk-confirm", id)
	if out := r.exec("grep", "pwquality", "/etc/pam.d/common-password"); out == "" {
		r.Error("the package has not changed the login path as it is known to do")
	}
	r.must("desk-undo")
	r.wantOld()
}

func (r *real) runKilled() {
	id := r.apply(0, slow()...)
	r.must("desk-wait", id, "begun5")
	r.exec("systemctl", "kill", "--signal=KILL", "holdfast-txn-"+id+".service")
	began := time.Now()
	r.must("desk-wait", id, string(txn.RolledBack))
	if took := time.Since(began); took > time.Minute {
		r.Errorf("the rollback took %s", took)
	}
	r.wantOld()
}

func (r *real) runKilledApplied() {
	id := r.apply(0, lockOut()...)
	r.must("desk-wait", id, string(txn.Applied))
	r.exec("systemctl", "kill", "--signal=KILL", "holdfast-txn-"+id+".service")
	r.must("desk-wait", id, string(txn.RolledBack))
	r.wantOld()
}

func (r *real) cut() {
	r.Helper()
	if err := r.s.PowerCut(r.Context()); err != nil {
		r.Fatal(err)
	}
	if err := r.s.Boot(r.Context()); err != nil {
		r.Fatal(err)
	}
}

func (r *real) powerCutApplied() {
	id := r.apply(0, lockOut()...)
	r.must("desk-wait", id, string(txn.Applied))
	r.cut()
	r.wantLogin() // at once: before anything waits for the end of the rollback
	r.must("desk-wait", id, string(txn.RolledBack))
	r.wantOld()
}

func (r *real) powerCutApplying() {
	id := r.apply(0, slow()...)
	r.must("desk-wait", id, "begun5")
	r.cut()
	r.wantLogin()
	r.must("desk-wait", id, string(txn.RolledBack))
	r.wantOld()
}

func (r *real) powerCutConfirmed() {
	id := r.apply(0, secure("")...)
	r.must("desk-wait", id, string(txn.Applied))
	r.must("desk-confirm", id)
	now := r.tree()
	r.cut()
	if after := r.tree(); after.Hash() != now.Hash() {
		r.Errorf("what was confirmed is lost:\n%s", differences(now, after))
	}
	r.wantClean()
	r.wantLogin()
	r.must("desk-undo")
	r.wantOld()
}
