package main

import (
	"context"
	"os"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/machine"
)

// inWorld reports whether this process is the inside of a private copy of the
// machine, whose work it has then done.
func inWorld() bool { return machine.ServeWorld(os.Args) }

// localAudit audits this machine.
func localAudit(ctx context.Context, c server.Config) ([]server.Result, error) {
	return server.Audit(ctx, machine.New(), control.All(), c)
}

// localPlan is what would have to change on this machine.
func localPlan(ctx context.Context, c server.Config) (server.Plan, error) {
	return server.MakePlan(ctx, machine.New(), control.All(), c, nil)
}
