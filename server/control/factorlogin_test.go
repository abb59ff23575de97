package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// A means is what a client shows.
type means struct {
	user string
	// keys are tried before anything else; nil means none.
	key ssh.Signer
	// answer is given to every question; nil means that none is answered.
	answer func() string
	// password is for the method of that name.
	password string
}

// A visit is what came of a login: what the server asked, what a session said,
// and why there was none.
type visit struct {
	asked []string
	said  string
	err   error
}

// visitor logs in to servers from the outside, from a network namespace of the
// lab's desk, directly or through a connection to a jump host.
type visitor struct{ through *ssh.Client }

func (v visitor) login(ctx context.Context, at netip.Addr, m means, command string) (seen visit) {
	c := ssh.ClientConfig{User: m.user, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second}
	if m.key != nil {
		c.Auth = append(c.Auth, ssh.PublicKeys(m.key))
	}
	if m.answer != nil {
		c.Auth = append(c.Auth, ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			seen.asked = append(seen.asked, questions...)
			answers := make([]string, len(questions))
			for i := range questions {
				answers[i] = m.answer()
			}
			return answers, nil
		}))
	}
	if m.password != "" {
		c.Auth = append(c.Auth, ssh.Password(m.password))
	}
	client, err := v.connect(ctx, netip.AddrPortFrom(at, 22).String(), &c)
	if err != nil {
		seen.err = err
		return seen
	}
	defer client.Close()
	seen.said, seen.err = run(client, command, m.password)
	return seen
}

func (v visitor) connect(ctx context.Context, at string, c *ssh.ClientConfig) (*ssh.Client, error) {
	dial := (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	if v.through != nil {
		dial = v.through.DialContext
	}
	raw, err := dial(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	conn, channels, requests, err := ssh.NewClientConn(raw, at, c)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return ssh.NewClient(conn, channels, requests), nil
}

func run(client *ssh.Client, command, stdin string) (string, error) {
	s, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	s.Stdin = strings.NewReader(stdin + "\n")
	out, err := s.CombinedOutput(command)
	return strings.TrimSpace(string(out)), err
}

const annasPassword = "Zq7!vowelkbrt-a"

// forgetLogins makes the module forget codes and the times of logins, so that a
// test need not wait for the next half minute.
const forgetLogins = `sed -i -e 's/^" RATE_LIMIT.*/" RATE_LIMIT 3 30/' -e 's/^" DISALLOW_REUSE.*/" DISALLOW_REUSE/' /var/lib/holdfast/factor/anna`

// A factorStage is a server with anna enrolled, as it is seen from one place.
type factorStage struct {
	s       *lab.Server
	from    visitor
	address netip.Addr
	key     ssh.Signer
}

// furnishFactor applies the controls to a server and tells sshd not to count this
// test's wrong logins against its address.
func furnishFactor(t *testing.T, s *lab.Server, public string) {
	t.Helper()
	copyBinary(t, s)
	desk, _ := s.Lab().Desk()
	shell(t, s, `if /usr/sbin/sshd -T | grep -q ^persourcepenalties; then echo 'PerSourcePenalties no' >/etc/ssh/sshd_config.d/99-test.conf; fi
printf '%s\n' 'MaxStartups 100' >>/etc/ssh/sshd_config.d/99-test.conf; systemctl reload ssh`)
	c := factorConfig()
	c.Admins[0].Keys = []string{public}
	c.Automation = []server.Automation{sampleProgram(programKey(t).public, desk.String()+"/32", 1)}
	j := job{Do: "apply", Controls: append([]string{"sudo-asks-password", "admin-accounts", "ssh-no-root"}, factorControls...), Config: c, Secrets: map[string]string{
		server.FactorSecret("anna"): sampleFactor.String(), server.PasswordSecret("anna"): annasPassword,
	}}
	if applied := inServer(t, s, j); len(applied.Left) > 0 {
		t.Fatalf("a second plan asks for more: %s", applied.Left)
	}
}

type sampleKey struct {
	public string
	signer ssh.Signer
}

// programKey is the lab's second key: the same in each call of one test.
func programKey(t *testing.T) sampleKey {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(programPrivate))
	if err != nil {
		t.Fatal(err)
	}
	return sampleKey{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " deploy@ci", signer}
}

// TestFactorLogins is the matrix of logins: which of key, code, password and
// recovery code open what, over IPv4 and IPv6, directly and through a jump host.
func TestFactorLogins(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			l := labtest.Lab(t, lab.Options{Suite: suite, Servers: []string{"app-1", "db-1"}})
			private, err := os.ReadFile(l.Key())
			if err != nil {
				t.Fatal(err)
			}
			key, err := ssh.ParsePrivateKey(private)
			if err != nil {
				t.Fatal(err)
			}
			public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))) + " anna@desk"
			app, db := l.Servers()[0], l.Servers()[1]
			for _, s := range l.Servers() {
				furnishFactor(t, s, public)
			}
			direct := factorStage{s: app, address: app.Addr4(), key: key}
			direct.matrix(t)
			six := factorStage{s: app, address: app.Addr6(), key: key}
			t.Run("IPv6", six.short)
			t.Run("through the jump host", func(t *testing.T) {
				shell(t, app, forgetLogins)
				// The same code opens both: each server remembers what it has seen.
				code := sampleFactor.Code(time.Now())
				jump, err := visitor{}.connect(t.Context(), netip.AddrPortFrom(app.Addr4(), 22).String(), &ssh.ClientConfig{
					User: "anna", HostKeyCallback: ssh.InsecureIgnoreHostKey(),
					Auth: []ssh.AuthMethod{ssh.PublicKeys(key), ssh.KeyboardInteractive(func(_, _ string, q []string, _ []bool) ([]string, error) {
						answers := make([]string, len(q))
						for i := range q {
							answers[i] = code
						}
						return answers, nil
					})},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer jump.Close()
				behind := factorStage{s: db, from: visitor{jump}, address: db.Private4(), key: key}
				behind.wants(t, "key and the code that opened the jump host", means{user: "anna", key: key, answer: func() string { return code }}, "anna")
				behind.short(t)
			})
		})
	}
}

func (f factorStage) try(t *testing.T, m means, command string) visit {
	t.Helper()
	return f.from.login(t.Context(), f.address, m, command)
}

// wants logs in and demands what a session says; empty means that there must be
// none.
func (f factorStage) wants(t *testing.T, name string, m means, said string) visit {
	t.Helper()
	v := f.try(t, m, "id -un")
	switch {
	case said == "" && v.err == nil:
		t.Errorf("%s: got in: %s", name, v.said)
	case said != "" && (v.err != nil || v.said != said):
		t.Errorf("%s: %q, %v; asked %q\n%s", name, v.said, v.err, v.asked, shell(t, f.s, "journalctl --no-pager -n 15 -t sshd -t sshd-session; sed 's/^[A-Z2-7]*$/KEY/' /var/lib/holdfast/factor/anna"))
	}
	return v
}

func is(text string) func() string { return func() string { return text } }

// matrix is every combination; codes are taken from the steps around now, of
// which each works once.
func (f factorStage) matrix(t *testing.T) {
	now := time.Now()
	fresh := func() { shell(t, f.s, forgetLogins) }
	both := func(code string) means { return means{user: "anna", key: f.key, answer: is(code)} }
	v := f.wants(t, "key and code", both(sampleFactor.Code(now)), "anna")
	if len(v.asked) != 1 || !strings.HasPrefix(v.asked[0], "Verification code") {
		t.Errorf("asked %q, want the code and nothing else", v.asked)
	}
	f.wants(t, "key and a spent code", both(sampleFactor.Code(now)), "")
	fresh()
	f.wants(t, "the code of the step before", both(sampleFactor.Code(time.Now().Add(-factor.Step))), "anna")
	f.wants(t, "the code of the step after", both(sampleFactor.Code(time.Now().Add(factor.Step))), "anna")
	fresh()
	f.wants(t, "the code of two steps ago", both(sampleFactor.Code(time.Now().Add(-3*factor.Step))), "")
	f.wants(t, "a wrong code", both("000000"), "")
	f.wants(t, "the password for a code", both(annasPassword), "")
	if v := f.wants(t, "the fourth try in 30 seconds", both(sampleFactor.Code(time.Now())), ""); len(v.asked) > 0 {
		t.Errorf("the fourth try was asked %q", v.asked)
	}
	fresh()
	f.wants(t, "key alone", means{user: "anna", key: f.key}, "")
	f.wants(t, "code alone", means{user: "anna", answer: is(sampleFactor.Code(time.Now()))}, "")
	f.wants(t, "password alone", means{user: "anna", password: annasPassword}, "")
	f.wants(t, "password and code", means{user: "anna", password: annasPassword, answer: is(sampleFactor.Code(time.Now()))}, "")
	f.wants(t, "key and password", means{user: "anna", key: f.key, password: annasPassword}, "")
	f.wants(t, "another key and code", means{user: "anna", key: programKey(t).signer, answer: is(sampleFactor.Code(time.Now()))}, "")
	f.wants(t, "root with key", means{user: "root", key: f.key}, "")
	f.wants(t, "root with key and code", means{user: "root", key: f.key, answer: is(sampleFactor.Code(time.Now()))}, "")
	fresh()
	f.wants(t, "recovery code", both(sampleFactor.Recovery[0]), "anna")
	f.wants(t, "the same recovery code", both(sampleFactor.Recovery[0]), "")
	fresh()
	f.sudo(t)
	f.program(t)
	if left := shell(t, f.s, "grep -cE '^[0-9]{8}$' /var/lib/holdfast/factor/anna; stat -c '%a %U' /var/lib/holdfast/factor/anna"); left != "4\n400 root\n" {
		t.Errorf("recovery codes left, and who may read them: %s", left)
	}
}

// sudo goes on asking for the password, and takes no code.
func (f factorStage) sudo(t *testing.T) {
	t.Helper()
	m := means{user: "anna", key: f.key, answer: is(sampleFactor.Code(time.Now())), password: annasPassword}
	if v := f.try(t, m, "sudo -k -S -p 'ask:%p:' id -un"); v.err != nil || v.said != "ask:anna:root" {
		t.Errorf("sudo with the password: %q, %v", v.said, v.err)
	}
	m.answer, m.password = is(sampleFactor.Code(time.Now().Add(factor.Step))), sampleFactor.Code(time.Now())
	if v := f.try(t, m, "sudo -k -S -p '' id -un"); v.err == nil || strings.Contains(v.said, "root\n") {
		t.Errorf("sudo with a code: %q, %v", v.said, v.err)
	}
	shell(t, f.s, forgetLogins)
}

// program has its one command, and nothing else.
func (f factorStage) program(t *testing.T) {
	t.Helper()
	m := means{user: "deploy", key: programKey(t).signer}
	if v := f.try(t, m, "cat /etc/passwd"); v.err != nil || v.said != "deploy" {
		t.Errorf("a program: %q, %v", v.said, v.err)
	}
	f.wants(t, "a program with the admin's key", means{user: "deploy", key: f.key}, "")
	client, err := f.from.connect(t.Context(), netip.AddrPortFrom(f.address, 22).String(), &ssh.ClientConfig{
		User: "deploy", HostKeyCallback: ssh.InsecureIgnoreHostKey(), Auth: []ssh.AuthMethod{ssh.PublicKeys(m.key)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if c, err := client.Dial("tcp", "127.0.0.1:22"); err == nil {
		c.Close()
		t.Error("a program may forward ports")
	}
	if s, err := client.NewSession(); err != nil {
		t.Error(err)
	} else if err := s.RequestPty("xterm", 24, 80, nil); err == nil {
		t.Error("a program gets a terminal")
	}
	// From elsewhere, and when its time is over, its key opens nothing.
	for what, edit := range map[string]string{
		"from another network": `s/from="[^"]*"/from="192.0.2.0\/24"/`, "after its last day": `s/expiry-time="[0-9]*"/expiry-time="20200101"/`,
	} {
		shell(t, f.s, fmt.Sprintf("cp -p /etc/ssh/holdfast_automation/deploy /run/deploy; sed -i '%s' /etc/ssh/holdfast_automation/deploy", edit))
		f.wants(t, "a program "+what, m, "")
		shell(t, f.s, "cp -p /run/deploy /etc/ssh/holdfast_automation/deploy")
	}
}

// short is the part of the matrix that addresses could change.
func (f factorStage) short(t *testing.T) {
	shell(t, f.s, forgetLogins)
	f.wants(t, "key and code", means{user: "anna", key: f.key, answer: is(sampleFactor.Code(time.Now()))}, "anna")
	f.wants(t, "key and the spent code", means{user: "anna", key: f.key, answer: is(sampleFactor.Code(time.Now()))}, "")
	f.wants(t, "key alone", means{user: "anna", key: f.key}, "")
	f.wants(t, "code alone", means{user: "anna", answer: is(sampleFactor.Code(time.Now()))}, "")
	f.wants(t, "root with key", means{user: "root", key: f.key}, "")
	shell(t, f.s, forgetLogins)
}

// programPrivate is a key that opens nothing but what this test sets up.
const programPrivate = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACAaaQ7umE3T+S0szdD1ZZ2MFZLz5eaaJSbTRaNW2VzWngAAAJD0xDN49MQz
eAAAAAtzc2gtZWQyNTUxOQAAACAaaQ7umE3T+S0szdD1ZZ2MFZLz5eaaJSbTRaNW2VzWng
AAAECwJDwDSx53+r2bVyCsLcRTQTo9XrkN36kBiTC6Z2DnvxppDu6YTdP5LSzN0PVlnYwV
kvPl5polJtNFo1bZXNaeAAAACWRlcGxveUBjaQECAwQ=
-----END OPENSSH PRIVATE KEY-----
`
