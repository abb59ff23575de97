package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/protocol"
)

// defaultWindow is long enough for a slow network and short enough to wait for.
const defaultWindow = 3 * time.Minute

// applyOptions are the flags of apply and undo.
type applyOptions struct {
	window   time.Duration
	oneByOne bool
}

// applyCommand changes servers.
func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use:   "apply [SERVER…]",
		Short: "Secure the servers: change them, prove that you can still log in, or put them back",
		Long: `Secure the servers: change them, prove that you can still log in, or put them back.

Apply shows the plan and asks. The changes of a server are carried out by the
server itself, outside of this session. Then new logins prove that an admin can
still get in and become root; only that confirms the changes. Without proof
within the window the server puts itself back.`,
		Args: argsBetween(0, -1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := a.fleet(args)
			if err != nil {
				return err
			}
			defer f.desk.Close()
			return f.apply(c.Context(), o)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&o.oneByOne, "one-by-one", false, "one server after the other, and stop at the first that fails")
	return c
}

func (o *applyOptions) flags(c *cobra.Command) {
	c.Flags().DurationVar(&o.window, "window", defaultWindow, "how long a server waits for the proof before it puts itself back")
}

func (f *fleet) apply(ctx context.Context, o applyOptions) error {
	if f.run == "" {
		f.run = newRunName()
	}
	plans, err := f.plans(ctx)
	if err != nil {
		f.say("no server was changed")
		return err
	}
	if err := stopped(plans); err != nil {
		return err
	}
	pending := f.pending(plans)
	if len(pending) == 0 {
		f.app.cost(f)
		return nil
	}
	if err := f.provable(ctx, plans); err != nil {
		return &unbegunError{err}
	}
	given, err := f.needed(plans)
	if err != nil {
		return &unbegunError{err}
	}
	if err := f.takes(ctx, plans, given); err != nil {
		f.say("no server was changed")
		return err
	}
	if yes, err := f.sure(fmt.Sprintf("change %s?", plural(len(pending), "server"))); !yes {
		return err
	}
	r := f.newRun(o, given)
	errs := f.inTurn(f.groups(pending, o.oneByOne), func(i int) error {
		return r.server(ctx, f.servers[i], plans[i].Plan)
	})
	f.progress.end()
	f.app.cost(f)
	return f.failed(errs, len(f.servers))
}

// inTurn calls do for the servers of each group one after the other, and for
// groups side by side, but for no server before the one that it is reached
// through has ended well. It returns the errors in the order of the servers.
func (f *fleet) inTurn(groups [][]int, do func(i int) error) []error {
	errs := make([]error, len(f.servers))
	ended := make([]chan struct{}, len(f.servers)) // nil for those with nothing to do
	for _, group := range groups {
		for _, i := range group {
			ended[i] = make(chan struct{})
		}
	}
	notBegun := func(i, because int) error {
		f.progress.done(f.servers[i].Name, false, "not begun, because %s failed", f.servers[because].Name)
		return &exitError{code: exitFailed, quiet: true, err: errors.New("not begun")}
	}
	var wg sync.WaitGroup
	for _, group := range groups {
		wg.Go(func() {
			failed := -1
			for _, i := range group {
				if via, ok := f.jumpOf(i); ok && failed < 0 && ended[via] != nil {
					if <-ended[via]; errs[via] != nil {
						failed = via
					}
				}
				if failed >= 0 {
					errs[i] = notBegun(i, failed)
				} else if errs[i] = do(i); errs[i] != nil {
					failed = i
				}
				close(ended[i])
			}
		})
	}
	wg.Wait()
	return errs
}

// stopped is the error for plans that must not be carried out.
func stopped(plans []serverPlan) error {
	for _, p := range plans {
		if len(p.Plan.Refusals) > 0 || len(p.Plan.Errors) > 0 {
			return &exitError{code: exitFailed, err: fmt.Errorf("%s: the plan must not be applied; no server was changed", p.Server)}
		}
	}
	return nil
}

// pending are the indices of servers that have something to change.
func (f *fleet) pending(plans []serverPlan) []int {
	var all []int
	for i, p := range plans {
		if len(p.Plan.Steps) > 0 {
			all = append(all, i)
		}
	}
	return all
}

// groups splits servers into those that are worked on one after the other, jump
// hosts first. A mistake must not reach all servers of a role at once.
func (f *fleet) groups(pending []int, oneByOne bool) [][]int {
	f.jumpsFirst(pending)
	if oneByOne {
		return [][]int{pending}
	}
	byRole := map[server.Role][]int{}
	var order []server.Role
	for _, i := range pending {
		role := f.servers[i].Roles[0]
		if !slices.Contains(order, role) {
			order = append(order, role)
		}
		byRole[role] = append(byRole[role], i)
	}
	var all [][]int
	for _, role := range order {
		all = append(all, byRole[role])
	}
	return all
}

// sure asks unless --yes was given.
func (f *fleet) sure(question string) (bool, error) {
	if f.yes {
		return true, nil
	}
	yes, err := f.askYes(question)
	if errors.Is(err, errNobody) {
		return false, &exitError{code: exitUsage, err: fmt.Errorf("%w whether to change servers", errNobody)}
	}
	if err == nil && !yes {
		f.say("nothing was changed")
	}
	return yes, err
}

// newRun begins a run: everything that one command does to its servers.
func (f *fleet) newRun(o applyOptions, given map[string]server.Secret) *transactions {
	name, host := who()
	return &transactions{
		fleet: f, given: given,
		guard: protocol.Guard{
			Run: f.run,
			By:  name, Desk: host, Version: version, Window: int(o.window.Seconds()),
		},
	}
}

func newRunName() string {
	return time.Now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random(4))
}

// random returns n random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
