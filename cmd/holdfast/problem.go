package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/holdfast-security/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// A needsError says that a secret is needed which nobody has given.
type needsError struct {
	secret string
	err    error
}

// Error names the secret.
func (e *needsError) Error() string {
	return describeSecret(e.secret) + " is needed: " + e.err.Error()
}

// Unwrap returns why it could not be had.
func (e *needsError) Unwrap() error { return e.err }

// describeSecret names a secret for a person.
func describeSecret(name string) string {
	if account, ok := strings.CutPrefix(name, "password/"); ok {
		return "password of " + account
	}
	return name
}

// report prints what failed on a server, what state it is in now, and what to
// type next.
func (f *fleet) report(name string, err error) {
	var e *exitError
	if errors.As(err, &e) && e.quiet {
		return
	}
	state, next := outcomeOf(err)
	text := strings.TrimPrefix(err.Error(), name+": ")
	var end *ending
	if f.interrupted() && (!errors.As(err, &end) || end.now == protocol.Undone) {
		text = "interrupted" // what it was about to do says nothing
	}
	for line := range strings.Lines(text) {
		f.say("error: %s: %s", name, strings.TrimRight(line, "\n"))
	}
	if state != "" {
		f.say("%s: %s", name, state)
	}
	if len(next) == 0 {
		next = f.advice(err)
	}
	for _, line := range next {
		f.hint(strings.ReplaceAll(line, "SERVER", name))
	}
}

// outcomeOf says in what state a failure has left a server, and what to do.
func outcomeOf(err error) (state string, next []string) {
	var end *ending
	var told *protocol.Error
	now := protocol.Outcome("")
	switch {
	case errors.As(err, &end):
		now = end.now
	case errors.As(err, &told):
		now = told.State
	}
	switch now {
	case protocol.Unchanged:
		return "the server was not changed", nil
	case protocol.Undone:
		return "the server is as it was before; the changes of this run were undone", []string{
			"to see what was tried, run", "    holdfast history SERVER",
		}
	case protocol.Pending:
		return "changes are in place and will be undone by the server itself unless they are confirmed", []string{
			"to see how it ended, run", "    holdfast history SERVER",
		}
	case protocol.Unsure:
		return "it is not known in what state the server is", []string{
			"it puts itself back unless the changes were confirmed; to look, run", "    holdfast history SERVER",
			"it is safe to run the same command again",
		}
	}
	return "", nil
}

// advice says what to do about an error; nil if there is nothing to say.
func (a *app) advice(err error) []string {
	for _, try := range []func(error) []string{a.adviceOnCanary, a.adviceOnEnrolment, a.adviceOnDesk, a.adviceOnServer, a.adviceOnSite} {
		if lines := try(err); lines != nil {
			return lines
		}
	}
	return nil
}

// adviceOnDesk is about reaching a server.
func (a *app) adviceOnDesk(err error) []string {
	var changed *desk.HostKeyChangedError
	var unknown *desk.UnknownHostKeyError
	var login *desk.LoginError
	var away *desk.TurnedAwayError
	var sudo *desk.SudoError
	var unasked *desk.UnaskedError
	switch {
	case errors.As(err, &changed):
		return []string{
			"if the server was installed anew, remove its lines from " + changed.File + " and compare the new fingerprint;",
			"if not, somebody else answers at its address: do not go on",
		}
	case errors.As(err, &unknown):
		return []string{"to pin it after you have compared it, run the command in a terminal, or with", "    --accept-new-host-keys"}
	case errors.As(err, &login):
		return []string{"name the private key with -i FILE, or the admin with --as NAME"}
	case errors.As(err, &away):
		return []string{"the server makes this address wait, as after failed logins: try again in a minute"}
	case errors.As(err, &sudo) && sudo.Reason == desk.WrongPassword:
		return keepIt("type it again in a terminal, or correct it in secrets.age:", server.PasswordSecret(sudo.User))
	case errors.As(err, &sudo):
		return []string{"holdfast needs to become root by sudo; see docs/operator.md#sudo"}
	case errors.As(err, &unasked) && secretFor(unasked.Question) != "":
		return keepIt("run the command in a terminal, or keep it in secrets.age:", secretFor(unasked.Question))
	case errors.As(err, &unasked) && unasked.Question.Kind == desk.Passphrase:
		return []string{"run the command in a terminal, or add the key to the agent with", "    ssh-add " + unasked.Question.File}
	case errors.As(err, &unasked) && unasked.Question.Kind == desk.Code:
		return []string{"run the command in a terminal: a code is typed by the admin in person; a program gets an account of its own (automation: in the site file)"}
	case errors.As(err, &unasked):
		return []string{"run the command in a terminal, or keep the password in secrets.age; see docs/operator.md#secrets"}
	case errors.Is(err, daemon.ErrMissing):
		return []string{"build holdfast with `make build`"}
	}
	return nil
}

// adviceOnEnrolment is about an admin who has a second factor already.
func (a *app) adviceOnEnrolment(err error) []string {
	if done := (*enrolledError)(nil); errors.As(err, &done) {
		return []string{
			"to give it to servers that lack it, run", "    holdfast apply",
			"to replace it, as for a lost phone, run", "    holdfast enroll " + done.admin + " --reset",
		}
	}
	return nil
}

// adviceOnServer is about what a server said.
func (a *app) adviceOnServer(err error) []string {
	var told *protocol.Error
	if errors.As(err, &told) {
		switch told.Code {
		case protocol.CodeDrift:
			return []string{"something else has changed the server; to see how it differs now, run", "    holdfast plan"}
		case protocol.CodeBusy:
			return []string{"if that desk is gone, wait until the server has put itself back; if it cannot, take it over with", "    holdfast unlock SERVER"}
		case protocol.CodeForeign:
			return []string{"a server belongs to one site; see docs/operator.md#sites"}
		case protocol.CodeNotFound:
			return []string{"to see what there is, run", "    holdfast history"}
		}
	}
	var needs *needsError
	if errors.As(err, &needs) {
		return keepIt("run the command in a terminal, or keep it in secrets.age:", needs.secret)
	}
	var refused *refusedSecretError
	if errors.As(err, &refused) {
		return keepIt("choose a better one; if it is kept in secrets.age, with", refused.secrets...)
	}
	return nil
}

// keepIt is the advice to keep secrets.
func keepIt(why string, names ...string) []string {
	lines := []string{why}
	for _, name := range names {
		lines = append(lines, "    holdfast secrets set "+name)
	}
	return lines
}

// adviceOnSite is about the desk's own files and this machine.
func (a *app) adviceOnSite(err error) []string {
	var open *site.OpenFileError
	var exists *existsError
	switch {
	case errors.As(err, &open):
		return []string{"close it with", "    chmod 600 " + open.Path}
	case errors.As(err, &exists):
		return []string{"to make another, name it with", "    holdfast init --site FILE"}
	case errors.Is(err, fs.ErrNotExist) && a.noSite():
		return []string{"to make a site file, run", "    holdfast init", "or name one with --site FILE"}
	case errors.Is(err, lab.ErrDown):
		return []string{"to boot one, run", "    holdfast lab up"}
	case errors.Is(err, lab.ErrUp):
		return []string{"to see it, run", "    holdfast lab status", "to take it down, run", "    holdfast lab down"}
	case errors.Is(err, context.Canceled):
		return nil
	}
	var e *exitError
	if errors.As(err, &e) && e.code == exitUsage {
		return []string{"for help, run", "    holdfast --help"}
	}
	return nil
}

// noSite reports whether there is no site file.
func (a *app) noSite() bool {
	_, err := os.Stat(a.sitePath)
	return errors.Is(err, fs.ErrNotExist)
}
