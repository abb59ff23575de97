package password

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// PBKDF2 with all vectors of Wycheproof, those of RFC 6070 and RFC 7914 among them.
func TestWycheproofPBKDF2(t *testing.T) {
	for id, want := range map[string]int{"sha1": 64, "sha256": 60, "sha512": 58} {
		text, err := os.ReadFile(filepath.Join("testdata", "wycheproof", "pbkdf2_hmac"+id+"_test.json"))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			TestGroups []struct {
				Tests []struct {
					TcID               int
					Password, Salt, DK string
					IterationCount     int
					DkLen              int
					Result             string
				}
			}
		}
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		ran := 0
		for _, g := range file.TestGroups {
			for _, c := range g.Tests {
				ran++
				if c.IterationCount > pbkdf2Max && os.Getenv("HOLDFAST_SOAK") == "" {
					continue // RFC 6070 has one of 2^24
				}
				pw, _ := hex.DecodeString(c.Password)
				salt, _ := hex.DecodeString(c.Salt)
				got, err := pbkdf2Key(id, string(pw), salt, c.IterationCount, c.DkLen)
				if err != nil || (hex.EncodeToString(got) == c.DK) != (c.Result == "valid") {
					t.Errorf("%s %d: %x, %v; want %s", id, c.TcID, got, err, c.DK)
				}
			}
		}
		if ran != want {
			t.Errorf("%s: %d vectors, want %d", id, ran, want)
		}
	}
}

// RFC 7914, section 12.
func TestScryptVectors(t *testing.T) {
	for _, c := range []struct {
		password, salt string
		p              scryptParams
		want           string
	}{
		{"", "", scryptParams{logN: 4, r: 1, p: 1}, "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"},
		{"password", "NaCl", scryptParams{logN: 10, r: 8, p: 16}, "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"},
		{"pleaseletmein", "SodiumChloride", scryptParams{logN: 14, r: 8, p: 1}, "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"},
	} {
		c.p.salt = []byte(c.salt)
		got, err := c.p.compute(c.password, 64)
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("N=2^%d: %x, %v", c.p.logN, got, err)
		}
	}
}

// Strings that other programs' documentation gives.
func TestKnownStrings(t *testing.T) {
	for _, c := range []struct{ id, encoded, password string }{
		// The reference implementation of Argon2, test.c.
		{"argon2id", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
		// hashcat's table of example hashes.
		{"phpass", "$P$984478476IagS59wHZvyQMArzfx58u.", "hashcat"},
		{"phpass-phpbb", "$H$984478476IagS59wHZvyQMArzfx58u.", "hashcat"},
		{"drupal7", "$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf", "hashcat"},
	} {
		for _, v := range Legacy() {
			cost, err := v.Cost(c.encoded)
			if v.ID() != c.id {
				if err == nil {
					t.Errorf("%s reads %s", v.ID(), c.encoded)
				}
				continue
			}
			match, err2 := v.Verify(c.encoded, c.password)
			if err != nil || err2 != nil || !match || cost.Work < 1 {
				t.Errorf("%s: %v %v %v", c.encoded, match, err, err2)
			}
		}
	}
}

// Our bcrypt with a given salt is that of golang.org/x/crypto.
func TestBcryptDigest(t *testing.T) {
	salt := []byte("sixteen bytes of")
	for _, pw := range []string{"x", "correct horse", strings.Repeat("ü", 20)} {
		digest, err := bcryptDigest([]byte(pw), salt, 5)
		if err != nil {
			t.Fatal(err)
		}
		plain := "$2b$05$" + bcrypt64.EncodeToString(salt) + digest
		if err := bcrypt.CompareHashAndPassword([]byte(plain), []byte(pw)); err != nil {
			t.Errorf("%q: %v", pw, err)
		}
	}
}
