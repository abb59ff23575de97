package server_test

import (
	"context"
	"testing"

	"github.com/holdfast-security/holdfast/server"
)

// Proofs of several controls that ask one question share its answer; those
// without one are all asked.
func TestAuditSharesAnswers(t *testing.T) {
	asked := make(chan string, 8)
	proof := func(what, question string) server.Proof {
		return server.Proof{What: what, Question: question, Ask: func(context.Context, server.Reader, server.Config) (server.Answer, error) {
			asked <- what
			return server.Answer{Evidence: "seen"}, nil
		}}
	}
	control := func(id string, proofs ...server.Proof) server.Control {
		return server.Control{
			ID:     id,
			Wants:  func(context.Context, server.Reader, server.Config) ([]server.Resource, error) { return nil, nil },
			Proofs: func(server.Config) []server.Proof { return proofs },
		}
	}
	results, err := server.Audit(t.Context(), &counter{}, []server.Control{
		control("a", proof("one", "same")), control("b", proof("two", "same"), proof("three", "")), control("c", proof("three", "")),
	}, server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"one"}, {"two", "three"}, {"three"}}
	for i, r := range results {
		if r.Verdict != server.Fail || len(r.Findings) != len(want[i]) {
			t.Errorf("control %s: %+v", r.Control, r)
			continue
		}
		for k, f := range r.Findings {
			if f.What != want[i][k] || f.Evidence != "seen" {
				t.Errorf("control %s: finding %+v, want %q", r.Control, f, want[i][k])
			}
		}
	}
	if len(asked) != 3 {
		t.Errorf("%d questions were asked, want 3", len(asked))
	}
}
