package password

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/holdfast-security/holdfast/app/keyring"
)

// A stored hash is what a scheme made, with up to two layers written in front:
//
//	$pepper$KEY$   the password, or the digest, went through HMAC under this key
//	$wrap$ID$SET$  what was hashed is the digest of scheme ID under these settings
type layers struct {
	key      string // id of the pepper's key; "" is none
	wrap     string // ID of the inner scheme; "" is none
	settings string // of the inner scheme
	core     string // what the outer scheme made
}

const (
	pepperPurpose = "password pepper"
	pepperMark    = "$pepper$"
	wrapMark      = "$wrap$"
)

func (l layers) String() string {
	s := l.core
	if l.wrap != "" {
		s = wrapMark + l.wrap + "$" + b64.EncodeToString([]byte(l.settings)) + "$" + s
	}
	if l.key != "" {
		s = pepperMark + l.key + "$" + s
	}
	return s
}

func parseLayers(stored string) (layers, error) {
	var l layers
	if len(stored) > maxEncoded {
		return l, malformed("stored hash", "too long")
	}
	rest := stored
	if s, ok := strings.CutPrefix(rest, pepperMark); ok {
		if l.key, rest, ok = strings.Cut(s, "$"); !ok || l.key == "" {
			return l, malformed("pepper", "key id")
		}
	}
	if s, ok := strings.CutPrefix(rest, wrapMark); ok {
		id, s, ok := strings.Cut(s, "$")
		set, core, ok2 := strings.Cut(s, "$")
		settings, err := b64.DecodeString(set)
		if !ok || !ok2 || err != nil || id == "" {
			return l, malformed("wrap", "inner scheme")
		}
		l.wrap, l.settings, rest = id, string(settings), core
	}
	l.core = rest
	return l, nil
}

// pepper returns text without NUL of 44 bytes, which every scheme takes whole.
func pepper(key keyring.Key, input string) string {
	mac := hmac.New(sha256.New, key.Bytes[:])
	mac.Write([]byte(input))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// An opened hash is a stored one with everything found that verifies it.
type opened struct {
	layers layers
	key    *keyring.Key
	inner  Wrappable // nil if it is not wrapped
	outer  Verifier
	cost   Cost // of outer
}

func (h *Hasher) open(stored string) (opened, error) {
	l, err := parseLayers(stored)
	if err != nil {
		return opened{}, err
	}
	p := opened{layers: l}
	if l.key != "" {
		if h.Pepper == nil {
			return opened{}, fmt.Errorf("no key ring, and the hash has key %q: %w", l.key, ErrUnknownKey)
		}
		key, ok := h.Pepper.Find(pepperPurpose, l.key)
		if !ok {
			return opened{}, fmt.Errorf("key %q: %w", l.key, ErrUnknownKey)
		}
		p.key = &key
	}
	if l.wrap != "" {
		for _, v := range h.Legacy {
			if w, ok := v.(Wrappable); ok && v.ID() == l.wrap {
				p.inner = w
			}
		}
		if p.inner == nil {
			return opened{}, fmt.Errorf("wrapped %q: %w", l.wrap, ErrUnknownScheme)
		}
	}
	p.outer, p.cost, err = h.find(l.core)
	return p, err
}

func (p opened) scheme() string {
	if p.inner != nil {
		return p.inner.ID()
	}
	return p.outer.ID()
}

func (p opened) verify(form string) (bool, error) {
	if p.inner != nil {
		digest, err := p.inner.Digest(p.layers.settings, form)
		if err != nil {
			return false, err
		}
		form = digest
	}
	if p.key != nil {
		form = pepper(*p.key, form)
	}
	return p.outer.Verify(p.layers.core, form)
}

// Wrap hashes a stored legacy hash once more, by the preferred scheme and under
// the present pepper, without knowing the password; it is unwrapped by the upgrade
// at the next login. It returns stored itself, and false, if it is of the
// preferred scheme already, is wrapped, or is of a scheme that is not Wrappable.
//
// The settings of the inner hash stay readable, its digest does not. The error
// wraps ErrUnknownScheme, ErrMalformed or ErrTooCostly if stored would not verify
// either, so that a table is not wrapped beyond repair.
func (h *Hasher) Wrap(ctx context.Context, stored string) (wrapped string, changed bool, err error) {
	p, err := h.open(stored)
	if err != nil {
		return "", false, err
	}
	w, ok := p.outer.(Wrappable)
	if !ok || p.inner != nil || p.key != nil || w.ID() == h.preferred().ID() {
		return stored, false, nil
	}
	settings, digest, err := w.Split(stored)
	if err != nil {
		return "", false, err
	}
	wrapped, err = h.hash(ctx, layers{wrap: w.ID(), settings: settings}, digest)
	return wrapped, err == nil, err
}
