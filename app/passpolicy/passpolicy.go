// Package passpolicy says which passwords people may choose (guide 4.3).
//
//	policy := passpolicy.NIST(false)
//	violations, err := policy.Check(ctx, "Summer2024!", user.Name, user.Email, "Example Shop")
//
// [NIST] is the policy of SP 800-63B-4: length and a blocklist, no rules about kinds
// of letters. [Guide] is the sample code of the guide, with its rules of complexity,
// for regulated uses that still ask for them; SP 800-63B-4 and OWASP ASVS 6.2.5
// forbid them, so a program cannot meet both. docs/password-standards.md says which
// rule book asks for what. The zero Policy is NIST(false).
//
// The guide reads NIST as "not contain a single common word"; the final text says
// that the entire password is compared, "not substrings or words", and so does this
// package. A password is judged in the form in which it is hashed
// ([password.Prepare]), and each code point of that counts as one.
//
// If the blocklist cannot be asked, Check fails with an error, and no password is
// to be accepted.
package passpolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"

	"github.com/holdfast-security/holdfast/app/breached"
	"github.com/holdfast-security/holdfast/app/password"
)

// A Blocklist knows passwords that nobody may choose. [breached.List] and
// [breached.Range] are ones.
type Blocklist interface {
	// Contains reports whether the whole password is in the list.
	Contains(ctx context.Context, password string) (bool, error)
}

// A Policy says which passwords may be chosen. The zero value is NIST(false).
type Policy struct {
	// MinLength is the least number of code points; 0 means 15, and less than 8
	// is refused by Check.
	MinLength int
	// MaxLength is the greatest number of code points; 0 means 256, and less than
	// 64 is refused by Check.
	MaxLength int
	// Upper, Lower, Digit and NonAlphabetic ask for at least one such code point;
	// a digit is also what is no letter.
	Upper, Lower, Digit, NonAlphabetic bool
	// Blocklists are asked one after the other; nil means [breached.Common].
	Blocklists []Blocklist
}

// NIST returns the policy of SP 800-63B-4, section 3.1.1.2: at least 15 code points
// for a password that is the only factor, 8 for one beside a second factor.
func NIST(mfa bool) Policy {
	if mfa {
		return Policy{MinLength: 8}
	}
	return Policy{MinLength: 15}
}

// Guide returns the policy of the guide's sample: at least 10 code points, an upper
// case letter, a lower case letter and something that is no letter; and, beyond the
// sample, the blocklist.
func Guide() Policy {
	return Policy{MinLength: 10, Upper: true, Lower: true, NonAlphabetic: true}
}

// A Code names a rule; codes do not change, messages may.
type Code string

// The rules.
const (
	Unusable        Code = "unusable"          // holds what no password can, such as control characters
	TooShort        Code = "too_short"         // fewer code points than MinLength
	TooLong         Code = "too_long"          // more code points than MaxLength
	NoUpper         Code = "no_upper"          // no upper case letter
	NoLower         Code = "no_lower"          // no lower case letter
	NoDigit         Code = "no_digit"          // no decimal digit
	NoNonAlphabetic Code = "no_non_alphabetic" // nothing but letters
	Common          Code = "common"            // in a blocklist
	ContextWord     Code = "context_word"      // little more than words of this user or service
)

// A Violation is a rule that a password breaks.
type Violation struct {
	Code Code
	// Message says it to the user, in English; it never holds the password.
	Message string
}

// Check returns the rules that the password breaks, none if it may be chosen. The
// words are those that an attacker tries first for this user: names, login id,
// e-mail address, the name of the service.
//
// A password breaks ContextWord if little is left of it without those words: fewer
// than four letters.
func (p Policy) Check(ctx context.Context, pw string, words ...string) ([]Violation, error) {
	shortest, longest := p.MinLength, p.MaxLength
	if shortest == 0 {
		shortest = 15
	}
	if longest == 0 {
		longest = 256
	}
	if shortest < 8 || longest < 64 {
		return nil, fmt.Errorf("a policy of %d to %d code points: less than 8, or than the 64 that must be allowed", shortest, longest)
	}
	prepared, err := password.Prepare(pw)
	if err != nil && pw != "" {
		if len(pw) > password.MaxLength {
			return []Violation{{TooLong, fmt.Sprintf("Use at most %d characters.", longest)}}, nil
		}
		return []Violation{{Unusable, "Leave out control characters and the like."}}, nil
	}
	var all []Violation
	add := func(broken bool, code Code, format string, args ...any) {
		if broken {
			all = append(all, Violation{code, fmt.Sprintf(format, args...)})
		}
	}
	n := utf8.RuneCountInString(prepared)
	add(n < shortest, TooShort, "Use at least %d characters.", shortest)
	add(n > longest, TooLong, "Use at most %d characters.", longest)
	add(p.Upper && !strings.ContainsFunc(prepared, unicode.IsUpper), NoUpper, "Use at least one upper case letter.")
	add(p.Lower && !strings.ContainsFunc(prepared, unicode.IsLower), NoLower, "Use at least one lower case letter.")
	add(p.Digit && !strings.ContainsFunc(prepared, unicode.IsDigit), NoDigit, "Use at least one digit.")
	add(p.NonAlphabetic && !strings.ContainsFunc(prepared, nonAlphabetic), NoNonAlphabetic, "Use at least one digit or sign.")
	add(isContext(prepared, words), ContextWord, "Do not make it of your name, your address or the name of this service.")
	found, err := p.blocked(ctx, prepared)
	if err != nil {
		return nil, fmt.Errorf("ask the blocklist: %w", err)
	}
	add(found, Common, "Choose another: this one is in lists of common or stolen passwords.")
	return all, nil
}

func nonAlphabetic(r rune) bool { return !unicode.IsLetter(r) }

func (p Policy) blocked(ctx context.Context, prepared string) (bool, error) {
	lists := p.Blocklists
	if lists == nil {
		lists = []Blocklist{breached.Common()}
	}
	for _, l := range lists {
		found, err := l.Contains(ctx, prepared)
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// isContext reports whether fewer than four letters are left of a password
// without the words, of which one was in it.
func isContext(prepared string, words []string) bool {
	rest := cases.Fold().String(prepared)
	hit := false
	for _, w := range split(words) {
		if strings.Contains(rest, w) {
			hit = true
			rest = strings.ReplaceAll(rest, w, "")
		}
	}
	letters := 0
	for _, r := range rest {
		if unicode.IsLetter(r) {
			letters++
		}
	}
	return hit && letters < 4
}

// split returns the words and their parts, folded, long ones first; parts of fewer
// than three letters say nothing.
func split(words []string) []string {
	var all []string
	for _, w := range words {
		w = cases.Fold().String(w)
		all = append(all, strings.ReplaceAll(w, " ", ""))
		all = append(all, w)
		all = append(all, strings.FieldsFunc(w, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	}
	var long []string
	for _, w := range all {
		if utf8.RuneCountInString(w) >= 3 {
			long = append(long, w)
		}
	}
	slices.SortStableFunc(long, func(a, b string) int { return len(b) - len(a) })
	return long
}
