package main

import (
	"context"

	"github.com/holdfast-security/holdfast/app/gate"
)

// between does something while a hash is computed.
type between struct{ do func() }

func (b *between) Check(gate.Weight) error { return nil }

func (b *between) Do(_ context.Context, _ gate.Weight, fn func() error) error {
	b.do()
	return fn()
}
