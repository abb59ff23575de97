// Package sudoers reads files in the format of sudoers(5), as sudo and sudo-rs
// have it, and finds the places where sudo is told not to ask people for their
// password.
//
// [Parse] splits a file into its entries and knows which bytes of the file each
// of its findings stands at, so that [File.Tighten] can take one tag out of a
// line and leave everything else, comments and blanks included, as somebody
// wrote it. It follows sudo's own scanner where the two could disagree: lines
// that go on after a backslash, '#' that starts a comment, a user number or an
// include, tags that carry over to the commands after them, and arguments of
// commands in which a word that looks like a tag is none.
//
// It decides nothing about who may do what; that is asked of sudo itself.
//
// If an entry cannot be read it is kept in [File.Unread] and left untouched: it
// fails towards changing nothing, never towards taking a file for harmless.
package sudoers

import (
	"slices"
	"strings"
)

// A File is what one file in the format of sudoers says.
type File struct {
	// Content is the text that was parsed.
	Content string
	// Includes are the files and directories that it reads in, in order.
	Includes []Include
	// Rules are its user specifications.
	Rules []Rule
	// Loose are the places where it asks for less than it should, in the order
	// in which they stand.
	Loose []Loose
	// Unread are the numbers of the lines, from 1, that were not understood.
	Unread []int
}

// An Include is a line that reads in another file, or all files of a directory.
type Include struct {
	// Path is as it is written, without quotes and escapes: it may be relative
	// to the directory of the file it stands in, and %h stands for the host.
	Path string
	// Dir says that it is a directory.
	Dir bool
}

// A Rule is one user specification.
type Rule struct {
	// Line is the number of its first line, from 1.
	Line int
	// Users are its users as they are written, such as "%sudo" or "deploy".
	Users []string
	// All says that one of its commands is ALL, not negated.
	All bool
}

// A Loose is a place where sudo is told to ask for less.
type Loose struct {
	// Line is the number of the line it stands on, from 1.
	Line int
	// Who it is for, as written: the users of a rule or the scope of Defaults;
	// empty for everybody.
	Who string
	// What stands there, such as "NOPASSWD:" or "!authenticate".
	What string

	start, end int    // bytes of File.Content
	instead    string // what is to stand there
}

// MaxTimestampTimeout is the longest time, in minutes, for which one password
// may count. It is sudo's own default.
const MaxTimestampTimeout = 15

// Tighten returns the content with every loose place replaced by what asks for
// a password. Everything else is left as it is, byte for byte.
func (f File) Tighten() string {
	var b strings.Builder
	at := 0
	for _, l := range f.Loose {
		b.WriteString(f.Content[at:l.start])
		b.WriteString(l.instead)
		at = l.end
	}
	b.WriteString(f.Content[at:])
	return b.String()
}

// Grants reports whether one of the rules gives user, such as "%sudo", all
// commands. Aliases are not looked into.
func (f File) Grants(user string) bool {
	return slices.ContainsFunc(f.Rules, func(r Rule) bool { return r.All && slices.Contains(r.Users, user) })
}

// Read reports whether sudo reads a file of this name in an included directory:
// it passes over names that hold a dot or end in a tilde.
func Read(name string) bool {
	return name != "" && !strings.Contains(name, ".") && !strings.HasSuffix(name, "~")
}

// Parse reads a file. It never fails; see [File.Unread].
func Parse(content string) File {
	p := &parser{s: content, f: File{Content: content}}
	for p.at < len(p.s) {
		p.entry()
	}
	return p.f
}
