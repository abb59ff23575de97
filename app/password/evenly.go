package password

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An Even is the answer of VerifyEvenly.
type Even struct {
	Result
	// Waited is how long the gate kept the work waiting. It says how busy the
	// program is and nothing about the account.
	Waited time.Duration
	// Unusable is why the stored hash could not be verified; then nothing
	// matches. It is nil if there was none.
	Unusable error
}

// VerifyEvenly is Verify for a login: whatever is wrong, it does at least the work
// of a wrong password on a hash of the preferred scheme, and does all of it in one
// go through the gate. An account without a password, and no account at all, is an
// empty stored hash. What is left to tell is which hashes take longer than the
// preferred one; package login hides that behind a deadline.
//
// A hash that cannot be verified is no error but Unusable. The error wraps
// ErrPassword if the password is longer than MaxLength, and gate.ErrBusy if there
// is no room for hashing now; neither depends on the stored hash.
func (h *Hasher) VerifyEvenly(ctx context.Context, stored, password string) (e Even, err error) {
	start := time.Now()
	defer func() {
		h.observe(Event{Op: OpVerify, Scheme: e.Scheme, Took: time.Since(start), Result: e.Result, Err: errors.Join(err, e.Unusable)})
	}()
	if len(password) > MaxLength {
		return Even{}, fmt.Errorf("%d bytes, the limit is %d: %w", len(password), MaxLength, ErrPassword)
	}
	now, err := h.preferred().Cost("")
	if err != nil {
		return Even{}, err
	}
	var p opened
	w := weight(now)
	if stored != "" {
		p, e.Unusable = h.open(stored)
		if e.Unusable == nil {
			e.Scheme = p.scheme()
			own := weight(p.cost)
			w.Memory, w.Lanes = max(w.Memory, own.Memory), max(w.Lanes, own.Lanes)
			if e.Unusable = h.gate().Check(w); e.Unusable != nil {
				w = weight(now)
			}
		}
	}
	tries := forms(password)
	hit := -1
	err = h.gate().Do(ctx, w, func() error {
		e.Waited = time.Since(start)
		if stored != "" && e.Unusable == nil {
			hit, e.Unusable = p.find(tries)
			if password == "" {
				hit = -1
			}
			if hit >= 0 || e.Unusable == nil && p.cost == now && p.outer.ID() == h.preferred().ID() {
				return nil
			}
		}
		return h.dummy(tries)
	})
	if err != nil {
		return Even{}, err
	}
	e.Match = hit >= 0
	e.Upgrade = e.Match && (hit > 0 || h.outdated(p))
	return e, nil
}

// find returns the first form that matches, or -1.
func (p opened) find(tries []string) (int, error) {
	for i, form := range tries {
		match, err := p.verify(form)
		if err != nil {
			return -1, err
		}
		if match {
			return i, nil
		}
	}
	return -1, nil
}

func (h *Hasher) dummy(tries []string) error {
	for _, form := range tries {
		if h.Pepper != nil {
			form = pepper(h.Pepper.Current(pepperPurpose), form)
		}
		if _, err := h.preferred().Hash(form); err != nil {
			// A password that the scheme does not take, such as a long one.
			if _, err = h.preferred().Hash("dummy"); err != nil {
				return err
			}
		}
	}
	return nil
}

// Kind returns a text that is the same for stored hashes that take equally long
// to verify, and for no others. The errors are those of Verify about stored.
func (h *Hasher) Kind(stored string) (string, error) {
	p, err := h.open(stored)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d %d", p.outer.ID(), p.cost.Memory, p.cost.Lanes, p.cost.Work), nil
}
