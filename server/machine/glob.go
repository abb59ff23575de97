//go:build linux

package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// isDraft tells the names of drafts, see package internal/durable.
var isDraft = regexp.MustCompile(`^\..+\.[0-9]{1,10}\.tmp$`)

// Glob returns the paths that match pattern; see server.Reader. Drafts are left
// out. A directory that is there but cannot be read is an error, which
// path/filepath.Glob would pass over.
func (m *Machine) Glob(ctx context.Context, pattern string) ([]string, error) {
	if err := usable(ctx, pattern); err != nil {
		return nil, err
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("pattern %s: %w", pattern, err)
	}
	found := []string{"/"}
	for _, part := range strings.Split(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, dir := range found {
			names, err := matches(dir, part)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		found = next
	}
	slices.Sort(found)
	return found, nil
}

// matches returns the paths in dir whose name matches part.
func matches(dir, part string) ([]string, error) {
	if part == "" {
		return []string{dir}, nil
	}
	if !strings.ContainsAny(part, `*?[\`) {
		path := filepath.Join(dir, part)
		if _, err := os.Lstat(path); missing(err) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		return []string{path}, nil
	}
	if info, err := os.Stat(dir); missing(err) || err == nil && !info.IsDir() {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		ok, err := filepath.Match(part, e.Name())
		if err != nil {
			return nil, err
		}
		if ok && !isDraft.MatchString(e.Name()) {
			all = append(all, filepath.Join(dir, e.Name()))
		}
	}
	return all, nil
}
