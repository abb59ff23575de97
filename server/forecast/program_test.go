package forecast_test

import (
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/forecast"
)

// A plan that takes a program's login away is refused unless the site wants it.
func TestRefuseLossOfProgram(t *testing.T) {
	yes := forecast.Way{Works: true}
	alice := forecast.Access{Account: "alice", Kind: forecast.Admin, Key: yes, Root: yes}
	in := forecast.Access{Account: "deploy", Kind: forecast.Program, From: "192.0.2.7", Key: yes}
	out := in
	out.Key = forecast.Way{Why: "no group lets it in"}
	c := server.Config{Admins: []server.Admin{{Name: "alice"}}, Automation: []server.Automation{{Name: "deploy"}}}
	wanted := c
	wanted.LosesAccess = []server.LostAccess{{Account: "deploy", Reason: "moved"}}
	over := c
	over.LosesAccess = []server.LostAccess{{Account: "deploy", Reason: "moved", Until: "2020-01-01"}}
	for name, tt := range map[string]struct {
		before, after forecast.Access
		c             server.Config
		refused       bool
	}{
		"kept": {in, in, c, false}, "lost": {in, out, c, true}, "never had it": {out, out, c, false},
		"lost on purpose": {in, out, wanted, false}, "purpose that is over": {in, out, over, true},
	} {
		why := strings.Join(forecast.Refuse([]forecast.Access{alice, tt.before}, []forecast.Access{alice, tt.after}, tt.c), "; ")
		if (why != "") != tt.refused || tt.refused && !strings.Contains(why, "the program deploy could not log in with its key any more: no group lets it in") {
			t.Errorf("%s: %q", name, why)
		}
	}
}
