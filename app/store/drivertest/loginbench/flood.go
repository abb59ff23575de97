package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

const (
	clients   = 64
	minShare  = 0.95
	maxMemory = 150 << 20
	maxDo     = time.Millisecond
	maxHTTP   = 100 * time.Millisecond
	fullQueue = 16
)

// flood lets 64 clients log in, one after the other each, and returns their
// answers by status.
func flood(ctx context.Context, c *child, d time.Duration) (map[int][]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var mu sync.Mutex
	all := map[int][]time.Duration{}
	var failed error
	var wait sync.WaitGroup
	for range clients {
		wait.Go(func() {
			for ctx.Err() == nil {
				id, pw := fmt.Sprint("user", rand.IntN(1000)), rightPassword // half of them exist
				if rand.IntN(2) == 0 {
					pw = "a wrong password"
				}
				a, err := c.login(ctx, id, pw, 0)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
				}
				all[a.status] = append(all[a.status], a.took)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return all, failed
}

// runFlood measures throughput and memory. Raw hashing and floods take turns, so
// that both see the same machine.
func runFlood(ctx context.Context, kind drivertest.Kind, o options) (lines []line, err error) {
	d, err := prepare(ctx, kind, load{attempts: 1 << 20})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.server.Stop()) }()
	c, err := start(ctx, kind, d.dsn, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	var ceiling, served float64
	const rounds = 3
	if _, err := flood(ctx, c, 2*time.Second); err != nil { // fills the queue and the heap
		return nil, err
	}
	for range rounds {
		r, err := rawChild(ctx, o.flood/rounds)
		if err != nil {
			return nil, err
		}
		ceiling += r / rounds
		answers, err := flood(ctx, c, o.flood/rounds)
		if err != nil {
			return nil, err
		}
		if n := len(answers[http.StatusOK]) + len(answers[http.StatusForbidden]); n > 0 {
			served += float64(n) / (o.flood / rounds).Seconds() / rounds
		}
		for status, all := range answers {
			if status != http.StatusOK && status != http.StatusForbidden {
				lines = append(lines, line{fmt.Sprintf("%s: flood answers %d", kind, status), strconv.Itoa(len(all)), "none", met(false)})
			}
		}
	}
	over := residentOf(strconv.Itoa(c.cmd.Process.Pid), "VmHWM") - c.Idle
	share := served / ceiling
	return append(lines,
		line{fmt.Sprintf("%s: %d clients at once", kind, clients), fmt.Sprintf("%.1f/s beside %.1f/s raw, %.3f", served, ceiling, share), fmt.Sprintf("≥ %.2f", minShare), met(share >= minShare)},
		line{fmt.Sprintf("%s: memory over idle", kind), fmt.Sprintf("%d MiB over %d MiB", over>>20, c.Idle>>20), fmt.Sprintf("≤ %d MiB", maxMemory>>20), met(over <= maxMemory)},
	), nil
}

// runFull measures the refusals of a queue that is always full.
func runFull(ctx context.Context, kind drivertest.Kind, o options) (lines []line, err error) {
	d, err := prepare(ctx, kind, load{attempts: 1 << 20})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.server.Stop()) }()
	c, err := start(ctx, kind, d.dsn, fullQueue)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	answers, err := flood(ctx, c, o.flood)
	if err != nil {
		return nil, err
	}
	inside, err := c.probes(ctx)
	if err != nil {
		return nil, err
	}
	busy := answers[http.StatusServiceUnavailable]
	if len(busy) < 100 || len(inside) < 100 {
		return nil, fmt.Errorf("only %d answers of a full queue, %d inside Do", len(busy), len(inside))
	}
	do, over := percentile(inside, 99), percentile(busy, 99)
	return []line{
		{fmt.Sprintf("%s: full queue, inside Do", kind), fmt.Sprintf("p99 %v, worst %v of %d", do, percentile(inside, 100), len(inside)), fmt.Sprintf("≤ %v", maxDo), met(do <= maxDo)},
		{fmt.Sprintf("%s: full queue, over HTTP", kind), fmt.Sprintf("p99 %v of %d", over.Round(100*time.Microsecond), len(busy)), fmt.Sprintf("p99 ≤ %v", maxHTTP), met(over <= maxHTTP)},
	}, nil
}

// rawChild hashes in a process that does nothing else.
func rawChild(ctx context.Context, d time.Duration) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, self, "raw", d.String()).Output()
	if err != nil {
		return 0, fmt.Errorf("hashing: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}
