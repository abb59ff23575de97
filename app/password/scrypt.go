package password

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/scrypt"
)

// Bounds on the cost of scrypt hashes, own and imported ones.
const (
	scryptMaxMemory = 256 << 20 // bytes: 128·N·r
	scryptMaxVolume = 1 << 30   // bytes: memory times p
)

// Scrypt is RFC 7914. Each field that is zero has the value of OWASP's Password
// Storage Cheat Sheet: N = 2^17 (128 MiB), r = 8, p = 1.
//
// Its hashes are PHC strings: $scrypt$ln=17,r=8,p=1$salt$hash.
type Scrypt struct {
	LogN uint8 // log2 of N; 0 means 17
	R    int   // block size; 0 means 8
	P    int   // number of computations, one after the other; 0 means 1

	// InsecureWeak allows less than OWASP's weakest equal setting, 8 MiB with
	// p = 10. Whoever steals the table pays less for each guess. It is for tests.
	InsecureWeak bool
}

type scryptParams struct {
	logN       uint8
	r, p       int
	salt, hash []byte
}

// ID returns "scrypt".
func (s Scrypt) ID() string { return "scrypt" }

func (p scryptParams) cost() Cost {
	memory := int64(128) * int64(p.r) << p.logN
	return Cost{Memory: memory, Lanes: 1, Work: int64(p.p)}
}

func (p scryptParams) bounds() error {
	switch {
	case p.logN < 1 || p.r < 1 || p.p < 1:
		return malformed("scrypt", "a parameter is zero")
	case p.logN > 24 || p.r > 64 || p.p > 64 || p.cost().Memory > scryptMaxMemory || p.cost().Memory*int64(p.p) > scryptMaxVolume:
		return fmt.Errorf("scrypt with N=2^%d, r=%d, p=%d: %w", p.logN, p.r, p.p, ErrTooCostly)
	}
	return nil
}

func (s Scrypt) params() scryptParams {
	p := scryptParams{logN: s.LogN, r: s.R, p: s.P}
	if p.logN == 0 {
		p.logN = 17
	}
	if p.r == 0 {
		p.r = 8
	}
	if p.p == 0 {
		p.p = 1
	}
	return p
}

func (s Scrypt) preferred() (Cost, error) {
	p := s.params()
	if err := p.bounds(); err != nil {
		return Cost{}, err
	}
	c := p.cost()
	if weak := c.Memory < 8<<20 || c.Memory*c.Work < 80<<20; weak && !s.InsecureWeak {
		return Cost{}, fmt.Errorf("scrypt with N=2^%d, r=%d, p=%d: %w", p.logN, p.r, p.p, ErrTooWeak)
	}
	return c, nil
}

// Hash returns a new PHC string.
func (s Scrypt) Hash(password string) (string, error) {
	if _, err := s.preferred(); err != nil {
		return "", err
	}
	p := s.params()
	p.salt = make([]byte, saltLength)
	rand.Read(p.salt) // never fails
	hash, err := p.compute(password, 32)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", p.logN, p.r, p.p, b64.EncodeToString(p.salt), b64.EncodeToString(hash)), nil
}

func (p scryptParams) compute(password string, length int) ([]byte, error) {
	return scrypt.Key([]byte(password), p.salt, 1<<p.logN, p.r, p.p, length)
}

// Cost reads the cost of a PHC string: at most 256 MiB, and 1 GiB for memory
// times p. For the empty string it returns that of new hashes.
func (s Scrypt) Cost(encoded string) (Cost, error) {
	if encoded == "" {
		return s.preferred()
	}
	p, err := parseScrypt(encoded)
	if err != nil {
		return Cost{}, err
	}
	return p.cost(), nil
}

// Verify compares the password with a PHC string.
func (s Scrypt) Verify(encoded, password string) (bool, error) {
	p, err := parseScrypt(encoded)
	if err != nil {
		return false, err
	}
	hash, err := p.compute(password, len(p.hash))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(hash, p.hash) == 1, nil
}

func parseScrypt(encoded string) (scryptParams, error) {
	s, err := parsePHC(encoded, "scrypt")
	if err != nil {
		return scryptParams{}, err
	}
	n, r, par := s.number("ln", 8), s.number("r", 31), s.number("p", 31)
	p := scryptParams{logN: uint8(n), r: int(r), p: int(par), salt: s.salt, hash: s.hash}
	if s.version != 0 {
		s.bad = true
	}
	if err := s.done(8, 64, 16, 64); err != nil {
		return scryptParams{}, err
	}
	return p, p.bounds()
}
