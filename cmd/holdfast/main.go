// Holdfast secures the servers that hold user data, and proves it. It runs at
// the desk: a laptop or CI.
//
//	holdfast init                    make a site file
//	holdfast plan  [SERVER…]         show what would change, and who can log in
//	holdfast apply [SERVER…]         change it, prove it, or put it back
//	holdfast audit [SERVER…]         say what holds and what does not
//	holdfast undo  SERVER [TXN]      put back what an apply changed
//	holdfast history [SERVER…]       say what was done, from the servers' journals
//	holdfast show SERVER TXN         show one transaction
//	holdfast unlock SERVER           take over from a run that is gone
//	holdfast enroll ADMIN --password set an admin's first password
//	holdfast ssh-config              let plain ssh reach the servers
//	holdfast lab up|down|…           disposable servers on this machine
//
// Without names a command is about all servers of the site. Results go to
// standard output, everything else to standard error; --output json prints the
// same values. The exit statuses are a contract (exit.go).
//
// If it is interrupted, it says for every server in what state that is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast-security/holdfast/server/desk"
)

// version is stamped in by the build.
var version = "unknown"

func main() {
	if inWorld() {
		return
	}
	os.Exit(start(daemon.Binaries{}))
}

// start carries out the command line of this process with the daemons for
// servers, and returns the exit status.
func start(daemons desk.Binaries) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: os.Stdin, daemons: daemons}
	return a.run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// An app is one run of the program.
type app struct {
	output
	in io.Reader
	// interrupted reports whether the program was asked to end.
	interrupted func() bool
	// args are the command line.
	args []string
	// daemons are the programs for servers that this one carries.
	daemons desk.Binaries

	sitePath  string
	as        string
	identity  string
	keys      []string
	format    string
	yes       bool
	acceptNew bool
	verbose   bool
}

// moreFormats is the annotation of a command that names the forms in which it
// prints results besides text and json.
const moreFormats = "formats"

// run carries out one command line and returns the exit status.
func (a *app) run(ctx context.Context, args []string, out, errw io.Writer) int {
	a.interrupted = func() bool { return ctx.Err() != nil }
	a.args = args
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(out)
	root.SetErr(errw)
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		a.output = newOutput(out, errw, a.format == "json")
		formats := append([]string{"text", "json"}, strings.Fields(c.Annotations[moreFormats])...)
		if n := len(formats) - 1; !slices.Contains(formats, a.format) {
			return usage("--output is %s or %s, not %q", strings.Join(formats[:n], ", "), formats[n], a.format)
		}
		return nil
	}
	a.output = newOutput(out, errw, false)
	err := root.ExecuteContext(ctx)
	if err != nil {
		a.problem(err)
	}
	return statusOf(err)
}

// usage returns the error of a wrong command line.
func usage(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "Secure the servers that hold user data, and prove it",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          func(_ *cobra.Command, args []string) error { return unknownCommand(args) },
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.sitePath, "site", "s", "holdfast.yaml", "the site `file`")
	f.StringVar(&a.as, "as", "", "log in as this `admin` (default: whose key is at hand)")
	f.StringArrayVarP(&a.keys, "key", "i", nil, "log in with this private key `file`, besides those of ssh")
	f.StringVar(&a.identity, "identity", "", "age identity `file` that opens secrets.age")
	f.StringVarP(&a.format, "output", "o", "text", "print results as text or json; audit also as sarif, junit or html")
	f.BoolVarP(&a.yes, "yes", "y", false, "do not ask before changing servers")
	f.BoolVar(&a.acceptNew, "accept-new-host-keys", false, "pin the host keys of servers that are met for the first time")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "show all evidence, and what the connection cost")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	root.AddCommand(
		a.initCommand(), a.siteCommand(),
		a.planCommand(), a.applyCommand(), a.auditCommand(), a.undoCommand(),
		a.historyCommand(), a.showCommand(), a.unlockCommand(), a.enrollCommand(), a.sshConfigCommand(), a.secretsCommand(),
		a.labCommand(), a.docsCommand(),
	)
	return root
}

func unknownCommand(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage("there is no command %q", args[0])
}

// argsBetween is the usage error for a wrong number of arguments.
func argsBetween(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usage("usage: %s", c.UseLine())
		}
		return nil
	}
}

// problem prints what failed and what to do about it.
func (a *app) problem(err error) {
	var e *exitError
	if errors.As(err, &e) && e.quiet {
		return
	}
	for line := range strings.Lines(err.Error()) {
		a.say("error: %s", strings.TrimRight(line, "\n"))
	}
	var unbegun *unbegunError
	if errors.As(err, &unbegun) {
		a.say("no server was changed")
	}
	a.hint(a.advice(err)...)
}
