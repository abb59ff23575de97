package desk

import (
	"errors"
	"testing"
)

// A key is opened before anything depends on it, without going to the network.
func TestUnlock(t *testing.T) {
	b := newBench(t)
	locked, open := b.key("locked", "a long passphrase"), b.key("open", "")
	foreign := newBench(t).key("foreign", "")
	target := Target{Name: "app-1", Address: "192.0.2.1"}
	b.answers[Passphrase] = "a long passphrase"

	d := b.desk()
	if err := d.Unlock(t.Context(), target, Login{User: "ada", Keys: []string{line(open)}}); err != nil || len(b.questions()) != 0 {
		t.Errorf("an open key: %v", err)
	}
	for range 2 {
		if err := d.Unlock(t.Context(), target, Login{User: "ada", Keys: []string{line(locked)}}); err != nil {
			t.Errorf("a locked key: %v", err)
		}
	}
	if q := b.questions(); len(q) != 1 || q[0].Kind != Passphrase {
		t.Errorf("asked %+v, want one passphrase", q)
	}
	var login *LoginError
	if err := d.Unlock(t.Context(), target, Login{User: "ada", Keys: []string{line(foreign)}}); !errors.As(err, &login) || login.User != "ada" {
		t.Errorf("a key that is not here: %v", err)
	}
	alone := b.desk()
	alone.config.Prompter = nil
	var unasked *UnaskedError
	if err := alone.Unlock(t.Context(), target, Login{User: "ada", Keys: []string{line(locked)}}); !errors.As(err, &unasked) {
		t.Errorf("a locked key and nobody to ask: %v", err)
	}
	if err := alone.Unlock(t.Context(), target, Login{User: "ada", Keys: []string{line(locked), line(open)}}); err != nil {
		t.Errorf("one of two keys is open: %v", err)
	}
}
