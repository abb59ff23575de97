package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Defaults and bounds. The lifetimes are within those of SP 800-63B-4, 2.2.3
// (AAL2): an hour without activity, 24 hours in all.
const (
	DefaultIdle     = 30 * time.Minute
	DefaultLifetime = 12 * time.Hour
	DefaultMax      = 50 // sessions of one account

	// TouchEvery is how often at most it is written down that a session is in
	// use. A session may end that much before its idle time is over.
	TouchEvery = time.Minute
	// MaxBrowser bounds how long a browser's name is kept, in bytes.
	MaxBrowser = 200
)

// ErrAmbiguous says that a request has several session cookies. A browser sends
// one; whoever can plant another one must not choose whose session it is.
var ErrAmbiguous = fmt.Errorf("several session cookies: %w", ErrNoSession)

// A Manager begins, finds, renews and ends sessions. Store is needed. The fields
// must not change after the first use; it may be used by many goroutines at a time.
type Manager struct {
	Store Store

	// Idle is how long a session lasts without a request, Lifetime how long it
	// lasts in all; 0 means [DefaultIdle] and [DefaultLifetime]. Idle is at least
	// two of [TouchEvery].
	Idle, Lifetime time.Duration
	// Max is how many sessions one account can have: the one that was seen longest
	// ago ends when there are more. 0 means [DefaultMax].
	Max int

	// InsecureHTTP is for development without TLS: the cookie loses its __Host-
	// prefix and Secure, so anybody on the way and on a neighbouring host name can
	// take or plant it. It has another name, so no program mixes the two up.
	InsecureHTTP bool

	// Refused answers a request that needs a session and has none; nil means
	// status 401.
	Refused http.Handler
	// OnEvent, if not nil, hears what happens to sessions. It must not block.
	OnEvent func(Event)

	stats counters
}

// A Proof says who a person has proved to be. It comes from a login, never from
// a request.
type Proof struct {
	Account string // key
	// Epoch is that of the account as it was when the proof was checked: if it has
	// changed since, the session does not begin to live.
	Epoch int64
	By    string // by what, for example "password totp"; at most 64 bytes
	Addr  netip.Addr
	// Remember is how long the session lasts beyond the browser window and however
	// seldom it is used; 0 means that it ends with the window and the lifetimes of
	// the manager. The person should have asked for it.
	Remember time.Duration
}

// Start begins a session with a new token and sets the cookie. Whatever session the
// request came with ends: a token from before the login is never adopted, so one
// that somebody has planted in the browser becomes nobody's. If it fails, no
// session has begun and no cookie is set. It is called before the body is written.
func (m *Manager) Start(w http.ResponseWriter, r *http.Request, p Proof) (Session, error) {
	ctx := r.Context()
	if p.Account == "" {
		return Session{}, errors.New("beginning a session of nobody")
	}
	if old, err := m.find(ctx, r, time.Now()); err == nil {
		if err := m.Store.EndSession(ctx, old.r.Account, old.r.ID); err != nil {
			return Session{}, m.failed(err)
		}
		m.tell(Ended, old.r)
	} else if !errors.Is(err, ErrNoSession) {
		return Session{}, m.failed(err)
	}
	now := time.Now().Truncate(time.Microsecond)
	token, hash := newToken()
	rec := Record{
		Hash: hash, ID: rand.Text(), Account: p.Account, Epoch: p.Epoch,
		Began: now, Seen: now, Proven: now, Expires: now.Add(m.lifetime()), Idle: m.idle(),
		By: p.By, Browser: plain(r.UserAgent(), MaxBrowser),
	}
	if p.Addr.IsValid() {
		rec.Addr = p.Addr.Unmap().WithZone("").String()
	}
	if p.Remember > 0 {
		rec.Remember, rec.Idle, rec.Expires = true, p.Remember, now.Add(p.Remember)
	}
	if err := m.Store.AddSession(ctx, rec); err != nil {
		return Session{}, m.failed(err)
	}
	if err := m.trim(ctx, rec, now); err != nil {
		// A session without a bound does not begin.
		return Session{}, m.failed(errors.Join(err, m.Store.EndSession(context.WithoutCancel(ctx), rec.Account, rec.ID)))
	}
	m.setCookie(w, token, rec)
	m.tell(Began, rec)
	return Session{rec}, nil
}

// trim ends the sessions of an account that are too many.
func (m *Manager) trim(ctx context.Context, mine Record, now time.Time) error {
	most := m.Max
	if most <= 0 {
		most = DefaultMax
	}
	all, err := m.Store.ListSessions(ctx, mine.Account, now)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r Record) bool { return r.ID == mine.ID })
	for _, r := range all[min(most-1, len(all)):] {
		if err := m.Store.EndSession(ctx, r.Account, r.ID); err != nil {
			return err
		}
		m.tell(Ended, r)
	}
	return nil
}

// Check returns the session that a request belongs to. The error wraps
// [ErrNoSession] if it belongs to none; every other error says that it could not be
// found out, and the request must not be served as if it had none. It writes down
// that the session is in use, at most once in [TouchEvery].
func (m *Manager) Check(r *http.Request) (Session, error) {
	now := time.Now()
	s, err := m.find(r.Context(), r, now)
	if errors.Is(err, ErrNoSession) {
		m.stats.missing.Add(1)
		return Session{}, err
	}
	if err != nil {
		return Session{}, m.failed(err)
	}
	if before := now.Add(-TouchEvery); !s.r.Seen.After(before) {
		wrote, err := m.Store.TouchSession(r.Context(), s.r.Hash, now, before)
		if err != nil {
			return Session{}, m.failed(err)
		}
		if wrote {
			m.stats.touched.Add(1)
		}
	}
	m.stats.found.Add(1)
	return s, nil
}

// find returns the live session whose token the request carries.
func (m *Manager) find(ctx context.Context, r *http.Request, now time.Time) (Session, error) {
	token, err := m.cookie(r)
	if err != nil {
		return Session{}, err
	}
	hash, ok := hashOf(token)
	if !ok {
		return Session{}, ErrNoSession
	}
	rec, err := m.Store.FindSession(ctx, hash)
	if err != nil {
		return Session{}, err
	}
	if !rec.live(now) || rec.Hash != hash {
		return Session{}, ErrNoSession
	}
	return Session{rec}, nil
}

// Rotate gives a session a new token and the browser its cookie, because what the
// person may do has changed. by says by what they have just proved again who they
// are, for example "password totp"; "" means that they have not. The absolute
// lifetime stays. The old token is good for nothing from then on: of several
// requests that do this at once one succeeds, the others fail with an error
// wrapping [ErrNoSession] and set no cookie. It is called before the body is
// written.
func (m *Manager) Rotate(ctx context.Context, w http.ResponseWriter, s Session, by string) (Session, error) {
	old := s.r.Hash
	rec := s.r
	token, hash := newToken()
	rec.Hash = hash
	if by != "" {
		rec.By, rec.Proven = by, time.Now().Truncate(time.Microsecond)
	}
	if err := m.Store.ReplaceSession(ctx, old, rec); err != nil {
		if errors.Is(err, ErrNoSession) {
			return Session{}, err
		}
		return Session{}, m.failed(err)
	}
	m.setCookie(w, token, rec)
	m.tell(Rotated, rec)
	return Session{rec}, nil
}

// End ends the session of a request, if it has one, and removes the cookie. The
// cookie goes even if the store fails; the error then says that the token may
// still be good. It is called before the body is written.
func (m *Manager) End(w http.ResponseWriter, r *http.Request) error {
	m.clearCookie(w)
	s, err := m.find(r.Context(), r, time.Now())
	if errors.Is(err, ErrNoSession) {
		return nil
	}
	if err != nil {
		return m.failed(err)
	}
	if err := m.Store.EndSession(r.Context(), s.r.Account, s.r.ID); err != nil {
		return m.failed(err)
	}
	m.tell(Ended, s.r)
	return nil
}

// List returns the sessions of the person who is logged in, the one seen last
// first.
func (m *Manager) List(ctx context.Context, who Session) ([]Session, error) {
	all, err := m.Store.ListSessions(ctx, who.r.Account, time.Now())
	if err != nil {
		return nil, m.failed(err)
	}
	list := make([]Session, len(all))
	for i, r := range all {
		list[i] = Session{r}
		list[i].r.Hash = [32]byte{} // it is shown, not used
	}
	return list, nil
}

// EndOther ends the session with this ID if it is one of the person who is logged
// in. If there is none, that is no error.
func (m *Manager) EndOther(ctx context.Context, who Session, id string) error {
	if err := m.Store.EndSession(ctx, who.r.Account, id); err != nil {
		return m.failed(err)
	}
	m.tell(Ended, Record{Account: who.r.Account, ID: id})
	return nil
}

// EndOthers ends all sessions of the person who is logged in but this one, and
// returns how many.
func (m *Manager) EndOthers(ctx context.Context, who Session) (int, error) {
	if who.r.ID == "" {
		return 0, ErrNoSession
	}
	n, err := m.Store.EndSessions(ctx, who.r.Account, who.r.ID)
	if err != nil {
		return 0, m.failed(err)
	}
	m.tell(EndedOthers, who.r)
	return n, nil
}

// Prune drops what is over from the store. A program calls it at times, for
// example once an hour.
func (m *Manager) Prune(ctx context.Context) error {
	if _, err := m.Store.PruneSessions(ctx, time.Now()); err != nil {
		return m.failed(err)
	}
	return nil
}

func (m *Manager) failed(err error) error {
	m.stats.failed.Add(1)
	return fmt.Errorf("sessions: %w", err)
}

func (m *Manager) lifetime() time.Duration {
	if m.Lifetime <= 0 {
		return DefaultLifetime
	}
	return m.Lifetime
}

func (m *Manager) idle() time.Duration {
	if m.Idle <= 0 {
		return DefaultIdle
	}
	return max(m.Idle, 2*TouchEvery)
}

// plain returns text that somebody sent without what could deceive a reader, and
// not longer than the limit.
func plain(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	for len(text) > limit {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}
