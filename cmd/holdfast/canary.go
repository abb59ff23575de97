package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/forecast"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// canaryPatience is how long a server may take to make its canary and to let the
// desk log in.
const canaryPatience = 5 * time.Minute

// A trial is what is tried on a private copy of a server before the server
// itself is touched.
type trial struct {
	request protocol.CanaryRequest
	// admins must all get in with a key, as far as this desk has one, and one of
	// them must become root. Who must show a code must not get in without.
	admins []desk.Login
	// codes are lent to those who are about to be enrolled.
	codes map[string][]string
	// ways are accounts of which one must get in and become root, where admins
	// is empty.
	ways []desk.Login
	// closed are accounts that must be refused.
	closed []closedAccount
}

// A closedAccount is what the forecast says will be refused.
type closedAccount struct {
	user          string
	key, password bool
}

// A canaryError says that a plan would leave a server that cannot be logged in
// to as it should, or can where it should not.
type canaryError struct {
	failed []error
	// log is what the canary's sshd has logged.
	log string
}

// Error gives every failure, and sshd's words.
func (e *canaryError) Error() string {
	text := "the canary login failed"
	for _, one := range e.failed {
		text += "\n" + one.Error()
	}
	for line := range strings.Lines(e.log) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "Server listening") {
			text += "\nsshd: " + line
		}
	}
	return text
}

// Unwrap returns the failures.
func (e *canaryError) Unwrap() []error { return e.failed }

// adviceOnCanary is about logins that did not work on the private copy.
func (a *app) adviceOnCanary(err error) []string {
	if failed := (*canaryError)(nil); !errors.As(err, &failed) {
		return nil
	}
	return []string{
		"what refused the login is on the server already, or the changes bring it about; to see them, run", "    holdfast plan",
		"to see what PAM says of a login, look into the server's journal (journalctl -t sshd -t sudo) after one there",
	}
}

// stillIn are the logins of the admins who can log in with a key as the forecast
// says. Of a plan that is not refused the others are to lose the server.
func stillIn(logins []desk.Login, after []forecast.Access) []desk.Login {
	return slices.DeleteFunc(slices.Clone(logins), func(l desk.Login) bool {
		return slices.ContainsFunc(after, func(a forecast.Access) bool {
			return a.Kind == forecast.Admin && a.Account == l.User && !a.Key.Works
		})
	})
}

// closed are the accounts that the forecast calls closed: root, admins who have
// only a password, and admins who are to lose the server.
func closed(after []forecast.Access) []closedAccount {
	var all []closedAccount
	for _, a := range after {
		one := closedAccount{user: a.Account, key: !a.Key.Works, password: !a.Password.Works}
		if (a.Kind == forecast.Root || a.Kind == forecast.Admin) && (one.key || one.password) {
			all = append(all, one)
		}
	}
	// What matters most is said first.
	slices.SortStableFunc(all, func(a, b closedAccount) int {
		return strings.Compare(strconv.FormatBool(b.key), strconv.FormatBool(a.key))
	})
	return all
}

// canary logs in to what the server would become. Its error is an *ending: the
// server was not changed.
func (r *transactions) canary(ctx context.Context, srv site.Server, s *session, t trial) error {
	r.progress.set(srv.Name, "canary: trying the logins on a private copy of the server")
	began, turns := time.Now(), s.Conn.Counts().RoundTrips
	seen, err := r.rehearse(ctx, srv, s, t)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &ending{now: protocol.Unchanged, err: err}
	}
	r.progress.set(srv.Name, "%s", seen)
	if r.verbose {
		r.progress.pause(func() {
			r.say("%s: the canary took %.1f s and %d round trips", srv.Name, time.Since(began).Seconds(), s.Conn.Counts().RoundTrips-turns)
		})
	}
	return nil
}

// rehearse has the daemon make the canary, does the logins and ends it. It
// returns what was seen, or why there was no canary.
func (r *transactions) rehearse(ctx context.Context, srv site.Server, s *session, t trial) (seen string, err error) {
	ctx, end := context.WithTimeoutCause(ctx, canaryPatience, fmt.Errorf("the canary took longer than %v", canaryPatience))
	defer end()
	ready := make(chan struct{})
	isReady := sync.OnceFunc(func() { close(ready) })
	ended := make(chan error, 1)
	var result protocol.CanaryResult
	go func() {
		ended <- s.Call(ctx, protocol.OpCanary, t.request, &result, func(protocol.Event) { isReady() })
	}()
	select {
	case err := <-ended:
		switch {
		case err != nil:
			return "", err
		case result.Skipped != "":
			return "no canary: " + result.Skipped, nil
		}
		return "", errors.New("the server has made no canary")
	case <-ready:
	}
	target := r.target(srv)
	target.Through = s.Connect
	r.desk.LendThrough(srv.Name, t.codes)
	seen, failed := r.tryLogins(ctx, target, t)
	end()
	err = <-ended
	switch {
	case len(failed) > 0:
		return "", &canaryError{failed: failed, log: result.Log}
	case err != nil && !errors.Is(err, context.Canceled):
		return "", err
	}
	return "canary: " + seen, nil
}

// atOnce is how many logins that must be refused are tried side by side: the
// daemon carries few streams, and sshd greets few strangers.
const atOnce = 3

// tryLogins does all logins and says what they have shown.
func (r *transactions) tryLogins(ctx context.Context, t desk.Target, all trial) (seen string, failed []error) {
	words := make([]string, len(all.closed))
	refused := make(chan []error, 1)
	go func() {
		indices := make([]int, len(all.closed))
		for i := range indices {
			indices[i] = i
		}
		refused <- desk.Each(ctx, indices, atOnce, 0, func(ctx context.Context, i int) (err error) {
			words[i], err = r.tryClosed(ctx, t, all.closed[i])
			return err
		})
	}()
	var shown []string
	if len(all.admins) > 0 {
		shown, failed = r.tryAdmins(ctx, t, all.admins)
	} else {
		shown, failed = r.tryWays(ctx, t, all.ways)
	}
	for _, err := range <-refused {
		if err != nil {
			failed = append(failed, err)
		}
	}
	shown = append(shown, words...)
	return strings.Join(slices.DeleteFunc(shown, func(s string) bool { return s == "" }), "; "), failed
}

// tryAdmins lets every admin in whose key is here, and one of them become root.
func (r *transactions) tryAdmins(ctx context.Context, t desk.Target, admins []desk.Login) (seen []string, failed []error) {
	root := false
	for _, l := range admins {
		err := r.desk.Unlock(ctx, t, l)
		if none := (*desk.LoginError)(nil); errors.As(err, &none) {
			continue // its key is at another desk
		}
		if err != nil {
			return nil, []error{err}
		}
		if _, known := r.knownPassword(t, l.User); root && !known {
			a, err := r.desk.Try(ctx, t, l)
			if err == nil && !a.Admitted {
				err = fmt.Errorf("%s cannot log in with a key (the server takes %s)", l.User, strings.Join(a.Offered, ", "))
			}
			if err != nil {
				return nil, []error{err}
			}
			if err := r.alsoCode(ctx, t, l); err != nil {
				return nil, []error{err}
			}
			seen = append(seen, l.User+" logs in with "+shows(l))
			continue
		}
		if _, err := r.desk.Prove(ctx, t, r.newPassword(l)); err != nil {
			return nil, []error{err}
		}
		if err := r.alsoCode(ctx, t, l); err != nil {
			return nil, []error{err}
		}
		root = true
		seen = append(seen, l.User+" logs in with "+shows(l)+" and becomes root")
	}
	if !root {
		return nil, []error{errors.New("this desk has the key of no admin, so it could not log in afterwards")}
	}
	return seen, nil
}

// alsoCode makes sure that the key alone is not enough where a code is demanded.
func (r *transactions) alsoCode(ctx context.Context, t desk.Target, l desk.Login) error {
	if !l.MustCode {
		return nil
	}
	return r.tryKeyAlone(ctx, t, l)
}

// shows is what an admin logs in with.
func shows(l desk.Login) string {
	if l.MustCode {
		return "a key and a code, not with a key alone,"
	}
	return "a key"
}

// newPassword is how an admin becomes root who is about to get a password.
func (r *transactions) newPassword(l desk.Login) desk.Login {
	if secret, ok := r.given[server.PasswordSecret(l.User)]; ok {
		l.Sudo = func(context.Context) (server.Secret, error) { return secret, nil }
	}
	return l
}

// knownPassword is the password of an account if nobody has to be asked for it.
func (r *transactions) knownPassword(t desk.Target, user string) (server.Secret, bool) {
	for _, secret := range []server.Secret{
		r.given[server.PasswordSecret(user)], r.secrets.Get(server.PasswordSecret(user)), r.secrets.Get(site.LoginSecret(user, t.Name)),
	} {
		if !secret.IsZero() {
			return secret, true
		}
	}
	return r.desk.Known(t.Name, user)
}

// tryWays looks for one account that gets in and becomes root.
func (r *transactions) tryWays(ctx context.Context, t desk.Target, ways []desk.Login) (seen []string, failed []error) {
	for _, l := range ways {
		_, err := r.desk.Prove(ctx, t, l)
		if err == nil {
			return []string{l.User + " logs in and becomes root"}, nil
		}
		failed = append(failed, err)
	}
	return nil, failed
}

// tryClosed makes sure that an account is refused.
func (r *transactions) tryClosed(ctx context.Context, t desk.Target, c closedAccount) (seen string, err error) {
	l := desk.Login{User: c.user, AnyKey: c.key}
	if secret, ok := r.knownPassword(t, c.user); ok && c.password {
		l.Password = true
		l.Secret = func(context.Context) (server.Secret, error) { return secret, nil }
	}
	a, err := r.desk.Try(ctx, t, l)
	switch {
	case err != nil:
		return "", fmt.Errorf("trying whether %s is refused: %w", c.user, err)
	case a.Admitted:
		return "", fmt.Errorf("%s got in and must not: with %s", c.user, means(a))
	case c.key:
		return c.user + " is refused", nil
	}
	return c.user + " is refused without a key", nil
}

// means is what an attempt had to show.
func means(a desk.Attempt) string {
	switch {
	case a.Keys > 0 && a.Password:
		return "a key or a password"
	case a.Keys > 0:
		return "a key"
	case a.Password:
		return "a password"
	}
	return "nothing"
}
