package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
	"github.com/holdfast-security/holdfast/server/resource"
)

// Root is section 3.9, "Locking root".
func Root() []server.Control {
	return []server.Control{
		{
			ID:       "break-glass",
			Guide:    "3.9",
			Title:    "There is a way in when every other is lost",
			Why:      "A site whose only admins have lost their keys needs a door that depends on none of them.",
			Severity: server.High,
			Wants:    wantBreakGlass,
			Proofs: func(c server.Config) []server.Proof {
				if c.BreakGlass.Account == "" {
					return []server.Proof{breakGlassNamed}
				}
				return []server.Proof{breakGlassNamed, breakGlassAlone, adminsBecomeRoot([]string{c.BreakGlass.Account})}
			},
		},
		{
			ID:       "root-locked",
			Guide:    "3.9",
			Title:    "Root has no password",
			Why:      "Nobody can guess a password that does not exist, at the price that systemd's emergency mode, which asks for it, lets nobody in.",
			Severity: server.High,
			References: slices.Concat(
				cis("5.4.2.4", "5.4.2.4"), stig("UBTU-24-400110"),
			),
			LocksOut: true,
			Wants:    wantRootLocked,
			Proofs: func(c server.Config) []server.Proof {
				// One admin is enough: what a locked root breaks, it breaks for all.
				return []server.Proof{breakGlassNamed, rootIsLocked, adminsBecomeRoot(adminNames(c)[:min(1, len(c.Admins))])}
			},
		},
	}
}

func wantBreakGlass(_ context.Context, _ server.Reader, c server.Config) ([]server.Resource, error) {
	name := c.BreakGlass.Account
	if name == "" {
		return nil, nil
	}
	return []server.Resource{
		resource.Account{Account: name, Shell: adminShell, Groups: []string{adminGroup}},
		resource.Password{Account: name, Secret: c.Secrets[server.PasswordSecret(name)]},
	}, nil
}

// wantRootLocked locks root after the way around it, and not at all if there is
// none.
func wantRootLocked(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
	if c.BreakGlass.IsZero() {
		return nil, nil
	}
	first, err := wantBreakGlass(ctx, r, c)
	if err != nil {
		return nil, err
	}
	return append(first,
		resource.Password{Account: "root", Locked: true},
		resource.Aging{Account: "root"},
	), nil
}

// breakGlassNamed is that the site has a way in at all.
var breakGlassNamed = server.Proof{
	What: "the site names an account or a key that opens the server when all else fails",
	Ask: func(_ context.Context, _ server.Reader, c server.Config) (server.Answer, error) {
		switch b := c.BreakGlass; {
		case b.Account != "":
			return server.Answer{Holds: true, Evidence: "the account " + b.Account + ", on the console"}, nil
		case b.Key != "":
			return server.Answer{Holds: true, Evidence: "a key for root from " + strings.Join(b.From, ", ")}, nil
		}
		return server.Answer{Evidence: "the site file has no break_glass, so root is not locked"}, nil
	},
}

// breakGlassAlone is that the account depends on nothing that can be lost
// together with the admins' ways in.
var breakGlassAlone = server.Proof{
	What: "the break-glass account has a well hashed password, no SSH keys, and is no admin's own",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		name := c.BreakGlass.Account
		a := server.Answer{Command: "passwd -S " + name + "; ls ~" + name + "/.ssh"}
		db, err := accounts.Load(ctx, r)
		if err != nil {
			return a, err
		}
		account, found := db.Find(name)
		if !found {
			a.Evidence = "there is no account " + name
			return a, nil
		}
		keys, err := keysIn(ctx, r, account)
		if err != nil {
			return a, err
		}
		shared := slices.Contains(adminNames(c), name)
		a.Holds = account.Password == accounts.Usable && len(keys) == 0 && !shared && db.In(account, adminGroup)
		a.Evidence = fmt.Sprintf("password: %s, keys: %d, in group %s: %v", account.Password, len(keys), adminGroup, db.In(account, adminGroup))
		if shared {
			a.Evidence += ", the account of an admin"
		}
		return a, nil
	},
}

// rootIsLocked is that no password opens root.
var rootIsLocked = server.Proof{
	What: "no password opens root",
	Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
		a := server.Answer{Command: "passwd -S root"}
		db, err := accounts.Load(ctx, r)
		if err != nil {
			return a, err
		}
		root, found := db.Find("root")
		if !found {
			return a, fmt.Errorf("there is no account root")
		}
		a.Holds, a.Evidence = !root.Password.Opens(), "root's password: "+string(root.Password)
		return a, nil
	},
}
