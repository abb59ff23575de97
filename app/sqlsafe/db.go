package sqlsafe

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
)

// A Conn is what DB uses: a *sql.DB, *sql.Conn or *sql.Tx.
type Conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// A DB is a connection that takes nothing but a Query.
type DB struct {
	conn     Conn
	numbered bool
}

// Questions returns a DB for databases whose parameters are ?: MySQL, MariaDB,
// SQLite.
func Questions(conn Conn) DB { return DB{conn, false} }

// Dollars returns a DB for databases whose parameters are $1: PostgreSQL.
func Dollars(conn Conn) DB { return DB{conn, true} }

func (d DB) text(q Query) string {
	if d.numbered {
		return q.Numbered()
	}
	return q.SQL()
}

// Exec runs a query that returns no rows.
func (d DB) Exec(ctx context.Context, q Query) (sql.Result, error) {
	return d.conn.ExecContext(ctx, d.text(q), q.args...)
}

// Rows runs a query that returns rows.
func (d DB) Rows(ctx context.Context, q Query) (*sql.Rows, error) {
	return d.conn.QueryContext(ctx, d.text(q), q.args...)
}

// Row runs a query that returns at most one row.
func (d DB) Row(ctx context.Context, q Query) *sql.Row {
	return d.conn.QueryRowContext(ctx, d.text(q), q.args...)
}

// An Incident is an error that a user may see: an id, and nothing of what
// happened. It does not unwrap to the cause.
type Incident struct {
	// ID finds the cause in the log: 26 letters and digits, random.
	ID string
}

// Error says that there was one, and its id.
func (i *Incident) Error() string { return "internal error, incident " + i.ID }

// Report logs err under a new incident id and returns the incident. A nil err gives
// nil. An error that wraps ErrRequest is returned as it is, and of one that wraps
// an Incident that one: they are made to be seen.
func Report(ctx context.Context, log *slog.Logger, err error) error {
	var incident *Incident
	switch {
	case err == nil || errors.Is(err, ErrRequest):
		return err
	case errors.As(err, &incident):
		return incident // and not what was said around it
	}
	incident = &Incident{ID: rand.Text()}
	if log != nil {
		log.LogAttrs(ctx, slog.LevelError, "incident", slog.String("incident", incident.ID), slog.String("error", err.Error()))
	}
	return incident
}
