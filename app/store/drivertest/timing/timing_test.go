package timing_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/store/drivertest/timing"
)

func ms(values ...int) (all []time.Duration) {
	for _, v := range values {
		all = append(all, time.Duration(v)*time.Millisecond)
	}
	return all
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		a, b []time.Duration
		want float64
	}{
		{ms(1, 2, 3), ms(4, 5, 6), 1},
		{ms(4, 5, 6), ms(1, 2, 3), 0},
		{ms(5, 5, 5), ms(5, 5), 0.5},
		{ms(1, 3), ms(2, 4), 0.75},
		{ms(1, 2), ms(2, 2), 0.75},
	} {
		got := timing.Compare(c.a, c.b, 0.95)
		if got.AUC != c.want || got.Low > got.AUC || got.High < got.AUC {
			t.Errorf("Compare(%v, %v) = %+v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// The interval holds the truth as often as it says, and sees a real gap.
func TestInterval(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	sample := func(n int, shift float64) (all []time.Duration) {
		for range n {
			all = append(all, time.Duration((random.ExpFloat64()+shift)*float64(time.Millisecond)))
		}
		return all
	}
	const runs = 2000
	wrong, seen := 0, 0
	for range runs {
		if timing.Compare(sample(100, 0), sample(100, 0), 0.95).Tells() {
			wrong++
		}
		if timing.Compare(sample(100, 0), sample(100, 0.5), 0.95).Tells() {
			seen++
		}
	}
	if share := float64(wrong) / runs; share < 0.03 || share > 0.07 {
		t.Errorf("an interval of 95 %% misses the truth in %.1f %%", 100*share)
	}
	if share := float64(seen) / runs; share < 0.95 {
		t.Errorf("half a standard deviation is seen in %.1f %%", 100*share)
	}
}

func TestFastest(t *testing.T) {
	got := timing.Fastest(ms(5, 3, 9, 1, 7), 2)
	if len(got) != 2 || got[0] != 3*time.Millisecond || got[1] != time.Millisecond {
		t.Errorf("%v", got)
	}
	if got := timing.Median(ms(5, 3, 9)); got != 5*time.Millisecond {
		t.Errorf("%v", got)
	}
}
