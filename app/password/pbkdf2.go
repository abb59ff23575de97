package password

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// pbkdf2Max bounds the iterations of PBKDF2, own and imported ones: about two
// seconds of one core.
const pbkdf2Max = 10_000_000

// PBKDF2 is PBKDF2 with HMAC-SHA-256 or HMAC-SHA-512 (RFC 8018, SP 800-132), from
// the standard library, whose implementation is within Go's FIPS 140-3 module.
// [FIPS] is the preset for programs that may use nothing else.
//
// Its hashes have the format of passlib, $pbkdf2-sha256$600000$salt$hash, and the
// PHC format with i=600000 is read too.
type PBKDF2 struct {
	// SHA512 takes HMAC-SHA-512 in place of HMAC-SHA-256.
	SHA512 bool
	// Iterations, if not 0, is their number; 0 means 600,000 for SHA-256 and
	// 220,000 for SHA-512 (OWASP's Password Storage Cheat Sheet).
	Iterations int
	// InsecureWeak allows fewer iterations than these. Whoever steals the table
	// pays less for each guess. It is for tests.
	InsecureWeak bool
}

// FIPS returns the preset for FIPS 140 programs: PBKDF2-HMAC-SHA-256 with 600,000
// iterations. Where GODEBUG=fips140=only forbids MD5 and its like, the schemes of
// Legacy that are made of them fail with ErrUnknownScheme.
func FIPS() PBKDF2 { return PBKDF2{} }

// ID returns "pbkdf2-sha256" or "pbkdf2-sha512".
func (p PBKDF2) ID() string {
	if p.SHA512 {
		return "pbkdf2-sha512"
	}
	return "pbkdf2-sha256"
}

func (p PBKDF2) minimum() int {
	if p.SHA512 {
		return 220_000
	}
	return 600_000
}

func (p PBKDF2) iterations() int {
	if p.Iterations == 0 {
		return p.minimum()
	}
	return p.Iterations
}

func (p PBKDF2) preferred() (Cost, error) {
	i := p.iterations()
	if i < p.minimum() && !p.InsecureWeak {
		return Cost{}, fmt.Errorf("%s with %d iterations: %w", p.ID(), i, ErrTooWeak)
	}
	return pbkdf2Cost(p.ID(), i)
}

func pbkdf2Cost(id string, iterations int) (Cost, error) {
	if iterations < 1 {
		return Cost{}, malformed(id, "iterations")
	}
	return iterated(id, iterations, pbkdf2Max)
}

// iterated returns the cost of a scheme that needs next to no memory.
func iterated(id string, iterations, limit int) (Cost, error) {
	if iterations > limit {
		return Cost{}, fmt.Errorf("%s with %d iterations: %w", id, iterations, ErrTooCostly)
	}
	return Cost{Memory: 4096, Lanes: 1, Work: int64(iterations)}, nil
}

// Hash returns a new hash in the format of passlib.
func (p PBKDF2) Hash(password string) (string, error) {
	if _, err := p.preferred(); err != nil {
		return "", err
	}
	salt := make([]byte, saltLength)
	rand.Read(salt) // never fails
	length := 32
	if p.SHA512 {
		length = 64
	}
	hash, err := pbkdf2Key(p.ID(), password, salt, p.iterations(), length)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$%s$%d$%s$%s", p.ID(), p.iterations(), ab64.EncodeToString(salt), ab64.EncodeToString(hash)), nil
}

// Cost reads the cost of a hash: at most 10,000,000 iterations. For the empty
// string it returns that of new hashes.
func (p PBKDF2) Cost(encoded string) (Cost, error) {
	if encoded == "" {
		return p.preferred()
	}
	return plainPBKDF2(p.ID()).Cost(encoded)
}

// Verify compares the password with a hash in the format of passlib or PHC.
func (p PBKDF2) Verify(encoded, password string) (bool, error) {
	return plainPBKDF2(p.ID()).Verify(encoded, password)
}

// ab64 is passlib's base64: '.' for '+', not padded.
var ab64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").WithPadding(base64.NoPadding).Strict()

func pbkdf2Key(id, password string, salt []byte, iterations, length int) ([]byte, error) {
	var h func() hash.Hash
	switch {
	case strings.Contains(id, "sha512"):
		h = sha512.New
	case strings.Contains(id, "sha256"):
		h = sha256.New
	default:
		h = sha1.New
	}
	return pbkdf2.Key(h, password, salt, iterations, length)
}

// plainPBKDF2 reads $ID$N$salt$hash of passlib, and $ID$i=N$salt$hash of PHC.
func plainPBKDF2(id string) legacy {
	prefix := "$" + id + "$"
	if id == "pbkdf2-sha1" {
		prefix = "$pbkdf2$" // passlib's name of it
	}
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			rest, ok := strings.CutPrefix(encoded, prefix)
			if !ok {
				return "", "", ErrUnknownScheme
			}
			fields := strings.Split(rest, "$")
			if len(fields) != 3 {
				return "", "", malformed(id, "fields")
			}
			enc := ab64
			if n, phc := strings.CutPrefix(fields[0], "i="); phc {
				enc = b64
				fields[0], _, _ = strings.Cut(n, ",l=") // the hash itself has the length
			}
			salt, err := enc.DecodeString(fields[1])
			hash, err2 := enc.DecodeString(fields[2])
			if err != nil || err2 != nil {
				return "", "", malformed(id, "base64")
			}
			return pbkdf2Settings(fields[0], salt, hash)
		},
		open: func(settings string) (function, error) { return openPBKDF2(id, settings) },
	}
}

// djangoPBKDF2 reads pbkdf2_sha256$N$salt$hash or pbkdf2_sha1$N$salt$hash.
func djangoPBKDF2(id string) legacy {
	return legacy{
		id: "django-" + id,
		split: func(encoded string) (settings, digest string, err error) {
			rest, ok := strings.CutPrefix(encoded, strings.ReplaceAll(id, "-", "_")+"$")
			if !ok {
				return "", "", ErrUnknownScheme
			}
			fields := strings.Split(rest, "$")
			if len(fields) != 3 {
				return "", "", malformed(id, "fields")
			}
			hash, err := base64.StdEncoding.Strict().DecodeString(fields[2])
			if err != nil {
				return "", "", malformed(id, "base64")
			}
			return pbkdf2Settings(fields[0], []byte(fields[1]), hash)
		},
		open: func(settings string) (function, error) { return openPBKDF2(id, settings) },
	}
}

// pbkdf2Settings are iterations, length of the hash in bytes, and salt.
func pbkdf2Settings(iterations string, salt, hash []byte) (settings, digest string, err error) {
	return fmt.Sprintf("%s,%d,%s", iterations, len(hash), b64.EncodeToString(salt)), b64.EncodeToString(hash), nil
}

func openPBKDF2(id, settings string) (function, error) {
	fields := strings.Split(settings, ",")
	if len(fields) != 3 {
		return function{}, malformed(id, "settings")
	}
	n, err := decimal(fields[0])
	length, err2 := decimal(fields[1])
	salt, err3 := b64.DecodeString(fields[2])
	if err != nil || err2 != nil || err3 != nil || length < 16 || length > 128 || len(salt) > 128 {
		return function{}, malformed(id, "iterations, salt or length of the hash")
	}
	cost, err := pbkdf2Cost(id, n)
	if err != nil {
		return function{}, err
	}
	return function{cost, func(password string) (string, error) {
		key, err := pbkdf2Key(id, password, salt, n, length)
		return b64.EncodeToString(key), err
	}}, nil
}

// decimal reads a positive number without sign or leading zero.
func decimal(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, ErrMalformed
	}
	return int(n), nil
}
