-- Signing in: proved addresses, mailed links, other providers' identities, a second factor, and delays for whoever guesses. All of it belongs to the instance.

ALTER TABLE account ADD COLUMN email_verified_at timestamptz;
COMMENT ON COLUMN account.email_verified_at IS 'When a mail to the address was proved to reach the person, or the operator vouched for it; NULL: not yet';

ALTER TABLE session DROP COLUMN flash;
ALTER TABLE session ADD COLUMN how text NOT NULL DEFAULT 'password', ADD COLUMN factor boolean NOT NULL DEFAULT false,
	ADD CONSTRAINT session_began_in_a_known_way CHECK (how IN ('password', 'link', 'oidc', 'operator'));
COMMENT ON COLUMN session.how IS 'What the person showed: password, a mailed link, another provider; operator: made by the command line';
COMMENT ON COLUMN session.factor IS 'The second factor was shown as well';

CREATE TABLE account_browser (
	account_id    uuid NOT NULL REFERENCES account,
	agent_sha256  bytea NOT NULL,
	first_seen_at timestamptz NOT NULL,
	PRIMARY KEY (account_id, agent_sha256),
	CONSTRAINT browser_name_is_a_sha256 CHECK (length(agent_sha256) = 32)
);
COMMENT ON TABLE account_browser IS 'Kinds of browser that an account was signed in with: the first sign-in with another one is told by mail.';
COMMENT ON COLUMN account_browser.account_id IS 'Whose they are';
COMMENT ON COLUMN account_browser.agent_sha256 IS 'SHA-256 of the browser''s own name without its digits, so that a new version is no new browser';
COMMENT ON COLUMN account_browser.first_seen_at IS 'When the first session with it began';

CREATE TABLE sign_in_link (
	id           uuid PRIMARY KEY,
	account_id   uuid NOT NULL REFERENCES account,
	purpose      text NOT NULL,
	email        text NOT NULL,
	secret_hash  bytea NOT NULL UNIQUE,
	browser_hash bytea,
	agent        text NOT NULL DEFAULT '',
	created_at   timestamptz NOT NULL,
	expires_at   timestamptz NOT NULL,
	used_at      timestamptz,
	CONSTRAINT link_has_a_known_purpose CHECK (purpose IN ('sign_in', 'reset', 'verify')),
	CONSTRAINT link_secret_is_a_sha256 CHECK (length(secret_hash) = 32),
	CONSTRAINT link_browser_is_a_sha256 CHECK (length(browser_hash) = 32),
	CONSTRAINT link_expires_after_it_was_made CHECK (expires_at > created_at)
);
COMMENT ON TABLE sign_in_link IS 'Links mailed to an account''s address. Each works once; a new one of the same purpose puts an end to those before it.';
COMMENT ON COLUMN sign_in_link.id IS 'Random';
COMMENT ON COLUMN sign_in_link.account_id IS 'Whose address it goes to';
COMMENT ON COLUMN sign_in_link.purpose IS 'sign_in: signs in; reset: sets a new password and signs in; verify: proves the address';
COMMENT ON COLUMN sign_in_link.email IS 'The address it was mailed to: it proves that one and no later one';
COMMENT ON COLUMN sign_in_link.secret_hash IS 'SHA-256 of what the link carries';
COMMENT ON COLUMN sign_in_link.browser_hash IS 'SHA-256 of the cookie of the browser that asked; NULL: it had none';
COMMENT ON COLUMN sign_in_link.agent IS 'The name of that browser, to be told to whoever opens the link in another';
COMMENT ON COLUMN sign_in_link.created_at IS 'When it was asked for';
COMMENT ON COLUMN sign_in_link.expires_at IS 'Not valid from then on';
COMMENT ON COLUMN sign_in_link.used_at IS 'When it was used, or replaced by a later one';
CREATE INDEX sign_in_link_of_account ON sign_in_link (account_id, purpose);
CREATE INDEX sign_in_link_expires ON sign_in_link (expires_at);

CREATE TABLE account_identity (
	issuer     text NOT NULL,
	subject    text NOT NULL,
	account_id uuid NOT NULL REFERENCES account,
	email      text,
	linked_at  timestamptz NOT NULL,
	used_at    timestamptz,
	PRIMARY KEY (issuer, subject),
	CONSTRAINT identity_names_its_issuer CHECK (length(issuer) BETWEEN 1 AND 500),
	CONSTRAINT identity_names_its_subject CHECK (length(subject) BETWEEN 1 AND 255),
	CONSTRAINT one_identity_of_a_provider_per_account UNIQUE (account_id, issuer)
);
COMMENT ON TABLE account_identity IS 'Who an account is at OpenID providers. The pair of issuer and subject is the identity; an address is only a hint.';
COMMENT ON COLUMN account_identity.issuer IS 'The provider, as in iss';
COMMENT ON COLUMN account_identity.subject IS 'The person there, as in sub';
COMMENT ON COLUMN account_identity.account_id IS 'Who that is here';
COMMENT ON COLUMN account_identity.email IS 'The address that the provider told at the last sign-in, for the person to recognise';
COMMENT ON COLUMN account_identity.linked_at IS 'When the two were joined';
COMMENT ON COLUMN account_identity.used_at IS 'The last sign-in';

CREATE TABLE oidc_flow (
	state_hash     bytea PRIMARY KEY,
	browser_hash   bytea NOT NULL,
	issuer         text NOT NULL,
	nonce          text NOT NULL,
	verifier       bytea NOT NULL,
	account_id     uuid REFERENCES account,
	next           text NOT NULL,
	created_at     timestamptz NOT NULL,
	expires_at     timestamptz NOT NULL,
	used_at        timestamptz,
	CONSTRAINT flow_state_is_a_sha256 CHECK (length(state_hash) = 32),
	CONSTRAINT flow_browser_is_a_sha256 CHECK (length(browser_hash) = 32)
);
COMMENT ON TABLE oidc_flow IS 'Sign-ins at a provider that are under way: the browser is there and shall come back once.';
COMMENT ON COLUMN oidc_flow.state_hash IS 'SHA-256 of state, which the provider gives back';
COMMENT ON COLUMN oidc_flow.browser_hash IS 'SHA-256 of the cookie of the browser that went';
COMMENT ON COLUMN oidc_flow.issuer IS 'Where it went';
COMMENT ON COLUMN oidc_flow.nonce IS 'What the identity token must repeat';
COMMENT ON COLUMN oidc_flow.verifier IS 'The secret of PKCE, sealed by the instance''s key';
COMMENT ON COLUMN oidc_flow.account_id IS 'The account that shall be joined with the identity; NULL: a sign-in';
COMMENT ON COLUMN oidc_flow.next IS 'The page to go to afterwards';
COMMENT ON COLUMN oidc_flow.created_at IS 'When the browser was sent';
COMMENT ON COLUMN oidc_flow.expires_at IS 'Not valid from then on';
COMMENT ON COLUMN oidc_flow.used_at IS 'When the browser came back';
CREATE INDEX oidc_flow_expires ON oidc_flow (expires_at);

CREATE TABLE account_factor (
	account_id   uuid PRIMARY KEY REFERENCES account,
	secret       bytea NOT NULL,
	last_step    bigint NOT NULL DEFAULT 0,
	created_at   timestamptz NOT NULL,
	confirmed_at timestamptz
);
COMMENT ON TABLE account_factor IS 'The second factor of an account: codes that change every 30 seconds (RFC 6238).';
COMMENT ON COLUMN account_factor.account_id IS 'Whose it is';
COMMENT ON COLUMN account_factor.secret IS 'The shared secret, sealed by the instance''s key';
COMMENT ON COLUMN account_factor.last_step IS 'The step of the last code that was taken: it and those before it are refused from then on';
COMMENT ON COLUMN account_factor.created_at IS 'When it was made';
COMMENT ON COLUMN account_factor.confirmed_at IS 'When a first code showed that the person has it; NULL: it is not asked for yet';

CREATE TABLE recovery_code (
	account_id uuid NOT NULL REFERENCES account,
	code_hash  bytea NOT NULL,
	created_at timestamptz NOT NULL,
	used_at    timestamptz,
	PRIMARY KEY (account_id, code_hash),
	CONSTRAINT recovery_code_is_a_sha256 CHECK (length(code_hash) = 32)
);
COMMENT ON TABLE recovery_code IS 'Codes for when the second factor is lost; each works once.';
COMMENT ON COLUMN recovery_code.account_id IS 'Whose it is';
COMMENT ON COLUMN recovery_code.code_hash IS 'HMAC-SHA-256 of account and code under the instance''s key';
COMMENT ON COLUMN recovery_code.created_at IS 'When it was made';
COMMENT ON COLUMN recovery_code.used_at IS 'When it was used';

CREATE TABLE sign_in_challenge (
	id          uuid PRIMARY KEY,
	account_id  uuid NOT NULL REFERENCES account,
	secret_hash bytea NOT NULL UNIQUE,
	how         text NOT NULL,
	created_at  timestamptz NOT NULL,
	expires_at  timestamptz NOT NULL,
	CONSTRAINT challenge_secret_is_a_sha256 CHECK (length(secret_hash) = 32),
	CONSTRAINT challenge_began_in_a_known_way CHECK (how IN ('password', 'link', 'oidc'))
);
COMMENT ON TABLE sign_in_challenge IS 'Sign-ins between their first step and the second factor. They open nothing by themselves.';
COMMENT ON COLUMN sign_in_challenge.id IS 'Random';
COMMENT ON COLUMN sign_in_challenge.account_id IS 'Who signs in';
COMMENT ON COLUMN sign_in_challenge.secret_hash IS 'SHA-256 of the cookie''s value';
COMMENT ON COLUMN sign_in_challenge.how IS 'What the first step was';
COMMENT ON COLUMN sign_in_challenge.created_at IS 'When the first step was taken';
COMMENT ON COLUMN sign_in_challenge.expires_at IS 'Not valid from then on';
CREATE INDEX sign_in_challenge_of_account ON sign_in_challenge (account_id);

CREATE TABLE sign_in_delay (
	bucket   bytea PRIMARY KEY,
	attempts integer NOT NULL,
	last_at  timestamptz NOT NULL,
	open_at  timestamptz NOT NULL,
	CONSTRAINT delay_bucket_is_a_sha256 CHECK (length(bucket) = 32)
);
COMMENT ON TABLE sign_in_delay IS 'Who has tried how often, so that each further try has to wait longer. A success takes the row away.';
COMMENT ON COLUMN sign_in_delay.bucket IS 'HMAC-SHA-256, under the instance''s key, of what is tried, at which address or account, and from which network';
COMMENT ON COLUMN sign_in_delay.attempts IS 'Tries without a success';
COMMENT ON COLUMN sign_in_delay.last_at IS 'The last of them';
COMMENT ON COLUMN sign_in_delay.open_at IS 'The next one is looked at from then on';
CREATE INDEX sign_in_delay_last ON sign_in_delay (last_at);
