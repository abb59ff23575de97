package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/machine"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/txn"
)

func (d *daemon) handlers() map[protocol.Op]protocol.Handler {
	return map[protocol.Op]protocol.Handler{
		protocol.OpHello:         protocol.Handle(d.hello),
		protocol.OpAudit:         protocol.Handle(d.audit),
		protocol.OpAudits:        protocol.Handle(d.audits),
		protocol.OpPlan:          protocol.Handle(d.plan),
		protocol.OpCanary:        protocol.Handle(d.canary),
		protocol.OpCanaryConnect: protocol.Handle(d.canaryConnect),
		protocol.OpCanarySend:    protocol.Handle(d.canarySend),
		protocol.OpApply:         protocol.Handle(d.apply),
		protocol.OpConfirm:       protocol.Handle(d.confirm),
		protocol.OpExtend:        protocol.Handle(d.extend),
		protocol.OpRollback:      protocol.Handle(d.rollback),
		protocol.OpPlanUndo:      protocol.Handle(d.planUndo),
		protocol.OpUndo:          protocol.Handle(d.undo),
		protocol.OpHistory:       protocol.Handle(d.history),
		protocol.OpShow:          protocol.Handle(d.show),
		protocol.OpStatus:        protocol.Handle(d.status),
		protocol.OpLend:          protocol.Handle(d.lendCodes),
		protocol.OpUnlock:        protocol.Handle(d.unlock),
	}
}

type sender = func(protocol.Event) error

// ensureKey makes the key of digests before anything is read under it.
func (d *daemon) ensureKey(ctx context.Context) error {
	_, err := d.machine.Read(ctx, server.DigestKeyFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	return d.machine.Write(ctx, server.DigestKeyFile, server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: string(key)})
}

func (d *daemon) hello(ctx context.Context, in protocol.Hello, _ sender) (protocol.Welcome, error) {
	w := protocol.Welcome{Format: protocol.Format, Version: version, Clock: time.Now()}
	facts, err := machine.ReadFacts(ctx, d.machine)
	w.Facts = protocol.Facts{System: facts.Name, Tested: facts.Tested}
	if unsupported := (*machine.UnsupportedError)(nil); errors.As(err, &unsupported) {
		w.Facts.Refusal, err = unsupported.Error(), nil
	}
	if err != nil {
		return protocol.Welcome{}, err
	}
	site, err := d.journal.Site()
	if err != nil {
		return protocol.Welcome{}, err
	}
	if site.Name != "" {
		w.Record = &protocol.SiteRecord{Site: site.Name, Digest: site.Digest, By: site.By, At: site.At}
	}
	w.Open, err = d.unsettled()
	return w, err
}

func (d *daemon) audit(ctx context.Context, in protocol.AuditRequest, _ sender) (protocol.AuditResult, error) {
	open, err := d.unsettled()
	if err != nil {
		return protocol.AuditResult{}, err
	}
	in.Config.Secrets = in.Secrets
	results, err := server.Audit(ctx, d.machine, control.All(), in.Config)
	return protocol.AuditResult{Results: results, Open: open}, err
}

// unsettled returns the transaction that has not ended; nil if there is none.
func (d *daemon) unsettled() (*protocol.Transaction, error) {
	err := d.journal.Settled()
	var locked *txn.LockedError
	if !errors.As(err, &locked) {
		return nil, err
	}
	t, err := d.transaction(locked.ID)
	return &t, err
}

// apply carries out the next transaction of a plan: packages if there are any,
// otherwise everything else. The desk proves and confirms each and asks again
// until nothing is left.
func (d *daemon) apply(ctx context.Context, in protocol.ApplyRequest, send sender) (protocol.Transaction, error) {
	in.Config.Secrets = in.Secrets
	p, err := d.prepare(ctx, in.Config)
	if err != nil {
		return protocol.Transaction{}, unchanged(err)
	}
	if err := shown(p.plan, in); err != nil {
		return protocol.Transaction{}, err
	}
	if len(p.refusals) > 0 {
		return protocol.Transaction{}, protocol.Errorf(protocol.CodeRefused, protocol.Unchanged, "%s", strings.Join(p.refusals, "; "))
	}
	if err := d.lendForRun(ctx, in.Run, in.Secrets); err != nil {
		return protocol.Transaction{}, unchanged(err)
	}
	b := txn.Begin{Meta: meta(in.Guard), Steps: p.plan.Steps}
	b.Kind, b.Site, b.SiteDigest = txn.Changes, in.Config.Site, in.Config.SiteDigest
	if n := installers(p.plan.Steps); n > 0 {
		b.Kind, b.Steps, b.More = txn.Packages, p.plan.Steps[:n], true
	}
	return d.begin(ctx, b, in.Secrets, send)
}

// installers counts the steps that install something; they come first.
func installers(steps []server.Step) int {
	n := slices.IndexFunc(steps, func(s server.Step) bool { _, ok := s.Resource.(server.Installer); return !ok })
	if n < 0 {
		return len(steps)
	}
	return n
}

// shown says why a plan is not the one that was shown, or lacks something.
func shown(p server.Plan, in protocol.ApplyRequest) error {
	if err := p.Err(); err != nil {
		return protocol.Errorf(protocol.CodeRefused, protocol.Unchanged, "the plan has errors: %w", err)
	}
	if p.Digest() != in.Digest {
		return protocol.Errorf(protocol.CodeDrift, protocol.Unchanged, "the server has changed since the plan was shown")
	}
	for _, s := range p.Steps {
		if name, needed := needs(s.Resource); needed && in.Secrets[name].IsZero() {
			e := protocol.Errorf(protocol.CodeNeedsSecret, protocol.Unchanged, "the secret %q is needed and was not given", name)
			e.Subject = name
			return e
		}
	}
	return nil
}

func meta(g protocol.Guard) txn.Meta {
	return txn.Meta{
		Run: g.Run, By: g.By, Desk: g.Desk, DeskVersion: g.Version,
		NonceHash: g.NonceHash, Window: time.Duration(g.Window) * time.Second,
	}
}

// unchanged marks an error that came before anything was changed, unless it
// says more itself.
func unchanged(err error) error {
	var own *protocol.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	var site *txn.SiteError
	var locked *txn.LockedError
	switch {
	case errors.As(err, &site):
		e := protocol.Errorf(protocol.CodeForeign, protocol.Unchanged, "%w", err)
		e.Subject = site.Recorded
		return e
	case errors.As(err, &locked):
		return protocol.Errorf(protocol.CodeBusy, protocol.Unchanged, "%w", err)
	}
	code := protocol.CodeFailed
	if drift := (*server.DriftError)(nil); errors.As(err, &drift) {
		code = protocol.CodeDrift
	}
	return protocol.Errorf(code, protocol.Unchanged, "%w", err)
}

// begin opens a transaction, starts it and tells the desk what happens until it
// waits for the confirmation or has ended.
func (d *daemon) begin(ctx context.Context, b txn.Begin, secrets map[string]server.Secret, send sender) (protocol.Transaction, error) {
	id, err := d.journal.Begin(ctx, b)
	if errors.Is(err, txn.ErrNothing) {
		return protocol.Transaction{}, nil
	}
	if err != nil {
		return protocol.Transaction{}, unchanged(err)
	}
	// A desk that does not know of a transaction could not say how it ends.
	if err := errors.Join(send(protocol.Event{Transaction: id, State: string(txn.Prepared)}), ctx.Err()); err != nil {
		return protocol.Transaction{}, errors.Join(err, d.journal.Rollback(context.WithoutCancel(ctx), id, "the desk is gone"))
	}
	if err := d.journal.Start(context.WithoutCancel(ctx), id, secrets); err != nil {
		return protocol.Transaction{}, unchanged(err)
	}
	for e, err := range d.journal.Follow(ctx, id, 0) {
		if err != nil {
			return protocol.Transaction{}, err
		}
		if err := send(event(id, e, len(b.Steps))); err != nil {
			return protocol.Transaction{}, err
		}
		if e.State == txn.Applied || e.State.Final() {
			break
		}
	}
	return d.transaction(id)
}

// event is a line of the journal as the desk sees it.
func event(id string, e txn.Event, steps int) protocol.Event {
	out := protocol.Event{Transaction: id, State: string(e.State), Text: e.Text}
	if e.Step > 0 && e.Step <= steps {
		out.Step, out.Steps = e.Step, steps
		out.Text = strings.TrimSpace(e.Resource + " " + e.Text)
	}
	return out
}

func (d *daemon) transaction(id string) (protocol.Transaction, error) {
	r, _, err := d.journal.Show(id)
	if err != nil {
		return protocol.Transaction{}, notFound(err)
	}
	return d.describeRecord(r)
}

func (d *daemon) describeRecord(r txn.Record) (protocol.Transaction, error) {
	t := protocol.Transaction{
		ID: r.ID, Run: r.Run, Kind: string(r.Kind), State: string(r.State), Undoes: r.Reverts, UndoneBy: r.UndoneBy,
		By: r.By, Desk: r.Desk, Digest: r.SiteDigest, Begun: r.Began, Changes: len(r.Steps), Reason: r.Why, More: r.More,
	}
	if r.State.Final() {
		t.Ended = r.At
		return t, nil
	}
	left, err := d.journal.Left(r.ID)
	t.Left = int(left.Seconds())
	return t, err
}

func notFound(err error) error {
	var missing *txn.NotFoundError
	if !errors.As(err, &missing) {
		return err
	}
	e := protocol.Errorf(protocol.CodeNotFound, protocol.Unchanged, "%w", err)
	e.Subject = missing.ID
	return e
}

// tooLate marks an error that says that something else has won.
func tooLate(err error) error {
	var state *txn.StateError
	var nonce *txn.NonceError
	var left *txn.LeftoverError
	switch {
	case err == nil, errors.As(err, &left):
		return nil // it is as was asked for; the next daemon removes the rest
	case errors.As(err, &state):
		e := protocol.Errorf(protocol.CodeTooLate, protocol.Unchanged, "%w", err)
		e.Subject = string(state.State)
		return e
	case errors.As(err, &nonce):
		return protocol.Errorf(protocol.CodeRefused, protocol.Unchanged, "%w", err)
	}
	return notFound(err)
}

func (d *daemon) confirm(ctx context.Context, in protocol.ConfirmRequest, _ sender) (protocol.Transaction, error) {
	nonce, err := hex.DecodeString(in.Nonce)
	if err != nil {
		return protocol.Transaction{}, protocol.Errorf(protocol.CodeMalformed, protocol.Unchanged, "the nonce is not in hex")
	}
	if err := tooLate(d.journal.Confirm(ctx, in.Transaction, nonce)); err != nil {
		return protocol.Transaction{}, err
	}
	t, err := d.transaction(in.Transaction)
	if err == nil && !t.More {
		err = d.codesEnd(ctx, t.Run)
	}
	return t, err
}

func (d *daemon) extend(ctx context.Context, in protocol.ExtendRequest, _ sender) (protocol.Transaction, error) {
	if _, err := d.journal.Extend(ctx, in.Transaction, time.Duration(in.Window)*time.Second); err != nil {
		return protocol.Transaction{}, tooLate(err)
	}
	return d.transaction(in.Transaction)
}

func (d *daemon) rollback(ctx context.Context, in protocol.TransactionRequest, send sender) (protocol.Transaction, error) {
	if err := tooLate(d.journal.Rollback(ctx, in.Transaction, "the desk asked for it")); err != nil {
		return protocol.Transaction{}, err
	}
	// The desk has to log in again to see how the server is now.
	if lent, err := resource.AnyLent(ctx, d.machine); err != nil {
		return protocol.Transaction{}, err
	} else if lent {
		if err := d.codesEndIn(ctx, afterRollback); err != nil {
			return protocol.Transaction{}, err
		}
	}
	return d.transaction(in.Transaction)
}

func (d *daemon) planUndo(ctx context.Context, in protocol.TransactionRequest, _ sender) (protocol.Plan, error) {
	all, err := d.journal.Undo(ctx, in.Transaction)
	if err != nil {
		return protocol.Plan{}, tooLate(err)
	}
	var out protocol.Plan
	for _, b := range all {
		for _, s := range b.Steps {
			out.Steps = append(out.Steps, describeStep(s.Controls, s.Change, s.LocksOut))
		}
	}
	out.Digest = all[0].Reverts
	return out, nil
}

// undo puts back the latest transaction of a run that is not undone yet.
func (d *daemon) undo(ctx context.Context, in protocol.UndoRequest, send sender) (protocol.Transaction, error) {
	all, err := d.journal.Undo(ctx, in.Transaction)
	if err != nil {
		return protocol.Transaction{}, tooLate(err)
	}
	b := all[0]
	m := meta(in.Guard)
	m.Kind, m.Site, m.SiteDigest, m.Reverts, m.More = b.Kind, b.Site, b.SiteDigest, b.Reverts, b.More
	b.Meta = m
	return d.begin(ctx, b, nil, send)
}
