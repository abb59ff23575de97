package password

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// Bounds on the cost of Argon2id hashes, own and imported ones: up to a quarter
// GiB of memory, and about five seconds of one core.
const (
	argon2MaxMemory = 256 << 10 // KiB
	argon2MaxTime   = 64
	argon2MaxLanes  = 16
	argon2MaxVolume = 4 << 20 // KiB times passes
)

// Argon2id is the preferred scheme (RFC 9106). Each field that is zero has the
// value of OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
//
// Its hashes are PHC strings: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type Argon2id struct {
	Memory uint32 // KiB; 0 means 19456
	Time   uint32 // passes over the memory; 0 means 2
	Lanes  uint8  // threads for one hash; 0 means 1

	// InsecureWeak allows less than OWASP's weakest equal settings: 7 MiB, and
	// 35 MiB for memory times passes. Whoever steals the table pays less for
	// each guess. It is for tests.
	InsecureWeak bool
}

// ID returns "argon2id".
func (a Argon2id) ID() string { return "argon2id" }

type argon2Params struct {
	memory, time uint32
	lanes        uint8
	salt, hash   []byte
}

func (p argon2Params) cost() Cost {
	// The algorithm rounds the memory down to whole blocks of four per lane.
	return Cost{Memory: int64(p.memory) << 10, Lanes: int(p.lanes), Work: int64(p.time)}
}

func (a Argon2id) params() argon2Params {
	p := argon2Params{memory: a.Memory, time: a.Time, lanes: a.Lanes}
	if p.memory == 0 {
		p.memory = 19456
	}
	if p.time == 0 {
		p.time = 2
	}
	if p.lanes == 0 {
		p.lanes = 1
	}
	return p
}

func (a Argon2id) preferred() (Cost, error) {
	p := a.params()
	if err := p.bounds(); err != nil {
		return Cost{}, err
	}
	if weak := p.memory < 7<<10 || uint64(p.memory)*uint64(p.time) < 35<<10; weak && !a.InsecureWeak {
		return Cost{}, fmt.Errorf("argon2id with %d KiB and %d passes: %w", p.memory, p.time, ErrTooWeak)
	}
	return p.cost(), nil
}

func (p argon2Params) bounds() error {
	switch {
	case p.memory > argon2MaxMemory || p.time > argon2MaxTime || p.lanes > argon2MaxLanes ||
		uint64(p.memory)*uint64(p.time) > argon2MaxVolume:
		return fmt.Errorf("argon2id with %d KiB, %d passes, %d lanes: %w", p.memory, p.time, p.lanes, ErrTooCostly)
	case p.time < 1 || p.lanes < 1 || p.memory < 8*uint32(p.lanes):
		return fmt.Errorf("argon2id with %d KiB, %d passes, %d lanes: %w", p.memory, p.time, p.lanes, ErrMalformed)
	}
	return nil
}

// Hash returns a new PHC string.
func (a Argon2id) Hash(password string) (string, error) {
	if _, err := a.preferred(); err != nil {
		return "", err
	}
	p := a.params()
	p.salt = make([]byte, saltLength)
	rand.Read(p.salt) // never fails
	return p.encode(p.compute(password, 32)), nil
}

func (p argon2Params) compute(password string, length int) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.lanes, uint32(length))
}

func (p argon2Params) encode(hash []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.time, p.lanes, b64.EncodeToString(p.salt), b64.EncodeToString(hash))
}

// Cost reads the cost of a PHC string: at most 256 MiB, 64 passes, 16 lanes, and
// 4 GiB for memory times passes. For the empty string it returns that of new
// hashes.
func (a Argon2id) Cost(encoded string) (Cost, error) {
	if encoded == "" {
		return a.preferred()
	}
	p, err := parseArgon2("argon2id", encoded)
	if err != nil {
		return Cost{}, err
	}
	return p.cost(), nil
}

// Verify compares the password with a PHC string.
func (a Argon2id) Verify(encoded, password string) (bool, error) {
	p, err := parseArgon2("argon2id", encoded)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(p.compute(password, len(p.hash)), p.hash) == 1, nil
}

func parseArgon2(id, encoded string) (argon2Params, error) {
	s, err := parsePHC(encoded, id)
	if err != nil {
		return argon2Params{}, err
	}
	var p argon2Params
	m, t, lanes := s.number("m", 32), s.number("t", 32), s.number("p", 8)
	p.memory, p.time, p.lanes = uint32(m), uint32(t), uint8(lanes)
	p.salt, p.hash = s.salt, s.hash
	if s.version != argon2.Version {
		s.bad = true // version 16 is another function
	}
	if err := s.done(8, 48, 16, 64); err != nil {
		return argon2Params{}, err
	}
	return p, p.bounds()
}

// argon2i verifies hashes of the variant that PHP and older Django made.
type argon2i struct{}

// ID returns "argon2i".
func (argon2i) ID() string { return "argon2i" }

// Cost reads the cost of a PHC string, within the bounds of Argon2id.
func (argon2i) Cost(encoded string) (Cost, error) {
	p, err := parseArgon2("argon2i", encoded)
	if err != nil {
		return Cost{}, err
	}
	return p.cost(), nil
}

// Verify compares the password with a PHC string.
func (argon2i) Verify(encoded, password string) (bool, error) {
	p, err := parseArgon2("argon2i", encoded)
	if err != nil {
		return false, err
	}
	got := argon2.Key([]byte(password), p.salt, p.time, p.memory, p.lanes, uint32(len(p.hash)))
	return subtle.ConstantTimeCompare(got, p.hash) == 1, nil
}
