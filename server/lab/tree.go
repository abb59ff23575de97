package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// treeRoots are the directories that a tree is made of.
var treeRoots = []string{"/etc", "/usr", "/opt", "/root", "/home", "/boot", "/var/lib"}

// An Exclusion is a path that is not part of a [Tree], with all below it.
type Exclusion struct {
	Path   string // absolute, as inside the server
	Reason string
}

// Exclusions are what a server changes by itself, or with every run of a
// package manager, so that it says nothing about whether an undo was complete.
var Exclusions = []Exclusion{
	{"/etc/.pwd.lock", "lock file that the first change of an account makes"},
	{"/etc/passwd-", "backup that the tools for accounts write before each change"},
	{"/etc/group-", "backup that the tools for accounts write before each change"},
	{"/etc/shadow-", "backup that the tools for accounts write before each change"},
	{"/etc/gshadow-", "backup that the tools for accounts write before each change"},
	{"/etc/subuid-", "backup that the tools for accounts write before each change"},
	{"/etc/subgid-", "backup that the tools for accounts write before each change"},
	{"/usr/local/lib/holdfast", "the binaries of Holdfast, kept so that a transaction can be rolled back"},
	{"/var/lib/holdfast", "the journal of Holdfast, which must tell of what was undone"},
	{"/var/lib/dpkg", "the package manager's records change on every run"},
	{"/var/lib/apt", "the package manager's lists and records change on every run"},
	{"/var/lib/ucf", "the register of configuration files keeps the history of packages"},
	{"/var/lib/logrotate", "times of the last rotation of logs"},
	{"/var/lib/sudo/lectured", "sudo notes whom it has lectured"},
	{"/var/lib/lastlog", "record of logins"},
	{"/var/lib/wtmpdb", "record of logins"},
	{"/var/lib/systemd/random-seed", "random, and new at every boot"},
	{"/var/lib/systemd/credential.secret", "random, made when first needed"},
	{"/var/lib/systemd/timers", "times of the last run of timers"},
	{"/var/lib/systemd/timesync", "the clock's last time"},
	{"/var/lib/systemd/catalog/database", "compiled from /usr/lib/systemd/catalog on package runs"},
	{"/var/lib/systemd/coredump", "what crashed programs leave"},
	{"/var/lib/private/systemd/timesync", "the clock's last time"},
}

// A Tree is what a server's file systems hold: for each path its type, owner,
// group, mode, extended attributes and content. Times are no part of it.
type Tree map[string]Node

// A Node is one file, directory or other thing in a tree.
type Node struct {
	Mode    fs.FileMode // type and permissions
	UID     uint32
	GID     uint32
	Xattrs  string // each as name="value", in the order of names
	Content string // hash of a file, target of a link, number of a device
}

// TreeHash is the hash of the server's tree: two states of a server are the
// same if it is.
func TreeHash(ctx context.Context, s *Server) (string, error) {
	t, err := TreeSnapshot(ctx, s)
	return t.Hash(), err
}

// TreeSnapshot reads the server's tree, as this machine sees it, without
// following any link. The server may be running; a file that changes meanwhile
// is seen in one of its states or is an error.
func TreeSnapshot(ctx context.Context, s *Server) (Tree, error) {
	on, err := mountedAt(s.Root())
	if err != nil {
		return nil, fmt.Errorf("server %s: tree: %w", s.name, err)
	}
	if !on {
		return nil, fmt.Errorf("server %s: tree: the file system is not mounted", s.name)
	}
	known, err := imageNodes(ctx, s.lab.state.Image)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", s.name, err)
	}
	nodes, err := readNodes(ctx, s.Root(), known)
	if err != nil {
		return nil, fmt.Errorf("server %s: tree: %w", s.name, err)
	}
	t := make(Tree, len(nodes))
	for path, n := range nodes {
		t[path] = n.Node
	}
	return t, nil
}

// readNodes reads what is below root, less what is known and has its stamp.
func readNodes(ctx context.Context, root string, known map[string]imageNode) (map[string]imageNode, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	skip := map[string]bool{}
	for _, e := range Exclusions {
		skip[e.Path] = true
	}
	paths := make(chan string, 1000)
	var mu sync.Mutex
	nodes := map[string]imageNode{}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for path := range paths {
				node, err := readNode(filepath.Join(root, path), known[path])
				if errors.Is(err, fs.ErrNotExist) {
					continue // removed meanwhile
				}
				if err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				nodes[path] = node
				mu.Unlock()
			}
		})
	}
	var err error
	for _, top := range treeRoots {
		err = errors.Join(err, filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || ctx.Err() != nil {
				return errors.Join(err, context.Cause(ctx))
			}
			inside := strings.TrimPrefix(path, root)
			if skip[inside] {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			paths <- inside
			return nil
		}))
	}
	close(paths)
	wg.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return nodes, err
}

func readNode(path string, known imageNode) (imageNode, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return imageNode{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if known.Stamp.Changed != 0 && known.Stamp == stampOf(&st) {
		return known, nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return imageNode{}, err
	}
	n := Node{Mode: info.Mode(), UID: st.Uid, GID: st.Gid}
	if n.Xattrs, err = xattrs(path); err != nil {
		return imageNode{}, err
	}
	switch {
	case n.Mode.IsRegular():
		n.Content, err = hashFile(path)
	case n.Mode&fs.ModeSymlink != 0:
		n.Content, err = os.Readlink(path)
	case n.Mode&fs.ModeDevice != 0:
		n.Content = fmt.Sprint(st.Rdev)
	}
	return imageNode{Stamp: stampOf(&st), Node: n}, err
}

func hashFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// xattrs returns the extended attributes of a path itself.
func xattrs(path string) (string, error) {
	size, err := unix.Llistxattr(path, nil)
	if err != nil {
		return "", &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	if size == 0 {
		return "", nil
	}
	list := make([]byte, size+256)
	if size, err = unix.Llistxattr(path, list); err != nil {
		return "", &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	names := strings.FieldsFunc(string(list[:size]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	var b strings.Builder
	value := make([]byte, 64<<10) // the kernel's limit, xattr(7)
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", &fs.PathError{Op: "lgetxattr " + name, Path: path, Err: err}
		}
		fmt.Fprintf(&b, "%s=%q ", name, value[:n])
	}
	return b.String(), nil
}

// Hash is a SHA-256 over all paths and nodes, in hexadecimal.
func (t Tree) Hash() string {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(h, "%q %q\n", path, t[path].String())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// String is the node in one line.
func (n Node) String() string {
	return fmt.Sprintf("%s %d:%d %s%s", n.Mode, n.UID, n.GID, n.Xattrs, n.Content)
}

// Diff says in one line for each path, in the order of paths, how other is
// different from t.
func (t Tree) Diff(other Tree) []string {
	var lines []string
	all := Tree{}
	maps.Copy(all, t)
	maps.Copy(all, other)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		was, before := t[path]
		is, after := other[path]
		switch {
		case !before:
			lines = append(lines, path+": added, "+is.String())
		case !after:
			lines = append(lines, path+": gone, was "+was.String())
		case was != is:
			lines = append(lines, path+": now "+is.String()+", was "+was.String())
		}
	}
	return lines
}
