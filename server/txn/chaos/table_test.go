package chaos_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// A queue hands out the cases of one suite to its servers.
type queue struct {
	mu    sync.Mutex
	cases map[string][]oneCase // by operation
}

type oneCase struct {
	fault
	at string
}

// newQueue returns all cases twice over, for apply and for undo, or every fourth
// of them, another quarter for each suite.
func newQueue(all []fault, suite int, full bool) *queue {
	q := &queue{cases: map[string][]oneCase{}}
	n := 0
	for _, f := range all {
		for i, at := range f.at {
			if !only.MatchString(f.kind + " at " + at) {
				continue
			}
			for _, op := range []string{"apply", "undo"} {
				if f.only != "" && f.only != op {
					continue
				}
				n++
				if full || only.String() != "" || (n+suite+i)%4 == 0 {
					q.cases[op] = append(q.cases[op], oneCase{f, at})
				}
			}
		}
	}
	// What time runs out for is not always the same kind.
	r := rand.New(rand.NewPCG(uint64(suite), 7))
	for _, op := range []string{"apply", "undo"} {
		some := q.cases[op]
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	}
	return q
}

// next returns a case for an operation. If there is none left for it and some
// for the other, the first fault, which may end either way, goes on.
func (q *queue) next(op string) (fault, string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if all := q.cases[op]; len(all) > 0 {
		q.cases[op] = all[1:]
		return all[0].fault, all[0].at, true
	}
	for other, all := range q.cases {
		if other != op && len(all) > 0 {
			// Something harmless, so that the server comes into the other state.
			return fault{kind: "logind restarted", do: restart("systemd-logind.service")}, applied, true
		}
	}
	return fault{}, "", false
}

// A table counts.
type table struct {
	mu                                             sync.Mutex
	count                                          map[string]map[string]int // by kind and transition
	faults, missed                                 int
	lockedOut, halfApplied, wrongReport, remaining int
	other                                          int
}

func newTable() *table { return &table{count: map[string]map[string]int{}} }

func (t *table) add(at, kind string, o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.missed {
		t.missed++
		return
	}
	if t.count[kind] == nil {
		t.count[kind] = map[string]int{}
	}
	t.count[kind][at]++
	t.faults++
	for _, one := range []struct {
		seen bool
		n    *int
	}{{o.lockedOut, &t.lockedOut}, {o.halfApplied, &t.halfApplied}, {o.wrongReport, &t.wrongReport}, {o.remains, &t.remaining}} {
		if one.seen {
			*one.n++
		}
	}
	if len(o.problems) > 0 && !o.lockedOut && !o.halfApplied && !o.wrongReport && !o.remains {
		t.other++
	}
}

// String is the table for people.
func (t *table) String() string {
	columns := everywhere()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "fault\t%s\tall\t\n", strings.Join(columns, "\t"))
	for _, kind := range slices.Sorted(maps.Keys(t.count)) {
		fmt.Fprintf(w, "%s\t", kind)
		all := 0
		for _, n := range t.count[kind] {
			all += n
		}
		for _, at := range columns {
			if n := t.count[kind][at]; n > 0 {
				fmt.Fprintf(w, "%d", n)
			}
			fmt.Fprint(w, "\t")
		}
		fmt.Fprintf(w, "%d\t\n", all)
	}
	w.Flush()
	fmt.Fprintf(&b, "\nfaults injected       %d (%d more came after the end and do not count)\nservers locked out    %d\nhalf-applied states   %d\nwrong reports         %d\nguards that remained  %d\nother failures        %d\n",
		t.faults, t.missed, t.lockedOut, t.halfApplied, t.wrongReport, t.remaining, t.other)
	return b.String()
}
