package server

import (
	"context"
	"sync"
	"time"
)

// A Verdict is what an audit says of a control.
type Verdict string

// The verdicts.
const (
	Pass     Verdict = "pass"
	Fail     Verdict = "fail"
	Unknown  Verdict = "unknown"
	Excepted Verdict = "excepted"
)

// A Finding is one reason for a verdict other than Pass, or one proof that was
// given.
type Finding struct {
	// Verdict is Pass, Fail or Unknown.
	Verdict Verdict `json:"verdict"`
	// What is the statement that the verdict is about, such as "file
	// /etc/sudoers.d/deploy is as wanted".
	What string `json:"what"`
	// Evidence is what was seen.
	Evidence string `json:"evidence,omitempty"`
	// Command reproduces the evidence on the server.
	Command string `json:"command,omitempty"`
}

// A Result is the verdict on one control of one server.
type Result struct {
	Control  string    `json:"control"`
	Guide    string    `json:"guide,omitempty"`
	Title    string    `json:"title"`
	Severity Severity  `json:"severity"`
	Verdict  Verdict   `json:"verdict"`
	Findings []Finding `json:"findings"`
	// Exception is what switches the control off, or did until it was over; nil
	// if there is none.
	Exception *Exception `json:"exception,omitempty"`
}

// Audit gives the verdict on every control for the host that r shows. It
// changes nothing. The proofs are asked for while the plan is made.
//
// A control fails if one of its resources is not as wanted or one of its
// proofs does not hold; otherwise it is unknown if one of them could not be
// told. One that an [Exception] switches off is [Excepted] whatever its proofs
// say, and what it would change is not looked for.
func Audit(ctx context.Context, r Reader, controls []Control, c Config) ([]Result, error) {
	r = remember(r)
	proven := prove(ctx, r, controls, c)
	plan, err := MakePlan(ctx, r, controls, c, nil)
	proofs := proven()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	results := make([]Result, len(controls))
	for i, control := range controls {
		results[i] = Result{
			Control: control.ID, Guide: control.Guide, Title: control.Title, Severity: control.Severity,
			Findings: append(pending(plan, control.ID), proofs[i]...),
		}
		results[i].except(c, now)
	}
	return results, nil
}

// except gives the verdict, which an exception in force makes [Excepted] and one
// that is over makes [Fail].
func (r *Result) except(c Config, now time.Time) {
	e, inForce, found := c.Exception(r.Control, now)
	if found {
		r.Exception = &e
	}
	if found && !inForce {
		r.Findings = append([]Finding{{
			Verdict: Fail, What: "the exception of this control is not over",
			Evidence: "until " + string(e.Until) + ": " + e.Reason + " (" + e.Owner + ")",
		}}, r.Findings...)
	}
	if r.Verdict = worst(r.Findings); inForce {
		r.Verdict = Excepted
	}
}

// prove begins to ask for all proofs, side by side, and returns what waits for
// the findings of each control.
func prove(ctx context.Context, r Reader, controls []Control, c Config) func() [][]Finding {
	var wg sync.WaitGroup
	findings := make([][]Finding, len(controls))
	asked := map[string]func() Finding{}
	for i, control := range controls {
		if control.Proofs == nil {
			continue
		}
		proofs := control.Proofs(c)
		findings[i] = make([]Finding, len(proofs))
		for k, proof := range proofs {
			find := func() Finding { return ask(ctx, r, c, proof) }
			if q := proof.Question; q != "" {
				if asked[q] == nil {
					asked[q] = sync.OnceValue(find)
				}
				find = asked[q]
			}
			wg.Go(func() {
				f := find()
				f.What = proof.What
				findings[i][k] = f
			})
		}
	}
	return func() [][]Finding { wg.Wait(); return findings }
}

// pending are the findings that follow from what the plan would change.
func pending(p Plan, control string) []Finding {
	var all []Finding
	if err := p.Errors[control]; err != nil {
		all = append(all, Finding{Verdict: Unknown, What: "what is wanted can be told", Evidence: err.Error()})
	}
	for _, s := range p.Steps {
		for _, id := range s.Controls {
			if id == control {
				f := Finding{Verdict: Fail, What: statement(s.Change), Evidence: Diff(s.Change)}
				if r, ok := s.Resource.(Shower); ok {
					f.Command = r.Show()
				}
				all = append(all, f)
				break
			}
		}
	}
	return all
}

// statement is what a control claims of a resource, as it would be if c were
// not needed.
func statement(c Change) string {
	switch {
	case c.Before == "":
		return c.Resource + " is there"
	case c.After == "":
		return c.Resource + " is not there"
	}
	return c.Resource + " is as wanted"
}

func ask(ctx context.Context, r Reader, c Config, p Proof) Finding {
	a, err := p.Ask(ctx, r, c)
	f := Finding{Verdict: Pass, What: p.What, Evidence: a.Evidence, Command: a.Command}
	switch {
	case err != nil:
		f.Verdict, f.Evidence = Unknown, err.Error()
	case !a.Holds:
		f.Verdict = Fail
	}
	return f
}

func worst(all []Finding) Verdict {
	v := Pass
	for _, f := range all {
		switch {
		case f.Verdict == Fail:
			return Fail
		case f.Verdict == Unknown:
			v = Unknown
		}
	}
	return v
}
