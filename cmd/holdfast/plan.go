package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/forecast"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// A serverPlan is the plan for one server, as JSON.
type serverPlan struct {
	Server string        `json:"server"`
	Plan   protocol.Plan `json:"plan"`
	Error  string        `json:"error,omitempty"`
}

// planCommand shows what apply would do.
func (a *app) planCommand() *cobra.Command {
	var local bool
	c := &cobra.Command{
		Use:   "plan [SERVER…]",
		Short: "Show what would change, and who can log in then; changes nothing",
		Args:  argsBetween(0, -1),
		RunE: func(c *cobra.Command, args []string) error {
			if local {
				return a.planLocal(c.Context(), args)
			}
			f, err := a.fleet(args)
			if err != nil {
				return err
			}
			defer f.desk.Close()
			plans, err := f.plans(c.Context())
			a.cost(f)
			if err != nil {
				return err
			}
			for _, p := range plans {
				if len(p.Plan.Refusals) > 0 || len(p.Plan.Errors) > 0 {
					return &exitError{code: exitFailed, quiet: true}
				}
			}
			for _, p := range plans {
				if len(p.Plan.Steps) > 0 {
					return &exitError{code: exitFindings, quiet: true}
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&local, "local", false, "plan for this machine instead of the site's servers")
	return c
}

// planLocal shows what apply would change on the machine that this program runs
// on.
func (a *app) planLocal(ctx context.Context, args []string) error {
	config, err := a.localConfig(args)
	if err != nil {
		return err
	}
	plan, err := localPlan(ctx, config)
	if err != nil {
		return err
	}
	out := protocol.Plan{Digest: plan.Digest(), Errors: map[string]string{}, Excepted: plan.Excepted}
	for _, s := range plan.Steps {
		out.Steps = append(out.Steps, protocol.PlanStep{
			Controls: s.Controls, Resource: s.Change.Resource, Before: s.Change.Before, After: s.Change.After,
			Diff: server.Diff(s.Change), LocksOut: s.LocksOut,
		})
	}
	for id, err := range plan.Errors {
		out.Errors[id] = err.Error()
	}
	if err := a.printPlans([]serverPlan{{Server: config.Server, Plan: out}}); err != nil {
		return err
	}
	if len(out.Steps)+len(out.Errors) > 0 {
		return &exitError{code: exitFindings, quiet: true}
	}
	return nil
}

// plans asks every server for its plan and prints them.
func (f *fleet) plans(ctx context.Context) ([]serverPlan, error) {
	plans := make([]serverPlan, len(f.servers))
	errs := f.each(ctx, func(ctx context.Context, i int, srv site.Server) error {
		plans[i].Server = srv.Name
		s, err := f.connect(ctx, srv)
		if err == nil {
			plans[i].Plan, err = f.plan(ctx, s, srv)
			err = errors.Join(err, s.Close())
		}
		if err != nil {
			plans[i].Error = err.Error()
			f.progress.done(srv.Name, false, "could not be planned")
			return err
		}
		f.progress.done(srv.Name, true, "%s", planSummary(plans[i].Plan))
		return nil
	})
	f.progress.end()
	if err := f.printPlans(plans); err != nil {
		return nil, err
	}
	return plans, f.failed(errs, len(f.servers))
}

// plan asks one server for its plan.
func (f *fleet) plan(ctx context.Context, s *session, srv site.Server) (protocol.Plan, error) {
	return f.planWith(ctx, s, srv, nil)
}

// planWith asks for a plan that is tried with these secrets.
func (f *fleet) planWith(ctx context.Context, s *session, srv site.Server, secrets map[string]server.Secret) (protocol.Plan, error) {
	config, err := f.config(srv)
	if err != nil {
		return protocol.Plan{}, err
	}
	f.progress.set(srv.Name, "planning")
	off, err := f.clockOf(ctx, s)
	if err != nil {
		return protocol.Plan{}, err
	}
	all := f.factors(srv)
	maps.Copy(all, secrets)
	collected := f.collect(ctx, s, srv)
	defer collected()
	var p protocol.Plan
	err = s.Call(ctx, protocol.OpPlan, protocol.PlanRequest{Config: config, Carried: protocol.Carried{Secrets: all}}, &p, nil)
	if why := clockProblem(off); why != nil && len(enrolling(p)) > 0 {
		p.Refusals = append(p.Refusals, why.Error())
	}
	return p, err
}

func planSummary(p protocol.Plan) string {
	switch {
	case len(p.Refusals) > 0:
		return "refused: " + p.Refusals[0]
	case len(p.Errors) > 0:
		return "could not be planned as a whole"
	case len(p.Steps) == 0:
		return "nothing to change"
	}
	return plural(len(p.Steps), "change")
}

func (o output) printPlans(plans []serverPlan) error {
	if o.json {
		return o.value(plans)
	}
	for i, p := range plans {
		if p.Error != "" {
			continue
		}
		if i > 0 {
			o.printf("\n")
		}
		o.printPlan(p.Server, p.Plan)
	}
	return nil
}

func (o output) printPlan(name string, p protocol.Plan) {
	o.printf("%s: %s\n", o.style(name, "", true), planSummary(p))
	o.printSteps(p.Steps)
	o.printForecast(p.Before, p.After)
	for _, e := range p.Excepted {
		o.printf("  left out, by exception: %s\n", e)
	}
	for _, n := range p.Notes {
		o.printf("  note: %s\n", n)
	}
	for _, id := range slices.Sorted(maps.Keys(p.Errors)) {
		o.printf("  %s %s: %s\n", o.style("error:", red, true), id, p.Errors[id])
	}
	for _, r := range p.Refusals {
		o.printf("  %s %s\n", o.style("refused:", red, true), r)
	}
}

func (o output) printSteps(steps []protocol.PlanStep) {
	for _, s := range steps {
		o.printf("  %s  %s\n", o.style(s.Resource, cyan, false), o.style("("+strings.Join(s.Controls, ", ")+")", grey, false))
		o.printf("%s", indent(o.diff(s.Diff), "      "))
	}
}

// printForecast prints who can log in and become root, now and afterwards.
func (o output) printForecast(before, after []forecast.Access) {
	if len(after) == 0 {
		return
	}
	was := map[string]string{}
	for _, a := range before {
		was[a.Account] = ways(a)
	}
	width := 0
	for _, a := range after {
		width = max(width, len(a.Account))
	}
	o.printf("  who can log in and become root:\n")
	for _, a := range after {
		then, now := ways(a), was[a.Account]
		delete(was, a.Account)
		if now == "" {
			now = "not there"
		}
		if now != then {
			then = now + " → " + o.style(then, "", true)
		}
		o.printf("      %-*s  %s\n", width, a.Account, then)
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		o.printf("      %-*s  %s → %s\n", width, name, was[name], o.style("no way in", "", true))
	}
}

// ways is what one account can do, in a few words.
func ways(a forecast.Access) string {
	var in []string
	if a.Key.Works {
		in = append(in, "key")
	}
	if a.Password.Works {
		in = append(in, "password")
	}
	if a.Kind == forecast.BreakGlass && len(in) == 0 && a.Root.Works {
		return "on the console, root by sudo"
	}
	if len(in) == 0 {
		return "no way in" + because(a.Key.Why)
	}
	text := "in by " + strings.Join(in, " or ")
	switch {
	case a.Kind == forecast.Root || a.Account == "root":
		return text
	case a.Kind == forecast.Program:
		return text + ", for its one command"
	case a.Root.Works:
		return text + ", root by sudo"
	}
	return text + ", never root" + because(a.Root.Why)
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}
