package resource

import (
	"context"
	"fmt"

	"github.com/holdfast-security/holdfast/server"
)

// A Started is a unit of systemd that is to run as long as a link wants it, such
// as a timer with a link in timers.target.wants. It is for units whose files are
// resources, too: a [Unit] must be there before a plan is made. Its states are
// "active" and "inactive".
type Started struct {
	// Unit is the unit's full name, such as "holdfast-audit.timer".
	Unit string `json:"unit"`
	// Link is the path of what wants it.
	Link string `json:"link"`
	// Now is the wanted state; [Started.Follow] fills it in.
	Now server.State `json:"now,omitempty"`
}

// Name returns "running UNIT".
func (s Started) Name() string { return "running " + s.Unit }

// Want returns "active" or "inactive".
func (s Started) Want() server.State { return s.Now }

// Follow returns s with "active" if the link is there.
func (s Started) Follow(ctx context.Context, r server.Reader) (server.Follower, error) {
	_, found, err := readEntry(ctx, r, s.Link)
	if err != nil {
		return nil, err
	}
	s.Now = inactive
	if found {
		s.Now = active
	}
	return s, nil
}

// Get returns what systemd says. A unit that does not exist, or has failed, is
// inactive.
func (s Started) Get(ctx context.Context, r server.Reader) (server.State, error) {
	p, err := showUnit(ctx, r, s.Unit, "ActiveState")
	if err != nil {
		return "", err
	}
	switch now := p["ActiveState"]; now {
	case active, "activating", "reloading", "refreshing":
		return active, nil
	case inactive, "failed", "deactivating":
		return inactive, nil
	default:
		return "", fmt.Errorf("unit %s is %q", s.Unit, now)
	}
}

// Set starts or stops the unit.
func (s Started) Set(ctx context.Context, h server.Host, to server.State) error {
	now, err := s.Get(ctx, h)
	if err != nil || now == to {
		return err
	}
	verb := "start"
	if to != active {
		verb = "stop"
	}
	return run(ctx, h, "", "systemctl", verb, s.Unit)
}
