-- What every table stands on: the role of the server, the clock, the settings of a transaction, append-only tables, and the server's own tables
-- (jobs, ticks, idempotency keys, rate limits).

-- The role may exist already: roles belong to the whole server, and an administrator may have made it when ours may not.
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

-- Tables are readable and writable by the server's role unless a migration takes that away.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN
		GRANT USAGE ON SCHEMA public TO commonhold_app;
		ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO commonhold_app;
		ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO commonhold_app;
		ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO commonhold_app;
		GRANT SELECT ON commonhold_migration TO commonhold_app;
	END IF;
END
$$;

CREATE FUNCTION commonhold_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('commonhold.now', true), '')::timestamptz, statement_timestamp());
COMMENT ON FUNCTION commonhold_now() IS 'The present as the server told it to this transaction: the only clock of the schema';

CREATE FUNCTION commonhold_account() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('commonhold.account', true), '')::uuid;
COMMENT ON FUNCTION commonhold_account() IS 'The account that acts in this transaction, or NULL';

CREATE FUNCTION commonhold_coop() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('commonhold.coop', true), '')::uuid;
COMMENT ON FUNCTION commonhold_coop() IS 'The co-op whose rows this transaction sees, or NULL';

CREATE FUNCTION commonhold_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'CH001';
END
$$;
COMMENT ON FUNCTION commonhold_append_only() IS 'Trigger that refuses UPDATE, DELETE and TRUNCATE: these tables hold facts that happened';

-- Makes a table append-only: the trigger refuses everyone, and the server's role has no right to try.
CREATE PROCEDURE commonhold_make_append_only(target regclass) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER facts_do_not_change BEFORE UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION commonhold_append_only()', target);
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN
		EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM commonhold_app', target);
	END IF;
END
$$;
COMMENT ON PROCEDURE commonhold_make_append_only(regclass) IS 'Called by migrations after CREATE TABLE for tables of facts';

-- Puts row-level security on a table of a co-op: a transaction sees the rows of the co-op that it entered, and no others.
CREATE PROCEDURE commonhold_wall_in(target regclass) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
	EXECUTE format('CREATE POLICY rows_of_own_coop_only ON %s USING (coop_id = (SELECT commonhold_coop()))', target);
END
$$;
COMMENT ON PROCEDURE commonhold_wall_in(regclass) IS 'Called by migrations after CREATE TABLE for tables with coop_id';

CREATE TABLE job (
	id uuid PRIMARY KEY,
	kind text NOT NULL CONSTRAINT job_kind_is_a_dotted_name CHECK (kind ~ '^[a-z0-9_]+(\.[a-z0-9_]+)*$'),
	key text,
	args text NOT NULL,
	state text NOT NULL CONSTRAINT job_state_is_known CHECK (state IN ('waiting', 'running', 'dead')),
	due timestamptz NOT NULL,
	attempts integer NOT NULL DEFAULT 0,
	lease_token uuid,
	lease_until timestamptz,
	again_due timestamptz,
	queued_at timestamptz NOT NULL,
	died_at timestamptz,
	last_error text,
	CONSTRAINT running_job_has_a_lease CHECK ((state = 'running') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)),
	CONSTRAINT dead_job_says_when CHECK ((state = 'dead') = (died_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX job_with_a_key_is_single ON job (kind, key) WHERE key IS NOT NULL AND state IN ('waiting', 'running');
CREATE INDEX job_ready ON job (due) WHERE state = 'waiting';
CREATE INDEX job_leased ON job (lease_until) WHERE state = 'running';
COMMENT ON TABLE job IS 'What must act later, upward or on a schedule. Claimed with SKIP LOCKED under a lease; gone when done';
COMMENT ON COLUMN job.id IS 'Made by whoever queues it';
COMMENT ON COLUMN job.kind IS 'Names the handler';
COMMENT ON COLUMN job.key IS 'While a job of the kind with this key waits or runs there is no second one; NULL: any number';
COMMENT ON COLUMN job.args IS 'JSON for the handler';
COMMENT ON COLUMN job.state IS 'waiting, running (under a lease), dead (failed for the last time)';
COMMENT ON COLUMN job.due IS 'Not before this instant';
COMMENT ON COLUMN job.attempts IS 'Runs begun';
COMMENT ON COLUMN job.lease_token IS 'Of the run that holds it; a run whose token is no longer here has lost its lease';
COMMENT ON COLUMN job.lease_until IS 'After this instant others may take it over';
COMMENT ON COLUMN job.again_due IS 'Queued again under its key while it ran: when to run once more';
COMMENT ON COLUMN job.queued_at IS 'When it was queued';
COMMENT ON COLUMN job.died_at IS 'When it was given up';
COMMENT ON COLUMN job.last_error IS 'What the last failed run said: code and message, without personal data';

CREATE TABLE job_tick (
	kind text PRIMARY KEY,
	next_due timestamptz NOT NULL
);
COMMENT ON TABLE job_tick IS 'Periodic duties: when each is queued next, over all processes';
COMMENT ON COLUMN job_tick.kind IS 'Kind of the job to queue';
COMMENT ON COLUMN job_tick.next_due IS 'Start of the next period';

CREATE TABLE idempotency (
	actor text NOT NULL,
	key text NOT NULL CONSTRAINT idempotency_key_is_short CHECK (length(key) BETWEEN 1 AND 255),
	route text NOT NULL,
	request_hash bytea NOT NULL CONSTRAINT request_hash_is_sha256 CHECK (length(request_hash) = 32),
	status integer,
	headers text,
	body bytea,
	created_at timestamptz NOT NULL,
	expires timestamptz NOT NULL,
	PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_expires ON idempotency (expires);
COMMENT ON TABLE idempotency IS 'The first answer to each POST that carried an Idempotency-Key, repeated while it is kept';
COMMENT ON COLUMN idempotency.actor IS 'Whose key it is: an account''s id, or a session''s or address''s digest before there is an account';
COMMENT ON COLUMN idempotency.key IS 'As sent';
COMMENT ON COLUMN idempotency.route IS 'Id of the route that it was used for';
COMMENT ON COLUMN idempotency.request_hash IS 'SHA-256 of the request; another request under the key is refused';
COMMENT ON COLUMN idempotency.status IS 'HTTP status of the answer; NULL while the first request is being answered';
COMMENT ON COLUMN idempotency.headers IS 'Extra header lines of the answer';
COMMENT ON COLUMN idempotency.body IS 'Body of the answer';
COMMENT ON COLUMN idempotency.created_at IS 'When the first request came';
COMMENT ON COLUMN idempotency.expires IS 'Forgotten after this instant';

-- Counts that may be lost in a crash: no one is harmed by a limit that starts afresh.
CREATE UNLOGGED TABLE rate_limit (
	bucket text NOT NULL,
	window_start timestamptz NOT NULL,
	used integer NOT NULL,
	PRIMARY KEY (bucket, window_start)
);
CREATE INDEX rate_limit_old ON rate_limit (window_start);
COMMENT ON TABLE rate_limit IS 'Requests counted per caller and window, over all processes';
COMMENT ON COLUMN rate_limit.bucket IS 'Who and what is counted: an account''s id, or a digest of an address';
COMMENT ON COLUMN rate_limit.window_start IS 'Start of the window';
COMMENT ON COLUMN rate_limit.used IS 'Cost used up in it';
