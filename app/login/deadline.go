package login

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// The deadline of refusals in terms of the slowest one measured.
const (
	marginFactor = 1.5
	marginFixed  = 10 * time.Millisecond // for the store
	maxGrowth    = 4                     // times what was measured
	shrinkTime   = 10 * time.Minute      // until half of the growth is gone
)

// A deadline is how long refusals take, measured and then adapted.
type deadline struct {
	first    sync.Mutex // one measurement, not one for each first login
	mu       sync.Mutex
	measured time.Duration // 0 before the first measurement
	grown    time.Duration // what missed answers added
	since    time.Time     // of grown
	late     uint64
}

// Measure finds out which kinds of hashes are stored, times a wrong password on
// one of each and sets the deadline of refusals. It is called before serving and
// after hashes have been imported, and may be called at any time; otherwise the
// first login does it. It reads all stored hashes once. With a Deadline of one's
// own it only checks the hasher.
func (s *Service) Measure(ctx context.Context) error {
	if err := s.Hasher.Check(); err != nil {
		return err
	}
	if s.Deadline > 0 {
		return nil
	}
	kinds := map[string]string{"": ""}
	err := s.Accounts.EachPassword(ctx, func(stored string) error {
		// One that cannot be verified costs as much as none.
		if kind, err := s.Hasher.Kind(stored); err == nil {
			kinds[kind] = stored
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("finding out what is stored: %w", err)
	}
	var slowest time.Duration
	for _, stored := range kinds {
		for range 3 {
			start := time.Now()
			even, err := s.Hasher.VerifyEvenly(ctx, stored, "a wrong password")
			if err != nil {
				return fmt.Errorf("timing a wrong password: %w", err)
			}
			slowest = max(slowest, time.Since(start)-even.Waited)
		}
	}
	s.deadline.mu.Lock()
	defer s.deadline.mu.Unlock()
	s.deadline.measured = time.Duration(float64(slowest)*marginFactor) + marginFixed
	s.deadline.grown = 0
	return nil
}

// limit returns the present deadline.
func (s *Service) limit(ctx context.Context) (time.Duration, error) {
	if s.Deadline > 0 {
		return s.Deadline, nil
	}
	if l := s.deadline.now(); l > 0 {
		return l, nil
	}
	s.deadline.first.Lock()
	defer s.deadline.first.Unlock()
	if l := s.deadline.now(); l > 0 {
		return l, nil
	}
	if err := s.Measure(ctx); err != nil {
		return 0, err
	}
	return s.deadline.now(), nil
}

func (d *deadline) now() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.measured + d.growth()
}

// growth is half of what it was after shrinkTime.
func (d *deadline) growth() time.Duration {
	if d.grown == 0 {
		return 0
	}
	past := float64(time.Since(d.since)) / float64(shrinkTime)
	return time.Duration(float64(d.grown) / (1 + past))
}

// wait returns at the deadline, or at its next multiple if that is over. Waiting
// in the gate does not count.
func (d *deadline) wait(ctx context.Context, start time.Time, waited, limit time.Duration) error {
	took := time.Since(start) - waited
	rest := limit - took
	if rest < 0 {
		d.missed(took)
		rest = limit - took%limit
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *deadline) missed(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.late++
	if d.measured == 0 {
		return // a deadline that the program has set
	}
	want := min(took+took/4, maxGrowth*d.measured) - d.measured
	if want > d.growth() {
		d.grown, d.since = want, time.Now()
	}
}
