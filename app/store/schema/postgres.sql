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
CREATE TABLE holdfast_factors (
	account TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	sealed  TEXT COLLATE "C" NOT NULL,
	step    BIGINT NOT NULL
);
CREATE TABLE holdfast_codes (
	account TEXT COLLATE "C" NOT NULL,
	hash    BYTEA NOT NULL,
	PRIMARY KEY (account, hash)
);
CREATE TABLE holdfast_challenges (
	hash    BYTEA NOT NULL PRIMARY KEY,
	account TEXT COLLATE "C" NOT NULL,
	epoch   BIGINT NOT NULL,
	tries   INTEGER NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX holdfast_challenges_account ON holdfast_challenges (account);
CREATE TABLE holdfast_tokens (
	hash    BYTEA NOT NULL PRIMARY KEY,
	purpose TEXT COLLATE "C" NOT NULL,
	account TEXT COLLATE "C" NOT NULL,
	mail    TEXT COLLATE "C" NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX holdfast_tokens_account ON holdfast_tokens (account);
CREATE TABLE holdfast_cases (
	id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	staff   TEXT COLLATE "C" NOT NULL,
	account TEXT COLLATE "C" NOT NULL,
	actions TEXT NOT NULL,
	opened  BIGINT NOT NULL,
	code    BYTEA NOT NULL,
	tries   INTEGER NOT NULL,
	expires BIGINT NOT NULL,
	until   BIGINT NOT NULL
);
CREATE INDEX holdfast_cases_account ON holdfast_cases (account);
CREATE TABLE holdfast_acts (
	id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	at      BIGINT NOT NULL,
	staff   TEXT COLLATE "C" NOT NULL,
	file    TEXT COLLATE "C" NOT NULL,
	account TEXT COLLATE "C" NOT NULL,
	act     TEXT COLLATE "C" NOT NULL,
	detail  TEXT NOT NULL
);
CREATE INDEX holdfast_acts_file ON holdfast_acts (file, at, id);
CREATE TABLE holdfast_phones (
	account TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	phone   TEXT COLLATE "C" NOT NULL
);
CREATE TABLE holdfast_losses (
	account TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	due     BIGINT NOT NULL
);
