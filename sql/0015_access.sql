-- The gate: requests, grants, downloads.

CREATE TABLE access_request (
	coop_id      uuid NOT NULL REFERENCES coop,
	id           uuid NOT NULL,
	account_id   uuid NOT NULL REFERENCES account,
	release_id   uuid,                              -- one release; NULL: the line, from now on
	purpose      text NOT NULL,                     -- policy_vocab.h
	description  text NOT NULL,                     -- what for, in the requester's words
	organisation text NOT NULL DEFAULT '',
	terms_sha256 bytea NOT NULL,                    -- of the terms that were accepted
	state        text NOT NULL,
	created_at   timestamptz NOT NULL,
	decided_at   timestamptz,
	decided_by   uuid,                              -- account; NULL: automatic
	reason       text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	CONSTRAINT access_request_state_is_known CHECK (state IN ('pending', 'granted', 'refused', 'cancelled')),
	CONSTRAINT decided_requests_say_when CHECK ((state = 'pending') = (decided_at IS NULL)),
	CONSTRAINT accepted_terms_are_a_sha256 CHECK (length(terms_sha256) = 32)
);
CREATE UNIQUE INDEX one_pending_request_per_person ON access_request (coop_id, account_id, coalesce(release_id, coop_id), purpose) WHERE state = 'pending';
CREATE INDEX access_request_by_time ON access_request (coop_id, created_at DESC, id DESC);
CREATE INDEX access_request_of_account ON access_request (account_id);
COMMENT ON TABLE access_request IS 'Somebody asks to use releases of a co-op for a purpose, having accepted its terms.';

CREATE TABLE access_grant (
	coop_id      uuid NOT NULL REFERENCES coop,
	id           uuid NOT NULL,
	request_id   uuid NOT NULL,
	account_id   uuid NOT NULL REFERENCES account,
	release_id   uuid,                              -- NULL: every published release while it lasts
	purpose      text NOT NULL,
	terms_sha256 bytea NOT NULL,
	granted_at   timestamptz NOT NULL,
	granted_by   uuid,                              -- account; NULL: automatic, which opens no release whose audience needs a person's decision
	expires_at   timestamptz NOT NULL,
	purge_days   integer NOT NULL,                  -- how soon the holder deletes what a tombstone names
	revoked_at   timestamptz,
	revoked_by   uuid,
	reason       text NOT NULL DEFAULT '',          -- of the revocation
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, request_id) REFERENCES access_request,
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	CONSTRAINT one_grant_per_request UNIQUE (coop_id, request_id),
	CONSTRAINT grants_end CHECK (expires_at > granted_at),
	CONSTRAINT granted_terms_are_a_sha256 CHECK (length(terms_sha256) = 32)
);
CREATE INDEX access_grant_by_time ON access_grant (coop_id, granted_at DESC, id DESC);
CREATE INDEX access_grant_of_account ON access_grant (account_id);
COMMENT ON TABLE access_grant IS 'A permission to download: who, for what, under which terms, until when.';

CREATE TABLE access_log (
	coop_id    uuid NOT NULL,
	seq        bigint GENERATED ALWAYS AS IDENTITY,
	at         timestamptz NOT NULL,
	account_id uuid,                                -- NULL: a public release
	grant_id   uuid,
	release_id uuid NOT NULL,
	path       text NOT NULL,
	status     smallint NOT NULL,                   -- 200, 206, 304
	first_byte bigint NOT NULL,
	bytes      bigint NOT NULL,                     -- that were about to be sent: written before the first of them goes out
	PRIMARY KEY (coop_id, seq)
);
CREATE INDEX access_log_of_release ON access_log (coop_id, release_id, seq);
CREATE INDEX access_log_by_time ON access_log (coop_id, at);
COMMENT ON TABLE access_log IS 'Every download; append-only but for the charter''s retention.';
CREATE TRIGGER access_log_is_append_only BEFORE UPDATE ON access_log FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

-- A request sees the rows of its co-op and the person's own.
ALTER TABLE access_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE access_request FORCE ROW LEVEL SECURITY;
CREATE POLICY of_coop_or_own ON access_request USING (coop_id = (SELECT commonhold_coop()) OR account_id = (SELECT commonhold_account()))
	WITH CHECK (coop_id = (SELECT commonhold_coop()));
ALTER TABLE access_grant ENABLE ROW LEVEL SECURITY;
ALTER TABLE access_grant FORCE ROW LEVEL SECURITY;
CREATE POLICY of_coop_or_own ON access_grant USING (coop_id = (SELECT commonhold_coop()) OR account_id = (SELECT commonhold_account()))
	WITH CHECK (coop_id = (SELECT commonhold_coop()));
ALTER TABLE access_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE access_log FORCE ROW LEVEL SECURITY;
CREATE POLICY within_coop ON access_log USING (coop_id = (SELECT commonhold_coop()));
DO $$ BEGIN
	REVOKE UPDATE ON access_log FROM commonhold_app;
	REVOKE DELETE ON access_request, access_grant FROM commonhold_app;
END $$;
