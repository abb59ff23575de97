package txn

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// DefaultWindow is how long a transaction waits for its confirmation.
const DefaultWindow = 3 * time.Minute

// MaxWindow is how long after arming a transaction can at most be open, however
// often it is extended.
const MaxWindow = 30 * time.Minute

// Meta is who does what, as the journal remembers it.
type Meta struct {
	// Run joins the transactions of one run at the desk, such as packages and
	// changes. It is chosen by the desk.
	Run  string `json:"run"`
	Kind Kind   `json:"kind"`
	// Site and SiteDigest name the site and its file.
	Site       string `json:"site"`
	SiteDigest string `json:"site_digest"`
	// By is who applies, Desk from where, and DeskVersion with what.
	By          string `json:"by"`
	Desk        string `json:"desk"`
	DeskVersion string `json:"desk_version"`
	// NonceHash is the SHA-256 of the nonce that confirms, in hex.
	NonceHash string `json:"nonce_hash"`
	// Window is how long to wait for the confirmation; 0 means [DefaultWindow].
	Window time.Duration `json:"window"`
	// More says that another transaction of the run will follow: the claim on the
	// server outlives this one by [Grace].
	More bool `json:"more,omitempty"`
	// Reverts is the transaction that an [Undo] puts back.
	Reverts string `json:"reverts,omitempty"`
}

// Begin is what a transaction is begun with.
type Begin struct {
	Meta
	// Steps are in the order in which they are to be done.
	Steps []server.Step
}

// ErrNothing says that a plan has no steps: it opens no transaction.
var ErrNothing = errors.New("there is nothing to change")

// Begin writes down a transaction: plan, snapshot, reserved disk space and a
// rehearsed rollback. It changes nothing on the host but for the rehearsal's
// scratch directory inside the journal. It returns the transaction's ID.
//
// The error is a [*LockedError] if somebody else is at work, a [*SiteError] if
// the server belongs to another site, [ErrNothing] if there is nothing to do.
func (j *Journal) Begin(ctx context.Context, b Begin) (id string, err error) {
	if err := b.check(); err != nil {
		return "", err
	}
	if err := j.CheckSite(b.Site); err != nil {
		return "", err
	}
	steps, err := encodeSteps(j.c.Codec, b.Steps)
	if err != nil {
		return "", err
	}
	p := planFile{Format: format, Meta: b.Meta, Began: time.Now().UTC(), Steps: steps}
	if p.Window == 0 {
		p.Window = DefaultWindow
	}
	if id, err = j.open(p); err != nil {
		return "", errors.Join(err, j.abandon(context.WithoutCancel(ctx), id, p.Run))
	}
	if err := j.prepare(ctx, id); err != nil {
		back := j.Rollback(context.WithoutCancel(ctx), id, "it could not be prepared: "+err.Error())
		return "", errors.Join(err, back)
	}
	return id, nil
}

func (b Begin) check() error {
	switch {
	case len(b.Steps) == 0:
		return ErrNothing
	case b.Run == "" || b.Site == "" || b.By == "":
		return errors.New("a transaction needs a run, a site and somebody who applies it")
	case len(b.NonceHash) != 64:
		return errors.New("a transaction needs the SHA-256 of a nonce in hex")
	case b.Window < 0 || b.Window > MaxWindow:
		return fmt.Errorf("a window of %s is not between 0 and %s", b.Window, MaxWindow)
	case b.Kind != Packages && b.Kind != Changes && b.Kind != Undo:
		return fmt.Errorf("unknown kind of transaction %q", b.Kind)
	}
	return nil
}

// newID returns an ID that sorts after all others, whatever the clock says. It
// is called under the lock.
func (j *Journal) newID(now time.Time) (string, error) {
	const layout = "20060102T150405Z"
	ids, err := j.ids()
	if err != nil {
		return "", err
	}
	if len(ids) > 0 {
		last, err := time.Parse(layout, ids[len(ids)-1][:len(layout)])
		if err != nil {
			return "", err
		}
		if !now.After(last.Add(time.Second)) {
			now = last.Add(time.Second)
		}
	}
	tail := make([]byte, 2)
	if _, err := rand.Read(tail); err != nil {
		return "", err
	}
	return now.UTC().Format(layout) + "-" + hex.EncodeToString(tail), nil
}

// open claims the server and makes the transaction's directory. The state file
// comes last: without it there is no transaction.
func (j *Journal) open(p planFile) (string, error) {
	boot, err := j.bootID()
	if err != nil {
		return "", err
	}
	err = j.locked(func() error {
		h := Holder{
			Run: p.Run, By: p.By, Desk: p.Desk, Since: p.Began, Boot: boot, Deadline: j.uptime() + p.Window + Grace,
		}
		if err := j.claim(h); err != nil {
			return err
		}
		if p.ID, err = j.newID(p.Began); err != nil {
			return err
		}
		if err := j.disk.mkdir(j.path(p.ID)); err != nil {
			return err
		}
		if err := j.disk.put(j.path(p.ID, "plan.json"), p); err != nil {
			return err
		}
		s := status{Format: format, State: Prepared, At: p.Began, Boot: boot, Deadline: h.Deadline}
		return j.disk.put(j.path(p.ID, "state.json"), s)
	})
	if err != nil {
		return p.ID, err
	}
	j.tell(p.ID, Event{What: StateChanged, State: Prepared})
	return p.ID, nil
}

// abandon takes back what open may have written before it failed.
func (j *Journal) abandon(ctx context.Context, id, run string) error {
	if id != "" {
		if _, err := j.status(id); err == nil {
			return j.Rollback(ctx, id, "it could not be written down")
		}
	}
	return j.Release(run)
}

// prepare makes sure that a rollback will be possible.
func (j *Journal) prepare(ctx context.Context, id string) error {
	snap, err := j.takeSnapshot(ctx)
	if err != nil {
		return err
	}
	if err := j.disk.put(j.path(id, "snapshot.json"), snap); err != nil {
		return err
	}
	if err := j.disk.reserve(j.path(id, "reserve"), reserveFor(snap)); err != nil {
		return err
	}
	stored, err := j.loadSnapshot(id)
	if err != nil {
		return err
	}
	return rehearse(ctx, j.host, stored, j.path(id, "rehearsal"))
}

// plan reads what a transaction is to do.
func (j *Journal) plan(id string) (planFile, error) {
	path := j.path(id, "plan.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return planFile{}, err
	}
	return parsePlan(path, data)
}

// Start arms the guard and starts the detached run. Secrets are what the steps
// need; they are not stored on disk.
//
// If it fails, the transaction is rolled back: nothing has changed.
func (j *Journal) Start(ctx context.Context, id string, secrets map[string]server.Secret) error {
	p, err := j.plan(id)
	if err != nil {
		return err
	}
	if err := j.arm(ctx, p, secrets); err != nil {
		if state := (*StateError)(nil); errors.As(err, &state) {
			return errors.Join(err, j.cleanAgain(ctx, id))
		}
		back := j.Rollback(context.WithoutCancel(ctx), id, "it could not be started: "+err.Error())
		return errors.Join(err, back)
	}
	return nil
}

func (j *Journal) arm(ctx context.Context, p planFile, secrets map[string]server.Secret) error {
	s, err := j.status(p.ID)
	if err != nil {
		return err
	}
	if !allowed(s.State, Armed) {
		return &StateError{ID: p.ID, State: s.State, Why: s.Why, Wanted: Armed}
	}
	if err := j.leaveSecrets(p.ID, secrets); err != nil {
		return fmt.Errorf("handing over the secrets: %w", err)
	}
	if err := j.c.Guard.Arm(ctx, p.ID, p.Window); err != nil {
		return fmt.Errorf("arming the guard: %w", err)
	}
	err = j.shift(p.ID, Armed, "", func(s *status) {
		s.Armed = j.uptime()
		s.Deadline = s.Armed + p.Window
	})
	if err != nil {
		return err
	}
	if err := j.hold(p.Run, p.Window+Grace); err != nil {
		return err
	}
	if err := j.c.Guard.Start(ctx, p.ID); err != nil {
		return fmt.Errorf("starting the detached run: %w", err)
	}
	return nil
}
