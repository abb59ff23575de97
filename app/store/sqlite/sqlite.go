// Package sqlite keeps a [store.Store] in one SQLite file, 3.37 or newer: the
// database of small programs and of development. It needs no server and no driver
// of its own; modernc.org/sqlite, which is written in Go, is the one that the
// suite runs against:
//
//	db, err := sql.Open("sqlite", sqlite.DSN("/var/lib/todo/todo.db"))
//	s := sqlite.New(db)
//
// If the file is locked by another process for more than five seconds, calls fail
// with the driver's error and change nothing.
package sqlite

import (
	"database/sql"
	"net/url"

	"github.com/holdfast-security/holdfast/app/store"
)

// New returns a store in an open database, which should have been opened with
// [DSN].
func New(db *sql.DB) *store.Store { return store.New(db, store.SQLite) }

// DSN returns the data source name with which modernc.org/sqlite opens the file:
// write-ahead log, each commit synced, so that a power cut does not bring an old
// password back, foreign keys on, five seconds of patience, and transactions that
// take the write lock when they begin, so that none fails half way. The counts of
// attempts do not wait for the disk: a power cut may forget the last of them.
func DSN(path string) string {
	q := url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)"},
		"_txlock": {"immediate"},
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}
