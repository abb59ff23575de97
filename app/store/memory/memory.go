// Package memory keeps in memory what a [store.Store] keeps in a database, for
// tests and for trying things out. Everything is gone when the program ends.
//
// If a function given to [Store.Tx] fails, everything is as it was before it.
package memory

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/app/access"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/recovery"
	"github.com/holdfast-security/holdfast/app/seclog"
	"github.com/holdfast-security/holdfast/app/session"
	"github.com/holdfast-security/holdfast/app/support"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// A Store keeps everything in memory. It may be used by many goroutines at a time.
type Store struct {
	mu *sync.Mutex // nil inside a transaction, which holds it
	*state
}

type state struct {
	accounts map[string]login.Account // by key
	ids      map[login.ID]string      // keys
	attempts map[throttle.Bucket]int64
	links    map[[32]byte]login.Link
	mails    []mail // oldest first
	sessions map[[32]byte]session.Record
	roles    map[string][]access.Role
	entries  []seclog.Entry
	head     seclog.Head

	factors    map[string]mfa.Factor
	codes      map[code]bool
	challenges map[[32]byte]mfa.Challenge
	tokens     map[[32]byte]recovery.Token
	cases      map[string]support.Case
	acts       []support.Act // oldest first
	phones     map[string]string
	losses     map[string]time.Time
}

// clone copies what is stored.
func (s *state) clone() state {
	return state{
		accounts: maps.Clone(s.accounts), ids: maps.Clone(s.ids), attempts: maps.Clone(s.attempts),
		links: maps.Clone(s.links), mails: slices.Clone(s.mails),
		factors: maps.Clone(s.factors), codes: maps.Clone(s.codes), challenges: maps.Clone(s.challenges),
		tokens: maps.Clone(s.tokens), cases: maps.Clone(s.cases), acts: slices.Clone(s.acts), phones: maps.Clone(s.phones), losses: maps.Clone(s.losses),
		sessions: maps.Clone(s.sessions), roles: maps.Clone(s.roles),
		entries: slices.Clone(s.entries), head: s.head,
	}
}

type mail struct {
	outbox.Queued
	leased time.Time
}

// New returns an empty store.
func New() *Store {
	return &Store{mu: &sync.Mutex{}, state: &state{
		accounts: map[string]login.Account{},
		ids:      map[login.ID]string{},
		attempts: map[throttle.Bucket]int64{},
		links:    map[[32]byte]login.Link{},
		sessions: map[[32]byte]session.Record{},
		roles:    map[string][]access.Role{},

		factors:    map[string]mfa.Factor{},
		codes:      map[code]bool{},
		challenges: map[[32]byte]mfa.Challenge{},
		tokens:     map[[32]byte]recovery.Token{},
		cases:      map[string]support.Case{},
		phones:     map[string]string{},
		losses:     map[string]time.Time{},
	}}
}

// Tx runs fn alone: everything that fn does by tx happens, or, if fn fails,
// nothing of it. It copies the whole store.
func (s *Store) Tx(_ context.Context, fn func(tx *Store) error) error {
	defer s.lock()()
	before := s.clone()
	if err := fn(&Store{state: s.state}); err != nil {
		*s.state = before
		return err
	}
	return nil
}

func (s *Store) lock() (unlock func()) {
	if s.mu == nil {
		return func() {}
	}
	s.mu.Lock()
	return s.mu.Unlock
}

// FindAccount is of [login.Accounts].
func (s *Store) FindAccount(_ context.Context, id login.ID) (login.Account, error) {
	defer s.lock()()
	key, ok := s.ids[id]
	if !ok {
		return login.Account{}, login.ErrNoAccount
	}
	return s.accounts[key], nil
}

// UpgradePassword is of [login.Accounts].
func (s *Store) UpgradePassword(_ context.Context, key, old, new string) (bool, error) {
	defer s.lock()()
	a, ok := s.accounts[key]
	if !ok || a.Password != old {
		return false, nil
	}
	a.Password = new
	s.accounts[key] = a
	return true, nil
}

// EachPassword is of [login.Accounts].
func (s *Store) EachPassword(_ context.Context, visit func(stored string) error) error {
	unlock := s.lock()
	all := slices.Collect(maps.Values(s.accounts))
	unlock()
	for _, a := range all {
		if err := visit(a.Password); err != nil {
			return err
		}
	}
	return nil
}

// AddAccount is of [login.Directory].
func (s *Store) AddAccount(_ context.Context, a login.Account) error {
	defer s.lock()()
	if _, ok := s.ids[a.ID]; ok {
		return login.ErrTaken
	}
	if _, ok := s.accounts[a.Key]; ok {
		return login.ErrTaken
	}
	s.ids[a.ID] = a.Key
	s.accounts[a.Key] = a
	return nil
}

// Account is of [login.Accounts].
func (s *Store) Account(_ context.Context, key string) (login.Account, error) {
	defer s.lock()()
	a, ok := s.accounts[key]
	if !ok {
		return login.Account{}, login.ErrNoAccount
	}
	return a, nil
}

// SetPassword is of [login.Directory].
func (s *Store) SetPassword(_ context.Context, key, hash string) error {
	return s.change(key, func(a *login.Account) { a.Password = hash })
}

// SetDisabled is of [login.Directory].
func (s *Store) SetDisabled(_ context.Context, key string, disabled bool) error {
	return s.change(key, func(a *login.Account) { a.Disabled = disabled })
}

func (s *Store) change(key string, change func(*login.Account)) error {
	defer s.lock()()
	a, ok := s.accounts[key]
	if !ok {
		return login.ErrNoAccount
	}
	change(&a)
	a.Epoch++
	s.accounts[key] = a
	return nil
}

// Take is of [throttle.Store].
func (s *Store) Take(_ context.Context, b throttle.Bucket, r throttle.Rate, at time.Time) (time.Duration, error) {
	defer s.lock()()
	now, every := at.UnixMicro(), r.Every.Microseconds()
	full := max(s.attempts[b], now)
	if over := full - now - every*int64(r.Burst-1); over > 0 {
		return time.Duration(over) * time.Microsecond, nil
	}
	s.attempts[b] = full + every
	return 0, nil
}

// Refund is of [throttle.Store].
func (s *Store) Refund(_ context.Context, b throttle.Bucket, r throttle.Rate) error {
	defer s.lock()()
	if full, ok := s.attempts[b]; ok {
		s.attempts[b] = full - r.Every.Microseconds()
	}
	return nil
}

// Prune is of [throttle.Store].
func (s *Store) Prune(_ context.Context, now time.Time) (int, error) {
	defer s.lock()()
	before := len(s.attempts)
	maps.DeleteFunc(s.attempts, func(_ throttle.Bucket, full int64) bool { return full <= now.UnixMicro() })
	return before - len(s.attempts), nil
}

// PutLink is of [login.Links].
func (s *Store) PutLink(_ context.Context, l login.Link, m outbox.Mail) error {
	if err := m.Check(); err != nil {
		return err
	}
	defer s.lock()()
	s.links[l.Hash] = l
	s.put(m)
	return nil
}

// SpendLink is of [login.Links].
func (s *Store) SpendLink(_ context.Context, hash [32]byte, purpose string, now time.Time) (string, error) {
	defer s.lock()()
	l, ok := s.links[hash]
	if !ok || l.Purpose != purpose || !l.Expires.After(now) {
		return "", login.ErrNoLink
	}
	delete(s.links, hash)
	return l.Account, nil
}

// PruneLinks is of [login.Links].
func (s *Store) PruneLinks(_ context.Context, now time.Time) (int, error) {
	defer s.lock()()
	before := len(s.links)
	maps.DeleteFunc(s.links, func(_ [32]byte, l login.Link) bool { return !l.Expires.After(now) })
	return before - len(s.links), nil
}

// PutMail is of [outbox.Queue].
func (s *Store) PutMail(_ context.Context, m outbox.Mail) error {
	if err := m.Check(); err != nil {
		return err
	}
	defer s.lock()()
	s.put(m)
	return nil
}

func (s *Store) put(m outbox.Mail) {
	s.mails = append(s.mails, mail{Queued: outbox.Queued{Mail: m, ID: rand.Text()}})
}

// LeaseMail is of [outbox.Queue].
func (s *Store) LeaseMail(_ context.Context, now, until time.Time) (outbox.Queued, bool, error) {
	defer s.lock()()
	for i := range s.mails {
		if m := &s.mails[i]; !m.leased.After(now) {
			m.leased = until
			m.Tries++
			return m.Queued, true, nil
		}
	}
	return outbox.Queued{}, false, nil
}

// DeferMail is of [outbox.Queue].
func (s *Store) DeferMail(_ context.Context, id string, until time.Time) error {
	defer s.lock()()
	for i := range s.mails {
		if s.mails[i].ID == id {
			s.mails[i].leased = until
		}
	}
	return nil
}

// DropMail is of [outbox.Queue].
func (s *Store) DropMail(_ context.Context, id string) error {
	defer s.lock()()
	s.mails = slices.DeleteFunc(s.mails, func(m mail) bool { return m.ID == id })
	return nil
}
