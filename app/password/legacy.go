package password

import (
	"crypto/fips140"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// Legacy returns every scheme that this package verifies, with its bounds, for
// [Hasher.Legacy]. The first one that reads a hash decides.
//
//   - argon2id, argon2i, scrypt, bcrypt, bcrypt-sha256, pbkdf2-sha1,
//     pbkdf2-sha256, pbkdf2-sha512: PHC strings, crypt(3), passlib, PHP;
//   - md5, sha1, sha256, sha512: hex digits of one plain digest;
//   - md5-suffix: hex digits of MD5 over password and salt, a colon, the salt;
//   - ldap-digest: {MD5}, {SMD5}, {SHA}, {SSHA} and their SHA-2 kin (RFC 2307);
//   - crypt-md5, crypt-sha256, crypt-sha512: crypt(3); apache-md5: htpasswd;
//   - phpass: WordPress, and phpass-phpbb; drupal7: its SHA-512 kin;
//   - django-digest, django-pbkdf2-sha1 and -sha256, django-bcrypt, django-argon2, django-scrypt;
//   - fusionauth-…: what [FusionAuth] makes of FusionAuth's columns.
//
// To take fewer, a program picks by Verifier.ID.
func Legacy() []Verifier {
	return []Verifier{
		Argon2id{}, argon2i{}, Scrypt{}, Bcrypt{}, PlainBcrypt{},
		plainPBKDF2("pbkdf2-sha256"), plainPBKDF2("pbkdf2-sha512"), plainPBKDF2("pbkdf2-sha1"),
		hexDigest("md5", md5.New), hexDigest("sha1", sha1.New), hexDigest("sha256", sha256.New), hexDigest("sha512", sha512.New),
		md5Suffix(), ldapDigest(),
		cryptMD5("crypt-md5", "$1$"), cryptMD5("apache-md5", "$apr1$"), cryptSHA("crypt-sha256", "$5$", sha256.New), cryptSHA("crypt-sha512", "$6$", sha512.New),
		phpass("phpass", "$P$", md5.New), phpass("phpass", "$H$", md5.New).called("phpass-phpbb"), phpass("drupal7", "$S$", sha512.New),
		djangoDigest(), djangoPBKDF2("pbkdf2-sha256"), djangoPBKDF2("pbkdf2-sha1"), djangoBcrypt{}, djangoArgon2{}, djangoScrypt(),
		fusionAuth("salted-md5"), fusionAuth("salted-sha256"), fusionAuth("salted-hmac-sha256"),
		fusionAuth("salted-pbkdf2-hmac-sha256"), fusionAuth("salted-pbkdf2-hmac-sha512"),
	}
}

// A legacy is a scheme whose hashes are settings and a digest, both text.
type legacy struct {
	id string
	// split takes a hash apart, with the digest in the one spelling that
	// function.sum gives it; ErrUnknownScheme if it is of another scheme.
	split func(encoded string) (settings, digest string, err error)
	// open returns the function of these settings, within the bounds.
	open func(settings string) (function, error)
}

// A function computes digests.
type function struct {
	cost Cost
	sum  func(password string) (digest string, err error)
}

func (l legacy) called(id string) legacy { l.id = id; return l }

// ID returns the scheme's name.
func (l legacy) ID() string { return l.id }

func (l legacy) read(encoded string) (digest string, f function, err error) {
	settings, digest, err := l.Split(encoded)
	if err != nil {
		return "", function{}, err
	}
	f, err = l.function(settings)
	return digest, f, err
}

func (l legacy) function(settings string) (function, error) {
	// There MD5 and SHA-1 panic when they are used.
	if fips140.Enforced() && (!strings.Contains(l.id, "pbkdf2-") || strings.HasSuffix(l.id, "sha1")) {
		return function{}, fmt.Errorf("%s is not allowed under fips140=only: %w", l.id, ErrUnknownScheme)
	}
	return l.open(settings)
}

// Cost reads the cost of a hash.
func (l legacy) Cost(encoded string) (Cost, error) {
	if len(encoded) > maxEncoded {
		return Cost{}, ErrUnknownScheme
	}
	_, f, err := l.read(encoded)
	return f.cost, err
}

// Verify compares the password with a hash.
func (l legacy) Verify(encoded, password string) (bool, error) {
	want, f, err := l.read(encoded)
	if err != nil {
		return false, err
	}
	got, err := f.sum(password)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1, nil
}

// Split takes a hash apart.
func (l legacy) Split(encoded string) (settings, digest string, err error) { return l.split(encoded) }

// Digest computes the digest under these settings.
func (l legacy) Digest(settings, password string) (string, error) {
	f, err := l.function(settings)
	if err != nil {
		return "", err
	}
	return f.sum(password)
}

// once is the cost of one plain digest.
var once = Cost{Memory: 4096, Lanes: 1, Work: 1}

// maxHashed bounds what a legacy scheme that hashes the password again and again
// puts through its digest, in bytes: some seconds of one core.
const maxHashed = 1 << 30

// repeated refuses passwords that are too long for so many rounds.
func repeated(id string, password string, rounds int) error {
	if int64(len(password)+64)*int64(rounds) > maxHashed {
		return fmt.Errorf("%s: %d rounds over a password of %d bytes: %w", id, rounds, len(password), ErrTooCostly)
	}
	return nil
}

func sum(h func() hash.Hash, parts ...string) []byte {
	d := h()
	for _, p := range parts {
		d.Write([]byte(p))
	}
	return d.Sum(nil)
}

// lowerHex returns hex digits of n bytes in lower case, or "".
func lowerHex(s string, n int) string {
	if len(s) != 2*n {
		return ""
	}
	s = strings.ToLower(s)
	if _, err := hex.DecodeString(s); err != nil {
		return ""
	}
	return s
}

// hexDigest reads the hex digits of a digest without salt.
func hexDigest(id string, h func() hash.Hash) legacy {
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			if digest = lowerHex(encoded, h().Size()); digest == "" {
				return "", "", ErrUnknownScheme
			}
			return "", digest, nil
		},
		open: func(settings string) (function, error) {
			if settings != "" {
				return function{}, malformed(id, "settings")
			}
			return function{once, func(password string) (string, error) {
				return hex.EncodeToString(sum(h, password)), nil
			}}, nil
		},
	}
}

// md5Suffix reads hex(MD5(password + salt)):salt, as Joomla 1.5 and many tables
// with a salt column have it.
func md5Suffix() legacy {
	return legacy{
		id: "md5-suffix",
		split: func(encoded string) (settings, digest string, err error) {
			digits, salt, ok := strings.Cut(encoded, ":")
			if digest = lowerHex(digits, md5.Size); digest == "" || !ok {
				return "", "", ErrUnknownScheme
			}
			return salt, digest, nil
		},
		open: func(salt string) (function, error) {
			return function{once, func(password string) (string, error) {
				return hex.EncodeToString(sum(md5.New, password, salt)), nil
			}}, nil
		},
	}
}

// ldapDigest reads {SCHEME}base64(digest and salt).
func ldapDigest() legacy {
	const id = "ldap-digest"
	kinds := map[string]func() hash.Hash{
		"{MD5}": md5.New, "{SMD5}": md5.New, "{SHA}": sha1.New, "{SSHA}": sha1.New,
		"{SHA256}": sha256.New, "{SSHA256}": sha256.New, "{SHA512}": sha512.New, "{SSHA512}": sha512.New,
	}
	std := base64.StdEncoding.Strict()
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			kind, text, _ := strings.Cut(encoded, "}")
			kind = strings.ToUpper(kind) + "}"
			h, ok := kinds[kind]
			if !ok {
				return "", "", ErrUnknownScheme
			}
			raw, err := std.DecodeString(text)
			size, salted := h().Size(), strings.HasPrefix(kind, "{SS") || kind == "{SMD5}"
			if err != nil || len(raw) < size || salted != (len(raw) > size) {
				return "", "", malformed(id, "length or base64")
			}
			return kind + std.EncodeToString(raw[size:]), hex.EncodeToString(raw[:size]), nil
		},
		open: func(settings string) (function, error) {
			kind, text, _ := strings.Cut(settings, "}")
			h, ok := kinds[kind+"}"]
			salt, err := std.DecodeString(text)
			if !ok || err != nil {
				return function{}, malformed(id, "settings")
			}
			return function{once, func(password string) (string, error) {
				return hex.EncodeToString(sum(h, password, string(salt))), nil
			}}, nil
		},
	}
}

// djangoDigest reads Django's md5$salt$hex and sha1$salt$hex; the salt may be
// empty.
func djangoDigest() legacy {
	const id = "django-digest"
	kinds := map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New}
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			kind, rest, ok := strings.Cut(encoded, "$")
			h := kinds[kind]
			if !ok || h == nil {
				return "", "", ErrUnknownScheme
			}
			salt, digits, ok := strings.Cut(rest, "$")
			if digest = lowerHex(digits, h().Size()); !ok || digest == "" {
				return "", "", malformed(id, "fields")
			}
			return kind + "$" + salt, digest, nil
		},
		open: func(settings string) (function, error) {
			kind, salt, _ := strings.Cut(settings, "$")
			h := kinds[kind]
			if h == nil {
				return function{}, malformed(id, "settings")
			}
			return function{once, func(password string) (string, error) {
				return hex.EncodeToString(sum(h, salt, password)), nil
			}}, nil
		},
	}
}

// djangoArgon2 reads Django's argon2$argon2id$…, a PHC string with a word before.
type djangoArgon2 struct{}

// ID returns the name.
func (djangoArgon2) ID() string { return "django-argon2" }

func (djangoArgon2) inner(encoded string) (Verifier, string, error) {
	rest, ok := strings.CutPrefix(encoded, "argon2$")
	if !ok {
		return nil, "", ErrUnknownScheme
	}
	if strings.HasPrefix(rest, "argon2i$") {
		return argon2i{}, "$" + rest, nil
	}
	return Argon2id{}, "$" + rest, nil
}

// Cost reads the cost of a hash.
func (d djangoArgon2) Cost(encoded string) (Cost, error) {
	v, rest, err := d.inner(encoded)
	if err != nil {
		return Cost{}, err
	}
	c, err := v.Cost(rest)
	if errors.Is(err, ErrUnknownScheme) {
		err = malformed(d.ID(), "variant")
	}
	return c, err
}

// Verify compares the password with a hash.
func (d djangoArgon2) Verify(encoded, password string) (bool, error) {
	v, rest, err := d.inner(encoded)
	if err != nil {
		return false, err
	}
	return v.Verify(rest, password)
}
