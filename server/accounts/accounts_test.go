package accounts_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/accounts"
)

const (
	passwd = "root:x:0:0:root:/root:/bin/bash\n" +
		"daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n" +
		"bad line\nnumber:x:one:1::/:\n" +
		"anna:x:1000:1000:Anna,,,:/home/anna:/bin/bash\n" +
		"old:$1$abcdefgh$0123456789abcdefghijkl:1001:27::/home/old:\n" +
		"ghost:x:1002:1002::/home/ghost:/bin/bash\n"
	group  = "root:x:0:\nsudo:x:27:anna,bert\nanna:x:1000:\n"
	shadow = "root:*:0:0:99999:7:::\ndaemon:*:1:0:99999:7:::\nanna:!$y$j9T$salt$hash:20000:0:10:7::20500:\n"
)

func TestParse(t *testing.T) {
	d := accounts.Parse(passwd, group, shadow)
	if len(d.Accounts) != 5 {
		t.Fatalf("got %d accounts: %+v", len(d.Accounts), d.Accounts)
	}
	root, _ := d.Find("root")
	if root.Password != accounts.None || root.Changed != 0 || root.MaxAge != 99999 || root.Expires != -1 {
		t.Errorf("root: %+v", root)
	}
	anna, ok := d.Find("anna")
	if !ok || anna.Password != accounts.Locked || anna.Changed != 20000 || anna.MaxAge != 10 || anna.Expires != 20500 ||
		anna.Keys() != "/home/anna/.ssh/authorized_keys" || !anna.Interactive() || d.Group(anna) != "anna" {
		t.Errorf("anna: %+v", anna)
	}
	old, _ := d.Find("old")
	if old.Password != accounts.Weak || !old.Interactive() {
		t.Errorf("old: %+v", old)
	}
	if daemon, _ := d.Find("daemon"); daemon.Interactive() {
		t.Error("daemon can log in")
	}
	if ghost, _ := d.Find("ghost"); ghost.Password != accounts.None || d.Group(ghost) != "1002" {
		t.Errorf("ghost: %+v", ghost)
	}
	if !d.In(anna, "sudo") || !d.In(old, "sudo") || d.In(root, "sudo") {
		t.Error("membership of sudo is wrong")
	}
	if got := d.GroupsOf(anna); !slices.Equal(got, []string{"anna", "sudo"}) {
		t.Errorf("anna is in %q", got)
	}
	if !anna.Barred || root.Barred || !anna.Shadowed || old.Shadowed {
		t.Error("whose password is barred, or in which file, is wrong")
	}
	if _, ok := d.Find("bert"); ok {
		t.Error("a member of a group was taken for an account")
	}
}

func TestPasswords(t *testing.T) {
	for field, want := range map[string]accounts.Password{
		"": accounts.Empty, "*": accounts.None, "!": accounts.None, "!!": accounts.None, "!*": accounts.None,
		"$y$j9T$NmE6wXXXXXXXXXXXX$abc": accounts.Usable, "!$y$j9T$NmE6w$abc": accounts.Locked,
		"$1$abcdefgh$0123456789": accounts.Weak, "_J9..rasmBYk8r9AiWNc": accounts.Weak, "!no hash": accounts.None, "abJnggxhB/yWI": accounts.Weak, "x": accounts.None,
	} {
		d := accounts.Parse("a:x:1:1::/:/bin/sh\n", "", "a:"+field+":1::::::\n")
		if got := d.Accounts[0].Password; got != want {
			t.Errorf("%q: got %s, want %s", field, got, want)
		}
	}
}

// Whatever the files hold, every account has a name and a judged password.
func FuzzParse(f *testing.F) {
	f.Add(passwd, group, shadow)
	f.Add("a:x:1:1::/:", "::1:a,,b", "a")
	f.Fuzz(func(t *testing.T, passwd, group, shadow string) {
		d := accounts.Parse(passwd, group, shadow)
		for _, a := range d.Accounts {
			if a.Name == "" || a.Password == "" {
				t.Errorf("%+v", a)
			}
			d.In(a, "sudo")
		}
	})
}

// A line that is found is the account's own, whole.
func FuzzParseShadow(f *testing.F) {
	f.Add("root:*:19000:0:99999:7:::\nalice:$y$j9T$a$b:19000:0:99999:7:::\n", "alice")
	f.Add("alice::::::::", "alice")
	f.Add("alice:!:soon:::::\n", "alice")
	f.Add("+::::::::\n", "+")
	f.Fuzz(func(t *testing.T, content, account string) {
		s, found, err := accounts.ParseShadow(content, account)
		if err != nil || !found {
			return
		}
		line := strings.Join([]string{account, s.Hash, s.Changed, s.Min, s.Max, s.Warn, s.Inactive, s.Expires, ""}, ":")
		if s.Account != account || !strings.Contains("\n"+content, "\n"+line) {
			t.Fatalf("%q of %q is %+v", account, content, s)
		}
	})
}

func FuzzParseAccount(f *testing.F) {
	f.Add(passwd, "anna")
	f.Add("a:x:1:1::/:\na:x:2:2::/:\n", "a")
	f.Fuzz(func(t *testing.T, content, account string) {
		a, found, err := accounts.ParseAccount(content, account)
		if err == nil && found && (a.Name != account || !strings.Contains("\n"+content, "\n"+account+":")) {
			t.Fatalf("%q of %q is %+v", account, content, a)
		}
	})
}

// One line that somebody is about to change must be in the format.
func TestOneLine(t *testing.T) {
	if a, found, err := accounts.ParseAccount(passwd, "old"); err != nil || !found || a.UID != 1001 || a.Shadowed || a.LoginShell() != "/bin/sh" {
		t.Errorf("old: %+v, %v, %v", a, found, err)
	}
	for _, name := range []string{"number", "bad line"} {
		if _, found, err := accounts.ParseAccount(passwd, name); err == nil || found {
			t.Errorf("%s: found %v, no error", name, found)
		}
	}
	if _, found, err := accounts.ParseAccount(passwd, "bert"); err != nil || found {
		t.Errorf("bert: %v, %v", found, err)
	}
	for _, line := range []string{"a:*:0:0:99999:7::\n", "a:*:soon:0:99999:7:::\n", "a:*:0:0:99999:7:::later:x\n"} {
		if _, found, err := accounts.ParseShadow(line, "a"); err == nil || found {
			t.Errorf("%q: found %v, no error", line, found)
		}
	}
}

func TestAging(t *testing.T) {
	none := accounts.Aging{Changed: -1, MaxAge: -1, Inactive: -1, Expires: -1}
	if none.MustChange() || none.TooOld(1e6) || none.Lapsed(1e6) || none.Expired(1e6) {
		t.Error("what does not age does")
	}
	a := accounts.Aging{Changed: 100, MaxAge: 10, Inactive: 5, Expires: 200}
	for day, want := range map[int][3]bool{110: {}, 111: {true}, 115: {true}, 116: {true, true}, 199: {true, true}, 200: {true, true, true}} {
		if got := [3]bool{a.TooOld(day), a.Lapsed(day), a.Expired(day)}; got != want {
			t.Errorf("day %d: too old, lapsed, expired are %v, want %v", day, got, want)
		}
	}
	if !(accounts.Aging{Changed: 0, MaxAge: -1}).MustChange() {
		t.Error("day 0 does not ask for a new password")
	}
}
