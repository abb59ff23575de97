package sqlsafe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// constant is text that was in the program: the compiler makes it from untyped
// constants, and other packages cannot name it.
type constant string

// A Query is SQL text and its parameters. The zero value is empty.
type Query struct {
	// parts are the texts between the parameters: one more than there are args,
	// or none.
	parts []string
	args  []any
}

// New returns a query of constant text with a ? for each argument; ?? stands for a
// question mark. Question marks in quotes and comments are taken as they are; a
// quote inside quotes is doubled, not escaped by a backslash. It panics if the number
// of parameters is not that of the arguments.
func New(text constant, args ...any) Query {
	parts := split(string(text))
	if len(parts) != len(args)+1 {
		panic(fmt.Sprintf("sqlsafe: %d parameters and %d arguments: %s", len(parts)-1, len(args), text))
	}
	return Query{parts, slices.Clone(args)}
}

// Join returns the queries one after the other, with a blank between; empty ones
// are left out.
func Join(queries ...Query) Query {
	return joined(" ", queries)
}

func joined(between string, queries []Query) Query {
	var all Query
	for _, q := range queries {
		switch {
		case q.Empty():
		case all.parts == nil:
			all = Query{slices.Clone(q.parts), slices.Clone(q.args)}
		default:
			all.parts[len(all.parts)-1] += between + q.parts[0]
			all.parts = append(all.parts, q.parts[1:]...)
			all.args = append(all.args, q.args...)
		}
	}
	return all
}

// Empty reports whether there is no text.
func (q Query) Empty() bool { return len(q.parts) == 0 || len(q.parts) == 1 && q.parts[0] == "" }

// SQL returns the text with ? for each parameter: MySQL, MariaDB, SQLite.
func (q Query) SQL() string { return strings.Join(q.parts, "?") }

// Numbered returns the text with $1, $2 and so on: PostgreSQL.
func (q Query) Numbered() string {
	var b strings.Builder
	for i, p := range q.parts {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(p)
	}
	return b.String()
}

// Args returns the parameters in their order.
func (q Query) Args() []any { return slices.Clone(q.args) }

// String returns the text without the parameters, which may be secrets.
func (q Query) String() string { return q.SQL() }

// split returns the texts between the question marks. Standard SQL is enough for
// that: a quote inside quotes is doubled, which ends and begins them again.
func split(text string) []string {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case text[i] == '\'' || text[i] == '"' || text[i] == '`':
			i += copyUntil(&b, rest, rest[:1], 1) - 1
		case strings.HasPrefix(rest, "--"):
			i += copyUntil(&b, rest, "\n", 2) - 1
		case strings.HasPrefix(rest, "/*"):
			i += copyUntil(&b, rest, "*/", 2) - 1
		case strings.HasPrefix(rest, "??"):
			b.WriteByte('?')
			i++
		case text[i] == '?':
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(text[i])
		}
	}
	return append(parts, b.String())
}

// copyUntil copies text up to and with the first end after skip bytes, or all of
// it, and returns how much that was.
func copyUntil(b *strings.Builder, text, end string, skip int) int {
	n := len(text)
	if i := strings.Index(text[skip:], end); i >= 0 {
		n = skip + i + len(end)
	}
	b.WriteString(text[:n])
	return n
}
