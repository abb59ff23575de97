package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/forecast"
	"github.com/holdfast-security/holdfast/server/machine"
	"github.com/holdfast-security/holdfast/server/probe"
	"github.com/holdfast-security/holdfast/server/resource"
)

// insideVariable makes the test binary do a [job] on the machine it runs on.
const insideVariable = "HOLDFAST_CONTROL_INSIDE"

// A job is what the test binary does inside a server.
type job struct {
	// Do is audit, apply, undo, forecast or scan.
	Do       string
	Controls []string
	Config   server.Config
	Secrets  map[string]string
	Done     []doneStep
	// Scan is what is asked of which host.
	Scan scanJob
}

// A scanJob is a scan of one host.
type scanJob struct {
	Host    netip.Addr
	Ports   []probe.Port
	Timeout time.Duration
}

type doneStep struct {
	Spec   resource.Spec
	Change server.Change
}

// An outcome is what came of a job.
type outcome struct {
	Results []server.Result
	// Left are the changes that a plan still finds.
	Left []string
	Done []doneStep
	// Refused is why the plan must not be carried out.
	Refused []string
	// Silent are the ports that did not answer.
	Silent []probe.Port
	Error  string
}

func TestMain(m *testing.M) {
	if machine.ServeWorld(os.Args) {
		return
	}
	if os.Getenv(insideVariable) == "" {
		os.Exit(m.Run())
	}
	var o outcome
	if err := inside(context.Background(), os.Stdin, &o); err != nil {
		o.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func inside(ctx context.Context, in io.Reader, o *outcome) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return err
	}
	j.Config.Secrets = map[string]server.Secret{}
	for name, s := range j.Secrets {
		j.Config.Secrets[name] = server.NewSecret(s)
	}
	if j.Do == "scan" {
		// Other machines and other tests need sockets and time, too.
		found, err := probe.Scanner{Timeout: j.Scan.Timeout, Parallel: 2048}.Scan(ctx, j.Scan.Host, j.Scan.Ports)
		for p, state := range found {
			if !state.Reached() {
				o.Silent = append(o.Silent, p)
			}
		}
		return err
	}
	var controls []server.Control
	for _, c := range control.All() {
		if slices.Contains(j.Controls, c.ID) {
			controls = append(controls, c)
		}
	}
	m := machine.New()
	var err error
	switch j.Do {
	case "audit":
		o.Results, err = server.Audit(ctx, m, controls, j.Config)
	case "apply":
		err = applyAll(ctx, m, controls, j.Config, o)
	case "forecast":
		o.Refused, err = refusals(ctx, m, controls, j.Config)
	case "undo":
		return undo(ctx, m, j.Done)
	}
	return err
}

// undo puts back what was done, followers last, as package txn does.
func undo(ctx context.Context, m *machine.Machine, done []doneStep) error {
	var followers []doneStep
	one := func(d doneStep) error {
		r, err := resource.Decode(d.Spec)
		if err != nil {
			return err
		}
		if err := server.Undo(ctx, m, r, d.Change); err != nil {
			return fmt.Errorf("undo %s: %w", r.Name(), err)
		}
		return nil
	}
	for _, d := range slices.Backward(done) {
		r, err := resource.Decode(d.Spec)
		if err != nil {
			return err
		}
		if _, ok := r.(server.Follower); ok {
			followers = append(followers, d)
			continue
		}
		if err := one(d); err != nil {
			return err
		}
	}
	for _, d := range followers {
		if err := one(d); err != nil {
			return err
		}
	}
	return nil
}

// refusals tries a plan and forecasts who could log in after it.
func refusals(ctx context.Context, m *machine.Machine, controls []server.Control, c server.Config) ([]string, error) {
	before, err := forecast.Look(ctx, m, c, "")
	if err != nil {
		return nil, err
	}
	var after []forecast.Access
	_, err = server.MakePlan(ctx, m, controls, c, func(ctx context.Context, _ server.Plan, r server.Reader) (err error) {
		after, err = forecast.Look(ctx, r, c, "")
		return err
	})
	return forecast.Refuse(before, after, c), err
}

// applyAll applies what plans ask for until one asks for nothing. What installs
// goes first and by itself, because the rest depends on what it leaves.
func applyAll(ctx context.Context, m *machine.Machine, controls []server.Control, c server.Config, o *outcome) error {
	for range 3 {
		p, err := server.MakePlan(ctx, m, controls, c, nil)
		if err != nil {
			return err
		}
		if err := p.Err(); err != nil {
			return err
		}
		steps := slices.DeleteFunc(slices.Clone(p.Steps), func(s server.Step) bool {
			_, ok := s.Resource.(server.Installer)
			return !ok
		})
		last := len(steps) == 0
		if last {
			steps = p.Steps
		}
		for _, s := range steps {
			change, err := server.Apply(ctx, m, s.Resource, s.Change)
			if err != nil {
				return fmt.Errorf("apply %s: %w", s.Resource.Name(), err)
			}
			spec, err := resource.Encode(s.Resource)
			if err != nil {
				return err
			}
			o.Done = append(o.Done, doneStep{Spec: spec, Change: change})
		}
		if last {
			break
		}
	}
	p, err := server.MakePlan(ctx, m, controls, c, nil)
	for _, s := range p.Steps {
		o.Left = append(o.Left, s.Resource.Name()+": "+server.Diff(s.Change))
	}
	return err
}
