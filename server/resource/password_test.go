package resource_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

func TestPassword(t *testing.T) {
	const secret, hash = "correct horse battery", "$6$salt$roothash"
	wanted := resource.Password{Account: "debian", Secret: server.NewSecret(secret)}
	locked := resource.Password{Account: "root", Locked: true}
	line := func(account, from, to string) func(*hosttest.Host) {
		return replace("/etc/shadow", account+":"+from, account+":"+to)
	}
	is := func(what string) func(testing.TB, *hosttest.Host) {
		return func(t testing.TB, h *hosttest.Host) {
			if !strings.Contains(h.Content("/etc/shadow"), what) {
				t.Errorf("/etc/shadow is\n%s", h.Content("/etc/shadow"))
			}
		}
	}
	// A usable password that somebody else has set meanwhile is good enough, so
	// only something else is drift.
	odd := line("debian", "", "NP:1::::::\nrest:")
	var cases []hosttest.Case
	for name, field := range map[string]string{
		"barred by !": "!:19701", "barred by *": "*:19701", "barred by !*": "!*:19701", "never set": "!:",
		"locked": "!$y$j9T$salt$hash:19000", "garbage": "*NP*:19000", "empty": ":19000", "to be changed": hash + ":0",
	} {
		cases = append(cases, hosttest.Case{
			Name: name, Resource: wanted, Host: on(line("debian", "!:19701", field)), Drift: odd,
			Secrets: []string{secret, hash}, Shows: is("debian:$y$j9T$salt$"),
		})
	}
	cases = append(cases,
		hosttest.Case{Name: "lock", Resource: locked, Host: on(), Drift: line("root", "", "$6$other$hash:1::::::\nrest:"), Secrets: []string{hash}, Shows: is("root:*:")},
		hosttest.Case{Name: "lock the empty", Resource: locked, Host: on(line("root", hash, "")), Drift: line("root", "", "$6$other$hash:1::::::\nrest:"), Shows: is("root:*:")},
		hosttest.Case{Name: "lock what has expired", Resource: locked, Drift: line("root", "", "$6$other$hash:1::::::\nrest:"),
			Host: on(line("root", hash+":19700:0:99999:7:::", hash+":19700:0:99999:7::1:"))},
	)
	hosttest.TestResource(t, codec, cases...)
}

func TestPasswordStates(t *testing.T) {
	tests := []struct {
		line, want     string
		usable, locked bool
	}{
		{"$y$j9T$a$b:19000:0:99999:7:::", "usable DIGEST", true, false},
		{"abJnggxhB/yWI:19000:0:99999:7:::", "usable DIGEST", true, false},
		{"$y$j9T$a$b:0:0:99999:7:::", "usable DIGEST\nmust be changed at the next login", false, false},
		{"$y$j9T$a$b:19000:0:90:7:::", "usable DIGEST\nis older than the account's limit", false, false},
		{"$y$j9T$a$b::0:90:7:::", "usable DIGEST", true, false},
		{"$y$j9T$a$b:19000:0:99999:7::1:", "usable DIGEST\nthe account has expired", false, false},
		{"$y$j9T$a$b:19000:0:99999:7::99999:", "usable DIGEST", true, false},
		{"!$y$j9T$a$b:19000:0:99999:7:::", "locked DIGEST", false, true},
		{"!!$y$j9T$a$b:19000:0:99999:7:::", "locked DIGEST", false, true},
		{"*:19000:0:99999:7:::", "none *", false, true},
		{"!:19000:0:99999:7:::", "none !", false, true},
		{"!*::::::::", "", false, false},
		{"!*:::::::", "none !*", false, true},
		{":19000:0:99999:7:::", "empty", false, false},
		{"x:19000:0:99999:7:::", "other DIGEST", false, false},
		{"$y$j9T$a$b!:19000:0:99999:7:::", "other DIGEST", false, false},
		{"$y$j9T$a$b:soon:0:99999:7:::", "", false, false},
	}
	for _, tt := range tests {
		h := hosttest.Debian(t)
		h.Put("/etc/shadow", "debian:"+tt.line+"\n")
		p := resource.Password{Account: "debian"}
		got, err := p.Get(t.Context(), h)
		if (err != nil) != (tt.want == "") {
			t.Errorf("%s: %q, %v", tt.line, got, err)
			continue
		}
		if err != nil {
			if strings.Contains(err.Error(), "$y$") {
				t.Errorf("%s: the error shows the hash: %v", tt.line, err)
			}
			continue
		}
		digest, err := server.Digest(t.Context(), h, "debian:"+strings.Split(tt.line, ":")[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := server.State(strings.Replace(tt.want, "DIGEST", digest, 1)); got != want {
			t.Errorf("%s: %q, want %q", tt.line, got, want)
		}
		if usable := p.Accepts(got); usable != tt.usable {
			t.Errorf("%s is usable: %v", tt.line, usable)
		}
		if locked := (resource.Password{Account: "debian", Locked: true}).Accepts(got); locked != tt.locked {
			t.Errorf("%s is locked: %v", tt.line, locked)
		}
	}
}

func TestPasswordRefused(t *testing.T) {
	for _, tt := range []struct{ secret, want string }{
		{"1234567", "The password is shorter than 8 characters"},
		{"two lines\nroot:of text", "line break"},
		{strings.Repeat("long", 200), "longer than 511 bytes"},
	} {
		ctx, h := t.Context(), hosttest.Debian(t)
		start := h.String()
		p := resource.Password{Account: "debian", Secret: server.NewSecret(tt.secret)}
		change, err := server.Check(ctx, h, p)
		if err != nil {
			t.Fatal(err)
		}
		_, err = server.Apply(ctx, h, p, change)
		refused := (*resource.PasswordRefusedError)(nil)
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want a *PasswordRefusedError with %q", err, tt.want)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, refused), tt.secret) {
			t.Errorf("the error shows the password: %v", err)
		}
		if h.String() != start {
			t.Errorf("the host has changed:\n%s", h)
		}
	}
}

func TestPasswordNeeds(t *testing.T) {
	known := server.NewSecret("12345678")
	tests := []struct {
		name, want string
		p          resource.Password
		change     func(*hosttest.Host)
	}{
		{"a secret", `the secret "password/debian" is needed`, resource.Password{Account: "debian"}, nil},
		{"an account", "there is no account alice", resource.Password{Account: "alice", Locked: true}, nil},
		{"an account that lives", "has expired", resource.Password{Account: "debian", Secret: known},
			put("/etc/shadow", "debian:!:1:::::1:\n")},
		{"a key of digests", "no key", resource.Password{Account: "debian", Secret: known},
			func(h *hosttest.Host) { h.Delete(server.DigestKeyFile) }},
		{"a line in shadow", "there is no line for debian", resource.Password{Account: "debian", Secret: known},
			put("/etc/shadow", "root:*:1::::::\n")},
		{"a password in shadow", "not in /etc/shadow", resource.Password{Account: "debian", Secret: known},
			replace("/etc/passwd", "debian:x:", "debian:abJnggxhB/yWI:")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			if tt.change != nil {
				tt.change(h)
			}
			start := h.String()
			change, err := server.Check(t.Context(), h, tt.p)
			if err == nil {
				_, err = server.Apply(t.Context(), h, tt.p, change)
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
