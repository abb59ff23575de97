package control_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
)

var kebab = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// What every control must be, whatever it is about.
func TestControlsAreWellFormed(t *testing.T) {
	c := server.Config{
		Admins:     []server.Admin{{Name: "anna", Keys: []string{adminKey}}},
		BreakGlass: server.BreakGlass{Account: "rescue"}, Jump: true,
	}
	seen, sections := map[string]bool{}, map[string]bool{}
	for _, x := range control.All() {
		t.Run(x.ID, func(t *testing.T) {
			if !kebab.MatchString(x.ID) || seen[x.ID] {
				t.Error("the ID is not kebab-case or not unique")
			}
			seen[x.ID], sections[x.Guide] = true, true
			if len([]rune(x.Title)) > 60 || x.Title == "" || strings.HasSuffix(x.Title, ".") {
				t.Errorf("title %q", x.Title)
			}
			if !strings.HasSuffix(x.Why, ".") || strings.Count(x.Why, ". ") > 0 {
				t.Errorf("why is not one sentence: %q", x.Why)
			}
			if !slices.Contains([]server.Severity{server.High, server.Medium, server.Low}, x.Severity) {
				t.Errorf("severity %q", x.Severity)
			}
			for i, r := range x.References {
				if r.Benchmark == "" || r.Version == "" || r.Number == "" || slices.Contains(x.References[:i], r) {
					t.Errorf("reference %+v is incomplete or given twice", r)
				}
			}
			if x.Wants == nil || x.Proofs == nil {
				t.Fatal("it wants nothing or proves nothing")
			}
			proofs := x.Proofs(c)
			if len(proofs) == 0 {
				t.Error("it proves nothing")
			}
			for _, p := range proofs {
				if p.What == "" || strings.HasSuffix(p.What, ".") || p.Ask == nil {
					t.Errorf("proof %q", p.What)
				}
			}
		})
	}
	for _, section := range []string{"3.4", "3.5", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11"} {
		if !sections[section] {
			t.Errorf("section %s of the guide has no control", section)
		}
	}
}
