// Package pam reads the stacks of files in /etc/pam.d and edits single lines of
// them, keeping every other byte.
//
// A stack counts lines: a control such as [success=1 default=ignore] passes
// over the next line, so taking a line away that is jumped over turns a refusal
// into a success or locks everybody out. [File.Drop] knows that, and no other
// function here takes a line away.
//
// Includes are not followed. If a line cannot be read it is left as it is and is
// no [Line].
package pam

import (
	"slices"
	"strconv"
	"strings"
)

// A File is the text of a file in /etc/pam.d as lines.
type File struct {
	rows []row
}

// row is one line of the text; rule is nil if it is none.
type row struct {
	text string // with its line break
	rule *Line
}

// A Line is one rule of a stack.
type Line struct {
	// Type is auth, account, password or session, without the minus sign.
	Type string
	// Optional says that a missing module is passed over (a minus sign stands
	// before the type).
	Optional bool
	// Control is a word or a list in brackets.
	Control string
	// Module is the module's file, such as pam_unix.so, or its path.
	Module string
	Args   []string
}

// String returns the line in the form in which pam-auth-update writes it, which
// is also the only one that it knows again as its own.
func (l Line) String() string {
	words := append([]string{l.Module}, l.Args...)
	indent := "\t"
	if !strings.HasPrefix(l.Control, "[") {
		indent = "\t\t\t"
	}
	dash := ""
	if l.Optional {
		dash = "-"
	}
	return dash + l.Type + "\t" + l.Control + indent + strings.Join(words, " ")
}

// Has reports whether the line has an argument: either the word itself or, for
// a name that ends in "=", a value of it.
func (l Line) Has(arg string) bool {
	for _, a := range l.Args {
		if a == arg || strings.HasSuffix(arg, "=") && strings.HasPrefix(a, arg) {
			return true
		}
	}
	return false
}

// Refuses reports whether a module that says no makes the stack say no.
func (l Line) Refuses() bool {
	if l.Control == "requisite" || l.Control == "required" {
		return true
	}
	for _, action := range strings.Fields(strings.Trim(l.Control, "[]")) {
		if action == "default=die" || action == "default=bad" {
			return true
		}
	}
	return false
}

// jump is how many lines the control passes over if the module says yes.
func (l Line) jump() int {
	for _, action := range strings.Fields(strings.Trim(l.Control, "[]")) {
		if n, ok := strings.CutPrefix(action, "success="); ok {
			count, _ := strconv.Atoi(n)
			return count
		}
	}
	return 0
}

// Parse reads a file. It never fails.
func Parse(content string) File {
	var f File
	continued := false
	for text := range strings.Lines(content) {
		body := strings.TrimRight(text, "\r\n")
		more := strings.HasSuffix(body, `\`)
		r := row{text: text}
		if !continued && !more {
			r.rule = parseLine(body)
		}
		continued = more
		f.rows = append(f.rows, r)
	}
	return f
}

func parseLine(body string) *Line {
	body, _, _ = strings.Cut(body, "#")
	kind, rest := cutWord(body)
	l := Line{}
	l.Type, l.Optional = strings.CutPrefix(kind, "-")
	switch l.Type {
	case "auth", "account", "password", "session":
	default:
		return nil
	}
	if strings.HasPrefix(rest, "[") {
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return nil
		}
		l.Control, rest = rest[:end+1], strings.TrimLeft(rest[end+1:], " \t")
	} else {
		l.Control, rest = cutWord(rest)
	}
	l.Module, rest = cutWord(rest)
	if l.Module == "" || l.Control == "include" || l.Control == "substack" {
		return nil
	}
	for rest != "" {
		var arg string
		if strings.HasPrefix(rest, "[") && strings.Contains(rest, "]") {
			end := strings.IndexByte(rest, ']')
			arg, rest = rest[:end+1], strings.TrimLeft(rest[end+1:], " \t")
		} else {
			arg, rest = cutWord(rest)
		}
		l.Args = append(l.Args, arg)
	}
	return &l
}

func cutWord(s string) (word, rest string) {
	s = strings.Trim(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}

// String returns the text.
func (f File) String() string {
	var b strings.Builder
	for _, r := range f.rows {
		b.WriteString(r.text)
	}
	return b.String()
}

// Stack returns the lines of one type, in order, with their places.
func (f File) Stack(kind string) []Place {
	var all []Place
	for i, r := range f.rows {
		if r.rule != nil && r.rule.Type == kind {
			all = append(all, Place{Line: *r.rule, row: i})
		}
	}
	return all
}

// A Place is a line that stands in a file.
type Place struct {
	Line
	row int
}

// Replace puts another line in the place of one.
func (f File) Replace(p Place, with Line) {
	text := f.rows[p.row].text
	f.rows[p.row] = row{text: with.String() + text[len(strings.TrimRight(text, "\r\n")):], rule: &with}
}

// First returns the file with a line before all others of its type, where no
// jump leads over it; where there is none, at the end.
func (f File) First(l Line) File {
	at := len(f.rows)
	for i, r := range f.rows {
		if r.rule != nil && r.rule.Type == l.Type {
			at = i
			break
		}
	}
	rows := slices.Clone(f.rows)
	if at == len(rows) && at > 0 && !strings.HasSuffix(rows[at-1].text, "\n") {
		rows[at-1].text += "\n"
	}
	return File{rows: slices.Insert(rows, at, row{text: l.String() + "\n", rule: &l})}
}

// Drop takes a line away. A line that an earlier one jumps over stands where a
// stack says no; it becomes that no, so that the jump still ends where it did.
func (f File) Drop(p Place) {
	stack := f.Stack(p.Type)
	at := 0
	for i := range stack {
		if stack[i].row == p.row {
			at = i
		}
	}
	for i, l := range stack[:at] {
		if i+l.jump() >= at {
			f.Replace(p, Line{Type: p.Type, Control: "requisite", Module: "pam_deny.so"})
			return
		}
	}
	f.rows[p.row] = row{}
}
