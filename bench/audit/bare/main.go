// Bare makes the changes of a plan with nothing around them: no canary, no
// snapshot, no journal, no guard, no proof. It reads the configuration of a
// server from its standard input, prints one line when everything is changed, and
// undoes it again. It is what `bench/audit/run` compares a guarded apply with, on
// a server of a lab, and of no other use.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/machine"
)

func main() {
	if machine.ServeWorld(os.Args) {
		return
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "bare: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var c server.Config
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		return err
	}
	c.Secrets = map[string]server.Secret{server.PasswordSecret(c.BreakGlass.Account): server.NewPassword()}
	for _, a := range c.Admins {
		c.Secrets[server.PasswordSecret(a.Name)] = server.NewPassword()
	}
	m := machine.New()
	plan, err := server.MakePlan(ctx, m, control.All(), c, nil)
	if err != nil {
		return err
	}
	if err := plan.Err(); err != nil {
		return err
	}
	if len(plan.Steps) == 0 {
		return fmt.Errorf("%s is secured already", c.Server)
	}
	done := make([]server.Change, 0, len(plan.Steps))
	for _, step := range plan.Steps {
		change, err := server.Apply(ctx, m, step.Resource, step.Change)
		if err != nil {
			return err
		}
		done = append(done, change)
	}
	fmt.Printf("%d changes\n", len(done))
	return undo(ctx, m, plan.Steps, done)
}

// undo goes back in reverse; what follows from the rest is set last both ways.
func undo(ctx context.Context, m *machine.Machine, steps []server.Step, done []server.Change) error {
	var followers []int
	for i, change := range slices.Backward(done) {
		if _, ok := steps[i].Resource.(server.Follower); ok {
			followers = append(followers, i)
			continue
		}
		if err := server.Undo(ctx, m, steps[i].Resource, change); err != nil {
			return err
		}
	}
	for _, i := range followers {
		if err := server.Undo(ctx, m, steps[i].Resource, done[i]); err != nil {
			return err
		}
	}
	return nil
}
