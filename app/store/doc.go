// Package store keeps in a database what the packages above it declare:
// [login.Accounts], [login.Directory], [login.Links], [throttle.Store],
// [session.Store], [mfa.Store], [recovery.Store], [support.Store], [account.Store],
// what packages access and seclog declare, and [outbox.Queue].
//
// It speaks database/sql and brings no driver; the program opens the database with
// the driver it likes and hands it to the package of its kind:
//
//	db, err := sql.Open("sqlite", sqlite.DSN("todo.db")) // modernc.org/sqlite
//	s := sqlite.New(db)                                  // or mysql.New, postgres.New
//	err = s.Migrate(ctx)
//
// A [Store] has small methods, each of which is one transaction. What has to happen
// together with something else runs in one transaction of its own:
//
//	err = s.Tx(ctx, func(tx *store.Store) error {
//		if err := tx.SetPassword(ctx, key, hash); err != nil {
//			return err
//		}
//		return tx.PutMail(ctx, notice)
//	})
//
// and a program that has a transaction already, with tables of its own in it, joins
// by [Store.With]. A transaction is at least READ COMMITTED; every method that
// compares before it writes does so in the statement that writes.
//
// # Schema
//
// The tables have names that begin with holdfast_; their statements are embedded,
// numbered and applied once by [Store.Migrate], which needs the right to create
// tables. The program itself serves with fewer rights and calls [Store.Ready],
// which fails if the schema is older or newer than the program.
//
// Login ids, keys and hashes are stored as bytes and compared as bytes, in columns
// without a collation: no database decides that two spellings are the same name.
//
// If the database fails, the methods fail and nothing is half done; a lost answer
// to a commit leaves it unknown whether it was, and each method may be called again.
package store
