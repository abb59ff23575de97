package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// lentAtOnce is how many logins a run can make on a server before it is lent
// codes anew, which happens with each session as root.
const lentAtOnce = 8

// lend asks a server that has asked for a code for some that this run's next
// logins can use, so that a person types at most one.
func (f *fleet) lend(ctx context.Context, s *desk.Session, name string) error {
	if f.run == "" || !s.Conn.Coded {
		return nil
	}
	codes, secrets := map[string][]string{}, map[string]server.Secret{}
	for _, admin := range f.site.Admins {
		codes[admin.Name] = factor.Codes(lentAtOnce)
		secrets[server.LentSecret(admin.Name)] = server.NewSecret(strings.Join(codes[admin.Name], " "))
	}
	var out protocol.LendResult
	request := protocol.LendRequest{Run: f.run, Carried: protocol.Carried{Secrets: secrets}}
	if err := s.Call(ctx, protocol.OpLend, request, &out, nil); err != nil {
		return fmt.Errorf("borrowing codes for the next logins: %w", err)
	}
	for _, account := range out.Accounts {
		if codes[account] == nil {
			return fmt.Errorf("%s has lent codes to %s, which was not asked for", name, account)
		}
		f.desk.Lend(name, account, codes[account])
	}
	return nil
}

// factors are the second factors of the admins on a server, as far as this desk
// has them. A server gets its own and no other's.
func (f *fleet) factors(srv site.Server) map[string]server.Secret {
	all := map[string]server.Secret{}
	for _, admin := range f.site.Admins {
		if secret := f.secrets.Get(f.site.FactorSecret(admin.Name, srv.Name)); !secret.IsZero() {
			all[server.FactorSecret(admin.Name)] = secret
		}
	}
	return all
}

// enrolling are the admins for whom a plan writes a second factor, with codes for
// the logins that prove it, by account.
func enrolling(p protocol.Plan) map[string][]string {
	codes := map[string][]string{}
	for _, step := range p.Steps {
		if account, ok := strings.CutPrefix(step.Resource, "second factor "); ok && step.After != "" {
			codes[account] = factor.Codes(lentAtOnce)
		}
	}
	return codes
}

// demanding marks the logins of those who are asked for a code once a plan was
// carried out: a login without one proves the contrary.
func demanding(logins []desk.Login, p protocol.Plan) []desk.Login {
	var all []desk.Login
	for _, l := range logins {
		for _, a := range p.After {
			l.MustCode = l.MustCode || a.Account == l.User && a.Code
		}
		all = append(all, l)
	}
	return all
}

// maxClock is how far a server's clock may be off: beyond it, a code that is right
// may be refused.
const maxClock = 20 * time.Second

// clockOf greets a server and returns how far its clock is ahead of this desk's.
func (f *fleet) clockOf(ctx context.Context, s *session) (time.Duration, error) {
	began := time.Now()
	w, err := f.greet(ctx, s)
	// Half of the way it has taken is the answer's.
	return w.Clock.Sub(began.Add(time.Since(began) / 2)), err
}

// clockProblem says that a clock is off by too much, nil if it is not.
func clockProblem(off time.Duration) error {
	if off.Abs() <= maxClock {
		return nil
	}
	return fmt.Errorf("its clock and the one here are %v apart, so codes that are right would be refused", off.Abs().Round(time.Second))
}

// tryKeyAlone makes sure that an admin who is to show a code does not get in with
// the key alone.
func (r *transactions) tryKeyAlone(ctx context.Context, t desk.Target, l desk.Login) error {
	l.KeyOnly, l.MustCode = true, false
	a, err := r.desk.Try(ctx, t, l)
	if err == nil && a.Admitted {
		err = errors.New(l.User + " got in with a key alone and must not")
	}
	return err
}
