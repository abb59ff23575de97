package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/protocol"
)

// A Report is what audits of the servers of a site have found.
type Report struct {
	// Site is the name of the site.
	Site string
	// Made is when the report was made, and Version with which program.
	Made    time.Time
	Version string
	// Command makes a report like this one.
	Command string
	// Servers are in the order of the site.
	Servers []Server
	// Sections are those of the guide; one that is missing here has its number as
	// its title.
	Sections []Section
	// Controls are those that the results are about. One that is missing here is
	// shown without its reason and identifiers.
	Controls []server.Control
	// Kept are earlier audits, from which the history is made; may be empty.
	Kept []server.AuditRecord
}

// A Server is what was found on one server. As JSON it is a contract.
type Server struct {
	Name string `json:"server"`
	// Results are empty if there is an Error.
	Results []server.Result `json:"results"`
	// Error says why the server could not be audited.
	Error string `json:"error,omitempty"`
	// At is when it was audited.
	At time.Time `json:"at,omitzero"`
	// Daily says that the server audited itself.
	Daily bool `json:"daily,omitempty"`
	// Again is what to type at the desk to see all this again.
	Again string `json:"-"`
	// Changes are what changed since an earlier audit; nil if nobody asked.
	Changes *Changes `json:"changes,omitempty"`
}

// New returns the report with everything cleaned that came from a server.
func New(r Report) Report {
	r.Servers = slices.Clone(r.Servers)
	for i, s := range r.Servers {
		s.Results = cleanResults(s.Results)
		s.Error = protocol.Clean(s.Error)
		r.Servers[i] = s
	}
	r.Kept = slices.Clone(r.Kept)
	slices.SortStableFunc(r.Kept, func(a, b server.AuditRecord) int { return a.At.Compare(b.At) })
	return r
}

func cleanResults(all []server.Result) []server.Result {
	all = slices.Clone(all)
	for i, r := range all {
		r.Control, r.Title, r.Guide = word(r.Control), word(r.Title), word(r.Guide)
		r.Verdict, r.Severity = word(r.Verdict), word(r.Severity)
		if e := r.Exception; e != nil {
			r.Exception = &server.Exception{Control: word(e.Control), Reason: word(e.Reason), Owner: word(e.Owner), Until: word(e.Until)}
		}
		r.Findings = slices.Clone(r.Findings)
		for k, f := range r.Findings {
			r.Findings[k] = server.Finding{
				Verdict: word(f.Verdict), What: word(f.What), Evidence: protocol.Clean(f.Evidence), Command: protocol.Clean(f.Command),
			}
		}
		all[i] = r
	}
	return all
}

// word cleans what stands on one line.
func word[S ~string](s S) S {
	return S(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, protocol.Clean(string(s))))
}

// control returns the declaration of a result's control, as far as it is known.
func (r Report) control(one server.Result) server.Control {
	i := slices.IndexFunc(r.Controls, func(c server.Control) bool { return c.ID == one.Control })
	if i >= 0 {
		return r.Controls[i]
	}
	return server.Control{ID: one.Control, Guide: one.Guide, Title: one.Title, Severity: one.Severity}
}

// JSON writes what was found on each server as one array.
func JSON(w io.Writer, r Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r.Servers)
}

// A Tally counts controls by their verdicts.
type Tally struct{ Pass, Fail, Unknown, Excepted int }

// Count counts results.
func Count(all []server.Result) Tally {
	var t Tally
	for _, r := range all {
		t.add(r.Verdict)
	}
	return t
}

func (t *Tally) add(v server.Verdict) {
	switch v {
	case server.Pass:
		t.Pass++
	case server.Fail:
		t.Fail++
	case server.Excepted:
		t.Excepted++
	default:
		t.Unknown++ // whatever it is, it is no pass
	}
}

// plus adds two tallies.
func (t Tally) plus(u Tally) Tally {
	return Tally{t.Pass + u.Pass, t.Fail + u.Fail, t.Unknown + u.Unknown, t.Excepted + u.Excepted}
}

// All is how many there are.
func (t Tally) All() int { return t.Pass + t.Fail + t.Unknown + t.Excepted }

// Counted is how many are not excepted.
func (t Tally) Counted() int { return t.All() - t.Excepted }

// Fine reports whether nothing fails and nothing is unknown.
func (t Tally) Fine() bool { return t.Fail+t.Unknown == 0 }

// Percent is how many of those that count hold, rounded down, so that 100 means
// all; it is 100 if none count.
func (t Tally) Percent() int {
	if t.Counted() == 0 {
		return 100
	}
	return t.Pass * 100 / t.Counted()
}

// Share is how many hold, such as "4 of 5", or "excepted" if none count.
func (t Tally) Share() string {
	if t.Counted() == 0 && t.Excepted > 0 {
		return "excepted"
	}
	return fmt.Sprintf("%d of %d", t.Pass, t.Counted())
}

// String counts in words, such as "10 passed, 2 failed, 1 excepted".
func (t Tally) String() string {
	parts := []string{fmt.Sprintf("%d passed", t.Pass), fmt.Sprintf("%d failed", t.Fail)}
	if t.Unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d unknown", t.Unknown))
	}
	if t.Excepted > 0 {
		parts = append(parts, fmt.Sprintf("%d excepted", t.Excepted))
	}
	return strings.Join(parts, ", ")
}

// A Section is a section of the guide.
type Section struct{ Number, Title string }

// Beyond is the title of what the guide does not ask for.
const Beyond = "Beyond the guide"

// section returns the section of a number.
func (r Report) section(number string) Section {
	for _, s := range r.Sections {
		if s.Number == number {
			return s
		}
	}
	if number == "" {
		return Section{Title: Beyond}
	}
	return Section{Number: number, Title: "Section " + number}
}

// CompareSections orders the numbers of sections as the guide does; what is
// beyond the guide comes last.
func CompareSections(a, b string) int { return slices.Compare(sectionNumber(a), sectionNumber(b)) }

// sectionNumber splits "3.10" into 3 and 10.
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

// A group is the results of one section.
type group struct {
	Section
	Results []server.Result
}

// bySection groups results as the guide does.
func (r Report) bySection(results []server.Result) []group {
	sorted := slices.SortedStableFunc(slices.Values(results), func(a, b server.Result) int {
		return CompareSections(a.Guide, b.Guide)
	})
	var all []group
	for _, one := range sorted {
		if len(all) == 0 || all[len(all)-1].Number != one.Guide {
			all = append(all, group{Section: r.section(one.Guide)})
		}
		g := &all[len(all)-1]
		g.Results = append(g.Results, one)
	}
	return all
}

// worseFirst orders severities.
func worseFirst(a, b server.Severity) int {
	order := []server.Severity{server.High, server.Medium, server.Low}
	rank := func(s server.Severity) int {
		if i := slices.Index(order, s); i >= 0 {
			return i
		}
		return len(order)
	}
	return cmp.Compare(rank(a), rank(b))
}

// Benchmarks are references joined by benchmark and version, in their order.
func Benchmarks(all []server.Reference) []Benchmark {
	var joined []Benchmark
	for _, r := range all {
		i := slices.IndexFunc(joined, func(b Benchmark) bool { return b.Name == r.Benchmark && b.Version == r.Version })
		if i < 0 {
			i = len(joined)
			joined = append(joined, Benchmark{Name: r.Benchmark, Version: r.Version})
		}
		joined[i].Numbers = append(joined[i].Numbers, r.Number)
	}
	return joined
}

// A Benchmark is a public benchmark with the numbers of some of its rules.
type Benchmark struct {
	Name, Version string
	Numbers       []string
}

// String is such as "CIS Debian 12 1.1.0: 5.2.1, 5.2.2".
func (b Benchmark) String() string {
	return b.Name + " " + b.Version + ": " + strings.Join(b.Numbers, ", ")
}
