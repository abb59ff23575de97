package site

import (
	"fmt"
	"reflect"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Answers are a site as far as it is known before its file exists: what a
// person said, or what a file holds that has the keys of a site file with any of
// them left out at the top.
type Answers Site

// LoadAnswers reads answers from the YAML file at path. They are checked like a
// site file, except that keys at the top may be missing; keys of admins that
// stand there as paths are relative to path and are replaced by their text.
// Problems come as [*Problems].
func LoadAnswers(path string) (Answers, error) {
	data, err := readFile(path)
	if err != nil {
		return Answers{}, err
	}
	s, err := parse(path, data, true, nil)
	if err != nil {
		return Answers{}, err
	}
	return Answers(*s), nil
}

// New makes the text of a first site file from a. It explains every key where it
// stands first, in the words of the schema. [Load] accepts it: if a has problems
// they come as [*Problems] of a file "holdfast.yaml" that is the file as it
// would be.
func New(a Answers) ([]byte, error) {
	texts, err := descriptions()
	if err != nil {
		return nil, err
	}
	plain, err := yaml.Dump(a.tidy())
	if err != nil {
		return nil, fmt.Errorf("making the site file: %w", err)
	}
	var n yaml.Node
	if err := yaml.Load(plain, &n); err != nil {
		return nil, fmt.Errorf("making the site file: %w", err)
	}
	explain(n.Content[0], reflect.TypeFor[Site](), texts, map[string]bool{})
	data, err := yaml.Dump(&n, yaml.WithLineWidth(-1), yaml.WithCompactSeqIndent(false))
	if err != nil {
		return nil, fmt.Errorf("making the site file: %w", err)
	}
	data = []byte("# The servers of one site and the people who administer them.\n" + airy(string(data)))
	if _, err := Parse("holdfast.yaml", data); err != nil {
		return nil, err
	}
	return data, nil
}

// tidy leaves out what the file need not say.
func (a Answers) tidy() Site {
	s := Site(a)
	s.Servers = append([]Server(nil), a.Servers...)
	for i := range s.Servers {
		srv := &s.Servers[i]
		if len(srv.Roles) == 1 && srv.Role == "" {
			srv.Role, srv.Roles = srv.Roles[0], nil
		}
		if srv.Port == defaultPort {
			srv.Port = 0
		}
		if srv.FirstLogin == defaultFirstLogin {
			srv.FirstLogin = ""
		}
	}
	return s
}

// explain puts a comment above each key of type t that has none in seen.
func explain(n *yaml.Node, t reflect.Type, texts map[string]string, seen map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer:
		explain(n, t.Elem(), texts, seen)
	case reflect.Slice:
		for _, item := range n.Content {
			explain(item, t.Elem(), texts, seen)
			if len(item.Content) > 0 { // above the dash, not behind it
				item.HeadComment, item.Content[0].HeadComment = item.Content[0].HeadComment, ""
			}
		}
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			sf := t.Field(f.index)
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value != f.key {
					continue
				}
				if name := t.Name() + "." + sf.Name; !seen[name] {
					seen[name] = true
					n.Content[i].HeadComment = "# " + wrap(texts[name])
				}
				explain(n.Content[i+1], sf.Type, texts, seen)
			}
		}
	}
}

// airy puts an empty line before each comment at the left margin.
func airy(text string) string {
	var b strings.Builder
	comment := false
	for line := range strings.Lines(text) {
		if starts := strings.HasPrefix(line, "#"); starts && !comment {
			b.WriteByte('\n')
			comment = true
		} else if !starts {
			comment = false
		}
		b.WriteString(line)
	}
	return b.String()
}

// wrap breaks text into comment lines that with their indentation have at most
// 80 characters.
func wrap(text string) string {
	var b strings.Builder
	width := 0
	for _, word := range strings.Fields(text) {
		switch {
		case width == 0:
		case width+1+len(word) > 74:
			b.WriteString("\n# ")
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	return b.String()
}
