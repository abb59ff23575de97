package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// marks are the signs of the verdicts, with their colours.
var marks = map[server.Verdict]struct{ sign, color string }{
	server.Pass:     {"✓", green},
	server.Fail:     {"✗", red},
	server.Unknown:  {"?", yellow},
	server.Excepted: {"-", grey},
}

// count returns how many results have the verdict.
func count(results []server.Result, v server.Verdict) int {
	n := 0
	for _, r := range results {
		if r.Verdict == v {
			n++
		}
	}
	return n
}

// printAudit prints the verdicts on one server: a line for each control, and
// under it what is wrong. With all, it also prints what was proven and how to
// see it oneself.
func (o output) printAudit(name string, results []server.Result, all bool) {
	o.printf("%s\n", o.style(name, "", true))
	width := 0
	for _, r := range results {
		width = max(width, len(r.Control))
	}
	for _, r := range bySection(results) {
		m := marks[r.Verdict]
		o.printf("  %s %-4s %-*s  %s\n", o.style(m.sign, m.color, true), r.Guide, width, r.Control, r.Title)
		if r.Verdict == server.Excepted {
			o.printf("         until %s: %s (%s)\n", r.Exception.Until, r.Exception.Reason, r.Exception.Owner)
		}
		for _, f := range r.Findings {
			if (f.Verdict == server.Pass || r.Verdict == server.Excepted) && !all {
				continue
			}
			o.printFinding(f, all)
		}
	}
	o.printf("  %s\n", summary(results))
}

// bySection sorts results as the guide does.
func bySection(results []server.Result) []server.Result {
	return slices.SortedStableFunc(slices.Values(results), func(a, b server.Result) int {
		return slices.Compare(sectionNumber(a.Guide), sectionNumber(b.Guide))
	})
}

// sectionNumber splits "3.10" into 3 and 10; what is beyond the guide comes
// last.
func sectionNumber(guide string) []int {
	if guide == "" {
		return []int{math.MaxInt}
	}
	var all []int
	for part := range strings.SplitSeq(guide, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = math.MaxInt
		}
		all = append(all, n)
	}
	return all
}

// summary counts the verdicts in words.
func summary(results []server.Result) string {
	parts := []string{fmt.Sprintf("%d passed", count(results, server.Pass)), fmt.Sprintf("%d failed", count(results, server.Fail))}
	if n := count(results, server.Unknown); n > 0 {
		parts = append(parts, fmt.Sprintf("%d unknown", n))
	}
	if n := count(results, server.Excepted); n > 0 {
		parts = append(parts, fmt.Sprintf("%d excepted", n))
	}
	return strings.Join(parts, ", ")
}

func (o output) printFinding(f server.Finding, all bool) {
	const margin = "         "
	m := marks[f.Verdict]
	o.printf("%s%s %s\n", margin, o.style(m.sign, m.color, false), f.What)
	evidence := o.diff(f.Evidence)
	if !all {
		evidence = cut(evidence, 3)
	}
	o.printf("%s", indent(evidence, margin+"    "))
	if all && f.Command != "" {
		o.printf("%s    %s\n", margin, o.style("$ "+f.Command, grey, false))
	}
}

// cut keeps the first n lines that say something.
func cut(s string, n int) string {
	var kept []string
	more := 0
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\n")
		if strings.TrimSpace(line) == "" || strings.Contains(line, "@@ ") {
			continue
		}
		if len(kept) == n {
			more++
			continue
		}
		kept = append(kept, line)
	}
	if more > 0 {
		kept = append(kept, fmt.Sprintf("… %d more lines (-v shows all)", more))
	}
	return strings.Join(kept, "\n")
}
