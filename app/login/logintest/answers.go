package logintest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/store/storetest"
	"github.com/holdfast-security/holdfast/app/throttle"
)

func oneAnswer(t *testing.T, connect func() storetest.Store) {
	p := start(t, connect())
	good := p.hash(t, "right")
	p.add(t, "anna", good)
	p.add(t, "md5", "7c6a180b36896a0a8c02787eeafb0e4c") // password1
	p.add(t, "none", "")
	p.add(t, "broken", "$argon2id$v=19$m=1")
	p.add(t, "foreign", "no scheme at all")
	off := p.add(t, "off", good)
	if err := p.store.SetDisabled(t.Context(), off.Key, true); err != nil {
		t.Fatal(err)
	}
	p.add(t, "hammered", good)
	p.useUp(t, "hammered")
	for i, c := range []struct {
		id, pw string
		reason login.Reason
	}{
		{"nobody", "right", login.Unknown},
		{"", "right", login.Unknown},
		{"not a name", "right", login.Unknown},
		{"a\xffb", "right", login.Unknown},
		{strings.Repeat("a", 100_000), "right", login.Unknown},
		{"anna", "wrong", login.Wrong},
		{"anna", "", login.Wrong},
		{"anna", "right\x00", login.Wrong},
		{"anna", "Right", login.Wrong},
		{"anna", "right ", login.Wrong},
		{"anna", strings.Repeat("right", password.MaxLength), login.Unknown},
		{"md5", "right", login.Wrong},
		{"md5", "", login.Wrong},
		{"none", "", login.NoPassword},
		{"none", "right", login.NoPassword},
		{"broken", "right", login.Unusable},
		{"foreign", "right", login.Unusable},
		{"off", "right", login.Disabled},
		{"hammered", "right", login.Locked},
	} {
		before := p.hasher.Stats()
		in, err := p.try(t.Context(), i, c.id, c.pw, "")
		if err != login.ErrDenied || in != nil {
			t.Errorf("%.20q, %.20q: %v", c.id, c.pw, err)
		}
		if got := p.last(); got.Reason != c.reason {
			t.Errorf("%.20q, %.20q: reason %q, want %q", c.id, c.pw, got.Reason, c.reason)
		}
		after := p.hasher.Stats()
		if after.Verified+after.Failed != before.Verified+before.Failed+1 {
			t.Errorf("%.20q, %.20q: hashed %+v, then %+v", c.id, c.pw, before, after)
		}
	}
	in, err := p.try(t.Context(), 99, "anna", "right", "")
	if err != nil || in.Account.ID != "anna" || in.Device == "" || in.Upgraded {
		t.Errorf("the right password: %+v, %v", in, err)
	}
}

// lookAlike is two spellings. same says that they are one id by PRECIS: then they
// are one account, which is nobody else's.
type lookAlike struct {
	owner, typed string
	same         bool
}

// lookAlikes that other logins have confused, by case folding, by width, by
// composition, by the collation of a database, or by trimming. The CVE-2019-19844
// ones are the first.
var lookAlikePairs = []lookAlike{
	{"mike@example.org", "m\u0131ke@example.org", false}, // dotless i
	{"mike@example.org", "m\u0130ke@example.org", false}, // dotted capital I
	{"mike@example.org", "MIKE@EXAMPLE.ORG", true},       // case
	{"mike@example.org", "mike@example.org ", false},     // trailing blank
	{"mike@example.org", " mike@example.org", false},     // leading blank
	{"mike@example.org", "mike@example.org\u00a0", false},
	{"mike@example.org", "mike@example.org\t", false},
	{"mike@example.org", "mike@example.org\n", false},
	{"mike@example.org", "mike@example.org\x00", false},
	{"mike@example.org", "mike@example.org\x00@eve.org", false},
	{"mike@example.org", "mike@example.org\u200b", false}, // zero width space
	{"mike@example.org", "mi\u00adke@example.org", false}, // soft hyphen
	{"mike@example.org", "mi\u200dke@example.org", false}, // joiner
	{"mike@example.org", "\ufeffmike@example.org", false}, // byte order mark
	{"mike@example.org", "mi\u2060ke@example.org", false}, // word joiner
	{"mike@example.org", "\u202emike@example.org", false}, // right to left override
	{"mike@example.org", "mike\uff20example.org", true},   // full width @
	{"mike@example.org", "mi\u212ae@example.org", true},   // Kelvin sign, a capital k
	{"mike@example.org", "m\u0456ke@example.org", false},  // Ukrainian i
	{"mike@example.org", "mik\u0435@example.org", false},  // Cyrillic e
	{"mike@example.org", "\uff4d\uff49\uff4b\uff45@example.org", true},
	{"mike@example.org", "\U0001d426ike@example.org", false}, // mathematical bold m
	{"mike@example.org", "mike@example\u3002org", false},     // ideographic full stop
	{"jose", "jos\u00e9", false},                             // accent
	{"jos\u00e9", "jose\u0301", true},                        // composed and decomposed
	{"jos\u00e9", "JOS\u00c9", true},
	{"jos\u00e9", "jose\u0300", false}, // another accent
	{"jose", "jo\u017fe", false},       // long s
	{"jose", "jos\u0435", false},
	{"jose", "jose\u0332", false}, // combining low line
	{"jose", "j\u00f8se", false},
	{"jose", "j0se", false},
	{"strasse", "stra\u00dfe", false},    // sharp s
	{"stra\u00dfe", "STRASSE", false},    // its old capital
	{"stra\u00dfe", "stra\u1e9ee", true}, // its new capital
	{"fia", "\ufb01a", false},            // ligature
	{"angstrom\u00e5", "angstrom\u212b", true},
	{"a\u0308rger", "\u00e4rger", true},
	{"arger", "\u00e4rger", false},
	{"\u03c3\u03c3", "\u03c3\u03c2", false}, // final sigma
	{"\u03bc", "\u00b5", false},             // micro sign
	{"omega\u03c9", "omega\u2126", true},    // ohm sign, a capital omega
	{"ijsbeer", "\u0133sbeer", false},
	{"x2", "x\u00b2", false}, // superscript
	{"no1", "no\u2460", false},
	{"rn", "m", false},
	{"l", "I", false},
	{"l", "1", false},
	{"\u0438\u0306", "\u0439", true}, // Cyrillic, composed
	{"paypal", "p\u0430ypal", false},
	{"\uac00", "\u1100\u1161", true}, // Hangul in conjoining letters
	{"\uac00", "\u3131\u314f", false},
	{"\u30ab", "\uff76", true},       // half width katakana
	{"\u30ac", "\uff76\uff9e", true}, // with its sound mark
	{"\u30ab", "\u304b", false},      // hiragana
	{"l\u00b7l", "l\u2022l", false},  // middle dot
}

func lookAlikes(t *testing.T, connect func() storetest.Store) {
	if len(lookAlikePairs) < 40 {
		t.Fatalf("only %d pairs", len(lookAlikePairs))
	}
	p := start(t, connect())
	p.Throttle.Account = []throttle.Rate{{Burst: 1000, Every: time.Second}} // so that every attempt is verified
	stored := map[string]string{}
	for _, pw := range []string{"of the owner", "of the other"} {
		stored[pw] = p.hash(t, pw)
	}
	owners := map[login.ID]login.Account{}
	for n, c := range lookAlikePairs {
		id, err := login.ParseID(c.owner)
		if err != nil {
			t.Fatalf("%+q: %v", c.owner, err)
		}
		if _, ok := owners[id]; !ok {
			owners[id] = p.add(t, c.owner, stored["of the owner"])
		}
		in, err := p.try(t.Context(), n, c.typed, "of the owner", "")
		switch {
		case c.same && (err != nil || in.Account.Key != owners[id].Key):
			t.Errorf("%+q is %+q in another spelling, but: %v", c.typed, c.owner, err)
		case !c.same && !errors.Is(err, login.ErrDenied):
			// Others of the table may have this id; then it is their account.
			typed, parseErr := login.ParseID(c.typed)
			if err != nil || parseErr != nil || in.Account.Key != owners[typed].Key || typed == id {
				t.Errorf("%+q reaches the account of %+q: %v", c.typed, c.owner, err)
			}
		}
	}
	// Where a look-alike is an id of its own, it is an account of its own.
	for n, c := range lookAlikePairs {
		id, err := login.ParseID(c.typed)
		if _, ok := owners[id]; err != nil || ok {
			continue
		}
		other := p.add(t, c.typed, stored["of the other"])
		owners[id] = other
		if in, err := p.try(t.Context(), 1000+n, c.typed, "of the other", ""); err != nil || in.Account.Key != other.Key {
			t.Errorf("%+q does not reach its own account: %v", c.typed, err)
		}
		if _, err := p.try(t.Context(), 2000+n, c.owner, "of the other", ""); !errors.Is(err, login.ErrDenied) {
			t.Errorf("%+q reaches the account of %+q: %v", c.owner, c.typed, err)
		}
	}
}
