-- Releases: schedule, frozen candidates, what was built and published.

CREATE TABLE release (
	coop_id           uuid NOT NULL REFERENCES coop,
	id                uuid NOT NULL,
	charter           integer NOT NULL,             -- version in force when it was scheduled
	cutoff_at         timestamptz NOT NULL,         -- grants and items count if committed by then
	state             text NOT NULL,
	state_at          timestamptz NOT NULL,
	spec              text NOT NULL,                -- canonical JSON of what it is for, from the charter
	seed              bytea NOT NULL,               -- of every order that a cap selects by
	previous_id       uuid,                         -- the last published release when this one was built
	version           text,                         -- semver, when built
	frozen_at         timestamptz,
	candidates        bigint,                       -- items decided on at the cut-off …
	included          bigint,                       -- … and those that would be in
	contributors      bigint,                       -- distinct members among those
	candidates_sha256 bytea,                        -- digest of the candidate set: what the ballot is about
	ballot_id         uuid,
	build_after       timestamptz,                  -- end of the cooling-off
	built_items       bigint,                       -- rows in the artefact
	manifest_sha256   bytea,
	leaf              bigint,                       -- of release.published in the log
	published_at      timestamptz,
	failure           text,                         -- a sentence, when it failed, expired or stopped
	PRIMARY KEY (coop_id, id),
	CONSTRAINT release_state_is_known CHECK (state IN ('scheduled', 'frozen', 'notice', 'open', 'passed', 'failed', 'cooling_off', 'building',
		'published', 'superseded', 'withdrawn', 'expired', 'cancelled')),
	CONSTRAINT one_release_per_cutoff UNIQUE (coop_id, cutoff_at),
	CONSTRAINT frozen_releases_have_a_digest CHECK (state IN ('scheduled', 'cancelled') OR (candidates_sha256 IS NOT NULL AND length(candidates_sha256) = 32)),
	CONSTRAINT published_releases_have_a_manifest CHECK (state NOT IN ('published', 'superseded', 'withdrawn') OR (manifest_sha256 IS NOT NULL AND version IS NOT NULL))
);
CREATE UNIQUE INDEX release_versions_are_unique ON release (coop_id, version) WHERE version IS NOT NULL;
COMMENT ON TABLE release IS 'A scheduled release through its whole life. The state changes only through release_move (release/release.c).';

CREATE TABLE release_event (
	coop_id    uuid NOT NULL,
	seq        bigint GENERATED ALWAYS AS IDENTITY,
	release_id uuid NOT NULL,
	from_state text,
	to_state   text NOT NULL,
	at         timestamptz NOT NULL,
	reason     text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, release_id) REFERENCES release
);
CREATE INDEX release_event_of_release ON release_event (coop_id, release_id, seq);
COMMENT ON TABLE release_event IS 'Every step of a release; append-only.';
CREATE TRIGGER release_event_is_append_only BEFORE UPDATE OR DELETE ON release_event FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE TABLE release_segment (
	coop_id    uuid NOT NULL,
	release_id uuid NOT NULL,
	stage      text NOT NULL,                       -- frozen, built
	no         integer NOT NULL,                    -- pool_segment.no
	items      integer NOT NULL,
	sets       bytea NOT NULL,                      -- the distinct sets of reasons in it, 8 bytes little-endian each
	codes      bytea NOT NULL,                      -- 2 bytes little-endian an item: position of its set
	PRIMARY KEY (coop_id, release_id, stage, no),
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	CONSTRAINT release_stage_is_known CHECK (stage IN ('frozen', 'built')),
	CONSTRAINT two_bytes_an_item CHECK (length(codes) = items * 2)
);
ALTER TABLE release_segment ALTER COLUMN codes SET STORAGE EXTERNAL;
COMMENT ON TABLE release_segment IS 'The decision on every item of the pool, with all its reasons: at the cut-off, and in the transaction that published.';

CREATE TABLE release_reason (
	coop_id    uuid NOT NULL,
	release_id uuid NOT NULL,
	stage      text NOT NULL,
	reason     text NOT NULL,                       -- registry symbol; 'INCLUDE', 'CONDITIONAL', 'HOLD', 'EXCLUDE' for outcomes
	items      bigint NOT NULL,
	PRIMARY KEY (coop_id, release_id, stage, reason),
	FOREIGN KEY (coop_id, release_id) REFERENCES release
);
COMMENT ON TABLE release_reason IS 'How many items each outcome and reason touched.';

CREATE TABLE release_file (
	coop_id      uuid NOT NULL,
	release_id   uuid NOT NULL,
	path         text NOT NULL,
	size         bigint NOT NULL,
	sha256       bytea NOT NULL,
	raw_size     bigint,                            -- shards only: before compression …
	raw_sha256   bytea,
	rows         bigint,
	rids_root    bytea,
	input_sha256 bytea,                             -- … digest of what went in: equal means the file is reused as it is
	PRIMARY KEY (coop_id, release_id, path),
	FOREIGN KEY (coop_id, release_id) REFERENCES release
);
CREATE INDEX release_file_by_input ON release_file (coop_id, input_sha256) WHERE input_sha256 IS NOT NULL;
COMMENT ON TABLE release_file IS 'The files of a built artefact.';

DO $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['release', 'release_event', 'release_segment', 'release_reason', 'release_file'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY within_coop ON %I USING (coop_id = (SELECT commonhold_coop()))', t);
	END LOOP;
	REVOKE UPDATE, DELETE ON release_event FROM commonhold_app;
END $$;
