package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
	"github.com/holdfast-security/holdfast/app/store/drivertest/timing"
)

const (
	planted    = "planted" // an unknown name whose answer is late by gap
	minOf      = 20
	maxAUC     = 0.55
	plantedAUC = 0.7
)

// A sample is how long the answers for each name took.
type sample map[string][]time.Duration

// collect asks for each name once, in random order.
func (s sample) collect(ctx context.Context, c *child, gap time.Duration, shapes map[string]string) error {
	names := append([]string{planted}, refusals...)
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		id, wait := name, time.Duration(0)
		if name == planted {
			id, wait = "nobody", gap
		}
		a, err := c.login(ctx, id, "a wrong password", wait)
		if err != nil {
			return err
		}
		s[name] = append(s[name], a.took)
		shapes[a.shape] = name
	}
	return nil
}

// A database is a seeded one, with what a child needs to open it.
type database struct {
	server *drivertest.Server
	dsn    string
}

func prepare(ctx context.Context, kind drivertest.Kind, l load) (_ *database, err error) {
	server, err := drivertest.Start(ctx, kind, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, server.Stop())
		}
	}()
	dsn, err := server.FreshDSN(ctx)
	if err != nil {
		return nil, err
	}
	db, err := drivertest.Connect(kind, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	s := store.New(db, kind.Dialect())
	if err := s.Migrate(ctx); err != nil {
		return nil, err
	}
	return &database{server, dsn}, seed(ctx, s, l)
}

// runTiming compares refusals on one store and returns lines for the table.
func runTiming(ctx context.Context, kind drivertest.Kind, o options) (lines []line, err error) {
	d, err := prepare(ctx, kind, full)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.server.Stop()) }()
	shapes := map[string]string{}
	warm := sample{}
	c, err := start(ctx, kind, d.dsn, 0)
	if err != nil {
		return nil, err
	}
	for n := range o.logins + 5 {
		if n == 5 {
			warm = sample{} // the first ones warm up
		}
		if err := warm.collect(ctx, c, o.gap, shapes); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	if err := c.stop(); err != nil {
		return nil, err
	}
	cold := sample{}
	for range o.cold {
		c, err := start(ctx, kind, d.dsn, 0)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(cold.collect(ctx, c, o.gap, shapes), c.stop()); err != nil {
			return nil, err
		}
	}
	lines = append(lines, verdicts(kind, warm, cold, o)...)
	target := "the same status, headers and length"
	return append(lines, line{fmt.Sprintf("%s: answers", kind), fmt.Sprintf("%d combinations", len(shapes)), target, met(len(shapes) == 1)}), nil
}

// verdicts prints each name beside the unknown one. The intervals hold for all
// names of a store together at 95 % (Bonferroni), so that a run without a
// difference is called one in 19 of 20 runs.
func verdicts(kind drivertest.Kind, warm, cold sample, o options) (lines []line) {
	level := 1 - 0.05/float64(len(refusals)-1)
	base := warm["nobody"]
	seen := timing.Compare(timing.Fastest(base, minOf), timing.Fastest(warm[planted], minOf), 0.95)
	noisy := seen.AUC < plantedAUC
	verdict := func(ok bool) string {
		if noisy {
			return "too noisy"
		}
		return met(ok)
	}
	lines = append(lines, line{
		fmt.Sprintf("%s: planted %v", kind, o.gap), fmt.Sprintf("min of %d %s", minOf, area(seen)),
		fmt.Sprintf("≥ %.2f, or too noisy", plantedAUC), verdict(true),
	})
	for _, name := range refusals[1:] {
		one := timing.Compare(base, warm[name], level)
		best := timing.Compare(timing.Fastest(base, minOf), timing.Fastest(warm[name], minOf), level)
		lines = append(lines,
			line{
				fmt.Sprintf("%s: %s, %d logins", kind, name, len(warm[name])),
				fmt.Sprintf("single %.3f, min of %d %s, median %v", one.AUC, minOf, area(best), timing.Median(warm[name]).Round(10*time.Microsecond)),
				fmt.Sprintf("single ≤ %.2f, interval holds 0.5", maxAUC), verdict(one.Folded() <= maxAUC && !best.Tells()),
			})
		if len(cold[name]) > 1 {
			first := timing.Compare(cold["nobody"], cold[name], level)
			lines = append(lines, line{
				fmt.Sprintf("%s: %s, %d cold starts", kind, name, len(cold[name])),
				fmt.Sprintf("single %s", area(first)), "interval holds 0.5", verdict(!first.Tells()),
			})
		}
	}
	return lines
}

func area(a timing.Area) string { return fmt.Sprintf("%.3f (%.3f to %.3f)", a.AUC, a.Low, a.High) }
