package server_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
)

// wanting are controls that each want one thing and prove one thing, which does
// not hold if the control is called bad.
func wanting(ids ...string) []server.Control {
	var all []server.Control
	for _, id := range ids {
		all = append(all, server.Control{
			ID: id,
			Wants: func(context.Context, server.Reader, server.Config) ([]server.Resource, error) {
				if id == "broken" {
					return nil, errors.New("cannot tell")
				}
				return []server.Resource{thing(id)}, nil
			},
			Proofs: func(server.Config) []server.Proof {
				return []server.Proof{{What: id + " holds", Ask: func(context.Context, server.Reader, server.Config) (server.Answer, error) {
					return server.Answer{Holds: !strings.HasPrefix(id, "bad"), Evidence: "seen"}, nil
				}}}
			},
		})
	}
	return all
}

// A thing is a resource that is as wanted unless it belongs to a bad control.
type thing string

func (s thing) Name() string       { return "thing " + string(s) }
func (s thing) Want() server.State { return "good" }

func (s thing) Get(context.Context, server.Reader) (server.State, error) {
	if strings.HasPrefix(string(s), "bad") {
		return "bad", nil
	}
	return "good", nil
}

func (s thing) Set(context.Context, server.Host, server.State) error { return errors.New("read only") }

// An exception in force takes its control out of plans and puts it apart in
// audits; one that is over is a finding and takes nothing out.
func TestExceptions(t *testing.T) {
	off := func(control string, until server.Day) server.Exception {
		return server.Exception{Control: control, Reason: "why", Owner: "ops", Until: until}
	}
	controls := wanting("good", "good-over", "bad", "bad-off", "bad-over", "broken", "good-off")
	controls[5].ID = "broken-off"
	c := server.Config{Exceptions: []server.Exception{
		off("bad-off", "9999-12-31"), off("good-off", "9999-12-31"), off("broken-off", "9999-12-31"),
		off("bad-over", "2020-01-01"), off("good-over", "2020-01-01"), off("bad-off", "2020-01-01"), off("unknown", "9999-12-31"),
	}}
	plan, err := server.MakePlan(t.Context(), &counter{}, controls, c, nil)
	if err != nil || plan.Err() != nil {
		t.Fatal(err, plan.Err())
	}
	var steps, excepted []string
	for _, s := range plan.Steps {
		steps = append(steps, s.Change.Resource)
	}
	for _, e := range plan.Excepted {
		excepted = append(excepted, e.String())
	}
	if want := []string{"thing bad", "thing bad-over"}; !reflect.DeepEqual(steps, want) {
		t.Errorf("the plan has %q, want %q", steps, want)
	}
	if want := []string{
		"bad-off until 9999-12-31: why (ops)", "broken-off until 9999-12-31: why (ops)", "good-off until 9999-12-31: why (ops)",
	}; !reflect.DeepEqual(excepted, want) {
		t.Errorf("left out are %q, want %q", excepted, want)
	}

	results, err := server.Audit(t.Context(), &counter{}, controls, c)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		verdict  server.Verdict
		findings []string
	}{
		"good":       {server.Pass, []string{"pass good holds"}},
		"good-over":  {server.Fail, []string{"fail the exception of this control is not over", "pass good-over holds"}},
		"bad":        {server.Fail, []string{"fail thing bad is as wanted", "fail bad holds"}},
		"bad-off":    {server.Excepted, []string{"fail bad-off holds"}},
		"bad-over":   {server.Fail, []string{"fail the exception of this control is not over", "fail thing bad-over is as wanted", "fail bad-over holds"}},
		"broken-off": {server.Excepted, []string{"pass broken holds"}},
		"good-off":   {server.Excepted, []string{"pass good-off holds"}},
	}
	for _, r := range results {
		var findings []string
		for _, f := range r.Findings {
			findings = append(findings, string(f.Verdict)+" "+f.What)
		}
		w := want[r.Control]
		if r.Verdict != w.verdict || !reflect.DeepEqual(findings, w.findings) {
			t.Errorf("%s: %s, %q; want %s, %q", r.Control, r.Verdict, findings, w.verdict, w.findings)
		}
		if has := r.Exception != nil; has != (strings.HasSuffix(r.Control, "-off") || strings.HasSuffix(r.Control, "-over")) {
			t.Errorf("%s: the exception %v", r.Control, r.Exception)
		}
	}
}
