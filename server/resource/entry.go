package resource

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-security/holdfast/server"
)

// The state of a path is a head of lines, an empty line and the content:
//
//	0644 root:root
//	xattr user.note aGVsbG8=
//
//	the content as it is
//
// The first word is "link" for a symbolic link, whose content is its target. A
// content that is not UTF-8, which a journal could not hold, stands in base64
// and is announced by a head line "base64". A directory has a head only, whose
// first word is "directory".

// entryState returns the state of e.
func entryState(e server.Entry) server.State {
	var b strings.Builder
	switch e.Mode.Type() {
	case fs.ModeDir:
		b.WriteString("directory " + octal(e.Mode))
	case fs.ModeSymlink:
		b.WriteString("link")
	default:
		b.WriteString(octal(e.Mode))
	}
	fmt.Fprintf(&b, " %s:%s\n", e.Owner, e.Group)
	names := make([]string, 0, len(e.Xattrs))
	for name := range e.Xattrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "xattr %s %s\n", url.PathEscape(name), base64.StdEncoding.EncodeToString([]byte(e.Xattrs[name])))
	}
	switch {
	case e.Mode.IsDir():
	case utf8.ValidString(e.Content):
		b.WriteString("\n" + e.Content)
	default:
		b.WriteString("base64\n\n" + base64.StdEncoding.EncodeToString([]byte(e.Content)))
	}
	return server.State(b.String())
}

// parseEntryState is the inverse of entryState.
func parseEntryState(s server.State) (server.Entry, error) {
	head, content, _ := strings.Cut(string(s), "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	e, err := parseHead(lines[0])
	if err != nil {
		return server.Entry{}, err
	}
	e.Content = content
	for _, line := range lines[1:] {
		if line == "base64" {
			raw, err := base64.StdEncoding.DecodeString(content)
			if err != nil {
				return server.Entry{}, fmt.Errorf("the content of a state: %w", err)
			}
			e.Content = string(raw)
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "xattr "), " ")
		raw, err := base64.StdEncoding.DecodeString(value)
		if !ok || err != nil || !strings.HasPrefix(line, "xattr ") {
			return server.Entry{}, fmt.Errorf("a state has the line %q", line)
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		if name, err = url.PathUnescape(name); err != nil {
			return server.Entry{}, fmt.Errorf("a state has the line %q", line)
		}
		e.Xattrs[name] = string(raw)
	}
	return e, nil
}

// parseHead reads the first line of a state.
func parseHead(line string) (server.Entry, error) {
	bad := fmt.Errorf("a state begins with %q", line)
	words := strings.Split(line, " ")
	var e server.Entry
	switch {
	case len(words) == 2 && words[0] == "link":
		e.Mode = fs.ModeSymlink | 0o777
	case len(words) == 3 && words[0] == "directory":
		e.Mode, words = fs.ModeDir, words[1:]
		fallthrough
	case len(words) == 2:
		mode, err := parseOctal(words[0])
		if err != nil {
			return server.Entry{}, bad
		}
		e.Mode |= mode
	default:
		return server.Entry{}, bad
	}
	var ok bool
	if e.Owner, e.Group, ok = strings.Cut(words[len(words)-1], ":"); !ok {
		return server.Entry{}, bad
	}
	return e, nil
}

// special are the permission bits beyond the nine, as chmod counts them.
var special = []struct {
	bit   fs.FileMode
	octal uint64
}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}}

// octal prints permissions as chmod takes them, in four digits.
func octal(m fs.FileMode) string {
	n := uint64(m.Perm())
	for _, s := range special {
		if m&s.bit != 0 {
			n |= s.octal
		}
	}
	return fmt.Sprintf("%04o", n)
}

func parseOctal(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		return 0, err
	}
	m := fs.FileMode(n & 0o777)
	for _, s := range special {
		if n&s.octal != 0 {
			m |= s.bit
		}
	}
	return m, nil
}

// readEntry returns what is at path and whether anything is.
func readEntry(ctx context.Context, r server.Reader, path string) (server.Entry, bool, error) {
	e, err := r.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return server.Entry{}, false, nil
	}
	return e, err == nil, err
}

// getFile returns the state of the file or link at path, empty if there is none.
func getFile(ctx context.Context, r server.Reader, path string) (server.State, error) {
	e, found, err := readEntry(ctx, r, path)
	if err != nil || !found {
		return "", err
	}
	if e.Mode.IsDir() {
		return "", fmt.Errorf("%s is a directory, not a file", path)
	}
	return entryState(e), nil
}

// setFile brings path to a state of getFile.
func setFile(ctx context.Context, h server.Host, path string, s server.State) error {
	now, err := getFile(ctx, h, path)
	if err != nil || now == s {
		return err
	}
	if s == "" {
		return h.Remove(ctx, path)
	}
	e, err := parseEntryState(s)
	if err != nil {
		return err
	}
	return h.Write(ctx, path, e)
}

// rootIfEmpty returns name, or "root" if it is empty.
func rootIfEmpty(name string) string {
	if name == "" {
		return "root"
	}
	return name
}
