package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

// enrollCommand gives an admin what only that person may know.
func (a *app) enrollCommand() *cobra.Command {
	var password bool
	var o applyOptions
	c := &cobra.Command{
		Use:   "enroll ADMIN --password",
		Short: "Set an admin's first password on every server that has none for them",
		Args:  argsBetween(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if !password {
				return usage("usage: %s", c.UseLine())
			}
			f, err := a.fleet(nil)
			if err != nil {
				return err
			}
			defer f.desk.Close()
			return f.enroll(c.Context(), o, args[0])
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&password, "password", false, "set the password")
	return c
}

// enroll is an apply whose only question is the admin's password.
func (f *fleet) enroll(ctx context.Context, o applyOptions, name string) error {
	known := slices.ContainsFunc(f.site.Admins, func(one site.Admin) bool { return one.Name == name }) ||
		f.site.BreakGlass != nil && f.site.BreakGlass.Account == name
	if !known {
		return usage("site %s has no admin %q", f.site.Name, name)
	}
	secret, err := f.askNew(server.PasswordSecret(name))
	if err != nil {
		return &needsError{secret: server.PasswordSecret(name), err: err}
	}
	if err := f.secrets.Set(server.PasswordSecret(name), secret); err != nil {
		return err
	}
	return f.apply(ctx, o)
}
