package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// transactions is what one command does to its servers: on each, one guarded
// transaction after the other until nothing is left to do.
type transactions struct {
	*fleet
	guard protocol.Guard
	given map[string]server.Secret
}

// An ending is an error of a guarded run that tells in what state the server is
// now.
type ending struct {
	now protocol.Outcome
	// id is the transaction; empty if none was begun.
	id  string
	err error
}

// Error returns what happened.
func (e *ending) Error() string { return e.err.Error() }

// Unwrap returns the error.
func (e *ending) Unwrap() error { return e.err }

// server carries out a plan on one server.
func (r *transactions) server(ctx context.Context, srv site.Server, shown protocol.Plan) error {
	packages, err := r.carryOut(ctx, srv, shown)
	if err == nil {
		r.progress.done(srv.Name, true, "secured: %s, confirmed by new logins", plural(len(shown.Steps), "change"))
		return nil
	}
	var e *ending
	if packages != "" && (!errors.As(err, &e) || e.now == protocol.Undone || e.now == protocol.Unchanged) {
		err = r.putBackPackages(ctx, srv, packages, err)
	}
	return r.end(srv, err)
}

// carryOut begins, proves and confirms transactions until nothing is left of a
// plan. It returns the one that has installed packages, if there was one.
func (r *transactions) carryOut(ctx context.Context, srv site.Server, shown protocol.Plan) (packages string, err error) {
	plan := shown
	for {
		t, err := r.one(ctx, srv, plan)
		if err != nil || !t.More {
			return packages, err
		}
		packages = t.ID
		if plan, err = r.next(ctx, srv, shown); err != nil || len(plan.Steps) == 0 {
			return packages, err
		}
	}
}

// end shows how a server has ended and gives its error an exit status.
func (r *transactions) end(srv site.Server, err error) error {
	var e *ending
	code := exitFailed
	text := "failed; the server was not changed"
	if errors.As(err, &e) {
		switch e.now {
		case protocol.Undone:
			code, text = exitRolledBack, "rolled back; the server is as it was"
		case protocol.Pending, protocol.Unsure:
			code, text = exitUnknown, "the state of the server is not known"
		}
	}
	r.progress.done(srv.Name, false, "%s", text)
	return &exitError{code: code, err: err}
}

// next is the plan for what is left. What was not shown before is shown now.
func (r *transactions) next(ctx context.Context, srv site.Server, shown protocol.Plan) (protocol.Plan, error) {
	s, err := r.connect(ctx, srv)
	if err != nil {
		return protocol.Plan{}, err
	}
	defer s.Close()
	plan, err := r.plan(ctx, s, srv)
	if err != nil {
		return protocol.Plan{}, err
	}
	if err := stopped([]serverPlan{{Server: srv.Name, Plan: plan}}); err != nil {
		r.progress.pause(func() { r.printPlan(srv.Name+", now that the packages are there", plan) })
		return protocol.Plan{}, err
	}
	known := func(one protocol.PlanStep) bool {
		return slices.ContainsFunc(shown.Steps, func(s protocol.PlanStep) bool {
			return s.Resource == one.Resource && (s.Diff == one.Diff || !strings.HasPrefix(s.Resource, "file "))
		})
	}
	fresh := plan
	fresh.Steps = slices.DeleteFunc(slices.Clone(plan.Steps), known)
	if len(fresh.Steps) > 0 {
		r.progress.pause(func() { r.printPlan(srv.Name+", now that the packages are there", fresh) })
	}
	return plan, nil
}

// one carries out one transaction: begins it, proves it, confirms it.
func (r *transactions) one(ctx context.Context, srv site.Server, plan protocol.Plan) (protocol.Transaction, error) {
	config, err := r.config(srv)
	if err != nil {
		return protocol.Transaction{}, err
	}
	s, err := r.connect(ctx, srv)
	if err != nil {
		return protocol.Transaction{}, err
	}
	guard, nonce := r.newGuard()
	secrets, codes := r.factors(srv), enrolling(plan)
	maps.Copy(secrets, r.given)
	for account, all := range codes {
		secrets[server.LentSecret(account)] = server.NewSecret(strings.Join(all, " "))
	}
	request := protocol.ApplyRequest{Config: config, Digest: plan.Digest, Guard: guard, Carried: protocol.Carried{Secrets: secrets}}
	proof := demanding(stillIn(r.logins(), plan.After), plan)
	var open []site.Server
	if plan.Installs {
		proof = []desk.Login{r.loginOf(s.user, srv)}
	} else {
		open = r.paths(ctx, srv)
		if err := r.canary(ctx, srv, s, trial{
			request: protocol.CanaryRequest{Config: config, Digest: plan.Digest, Carried: request.Carried},
			admins:  proof, codes: codes, closed: closed(plan.After),
		}); err != nil {
			s.Close()
			return protocol.Transaction{}, err
		}
	}
	for account, all := range codes {
		r.desk.Lend(srv.Name, account, all)
	}
	return r.carry(ctx, srv, s, protocol.OpApply, request, nonce, proof, open)
}

func (r *transactions) newGuard() (protocol.Guard, string) {
	nonce := random(16)
	sum := sha256.Sum256(nonce)
	g := r.guard
	g.NonceHash = hex.EncodeToString(sum[:])
	return g, hex.EncodeToString(nonce)
}

// loginOf is how user gets in.
func (r *transactions) loginOf(user string, srv site.Server) desk.Login {
	for _, l := range r.logins() {
		if l.User == user {
			return l
		}
	}
	l := firstLogin(srv)
	l.User = user
	return l
}

// carry begins a transaction over s, which it closes, and proves it by new
// logins of one of the accounts, and through it to the servers in open.
func (r *transactions) carry(ctx context.Context, srv site.Server, s *session, op protocol.Op, request any, nonce string, proof []desk.Login, open []site.Server) (protocol.Transaction, error) {
	var id string
	var t protocol.Transaction
	r.progress.set(srv.Name, "preparing: snapshot and rehearsal of the rollback")
	err := s.Call(ctx, op, request, &t, func(e protocol.Event) {
		id = e.Transaction
		if text := r.life(e); text != "" {
			r.progress.set(srv.Name, "%s", text)
		}
	})
	s.Close()
	if err != nil && id == "" && lost(err) {
		// It may have begun and been unable to say so.
		var unsure error
		if id, unsure = r.begun(ctx, srv, proof); unsure != nil {
			return t, &ending{now: protocol.Unsure, err: errors.Join(err, unsure)}
		}
	}
	if err != nil && id != "" && ctx.Err() == nil && lost(err) {
		// The changes may have ended this very session; the transaction goes on
		// without it.
		t, err = r.follow(ctx, srv, id, proof)
	}
	switch {
	case err != nil && id == "" && lost(err):
		return t, r.unheard(ctx, srv, proof, err)
	case err != nil && id == "":
		return t, err
	case err != nil:
		return t, r.giveUp(ctx, srv, id, proof, err)
	case t.ID == "":
		return t, nil
	case t.State == protocol.StateApplied:
		return r.prove(ctx, srv, t, nonce, proof, open)
	case t.State == protocol.StatePrepared:
		// Nobody carries it on.
		return t, r.giveUp(ctx, srv, t.ID, proof, errors.New("holdfastd ended before it had begun"))
	case t.State == protocol.StateRollingBack:
		// It was applied, and the server has begun to put itself back meanwhile.
		return t, r.giveUp(ctx, srv, t.ID, proof, errors.New(t.Reason))
	case t.State == protocol.StateRolledBack:
		return t, &ending{now: protocol.Undone, id: t.ID, err: errors.New(t.Reason)}
	}
	return t, &ending{now: protocol.Unsure, id: t.ID, err: fmt.Errorf("transaction %s is %s: %s", t.ID, t.State, t.Reason)}
}

// unheard finds out, over a new connection, what became of a transaction whose
// beginning was asked for and never heard of, and ends it.
func (r *transactions) unheard(ctx context.Context, srv site.Server, proof []desk.Login, why error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	accounts := r.anybody(srv, proof)
	for pause := time.Second; ; pause += time.Second {
		r.progress.set(srv.Name, "the session has ended; looking what it has left")
		s, err := r.connectAs(ctx, r.target(srv, accounts...))
		if err == nil {
			var t protocol.Transaction
			err = s.Call(ctx, protocol.OpStatus, protocol.TransactionRequest{}, &t, nil)
			s.Close()
			switch {
			case err != nil:
			case t.Run != r.guard.Run || t.State == protocol.StateConfirmed:
				return why // it was not begun
			default:
				return r.giveUp(ctx, srv, t.ID, proof, why)
			}
		}
		select {
		case <-ctx.Done():
			return &ending{now: protocol.Unsure, err: why}
		case <-time.After(pause):
		}
	}
}

// lost reports whether a conversation has ended from the other side.
func lost(err error) bool {
	var closed *protocol.ClosedError
	var gone *desk.LostError
	return errors.As(err, &closed) || errors.As(err, &gone)
}

// begun asks, over a new connection, which transaction of this run the server has
// begun and not confirmed; empty if there is none. It tries for the length of the
// window and a minute.
func (r *transactions) begun(ctx context.Context, srv site.Server, proof []desk.Login) (id string, err error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(r.guard.Window)*time.Second+time.Minute)
	defer stop()
	accounts := r.anybody(srv, proof)
	for {
		r.progress.set(srv.Name, "the session has ended; asking what the server has begun")
		s, err := r.connectAs(ctx, r.target(srv, accounts...))
		if err == nil {
			var out protocol.HistoryResult
			err = s.Call(ctx, protocol.OpHistory, protocol.HistoryRequest{Limit: 5}, &out, nil)
			s.Close()
			i := slices.IndexFunc(out.Transactions, func(t protocol.Transaction) bool {
				return t.Run == r.guard.Run && t.State != protocol.StateConfirmed
			})
			if err == nil && i >= 0 {
				return out.Transactions[i].ID, nil
			}
			if err == nil {
				return "", nil
			}
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(2 * time.Second):
		}
	}
}

// anybody are the accounts of proof first, and then every other one: whether the
// server is as it was or as it was to be is not known.
func (r *transactions) anybody(srv site.Server, proof []desk.Login) []desk.Login {
	all := slices.Clone(proof)
	for i := range all {
		all[i].MustCode = false
	}
	for _, l := range append(r.logins(), firstLogin(srv)) {
		if !slices.ContainsFunc(all, func(one desk.Login) bool { return one.User == l.User }) {
			all = append(all, l)
		}
	}
	return all
}

// follow waits over new connections until a transaction waits for its proof or
// has ended, at most for its window.
func (r *transactions) follow(ctx context.Context, srv site.Server, id string, proof []desk.Login) (protocol.Transaction, error) {
	ctx, stop := context.WithTimeout(ctx, time.Duration(r.guard.Window)*time.Second)
	defer stop()
	accounts := r.anybody(srv, proof)
	for pause := 2 * time.Second; ; pause += time.Second {
		r.progress.set(srv.Name, "the session has ended; waiting to log in anew")
		select {
		case <-ctx.Done():
			return protocol.Transaction{}, fmt.Errorf("waiting for the changes to be in place: %w", ctx.Err())
		case <-time.After(pause):
		}
		s, err := r.connectAs(ctx, r.target(srv, accounts...))
		if err != nil {
			continue
		}
		var t protocol.Transaction
		err = s.Call(ctx, protocol.OpStatus, protocol.TransactionRequest{Transaction: id}, &t, nil)
		s.Close()
		if err == nil && t.State != protocol.StateArmed && t.State != protocol.StateApplying && t.State != protocol.StateRollingBack {
			return t, nil
		}
	}
}

// life is one line about where a transaction is.
func (r *transactions) life(e protocol.Event) string {
	switch {
	case e.Step > 0:
		return fmt.Sprintf("applying %d/%d: %s", e.Step, e.Steps, e.Text)
	case e.State == protocol.StateArmed:
		until := time.Now().Add(time.Duration(r.guard.Window) * time.Second)
		return "armed: puts itself back at " + until.Format(time.TimeOnly) + " unless confirmed"
	case e.State == protocol.StateRollingBack:
		return "rolling back: " + e.Text
	case e.State != "":
		return strings.TrimSpace(e.State + " " + e.Text)
	}
	return e.Text
}

// prove logs in anew over every address family, becomes root, goes through the
// server to those in open, and confirms over the last of those logins.
func (r *transactions) prove(ctx context.Context, srv site.Server, t protocol.Transaction, nonce string, proof []desk.Login, open []site.Server) (protocol.Transaction, error) {
	targets := families(r.target(srv, proof...), srv)
	for i, target := range targets {
		r.progress.set(srv.Name, "proving: a new login over %s", hostOf(target))
		s, err := r.connectAs(ctx, target)
		if err != nil {
			return t, r.giveUp(ctx, srv, t.ID, proof, fmt.Errorf("a new login does not work: %w", err))
		}
		if i < len(targets)-1 {
			s.Close()
			continue
		}
		if err := r.stillCarries(ctx, srv, open); err != nil {
			s.Close()
			return t, r.giveUp(ctx, srv, t.ID, proof, err)
		}
		r.progress.set(srv.Name, "confirming")
		err = s.Call(ctx, protocol.OpConfirm, protocol.ConfirmRequest{Transaction: t.ID, Nonce: nonce}, &t, nil)
		s.Close()
		if err != nil {
			return t, r.giveUp(ctx, srv, t.ID, proof, fmt.Errorf("confirming: %w", err))
		}
	}
	if t.State != protocol.StateConfirmed {
		return t, &ending{now: protocol.Unsure, id: t.ID, err: fmt.Errorf("transaction %s is %s", t.ID, t.State)}
	}
	return t, nil
}

func hostOf(t desk.Target) string { return t.Address }

// giveUp asks the server, over whatever way still works, to put itself back now
// rather than at the end of the window, and says how it ended.
func (r *transactions) giveUp(ctx context.Context, srv site.Server, id string, proof []desk.Login, why error) error {
	// Interrupting the program must not stop it from telling the truth.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(r.guard.Window)*time.Second+time.Minute)
	defer stop()
	r.progress.set(srv.Name, "giving up: the server is asked to put itself back")
	accounts := r.anybody(srv, proof)
	for {
		t, err := r.askBack(ctx, srv, id, accounts)
		switch {
		case err != nil:
		case t.State == protocol.StateRolledBack:
			if _, more, ok := strings.Cut(t.Reason, "; "); ok {
				why = fmt.Errorf("%w; %s", why, more)
			}
			return &ending{now: protocol.Undone, id: id, err: why}
		case t.State == protocol.StateConfirmed:
			return nil
		case t.State == protocol.StateRollbackFailed:
			return &ending{now: protocol.Unsure, id: id, err: fmt.Errorf("%w; the rollback failed, too: %s", why, t.Reason)}
		}
		r.progress.set(srv.Name, "waiting until the server has put itself back")
		select {
		case <-ctx.Done():
			return &ending{now: protocol.Unsure, id: id, err: why}
		case <-time.After(5 * time.Second):
		}
	}
}

func (r *transactions) askBack(ctx context.Context, srv site.Server, id string, accounts []desk.Login) (protocol.Transaction, error) {
	var t protocol.Transaction
	s, err := r.connectAs(ctx, r.target(srv, accounts...))
	if err != nil {
		return t, err
	}
	defer s.Close()
	err = s.Call(ctx, protocol.OpRollback, protocol.TransactionRequest{Transaction: id}, &t, nil)
	// Whether it was too late or the rollback failed, the journal knows how it is.
	if failed := (*protocol.Error)(nil); errors.As(err, &failed) {
		err = s.Call(ctx, protocol.OpStatus, protocol.TransactionRequest{Transaction: id}, &t, nil)
	}
	return t, err
}

// putBackPackages undoes the first half of a run whose second half failed for
// the reason why, and returns how the run has ended.
func (r *transactions) putBackPackages(ctx context.Context, srv site.Server, id string, why error) error {
	// Interrupting the program must not leave half of a run.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer stop()
	if err := r.undoOne(ctx, srv, id); err != nil {
		return &ending{now: protocol.Unsure, id: id, err: fmt.Errorf("%w\nthe packages of this run could not be put back: %w", why, err)}
	}
	return &ending{now: protocol.Undone, id: id, err: why}
}
