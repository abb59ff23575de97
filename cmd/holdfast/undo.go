package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// undoCommand puts back what an apply changed.
func (a *app) undoCommand() *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use:   "undo SERVER [TXN]",
		Short: "Put back what an apply changed on a server",
		Long: `Put back what an apply changed on a server: the last one, or the one with the
transaction TXN (see holdfast history). Undoing is guarded as applying is, and
refuses where something else has changed the same things since.`,
		Args: argsBetween(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := a.fleet(args[:1])
			if err != nil {
				return err
			}
			defer f.desk.Close()
			id := ""
			if len(args) == 2 {
				id = args[1]
			}
			return f.undo(c.Context(), o, id)
		},
	}
	o.flags(c)
	return c
}

func (f *fleet) undo(ctx context.Context, o applyOptions, id string) error {
	srv := f.servers[0]
	f.run = newRunName()
	s, err := f.connect(ctx, srv)
	if err != nil {
		return f.failed([]error{err}, 1)
	}
	var plan protocol.Plan
	err = s.Call(ctx, protocol.OpPlanUndo, protocol.TransactionRequest{Transaction: id}, &plan, nil)
	s.Close()
	if err != nil {
		return f.failed([]error{err}, 1)
	}
	f.progress.end()
	if !f.json {
		f.printPlan(srv.Name, plan)
	}
	if yes, err := f.sure("put back " + srv.Name + "?"); !yes {
		return err
	}
	r := f.newRun(o, nil)
	err = r.undoOne(ctx, srv, id)
	if err != nil {
		err = r.end(srv, err)
	} else {
		r.progress.done(srv.Name, true, "put back: %s undone", plural(len(plan.Steps), "change"))
	}
	f.progress.end()
	f.app.cost(f)
	if f.json {
		return errors.Join(f.value(serverPlan{Server: srv.Name, Plan: plan}), f.failed([]error{err}, 1))
	}
	return f.failed([]error{err}, 1)
}

// undoOne undoes a run on one server, its transactions one after the other.
func (r *transactions) undoOne(ctx context.Context, srv site.Server, id string) error {
	for {
		s, err := r.connect(ctx, srv)
		if err != nil {
			return err
		}
		var plan protocol.Plan
		if err := s.Call(ctx, protocol.OpPlanUndo, protocol.TransactionRequest{Transaction: id}, &plan, nil); err != nil {
			s.Close()
			return err
		}
		guard, nonce := r.newGuard()
		request := protocol.UndoRequest{Transaction: id, Digest: plan.Digest, Guard: guard}
		proof := r.afterUndo(plan, s.user, srv)
		config, err := r.config(srv)
		if err == nil {
			err = r.canary(ctx, srv, s, trial{
				request: protocol.CanaryRequest{Config: config, Digest: plan.Digest, Undo: true, Transaction: id},
				ways:    proof,
			})
		}
		if err != nil {
			s.Close()
			return err
		}
		t, err := r.carry(ctx, srv, s, protocol.OpUndo, request, nonce, proof, r.paths(ctx, srv))
		if err != nil || !t.More {
			return err
		}
	}
}

// afterUndo are the accounts that can still log in when plan has been carried
// out: not those that it takes away.
func (r *transactions) afterUndo(plan protocol.Plan, user string, srv site.Server) []desk.Login {
	gone := func(name string) bool {
		return slices.ContainsFunc(plan.Steps, func(s protocol.PlanStep) bool {
			return s.Resource == "account "+name && s.After == ""
		})
	}
	var all []desk.Login
	if !gone(user) {
		all = append(all, r.loginOf(user, srv))
	}
	for _, l := range r.logins() {
		if l.User != user && !gone(l.User) {
			all = append(all, l)
		}
	}
	if user != srv.FirstLogin {
		all = append(all, firstLogin(srv))
	}
	return all
}
