-- 1
CREATE TABLE holdfast_accounts (
	account  TEXT NOT NULL PRIMARY KEY,
	login    TEXT NOT NULL UNIQUE,
	mail     TEXT NOT NULL,
	password TEXT NOT NULL,
	disabled INTEGER NOT NULL,
	epoch    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE holdfast_sessions (
	hash      BLOB NOT NULL PRIMARY KEY,
	id        TEXT NOT NULL,
	account   TEXT NOT NULL,
	epoch     INTEGER NOT NULL,
	began     INTEGER NOT NULL,
	seen      INTEGER NOT NULL,
	proven    INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	idle      INTEGER NOT NULL,
	proven_by TEXT NOT NULL,
	addr      TEXT NOT NULL,
	browser   TEXT NOT NULL,
	remember  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX holdfast_sessions_account ON holdfast_sessions (account, id);
CREATE TABLE holdfast_roles (
	account TEXT NOT NULL,
	role    TEXT NOT NULL,
	PRIMARY KEY (account, role)
) STRICT, WITHOUT ROWID;
CREATE TABLE holdfast_seclog (
	seq    INTEGER NOT NULL PRIMARY KEY,
	line   TEXT NOT NULL,
	hash   BLOB NOT NULL,
	key_id TEXT NOT NULL,
	mac    BLOB NOT NULL
) STRICT;
CREATE TABLE holdfast_seclog_head (
	one    INTEGER NOT NULL PRIMARY KEY,
	seq    INTEGER NOT NULL,
	hash   BLOB NOT NULL
) STRICT;
INSERT INTO holdfast_seclog_head (one, seq, hash) VALUES (1, 0, x'');
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
CREATE TABLE holdfast_factors (
	account TEXT NOT NULL PRIMARY KEY,
	sealed  TEXT NOT NULL,
	step    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE holdfast_codes (
	account TEXT NOT NULL,
	hash    BLOB NOT NULL,
	PRIMARY KEY (account, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE holdfast_challenges (
	hash    BLOB NOT NULL PRIMARY KEY,
	account TEXT NOT NULL,
	epoch   INTEGER NOT NULL,
	tries   INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX holdfast_challenges_account ON holdfast_challenges (account);
CREATE TABLE holdfast_tokens (
	hash    BLOB NOT NULL PRIMARY KEY,
	purpose TEXT NOT NULL,
	account TEXT NOT NULL,
	mail    TEXT NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX holdfast_tokens_account ON holdfast_tokens (account);
CREATE TABLE holdfast_cases (
	id      TEXT NOT NULL PRIMARY KEY,
	staff   TEXT NOT NULL,
	account TEXT NOT NULL,
	actions TEXT NOT NULL,
	opened  INTEGER NOT NULL,
	code    BLOB NOT NULL,
	tries   INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX holdfast_cases_account ON holdfast_cases (account);
CREATE TABLE holdfast_acts (
	id      TEXT NOT NULL PRIMARY KEY,
	at      INTEGER NOT NULL,
	staff   TEXT NOT NULL,
	file    TEXT NOT NULL,
	account TEXT NOT NULL,
	act     TEXT NOT NULL,
	detail  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX holdfast_acts_file ON holdfast_acts (file, at, id);
CREATE TABLE holdfast_phones (
	account TEXT NOT NULL PRIMARY KEY,
	phone   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE holdfast_losses (
	account TEXT NOT NULL PRIMARY KEY,
	due     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
