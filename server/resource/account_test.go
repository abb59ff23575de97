package resource_test

import (
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

// replace changes the first occurrence of a text in a file.
func replace(path, from, to string) func(*hosttest.Host) {
	return func(h *hosttest.Host) {
		content := h.Content(path)
		if !strings.Contains(content, from) {
			panic(path + " does not contain " + from)
		}
		h.Put(path, strings.Replace(content, from, to, 1))
	}
}

func TestAccount(t *testing.T) {
	alice := resource.Account{Account: "alice", Shell: "/bin/bash", Groups: []string{"sudo"}}
	debian := resource.Account{Account: "debian", Shell: "/bin/bash", Groups: []string{"users", "sudo"}}
	shell := func(account, shell string) func(*hosttest.Host) {
		return func(h *hosttest.Host) {
			rest := ""
			for line := range strings.Lines(h.Content("/etc/passwd")) {
				if !strings.HasPrefix(line, account+":") {
					rest += line
				}
			}
			h.Put("/etc/passwd", rest+account+":x:4242:4242::/srv/"+account+":"+shell+"\n")
		}
	}
	foreign, chsh := shell("alice", "/bin/dash"), shell("debian", "/usr/bin/zsh")
	home := func(t testing.TB, h *hosttest.Host) {
		e, err := h.Read(t.Context(), "/home/alice")
		if err != nil || e.Mode.Perm() != 0o700 || e.Owner != "alice" || h.Content("/home/alice/.bashrc") == "" {
			t.Errorf("the home is %+v, %v", e, err)
		}
		if !strings.Contains(h.Content("/etc/group"), "sudo:x:27:debian,alice\n") {
			t.Errorf("/etc/group is %s", h.Content("/etc/group"))
		}
	}
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "missing", Resource: alice, Host: on(), Drift: foreign, Shows: home},
		hosttest.Case{Name: "missing, without groups", Host: on(), Drift: foreign,
			Resource: resource.Account{Account: "alice", Shell: "/bin/bash"}},
		hosttest.Case{Name: "group missing", Resource: debian, Host: on(), Drift: chsh},
		hosttest.Case{Name: "other shell", Resource: debian, Drift: chsh,
			Host: on(replace("/etc/passwd", "/home/debian:/bin/bash", "/home/debian:/usr/sbin/nologin"))},
		hosttest.Case{Name: "only the shell", Drift: chsh, Resource: resource.Account{Account: "debian", Shell: "/bin/sh"}, Host: on()},
		hosttest.Case{Name: "in no group", Resource: debian, Drift: chsh,
			Host: on(replace("/etc/group", "adm:x:4:debian", "adm:x:4:"), replace("/etc/group", "sudo:x:27:debian", "sudo:x:27:"),
				replace("/etc/gshadow", "adm:*::debian", "adm:*::"), replace("/etc/gshadow", "sudo:*::debian", "sudo:*::"))},
	)
}

func TestAccountRefuses(t *testing.T) {
	tests := []struct {
		name, want string
		account    resource.Account
		change     func(*hosttest.Host)
	}{
		{"an option", "is no name", resource.Account{Account: "-r"}, nil},
		{"a second line", "is no name", resource.Account{Account: "a\nroot"}, nil},
		{"a home that is there", "exists although there is no account", resource.Account{Account: "alice", Shell: "/bin/sh"},
			put("/home/alice/letters", "private")},
		{"a group that is not there", "group 'wheel' does not exist", resource.Account{Account: "alice", Shell: "/bin/sh", Groups: []string{"wheel"}}, nil},
		{"a broken line", "has 3 fields", resource.Account{Account: "debian", Shell: "/bin/sh"}, put("/etc/passwd", "debian:x:1\n")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			if tt.change != nil {
				tt.change(h)
			}
			start := h.String()
			change, err := server.Check(t.Context(), h, tt.account)
			if err == nil {
				_, err = server.Apply(t.Context(), h, tt.account, change)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
			if h.String() != start {
				t.Error("the host has changed")
			}
		})
	}
}

// What somebody has put into a home is not lost by an undo, nor by one that is
// rolled back, wherever it was cut off.
func TestHomesAreKept(t *testing.T) {
	alice := resource.Account{Account: "alice", Shell: "/bin/bash"}
	const letter = "/home/alice/letters/one"
	for _, cutOff := range []bool{false, true} {
		h := hosttest.Debian(t)
		change, err := server.Check(t.Context(), h, alice)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Apply(t.Context(), h, alice, change); err != nil {
			t.Fatal(err)
		}
		h.Put(letter, "dear Bob")
		if cutOff { // between the two commands
			if err := h.Run(t.Context(), "", "mv", "-T", "/home/alice", server.StateDir+"/vault/home-alice"); err != nil {
				t.Fatal(err)
			}
		} else if err := server.Undo(t.Context(), h, alice, change); err != nil {
			t.Fatal(err)
		}
		if h.Exists("/home/alice") {
			t.Error("the home is still there")
		}
		if !cutOff {
			change.Before = ""
			if _, err := server.Apply(t.Context(), h, alice, change); err != nil {
				t.Fatal(err)
			}
		} else if err := alice.Sweep(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if got := h.Content(letter); got != "dear Bob" {
			t.Errorf("the letter is %q", got)
		}
	}
}

func TestSweep(t *testing.T) {
	h := hosttest.Debian(t)
	h.Put("/proc/700/stat", "700 (usermod) S 1\n")
	h.Put("/etc/shadow.700", "700\x00")
	h.Put("/etc/shadow.lock", "700\x00")
	h.Put("/etc/shadow+", "of the living\n")
	h.Put("/etc/passwd.bak.2019", "a person's\n")
	start := h.String()
	h.Put("/etc/passwd.677", "677\x00")
	h.Put("/etc/group.lock", "677\x00")
	h.Put("/etc/group+", "half\n")
	h.Put("/etc/nshadow", "half\n")
	for _, r := range []server.Sweeper{resource.Account{Account: "debian"}, resource.Password{Account: "debian"}, resource.Aging{Account: "debian"}} {
		if err := r.Sweep(t.Context(), h); err != nil {
			t.Fatalf("%s: %v", r.Name(), err)
		}
		if h.String() != start {
			t.Errorf("%s: the host is\n%s\nwant\n%s", r.Name(), h, start)
		}
	}
}
