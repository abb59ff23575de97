package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server/txn"
)

// A cycle is one run of the desk with one fault.
type cycle struct {
	*subject
	fault
	at      string
	op      string // apply or undo
	secured bool   // what the server is before
	// patience is how long the server waits for the proof.
	patience time.Duration
	id       string // of the transaction that meets the fault
	run      *run
}

// An outcome is what was seen of a cycle.
type outcome struct {
	state    txn.State
	desk     string
	secured  bool // what the server is afterwards
	took     time.Duration
	problems []string
	// What kind of problem there is.
	lockedOut, halfApplied, wrongReport, remains bool
	// missed says that the transaction had ended before the fault came.
	missed bool
}

func (o *outcome) problem(kind *bool, format string, args ...any) {
	if kind != nil {
		*kind = true
	}
	o.problems = append(o.problems, fmt.Sprintf(format, args...))
}

// inject runs the desk, injects the fault, and looks at what became of it.
func (c *cycle) inject(ctx context.Context) (o outcome) {
	began := time.Now()
	defer func() { o.took = time.Since(began) }()
	before := c.transactions()
	args := []string{c.op, c.s.Name(), "--window", c.patience.String()}
	var err error
	if c.run, err = c.desk(ctx, c.dir, args...); err != nil {
		o.problem(nil, "%v", err)
		return o
	}
	if err := c.reach(ctx, before); err != nil {
		o.problem(nil, "%v", err)
		return o
	}
	if st, err := c.status(c.id); err == nil && st.State.Final() {
		o.missed = true
	}
	var wrong *wrongReport
	if err := c.do(ctx, c); errors.As(err, &wrong) {
		o.problem(&o.wrongReport, "%v", err)
	} else if err != nil && !o.missed {
		o.problem(nil, "injecting: %v", err)
	}
	if err := c.settle(ctx); err != nil {
		o.problem(nil, "%v", err)
	}
	c.look(ctx, &o)
	return o
}

// reach waits until the transaction is where the fault is to meet it.
func (c *cycle) reach(ctx context.Context, before []string) error {
	triggered := false
	for limit := time.Now().Add(3 * time.Minute); time.Now().Before(limit); time.Sleep(3 * time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.id == "" {
			if c.id = c.fresh(before); c.id == "" {
				if c.run.over() {
					return fmt.Errorf("the desk ended with %d and began nothing: %s", c.run.code, tail(c.run.text()))
				}
				continue
			}
		}
		st, err := c.status(c.id)
		if err != nil {
			return err
		}
		if st.State.Final() || c.reached(st.State) {
			return nil
		}
		if c.at == rollingBack && st.State == txn.Applied && !triggered {
			triggered = true
			if err := c.sh(ctx, "systemctl start --no-block holdfast-guard-"+c.id+".service"); err != nil {
				return err
			}
		}
		if c.run.over() && st.State == txn.Confirmed {
			return nil
		}
	}
	return fmt.Errorf("%s was not reached: %s", c.at, tail(c.run.text()))
}

// fresh is a transaction of this run that changes or undoes; empty if there is
// none yet. One that only installs packages is not met by faults.
func (c *cycle) fresh(before []string) string {
	for _, id := range c.transactions() {
		if !slices.Contains(before, id) && c.purpose(id) != txn.Packages && c.purpose(id) != "" {
			if c.base == nil {
				// The packages are there, and nothing else has changed yet.
				if t, err := c.tree(context.Background()); err == nil {
					c.base = t
				}
			}
			return id
		}
	}
	return ""
}

// reached reports whether the transaction has come to where the fault is to meet
// it, or is past it.
func (c *cycle) reached(now txn.State) bool {
	order := []txn.State{txn.Prepared, txn.Armed, txn.Applying, txn.Applied}
	past := func(s txn.State) bool { return slices.Index(order, now) >= slices.Index(order, s) }
	switch c.at {
	case prepared:
		return true
	case armed:
		return past(txn.Armed)
	case applied:
		return past(txn.Applied)
	case proving, confirming:
		return past(txn.Applied) && strings.Contains(c.run.text(), ": "+c.at)
	case rollingBack:
		return now == txn.RollingBack
	}
	step, err := strconv.Atoi(strings.TrimPrefix(c.at, "step "))
	if err != nil {
		return false
	}
	for _, e := range c.log(c.id) {
		if e.What == txn.Begun && e.Step >= step {
			return true
		}
	}
	return past(txn.Applied)
}

// settle waits until the transaction has ended and the desk has spoken.
func (c *cycle) settle(ctx context.Context) error {
	limit := time.Now().Add(c.patience + 2*time.Minute)
	for ; time.Now().Before(limit) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		st, err := c.status(c.id)
		if err != nil {
			return err
		}
		if st.State.Final() {
			break
		}
		if st.State == txn.Prepared && c.run.over() {
			break // it never began; the next daemon clears it away
		}
	}
	if c.lift != nil {
		if err := c.lift(ctx, c); err != nil {
			return fmt.Errorf("taking the fault away: %w", err)
		}
	}
	select {
	case <-c.run.ended:
	case <-ctx.Done():
	case <-time.After(c.patience + 3*time.Minute):
		return errors.Join(errors.New("the desk does not end"), c.run.cmd.Process.Kill())
	}
	// The next daemon looks after what nobody looks after.
	return c.recover(ctx)
}

// recover has a daemon look at the journal, as every later use of the server
// does, and waits until everything has ended.
func (c *cycle) recover(ctx context.Context) error {
	binary, err := c.daemon()
	if err != nil {
		return err
	}
	for limit := time.Now().Add(c.patience + 2*time.Minute); ; time.Sleep(500 * time.Millisecond) {
		answer, err := c.serve(ctx, binary, `{"format":1,"id":1,"op":"status","body":{"transaction":"`+c.id+`"}}`)
		if err != nil {
			return fmt.Errorf("asking the daemon: %w: %s", err, answer)
		}
		st, err := c.status(c.id)
		if err != nil || st.State.Final() {
			return err
		}
		if time.Now().After(limit) || ctx.Err() != nil {
			return fmt.Errorf("the transaction stays %s", st.State)
		}
	}
}

// look compares the server with what the journal and the desk say.
func (c *cycle) look(ctx context.Context, o *outcome) {
	st, err := c.status(c.id)
	if err != nil {
		o.problem(nil, "%v", err)
		return
	}
	o.state = st.State
	o.secured = c.secured == (st.State != txn.Confirmed)
	o.desk = strconv.Itoa(c.run.code)
	err = c.login(ctx, o.secured)
	if err != nil && o.secured && st.State == txn.RollbackFailed {
		// Without the modules of PAM nobody becomes root by sudo: the last resort
		// lets root in.
		err = c.login(ctx, false)
	}
	if err != nil {
		o.problem(&o.lockedOut, "locked out: %v", err)
	}
	if c.after != nil {
		if err := c.after(ctx, c); err != nil {
			o.problem(nil, "taking the fault away: %v", err)
		}
	}
	if st.State == txn.RollbackFailed {
		if err := c.must(ctx, "unlock", c.s.Name()); err != nil {
			o.problem(nil, "after a failed rollback: %v", err)
		}
	}
	lines, err := c.differs(ctx, o.secured, c.planted)
	if err != nil {
		o.problem(nil, "%v", err)
	}
	if len(lines) > 0 {
		o.problem(&o.halfApplied, "not as it has to be when %s:\n    %s", st.State, strings.Join(lines[:min(len(lines), 20)], "\n    "))
	}
	if said := c.misreported(st); said != "" {
		o.problem(&o.wrongReport, "%s", said)
	}
	if left := c.subject.remains(ctx); left != "" {
		o.problem(&o.remains, "of the guard remains: %s", left)
	}
}

// misreported says how the desk's exit status contradicts the journal.
func (c *cycle) misreported(st state) string {
	if c.run.code == -1 {
		return "" // killed: it said nothing
	}
	changed := slices.ContainsFunc(c.log(c.id), func(e txn.Event) bool { return e.What == txn.Begun })
	right := false
	switch c.run.code {
	case 0:
		right = st.State == txn.Confirmed
	case 1:
		right = st.State == txn.RolledBack && !changed
	case 3:
		right = st.State == txn.RolledBack
	case 4:
		right = st.State == txn.RollbackFailed || c.deaf
	}
	if right {
		return ""
	}
	return fmt.Sprintf("the desk ended with %d, the journal says %s (steps begun: %t)", c.run.code, st.State, changed)
}

// story is what is needed to understand a failure.
func (c *cycle) story(ctx context.Context) string {
	var b strings.Builder
	for _, e := range c.log(c.id) {
		fmt.Fprintf(&b, "  %s %s %s %d %s %s\n", e.At.Format("15:04:05.000"), e.What, e.State, e.Step, e.Resource, e.Text)
	}
	if c.run != nil {
		fmt.Fprintf(&b, "  the desk said:\n%s", tail(c.run.text()))
	}
	out, _ := c.exec(ctx, "sh", "-c", "journalctl -b --no-pager -u 'holdfast*' -u ssh.service | tail -n 25")
	return b.String() + out
}
