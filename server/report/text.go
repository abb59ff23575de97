package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// The palette of [TextOptions.Style]: of the sixteen colours of the user's own
// terminal.
const (
	Red    = "1"
	Green  = "2"
	Yellow = "3"
	Cyan   = "6"
	Grey   = "8"
)

// TextOptions say how [Text] prints.
type TextOptions struct {
	// Style gives s a colour of the palette, or none if it is empty; nil leaves
	// the text plain.
	Style func(s, color string, bold bool) string
	// Evidence also prints what was proven, all that was seen, and how to see it
	// oneself.
	Evidence bool
}

// style is Style, if there is one.
func (o TextOptions) style(s, color string, bold bool) string {
	if o.Style == nil {
		return s
	}
	return o.Style(s, color, bold)
}

// mark is the sign of a verdict, with its colour.
func mark(v server.Verdict) (sign, color string) {
	switch v {
	case server.Pass:
		return "✓", Green
	case server.Fail:
		return "✗", Red
	case server.Excepted:
		return "-", Grey
	}
	return "?", Yellow
}

// Text writes a report for a terminal: for each server the sections of the guide
// with their controls, and under a control what is wrong.
func Text(w io.Writer, r Report, o TextOptions) error {
	p := &printer{w: w, TextOptions: o}
	first := true
	for _, s := range r.Servers {
		if s.Error != "" {
			continue // said on standard error
		}
		if !first {
			p.printf("\n")
		}
		first = false
		p.server(r, s)
	}
	return p.err
}

// A printer keeps the first error of its writer.
type printer struct {
	w io.Writer
	TextOptions
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) server(r Report, s Server) {
	p.printf("%s%s\n", p.style(s.Name, "", true), p.style(when(r, s), Grey, false))
	width := 0
	for _, one := range s.Results {
		width = max(width, len(one.Control))
	}
	for _, g := range r.bySection(s.Results) {
		t := Count(g.Results)
		color := Green
		if !t.Fine() {
			color = Red
		}
		p.printf("  %s  %s\n", p.style(strings.TrimSpace(g.Number+" "+g.Title), "", true), p.style(t.Share(), color, false))
		for _, one := range g.Results {
			p.result(one, width)
		}
	}
	if s.Changes != nil {
		p.changes(*s.Changes)
	}
	p.printf("  %s\n", Count(s.Results))
}

// when tells of an audit that is not of now.
func when(r Report, s Server) string {
	switch {
	case s.At.IsZero() || r.Made.Sub(s.At) < time.Hour && !s.Daily:
		return ""
	case s.Daily:
		return ", by itself at " + s.At.Format("2006-01-02 15:04 UTC")
	}
	return ", audited at " + s.At.Format("2006-01-02 15:04 UTC")
}

func (p *printer) result(r server.Result, width int) {
	sign, color := mark(r.Verdict)
	p.printf("    %s %-*s  %s\n", p.style(sign, color, true), width, r.Control, r.Title)
	if r.Verdict == server.Excepted {
		p.printf("        %s\n", exceptionText(r))
	}
	for _, f := range r.Findings {
		if (f.Verdict == server.Pass || r.Verdict == server.Excepted) && !p.Evidence {
			continue
		}
		p.finding(f)
	}
}

// exceptionText says in one line until when and why a control is switched off,
// and who answers for it.
func exceptionText(r server.Result) string {
	if r.Exception == nil {
		return "switched off; no reason is given"
	}
	return fmt.Sprintf("until %s: %s (%s)", r.Exception.Until, r.Exception.Reason, r.Exception.Owner)
}

func (p *printer) finding(f server.Finding) {
	const margin = "        "
	sign, color := mark(f.Verdict)
	p.printf("%s%s %s\n", margin, p.style(sign, color, false), f.What)
	evidence := PaintDiff(f.Evidence, p.style)
	if !p.Evidence {
		evidence = cut(evidence, 3)
	}
	p.printf("%s", indent(evidence, margin+"    "))
	if p.Evidence && f.Command != "" {
		p.printf("%s", p.style(indent("$ "+f.Command, margin+"    "), Grey, false))
	}
}

func (p *printer) changes(c Changes) {
	switch {
	case c.Since.IsZero():
		p.printf("  %s\n", p.style("no earlier audit is kept to compare with", Grey, false))
		return
	case len(c.Controls) == 0:
		p.printf("  nothing has changed since %s\n", c.Since.Format("2006-01-02 15:04 UTC"))
		return
	}
	p.printf("  %s\n", p.style("changed since "+c.Since.Format("2006-01-02 15:04 UTC"), "", true))
	for _, one := range c.Controls {
		_, color := mark(one.After)
		p.printf("    %s: %s\n", one.Control, p.style(one.Step(), color, false))
		for _, s := range one.New {
			p.printf("        %s %s\n", p.style("✗", Red, false), s)
		}
		for _, s := range one.Gone {
			p.printf("        %s %s\n", p.style("✓", Green, false), s)
		}
	}
}

// Step says in words how the verdict changed, such as "pass → fail".
func (c Change) Step() string {
	switch {
	case c.Before == "":
		return "new, " + string(c.After)
	case c.After == "":
		return "gone, was " + string(c.Before)
	case c.Before == c.After:
		return "still " + string(c.After)
	}
	return string(c.Before) + " → " + string(c.After)
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
		kept = append(kept, fmt.Sprintf("… %d more lines (--evidence shows all)", more))
	}
	return strings.Join(kept, "\n")
}

// indent puts prefix before every line of s.
func indent(s, prefix string) string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return ""
	}
	return prefix + strings.ReplaceAll(s, "\n", "\n"+prefix) + "\n"
}

// PaintDiff colours a unified diff with style, which is that of [TextOptions],
// and leaves out its header lines and those of a hunk that is the whole. Text
// that is no diff stays as it is.
func PaintDiff(text string, style func(s, color string, bold bool) string) string {
	var b strings.Builder
	for _, line := range diffLines(text) {
		s := line.Text
		if line.color() != "" {
			s = style(s, line.color(), false)
		}
		b.WriteString(s + "\n")
	}
	return b.String()
}

// A diffLine is a line of evidence, which may be a diff.
type diffLine struct {
	// Kind is "add", "del", "hunk" or empty.
	Kind, Text string
}

func (l diffLine) color() string {
	return map[string]string{"add": Green, "del": Red, "hunk": Cyan}[l.Kind]
}

// diffHead is how [server.Diff] begins.
const diffHead = "--- now\n+++ wanted\n"

// diffLines are the lines of a text; those of a diff without its headers.
func diffLines(text string) []diffLine {
	var all []diffLine
	body, isDiff := strings.CutPrefix(text, diffHead)
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\n")
		l := diffLine{Text: line}
		switch {
		case !isDiff:
		case strings.HasPrefix(line, "@@ -0,0 "), line == "@@ -1 +1 @@":
			continue
		case strings.HasPrefix(line, "@@"):
			l.Kind = "hunk"
		case strings.HasPrefix(line, "-"):
			l.Kind = "del"
		case strings.HasPrefix(line, "+"):
			l.Kind = "add"
		}
		all = append(all, l)
	}
	return all
}
