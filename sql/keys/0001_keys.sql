-- The keys database: what makes content readable, apart from the content and its backups, so that erasing a key erases what it sealed everywhere.

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN
		CREATE ROLE commonhold_app NOLOGIN NOINHERIT;
	END IF;
	IF NOT pg_has_role(current_user, 'commonhold_app', 'MEMBER') THEN
		EXECUTE format('GRANT commonhold_app TO %I', current_user);
	END IF;
EXCEPTION
	WHEN duplicate_object OR unique_violation THEN
		NULL;
	WHEN insufficient_privilege THEN
		RAISE WARNING 'The role commonhold_app could not be made or granted: the server runs with the rights of %', current_user;
END
$$;

CREATE TABLE member_key (
	coop_id uuid NOT NULL,
	member_id uuid NOT NULL,
	wrapped bytea,
	created_at timestamptz NOT NULL,
	destroyed_at timestamptz,
	PRIMARY KEY (coop_id, member_id),
	CONSTRAINT destroyed_member_key_is_gone CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);
COMMENT ON TABLE member_key IS 'The key that a member''s contributions are sealed with. Destroying it makes them unreadable in every copy';
COMMENT ON COLUMN member_key.coop_id IS 'The co-op';
COMMENT ON COLUMN member_key.member_id IS 'The membership';
COMMENT ON COLUMN member_key.wrapped IS 'The key, sealed under the instance''s master key; NULL once destroyed';
COMMENT ON COLUMN member_key.created_at IS 'When it was made';
COMMENT ON COLUMN member_key.destroyed_at IS 'When it was destroyed';

CREATE TABLE coop_key (
	coop_id uuid NOT NULL,
	key_no integer NOT NULL CONSTRAINT coop_keys_are_counted_from_one CHECK (key_no >= 1),
	public_key bytea NOT NULL CONSTRAINT public_key_is_ed25519 CHECK (length(public_key) = 32),
	wrapped_seed bytea NOT NULL,
	created_at timestamptz NOT NULL,
	retired_at timestamptz,
	PRIMARY KEY (coop_id, key_no),
	CONSTRAINT public_key_belongs_to_one_coop UNIQUE (public_key)
);
COMMENT ON TABLE coop_key IS 'The keys that a co-op signs with; the first one gives it its name';
COMMENT ON COLUMN coop_key.coop_id IS 'The co-op';
COMMENT ON COLUMN coop_key.key_no IS 'Counted from 1';
COMMENT ON COLUMN coop_key.public_key IS 'Ed25519, 32 bytes';
COMMENT ON COLUMN coop_key.wrapped_seed IS 'The seed, sealed under the instance''s master key';
COMMENT ON COLUMN coop_key.created_at IS 'When it was made';
COMMENT ON COLUMN coop_key.retired_at IS 'When a newer key took over';

-- Keys are never removed: a destroyed one leaves the fact that it was.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN
		GRANT USAGE ON SCHEMA public TO commonhold_app;
		GRANT SELECT, INSERT, UPDATE ON member_key, coop_key TO commonhold_app;
		GRANT SELECT ON commonhold_migration TO commonhold_app;
	END IF;
END
$$;
