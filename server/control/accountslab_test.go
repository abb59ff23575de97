package control_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

const (
	adminKey   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFy0iAlsvRa4j0wGLbkDFQKcTBxtGzG4eI3hKmuyCpNR anna@desk"
	foreignKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEDWvdKXStrvjM4IPjzVRjRHVLnXbtqvMV8Fi3dmPrxe old@desk"
)

var accountsConfig = server.Config{
	Site: "lab", Server: "app-1", Port: 22, Passwords: server.PasswordsGuide,
	Admins:     []server.Admin{{Name: "anna", Keys: []string{adminKey}}},
	BreakGlass: server.BreakGlass{Account: "rescue"},
}

// A broken is a server in a state that a control must mend.
type broken struct {
	name     string
	controls []string
	// base is a script for a server that several states share; alone says that
	// a state needs a server of its own, because it changes packages or units.
	base  string
	alone bool
	// setup is a script for the server's shell that breaks it.
	setup string
	// cause is what the audit must say before it is mended.
	cause string
	// config changes what is wanted; may be nil.
	config func(*server.Config)
	// stays says that the control cannot mend it and must say so.
	stays bool
}

// inServer runs a job inside a server.
func inServer(t *testing.T, s *lab.Server, j job) outcome {
	t.Helper()
	defer func(start time.Time) { t.Logf("%s: %v", j.Do, time.Since(start)) }(time.Now())
	in, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Exec(t.Context(), bytes.NewReader(in), "env", insideVariable+"=1", "/run/control.test")
	if err != nil {
		t.Fatal(err)
	}
	var o outcome
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if o.Error != "" {
		t.Fatalf("%s: %s", j.Do, o.Error)
	}
	return o
}

// copyBinary puts this test binary and the key of digests, which the daemon
// makes, into a server.
func copyBinary(t *testing.T, s *lab.Server) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const script = "cat >/run/control.test && chmod 700 /run/control.test && mount -o remount,exec /run && " +
		"mkdir -p -m 700 /var/lib/holdfast && head -c 32 /dev/urandom >/var/lib/holdfast/key"
	if _, err := s.Exec(t.Context(), f, "sh", "-c", script); err != nil {
		t.Fatal(err)
	}
}

func shell(t *testing.T, s *lab.Server, script string) string {
	t.Helper()
	out, err := s.Exec(t.Context(), nil, "bash", "-euc", script)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestAccountsOnServers(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			shared := map[string]*lab.Server{}
			for _, b := range brokenStates() {
				if b.alone {
					t.Run(b.name, func(t *testing.T) {
						s := labtest.Server(t, suite)
						copyBinary(t, s)
						mend(t, s, b)
					})
					continue
				}
				s := shared[b.base]
				if s == nil {
					s = labtest.Server(t, suite)
					copyBinary(t, s)
					shell(t, s, b.base+remember)
					shared[b.base] = s
				}
				t.Run(b.name, func(t *testing.T) {
					defer func() { shell(t, s, restore) }()
					mend(t, s, b)
				})
			}
		})
	}
}

// remember and restore put a server that several cases share back to where it
// was before the first of them: what they break is in these places.
const (
	places   = "etc home root var/lib/pam usr/bin/sudo"
	remember = "\ncd /; find " + places + " -xdev | sort >/run/places; tar -cpf /run/places.tar " + places
	restore  = "cd /; find " + places + " -xdev | sort | comm -13 /run/places - | sort -r | xargs -r -d '\\n' rm -rf --; tar -xpf /run/places.tar"
)

// mend is the life of a control: the audit fails and says why, apply mends it,
// the audit passes, nothing is left to do, and undo gives back the server as it
// was, byte for byte.
func mend(t *testing.T, s *lab.Server, b broken) {
	shell(t, s, b.setup)
	j := job{Controls: b.controls, Config: accountsConfig, Secrets: map[string]string{
		server.PasswordSecret("anna"): "Zq7!vowelkbrt-a", server.PasswordSecret("rescue"): "Wd7!zkvowlqbr-r",
	}}
	if b.config != nil {
		b.config(&j.Config)
	}
	before := snapshot(t, s)
	j.Do = "audit"
	audit := inServer(t, s, j).Results
	if verdict, said := summary(audit); verdict != server.Fail || !strings.Contains(said, b.cause) {
		t.Errorf("the audit says %s and does not name %q:\n%s", verdict, b.cause, said)
	}
	if d := before.Diff(snapshot(t, s)); len(d) > 0 {
		t.Errorf("the audit changed the server: %s", d)
	}

	j.Do = "apply"
	applied := inServer(t, s, j)
	if len(applied.Left) > 0 {
		t.Errorf("a second plan asks for more: %s", applied.Left)
	}
	j.Do = "audit"
	verdict, said := summary(inServer(t, s, j).Results)
	if want := map[bool]server.Verdict{false: server.Pass, true: server.Fail}[b.stays]; verdict != want {
		t.Errorf("after apply the audit says %s:\n%s", verdict, said)
	}

	j.Do, j.Done = "undo", applied.Done
	inServer(t, s, j)
	if d := before.Diff(snapshot(t, s)); len(d) > 0 {
		t.Errorf("undo did not give back the server: %s", d)
	}
}

func snapshot(t *testing.T, s *lab.Server) lab.Tree {
	t.Helper()
	tree, err := lab.TreeSnapshot(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// summary is the worst verdict with every finding that is not a pass.
func summary(results []server.Result) (server.Verdict, string) {
	verdict := server.Pass
	var b strings.Builder
	for _, r := range results {
		if r.Verdict != server.Pass && verdict != server.Fail {
			verdict = r.Verdict
		}
		for _, f := range r.Findings {
			if f.Verdict != server.Pass {
				fmt.Fprintf(&b, "%s: %s: %s\n%s\n", r.Control, f.Verdict, f.What, f.Evidence)
			}
		}
	}
	return verdict, b.String()
}
