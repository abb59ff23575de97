package resource

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// patience is how long a command is tried again that another program keeps
// from working: a person in vipw, or the session manager of an account that
// has just logged out, which systemd keeps for 10 s.
const (
	patience = 30 * time.Second
	pause    = 500 * time.Millisecond
)

// busy are the words of programs that found a lock taken or an account in use.
var busy = []string{
	"try again later",                 // shadow: cannot lock /etc/passwd
	"Authentication token lock busy",  // PAM
	"is currently used by process",    // userdel
	"Could not get lock",              // apt, where its own patience does not reach
	"Unable to acquire the dpkg lock", // dpkg
	"is locked by another process",    // debconf
}

// run runs a command that changes the host, again and again for as long as it
// says that something else is in the way.
func run(ctx context.Context, h server.Host, stdin string, argv ...string) error {
	return patiently(ctx, func() error { return h.Run(ctx, stdin, argv...) })
}

// patiently is run for more than one command.
func patiently(ctx context.Context, do func() error) error {
	end := time.Now().Add(patience)
	for {
		err := do()
		if !isBusy(err) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func isBusy(err error) bool {
	var failed *server.CommandError
	if !errors.As(err, &failed) || failed.Err != nil {
		return false
	}
	for _, words := range busy {
		if strings.Contains(failed.Output, words) {
			return true
		}
	}
	return false
}
