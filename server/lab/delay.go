package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Delay makes every answer of the server in the public network come later by d,
// which is added to the round trip, until it is called with another value or
// the server goes off. Zero takes the delay away.
//
// The kernel's netem does it where there is one. Otherwise this process carries
// the frames, and the delay, with the public network of the server, ends with
// this process; then Delay with zero must be called by the same [Server] value.
func (s *Server) Delay(ctx context.Context, d time.Duration) error {
	if err := s.delay(ctx, d); err != nil {
		return fmt.Errorf("server %s: delay: %w", s.name, err)
	}
	return nil
}

func (s *Server) delay(ctx context.Context, d time.Duration) error {
	if _, err := s.Leader(); err != nil {
		return err
	}
	if err := s.endRelay(ctx); err != nil {
		return err
	}
	port := portName(Public, s.port())
	tc := func(args ...string) error {
		_, err := run(ctx, nil, append(append(inSwitch(s.lab), "tc", "qdisc"), args...)...)
		return err
	}
	var no *CommandError
	if d <= 0 {
		err := tc("delete", "dev", port, "root")
		if errors.As(err, &no) && strings.Contains(no.Output, "handle of zero") {
			return nil // there was no delay
		}
		return err
	}
	err := tc("replace", "dev", port, "root", "netem", "delay", fmt.Sprintf("%dus", d.Microseconds()), "limit", "100000")
	if errors.As(err, &no) && strings.Contains(no.Output, "qdisc kind is unknown") {
		return s.startRelay(ctx, d)
	}
	return err
}

// startRelay puts a relay between the server's port and the bridge.
func (s *Server) startRelay(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	port, tap := portName(Public, s.port()), "dly-"+s.port()
	r, err := newRelay(s.lab.switchPath(), port, tap, d)
	if err != nil {
		return err
	}
	err = s.lab.ip(ctx, inSwitch, "link set "+port+" nomaster", "link set "+tap+" master public up")
	if err != nil {
		return errors.Join(err, r.close())
	}
	s.relay = r
	return nil
}

// endRelay connects the port with the bridge again, if there is a relay.
func (s *Server) endRelay(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay == nil {
		return nil
	}
	if err := s.relay.close(); err != nil {
		return err
	}
	s.relay = nil
	return s.lab.ip(ctx, inSwitch, "link set "+portName(Public, s.port())+" master public")
}

// dropRelay ends a relay whose port is gone.
func (s *Server) dropRelay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay != nil {
		// It has nothing to give back that could fail to arrive.
		_ = s.relay.close()
		s.relay = nil
	}
}
