package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// A serverHistory is the journal of one server, as JSON.
type serverHistory struct {
	Server       string                 `json:"server"`
	Transactions []protocol.Transaction `json:"transactions"`
	Error        string                 `json:"error,omitempty"`
}

// historyCommand says what was done.
func (a *app) historyCommand() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "history [SERVER…]",
		Short: "Say what was done, from the servers' own journals",
		Args:  argsBetween(0, -1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := a.fleet(args)
			if err != nil {
				return err
			}
			defer f.desk.Close()
			return f.history(c.Context(), limit)
		},
	}
	c.Flags().IntVarP(&limit, "limit", "n", 20, "at most this many `transactions` of each server, the latest first")
	return c
}

func (f *fleet) history(ctx context.Context, limit int) error {
	all := make([]serverHistory, len(f.servers))
	errs := f.each(ctx, func(ctx context.Context, i int, srv site.Server) error {
		all[i].Server = srv.Name
		var out protocol.HistoryResult
		err := f.call(ctx, srv, protocol.OpHistory, protocol.HistoryRequest{Limit: limit}, &out)
		all[i].Transactions = out.Transactions
		if err != nil {
			all[i].Error = err.Error()
		}
		f.progress.done(srv.Name, err == nil, "read")
		return err
	})
	f.progress.end()
	if f.json {
		if err := f.value(all); err != nil {
			return err
		}
		return f.failed(errs, len(f.servers))
	}
	for i, one := range all {
		if i > 0 {
			f.printf("\n")
		}
		f.printf("%s\n", f.style(one.Server, "", true))
		if len(one.Transactions) == 0 && one.Error == "" {
			f.printf("  nothing was done yet\n")
		}
		for _, t := range one.Transactions {
			f.printTransaction(t)
		}
	}
	return f.failed(errs, len(f.servers))
}

// call connects to a server for one request.
func (f *fleet) call(ctx context.Context, srv site.Server, op protocol.Op, in, out any) error {
	s, err := f.connect(ctx, srv)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Call(ctx, op, in, out, nil)
}

// printTransaction prints a transaction as one line.
func (o output) printTransaction(t protocol.Transaction) {
	color := yellow
	switch t.State {
	case protocol.StateConfirmed:
		color = green
	case protocol.StateRolledBack, protocol.StateRollbackFailed:
		color = red
	}
	o.printf("  %s  %s  %-9s %3d  %-15s by %s from %s%s\n", t.ID, t.Begun.Local().Format(time.DateTime), t.Kind, t.Changes,
		o.style(t.State, color, false), t.By, t.Desk, afterwards(t))
}

// afterwards says what else there is to know of a transaction.
func afterwards(t protocol.Transaction) string {
	switch {
	case t.UndoneBy != "":
		return ", undone by " + t.UndoneBy
	case t.Undoes != "":
		return ", undoes " + t.Undoes
	case t.Reason != "":
		return ": " + t.Reason
	}
	return ""
}

// showCommand shows one transaction.
func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show SERVER TXN",
		Short: "Show one transaction of a server with what it changed",
		Args:  argsBetween(2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := a.fleet(args[:1])
			if err != nil {
				return err
			}
			defer f.desk.Close()
			var t protocol.TransactionDetail
			err = f.call(c.Context(), f.servers[0], protocol.OpShow, protocol.TransactionRequest{Transaction: args[1]}, &t)
			f.progress.done(f.servers[0].Name, err == nil, "read")
			f.progress.end()
			if err != nil {
				return f.failed([]error{err}, 1)
			}
			if a.json {
				return a.value(t)
			}
			a.printTransaction(t.Transaction)
			a.printSteps(t.Steps)
			return nil
		},
	}
}

// unlockCommand takes over from a run that is gone.
func (a *app) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unlock SERVER",
		Short: "Take a server over from a run whose desk is gone; what it left is rolled back",
		Args:  argsBetween(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := a.fleet(args)
			if err != nil {
				return err
			}
			defer f.desk.Close()
			name, host := who()
			var t protocol.Transaction
			err = f.call(c.Context(), f.servers[0], protocol.OpUnlock, protocol.UnlockRequest{By: name + " from " + host}, &t)
			f.progress.done(f.servers[0].Name, err == nil, "free")
			f.progress.end()
			if err != nil {
				return f.failed([]error{err}, 1)
			}
			if a.json {
				return a.value(t)
			}
			if t.ID != "" {
				a.printTransaction(t)
			}
			return nil
		},
	}
}
