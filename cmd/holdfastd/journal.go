package main

import (
	"context"
	"slices"

	"github.com/holdfast-security/holdfast/server/protocol"
)

func (d *daemon) history(_ context.Context, in protocol.HistoryRequest, _ sender) (protocol.HistoryResult, error) {
	all, err := d.journal.History()
	if err != nil {
		return protocol.HistoryResult{}, err
	}
	limit := in.Limit
	if limit <= 0 {
		limit = 100
	}
	out := protocol.HistoryResult{Transactions: []protocol.Transaction{}}
	for _, r := range slices.Backward(all) {
		if len(out.Transactions) == limit {
			break
		}
		t, err := d.describeRecord(r)
		if err != nil {
			return protocol.HistoryResult{}, err
		}
		out.Transactions = append(out.Transactions, t)
	}
	return out, nil
}

func (d *daemon) show(_ context.Context, in protocol.TransactionRequest, _ sender) (protocol.TransactionDetail, error) {
	r, _, err := d.journal.Show(in.Transaction)
	if err != nil {
		return protocol.TransactionDetail{}, notFound(err)
	}
	t, err := d.describeRecord(r)
	out := protocol.TransactionDetail{Transaction: t}
	for _, s := range r.Steps {
		out.Steps = append(out.Steps, describeStep(s.Controls, s.Change, false))
	}
	return out, err
}

func (d *daemon) status(_ context.Context, in protocol.TransactionRequest, _ sender) (protocol.Transaction, error) {
	if in.Transaction != "" {
		return d.transaction(in.Transaction)
	}
	all, err := d.journal.History()
	if err != nil || len(all) == 0 {
		return protocol.Transaction{}, err
	}
	return d.describeRecord(all[len(all)-1])
}

func (d *daemon) unlock(ctx context.Context, in protocol.UnlockRequest, _ sender) (protocol.Transaction, error) {
	id, err := d.journal.Unlock(ctx, in.By)
	if err != nil || id == "" {
		return protocol.Transaction{}, unchanged(err)
	}
	return d.transaction(id)
}
