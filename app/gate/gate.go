package gate

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
)

// Defaults of the zero [Gate].
const (
	DefaultMemory = 256 << 20       // bytes
	DefaultQueue  = 128             // jobs
	DefaultWait   = 5 * time.Second // longest wait in the queue
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

// A Gate lets jobs through within a budget. The zero value is ready. Its fields
// must not change after the first use, it must not be copied after that, and it
// may be used by many goroutines at a time.
type Gate struct {
	// Memory is the budget for all running jobs together, in bytes; 0 means
	// [DefaultMemory].
	Memory int64
	// Slots is the number of lanes that may run at a time; 0 means GOMAXPROCS.
	Slots int
	// Queue is the number of jobs that may wait; 0 means [DefaultQueue], less
	// than 0 means that none may.
	Queue int
	// Wait is the longest that a job may wait; 0 means [DefaultWait]. A context
	// that ends earlier shortens it.
	Wait time.Duration
	// OnRefused, if not nil, is called with each refused job's weight. It must
	// not block and must not call the gate.
	OnRefused func(Weight)

	mu      sync.Mutex
	waiting list.List // of *waiter, first come first
	memory  int64     // of the running jobs
	lanes   int
	stats   Stats
	mean    float64 // of the running time, in seconds, newest jobs weighing most
}

// Stats is what a gate has done so far and does now.
type Stats struct {
	Running int   // jobs
	Waiting int   // jobs
	Memory  int64 // bytes that the running jobs take

	Done  uint64 // jobs that ran, whatever they returned
	Full  uint64 // refused at once because the queue was full
	Late  uint64 // refused because their wait was over
	Gone  uint64 // given up by their context while they waited
	Peak  int64  // most memory ever taken at a time, bytes
	Queue int    // longest queue ever
}

type waiter struct {
	w     Weight
	ready chan struct{} // closed once the job holds its place
}

// Check reports whether a job of this weight could ever run, as an error wrapping
// [ErrTooLarge] if not. It is meant for the start of a program.
func (g *Gate) Check(w Weight) error {
	if w.Memory < 0 || w.Lanes < 0 {
		return fmt.Errorf("a job of %d bytes and %d lanes: less than nothing", w.Memory, w.Lanes)
	}
	if limit := g.budget(); w.Memory > limit {
		return fmt.Errorf("a job of %d bytes of memory, a gate of %d: %w", w.Memory, limit, ErrTooLarge)
	}
	return nil
}

// Do runs fn when there is room for it, and returns its error. It returns
// [ErrBusy] at once if the queue is full, and later if the wait was in vain, an
// error wrapping [ErrTooLarge] if there never can be room, and the context's
// error if that ends first; then fn has not run. A panic in fn frees its place.
func (g *Gate) Do(ctx context.Context, w Weight, fn func() error) error {
	if err := g.Check(w); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.Lanes = min(max(w.Lanes, 1), g.slots())
	if err := g.enter(ctx, w); err != nil {
		return err
	}
	start := time.Now()
	defer func() { g.leave(w, time.Since(start)) }()
	return fn()
}

func (g *Gate) enter(ctx context.Context, w Weight) error {
	g.mu.Lock()
	if g.waiting.Len() == 0 && g.fits(w) {
		g.take(w)
		g.mu.Unlock()
		return nil
	}
	if g.waiting.Len() >= g.queue() {
		g.stats.Full++
		g.mu.Unlock()
		g.refused(w)
		return ErrBusy
	}
	me := &waiter{w: w, ready: make(chan struct{})}
	e := g.waiting.PushBack(me)
	g.stats.Queue = max(g.stats.Queue, g.waiting.Len())
	g.mu.Unlock()

	timer := time.NewTimer(g.wait())
	defer timer.Stop()
	select {
	case <-me.ready:
		return nil
	case <-timer.C:
		if g.abandon(e, me, &g.stats.Late) {
			g.refused(w)
			return ErrBusy
		}
	case <-ctx.Done():
		if g.abandon(e, me, &g.stats.Gone) {
			return ctx.Err()
		}
	}
	return nil // the place came at the same moment
}

// abandon takes a waiter out of the queue. It returns false if it holds its
// place already.
func (g *Gate) abandon(e *list.Element, me *waiter, count *uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-me.ready:
		return false
	default:
	}
	g.waiting.Remove(e)
	*count++
	g.admit() // the next may be lighter
	return true
}

func (g *Gate) leave(w Weight, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory -= w.Memory
	g.lanes -= w.Lanes
	g.stats.Running--
	g.stats.Done++
	if g.mean == 0 {
		g.mean = took.Seconds()
	}
	g.mean += (took.Seconds() - g.mean) / 16
	g.admit()
}

// admit lets in from the head of the queue what fits now.
func (g *Gate) admit() {
	for e := g.waiting.Front(); e != nil; e = g.waiting.Front() {
		next := e.Value.(*waiter)
		if !g.fits(next.w) {
			return
		}
		g.waiting.Remove(e)
		g.take(next.w)
		close(next.ready)
	}
}

func (g *Gate) fits(w Weight) bool {
	return g.lanes+w.Lanes <= g.slots() && g.memory+w.Memory <= g.budget()
}

func (g *Gate) take(w Weight) {
	g.memory += w.Memory
	g.lanes += w.Lanes
	g.stats.Running++
	g.stats.Peak = max(g.stats.Peak, g.memory)
}

// Room returns how many jobs of one lane Do would take now, to run or to wait,
// before it refuses. A server asks before it does anything else for a request, so
// that a flood costs it next to nothing.
func (g *Gate) Room() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	free := 0
	if g.waiting.Len() == 0 {
		free = g.slots() - g.lanes
	}
	return free + g.queue() - g.waiting.Len()
}

// Stats returns the counts at this moment.
func (g *Gate) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.Waiting, s.Memory = g.waiting.Len(), g.memory
	return s
}

// RetryAfter estimates, in whole seconds and at least one, when a job that is
// refused now would find room: the time that the queue needs at the pace of the
// last jobs.
func (g *Gate) RetryAfter() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	parallel := max(g.stats.Running, 1)
	s := math.Ceil(g.mean * float64(g.waiting.Len()+1) / float64(parallel))
	return time.Duration(min(max(s, 1), 3600)) * time.Second
}

func (g *Gate) refused(w Weight) {
	if g.OnRefused != nil {
		g.OnRefused(w)
	}
}

func (g *Gate) budget() int64 {
	if g.Memory <= 0 {
		return DefaultMemory
	}
	return g.Memory
}

func (g *Gate) slots() int {
	if g.Slots <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return g.Slots
}

func (g *Gate) queue() int {
	switch {
	case g.Queue == 0:
		return DefaultQueue
	case g.Queue < 0:
		return 0
	}
	return g.Queue
}

func (g *Gate) wait() time.Duration {
	if g.Wait <= 0 {
		return DefaultWait
	}
	return g.Wait
}
