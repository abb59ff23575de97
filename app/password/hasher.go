package password

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/keyring"
)

// A Gate bounds how many hashes are computed at a time. It is what a Hasher needs
// of a [gate.Gate].
type Gate interface {
	// Do runs fn when there is room for its weight, and returns its error; or it
	// returns an error of its own, such as gate.ErrBusy, and has not run fn.
	Do(ctx context.Context, w gate.Weight, fn func() error) error
	// Check reports, without running anything, that there never is room.
	Check(w gate.Weight) error
}

// A Hasher hashes passwords with one scheme and verifies them with several. The
// zero value is ready to use. It must not be copied after its first use, its
// fields must not be changed then, and it may be used by many goroutines.
type Hasher struct {
	// Preferred makes new hashes; nil means Argon2id{}.
	Preferred Scheme
	// Legacy verifies what other schemes made, in the order in which they are
	// asked; nil means only Preferred verifies.
	Legacy []Verifier
	// Pepper is the key ring of the program; nil means no pepper. Hashes without
	// a pepper still verify, and are to be upgraded.
	Pepper *keyring.Ring
	// Gate bounds the hashing; nil means a gate of this hasher's own, a zero
	// gate.Gate. Hashers of one program share one.
	Gate Gate
	// Observe, if it is not nil, is told of each operation after its end. It
	// must be fast, and safe for concurrent use.
	Observe func(Event)

	own   gate.Gate
	stats counters
}

// A Result is the answer of Verify.
type Result struct {
	// Match says that the password is the one that was hashed.
	Match bool
	// Upgrade says, beside Match, that the password should be hashed again now
	// that it is known: the scheme, its cost, the pepper's key or the form of
	// the password is not the present one, or the hash is wrapped.
	Upgrade bool
	// Scheme is the ID of the scheme of the stored hash, of the inner one if it
	// is wrapped.
	Scheme string
}

// Check reports whether the hasher can work: the preferred scheme is not below
// what is safe (ErrTooWeak) and fits into the gate (gate.ErrTooLarge), and no two
// schemes have one ID. It is meant for the start of a program; the other methods
// fail with the same errors.
func (h *Hasher) Check() error {
	cost, err := h.preferred().Cost("")
	if err != nil {
		return fmt.Errorf("preferred password scheme: %w", err)
	}
	if err := h.gate().Check(weight(cost)); err != nil {
		return fmt.Errorf("preferred password scheme %s: %w", h.preferred().ID(), err)
	}
	seen := map[string]bool{}
	for _, v := range h.Legacy {
		if seen[v.ID()] {
			return fmt.Errorf("two legacy password schemes are called %s", v.ID())
		}
		seen[v.ID()] = true
	}
	return nil
}

// Hash returns a stored hash of the password by the preferred scheme. The error
// wraps ErrPassword if it is no password, gate.ErrBusy if there is no room for
// hashing now, ErrTooWeak or gate.ErrTooLarge if the hasher is misconfigured.
func (h *Hasher) Hash(ctx context.Context, password string) (stored string, err error) {
	start := time.Now()
	defer func() { h.observe(Event{Op: OpHash, Scheme: h.preferred().ID(), Took: time.Since(start), Err: err}) }()
	prepared, err := Prepare(password)
	if err != nil {
		return "", err
	}
	return h.hash(ctx, layers{}, prepared)
}

// hash hashes input, which is a prepared password or the digest of one, and puts
// what it stands for in front.
func (h *Hasher) hash(ctx context.Context, l layers, input string) (string, error) {
	if h.Pepper != nil {
		key := h.Pepper.Current(pepperPurpose)
		l.key, input = key.ID, pepper(key, input)
	}
	cost, err := h.preferred().Cost("")
	if err != nil {
		return "", err
	}
	err = h.gate().Do(ctx, weight(cost), func() error {
		var err error
		l.core, err = h.preferred().Hash(input)
		return err
	})
	if err != nil {
		return "", err
	}
	return l.String(), nil
}

// Verify reports whether the password is the one that stored was made from. A
// wrong password is no error. The error wraps ErrUnknownScheme, ErrMalformed,
// ErrTooCostly or ErrUnknownKey if stored cannot be verified, ErrPassword if the
// password is longer than MaxLength, gate.ErrBusy if there is no room for hashing
// now, and gate.ErrTooLarge if the stored hash asks for more than there ever is. After an error nothing is known, and much less time has passed
// than for a wrong password: see [Hasher.Dummy].
//
// The empty password never matches.
func (h *Hasher) Verify(ctx context.Context, stored, password string) (result Result, err error) {
	start := time.Now()
	defer func() {
		h.observe(Event{Op: OpVerify, Scheme: result.Scheme, Took: time.Since(start), Result: result, Err: err})
	}()
	if len(password) > MaxLength {
		return Result{}, fmt.Errorf("%d bytes, the limit is %d: %w", len(password), MaxLength, ErrPassword)
	}
	p, err := h.open(stored)
	if err != nil {
		return Result{}, err
	}
	result.Scheme = p.scheme()
	tries := forms(password)
	hit := -1
	err = h.gate().Do(ctx, weight(p.cost), func() error {
		for i, form := range tries {
			match, err := p.verify(form)
			if err != nil {
				return err
			}
			if match {
				hit = i
				break
			}
		}
		return nil
	})
	if err != nil {
		return Result{Scheme: result.Scheme}, err
	}
	result.Match = hit >= 0 && password != ""
	result.Upgrade = result.Match && (hit > 0 || h.outdated(p))
	return result, nil
}

// Dummy does the work of verifying a wrong password on a hash of the preferred
// scheme: for a login without an account, or one whose hash cannot be verified.
func (h *Hasher) Dummy(ctx context.Context, password string) (err error) {
	start := time.Now()
	defer func() { h.observe(Event{Op: OpDummy, Scheme: h.preferred().ID(), Took: time.Since(start), Err: err}) }()
	if len(password) > MaxLength {
		return fmt.Errorf("%d bytes, the limit is %d: %w", len(password), MaxLength, ErrPassword)
	}
	cost, err := h.preferred().Cost("")
	if err != nil {
		return err
	}
	return h.gate().Do(ctx, weight(cost), func() error {
		for _, form := range forms(password) {
			if h.Pepper != nil {
				form = pepper(h.Pepper.Current(pepperPurpose), form)
			}
			if _, err := h.preferred().Hash(form); err != nil {
				return err
			}
		}
		return nil
	})
}

// Outdated reports whether Verify would ask for an upgrade of this hash after a
// match with the prepared password; for counting what is left of old hashes. The
// errors are those of Verify about stored.
func (h *Hasher) Outdated(stored string) (bool, error) {
	p, err := h.open(stored)
	if err != nil {
		return false, err
	}
	return h.outdated(p), nil
}

// SchemeOf returns the ID of the scheme of a stored hash, of the inner one if it is
// wrapped, as Verify does in [Result]; "" if it cannot be verified.
func (h *Hasher) SchemeOf(stored string) string {
	p, err := h.open(stored)
	if err != nil {
		return ""
	}
	return p.scheme()
}

func (h *Hasher) outdated(p opened) bool {
	now, err := h.preferred().Cost("")
	if err != nil {
		return false // there is nothing better to upgrade to
	}
	key := ""
	if h.Pepper != nil {
		key = h.Pepper.Current(pepperPurpose).ID
	}
	return p.outer.ID() != h.preferred().ID() || p.cost != now || p.inner != nil || p.layers.key != key
}

// find returns the scheme that reads encoded, and its cost.
func (h *Hasher) find(encoded string) (Verifier, Cost, error) {
	cost, err := Cost{}, error(ErrUnknownScheme)
	if encoded == "" || len(encoded) > maxEncoded {
		return nil, cost, err
	}
	for _, v := range append([]Verifier{h.preferred()}, h.Legacy...) {
		cost, err = v.Cost(encoded)
		if !errors.Is(err, ErrUnknownScheme) {
			return v, cost, err
		}
	}
	return nil, Cost{}, ErrUnknownScheme
}

func (h *Hasher) preferred() Scheme {
	if h.Preferred == nil {
		return Argon2id{}
	}
	return h.Preferred
}

func (h *Hasher) gate() Gate {
	if h.Gate == nil {
		return &h.own
	}
	return h.Gate
}

func weight(c Cost) gate.Weight { return gate.Weight{Memory: c.Memory, Lanes: c.Lanes} }
