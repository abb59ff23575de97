// Package mysql keeps a [store.Store] in MariaDB (10.6 or newer) or MySQL (8.0 or
// newer). It brings no driver; github.com/go-sql-driver/mysql is the one that the
// suite runs against:
//
//	db, err := sql.Open("mysql", "todo:secret@unix(/run/mysqld/mysqld.sock)/todo")
//	s := mysql.New(db)
//
// Nothing depends on the collation of the database or on clientFoundRows. Names
// and hashes are VARBINARY: the usual collations of MariaDB would take a name with
// a blank at its end, or in other letters, for the same.
//
// If the server ends a transaction because of a deadlock, the call fails with the
// driver's error, has changed nothing and may be tried again.
package mysql

import (
	"database/sql"

	"github.com/holdfast-security/holdfast/app/store"
)

// New returns a store in an open database.
func New(db *sql.DB) *store.Store { return store.New(db, store.MySQL) }
