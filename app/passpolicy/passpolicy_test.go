package passpolicy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/passpolicy"
)

func codes(t *testing.T, p passpolicy.Policy, pw string, words ...string) []passpolicy.Code {
	t.Helper()
	violations, err := p.Check(t.Context(), pw, words...)
	if err != nil {
		t.Fatal(err)
	}
	var all []passpolicy.Code
	for _, v := range violations {
		if v.Message == "" || pw != "" && strings.Contains(v.Message, pw) {
			t.Errorf("%s: message %q", v.Code, v.Message)
		}
		all = append(all, v.Code)
	}
	return all
}

func TestCheck(t *testing.T) {
	nist, mfa, guide := passpolicy.NIST(false), passpolicy.NIST(true), passpolicy.Guide()
	pci := guide
	pci.MinLength, pci.Digit = 12, true
	me := []string{"Ann Example", "ann.example@shop.test", "Example Shop"}
	for _, c := range []struct {
		policy passpolicy.Policy
		pw     string
		want   []passpolicy.Code
	}{
		{nist, "", []passpolicy.Code{passpolicy.TooShort}},
		{nist, "nur Kleinbuchstaben", nil},
		{nist, "fünfzehn Zeiche", nil},
		{nist, "vierzehn Zeich", []passpolicy.Code{passpolicy.TooShort}},
		{nist, strings.Repeat("e\u0301", 15)[:14*3], []passpolicy.Code{passpolicy.TooShort}}, // composed, 14
		{nist, "😀 emoji are characters", nil},
		{nist, strings.Repeat("Lang wie ein Satz ", 14), nil},
		{nist, strings.Repeat("x y", 200), []passpolicy.Code{passpolicy.TooLong}},
		{nist, strings.Repeat("x", 10_000), []passpolicy.Code{passpolicy.TooLong}},
		{nist, "a bell \a in a password", []passpolicy.Code{passpolicy.Unusable}},
		{nist, "PasswordPassword", []passpolicy.Code{passpolicy.Common}},
		{nist, "my password is longer", nil}, // the whole is compared, not words
		{nist, "AnnExample2024!!", []passpolicy.Code{passpolicy.ContextWord}},
		{nist, "shop-shop-shop-1", []passpolicy.Code{passpolicy.ContextWord}},
		{nist, "ann.example.xyz", []passpolicy.Code{passpolicy.ContextWord}},
		{nist, "ann.example.wxyz", nil},
		{nist, "ann likes long walks", nil},
		{mfa, "tr0ub4dor&3", nil},
		{mfa, "Passw0rd", []passpolicy.Code{passpolicy.Common}},
		{guide, "Tr0ub4dor&3x", nil},
		{guide, "tr0ub4dor&3x", []passpolicy.Code{passpolicy.NoUpper}},
		{guide, "TR0UB4DOR&3X", []passpolicy.Code{passpolicy.NoLower}},
		{guide, "Troubadorthree", []passpolicy.Code{passpolicy.NoNonAlphabetic}},
		{guide, "Tr0ub4d&3", []passpolicy.Code{passpolicy.TooShort}},
		{pci, "Tr0ub4dor&3x", nil},
		{pci, "Troubador&three", []passpolicy.Code{passpolicy.NoDigit}},
		{guide, "Password2024!", []passpolicy.Code{passpolicy.Common}},
	} {
		if got := codes(t, c.policy, c.pw, me...); !slices.Equal(got, c.want) {
			t.Errorf("%.40q: %v, want %v", c.pw, got, c.want)
		}
	}
}

// The zero policy is the strict one, and no policy can be set below what must be.
func TestZeroPolicy(t *testing.T) {
	if got := codes(t, passpolicy.Policy{}, "fourteen chars"); !slices.Equal(got, []passpolicy.Code{passpolicy.TooShort}) {
		t.Errorf("%v", got)
	}
	if got := codes(t, passpolicy.Policy{}, "passwordpassword"); !slices.Equal(got, []passpolicy.Code{passpolicy.Common}) {
		t.Errorf("%v", got)
	}
	for _, bad := range []passpolicy.Policy{{MinLength: 7}, {MaxLength: 32}} {
		if _, err := bad.Check(t.Context(), "a password of some length"); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

type broken struct{}

func (broken) Contains(context.Context, string) (bool, error) { return false, errors.New("no answer") }

func TestBrokenBlocklist(t *testing.T) {
	p := passpolicy.Policy{Blocklists: []passpolicy.Blocklist{broken{}}}
	if violations, err := p.Check(t.Context(), "a password of some length"); err == nil {
		t.Errorf("a list that does not answer: %v", violations)
	}
}

func ExamplePolicy_Check() {
	policy := passpolicy.NIST(false)
	for _, pw := range []string{"Summer2024!", "qwertyuiopasdfgh", "correct horse battery"} {
		violations, err := policy.Check(context.Background(), pw, "ann@shop.test")
		fmt.Println(pw, violations, err)
	}
	// Output:
	// Summer2024! [{too_short Use at least 15 characters.} {common Choose another: this one is in lists of common or stolen passwords.}] <nil>
	// qwertyuiopasdfgh [{common Choose another: this one is in lists of common or stolen passwords.}] <nil>
	// correct horse battery [] <nil>
}

// The numbers of docs/password-standards.md, column by column.
func TestPresets(t *testing.T) {
	pci := passpolicy.Guide()
	pci.MinLength, pci.Digit = 12, true
	for name, c := range map[string]struct {
		policy   passpolicy.Policy
		shortest int
		kinds    int // of Upper, Lower, Digit, NonAlphabetic
	}{
		"NIST(false)": {passpolicy.NIST(false), 15, 0},
		"NIST(true)":  {passpolicy.NIST(true), 8, 0},
		"Guide()":     {passpolicy.Guide(), 10, 3},
		"PCI":         {pci, 12, 4},
	} {
		// Letters of a script without case, in no list: only length and kinds are judged.
		pw := strings.Repeat("あいうえお", 60)
		runes := []rune(pw)
		short, long := codes(t, c.policy, string(runes[:c.shortest-1])), codes(t, c.policy, string(runes[:256]))
		if !slices.Contains(short, passpolicy.TooShort) || len(long) != c.kinds {
			t.Errorf("%s: %d letters: %v; 256: %v", name, c.shortest-1, short, long)
		}
		if got := codes(t, c.policy, string(runes[:c.shortest])); slices.Contains(got, passpolicy.TooShort) {
			t.Errorf("%s: %d letters are too short", name, c.shortest)
		}
		if got := codes(t, c.policy, string(runes[:257])); !slices.Contains(got, passpolicy.TooLong) {
			t.Errorf("%s: 257 letters: %v", name, got)
		}
	}
}
