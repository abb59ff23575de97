package resource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/holdfast-security/holdfast/server"
)

// A Loaded is a unit of systemd that the service manager knows as it stands in
// its files. A file that was written is nothing to a manager that has read the
// unit before.
type Loaded struct {
	// Unit is the unit's full name, such as "nftables.service".
	Unit string `json:"unit"`
	// Files are patterns of the files that make the unit or add to it, in the
	// syntax of path/filepath.Match.
	Files []string `json:"files"`
	// Digest is that of the files that it is to know; [Loaded.Follow] fills it
	// in.
	Digest string `json:"digest,omitempty"`
}

// knowsOlder is the state of a unit whose files the manager has to read again.
const knowsOlder server.State = "systemd knows older files"

func knows(digest string) server.State { return server.State("systemd knows the files " + digest) }

// Name returns "systemd UNIT".
func (l Loaded) Name() string { return "systemd " + l.Unit }

// Want returns "systemd knows the files DIGEST".
func (l Loaded) Want() server.State { return knows(l.Digest) }

// Follow returns l with the digest of the files that r shows.
func (l Loaded) Follow(ctx context.Context, r server.Reader) (server.Follower, error) {
	digest, err := l.files(ctx, r)
	if err != nil {
		return nil, err
	}
	l.Digest = digest
	return l, nil
}

func (l Loaded) files(ctx context.Context, r server.Reader) (string, error) {
	var all []string
	for _, pattern := range l.Files {
		found, err := r.Glob(ctx, pattern)
		if err != nil {
			return "", err
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	sum := sha256.New()
	for _, file := range slices.Compact(all) {
		e, err := r.Read(ctx, file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%q %v %q\n", file, e.Mode.Type(), e.Content)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// Get tells which files systemd knows.
func (l Loaded) Get(ctx context.Context, r server.Reader) (server.State, error) {
	p, err := showUnit(ctx, r, l.Unit, "NeedDaemonReload")
	if err != nil {
		return "", err
	}
	if p["NeedDaemonReload"] != "no" {
		return knowsOlder, nil
	}
	digest, err := l.files(ctx, r)
	if err != nil {
		return "", err
	}
	return knows(digest), nil
}

// Set makes systemd read all its files again.
func (l Loaded) Set(ctx context.Context, h server.Host, _ server.State) error {
	now, err := l.Get(ctx, h)
	if err != nil || now == l.Want() {
		return err
	}
	return run(ctx, h, "", "systemctl", "daemon-reload")
}
