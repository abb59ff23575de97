package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/site"
)

// enrollCommand gives an admin what only that person may know.
func (a *app) enrollCommand() *cobra.Command {
	var password, reset bool
	var o applyOptions
	c := &cobra.Command{
		Use:   "enroll ADMIN",
		Short: "Give an admin a second factor on every server, or a first password",
		Long: `Give an admin a second factor: a code from an app besides the key.

The secret is shown as a QR code and as text, for this admin's eyes only, and
goes to the servers when one valid code was typed. Five recovery codes are shown
once. From then on the servers ask this admin for a code after the key.`,
		Args: argsBetween(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := a.fleet(nil)
			if err != nil {
				return err
			}
			defer f.desk.Close()
			if password {
				return f.enrollPassword(c.Context(), o, args[0])
			}
			return f.enrollFactor(c.Context(), o, args[0], reset)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&password, "password", false, "set the admin's first password instead, where there is none")
	c.Flags().BoolVar(&reset, "reset", false, "replace the admin's second factor, as for a lost phone")
	return c
}

// enrollPassword is an apply whose only question is the admin's password.
func (f *fleet) enrollPassword(ctx context.Context, o applyOptions, name string) error {
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

// enrollFactor makes the secret, has the admin prove that the app has it, keeps
// it, and applies.
func (f *fleet) enrollFactor(ctx context.Context, o applyOptions, name string, reset bool) error {
	if err := f.mayEnroll(name, reset); err != nil {
		return err
	}
	f.run = newRunName()
	if err := f.checkClocks(ctx); err != nil {
		return err
	}
	made := map[string]factor.Enrolment{}
	for _, srv := range f.servers {
		key := f.site.FactorSecret(name, srv.Name)
		if _, done := made[key]; done || !reset && !f.secrets.Get(key).IsZero() {
			continue
		}
		label := f.site.Name
		if key != server.FactorSecret(name) {
			label = srv.Name + "." + f.site.Name
		}
		e, err := f.introduce(label, name)
		if err != nil {
			return err
		}
		made[key] = e
	}
	for key, e := range made {
		if err := f.secrets.Set(key, server.NewSecret(e.String())); err != nil {
			return err
		}
	}
	// Kept before any server demands it: what is on the servers and nowhere else
	// could not be given to the next one.
	if err := f.changeSecrets(func(s *site.Secrets) error {
		for key, e := range made {
			if err := s.Set(key, server.NewSecret(e.String())); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	f.say("%s is enrolled at this desk; the servers follow", name)
	return f.apply(ctx, o)
}

// An enrolledError says that an admin has a second factor already.
type enrolledError struct{ admin string }

// Error names the admin.
func (e *enrolledError) Error() string { return e.admin + " is enrolled already" }

// mayEnroll says why an admin cannot be enrolled.
func (f *fleet) mayEnroll(name string, reset bool) error {
	if !slices.ContainsFunc(f.site.Admins, func(one site.Admin) bool { return one.Name == name }) {
		return usage("site %s has no admin %q", f.site.Name, name)
	}
	if s := f.site.SecondFactor; s == nil || s.Codes == server.NoCodes {
		return usage("the site file wants no codes: write second_factor: {codes: shared}")
	}
	if f.site.Secrets == nil {
		return usage("the second factor is kept in secrets.age, and the site file names nobody who can read that: write secrets: {recipients: [age1…]}")
	}
	missing := reset
	for _, srv := range f.servers {
		config, err := f.config(srv)
		if err != nil {
			return err
		}
		for _, a := range config.Admins {
			if a.Name == name && a.Factor == server.InKey {
				return usage("the FIDO2 key of %s is both key and second factor", name)
			}
		}
		missing = missing || f.secrets.Get(f.site.FactorSecret(name, srv.Name)).IsZero()
	}
	if !missing {
		return &enrolledError{admin: name}
	}
	if _, err := f.terminal(); err != nil {
		return fmt.Errorf("a second factor is set up by the admin in person: %w", err)
	}
	return nil
}

// checkClocks refuses servers whose clocks would refuse the codes.
func (f *fleet) checkClocks(ctx context.Context) error {
	errs := f.each(ctx, func(ctx context.Context, _ int, srv site.Server) error {
		s, err := f.connect(ctx, srv)
		if err != nil {
			return err
		}
		defer s.Close()
		off, err := f.clockOf(ctx, s)
		if err == nil {
			err = clockProblem(off)
		}
		return err
	})
	f.progress.end()
	return f.failed(errs, len(f.servers))
}

// maxTypos is how often a code may be mistyped.
const maxTypos = 3

// introduce shows a new secret, takes one valid code for it, and shows the
// recovery codes.
func (f *fleet) introduce(label, name string) (factor.Enrolment, error) {
	e := factor.New()
	picture, err := drawQR(e.URI(label, name))
	if err != nil {
		return e, err
	}
	fmt.Fprintf(f.err, "\n%s\nScan this with the app of %s, or type the key into it (time-based, 6 digits):\n\n    %s\n\n", picture, name, spaced(e.Text()))
	for try := 1; ; try++ {
		fmt.Fprintf(f.err, "the code that the app shows for %s (%s): ", label, name)
		line, err := readLine(f.in)
		if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
			return e, fmt.Errorf("no code was typed, so nothing was changed: %w", err)
		}
		if e.Verify(line, time.Now()) {
			break
		}
		if try == maxTypos {
			return e, errors.New("no valid code was typed; nothing was changed")
		}
		f.say("%s", whyWrong(e, line, time.Now()))
	}
	fmt.Fprintf(f.err, "\nFive recovery codes, each good for one login on a server. They are not shown again:\n\n")
	for _, code := range e.Recovery {
		fmt.Fprintf(f.err, "    %s\n", spaced(code))
	}
	fmt.Fprintf(f.err, "\nKeep them on paper or in a password safe, away from the phone and from this computer.\n")
	yes, err := f.askYes("are they kept?")
	if err == nil && !yes {
		err = errors.New("the recovery codes are not kept; nothing was changed")
	}
	return e, err
}

// whyWrong says what is the matter with a code.
func whyWrong(e factor.Enrolment, code string, now time.Time) string {
	const far = 60 // steps, so half an hour either way
	for n := -far; n <= far; n++ {
		at := now.Add(time.Duration(n) * factor.Step)
		if e.Verify(code, at) {
			return fmt.Sprintf("that is the code of %v: the clock of the phone or of this computer is wrong", at.Format(time.TimeOnly))
		}
	}
	return "that is not the code; wait for the next one and type it"
}

// spaced groups letters by four, as people read them.
func spaced(text string) string {
	var groups []string
	for group := range slices.Chunk([]byte(text), 4) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, " ")
}
