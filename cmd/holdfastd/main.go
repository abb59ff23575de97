// Holdfastd is Holdfast's daemon on a server. `holdfast` puts it there and
// starts it; nobody types its commands.
//
//	holdfastd serve                  answer the desk on standard input and output
//	holdfastd audit                  audit this server and keep the result (by a timer, every day)
//	holdfastd txn-run ID             carry out a transaction (in a unit of its own)
//	holdfastd txn-rollback ID        put a transaction back (by the guard's timer, or on the console)
//	holdfastd txn-boot               put back files of unconfirmed transactions (while booting)
//	holdfastd txn-finish             end what txn-boot has begun
//	holdfastd codes-end              take back the codes that were lent for logins
//	holdfastd version
//
// It listens on no port and holds no SSH client. If a command fails, it says so
// on standard error and in the journal of the transaction, and exits with 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/machine"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/txn"
)

// version is stamped in by the build.
var version = "unknown"

func main() {
	if machine.ServeWorld(os.Args) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "holdfastd: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: holdfastd serve|audit|txn-run ID|txn-rollback ID|txn-boot|txn-finish|codes-end|version")

func run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == "version" {
		fmt.Println(version)
		return nil
	}
	if len(args) == 0 {
		return errUsage
	}
	d, err := open()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "serve":
		// A desk that is gone must not end what is under way: losing the session
		// shows as the end of the input.
		signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
		return d.serve(ctx)
	case len(args) == 1 && args[0] == "audit":
		return d.daily(ctx)
	case len(args) == 2 && args[0] == "txn-run":
		return d.journal.Run(ctx, args[1])
	case len(args) == 2 && args[0] == "txn-rollback":
		return d.putBack(ctx, args[1])
	case len(args) == 1 && args[0] == "txn-boot":
		return d.journal.Boot(ctx)
	case len(args) == 1 && args[0] == "txn-finish":
		return errors.Join(d.journal.Finish(ctx), d.codesEnd(ctx, ""))
	case len(args) == 1 && args[0] == "codes-end":
		return d.codesEnd(ctx, "")
	}
	return errUsage
}

// A daemon is what every command works with.
type daemon struct {
	machine *machine.Machine
	journal *txn.Journal
	relay   protocol.Relay
	self    string // the path of this program

	mu   sync.Mutex
	lent *lent // nil if there is no canary
}

func open() (*daemon, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	m := machine.New()
	j, err := txn.Open(server.StateDir, m, txn.Config{
		Codec:  codec{},
		Guard:  txn.Systemd{Host: m, Binary: self},
		Hold:   txn.HoldDpkg,
		Units:  []string{"ssh.service", "ssh.socket"},
		Door:   door{},
		RunDir: txn.DefaultRunDir,
		Log:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return nil, err
	}
	return &daemon{machine: m, journal: j, self: self}, nil
}

// putBack rolls a transaction back; one that was confirmed in time stays. It is
// called anew for as long as it fails, so one that has ended is no failure here,
// however it has ended: the journal tells.
func (d *daemon) putBack(ctx context.Context, id string) error {
	err := d.journal.Rollback(ctx, id, d.journal.Why(id))
	if end := d.codesEnd(ctx, ""); err == nil {
		err = end
	}
	if state, _, serr := d.journal.State(id); err != nil && serr == nil && state.Final() {
		fmt.Fprintf(os.Stderr, "holdfastd: %v\n", err)
		return nil
	}
	return err
}

// serve answers one desk until it hangs up.
func (d *daemon) serve(ctx context.Context) error {
	if err := d.ensureKey(ctx); err != nil {
		return err
	}
	if err := d.ensureLink(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "holdfastd: %v\n", err) // the daily audit says so, too
	}
	if err := d.journal.Recover(ctx); err != nil {
		return fmt.Errorf("looking after earlier transactions: %w", err)
	}
	if err := d.codesOfOthers(ctx); err != nil {
		return fmt.Errorf("taking back codes of earlier runs: %w", err)
	}
	conversation := struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}
	return protocol.Serve(ctx, conversation, d.handlers())
}
