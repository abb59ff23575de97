package resource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"

	"github.com/holdfast-security/holdfast/server"
)

// vaultDir is where Set keeps, before it changes anything, what undo will need
// and what a state cannot hold: password hashes, what an installation brought,
// homes of removed accounts, how far a change of many steps has come. Root only.
const vaultDir = server.StateDir + "/vault"

// keep writes content into the vault and believes it only when it has read it
// back: what follows cannot be undone without it.
func keep(ctx context.Context, h server.Host, name, content string) error {
	if err := makeVault(ctx, h); err != nil {
		return err
	}
	return keepIn(ctx, h, name, content)
}

func makeVault(ctx context.Context, h server.Host) error {
	for _, dir := range []string{server.StateDir, vaultDir} {
		if _, found, err := readEntry(ctx, h, dir); err != nil {
			return err
		} else if !found {
			if err := h.Write(ctx, dir, server.Entry{Mode: fs.ModeDir | 0o700, Owner: "root", Group: "root"}); err != nil {
				return err
			}
		}
	}
	return nil
}

func keepIn(ctx context.Context, h server.Host, name, content string) error {
	now, found, err := kept(ctx, h, name)
	if err != nil {
		return err
	}
	if found && now == content {
		return nil
	}
	e := server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: content}
	if err := h.Write(ctx, vaultDir+"/"+name, e); err != nil {
		return err
	}
	now, found, err = kept(ctx, h, name)
	if err == nil && (!found || now != content) {
		err = fmt.Errorf("%s/%s was written, but the host does not show it", vaultDir, name)
	}
	return err
}

// kept returns what the vault holds under name and whether it holds anything.
func kept(ctx context.Context, r server.Reader, name string) (string, bool, error) {
	e, found, err := readEntry(ctx, r, vaultDir+"/"+name)
	return e.Content, found, err
}

// forget removes name from the vault.
func forget(ctx context.Context, h server.Host, name string) error {
	_, found, err := kept(ctx, h, name)
	if err != nil || !found {
		return err
	}
	if err := h.Remove(ctx, vaultDir+"/"+name); err != nil {
		return err
	}
	if _, found, err = kept(ctx, h, name); err == nil && found {
		err = fmt.Errorf("%s/%s was removed, but is still there", vaultDir, name)
	}
	return err
}

// A half is the record of a change that takes more than one step. While it is
// in the vault, a host that shows a mixture of both ends counts as being at
// Before, so that a change that was cut short can be tried again in either
// direction and is never mistaken for somebody else's.
type half struct {
	// Before is the end that is not wanted, whichever way the change goes.
	Before server.State `json:"before"`
	After  server.State `json:"after"`
}

// halfName is the record's name in the vault.
func halfName(r server.Resource) string {
	sum := sha256.Sum256([]byte(r.Name()))
	return "half-" + hex.EncodeToString(sum[:16])
}

// begin records that r is about to be changed in several steps.
func (x half) begin(ctx context.Context, h server.Host, r server.Resource) error {
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	return keep(ctx, h, halfName(r), string(b))
}

// begun returns the record of r and whether there is one.
func begun(ctx context.Context, rd server.Reader, r server.Resource) (half, bool, error) {
	text, found, err := kept(ctx, rd, halfName(r))
	if err != nil || !found {
		return half{}, false, err
	}
	var x half
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		return half{}, false, fmt.Errorf("the record of a half-done change of %s: %w", r.Name(), err)
	}
	return x, true, nil
}

// settle returns what now counts as. split cuts a state into parts of which
// each is changed in one step.
func (x half) settle(now server.State, split func(server.State) []string) server.State {
	if now == x.Before || now == x.After {
		return now
	}
	parts, before, after := split(now), split(x.Before), split(x.After)
	if len(parts) != len(before) || len(parts) != len(after) {
		return now
	}
	for i, p := range parts {
		if p != before[i] && p != after[i] {
			return now
		}
	}
	return x.Before
}
