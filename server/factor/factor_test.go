package factor_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/factor"
)

// The vectors of RFC 6238, appendix B, for SHA-1, cut to six digits.
func TestCode(t *testing.T) {
	e := factor.Enrolment{Key: []byte("12345678901234567890")}
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got := e.Code(time.Unix(at, 0)); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	e := factor.New()
	now := time.Unix(1_800_000_010, 0)
	for off, want := range map[time.Duration]bool{
		-70 * time.Second: false, -30 * time.Second: true, 0: true, 30 * time.Second: true, 60 * time.Second: false,
	} {
		if got := e.Verify(e.Code(now.Add(off)), now); got != want {
			t.Errorf("the code of %v from now is taken: %v, want %v", off, got, want)
		}
	}
	code := e.Code(now)
	if !e.Verify(" "+code[:3]+" "+code[3:]+"\n", now) {
		t.Error("a code with a space, as apps show it, is refused")
	}
	for _, wrong := range []string{"", "abcdef", code + "0", code[1:]} {
		if e.Verify(wrong, now) {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestNew(t *testing.T) {
	a, b := factor.New(), factor.New()
	if a.String() == b.String() || len(a.Key) != 20 || len(a.Recovery) != factor.Recoveries {
		t.Errorf("%q and %q", a, b)
	}
	back, err := factor.ParseEnrolment(a.String())
	if err != nil || back.String() != a.String() {
		t.Errorf("%v, %v", back, err)
	}
	u, err := url.Parse(a.URI("my shop", "alice"))
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/my shop:alice" ||
		u.Query().Get("secret") != a.Text() || u.Query().Get("issuer") != "my shop" {
		t.Errorf("%v, %v", u, err)
	}
}

// What the module makes of our file when somebody has logged in with a code and
// with a recovery code.
const used = `GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ
" RATE_LIMIT 3 30 1795462000 1795462001
" WINDOW_SIZE 3
" DISALLOW_REUSE 59848733
" TOTP_AUTH
12345678
`

func TestFile(t *testing.T) {
	e := factor.New()
	fresh := factor.NewFile(e)
	if !fresh.Sound() || !slices.Equal(fresh.Codes, e.Recovery) {
		t.Errorf("%+v", fresh)
	}
	f, err := factor.ParseFile(used)
	if err != nil || !f.Sound() || f.String() != used {
		t.Fatalf("%+v, %v", f, err)
	}
	lent := f.Lend([]string{"87654321", "12348765"})
	want := strings.Replace(used, " 1795462000 1795462001", "", 1) + "87654321\n12348765\n"
	if lent.String() != want {
		t.Errorf("lent:\n%s\nwant:\n%s", lent, want)
	}
	if again := lent.Lend([]string{"87654321", "12348765"}); again.String() != want {
		t.Errorf("lent twice:\n%s", again)
	}
	if f.String() != used {
		t.Errorf("lending changed its argument:\n%s", f)
	}
	if back := lent.TakeBack([]string{"87654321", "12348765"}); !slices.Equal(back.Codes, []string{"12345678"}) {
		t.Errorf("taken back:\n%s", back)
	}
	for _, weak := range []string{
		strings.Replace(used, "WINDOW_SIZE 3", "WINDOW_SIZE 17", 1), strings.Replace(used, "\" DISALLOW_REUSE 59848733\n", "", 1),
		strings.Replace(used, "RATE_LIMIT 3 30", "RATE_LIMIT 30 30", 1), strings.Replace(used, "\" TOTP_AUTH\n", "\" TOTP_AUTH\n\" TIME_SKEW 40\n", 1),
	} {
		if f, err := factor.ParseFile(weak); err != nil || f.Sound() {
			t.Errorf("%s\nis sound: %+v, %v", weak, f, err)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add(used)
	f.Add(factor.NewFile(factor.New()).String())
	f.Add("GEZDGNBVGY3TQOJQ\n\" \n")
	f.Fuzz(func(t *testing.T, content string) {
		file, err := factor.ParseFile(content)
		if err == nil && file.String() != content {
			t.Errorf("%q became %q", content, file)
		}
		file.Sound()
		_ = file.Settings()
	})
}

func FuzzParseEnrolment(f *testing.F) {
	f.Add(factor.New().String())
	f.Add("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ 12345678")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := factor.ParseEnrolment(text); err == nil && e.String() != text {
			t.Errorf("%q became %q", text, e)
		}
	})
}
