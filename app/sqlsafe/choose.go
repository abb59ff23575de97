package sqlsafe

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrRequest says that a request asks for what there is not: a server answers 400.
// The text of the error names the field, never a value.
var ErrRequest = errors.New("bad request")

// Columns is the closed enumeration of what may be sorted by: the name that
// requests use, and the SQL that it stands for, a constant.
type Columns map[string]constant

// OrderBy reads a request's choice, "name", "-created" for descending, or several
// with commas, and returns ORDER BY; nothing for an empty choice. Each name may
// appear once.
func (c Columns) OrderBy(choice string) (Query, error) {
	if choice == "" {
		return Query{}, nil
	}
	var seen, terms []string
	for name := range strings.SplitSeq(choice, ",") {
		direction := " ASC"
		if n, ok := strings.CutPrefix(name, "-"); ok {
			name, direction = n, " DESC"
		}
		column, ok := c[name]
		if !ok || slices.Contains(seen, name) {
			return Query{}, fmt.Errorf("sort: a column that is unknown or named twice: %w", ErrRequest)
		}
		seen = append(seen, name)
		terms = append(terms, string(column)+direction)
	}
	return Query{parts: []string{"ORDER BY " + strings.Join(terms, ", ")}}, nil
}

// An Op is a comparison that a filter allows.
type Op string

// The comparisons. A request names them after a point, as in "due.before"; Equal
// is meant where it names none.
const (
	Equal    Op = "is"
	Not      Op = "not"
	Less     Op = "before"
	More     Op = "after"
	Contains Op = "has" // the text is somewhere in it, letter case as the column's collation has it
)

// sql is the text around the column and its parameter.
func (op Op) sql() (string, bool) {
	s, ok := map[Op]string{Equal: " = ", Not: " <> ", Less: " < ", More: " > ", Contains: " LIKE "}[op]
	return s, ok
}

// A Field is what a filter may compare.
type Field struct {
	// Column is the SQL that the field's name stands for, a constant.
	Column constant
	// Ops are the comparisons that are allowed; nil means Equal.
	Ops []Op
	// Parse makes the parameter of a request's text; nil takes the text as it is.
	// Its errors are not shown to anybody.
	Parse func(text string) (any, error)
}

// Filters is the closed enumeration of what may be filtered by.
type Filters map[string]Field

// Where reads a request's parameters (a url.Values), of which it takes "name" and
// "name.op" for its own names, and returns the conditions joined by AND, without the
// word WHERE; nothing if there are none. Everything else in the request is left to
// others; a comparison that is not allowed, or text that does not parse, is an
// error. What a user may see is no filter: join it beside.
func (f Filters) Where(request map[string][]string) (Query, error) {
	var all []Query
	keys := make([]string, 0, len(request))
	for key := range request {
		keys = append(keys, key)
	}
	slices.Sort(keys) // one request, one text
	for _, key := range keys {
		name, opName, given := strings.Cut(key, ".")
		field, ok := f[name]
		if !ok {
			continue
		}
		op := Equal
		if given {
			op = Op(opName)
		}
		for _, text := range request[key] {
			q, err := field.condition(op, text)
			if err != nil {
				return Query{}, fmt.Errorf("filter %s: %w", name, err)
			}
			all = append(all, q)
		}
	}
	return joined(" AND ", all), nil
}

func (f Field) condition(op Op, text string) (Query, error) {
	allowed := f.Ops
	if allowed == nil {
		allowed = []Op{Equal}
	}
	sql, ok := op.sql()
	if !ok || !slices.Contains(allowed, op) {
		return Query{}, fmt.Errorf("this comparison is not allowed: %w", ErrRequest)
	}
	var arg any = text
	if f.Parse != nil {
		var err error
		if arg, err = f.Parse(text); err != nil {
			return Query{}, fmt.Errorf("the value cannot be read: %w", ErrRequest)
		}
	}
	after := ""
	if op == Contains {
		s, ok := arg.(string)
		if !ok {
			return Query{}, fmt.Errorf("this comparison is for text: %w", ErrRequest)
		}
		arg = "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s) + "%"
		after = " ESCAPE '!'" // a backslash is read differently everywhere
	}
	return Query{[]string{string(f.Column) + sql, after}, []any{arg}}, nil
}

// ParseInt reads a decimal number, for [Field.Parse].
func ParseInt(text string) (any, error) { return strconv.ParseInt(text, 10, 64) }

// ParseDay reads a date, 2006-01-02, as the beginning of that day in UTC, for
// [Field.Parse].
func ParseDay(text string) (any, error) { return time.Parse(time.DateOnly, text) }

// In returns "column IN (?, …)", or a condition that is never true for no values.
func In[T any](column constant, values ...T) Query {
	if len(values) == 0 {
		return New("1 = 0")
	}
	q := Query{parts: []string{string(column) + " IN ("}}
	for i, v := range values {
		if i > 0 {
			q.parts = append(q.parts, ", ")
		}
		q.args = append(q.args, v)
	}
	q.parts = append(q.parts, ")")
	return q
}

// Paging bounds pages. Zero fields have the defaults.
type Paging struct {
	Size int // rows on a page if the request does not say; 0 means 20
	Max  int // most rows on a page; 0 means 100
	Deep int // last page; 0 means 1000. A database counts through all rows before
}

// Limit reads a request's page, from 1, and size; empty text means the first page
// and the default size. It returns LIMIT and OFFSET.
func (p Paging) Limit(page, size string) (Query, error) {
	or := func(n, otherwise int) int {
		if n == 0 {
			return otherwise
		}
		return n
	}
	read := func(text string, otherwise, most int) (int, error) {
		if text == "" {
			return otherwise, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return 0, fmt.Errorf("page: not between 1 and %d: %w", most, ErrRequest)
		}
		return n, nil
	}
	n, err := read(page, 1, or(p.Deep, 1000))
	if err != nil {
		return Query{}, err
	}
	rows, err := read(size, or(p.Size, 20), or(p.Max, 100))
	if err != nil {
		return Query{}, err
	}
	return New("LIMIT ? OFFSET ?", rows, (n-1)*rows), nil
}
