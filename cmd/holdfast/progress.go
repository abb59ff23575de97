package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// A progress shows what is going on with every server: in a terminal one line
// for each, repainted in place; elsewhere a line for each piece of news.
//
// Its methods may be called by several goroutines.
type progress struct {
	w     io.Writer
	live  bool
	color bool
	width int // of the terminal, 0 if it is not known

	mu    sync.Mutex
	names []string
	lines map[string]status
	drawn int // lines that stand on the terminal
	began time.Time
}

type status struct {
	text string
	done bool
	ok   bool
}

// newProgress returns a progress for the named servers.
func newProgress(o output, width int, names []string) *progress {
	return &progress{
		w: o.err, live: o.live && !o.json, color: o.live, width: width,
		names: slices.Clone(names), lines: map[string]status{}, began: time.Now(),
	}
}

// set says what is being done on a server.
func (p *progress) set(name, format string, args ...any) {
	p.put(name, status{text: fmt.Sprintf(format, args...)})
}

// done says how a server has ended.
func (p *progress) done(name string, ok bool, format string, args ...any) {
	p.put(name, status{text: fmt.Sprintf(format, args...), done: true, ok: ok})
}

func (p *progress) put(name string, s status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lines[name] == s {
		return
	}
	p.lines[name] = s
	if p.live {
		p.erase()
		p.draw()
		return
	}
	fmt.Fprintf(p.w, "%s: %s\n", name, s.text)
}

// pause runs f, which may ask or print, with the lines out of its way.
func (p *progress) pause(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	f()
	if p.live {
		p.draw()
	}
}

// end leaves the lines as they are; what is printed next stands below them.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawn = 0
}

func (p *progress) erase() {
	if p.drawn > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

func (p *progress) draw() {
	var b strings.Builder
	longest := 0
	for _, n := range p.names {
		longest = max(longest, len(n))
	}
	for _, n := range p.names {
		s := p.lines[n]
		sign, color := "·", grey
		switch {
		case s.done && s.ok:
			sign, color = "✓", green
		case s.done:
			sign, color = "✗", red
		case s.text != "":
			sign, color = "→", cyan
		}
		if p.color {
			sign = lipgloss.NewStyle().Foreground(lipgloss.Color(color)).Render(sign)
		}
		line := fmt.Sprintf("%s %-*s  %s", sign, longest, n, s.text)
		if p.width > 0 {
			line = ansi.Truncate(line, p.width-1, "…")
		}
		b.WriteString(line + "\n")
		p.drawn++
	}
	io.WriteString(p.w, b.String())
}
