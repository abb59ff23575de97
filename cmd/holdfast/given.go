package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// An unbegunError is an error that came before any server was asked to change.
type unbegunError struct{ err error }

// Error returns what happened.
func (e *unbegunError) Error() string { return e.err.Error() }

// Unwrap returns the error.
func (e *unbegunError) Unwrap() error { return e.err }

// An unprovableError says that a plan must not be begun because nobody at this
// desk could confirm it.
type unprovableError struct {
	server string
	// admins says for each admin what is missing.
	admins []error
}

// Error names the server, then the admins, each in a line of its own.
func (e *unprovableError) Error() string {
	lines := []string{e.server + ": nobody at this desk could prove that an admin can still log in"}
	for _, err := range e.admins {
		lines = append(lines, strings.TrimPrefix(err.Error(), e.server+": "))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns what is missing.
func (e *unprovableError) Unwrap() []error { return e.admins }

// provable makes sure, before anything is begun, that this desk could confirm
// each plan: that it has the key of an admin, and the password for sudo or
// somebody to ask for it.
func (f *fleet) provable(ctx context.Context, plans []serverPlan) error {
	for i, srv := range f.servers {
		if len(plans[i].Plan.Steps) == 0 {
			continue
		}
		t := f.target(srv)
		missing := &unprovableError{server: srv.Name}
		for _, login := range stillIn(f.logins(), plans[i].Plan.After) {
			err := f.desk.Unlock(ctx, t, login)
			if err == nil {
				err = f.knowsPassword(login.User, srv, plans[i].Plan)
			}
			if err == nil {
				missing = nil
				break
			}
			missing.admins = append(missing.admins, err)
		}
		if missing != nil {
			return missing
		}
	}
	return nil
}

// knowsPassword says whether the password of an admin can be had: it is kept, is
// about to be asked for because the plan sets it, or somebody can be asked.
func (f *fleet) knowsPassword(user string, srv site.Server, p protocol.Plan) error {
	name := server.PasswordSecret(user)
	if !f.secrets.Get(name).IsZero() || slices.Contains(p.Needs, name) {
		return nil
	}
	if _, err := f.terminal(); err != nil {
		return &needsError{secret: name, err: &desk.UnaskedError{
			Question: desk.Question{Kind: desk.SudoPassword, Server: srv.Name, Account: user},
		}}
	}
	return nil
}

// takes asks the servers whether they would take the secrets that are to be set,
// such as by their rules for passwords. Where those rules are still to be
// installed only the server's own rehearsal, after that, can tell.
func (f *fleet) takes(ctx context.Context, plans []serverPlan, given map[string]server.Secret) error {
	errs := f.each(ctx, func(ctx context.Context, i int, srv site.Server) error {
		secrets := map[string]server.Secret{}
		for _, name := range plans[i].Plan.Needs {
			secrets[name] = given[name]
		}
		if len(secrets) == 0 || plans[i].Plan.Installs {
			return nil
		}
		s, err := f.connect(ctx, srv)
		if err != nil {
			return err
		}
		defer s.Close()
		p, err := f.planWith(ctx, s, srv, secrets)
		if err != nil {
			return err
		}
		for _, why := range p.Errors {
			err = errors.Join(err, &refusedSecretError{secrets: plans[i].Plan.Needs, why: why})
		}
		if err != nil {
			f.progress.done(srv.Name, false, "refused; the server was not changed")
		}
		return err
	})
	f.progress.end()
	return f.failed(errs, len(f.servers))
}

// A refusedSecretError says that a server does not take a secret.
type refusedSecretError struct {
	secrets []string
	why     string
}

// Error says why.
func (e *refusedSecretError) Error() string { return e.why }

// needed collects the secrets that the plans ask for, from secrets.age or from
// the person at the desk.
func (f *fleet) needed(plans []serverPlan) (map[string]server.Secret, error) {
	given := map[string]server.Secret{}
	for _, p := range plans {
		for _, name := range p.Plan.Needs {
			if _, ok := given[name]; ok {
				continue
			}
			secret := f.secrets.Get(name)
			if secret.IsZero() {
				var err error
				if secret, err = f.askNew(name); err != nil {
					return nil, &needsError{secret: name, err: err}
				}
			}
			// A login that proves the changes must not ask for it once more.
			if err := f.secrets.Set(name, secret); err != nil {
				return nil, err
			}
			given[name] = secret
		}
	}
	return given, nil
}

// askNew asks twice for a password that is to be set.
func (f *fleet) askNew(name string) (server.Secret, error) {
	what := "new " + describeSecret(name)
	first, err := f.askHidden(what)
	if err != nil {
		return server.Secret{}, err
	}
	again, err := f.askHidden("once more")
	if err != nil {
		return server.Secret{}, err
	}
	if first.Reveal() != again.Reveal() {
		return server.Secret{}, errors.New("the two were not the same")
	}
	if first.IsZero() {
		return server.Secret{}, errors.New("nothing was typed")
	}
	return first, nil
}
