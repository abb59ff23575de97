package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/internal/durable"
	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/site"
	"github.com/holdfast-security/holdfast/server/site/ask"
)

// initCommand makes a site file.
func (a *app) initCommand() *cobra.Command {
	var answers string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a site file",
		Long: `Make a site file, by asking in the terminal or from a file of answers.

It finds your SSH keys, warns of one without a passphrase, and offers to make
one. It also makes the identity that opens secrets.age, unless there is one.`,
		Args: argsBetween(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return a.init(c, answers) },
	}
	c.Flags().StringVar(&answers, "answers", "", "take the answers from this YAML `file` instead of asking")
	return c
}

// enrolment is how many days the admins of a new site have to enroll.
const enrolment = 14

func (a *app) init(c *cobra.Command, answersPath string) error {
	if _, err := os.Lstat(a.sitePath); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return &existsError{path: a.sitePath}
	}
	var answers site.Answers
	var err error
	switch {
	case answersPath != "":
		answers, err = site.LoadAnswers(answersPath)
	case isTerminal(a.out):
		answers, err = a.interview(c.Context())
	default:
		err = usage("there is no terminal to ask in: use --answers FILE")
	}
	if err != nil {
		return err
	}
	recipient, err := a.ownRecipient()
	if err != nil {
		return err
	}
	if answers.Secrets == nil && recipient != "" {
		answers.Secrets = &site.SecretsFile{Recipients: []string{recipient}}
	}
	if answers.SecondFactor == nil {
		answers.SecondFactor = &site.SecondFactor{
			Codes: server.SharedCodes, EnrollUntil: server.Day(time.Now().AddDate(0, 0, enrolment).Format(time.DateOnly)),
		}
	}
	text, err := site.New(answers)
	if err != nil {
		return err
	}
	if err := durable.WriteNew(a.sitePath, text, 0o644); err != nil {
		return err
	}
	a.say("wrote %s", a.sitePath)
	a.hint("to see what would change on the servers, run", "    holdfast plan")
	return nil
}

// interview asks for a site, offering the keys that are found here.
func (a *app) interview(ctx context.Context) (site.Answers, error) {
	var keys ask.Keys
	if home, err := os.UserHomeDir(); err == nil {
		keys.Dir = filepath.Join(home, ".ssh")
		if keys.Found, err = site.FindKeys(keys.Dir, os.Getenv("SSH_AUTH_SOCK")); err != nil {
			a.say("looking for SSH keys: %v", err)
		}
	}
	for _, k := range keys.Found {
		if k.Protection == site.ByNothing {
			a.say("warning: %s works for whoever gets its file; give it a passphrase with ssh-keygen -p", k.Path)
		}
	}
	return ask.Run(ctx, a.in, a.out, site.Answers{}, keys)
}

// ownRecipient makes sure that there is an identity that opens secrets.age and
// returns what to encrypt to; empty if the identity is not a native one.
func (a *app) ownRecipient() (string, error) {
	path, err := a.identityPath()
	if err != nil {
		return "", err
	}
	recipient, err := site.MakeIdentity(path)
	if err == nil {
		a.say("made %s, which opens secrets.age: keep a copy of it in a safe place", path)
		return recipient, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	ids, err := site.Identities(path, a.askPassphrase)
	if err != nil {
		return "", err
	}
	if all := site.RecipientsOf(ids); len(all) > 0 {
		return all[0], nil
	}
	return "", nil
}

// An existsError says that a file must not be overwritten.
type existsError struct{ path string }

// Error names the file.
func (e *existsError) Error() string { return e.path + " exists" }

// identityName is an identity that lies beside the site file.
const identityName = "identity.txt"

// identityPath is the file that opens secrets.age: the one that was named, the
// one beside the site file, or the operator's own.
func (a *app) identityPath() (string, error) {
	if a.identity != "" {
		return a.identity, nil
	}
	beside := filepath.Join(filepath.Dir(a.sitePath), identityName)
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	return site.DefaultIdentity()
}

// siteCommand is about the site file itself.
func (a *app) siteCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "site",
		Short: "Check the site file, or print its schema",
		Args:  func(_ *cobra.Command, args []string) error { return unknownCommand(args) },
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use:   "check",
			Short: "Say whether the site file is right",
			Args:  argsBetween(0, 0),
			RunE: func(*cobra.Command, []string) error {
				s, err := a.loadSite()
				if err != nil {
					return err
				}
				if a.json {
					return a.value(map[string]any{"site": s.Name, "servers": len(s.Servers), "admins": len(s.Admins)})
				}
				a.printf("%s: site %s, %s, %s\n", a.sitePath, s.Name, plural(len(s.Servers), "server"), plural(len(s.Admins), "admin"))
				return nil
			},
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON Schema of site files, for editors",
			Args:  argsBetween(0, 0),
			RunE: func(*cobra.Command, []string) error {
				text, err := site.Schema()
				if err != nil {
					return err
				}
				_, err = a.out.Write(text)
				return err
			},
		},
	)
	return c
}

// loadSite reads the site file, whose exceptions must name controls that there
// are.
func (a *app) loadSite() (*site.Site, error) {
	var controls []string
	for _, c := range control.All() {
		controls = append(controls, c.ID)
	}
	return site.Load(a.sitePath, controls...)
}

// secrets opens secrets.age beside the site file. Without such a file there are
// no secrets, and no identity is needed.
func (a *app) secrets() (*site.Secrets, error) {
	path := site.SecretsPath(a.sitePath)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return site.OpenSecrets(path, nil)
	}
	return a.openSecrets(path)
}

// openSecrets opens secrets.age, or begins it, with the operator's identities,
// so that it can be written.
func (a *app) openSecrets(path string) (*site.Secrets, error) {
	id, err := a.identityPath()
	if err != nil {
		return nil, err
	}
	identities, err := site.Identities(id, a.askPassphrase)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	s, err := site.OpenSecrets(path, identities)
	if err != nil {
		return nil, fmt.Errorf("opening %s with %s: %w", path, id, err)
	}
	return s, nil
}

// askPassphrase asks for what opens an identity.
func (a *app) askPassphrase(path string) (server.Secret, error) {
	return a.askHidden(fmt.Sprintf("passphrase of %s", filepath.Base(path)))
}
