-- Accounts, their sessions and personal tokens. They belong to the instance, not to a co-op.

CREATE TABLE account (
	id            uuid PRIMARY KEY,
	email         text NOT NULL,
	name          text NOT NULL,
	password_hash text,
	locale        text NOT NULL DEFAULT 'en',
	created_at    timestamptz NOT NULL,
	closed_at     timestamptz,
	CONSTRAINT email_looks_like_an_address CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND length(email) <= 254),
	CONSTRAINT name_is_short_and_not_empty CHECK (length(name) BETWEEN 1 AND 200)
);
COMMENT ON COLUMN account.id IS 'Random';
COMMENT ON COLUMN account.email IS 'As written by the person; compared in lower case';
COMMENT ON COLUMN account.name IS 'How pages address the person; never published';
COMMENT ON COLUMN account.password_hash IS 'Argon2id; NULL where the person signs in by other means';
COMMENT ON COLUMN account.locale IS 'BCP 47';
COMMENT ON COLUMN account.created_at IS 'When it was made';
COMMENT ON COLUMN account.closed_at IS 'The account was ended; nothing is done for it any more';
CREATE UNIQUE INDEX account_email_is_taken ON account (lower(email)) WHERE closed_at IS NULL;
COMMENT ON TABLE account IS 'A person or organisation known to this instance: member, data user or both.';

CREATE TABLE session (
	id          uuid PRIMARY KEY,
	account_id  uuid NOT NULL REFERENCES account,
	secret_hash bytea NOT NULL UNIQUE,
	created_at  timestamptz NOT NULL,
	seen_at     timestamptz NOT NULL,
	expires_at  timestamptz NOT NULL,
	agent       text NOT NULL DEFAULT '',
	flash       text,
	CONSTRAINT session_secret_is_a_sha256 CHECK (length(secret_hash) = 32)
);
COMMENT ON COLUMN session.id IS 'Random';
COMMENT ON COLUMN session.account_id IS 'Whose it is';
COMMENT ON COLUMN session.secret_hash IS 'SHA-256 of the cookie''s value';
COMMENT ON COLUMN session.created_at IS 'When it was made';
COMMENT ON COLUMN session.seen_at IS 'Last use, to the hour';
COMMENT ON COLUMN session.expires_at IS 'Not valid from then on';
COMMENT ON COLUMN session.agent IS 'The browser''s own name, for the list of sessions';
COMMENT ON COLUMN session.flash IS 'One message for the next page';
CREATE INDEX session_of_account ON session (account_id);
COMMENT ON TABLE session IS 'A signed-in browser. Ended sessions are deleted.';

CREATE TABLE token (
	id          uuid PRIMARY KEY,
	account_id  uuid NOT NULL REFERENCES account,
	name        text NOT NULL,
	secret_hash bytea NOT NULL UNIQUE,
	created_at  timestamptz NOT NULL,
	expires_at  timestamptz,
	used_at     timestamptz,
	revoked_at  timestamptz,
	CONSTRAINT token_secret_is_a_sha256 CHECK (length(secret_hash) = 32),
	CONSTRAINT token_name_is_short_and_not_empty CHECK (length(name) BETWEEN 1 AND 200)
);
COMMENT ON COLUMN token.id IS 'Random';
COMMENT ON COLUMN token.account_id IS 'Whose it is';
COMMENT ON COLUMN token.name IS 'What the person calls it';
COMMENT ON COLUMN token.secret_hash IS 'SHA-256 of the token';
COMMENT ON COLUMN token.created_at IS 'When it was made';
COMMENT ON COLUMN token.expires_at IS 'NULL: until revoked';
COMMENT ON COLUMN token.used_at IS 'Last use, to the hour';
COMMENT ON COLUMN token.revoked_at IS 'When it was revoked';
CREATE INDEX token_of_account ON token (account_id);
COMMENT ON TABLE token IS 'A personal token for programs. It acts as its account, without a CSRF token.';
