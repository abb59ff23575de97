package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/site"
)

// guardLimit is what the guard may cost.
const guardLimit = 4 * time.Second

// guard compares an apply with its canary, its guard and its proof with the same
// changes made on the same server without any of them (see bench/audit/bare).
// The packages are there before, because fetching them is the greater part of a
// first apply and is no different.
func (b *bench) guard(ctx context.Context) error {
	s, err := b.lab.Server(first)
	if err != nil {
		return err
	}
	if _, err := b.desk(ctx, "undo", "--yes", first); err != nil {
		return err
	}
	if err := b.installPlanned(ctx); err != nil {
		return err
	}
	var trips int
	guarded, err := timed(b.runs, func() (time.Duration, error) {
		c, err := b.desk(ctx, "apply", "--yes", "-v", first)
		if err != nil {
			return 0, err
		}
		trips = c.trips
		_, err = b.desk(ctx, "undo", "--yes", first)
		return c.wall, err
	})
	if err != nil {
		return err
	}
	bare, err := b.bare(ctx, s)
	if err != nil {
		return err
	}
	more := guarded - bare
	b.table.add(row{
		what: "guarded apply of all changes, canary and proof included", figure: seconds(guarded), beside: seconds(bare) + " for the bare changes",
		ratio: times(guarded.Seconds() / bare.Seconds()),
	}, row{
		what: "  what the guard costs", figure: seconds(more), beside: fmt.Sprintf("%d round trips", trips), target: "≤ 4 s", ok: more <= guardLimit,
	})
	_, err = b.desk(ctx, "apply", "--yes", first)
	return err
}

// installPlanned installs what the plan would.
func (b *bench) installPlanned(ctx context.Context) error {
	cmd := b.command(ctx, "plan", "--output", "json", first)
	out, err := cmd.Output()
	if err != nil && len(out) == 0 { // that there is something to change is a status
		return fmt.Errorf("holdfast plan: %w", err)
	}
	var plans []struct {
		Plan struct {
			Steps []struct {
				Resource string `json:"resource"`
			} `json:"steps"`
		} `json:"plan"`
	}
	if err := json.Unmarshal(out, &plans); err != nil {
		return fmt.Errorf("holdfast plan: %w", err)
	}
	var packages []string
	for _, p := range plans {
		for _, step := range p.Plan.Steps {
			if name, ok := strings.CutPrefix(step.Resource, "package "); ok {
				packages = append(packages, name)
			}
		}
	}
	if len(packages) == 0 {
		return nil
	}
	return b.install(ctx, packages...)
}

// bare is the median of what the bare changes take, over one SSH session.
func (b *bench) bare(ctx context.Context, s *lab.Server) (time.Duration, error) {
	program, err := os.ReadFile("bin/bench-bare")
	if err != nil {
		return 0, err
	}
	const path = "/usr/local/bin/bench-bare"
	if err := os.WriteFile(filepath.Join(s.Root(), path), program, 0o755); err != nil {
		return 0, err
	}
	file, err := site.Load(filepath.Join(b.site(), "holdfast.yaml"))
	if err != nil {
		return 0, err
	}
	config, err := file.Config(first)
	if err != nil {
		return 0, err
	}
	request, err := json.Marshal(config)
	if err != nil {
		return 0, err
	}
	return timed(b.runs, func() (time.Duration, error) {
		argv := s.SSH(path)
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(string(request))
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		if err != nil {
			return 0, err
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		// The first byte comes when everything is changed; then it is undone.
		_, err = out.Read(make([]byte, 1))
		took := time.Since(start)
		if werr := cmd.Wait(); werr != nil {
			return 0, fmt.Errorf("%s: %w: %s", path, werr, errs.String())
		}
		return took, err
	})
}
