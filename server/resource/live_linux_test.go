package resource_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
	"github.com/holdfast-security/holdfast/server/machine"
	"github.com/holdfast-security/holdfast/server/resource"
)

// The test's own program is put into a server of the lab and run there: with
// this variable set it does what the variable says instead of testing.
const inside = "HOLDFAST_RESOURCE_INSIDE"

func TestMain(m *testing.M) {
	if machine.ServeWorld(os.Args) {
		return
	}
	verb := os.Getenv(inside)
	if verb == "" {
		os.Exit(m.Run())
	}
	if err := carryOut(context.Background(), verb, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// An order is a resource to apply, or a change of it to undo.
type order struct {
	Spec   resource.Spec
	Secret string
	Change server.Change
}

// counting counts what changes a host.
type counting struct {
	server.Host
	writes int
}

func (c *counting) Run(ctx context.Context, stdin string, argv ...string) error {
	c.writes++
	return c.Host.Run(ctx, stdin, argv...)
}

func (c *counting) Write(ctx context.Context, path string, e server.Entry) error {
	c.writes++
	return c.Host.Write(ctx, path, e)
}

func (c *counting) Remove(ctx context.Context, path string) error {
	c.writes++
	return c.Host.Remove(ctx, path)
}

// carryOut reads an order, applies or undoes it on this machine and prints the
// change. It fails if the machine does not behave as hosttest.TestResource asks
// of a host in memory.
func carryOut(ctx context.Context, verb string, stdin io.Reader) error {
	var o order
	if err := json.NewDecoder(stdin).Decode(&o); err != nil {
		return err
	}
	r, err := resource.Decode(o.Spec)
	if err != nil {
		return err
	}
	if p, ok := r.(resource.Password); ok {
		p.Secret = server.NewSecret(o.Secret)
		r = p
	}
	m := machine.New()
	h := &counting{Host: m}
	if verb == "undo" {
		for range 2 {
			if err := server.Undo(ctx, h, r, o.Change); err != nil {
				return err
			}
		}
		return nil
	}
	control := server.Control{ID: "control", Wants: func(context.Context, server.Reader, server.Config) ([]server.Resource, error) {
		return []server.Resource{r}, nil
	}}
	plan := func() (server.Plan, error) {
		p, err := server.MakePlan(ctx, m, []server.Control{control}, server.Config{}, nil)
		return p, errors.Join(err, p.Err())
	}
	p, err := plan()
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if len(p.Steps) != 1 {
		return fmt.Errorf("the plan has %d steps", len(p.Steps))
	}
	planned := p.Steps[0].Change
	if now, err := r.Get(ctx, m); err != nil || now != planned.Before {
		return fmt.Errorf("after planning the state is %q, %v; it was %q", now, err, planned.Before)
	}
	o.Change, err = server.Apply(ctx, h, p.Steps[0].Resource, planned)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	writes := h.writes
	if _, err := server.Apply(ctx, h, p.Steps[0].Resource, o.Change); err != nil || h.writes != writes {
		return fmt.Errorf("applying again wrote %d times, %w", h.writes-writes, err)
	}
	if p, err = plan(); err != nil || len(p.Steps) != 0 {
		return fmt.Errorf("the second plan has %d steps, %w", len(p.Steps), err)
	}
	if strings.Contains(o.Change.Resource, "PAM") && o.Change.After != planned.After {
		return errors.New("the private copy showed:\n" + server.Diff(server.Change{Before: planned.After, After: o.Change.After}))
	}
	return json.NewEncoder(os.Stdout).Encode(o.Change)
}

// live is a server of the lab with the test's program in it.
type live struct {
	*lab.Server
	t *testing.T
}

const program = "/usr/local/lib/holdfast/resource.test"

func newLive(t *testing.T, suite string) live {
	t.Helper()
	l := live{labtest.Server(t, suite), t}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.Root(), program)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	l.do("mkdir", "-m", "0700", "-p", server.StateDir, server.StateDir+"/vault")
	l.do("dd", "if=/dev/urandom", "of="+server.DigestKeyFile, "bs=32", "count=1", "status=none")
	return l
}

// do runs a command in the server.
func (l live) do(argv ...string) string {
	l.t.Helper()
	out, err := l.Exec(l.t.Context(), nil, argv...)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(out)
}

func (l live) sh(script string) string {
	l.t.Helper()
	return l.do("sh", "-ec", script)
}

func (l live) order(verb string, o order) (string, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	out, err := l.Exec(l.t.Context(), strings.NewReader(string(b)), "env", inside+"="+verb, program)
	return string(out), err
}

func (l live) apply(r server.Resource, secret string) order {
	l.t.Helper()
	spec, err := resource.Encode(r)
	if err != nil {
		l.t.Fatal(err)
	}
	o := order{Spec: spec, Secret: secret}
	out, err := l.order("apply", o)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &o.Change); err != nil {
		l.t.Fatal(err)
	}
	return o
}

func (l live) tree() lab.Tree {
	l.t.Helper()
	tree, err := lab.TreeSnapshot(l.t.Context(), l.Server)
	if err != nil {
		l.t.Fatal(err)
	}
	return tree
}

// banner is what the live sshd says to a new connection.
func (l live) banner() string {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(l.Addr4().String(), "22"), 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line)
}

func TestOnServers(t *testing.T) {
	for _, suite := range lab.Suites {
		t.Run(suite, func(t *testing.T) {
			l := newLive(t, suite)
			for _, c := range liveCases() {
				t.Run(c.name, func(t *testing.T) {
					l := live{l.Server, t}
					if c.prepare != "" {
						l.sh(c.prepare)
					}
					start := l.tree()
					o := l.apply(c.resource, c.secret)
					if c.shows != "" {
						l.sh(c.shows)
					}
					if l.tree().Hash() == start.Hash() {
						t.Error("apply has changed nothing")
					}
					o.Secret = ""
					if _, err := l.order("undo", o); err != nil {
						t.Fatalf("undo of %+v: %v", o.Change, err)
					}
					if end := l.tree(); end.Hash() != start.Hash() {
						t.Errorf("the tree after undo differs:\n%s", strings.Join(start.Diff(end), "\n"))
					}
					if left := l.do("find", server.StateDir+"/vault", "-type", "f", "!", "-name", "password-*", "!", "-path", "*/home-*"); left != "" {
						t.Errorf("the vault still holds %s", left) // replaced passwords stay: an undo can be undone
					}
				})
			}
			t.Run("ssh", func(t *testing.T) { testLiveDaemon(live{l.Server, t}) })
			t.Run("patience", func(t *testing.T) { testLivePatience(live{l.Server, t}) })
			t.Run("refusals", func(t *testing.T) { testLiveRefusals(live{l.Server, t}) })
		})
	}
}

// testLiveDaemon changes what sshd says first and looks whether it does.
func testLiveDaemon(l live) {
	d := resource.Daemon{Unit: "ssh.service", Reload: true, Config: []string{"/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf"}}
	const file = "/etc/ssh/sshd_config.d/01-test.conf"
	says := func(what string, yes bool) {
		l.t.Helper()
		for range 50 {
			if strings.Contains(l.banner(), what) == yes {
				return
			}
			l.do("sleep", "0.1") // sshd starts anew after it has been told
		}
		l.t.Errorf("sshd says %q; with %s: want %v", l.banner(), what, yes)
	}
	l.sh("rm -f /etc/ssh/sshd_config.d/00-test.conf; systemctl restart ssh")
	start := l.do("systemctl", "show", "--property=MainPID,InvocationID", "ssh.service")
	l.sh("echo 'VersionAddendum first' > " + file)
	says("first", false)
	o := l.apply(d, "")
	says("first", true)
	// Somebody else reloads.
	l.sh("echo 'VersionAddendum second' > " + file + "; sleep 1.1; systemctl reload ssh; sleep 1.1; echo 'VersionAddendum third' > " + file)
	says("second", true)
	l.apply(d, "")
	says("third", true)
	l.sh("rm " + file)
	if _, err := l.order("undo", o); err != nil {
		l.t.Error(err)
	}
	says("third", false)
	if end := l.do("systemctl", "show", "--property=MainPID,InvocationID", "ssh.service"); end != start {
		l.t.Errorf("sshd was %s and is %s: it was restarted", start, end)
	}

	// A daemon that systemd has lost sight of is not taken for none.
	l.sh("systemctl stop ssh.service; cp /usr/lib/systemd/system/ssh.service /run/systemd/system/ssh.service; sed -i s/KillMode=process/KillMode=none/ /run/systemd/system/ssh.service; systemctl daemon-reload; systemctl start ssh; systemctl stop ssh")
	out, err := l.order("apply", order{Spec: o.Spec})
	if err == nil || !strings.Contains(err.Error(), "left of an earlier run") {
		l.t.Errorf("with a lost sshd: %s, %v", out, err)
	}
	l.sh("rm /run/systemd/system/ssh.service; xargs kill < /sys/fs/cgroup/system.slice/ssh.service/cgroup.procs; systemctl daemon-reload; systemctl start ssh")

	// With ssh.socket nothing runs until somebody connects.
	l.sh("systemctl stop ssh.service; systemctl start ssh.socket; echo 'VersionAddendum fourth' > " + file)
	out, err = l.order("apply", order{Spec: o.Spec})
	if err == nil || !strings.Contains(err.Error(), "the plan has 0 steps") {
		l.t.Errorf("with ssh.socket: %s, %v; want nothing to do", out, err)
	}
	says("fourth", true)
	l.sh("rm " + file + "; systemctl stop ssh.socket ssh.service; systemctl reset-failed ssh.service; systemctl start ssh.service")
}

// testLivePatience changes things while another program holds them.
func testLivePatience(l live) {
	const lock = `perl -e 'use Fcntl; open(F, ">>", $ARGV[0]) or die; fcntl(F, F_SETLK, pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0)) or die $!; sleep 5' `
	tests := []struct {
		name, hold string
		resource   server.Resource
	}{
		{"vipw", `EDITOR='sh -c "sleep 5; true"' vipw`, resource.Account{Account: "greta", Shell: "/bin/sh"}},
		{"dpkg", lock + "/var/lib/dpkg/lock-frontend", resource.Package{Package: "hello"}},
		{"apt lists", "rm -rf /var/lib/apt/lists/*; touch /var/lib/apt/lists/lock; " + lock + "/var/lib/apt/lists/lock", resource.Package{Package: "hello"}},
	}
	for _, tt := range tests {
		l.t.Run(tt.name, func(t *testing.T) {
			l := live{l.Server, t}
			l.sh("systemd-run --quiet --unit=hold-" + strings.ReplaceAll(tt.name, " ", "-") + " --service-type=exec sh -ec " + "\"$(cat <<'END'\n" + tt.hold + "\nEND\n)\"" + "; sleep 1")
			o := l.apply(tt.resource, "")
			if tt.name == "vipw" {
				l.sh("systemd-run --quiet --uid=greta sleep 4")
			}
			if _, err := l.order("undo", o); err != nil {
				t.Error(err)
			}
		})
	}
}

// testLiveRefusals shows the words of the real programs.
func testLiveRefusals(l live) {
	l.sh("useradd -m dora; useradd -m emil; rm -f /etc/ssh/sshd_config.d/00-test.conf")
	tests := []struct {
		name, prepare string
		resource      server.Resource
		secret        string
		want          string
	}{
		{"a file that fails its test", "", resource.File{Path: "/etc/ssh/sshd_config.d/00-test.conf", Mode: 0o600,
			Content: "Nonsense yes\n", Test: []string{"sshd", "-t", "-f"}}, "", "Bad configuration option: Nonsense"},
		{"a weak password", "DEBIAN_FRONTEND=noninteractive apt-get -qqy install libpam-pwquality >/dev/null; echo enforce_for_root > /etc/security/pwquality.conf",
			resource.Password{Account: "dora"}, "abc", "new password of dora was refused: The password"},
		{"a group that is not there", "", resource.Account{Account: "frida", Shell: "/bin/sh", Groups: []string{"wheel"}}, "", "wheel"},
		{"an account that has expired", "usermod -e 1 dora", resource.Password{Account: "dora"}, "tr0ub4dor & Drei: Zwei 99", "has expired"},
		{"a package that is not there", "", resource.Package{Package: "no-such-package"}, "", "Unable to locate package no-such-package"},
		{"a package that replaces another", "DEBIAN_FRONTEND=noninteractive apt-get -qqy install systemd-timesyncd >/dev/null 2>&1",
			resource.Package{Package: "chrony"}, "", "it would remove systemd-timesyncd"},
		{"a unit that is not there", "", resource.Unit{Unit: "nowhere.service", Enabled: true}, "", "there is no unit nowhere.service"},
		{"a masked unit", "systemctl disable --now test || true; rm -f /etc/systemd/system/test.service; systemctl daemon-reload; systemctl mask test.service", resource.Unit{Unit: "test.service", Enabled: true}, "", "is masked and cannot"},
		{"a PAM block edited by hand", "sed -i 's/pam_unix.so obscure/pam_debug.so/' /etc/pam.d/common-password; printf 'Name: Test\nDefault: no\nPriority: 10\nAuth-Type: Additional\nAuth:\n\toptional pam_echo.so\n' > /usr/share/pam-configs/test",
			resource.PAM{Profile: "test"}, "", "was edited by hand"},
		{"with dpkg interrupted", "dpkg --unpack --force-depends $(cd /tmp; apt-get -qq download hello >/dev/null 2>&1; ls /tmp/hello_*)",
			resource.Package{Package: "hello"}, "", "dpkg was interrupted and has left work undone: hello unpacked"},
	}
	for _, tt := range tests {
		l.t.Run(tt.name, func(t *testing.T) {
			l := live{l.Server, t}
			if tt.prepare != "" {
				l.sh(tt.prepare)
			}
			start := l.tree()
			spec, err := resource.Encode(tt.resource)
			if err != nil {
				t.Fatal(err)
			}
			out, err := l.order("apply", order{Spec: spec, Secret: tt.secret})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s, %v; want %q in it", out, err, tt.want)
			}
			if tt.secret != "" && strings.Contains(fmt.Sprint(err), tt.secret) {
				t.Error("the error shows the password")
			}
			if end := l.tree(); end.Hash() != start.Hash() {
				t.Errorf("the tree has changed:\n%s", strings.Join(start.Diff(end), "\n"))
			}
		})
	}
}
