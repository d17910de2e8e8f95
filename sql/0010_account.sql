-- Accounts, their sessions and personal tokens. They belong to the instance, not to a co-op.

CREATE TABLE account (
	id            uuid PRIMARY KEY,
	email         text NOT NULL,                    -- as written by the person; compared in lower case
	name          text NOT NULL,                    -- how pages address the person; never published
	password_hash text,                             -- Argon2id; NULL where the person signs in by other means
	locale        text NOT NULL DEFAULT 'en',       -- BCP 47
	created_at    timestamptz NOT NULL,
	closed_at     timestamptz,                      -- the account was ended; nothing is done for it any more
	CONSTRAINT email_looks_like_an_address CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND length(email) <= 254),
	CONSTRAINT name_is_short_and_not_empty CHECK (length(name) BETWEEN 1 AND 200)
);
CREATE UNIQUE INDEX account_email_is_taken ON account (lower(email)) WHERE closed_at IS NULL;
COMMENT ON TABLE account IS 'A person or organisation known to this instance: member, data user or both.';

CREATE TABLE session (
	id          uuid PRIMARY KEY,
	account_id  uuid NOT NULL REFERENCES account,
	secret_hash bytea NOT NULL UNIQUE,              -- SHA-256 of the cookie's value
	created_at  timestamptz NOT NULL,
	seen_at     timestamptz NOT NULL,
	expires_at  timestamptz NOT NULL,
	agent       text NOT NULL DEFAULT '',           -- the browser's own name, for the list of sessions
	flash       text,                               -- one message for the next page
	CONSTRAINT session_secret_is_a_sha256 CHECK (length(secret_hash) = 32)
);
CREATE INDEX session_of_account ON session (account_id);
COMMENT ON TABLE session IS 'A signed-in browser. Ended sessions are deleted.';

CREATE TABLE token (
	id          uuid PRIMARY KEY,
	account_id  uuid NOT NULL REFERENCES account,
	name        text NOT NULL,                      -- what the person calls it
	secret_hash bytea NOT NULL UNIQUE,              -- SHA-256 of the token
	created_at  timestamptz NOT NULL,
	expires_at  timestamptz,                        -- NULL: until revoked
	used_at     timestamptz,                        -- last use, to the hour
	revoked_at  timestamptz,
	CONSTRAINT token_secret_is_a_sha256 CHECK (length(secret_hash) = 32),
	CONSTRAINT token_name_is_short_and_not_empty CHECK (length(name) BETWEEN 1 AND 200)
);
CREATE INDEX token_of_account ON token (account_id);
COMMENT ON TABLE token IS 'A personal token for programs. It acts as its account, without a CSRF token.';
