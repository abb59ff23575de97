-- 1
CREATE TABLE holdfast_accounts (
	account  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	login    TEXT COLLATE "C" NOT NULL UNIQUE,
	mail     TEXT COLLATE "C" NOT NULL,
	password TEXT COLLATE "C" NOT NULL,
	disabled BOOLEAN NOT NULL,
	epoch    BIGINT NOT NULL
);
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
