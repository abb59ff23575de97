package password_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/password"
)

// quick is a preferred scheme for tests that do not mind its cost.
var quick = password.Argon2id{Memory: 64, Time: 1, InsecureWeak: true}

func md5Hex(pw string) string {
	s := md5.Sum([]byte(pw))
	return hex.EncodeToString(s[:])
}

func mustHash(t testing.TB, h *password.Hasher, pw string) string {
	t.Helper()
	s, err := h.Hash(t.Context(), pw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verify(t testing.TB, h *password.Hasher, stored, pw string) password.Result {
	t.Helper()
	r, err := h.Verify(t.Context(), stored, pw)
	if err != nil {
		t.Fatalf("Verify(%s): %v", stored, err)
	}
	return r
}

func newRing(t testing.TB) *keyring.Ring {
	t.Helper()
	ring, err := keyring.New(bytes.Repeat([]byte{1}, keyring.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestUpgrade(t *testing.T) {
	now := &password.Hasher{Preferred: quick, Legacy: password.Legacy()}
	other := quick
	other.Time = 2
	for name, c := range map[string]struct {
		stored string
		want   bool
	}{
		"the same":      {mustHash(t, now, "pw"), false},
		"another cost":  {mustHash(t, &password.Hasher{Preferred: other}, "pw"), true},
		"higher cost":   {mustHash(t, &password.Hasher{}, "pw"), true},
		"other scheme":  {mustHash(t, &password.Hasher{Preferred: password.PBKDF2{Iterations: 9, InsecureWeak: true}}, "pw"), true},
		"legacy scheme": {md5Hex("pw"), true},
	} {
		if got := verify(t, now, c.stored, "pw"); !got.Match || got.Upgrade != c.want {
			t.Errorf("%s: %+v", name, got)
		}
		if got, err := now.Outdated(c.stored); err != nil || got != c.want {
			t.Errorf("%s: Outdated is %v, %v", name, got, err)
		}
		if got := verify(t, now, c.stored, "pW"); got.Match || got.Upgrade {
			t.Errorf("%s: wrong password: %+v", name, got)
		}
	}
}

func TestWrap(t *testing.T) {
	ring := newRing(t)
	for name, h := range map[string]*password.Hasher{
		"plain":  {Preferred: quick, Legacy: password.Legacy()},
		"pepper": {Preferred: quick, Legacy: password.Legacy(), Pepper: ring},
		"bcrypt": {Preferred: password.Bcrypt{Rounds: 4, InsecureWeak: true}, Legacy: password.Legacy()},
	} {
		for _, stored := range []string{
			md5Hex("pw"),
			"md5$salt$" + md5Hex("saltpw"),
			md5Hex("pwsalt") + ":salt",
			"{MD5}" + "j+SQE2dkCvoYmjB7JmBsiQ==",
		} {
			match := verify(t, h, stored, "pw").Match
			wrapped, changed, err := h.Wrap(t.Context(), stored)
			if err != nil || !changed {
				t.Fatalf("%s: %s: %v, %v", name, stored, changed, err)
			}
			if strings.Contains(wrapped, md5Hex("pw")) || strings.Contains(wrapped, stored) {
				t.Errorf("%s still shows the digest of %s", wrapped, stored)
			}
			got := verify(t, h, wrapped, "pw")
			if got.Match != match || got.Upgrade != match {
				t.Errorf("%s: %s wraps %s: %+v", name, wrapped, stored, got)
			}
			if verify(t, h, wrapped, "pW").Match || verify(t, h, wrapped, md5Hex("pw")).Match {
				t.Errorf("%s: %s matches a wrong password", name, wrapped)
			}
			again, changed, err := h.Wrap(t.Context(), wrapped)
			if err != nil || changed || again != wrapped {
				t.Errorf("wrapped twice: %v, %v", changed, err)
			}
		}
		own := mustHash(t, h, "pw")
		if same, changed, err := h.Wrap(t.Context(), own); err != nil || changed || same != own {
			t.Errorf("%s: a hash of the preferred scheme is wrapped: %v", name, err)
		}
	}
	h := &password.Hasher{Preferred: quick, Legacy: password.Legacy()}
	// Wrapped while another scheme was preferred, one that can be wrapped itself.
	before := &password.Hasher{Preferred: password.PBKDF2{Iterations: 9, InsecureWeak: true}, Legacy: password.Legacy()}
	old, _, err := before.Wrap(t.Context(), md5Hex("pw"))
	if err != nil {
		t.Fatal(err)
	}
	if same, changed, err := h.Wrap(t.Context(), old); err != nil || changed || same != old || !verify(t, h, old, "pw").Match {
		t.Errorf("a hash that was wrapped by another scheme: %v, %v", changed, err)
	}
	for _, bad := range []string{"", "plain text", "$6$rounds=999999999$x$" + strings.Repeat("a", 86)} {
		if _, changed, err := h.Wrap(t.Context(), bad); err == nil || changed {
			t.Errorf("Wrap(%q) does not fail", bad)
		}
	}
}

func TestPepper(t *testing.T) {
	ring := newRing(t)
	plain := &password.Hasher{Preferred: quick}
	h := &password.Hasher{Preferred: quick, Pepper: ring}
	without := mustHash(t, plain, "pw")
	if got := verify(t, h, without, "pw"); !got.Match || !got.Upgrade {
		t.Errorf("a hash without a pepper: %+v", got)
	}
	first := mustHash(t, h, "pw")
	if got := verify(t, h, first, "pw"); !got.Match || got.Upgrade {
		t.Errorf("a hash with the current pepper: %+v", got)
	}
	if _, err := plain.Verify(t.Context(), first, "pw"); !errors.Is(err, password.ErrUnknownKey) {
		t.Errorf("without the ring: %v", err)
	}
	// The inner hash alone, as a thief without the key has it.
	_, bare, _ := strings.Cut(strings.TrimPrefix(first, "$pepper$"), "$")
	if verify(t, plain, bare, "pw").Match {
		t.Error("the pepper is not in the hash")
	}
	if err := ring.Rotate(bytes.Repeat([]byte{2}, 32)); err != nil {
		t.Fatal(err)
	}
	if got := verify(t, h, first, "pw"); !got.Match || !got.Upgrade {
		t.Errorf("a hash under the previous pepper: %+v", got)
	}
	if got := verify(t, h, mustHash(t, h, "pw"), "pw"); !got.Match || got.Upgrade {
		t.Errorf("a hash after the rotation: %+v", got)
	}
	young, err := keyring.New(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&password.Hasher{Preferred: quick, Pepper: young}).Verify(t.Context(), first, "pw"); !errors.Is(err, password.ErrUnknownKey) {
		t.Errorf("under a secret that was dropped: %v", err)
	}
}

// The same password from two keyboards is one; what other programs hashed raw
// still matches.
func TestForms(t *testing.T) {
	h := &password.Hasher{Preferred: quick, Legacy: password.Legacy()}
	const composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
	stored := mustHash(t, h, decomposed)
	for _, pw := range []string{composed, decomposed, "caf\u00e9\u00a0au lait"} {
		if got := verify(t, h, stored, pw); !got.Match {
			t.Errorf("%+q does not match", pw)
		}
	}
	if got := verify(t, h, stored, "Caf\u00e9 au lait"); got.Match {
		t.Error("letter case is ignored")
	}
	if got := verify(t, h, md5Hex(decomposed), decomposed); !got.Match || !got.Upgrade {
		t.Errorf("the raw form of a legacy hash: %+v", got)
	}
	imported, err := quick.Hash(decomposed) // by a program that did not prepare it
	if err != nil {
		t.Fatal(err)
	}
	if got := verify(t, h, imported, decomposed); !got.Match || !got.Upgrade {
		t.Errorf("the raw form of a hash of the preferred scheme: %+v", got)
	}
	if got := verify(t, h, md5Hex("tab\there"), "tab\there"); !got.Match {
		t.Errorf("a legacy password that could not be chosen now: %+v", got)
	}
	if verify(t, h, md5Hex(""), "").Match {
		t.Error("the empty password matches")
	}
	for _, bad := range []string{"", "tab\there", "\xff", strings.Repeat("x", password.MaxLength+1)} {
		if _, err := h.Hash(t.Context(), bad); !errors.Is(err, password.ErrPassword) {
			t.Errorf("Hash(%.10q): %v", bad, err)
		}
	}
}

func TestLongPasswords(t *testing.T) {
	long := strings.Repeat("a", 72)
	h := &password.Hasher{Preferred: password.Bcrypt{Rounds: 4, InsecureWeak: true}, Legacy: password.Legacy()}
	if stored := mustHash(t, h, long+"b"); verify(t, h, stored, long+"c").Match || !verify(t, h, stored, long+"b").Match {
		t.Error("bcrypt-sha256 does not look at the 73rd byte")
	}
	// Plain bcrypt, cost 4, of 72 letters; made by golang.org/x/crypto/bcrypt.
	plain := plainBcrypt(t, long)
	for pw, want := range map[string]bool{long: true, long + "b": false, long[1:]: false} {
		if got := verify(t, h, plain, pw); got.Match != want {
			t.Errorf("%d bytes: %+v", len(pw), got)
		}
	}
	cut := &password.Hasher{Preferred: quick, Legacy: []password.Verifier{password.PlainBcrypt{InsecureTruncate: true}}}
	if got := verify(t, cut, plain, long+"b"); !got.Match || !got.Upgrade {
		t.Errorf("with InsecureTruncate: %+v", got)
	}
}

func TestTooWeak(t *testing.T) {
	for _, weak := range []password.Scheme{
		password.Argon2id{Memory: 6 << 10, Time: 40}, password.Argon2id{Memory: 19456, Time: 1},
		password.Scrypt{LogN: 14}, password.Bcrypt{Rounds: 9}, password.PBKDF2{Iterations: 24_000}, password.PBKDF2{SHA512: true, Iterations: 210_000},
	} {
		h := &password.Hasher{Preferred: weak}
		if err := h.Check(); !errors.Is(err, password.ErrTooWeak) {
			t.Errorf("%+v: Check: %v", weak, err)
		}
		if _, err := h.Hash(t.Context(), "pw"); !errors.Is(err, password.ErrTooWeak) {
			t.Errorf("%+v: Hash: %v", weak, err)
		}
		if err := h.Dummy(t.Context(), "pw"); !errors.Is(err, password.ErrTooWeak) {
			t.Errorf("%+v: Dummy: %v", weak, err)
		}
	}
	for _, safe := range []password.Scheme{
		password.Argon2id{}, password.Scrypt{}, password.Bcrypt{}, password.FIPS(), password.PBKDF2{SHA512: true},
		password.Argon2id{Memory: 46 << 10, Time: 1}, password.Argon2id{Memory: 12 << 10, Time: 3},
		password.Argon2id{Memory: 9 << 10, Time: 4}, password.Argon2id{Memory: 7 << 10, Time: 5},
		password.Scrypt{LogN: 16, P: 2}, password.Scrypt{LogN: 15, P: 3}, password.Scrypt{LogN: 14, P: 5}, password.Scrypt{LogN: 13, P: 10},
	} {
		if err := (&password.Hasher{Preferred: safe}).Check(); err != nil {
			t.Errorf("%+v: %v", safe, err)
		}
	}
	if err := (&password.Hasher{Gate: &gate.Gate{Memory: 16 << 20}}).Check(); !errors.Is(err, gate.ErrTooLarge) {
		t.Errorf("a gate of 16 MiB: %v", err)
	}
	twice := []password.Verifier{password.PlainBcrypt{}, password.PlainBcrypt{InsecureTruncate: true}}
	if err := (&password.Hasher{Legacy: twice}).Check(); err == nil {
		t.Error("two schemes with one ID pass")
	}
	if err := (&password.Hasher{Legacy: password.Legacy()}).Check(); err != nil {
		t.Error(err)
	}
}

// Hostile or damaged hashes are errors, at once and without memory.
func TestBounds(t *testing.T) {
	h := &password.Hasher{Preferred: quick, Legacy: password.Legacy()}
	hash43, hash86 := strings.Repeat("A", 43), strings.Repeat("a", 86)
	for stored, want := range map[string]error{
		"": password.ErrUnknownScheme, "x": password.ErrUnknownScheme, "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + hash43: password.ErrUnknownScheme,
		strings.Repeat("a", 5000):                                                     password.ErrMalformed,
		"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$" + hash43:                   password.ErrTooCostly,
		"$argon2id$v=19$m=1048576,t=1,p=1$c29tZXNhbHQ$" + hash43:                      password.ErrTooCostly,
		"$argon2id$v=19$m=64,t=4294967295,p=1$c29tZXNhbHQ$" + hash43:                  password.ErrTooCostly,
		"$argon2id$v=19$m=262144,t=64,p=1$c29tZXNhbHQ$" + hash43:                      password.ErrTooCostly,
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$" + hash43:                           password.ErrMalformed,
		"$argon2id$v=19$m=64,t=1,p=0$c29tZXNhbHQ$" + hash43:                           password.ErrMalformed,
		"$argon2id$v=19$m=64,t=1,p=256$c29tZXNhbHQ$" + hash43:                         password.ErrMalformed,
		"$argon2id$v=19$m=7,t=1,p=1$c29tZXNhbHQ$" + hash43:                            password.ErrMalformed,
		"$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$" + hash43:                           password.ErrMalformed,
		"$argon2id$m=64,t=1,p=1$c29tZXNhbHQ$" + hash43:                                password.ErrMalformed,
		"$argon2id$v=19$m=64,t=1,p=1,x=1$c29tZXNhbHQ$" + hash43:                       password.ErrMalformed,
		"$argon2id$v=19$m=064,t=1,p=1$c29tZXNhbHQ$" + hash43:                          password.ErrMalformed,
		"$argon2id$v=19$m=64,m=64,t=1,p=1$c29tZXNhbHQ$" + hash43:                      password.ErrMalformed,
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + hash43[:20]:                      password.ErrMalformed,
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$":                                    password.ErrMalformed,
		"$scrypt$ln=30,r=8,p=1$c29tZXNhbHQ$" + hash43:                                 password.ErrTooCostly,
		"$scrypt$ln=17,r=8,p=64$c29tZXNhbHQ$" + hash43:                                password.ErrTooCostly,
		"$scrypt$ln=1,r=2147483647,p=1$c29tZXNhbHQ$" + hash43:                         password.ErrTooCostly,
		"scrypt$salt$1073741824$8$1$" + hash43 + hash43:                               password.ErrTooCostly,
		"scrypt$salt$1000$8$1$" + hash43 + hash43:                                     password.ErrMalformed,
		"$2b$31$" + strings.Repeat("a", 53):                                           password.ErrTooCostly,
		"$2b$03$" + strings.Repeat("a", 53):                                           password.ErrMalformed,
		"$2b$12$" + strings.Repeat("a", 52):                                           password.ErrMalformed,
		"$bcrypt-sha256$v=2,t=2b,r=31$" + strings.Repeat("a", 22) + "$" + hash86[:31]: password.ErrTooCostly,
		"$pbkdf2-sha256$2147483647$c29tZXNhbHQ$" + hash43:                             password.ErrTooCostly,
		"$pbkdf2-sha256$i=99999999999$c29tZXNhbHQ$" + hash43:                          password.ErrMalformed,
		"pbkdf2_sha256$2147483647$salt$" + hash43 + "=":                               password.ErrTooCostly,
		"$5$rounds=999999999$salt$" + hash43:                                          password.ErrTooCostly,
		"$6$rounds=-1$salt$" + hash86:                                                 password.ErrMalformed,
		"$P$Z12345678" + hash43[:22]:                                                  password.ErrMalformed,
		"$P$S12345678" + hash43[:22]:                                                  password.ErrTooCostly,
		"$fusionauth-salted-md5$f=2147483647$c29tZXNhbHQ$" + hash43[:22]:              password.ErrTooCostly,
		"$pepper$aaaaaaaa$" + md5Hex("x"):                                             password.ErrUnknownKey,
		"$wrap$nothing$$" + md5Hex("x"):                                               password.ErrUnknownScheme,
		"$wrap$md5$":                                                                  password.ErrMalformed,
		"{SSHA}AAAA":                                                                  password.ErrMalformed,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := h.Verify(t.Context(), stored, "pw")
		runtime.ReadMemStats(&after)
		if !errors.Is(err, want) {
			t.Errorf("%.60s: %v, want %v", stored, err, want)
		}
		if took, grew := time.Since(start), after.TotalAlloc-before.TotalAlloc; took > time.Second || grew > 1<<20 {
			t.Errorf("%.60s: %v and %d bytes", stored, took, grew)
		}
	}
	// Inner settings come from the database as well.
	hostile := "$wrap$crypt-sha512$cm91bmRzPTk5OTk5OTk5OSRzYWx0$" + mustHash(t, h, "x")
	if _, err := h.Verify(t.Context(), hostile, "pw"); !errors.Is(err, password.ErrTooCostly) {
		t.Errorf("a wrapped hash of 999999999 rounds: %v", err)
	}
}

// The zero hasher holds its memory within its gate's, whatever comes.
func TestGated(t *testing.T) {
	var running, peak int
	var mu sync.Mutex
	g := &watched{gate: &gate.Gate{}, enter: func(d int) {
		mu.Lock()
		defer mu.Unlock()
		running += d
		peak = max(peak, running)
	}}
	h := &password.Hasher{Preferred: quick, Gate: g, Legacy: password.Legacy()}
	stored := mustHash(t, h, "pw")
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, err := h.Verify(t.Context(), stored, "pw"); err != nil {
				t.Error(err)
			}
			if err := h.Dummy(t.Context(), "pw"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if limit := runtime.GOMAXPROCS(0); peak > limit || peak < 1 {
		t.Errorf("%d hashes at a time, the gate has %d slots", peak, limit)
	}
	if s := h.Stats(); s.Hashed != 1 || s.Verified != 64 || s.Matched != 64 || s.Dummies != 64 || s.Outdated+s.Busy+s.Failed != 0 {
		t.Errorf("%+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	full := &password.Hasher{Preferred: quick, Gate: refusing{}}
	for _, err := range []error{
		func() error { _, err := full.Hash(ctx, "pw"); return err }(),
		func() error { _, err := full.Verify(ctx, stored, "pw"); return err }(),
		full.Dummy(ctx, "pw"),
	} {
		if !errors.Is(err, gate.ErrBusy) {
			t.Errorf("through a full gate: %v", err)
		}
	}
	if s := full.Stats(); s.Busy != 3 {
		t.Errorf("%+v", s)
	}
}

type watched struct {
	gate  *gate.Gate
	enter func(int)
}

func (w *watched) Check(weight gate.Weight) error { return w.gate.Check(weight) }
func (w *watched) Do(ctx context.Context, weight gate.Weight, fn func() error) error {
	return w.gate.Do(ctx, weight, func() error {
		w.enter(1)
		defer w.enter(-1)
		return fn()
	})
}

type refusing struct{}

func (refusing) Check(gate.Weight) error { return nil }
func (refusing) Do(context.Context, gate.Weight, func() error) error {
	return gate.ErrBusy
}

func TestCalibrate(t *testing.T) {
	a, err := password.Calibrate(t.Context(), 2*time.Second, 0)
	if err != nil {
		t.Fatal(err)
	}
	if a.Memory != 19456 || a.Time < 2 || a.InsecureWeak {
		t.Errorf("%+v", a)
	}
	if err := (&password.Hasher{Preferred: a}).Check(); err != nil {
		t.Error(err)
	}
	if _, err := password.Calibrate(t.Context(), time.Microsecond, 0); err == nil {
		t.Error("a target below the recommended cost passes")
	}
}

func TestEvents(t *testing.T) {
	var events []password.Event
	h := &password.Hasher{Preferred: quick, Legacy: password.Legacy(), Observe: func(e password.Event) { events = append(events, e) }}
	mustHash(t, h, "pw")
	verify(t, h, md5Hex("pw"), "pw")
	h.Verify(t.Context(), "nonsense", "pw")
	if len(events) != 3 || events[0].Op != password.OpHash || events[1].Scheme != "md5" || !events[1].Result.Upgrade || !errors.Is(events[2].Err, password.ErrUnknownScheme) {
		t.Errorf("%+v", events)
	}
}
