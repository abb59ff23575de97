package ask_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
	"github.com/holdfast-security/holdfast/server/site/ask"
)

func found(t *testing.T, name string, p site.Protection) site.FoundKey {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "keys", name))
	if err != nil {
		t.Fatal(err)
	}
	k, err := site.ParseKey(string(data))
	if err != nil {
		t.Fatal(err)
	}
	return site.FoundKey{Key: k, Path: "/home/alice/.ssh/" + name, Protection: p}
}

// script is what a person types, one answer in each line.
func script(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

func TestPlain(t *testing.T) {
	good, open, short := found(t, "alice.pub", site.ByPassphrase), found(t, "carol.pub", site.ByNothing), found(t, "r2048.pub", site.ByPassphrase)
	in := script(
		"My Shop", "my-shop", // the first is no name
		"root", "alice",
		"2", "0", // both keys
		"",      // not the one without passphrase
		"2", "", // NIST, and an emergency account
		"alice", "break", // not an admin
		"0", "1", "0", // one role at least
		"", "192.0.2.10:22", "192.0.2.10", "10.0.0.5", "22222222", "", "",
		"y",
		"2", "0", "app-1", "", "", "10.0.0.6", "", "2222", "debian",
		"",
	)
	var out bytes.Buffer
	got, err := ask.Run(t.Context(), strings.NewReader(in), &out, site.Answers{}, ask.Keys{Found: []site.FoundKey{short, good, open}})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := site.Answers{
		Name: "my-shop", Passwords: server.PasswordsNIST, BreakGlass: &site.BreakGlass{Account: "break"},
		Admins: []site.Admin{{Name: "alice", Keys: []string{good.Line}}},
		Servers: []site.Server{
			{Name: "app-1", Roles: []server.Role{server.Application}, Address: "192.0.2.10", Private: "10.0.0.5", Port: 22, FirstLogin: "root"},
			{Name: "db-1", Roles: []server.Role{server.Database}, Address: "10.0.0.6", Port: 2222, FirstLogin: "debian", Jump: "app-1"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v\n%s", got, want, out.String())
	}
	if _, err := site.New(got); err != nil {
		t.Error(err)
	}
	for _, say := range []string{
		"Not offered: the RSA key " + short.Fingerprint + " has 2048 bits", "HAS NO PASSPHRASE", "carol.pub has no passphrase",
		"not a host name", `"root" is an account`, "is an admin; the emergency account", "address holds a port", "there is a server app-1 already",
		"a port is a number",
	} {
		if !strings.Contains(out.String(), say) {
			t.Errorf("it does not say %q:\n%s", say, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("terminal commands where there is no terminal:\n%q", out.String())
	}
}

func TestDefaultsAreOffered(t *testing.T) {
	defaults := site.Answers{
		Name:    "depot",
		Admins:  []site.Admin{{Name: "carol", Keys: []string{"kept as it is"}}, {Name: "bob"}},
		Servers: []site.Server{{Name: "app-1", Roles: []server.Role{server.Application}, Address: "192.0.2.1"}},
	}
	var out bytes.Buffer
	got, err := ask.Run(t.Context(), strings.NewReader(script("", "", "", "", "")), &out, defaults, ask.Keys{})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	defaults.Passwords = server.PasswordsGuide
	if !reflect.DeepEqual(got, defaults) {
		t.Errorf("got  %+v\nwant %+v", got, defaults)
	}
}

func TestEnteredKey(t *testing.T) {
	k, short := found(t, "alice.pub", ""), found(t, "r2048.pub", "")
	in := script("", "carol", "1", "0", "no key", short.Line, k.Line, "", "n", "1", "0", "", "app.example.com", "", "", "", "n")
	var out bytes.Buffer
	got, err := ask.Run(t.Context(), strings.NewReader(in), &out, site.Answers{}, ask.Keys{})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if keys := got.Admins[0].Keys; !reflect.DeepEqual(keys, []string{k.Line}) || got.BreakGlass != nil {
		t.Errorf("got %+v", got)
	}
}

// TestInputEnds breaks the script off after each line: that is an error, never a
// loop and never half an answer.
func TestInputEnds(t *testing.T) {
	keys := ask.Keys{Found: []site.FoundKey{found(t, "alice.pub", site.ByNothing)}, Dir: t.TempDir()}
	lines := []string{"shop", "alice", "1", "0", "y", "1", "y", "rescue", "1", "0", "app-1", "192.0.2.10", "", "22", "root", "n"}
	if _, err := ask.Run(t.Context(), strings.NewReader(script(lines...)), io.Discard, site.Answers{}, keys); err != nil {
		t.Fatal(err)
	}
	for n := range lines {
		var in string
		if n > 0 {
			in = script(lines[:n]...)
		}
		got, err := ask.Run(t.Context(), strings.NewReader(in), io.Discard, site.Answers{}, keys)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !reflect.DeepEqual(got, site.Answers{}) {
			t.Errorf("after %d lines: %+v, %v", n, got, err)
		}
	}
}

func TestNoPassphraseWithoutATerminal(t *testing.T) {
	dir := t.TempDir()
	in := script("shop", "alice", "1", "0", "", "sixteen letters!", "sixteen letters!")
	_, err := ask.Run(t.Context(), strings.NewReader(in), io.Discard, site.Answers{}, ask.Keys{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in a terminal") {
		t.Errorf("got %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("made %v", entries)
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ask.Run(ctx, strings.NewReader(""), io.Discard, site.Answers{}, ask.Keys{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
