package control

import (
	"context"
	"io/fs"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

const (
	siteKey    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFy0iAlsvRa4j0wGLbkDFQKcTBxtGzG4eI3hKmuyCpNR anna@desk"
	siteBlob   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFy0iAlsvRa4j0wGLbkDFQKcTBxtGzG4eI3hKmuyCpNR"
	anotherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEDWvdKXStrvjM4IPjzVRjRHVLnXbtqvMV8Fi3dmPrxe old@desk"
)

func TestWithKeys(t *testing.T) {
	tests := []struct{ name, have, want string }{
		{"no file", "", siteKey + "\n"},
		{"there already, under another name", "# mine\n" + siteBlob + " elsewhere\n", "# mine\n" + siteBlob + " elsewhere\n"},
		{"another is kept", anotherKey, siteKey + "\n" + anotherKey},
		{"a restricted line of the same key comes after", `command="false" ` + siteKey + "\n", siteKey + "\n" + `command="false" ` + siteKey + "\n"},
		{"rubbish is kept", "hello\n", siteKey + "\nhello\n"},
	}
	const file = "/home/debian/.ssh/authorized_keys"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			for _, have := range []string{tt.have, tt.want} { // what has the key gets it no second time
				if have != "" {
					h.Put(file, have)
				}
				got, err := withKeys(t.Context(), h, file, []string{siteKey})
				if err != nil || got != tt.want {
					t.Errorf("got  %q, %v\nwant %q", got, err, tt.want)
				}
			}
		})
	}
}

func TestWantAdmin(t *testing.T) {
	admins := func(names ...string) (c server.Config) {
		for _, n := range names {
			c.Admins = append(c.Admins, server.Admin{Name: n, Keys: []string{siteKey}})
		}
		return c
	}
	tests := []struct {
		name   string
		change func(*hosttest.Host)
		c      server.Config
		home   string // the wanted state of the home
		err    string
	}{
		{name: "new", c: admins("anna"), home: "directory 0700 anna:anna\n"},
		{name: "open home", c: admins("debian"), home: "directory 2755 debian:debian\n", change: func(h *hosttest.Host) {
			h.PutEntry("/home/debian", server.Entry{Mode: fs.ModeDir | fs.ModeSetgid | 0o777, Owner: "root", Group: "root"})
		}},
		{name: "root by another name", c: admins("toor"), err: "another name for root", change: func(h *hosttest.Host) {
			h.Put("/etc/passwd", "toor:x:0:0::/root:/bin/sh\n")
		}},
		{name: "keys behind a link", c: admins("debian"), err: "is a symbolic link to /etc", change: func(h *hosttest.Host) {
			h.PutEntry("/home/debian/.ssh", server.Entry{Mode: fs.ModeSymlink | 0o777, Owner: "debian", Group: "debian", Content: "/etc"})
		}},
		{name: "a link for keys", c: admins("debian"), err: "is a symbolic link to /etc/shadow", change: func(h *hosttest.Host) {
			h.PutEntry("/home/debian/.ssh/authorized_keys", server.Entry{Mode: fs.ModeSymlink | 0o777, Owner: "debian", Group: "debian", Content: "/etc/shadow"})
		}},
		{name: "no home", c: admins("debian"), err: "is not a directory", change: func(h *hosttest.Host) {
			h.Delete("/home/debian")
			h.Put("/home/debian", "")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			if tt.change != nil {
				tt.change(h)
			}
			wants, err := wantAdmins(t.Context(), h, tt.c)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range wants {
				if d, ok := w.(resource.Dir); ok && d.Path == "/home/"+tt.c.Admins[0].Name {
					if string(d.Want()) != tt.home {
						t.Errorf("home: %q, want %q", d.Want(), tt.home)
					}
				}
			}
		})
	}
}

// The whole of 3.6 in memory: plan, apply, nothing left, undo.
func TestAdminAccounts(t *testing.T) {
	ctx, h := t.Context(), hosttest.Debian(t)
	c := server.Config{
		Admins:  []server.Admin{{Name: "anna", Keys: []string{siteKey}}},
		Secrets: map[string]server.Secret{server.PasswordSecret("anna"): server.NewSecret("Zq7!vowelkbrt")},
	}
	before := h.String()
	plan, err := server.MakePlan(ctx, h, Admins(), c, nil)
	if err != nil || plan.Err() != nil || len(plan.Steps) != 4 {
		t.Fatalf("plan: %+v, %v, %v", plan.Steps, plan.Err(), err)
	}
	if h.String() != before {
		t.Error("the plan changed the host")
	}
	for i, s := range plan.Steps {
		if strings.Contains(server.Diff(s.Change), "vowelkbrt") {
			t.Error("the plan shows the password")
		}
		if plan.Steps[i].Change, err = server.Apply(ctx, h, s.Resource, s.Change); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := server.MakePlan(ctx, h, Admins(), c, nil); err != nil || len(again.Steps) > 0 {
		t.Errorf("a second plan: %+v, %v", again.Steps, err)
	}
	for i := range plan.Steps {
		s := plan.Steps[len(plan.Steps)-1-i]
		if err := server.Undo(ctx, h, s.Resource, s.Change); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.String(); got != before {
		t.Errorf("undo left\n%s\ninstead of\n%s", got, before)
	}
}

func TestOnlyKnownAdmins(t *testing.T) {
	tests := []struct {
		name, passwd, shadow, group, sudoers string
		keys                                 string // of mallory
		holds                                bool
		says                                 string
	}{
		{name: "locked out", shadow: "mallory:*:1::::::", group: "sudo:x:27:mallory", holds: true, says: "no other account"},
		{name: "by password", shadow: "mallory:$y$j9T$salt$hash:1::::::", group: "sudo:x:27:mallory", says: "mallory can log in and become root (password: usable, keys: 0)"},
		{name: "by key, without what sudo asks for", shadow: "mallory:!:1::::::", group: "sudo:x:27:mallory", keys: anotherKey, holds: true, says: "mallory can log in, and not become root, because sudo asks for a password that it does not have (password: none, keys: 1)"},
		{name: "by key, where sudo asks for nothing", shadow: "mallory:!:1::::::", group: "sudo:x:27:mallory", sudoers: "%adm ALL=(ALL) NOPASSWD: ALL\n", keys: anotherKey, says: "become root (password: none, keys: 1)"},
		{name: "by a rule", shadow: "mallory:$y$j9T$salt$hash:1::::::", group: "sudo:x:27:", sudoers: "mallory ALL=(ALL) ALL\n", says: "become root"},
		{name: "root's number", shadow: "mallory:$y$j9T$salt$hash:1::::::", group: "sudo:x:27:", passwd: "mallory:x:0:0::/home/mallory:/bin/sh\n", says: "become root"},
		{name: "no root", shadow: "mallory:$y$j9T$salt$hash:1::::::", group: "sudo:x:27:", holds: true, says: "mallory can log in (password"},
		{name: "no shell", shadow: "mallory:$y$j9T$salt$hash:1::::::", group: "sudo:x:27:mallory", passwd: "mallory:x:7:7::/home/mallory:/usr/sbin/nologin\n", holds: true, says: "no other account"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := withSudo(t, "", sudoersMain, stockSudoers+tt.sudoers)
			if tt.passwd == "" {
				tt.passwd = "mallory:x:7:7::/home/mallory:/bin/sh\n"
			}
			h.Put("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"+tt.passwd)
			h.Put("/etc/shadow", tt.shadow+"\n")
			h.Put("/etc/group", tt.group+"\n")
			if tt.keys != "" {
				h.Put("/home/mallory/.ssh/authorized_keys", tt.keys)
			}
			a, err := onlyKnownAdmins.Ask(t.Context(), h, server.Config{Admins: []server.Admin{{Name: "anna"}}})
			if err != nil || a.Holds != tt.holds || !strings.Contains(a.Evidence, tt.says) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// The proof tries both commands as every admin and believes what they say.
func TestAdminsBecomeRoot(t *testing.T) {
	ask := func(t *testing.T, hash string, broken string) (server.Answer, error) {
		h := withSudo(t, "")
		h.Put("/etc/shadow", "root:*:1::::::\ndebian:"+hash+":1:0:99999:7:::\n")
		h.Handle("runuser", func(_ context.Context, h *hosttest.Host, stdin string, argv []string) (string, error) {
			if !strings.Contains(h.Content("/etc/shadow"), "debian:"+standInHash+":1:0:99999:7:::") || stdin != standIn+"\n" {
				t.Errorf("the stand-in is not used: %q", h.Content("/etc/shadow"))
			}
			if broken != "" && strings.Contains(strings.Join(argv, " "), broken) {
				return "", hosttest.Exit{Status: 1, Output: "You are required to change your password"}
			}
			return "", nil
		})
		a, err := adminsBecomeRoot([]string{"debian"}).Ask(t.Context(), h, server.Config{})
		if strings.Contains(h.Content("/etc/shadow"), standInHash) {
			t.Error("the machine itself was touched")
		}
		return a, err
	}
	tests := []struct {
		name, hash, broken string
		holds              bool
		says               string
	}{
		{"both work", "$y$j9T$salt$hash", "", true, "both work for debian"},
		{"no password", "*", "", false, "debian: its password is none"},
		{"su is broken", "$y$j9T$salt$hash", "/bin/su", false, "debian: sudo /bin/su - -c true: You are required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := ask(t, tt.hash, tt.broken)
			if err != nil || a.Holds != tt.holds || !strings.Contains(a.Evidence, tt.says) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}
