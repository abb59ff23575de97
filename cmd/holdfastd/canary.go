package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/canary"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/machine"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/resource"
)

// canaryLimit is how long a canary can be logged in to, whatever the desk does.
const canaryLimit = 60 * time.Second

// A networked machine lends one World with a network of its own.
type networked struct {
	*machine.Machine
	addresses []netip.Addr
	operator  netip.Addr     // where the desk connects from in the World, if that is known
	world     *machine.World // nil until it was lent
}

// Rehearse lends the World.
func (n *networked) Rehearse(ctx context.Context) (server.World, error) {
	if n.world != nil {
		return nil, errors.New("the World of a canary is lent already")
	}
	w, err := n.Enter(ctx, machine.Options{Network: true, Addresses: n.addresses})
	if err != nil {
		return nil, err
	}
	n.world = w
	return w, nil
}

// candidate makes a World in which a plan has been carried out, checks that it
// is the plan that the desk has seen, and calls use.
func (d *daemon) candidate(ctx context.Context, n *networked, in protocol.CanaryRequest, use func(context.Context, canary.World) error) error {
	if err := d.journal.CheckSite(in.Config.Site); err != nil {
		return err
	}
	_, err := server.MakePlan(ctx, n, control.All(), in.Config, func(ctx context.Context, p server.Plan, _ server.Reader) error {
		if err := shown(p, protocol.ApplyRequest{Config: in.Config, Digest: in.Digest, Carried: in.Carried}); err != nil {
			return err
		}
		if n.world == nil {
			// There was nothing to try: the logins are as they are.
			w, err := n.Rehearse(ctx)
			if err != nil {
				return err
			}
			defer w.Close()
		}
		for _, s := range p.Steps {
			if table, ok := s.Resource.(resource.Table); ok {
				if err := n.filter(ctx, table, s.Change); err != nil {
					return err
				}
			}
		}
		return use(ctx, n.world)
	})
	return err
}

// filter gives the World the table that a step, done or undone, leads to. Where
// it is known where the desk connects from, its packets then meet the rules as
// if they came from outside: in the World all of them come over loopback.
func (n *networked) filter(ctx context.Context, t resource.Table, c server.Change) error {
	// The World has no table yet, whatever the live machine has.
	if err := n.world.Run(ctx, resource.TableScript(t.Family, t.Table, string(c.After)), "nft", "-f", "-"); err != nil {
		return err
	}
	got, err := t.Get(ctx, n.world)
	if err != nil {
		return err
	}
	if got != c.After {
		return fmt.Errorf("the kernel makes another %s of it:\n%s", t.Name(), server.Diff(server.Change{Before: c.After, After: got}))
	}
	if !n.operator.IsValid() || c.After == "" {
		return nil
	}
	const loopback = "\t\tiifname \"lo\" accept\n"
	outside := strings.Replace(string(c.After), loopback, "", 1)
	return n.world.Run(ctx, resource.TableScript(t.Family, t.Table, outside), "nft", "-f", "-")
}

// reversed makes a World in which a transaction has been undone, and calls use.
func (d *daemon) reversed(ctx context.Context, n *networked, in protocol.CanaryRequest, use func(context.Context, canary.World) error) error {
	all, err := d.journal.Undo(ctx, in.Transaction)
	if err != nil {
		return tooLate(err)
	}
	if all[0].Reverts != in.Digest {
		return protocol.Errorf(protocol.CodeDrift, protocol.Unchanged, "the server has changed since the plan was shown")
	}
	w, err := n.Rehearse(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, s := range all[0].Steps {
		switch r := s.Resource.(type) {
		case server.Installer:
			return errSkipped
		case resource.Table:
			if err := n.filter(ctx, r, s.Change); err != nil {
				return err
			}
			continue
		case server.Starter, server.Follower:
			continue // of the live machine
		}
		done := server.Change{Resource: s.Change.Resource, Before: s.Change.After, After: s.Change.Before}
		if err := server.Undo(ctx, w, s.Resource, done); err != nil {
			return err
		}
	}
	return use(ctx, n.world)
}

// errSkipped says that there cannot be a canary.
var errSkipped = errors.New("it removes packages, which cannot be tried in a private copy")

// canary lets the desk log in to what a plan would make of this server.
func (d *daemon) canary(ctx context.Context, in protocol.CanaryRequest, send sender) (protocol.CanaryResult, error) {
	in.Config.Secrets = in.Secrets
	path := operatorPath()
	own, err := ownAddresses()
	if err != nil {
		return protocol.CanaryResult{}, err
	}
	n := &networked{Machine: d.machine, addresses: canary.Addresses(path, own), operator: path.Client()}
	var out protocol.CanaryResult
	use := func(ctx context.Context, w canary.World) error {
		sshd, err := canary.Start(ctx, w, path, in.Config.Port)
		if err != nil {
			return err
		}
		ctx, stop := context.WithTimeoutCause(ctx, canaryLimit, fmt.Errorf("the logins took longer than %v", canaryLimit))
		defer stop()
		if err := d.lend(ctx, sshd); err != nil {
			return err
		}
		defer d.takeBack()
		if err := send(protocol.Event{Text: "the candidate's sshd can be reached"}); err != nil {
			return err
		}
		<-ctx.Done()
		out.Log = sshd.Log(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return context.Cause(ctx)
		}
		return nil
	}
	if in.Undo {
		err = d.reversed(ctx, n, in, use)
	} else {
		err = d.candidate(ctx, n, in, use)
	}
	if errors.Is(err, errSkipped) {
		return protocol.CanaryResult{Skipped: err.Error()}, nil
	}
	return out, unchanged(err)
}

// A lent canary can be connected to.
type lent struct {
	ctx  context.Context // ends with it
	sshd *canary.Daemon
}

func (d *daemon) lend(ctx context.Context, sshd *canary.Daemon) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lent != nil {
		return protocol.Errorf(protocol.CodeBusy, protocol.Unchanged, "another canary is running")
	}
	d.lent = &lent{ctx: ctx, sshd: sshd}
	return nil
}

func (d *daemon) takeBack() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lent = nil
}

// canaryConnect carries one connection to the canary.
func (d *daemon) canaryConnect(ctx context.Context, in protocol.CanaryConnection, send sender) (protocol.Nothing, error) {
	d.mu.Lock()
	now := d.lent
	d.mu.Unlock()
	if now == nil {
		return protocol.Nothing{}, protocol.Errorf(protocol.CodeNotFound, protocol.Unchanged, "there is no canary")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(now.ctx, stop)()
	return protocol.Nothing{}, d.relay.Connect(ctx, in, send, func(ctx context.Context) (net.Conn, error) {
		return now.sshd.Connect(ctx)
	})
}

func (d *daemon) canarySend(ctx context.Context, in protocol.CanaryData, _ sender) (protocol.Nothing, error) {
	return protocol.Nothing{}, d.relay.Send(ctx, in)
}

// ownAddresses are the addresses of this machine.
func ownAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("reading this machine's addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr())
		}
	}
	return own, nil
}
