package txn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// A recorder is the host while a transaction changes it. It saves what is at a
// path before that is written for the first time, and remembers what was
// written, so that the rollback knows every file the transaction touched
// without knowing the kinds of resources.
type recorder struct {
	server.Host
	j     *Journal
	id    string
	snap  *snapshot
	wrote map[string]bool // since the last step
	ran   bool            // a command that may have changed anything
}

// Write saves what is there and passes on.
func (r *recorder) Write(ctx context.Context, path string, e server.Entry) error {
	if err := r.before(ctx, path); err != nil {
		return err
	}
	return r.Host.Write(ctx, path, e)
}

// Remove saves what is there and passes on.
func (r *recorder) Remove(ctx context.Context, path string) error {
	if err := r.before(ctx, path); err != nil {
		return err
	}
	return r.Host.Remove(ctx, path)
}

// Run passes on; what the command has changed in the login path is found out
// after the step.
func (r *recorder) Run(ctx context.Context, stdin string, argv ...string) error {
	r.ran = true
	return r.Host.Run(ctx, stdin, argv...)
}

func (r *recorder) before(ctx context.Context, path string) error {
	// What Holdfast remembers and what does not survive a boot is not part of
	// the server's configuration.
	if strings.HasPrefix(path, server.StateDir+"/") || strings.HasPrefix(path, "/run/") {
		return nil
	}
	r.wrote[path] = true
	if _, ok := r.snap.more[path]; ok {
		return nil
	}
	// A path of the login path is noted, too: if the write is cut off, what it
	// leaves beside the file is swept away by the rollback.
	var e *saved
	if !r.snap.covers(path) {
		var err error
		if e, err = look(ctx, r.Host, path); err != nil {
			return err
		}
	}
	if err := r.j.saveMore(r.id, path, e); err != nil {
		return fmt.Errorf("saving %s before it is changed: %w", path, err)
	}
	r.snap.more[path] = e
	return nil
}

// touched returns the files that were changed since the last call, with the
// digests of what is there now. known is what the files were left as so far.
func (r *recorder) touched(ctx context.Context, known map[string]string) (map[string]string, error) {
	now := map[string]string{}
	if r.ran {
		entries, err := scan(ctx, r.Host, r.snap.Patterns)
		if err != nil {
			return nil, err
		}
		changed(now, r.snap, known, entries)
	}
	for path := range r.wrote {
		e, err := look(ctx, r.Host, path)
		if err != nil {
			return nil, err
		}
		now[path] = e.digest()
	}
	r.wrote, r.ran = map[string]bool{}, false
	return now, nil
}

// changed adds to out the files of the login path that differ from what they
// were left as.
func changed(out map[string]string, snap *snapshot, known map[string]string, entries map[string]*saved) {
	left := func(path string) string {
		if d, ok := known[path]; ok {
			return d
		}
		return snap.was(path).digest()
	}
	for path, e := range entries {
		if d := e.digest(); d != left(path) {
			out[path] = d
		}
	}
	for path := range snap.Entries {
		if entries[path] == nil && left(path) != "" {
			out[path] = ""
		}
	}
	for path, d := range known {
		if entries[path] == nil && d != "" && snap.watches(path) {
			out[path] = ""
		}
	}
}

// moreFile is one entry that was saved after the snapshot.
type moreFile struct {
	Format int    `json:"format"`
	Path   string `json:"path"`
	Entry  *saved `json:"entry"`
}

func (j *Journal) saveMore(id, path string, e *saved) error {
	if err := j.disk.mkdir(j.path(id, "more")); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(path))
	name := hex.EncodeToString(sum[:16]) + ".json"
	return j.disk.put(j.path(id, "more", name), moreFile{Format: format, Path: path, Entry: e})
}

func (j *Journal) loadMore(id string) (map[string]*saved, error) {
	more := map[string]*saved{}
	entries, err := os.ReadDir(j.path(id, "more"))
	if errors.Is(err, fs.ErrNotExist) {
		return more, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue // what a crash has left of a write that did not happen
		}
		var m moreFile
		if err := j.disk.get(j.path(id, "more", e.Name()), &m); err != nil {
			return nil, err
		}
		more[m.Path] = m.Entry
	}
	return more, nil
}
