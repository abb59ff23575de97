//go:build !linux

package main

import (
	"context"
	"errors"

	"github.com/holdfast-security/holdfast/server"
)

var errNotLinux = errors.New("only Linux machines can be secured")

func inWorld() bool { return false }

func localAudit(context.Context, server.Config) ([]server.Result, error) {
	return nil, errNotLinux
}

func localPlan(context.Context, server.Config) (server.Plan, error) {
	return server.Plan{}, errNotLinux
}
