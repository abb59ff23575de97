//go:build linux

package machine_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// TestOnServers runs the tests of this package on real servers.
func TestOnServers(t *testing.T) {
	if os.Getenv(onServer) != "" {
		t.Skip("this is such a server")
	}
	labtest.Require(t)
	program := filepath.Join(t.TempDir(), "machine.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			s := labtest.Server(t, suite)
			const there = "/opt/machine.test"
			if err := os.WriteFile(filepath.Join(s.Root(), there), content, 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Exec(t.Context(), nil, "apt-get", "install", "--yes", "--no-install-recommends", "libpam-pwquality", "attr"); err != nil {
				t.Fatal(err)
			}
			cmd, err := s.Command(t.Context(), "env", onServer+"=1", "HOLDFAST_MUST_RUN=1", "TMPDIR=/var/tmp",
				there, "-test.v", "-test.timeout=2m", "-test.bench=Rehearse", "-test.benchtime=50x")
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err = cmd.Run()
			t.Logf("%s", &out)
			if err != nil || !bytes.Contains(out.Bytes(), []byte("--- PASS: TestToolsInWorld/copy")) {
				t.Errorf("the tests on the server: %v", err)
			}
		})
	}
}
