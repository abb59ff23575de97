package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// sshdCut puts lines into the account stack of sshd that do not concern root.
func sshdCut(lines string) string {
	return "cp -a /etc/pam.d/sshd /root/sshd.pam\n" +
		"{ echo 'account [success=ignore default=1] pam_succeed_if.so quiet uid = 0'; echo 'account [success=done] pam_permit.so'; echo '" +
		lines + "'; cat /root/sshd.pam; } >/etc/pam.d/sshd\n"
}

const sshdMended = "mv /root/sshd.pam /etc/pam.d/sshd\n"

// A canaryCase is such a state, how it is mended and what must be said.
type canaryCase struct{ name, setup, mend, says string }

// canaryCases are states of a server that no forecast sees and that would lock
// the admin out.
func canaryCases() []canaryCase {
	return []canaryCase{
		{
			name: "PAM lets in root alone", setup: sshdCut("account required pam_succeed_if.so quiet user = root"), mend: sshdMended,
			says: `sshd: .*Access denied for user alice by PAM account configuration`,
		},
		{
			name:  "pam_access excludes the admin",
			setup: sshdCut("account required pam_access.so") + "cp -a /etc/security/access.conf /root/\necho '-:ALL EXCEPT root:ALL' >>/etc/security/access.conf\n",
			mend:  sshdMended + "mv /root/access.conf /etc/security/\n",
			says:  `sshd: .*Access denied for user alice by PAM account configuration`,
		},
		{
			name: "limits allow no login", setup: "echo 'alice hard maxlogins 0' >/etc/security/limits.d/90-foreign.conf\n",
			mend: "rm /etc/security/limits.d/90-foreign.conf\n", says: `app-1: alice`,
		},
		{
			name: "the port moves", setup: "echo 'Port 2222' >/etc/ssh/sshd_config.d/50-foreign.conf\n",
			mend: "rm /etc/ssh/sshd_config.d/50-foreign.conf\n", says: `nothing listens on 10\.[0-9.]+:22\b`,
		},
		{
			name: "the module of sudo is missing", setup: "cp -a /etc/pam.d/sudo /root/\nsed -i '1a auth required pam_missing.so' /etc/pam.d/sudo\n",
			mend: "mv /root/sudo /etc/pam.d/sudo\n", says: `alice cannot become root: .*sudo: `,
		},
	}
}

// A plan that leaves nobody able to log in is refused by a real login before
// anything is touched; a good one is not.
func TestCanary(t *testing.T) {
	labtest.Require(t)
	for _, suite := range lab.Suites {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			l := labtest.Lab(t, lab.Options{Suite: suite, Servers: []string{"app-1"}})
			s := stage{operator: newOperator(t, l), app: l.Servers()[0]}
			key, err := os.ReadFile(s.path(labAdmin + ".pub"))
			if err != nil {
				t.Fatal(err)
			}
			// Root comes in by key, so that what breaks passwords leaves it alone.
			s.exec(t, string(key), "install", "-D", "-m", "600", "/dev/stdin", "/root/.ssh/authorized_keys")
			stock := s.tree(t, s.app)
			must(t, "passes", s.testCanaryPasses)
			must(t, "passes an undo", s.testCanaryUndo)
			s.same(t, s.app, stock, "undo")
			for i, c := range canaryCases() {
				t.Run(c.name, func(t *testing.T) { s.testCanaryRefuses(t, c, i == 0) })
				if i == 0 {
					// The packages of a run have come and gone; once is enough.
					s.same(t, s.app, stock, "refusal")
					s.exec(t, "", "apt-get", "install", "--yes", "--no-install-recommends", "libpam-pwquality", "cracklib-runtime", "wamerican", "nftables")
				}
			}
			t.Run("the desk is killed", s.testCanaryDeskDies)
		})
	}
}

func (s stage) testCanaryPasses(t *testing.T) {
	mark := strings.TrimPrefix(strings.TrimSpace(s.exec(t, "", "journalctl", "--show-cursor", "-n0", "-q")), "-- cursor: ")
	r := s.run(t, "apply", "--yes", "-v", "app-1")
	r.exits(t, exitOK)
	r.says(t, `^app-1: canary: alice logs in with a key and becomes root; root is refused; alice is refused without a key$`,
		`^holdfast: app-1: the canary took \d+\.\d s and \d+ round trips$`)
	t.Logf("%s", regexp.MustCompile(`the canary took.*`).FindString(r.err))
	// The proofs over both families, and nothing of the canary.
	log := s.exec(t, "", "journalctl", "-q", "--after-cursor="+mark)
	if n := strings.Count(log, "Accepted publickey for alice"); n != 2 || strings.Contains(log, "Failed ") {
		t.Errorf("the server's journal tells of %d logins of alice, want 2:\n%s", n, log)
	}
	s.noCanary(t)
}

// noCanary demands that nothing of a canary is left.
func (s stage) noCanary(t *testing.T) {
	t.Helper()
	if out := s.exec(t, "", "ps", "-e", "-o", "args"); strings.Contains(out, "canary") || strings.Contains(out, "machine:world") {
		t.Errorf("something of the canary still runs:\n%s", out)
	}
	if out := s.exec(t, "", "find", "/tmp", "/run", "/var/tmp", "-name", "*canary*"); out != "" {
		t.Errorf("files of the canary are left:\n%s", out)
	}
}

func (s stage) testCanaryUndo(t *testing.T) {
	r := s.run(t, "undo", "--yes", "-v", "app-1")
	r.exits(t, exitOK)
	r.says(t, `^app-1: canary: root logs in and becomes root$`, `^app-1: no canary: it removes packages`)
}

// When the desk is killed while it tries the logins, the canary ends and the
// server is as it was. The packages are there already.
func (s stage) testCanaryDeskDies(t *testing.T) {
	before := s.tree(t, s.app)
	s.begin(t, `^app-1: canary: trying`, "apply", "--yes", "app-1").signal(t, syscall.SIGKILL)
	s.exec(t, "", "timeout", "30", "sh", "-c", "while pgrep -f machine:[w]orld; do sleep 0.1; done")
	s.noCanary(t)
	s.same(t, s.app, before, "killing of the desk")
	s.run(t, "history", "app-1").prints(t, `^app-1$`)
}

// testCanaryRefuses demands that an apply is refused and leaves nothing behind,
// packages that it has installed before included.
func (s stage) testCanaryRefuses(t *testing.T, c canaryCase, packages bool) {
	s.exec(t, c.setup, "sh", "-e", "-s")
	defer s.exec(t, c.mend, "sh", "-e", "-s")
	before := s.tree(t, s.app)
	r := s.run(t, "apply", "--yes", "app-1")
	state := `^holdfast: app-1: the server was not changed$`
	if packages {
		r.exits(t, exitRolledBack)
		state = `^holdfast: app-1: the server is as it was before; the changes of this run were undone$`
	} else {
		r.exits(t, exitFailed)
	}
	r.says(t, `^holdfast: error: app-1: the canary login failed$`, c.says, state)
	s.same(t, s.app, before, "refusal")
	s.noCanary(t)
}
