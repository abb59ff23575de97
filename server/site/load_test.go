package site_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

// good is a site file that each test breaks in one place.
const good = `site: shop
admins:
  - name: alice
    keys: [keys/alice.pub]
  - name: carol
    keys:
      - keys/carol.pub
break_glass: {account: rescue}
passwords: guide
servers:
  - name: app-1
    role: application
    address: 192.0.2.10
  - name: db-1
    roles: [database]
    address: 10.0.0.6
    port: 22
    jump: app-1
`

// text reads a public key of testdata.
func text(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "keys", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// parse parses content as the file testdata/holdfast.yaml.
func parse(content string) (*site.Site, error) {
	return site.Parse("testdata/holdfast.yaml", []byte(content), "ssh-sessions", "root-locked")
}

func TestLoad(t *testing.T) {
	s, err := site.Load("../../examples/site/holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Digest) != 64 || s.Path != "../../examples/site/holdfast.yaml" {
		t.Errorf("digest %q, path %q", s.Digest, s.Path)
	}
	got, err := s.Config("backup-1")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := os.ReadFile("../../examples/site/keys/bob.pub")
	if err != nil {
		t.Fatal(err)
	}
	want := server.Config{
		Site: "shop", SiteDigest: s.Digest, Server: "backup-1", Roles: []server.Role{server.Backup}, Port: 2222,
		Admins: []server.Admin{
			{Name: "alice", Keys: s.Admins[0].Keys, Factor: server.CodeOnceEnrolled},
			{Name: "bob", Keys: []string{strings.TrimSpace(string(bob))}, Factor: server.CodeOnceEnrolled},
		},
		BreakGlass: server.BreakGlass{Account: "rescue"}, Passwords: server.PasswordsGuide, Codes: server.SharedCodes,
		Firewall: server.Firewall{
			Filter: server.FilterHoldfast, Jump: []string{"10.0.0.5", "192.0.2.10", "2001:db8::10"},
			Applications: []string{"10.0.0.5"}, Databases: []string{"10.0.0.6"},
			Servers:          []string{"10.0.0.5", "192.0.2.10", "2001:db8::10", "10.0.0.6"},
			ApplicationPorts: []int{80, 443, 3000, 3003}, DatabasePorts: []int{3306},
			Redirects: []server.Redirect{{From: 80, To: 3000}, {From: 443, To: 3003}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	db, _ := s.Server("db-1")
	if db.Port != 22 || db.FirstLogin != "root" || db.Jump != "app-1" || !reflect.DeepEqual(db.Roles, []server.Role{server.Database}) || db.Role != "" {
		t.Errorf("db-1 is %+v", db)
	}
	if _, err := s.Config("web"); err == nil || !strings.Contains(err.Error(), "app-1, db-1, backup-1") {
		t.Errorf("an unknown server: %v", err)
	}
}

func TestFirewallOfAServer(t *testing.T) {
	s, err := parse(strings.Replace(good, "passwords: guide", `admin_networks: [192.0.2.0/24]
application_ports: []
rules:
  - {protocol: tcp, port: 9100, to: 9110, sources: [app-1, 10.9.0.0/16], servers: [db-1]}
  - {protocol: udp, port: 53}
egress: [{protocol: tcp, port: 443, servers: [db-1]}]`, 1))
	if err != nil {
		t.Fatal(err)
	}
	app, _ := s.Config("app-1")
	db, _ := s.Config("db-1")
	if f := app.Firewall; f.Confined || !f.Direct || len(f.Rules) != 1 || len(f.ApplicationPorts) != 0 || len(f.Jump) != 0 {
		t.Errorf("app-1 has %+v", f)
	}
	want := []server.PacketRule{
		{Protocol: "tcp", First: 9100, Last: 9110, Peers: []string{"192.0.2.10", "10.9.0.0/16"}}, {Protocol: "udp", First: 53, Last: 53},
	}
	f := db.Firewall
	if !f.Confined || f.Direct || !reflect.DeepEqual(f.Rules, want) || !reflect.DeepEqual(f.Egress, []server.PacketRule{{Protocol: "tcp", First: 443, Last: 443}}) {
		t.Errorf("db-1 has %+v", f)
	}
	if !reflect.DeepEqual(f.AdminNetworks, []string{"192.0.2.0/24"}) || !reflect.DeepEqual(f.Applications, []string{"192.0.2.10"}) {
		t.Errorf("db-1 admits %+v", f)
	}
}

func TestConfigIsACopy(t *testing.T) {
	s, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := s.Config("app-1")
	c.Admins[0].Keys[0], c.Roles[0] = "changed", "changed"
	if again, _ := s.Config("app-1"); again.Admins[0].Keys[0] == "changed" || again.Roles[0] == "changed" {
		t.Error("changing a Config changes the site")
	}
}

func TestDefaults(t *testing.T) {
	s, err := parse("site: a\nadmins: [{name: alice, keys: [keys/alice.pub]}]\nservers: [{name: b, role: application, address: b.example.com}]\n")
	if err != nil {
		t.Fatal(err)
	}
	c, _ := s.Config("b")
	if c.Passwords != server.PasswordsGuide || c.Port != 22 || !c.BreakGlass.IsZero() {
		t.Errorf("got %+v", c)
	}
}

func TestLoadFileErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := site.Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("# x\n", 1<<19)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := site.Load(big); err == nil || !strings.Contains(err.Error(), big) {
		t.Errorf("a big file: %v", err)
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	put := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alice, carol := text(t, "alice.pub"), text(t, "carol.pub")
	put("two.pub", "# two keys\r\n"+alice+"\r\n\n"+carol+"\r\n")
	put("empty.pub", "# nothing\n")
	put("broken.pub", alice+"\n"+carol[:40]+"\n")
	put("big.pub", strings.Repeat(alice+"\n", 1000))
	if err := os.Mkdir(filepath.Join(dir, "dir.pub"), 0o700); err != nil {
		t.Fatal(err)
	}
	one := func(key string) (*site.Site, error) {
		return parse(fmt.Sprintf("site: a\nadmins: [{name: alice, keys: [%q]}]\nservers: [{name: b, role: application, address: b}]\n", key))
	}
	for _, key := range []string{"~/two.pub", filepath.Join(dir, "two.pub")} {
		s, err := one(key)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Admins[0].Keys; !reflect.DeepEqual(got, []string{alice, carol}) {
			t.Errorf("%s gives %q", key, got)
		}
	}
	for key, want := range map[string]string{
		"~/none.pub":   "does not exist",
		"~/empty.pub":  "is empty",
		"~/broken.pub": "line 2 of the key file: this is not a public SSH key",
		"~/big.pub":    "too big",
		"~/dir.pub":    "is not a file",
		"/dev/zero":    "is not a file",
	} {
		if _, err := one(key); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "testdata/holdfast.yaml:2:") {
			t.Errorf("%s: got %v, want %q", key, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	for _, c := range problemCases() {
		content := c.whole
		if content == "" {
			content = strings.Replace(good, c.old, c.new, 1)
		}
		f.Add([]byte(content))
	}
	f.Add([]byte("a: &x [1]\nb: *x\n<<: {c: d}\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const name = "testdata/holdfast.yaml"
		s, err := site.Parse(name, data)
		if err == nil {
			for _, srv := range s.Servers {
				if c, err := s.Config(srv.Name); err != nil || len(c.Admins) == 0 || len(c.Admins[0].Keys) == 0 || len(c.Roles) == 0 || c.Port < 1 {
					t.Errorf("a site that was accepted has the server %+v, %v", c, err)
				}
			}
			if len(s.Servers) == 0 {
				t.Error("a site without servers was accepted")
			}
			return
		}
		p := (*site.Problems)(nil)
		if !errors.As(err, &p) || len(p.List) == 0 {
			t.Fatalf("the error is %T: %v", err, err)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 2
		for i, one := range p.List {
			if one.File != name || one.Line < 1 || one.Line > lines || one.Column < 1 || one.What == "" || one.Instead == "" {
				t.Errorf("the problem %+v", one)
			}
			if i > 0 && p.List[i-1].Line > one.Line {
				t.Errorf("line %d comes before line %d", p.List[i-1].Line, one.Line)
			}
			if strings.ContainsFunc(one.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("control characters in %q", one)
			}
		}
	})
}

// A server is told of the losses that it is to bring about, and of no others.
func TestConfigLosesAccess(t *testing.T) {
	s, err := parse(good + "loses_access:\n  - {name: carol, servers: [db-1], reason: left, until: 2027-01-31}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []server.LostAccess{{Account: "carol", Reason: "left", Until: "2027-01-31"}}
	for name, want := range map[string][]server.LostAccess{"app-1": nil, "db-1": want} {
		c, err := s.Config(name)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.LosesAccess, want) {
			t.Errorf("%s is told %+v, want %+v", name, c.LosesAccess, want)
		}
	}
}

// A server is told of its own exceptions.
func TestConfigExceptions(t *testing.T) {
	s, err := parse(good + "exceptions:\n  - {control: root-locked, servers: [db-1], reason: x, owner: ops@example.com, until: \"2027-01-31\"}\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]server.Exception{
		"app-1": nil, "db-1": {{Control: "root-locked", Reason: "x", Owner: "ops@example.com", Until: "2027-01-31"}},
	} {
		c, err := s.Config(name)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.Exceptions, want) {
			t.Errorf("%s is told %+v, want %+v", name, c.Exceptions, want)
		}
	}
}

// A server is told that others are behind it, and not which.
func TestConfigJump(t *testing.T) {
	s, err := parse(good + "    agent_forwarding: true\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]bool{"app-1": {true, false}, "db-1": {false, true}} {
		c, err := s.Config(name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Jump != want[0] || c.AgentForwarding != want[1] {
			t.Errorf("%s: jump %v, agent forwarding %v; want %v", name, c.Jump, c.AgentForwarding, want)
		}
	}
}
