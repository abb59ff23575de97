package password

import (
	"context"
	"fmt"
	"time"
)

// Calibrate measures this machine and returns the Argon2id with the most passes
// over this much memory, in KiB, whose hashes take at most target; 0 KiB means
// 19456. It never returns less than the recommended cost: where already that takes
// longer than target, the error says how long. OWASP's Password Storage Cheat
// Sheet wants a hash to take less than a second.
//
// It takes about three times as long as target, on a machine that is otherwise
// idle: run it at deployment and write the result into the configuration, since
// two runs do not agree, and each change of the cost upgrades every hash.
func Calibrate(ctx context.Context, target time.Duration, memory uint32) (Argon2id, error) {
	if memory == 0 {
		memory = 19456
	}
	a := Argon2id{Memory: memory, Time: 1, Lanes: 1}
	for {
		if _, err := a.preferred(); err == nil {
			break
		} else if a.Time++; a.Time > 8 {
			return Argon2id{}, err
		}
	}
	least := a.Time
	took, err := measure(ctx, a)
	if err != nil {
		return Argon2id{}, err
	}
	if took > target {
		return Argon2id{}, fmt.Errorf("%d KiB and %d passes take %v here, more than %v", memory, a.Time, took.Round(time.Millisecond), target)
	}
	// The time is a pass's times their number, and a little for the rest.
	a.Time = max(least, min(argon2MaxTime, argon2MaxVolume/memory, uint32(int64(target)*int64(least)/int64(took))))
	for a.Time > least {
		if took, err = measure(ctx, a); err != nil {
			return Argon2id{}, err
		}
		if took <= target {
			break
		}
		a.Time--
	}
	return a, nil
}

// measure returns the shorter of two runs: what else the machine does only adds.
func measure(ctx context.Context, a Argon2id) (time.Duration, error) {
	best := time.Duration(-1)
	for range 2 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		start := time.Now()
		if _, err := a.Hash("calibration"); err != nil {
			return 0, err
		}
		if took := time.Since(start); best < 0 || took < best {
			best = took
		}
	}
	return best, nil
}
