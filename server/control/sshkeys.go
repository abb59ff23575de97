package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// strongKeys refuses new weak keys and reports installed ones.
func strongKeys() server.Control {
	return server.Control{
		ID:       "ssh-strong-keys",
		Guide:    "3.7",
		Title:    "The admins' keys are strong",
		Why:      "A key that can be computed from its public half opens every server that knows it.",
		Severity: server.Medium,
		Wants: func(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
			return nil, refuseWeakKeys(ctx, r, c)
		},
		Proofs: func(c server.Config) []server.Proof {
			var all []server.Proof
			for _, a := range c.Admins {
				all = append(all, strongKeysOf(a.Name))
			}
			return all
		},
	}
}

// refuseWeakKeys is an error if the site brings a weak key that the server does
// not know yet.
func refuseWeakKeys(ctx context.Context, r server.Reader, c server.Config) error {
	var errs []error
	for _, a := range c.Admins {
		for _, line := range a.Keys {
			k, err := sshd.ParseKey(line)
			if err != nil {
				errs = append(errs, fmt.Errorf("a key of %s: %w", a.Name, err))
				continue
			}
			weak := k.Strong()
			if weak == nil {
				continue
			}
			installed, _, err := keysOf(ctx, r, a.Name)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if !holds(installed, k) {
				errs = append(errs, fmt.Errorf("a new key of %s: %w", a.Name, weak))
			}
		}
	}
	return errors.Join(errs...)
}

func holds(keys []sshd.Key, k sshd.Key) bool {
	for _, have := range keys {
		if have.Blob == k.Blob {
			return true
		}
	}
	return false
}

// keysOf returns the keys in an account's authorized_keys and the file they
// stand in; none if there is no account or no file.
func keysOf(ctx context.Context, r server.Reader, account string) (keys []sshd.Key, file string, _ error) {
	out, err := r.Output(ctx, "getent", "passwd", account)
	var failed *server.CommandError
	if errors.As(err, &failed) && failed.Exit == 2 {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking for the account %s: %w", account, err)
	}
	a, found := accounts.Parse(out, "", "").Find(account)
	if !found {
		return nil, "", fmt.Errorf("getent says of the account %s: %q", account, out)
	}
	file = a.Keys()
	_, e, err := sshd.ReadThrough(ctx, r, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, file, nil
	}
	if err != nil {
		return nil, file, fmt.Errorf("reading the keys of %s: %w", account, err)
	}
	return sshd.ParseAuthorizedKeys(e.Content), file, nil
}

// strongKeysOf is that no key of an admin is weak. Foreign and installed keys
// stay, as a finding.
func strongKeysOf(admin string) server.Proof {
	return server.Proof{
		What: "the keys of " + admin + " are strong",
		Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
			keys, file, err := keysOf(ctx, r, admin)
			if err != nil {
				return server.Answer{}, err
			}
			a := server.Answer{Holds: true, Command: "ssh-keygen -l -f " + file}
			var weak, strong, all []string
			for _, k := range keys {
				all = append(all, k.String())
				if err := k.Strong(); err != nil {
					weak = append(weak, fmt.Sprintf("%s:%d: %v", file, k.Line, err))
				} else {
					strong = append(strong, k.String())
				}
			}
			switch {
			case len(weak) > 0 && len(strong) == 0:
				a.Holds, a.Evidence = false, strings.Join(weak, "\n")+"\n"+admin+" has no stronger key here yet, so it goes on opening the account"
			case len(weak) > 0:
				a.Holds, a.Evidence = false, strings.Join(weak, "\n")+"\nbeside a stronger one, with which it is not needed: "+strings.Join(strong, ", ")
			case len(all) == 0:
				a.Evidence = "there are no keys yet"
				a.Command = "getent passwd " + admin
			default:
				a.Evidence = file + ": " + strings.Join(all, ", ")
			}
			return a, nil
		},
	}
}
