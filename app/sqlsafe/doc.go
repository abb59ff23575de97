// Package sqlsafe makes SQL queries from constant text and parameters only (guide
// 4.4, OWASP ASVS 1.2.4).
//
//	q := sqlsafe.New("SELECT id, title FROM todos WHERE owner = ?", user.ID)
//	rows, err := db.QueryContext(ctx, q.SQL(), q.Args()...)
//
// [New] takes text of an unexported type, which only an untyped constant becomes by
// itself: a variable, a fmt.Sprintf, a concatenation with a variable does not
// compile. So text from a request never becomes SQL, whoever writes the next query.
// The ways around it (a type parameter, reflection, calling the driver with a string
// of one's own) are deliberate, and for a vet analyzer to find.
//
// What a request does choose, it chooses by name from closed enumerations: [Columns]
// for sorting, [Filters] for filtering, [Paging] for pages. The guide's sample for
// sorting is a regular expression that lets users.password through, and sorting by
// a secret column tells the secret; an enumeration has the columns that may be seen.
//
// Queries are put together with [Join]. Parameters are written ?, and a question
// mark that is an operator is written ??. [Query.SQL] is for MySQL, MariaDB and
// SQLite, [Query.Numbered] for PostgreSQL; both serve database/sql, pgx, sqlc or an
// ORM's raw queries alike. [DB] is database/sql that takes nothing but a Query.
//
// Errors of a database name tables and show values; [Report] logs them under an
// incident id, and gives the user the id alone.
//
// If a request names what is not in an enumeration, the error wraps ErrRequest and
// there is no query; if the text of a query does not fit its parameters, New panics,
// since both are in the program.
package sqlsafe
