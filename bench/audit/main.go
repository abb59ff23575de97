// Audit measures what a person at the desk waits for: audits and applies of
// secured servers, beside other tools that do the like on the same servers in
// the same run. What each figure means stands in bench/README.md.
//
//	bench/audit/run [--runs N] [--hosts N] [--only NAME,…]
//
// It makes lab servers of its own and takes them down at its end, also when it
// is interrupted. If something cannot be measured, that is the exit status 1; a
// target that was missed is printed and is not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-security/holdfast/server/lab"
)

func main() {
	runs := flag.Int("runs", 9, "how often `each` quick thing is measured")
	hosts := flag.Int("hosts", 50, "how `many` cheap hosts are audited together")
	only := flag.String("only", "", "measure only these `parts`: "+strings.Join(names(), ","))
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, &bench{runs: *runs, hosts: *hosts}, *only); err != nil {
		fmt.Fprintf(os.Stderr, "bench/audit: %v\n", err)
		os.Exit(1)
	}
}

// A part measures one thing and adds its rows.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

// parts are in the order in which they run. The delay comes last, because a
// relay may stay in the way of what follows.
func parts() []part {
	return []part{
		{"lynis", (*bench).lynis}, {"ansible", (*bench).ansible}, {"three", (*bench).three}, {"guard", (*bench).guard},
		{"fleet", (*bench).fleet}, {"memory", (*bench).memory}, {"delay", (*bench).delay},
	}
}

func names() []string {
	var all []string
	for _, p := range parts() {
		all = append(all, p.name)
	}
	return all
}

// A bench is one run.
type bench struct {
	runs     int
	hosts    int
	holdfast string // the program
	dir      string // the desk
	lab      *lab.Lab
	table    table
}

// first is the server that single figures come from.
const first = "app-1"

func measure(ctx context.Context, b *bench, only string) (err error) {
	if err := lab.Check(); err != nil {
		return err
	}
	if b.holdfast, err = filepath.Abs("bin/holdfast"); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "holdfast-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	id := fmt.Sprintf("bench-%d", os.Getpid())
	b.lab, err = lab.Up(ctx, id, lab.Options{Ephemeral: true, Progress: say})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.lab.Down(context.WithoutCancel(ctx))) }()
	if err := b.makeDesk(ctx); err != nil {
		return err
	}
	if only != "fleet" { // whose hosts are others
		if err := b.secure(ctx); err != nil {
			return err
		}
	}
	for _, p := range parts() {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		say("measuring: " + p.name)
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	b.table.print(os.Stdout)
	return nil
}

// makeDesk makes a desk for the lab.
func (b *bench) makeDesk(ctx context.Context) error {
	if out, err := b.command(ctx, "lab", "--lab", b.lab.ID(), "site", b.site()).CombinedOutput(); err != nil {
		return fmt.Errorf("making a desk: %w: %s", err, out)
	}
	return nil
}

// secure secures the lab's servers.
func (b *bench) secure(ctx context.Context) error {
	say("securing the servers")
	applied, err := b.desk(ctx, "apply", "--accept-new-host-keys", "--yes", "-v")
	if err != nil {
		return fmt.Errorf("securing the servers: %w", err)
	}
	again, err := b.desk(ctx, "audit", "-v")
	if err != nil {
		return fmt.Errorf("the servers are not secured: %w", err)
	}
	b.table.add(row{
		what: "uploads of holdfastd, first apply of 3 servers", figure: count(applied.uploads), target: "3", ok: applied.uploads == 3,
	}, row{
		what: "uploads, audit of the same", figure: count(again.uploads), target: "0", ok: again.uploads == 0,
	})
	return nil
}

func (b *bench) site() string { return filepath.Join(b.dir, "site") }

// command is holdfast at the bench's own desk: nothing of the operator's is
// read or remembered.
func (b *bench) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.holdfast, args...)
	cmd.Dir = b.dir
	if _, err := os.Stat(b.site()); err == nil {
		cmd.Dir = b.site()
	}
	cmd.Env = b.environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

func (b *bench) environment() []string {
	keep := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "XDG_") || strings.HasPrefix(v, "HOME=") || strings.HasPrefix(v, "SSH_AUTH_SOCK=")
	})
	return append(keep, "HOME="+b.dir, "LC_ALL=C.UTF-8")
}

// A cost is what one run of holdfast took.
type cost struct {
	wall           time.Duration
	trips, uploads int
	out            []byte
}

// desk runs holdfast and returns what it took. With -v it says what the
// connections cost. That there are findings is an error.
func (b *bench) desk(ctx context.Context, args ...string) (cost, error) {
	cmd := b.command(ctx, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	start := time.Now()
	out, err := cmd.Output()
	c := cost{wall: time.Since(start), out: out}
	for line := range strings.Lines(errs.String()) {
		var connections, failed, in, sent int
		fmt.Sscanf(line, "holdfast: %d connections, %d round trips, %d failed logins, %d bytes in, %d bytes out, %d uploads",
			&connections, &c.trips, &failed, &in, &sent, &c.uploads)
	}
	if err != nil {
		return c, fmt.Errorf("holdfast %s: %w\n%s%s", strings.Join(args, " "), err, out, errs.String())
	}
	return c, nil
}

// timed is the median of runs of f, after one that does not count.
func timed(runs int, f func() (time.Duration, error)) (time.Duration, error) {
	var all []time.Duration
	for i := range runs + 1 {
		d, err := f()
		if err != nil {
			return 0, err
		}
		if i > 0 {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// holdfastTime is the median of runs of holdfast.
func (b *bench) holdfastTime(ctx context.Context, runs int, args ...string) (time.Duration, error) {
	return timed(runs, func() (time.Duration, error) {
		c, err := b.desk(ctx, args...)
		return c.wall, err
	})
}

// inside runs a command in the first server, as from its console.
func (b *bench) inside(ctx context.Context, argv ...string) (string, error) {
	s, err := b.lab.Server(first)
	if err != nil {
		return "", err
	}
	cmd, err := s.Command(ctx, argv...)
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out[max(0, len(out)-2000):])
	}
	return string(out), err
}

// install installs packages in the first server.
func (b *bench) install(ctx context.Context, packages ...string) error {
	argv := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"}
	_, err := b.inside(ctx, append(argv, packages...)...)
	return err
}

func say(line string) { fmt.Fprintf(os.Stderr, "bench/audit: %s\n", line) }
