package seclog

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
)

// A Store keeps the chain. Implementations are in app/store.
type Store interface {
	// AppendEntry calls next with number and hash of the last entry, zero if there
	// never was one, and stores what it returns, all in one step that no other
	// process comes between. If next fails, so does AppendEntry and nothing is
	// stored. next may be called again.
	AppendEntry(ctx context.Context, next func(seq int64, hash [32]byte) (Entry, error)) error
	// Entries returns at most limit entries with a number above after, in the
	// order of their numbers.
	Entries(ctx context.Context, after int64, limit int) ([]Entry, error)
	// DropEntries removes the entries up to the number through and returns how
	// many.
	DropEntries(ctx context.Context, through int64) (int, error)
}

// A Log records events. Store and Keys are needed. The fields must not change
// after the first use; it may be used by many goroutines and processes at a time.
type Log struct {
	Store Store
	Keys  *keyring.Ring
	// Logger, if not nil, hears each event, with its head once it is stored.
	Logger *slog.Logger
	// OnHead, if not nil, gets each new head, to keep it elsewhere. It must not
	// block.
	OnHead func(Head)

	recorded, failed atomic.Uint64
}

// Stats is what a log has done since the program started.
type Stats struct{ Recorded, Failed uint64 }

// Stats returns the counts at this moment.
func (l *Log) Stats() Stats { return Stats{l.recorded.Load(), l.failed.Load()} }

// Record stores an event at the end of the chain and tells Logger and OnHead.
func (l *Log) Record(ctx context.Context, e Event) error { return l.record(ctx, l.Store, e) }

// In stores an event inside a transaction of the store: it is there if what else
// the transaction does is. Other events wait until the transaction ends, so it comes
// last. Logger and OnHead hear of it before the commit: when that fails, they have
// heard of an attempt.
func (l *Log) In(ctx context.Context, tx Store, e Event) error { return l.record(ctx, tx, e) }

func (l *Log) record(ctx context.Context, s Store, e Event) error {
	event := l.line(e, time.Now())
	var head Head
	err := s.AppendEntry(ctx, func(seq int64, hash [32]byte) (Entry, error) {
		event.Seq = seq + 1
		text, err := event.text()
		if err != nil {
			return Entry{}, err
		}
		key := l.Keys.Current(headPurpose)
		head = Head{Seq: seq + 1, Hash: chain(hash, seq+1, text), KeyID: key.ID}
		head.MAC = mac(key, head.Seq, head.Hash)
		return Entry{Head: head, Line: text}, nil
	})
	if err != nil {
		l.failed.Add(1)
		l.tell(ctx, slog.LevelError, "security event, not stored", event.attrs())
		return fmt.Errorf("recording a security event: %w", err)
	}
	l.recorded.Add(1)
	l.tell(ctx, slog.LevelInfo, "security event", append(event.attrs(), slog.String("head", head.String())))
	if l.OnHead != nil {
		l.OnHead(head)
	}
	return nil
}

func (l *Log) tell(ctx context.Context, level slog.Level, what string, attrs []slog.Attr) {
	if l.Logger != nil {
		l.Logger.LogAttrs(ctx, level, what, attrs...)
	}
}

func (l *Log) pseudonym(account string) string {
	if account == "" {
		return ""
	}
	return pseudonym(l.Keys.Current(personPurpose), account)
}

// Pseudonyms returns the names under which the log knows an account: one for each
// secret of the ring, the present one first.
func (l *Log) Pseudonyms(account string) []string {
	var all []string
	for _, key := range l.Keys.Keys(personPurpose) {
		all = append(all, pseudonym(key, account))
	}
	return all
}

func pseudonym(key keyring.Key, account string) string {
	m := hmac.New(sha256.New, key.Bytes[:])
	m.Write([]byte(account))
	return "p-" + base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:12])
}
