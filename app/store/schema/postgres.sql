-- 1
CREATE TABLE holdfast_accounts (
	account  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	login    TEXT COLLATE "C" NOT NULL UNIQUE,
	mail     TEXT COLLATE "C" NOT NULL,
	password TEXT COLLATE "C" NOT NULL,
	disabled BOOLEAN NOT NULL,
	epoch    BIGINT NOT NULL
);
CREATE TABLE holdfast_sessions (
	hash      BYTEA NOT NULL PRIMARY KEY,
	id        TEXT COLLATE "C" NOT NULL,
	account   TEXT COLLATE "C" NOT NULL,
	epoch     BIGINT NOT NULL,
	began     BIGINT NOT NULL,
	seen      BIGINT NOT NULL,
	proven    BIGINT NOT NULL,
	expires   BIGINT NOT NULL,
	idle      BIGINT NOT NULL,
	proven_by TEXT COLLATE "C" NOT NULL,
	addr      TEXT COLLATE "C" NOT NULL,
	browser   TEXT COLLATE "C" NOT NULL,
	remember  BOOLEAN NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX holdfast_sessions_account ON holdfast_sessions (account, id);
CREATE TABLE holdfast_roles (
	account TEXT COLLATE "C" NOT NULL,
	role    TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (account, role)
);
CREATE TABLE holdfast_seclog (
	seq    BIGINT NOT NULL PRIMARY KEY,
	line   TEXT COLLATE "C" NOT NULL,
	hash   BYTEA NOT NULL,
	key_id TEXT COLLATE "C" NOT NULL,
	mac    BYTEA NOT NULL
);
CREATE TABLE holdfast_seclog_head (
	one    INTEGER NOT NULL PRIMARY KEY,
	seq    BIGINT NOT NULL,
	hash   BYTEA NOT NULL
) WITH (fillfactor = 50);
INSERT INTO holdfast_seclog_head (one, seq, hash) VALUES (1, 0, '');
CREATE TABLE holdfast_attempts (
	bucket  BIGINT NOT NULL PRIMARY KEY,
	full_at BIGINT NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE holdfast_links (
	hash    BYTEA NOT NULL PRIMARY KEY,
	purpose TEXT COLLATE "C" NOT NULL,
	account TEXT COLLATE "C" NOT NULL,
	expires BIGINT NOT NULL
);
CREATE TABLE holdfast_outbox (
	id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	created   BIGINT NOT NULL,
	leased    BIGINT NOT NULL,
	tries     INTEGER NOT NULL,
	recipient TEXT NOT NULL,
	subject   TEXT NOT NULL,
	body      TEXT NOT NULL
);
CREATE INDEX holdfast_outbox_created ON holdfast_outbox (created, id);
