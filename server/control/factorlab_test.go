package control_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

var factorControls = []string{"ssh-keys-only", "ssh-algorithms", "second-factor", "automation-accounts"}

// sampleFactor is anna's.
var sampleFactor = factor.Enrolment{
	Key: []byte("12345678901234567890"), Recovery: []string{"11111111", "22222222", "33333333", "44444444", "55555555"},
}

// A factorCase is a server on which the second factor is in a state found in the
// wild.
type factorCase struct {
	broken
	// then is a script that must succeed on the mended server.
	then string
	// bare says that this run brings no secret.
	bare bool
}

const asksForCode = `/usr/sbin/sshd -T -C user=anna,host=x,addr=10.0.0.1 >/run/t; grep -qx 'authenticationmethods publickey,keyboard-interactive' /run/t; grep -qx 'kbdinteractiveauthentication yes' /run/t
/usr/sbin/sshd -T -C user=root,host=x,addr=10.0.0.1 >/run/t; grep -qx 'authenticationmethods publickey' /run/t; grep -qx 'kbdinteractiveauthentication no' /run/t
test "$(stat -c '%a %U' /var/lib/holdfast/factor/anna)" = '400 root'
dpkg --verify libpam-runtime openssh-server
`

const installModule = "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libpam-google-authenticator >/dev/null 2>&1\n"

func factorCases() []factorCase {
	state := func(name, setup, cause string, config func(*server.Config)) broken {
		return broken{name: name, controls: factorControls, setup: setup, cause: cause, config: config}
	}
	stays := func(b broken) broken {
		b.stays = true
		return b
	}
	late := func(c *server.Config) {
		c.EnrollUntil = "2026-01-31"
		c.Admins = append(c.Admins, server.Admin{Name: "bert", Keys: []string{foreignKey}, Factor: server.CodeAlways})
	}
	return []factorCase{
		{broken: state("stock", "true", "second factor anna is there", nil), then: asksForCode + "cmp /etc/pam.d/sshd /run/sshd.pam"},
		{
			// The guide's scripts: a code after the password, and nullok for good.
			broken: state("the guide's own stack", installModule+
				`sed -i '/^@include common-auth/a auth [success=done new_authtok_reqd=done default=die] pam_google_authenticator.so nullok' /etc/pam.d/sshd
printf '%s\n' 'ChallengeResponseAuthentication yes' 'AuthenticationMethods publickey,keyboard-interactive' >/etc/ssh/sshd_config.d/10-guide.conf; systemctl reload ssh`,
				"pam_google_authenticator.so nullok", nil),
			then: asksForCode + "cmp /etc/pam.d/sshd /run/sshd.pam",
		},
		{
			broken: state("foreign rules come first", `printf '%s\n' 'AuthenticationMethods any' 'Match User anna' '  AuthenticationMethods publickey password' '  KbdInteractiveAuthentication no' >/etc/ssh/sshd_config.d/00-aaa.conf
printf '%s\n' 'Match Address 10.0.0.0/8' ' AuthenticationMethods any' >>/etc/ssh/sshd_config; systemctl reload ssh`,
				"00-aaa.conf", nil),
			then: asksForCode,
		},
		{
			broken: state("keyboard-interactive is off and methods ask for it", `printf '%s\n' 'KbdInteractiveAuthentication no' >/etc/ssh/sshd_config.d/00-aaa.conf; systemctl reload ssh`,
				"second factor anna is there", nil),
			then: asksForCode + "/usr/sbin/sshd -t",
		},
		{
			broken: state("a secret that others read, with a wide window", installModule+
				"mkdir -p -m 700 /var/lib/holdfast/factor; printf '%s\\n' "+sampleFactor.Text()+` '" RATE_LIMIT 30 30' '" WINDOW_SIZE 17' '" TOTP_AUTH' 66666666 >/var/lib/holdfast/factor/anna; chmod 644 /var/lib/holdfast/factor/anna`,
				"-settings RATE_LIMIT 30 30, TOTP_AUTH, WINDOW_SIZE 17", nil),
			then: asksForCode + "grep -qx 66666666 /var/lib/holdfast/factor/anna", bare: true,
		},
		{
			broken: state("a lost phone", installModule+
				"mkdir -p -m 700 /var/lib/holdfast/factor; printf '%s\\n' GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJA '\" RATE_LIMIT 3 30' '\" WINDOW_SIZE 3' '\" DISALLOW_REUSE' '\" TOTP_AUTH' >/var/lib/holdfast/factor/anna; chmod 400 /var/lib/holdfast/factor/anna",
				"-enrolled ", nil),
			then: asksForCode + "grep -qx " + sampleFactor.Text() + " /var/lib/holdfast/factor/anna",
		},
		{
			broken: stays(state("nobody is enrolled", "true", "anna is not enrolled; the key alone is enough until 2099-12-31", func(c *server.Config) { c.EnrollUntil = "2099-12-31" })),
			then:   `/usr/sbin/sshd -T -C user=anna,host=x,addr=10.0.0.1 | grep -qx 'authenticationmethods publickey'; test ! -e /usr/share/pam-configs/holdfast-second-factor`,
			bare:   true,
		},
		{
			broken: stays(state("the time to enroll is over", "true", "bert is not enrolled, and the time for it was over on 2026-01-31: kept out", late)),
			then:   asksForCode + `/usr/sbin/sshd -T -C user=bert,host=x,addr=10.0.0.1 | grep -qx 'authenticationmethods publickey,keyboard-interactive'`,
		},
		{
			broken: stays(state("the time is over and nobody could help", "true", "nobody is, so the key alone is enough", late)),
			then:   `/usr/sbin/sshd -T -C user=bert,host=x,addr=10.0.0.1 | grep -qx 'authenticationmethods publickey'`, bare: true,
		},
		{
			broken: stays(state("the site file does not say", "true", "the site file has no second_factor", func(c *server.Config) { c.Codes, c.Admins[0].Factor = "", "" })),
			then:   "true", bare: true,
		},
		{
			broken: state("a FIDO2 key is both", "true", "00-holdfast-0-factor.conf", func(c *server.Config) { c.Admins[0].Factor = server.InKey }),
			then: `/usr/sbin/sshd -T -C user=anna,host=x,addr=10.0.0.1 >/run/t; grep -qx 'authenticationmethods publickey' /run/t; grep -qx 'pubkeyauthoptions verify-required' /run/t
grep -qx 'pubkeyacceptedalgorithms sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com' /run/t
/usr/sbin/sshd -T -C user=root,host=x,addr=10.0.0.1 >/run/t; grep -qx 'pubkeyauthoptions none' /run/t`, bare: true,
		},
		{
			broken: state("the account of a program", "true", "automation.conf", func(c *server.Config) { c.Automation = []server.Automation{sampleProgram(foreignKey, "10.0.0.0/8", 1)} }),
			then:   `/usr/sbin/sshd -T -C user=deploy,host=x,addr=10.0.0.1 >/run/t; grep -qx 'forcecommand /usr/bin/id -un' /run/t; grep -qx 'authenticationmethods publickey' /run/t; id -Gn deploy | grep -qx deploy`,
		},
		{
			broken: stays(state("a program whose time is over", "true", "deploy worked until ", func(c *server.Config) {
				c.Automation = []server.Automation{sampleProgram(foreignKey, "10.0.0.0/8", -2)}
			})),
			then: "grep -q expiry-time /etc/ssh/holdfast_automation/deploy",
		},
	}
}

// sampleProgram works for some days from now on.
func sampleProgram(key, from string, days int) server.Automation {
	return server.Automation{
		Name: "deploy", Key: key, From: []string{from}, Command: "/usr/bin/id -un", Until: server.Day(time.Now().AddDate(0, 0, days).Format(time.DateOnly)),
	}
}

func factorConfig() server.Config {
	c := accountsConfig
	c.Codes = server.SharedCodes
	c.Admins = []server.Admin{{Name: "anna", Keys: []string{adminKey}, Factor: server.CodeOnceEnrolled}}
	return c
}

// TestFactorOnServers is the life of the control in each state: the audit fails
// and names the cause, apply mends it, the audit passes, nothing is left to do,
// and undo gives back the server.
func TestFactorOnServers(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			for i, c := range factorCases() {
				// What distributions differ in shows in the first cases.
				if suite != lab.DefaultSuite && i > 1 && os.Getenv("HOLDFAST_SOAK") == "" {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					s := labtest.Server(t, suite)
					copyBinary(t, s)
					shell(t, s, "cp /etc/pam.d/sshd /run/sshd.pam\n"+c.setup)
					j := job{Controls: factorControls, Config: factorConfig()}
					if !c.bare {
						j.Secrets = map[string]string{server.FactorSecret("anna"): sampleFactor.String()}
					}
					if c.config != nil {
						c.config(&j.Config)
					}
					before, secret := snapshot(t, s), shell(t, s, "cat /var/lib/holdfast/factor/* 2>/dev/null || true")
					j.Do = "audit"
					if verdict, said := summary(inServer(t, s, j).Results); verdict != server.Fail || !strings.Contains(said, c.cause) || strings.Contains(said, sampleFactor.Text()) {
						t.Errorf("the audit says %s and does not name %q, or names the secret:\n%s", verdict, c.cause, said)
					}
					j.Do = "apply"
					applied := inServer(t, s, j)
					if len(applied.Left) > 0 {
						t.Errorf("a second plan asks for more: %s", applied.Left)
					}
					j.Do = "audit"
					verdict, said := summary(inServer(t, s, j).Results)
					if want := map[bool]server.Verdict{false: server.Pass, true: server.Fail}[c.stays]; verdict != want || c.stays && !strings.Contains(said, c.cause) {
						t.Errorf("after apply the audit says %s:\n%s", verdict, said)
					}
					shell(t, s, c.then)
					// A desk without secrets.age sees nothing to do, either.
					bare := j
					bare.Secrets, bare.Do = nil, "audit"
					if _, without := summary(inServer(t, s, bare).Results); without != said {
						t.Errorf("without the secret the audit says:\n%s\nand with it:\n%s", without, said)
					}
					j.Do, j.Done = "undo", applied.Done
					inServer(t, s, j)
					if d := before.Diff(snapshot(t, s)); len(d) > 0 {
						t.Errorf("undo did not give back the server: %s", d)
					}
					if now := shell(t, s, "cat /var/lib/holdfast/factor/* 2>/dev/null || true"); now != secret {
						t.Errorf("undo did not give back the secret:\n%s", now)
					}
				})
			}
		})
	}
}
