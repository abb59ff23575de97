//go:build linux

package txn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/machine"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/txn"
)

// On the servers of a lab this test binary is the daemon: it is what the units
// of the guard start, and what the desk of these tests calls.
func TestMain(m *testing.M) {
	if machine.ServeWorld(os.Args) {
		return
	}
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	if os.Args[1] == "hold-file" {
		_, err := txn.HoldFile(context.Background(), os.Args[2], 300*time.Millisecond)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	programs := map[string]func(ctx context.Context, j *txn.Journal, args []string) error{
		"txn-run":      func(ctx context.Context, j *txn.Journal, args []string) error { return j.Run(ctx, args[0]) },
		"txn-rollback": rollbackProgram,
		"txn-boot":     func(ctx context.Context, j *txn.Journal, _ []string) error { return j.Boot(ctx) },
		"txn-finish":   func(ctx context.Context, j *txn.Journal, _ []string) error { return j.Finish(ctx) },
		"desk-apply":   applyProgram,
		"desk-wait":    waitProgram,
		"desk-confirm": func(ctx context.Context, j *txn.Journal, args []string) error { return j.Confirm(ctx, args[0], nonce) },
		"desk-undo":    undoProgram,
	}
	f, ok := programs[os.Args[1]]
	if !ok {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	j, err := openProgram()
	if err == nil {
		err = f(ctx, j, os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func openProgram() (*txn.Journal, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := machine.New()
	return txn.Open(server.StateDir, m, txn.Config{
		Codec: specs{}, Guard: txn.Systemd{Host: m, Binary: self}, Hold: txn.HoldDpkg,
		Units: []string{"ssh.service", "ssh.socket"}, RunDir: txn.DefaultRunDir,
	})
}

// specs is the codec of the real kinds of resources.
type specs struct{}

func (specs) Encode(r server.Resource) (json.RawMessage, error) {
	s, err := resource.Encode(r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

func (specs) Decode(data json.RawMessage, secrets map[string]server.Secret) (server.Resource, error) {
	var s resource.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	r, err := resource.Decode(s)
	if p, ok := r.(resource.Password); ok {
		p.Secret = secrets[server.PasswordSecret(p.Account)]
		r = p
	}
	return r, err
}

// order is what the desk of these tests wants applied.
type order struct {
	Kind      txn.Kind
	Window    time.Duration
	Resources []json.RawMessage
	Secrets   map[string]string
}

// control wants what is ordered.
func (o order) control() server.Control {
	return server.Control{ID: "ordered", Wants: func(context.Context, server.Reader, server.Config) ([]server.Resource, error) {
		var all []server.Resource
		for _, data := range o.Resources {
			r, err := specs{}.Decode(data, o.secrets())
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
		return all, nil
	}}
}

func (o order) secrets() map[string]server.Secret {
	all := map[string]server.Secret{}
	for name, s := range o.Secrets {
		all[name] = server.NewSecret(s)
	}
	return all
}

func applyProgram(ctx context.Context, j *txn.Journal, _ []string) error {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return err
	}
	m := machine.New()
	if _, err := m.Read(ctx, server.DigestKeyFile); err != nil {
		key := server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: "0123456789abcdef0123456789abcdef"}
		if err := m.Write(ctx, server.DigestKeyFile, key); err != nil {
			return err
		}
	}
	b := txn.Begin{Meta: meta(fmt.Sprint(time.Now().UnixNano()), o.Kind)}
	b.Window = o.Window
	plan, err := server.MakePlan(ctx, m, []server.Control{o.control()}, server.Config{}, nil)
	if err := errors.Join(err, plan.Err()); err != nil {
		return err
	}
	b.Steps = plan.Steps
	began := time.Now()
	id, err := j.Begin(ctx, b)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "begin took %s\n", time.Since(began))
	began = time.Now()
	if err := j.Start(ctx, id, o.secrets()); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "start took %s\n", time.Since(began))
	fmt.Println(id)
	return nil
}

// waitProgram waits until a transaction has come to a state, or to a step of a
// given number.
func waitProgram(ctx context.Context, j *txn.Journal, args []string) error {
	for e, err := range j.Follow(ctx, args[0], 0) {
		if err != nil {
			return err
		}
		if string(e.State) == args[1] || fmt.Sprint(e.What, e.Step) == args[1] {
			return nil
		}
	}
	s, why, err := j.State(args[0])
	return errors.Join(err, fmt.Errorf("it is %s: %s", s, why))
}

func rollbackProgram(ctx context.Context, j *txn.Journal, args []string) error {
	err := j.Rollback(ctx, args[0], j.Why(args[0]))
	if lost := (*txn.StateError)(nil); errors.As(err, &lost) && lost.State == txn.Confirmed {
		return nil
	}
	return err
}

func undoProgram(ctx context.Context, j *txn.Journal, _ []string) error {
	back, err := j.Undo(ctx, "")
	if err != nil {
		return err
	}
	run := fmt.Sprint(time.Now().UnixNano())
	for _, b := range back {
		m := meta(run, txn.Undo)
		m.Reverts, m.More, b.Meta = b.Reverts, b.More, m
		b.Reverts, b.More = m.Reverts, m.More
		id, err := j.Begin(ctx, b)
		if err != nil {
			return err
		}
		if err := j.Start(ctx, id, nil); err != nil {
			return err
		}
		if err := waitProgram(ctx, j, []string{id, string(txn.Applied)}); err != nil {
			return err
		}
		if err := j.Confirm(ctx, id, nonce); err != nil {
			return err
		}
	}
	return nil
}
