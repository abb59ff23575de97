-- 1
CREATE TABLE holdfast_accounts (
	account  TEXT NOT NULL PRIMARY KEY,
	login    TEXT NOT NULL UNIQUE,
	mail     TEXT NOT NULL,
	password TEXT NOT NULL,
	disabled INTEGER NOT NULL,
	epoch    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE holdfast_attempts (
	bucket  INTEGER NOT NULL PRIMARY KEY,
	full_at INTEGER NOT NULL
) STRICT;
CREATE TABLE holdfast_links (
	hash    BLOB NOT NULL PRIMARY KEY,
	purpose TEXT NOT NULL,
	account TEXT NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE holdfast_outbox (
	id        TEXT NOT NULL PRIMARY KEY,
	created   INTEGER NOT NULL,
	leased    INTEGER NOT NULL,
	tries     INTEGER NOT NULL,
	recipient TEXT NOT NULL,
	subject   TEXT NOT NULL,
	body      TEXT NOT NULL
) STRICT;
CREATE INDEX holdfast_outbox_created ON holdfast_outbox (created, id);
