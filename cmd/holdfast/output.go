package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"

	"github.com/holdfast-security/holdfast/server/report"
)

// Rules for what an operator reads:
//
//   - results go to standard output, everything else to standard error;
//   - human text and JSON are two printers of the same values;
//   - a message starts with "holdfast:" and has no capital and no period;
//   - an error says what failed, what state the server is in now, and what to
//     type next;
//   - packages below cmd return errors that say what happened; only cmd says
//     what to do about it.

// An output is where a command prints.
type output struct {
	out, err io.Writer
	// json asks for values instead of text.
	json bool
	// color says that out is a terminal whose user has not asked for plain text.
	color bool
	// live says that err is a terminal, so that lines may be repainted.
	live bool
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// plain reports whether the user has asked for text without colours.
func plain() bool { return os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" }

// newOutput looks at the two streams once.
func newOutput(out, errw io.Writer, asJSON bool) output {
	return output{out: out, err: errw, json: asJSON, color: isTerminal(out) && !plain(), live: isTerminal(errw) && !plain()}
}

// value prints v as indented JSON on standard output.
func (o output) value(v any) error {
	e := json.NewEncoder(o.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printf prints a result on standard output.
func (o output) printf(format string, args ...any) { fmt.Fprintf(o.out, format, args...) }

// say prints a message on standard error.
func (o output) say(format string, args ...any) {
	fmt.Fprintf(o.err, "holdfast: "+format+"\n", args...)
}

// hint prints what to type next.
func (o output) hint(lines ...string) {
	for _, l := range lines {
		fmt.Fprintf(o.err, "holdfast: hint: %s\n", l)
	}
}

// style colours s if standard output is a terminal.
func (o output) style(s string, color string, bold bool) string {
	if !o.color {
		return s
	}
	return lipgloss.NewStyle().Foreground(lipgloss.Color(color)).Bold(bold).Render(s)
}

// The palette is that of reports.
const (
	red    = report.Red
	green  = report.Green
	yellow = report.Yellow
	cyan   = report.Cyan
	grey   = report.Grey
)

// plural counts things in words.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// indent puts prefix before every line of s.
func indent(s, prefix string) string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return ""
	}
	return prefix + strings.ReplaceAll(s, "\n", "\n"+prefix) + "\n"
}

// diff colours a unified diff.
func (o output) diff(text string) string { return report.PaintDiff(text, o.style) }
