package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// A password and its hash, SHA-256 crypt with few rounds so that checking it is
// quick. In a private copy of the machine it stands in for passwords that nobody
// but their owners knows; nothing outside of the copy ever accepts it.
const (
	standIn     = "Xk2!vowelbrt"
	standInHash = "$5$rounds=1000$holdfastproof$FJbg0LKSVAL0JTfuPECYSXB00GP31CfG4ObHGjYL/Y6"
)

// adminsBecomeRoot is the guide's own test: "sudo ls /" and "sudo su -" work.
func adminsBecomeRoot(names []string) server.Proof {
	return server.Proof{
		What:     `"sudo ls /" and "sudo su -" work with a password for ` + strings.Join(names, ", "),
		Question: "become root: " + strings.Join(names, " "),
		Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
			db, err := accounts.Load(ctx, r)
			if err != nil {
				return server.Answer{}, err
			}
			var said []string
			for _, name := range names {
				if a, found := db.Find(name); !found {
					said = append(said, name+": there is no such account")
				} else if !a.Password.Opens() {
					said = append(said, fmt.Sprintf("%s: its password is %s", name, a.Password))
				}
			}
			if said != nil {
				return server.Answer{Evidence: strings.Join(said, "\n"), Command: "getent passwd NAME; passwd -S NAME"}, nil
			}
			return inWorld(ctx, r, func(w server.World) (server.Answer, error) { return trySudo(ctx, w, names) })
		},
	}
}

// trySudo becomes root as each of names, with a stand-in for the password.
func trySudo(ctx context.Context, w server.World, names []string) (server.Answer, error) {
	a := server.Answer{Holds: true, Command: "runuser -u NAME -- sudo -k su - -c true"}
	if err := giveStandIn(ctx, w, names); err != nil {
		return a, err
	}
	commands := [][]string{{"/bin/ls", "/"}, {"/bin/su", "-", "-c", "true"}}
	said := make([]string, len(names)*len(commands))
	failed := make([]error, len(said))
	var wg sync.WaitGroup
	for i := range said {
		wg.Go(func() {
			name, command := names[i/len(commands)], commands[i%len(commands)]
			argv := append([]string{"runuser", "-u", name, "--", sudoBinary, "-S", "-k", "-p", ""}, command...)
			no, why, err := refused(ctx, w, standIn+"\n", argv...)
			failed[i] = err
			if no {
				said[i] = fmt.Sprintf("%s: sudo %s: %s", name, strings.Join(command, " "), why)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return a, err
	}
	said = slices.DeleteFunc(said, func(s string) bool { return s == "" })
	a.Holds, a.Evidence = len(said) == 0, strings.Join(said, "\n")
	if a.Holds {
		a.Evidence = "both work for " + strings.Join(names, ", ")
	}
	return a, nil
}

// giveStandIn replaces the hashes of names, and nothing else of their lines:
// what their age forbids must go on being forbidden.
func giveStandIn(ctx context.Context, w server.World, names []string) error {
	e, err := w.Read(ctx, "/etc/shadow")
	if err != nil {
		return err
	}
	var b strings.Builder
	for line := range strings.Lines(e.Content) {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && slices.Contains(names, f[0]) {
			line = f[0] + ":" + standInHash + ":" + f[2]
		}
		b.WriteString(line)
	}
	e.Content = b.String()
	return w.Write(ctx, "/etc/shadow", e)
}

// keysAreRead is that sshd looks for each admin's keys where they were put.
var keysAreRead = server.Proof{
	What: "sshd looks for every admin's keys where they are",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Holds: true, Command: "sshd -T -C user=NAME,host=" + clientAddr + ",addr=" + clientAddr}
		db, err := accounts.Load(ctx, r)
		if err != nil {
			return a, err
		}
		daemon, err := lookAwake(ctx, r, c)
		if err != nil {
			return a, err
		}
		var said []string
		for _, admin := range c.Admins {
			account, found := db.Find(admin.Name)
			if !found {
				a.Holds = false
				said = append(said, admin.Name+": there is no such account")
				continue
			}
			spec := anybody(c)
			spec.User = admin.Name
			settings, err := sshd.Effective(ctx, r, daemon.Options, &spec)
			if err != nil {
				return a, err
			}
			places := settings.Words("authorizedkeysfile")
			if !slices.ContainsFunc(places, func(p string) bool { return keyPath(p, account) == account.Keys() }) {
				a.Holds = false
			}
			said = append(said, admin.Name+": "+strings.Join(places, " "))
		}
		a.Evidence = strings.Join(said, "\n")
		return a, nil
	},
}

// keyPath is what a pattern of AuthorizedKeysFile stands for.
func keyPath(pattern string, a accounts.Account) string {
	p := strings.NewReplacer("%%", "%", "%h", a.Home, "%u", a.Name).Replace(pattern)
	if !strings.HasPrefix(p, "/") {
		p = a.Home + "/" + p
	}
	return p
}

// otherKeys reports keys that the site does not know. They are never removed,
// so they are no reason to fail.
var otherKeys = server.Proof{
	What: "the admins' keys are those of the site, and others are reported",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Holds: true, Command: "cat ~NAME/.ssh/authorized_keys"}
		db, err := accounts.Load(ctx, r)
		if err != nil {
			return a, err
		}
		var said []string
		for _, admin := range c.Admins {
			account, found := db.Find(admin.Name)
			if !found {
				continue
			}
			keys, err := keysIn(ctx, r, account)
			if err != nil {
				return a, err
			}
			for _, k := range keys {
				if !slices.ContainsFunc(admin.Keys, func(line string) bool {
					site, err := sshd.ParseKey(line)
					return err == nil && site.Blob == k.Blob
				}) {
					said = append(said, fmt.Sprintf("%s: line %d of %s is not the site's: %s", admin.Name, k.Line, account.Keys(), k))
				}
			}
		}
		a.Evidence = strings.Join(said, "\n")
		if said == nil {
			a.Evidence = "none but the site's"
		}
		return a, nil
	},
}

// keysIn returns the keys in an account's file, none if there is no file.
func keysIn(ctx context.Context, r server.Reader, a accounts.Account) ([]sshd.Key, error) {
	_, e, err := sshd.ReadThrough(ctx, r, a.Keys())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return sshd.ParseAuthorizedKeys(e.Content), err
}

// onlyKnownAdmins is that nobody but the site's people can log in and become
// root. Other accounts that can log in are reported and are no reason to fail.
var onlyKnownAdmins = server.Proof{
	What: "nobody but the site's admins can log in and become root",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Holds: true, Command: "getent group " + adminGroup + "; awk -F: '$3 == 0' /etc/passwd"}
		db, err := accounts.Load(ctx, r)
		if err != nil {
			return a, err
		}
		policy, err := readPolicy(ctx, r)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
		loose := slices.ContainsFunc(policy, func(f policyFile) bool { return f.Tighten() != f.Content })
		known := append(adminNames(c), "root", c.BreakGlass.Account)
		var said []string
		for _, account := range db.Accounts {
			if slices.Contains(known, account.Name) {
				continue
			}
			keys, err := keysIn(ctx, r, account)
			if err != nil {
				return a, err
			}
			if !account.Interactive() || !account.Password.Opens() && len(keys) == 0 {
				continue
			}
			outcome := "can log in"
			rule := db.In(account, adminGroup) || granted(policy, account.Name)
			switch {
			case account.UID == 0 || rule && (loose || account.Password.Opens()):
				a.Holds = false
				outcome = "can log in and become root"
			case rule:
				outcome = "can log in, and not become root, because sudo asks for a password that it does not have"
			}
			said = append(said, fmt.Sprintf("%s %s (password: %s, keys: %d)", account.Name, outcome, account.Password, len(keys)))
		}
		a.Evidence = strings.Join(said, "\n")
		if said == nil {
			a.Evidence = "no other account can log in"
		}
		return a, nil
	},
}

// granted reports whether a rule of sudo gives an account all commands.
func granted(policy []policyFile, name string) bool {
	return slices.ContainsFunc(policy, func(f policyFile) bool { return f.Grants(name) || f.Grants("ALL") })
}
