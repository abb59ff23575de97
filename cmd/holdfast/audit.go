package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/report"
	"github.com/holdfast-security/holdfast/server/site"
)

// A serverAudit is the verdicts on one server, as JSON.
type serverAudit = report.Server

// auditOptions are the flags of audit.
type auditOptions struct {
	local, kept, evidence bool
	// since asks for what has changed, if it is not empty.
	since string
}

// auditCommand says what holds.
func (a *app) auditCommand() *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use:   "audit [SERVER…]",
		Short: "Say what holds and what does not; changes nothing",
		Long: `Say what holds and what does not; changes nothing.

Every audit is kept at this desk, with those that the servers make by themselves
every day. --since compares with an earlier one, and --kept reports on the latest
kept ones without asking the servers. --output html is a page for people that
needs no network, sarif and junit are for programs.`,
		Args:        argsBetween(0, -1),
		Annotations: map[string]string{moreFormats: "sarif junit html"},
		RunE: func(c *cobra.Command, args []string) error {
			o.evidence = o.evidence || a.verbose
			then, err := sinceWhen(o.since, time.Now())
			if err != nil {
				return err
			}
			switch {
			case o.local && (o.kept || o.since != ""):
				return usage("audits of --local are not kept")
			case o.local:
				return a.auditLocal(c.Context(), args, o)
			case o.kept:
				return a.auditKept(args, o, then)
			}
			return a.audit(c.Context(), args, o, then)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.local, "local", false, "audit this machine instead of the site's servers")
	f.BoolVar(&o.kept, "kept", false, "report on the latest audits kept at this desk instead of asking the servers")
	f.BoolVarP(&o.evidence, "evidence", "e", false, "show everything that was seen, and how to see it oneself")
	f.StringVar(&o.since, "since", "", "show what has changed since `when`: a duration such as 7d or 12h, or a date")
	return c
}

// sinceWhen is the time that --since names; zero if it is empty.
func sinceWhen(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return t, nil
		}
	}
	back, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		back, err = time.ParseDuration(days + "h")
		back *= 24
	}
	if err != nil || back <= 0 {
		return time.Time{}, usage("--since is a duration such as 7d or 12h or a date such as 2026-11-30, not %q", s)
	}
	return now.Add(-back), nil
}

func (a *app) audit(ctx context.Context, names []string, o auditOptions, then time.Time) error {
	f, err := a.fleet(names)
	if err != nil {
		return err
	}
	defer f.desk.Close()
	all := make([]serverAudit, len(f.servers))
	errs := f.each(ctx, func(ctx context.Context, i int, srv site.Server) error {
		results, err := f.auditOne(ctx, srv)
		all[i] = serverAudit{Name: srv.Name, Results: results}
		if err != nil {
			all[i].Error = err.Error()
			f.progress.done(srv.Name, false, "could not be audited")
			return err
		}
		all[i].At = time.Now().UTC().Truncate(time.Second)
		t := report.Count(results)
		f.progress.done(srv.Name, t.Fine(), "%s", t)
		return nil
	})
	f.progress.end()
	f.keeper.compare(all, then)
	f.keeper.put(all)
	if err := a.printReport(a.report(f.site.Name, all, f.keeper), o); err != nil {
		return err
	}
	a.cost(f)
	if err := f.failed(errs, len(f.servers)); err != nil {
		return err
	}
	return findings(all)
}

func (f *fleet) auditOne(ctx context.Context, srv site.Server) ([]server.Result, error) {
	config, err := f.config(srv)
	if err != nil {
		return nil, err
	}
	s, err := f.connect(ctx, srv)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	f.progress.set(srv.Name, "auditing")
	collected := f.collect(ctx, s, srv)
	var out protocol.AuditResult
	err = s.Call(ctx, protocol.OpAudit, protocol.AuditRequest{Config: config, Carried: protocol.Carried{Secrets: f.factors(srv)}}, &out, nil)
	collected()
	if out.Open != nil {
		f.progress.pause(func() {
			f.say("warning: %s: transaction %s of %s is %s; unless it is confirmed the server undoes it, and what is shown here with it",
				srv.Name, out.Open.ID, out.Open.By, out.Open.State)
		})
	}
	return out.Results, err
}

// collect begins to fetch what a server has found by itself, and returns what
// waits for the end of that.
func (f *fleet) collect(ctx context.Context, s *session, srv site.Server) func() {
	done := make(chan error, 1)
	go func() { done <- f.keeper.collect(ctx, s, srv.Name) }()
	return func() {
		if err := <-done; err != nil {
			f.progress.pause(func() {
				f.say("warning: %s: what it found by itself could not be collected: %v", srv.Name, err)
			})
		}
	}
}

// auditKept reports on what is kept, without asking anybody.
func (a *app) auditKept(names []string, o auditOptions, then time.Time) error {
	s, err := a.loadSite()
	if err != nil {
		return err
	}
	servers, err := choose(s, names)
	if err != nil {
		return err
	}
	k := a.newKeeper(s)
	all := make([]serverAudit, len(servers))
	missing := false
	for i, srv := range servers {
		all[i] = k.latest(srv.Name)
		if all[i].Error != "" {
			missing = true
			a.say("error: %s: %s", srv.Name, all[i].Error)
		}
	}
	k.compare(all, then)
	if err := a.printReport(a.report(s.Name, all, k), o); err != nil {
		return err
	}
	if missing {
		return &exitError{code: exitFailed, quiet: true}
	}
	return findings(all)
}

// report is what was found on all servers of a command.
func (a *app) report(site string, all []serverAudit, k *keeper) report.Report {
	for i, one := range all {
		all[i].Again = "holdfast audit --evidence " + one.Name
		if k == nil {
			all[i].Again = "holdfast audit --local --evidence"
		}
	}
	r := report.Report{
		Site: site, Made: time.Now().UTC(), Version: version, Command: strings.Join(append([]string{"holdfast"}, a.args...), " "),
		Servers: all, Sections: guideSections(), Controls: control.All(),
	}
	if a.format == "html" && k != nil {
		r.Kept = k.history(all)
	}
	return report.New(r)
}

// printReport prints a report in the form that was asked for.
func (a *app) printReport(r report.Report, o auditOptions) error {
	switch a.format {
	case "json":
		return report.JSON(a.out, r)
	case "sarif":
		return report.SARIF(a.out, r)
	case "junit":
		return report.JUnit(a.out, r)
	case "html":
		return report.HTML(a.out, r)
	}
	return report.Text(a.out, r, report.TextOptions{Style: a.style, Evidence: o.evidence})
}

// findings ends with the status for findings if there are any.
func findings(all []serverAudit) error {
	for _, one := range all {
		if !report.Count(one.Results).Fine() {
			return &exitError{code: exitFindings, quiet: true}
		}
	}
	return nil
}

// auditLocal audits the machine that this program runs on.
func (a *app) auditLocal(ctx context.Context, args []string, o auditOptions) error {
	config, err := a.localConfig(args)
	if err != nil {
		return err
	}
	results, err := localAudit(ctx, config)
	if err != nil {
		return err
	}
	all := []serverAudit{{Name: config.Server, Results: results, At: time.Now().UTC().Truncate(time.Second)}}
	if err := a.printReport(a.report(config.Site, all, nil), o); err != nil {
		return err
	}
	return findings(all)
}

// localConfig is what the site file says of this machine, or, without a site
// file, what holds for any server.
func (a *app) localConfig(args []string) (server.Config, error) {
	if len(args) > 1 {
		return server.Config{}, usage("audit --local is about one machine")
	}
	if len(args) == 1 {
		s, err := a.loadSite()
		if err != nil {
			return server.Config{}, err
		}
		return s.Config(args[0])
	}
	host, err := os.Hostname()
	if err != nil {
		return server.Config{}, fmt.Errorf("asking this machine for its name: %w", err)
	}
	return server.Config{
		Site: "local", Server: host, Roles: []server.Role{server.Application}, Port: 22, Passwords: server.PasswordsGuide,
	}, nil
}

// cost prints, if asked, what reaching the servers took.
func (a *app) cost(f *fleet) {
	if !a.verbose {
		return
	}
	n := f.desk.Stats()
	a.say("%d connections, %d round trips, %d failed logins, %d bytes in, %d bytes out, %d uploads",
		n.Connections, n.RoundTrips, n.FailedLogins, n.BytesIn, n.BytesOut, n.Uploads)
}
