package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// An existing server is one that somebody has worked on before Holdfast comes.
type existing struct {
	// name is that of its script in testdata/existing.
	name string
	// suite is the release that it has where not all are tried.
	suite string
	// key is the type of alice's key, as ssh-keygen takes it; empty for ed25519.
	key []string
	// site is what the site file says of it, at the end.
	site string
	// first is the account of the first contact.
	first string
	// rival is the firewall that it has; empty if none.
	rival string
	// logins are the accounts that log in with a key, and with which: alice's,
	// or the one that is called deploy. Those must still log in afterwards.
	logins map[string]string
	// told are what the plan must say.
	told []string
	// finding is what the audit says without site; empty if it passes.
	finding string
}

// untilReplaced excepts a weak key while its replacement is on its way.
const untilReplaced = "exceptions:\n  - {control: ssh-strong-keys, servers: [app-1], reason: alice gets a new key, owner: alice, until: 2099-12-31}\n"

func existingServers() []existing {
	return []existing{
		{
			name: "guide", suite: "bookworm", key: []string{"-t", "rsa", "-b", "2048"}, site: untilReplaced, rival: "iptables-persistent",
			logins:  map[string]string{"alice": "alice"},
			told:    []string{`file /etc/pam\.d/common-password `, `^ +-password\s+requisite\s+pam_cracklib\.so`, `alice +in by key or password, root by sudo → in by key, root by sudo$`},
			finding: `alice has no stronger key here yet, so it goes on opening the account`,
		},
		{
			name: "cloud", suite: "trixie", first: "debian",
			logins: map[string]string{"debian": "deploy"},
			told:   []string{`file /etc/cloud/cloud\.cfg\.d/99-holdfast-ssh\.cfg `, `^ +-debian ALL=\(ALL\) NOPASSWD:ALL$`, `debian +in by key.* → in by key, never root`},
		},
		{
			name: "ansible", suite: "bookworm",
			logins: map[string]string{"alice": "alice", "deploy": "deploy"},
			told:   []string{`file /etc/ssh/sshd_config `, `\+Include /etc/ssh/sshd_config\.d/00-holdfast-\*\.conf$`, `^ +-deploy ALL=\(ALL\) NOPASSWD: ALL$`},
		},
		{
			name: "mess", suite: "trixie",
			logins: map[string]string{"alice": "alice", "carol": "deploy"},
			told:   []string{`^ +\+# holdfast: PasswordAuthentication yes$`, `directory /home/alice `, `alice +in by key or password, root by sudo → in by key, root by sudo$`, `bob +in by password, never root .* → no way in`},
		},
		{
			name: "ufw", suite: "bookworm", rival: "ufw",
			logins: map[string]string{"alice": "alice", "root": "lab"},
		},
	}
}

// Servers that are in use already reach an audit without failures. Nobody who
// logged in with a key is lost, and what is changed of what was there is in the
// plan; everything else stays byte for byte, and undo gives back all of it.
func TestExistingServers(t *testing.T) {
	labtest.Require(t)
	for _, e := range existingServers() {
		for _, suite := range suitesOf(e.suite) {
			t.Run(e.name+" on "+suite, func(t *testing.T) {
				t.Parallel()
				l := labtest.Lab(t, lab.Options{Suite: suite, Servers: []string{"app-1"}})
				s := stage{operator: newOperator(t, l), app: l.Servers()[0]}
				s.adopt(t, e)
			})
		}
	}
}

// adopt is the life of an existing server under Holdfast.
func (s stage) adopt(t *testing.T, e existing) {
	s.prepare(t, e)
	was, lines := s.tree(t, s.app), s.lines(t)
	for user, key := range e.logins {
		if err := s.logsIn(t, user, key); err != nil {
			t.Fatalf("%s could not log in before: %v", user, err)
		}
	}
	if e.rival != "" {
		r := s.run(t, "apply", "--yes", "app-1")
		r.exits(t, exitFailed)
		r.prints(t, `error: one-firewall: `+regexp.QuoteMeta(e.rival)+` filters packets here, and the site file does not say firewall: take-over`)
		s.same(t, s.app, was, "refusal")
		s.edit(t, "holdfast.yaml", "\nadmins:", "\nfirewall: take-over\n\nadmins:")
	}
	r := s.run(t, "plan", "app-1")
	r.exits(t, exitFindings)
	r.prints(t, e.told...)
	shown := r.out
	var changed []string
	must(t, "apply", func(t *testing.T) {
		r := s.run(t, "apply", "--yes", "app-1")
		r.exits(t, exitOK)
		shown += r.out + r.err
		changed = s.changes(t)
	})
	must(t, "audit", func(t *testing.T) { s.auditExisting(t, e) })
	t.Run("logins", func(t *testing.T) {
		for user, key := range e.logins {
			err := s.logsIn(t, user, key)
			if user == "root" && (err == nil || !strings.Contains(err.Error(), "unable to authenticate")) || user != "root" && err != nil {
				t.Errorf("%s: %v", user, err)
			}
		}
	})
	t.Run("foreign files", func(t *testing.T) {
		s.foreign(t, was, changed)
		s.foreignLines(t, lines, shown)
	})
	t.Run("again", func(t *testing.T) {
		r := s.run(t, "apply", "--yes", "app-1")
		r.exits(t, exitOK)
		r.prints(t, `^app-1: nothing to change$`)
	})
	t.Run("undo", func(t *testing.T) {
		s.run(t, "undo", "--yes", "app-1").exits(t, exitOK)
		s.same(t, s.app, was, "undo")
	})
}

// prepare runs the server's script and makes the desk fit.
func (s stage) prepare(t *testing.T, e existing) {
	t.Helper()
	if e.key != nil {
		for _, name := range []string{labAdmin, labAdmin + ".pub"} {
			if err := os.Remove(s.path(name)); err != nil {
				t.Fatal(err)
			}
		}
		runHere(t, "ssh-keygen", append(e.key, "-q", "-N", "", "-C", "alice@old-laptop", "-f", s.path(labAdmin))...)
	}
	if e.first != "" {
		s.edit(t, "holdfast.yaml", "    role: application\n", "    role: application\n    first_login: "+e.first+"\n")
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := makeLabKey(other); err != nil {
		t.Fatal(err)
	}
	if err := makeLabKey(s.path("deploy")); err != nil {
		t.Fatal(err)
	}
	public := func(path string) string {
		text, err := os.ReadFile(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	script, err := os.ReadFile(filepath.Join("testdata", "existing", e.name+".sh"))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.exec(t, string(script), "env", "DEBIAN_FRONTEND=noninteractive", "ALICE_KEY="+public(s.path(labAdmin)), "DEPLOY_KEY="+public(s.path("deploy")),
		"OTHER_KEY="+public(other), "ALICE_PASSWORD="+s.password(t, labAdmin), "bash", "-euo", "pipefail", "-s")
	if e.first == "" {
		// sudo notes in the home of who uses it for the first time.
		s.exec(t, s.password(t, labAdmin)+"\n", "runuser", "-u", labAdmin, "--", "sudo", "-k", "-S", "true")
	}
	t.Logf("%s.sh took %v", e.name, time.Since(began).Round(10*time.Millisecond))
	if err := s.app.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// auditExisting demands that nothing fails, if need be with what the site file
// says of it.
func (s stage) auditExisting(t *testing.T, e existing) {
	r := s.run(t, "audit", "app-1")
	if e.finding == "" {
		r.exits(t, exitOK)
		r.prints(t, `^  \d+ passed, 0 failed$`)
		return
	}
	r.exits(t, exitFindings)
	r.prints(t, e.finding, `^  \d+ passed, 1 failed$`)
	s.edit(t, "holdfast.yaml", "\nsecrets:", "\n"+e.site+"\nsecrets:")
	r = s.run(t, "audit", "app-1")
	r.exits(t, exitOK)
	r.prints(t, `^  \d+ passed, 0 failed, 1 excepted$`)
}

// logsIn opens a session as user with a key of the desk, or with the lab's.
func (s stage) logsIn(t *testing.T, user, key string) error {
	t.Helper()
	file := s.path(key)
	if key == "lab" {
		file = s.lab.Key()
	}
	addr := net.JoinHostPort(s.app.Addr4().String(), "22")
	c, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(s.signer(t, file))}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	run, err := c.NewSession()
	if err != nil {
		return err
	}
	out, err := run.CombinedOutput("id -un")
	if err == nil && strings.TrimSpace(string(out)) != user {
		err = fmt.Errorf("id -un says %q", out)
	}
	return err
}

// changes are the resources that the last run has changed, from the server's
// journal.
func (s stage) changes(t *testing.T) []string {
	t.Helper()
	all := s.journal(t)
	var names []string
	for _, one := range all {
		if one.Run != all[0].Run {
			continue
		}
		r := s.run(t, "show", "app-1", one.ID)
		r.exits(t, exitOK)
		for _, m := range regexp.MustCompile(`(?m)^  (\S.*?)  \(`).FindAllStringSubmatch(r.out, -1) {
			names = append(names, m[1])
		}
	}
	if len(names) == 0 {
		t.Fatal("the journal knows of no changes")
	}
	return names
}

// accountFiles are what accounts and passwords are kept in.
var accountFiles = []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"}

// foreign demands that whatever was there and is not named in the plan is as it
// was, and that the lines of what is named are still to be found in it, or were
// shown.
func (s stage) foreign(t *testing.T, was lab.Tree, changed []string) {
	now := s.tree(t, s.app)
	named := func(p string) bool {
		return slices.ContainsFunc(changed, func(name string) bool {
			kind, what, _ := strings.Cut(name, " ")
			switch kind {
			case "account", "password", "aging":
				return slices.Contains(accountFiles, p)
			case "package":
				return strings.HasPrefix(p, "/usr/") || strings.HasPrefix(p, "/var/") || p == "/etc/pam.d/common-password" || p == "/etc/ld.so.cache"
			case "PAM", "pam":
				return strings.HasPrefix(p, "/etc/pam.d/common-")
			case "unit":
				// systemd has the links of scripts in init.d renamed, too.
				script, _ := path.Match("/etc/rc?.d/[SK]??"+strings.TrimSuffix(what, ".service"), p)
				return script || strings.HasPrefix(p, "/etc/systemd/system/")
			}
			return what == p
		})
	}
	var lost []string
	for p, before := range was {
		after, there := now[p]
		if there && after == before || before.Mode.IsDir() && there && after.Mode == before.Mode && after.UID == before.UID && after.GID == before.GID {
			continue
		}
		if !named(p) && !named(path.Dir(p)+"/") {
			lost = append(lost, fmt.Sprintf("%s: was %v, is %v", p, before, after))
		}
		if !there && before.Mode&fs.ModeType == 0 && !strings.HasPrefix(p, "/usr/") {
			lost = append(lost, p+" is gone")
		}
	}
	slices.Sort(lost)
	if len(lost) > 0 {
		t.Errorf("changed without being in the plan (%s):\n%s", strings.Join(changed, ", "), strings.Join(lost, "\n"))
	}
}

// lines are the contents of the text files in the server's /etc and homes.
func (s stage) lines(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{"etc", "home", "root"} {
		err := filepath.WalkDir(filepath.Join(s.app.Root(), dir), func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(p)
			if err == nil && utf8.Valid(data) {
				all[strings.TrimPrefix(p, s.app.Root())] = string(data)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// foreignLines demands that each line that was there is there, perhaps behind a
// comment sign, or that the plan has shown that it goes.
func (s stage) foreignLines(t *testing.T, before map[string]string, shown string) {
	for name, now := range s.lines(t) {
		old, there := before[name]
		if !there || old == now || slices.Contains(accountFiles, strings.TrimSuffix(name, "-")) || name == "/etc/ld.so.cache" {
			continue
		}
		if strings.HasPrefix(name, "/etc/pam.d/common-") && !strings.Contains(shown, "file "+name+" ") {
			continue // the package switches its profile on, and pam-auth-update rewrites lines of its own
		}
		kept := 0
		for line := range strings.Lines(old) {
			line = strings.TrimRight(line, "\r\n")
			switch {
			case strings.Contains(now, line):
				kept++
			case !strings.Contains(shown, "-"+line):
				t.Errorf("%s: the line %q is gone and was not shown", name, line)
			}
		}
		t.Logf("%s: %d of %d lines kept", name, kept, strings.Count(old, "\n"))
	}
}

// runHere runs a command of this machine.
func runHere(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}
