package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/archive"
)

// daemonVariable names the holdfastd that the holdfast of these tests carries.
const daemonVariable = "HOLDFAST_TEST_DAEMON"

// The test binary is holdfast, too: testscript puts it into the path under that
// name.
func TestMain(m *testing.M) {
	if inWorld() {
		return
	}
	testscript.Main(m, map[string]func(){
		"holdfast": func() { os.Exit(start(daemonFile(os.Getenv(daemonVariable)))) },
	})
}

// A daemonFile is the path of one holdfastd, built from the sources at hand
// rather than embedded by an earlier build.
type daemonFile string

// Digests returns the digest of the file.
func (f daemonFile) Digests() map[string]string {
	program, err := f.For(runtime.GOARCH)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(program)
	return map[string]string{runtime.GOARCH: hex.EncodeToString(sum[:])}
}

// For returns the file.
func (f daemonFile) For(string) ([]byte, error) {
	if f == "" {
		return nil, fmt.Errorf("%s is not set", daemonVariable)
	}
	return os.ReadFile(string(f))
}

// builtDaemon builds holdfastd once for all tests and returns its path.
func builtDaemon(t *testing.T) string {
	t.Helper()
	path, err := buildDaemon()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildDaemon = sync.OnceValues(func() (string, error) {
	// Beside the test binary, which the go command removes with all around it.
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), "holdfastd")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "../holdfastd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building holdfastd: %w: %s", err, out)
	}
	return path, nil
})

// TestScripts runs the command lines in testdata, each in a directory and with a
// home of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
			e.Setenv("XDG_STATE_HOME", filepath.Join(home, ".local", "state"))
			e.Setenv("SSH_AUTH_SOCK", "")
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"keypair": keypair, "status": exitStatus, "keep": keepAudit},
	})
}

// exitStatus runs a command that must end with an exit status: status N COMMAND….
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit status %d, want %d", code, want)
	}
}

// keypair makes an SSH key pair without a passphrase: keypair FILE.
func keypair(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keypair FILE")
	}
	ts.Check(makeLabKey(ts.MkAbs(args[0])))
}

// keepAudit keeps an audit at the desk: keep FILE.
func keepAudit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep FILE")
	}
	var r server.AuditRecord
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
	s, err := archive.At(filepath.Join(ts.Getenv("XDG_STATE_HOME"), "holdfast", "audits"), r.Site, r.Server, archive.Rule{})
	ts.Check(err)
	s.Dir = filepath.Join(s.Dir, map[bool]string{true: byDay, false: byDesk}[r.Daily])
	ts.Check(s.Put(r))
}

// With root this machine is audited; where that is not possible one line says
// why.
func TestAuditLocal(t *testing.T) {
	o := operator{dir: t.TempDir(), home: t.TempDir()}
	r := o.typing(t, "", "audit", "--local")
	if r.code == exitFailed && (os.Geteuid() != 0 || os.Getenv("HOLDFAST_MUST_RUN") != "1") {
		if r.out != "" || strings.Count(r.err, "\n") != 1 {
			t.Errorf("not one line that says why:\n%s", r)
		}
		r.says(t, "^holdfast: error: ")
		return
	}
	// A machine without a site has no way in when all else fails.
	r.exits(t, exitFindings)
	r.prints(t, `^    ✗ break-glass `, `^  \d+ passed, \d+ failed`)
	if r.err != "" {
		t.Errorf("standard error:\n%s", r)
	}
	if j := o.typing(t, "", "audit", "--local", "--output", "json"); !regexp.MustCompile(`^\[\n  \{\n    "server": "`).MatchString(j.out) {
		t.Errorf("not JSON:\n%s", j)
	}
}
