package desk

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
)

// through returns a target whose connection is made to s, whatever its address.
func (s *sshd) through(name string) Target {
	return Target{Name: name, Address: "192.0.2.1", Through: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	}}
}

// A connection that somebody else makes goes the whole way of a login, against
// the same pinned key, and leaves no trace in what the desk remembers and counts.
func TestThrough(t *testing.T) {
	b := newBench(t)
	s, ada := secure(t, b, "PermitRootLogin no\nPasswordAuthentication no\nKbdInteractiveAuthentication no")
	d := b.desk()
	if _, err := d.Prove(t.Context(), s.through("app-1"), ada); err == nil || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("a host key that is not pinned: %v", err)
	}
	c, err := d.Dial(t.Context(), s.target("app-1", ada))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := d.memory.put("app-1", "root"); err != nil {
		t.Fatal(err)
	}
	before := d.Stats()
	p, err := d.Prove(t.Context(), s.through("app-1"), ada)
	if err != nil || !p.Root || p.HostKey != c.HostKey {
		t.Errorf("%+v, %v", p, err)
	}
	a, err := d.Try(t.Context(), s.through("app-1"), Login{User: "root", AnyKey: true})
	if err != nil || a.Admitted || a.Keys != 1 {
		t.Errorf("root: %+v, %v", a, err)
	}
	if now := d.Stats(); now != before {
		t.Errorf("counted as %+v, want %+v", now, before)
	}
	if u := d.memory.get("app-1"); u != "root" {
		t.Errorf("remembered %q, want root", u)
	}
	if secret, ok := d.Known("app-1", "ada"); !ok || secret.Reveal() != "right" {
		t.Error("the password for sudo is not known afterwards")
	}
	other, _ := secure(t, newBench(t), "")
	var changed *HostKeyChangedError
	if _, err := d.Prove(t.Context(), other.through("app-1"), ada); !errors.As(err, &changed) {
		t.Errorf("another host key: %v", err)
	}
}
