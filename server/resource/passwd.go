package resource

import (
	"context"
	"fmt"
	"regexp"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
)

// accountName is what useradd of Debian takes without being told to. It keeps
// options, separators and line breaks out of commands and files.
var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

func checkName(kind, name string) error {
	if !accountName.MatchString(name) {
		return fmt.Errorf("%q is no name for %s", name, kind)
	}
	return nil
}

// readAccount returns an account's line in /etc/passwd, and whether there is one.
func readAccount(ctx context.Context, r server.Reader, account string) (accounts.Account, bool, error) {
	e, err := r.Read(ctx, "/etc/passwd")
	if err != nil {
		return accounts.Account{}, false, err
	}
	a, found, err := accounts.ParseAccount(e.Content, account)
	if err != nil {
		err = fmt.Errorf("/etc/passwd: %w", err)
	}
	return a, found, err
}
