-- What was erased from releases: the chained feed of tombstones, withdrawn versions and the releases made from them by leaving out.

CREATE TABLE tombstone (
	coop_id         uuid NOT NULL REFERENCES coop,
	idx             bigint NOT NULL,
	contribution_id uuid NOT NULL,
	kind            text NOT NULL,
	reason_code     text NOT NULL,
	releases        text[] NOT NULL,
	made_at         timestamptz NOT NULL,
	effective       timestamptz NOT NULL,
	purge_by        timestamptz NOT NULL,
	until           timestamptz,
	replacement     uuid,
	erasure_id      uuid,
	line            text NOT NULL,
	digest          bytea NOT NULL,
	PRIMARY KEY (coop_id, idx),
	CONSTRAINT tombstone_kind_is_known CHECK (kind IN ('erase', 'withdraw_future', 'embargo', 'correct')),
	CONSTRAINT tombstone_reason_is_no_free_text CHECK (reason_code ~ '^[a-z][a-z0-9_]{0,63}$'),
	CONSTRAINT tombstones_are_numbered_from_0 CHECK (idx >= 0),
	CONSTRAINT tombstone_instants_are_whole_hours CHECK (date_trunc('hour', effective, 'UTC') = effective AND date_trunc('hour', made_at, 'UTC') = made_at),
	CONSTRAINT only_an_embargo_ends CHECK ((kind = 'embargo') = (until IS NOT NULL)),
	CONSTRAINT only_a_correction_has_a_replacement CHECK (kind = 'correct' OR replacement IS NULL),
	CONSTRAINT tombstone_digest_is_of_its_line CHECK (digest = sha256(convert_to(line, 'UTF8')))
);
CREATE UNIQUE INDEX one_tombstone_an_item_and_erasure ON tombstone (coop_id, erasure_id, contribution_id) WHERE erasure_id IS NOT NULL;
CREATE INDEX tombstone_by_hour ON tombstone (coop_id, made_at, idx);
CREATE INDEX tombstone_of_contribution ON tombstone (coop_id, contribution_id);
COMMENT ON TABLE tombstone IS 'The feed that mirrors follow: append-only, dense, each line signed and chained to the one before. No content, no contributor, no free text.';
COMMENT ON COLUMN tombstone.coop_id IS 'The co-op';
COMMENT ON COLUMN tombstone.idx IS 'Place in the feed, from 0 without gaps';
COMMENT ON COLUMN tombstone.contribution_id IS 'What is gone; the contribution itself may be, too';
COMMENT ON COLUMN tombstone.kind IS 'erase and correct: from every copy; withdraw_future, embargo: from releases to come';
COMMENT ON COLUMN tombstone.reason_code IS 'Why, from a fixed set';
COMMENT ON COLUMN tombstone.releases IS 'Versions that held it, oldest first';
COMMENT ON COLUMN tombstone.made_at IS 'The hour in which it was made';
COMMENT ON COLUMN tombstone.effective IS 'Since when, rounded up to the hour';
COMMENT ON COLUMN tombstone.purge_by IS 'By when holders have purged it';
COMMENT ON COLUMN tombstone.until IS 'embargo: its end';
COMMENT ON COLUMN tombstone.replacement IS 'correct: the contribution that takes its place';
COMMENT ON COLUMN tombstone.erasure_id IS 'The request it is from; never told, since it would say which ids are of one person';
COMMENT ON COLUMN tombstone.line IS 'The signed line as it is served: canonical JSON';
COMMENT ON COLUMN tombstone.digest IS 'SHA-256 of line: prev of the next';
CALL commonhold_make_append_only('tombstone');
CALL commonhold_wall_in('tombstone');

CREATE TABLE tombstone_seal (
	coop_id   uuid NOT NULL REFERENCES coop,
	upto      bigint NOT NULL,
	leaf      bigint NOT NULL,
	sealed_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, upto)
);
COMMENT ON TABLE tombstone_seal IS 'Where the log has the chain of tombstones: once an hour, since a leaf for each request would say for ever which tombstones came together; append-only';
COMMENT ON COLUMN tombstone_seal.coop_id IS 'The co-op';
COMMENT ON COLUMN tombstone_seal.upto IS 'Last tombstone that the leaf covers';
COMMENT ON COLUMN tombstone_seal.leaf IS 'Index of tombstones.sealed in the co-op''s log';
COMMENT ON COLUMN tombstone_seal.sealed_at IS 'When';
CALL commonhold_make_append_only('tombstone_seal');
CALL commonhold_wall_in('tombstone_seal');

ALTER TABLE release ADD COLUMN redacts_id uuid, ADD COLUMN withdrawn_at timestamptz, ADD COLUMN withdrawn_why text, ADD COLUMN tombstones_from bigint,
	ADD COLUMN tombstones_upto bigint, ADD COLUMN cleared_at timestamptz;
COMMENT ON COLUMN release.redacts_id IS 'The release that this one is without what was erased; NULL: an ordinary release, made for a cut-off';
COMMENT ON COLUMN release.withdrawn_at IS 'When it was withdrawn';
COMMENT ON COLUMN release.withdrawn_why IS 'Why, a sentence';
COMMENT ON COLUMN release.tombstones_from IS 'First of the tombstones that it was withdrawn for';
COMMENT ON COLUMN release.tombstones_upto IS 'Last of them';
COMMENT ON COLUMN release.cleared_at IS 'When its data went from disk';
ALTER TABLE release DROP CONSTRAINT release_state_is_known, ADD CONSTRAINT release_state_is_known CHECK (state IN ('scheduled', 'frozen', 'notice', 'open', 'passed', 'failed',
	'cooling_off', 'building', 'published', 'superseded', 'withdrawn', 'expired', 'cancelled', 'redacting'));
ALTER TABLE release ADD CONSTRAINT only_redactions_are_redacting CHECK (state <> 'redacting' OR redacts_id IS NOT NULL);
ALTER TABLE release DROP CONSTRAINT one_release_per_cutoff;
-- A redaction release keeps the cut-off of what it is made from.
CREATE UNIQUE INDEX one_release_per_cutoff ON release (coop_id, cutoff_at) WHERE redacts_id IS NULL;
CREATE UNIQUE INDEX one_redaction_at_a_time ON release (coop_id) WHERE redacts_id IS NOT NULL AND state = 'redacting';
ALTER TABLE release ADD FOREIGN KEY (coop_id, redacts_id) REFERENCES release,
	ADD CONSTRAINT only_withdrawn_releases_are_cleared CHECK (cleared_at IS NULL OR state = 'withdrawn'),
	ADD CONSTRAINT tombstones_of_a_withdrawal_are_a_range CHECK ((tombstones_from IS NULL) = (tombstones_upto IS NULL) AND tombstones_from <= tombstones_upto);
