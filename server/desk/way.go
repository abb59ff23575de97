package desk

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
)

// A Way is how this desk gets to a server, for other programs to take it, too.
type Way struct {
	// Address is where the server is: the target's, or what the ssh
	// configuration says it stands for.
	Address string
	// ProxyJump and ProxyCommand are what the ssh configuration says; empty for
	// a target with a jump host of its own.
	ProxyJump, ProxyCommand string
	// Keys are the login's keys, in its order.
	Keys []WayKey
}

// A WayKey is one public key of a login.
type WayKey struct {
	// Line is the key in authorized_keys format.
	Line string
	// File is the path of the private key; empty if it is in no file that this
	// desk knows.
	File string
	// Held says that this desk has the private key, in a file or in the agent.
	Held bool
}

// Way tells how this desk gets to t as one account. It does not go to the
// network and asks nobody.
func (d *Desk) Way(ctx context.Context, t Target, as Login) (Way, error) {
	s, err := d.lookUp(ctx, t.Address)
	if err != nil {
		return Way{}, fmt.Errorf("%s: %w", t.Name, err)
	}
	w := Way{Address: t.Address}
	if s.hostName != "" {
		w.Address = s.hostName
	}
	if t.Jump == nil {
		w.ProxyJump, w.ProxyCommand = s.proxyJump, s.proxyCommand
	}
	held, err := d.held(ctx, s)
	if err != nil {
		return Way{}, fmt.Errorf("%s: %w", t.Name, err)
	}
	wanted, err := publicKeys(as.Keys)
	if err != nil {
		return Way{}, fmt.Errorf("%s: %w", as.User, err)
	}
	for i, public := range wanted {
		k := WayKey{Line: as.Keys[i], File: d.fileOf(s, public)}
		k.Held = k.File != "" || has(held, heldKey{public: public})
		w.Keys = append(w.Keys, k)
	}
	return w, nil
}

// fileOf returns the path of the private half of a key, by what it holds or by
// the public half beside it: a key in a token has nothing but a handle there.
func (d *Desk) fileOf(s *settings, public ssh.PublicKey) string {
	for _, path := range append(append([]string{}, d.config.KeyFiles...), s.identityFiles...) {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if k, err := d.file(path); err == nil && k != nil && same(bare(k.public), public) {
			return path
		}
		if beside := readPublic(path + ".pub"); beside != nil && same(beside, public) {
			return path
		}
	}
	return ""
}
