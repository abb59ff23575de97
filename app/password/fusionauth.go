package password

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"math/bits"
	"strings"
)

// FusionAuth makes a stored hash of what FusionAuth keeps in columns: the
// encryption scheme, the salt, the factor and the password hash, for its schemes
// salted-md5, salted-sha256, salted-hmac-sha256, salted-pbkdf2-hmac-sha256,
// salted-pbkdf2-hmac-sha256-512, salted-pbkdf2-hmac-sha512-512, phpass-md5,
// phpass-sha512 and bcrypt. [Legacy] verifies the result.
//
// They are built from FusionAuth's reference page "Password-Hashing Algorithms".
// The error wraps ErrUnknownScheme for another scheme and ErrMalformed for what
// cannot be right; the bounds are those of Cost.
func FusionAuth(scheme, salt string, factor int, hash string) (string, error) {
	switch scheme {
	case "phpass-md5", "phpass-sha512":
		log := bits.Len(uint(factor)) - 1
		if factor < 1<<7 || factor > 1<<30 || factor != 1<<log || len(salt) != 8 {
			return "", malformed(scheme, "factor is no power of two, or the salt has not 8 letters")
		}
		prefix := "$P$"
		if scheme == "phpass-sha512" {
			prefix = "$S$"
		}
		return prefix + itoa64[log:log+1] + salt + hash, nil
	case "bcrypt":
		if len(salt) != 22 || len(hash) != 31 {
			return "", malformed(scheme, "length of salt or hash")
		}
		return fmt.Sprintf("$2a$%02d$%s%s", factor, salt, hash), nil
	}
	id, ok := strings.CutSuffix(scheme, "-512")
	if !fusionSchemes[id] || ok && !strings.Contains(id, "pbkdf2") {
		return "", fmt.Errorf("fusionauth %q: %w", scheme, ErrUnknownScheme)
	}
	rawSalt, err := base64.StdEncoding.DecodeString(salt)
	rawHash, err2 := base64.StdEncoding.DecodeString(hash)
	if err != nil || err2 != nil {
		return "", malformed(scheme, "base64")
	}
	encoded := fmt.Sprintf("$fusionauth-%s$f=%d$%s$%s", id, factor, b64.EncodeToString(rawSalt), b64.EncodeToString(rawHash))
	_, err = fusionAuth(id).Cost(encoded)
	return encoded, err
}

var fusionSchemes = map[string]bool{
	"salted-md5": true, "salted-sha256": true, "salted-hmac-sha256": true,
	"salted-pbkdf2-hmac-sha256": true, "salted-pbkdf2-hmac-sha512": true,
}

// fusionAuth reads $fusionauth-SCHEME$f=FACTOR$salt$hash.
func fusionAuth(scheme string) legacy {
	id := "fusionauth-" + scheme
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			s, err := parsePHC(encoded, id)
			if err != nil {
				return "", "", err
			}
			factor := s.number("f", 31)
			if err := s.done(0, 128, 16, 64); err != nil {
				return "", "", err
			}
			return pbkdf2Settings(fmt.Sprint(factor), s.salt, s.hash)
		},
		open: func(settings string) (function, error) {
			if strings.Contains(id, "pbkdf2") {
				return openPBKDF2(id, settings)
			}
			fields := strings.Split(settings, ",")
			if len(fields) != 3 {
				return function{}, malformed(id, "settings")
			}
			factor, err := decimal(fields[0])
			salt, err2 := b64.DecodeString(fields[2])
			if err != nil || err2 != nil {
				return function{}, malformed(id, "settings")
			}
			if scheme == "salted-hmac-sha256" {
				return function{once, func(password string) (string, error) {
					mac := hmac.New(sha256.New, salt)
					mac.Write([]byte(password))
					return b64.EncodeToString(mac.Sum(nil)), nil
				}}, nil
			}
			h := func() hash.Hash { return sha256.New() }
			if scheme == "salted-md5" {
				h = md5.New
			}
			if factor < 1 {
				return function{}, malformed(id, "factor")
			}
			cost, err := iterated(id, factor, pbkdf2Max)
			return function{cost, func(password string) (string, error) {
				key := password + string(salt)
				for range factor {
					key = string(sum(h, key))
				}
				return b64.EncodeToString([]byte(key)), nil
			}}, err
		},
	}
}
