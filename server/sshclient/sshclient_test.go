package sshclient_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/sshclient"
)

func shop(dir string) sshclient.Site {
	return sshclient.Site{
		Name: "shop", User: "alice", KnownHosts: filepath.Join(dir, "a site", "100%", "known_hosts"),
		Hosts: []sshclient.Host{
			{Name: "app-1", Address: "192.0.2.10", Port: 22, Identities: []string{filepath.Join(dir, "my key")}},
			{Name: "db-1", Address: "10.0.0.6", Port: 2222, Jump: "app-1", Agent: true},
			{Name: "far-1", Address: "far.example.com", ProxyJump: "bastion.example.com"},
		},
	}
}

const wantText = "# The servers of the site shop, written by `holdfast ssh-config`, which replaces this file." + `

Host app-1 app-1.shop
    HostName 192.0.2.10
    Port 22
    User alice
    ProxyJump none
    HostKeyAlias app-1
    UserKnownHostsFile "/d/a site/100%%/known_hosts"
    StrictHostKeyChecking yes
    ForwardAgent no
    IdentityFile "/d/my key"
    IdentitiesOnly yes

Host db-1 db-1.shop
    HostName 10.0.0.6
    Port 2222
    User alice
    ProxyJump app-1.shop
    HostKeyAlias db-1
    UserKnownHostsFile "/d/a site/100%%/known_hosts"
    StrictHostKeyChecking yes

Host far-1 far-1.shop
    HostName far.example.com
    Port 22
    User alice
    ProxyJump bastion.example.com
    HostKeyAlias far-1
    UserKnownHostsFile "/d/a site/100%%/known_hosts"
    StrictHostKeyChecking yes
    ForwardAgent no
`

func TestText(t *testing.T) {
	got, err := shop("/d").Text()
	if err != nil || got != wantText {
		t.Errorf("%v:\n%s", err, got)
	}
	for _, path := range []string{`/a"b`, "/a\nHost x", "/${HOME}", "known_hosts", ""} {
		s := shop("/d")
		s.KnownHosts = path
		if text, err := s.Text(); err == nil {
			t.Errorf("the path %q gave\n%s", path, text)
		}
		s = shop("/d")
		s.Hosts[1].Identities = []string{path}
		if text, err := s.Text(); err == nil {
			t.Errorf("the identity %q gave\n%s", path, text)
		}
	}
}

// requireSSH skips or, with HOLDFAST_MUST_RUN=1, fails without an ssh.
func requireSSH(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
			t.Fatalf("HOLDFAST_MUST_RUN=1, but: %v", err)
		}
		t.Skip(err)
	}
}

// asked returns what ssh would do for a host.
func asked(t *testing.T, config, host string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ssh", "-G", "-F", config, host).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh -G: %v: %s", err, out)
	}
	return "\n" + string(out)
}

// Whatever the operator's configuration holds, ssh finds the servers afterwards,
// and every byte of it is still there, on top of which one line has come.
func TestInstall(t *testing.T) {
	requireSSH(t)
	for name, old := range map[string]string{
		"nothing":             "",
		"a block":             "Host *\n    User bob\n    ForwardAgent yes\n    StrictHostKeyChecking no\n",
		"no line break":       "Host old\n    HostName old.example.com",
		"comments":            "# mine\n\n\n#Include x\nPort 2022\n",
		"carriage returns":    "Host old\r\n    HostName old.example.com\r\n",
		"the same names":      "Host app-1\n    HostName 203.0.113.1\n    User eve\n    ProxyJump evil\n",
		"the line in a block": "Host old\n    Include \"DIR/*.conf\"\n",
		"match all":           "Match all\n    Port 99\n",
		"other includes":      "Include /nonexistent/*.conf\nInclude=config.d/*\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), ".ssh")
			config := filepath.Join(dir, "config")
			old = strings.ReplaceAll(old, "DIR", sshclient.Dir(config))
			if old != "" {
				write(t, config, old, 0o640)
			}
			s := shop(t.TempDir())
			keys := map[string]string{"shop.alice.1.pub": "ssh-ed25519 AAAA alice\n"}
			done, err := sshclient.Install(t.Context(), s, keys, config)
			if err != nil || len(done.Shadowed) > 0 {
				t.Fatal(err, done)
			}
			if want := []string{
				filepath.Join(dir, "holdfast", "shop.alice.1.pub"), filepath.Join(dir, "holdfast", "shop.conf"), config,
			}; !slices.Equal(done.Written, want) {
				t.Errorf("wrote %q, want %q", done.Written, want)
			}
			now := read(t, config)
			if top, ok := strings.CutSuffix(now, old); !ok || strings.Count(top, "\n") > 3 {
				t.Errorf("of\n%s\ncame\n%s", old, now)
			}
			if old != "" && mode(t, config) != 0o640 || old == "" && mode(t, config) != 0o600 {
				t.Errorf("mode %o", mode(t, config))
			}
			for _, host := range []string{"db-1", "db-1.shop"} {
				got := asked(t, config, host)
				for _, want := range []string{"hostname 10.0.0.6", "port 2222", "user alice", "proxyjump app-1.shop", "hostkeyalias db-1", "stricthostkeychecking true"} {
					if !strings.Contains(got, "\n"+want+"\n") {
						t.Errorf("%s: no %q in%s", host, want, got)
					}
				}
			}
			if got := asked(t, config, "app-1"); strings.Contains(got, "\nproxyjump ") || !strings.Contains(got, "\nforwardagent no\n") ||
				!strings.Contains(got, "/my key\n") || !strings.Contains(got, "\nhostname 192.0.2.10\n") || !strings.Contains(got, "/100%/known_hosts\n") {
				t.Errorf("app-1:%s", got)
			}
			if strings.Contains(old, "Host old\n    HostName") && !strings.Contains(asked(t, config, "old"), "\nhostname old.example.com\n") {
				t.Error("the operator's own host is lost")
			}
			again(t, s, keys, config)
		})
	}
}

// again demands that a second call writes nothing.
func again(t *testing.T, s sshclient.Site, keys map[string]string, config string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(config), "*"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(sshclient.Dir(config), "*"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	files = append(files, more...)
	for _, f := range files {
		if err := os.Chtimes(f, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := sshclient.Install(t.Context(), s, keys, config); err != nil || len(done.Written) > 0 {
		t.Errorf("a second time: %v, wrote %q", err, done.Written)
	}
	for _, f := range files {
		if info, err := os.Lstat(f); err != nil || info.Mode().IsRegular() && !info.ModTime().Equal(old) {
			t.Errorf("a second time: %s: %v, %v", f, err, info.ModTime())
		}
	}
}

// What ssh could not read, or what would lead elsewhere, is not installed.
func TestInstallRefuses(t *testing.T) {
	requireSSH(t)
	for _, tt := range []struct {
		name, old, want string
		site            func(*sshclient.Site)
	}{
		{name: "a configuration that ssh does not read", old: "Host a\n    Colour red\n", want: "was not changed: ssh cannot read it: "},
		{name: "a host without an address", want: "ssh cannot read it: ", site: func(s *sshclient.Site) { s.Hosts[0].Address = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			config := filepath.Join(dir, "config")
			if tt.old != "" {
				write(t, config, tt.old, 0o600)
			}
			s := shop(dir)
			if tt.site != nil {
				tt.site(&s)
			}
			done, err := sshclient.Install(t.Context(), s, nil, config)
			if err == nil || !strings.Contains(err.Error(), tt.want) || slices.Contains(done.Written, config) {
				t.Errorf("wrote %q, %v; want %q", done.Written, err, tt.want)
			}
			if _, err := os.Stat(config); tt.old == "" && err == nil || tt.old != "" && read(t, config) != tt.old {
				t.Errorf("the configuration was changed")
			}
			left, err := filepath.Glob(filepath.Join(dir, "*", ".holdfast-draft-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left: %q, %v", left, err)
			}
		})
	}
}

// Where another site has a server of the same name, the name leads to the site
// that sorts first, and the long name to this one.
func TestInstallBesideAnotherSite(t *testing.T) {
	requireSSH(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	other := shop(dir)
	other.Name, other.Hosts = "other", []sshclient.Host{{Name: "app-1", Address: "203.0.113.9"}}
	for _, s := range []sshclient.Site{other, shop(dir)} {
		done, err := sshclient.Install(t.Context(), s, nil, config)
		if err != nil {
			t.Fatal(err)
		}
		if want := s.Name == "shop"; slices.Equal(done.Shadowed, []string{"app-1"}) != want {
			t.Errorf("site %s: shadowed are %q", s.Name, done.Shadowed)
		}
	}
	for host, want := range map[string]string{"app-1": "203.0.113.9", "app-1.other": "203.0.113.9", "app-1.shop": "192.0.2.10", "db-1": "10.0.0.6"} {
		if got := asked(t, config, host); !strings.Contains(got, "\nhostname "+want+"\n") {
			t.Errorf("%s:%s", host, got)
		}
	}
	if n := strings.Count(read(t, config), "Include"); n != 1 {
		t.Errorf("%d Include lines", n)
	}
}

// A configuration that is a link into a directory of dotfiles stays one.
func TestInstallThroughLink(t *testing.T) {
	requireSSH(t)
	dir := t.TempDir()
	config, real := filepath.Join(dir, ".ssh", "config"), filepath.Join(dir, "dotfiles", "ssh")
	write(t, real, "Host old\n", 0o600)
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, config); err != nil {
		t.Fatal(err)
	}
	s := shop(dir)
	if _, err := sshclient.Install(t.Context(), s, nil, config); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(config); err != nil || to != real || !strings.HasSuffix(read(t, real), "\nHost old\n") {
		t.Errorf("a link to %s, %v:\n%s", to, err, read(t, real))
	}
	again(t, s, nil, config)
	if err := os.Remove(real); err != nil {
		t.Fatal(err)
	}
	if _, err := sshclient.Install(t.Context(), s, nil, config); err == nil || !strings.Contains(err.Error(), "a symbolic link to nothing") {
		t.Errorf("a link to nothing: %v", err)
	}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(fmt.Errorf("reading: %w", err))
	}
	return string(data)
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
