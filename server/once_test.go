package server_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-security/holdfast/server"
)

// A counter is a Reader that counts what it is asked.
type counter struct{ asked atomic.Int64 }

func (c *counter) Output(_ context.Context, argv ...string) (string, error) {
	n := c.asked.Add(1)
	if argv[0] == "fail" {
		return "", errors.New("failed")
	}
	return fmt.Sprintf("%s answered %d", strings.Join(argv, " "), n), nil
}

func (c *counter) Read(context.Context, string) (server.Entry, error) {
	return server.Entry{}, fs.ErrNotExist
}

func (c *counter) Glob(context.Context, string) ([]string, error) { return nil, nil }

// Within one audit a question is put to the machine once, whoever asks; the
// next audit asks anew.
func TestAuditAsksOnce(t *testing.T) {
	asks := func(argv ...string) server.Proof {
		return server.Proof{What: argv[0], Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
			out, err := r.Output(ctx, argv...)
			return server.Answer{Holds: true, Evidence: out}, err
		}}
	}
	var controls []server.Control
	for _, id := range []string{"a", "b", "c"} {
		controls = append(controls, server.Control{
			ID: id,
			Wants: func(ctx context.Context, r server.Reader, _ server.Config) ([]server.Resource, error) {
				_, err := r.Output(ctx, "same")
				return nil, err
			},
			Proofs: func(server.Config) []server.Proof {
				return []server.Proof{asks("same"), asks("other", "x"), asks("fail"), asks("fail")}
			},
		})
	}
	var c counter
	for round := int64(1); round <= 2; round++ {
		results, err := server.Audit(t.Context(), &c, controls, server.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.asked.Load(); got != 3*round {
			t.Errorf("after %d audits the machine was asked %d times, want %d", round, got, 3*round)
		}
		for _, r := range results {
			if f := r.Findings; r.Verdict != server.Unknown || f[0].Evidence != fmt.Sprintf("same answered %d", 3*round-2) || f[2].Verdict != server.Unknown {
				t.Errorf("control %s: %+v", r.Control, f)
			}
		}
	}
}
