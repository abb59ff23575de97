package report

import (
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// Changes are what is different from an earlier audit of a server.
type Changes struct {
	// Since is when the earlier audit was made; zero if none is kept that is old
	// enough.
	Since time.Time `json:"since,omitzero"`
	// Controls are those that changed.
	Controls []Change `json:"controls"`
}

// A Change is a control that is not as it was.
type Change struct {
	Control string `json:"control"`
	Guide   string `json:"guide,omitempty"`
	Title   string `json:"title"`
	// Before and After are its verdicts; empty where there was none.
	Before server.Verdict `json:"before,omitempty"`
	After  server.Verdict `json:"after,omitempty"`
	// New are statements that did not hold only afterwards, and Gone those that
	// did not only before.
	New  []string `json:"new,omitempty"`
	Gone []string `json:"gone,omitempty"`
}

// Compare returns the controls that are not as they were, in the order of the
// later audit.
func Compare(before, after []server.Result) []Change {
	find := func(all []server.Result, id string) server.Result {
		i := slices.IndexFunc(all, func(r server.Result) bool { return r.Control == id })
		if i < 0 {
			return server.Result{}
		}
		return all[i]
	}
	changes := []Change{}
	for _, r := range after {
		old := find(before, r.Control)
		c := Change{Control: r.Control, Guide: r.Guide, Title: r.Title, Before: old.Verdict, After: r.Verdict}
		was, is := broken(old), broken(r)
		c.New, c.Gone = without(is, was), without(was, is)
		if c.Before != c.After || len(c.New)+len(c.Gone) > 0 {
			changes = append(changes, c)
		}
	}
	for _, r := range before {
		if find(after, r.Control).Control == "" {
			changes = append(changes, Change{Control: r.Control, Guide: r.Guide, Title: r.Title, Before: r.Verdict, Gone: broken(r)})
		}
	}
	return changes
}

// broken are the statements of a result that do not hold.
func broken(r server.Result) []string {
	var all []string
	for _, f := range r.Findings {
		if f.Verdict != server.Pass && !slices.Contains(all, f.What) {
			all = append(all, f.What)
		}
	}
	return all
}

// without returns a less what is in b.
func without(a, b []string) []string {
	var left []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			left = append(left, s)
		}
	}
	return left
}

// An event is a verdict that changed between two kept audits.
type event struct {
	At     time.Time
	Server string
	Change
}

// events are the verdicts that changed over the kept audits, the latest first.
// Controls that a version brought along or dropped are no events.
func events(kept []server.AuditRecord) []event {
	last := map[string]server.AuditRecord{}
	var all []event
	for _, r := range kept {
		if before, ok := last[r.Server]; ok {
			for _, c := range Compare(before.Results, r.Results) {
				if c.Before != c.After && c.Before != "" && c.After != "" {
					c.Control, c.Guide, c.Title = word(c.Control), word(c.Guide), word(c.Title)
					c.Before, c.After = word(c.Before), word(c.After)
					all = append(all, event{At: r.At, Server: r.Server, Change: c})
				}
			}
		}
		last[r.Server] = r
	}
	slices.Reverse(all)
	return all
}

// A day is what the last audits of one day found.
type day struct {
	Date    time.Time // midnight UTC
	Servers int       // that were audited
	Tally
}

// days are the last n days until now, earliest first; those without any audit
// have no servers.
func days(kept []server.AuditRecord, now time.Time, n int) []day {
	today := now.UTC().Truncate(24 * time.Hour)
	all := make([]day, n)
	for i := range all {
		all[i].Date = today.AddDate(0, 0, i-n+1)
	}
	type key struct {
		index  int
		server string
	}
	last := map[key]Tally{} // kept is sorted by time
	for _, r := range kept {
		i := int(r.At.UTC().Truncate(24*time.Hour).Sub(all[0].Date).Hours() / 24)
		if r.At.Before(all[0].Date) || i >= n {
			continue
		}
		last[key{i, r.Server}] = Count(r.Results)
	}
	for k, t := range last {
		all[k.index].Servers++
		all[k.index].Tally = all[k.index].plus(t)
	}
	return all
}
