package control

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
)

// scratch is an account that exists in private copies only.
const scratch = "hfproof"

// A candidate is a password to try, and what is wrong with it.
type candidate struct{ fault, password string }

// weakPasswords break one rule each and no other.
func weakPasswords(rules server.PasswordRules) []candidate {
	if rules == server.PasswordsNIST {
		return []candidate{
			{"is short", "qvowel zkbrt"},
			{"is in the dictionary", "uncharacteristically"},
			{"holds the user name", "zq vk " + scratch + " wd"},
		}
	}
	return []candidate{
		{"is short", "aB3!xkqv"},
		{"holds no digit", "Xkzz!vowelbrtqw"},
		{"holds no capital", "xk2z!vowelbrtqw"},
		{"holds nothing but letters and digits", "Xk2zzvowelbrtqw"},
		{"is in the dictionary", "Uncharacteristically1!"},
		{"holds the user name", "X" + scratch + "7!zqkvw"},
	}
}

// strongPassword meets every rule, also where a machine asks for more than we
// do.
const strongPassword = "Vk7!qz-Wd2#mb_Ry9;hx+Ut4.Lc6~gn"

// realPasswords has root give real passwords to a new account: what is refused
// to root is refused to everybody.
var realPasswords = server.Proof{
	What: "weak passwords are refused, even from root, and a strong one is taken and hashed with yescrypt",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		return inWorld(ctx, r, func(w server.World) (server.Answer, error) {
			return tryPasswords(ctx, w, c.Passwords)
		})
	},
}

func tryPasswords(ctx context.Context, w server.World, rules server.PasswordRules) (server.Answer, error) {
	a := server.Answer{Command: "printf 'NAME:PASSWORD\\n' | chpasswd"}
	if err := w.Run(ctx, "", "useradd", "--no-create-home", "--no-user-group", "--shell", "/usr/sbin/nologin", scratch); err != nil {
		return a, err
	}
	weak := weakPasswords(rules)
	var lines strings.Builder
	for _, p := range weak {
		fmt.Fprintf(&lines, "%s:%s\n", scratch, p.password)
	}
	_, said, err := refused(ctx, w, lines.String(), "chpasswd")
	if err != nil {
		return a, err
	}
	var taken []string
	for i, p := range weak {
		if !strings.Contains(said, fmt.Sprintf("(line %d, user %s) password not changed", i+1, scratch)) {
			taken = append(taken, "a password that "+p.fault)
		}
	}
	if len(taken) > 0 {
		a.Evidence = "chpasswd took " + strings.Join(taken, ", ")
		return a, nil
	}
	no, said, err := refused(ctx, w, scratch+":"+strongPassword+"\n", "chpasswd")
	if err != nil {
		return a, err
	}
	if no {
		a.Evidence = "chpasswd refuses a strong password too: " + lastLine(said)
		return a, nil
	}
	hash, err := hashOf(ctx, w, scratch)
	if err != nil {
		return a, err
	}
	a.Holds = strings.HasPrefix(hash, "$y$")
	a.Evidence = fmt.Sprintf("chpasswd refused %d weak passwords and took a strong one; its hash begins with %.3s", len(weak), hash)
	return a, nil
}

// hashOf returns the password field of an account.
func hashOf(ctx context.Context, r server.Reader, name string) (string, error) {
	e, err := r.Read(ctx, "/etc/shadow")
	if err != nil {
		return "", err
	}
	line, found, err := accounts.ParseShadow(e.Content, name)
	if err == nil && !found {
		err = fmt.Errorf("there is no line for %s", name)
	}
	if err != nil {
		return "", fmt.Errorf("/etc/shadow: %w", err)
	}
	return line.Hash, nil
}
