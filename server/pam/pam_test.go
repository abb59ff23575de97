package pam_test

import (
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/pam"
)

const stock = "# a comment\n\npassword\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n" +
	"password\trequisite\t\t\tpam_deny.so\npassword\trequired\t\t\tpam_permit.so\n# end\n"

func TestParse(t *testing.T) {
	f := pam.Parse("-session optional pam_systemd.so [a b] c # d\n@include x\nauth include y\nauth [default=die pam_a.so\nauth required \\\n pam_b.so\n" + stock)
	if s := f.Stack("session"); len(s) != 1 || !s[0].Optional || s[0].Module != "pam_systemd.so" || len(s[0].Args) != 2 || s[0].Args[0] != "[a b]" {
		t.Errorf("session: %+v", s)
	}
	if s := f.Stack("auth"); len(s) != 0 {
		t.Errorf("auth: %+v", s)
	}
	s := f.Stack("password")
	if len(s) != 3 || s[0].Control != "[success=1 default=ignore]" || !s[0].Has("yescrypt") || s[0].Has("use_authtok") || s[0].Refuses() || !s[1].Refuses() {
		t.Errorf("password: %+v", s)
	}
}

// The lines that Debian's tool writes come out as they went in.
func TestString(t *testing.T) {
	f := pam.Parse(stock)
	for _, p := range f.Stack("password") {
		f.Replace(p, p.Line)
	}
	if got := f.String(); got != stock {
		t.Errorf("got %q", got)
	}
}

func TestFirst(t *testing.T) {
	line := pam.Line{Type: "password", Control: "requisite", Module: "pam_x.so", Args: []string{"a"}}
	const text = "password\trequisite\t\t\tpam_x.so a\n"
	for have, want := range map[string]string{
		stock:                    strings.Replace(stock, "password\t[", text+"password\t[", 1),
		"":                       text,
		"# nothing":              "# nothing\n" + text,
		"auth required pam_y.so": "auth required pam_y.so\n" + text,
	} {
		f := pam.Parse(have)
		if got := f.First(line).String(); got != want || f.String() != have {
			t.Errorf("of %q came %q, want %q", have, got, want)
		}
	}
}

func TestDrop(t *testing.T) {
	tests := []struct{ name, have, want string }{
		{"before the jump", "password requisite pam_cracklib.so minlen=10\n" + stock, stock},
		{
			"in the place of the refusal",
			"password\t[success=1 default=ignore]\tpam_unix.so\npassword requisite pam_cracklib.so\npassword\trequired\t\t\tpam_permit.so",
			"password\t[success=1 default=ignore]\tpam_unix.so\npassword\trequisite\t\t\tpam_deny.so\npassword\trequired\t\t\tpam_permit.so",
		},
		{
			"after the jump",
			"password [success=1 default=ignore] pam_unix.so\npassword requisite pam_deny.so\npassword required pam_cracklib.so\npassword required pam_permit.so\n",
			"password [success=1 default=ignore] pam_unix.so\npassword requisite pam_deny.so\npassword required pam_permit.so\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := pam.Parse(tt.have)
			for _, p := range f.Stack("password") {
				if p.Module == "pam_cracklib.so" {
					f.Drop(p)
				}
			}
			if got := f.String(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// A file that nobody edits keeps every byte, and what is printed for a line is
// read back as the same line.
func FuzzParse(f *testing.F) {
	f.Add(stock)
	f.Add("-auth [a=b] m [c d]\nauth x \\\n y\r\nauth a b")
	f.Fuzz(func(t *testing.T, content string) {
		file := pam.Parse(content)
		if got := file.String(); got != content {
			t.Fatalf("%q came out as %q", content, got)
		}
		for _, p := range file.Stack("auth") {
			again := pam.Parse(p.Line.String()).Stack("auth")
			if len(again) != 1 || again[0].Line.String() != p.Line.String() {
				t.Errorf("%q came out as %+v", p.Line.String(), again)
			}
		}
	})
}
