// Package postgres keeps a [store.Store] in PostgreSQL, 14 or newer. It brings no
// driver; github.com/jackc/pgx/v5/stdlib is the one that the suite runs against:
//
//	db, err := sql.Open("pgx", "postgres://todo@db.example.org/todo?sslmode=verify-full")
//	s := postgres.New(db)
//
// If the server ends a transaction, the call fails with the driver's error, has
// changed nothing and may be tried again.
package postgres

import (
	"database/sql"

	"github.com/holdfast-security/holdfast/app/store"
)

// New returns a store in an open database.
func New(db *sql.DB) *store.Store { return store.New(db, store.Postgres) }
