package password

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
	//lint:ignore SA1019 bcrypt is made of it, and is what old tables have
	"golang.org/x/crypto/blowfish"
)

// bcryptMaxCost bounds bcrypt, own and imported hashes: some five seconds.
const bcryptMaxCost = 16

// Bcrypt is bcrypt over HMAC-SHA-256, in the format of passlib's bcrypt_sha256,
// version 2: $bcrypt-sha256$v=2,t=2b,r=12$salt$digest. The HMAC, keyed by the
// salt, gives bcrypt 44 letters, so passwords of any length count whole and may
// hold any byte; plain bcrypt looks at 72 bytes, and in C up to the first NUL.
// [PlainBcrypt] verifies plain hashes.
type Bcrypt struct {
	Rounds int // log2 of the rounds, OWASP's "work factor": 10 to 16; 0 means 12

	// InsecureWeak allows down to 4. Whoever steals the table pays less for each
	// guess. It is for tests.
	InsecureWeak bool
}

// ID returns "bcrypt-sha256".
func (b Bcrypt) ID() string { return "bcrypt-sha256" }

func (b Bcrypt) rounds() int {
	if b.Rounds == 0 {
		return 12
	}
	return b.Rounds
}

func (b Bcrypt) preferred() (Cost, error) {
	if b.rounds() < 10 && !b.InsecureWeak {
		return Cost{}, fmt.Errorf("bcrypt with cost %d: %w", b.rounds(), ErrTooWeak)
	}
	return bcryptCost(b.ID(), b.rounds())
}

func bcryptCost(id string, rounds int) (Cost, error) {
	if rounds < bcrypt.MinCost || rounds > 31 {
		return Cost{}, malformed(id, "cost")
	}
	if rounds > bcryptMaxCost {
		return Cost{}, fmt.Errorf("%s with cost %d: %w", id, rounds, ErrTooCostly)
	}
	return Cost{Memory: 4096, Lanes: 1, Work: 1 << rounds}, nil
}

// Hash returns a new hash in the format of passlib.
func (b Bcrypt) Hash(password string) (string, error) {
	if _, err := b.preferred(); err != nil {
		return "", err
	}
	raw := make([]byte, saltLength)
	rand.Read(raw) // never fails
	salt := bcrypt64.EncodeToString(raw)
	digest, err := bcryptDigest(prehash(salt, password), raw, b.rounds())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$bcrypt-sha256$v=2,t=2b,r=%d$%s$%s", b.rounds(), salt, digest), nil
}

// Cost reads the cost of a hash: at most 16. For the empty string it returns that
// of new hashes.
func (b Bcrypt) Cost(encoded string) (Cost, error) {
	if encoded == "" {
		return b.preferred()
	}
	plain, _, err := parseBcryptSHA256(encoded)
	if err != nil {
		return Cost{}, err
	}
	return bcryptRead(b.ID(), plain)
}

// Verify compares the password with a hash.
func (b Bcrypt) Verify(encoded, password string) (bool, error) {
	if _, err := b.Cost(encoded); err != nil {
		return false, err
	}
	plain, salt, err := parseBcryptSHA256(encoded)
	if err != nil {
		return false, err
	}
	return bcryptCompare(b.ID(), plain, prehash(salt, password))
}

func parseBcryptSHA256(encoded string) (plain, salt string, err error) {
	rest, ok := strings.CutPrefix(encoded, "$bcrypt-sha256$")
	if !ok {
		return "", "", ErrUnknownScheme
	}
	var rounds int
	fields := strings.Split(rest, "$")
	if len(fields) != 3 || len(fields[1]) != 22 || len(fields[2]) != 31 {
		return "", "", malformed("bcrypt-sha256", "fields")
	}
	digits, ok := strings.CutPrefix(fields[0], "v=2,t=2b,r=")
	if rounds, err = decimal(digits); !ok || err != nil || rounds > 31 {
		return "", "", malformed("bcrypt-sha256", "parameters")
	}
	return fmt.Sprintf("$2b$%02d$%s%s", rounds, fields[1], fields[2]), fields[1], nil
}

// prehash is that of passlib: base64 of HMAC-SHA-256 under the salt's text.
func prehash(salt, password string) []byte {
	mac := hmac.New(sha256.New, []byte(salt))
	mac.Write([]byte(password))
	return []byte(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// bcryptDigest is bcrypt with a salt that is known beforehand, which
// golang.org/x/crypto/bcrypt does not offer; that package verifies what this makes.
func bcryptDigest(input, salt []byte, rounds int) (string, error) {
	key := append(input, 0) // as in C, the final NUL counts
	c, err := blowfish.NewSaltedCipher(key, salt)
	if err != nil {
		return "", err
	}
	for range 1 << rounds {
		blowfish.ExpandKey(key, c)
		blowfish.ExpandKey(salt, c)
	}
	block := []byte("OrpheanBeholderScryDoubt")
	for i := 0; i < len(block); i += blowfish.BlockSize {
		for range 64 {
			c.Encrypt(block[i:i+blowfish.BlockSize], block[i:i+blowfish.BlockSize])
		}
	}
	return bcrypt64.EncodeToString(block[:23]), nil // the last byte never was kept
}

// PlainBcrypt verifies hashes of plain bcrypt: $2a$, $2b$ and $2y$. It makes none:
// [Bcrypt] does.
//
// Plain bcrypt knows nothing of a password after its 72nd byte. A longer one does
// not match here, though the work is done.
type PlainBcrypt struct {
	// InsecureTruncate lets the first 72 bytes of a longer password match, as in
	// the programs that cut passwords silently; the upgrade at login then covers
	// all of it. Whoever knows the first 72 bytes logs in with any ending.
	InsecureTruncate bool
}

// ID returns "bcrypt".
func (b PlainBcrypt) ID() string { return "bcrypt" }

// Cost reads the cost of a hash: at most 16.
func (b PlainBcrypt) Cost(encoded string) (Cost, error) { return bcryptRead(b.ID(), encoded) }

// Verify compares the password with a hash.
func (b PlainBcrypt) Verify(encoded, password string) (bool, error) {
	if _, err := b.Cost(encoded); err != nil {
		return false, err
	}
	input := []byte(password)
	whole := len(input) <= 72
	match, err := bcryptCompare(b.ID(), encoded, input[:min(72, len(input))])
	return match && (whole || b.InsecureTruncate), err
}

func bcryptRead(id, plain string) (Cost, error) {
	known := false
	for _, prefix := range []string{"$2a$", "$2b$", "$2y$"} {
		known = known || strings.HasPrefix(plain, prefix)
	}
	if !known {
		return Cost{}, ErrUnknownScheme
	}
	if len(plain) != 60 || plain[6] != '$' || strings.Trim(plain[7:], bcryptAlphabet) != "" {
		return Cost{}, malformed(id, "fields")
	}
	rounds := 0
	for _, c := range plain[4:6] {
		if c < '0' || c > '9' {
			return Cost{}, malformed(id, "cost")
		}
		rounds = 10*rounds + int(c-'0')
	}
	return bcryptCost(id, rounds)
}

func bcryptCompare(id, plain string, input []byte) (bool, error) {
	if plain[2] == 'y' {
		plain = "$2b" + plain[3:] // PHP's name of the same function
	}
	err := bcrypt.CompareHashAndPassword([]byte(plain), input)
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	if err != nil {
		return false, malformed(id, err.Error())
	}
	return true, nil
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

var bcrypt64 = base64.NewEncoding(bcryptAlphabet).WithPadding(base64.NoPadding)

// djangoBcrypt reads Django's bcrypt_sha256$$2b$12$…, which is bcrypt over the
// hex digits of SHA-256, and bcrypt$$2b$12$…, which is plain bcrypt.
type djangoBcrypt struct{}

// ID returns the name.
func (djangoBcrypt) ID() string { return "django-bcrypt" }

// Cost reads the cost.
func (djangoBcrypt) Cost(encoded string) (Cost, error) {
	plain, _, ok := cutDjangoBcrypt(encoded)
	if !ok {
		return Cost{}, ErrUnknownScheme
	}
	c, err := bcryptRead("django-bcrypt", plain)
	if errors.Is(err, ErrUnknownScheme) {
		err = malformed("django-bcrypt", "fields")
	}
	return c, err
}

// Verify compares.
func (d djangoBcrypt) Verify(encoded, password string) (bool, error) {
	if _, err := d.Cost(encoded); err != nil {
		return false, err
	}
	plain, hashed, _ := cutDjangoBcrypt(encoded)
	if !hashed {
		return PlainBcrypt{}.Verify(plain, password)
	}
	sum := sha256.Sum256([]byte(password))
	return bcryptCompare(d.ID(), plain, []byte(hex.EncodeToString(sum[:])))
}

func cutDjangoBcrypt(encoded string) (plain string, hashed, ok bool) {
	if plain, ok = strings.CutPrefix(encoded, "bcrypt_sha256$"); ok {
		return plain, true, true
	}
	plain, ok = strings.CutPrefix(encoded, "bcrypt$")
	return plain, false, ok
}
