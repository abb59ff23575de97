package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Codec turns resources into JSON and back, so that the journal does not
// depend on their kinds.
type Codec interface {
	// Encode returns r as JSON, without its secrets.
	Encode(r server.Resource) (json.RawMessage, error)
	// Decode returns what Encode was given, with the secrets that it needs if
	// they are among secrets, by their names in [server.Config.Secrets].
	Decode(data json.RawMessage, secrets map[string]server.Secret) (server.Resource, error)
}

// A Guard lets a transaction go on, and end, without the session that began it.
// [Systemd] is the real one. Each method may be called again after any error.
type Guard interface {
	// Arm makes sure that [Journal.Rollback] is called when window has passed,
	// and [Journal.Boot] and [Journal.Finish] when the machine starts again. For
	// an armed transaction it only starts the window anew.
	Arm(ctx context.Context, id string, window time.Duration) error
	// Start calls [Journal.Run] outside of the caller's session and returns at
	// once.
	Start(ctx context.Context, id string) error
	// Stop ends a running [Journal.Run] and waits until it is gone.
	Stop(ctx context.Context, id string) error
	// Disarm takes away all that Arm and Start have made, but does not end the
	// caller.
	Disarm(ctx context.Context, id string) error
}

// A Config is what a Journal works with besides its directory and its host.
type Config struct {
	Codec Codec
	Guard Guard
	// Hold keeps package managers from working until release is called; nil if
	// there are none. It may wait for one that is at work.
	Hold func(ctx context.Context) (release func(), err error)
	// Units are the units that log people in, such as ssh.service and
	// ssh.socket: one that was active before a transaction is started again by
	// its rollback.
	Units []string
	// Door tells who can get in; nil if that cannot be told, and then a rollback
	// does not look after what others have done to the login path.
	Door Door
	// RunDir is a directory in memory for what the journal must not keep, such as
	// [DefaultRunDir].
	RunDir string
	// Log gets what no caller can be told; nil drops it.
	Log *slog.Logger
}

// DefaultRunDir is where secrets wait for the detached run.
const DefaultRunDir = "/run/holdfast"

// A Journal is the memory of all transactions on one server. Its methods may be
// called from several goroutines and several processes.
type Journal struct {
	dir  string
	host server.Host
	c    Config
	disk disk
	// uptime and bootID tell time that no clock jump changes.
	uptime func() time.Duration
	bootID func() (string, error)
	// sync makes durable what commands have written.
	sync func() error
}

// Open returns the journal in dir, which it makes if it is not there, of the
// machine h. A real server has it in [server.StateDir].
func Open(dir string, h server.Host, c Config) (*Journal, error) {
	if c.Codec == nil || c.Guard == nil || c.RunDir == "" {
		return nil, errors.New("opening the journal: codec, guard and run directory are needed")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	j := &Journal{dir: dir, host: h, c: c, uptime: sinceBoot, bootID: readBootID, sync: syncAll}
	if err := j.disk.mkdir(filepath.Join(dir, "txn")); err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	return j, nil
}

func readBootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

// path returns the path of a file of a transaction.
func (j *Journal) path(id string, name ...string) string {
	return filepath.Join(append([]string{j.dir, "txn", id}, name...)...)
}

// idPattern keeps an ID that came from outside from being a path.
var idPattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}$`)

// A NotFoundError says that there is no such transaction.
type NotFoundError struct{ ID string }

// Error names the transaction.
func (e *NotFoundError) Error() string {
	if e.ID == "" {
		return "there is no transaction to undo"
	}
	return fmt.Sprintf("there is no transaction %q", e.ID)
}

// locked calls f while nobody else can change a state or the holder.
func (j *Journal) locked(f func() error) error {
	release, err := j.disk.lock(filepath.Join(j.dir, "lock"), true)
	if err != nil {
		return err
	}
	defer release()
	return f()
}

// status reads the state of a transaction.
func (j *Journal) status(id string) (status, error) {
	if !idPattern.MatchString(id) {
		return status{}, &NotFoundError{ID: id}
	}
	var s status
	err := j.disk.get(j.path(id, "state.json"), &s)
	if errors.Is(err, fs.ErrNotExist) {
		return status{}, &NotFoundError{ID: id}
	}
	if err == nil && transitions[s.State] == nil && !s.State.Final() {
		err = fmt.Errorf("transaction %s is in the unknown state %q", id, s.State)
	}
	return s, err
}

// State returns the state of a transaction and why it is in it.
func (j *Journal) State(id string) (State, string, error) {
	s, err := j.status(id)
	return s.State, s.Why, err
}

// shift is the one way from state to state: compare and set under the lock. If
// the present state does not allow it, the error is a [*StateError].
func (j *Journal) shift(id string, to State, why string, also func(*status)) error {
	err := j.locked(func() error {
		s, err := j.status(id)
		if err != nil {
			return err
		}
		if !allowed(s.State, to) {
			return &StateError{ID: id, State: s.State, Why: s.Why, Wanted: to}
		}
		s.State, s.At = to, time.Now().UTC()
		if why != "" {
			s.Why = why
		}
		if also != nil {
			also(&s)
		}
		if to == RollingBack || to.Final() {
			// The disk may be full, and the state must be written all the same.
			j.makeRoom(id)
		}
		return j.disk.put(j.path(id, "state.json"), s)
	})
	if err == nil {
		j.tell(id, Event{What: StateChanged, State: to, Text: why})
	}
	return err
}

// amend changes what else the state file holds.
func (j *Journal) amend(id string, change func(*status) error) error {
	return j.locked(func() error {
		s, err := j.status(id)
		if err != nil {
			return err
		}
		if err := change(&s); err != nil {
			return err
		}
		return j.disk.put(j.path(id, "state.json"), s)
	})
}

// ids returns all transactions, oldest first. A directory without a state file
// never became a transaction.
func (j *Journal) ids() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(j.dir, "txn"))
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	var all []string
	for _, e := range entries {
		if _, err := os.Lstat(j.path(e.Name(), "state.json")); err == nil && idPattern.MatchString(e.Name()) {
			all = append(all, e.Name())
		}
	}
	slices.Sort(all)
	return all, nil
}
