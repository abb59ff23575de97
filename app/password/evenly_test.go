package password_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/password"
)

// counting is a scheme that counts its work; its hashes are the password in clear.
type counting struct {
	id   string
	work int64
	done *int64
}

func (c counting) ID() string { return c.id }

func (c counting) Cost(encoded string) (password.Cost, error) {
	if encoded != "" && !strings.HasPrefix(encoded, c.id+":") {
		return password.Cost{}, password.ErrUnknownScheme
	}
	return password.Cost{Memory: c.work << 10, Lanes: 1, Work: c.work}, nil
}

func (c counting) Verify(encoded, pw string) (bool, error) {
	*c.done += c.work
	if encoded == c.id+":broken" {
		return false, password.ErrMalformed
	}
	return encoded == c.id+":"+pw, nil
}

func (c counting) Hash(pw string) (string, error) {
	*c.done += c.work
	return c.id + ":" + pw, nil
}

// entered counts how often work comes to the gate, and keeps its largest weight.
type entered struct {
	gate.Gate
	times  int
	memory int64
}

func (e *entered) Do(ctx context.Context, w gate.Weight, fn func() error) error {
	e.times++
	e.memory = w.Memory
	return e.Gate.Do(ctx, w, fn)
}

func TestVerifyEvenly(t *testing.T) {
	const now = 10
	for _, c := range []struct {
		stored, pw     string
		match, upgrade bool
		unusable       error
		work           int64 // at least now for whatever does not match
		memory         int64 // KiB
	}{
		{"", "right", false, false, nil, now, now},
		{"now:right", "right", true, false, nil, now, now},
		{"now:right", "wrong", false, false, nil, now, now},
		{"fast:right", "right", true, true, nil, 1, now},
		{"fast:right", "wrong", false, false, nil, 1 + now, now},
		{"slow:right", "right", true, true, nil, 50, 50},
		{"slow:right", "wrong", false, false, nil, 50 + now, 50},
		{"fast:broken", "right", false, false, password.ErrMalformed, 1 + now, now},
		{"nothing of ours", "right", false, false, password.ErrUnknownScheme, now, now},
		{"$pepper$key$now:right", "right", false, false, password.ErrUnknownKey, now, now},
		{"huge:right", "right", false, false, gate.ErrTooLarge, now, now},
		{"now:", "", false, false, nil, now, now},
		{"fast:", "", false, false, nil, 1 + now, now},
		{"now:right", "e\u0301", false, false, nil, 2 * now, now}, // two forms, whatever is stored
		{"", "e\u0301", false, false, nil, 2 * now, now},
	} {
		var done int64
		g := &entered{Gate: gate.Gate{Memory: 100 << 10}}
		h := &password.Hasher{
			Preferred: counting{"now", now, &done},
			Legacy:    []password.Verifier{counting{"fast", 1, &done}, counting{"slow", 50, &done}, counting{"huge", 101, &done}},
			Gate:      g,
		}
		got, err := h.VerifyEvenly(t.Context(), c.stored, c.pw)
		if err != nil || got.Match != c.match || got.Upgrade != c.upgrade || !errors.Is(got.Unusable, c.unusable) {
			t.Errorf("%q, %q: %+v, %v", c.stored, c.pw, got, err)
		}
		if done != c.work || g.times != 1 || g.memory != c.memory<<10 {
			t.Errorf("%q, %q: work %d in %d goes with %d KiB, want %d in one with %d", c.stored, c.pw, done, g.times, g.memory>>10, c.work, c.memory)
		}
	}
	h := &password.Hasher{}
	if _, err := h.VerifyEvenly(t.Context(), "", strings.Repeat("a", password.MaxLength+1)); !errors.Is(err, password.ErrPassword) {
		t.Errorf("a long password: %v", err)
	}
}

func TestKind(t *testing.T) {
	var h password.Hasher
	h.Legacy = password.Legacy()
	a, err := h.Hash(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.Hash(t.Context(), "two")
	if err != nil {
		t.Fatal(err)
	}
	weak, err := password.Argon2id{Memory: 64, Time: 1, InsecureWeak: true}.Hash("one")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, stored := range []string{a, b, weak, "7c6a180b36896a0a8c02787eeafb0e4c", "00000000000000000000000000000000"} {
		kind, err := h.Kind(stored)
		if err != nil {
			t.Error(err)
		}
		kinds[kind] = true
	}
	if len(kinds) != 3 {
		t.Errorf("%d kinds: %v", len(kinds), kinds)
	}
	if _, err := h.Kind("nothing"); !errors.Is(err, password.ErrUnknownScheme) {
		t.Errorf("nothing: %v", err)
	}
}
