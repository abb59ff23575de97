package site

import (
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// secondFactor checks what admins show besides their key.
func (c *checker) secondFactor() {
	f := c.site.SecondFactor
	if f == nil {
		return
	}
	if n, ok := c.sound("second_factor", "codes"); ok && !slices.Contains(knownCodes(), string(f.Codes)) {
		c.add(n, "there are no codes "+show(string(f.Codes)), "write codes: shared, codes: per-server or codes: none")
	}
	if n, ok := c.sound("second_factor", "fido2"); ok && f.FIDO2 != FIDO2Key && f.FIDO2 != FIDO2Both {
		c.add(n, "FIDO2 keys cannot count for "+show(string(f.FIDO2)), "write fido2: both or fido2: key")
	}
}

func knownCodes() []string {
	return []string{string(server.SharedCodes), string(server.CodesPerServer), string(server.NoCodes)}
}

// automation checks the accounts of programs and puts their keys in place.
func (c *checker) automation() {
	seen := map[string]int{}
	for i := range c.site.Automation {
		a := &c.site.Automation[i]
		c.name(CheckAccountName, "deploy", "automation", i, "name")
		c.unique(seen, "the account", "automation", i, "name")
		c.notAPerson(a.Name, i)
		if keys := c.keysAt(a.Key, "the account "+show(a.Name), "automation", i, "key"); len(keys) == 1 {
			a.Key = keys[0]
		} else if n, ok := c.sound("automation", i, "key"); ok {
			c.add(n, "the account of a program has several keys", "write one")
		}
		c.notEmpty(len(a.From), "from names no network", "from: [192.0.2.0/24]", "automation", i, "from")
		for j := range a.From {
			if n, ok := c.sound("automation", i, "from", j); ok {
				if what, instead := networkProblem(a.From[j]); what != "" {
					c.add(n, what, instead)
				}
			}
		}
		if n, ok := c.sound("automation", i, "command"); ok && !plainCommand(a.Command) {
			c.add(n, "the command is no path with plain arguments", "write the absolute path of a program or a script, without quotes")
		}
		c.onServers(i)
	}
}

func (c *checker) notAPerson(name string, i int) {
	n, ok := c.sound("automation", i, "name")
	if !ok {
		return
	}
	person := slices.ContainsFunc(c.site.Admins, func(a Admin) bool { return a.Name == name })
	if person || c.site.BreakGlass != nil && c.site.BreakGlass.Account == name {
		c.add(n, show(name)+" is the account of a person", "write an account of its own, such as name: deploy")
	}
}

func (c *checker) onServers(i int) {
	for j, name := range c.site.Automation[i].Servers {
		if n, ok := c.sound("automation", i, "servers", j); ok {
			if _, known := c.site.Server(name); !known {
				c.add(n, "there is no server "+show(name), "write the name of a server of the site")
			}
		}
	}
}

// plainCommand reports whether a command can stand in quotes in sshd's files and
// in authorized_keys, and means the same in both.
func plainCommand(s string) bool {
	return strings.HasPrefix(s, "/") && strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' && r != ' ' || r > '~' || strings.ContainsRune("\"\\`$#%;&|<>()", r)
	}) < 0
}
