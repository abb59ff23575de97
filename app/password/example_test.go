package password_test

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/password"
)

func ExampleHasher() {
	ctx := context.Background()
	var hasher password.Hasher // Argon2id, gated; one for the whole program

	stored, err := hasher.Hash(ctx, "correct horse battery staple")
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1$"))

	result, err := hasher.Verify(ctx, stored, "correct horse battery staple")
	fmt.Println(result.Match, result.Upgrade, err)
	result, err = hasher.Verify(ctx, stored, "Correct horse battery staple")
	fmt.Println(result.Match, result.Upgrade, err)
	// Output:
	// true
	// true false <nil>
	// false false <nil>
}

// A table in plain MD5: users log in, and their hashes are upgraded.
func ExampleHasher_Verify_upgrade() {
	ctx := context.Background()
	hasher := password.Hasher{Legacy: password.Legacy()}
	stored := "5ebe2294ecd0e0f08eab7690d2a6ee69" // md5("secret")

	result, err := hasher.Verify(ctx, stored, "secret")
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Scheme, result.Match, result.Upgrade)
	if result.Match && result.Upgrade {
		young, err := hasher.Hash(ctx, "secret")
		if err != nil {
			panic(err)
		}
		// UPDATE users SET password = young WHERE id = … AND password = stored
		stored = young
	}
	result, err = hasher.Verify(ctx, stored, "secret")
	fmt.Println(result.Scheme, result.Match, result.Upgrade, err)
	// Output:
	// md5 true true
	// argon2id true false <nil>
}

// Nobody has to log in for this: the MD5 is gone from the table at once.
func ExampleHasher_Wrap() {
	ctx := context.Background()
	hasher := password.Hasher{Legacy: password.Legacy()}

	wrapped, changed, err := hasher.Wrap(ctx, "5ebe2294ecd0e0f08eab7690d2a6ee69")
	if err != nil {
		panic(err)
	}
	fmt.Println(changed, strings.HasPrefix(wrapped, "$wrap$md5$$$argon2id$"))
	result, err := hasher.Verify(ctx, wrapped, "secret")
	fmt.Println(result.Match, result.Upgrade, err)
	// Output:
	// true true
	// true true <nil>
}

// twice is a scheme of one's own (guide 4.3.2): an old one of the program, which hashed
// twice. It is known by its prefix.
type twice struct{}

func (twice) ID() string { return "twice" }

func (twice) Cost(encoded string) (password.Cost, error) {
	if encoded != "" && !strings.HasPrefix(encoded, "twice:") {
		return password.Cost{}, password.ErrUnknownScheme
	}
	if encoded != "" && len(encoded) != len("twice:")+2*16+2*32 {
		return password.Cost{}, fmt.Errorf("twice: length: %w", password.ErrMalformed)
	}
	return password.Cost{Memory: 4096, Lanes: 1, Work: 2 * 210_000}, nil
}

func (t twice) Hash(pw string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	return t.with(salt, pw)
}

func (twice) with(salt []byte, pw string) (string, error) {
	key, err := pbkdf2.Key(sha512.New, pw, salt, 210_000, 32)
	if err == nil {
		key, err = pbkdf2.Key(sha512.New, string(key), salt, 210_000, 32)
	}
	return "twice:" + hex.EncodeToString(salt) + hex.EncodeToString(key), err
}

func (t twice) Verify(encoded, pw string) (bool, error) {
	salt, err := hex.DecodeString(encoded[len("twice:") : len("twice:")+32])
	if err != nil {
		return false, fmt.Errorf("twice: %v: %w", err, password.ErrMalformed)
	}
	again, err := t.with(salt, pw)
	return subtle.ConstantTimeCompare([]byte(again), []byte(encoded)) == 1, err
}

// A scheme of one's own is plugged in, and upgraded from.
func ExampleScheme() {
	ctx := context.Background()
	old := password.Hasher{Preferred: twice{}}
	stored, err := old.Hash(ctx, "secret")
	if err != nil {
		panic(err)
	}
	hasher := password.Hasher{Legacy: []password.Verifier{twice{}}}
	result, err := hasher.Verify(ctx, stored, "secret")
	fmt.Println(result.Scheme, result.Match, result.Upgrade, err)
	// Output: twice true true <nil>
}

// A pepper that rotates: hashes under the previous key are upgraded at login.
func ExampleHasher_pepper() {
	ctx := context.Background()
	ring, err := keyring.Parse(keyring.Generate()) // a line of the program's key file
	if err != nil {
		panic(err)
	}
	hasher := password.Hasher{Pepper: ring}
	stored, err := hasher.Hash(ctx, "secret")
	if err != nil {
		panic(err)
	}
	result, err := hasher.Verify(ctx, stored, "secret")
	fmt.Println(result.Match, result.Upgrade, err)

	if err := ring.Rotate([]byte("another secret, of 32 bytes or more")); err != nil {
		panic(err)
	}
	result, err = hasher.Verify(ctx, stored, "secret")
	fmt.Println(result.Match, result.Upgrade, err)
	// Output:
	// true false <nil>
	// true true <nil>
}

func ExampleFusionAuth() {
	// The columns encryption_scheme, salt, factor and password of a FusionAuth
	// export.
	stored, err := password.FusionAuth("salted-sha256", "c2FsdA==", 1, "+E+iFJ27Yu1ODPH1UNKUmzOmUT06dwfghQJRHHnMsO4=")
	fmt.Println(stored, err)
	// Output: $fusionauth-salted-sha256$f=1$c2FsdA$+E+iFJ27Yu1ODPH1UNKUmzOmUT06dwfghQJRHHnMsO4 <nil>
}
