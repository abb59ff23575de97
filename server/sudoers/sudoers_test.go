package sudoers_test

import (
	"slices"
	"testing"

	"github.com/holdfast-security/holdfast/server/sudoers"
)

// A looseCase is a file with a loose place.
type looseCase struct {
	name, have, want string
	who              string // of the first loose place
}

func looseCases() []looseCase {
	return []looseCase{
		{name: "the guide's line", have: "%sudo\tALL=(ALL:ALL) NOPASSWD: ALL\n", want: "%sudo\tALL=(ALL:ALL) ALL\n", who: "%sudo"},
		{name: "no blank after it", have: "a ALL=NOPASSWD:ALL", want: "a ALL=ALL", who: "a"},
		{name: "blank before the colon", have: "a ALL=NOPASSWD : ALL\n", want: "a ALL=ALL\n", who: "a"},
		{name: "several users", have: "a, b ALL=NOPASSWD:ALL\n", want: "a, b ALL=ALL\n", who: "a, b"},
		{name: "other tags stay", have: "a ALL=(root) SETENV:NOPASSWD:NOEXEC: /bin/ls\n", want: "a ALL=(root) SETENV:NOEXEC: /bin/ls\n", who: "a"},
		{name: "carries over until taken back", have: "a ALL=NOPASSWD: /bin/a, /bin/b, PASSWD: /bin/c\n", want: "a ALL=/bin/a, /bin/b, PASSWD: /bin/c\n", who: "a"},
		{name: "in the middle", have: "a ALL=/bin/a, NOPASSWD: /bin/b\n", want: "a ALL=/bin/a, /bin/b\n", who: "a"},
		{name: "second host", have: "a h1=/bin/a : h2=NOPASSWD: /bin/b\n", want: "a h1=/bin/a : h2=/bin/b\n", who: "a"},
		{name: "IPv6 host", have: "a fe80::1=NOPASSWD: /bin/b\n", want: "a fe80::1=/bin/b\n", who: "a"},
		{name: "continued line", have: "%sudo ALL=(ALL) \\\n\tNOPASSWD: \\\n  ALL\n", want: "%sudo ALL=(ALL) \\\n\t\\\n  ALL\n", who: "%sudo"},
		{name: "continued after a blank", have: "a ALL = \\  \n NOPASSWD: ALL\n", want: "a ALL = \\  \n ALL\n", who: "a"},
		{name: "comment after it", have: "a ALL=NOPASSWD: ALL # NOPASSWD: b\n", want: "a ALL=ALL # NOPASSWD: b\n", who: "a"},
		{name: "user by number", have: "#1000 ALL=NOPASSWD: ALL\n", want: "#1000 ALL=ALL\n", who: "#1000"},
		{name: "user with an escaped blank", have: `DOM\\a\ b ALL=NOPASSWD: ALL`, want: `DOM\\a\ b ALL=ALL`, who: `DOM\\a\ b`},
		{name: "quoted user", have: `"a b" ALL=NOPASSWD: ALL`, want: `"a b" ALL=ALL`, who: `"a b"`},
		{name: "after a checksum", have: "a ALL=NOPASSWD: sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, sha256:ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs= /bin/a\n", want: "a ALL=sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, sha256:ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs= /bin/a\n", who: "a"},
		{name: "option before", have: "a ALL=CWD=/tmp NOPASSWD: ALL\n", want: "a ALL=CWD=/tmp ALL\n", who: "a"},
		{name: "regular expression before", have: "a ALL=/bin/a ^x,(y:z)=$, NOPASSWD: /bin/b\n", want: "a ALL=/bin/a ^x,(y:z)=$, /bin/b\n", who: "a"},
		{name: "escaped signs in arguments", have: `a ALL=/bin/a x\:y\,z\=, NOPASSWD: ALL`, want: `a ALL=/bin/a x\:y\,z\=, ALL`, who: "a"},

		{name: "authenticate", have: "Defaults !authenticate\n", want: "Defaults authenticate\n"},
		{name: "authenticate with blanks", have: "Defaults\tenv_reset, ! authenticate\n", want: "Defaults\tenv_reset, authenticate\n"},
		{name: "authenticate of a user", have: "Defaults:a,b !authenticate,!lecture\n", want: "Defaults:a,b authenticate,!lecture\n", who: ":a,b"},
		{name: "authenticate of a target", have: "Defaults>root !authenticate\n", want: "Defaults>root authenticate\n", who: ">root"},
		{name: "authenticate of a command", have: "Defaults!/bin/ls !authenticate\n", want: "Defaults!/bin/ls authenticate\n", who: "!/bin/ls"},
		{name: "continued Defaults", have: "Defaults \\\n env_reset, \\\n !authenticate\n", want: "Defaults \\\n env_reset, \\\n authenticate\n"},
		{name: "root's password", have: "Defaults env_reset, rootpw\nDefaults !targetpw, !!runaspw\n", want: "Defaults env_reset, !rootpw\nDefaults !targetpw, !runaspw\n"},
		{name: "exempt group", have: "Defaults exempt_group=wheel\n", want: "Defaults !exempt_group\n"},
		{name: "for ever", have: "Defaults timestamp_timeout=-1, env_reset\n", want: "Defaults timestamp_timeout=15, env_reset\n"},
		{name: "too long", have: "Defaults:a timestamp_timeout = 60\n", want: "Defaults:a timestamp_timeout = 15\n", who: ":a"},
		{name: "no pty", have: "Defaults !use_pty\n", want: "Defaults use_pty\n"},
	}
}

func TestTighten(t *testing.T) {
	for _, tt := range looseCases() {
		t.Run(tt.name, func(t *testing.T) {
			f := sudoers.Parse(tt.have)
			if len(f.Unread) > 0 {
				t.Fatalf("lines %v were not understood", f.Unread)
			}
			if got := f.Tighten(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if len(f.Loose) == 0 || f.Loose[0].Who != tt.who {
				t.Errorf("loose: %+v, want one for %q", f.Loose, tt.who)
			}
		})
	}
}

// What asks for a password already, and what only looks as if it did not.
func TestLeftAlone(t *testing.T) {
	for _, content := range []string{
		"", "\n", "# NOPASSWD: ALL\n", "#NOPASSWD: a\n",
		"root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n",
		"# a comment does not go on \\\na ALL=ALL\n",
		"Defaults authenticate, timestamp_timeout=15\nDefaults timestamp_timeout=0\nDefaults !!authenticate\n",
		"Defaults passprompt=\"!authenticate, NOPASSWD: \"\n",
		`Defaults badpass_message="a, !authenticate"` + "\n",
		"Cmnd_Alias NOPASSWD_CMDS = /bin/a, /bin/b : \\\n OTHER = /bin/c\na ALL=NOPASSWD_CMDS\n",
		"a ALL=/bin/echo NOPASSWD\n", `a ALL=/bin/echo NOPASSWD\: x` + "\n",
		"a ALL=PASSWD: ALL\n", "a ALL=MY_NOPASSWD\n",
		"@includedir /etc/sudoers.d\n#includedir /etc/sudoers.d\n",
	} {
		f := sudoers.Parse(content)
		if got := f.Tighten(); got != content || len(f.Loose) > 0 || len(f.Unread) > 0 {
			t.Errorf("%q became %q: %+v, not understood %v", content, got, f.Loose, f.Unread)
		}
	}
}

func TestUnread(t *testing.T) {
	f := sudoers.Parse("a ALL=ALL\nb ALL NOPASSWD: ALL \\\n more\nc ALL=NOPASSWD: ALL\n")
	if !slices.Equal(f.Unread, []int{2}) || len(f.Loose) != 1 || f.Loose[0].Line != 4 {
		t.Errorf("not understood %v, loose %+v", f.Unread, f.Loose)
	}
}

func TestIncludes(t *testing.T) {
	f := sudoers.Parse("@include /etc/a\n #include \"/etc/b c\"\n@include /etc/d\\ e\n#includedir\t/etc/sudoers.d # x\n# include /no\n#included /no\n")
	want := []sudoers.Include{{Path: "/etc/a"}, {Path: "/etc/b c"}, {Path: "/etc/d e"}, {Path: "/etc/sudoers.d", Dir: true}}
	if !slices.Equal(f.Includes, want) {
		t.Errorf("got %+v", f.Includes)
	}
}

func TestGrants(t *testing.T) {
	tests := []struct {
		content string
		want    bool
	}{
		{"%sudo ALL=(ALL:ALL) ALL\n", true},
		{"a, %sudo ALL=(ALL:ALL) NOEXEC: ALL\n", true},
		{"%sudo ALL=(ALL) \\\n ALL\n", true},
		{"# %sudo ALL=(ALL:ALL) ALL\n", false},
		{"%sudo ALL=/bin/ls\n", false},
		{"%sudo ALL=!ALL\n", false},
		{"%sudoers ALL=ALL\n", false},
	}
	for _, tt := range tests {
		if got := sudoers.Parse(tt.content).Grants("%sudo"); got != tt.want {
			t.Errorf("%q: got %v", tt.content, got)
		}
	}
}

func TestRead(t *testing.T) {
	for name, want := range map[string]bool{"90-cloud-init-users": true, "README": true, "a.bak": false, "a~": false, "": false} {
		if got := sudoers.Read(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

// Whatever the text, tightening it once is enough, keeps its lines and makes
// nothing unreadable that was readable.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"%sudo ALL=(ALL:ALL) NOPASSWD: ALL\n", "a ALL = \\\n NOPASSWD: /bin/a, PASSWD: ALL : h=ALL # c\n",
		"Defaults:a !authenticate, timestamp_timeout=-1\nDefaults exempt_group=\"a b\"\n", "@include \"/a b\"\n#1 ALL=ALL",
		"User_Alias A = b, c\nA ALL=sha224:aa== /bin/x ^a$, NOPASSWD:^/b$\n", "\"", "\\", "a b=!", "Defaults", "Defaults!",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		once := sudoers.Parse(content)
		tight := once.Tighten()
		twice := sudoers.Parse(tight)
		if len(twice.Loose) > 0 {
			t.Fatalf("%q became %q, which is loose: %+v", content, tight, twice.Loose)
		}
		if !slices.Equal(once.Unread, twice.Unread) || len(once.Rules) != len(twice.Rules) {
			t.Fatalf("%q became %q: not understood %v and then %v", content, tight, once.Unread, twice.Unread)
		}
	})
}
