// Package timing tells whether answers of different kinds can be told apart by how
// long they take, by the measures of an attacker: one answer, and the fastest of
// twenty.
//
// The measure is the area under the ROC curve (AUC): the chance that an answer of
// one kind takes longer than one of another, a tie counting half. 0.5 tells
// nothing, 0 and 1 tell everything.
//
// If a run could not have seen a difference that was planted in it, its result is
// no result.
package timing

import (
	"math"
	"slices"
	"sort"
	"time"
)

// An Area is an AUC with its confidence interval.
type Area struct {
	AUC, Low, High float64
}

// Tells reports whether the interval lies on one side of 0.5.
func (a Area) Tells() bool { return a.Low > 0.5 || a.High < 0.5 }

// Folded is the AUC of a classifier that may also guess the other way round.
func (a Area) Folded() float64 { return max(a.AUC, 1-a.AUC) }

// Compare returns the chance that one of b takes longer than one of a, with its
// interval at this level, such as 0.95, by the variance of DeLong, DeLong and
// Clarke-Pearson (1988).
func Compare(a, b []time.Duration, level float64) Area {
	if len(a) < 2 || len(b) < 2 {
		return Area{AUC: 0.5, High: 1}
	}
	overA, overB := placements(b, a), placements(a, b) // of each b among a, of each a among b
	auc := mean(overA)
	se := math.Sqrt(variance(overA)/float64(len(b)) + variance(overB)/float64(len(a)))
	if se == 0 {
		// All of one kind are beyond all of the other, or all are equal: the
		// rule of three.
		se = 1 / float64(min(len(a), len(b)))
	}
	z := math.Sqrt2 * math.Erfinv(level)
	return Area{AUC: auc, Low: max(auc-z*se, 0), High: min(auc+z*se, 1)}
}

// placements returns for each of x the share of y that is less, ties half.
func placements(x, y []time.Duration) []float64 {
	sorted := slices.Sorted(slices.Values(y))
	all := make([]float64, len(x))
	for i, v := range x {
		less := sort.Search(len(sorted), func(j int) bool { return sorted[j] >= v })
		most := sort.Search(len(sorted), func(j int) bool { return sorted[j] > v })
		all[i] = float64(less+most) / 2 / float64(len(sorted))
	}
	return all
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func variance(x []float64) float64 {
	m, sum := mean(x), 0.0
	for _, v := range x {
		sum += (v - m) * (v - m)
	}
	return sum / float64(len(x)-1)
}

// Fastest returns the minimum of each n in a row; a rest is left out.
func Fastest(x []time.Duration, n int) []time.Duration {
	var all []time.Duration
	for chunk := range slices.Chunk(x, n) {
		if len(chunk) == n {
			all = append(all, slices.Min(chunk))
		}
	}
	return all
}

// Median returns the middle one.
func Median(x []time.Duration) time.Duration {
	if len(x) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(x))[len(x)/2]
}
