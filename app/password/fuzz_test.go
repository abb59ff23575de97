package password_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/holdfast-security/holdfast/app/password"
)

func plainBcrypt(t testing.TB, pw string) string {
	t.Helper()
	s, err := bcrypt.GenerateFromPassword([]byte(pw), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

// Any string may stand in a table: it is an error of ours, or within the bounds;
// never a panic, never a match, and what was read is split the same way again.
func FuzzVerify(f *testing.F) {
	hash43 := strings.Repeat("A", 43)
	for _, s := range []string{
		"", "$", "$wrap$md5$$$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + hash43, "$pepper$$", "$wrap$$$",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + hash43, "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + hash43,
		"argon2$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + hash43,
		"$scrypt$ln=4,r=8,p=1$c29tZXNhbHQ$" + hash43, "scrypt$salt$16$8$1$" + strings.Repeat("A", 86),
		"$2b$04$" + strings.Repeat("a", 53), "bcrypt_sha256$$2b$04$" + strings.Repeat("a", 53), "bcrypt$$2b$",
		"$bcrypt-sha256$v=2,t=2b,r=4$" + strings.Repeat("a", 22) + "$" + strings.Repeat("a", 31),
		"$pbkdf2-sha256$9$c29tZXNhbHQ$" + hash43, "$pbkdf2-sha512$i=9,l=32$c29tZXNhbHQ$" + hash43, "$pbkdf2$9$c29tZXNhbHQ$" + hash43,
		"pbkdf2_sha256$9$salt$" + hash43 + "=", strings.Repeat("0", 32), strings.Repeat("F", 40), strings.Repeat("0", 64), strings.Repeat("0", 128),
		strings.Repeat("0", 32) + ":salt", "{SSHA}" + hash43 + "=", "{MD5}j+SQE2dkCvoYmjB7JmBsiQ==", "md5$s$" + strings.Repeat("0", 32),
		"$1$salt$" + hash43[:22], "$apr1$salt$" + hash43[:22], "$5$rounds=1000$salt$" + hash43, "$6$salt$" + hash43 + hash43,
		"$P$512345678" + hash43[:22], "$S$512345678" + hash43, "$fusionauth-salted-md5$f=9$c29tZXNhbHQ$" + hash43[:22],
		"$fusionauth-salted-pbkdf2-hmac-sha512$f=9$c29tZXNhbHQ$" + hash43,
	} {
		f.Add(s, "password")
	}
	h := &password.Hasher{Preferred: quick, Legacy: password.Legacy()}
	f.Fuzz(func(t *testing.T, stored, pw string) {
		for _, v := range password.Legacy() {
			cost, err := v.Cost(stored)
			if err == nil && (cost.Memory > 256<<20 || cost.Memory < 0 || cost.Lanes < 1 || cost.Lanes > 16 || cost.Work < 1) {
				t.Errorf("%s reads %q as %+v", v.ID(), stored, cost)
			}
			if err != nil && !known(err) {
				t.Errorf("%s: untyped error %v", v.ID(), err)
			}
			if err != nil || cost.Work > 5000 || cost.Memory*cost.Work > 64<<20 {
				continue // within the bounds, but too slow for fuzzing
			}
			start := time.Now()
			if _, err := v.Verify(stored, pw); err != nil && !known(err) {
				t.Errorf("%s: %v", v.ID(), err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%s took %v for %q", v.ID(), took, stored)
			}
			if w, ok := v.(password.Wrappable); ok {
				settings, digest, err := w.Split(stored)
				if err != nil {
					t.Errorf("%s reads %q and does not split it: %v", v.ID(), stored, err)
				}
				again, err := w.Digest(settings, pw)
				if err != nil && !known(err) {
					t.Errorf("%s: %v", v.ID(), err)
				}
				match, err := w.Verify(stored, pw)
				if err == nil && match != (again == digest) {
					t.Errorf("%s: %q matches %v, its parts %v", v.ID(), stored, match, again == digest)
				}
			}
		}
		if _, err := h.Outdated(stored); err != nil && !known(err) {
			t.Errorf("untyped error %v", err)
		}
	})
}

func known(err error) bool {
	for _, e := range []error{password.ErrUnknownScheme, password.ErrMalformed, password.ErrTooCostly, password.ErrUnknownKey} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
