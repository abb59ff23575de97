package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// A serverAudit is the verdicts on one server, as JSON.
type serverAudit struct {
	Server  string          `json:"server"`
	Results []server.Result `json:"results"`
	Error   string          `json:"error,omitempty"`
}

// auditCommand says what holds.
func (a *app) auditCommand() *cobra.Command {
	var local bool
	c := &cobra.Command{
		Use:   "audit [SERVER…]",
		Short: "Say what holds and what does not; changes nothing",
		Args:  argsBetween(0, -1),
		RunE: func(c *cobra.Command, args []string) error {
			if local {
				return a.auditLocal(c.Context(), args)
			}
			return a.audit(c.Context(), args)
		},
	}
	c.Flags().BoolVar(&local, "local", false, "audit this machine instead of the site's servers")
	return c
}

func (a *app) audit(ctx context.Context, names []string) error {
	f, err := a.fleet(names)
	if err != nil {
		return err
	}
	defer f.desk.Close()
	all := make([]serverAudit, len(f.servers))
	errs := f.each(ctx, func(ctx context.Context, i int, srv site.Server) error {
		all[i].Server = srv.Name
		var err error
		all[i].Results, err = f.auditOne(ctx, srv)
		if err != nil {
			all[i].Error = err.Error()
			f.progress.done(srv.Name, false, "could not be audited")
			return err
		}
		f.progress.done(srv.Name, count(all[i].Results, server.Pass) == len(all[i].Results), "%s", summary(all[i].Results))
		return nil
	})
	f.progress.end()
	if err := a.printAudits(all); err != nil {
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
	var out protocol.AuditResult
	err = s.Call(ctx, protocol.OpAudit, protocol.AuditRequest{Config: config, Carried: protocol.Carried{Secrets: f.factors(srv)}}, &out, nil)
	if out.Open != nil {
		f.progress.pause(func() {
			f.say("warning: %s: transaction %s of %s is %s; unless it is confirmed the server undoes it, and what is shown here with it",
				srv.Name, out.Open.ID, out.Open.By, out.Open.State)
		})
	}
	return out.Results, err
}

func (a *app) printAudits(all []serverAudit) error {
	if a.json {
		return a.value(all)
	}
	for i, one := range all {
		if one.Error != "" {
			continue
		}
		if i > 0 {
			a.printf("\n")
		}
		a.printAudit(one.Server, one.Results, a.verbose)
	}
	return nil
}

// findings ends with the status for findings if there are any.
func findings(all []serverAudit) error {
	for _, one := range all {
		if count(one.Results, server.Fail)+count(one.Results, server.Unknown) > 0 {
			return &exitError{code: exitFindings, quiet: true}
		}
	}
	return nil
}

// auditLocal audits the machine that this program runs on.
func (a *app) auditLocal(ctx context.Context, args []string) error {
	config, err := a.localConfig(args)
	if err != nil {
		return err
	}
	results, err := localAudit(ctx, config)
	if err != nil {
		return err
	}
	all := []serverAudit{{Server: config.Server, Results: results}}
	if err := a.printAudits(all); err != nil {
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
		s, err := site.Load(a.sitePath)
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
