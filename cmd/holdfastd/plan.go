package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/forecast"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/resource"
)

// A prepared plan is a plan and what a desk has to know of it.
type prepared struct {
	plan   server.Plan
	before []forecast.Access
	after  []forecast.Access
	// refusals are why it must not be carried out, and cutOff what its firewall
	// would cut off.
	refusals []string
	cutOff   []string
}

// prepare makes the plan and looks at who can log in before and after it.
func (d *daemon) prepare(ctx context.Context, c server.Config) (prepared, error) {
	if err := d.journal.CheckSite(c.Site); err != nil {
		return prepared{}, err
	}
	// What an open transaction shows may go away again: no plan can be made of it.
	if err := d.journal.Settled(); err != nil {
		return prepared{}, err
	}
	var p prepared
	var err error
	p.plan, err = server.MakePlan(ctx, d.machine, control.All(), c, func(ctx context.Context, tried server.Plan, r server.Reader) error {
		var err error
		p.after, err = forecast.LookAfter(ctx, r, c, operator(), tried)
		return err
	})
	if err != nil {
		return prepared{}, err
	}
	p.before = p.after
	if len(p.plan.Steps) > 0 {
		p.before, err = forecast.Look(ctx, d.machine, c, operator())
	}
	if err != nil {
		return prepared{}, err
	}
	if p.refusals, err = forecast.RefusePackets(c, operator()); err != nil {
		return prepared{}, err
	}
	p.refusals = append(forecast.Refuse(p.before, p.after, c), p.refusals...)
	if slices.ContainsFunc(p.plan.Steps, func(s server.Step) bool { return slices.Contains(s.Controls, "firewall") }) {
		p.cutOff, err = forecast.CutOff(ctx, d.machine, c)
	}
	return p, err
}

func (d *daemon) plan(ctx context.Context, in protocol.PlanRequest, _ sender) (protocol.Plan, error) {
	in.Config.Secrets = standIns(in.Config, in.Secrets)
	p, err := d.prepare(ctx, in.Config)
	if err != nil {
		return protocol.Plan{}, unchanged(err)
	}
	out, err := d.describe(p, in.Config)
	for _, s := range p.plan.Steps {
		name, needed := needs(s.Resource)
		if _, given := in.Secrets[name]; needed && !given {
			out.Needs = append(out.Needs, name)
		}
	}
	return out, err
}

// standIns are strong random passwords, good for the private copy in which the
// plan is tried, where the desk has not sent the real ones.
func standIns(c server.Config, given map[string]server.Secret) map[string]server.Secret {
	all := map[string]server.Secret{}
	accounts := []string{c.BreakGlass.Account}
	for _, a := range c.Admins {
		accounts = append(accounts, a.Name)
	}
	for _, name := range accounts {
		all[server.PasswordSecret(name)] = server.NewPassword()
	}
	maps.Copy(all, given)
	return all
}

// needs names the secret that a resource cannot be set without.
func needs(r server.Resource) (name string, needed bool) {
	p, ok := r.(resource.Password)
	if !ok || p.Locked {
		return "", false
	}
	return server.PasswordSecret(p.Account), true
}

// describe makes a plan presentable.
func (d *daemon) describe(p prepared, c server.Config) (protocol.Plan, error) {
	out := protocol.Plan{
		Digest: p.plan.Digest(), Errors: map[string]string{}, Refusals: p.refusals,
		Before: p.before, After: p.after, Installs: installers(p.plan.Steps) > 0,
		Excepted: p.plan.Excepted, Notes: slices.Concat(p.cutOff, overdue(c), forecast.Wanted(p.before, p.after, c)),
	}
	for _, s := range p.plan.Steps {
		out.Steps = append(out.Steps, describeStep(s.Controls, s.Change, s.LocksOut))
	}
	for id, err := range p.plan.Errors {
		out.Errors[id] = err.Error()
	}
	site, err := d.journal.Site()
	if err != nil {
		return protocol.Plan{}, err
	}
	if site.Older(c.SiteDigest) {
		out.Notes = append(out.Notes, fmt.Sprintf(
			"this site file is older than the one that %s applied at %s: what that one changed is reverted", site.By, site.At.Format(time.RFC3339)))
	}
	return out, nil
}

// overdue says which exceptions are over, so that their controls are wanted
// again.
func overdue(c server.Config) []string {
	var all []string
	for _, control := range control.All() {
		if e, inForce, found := c.Exception(control.ID, time.Now()); found && !inForce {
			all = append(all, "this exception is over, and its control is applied again: "+e.String())
		}
	}
	return all
}

func describeStep(controls []string, c server.Change, locksOut bool) protocol.PlanStep {
	return protocol.PlanStep{
		Controls: controls, Resource: c.Resource, Before: c.Before, After: c.After, Diff: server.Diff(c), LocksOut: locksOut,
	}
}
