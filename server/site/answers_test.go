package site_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

func TestNewMakesWhatLoadReads(t *testing.T) {
	_, to := identity(t)
	for name, content := range map[string]string{
		"plain": good,
		"small": "site: a\nadmins: [{name: alice, keys: [keys/alice.pub]}]\nservers: [{name: b, role: application, address: b}]\n",
		"all": strings.NewReplacer(
			"{account: rescue}", "{account: rescue, key: keys/rescue.pub, from: ['2001:db8::/32', 192.0.2.0/24]}",
			"passwords: guide", "passwords: nist",
			"port: 22", "port: 2222\n    first_login: debian\n    address6: 2001:db8::5\n    private: 10.0.0.6",
		).Replace(good) + "secrets: {recipients: [" + to[0] + "]}\n",
		// Names that YAML would take for something else.
		"names": strings.NewReplacer("name: alice", "name: 'null'", "app-1", "'1e3'", "shop", "'0x1f'", "name: db-1", "name: '2026-11-23'").Replace(good),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, "keys"), os.DirFS("testdata/keys")); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "answers.yaml")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := site.LoadAnswers(path)
			if err != nil {
				t.Fatal(err)
			}
			data, err := site.New(a)
			if err != nil {
				t.Fatal(err)
			}
			// The site file needs no key files: it may stand elsewhere.
			made, err := site.Parse("elsewhere/holdfast.yaml", data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			want, err := site.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			made.Path, made.Digest, want.Path, want.Digest = "", "", "", ""
			if !reflect.DeepEqual(made, want) {
				t.Errorf("got  %+v\nwant %+v\n%s", made, want, data)
			}
			lines := strings.Split(string(data), "\n")
			for i, line := range lines {
				if len(line) > 80 && strings.Contains(line, "#") {
					t.Errorf("line %d is long: %s", i+1, line)
				}
			}
			if !strings.Contains(string(data), "\n# The machines of the site; at least one.\nservers:\n") {
				t.Errorf("the comments are missing:\n%s", data)
			}
			again, err := site.New(a)
			if err != nil || string(again) != string(data) {
				t.Errorf("made twice, it differs: %v\n%s\n%s", err, data, again)
			}
		})
	}
}

func TestAnswersMayBeIncomplete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "answers.yaml")
	load := func(content string) (site.Answers, error) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return site.LoadAnswers(path)
	}
	a, err := load("servers:\n  - {name: app-1, role: application, address: 192.0.2.10}\n")
	if err != nil {
		t.Fatal(err)
	}
	p := (*site.Problems)(nil)
	if _, err := site.New(a); !errors.As(err, &p) {
		t.Errorf("a site without admins: %v", err)
	}
	a.Name = "shop"
	a.Admins = []site.Admin{{Name: "alice", Keys: []string{text(t, "alice.pub")}}}
	a.BreakGlass = &site.BreakGlass{Account: "rescue"}
	data, err := site.New(a)
	if err != nil {
		t.Fatal(err)
	}
	s, err := site.Parse("holdfast.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Config("app-1"); err != nil || c.BreakGlass.Account != "rescue" || c.Passwords != server.PasswordsGuide {
		t.Errorf("got %+v, %v", c, err)
	}
	for content, line := range map[string]int{"server: []\n": 1, "site: a\nservers: [{name: a}]\n": 2, "admins: [{name: alice, keys: [~/none.pub]}]\n": 1} {
		if _, err := load(content); !errors.As(err, &p) || p.List[0].File != path || p.List[0].Line != line {
			t.Errorf("%q: %v", content, err)
		}
	}
}
