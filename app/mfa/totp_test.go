package mfa

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// RFC 4226, appendix D.
func TestHOTPVectors(t *testing.T) {
	for i, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := hotp(sha1.New, []byte("12345678901234567890"), uint64(i), 6); got != want {
			t.Errorf("counter %d: %s, want %s", i, got, want)
		}
	}
}

// RFC 6238, appendix B; the keys for SHA-256 and SHA-512 are those of its code, as
// the errata say.
func TestTOTPVectors(t *testing.T) {
	key := strings.Repeat("1234567890", 7)
	for _, c := range []struct {
		at                   int64
		sha1, sha256, sha512 string
	}{
		{59, "94287082", "46119246", "90693936"},
		{1111111109, "07081804", "68084774", "25091201"},
		{1111111111, "14050471", "67062674", "99943326"},
		{1234567890, "89005924", "91819424", "93441116"},
		{2000000000, "69279037", "90698825", "38618901"},
		{20000000000, "65353130", "77737706", "47863826"},
	} {
		step := uint64(stepOf(time.Unix(c.at, 0)))
		for _, v := range []struct {
			h    func() hash.Hash
			want string
		}{{sha1.New, c.sha1}, {sha256.New, c.sha256}, {sha512.New, c.sha512}} {
			if got := hotp(v.h, []byte(key[:v.h().Size()]), step, 8); got != v.want {
				t.Errorf("at %d: %s, want %s", c.at, got, v.want)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	secret, at := []byte("12345678901234567890"), time.Unix(1111111109, 0)
	now := stepOf(at)
	for off := int64(-4); off <= 4; off++ {
		code := hotp(sha1.New, secret, uint64(now+off), digits)
		near := off >= -1 && off <= 1
		if step, ok := match(secret, code, at, 0); ok != near || ok && step != now+off {
			t.Errorf("%d steps off: %v, step %d of %d", off, ok, step, now)
		}
		if _, ok := match(secret, code, at, now+off); ok {
			t.Errorf("%d steps off: taken twice", off)
		}
		if _, ok := match(secret, code, at, now+off-1); ok != near {
			t.Errorf("%d steps off, after the step before it: %v", off, ok)
		}
	}
	for _, code := range []string{"", "0", "00000", "0000000"} {
		if _, ok := match(secret, code, at, 0); ok {
			t.Errorf("%q is taken", code)
		}
	}
}

// An independent program shows the same codes.
func TestOathtool(t *testing.T) {
	tool, err := exec.LookPath("oathtool")
	if err != nil {
		if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for i, secret := range []string{"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "JBSWY3DPEHPK3PXP", "MFRGGZDFMZTWQ2LK"} {
		at := time.Unix(1700000000+int64(i)*12345, 0)
		cmd := exec.CommandContext(t.Context(), tool, "--totp", "-b", "--now", at.UTC().Format("2006-01-02 15:04:05 UTC"), secret)
		cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Code(secret, at); err != nil || got != strings.TrimSpace(string(out)) {
			t.Errorf("%s: %s, %v; oathtool says %s", secret, got, err, out)
		}
	}
	if _, err := Code("not base32!", time.Now()); !errors.Is(err, ErrSecret) {
		t.Errorf("a text that is no secret: %v", err)
	}
}

func TestURI(t *testing.T) {
	got := uri("To do & more", "anna@example.org", []byte("12345678901234567890"))
	want := "otpauth://totp/To%20do%20&%20more:anna@example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=To%20do%20%26%20more"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func FuzzCode(f *testing.F) {
	for _, s := range []string{"", "GEZDGNBV", "gezd gnbv", "====", "1", "é"} {
		f.Add(s, int64(59))
	}
	f.Fuzz(func(t *testing.T, secret string, at int64) {
		code, err := Code(secret, time.Unix(at, 0))
		if (err == nil) != (len(code) == digits) {
			t.Errorf("%q: %q, %v", secret, code, err)
		}
	})
}
