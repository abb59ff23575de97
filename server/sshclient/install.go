package sshclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/internal/durable"
)

// dirName is the directory beside the operator's configuration where the files
// of sites lie.
const dirName = "holdfast"

// Dir is where the files of sites lie that the configuration at config includes.
func Dir(config string) string { return filepath.Join(filepath.Dir(config), dirName) }

// Install makes the ssh configuration at config, which need not exist, include
// what s says, with keys as further files below [Dir]: their content by their
// name. A second call writes nothing. What was written before an error is in the
// result.
func Install(ctx context.Context, s Site, keys map[string]string, config string) (done Installed, err error) {
	text, err := s.Text()
	if err != nil {
		return done, err
	}
	dir := Dir(config)
	for _, d := range []string{filepath.Dir(config), dir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return done, fmt.Errorf("making the directory for the ssh configuration: %w", err)
		}
	}
	put := func(path, content string) error {
		changed, err := replace(path, content, 0o600)
		if changed {
			done.Written = append(done.Written, path)
		}
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if err := put(filepath.Join(dir, name), keys[name]); err != nil {
			return done, err
		}
	}
	own := filepath.Join(dir, s.Name+".conf")
	if err := s.test(ctx, filepath.Dir(own), text); err != nil {
		return done, err
	}
	if err := put(own, text); err != nil {
		return done, err
	}
	changed, err := s.include(ctx, config)
	if err != nil {
		return done, err
	}
	if changed {
		done.Written = append(done.Written, config)
	}
	done.Shadowed, err = s.shadowed(ctx, config)
	return done, err
}

// Installed is what [Install] did.
type Installed struct {
	// Written are the paths of the files that were written.
	Written []string
	// Shadowed are the names that lead elsewhere all the same, because the file
	// of another site comes first; NAME.SITE leads to the server.
	Shadowed []string
}

// include puts the Include line on top of the configuration.
func (s Site) include(ctx context.Context, config string) (changed bool, err error) {
	path, mode := config, fs.FileMode(0o600)
	old, err := os.ReadFile(config)
	switch {
	case err == nil:
		// A link stays one: what it leads to is written.
		if path, err = filepath.EvalSymlinks(config); err != nil {
			return false, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return false, err
		}
		if mode = info.Mode(); !mode.IsRegular() {
			return false, fmt.Errorf("%s is not a file", path)
		}
		if err := ours(info); err != nil {
			return false, fmt.Errorf("%s: %w", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("reading the ssh configuration: %w", err)
	default:
		if _, err := os.Lstat(config); err == nil {
			return false, fmt.Errorf("%s is a symbolic link to nothing", config)
		}
	}
	pattern, err := quoted(filepath.Join(Dir(config), "*.conf"))
	if err != nil {
		return false, err
	}
	content := withInclude(string(old), strings.ReplaceAll(pattern, "%%", "%"))
	if err := s.test(ctx, filepath.Dir(path), content); err != nil {
		return false, fmt.Errorf("%s was not changed: %w", config, err)
	}
	return replace(path, content, mode)
}

// withInclude returns config with a line that includes pattern in force, which
// it is before the first Host or Match. Nothing else of config changes.
func withInclude(config, pattern string) string {
	for line := range strings.Lines(config) {
		keyword, value := split(line)
		switch strings.ToLower(keyword) {
		case "host", "match":
		case "include":
			if value == pattern || `"`+value+`"` == pattern {
				return config
			}
			continue
		default:
			continue
		}
		break
	}
	end := "\n"
	if first, _, _ := strings.Cut(config, "\n"); strings.HasSuffix(first, "\r") {
		end = "\r\n"
	}
	top := "# Holdfast: the servers of its sites, by their names." + end + "Include " + pattern + end
	if config != "" {
		top += end
	}
	return top + config
}

// split parts a line of ssh_config(5) into keyword and value: "Host a", "Host=a".
func split(line string) (keyword, value string) {
	line = strings.TrimSpace(line)
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return line, ""
	}
	value = strings.TrimLeft(line[i:], " \t")
	value = strings.TrimLeft(strings.TrimPrefix(value, "="), " \t")
	return line[:i], value
}

// test has ssh read content as its configuration and say where it would go for
// each host. Without an ssh program there is nothing to test for.
func (s Site) test(ctx context.Context, dir, content string) error {
	if _, err := exec.LookPath("ssh"); err != nil {
		return nil
	}
	draft, err := os.CreateTemp(dir, ".holdfast-draft-*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	_, err = draft.WriteString(content)
	if err := errors.Join(err, draft.Close()); err != nil {
		return err
	}
	for _, h := range s.Hosts {
		got, err := settings(ctx, draft.Name(), s.alias(h.Name))
		if err != nil {
			return err
		}
		want := map[string]string{"hostname": strings.ToLower(h.Address), "user": s.User, "hostkeyalias": h.Name}
		if h.Port != 0 {
			want["port"] = strconv.Itoa(h.Port)
		}
		if h.Jump != "" {
			want["proxyjump"] = s.alias(h.Jump)
		}
		for k, v := range want {
			if !strings.EqualFold(got[k], v) {
				return fmt.Errorf("ssh %s would have %s %q and not %q", s.alias(h.Name), k, got[k], v)
			}
		}
	}
	return nil
}

// shadowed returns the names of hosts that lead elsewhere.
func (s Site) shadowed(ctx context.Context, config string) ([]string, error) {
	if _, err := exec.LookPath("ssh"); err != nil {
		return nil, nil
	}
	var names []string
	for _, h := range s.Hosts {
		short, err := settings(ctx, config, h.Name)
		if err != nil {
			return nil, err
		}
		long, err := settings(ctx, config, s.alias(h.Name))
		if err != nil {
			return nil, err
		}
		for _, k := range []string{"hostname", "port", "user", "proxyjump"} {
			if short[k] != long[k] {
				names = append(names, h.Name)
				break
			}
		}
	}
	return names, nil
}

// settings asks ssh what it would do for a host: keyword in small letters to
// first value.
func settings(ctx context.Context, config, host string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "ssh", "-G", "-F", config, "--", host)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ssh cannot read it: %w: %s", err, strings.TrimSpace(strings.ReplaceAll(stderr.String(), config, "it")))
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, known := all[k]; !known {
			all[k] = v
		}
	}
	return all, nil
}

// replace puts content at path, unless it is there, and reports whether it did.
func replace(path, content string, mode fs.FileMode) (bool, error) {
	old, err := os.ReadFile(path)
	if err == nil && string(old) == content {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := durable.WriteFile(path, []byte(content), mode); err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	return true, nil
}
