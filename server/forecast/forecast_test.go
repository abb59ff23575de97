package forecast_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/forecast"
)

const (
	annaKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFy0iAlsvRa4j0wGLbkDFQKcTBxtGzG4eI3hKmuyCpNR anna@desk"
	otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEDWvdKXStrvjM4IPjzVRjRHVLnXbtqvMV8Fi3dmPrxe old@desk"
)

// A fake is a server as far as a forecast looks at it. It fails on what it does
// not know.
type fake struct {
	entries map[string]server.Entry
	passwd  []string
	shadow  []string
	group   string
	sshd    string // what sshd -T prints beside the stock settings; the first value wins
	sudo    map[string]string
	broken  map[string]error
}

const stockSettings = `usepam yes
permitrootlogin without-password
pubkeyauthentication yes
passwordauthentication yes
kbdinteractiveauthentication no
strictmodes yes
requiredrsasize 1024
pubkeyacceptedalgorithms ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512
authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2
authorizedkeyscommand none
forcecommand none
authenticationmethods any
`

const (
	sudoAll  = "Matching Defaults entries for x on app-1:\n    env_reset\n\nUser x may run the following commands on app-1:\n    (ALL : ALL) ALL\n"
	sudoFree = "User x may run the following commands on app-1:\n    (ALL : ALL) ALL\n    (ALL) NOPASSWD: ALL\n"
	sudoSome = "User x may run the following commands on app-1:\n    (root) NOPASSWD: /usr/bin/apt\n"
	usable   = "$y$j9T$abc$def"
)

// stock is a server with root, anna, who is an admin with key and password, and
// a service account.
func stock() *fake {
	f := &fake{
		entries: map[string]server.Entry{
			"/":                               dir("root", 0o755),
			"/root":                           dir("root", 0o700),
			"/home":                           dir("root", 0o755),
			"/home/anna":                      dir("anna", 0o700),
			"/home/anna/.ssh":                 dir("anna", 0o700),
			"/home/anna/.ssh/authorized_keys": {Mode: 0o600, Owner: "anna", Content: annaKey + "\n"},
			"/bin/bash":                       {Mode: 0o755, Owner: "root"},
			"/usr/bin/sudo":                   {Mode: 0o755 | fs.ModeSetuid, Owner: "root"},
		},
		passwd: []string{
			"root:x:0:0:root:/root:/bin/bash",
			"www:x:33:33::/var/www:/usr/sbin/nologin",
			"anna:x:1000:1000::/home/anna:/bin/bash",
		},
		shadow: []string{"root:" + usable + ":20000:0:99999:7:::", "www:*:20000:0:99999:7:::", "anna:" + usable + ":20000:0:99999:7:::"},
		group:  "root:x:0:\nwww:x:33:\nsudo:x:27:anna\nanna:x:1000:\n",
		sudo:   map[string]string{"anna": sudoAll},
		broken: map[string]error{},
	}
	return f
}

func dir(owner string, mode fs.FileMode) server.Entry {
	return server.Entry{Mode: fs.ModeDir | mode, Owner: owner}
}

func grouped(owner, group string, mode fs.FileMode) server.Entry {
	e := dir(owner, mode)
	e.Group = group
	return e
}

func (f *fake) Output(_ context.Context, argv ...string) (string, error) {
	line := strings.Join(argv, " ")
	for prefix, err := range f.broken {
		if strings.HasPrefix(line, prefix) {
			return "", err
		}
	}
	switch {
	case line == "getent passwd":
		return strings.Join(f.passwd, "\n") + "\n", nil
	case line == "getent group":
		return f.group, nil
	case strings.HasPrefix(line, "systemctl show"):
		return "MainPID=0\nId=ssh.service\nLoadState=loaded\nExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D $SSHD_OPTS ; x }\n", nil
	case strings.HasPrefix(line, "/usr/sbin/sshd -T -C user="):
		return f.sshd + stockSettings, nil
	case strings.HasPrefix(line, "sudo -n -l -U "):
		if out, ok := f.sudo[argv[4]]; ok {
			return out, nil
		}
		return "User " + argv[4] + " is not allowed to run sudo on app-1.\n", nil
	}
	return "", fmt.Errorf("the fake does not know %q", line)
}

func (f *fake) Read(_ context.Context, name string) (server.Entry, error) {
	if err := f.broken[name]; err != nil {
		return server.Entry{}, err
	}
	if name == "/etc/shadow" {
		return server.Entry{Content: strings.Join(f.shadow, "\n") + "\n"}, nil
	}
	e, ok := f.entries[name]
	if !ok {
		return e, fs.ErrNotExist
	}
	return e, nil
}

func (f *fake) Glob(_ context.Context, pattern string) ([]string, error) {
	var all []string
	for p := range f.entries {
		if ok, err := path.Match(pattern, p); err != nil {
			return nil, err
		} else if ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// set changes one account's line of shadow.
func (f *fake) set(account, rest string) {
	for i, line := range f.shadow {
		if strings.HasPrefix(line, account+":") {
			f.shadow[i] = account + ":" + rest
		}
	}
}

var config = server.Config{Port: 22, Admins: []server.Admin{{Name: "anna", Keys: []string{annaKey}}}}

func TestLook(t *testing.T) {
	const stockAnna = "key yes, password yes, root yes"
	tests := []struct {
		name   string
		change func(*fake)
		config func(*server.Config)
		from   string
		anna   string // what is said of anna; empty for stockAnna
		root   string // what is said of root; empty for "key no: it has no key …"
		others string
	}{
		{name: "stock"},
		{name: "no such account", change: func(f *fake) { f.passwd = f.passwd[:2] }, anna: "key no: there is no such account, password no: there is no such account, root no: there is no such account"},
		{name: "AllowGroups without her", change: func(f *fake) { f.sshd = "allowgroups ops\nallowgroups wheel\n" },
			anna: "key no: sshd's AllowGroups ops wheel keeps it out, password no: sshd's AllowGroups ops wheel keeps it out, root yes",
			root: "key no: sshd's AllowGroups ops wheel keeps it out, password no: sshd's AllowGroups ops wheel keeps it out, root yes"},
		{name: "AllowGroups with one of hers", change: func(f *fake) { f.sshd = "allowgroups su?o\nallowgroups root\n" }},
		{name: "AllowUsers with address", from: "10.0.0.5", change: func(f *fake) { f.sshd = "allowusers anna@10.0.0.0/8\nallowusers root@192.*\n" },
			root: "key no: sshd's AllowUsers anna@10.0.0.0/8 root@192.* keeps it out, password no: sshd's AllowUsers anna@10.0.0.0/8 root@192.* keeps it out, root yes"},
		{name: "AllowUsers with another address", from: "11.0.0.5", change: func(f *fake) { f.sshd = "allowusers anna@10.0.0.0/8\nallowusers root\n" },
			anna: "key no: sshd's AllowUsers anna@10.0.0.0/8 root keeps it out, password no: sshd's AllowUsers anna@10.0.0.0/8 root keeps it out, root yes"},
		{name: "DenyGroups", change: func(f *fake) { f.sshd = "denygroups sudo\n" },
			anna: "key no: sshd's DenyGroups sudo keeps it out, password no: sshd's DenyGroups sudo keeps it out, root yes"},
		{name: "keys only", change: func(f *fake) {
			f.sshd = "passwordauthentication no\nauthenticationmethods publickey\npermitrootlogin no\n"
		},
			anna: "key yes, password no: sshd takes no passwords, root yes",
			root: "key no: sshd does not let root in (PermitRootLogin no), password no: sshd takes no passwords, root yes"},
		{name: "a second factor", change: func(f *fake) { f.sshd = "authenticationmethods publickey,keyboard-interactive\n" },
			anna: "key yes, password no: sshd asks for more than a password (AuthenticationMethods publickey,keyboard-interactive), root yes",
			root: "key no: it has no key, password no: sshd asks for more than a password (AuthenticationMethods publickey,keyboard-interactive), root yes"},
		{name: "a locked password with PAM", change: func(f *fake) { f.set("anna", "!:20000:0:99999:7:::") },
			anna: "key yes, password no: its password is locked, root no: sudo asks for its password, and its password is locked"},
		{name: "a locked password without PAM", change: func(f *fake) { f.set("anna", "!:20000:0:99999:7:::"); f.sshd = "usepam no\n" },
			anna: "key no: its password is locked, and without PAM (UsePAM no) sshd takes that for a locked account, " +
				"password no: its password is locked, and without PAM (UsePAM no) sshd takes that for a locked account, root no: sudo asks for its password, and its password is locked"},
		{name: "no password and NOPASSWD", change: func(f *fake) { f.set("anna", "*:20000:0:99999:7:::"); f.sudo["anna"] = sudoFree },
			anna: "key yes, password no: it has no password, root yes"},
		{name: "an expired account", change: func(f *fake) { f.set("anna", usable+":20000:0:99999:7::20001:") },
			anna: "key no: the account has expired, password no: the account has expired, root yes"},
		{name: "a password that expired long ago", change: func(f *fake) { f.set("anna", usable+":19000:0:90:7:30::") },
			anna: "key no: its password has expired for too long, password no: its password has expired for too long, root yes"},
		{name: "no rule of sudo", change: func(f *fake) { delete(f.sudo, "anna") }, anna: "key yes, password yes, root no: no rule of sudo lets it"},
		{name: "a narrow rule of sudo", change: func(f *fake) { f.sudo["anna"] = sudoSome }, anna: "key yes, password yes, root no: no rule of sudo lets it run everything"},
		{name: "sudo without setuid", change: func(f *fake) { f.entries["/usr/bin/sudo"] = server.Entry{Mode: 0o755, Owner: "root"} },
			anna: "key yes, password yes, root no: /usr/bin/sudo does not belong to root with the setuid bit"},
		{name: "no sudo", change: func(f *fake) { delete(f.entries, "/usr/bin/sudo") }, anna: "key yes, password yes, root no: sudo is not installed"},
		{name: "another's key", change: func(f *fake) { f.keys(otherKey) },
			anna: "key no: ssh-ed25519 (old@desk) is not one of the site file, password yes, root yes"},
		{name: "a key from elsewhere", change: func(f *fake) { f.keys(`from="10.0.0.0/8" ` + annaKey) },
			anna: "key no: ssh-ed25519 (anna@desk) works only from 10.0.0.0/8, password yes, root yes"},
		{name: "a key for one command", change: func(f *fake) { f.keys(`command="/bin/backup" ` + annaKey) },
			anna: "key no: ssh-ed25519 (anna@desk) only runs /bin/backup, password yes, root yes"},
		{name: "a home that others may write", change: func(f *fake) { f.entries["/home/anna"] = dir("anna", 0o775) },
			anna: "key no: sshd does not read /home/anna/.ssh/authorized_keys because others may write /home/anna (StrictModes), password yes, root yes"},
		{name: "a home that only her own group may write", change: func(f *fake) { f.entries["/home/anna"] = grouped("anna", "anna", 0o775) }},
		{name: "a home that her group and another in it may write", change: func(f *fake) {
			f.entries["/home/anna"] = grouped("anna", "anna", 0o775)
			f.group = strings.Replace(f.group, "anna:x:1000:", "anna:x:1000:www", 1)
		}, anna: "key no: sshd does not read /home/anna/.ssh/authorized_keys because others may write /home/anna (StrictModes), password yes, root yes"},
		{name: "a home that another group may write", change: func(f *fake) { f.entries["/home/anna"] = grouped("anna", "www", 0o775) },
			anna: "key no: sshd does not read /home/anna/.ssh/authorized_keys because others may write /home/anna (StrictModes), password yes, root yes"},
		{name: "a home that all may write", change: func(f *fake) { f.entries["/home/anna"] = grouped("anna", "anna", 0o777) },
			anna: "key no: sshd does not read /home/anna/.ssh/authorized_keys because others may write /home/anna (StrictModes), password yes, root yes"},
		{name: "keys that belong to another", change: func(f *fake) { f.entries["/home/anna/.ssh"] = dir("bob", 0o700) },
			anna: "key no: sshd does not read /home/anna/.ssh/authorized_keys because /home/anna/.ssh belongs to bob (StrictModes), password yes, root yes"},
		{name: "keys of a type that is not taken", change: func(f *fake) { f.sshd = "pubkeyacceptedalgorithms rsa-sha2-512\n" },
			anna: "key no: ssh-ed25519 (anna@desk) is of a type that sshd does not take, password yes, root yes"},
		{name: "a shell that is gone", change: func(f *fake) { f.passwd[2] = "anna:x:1000:1000::/home/anna:/bin/zsh" },
			anna: "key no: its shell /bin/zsh does not exist, password no: its shell /bin/zsh does not exist, root yes"},
		{name: "no shell", change: func(f *fake) { f.passwd[2] = "anna:x:1000:1000::/home/anna:/usr/sbin/nologin" },
			anna: "key no: its shell is /usr/sbin/nologin, password no: its shell is /usr/sbin/nologin, root yes"},
		{name: "logins are closed", change: func(f *fake) { f.entries["/run/nologin"] = server.Entry{} },
			anna: "key no: logins are closed (nologin), password no: logins are closed (nologin), root yes"},
		{name: "another account with a password", change: func(f *fake) {
			f.passwd = append(f.passwd, "eve:x:1001:33::/home/eve:/bin/bash")
			f.shadow = append(f.shadow, "eve:"+usable+":20000:0:99999:7:::")
		}, others: "eve key no: it has no key, password yes, root no: no rule of sudo lets it"},
		{name: "root by break-glass", change: func(f *fake) {
			f.sshd = "passwordauthentication no\npermitrootlogin prohibit-password\nauthorizedkeysfile /etc/ssh/holdfast_break_glass_keys .ssh/authorized_keys\n"
			f.entries["/etc"], f.entries["/etc/ssh"] = dir("root", 0o755), dir("root", 0o755)
			f.entries["/etc/ssh/holdfast_break_glass_keys"] = server.Entry{Mode: 0o600, Owner: "root", Content: `restrict,pty,from="10.0.0.0/8" ` + otherKey + "\n"}
		}, config: func(c *server.Config) {
			c.BreakGlass = server.BreakGlass{Key: otherKey, From: []string{"10.0.0.0/8"}}
		},
			anna:   "key yes, password no: sshd takes no passwords, root yes",
			root:   "key no: ssh-ed25519 (old@desk) works only from 10.0.0.0/8, password no: sshd takes no passwords, root yes",
			others: "root key yes, password no: sshd takes no passwords, root yes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := stock(), config
			if tt.change != nil {
				tt.change(f)
			}
			if tt.config != nil {
				tt.config(&c)
			}
			all, err := forecast.Look(t.Context(), f, c, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			var others []string
			for _, a := range all {
				got := say(a)
				switch {
				case a.Kind == forecast.Admin:
					check(t, "anna", got, tt.anna, stockAnna)
				case a.Kind == forecast.Root:
					check(t, "root", got, tt.root, "key no: it has no key, password no: sshd lets root in without password only (PermitRootLogin without-password), root yes")
				default:
					others = append(others, a.Account+" "+got)
				}
			}
			check(t, "others", strings.Join(others, "\n"), tt.others, "")
		})
	}
}

func (f *fake) keys(line string) {
	f.entries["/home/anna/.ssh/authorized_keys"] = server.Entry{Mode: 0o600, Owner: "anna", Content: line + "\n"}
}

func say(a forecast.Access) string {
	var parts []string
	for _, w := range []struct {
		name string
		way  forecast.Way
	}{{"key", a.Key}, {"password", a.Password}, {"root", a.Root}} {
		if w.way.Works {
			parts = append(parts, w.name+" yes")
		} else {
			parts = append(parts, w.name+" no: "+w.way.Why)
		}
	}
	return strings.Join(parts, ", ")
}

func check(t *testing.T, who, got, want, usual string) {
	t.Helper()
	if want == "" {
		want = usual
	}
	if got != want && !(who == "root" && strings.HasPrefix(want, "key no: it has no key") && rootUsual(got)) {
		t.Errorf("%s:\n got %s\nwant %s", who, got, want)
	}
}

// rootUsual is what is said of root in cases that are about somebody else.
func rootUsual(got string) bool {
	return strings.HasSuffix(got, "root yes") && strings.HasPrefix(got, "key no")
}

// What cannot be told is an error and never an answer.
func TestLookCannotTell(t *testing.T) {
	for _, what := range []string{
		"getent passwd", "getent group", "/etc/shadow", "systemctl show", "/usr/sbin/sshd -T", "sudo -n -l", "/bin/bash",
		"/usr/bin/sudo", "/home/anna/.ssh/authorized_keys", "/home/anna/.ssh", "/run/nologin",
	} {
		t.Run(what, func(t *testing.T) {
			f := stock()
			f.broken[what] = errors.New("the connection was lost")
			if all, err := forecast.Look(t.Context(), f, config, ""); err == nil {
				t.Errorf("was told all the same: %+v", all)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	yes := forecast.Way{Works: true}
	no := func(why string) forecast.Way { return forecast.Way{Why: why} }
	anna := forecast.Access{Account: "anna", Kind: forecast.Admin, Key: yes, Password: yes, Root: yes}
	bob := anna
	bob.Account = "bob"
	root := forecast.Access{Account: "root", Kind: forecast.Root, Key: yes, Password: yes, Root: yes}
	with := func(a forecast.Access, key, password, root forecast.Way) forecast.Access {
		a.Key, a.Password, a.Root = key, password, root
		return a
	}
	shut := with(root, no("x"), no("x"), yes)
	none := no("there is no such account")
	glass := forecast.Access{Account: "root", Kind: forecast.BreakGlass, From: "10.0.0.1"}
	tests := []struct {
		name          string
		config        func(*server.Config)
		before, after []forecast.Access
		want          []string
		wanted        []string // what forecast.Wanted says
	}{
		{name: "a stock server with its first admin",
			before: []forecast.Access{with(anna, none, none, none), root},
			after:  []forecast.Access{with(anna, yes, no("x"), yes), shut}},
		{name: "the admin has no password yet",
			before: []forecast.Access{with(anna, none, none, none), root},
			after:  []forecast.Access{with(anna, yes, no("x"), no("sudo asks for its password, and it has no password")), shut},
			want: []string{"no admin could log in with a key and become root; anna could log in and not become root: " +
				"sudo asks for its password, and it has no password; root can today and could not any more"}},
		{name: "the admin has no password yet and root stays open",
			before: []forecast.Access{with(anna, none, none, none), root},
			after:  []forecast.Access{with(anna, yes, no("x"), no("x")), root}},
		{name: "one of two admins is kept out",
			before: []forecast.Access{anna, bob, root},
			after:  []forecast.Access{anna, with(bob, no("AllowGroups"), no("x"), yes), shut},
			want:   []string{"the admin bob could not log in with a key: AllowGroups"}},
		{name: "an admin loses sudo",
			before: []forecast.Access{anna, bob, root},
			after:  []forecast.Access{anna, with(bob, yes, no("x"), no("no rule")), shut},
			want:   []string{"the admin bob could not become root any more: no rule"}},
		{name: "no admins at all",
			before: []forecast.Access{root}, after: []forecast.Access{shut},
			want: []string{"no admin could log in with a key and become root: the site names none; root can today and could not any more"}},
		{name: "nobody is left, though nobody is lost",
			before: []forecast.Access{shut}, after: []forecast.Access{shut},
			want: []string{"no admin could log in with a key and become root: the site names none"}},
		{name: "break-glass would not open",
			before: []forecast.Access{anna, root},
			after:  []forecast.Access{anna, with(glass, no("AllowUsers"), no("x"), yes), shut},
			want:   []string{"the break-glass key would not open root from 10.0.0.1: AllowUsers"}},
		{name: "one of two admins is to be kept out", config: wantsLost("bob", ""),
			before: []forecast.Access{anna, bob, root},
			after:  []forecast.Access{anna, with(bob, no("AllowGroups"), no("x"), yes), shut},
			wanted: []string{"wanted by the site file: bob could not log in with a key: AllowGroups (left)"}},
		{name: "an admin is to lose sudo for a while", config: wantsLost("bob", "9999-12-31"),
			before: []forecast.Access{anna, bob, root},
			after:  []forecast.Access{anna, with(bob, yes, no("x"), no("no rule")), shut},
			wanted: []string{"wanted by the site file: bob could not become root any more: no rule (left, until 9999-12-31)"}},
		{name: "it is not wanted any more", config: wantsLost("bob", "2020-01-01"),
			before: []forecast.Access{anna, bob, root},
			after:  []forecast.Access{anna, with(bob, no("AllowGroups"), no("x"), yes), shut},
			want:   []string{"the admin bob could not log in with a key: AllowGroups"}},
		{name: "another's loss is wanted", config: wantsLost("carol", ""),
			before: []forecast.Access{anna, bob, root},
			after:  []forecast.Access{anna, with(bob, no("AllowGroups"), no("x"), yes), shut},
			want:   []string{"the admin bob could not log in with a key: AllowGroups"}},
		{name: "nothing is lost that was to be", config: wantsLost("bob", ""),
			before: []forecast.Access{anna, bob, root}, after: []forecast.Access{anna, bob, shut}},
		{name: "the last admin cannot be wanted to go", config: wantsLost("anna", ""),
			before: []forecast.Access{anna, root},
			after:  []forecast.Access{with(anna, no("AllowGroups"), no("x"), yes), shut},
			want:   []string{"no admin could log in with a key and become root; anna can today and could not any more; root can today and could not any more"},
			wanted: []string{"wanted by the site file: anna could not log in with a key: AllowGroups (left)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config
			if !slices.ContainsFunc(tt.after, func(a forecast.Access) bool { return a.Kind == forecast.Admin }) {
				c.Admins = nil
			}
			if tt.config != nil {
				tt.config(&c)
			}
			if got := forecast.Wanted(tt.before, tt.after, c); !slices.Equal(got, tt.wanted) {
				t.Errorf("wanted: got  %q\nwant %q", got, tt.wanted)
			}
			if got := forecast.Refuse(tt.before, tt.after, c); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// wantsLost makes a site want that an account loses access.
func wantsLost(account string, until server.Day) func(*server.Config) {
	return func(c *server.Config) {
		c.LosesAccess = []server.LostAccess{{Account: account, Reason: "left", Until: until}}
	}
}
