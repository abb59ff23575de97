package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// errNoWorld says that a proof cannot be given because the machine cannot be
// copied.
var errNoWorld = errors.New("it can only be tried in a private copy of the machine, and none can be made here")

// inWorld calls try in a private copy of the machine that r shows.
func inWorld(ctx context.Context, r server.Reader, try func(server.World) (server.Answer, error)) (server.Answer, error) {
	rehearser, ok := r.(server.Rehearser)
	if !ok {
		return server.Answer{}, errNoWorld
	}
	w, err := rehearser.Rehearse(ctx)
	if err != nil {
		return server.Answer{}, fmt.Errorf("making a private copy of the machine: %w", err)
	}
	a, err := try(w)
	return a, errors.Join(err, w.Close())
}

// refused runs a command that is expected to say no, and returns what it said.
// An error means that it could not be run at all.
func refused(ctx context.Context, w server.World, stdin string, argv ...string) (no bool, said string, err error) {
	err = w.Run(ctx, stdin, argv...)
	var failed *server.CommandError
	switch {
	case err == nil:
		return false, "", nil
	case errors.As(err, &failed) && failed.Err == nil:
		return true, strings.TrimSpace(failed.Output), nil
	}
	return false, "", err
}

// lastLine returns the last line of what a command said.
func lastLine(said string) string {
	return said[strings.LastIndexByte(said, '\n')+1:]
}
