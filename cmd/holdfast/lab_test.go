package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
	"github.com/holdfast-security/holdfast/server/protocol"
)

// A stage is a lab server and the operator who looks after it. The steps of a
// test share it, one after the other.
type stage struct {
	operator
	app *lab.Server
}

// An operator secures a stock server, meets everything that can go wrong, and
// puts the server back.
func TestServer(t *testing.T) {
	labtest.Require(t)
	for _, suite := range lab.Suites {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			names := []string{"app-1"}
			if suite == lab.DefaultSuite {
				names = append(names, "db-1")
			}
			l := labtest.Lab(t, lab.Options{Suite: suite, Servers: names})
			s := stage{operator: newOperator(t, l), app: l.Servers()[0]}
			stock := s.tree(t, s.app)
			must(t, "audit of a stock server", s.testStockAudit)
			must(t, "plan of a stock server", s.testStockPlan)
			t.Run("unknown host key", s.testUnknownHostKey)
			t.Run("changed host key", s.testChangedHostKey)
			t.Run("no password for an admin", s.testNoPassword)
			t.Run("no key at this desk", s.testNoKey)
			t.Run("locked key", s.testLockedKey)
			t.Run("in a terminal", s.testTerminal)
			t.Run("admin outside of AllowGroups", s.testAllowGroups)
			s.same(t, s.app, stock, "refusals")

			if len(names) == 1 {
				must(t, "a run that stops half way", func(t *testing.T) { s.testHalfWay(t, stock) })
			} else {
				must(t, "a password that new rules refuse", func(t *testing.T) { s.testNewRules(t, stock) })
			}
			must(t, "apply", s.testApply)
			must(t, "apply again", s.testApplyAgain)
			must(t, "daily audit", s.testDaily)
			t.Run("logins", s.testLogins)
			t.Run("history", s.testHistory)
			secured := s.tree(t, s.app)
			t.Run("wrong sudo password", s.testWrongSudoPassword)
			t.Run("another site", s.testOtherSite)
			t.Run("weak password", s.testWeakPassword)
			s.same(t, s.app, secured, "refusals")
			must(t, "interruptions", s.testInterruptions)
			s.same(t, s.app, secured, "interruptions")
			if len(names) > 1 {
				t.Run("through a jump host", s.testJump)
			}
			must(t, "undo", s.testUndo)
			s.same(t, s.app, stock, "undo")
			t.Run("server off", s.testOff)
		})
	}
}

// must runs a step that those after it build on.
func must(t *testing.T, name string, step func(*testing.T)) {
	t.Helper()
	if !t.Run(name, step) {
		t.FailNow()
	}
}

func (s stage) tree(t *testing.T, srv *lab.Server) lab.Tree {
	t.Helper()
	tree, err := lab.TreeSnapshot(t.Context(), srv)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// same demands that a server is as it was.
func (s stage) same(t *testing.T, srv *lab.Server, before lab.Tree, after string) {
	t.Helper()
	if now := s.tree(t, srv); now.Hash() != before.Hash() {
		t.Fatalf("after the %s %s is not as it was:\n%s", after, srv.Name(), strings.Join(before.Diff(now), "\n"))
	}
}

func (s stage) exec(t *testing.T, stdin string, argv ...string) string {
	t.Helper()
	out, err := s.app.Exec(t.Context(), strings.NewReader(stdin), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// plant writes a file on the server, and returns what removes it again.
func (s stage) plant(t *testing.T, path, mode, text string) (remove func()) {
	t.Helper()
	s.exec(t, text, "install", "-m", mode, "/dev/stdin", path)
	return func() { s.exec(t, "", "rm", path) }
}

func (s stage) testStockAudit(t *testing.T) {
	r := s.run(t, "audit", "app-1")
	r.exits(t, exitFindings)
	r.prints(t, `^  3\.4 .*  0 of 1$`, `✗ ssh-keys-only `, `✗ root-locked `, `PasswordAuthentication`, `\d+ passed, \d+ failed$`)
}

func (s stage) testStockPlan(t *testing.T) {
	before := s.tree(t, s.app)
	r := s.run(t, "plan", "app-1")
	r.exits(t, exitFindings)
	r.prints(t, `^app-1: \d+ changes$`, `^  account alice `, `^  who can log in and become root:$`, `alice +no way in \(there is no such account\) → in by key, root by sudo`,
		`root +in by key or password → no way in`)
	s.same(t, s.app, before, "plan")
	var plans []serverPlan
	j := s.run(t, "plan", "app-1", "--output", "json")
	j.exits(t, exitFindings)
	if j.value(t, &plans); len(plans) != 1 || plans[0].Server != "app-1" || len(plans[0].Plan.Steps) == 0 {
		t.Errorf("not the plan of one server:\n%s", j)
	}
}

func (s stage) testUnknownHostKey(t *testing.T) {
	o := s.twin(t)
	if err := os.Remove(o.path("known_hosts")); err != nil {
		t.Fatal(err)
	}
	r := o.typing(t, "", "apply", "--yes", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: the host key SHA256:\S+ is not known$`, `^holdfast: hint: .*--accept-new-host-keys$`)
	if _, err := os.Stat(o.path("known_hosts")); err == nil {
		t.Error("the host key was pinned")
	}
}

func (s stage) testChangedHostKey(t *testing.T) {
	o := s.twin(t)
	other := filepath.Join(t.TempDir(), "other")
	if err := makeLabKey(other); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(other + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	known := fmt.Sprintf("app-1 %s", key)
	if err := os.WriteFile(o.path("known_hosts"), []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	r := o.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: the host key has changed: known_hosts:1 has `, `^holdfast: hint: if the server was installed anew`,
		`^holdfast: hint: if not, somebody else answers`)
}

func (s stage) testNoPassword(t *testing.T) {
	o := s.twin(t)
	o.typing(t, "", "secrets", "remove", "password/alice").exits(t, exitOK)
	r := o.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: .*password of alice is needed`, `^holdfast: no server was changed$`,
		`^holdfast: hint:     holdfast secrets set password/alice$`)
}

// Without an admin's key nobody at this desk could confirm, so nothing is begun.
func (s stage) testNoKey(t *testing.T) {
	o := s.twin(t)
	if err := os.Remove(o.path(labAdmin)); err != nil {
		t.Fatal(err)
	}
	r := o.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: nobody at this desk could prove that an admin can still log in$`, `alice.*none of its keys is`,
		`^holdfast: no server was changed$`, `^holdfast: hint: .*-i FILE`)
	if strings.Contains(r.err, "preparing") {
		t.Errorf("a transaction was begun\n%s", r)
	}
}

// An admin who has sudo and is in none of the groups that sshd admits.
func (s stage) testAllowGroups(t *testing.T) {
	defer s.plant(t, "/etc/ssh/sshd_config.d/50-groups.conf", "644", "AllowGroups root staff\n")()
	r := s.run(t, "plan", "app-1")
	r.exits(t, exitFailed)
	r.prints(t, `refused: .*alice.*AllowGroups`)
	r = s.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: the plan must not be applied; no server was changed$`)
}

func (s stage) testApply(t *testing.T) {
	r := s.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitOK)
	r.says(t, `^app-1: armed: puts itself back at `, `^app-1: applying \d+/\d+: `, `^app-1: proving: a new login over `,
		`^app-1: secured: \d+ changes, confirmed by new logins$`)
	r = s.run(t, "audit", "app-1")
	r.exits(t, exitOK)
	r.prints(t, `^  \d+ passed, 0 failed$`)
}

// Packages come first, in a transaction of their own: a run that goes no further
// takes them away again.
func (s stage) testHalfWay(t *testing.T, stock lab.Tree) {
	for name, when := range map[string]string{
		"while packages are installed": `^app-1: applying 2/\d: package`,
		"after packages":               `(?s)^app-1: confirming$.*^app-1: planning$`,
	} {
		must(t, "Ctrl-C "+name, func(t *testing.T) {
			r := s.begin(t, when, "apply", "--yes", "app-1").signal(t, syscall.SIGINT)
			r.exits(t, exitRolledBack)
			r.says(t, `^app-1: rolled back; the server is as it was$`)
			s.same(t, s.app, stock, "interruption")
		})
	}
}

// A password that only the rules to be installed refuse: they are taken away
// again.
func (s stage) testNewRules(t *testing.T, stock lab.Tree) {
	o := s.twin(t)
	o.keep(t, "password/alice", "tiger-12")
	r := o.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitRolledBack)
	r.says(t, `^holdfast: error: app-1: .*the new password of alice was refused: The password `, `^holdfast: app-1: the server is as it was before`)
	s.same(t, s.app, stock, "refusal")
}

// A second apply writes nothing and restarts nothing.
func (s stage) testApplyAgain(t *testing.T) {
	daemon := func() string {
		return s.exec(t, "", "systemctl", "show", "ssh.service", "-p", "MainPID,StateChangeTimestamp,InvocationID")
	}
	times, runs := s.times(t), daemon()
	r := s.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitOK)
	r.prints(t, `^app-1: nothing to change$`)
	now := s.times(t)
	for path, at := range now {
		if times[path] != at {
			t.Errorf("%s was written", path)
		}
	}
	if len(now) != len(times) {
		t.Errorf("%d files, there were %d", len(now), len(times))
	}
	if after := daemon(); after != runs {
		t.Errorf("ssh.service was\n%s\nand is\n%s", runs, after)
	}
}

// times are the times of the last change of everything in the server's /etc.
func (s stage) times(t *testing.T) map[string]syscall.Timespec {
	t.Helper()
	all := map[string]syscall.Timespec{}
	err := filepath.WalkDir(filepath.Join(s.app.Root(), "etc"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[path] = info.Sys().(*syscall.Stat_t).Mtim
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Root is kept out by password and by key, and alice gets in and becomes root.
// Refused logins come from an address of their own, so that the daemon does not
// make the desk wait for them.
func (s stage) testLogins(t *testing.T) {
	attacker, err := s.lab.Namespace(t.Context(), "attacker", lab.Public)
	if err != nil {
		t.Fatal(err)
	}
	login := func(user string, method ssh.AuthMethod) (*ssh.Client, error) {
		addr := netip.AddrPortFrom(s.app.Addr4(), 22)
		raw, err := attacker.Dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn, channels, requests, err := ssh.NewClientConn(raw, addr.String(), &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{method}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second,
		})
		if err != nil {
			raw.Close()
			return nil, err
		}
		return ssh.NewClient(conn, channels, requests), nil
	}
	for name, method := range map[string]ssh.AuthMethod{
		"the lab's key": ssh.PublicKeys(s.signer(t, s.lab.Key())), "its password": ssh.Password(s.lab.Password()),
	} {
		if c, err := login("root", method); err == nil {
			t.Errorf("root logs in with %s", name)
			c.Close()
		} else if !strings.Contains(err.Error(), "unable to authenticate") {
			t.Errorf("root with %s: %v", name, err)
		}
	}
	c, err := login(labAdmin, ssh.PublicKeys(s.signer(t, s.path(labAdmin))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for command, want := range map[string]string{
		"sudo -k -S -p '' ls /":            "etc\n",
		"sudo -k -S -p '' su - -c 'id -u'": "0\n",
	} {
		run, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		run.Stdin = strings.NewReader(s.password(t, labAdmin) + "\n")
		out, err := run.Output(command)
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v: %q", command, err, out)
		}
	}
	run, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run.CombinedOutput("sudo -k -n id -u"); err == nil {
		t.Errorf("sudo asks for no password: %q", out)
	}
}

func (s stage) signer(t *testing.T, path string) ssh.Signer {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// journal reads the server's history.
func (s stage) journal(t *testing.T) []protocol.Transaction {
	t.Helper()
	r := s.run(t, "history", "app-1", "--output", "json")
	r.exits(t, exitOK)
	var all []serverHistory
	if r.value(t, &all); len(all) != 1 || len(all[0].Transactions) == 0 {
		t.Fatalf("no history of one server\n%s", r)
	}
	return all[0].Transactions
}

func (s stage) testHistory(t *testing.T) {
	all := s.journal(t)
	// Packages are a transaction of their own in the same run.
	for i, kind := range []string{"changes", "packages"} {
		if one := all[i]; one.State != protocol.StateConfirmed || one.Run != all[0].Run || one.Kind != kind {
			t.Errorf("transaction %s of the run %s is %s: %s", one.ID, one.Run, one.Kind, one.State)
		}
	}
	s.run(t, "history", "app-1").prints(t, `^app-1$`, `^  `+all[0].ID+` .*changes .*confirmed .*by \S+ from `)
	r := s.run(t, "show", "app-1", all[0].ID)
	r.exits(t, exitOK)
	r.prints(t, `account alice`, `password alice`, `usable`)
	r = s.run(t, "show", "app-1", "none-such")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: .*none-such`, `^holdfast: hint:     holdfast history`)
}

func (s stage) testWrongSudoPassword(t *testing.T) {
	o := s.twin(t)
	o.keep(t, "password/alice", "Not-the-9right-one")
	r := o.run(t, "audit", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: alice cannot become root: the password is wrong`, `^holdfast: hint:     holdfast secrets set password/alice$`)
}

func (s stage) testOtherSite(t *testing.T) {
	o := s.twin(t)
	o.edit(t, "holdfast.yaml", "site: "+s.lab.ID(), "site: elsewhere")
	r := o.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: .*`+s.lab.ID(), `^holdfast: hint: `)
}

// The server's rules refuse a weak password before anything is changed.
func (s stage) testWeakPassword(t *testing.T) {
	o := s.twin(t)
	if err := makeLabKey(o.path("bob")); err != nil {
		t.Fatal(err)
	}
	o.edit(t, "holdfast.yaml", "    keys: [alice.pub]\n", "    keys: [alice.pub]\n  - name: bob\n    keys: [bob.pub]\n")
	o.keep(t, "password/bob", "tiger-12")
	r := o.run(t, "apply", "--yes", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: .*the new password of bob was refused: The password `, `^holdfast: no server was changed$`,
		`^holdfast: hint:     holdfast secrets set password/bob$`)
	if strings.Contains(r.err, "armed") {
		t.Errorf("a transaction was begun\n%s", r)
	}
}

// loose lets alice be root without a password, for apply to have something to
// do that takes no packages.
func (s stage) loose(t *testing.T) (remove func()) {
	t.Helper()
	return s.plant(t, "/etc/sudoers.d/90-loose", "440", "alice ALL=(ALL) NOPASSWD: ALL\n")
}

func (s stage) testInterruptions(t *testing.T) {
	remove := s.loose(t)
	loose := s.tree(t, s.app)
	must(t, "Ctrl-C", func(t *testing.T) {
		r := s.begin(t, `^app-1: (armed|applying)`, "apply", "--yes", "app-1").signal(t, syscall.SIGINT)
		r.exits(t, exitRolledBack)
		r.says(t, `^app-1: rolled back; the server is as it was$`, `^holdfast: app-1: the server is as it was before; the changes of this run were undone$`)
		s.same(t, s.app, loose, "interruption")
	})
	must(t, "two desks, one of them killed", func(t *testing.T) {
		s.begin(t, `^app-1: armed`, "apply", "--yes", "--window", "30s", "app-1").signal(t, syscall.SIGKILL)
		for _, command := range [][]string{{"plan"}, {"apply", "--yes"}, {"unlock"}} {
			r := s.twin(t).run(t, append(command, "app-1")...)
			r.exits(t, exitFailed)
			r.says(t, `^holdfast: error: app-1: .*the server is being worked on by \S+ from \S+ since .*: transaction \S+ is (armed|applying|applied), its time is over in \d`,
				`^holdfast: app-1: the server was not changed$`, `^holdfast: hint:     holdfast unlock app-1$`)
		}
		s.twin(t).run(t, "audit", "app-1").says(t, `^holdfast: warning: app-1: transaction \S+ of \S+ is (applying|applied); unless it is confirmed`)
		s.await(t, protocol.StateRolledBack)
		s.same(t, s.app, loose, "end of the window")
		s.twin(t).run(t, "unlock", "app-1").exits(t, exitOK)
	})
	must(t, "the session ends before anything is heard", func(t *testing.T) {
		running := s.begin(t, `^app-1: preparing`, "apply", "--yes", "app-1")
		s.endSessions(t)
		r := running.wait(t)
		if r.code != exitFailed && r.code != exitRolledBack {
			t.Errorf("exit status %d, want %d or %d\n%s", r.code, exitFailed, exitRolledBack, r)
		}
		r.says(t, `^holdfast: error: app-1: .*lost`, `^app-1: (failed; the server was not changed|rolled back; the server is as it was)$`)
		s.same(t, s.app, loose, "end of the session")
	})
	must(t, "the session ends while the server works", func(t *testing.T) {
		running := s.begin(t, `^app-1: armed`, "apply", "--yes", "app-1")
		s.endSessions(t)
		r := running.wait(t)
		r.exits(t, exitOK)
		r.says(t, `^app-1: secured: 1 change, confirmed by new logins$`)
	})
	must(t, "undo", func(t *testing.T) {
		r := s.run(t, "undo", "--yes", "app-1")
		r.exits(t, exitOK)
		r.says(t, `^app-1: put back: 1 change undone$`)
		s.same(t, s.app, loose, "undo")
	})
	remove()
}

// endSessions kills the daemons that talk to a desk.
func (s stage) endSessions(t *testing.T) {
	t.Helper()
	s.exec(t, "", "pkill", "-KILL", "-f", "^/usr/local/lib/holdfast/[0-9a-f]*/holdfastd serve")
}

// await waits until the server's last transaction has a state.
func (s stage) await(t *testing.T, state string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		last := s.journal(t)[0]
		if last.State == state {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the last transaction is %s, want %s", last.State, state)
		case <-time.After(time.Second):
		}
	}
}

// A server behind another is secured and put back through it.
func (s stage) testJump(t *testing.T) {
	db, err := s.lab.Server("db-1")
	if err != nil {
		t.Fatal(err)
	}
	o := s.twin(t)
	o.edit(t, "holdfast.yaml", fmt.Sprintf("address: %s\n    address6: %q\n    private: %s\n", db.Addr4(), db.Addr6(), db.Private4()),
		fmt.Sprintf("address: %s\n    jump: app-1\n", db.Private4()))
	stock := s.tree(t, db)
	r := o.run(t, "apply", "--yes", "db-1")
	r.exits(t, exitOK)
	r.says(t, `^db-1: secured: `)
	r = o.run(t, "audit", "db-1")
	r.exits(t, exitOK)
	r = o.run(t, "undo", "--yes", "db-1")
	r.exits(t, exitOK)
	s.same(t, db, stock, "undo")
}

// The account that the operator is logged in with goes away, and the first login
// confirms.
func (s stage) testUndo(t *testing.T) {
	r := s.run(t, "undo", "--yes", "app-1")
	r.exits(t, exitOK)
	r.prints(t, `^  account alice `)
	r.says(t, `^app-1: put back: \d+ changes undone$`)
	var undone int
	for _, one := range s.journal(t) {
		if one.Kind != "undo" && one.State == protocol.StateConfirmed && one.UndoneBy == "" {
			t.Errorf("transaction %s is not undone", one.ID)
		}
		if one.UndoneBy != "" {
			undone++
		}
	}
	if undone == 0 {
		t.Error("no transaction is undone")
	}
}

func (s stage) testOff(t *testing.T) {
	if err := s.app.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := s.run(t, "audit", "app-1")
	r.exits(t, exitFailed)
	r.says(t, `^holdfast: error: app-1: `)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}
