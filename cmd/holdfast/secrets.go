package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

// secretsCommand is about secrets.age.
func (a *app) secretsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "secrets",
		Short: "Keep passwords for unattended runs, encrypted, in secrets.age",
		Args:  func(_ *cobra.Command, args []string) error { return unknownCommand(args) },
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "Print the names of the secrets",
			Args:  argsBetween(0, 0),
			RunE: func(*cobra.Command, []string) error {
				s, err := a.secrets()
				if err != nil {
					return err
				}
				if a.json {
					return a.value(append([]string{}, s.Names()...)) // never null
				}
				for _, n := range s.Names() {
					a.printf("%s\n", n)
				}
				return nil
			},
		},
		&cobra.Command{
			Use:   "set NAME",
			Short: "Keep a secret under a name, such as password/alice",
			Args:  argsBetween(1, 1),
			RunE: func(_ *cobra.Command, args []string) error {
				secret, err := a.typed(args[0])
				if err != nil {
					return err
				}
				return a.changeSecrets(func(s *site.Secrets) error { return s.Set(args[0], secret) })
			},
		},
		&cobra.Command{
			Use:   "remove NAME",
			Short: "Forget a secret",
			Args:  argsBetween(1, 1),
			RunE: func(_ *cobra.Command, args []string) error {
				return a.changeSecrets(func(s *site.Secrets) error {
					if s.Get(args[0]).IsZero() {
						return fmt.Errorf("there is no secret %q", args[0])
					}
					s.Remove(args[0])
					return nil
				})
			},
		},
	)
	return c
}

// typed reads a secret from the terminal, or as one line from a pipe.
func (a *app) typed(name string) (server.Secret, error) {
	secret, err := a.askHidden(describeSecret(name))
	if errors.Is(err, errNobody) {
		line, lineErr := readLine(a.in)
		secret, err = server.NewSecret(line), nil
		if line == "" && !errors.Is(lineErr, io.EOF) {
			err = lineErr
		}
	}
	if err == nil && secret.IsZero() {
		err = errors.New("nothing was typed")
	}
	return secret, err
}

// changeSecrets opens secrets.age, changes it and saves it for the site's
// recipients.
func (a *app) changeSecrets(change func(*site.Secrets) error) error {
	s, err := a.loadSite()
	if err != nil {
		return err
	}
	if s.Secrets == nil {
		return errors.New("the site file names no recipients of secrets.age: write secrets: {recipients: [age1…]}")
	}
	secrets, err := a.openSecrets(site.SecretsPath(a.sitePath))
	if err != nil {
		return err
	}
	if err := change(secrets); err != nil {
		return err
	}
	return secrets.Save(s.Secrets.Recipients)
}
