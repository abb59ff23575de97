package password_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/password"
)

// require skips the test, or fails it if HOLDFAST_MUST_RUN is 1, where a program
// is missing; scripts/deps app installs it.
func require(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
		t.Fatalf("HOLDFAST_MUST_RUN=1, but: %v", err)
	}
	t.Skip(err)
	return ""
}

// A peer is a running peer.py or peer.php.
type peer struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func newPeer(t *testing.T, program string, args ...string) *peer {
	cmd := exec.CommandContext(t.Context(), require(t, program), args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &peer{t, in, bufio.NewReader(out)}
}

func (p *peer) ask(do, scheme, password, hash string, answer any) {
	p.t.Helper()
	line, err := json.Marshal(map[string]string{"do": do, "scheme": scheme, "password": password, "hash": hash})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
	text, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("%s %s: the peer has ended: %v", do, scheme, err)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		p.t.Fatalf("%s %s: %v", do, scheme, err)
	}
}

// passwords are what every scheme is tried with: one letter, letters of one to four
// bytes, and more than the block of MD5.
var passwords = []string{"x", "Grüße, 世界 😀", strings.Repeat("0123456789", 7)}

// check verifies a hash that another program made, and that one password is not
// another.
func check(t *testing.T, h *password.Hasher, id, encoded, pw string) {
	t.Helper()
	want := password.Result{Match: true, Upgrade: true, Scheme: id}
	if got, err := h.Verify(t.Context(), encoded, pw); err != nil || got != want {
		t.Errorf("%s of %q: %+v, %v; want %+v", encoded, pw, got, err, want)
	}
	if got, err := h.Verify(t.Context(), encoded, pw+"y"); err != nil || got.Match {
		t.Errorf("%s matches another password: %+v, %v", encoded, got, err)
	}
}

// schemes are what peers make, and the ID under which we verify it.
var schemes = map[string]string{
	"passlib:argon2id": "argon2id", "passlib:argon2i": "argon2i", "passlib:scrypt": "scrypt",
	"passlib:bcrypt": "bcrypt", "passlib:bcrypt_sha256": "bcrypt-sha256",
	"passlib:pbkdf2_sha1": "pbkdf2-sha1", "passlib:pbkdf2_sha256": "pbkdf2-sha256", "passlib:pbkdf2_sha512": "pbkdf2-sha512",
	"passlib:hex_md5": "md5", "passlib:hex_sha1": "sha1", "passlib:hex_sha256": "sha256", "passlib:hex_sha512": "sha512",
	"passlib:ldap_md5": "ldap-digest", "passlib:ldap_sha1": "ldap-digest",
	"passlib:ldap_salted_md5": "ldap-digest", "passlib:ldap_salted_sha1": "ldap-digest",
	"passlib:ldap_salted_sha256": "ldap-digest", "passlib:ldap_salted_sha512": "ldap-digest",
	"passlib:md5_crypt": "crypt-md5", "passlib:apr_md5_crypt": "apache-md5",
	"passlib:sha256_crypt": "crypt-sha256", "passlib:sha512_crypt": "crypt-sha512", "passlib:phpass": "phpass",
	"django:pbkdf2_sha256": "django-pbkdf2-sha256", "django:pbkdf2_sha1": "django-pbkdf2-sha1",
	"django:argon2": "django-argon2", "django:bcrypt_sha256": "django-bcrypt", "django:bcrypt": "django-bcrypt",
	"django:sha1": "django-digest", "django:md5": "django-digest", "django:unsalted_sha1": "django-digest", "django:unsalted_md5": "md5",
	"hashlib:scrypt": "django-scrypt",
	"crypt:MD5":      "crypt-md5", "crypt:SHA256": "crypt-sha256", "crypt:SHA512": "crypt-sha512",
	"php:bcrypt": "bcrypt", "php:argon2i": "argon2i", "php:argon2id": "argon2id", "php:md5crypt": "crypt-md5",
	"php:sha256crypt": "crypt-sha256", "php:sha512crypt": "crypt-sha512", "php:md5suffix": "md5-suffix",
}

// What passlib, Django, PHP and Python make verifies here; and what our functions
// make under the settings of such a hash verifies there.
func TestPeers(t *testing.T) {
	h := &password.Hasher{Preferred: password.Argon2id{Memory: 9 << 10, Time: 4}, Legacy: password.Legacy()}
	python := newPeer(t, "/usr/bin/python3", filepath.Join("testdata", "peer.py"))
	php := newPeer(t, "php", filepath.Join("testdata", "peer.php"))
	back := 0
	for scheme, id := range schemes {
		p := python
		if strings.HasPrefix(scheme, "php:") {
			p = php
		}
		ours := 0
		for _, pw := range passwords {
			var encoded string
			p.ask("make", scheme, pw, "", &encoded)
			check(t, h, id, encoded, pw)
			made, ok := remake(t, id, encoded, pw+"z")
			if !ok {
				continue
			}
			var match bool
			if p.ask("check", scheme, pw+"z", made, &match); !match {
				t.Errorf("%s does not verify %s", scheme, made)
			}
			if p.ask("check", scheme, pw, made, &match); match {
				t.Errorf("%s verifies %s for another password", scheme, made)
			}
			ours++
		}
		if ours == len(passwords) {
			back++
		}
	}
	t.Logf("%d formats verify here, %d of them also there", len(schemes), back)
	if back < 15 {
		t.Errorf("only %d formats were tried in both directions", back)
	}
}

// remake returns the hash of another password under the settings of this one.
func remake(t *testing.T, id, encoded, pw string) (string, bool) {
	t.Helper()
	for _, v := range password.Legacy() {
		w, ok := v.(password.Wrappable)
		if !ok || v.ID() != id {
			continue
		}
		settings, digest, err := w.Split(encoded)
		if err != nil {
			t.Fatal(err)
		}
		other, err := w.Digest(settings, pw)
		if err != nil {
			t.Fatal(err)
		}
		for _, plus := range []string{"+", "."} { // passlib's base64
			old, young := strings.ReplaceAll(digest, "+", plus), strings.ReplaceAll(other, "+", plus)
			if made := strings.Replace(encoded, old, young, 1); made != encoded {
				return made, true
			}
		}
	}
	return "", false
}

// Each of our own formats verifies in another program.
func TestOurHashesElsewhere(t *testing.T) {
	python := newPeer(t, "/usr/bin/python3", filepath.Join("testdata", "peer.py"))
	php := newPeer(t, "php", filepath.Join("testdata", "peer.php"))
	for _, c := range []struct {
		scheme password.Scheme
		peers  []string
	}{
		{password.Argon2id{}, []string{"passlib:argon2id", "php:argon2id", "django:argon2"}},
		{password.Argon2id{Memory: 12288, Time: 3, Lanes: 4}, []string{"passlib:argon2id", "php:argon2id"}},
		{password.Scrypt{LogN: 14, P: 5}, []string{"passlib:scrypt"}},
		{password.Bcrypt{Rounds: 10}, []string{"passlib:bcrypt_sha256"}},
		{password.FIPS(), []string{"passlib:pbkdf2_sha256"}},
		{password.PBKDF2{SHA512: true}, []string{"passlib:pbkdf2_sha512"}},
	} {
		h := &password.Hasher{Preferred: c.scheme}
		for _, pw := range []string{passwords[1], strings.Repeat("long", 40)} {
			encoded, err := h.Hash(t.Context(), pw)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range c.peers {
				p, there := python, encoded
				if strings.HasPrefix(name, "php:") {
					p = php
				}
				if strings.HasPrefix(name, "django:") {
					there = "argon2" + encoded
				}
				var match bool
				if p.ask("check", name, pw, there, &match); !match {
					t.Errorf("%s does not verify %s of %q", name, there, pw)
				}
				if p.ask("check", name, pw+"y", there, &match); match {
					t.Errorf("%s verifies %s for another password", name, there)
				}
			}
		}
	}
}

// What command line tools make verifies here.
func TestCommands(t *testing.T) {
	h := &password.Hasher{Preferred: password.Argon2id{Memory: 9 << 10, Time: 4}, Legacy: password.Legacy()}
	for _, c := range []struct {
		id    string
		stdin string // PW is the password
		argv  []string
	}{
		{"argon2id", "PW", []string{"argon2", "somesalt", "-id", "-t", "2", "-k", "1024", "-p", "2", "-e"}},
		{"argon2i", "PW", []string{"argon2", "somesalt", "-i", "-t", "3", "-k", "512", "-p", "1", "-e"}},
		{"apache-md5", "PW\n", []string{"htpasswd", "-nim", "u"}},
		{"ldap-digest", "PW\n", []string{"htpasswd", "-nis", "u"}},
		{"bcrypt", "PW\n", []string{"htpasswd", "-niB", "-C", "5", "u"}},
		{"crypt-sha256", "PW\n", []string{"htpasswd", "-ni2", "u"}},
		{"crypt-sha512", "PW\n", []string{"htpasswd", "-ni5", "u"}},
		{"crypt-md5", "PW", []string{"mkpasswd", "-s", "-m", "md5crypt"}},
		{"crypt-sha256", "PW", []string{"mkpasswd", "-s", "-m", "sha256crypt", "-R", "3000"}},
		{"crypt-sha512", "PW", []string{"mkpasswd", "-s", "-m", "sha512crypt"}},
		{"bcrypt", "PW", []string{"mkpasswd", "-s", "-m", "bcrypt", "-R", "5"}},
		{"crypt-md5", "PW\n", []string{"openssl", "passwd", "-1", "-stdin"}},
		{"apache-md5", "PW\n", []string{"openssl", "passwd", "-apr1", "-stdin"}},
		{"crypt-sha256", "PW\n", []string{"openssl", "passwd", "-5", "-stdin"}},
		{"crypt-sha512", "PW\n", []string{"openssl", "passwd", "-6", "-stdin"}},
	} {
		t.Run(strings.Join(c.argv, " "), func(t *testing.T) {
			for _, pw := range passwords {
				cmd := exec.CommandContext(t.Context(), require(t, c.argv[0]), c.argv[1:]...)
				cmd.Stdin = strings.NewReader(strings.Replace(c.stdin, "PW", pw, 1))
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%s: %v", c.argv[0], err)
				}
				check(t, h, c.id, strings.TrimPrefix(strings.TrimSpace(string(out)), "u:"), pw)
			}
		})
	}
}

// FusionAuth's schemes, made by the reference page's pseudocode in Python.
func TestFusionAuth(t *testing.T) {
	h := &password.Hasher{Preferred: password.Argon2id{Memory: 9 << 10, Time: 4}, Legacy: password.Legacy()}
	python := newPeer(t, "/usr/bin/python3", filepath.Join("testdata", "peer.py"))
	for scheme, id := range map[string]string{
		"salted-md5": "salted-md5", "salted-sha256": "salted-sha256", "salted-hmac-sha256": "salted-hmac-sha256",
		"salted-pbkdf2-hmac-sha256":     "salted-pbkdf2-hmac-sha256",
		"salted-pbkdf2-hmac-sha256-512": "salted-pbkdf2-hmac-sha256",
		"salted-pbkdf2-hmac-sha512-512": "salted-pbkdf2-hmac-sha512",
	} {
		for _, pw := range passwords {
			var text string
			python.ask("make", "fusionauth:"+scheme, pw, "", &text)
			var columns []any
			if err := json.Unmarshal([]byte(text), &columns); err != nil {
				t.Fatal(err)
			}
			encoded, err := password.FusionAuth(scheme, columns[1].(string), int(columns[2].(float64)), columns[3].(string))
			if err != nil {
				t.Fatal(err)
			}
			check(t, h, "fusionauth-"+id, encoded, pw)
		}
	}
}
