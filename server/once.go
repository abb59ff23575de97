package server

import (
	"context"
	"strings"
	"sync"
)

// once is a Reader that puts each question to a machine once: many controls ask
// the same of sshd, systemd and getent, and a command takes milliseconds. It is
// for as long as nothing is changed through it, within one plan or one audit;
// its Output may be called by several goroutines. Files are read anew each
// time.
type once struct {
	Reader
	mu      sync.Mutex
	answers map[string]*answer
}

type answer struct {
	ready  sync.Once
	output string
	err    error
}

// onceRehearser is a once of a machine that lends Worlds.
type onceRehearser struct {
	*once
	Rehearser
}

// remember returns r, asked each question once.
func remember(r Reader) Reader {
	switch r := r.(type) {
	case *once, onceRehearser:
		return r
	case Rehearser:
		return onceRehearser{newOnce(r), r}
	}
	return newOnce(r)
}

func newOnce(r Reader) *once { return &once{Reader: r, answers: map[string]*answer{}} }

// Output runs argv, or returns what it gave before.
func (o *once) Output(ctx context.Context, argv ...string) (string, error) {
	key := strings.Join(argv, "\x00")
	o.mu.Lock()
	a := o.answers[key]
	if a == nil {
		a = &answer{}
		o.answers[key] = a
	}
	o.mu.Unlock()
	a.ready.Do(func() { a.output, a.err = o.Reader.Output(ctx, argv...) })
	return a.output, a.err
}

// Output, Read and Glob are those of the once and not of the Rehearser.
func (o onceRehearser) Output(ctx context.Context, argv ...string) (string, error) {
	return o.once.Output(ctx, argv...)
}

// Read returns what is at path.
func (o onceRehearser) Read(ctx context.Context, path string) (Entry, error) {
	return o.once.Read(ctx, path)
}

// Glob returns the paths that match pattern.
func (o onceRehearser) Glob(ctx context.Context, pattern string) ([]string, error) {
	return o.once.Glob(ctx, pattern)
}
