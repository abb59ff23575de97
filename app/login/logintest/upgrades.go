package logintest

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/store/storetest"
)

// legacy returns what an old program stored for a password: mostly MD5, the rest
// in other schemes.
func legacy(t *testing.T, n int, pw string) string {
	t.Helper()
	salt := fmt.Sprintf("salt%04d", n)
	switch n % 8 {
	case 0:
		digest := sha1.Sum([]byte(pw + salt))
		return "{SSHA}" + base64.StdEncoding.EncodeToString(append(digest[:], salt...))
	case 1:
		return "md5$" + salt + "$" + hexMD5(salt+pw)
	case 2:
		return hexMD5(pw+salt) + ":" + salt
	case 3:
		stored, err := bcrypt.GenerateFromPassword([]byte(pw), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(stored)
	case 4:
		stored, err := password.PBKDF2{Iterations: 1000, InsecureWeak: true}.Hash(pw)
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	return hexMD5(pw)
}

func hexMD5(s string) string {
	digest := md5.Sum([]byte(s))
	return hex.EncodeToString(digest[:])
}

// A table of legacy hashes becomes one of Argon2id as people log in.
func upgrade(t *testing.T, connect func() storetest.Store) {
	p := start(t, connect())
	const users = 1000
	keys := make([]string, users)
	for n := range users {
		keys[n] = p.add(t, fmt.Sprint("user", n), legacy(t, n, fmt.Sprint("password ", n))).Key
	}
	// One wrong password first: it upgrades nothing.
	if _, err := p.try(t.Context(), 5, "user5", "password 6", ""); !errors.Is(err, login.ErrDenied) {
		t.Error(err)
	}
	var upgraded atomic.Int64
	together(16, func(worker int) {
		for n := worker / 2; n < users; n += 8 { // each user in two workers at once
			in, err := p.try(t.Context(), n, fmt.Sprint("user", n), fmt.Sprint("password ", n), "")
			if err != nil {
				t.Errorf("user %d: %v", n, err)
				continue
			}
			if in.Upgraded {
				upgraded.Add(1)
			}
			if in.Account.Key != keys[n] || !strings.HasPrefix(in.Account.Password, "$argon2id$") {
				t.Errorf("user %d is in as %+v", n, in.Account)
			}
		}
	})
	if upgraded.Load() != users {
		t.Errorf("%d of %d users were upgraded, each should be once", upgraded.Load(), users)
	}
	left := map[string]int{}
	err := p.store.EachPassword(t.Context(), func(stored string) error {
		if !strings.HasPrefix(stored, "$argon2id$") {
			left[stored]++
		}
		return nil
	})
	if err != nil || len(left) > 0 {
		t.Errorf("left as they were: %v, %v", left, err)
	}
	for n := 0; n < users; n += 97 {
		if in, err := p.try(t.Context(), n, fmt.Sprint("user", n), fmt.Sprint("password ", n), ""); err != nil || in.Upgraded {
			t.Errorf("user %d again: %+v, %v", n, in, err)
		}
	}
}

// Two logins and a change of the password at once: what stays is the new password,
// and whoever comes with the old one is out, or was in before.
func upgradeAgainstChange(t *testing.T, connect func() storetest.Store) {
	p := start(t, connect())
	for n := range 60 {
		id := fmt.Sprint("user", n)
		a := p.add(t, id, legacy(t, n, "old"))
		fresh := p.hash(t, "new")
		together(3, func(i int) {
			if i == 0 {
				if err := p.store.SetPassword(t.Context(), a.Key, fresh); err != nil {
					t.Error(err)
				}
				return
			}
			in, err := p.try(t.Context(), n, id, "old", "")
			if err != nil && !errors.Is(err, login.ErrDenied) {
				t.Error(err)
			}
			if err == nil && in.Account.Epoch != 0 {
				t.Errorf("the old password is in after the change: %+v", in.Account)
			}
		})
		got, err := p.store.Account(t.Context(), a.Key)
		if err != nil || got.Password != fresh || got.Epoch != 1 {
			t.Fatalf("user %d has %+v, %v", n, got, err)
		}
		if _, err := p.try(t.Context(), n, id, "old", ""); !errors.Is(err, login.ErrDenied) {
			t.Errorf("the old password after the change: %v", err)
		}
		if _, err := p.try(t.Context(), n, id, "new", ""); err != nil {
			t.Errorf("the new password: %v", err)
		}
	}
}

// A table that was wrapped offline holds no MD5, and everybody still gets in.
func wrapped(t *testing.T, connect func() storetest.Store) {
	p := start(t, connect())
	const users = 40
	digests := map[string]bool{}
	for n := range users {
		stored := hexMD5(fmt.Sprint("password ", n))
		digests[stored] = true
		a := p.add(t, fmt.Sprint("user", n), stored)
		better, changed, err := p.hasher.Wrap(t.Context(), stored)
		if err != nil || !changed {
			t.Fatalf("Wrap: %v", err)
		}
		if ok, err := p.store.UpgradePassword(t.Context(), a.Key, stored, better); err != nil || !ok {
			t.Fatal(err)
		}
	}
	err := p.store.EachPassword(t.Context(), func(stored string) error {
		for digest := range digests {
			if strings.Contains(stored, digest) {
				t.Errorf("the dump holds the MD5 %s", digest)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range users {
		in, err := p.try(t.Context(), n, fmt.Sprint("user", n), fmt.Sprint("password ", n), "")
		if err != nil || !in.Upgraded || !strings.HasPrefix(in.Account.Password, "$argon2id$") {
			t.Errorf("user %d: %+v, %v", n, in, err)
		}
	}
}
