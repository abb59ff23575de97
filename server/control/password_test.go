package control

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/pam"
	"github.com/holdfast-security/holdfast/server/resource"
)

func TestStrictest(t *testing.T) {
	tests := []struct {
		name, own string
		rules     server.PasswordRules
		want      string // lines of our file that differ from the rules' own
	}{
		{name: "nothing"},
		{name: "stronger stays", own: "minlen = 16\nucredit=-2\nretry=1\n", want: "minlen = 16,ucredit = -2,retry = 1"},
		{name: "weaker does not count", own: "minlen = 4\nucredit=0\nretry=9\ndictcheck=0\n"},
		{name: "the strongest of two", own: "minlen = 20\nminlen = 12 # later\n", want: "minlen = 20"},
		{name: "no number", own: "minlen\ndifok = x\n"},
		{name: "NIST has no composition", rules: server.PasswordsNIST, own: "ucredit=-2\nminclass=4\nminlen=20\n", want: "minlen = 20"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plain := qualityFile(demandsOf(tt.rules))
			var got []string
			for line := range strings.Lines(qualityFile(strictest(demandsOf(tt.rules), settingsOf(tt.own)))) {
				if !strings.Contains(plain, line) {
					got = append(got, strings.TrimSpace(line))
				}
			}
			want := strings.FieldsFunc(tt.want, func(r rune) bool { return r == ',' })
			if len(got) != len(want) {
				t.Fatalf("got %q, want %q", got, want)
			}
			for _, w := range want {
				if !strings.Contains(strings.Join(got, ","), w) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestWithoutWeak(t *testing.T) {
	const have = "# minlen = 4\nminlen = 4\n dictcheck=0 # never\nminlen = 14\nenforce_for_root\nlocal_users_only\nmaxrepeat = 1\nusercheck"
	const want = "# minlen = 4\n# minlen = 4\n#  dictcheck=0 # never\nminlen = 14\nenforce_for_root\nlocal_users_only\nmaxrepeat = 1\n# usercheck"
	if got := withoutWeak(guideDemands, have); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := withoutWeak(guideDemands, want); got != want {
		t.Errorf("a second time: %q", got)
	}
}

// stock is the password stack of a new server.
const stock = "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\npassword\trequisite\t\t\tpam_deny.so\npassword\trequired\t\t\tpam_permit.so\n"

// checked is the same with the check.
var checked = "password\trequisite\t\t\tpam_pwquality.so retry=3\n" + strings.Replace(stock, "obscure", "obscure use_authtok try_first_pass", 1)

func withModules(h *hosttest.Host) {
	for _, m := range []string{"pam_unix.so", "pam_deny.so", "pam_permit.so", "pam_pwquality.so"} {
		h.Put("/usr/lib/x86_64-linux-gnu/security/"+m, "")
	}
}

func TestMendStack(t *testing.T) {
	tests := []struct{ name, have, want string }{
		{"stock", stock, stock},
		{"with the check", checked, checked},
		{"the guide's line", "password requisite pam_cracklib.so retry=3 minlen=10\n" + stock, stock},
		{
			"the guide's script",
			strings.Replace(strings.Replace(checked, "pam_pwquality.so retry=3", "pam_cracklib.so retry=3 minlen=8", 1), "yescrypt", "sha512", 1),
			strings.Replace(stock, "obscure", "obscure try_first_pass", 1),
		},
		{"the guide's text", strings.Replace(stock, "pam_deny.so", "retry=3 minlen=10", 1), stock},
		{"an argument", strings.Replace(checked, "retry=3", "retry=3 minlen=4 difok=5 enforcing=0", 1), strings.Replace(checked, "retry=3", "retry=3 difok=5", 1)},
		{"not obeyed", strings.Replace(checked, "requisite\t\t\tpam_pw", "optional\t\t\tpam_pw", 1), checked},
		{"a weak hash", strings.Replace(checked, "yescrypt", "md5 rounds=5", 1), strings.Replace(checked, "yescrypt", "rounds=5 yescrypt", 1)},
		{"a module that may be missing", "-password optional pam_gnome_keyring.so\n" + stock, "-password optional pam_gnome_keyring.so\n" + stock},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			withModules(h)
			for _, text := range []string{tt.have, tt.want} { // what is mended needs no mending
				f := pam.Parse(text)
				if err := mendStack(t.Context(), h, f, guideDemands); err != nil {
					t.Fatal(err)
				}
				if got := f.String(); got != tt.want {
					t.Errorf("got  %q\nwant %q", got, tt.want)
				}
			}
		})
	}
}

// pam-auth-update is asked only where it would write.
func TestOwnBlocks(t *testing.T) {
	const saved = "Module: pwquality\nrequisite\t\t\tpam_pwquality.so retry=3\nModule: unix\n[success=end default=ignore]\tpam_unix.so obscure use_authtok try_first_pass yescrypt\nModule: keyring\noptional\tpam_gnome_keyring.so\n"
	block := func(primary, additional string) string {
		return "# top\n" + pamPrimary + "\n" + primary + pamFallback + "\npassword requisite pam_deny.so\n" + pamAdditional + "\n" + additional + pamEnd + "\n"
	}
	const unix = "password\t[success=1 default=ignore]\tpam_unix.so obscure sha512\n"
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"what it wrote":            {block("password\trequisite\t\t\tpam_pwquality.so retry=5\n"+unix, "password\toptional\tpam_gnome_keyring.so\n"), true},
		"one of its lines is gone": {block(unix, ""), true},
		"a line of somebody else":  {block("password required pam_pwhistory.so\n"+unix, ""), false},
		"another order":            {block("password\toptional\tpam_gnome_keyring.so\n"+unix, ""), false},
		"a comment of somebody":    {block(unix+"# tom was here\n", ""), false},
		"no comments of its own":   {unix, false},
		"no second block":          {pamPrimary + "\n" + unix + pamFallback + "\n", false},
	} {
		if got := ownBlocks(tt.text, "password", saved); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Where pam-auth-update writes nothing any more, the check comes first and
// pam_unix stores what it has checked; a second look finds nothing to do.
func TestWithCheck(t *testing.T) {
	guide := "# mine\npassword\t[success=1 default=ignore]\tpam_unix.so obscure try_first_pass yescrypt\npassword\trequisite\t\t\tpam_deny.so\n"
	want := "# mine\npassword\trequisite\t\t\tpam_pwquality.so retry=3\n" +
		"password\t[success=1 default=ignore]\tpam_unix.so use_authtok obscure try_first_pass yescrypt\npassword\trequisite\t\t\tpam_deny.so\n"
	f := withCheck(pam.Parse(guide))
	if f.String() != want || checks(f) == nil {
		t.Errorf("got %q", f)
	}
	h := hosttest.Debian(t)
	withModules(h)
	if err := mendStack(t.Context(), h, f, guideDemands); err != nil || f.String() != want {
		t.Errorf("mended: %v, %q", err, f)
	}
}

// resourceNames are the names of what a control wants.
func resourceNames(t *testing.T, wants func(context.Context, server.Reader, server.Config) ([]server.Resource, error), r server.Reader, c server.Config) []string {
	t.Helper()
	all, err := wants(t.Context(), r, c)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Name())
	}
	return names
}

// blocks is the first line of a stack where pam-auth-update keeps what it wrote.
func blocks(stack string) string {
	first, rest, _ := strings.Cut(stack, "\n")
	if strings.Contains(first, qualityModule) {
		second, others, _ := strings.Cut(rest, "\n")
		first, rest = first+"\n"+second, others
	}
	if first != "" {
		first += "\n"
	}
	return pamPrimary + "\n" + first + pamFallback + "\n" + rest + pamAdditional + "\n" + pamEnd + "\n"
}

// The profile is wanted only where the package has brought it, nobody has put
// the check into the stack by hand, and pam-auth-update would write; where it
// would not, the check is put in by hand.
func TestProfileIsWanted(t *testing.T) {
	tests := []struct {
		name, stack string
		profile     bool
		want        bool
	}{
		{"before the package is there", blocks(stock), false, false},
		{"not enabled", blocks(stock), true, true},
		{"enabled", blocks(checked), true, false},
		{"not enabled, and not for pam-auth-update to enable", stock, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			withModules(h)
			for _, k := range pamKinds {
				h.Put("/etc/pam.d/common-"+k.file, blocks(""))
			}
			h.Put("/var/lib/pam/password", "Module: unix\n[success=end default=ignore]\tpam_unix.so obscure yescrypt\n")
			h.Put(passwordFile, tt.stack)
			if tt.profile {
				h.Put(qualityProfile, "Name: Pwquality\n")
			}
			names := strings.Join(resourceNames(t, wantQuality, h, server.Config{}), "\n")
			if got := strings.Contains(names, resource.PAM{Profile: "pwquality"}.Name()); got != tt.want {
				t.Errorf("wants\n%s", names)
			}
			if edits := tt.stack == stock && tt.profile; strings.Contains(names, "file "+passwordFile) != edits {
				t.Errorf("wants\n%s", names)
			}
		})
	}
}

func TestStrongHash(t *testing.T) {
	const have = "# ENCRYPT_METHOD MD5\nENCRYPT_METHOD DES\nENCRYPT_METHOD SHA512\n"
	if got := withStrongHash(have); got != strings.Replace(have, "ENCRYPT_METHOD DES", "ENCRYPT_METHOD YESCRYPT", 1) {
		t.Errorf("got %q", got)
	}
}

// What the proof says of machines whose chpasswd behaves in one way or another.
func TestTryPasswords(t *testing.T) {
	tests := []struct {
		name   string
		refuse func(password string) bool
		hash   string
		holds  bool
		says   string
	}{
		{"as it should", func(p string) bool { return p != strongPassword }, "$y$j9T$x", true, "refused 6 weak passwords"},
		{"takes all", func(string) bool { return false }, "$y$j9T$x", false, "took a password that is short, a password that holds no digit"},
		{"takes words", func(p string) bool { return p != strongPassword && !strings.HasPrefix(p, "Unch") }, "$y$j9T$x", false, "took a password that is in the dictionary"},
		{"refuses all", func(string) bool { return true }, "$y$j9T$x", false, "refuses a strong password too"},
		{"hashes badly", func(p string) bool { return p != strongPassword }, "$1$abc", false, "begins with $1$"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			h.Handle("useradd", func(context.Context, *hosttest.Host, string, []string) (string, error) { return "", nil })
			h.Handle("chpasswd", func(_ context.Context, h *hosttest.Host, stdin string, _ []string) (string, error) {
				said := ""
				for i, line := range strings.Split(strings.TrimSpace(stdin), "\n") {
					name, password, _ := strings.Cut(line, ":")
					if tt.refuse(password) {
						said += fmt.Sprintf("BAD PASSWORD: no\nchpasswd: (line %d, user %s) password not changed\n", i+1, name)
					}
				}
				h.Put("/etc/shadow", scratch+":"+tt.hash+":1::::::\n")
				if said != "" {
					return "", hosttest.Exit{Status: 1, Output: said}
				}
				return "", nil
			})
			a, err := realPasswords.Ask(t.Context(), h, server.Config{})
			if err != nil || a.Holds != tt.holds || !strings.Contains(a.Evidence, tt.says) {
				t.Errorf("%+v, %v", a, err)
			}
			if strings.Contains(h.Content("/etc/shadow"), scratch) {
				t.Error("the machine itself was touched")
			}
		})
	}
}
