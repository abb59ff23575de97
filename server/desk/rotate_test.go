package desk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// All host keys of a server are pinned, so it stays known when the first one
// goes.
func TestOtherHostKeys(t *testing.T) {
	b := newBench(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(b.dir, "host_ecdsa")
	writeKey(t, second, private, "")
	key := b.key("id", "")
	s := start(t, "HostKey "+second, account{name: "root", keys: []ssh.PublicKey{key}})
	target := s.target("app-1", Login{User: "root"})
	d := b.desk()
	for range 2 {
		c, err := d.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "both keys are pinned", func() bool {
			pinned, _ := os.ReadFile(b.config.KnownHosts)
			return strings.Count(string(pinned), "\n") == 2 && strings.Contains(string(pinned), " ecdsa-sha2-nistp256 ")
		})
		c.Close()
	}
	s.stop()
	config, err := os.ReadFile(filepath.Join(s.dir, "sshd_config"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "sshd_config"), strings.ReplaceAll(string(config), "HostKey "+s.dir, "#"))
	s.run()
	c, err := b.desk().Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Algorithms(); err != nil || slices.Contains(a.HostKeys, "ssh-ed25519") {
		t.Errorf("the first key is still there: %+v, %v", a, err)
	}
	if len(b.seen) != 1 {
		t.Errorf("%d keys were shown, want 1", len(b.seen))
	}
}

// A server cannot have a key pinned that is not its own.
func TestProves(t *testing.T) {
	b := newBench(t)
	b.key("own", "")
	b.key("other", "")
	own, other := readSigner(t, b.keys[0]), readSigner(t, b.keys[1])
	session := []byte("this session")
	proof := func(by ssh.Signer, purpose string, session []byte, key ssh.PublicKey) []byte {
		s, err := by.Sign(rand.Reader, ssh.Marshal(struct {
			Purpose      string
			Session, Key []byte
		}{purpose, session, key.Marshal()}))
		if err != nil {
			t.Fatal(err)
		}
		return ssh.Marshal(s)
	}
	const purpose = "hostkeys-prove-00@openssh.com"
	for name, tt := range map[string]struct {
		proof []byte
		want  bool
	}{
		"right":           {proof(own, purpose, session, own.PublicKey()), true},
		"another key":     {proof(other, purpose, session, own.PublicKey()), false},
		"another session": {proof(own, purpose, []byte("that session"), own.PublicKey()), false},
		"another purpose": {proof(own, "login", session, own.PublicKey()), false},
		"nothing":         {nil, false},
		"noise":           {[]byte("\x00\x00\x00\xff"), false},
	} {
		if got := proves(tt.proof, own.PublicKey(), session); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
