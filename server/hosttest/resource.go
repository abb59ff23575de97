package hosttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/holdfast-security/holdfast/server"
)

// A Case is a resource on a host that does not show its wanted state.
type Case struct {
	Name     string
	Resource server.Resource
	// Host returns the host, the same each time.
	Host func(t testing.TB) *Host
	// Drift changes the resource's state between plan and apply, to something
	// that is neither the start nor the wanted state; nil if there is nothing
	// of the kind.
	Drift func(h *Host)
	// Shows fails the test if the host, after apply, is not what the wanted
	// state stands for; nil if there is nothing beyond the state.
	Shows func(t testing.TB, h *Host)
	// Secrets must not be seen anywhere but on the host.
	Secrets []string
}

// A Codec is how resources are written into journals.
type Codec struct {
	Encode func(server.Resource) ([]byte, error)
	Decode func([]byte) (server.Resource, error)
}

// TestResource checks that a kind of resource keeps what package server builds
// on: it can be applied, applied again and undone, whatever fails on the way;
// it overwrites nothing that the plan did not show; it can be journaled; and it
// lets no secret out.
func TestResource(t *testing.T, codec Codec, cases ...Case) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			run := func(name string, test func(*testing.T, Case)) {
				// Resources that wait for others do so in no time.
				t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, c) }) })
			}
			run("cycle", testCycle)
			run("plan", testPlan)
			run("drift", testDrift)
			run("codec", func(t *testing.T, c Case) { testCodec(t, c, codec) })
			run("secrets", func(t *testing.T, c Case) { testSecrets(t, c, codec) })
			run("apply fails", testApplyFaults)
			run("apply fails and is undone", testAbandonFaults)
			run("undo fails", testUndoFaults)
		})
	}
}

// open returns the host of the case, the resource as it is wanted there and the
// change that is needed.
func (c Case) open(t *testing.T) (*Host, server.Resource, server.Change) {
	t.Helper()
	h, r := c.Host(t), c.Resource
	if f, ok := r.(server.Follower); ok {
		var err error
		if r, err = f.Follow(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	change, err := server.Check(t.Context(), h, r)
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	if !change.Needed() || change.Resource != r.Name() {
		t.Fatalf("Check found %+v, want a change of %s", change, r.Name())
	}
	return h, r, change
}

// done fails the test unless the host shows what is wanted and says so.
func (c Case) done(t *testing.T, h *Host, r server.Resource) {
	t.Helper()
	again, err := server.Check(t.Context(), h, r)
	if err != nil || again.Needed() {
		t.Fatalf("Check after Apply: %+v, %v", again, err)
	}
	if c.Shows != nil {
		c.Shows(t, h)
	}
}

// undone fails the test unless the host is as it was.
func undone(t *testing.T, h *Host, r server.Resource, start string, change server.Change) {
	t.Helper()
	if _, follows := r.(server.Follower); follows {
		return
	}
	if now, err := r.Get(t.Context(), h); err != nil || now != change.Before {
		t.Errorf("the state after Undo is %q, %v; want %q", now, err, change.Before)
	}
	if got := h.String(); got != start {
		t.Fatalf("the host after Undo is\n%s", server.Diff(server.Change{Before: server.State(start), After: server.State(got)}))
	}
}

func testCycle(t *testing.T, c Case) {
	h, r, change := c.open(t)
	ctx, start := t.Context(), h.String()
	if h.Writes() != 0 {
		t.Errorf("looking wrote %d times", h.Writes())
	}
	applied, err := server.Apply(ctx, h, r, change)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	c.done(t, h, r)
	if now, err := r.Get(ctx, h); err != nil || now != applied.After {
		t.Errorf("Apply returned the state %q, but the host shows %q, %v", applied.After, now, err)
	}

	end, writes := h.String(), h.Writes()
	for _, again := range []server.Change{change, applied} {
		if _, err := server.Apply(ctx, h, r, again); err != nil {
			t.Errorf("Apply again: %v", err)
		}
	}
	if h.Writes() != writes || h.String() != end {
		t.Errorf("Apply again wrote %d times", h.Writes()-writes)
	}

	for range 2 {
		if err := server.Undo(ctx, h, r, applied); err != nil {
			t.Fatalf("Undo: %v", err)
		}
		undone(t, h, r, start, applied)
	}
	// And forth once more.
	if _, follows := r.(server.Follower); follows {
		return
	}
	if _, err := server.Apply(ctx, h, r, change); err != nil {
		t.Fatalf("Apply after Undo: %v", err)
	}
	c.done(t, h, r)
}

// testPlan makes a plan of the resource alone, carries it out, and makes it once
// more.
func testPlan(t *testing.T, c Case) {
	h, _, _ := c.open(t)
	ctx, start, writes := t.Context(), h.String(), h.Writes()
	control := server.Control{ID: "control", Wants: func(context.Context, server.Reader, server.Config) ([]server.Resource, error) {
		return []server.Resource{c.Resource}, nil
	}}
	plan, err := server.MakePlan(ctx, h, []server.Control{control}, server.Config{}, nil)
	if err != nil || plan.Err() != nil || len(plan.Steps) != 1 {
		t.Fatalf("the plan is %+v, %v, %v; want one step", plan, err, plan.Err())
	}
	if h.Writes() != writes || h.String() != start {
		t.Fatal("planning has changed the host")
	}
	step := plan.Steps[0]
	applied, err := server.Apply(ctx, h, step.Resource, step.Change)
	if err != nil {
		t.Fatalf("Apply of what was planned: %v", err)
	}
	c.done(t, h, step.Resource)
	plan, err = server.MakePlan(ctx, h, []server.Control{control}, server.Config{}, nil)
	if err != nil || plan.Err() != nil || len(plan.Steps) != 0 {
		t.Errorf("the second plan is %+v, %v, %v; want nothing", plan, err, plan.Err())
	}
	if err := server.Undo(ctx, h, step.Resource, applied); err != nil {
		t.Errorf("Undo: %v", err)
	}
	undone(t, h, step.Resource, start, applied)
}

func testDrift(t *testing.T, c Case) {
	if c.Drift == nil {
		return
	}
	h, r, change := c.open(t)
	c.Drift(h)
	drifted := h.String()
	_, err := server.Apply(t.Context(), h, r, change)
	if drift := (*server.DriftError)(nil); !errors.As(err, &drift) {
		t.Errorf("Apply: %v, want a *server.DriftError", err)
	}
	if h.Writes() != 0 || h.String() != drifted {
		t.Errorf("Apply wrote %d times over what somebody else had changed", h.Writes())
	}

	// And the same between apply and undo.
	h, r, change = c.open(t)
	applied, err := server.Apply(t.Context(), h, r, change)
	if err != nil {
		t.Fatal(err)
	}
	c.Drift(h)
	drifted = h.String()
	err = server.Undo(t.Context(), h, r, applied)
	if drift := (*server.DriftError)(nil); !errors.As(err, &drift) {
		t.Errorf("Undo: %v, want a *server.DriftError", err)
	}
	if h.String() != drifted {
		t.Error("Undo overwrote what somebody else had changed")
	}
}

// faulty calls test with every call of what it tries failing in each way, until
// test says that the call was not reached.
func faulty(t *testing.T, name string, test func(t *testing.T, step int, f Fault) (reached bool)) {
	for _, f := range []Fault{Refused, Unheard, Ignored} {
		for step, reached := 1, true; reached; step++ {
			reached = test(t, step, f)
			if t.Failed() {
				t.Fatalf("%s: call %d was %v", name, step, f)
			}
		}
	}
}

// failing calls do with its step-th call failing and reports whether it got
// that far.
func (h *Host) failing(step int, f Fault, do func()) (reached bool) {
	before := h.Calls()
	h.FailAt(step, f)
	do()
	h.FailAt(0, None)
	return h.Calls()-before >= step
}

func testApplyFaults(t *testing.T, c Case) {
	faulty(t, "apply", func(t *testing.T, step int, f Fault) bool {
		h, r, change := c.open(t)
		start := h.String()
		reached := h.failing(step, f, func() {
			server.Apply(t.Context(), h, r, change) // may fail; that is the point
		})
		applied, err := server.Apply(t.Context(), h, r, change)
		if err != nil {
			t.Errorf("Apply again: %v", err)
			return reached
		}
		c.done(t, h, r)
		if err := server.Undo(t.Context(), h, r, applied); err != nil {
			t.Errorf("Undo: %v", err)
		}
		undone(t, h, r, start, applied)
		return reached
	})
}

func testAbandonFaults(t *testing.T, c Case) {
	faulty(t, "apply", func(t *testing.T, step int, f Fault) bool {
		h, r, change := c.open(t)
		start := h.String()
		var applied server.Change
		reached := h.failing(step, f, func() {
			applied, _ = server.Apply(t.Context(), h, r, change)
		})
		if err := server.Undo(t.Context(), h, r, applied); err != nil {
			t.Errorf("Undo: %v", err)
		}
		undone(t, h, r, start, applied)
		return reached
	})
}

func testUndoFaults(t *testing.T, c Case) {
	faulty(t, "undo", func(t *testing.T, step int, f Fault) bool {
		h, r, change := c.open(t)
		start := h.String()
		applied, err := server.Apply(t.Context(), h, r, change)
		if err != nil {
			t.Fatal(err)
		}
		reached := h.failing(step, f, func() {
			err = server.Undo(t.Context(), h, r, applied)
		})
		if err == nil {
			// It said that it was done, so it was.
			undone(t, h, r, start, applied)
		}
		if err := server.Undo(t.Context(), h, r, applied); err != nil {
			t.Errorf("Undo again: %v", err)
		}
		undone(t, h, r, start, applied)
		return reached
	})
}

func testCodec(t *testing.T, c Case, codec Codec) {
	h, r, change := c.open(t)
	data, err := codec.Encode(r)
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	back, err := codec.Decode(data)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	again, err := codec.Encode(back)
	if err != nil || string(again) != string(data) {
		t.Errorf("the encoding is %s, and of what it decodes to %s, %v", data, again, err)
	}
	if len(c.Secrets) == 0 && !reflect.DeepEqual(back, r) {
		t.Errorf("decoded %#v, want %#v", back, r)
	}
	if back.Name() != r.Name() || back.Want() != r.Want() {
		t.Errorf("decoded %s with the wanted state %q", back.Name(), back.Want())
	}
	// Journals hold states as JSON.
	start := h.String()
	applied, err := server.Apply(t.Context(), h, r, change)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(applied)
	if err != nil {
		t.Fatal(err)
	}
	var journaled server.Change
	if err := json.Unmarshal(text, &journaled); err != nil || journaled != applied {
		t.Errorf("the change came back from JSON as %+v, %v; want %+v", journaled, err, applied)
	}
	if err := server.Undo(t.Context(), h, back, journaled); err != nil {
		t.Errorf("Undo of what was decoded: %v", err)
	}
	undone(t, h, back, start, applied)
}

func testSecrets(t *testing.T, c Case, codec Codec) {
	h, r, change := c.open(t)
	check := func(where, text string) {
		t.Helper()
		for _, secret := range c.Secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the secret %q", where, secret)
			}
		}
	}
	data, err := codec.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	check("the encoding", string(data))
	check("the wanted state", string(r.Want()))
	check("the name", r.Name())
	check("printing it", fmt.Sprintf("%v %+v %#v %s", r, r, r, r))
	faulty(t, "apply", func(t *testing.T, step int, f Fault) bool {
		h := h.Copy()
		var applied server.Change
		var err error
		reached := h.failing(step, f, func() {
			applied, err = server.Apply(t.Context(), h, r, change)
		})
		if err != nil {
			check("an error", err.Error())
			check("an error", fmt.Sprintf("%+v %#v", err, err))
		}
		check("the change", fmt.Sprintf("%+v", applied))
		if err := server.Undo(t.Context(), h, r, applied); err != nil {
			check("an error", err.Error())
		}
		return reached
	})
}
