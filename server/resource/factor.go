package resource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
)

// A Factor is the second factor of a local account, in the file that
// pam_google_authenticator reads. Its state is
//
//	enrolled DIGEST
//	settings TEXT
//	0400 root:root
//
// where DIGEST tells two keys apart; what the module remembers of logins and
// which recovery codes are left is no part of it. A file that cannot be read as
// one is "garbled DIGEST".
type Factor struct {
	// Account is the account's name.
	Account string `json:"account"`
	// Digest is that of the key that is wanted ([FactorDigest]); empty if any
	// will do.
	Digest string `json:"digest,omitempty"`
	// Secret is the enrolment ([factor.Enrolment]) that is written if there is
	// none, or another.
	Secret server.Secret `json:"-"`
	// Lent are single-use codes, separated by spaces, that a desk lends for the
	// run that writes the file; may be empty.
	Lent server.Secret `json:"-"`
}

// FactorDigest is what tells the key of an enrolment from others on the host
// that r shows.
func FactorDigest(ctx context.Context, r server.Reader, key string) (string, error) {
	return server.Digest(ctx, r, "second factor\x00"+key)
}

// Name returns "second factor NAME".
func (f Factor) Name() string { return "second factor " + f.Account }

// Want returns the state of a new file.
func (f Factor) Want() server.State {
	return factorState(f.Digest, factor.NewFile(factor.Enrolment{}), fileHead)
}

// fileHead is how the module leaves the file.
const fileHead = "0400 root:root"

func factorState(digest string, f factor.File, head string) server.State {
	return server.State("enrolled " + digest + "\nsettings " + f.Settings() + "\n" + head)
}

// Accepts reports whether s is Want's, with any key if none is wanted.
func (f Factor) Accepts(s server.State) bool {
	first, rest, _ := strings.Cut(string(s), "\n")
	wantFirst, wantRest, _ := strings.Cut(string(f.Want()), "\n")
	return rest == wantRest && (first == wantFirst || f.Digest == "" && strings.HasPrefix(first, wantFirst))
}

// Get returns the state of the account's file, empty if there is none.
func (f Factor) Get(ctx context.Context, r server.Reader) (server.State, error) {
	if err := checkName("an account", f.Account); err != nil {
		return "", err
	}
	e, found, err := readEntry(ctx, r, factor.Path(f.Account))
	if err != nil || !found {
		return "", err
	}
	return f.state(ctx, r, e)
}

func (f Factor) state(ctx context.Context, r server.Reader, e server.Entry) (server.State, error) {
	head := octal(e.Mode) + " " + e.Owner + ":" + e.Group
	file, err := factor.ParseFile(e.Content)
	if err != nil || !e.Mode.IsRegular() {
		digest, err := server.Digest(ctx, r, e.Content)
		return server.State("garbled " + digest + "\n" + head), err
	}
	digest, err := FactorDigest(ctx, r, file.Key)
	return factorState(digest, file, head), err
}

// Set writes a file that Accepts finds good, if it finds s so, and otherwise puts
// back the file that s was read from. The file that it replaces is kept.
func (f Factor) Set(ctx context.Context, h server.Host, s server.State) error {
	if err := checkName("an account", f.Account); err != nil {
		return err
	}
	e, found, err := readEntry(ctx, h, factor.Path(f.Account))
	if err != nil {
		return err
	}
	now := server.State("")
	if found {
		if now, err = f.state(ctx, h, e); err != nil {
			return err
		}
	}
	if now == s || f.Accepts(s) && f.Accepts(now) {
		return nil
	}
	if strings.Contains(string(now+s), " "+unkeyed) {
		return errors.New("the host has no key of digests yet")
	}
	next := server.Entry{Mode: 0o400, Owner: "root", Group: "root"}
	switch {
	case s == "":
	case f.Accepts(s):
		if next.Content, err = f.content(e.Content, now, s); err != nil {
			return err
		}
	default:
		text, kept, err := kept(ctx, h, f.vaultName(s))
		if err == nil && !kept {
			err = fmt.Errorf("the second factor of %s that was replaced is not kept any more", f.Account)
		}
		if err != nil {
			return err
		}
		if next, err = parseEntryState(server.State(text)); err != nil {
			return err
		}
	}
	if found {
		if err := keep(ctx, h, f.vaultName(now), string(entryState(e))); err != nil {
			return err
		}
	}
	return f.put(ctx, h, s, next)
}

// put writes the file, or removes it where s is that there is none.
func (f Factor) put(ctx context.Context, h server.Host, s server.State, e server.Entry) error {
	if s == "" {
		return h.Remove(ctx, factor.Path(f.Account))
	}
	if err := makeFactorDir(ctx, h); err != nil {
		return err
	}
	return h.Write(ctx, factor.Path(f.Account), e)
}

func makeFactorDir(ctx context.Context, h server.Host) error {
	for _, dir := range []string{server.StateDir, factor.Dir} {
		if _, found, err := readEntry(ctx, h, dir); err != nil {
			return err
		} else if !found {
			if err := h.Write(ctx, dir, server.Entry{Mode: fs.ModeDir | 0o700, Owner: "root", Group: "root"}); err != nil {
				return err
			}
		}
	}
	return nil
}

// content is the text of a good file: that of the same key keeps the recovery
// codes that are left.
func (f Factor) content(old string, now, s server.State) (string, error) {
	file, err := factor.ParseFile(old)
	sameKey, _, _ := strings.Cut(string(now), "\n")
	wanted, _, _ := strings.Cut(string(s), "\n")
	if err == nil && (f.Digest == "" || sameKey == wanted) {
		fresh := factor.NewFile(factor.Enrolment{})
		fresh.Key, fresh.Codes = file.Key, file.Codes
		return fresh.Lend(strings.Fields(f.Lent.Reveal())).String(), nil
	}
	if f.Secret.IsZero() {
		return "", &server.NeedsSecretError{Secret: server.FactorSecret(f.Account)}
	}
	e, err := factor.ParseEnrolment(f.Secret.Reveal())
	if err != nil {
		return "", err
	}
	return factor.NewFile(e).Lend(strings.Fields(f.Lent.Reveal())).String(), nil
}

// vaultName is where the file of a state is kept.
func (f Factor) vaultName(s server.State) string {
	sum := sha256.Sum256([]byte(f.Account + "\x00" + string(s)))
	return "factor-" + hex.EncodeToString(sum[:16])
}
