package password_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/password"
)

// Every scheme takes a fresh salt of at least 128 bits: equal passwords never share
// a hash, and no two hashes a salt (guide 4.3.1).
func TestSalts(t *testing.T) {
	for _, c := range []struct {
		scheme password.Scheme
		field  int // of the salt between dollar signs
	}{
		{quick, 4},
		{password.Scrypt{LogN: 4, R: 1, InsecureWeak: true}, 3},
		{password.Bcrypt{Rounds: 4, InsecureWeak: true}, 3},
		{password.PBKDF2{Iterations: 1, InsecureWeak: true}, 3},
		{password.PBKDF2{SHA512: true, Iterations: 1, InsecureWeak: true}, 3},
	} {
		h := &password.Hasher{Preferred: c.scheme}
		salts := map[string]bool{}
		for range 200 {
			salt := strings.Split(mustHash(t, h, "the same password"), "$")[c.field]
			if len(salt) != 22 { // base64 of 16 bytes
				t.Fatalf("%s: a salt of %d letters: %s", c.scheme.ID(), len(salt), salt)
			}
			salts[salt] = true
		}
		if len(salts) != 200 {
			t.Errorf("%s: %d salts in 200 hashes", c.scheme.ID(), len(salts))
		}
	}
}

// RFC 9106's vectors have a secret and associated data, which the exported
// functions of golang.org/x/crypto do not take; its own tests do, so these run, at
// the version that this module requires.
func TestRFC9106(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "golang.org/x/crypto/argon2")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestVectors") || !strings.Contains(string(out), "--- PASS: TestArgon2 ") {
		t.Errorf("%v\n%s", err, out)
	}
}

var weakHashes = []string{
	"5ebe2294ecd0e0f08eab7690d2a6ee69", "{MD5}j+SQE2dkCvoYmjB7JmBsiQ==", "$1$a$aaaaaaaaaaaaaaaaaaaaaa",
	"md5$s$5ebe2294ecd0e0f08eab7690d2a6ee69", "$P$984478476IagS59wHZvyQMArzfx58u.",
	"pbkdf2_sha1$9$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
}

// FIPS works where nothing but approved functions is allowed, with a pepper.
func TestFIPS(t *testing.T) {
	if os.Getenv("GODEBUG") == "fips140=only" {
		ring := newRing(t)
		for _, h := range []*password.Hasher{{Preferred: password.FIPS()}, {Preferred: password.FIPS(), Pepper: ring}} {
			stored := mustHash(t, h, "correct horse")
			if r := verify(t, h, stored, "correct horse"); !r.Match || r.Upgrade {
				t.Errorf("%+v", r)
			}
			if verify(t, h, stored, "correct horsf").Match {
				t.Error("a wrong password matches")
			}
		}
		h := &password.Hasher{Preferred: password.FIPS(), Legacy: password.Legacy()}
		for _, v := range h.Legacy { // an error or an answer, and no panic
			for _, stored := range weakHashes {
				if _, err := v.Cost(stored); err == nil {
					v.Verify(stored, "pw")
				}
			}
		}
		for _, stored := range weakHashes {
			if _, err := h.Verify(t.Context(), stored, "pw"); !errors.Is(err, password.ErrUnknownScheme) {
				t.Errorf("%s: %v", stored, err)
			}
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPS$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestFIPS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func BenchmarkSchemes(b *testing.B) {
	for _, s := range []password.Scheme{password.Argon2id{}, password.Scrypt{}, password.Bcrypt{}, password.FIPS(), password.PBKDF2{SHA512: true}} {
		b.Run(s.ID(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Hash("correct horse battery staple"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
