package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// Admins is section 3.6, "Setup Ordinary User Account".
func Admins() []server.Control {
	return []server.Control{
		{
			ID:         "admin-accounts",
			Guide:      "3.6",
			Title:      "Every admin has an account, keys and a password",
			Why:        "A person who logs in under a name of their own and becomes root with a password leaves a trace and can be let go.",
			Severity:   server.High,
			References: slices.Concat(anssi("R33"), stig("UBTU-24-300019"), nist("CM-6(b)")),
			LocksOut:   true,
			Wants:      wantAdmins,
			Proofs: func(c server.Config) []server.Proof {
				return []server.Proof{adminsBecomeRoot(adminNames(c)), keysAreRead, otherKeys}
			},
		},
		{
			ID:         "no-other-admins",
			Guide:      "3.6",
			Title:      "Only the site's admins can become root",
			Why:        "An account that nobody knows of is the one that nobody takes away.",
			Severity:   server.Medium,
			References: slices.Concat(stig("UBTU-24-300019"), nist("CM-6(b)")),
			Wants:      func(context.Context, server.Reader, server.Config) ([]server.Resource, error) { return nil, nil },
			Proofs:     func(server.Config) []server.Proof { return []server.Proof{onlyKnownAdmins} },
		},
	}
}

const adminShell = "/bin/bash"

func adminNames(c server.Config) []string {
	var all []string
	for _, a := range c.Admins {
		all = append(all, a.Name)
	}
	return all
}

func wantAdmins(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
	db, err := accounts.Load(ctx, r)
	if err != nil {
		return nil, err
	}
	var all []server.Resource
	for _, admin := range c.Admins {
		wants, err := wantAdmin(ctx, r, db, admin)
		if err != nil {
			return nil, fmt.Errorf("admin %s: %w", admin.Name, err)
		}
		all = append(all, wants...)
		all = append(all, resource.Password{Account: admin.Name, Secret: c.Secrets[server.PasswordSecret(admin.Name)]})
	}
	return all, nil
}

// wantAdmin returns the account with its home and keys. sshd does not read keys
// that lie where others may write (StrictModes).
func wantAdmin(ctx context.Context, r server.Reader, db accounts.Database, admin server.Admin) ([]server.Resource, error) {
	a, found := db.Find(admin.Name)
	group := admin.Name // useradd makes one
	if found {
		group = db.Group(a)
		if a.UID == 0 {
			return nil, errors.New("it is another name for root")
		}
	} else {
		a.Home = path.Join("/home", admin.Name)
	}
	home, err := homeOf(ctx, r, a.Home, admin.Name, group)
	if err != nil {
		return nil, err
	}
	ssh := resource.Dir{Path: path.Dir(a.Keys()), Mode: 0o700, Owner: admin.Name, Group: group}
	if err := noLink(ctx, r, ssh.Path); err != nil {
		return nil, err
	}
	keys, err := withKeys(ctx, r, a.Keys(), admin.Keys)
	if err != nil {
		return nil, err
	}
	return []server.Resource{
		resource.Account{Account: admin.Name, Shell: adminShell, Groups: []string{adminGroup}},
		home, ssh,
		resource.File{Path: a.Keys(), Mode: 0o600, Owner: admin.Name, Group: group, Content: keys},
	}, nil
}

// homeOf is the home with its own permissions, less those that let others write.
func homeOf(ctx context.Context, r server.Reader, home, owner, group string) (resource.Dir, error) {
	d := resource.Dir{Path: home, Mode: 0o700, Owner: owner, Group: group}
	e, err := r.Read(ctx, home)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, nil
	case err != nil:
		return d, err
	case !e.Mode.IsDir():
		return d, fmt.Errorf("its home %s is not a directory", home)
	}
	d.Mode = e.Mode & (fs.ModePerm | fs.ModeSetgid | fs.ModeSticky) &^ 0o022
	return d, nil
}

// noLink is an error if path is a symbolic link: keys are written as root, and
// who owns a link says where to.
func noLink(ctx context.Context, r server.Reader, name string) error {
	e, err := r.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && e.Mode&fs.ModeSymlink != 0 {
		err = fmt.Errorf("%s is a symbolic link to %s", name, e.Content)
	}
	return err
}

// withKeys returns the content of an authorized_keys file with keys in it. Keys
// that it has already stay as they are; new ones come first, because sshd obeys
// the first line that fits and an old line may restrict the same key.
func withKeys(ctx context.Context, r server.Reader, name string, keys []string) (string, error) {
	if err := noLink(ctx, r, name); err != nil {
		return "", err
	}
	e, err := r.Read(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	have := sshd.ParseAuthorizedKeys(e.Content)
	var content strings.Builder
	for _, line := range keys {
		k, err := sshd.ParseKey(line)
		if err != nil {
			return "", fmt.Errorf("a key of the site: %w", err)
		}
		if i := slices.IndexFunc(have, sameKey(k)); i < 0 || len(have[i].Options) > 0 {
			content.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	return content.String() + e.Content, nil
}

func sameKey(k sshd.Key) func(sshd.Key) bool {
	return func(other sshd.Key) bool { return other.Blob == k.Blob }
}
