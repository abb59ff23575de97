package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

const (
	// historyDays is how far the chart goes back.
	historyDays = 90
	// maxColumns is how many servers have a column of their own in the table of
	// sections; more do not fit.
	maxColumns = 8
	// maxEvents is how many changes of verdicts the page tells.
	maxEvents = 40
)

// A page is what the template shows.
type page struct {
	Site, Version, Command string
	Made                   time.Time
	Style                  template.CSS
	Policy                 string
	Tally                  Tally
	Servers                []Server
	Unreached              []Server
	// Asked is how many servers were to be audited.
	Asked      int
	Columns    []string
	Sections   []pageSection
	Findings   []pageControl
	Exceptions []pageException
	Chart      chart
	Events     []event
	MoreEvents int
	Changes    []Server
	Groups     []pageGroup
	Benchmarks []string
}

// A pageSection is a line of the table of sections.
type pageSection struct {
	Section
	Tally
	// Cells are the tallies of the servers with a column.
	Cells []Tally
}

// A pageControl is a control with what was found on some servers.
type pageControl struct {
	server.Control
	Section Section
	// Verdict is the worst of them.
	Verdict    server.Verdict
	Benchmarks []Benchmark
	On         []pageResult
}

// A pageResult is a control on one server.
type pageResult struct {
	Server string
	server.Result
	// Hidden are the findings that hold, and Shown the others.
	Shown, Hidden []server.Finding
	// Again is what to type at the desk, if one of Shown has no command.
	Again string
}

type pageGroup struct {
	Section
	Controls []pageControl
}

// A pageException is an exception and the servers that it is made for.
type pageException struct {
	server.Exception
	Title, Guide string
	Servers      []string
	Over         bool
}

// HTML writes a report as one page that needs nothing else: no script, no font,
// no image, no network.
func HTML(w io.Writer, r Report) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"lines": diffLines,
		"sign":  func(v server.Verdict) string { s, _ := mark(v); return s },
		"class": class,
		"at":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"date":  func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
		"join":  func(all []string) string { return strings.Join(all, ", ") },
		"count": plural,
		"tally": Count,
	}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	return t.Execute(w, newPage(r))
}

// class is a verdict as the name of a style.
func class(v server.Verdict) string {
	switch v {
	case server.Pass, server.Fail, server.Excepted:
		return string(v)
	}
	return string(server.Unknown)
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func newPage(r Report) page {
	sum := sha256.Sum256([]byte(pageStyle))
	p := page{
		Site: r.Site, Version: r.Version, Command: r.Command, Made: r.Made, Style: template.CSS(pageStyle),
		Policy: "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		Chart:  newChart(days(r.Kept, r.Made, historyDays)),
	}
	p.Asked = len(r.Servers)
	var references []server.Reference
	for _, s := range r.Servers {
		if s.Error != "" {
			p.Unreached = append(p.Unreached, s)
			continue
		}
		p.Servers = append(p.Servers, s)
		p.Tally = p.Tally.plus(Count(s.Results))
		if s.Changes != nil {
			p.Changes = append(p.Changes, s)
		}
	}
	controls := controlsOf(r, p.Servers)
	for _, c := range controls {
		references = append(references, c.References...)
		if c.Verdict == server.Fail || c.Verdict == server.Unknown {
			c.On = slices.DeleteFunc(slices.Clone(c.On), func(one pageResult) bool {
				return one.Verdict == server.Pass || one.Verdict == server.Excepted
			})
			p.Findings = append(p.Findings, c)
		}
		if len(p.Groups) == 0 || p.Groups[len(p.Groups)-1].Number != c.Section.Number {
			p.Groups = append(p.Groups, pageGroup{Section: c.Section})
		}
		g := &p.Groups[len(p.Groups)-1]
		g.Controls = append(g.Controls, c)
	}
	slices.SortStableFunc(p.Findings, func(a, b pageControl) int {
		return cmp.Or(cmp.Compare(a.Verdict, b.Verdict), worseFirst(a.Severity, b.Severity)) // "fail" before "unknown"
	})
	for _, b := range Benchmarks(references) {
		p.Benchmarks = append(p.Benchmarks, b.Name+" "+b.Version)
	}
	p.Sections, p.Columns = r.sectionTable(p.Servers)
	p.Exceptions = exceptionsOf(r.Made, p.Servers)
	p.Events = events(r.Kept)
	if n := len(p.Events) - maxEvents; n > 0 {
		p.Events, p.MoreEvents = p.Events[:maxEvents], n
	}
	return p
}

// controlsOf turns results by server into results by control, as the guide
// orders them.
func controlsOf(r Report, servers []Server) []pageControl {
	var all []pageControl
	at := map[string]int{}
	for _, s := range servers {
		for _, one := range s.Results {
			i, known := at[one.Control]
			if !known {
				i = len(all)
				at[one.Control] = i
				c := r.control(one)
				all = append(all, pageControl{
					Control: c, Section: r.section(c.Guide), Verdict: server.Excepted, Benchmarks: Benchmarks(c.References),
				})
			}
			x := pageResult{Server: s.Name, Result: one}
			for _, f := range one.Findings {
				if f.Verdict == server.Pass {
					x.Hidden = append(x.Hidden, f)
				} else {
					x.Shown = append(x.Shown, f)
					if f.Command == "" {
						x.Again = s.Again
					}
				}
			}
			all[i].On = append(all[i].On, x)
			all[i].Verdict = worse(all[i].Verdict, one.Verdict)
		}
	}
	slices.SortStableFunc(all, func(a, b pageControl) int { return CompareSections(a.Section.Number, b.Section.Number) })
	return all
}

// worse returns the worse of two verdicts.
func worse(a, b server.Verdict) server.Verdict {
	for _, v := range []server.Verdict{server.Fail, server.Unknown, server.Pass} {
		if class(a) == string(v) || class(b) == string(v) {
			return v
		}
	}
	return server.Excepted
}

// sectionTable counts by section, in all and on each server.
func (r Report) sectionTable(servers []Server) (rows []pageSection, columns []string) {
	if len(servers) > 1 && len(servers) <= maxColumns {
		for _, s := range servers {
			columns = append(columns, s.Name)
		}
	}
	at := map[string]int{}
	for k, s := range servers {
		for _, g := range r.bySection(s.Results) {
			i, known := at[g.Number]
			if !known {
				i = len(rows)
				at[g.Number] = i
				rows = append(rows, pageSection{Section: g.Section, Cells: make([]Tally, len(columns))})
			}
			t := Count(g.Results)
			rows[i].Tally = rows[i].plus(t)
			if len(columns) > 0 {
				rows[i].Cells[k] = t
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b pageSection) int { return CompareSections(a.Number, b.Number) })
	return rows, columns
}

// exceptionsOf joins the exceptions of several servers that say the same.
func exceptionsOf(now time.Time, servers []Server) []pageException {
	var all []pageException
	for _, s := range servers {
		for _, r := range s.Results {
			if r.Exception == nil {
				continue
			}
			i := slices.IndexFunc(all, func(e pageException) bool { return e.Exception == *r.Exception })
			if i < 0 {
				i = len(all)
				all = append(all, pageException{Exception: *r.Exception, Title: r.Title, Guide: r.Guide, Over: r.Exception.Until.Over(now)})
			}
			all[i].Servers = append(all[i].Servers, s.Name)
		}
	}
	slices.SortStableFunc(all, func(a, b pageException) int { return cmp.Compare(a.Until, b.Until) })
	return all
}
