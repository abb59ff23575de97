package site

import (
	_ "embed" // for the comments of site.go
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/holdfast-security/holdfast/server"
)

// The types' own source is in the binary so that their comments are the only
// descriptions there are.
//
//go:embed site.go
var source string

// Schema returns the JSON Schema (draft 2020-12) of the site file, made from the
// types. What a schema cannot say, such as that jumps must not go in a circle,
// is left to [Load]: what the schema refuses, Load refuses too.
func Schema() ([]byte, error) {
	texts, err := descriptions()
	if err != nil {
		return nil, err
	}
	r := jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true, RequiredFromJSONSchemaTags: true, FieldNameTag: "yaml",
		LookupComment: func(t reflect.Type, field string) string {
			if field == "" {
				return texts[t.Name()]
			}
			return texts[t.Name()+"."+field]
		},
	}
	s := r.Reflect(&Site{})
	s.Title = "Holdfast site file"
	s.Extras = nil
	s.Definitions["reserved"] = &jsonschema.Schema{
		Description: "Accounts and groups of the system itself.",
		AnyOf:       []*jsonschema.Schema{{Enum: anys(reservedAccounts)}, {Pattern: "^systemd-"}},
	}
	for _, rule := range schemaRules() {
		if err := rule.apply(s); err != nil {
			return nil, err
		}
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("making the schema: %w", err)
	}
	return append(data, '\n'), nil
}

// A schemaRule adds to the schema of a key, or of a type if key is empty, what
// the tags of its field cannot say.
type schemaRule struct {
	of, key string
	add     func(s *jsonschema.Schema)
}

func schemaRules() []schemaRule {
	account := func(s *jsonschema.Schema) {
		s.Pattern = accountPattern
		s.Not = &jsonschema.Schema{Ref: "#/$defs/reserved"}
	}
	host := func(s *jsonschema.Schema) {
		s.Pattern, s.Not = hostPattern, &jsonschema.Schema{Pattern: `\.[0-9]+$`}
	}
	roles := func(s *jsonschema.Schema) { s.Enum = anys(knownRoles()) }
	publicKey := func(s *jsonschema.Schema) { s.Not = &jsonschema.Schema{Pattern: "PRIVATE KEY"} }
	unique := func(s *jsonschema.Schema) { s.UniqueItems = true }
	said := func(s *jsonschema.Schema) { s.Pattern = `\S` }
	day := func(s *jsonschema.Schema) { s.Pattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}` }
	ports := func(s *jsonschema.Schema) { s.Items.Minimum, s.Items.Maximum = "1", "65535" }
	protocol := func(s *jsonschema.Schema) { s.Enum = anys([]string{"tcp", "udp"}) }
	needs := func(keys ...string) *jsonschema.Schema { return &jsonschema.Schema{Required: keys} }
	return []schemaRule{
		{"Site", "site", host},
		{"Site", "passwords", func(s *jsonschema.Schema) {
			s.Enum = anys([]string{string(server.PasswordsGuide), string(server.PasswordsNIST)})
		}},
		{"Site", "firewall", func(s *jsonschema.Schema) {
			s.Enum = anys([]string{string(server.FilterHoldfast), string(server.FilterTakeOver), string(server.FilterProvider)})
		}},
		{"Site", "application_ports", ports}, {"Site", "database_ports", ports},
		{"Rule", "protocol", protocol}, {"Egress", "protocol", protocol},
		{"Admin", "name", account},
		{"Admin", "keys", func(s *jsonschema.Schema) { publicKey(s.Items) }},
		{"BreakGlass", "", func(s *jsonschema.Schema) {
			s.AnyOf = []*jsonschema.Schema{needs("account"), needs("key")}
			s.DependentRequired = map[string][]string{"key": {"from"}, "from": {"key"}}
		}},
		{"BreakGlass", "account", account},
		{"BreakGlass", "key", publicKey},
		{"SecondFactor", "codes", func(s *jsonschema.Schema) { s.Enum = anys(knownCodes()) }},
		{"SecondFactor", "enroll_until", day},
		{"SecondFactor", "fido2", func(s *jsonschema.Schema) { s.Enum = anys([]string{string(FIDO2Key), string(FIDO2Both)}) }},
		{"Automation", "name", account},
		{"Automation", "key", publicKey},
		{"Automation", "command", func(s *jsonschema.Schema) { s.Pattern = "^/" }},
		{"Automation", "until", day},
		{"Server", "", func(s *jsonschema.Schema) {
			s.OneOf = []*jsonschema.Schema{needs("role"), needs("roles")}
		}},
		{"Server", "name", host},
		{"Server", "role", roles},
		{"Server", "roles", func(s *jsonschema.Schema) { roles(s.Items); s.UniqueItems = true }},
		{"Server", "first_login", func(s *jsonschema.Schema) { s.Pattern = accountPattern }},
		{"LostAccess", "servers", unique},
		{"LostAccess", "reason", said},
		{"LostAccess", "until", day},
		{"Exception", "control", said},
		{"Exception", "servers", unique},
		{"Exception", "reason", said},
		{"Exception", "owner", said},
		{"Exception", "until", day},
		{"SecretsFile", "recipients", func(s *jsonschema.Schema) { s.Items.Pattern = "^(age1|ssh-ed25519 )" }},
	}
}

func (r schemaRule) apply(root *jsonschema.Schema) error {
	s := root
	if r.of != "Site" {
		s = root.Definitions[r.of]
	}
	if s != nil && r.key != "" {
		s, _ = s.Properties.Get(r.key)
	}
	if s == nil {
		return fmt.Errorf("making the schema: there is no key %s in %s", r.key, r.of)
	}
	r.add(s)
	return nil
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, t := range texts {
		all[i] = t
	}
	return all
}

// descriptions are the comments of the types of the site file, by "Type" and by
// "Type.Field".
func descriptions() (map[string]string, error) {
	all := map[string]string{}
	for name, text := range map[string]string{"site.go": source, "firewall.go": firewallSource} {
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("reading the descriptions of the site file: %w", err)
		}
		describe(file, all)
	}
	return all, nil
}

func describe(file *ast.File, all map[string]string) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			t := spec.(*ast.TypeSpec)
			all[t.Name.Name] = oneLine(gen.Doc.Text())
			fields, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					all[t.Name.Name+"."+name.Name] = oneLine(f.Doc.Text())
				}
			}
		}
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
