package main

import (
	_ "embed"
	"io"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/report"
)

//go:embed guide.md.tmpl
var guideTemplate string

// docsCommand prints the pages of docs that are made from the code.
func (a *app) docsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:    "docs",
		Short:  "Print documentation that is made from the code",
		Hidden: true,
		Args:   func(_ *cobra.Command, args []string) error { return unknownCommand(args) },
		RunE:   func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "guide",
		Short: "Print docs/guide.md",
		Args:  argsBetween(0, 0),
		RunE:  func(*cobra.Command, []string) error { return printGuide(a.out) },
	})
	return c
}

// A section is a section of the guide and what stands for it here.
type section struct{ Number, Title, Here string }

// sections are those of the guide that ask for something.
var sections = []section{
	{"3.1", "Server architecture", "`server/site`: roles of servers in the site file"},
	{"3.2", "Provisioning", "left to the hosting provider; `server/lab` boots what one hands out"},
	{"3.3", "First login", "`server/desk`: host key pinned, root by password once, never stored"},
	{"3.4", "Password quality", ""},
	{"3.5", "Requiring passwords for sudo", ""},
	{"3.6", "Administrator accounts", ""},
	{"3.7", "Locking remote access", ""},
	{"3.8", "Reaching servers behind others", "; `server/desk`: jump hosts; `server/sshclient`: the same for plain ssh"},
	{"3.9", "Locking root", ""},
	{"3.10", "Second factor", "; the second factor itself is not built yet"},
	{"3.11", "Firewall", ""},
	{"3.11.1", "Database server", ""},
	{"3.11.2", "Backups", ""},
	{"3.12", "Intrusion detection", ""},
	{"4.1", "Application account", ""},
	{"4.2", "Certificates", ""},
	{"4.3", "Passwords of users", ""},
	{"4.4", "SQL injection", ""},
	{"4.5", "Configuration", ""},
	{"4.6", "Database account of the application", ""},
	{"4.7", "Sessions and roles", "`app/session`, `app/access`"},
	{"4.8", "Cross-site request forgery", ""},
	{"4.9", "Support staff", ""},
}

// guideSections are the sections as reports name them.
func guideSections() []report.Section {
	all := make([]report.Section, len(sections))
	for i, s := range sections {
		all[i] = report.Section{Number: s.Number, Title: s.Title}
	}
	return all
}

// guideControl is a control as the page shows it.
type guideControl struct {
	server.Control
	Proofs     []string
	Benchmarks []report.Benchmark
}

// printGuide writes docs/guide.md.
func printGuide(w io.Writer) error {
	page := struct {
		Sections []section
		Controls []guideControl
	}{Sections: slices.Clone(sections)}
	ids := map[string][]string{}
	for _, c := range control.All() {
		one := guideControl{Control: c, Benchmarks: report.Benchmarks(c.References)}
		if c.Proofs != nil {
			for _, p := range c.Proofs(exampleConfig()) {
				one.Proofs = append(one.Proofs, p.What)
			}
		}
		page.Controls = append(page.Controls, one)
		ids[c.Guide] = append(ids[c.Guide], "`"+c.ID+"`")
	}
	for i, s := range page.Sections {
		if all := ids[s.Number]; len(all) > 0 {
			page.Sections[i].Here = "`server/control`: " + strings.Join(all, ", ") + s.Here
		}
		if page.Sections[i].Here == "" {
			page.Sections[i].Here = "not built yet"
		}
	}
	slices.SortStableFunc(page.Controls, func(a, b guideControl) int {
		return report.CompareSections(a.Guide, b.Guide)
	})
	t, err := template.New("guide").Funcs(template.FuncMap{"numbers": numbers}).Parse(guideTemplate)
	if err != nil {
		return err
	}
	return t.Execute(w, page)
}

// numbers are those of one benchmark, for a table.
func numbers(all []server.Reference, benchmark, version string) string {
	for _, b := range report.Benchmarks(all) {
		if b.Name == benchmark && b.Version == version {
			return strings.Join(b.Numbers, ", ")
		}
	}
	return ""
}

// exampleConfig is the server that the page speaks of.
func exampleConfig() server.Config {
	return server.Config{
		Site: "shop", Server: "app-1", Roles: []server.Role{server.Application}, Port: 22, Jump: true,
		Admins:     []server.Admin{{Name: "alice"}},
		BreakGlass: server.BreakGlass{Account: "rescue"}, Passwords: server.PasswordsGuide,
	}
}
