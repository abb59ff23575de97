package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// sarifSchema is where OASIS publishes the schema of what [SARIF] writes.
const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// guideName is the name of the guide as a taxonomy.
const guideName = "Guide to User Data Security"

// The objects of SARIF 2.1.0 that are written, by their names in the standard.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Automation  sarifID           `json:"automationDetails"`
		Invocations []sarifInvocation `json:"invocations"`
		Taxonomies  []sarifComponent  `json:"taxonomies,omitempty"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifComponent `json:"driver"`
	}
	sarifComponent struct {
		Name       string        `json:"name"`
		Version    string        `json:"version,omitempty"`
		Taxonomies []sarifName   `json:"supportedTaxonomies,omitempty"`
		Rules      []sarifRule   `json:"rules,omitempty"`
		Taxa       []sarifTaxon  `json:"taxa,omitempty"`
		Short      *sarifMessage `json:"shortDescription,omitempty"`
	}
	sarifName struct {
		Name string `json:"name"`
	}
	sarifTaxon struct {
		ID    string        `json:"id"`
		Short *sarifMessage `json:"shortDescription,omitempty"`
	}
	sarifRule struct {
		ID            string              `json:"id"`
		Short         sarifMessage        `json:"shortDescription"`
		Full          *sarifMessage       `json:"fullDescription,omitempty"`
		Default       sarifDefault        `json:"defaultConfiguration"`
		Relationships []sarifRelationship `json:"relationships,omitempty"`
		Properties    map[string]any      `json:"properties,omitempty"`
	}
	sarifDefault struct {
		Level string `json:"level"`
	}
	sarifRelationship struct {
		Target sarifTarget `json:"target"`
		Kinds  []string    `json:"kinds"`
	}
	sarifTarget struct {
		ID        string    `json:"id"`
		Component sarifName `json:"toolComponent"`
	}
	sarifResult struct {
		Rule         string             `json:"ruleId"`
		Index        int                `json:"ruleIndex"`
		Kind         string             `json:"kind"`
		Level        string             `json:"level"`
		Message      sarifMessage       `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
		Properties   map[string]any     `json:"properties,omitempty"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifLogical struct {
		Name string `json:"name"`
		Full string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		End           string              `json:"endTimeUtc,omitempty"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string       `json:"level"`
		Message sarifMessage `json:"message"`
	}
	sarifID struct {
		ID string `json:"id"`
	}
)

// SARIF writes a report as SARIF 2.1.0: one run, in which each control is a rule
// and each statement that does not hold is a result. What could not be told is a
// result of kind "open", and what was switched off on purpose one that is
// suppressed. The file that all results are located in is the site file, because
// that is what a repository has; the server is their logical location.
//
// Benchmarks and the guide are taxonomies, and rules are related to their
// numbers.
func SARIF(w io.Writer, r Report) error {
	run := sarifRun{
		Tool:        sarifTool{Driver: sarifComponent{Name: "holdfast", Version: r.Version}},
		Automation:  sarifID{ID: "holdfast/" + r.Site + "/"},
		Invocations: []sarifInvocation{{Successful: true, End: r.Made.UTC().Format(time.RFC3339)}},
		Results:     []sarifResult{},
	}
	rules := map[string]int{}
	for _, s := range r.Servers {
		if s.Error != "" {
			run.Invocations[0].Successful = false
			run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{
				Level: "error", Message: sarifMessage{s.Name + " could not be audited: " + s.Error},
			})
		}
		for _, one := range s.Results {
			i, known := rules[one.Control]
			if !known {
				i = len(run.Tool.Driver.Rules)
				rules[one.Control] = i
				run.addRule(r.control(one), r.section(one.Guide))
			}
			run.Results = append(run.Results, sarifResults(r, s, one, i)...)
		}
	}
	for _, t := range run.Taxonomies {
		run.Tool.Driver.Taxonomies = append(run.Tool.Driver.Taxonomies, sarifName{t.Name})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// addRule adds a control as a rule, and its identifiers to the taxonomies.
func (run *sarifRun) addRule(c server.Control, section Section) {
	rule := sarifRule{
		ID: c.ID, Short: sarifMessage{c.Title}, Default: sarifDefault{Level: sarifLevel(c.Severity)},
		// GitHub sorts security findings by this number of CVSS's scale.
		Properties: map[string]any{
			"tags":              []string{"security"},
			"security-severity": map[server.Severity]string{server.High: "8.0", server.Medium: "5.0"}[c.Severity],
		},
	}
	if rule.Properties["security-severity"] == "" {
		rule.Properties["security-severity"] = "3.0"
	}
	if c.Why != "" {
		rule.Full = &sarifMessage{c.Why}
	}
	relate := func(name, version, number, title string) {
		i := slices.IndexFunc(run.Taxonomies, func(t sarifComponent) bool { return t.Name == name && t.Version == version })
		if i < 0 {
			i = len(run.Taxonomies)
			run.Taxonomies = append(run.Taxonomies, sarifComponent{Name: name, Version: version})
		}
		t := &run.Taxonomies[i]
		if !slices.ContainsFunc(t.Taxa, func(x sarifTaxon) bool { return x.ID == number }) {
			taxon := sarifTaxon{ID: number}
			if title != "" {
				taxon.Short = &sarifMessage{title}
			}
			t.Taxa = append(t.Taxa, taxon)
		}
		rule.Relationships = append(rule.Relationships, sarifRelationship{
			Target: sarifTarget{ID: number, Component: sarifName{name}}, Kinds: []string{"relevant"},
		})
	}
	if c.Guide != "" {
		relate(guideName, "", c.Guide, section.Title)
	}
	for _, ref := range c.References {
		relate(ref.Benchmark, ref.Version, ref.Number, "")
	}
	run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
}

func sarifLevel(s server.Severity) string {
	switch s {
	case server.High:
		return "error"
	case server.Medium:
		return "warning"
	}
	return "note"
}

// sarifResults are the statements of a control that do not hold on a server, and
// what is excepted in any case.
func sarifResults(r Report, s Server, one server.Result, rule int) []sarifResult {
	var all []sarifResult
	add := func(f server.Finding, kind, level, text string) {
		sum := sha256.Sum256([]byte(strings.Join([]string{r.Site, s.Name, one.Control, f.What}, "\x00")))
		x := sarifResult{
			Rule: one.Control, Index: rule, Kind: kind, Level: level, Message: sarifMessage{s.Name + ": " + text},
			Locations: []sarifLocation{{
				Physical: sarifPhysical{sarifArtifact{"holdfast.yaml"}},
				Logical:  []sarifLogical{{Name: s.Name, Full: r.Site + "/" + s.Name, Kind: "resource"}},
			}},
			Fingerprints: map[string]string{"holdfast/v1": hex.EncodeToString(sum[:16])},
			Properties:   map[string]any{},
		}
		if f.Evidence != "" {
			x.Properties["evidence"] = f.Evidence
		}
		if f.Command != "" {
			x.Properties["command"] = f.Command
		}
		if one.Verdict == server.Excepted {
			x.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: exceptionText(one)}}
		}
		all = append(all, x)
	}
	for _, f := range one.Findings {
		switch f.Verdict {
		case server.Pass:
		case server.Fail:
			add(f, "fail", sarifLevel(one.Severity), statement(f.Verdict, f.What))
		default:
			add(f, "open", "none", statement(server.Unknown, f.What))
		}
	}
	if one.Verdict == server.Excepted && len(all) == 0 {
		add(server.Finding{}, "notApplicable", "none", "excepted: "+one.Title)
	}
	return all
}
