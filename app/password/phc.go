package password

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// saltLength is that of the salts we make, in bytes: 128 bits.
const saltLength = 16

// maxEncoded bounds what is parsed at all.
const maxEncoded = 1024

// b64 is the encoding of PHC strings. Strict, so that one hash has one spelling.
var b64 = base64.RawStdEncoding.Strict()

// A phc is a PHC string taken apart: $id[$v=version]$name=value,...$salt$hash
// (github.com/P-H-C/phc-string-format). Reading it is done in one go and errors
// are looked at once, by done.
type phc struct {
	id         string
	version    int
	params     map[string]string
	salt, hash []byte
	bad        bool
}

// parsePHC takes a string of this scheme apart, or says with ErrUnknownScheme
// that it is not one.
func parsePHC(encoded, id string) (*phc, error) {
	rest, ok := strings.CutPrefix(encoded, "$"+id+"$")
	if !ok {
		return nil, ErrUnknownScheme
	}
	s := &phc{id: id, params: map[string]string{}}
	if len(encoded) > maxEncoded {
		return nil, s.malformed("too long")
	}
	if strings.HasPrefix(rest, "v=") {
		var v string
		v, rest, _ = strings.Cut(rest[2:], "$")
		s.version = int(s.parse(v, 31))
	}
	fields := strings.Split(rest, "$")
	if len(fields) != 3 {
		return nil, s.malformed("wrong number of fields")
	}
	for pair := range strings.SplitSeq(fields[0], ",") {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := s.params[name]; !ok || twice {
			return nil, s.malformed("parameters")
		}
		s.params[name] = value
	}
	var err error
	if s.salt, err = b64.DecodeString(fields[1]); err != nil {
		return nil, s.malformed("salt")
	}
	if s.hash, err = b64.DecodeString(fields[2]); err != nil {
		return nil, s.malformed("hash")
	}
	return s, nil
}

// number takes a parameter out. It is decimal, without sign or leading zero.
func (s *phc) number(name string, bits int) uint64 {
	value, ok := s.params[name]
	if !ok {
		s.bad = true
	}
	delete(s.params, name)
	return s.parse(value, bits)
}

func (s *phc) parse(value string, bits int) uint64 {
	n, err := strconv.ParseUint(value, 10, bits)
	if err != nil || strconv.FormatUint(n, 10) != value {
		s.bad = true
	}
	return n
}

// done reports what was wrong: a number, a parameter that nobody took, or the
// length of salt and hash in bytes.
func (s *phc) done(minSalt, maxSalt, minHash, maxHash int) error {
	switch {
	case s.bad || len(s.params) > 0:
		return s.malformed("parameters")
	case len(s.salt) < minSalt || len(s.salt) > maxSalt:
		return s.malformed("length of the salt")
	case len(s.hash) < minHash || len(s.hash) > maxHash:
		return s.malformed("length of the hash")
	}
	return nil
}

// malformed never shows the hash itself: errors go to logs.
func (s *phc) malformed(what string) error { return malformed(s.id, what) }

func malformed(id, what string) error { return fmt.Errorf("%s: %s: %w", id, what, ErrMalformed) }
