package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

type options struct {
	logins, cold int
	gap, flood   time.Duration
}

// A line of the table.
type line struct{ what, figure, target, verdict string }

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "loginbench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) > 0 && args[0] == "serve":
		return serve(ctx, args[1:])
	case len(args) == 2 && args[0] == "raw":
		d, err := time.ParseDuration(args[1])
		if err != nil {
			return err
		}
		n, err := raw(d)
		fmt.Println(n)
		return err
	}
	var o options
	f := flag.NewFlagSet("loginbench", flag.ContinueOnError)
	f.IntVar(&o.logins, "logins", 2000, "warm logins of each kind on each store")
	f.IntVar(&o.cold, "cold", 50, "cold starts on each store")
	f.DurationVar(&o.gap, "gap", time.Millisecond, "the planted gap")
	f.DurationVar(&o.flood, "flood", 30*time.Second, "length of a flood, and of a run with a full queue")
	only := f.String("only", "flood,full,timing", "what to measure")
	stores := f.String("stores", "sqlite,mariadb,postgres", "on which stores")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.logins > full.attempts/2 {
		return fmt.Errorf("more than %d logins of each kind", full.attempts/2)
	}
	fmt.Printf("load before: %s", loadAverage())
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, part := range []struct {
		name string
		run  func(context.Context, drivertest.Kind, options) ([]line, error)
	}{{"flood", runFlood}, {"full", runFull}, {"timing", runTiming}} {
		if !slices.Contains(strings.Split(*only, ","), part.name) {
			continue
		}
		for _, kind := range drivertest.Kinds {
			if !slices.Contains(strings.Split(*stores, ","), string(kind)) {
				continue
			}
			lines, err := part.run(ctx, kind, o)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", part.name, kind, err)
			}
			for _, l := range lines {
				fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", l.what, l.figure, l.target, l.verdict)
			}
			out.Flush()
		}
	}
	fmt.Printf("load after: %s", loadAverage())
	return nil
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown\n"
	}
	return string(text)
}
