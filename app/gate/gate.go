// Package gate keeps costly work, above all password hashing, within a memory
// budget: at most so many jobs at a time, each weighted by its memory and lanes,
// a bounded queue before them, and a refusal for the rest.
//
// The zero [Gate] is ready to use and strict. If a job finds no place in time,
// Do fails with [ErrBusy] and the job has not run.
package gate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// ErrBusy says that there was no room for a job within the queue and the time
// that the gate allows. A server answers 503 with Retry-After.
var ErrBusy = errors.New("busy: no room in the gate")

// ErrTooLarge says that a job is larger than the whole gate: it would never run.
var ErrTooLarge = errors.New("larger than the gate")

// A Weight is what a job takes while it runs.
type Weight struct {
	Memory int64 // bytes
	Lanes  int   // threads that it keeps busy; 0 counts as 1
}

// A Gate lets jobs through within a budget. It must not be copied after its
// first use, and may be used by many goroutines at a time.
type Gate struct {
	// Memory is the budget for all running jobs together, in bytes; 0 means
	// 256 MiB.
	Memory int64
	// Slots is the number of lanes that may run at a time; 0 means GOMAXPROCS.
	Slots int

	once  sync.Once
	slots chan struct{}
}

// Check reports whether a job of this weight could ever run, as an error wrapping
// [ErrTooLarge] if not. It is meant for the start of a program.
func (g *Gate) Check(w Weight) error {
	memory := g.Memory
	if memory == 0 {
		memory = 256 << 20
	}
	if w.Memory > memory {
		return fmt.Errorf("a job of %d bytes of memory, a gate of %d: %w", w.Memory, memory, ErrTooLarge)
	}
	return nil
}

// Do runs fn when there is room for it, and returns its error. It returns
// [ErrBusy] if there is none in time, an error wrapping [ErrTooLarge] if there
// never can be, and the context's error if that ends first; then fn has not run.
func (g *Gate) Do(ctx context.Context, w Weight, fn func() error) error {
	if err := g.Check(w); err != nil {
		return err
	}
	g.once.Do(func() {
		n := g.Slots
		if n == 0 {
			n = runtime.GOMAXPROCS(0)
		}
		g.slots = make(chan struct{}, n)
	})
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.slots }()
	return fn()
}
