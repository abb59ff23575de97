package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// stateDir holds one directory for each lab. It is the same for every process
// of the machine, because lab numbers must not be given out twice.
const stateDir = "/var/lib/holdfast-lab"

// stateFormat is the version of the state file; another one is refused.
const stateFormat = 1

// maxLabs is the highest lab number: it is a byte of the lab's addresses.
const maxLabs = 250

// state is what a lab must remember. All else follows from id and number.
type state struct {
	Format    int      `json:"format"`
	ID        string   `json:"id"`
	Number    int      `json:"number"` // 1 to maxLabs
	Suite     string   `json:"suite"`
	Servers   []string `json:"servers"`
	Layer     Layer    `json:"layer"`
	Image     string   `json:"image"` // directory of the image, empty until it is known
	Password  string   `json:"password"`
	Owner     process  `json:"owner"`
	Ephemeral bool     `json:"ephemeral"`
	Complete  bool     `json:"complete"`
}

// create gives the lab a number and a directory, both under the machine's lock.
// The lab is returned locked.
func create(ctx context.Context, id string, o Options) (*Lab, func(), error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("lab: %w", err)
	}
	release, err := lockMachine(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if err := removeDrafts(); err != nil {
		return nil, nil, fmt.Errorf("lab %s: %w", id, err)
	}
	dir := filepath.Join(stateDir, id)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("lab %s: %w", id, ErrUp)
	}
	labs, err := List()
	if err != nil {
		return nil, nil, err
	}
	taken := map[int]bool{}
	for _, l := range labs {
		taken[l.state.Number] = true
	}
	number := 1
	for taken[number] || linkExists(deskLink(number)) {
		number++
	}
	if number > maxLabs {
		return nil, nil, fmt.Errorf("lab %s: all %d lab numbers are in use", id, maxLabs)
	}
	owner, err := self()
	if err != nil {
		return nil, nil, fmt.Errorf("lab %s: %w", id, err)
	}
	// A lab appears complete with its state file, so that there is never a
	// directory that nobody can take down.
	draft, err := os.MkdirTemp(stateDir, ".new-")
	if err != nil {
		return nil, nil, fmt.Errorf("lab %s: %w", id, err)
	}
	defer os.RemoveAll(draft)
	l := newLab(draft, state{
		Format: stateFormat, ID: id, Number: number, Suite: o.Suite, Servers: o.Servers,
		Layer: o.Layer, Password: o.Password, Owner: owner, Ephemeral: o.Ephemeral,
	})
	if err := l.save(); err != nil {
		return nil, nil, err
	}
	unlock, err := lock(ctx, filepath.Join(draft, "lock"))
	if err != nil {
		return nil, nil, err
	}
	if err := os.Rename(draft, dir); err != nil {
		unlock()
		return nil, nil, fmt.Errorf("lab %s: %w", id, err)
	}
	return newLab(dir, l.state), unlock, nil
}

// removeDrafts removes the files of labs whose making or removing was cut short
// when nothing ran in them yet or any more. The caller holds the machine's lock.
func removeDrafts() error {
	for _, pattern := range []string{".new-*", ".old-*"} {
		drafts, err := filepath.Glob(filepath.Join(stateDir, pattern))
		if err != nil {
			return err
		}
		for _, draft := range drafts {
			if err := os.RemoveAll(draft); err != nil {
				return err
			}
		}
	}
	return nil
}

func newLab(dir string, st state) *Lab {
	l := &Lab{dir: dir, state: st}
	for i, name := range st.Servers {
		l.servers = append(l.servers, &Server{lab: l, name: name, index: i + 1})
	}
	return l
}

func load(dir string) (*Lab, error) {
	id := filepath.Base(dir)
	data, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("lab %s: %w", id, ErrDown)
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", id, err)
	}
	var st state
	if err := json.Unmarshal(data, &st); err != nil {
		return nil, fmt.Errorf("lab %s: state.json: %w", id, err)
	}
	if st.Format != stateFormat {
		return nil, fmt.Errorf("lab %s: state.json has format %d, this program knows %d", id, st.Format, stateFormat)
	}
	if st.ID != id || st.Number < 1 || st.Number > maxLabs {
		return nil, fmt.Errorf("lab %s: state.json is not that of this lab", id)
	}
	return newLab(dir, st), nil
}

func (l *Lab) save() error {
	data, err := json.MarshalIndent(l.state, "", "\t")
	if err != nil {
		return fmt.Errorf("lab %s: %w", l.ID(), err)
	}
	return replaceFile(filepath.Join(l.dir, "state.json"), data)
}

// replaceFile writes a file so that readers see the old or the new content. It
// is not synced: no lab survives a crash of the machine.
func replaceFile(path string, data []byte) error {
	draft := path + ".new"
	if err := os.WriteFile(draft, data, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

// lockMachine keeps other processes from giving out lab numbers and from
// starting or stopping the package cache.
func lockMachine(ctx context.Context) (func(), error) {
	release, err := lock(ctx, filepath.Join(stateDir, ".lock"))
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	return release, nil
}

// lock waits for the lock file and returns the function that releases it. The
// lock goes with the process. A lock file may be removed by its holder. The
// error is fs.ErrNotExist if the directory of the file does not exist.
func lock(ctx context.Context, path string) (func(), error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		for {
			err = tryLock(f)
			if err == nil || !errors.Is(err, errLocked) {
				break
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				f.Close()
				return nil, fmt.Errorf("waiting for %s: %w", path, err)
			}
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		held, err1 := f.Stat()
		there, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(held, there) {
			return func() { f.Close() }, nil
		}
		f.Close()
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// A process is told apart from a later one with the same number by its start.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after the machine's boot
}

func self() (process, error) { return processOf(os.Getpid()) }

// processOf reads the start of a living process.
func processOf(pid int) (process, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	// The name, in parentheses, may contain anything.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("process %d: unexpected stat %q", pid, text)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return process{}, fmt.Errorf("process %d has ended: %w", pid, fs.ErrNotExist)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return process{PID: pid, Start: start}, nil
}

func (p process) alive() bool {
	if p.PID <= 0 {
		return false
	}
	now, err := processOf(p.PID)
	return err == nil && now == p
}
