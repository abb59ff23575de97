package desk

import (
	"context"
	"errors"
	"fmt"
)

// A Proof is what a fresh login has shown.
type Proof struct {
	Server, User, Address string
	// HostKey is the fingerprint of the pinned key that the server has proven.
	HostKey string
	// Algorithms are what the daemon that let the account in offers.
	Algorithms Algorithms
	// Root says that the account became root.
	Root bool
	// Coded says that the server has asked for a code.
	Coded bool
}

// Prove logs in to t as one account over a new connection, with a full key
// exchange against the pinned host key, and becomes root, by sudo with its
// password if sudo asks for one. No host key is accepted that is not pinned, at
// jump hosts neither. The account is remembered as the one to log in as. An error
// is one of [Desk.Dial]'s and [Conn.Start]'s.
func (d *Desk) Prove(ctx context.Context, t Target, as Login) (Proof, error) {
	t.Logins = []Login{as}
	c, err := d.dial(ctx, t, true, 0)
	if err != nil {
		return Proof{}, err
	}
	defer c.Close()
	p := Proof{Server: c.Server, User: c.User, Address: c.Address, HostKey: c.HostKey, Coded: c.Coded}
	if p.Algorithms, err = c.Algorithms(); err != nil {
		return p, fmt.Errorf("%s: reading the algorithms it offers: %w", t.Name, err)
	}
	s, words, err := c.root(ctx, `echo "$word $(id -u)"`, true)
	if err != nil {
		return p, err
	}
	defer s.session.Close()
	if p.Root = len(words) == 1 && words[0] == "0"; !p.Root {
		return p, &SudoError{Server: c.Server, User: c.User, Reason: SudoBroken, Text: fmt.Sprintf("id -u says %q", words)}
	}
	if t.Through == nil {
		d.remember(t.Name, as.User)
	}
	return p, nil
}

// Unlock makes sure that this desk could log in to t as one account with a key:
// it opens one of the account's keys, asking for its passphrase if it has one, so
// that no later login has to ask. It does not go to the network. If no key of the
// account is at this desk the error is a [*LoginError].
func (d *Desk) Unlock(ctx context.Context, t Target, as Login) error {
	s, err := d.lookUp(ctx, t.Address)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	held, err := d.held(ctx, s)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	wanted, err := publicKeys(as.Keys)
	if err != nil {
		return fmt.Errorf("%s: %w", as.User, err)
	}
	keys := offer(held, wanted, nil)
	if len(keys) == 0 {
		return &LoginError{Server: t.Name, User: as.User, Why: noKeyHere}
	}
	var locked error
	for _, k := range keys {
		if k.file == nil {
			return nil
		}
		_, err := k.file.open(func(again bool) ([]byte, error) {
			secret, err := d.ask(ctx, Question{Kind: Passphrase, File: k.file.path, Again: again})
			return []byte(secret.Reveal()), err
		})
		if err == nil {
			return nil
		}
		locked = errors.Join(locked, err)
	}
	return locked
}

// An Attempt is what came of a login that ought to be refused.
type Attempt struct {
	// Admitted says that the account got in.
	Admitted bool
	// Offered are the methods that the server took from this account before
	// anything was tried.
	Offered []string
	// Keys is how many keys were at hand to be offered, and Password says
	// whether a password was.
	Keys     int
	Password bool
}

// Try logs in to t as one account and tells what came of it; a refusal is no
// error. If as has neither keys at this desk nor Password, nothing is tried but
// what the server offers is still found out. Each refusal counts against this
// desk's address: there should be at most one a run.
func (d *Desk) Try(ctx context.Context, t Target, as Login) (Attempt, error) {
	t.Logins = []Login{as}
	var a Attempt
	s, err := d.lookUp(ctx, t.Address)
	if err != nil {
		return a, fmt.Errorf("%s: %w", t.Name, err)
	}
	if t, err = withJump(t, s); err != nil {
		return a, err
	}
	held, err := d.held(ctx, s)
	if err != nil {
		return a, fmt.Errorf("%s: %w", t.Name, err)
	}
	wanted, err := publicKeys(as.Keys)
	if err != nil {
		return a, fmt.Errorf("%s: %w", as.User, err)
	}
	var keys []heldKey
	if len(wanted) > 0 || as.AnyKey {
		keys = offer(held, wanted, nil)
	}
	a.Keys, a.Password = len(keys), as.Password
	c, err := d.connect(ctx, t, s, candidate{Login: as, keys: keys, offered: &a.Offered}, true, 0)
	var login *LoginError
	switch {
	case err == nil:
		a.Admitted = true
		return a, c.Close()
	case errors.As(err, &login) && login.Server == t.Name:
		return a, nil
	}
	return a, err
}
