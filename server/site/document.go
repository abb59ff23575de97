package site

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	yaml "go.yaml.in/yaml/v4"

	"github.com/holdfast-security/holdfast/server"
)

// A document is a YAML file while it is being decoded and checked: its values
// are asked for by path, and problems are noted at the place of a value.
type document struct {
	file     string
	root     *yaml.Node
	partial  bool // required keys at the top may be missing
	problems []Problem
	bad      map[*yaml.Node]bool            // values that already have a problem
	meant    map[*yaml.Node]map[string]bool // keys that a misspelled one stands for
}

// read parses data into a document and decodes it into v, a pointer to a
// struct. What can be decoded is, also if there are problems.
func read(file string, data []byte, v any, partial bool) *document {
	d := &document{
		file: file, root: &yaml.Node{}, partial: partial,
		bad: map[*yaml.Node]bool{}, meant: map[*yaml.Node]map[string]bool{},
	}
	if line, ok := privateKeyLine(data); ok {
		// Nothing else is looked at: whatever else could be said might repeat a
		// part of the key.
		d.addAt(line, 1, "a private key stands here", "write the public key, which is in the file that ends in .pub, and treat the private one as lost if others could read this file")
		return d
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(data)))
	if err == nil {
		err = loader.Load(d.root)
	}
	switch {
	case errors.Is(err, io.EOF) || err == nil && len(d.root.Content) == 0:
		d.addAt(1, 1, "the file is empty", "write "+reflect.TypeOf(v).Elem().Field(0).Tag.Get("like")+" and what else the schema asks for")
		return d
	case err != nil:
		d.addSyntax(err)
		return d
	}
	d.root = d.root.Content[0]
	d.decode(d.root, reflect.ValueOf(v).Elem(), "the file", "site: shop")
	var next yaml.Node
	if err := loader.Load(&next); err == nil {
		d.add(&next, "a second document begins", "write one document, without ---")
	} else if !errors.Is(err, io.EOF) {
		d.addSyntax(err)
	}
	return d
}

func (d *document) addSyntax(err error) {
	line, column, what := 1, 1, "it cannot be read"
	if e := (*yaml.LoadError)(nil); errors.As(err, &e) {
		line, column, what = max(e.Mark.Line, 1), max(e.Mark.Column, 1), e.Message
		if e.ContextMsg != "" {
			what += " " + e.ContextMsg + " from line " + strconv.Itoa(max(e.ContextMark.Line, 1))
		}
	}
	d.addAt(line, column, "this is not YAML: "+clean(what), "write key: value, with the same indentation for all keys of one thing, and quotes around text with special characters")
}

func (d *document) add(n *yaml.Node, what, instead string) {
	if n == nil {
		n = d.root
	}
	d.bad[n] = true
	d.addAt(n.Line, n.Column, what, instead)
}

func (d *document) addAt(line, column int, what, instead string) {
	d.problems = append(d.problems, Problem{
		File: d.file, Line: max(line, 1), Column: max(column, 1), What: what, Instead: instead,
	})
}

// err returns the problems as *Problems, nil if there are none.
func (d *document) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Problems{List: d.problems}
}

// at returns the value at path, whose elements are keys and indexes, or nil.
func (d *document) at(path ...any) *yaml.Node {
	n := d.root
	for _, p := range path {
		switch p := p.(type) {
		case string:
			n = value(n, p)
		case int:
			if n.Kind != yaml.SequenceNode || p >= len(n.Content) {
				return nil
			}
			n = n.Content[p]
		}
		if n == nil {
			return nil
		}
	}
	return n
}

// value returns what stands first under key in a mapping, or nil.
func value(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// sound returns the value at path if it is there and has no problem yet.
func (d *document) sound(path ...any) (*yaml.Node, bool) {
	n := d.at(path...)
	return n, n != nil && !d.bad[n]
}

// decode puts n into v. name is the key that n stands under and like a correct
// line with it.
func (d *document) decode(n *yaml.Node, v reflect.Value, name, like string) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.add(n, name+" is an alias", "write the value itself, such as "+like)
		return
	case n.ShortTag() == "!!null":
		d.add(n, name+" is empty", "write "+like+", or remove it")
		return
	}
	if v.Type() == reflect.TypeFor[server.Day]() {
		d.decodeDay(n, v, name, like)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), name, like)
	case reflect.Struct:
		d.decodeStruct(n, v, name, like)
	case reflect.Slice:
		d.decodeList(n, v, name, like)
	case reflect.String:
		if n.Kind != yaml.ScalarNode {
			d.add(n, name+" must be text and is "+kind(n), "write "+like)
		} else if n.ShortTag() != "!!str" {
			d.add(n, name+" must be text and is "+kind(n), "write it in quotes, or "+like)
		} else {
			v.SetString(n.Value)
		}
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		switch {
		case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int":
			d.add(n, name+" must be a whole number and is "+kind(n), "write "+like)
		case err != nil:
			d.add(n, name+" must be a whole number in plain decimal digits", "write "+like)
		default:
			v.SetInt(int64(i))
		}
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			d.add(n, name+" must be true or false and is "+kind(n), "write "+like)
		} else {
			v.SetBool(strings.EqualFold(n.Value, "true"))
		}
	default:
		panic("site: a type that the decoder does not know: " + v.Type().String())
	}
}

// decodeDay puts a date into v, with or without quotes.
func (d *document) decodeDay(n *yaml.Node, v reflect.Value, name, like string) {
	tag := n.ShortTag()
	switch {
	case n.Kind != yaml.ScalarNode || tag != "!!timestamp" && tag != "!!str":
		d.add(n, name+" must be a date and is "+kind(n), "write "+like)
	case !server.Day(n.Value).Valid():
		d.add(n, name+" is not a date as YYYY-MM-DD", "write "+like)
	default:
		v.SetString(n.Value)
	}
}

func (d *document) decodeList(n *yaml.Node, v reflect.Value, name, like string) {
	if n.Kind != yaml.SequenceNode {
		d.add(n, name+" must be a list and is "+kind(n), "write "+like)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.decode(item, v.Index(i), "item "+strconv.Itoa(i+1)+" of "+name, like)
	}
}

func (d *document) decodeStruct(n *yaml.Node, v reflect.Value, name, like string) {
	if n.Kind != yaml.MappingNode {
		d.add(n, name+" must be keys with values and is "+kind(n), "write "+like)
		return
	}
	fields := fieldsOf(v.Type())
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		switch earlier := first[key.Value]; {
		case key.Kind != yaml.ScalarNode || at < 0:
			d.unknown(n, key, fields)
		case earlier != nil:
			d.add(key, fmt.Sprintf("%s stands here a second time, first in line %d", key.Value, earlier.Line), "write it once")
		default:
			first[key.Value] = key
			d.decode(val, v.Field(fields[at].index), fields[at].key, fields[at].like)
		}
	}
	if d.partial && n == d.root {
		return
	}
	for _, f := range fields {
		if f.required && first[f.key] == nil && !d.meant[n][f.key] {
			d.addAt(n.Line, n.Column, f.key+" is missing"+called(n), "write "+f.like)
		}
	}
}

// called names a mapping by its name, if it has one.
func called(n *yaml.Node) string {
	if v := value(n, "name"); v != nil && v.Kind == yaml.ScalarNode && v.Value != "" {
		return " from " + show(v.Value)
	}
	return ""
}

func (d *document) unknown(mapping, key *yaml.Node, fields []field) {
	var known []string
	for _, f := range fields {
		known = append(known, f.key)
	}
	if key.Kind != yaml.ScalarNode {
		d.add(key, "a key must be text and is "+kind(key), "write one of "+strings.Join(known, ", "))
		return
	}
	instead := "write one of " + strings.Join(known, ", ")
	if near := nearest(key.Value, known); near != "" {
		instead = "write " + near
		if d.meant[mapping] == nil {
			d.meant[mapping] = map[string]bool{}
		}
		d.meant[mapping][near] = true
	}
	d.add(key, "the key "+show(key.Value)+" is unknown", instead)
}

// A field is a key that a struct type has.
type field struct {
	index     int
	key, like string
	required  bool
}

func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "-" {
			continue
		}
		rules := strings.Split(f.Tag.Get("jsonschema"), ",")
		all = append(all, field{index: i, key: key, like: f.Tag.Get("like"), required: slices.Contains(rules, "required")})
	}
	return all
}

// kind names what n is in words.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!int":
		return "a number"
	case "!!float":
		return "a number with a fraction"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	}
	return "something else"
}

// show quotes a value from the file for a message, without what could reach a
// terminal as a command, and cut: a long one is no name but perhaps a secret
// in the wrong place.
func show(s string) string {
	const limit = 40
	if r := []rune(s); len(r) > limit {
		return strconv.Quote(string(r[:8])) + " and more"
	}
	return strconv.Quote(s)
}

// clean removes what is not printable.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// nearest returns the candidate that s is probably a misspelling of, or "".
func nearest(s string, candidates []string) string {
	best, least := "", 3
	for _, c := range candidates {
		if n := distance(strings.ToLower(s), c); n < least && n < len(c) {
			best, least = c, n
		}
	}
	return best
}

// distance is the Levenshtein distance: how many letters have to be added,
// removed or exchanged to make b of a.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, change)
		}
	}
	return row[len(b)]
}
