package site_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v4"

	"github.com/holdfast-security/holdfast/server/site"
)

func schema(t *testing.T) (*jsonschema.Schema, map[string]any) {
	t.Helper()
	data, err := site.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("site.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("site.json")
	if err != nil {
		t.Fatal(err)
	}
	return s, doc.(map[string]any)
}

// validate validates a YAML text, and ok is false if it is not YAML.
func validate(t *testing.T, s *jsonschema.Schema, content string) (err error, ok bool) {
	t.Helper()
	var v any
	if yaml.Load([]byte(content), &v) != nil {
		return nil, false
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, false
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc), true
}

func TestSchemaAgreesWithLoad(t *testing.T) {
	s, _ := schema(t)
	example, err := os.ReadFile("../../examples/site/holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	accepted := []string{
		good, string(example),
		strings.Replace(good, "{account: rescue}", "{key: keys/rescue.pub, from: [192.0.2.0/24, '2001:db8::/32']}", 1),
		strings.Replace(good, "passwords: guide", "passwords: nist", 1),
		strings.Replace(good, "break_glass: {account: rescue}\n", "", 1),
		strings.Replace(good, "    jump: app-1", "    jump: app-1\n    first_login: ec2-user\n    private: 2001:db8::5\n    address6: 2001:db8::6", 1),
		good + "    agent_forwarding: true\n",
		good + "exceptions:\n  - {control: ssh-sessions, servers: [app-1, db-1], reason: an old client, owner: alice, until: 2027-01-31}\n",
		good + "loses_access:\n  - {name: carol, servers: [db-1], reason: left}\n  - {name: alice, servers: [app-1, db-1], reason: on leave, until: 2027-01-31}\n",
		strings.Replace(good, "address: 192.0.2.10", "address: App.Example.com\n    private: 10.0.0.5", 1),
		strings.Replace(good, "passwords: guide", "firewall: take-over\nadmin_networks: [192.0.2.0/24, '2001:db8::/32']\napplication_ports: []\ndatabase_ports: [3306, 5432]\nredirects: [{from: 80, to: 8080}]\n"+
			"rules: [{protocol: tcp, port: 9100, to: 9110, sources: [app-1, 192.0.2.1, 10.0.0.0/8], servers: [db-1]}, {protocol: udp, port: 53}]\n"+
			"egress: [{protocol: tcp, port: 443, destinations: ['2001:db8::/32'], servers: [db-1]}]", 1),
	}
	for _, content := range accepted {
		if err, ok := validate(t, s, content); err != nil || !ok {
			t.Errorf("the schema refuses %s\n%v", content, err)
		}
		if _, err := site.Parse("testdata/holdfast.yaml", []byte(content)); err != nil && content != string(example) {
			t.Errorf("Load refuses %s\n%v", content, err)
		}
	}
	for _, c := range problemCases() {
		err, ok := validate(t, s, c.content())
		switch {
		case c.byLoad && ok && err != nil:
			t.Errorf("%s: the schema can tell: %v", c.name, err)
		case !c.byLoad && (!ok || err == nil):
			t.Errorf("%s: Load refuses it and the schema does not", c.name)
		}
	}
}

func TestSchemaDescribesEverything(t *testing.T) {
	_, doc := schema(t)
	objects := map[string]any{"the file": doc}
	for name, def := range doc["$defs"].(map[string]any) {
		objects[name] = def
	}
	keys := 0
	for name, o := range objects {
		object := o.(map[string]any)
		if object["description"] == nil {
			t.Errorf("%s has no description", name)
		}
		properties, _ := object["properties"].(map[string]any)
		for key, p := range properties {
			keys++
			if text, _ := p.(map[string]any)["description"].(string); len(text) < 10 {
				t.Errorf("%s of %s has the description %q", key, name, text)
			}
		}
	}
	if keys < 20 {
		t.Errorf("only %d keys are in the schema", keys)
	}
}
