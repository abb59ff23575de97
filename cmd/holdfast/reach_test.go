package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// suitesOf are the releases that a test runs on: the one that is named, or, in a
// soak run, all.
func suitesOf(one string) []string {
	if os.Getenv("HOLDFAST_SOAK") != "" {
		return lab.Suites
	}
	return []string{one}
}

// An operator secures a site whose database server can be reached through the
// application server alone: from the first contact to undo, and with plain ssh.
func TestReach(t *testing.T) {
	labtest.Require(t)
	for _, suite := range suitesOf("bookworm") {
		t.Run(suite, func(t *testing.T) {
			l := labtest.Lab(t, lab.Options{Suite: suite, Servers: []string{"app-1", "db-1"}})
			s := stage{operator: newOperator(t, l), app: l.Servers()[0]}
			s.behind(t)
			db := l.Servers()[1]
			stock := s.tree(t, db)

			must(t, "first contact", func(t *testing.T) {
				s.run(t, "audit", "db-1").exits(t, exitFindings)
				r := s.run(t, "plan", "db-1")
				r.exits(t, exitFindings)
				r.prints(t, `^db-1: \d+ changes$`, `alice +no way in .* → in by key, root by sudo`)
				s.same(t, db, stock, "plan")
			})
			must(t, "apply", func(t *testing.T) {
				r := s.run(t, "apply", "--yes")
				r.exits(t, exitOK)
				r.says(t, `^app-1: proving: new connections through it to 1 server$`,
					`(?s)^app-1: secured: .*^db-1: preparing.*^db-1: secured: \d+ changes, confirmed by new logins$`)
			})
			must(t, "audit", func(t *testing.T) {
				r := s.run(t, "audit", "--verbose")
				r.exits(t, exitOK)
				r.prints(t, `✓ ssh-jump `, `sshd lets every admin through to the servers behind this one`)
			})
			t.Run("plain ssh", s.testPlainSSH)
			must(t, "a jump host that carries no more", func(t *testing.T) { s.testCarriesNoMore(t, db) })
			must(t, "a loss that is wanted", func(t *testing.T) { s.testWantedLoss(t, db) })
			must(t, "exceptions", s.testExceptions)
			must(t, "undo", func(t *testing.T) {
				for range 8 {
					if len(s.undoable(t, "db-1")) == 0 {
						break
					}
					s.run(t, "undo", "--yes", "db-1").exits(t, exitOK)
				}
				s.same(t, db, stock, "undo")
			})
		})
	}
}

// behind puts db-1 behind app-1: the desk has no other way to its private
// address.
func (s stage) behind(t *testing.T) {
	t.Helper()
	db, err := s.lab.Server("db-1")
	if err != nil {
		t.Fatal(err)
	}
	s.edit(t, "holdfast.yaml", fmt.Sprintf("address: %s\n    address6: %q\n    private: %s\n", db.Addr4(), db.Addr6(), db.Private4()),
		fmt.Sprintf("address: %s\n    jump: app-1\n", db.Private4()))
}

// undoable are the runs of a server that are not undone.
func (s stage) undoable(t *testing.T, name string) []string {
	t.Helper()
	r := s.run(t, "history", name, "--output", "json")
	r.exits(t, exitOK)
	var all []serverHistory
	r.value(t, &all)
	var ids []string
	for _, one := range all[0].Transactions {
		if one.Kind != "undo" && one.State == "confirmed" && one.UndoneBy == "" {
			ids = append(ids, one.ID)
		}
	}
	return ids
}

// testPlainSSH logs in with the ssh of this machine and a configuration made by
// `holdfast ssh-config`, with an agent that it would forward if it could.
func (s stage) testPlainSSH(t *testing.T) {
	config := filepath.Join(t.TempDir(), "ssh", "config")
	r := s.run(t, "ssh-config", "--config", config)
	r.exits(t, exitOK)
	r.prints(t, `^ssh reaches app-1, db-1 as alice$`)
	socket := s.agent(t)
	ssh := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "ssh", append([]string{"-F", config, "-o", "BatchMode=yes"}, args...)...)
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	for host, want := range map[string]string{"app-1": "app-1", "db-1": "db-1", "db-1." + s.lab.ID(): "db-1"} {
		out, err := ssh(host, "hostname; id -un; echo agent=$SSH_AUTH_SOCK")
		if err != nil || out != want+"\nalice\nagent=" {
			t.Errorf("ssh %s: %v: %q", host, err, out)
		}
	}
	// Even who asks for it with ssh -A lends no agent.
	for _, host := range []string{"app-1", "db-1"} {
		if out, err := ssh("-A", host, "echo agent=$SSH_AUTH_SOCK"); err != nil || !strings.HasSuffix(out, "agent=") {
			t.Errorf("ssh -A %s: %v: %q", host, err, out)
		}
	}
	// The key is pinned: another at the address is refused.
	o := s.twin(t)
	other := filepath.Join(t.TempDir(), "other")
	if err := makeLabKey(other); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(other + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.path("known_hosts"), fmt.Appendf(nil, "app-1 %sdb-1 %s", key, key), 0o600); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(t.TempDir(), "ssh", "config")
	o.run(t, "ssh-config", "--config", config).exits(t, exitOK)
	if out, err := ssh("app-1", "true"); err == nil || !strings.Contains(out, "REMOTE HOST IDENTIFICATION HAS CHANGED") {
		t.Errorf("with another key pinned: %v: %q", err, out)
	}
}

// agent starts an ssh-agent with alice's key and returns its socket.
func (s stage) agent(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("ssh-agent makes no socket")
		}
		time.Sleep(20 * time.Millisecond) // poll
	}
	add := exec.CommandContext(t.Context(), "ssh-add", "-q", s.path(labAdmin))
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	return socket
}

// testCarriesNoMore cuts the way from the jump host to what is behind it while
// the jump host is changed: that undoes the change.
func (s stage) testCarriesNoMore(t *testing.T, db *lab.Server) {
	remove := s.loose(t)
	loose := s.tree(t, s.app)
	running := s.begin(t, `^app-1: canary: alice logs in`, "apply", "--yes", "app-1")
	s.exec(t, "", "ip", "route", "add", "blackhole", db.Private4().String()+"/32")
	r := running.wait(t)
	s.exec(t, "", "ip", "route", "del", "blackhole", db.Private4().String()+"/32")
	r.exits(t, exitRolledBack)
	r.says(t, `^app-1: proving: new connections through it to 1 server$`, `^holdfast: error: app-1: db-1 cannot be reached through app-1 any more: `,
		`^app-1: rolled back; the server is as it was$`)
	s.same(t, s.app, loose, "rollback")
	remove()
}

// testWantedLoss keeps an admin out of a server: refused, unless the site file
// says that it is wanted, and then shown.
func (s stage) testWantedLoss(t *testing.T, db *lab.Server) {
	o := stage{operator: s.twin(t), app: db}
	if err := makeLabKey(o.path("bob")); err != nil {
		t.Fatal(err)
	}
	o.edit(t, "holdfast.yaml", "    keys: [alice.pub]\n", "    keys: [alice.pub]\n  - name: bob\n    keys: [bob.pub]\n")
	o.keep(t, "password/bob", server.NewPassword().Reveal())
	remove := o.plant(t, "/etc/ssh/sshd_config.d/50-users.conf", "644", "AllowUsers root alice\n")
	r := o.run(t, "apply", "--yes", "db-1")
	r.exits(t, exitFailed)
	r.prints(t, `refused: the admin bob could not log in with a key: sshd's AllowUsers root alice keeps it out`)
	r.says(t, `^holdfast: error: db-1: the plan must not be applied; no server was changed$`)

	o.edit(t, "holdfast.yaml", "\nsecrets:", "\nloses_access:\n  - {name: bob, servers: [db-1], reason: bob works on app-1}\n\nsecrets:")
	r = o.run(t, "apply", "--yes", "db-1")
	r.exits(t, exitOK)
	r.prints(t, `note: wanted by the site file: bob could not log in with a key: sshd's AllowUsers root alice keeps it out \(bob works on app-1\)`)
	r.says(t, `alice logs in with a key and becomes root; bob is refused; root is refused`, `^db-1: secured: `)
	o.run(t, "audit", "db-1").exits(t, exitOK)
	remove()

	// What was wanted until a day is not wanted after it.
	o.edit(t, "holdfast.yaml", "reason: bob works on app-1}", "reason: bob works on app-1, until: 2020-01-01}")
	remove = o.plant(t, "/etc/ssh/sshd_config.d/50-users.conf", "644", "AllowUsers root alice\n")
	r = o.run(t, "plan", "db-1")
	r.exits(t, exitFailed)
	r.prints(t, `refused: the admin bob could not log in with a key`)
	remove()
}

// testExceptions switches a control off, lets the exception end, and applies it
// again.
func (s stage) testExceptions(t *testing.T) {
	remove := s.plant(t, "/etc/ssh/sshd_config.d/00-aaa.conf", "644", "MaxAuthTries 9\n")
	s.exec(t, "", "systemctl", "reload", "ssh")
	if err := s.app.Ready(t.Context()); err != nil { // it does not listen while it reloads
		t.Fatal(err)
	}
	o := s.twin(t)
	o.run(t, "audit", "app-1").exits(t, exitFindings)
	o.edit(t, "holdfast.yaml", "\nsecrets:", "\nexceptions:\n  - {control: ssh-sessions, servers: [app-1], reason: an old client, owner: alice, until: 2099-12-31}\n\nsecrets:")
	r := o.run(t, "plan", "app-1")
	r.prints(t, `^  left out, by exception: ssh-sessions until 2099-12-31: an old client \(alice\)$`)
	if strings.Contains(r.out, "00-holdfast-sessions") {
		t.Errorf("the control is not left out\n%s", r)
	}
	o.run(t, "apply", "--yes", "app-1").exits(t, exitOK) // its own daily audit is told
	// systemd forgets reloads of others when units change.
	s.exec(t, "", "systemctl", "reload", "ssh")
	if err := s.app.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = o.run(t, "audit", "app-1")
	r.exits(t, exitOK)
	r.prints(t, `^    - ssh-sessions `, `until 2099-12-31: an old client \(alice\)$`, `^  \d+ passed, 0 failed, 1 excepted$`)
	o.edit(t, "holdfast.yaml", "until: 2099-12-31", "until: 2020-01-01")
	r = o.run(t, "audit", "app-1", "--output", "json")
	r.exits(t, exitFindings)
	var all []serverAudit
	r.value(t, &all)
	found := false
	for _, one := range all[0].Results {
		found = found || one.Control == "ssh-sessions" && one.Verdict == server.Fail && one.Exception != nil && one.Findings[0].What == "the exception of this control is not over"
	}
	if !found {
		t.Errorf("the exception that is over is no finding\n%s", r)
	}
	r = o.run(t, "plan", "app-1")
	r.prints(t, `note: this exception is over, and its control is applied again: ssh-sessions until 2020-01-01`, `00-aaa.conf`)
	remove()
}
