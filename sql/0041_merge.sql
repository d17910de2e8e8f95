-- Merging: which bundles were applied, what contradicted itself, labels of other co-ops, and clusters of near duplicates.

CREATE TABLE merge_applied (
	coop_id      uuid NOT NULL REFERENCES coop,
	agreement_id uuid NOT NULL,
	seq          bigint NOT NULL,
	digest       bytea NOT NULL,
	home         text NOT NULL,
	applied_at   timestamptz NOT NULL,
	report       text NOT NULL,
	PRIMARY KEY (coop_id, agreement_id, seq),
	CONSTRAINT applied_bundles_are_numbered_from_1 CHECK (seq >= 1),
	CONSTRAINT applied_digest_is_a_sha256 CHECK (length(digest) = 32)
);
COMMENT ON TABLE merge_applied IS 'Bundles that were applied, in the transaction that applied them: what makes applying twice a no-op. Append-only';
COMMENT ON COLUMN merge_applied.coop_id IS 'The co-op that took it';
COMMENT ON COLUMN merge_applied.agreement_id IS 'The agreement under which it was sent';
COMMENT ON COLUMN merge_applied.seq IS 'Its number, from 1 without gaps';
COMMENT ON COLUMN merge_applied.digest IS 'SHA-256 of its bundle.json';
COMMENT ON COLUMN merge_applied.home IS 'Key name of the co-op that sent it';
COMMENT ON COLUMN merge_applied.applied_at IS 'When';
COMMENT ON COLUMN merge_applied.report IS 'What became of its lines, canonical JSON';
CALL commonhold_make_append_only('merge_applied');
CALL commonhold_wall_in('merge_applied');

CREATE TABLE merge_conflict (
	coop_id      uuid NOT NULL REFERENCES coop,
	id           uuid NOT NULL,
	kind         text NOT NULL,
	agreement_id uuid,
	home         text NOT NULL,
	rid          text,
	mark         bytea NOT NULL,
	detail       text NOT NULL,
	proof        text,
	found_at     timestamptz NOT NULL,
	decision     text,
	reason       text,
	decided_at   timestamptz,
	decided_by   uuid,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT a_conflict_is_noted_once UNIQUE (coop_id, mark),
	CONSTRAINT merge_conflict_kind_is_known CHECK (kind IN ('equivocation', 'suppressed', 'unmapped', 'id_taken', 'near_loss')),
	CONSTRAINT a_decision_has_its_time CHECK ((decision IS NULL) = (decided_at IS NULL)),
	CONSTRAINT conflict_mark_is_a_sha256 CHECK (length(mark) = 32)
);
CREATE INDEX merge_conflict_newest ON merge_conflict (coop_id, found_at DESC, id);
CREATE INDEX merge_conflict_open ON merge_conflict (coop_id, found_at DESC, id) WHERE decision IS NULL;
COMMENT ON TABLE merge_conflict IS 'What merging could not settle by rule: a queue for admins, and the proofs of equivocation';
COMMENT ON COLUMN merge_conflict.coop_id IS 'The co-op';
COMMENT ON COLUMN merge_conflict.id IS 'Random';
COMMENT ON COLUMN merge_conflict.kind IS 'Word of MERGE_CONFLICTS (merge.h)';
COMMENT ON COLUMN merge_conflict.agreement_id IS 'Under which it arose; NULL: under none in particular';
COMMENT ON COLUMN merge_conflict.home IS 'Key name of the co-op that it is about';
COMMENT ON COLUMN merge_conflict.rid IS 'The record that it is about; NULL where it is about more than one';
COMMENT ON COLUMN merge_conflict.mark IS 'SHA-256 over kind, home and what makes it the same conflict, so that it is noted once';
COMMENT ON COLUMN merge_conflict.detail IS 'Canonical JSON: digests, schema, counts; never content';
COMMENT ON COLUMN merge_conflict.proof IS 'Equivocation: both signed things, canonical JSON';
COMMENT ON COLUMN merge_conflict.found_at IS 'When';
COMMENT ON COLUMN merge_conflict.decision IS 'What an admin decided; NULL: open';
COMMENT ON COLUMN merge_conflict.reason IS 'Why, in the admin''s words';
COMMENT ON COLUMN merge_conflict.decided_at IS 'When it was decided';
COMMENT ON COLUMN merge_conflict.decided_by IS 'Account of the admin';
CALL commonhold_wall_in('merge_conflict');

-- Sets, keyed so that the same word again changes nothing. Two people's labels stand side by side and are never averaged.
CREATE TABLE merge_label (
	coop_id      uuid NOT NULL REFERENCES coop,
	item_id      uuid NOT NULL,
	home         text NOT NULL,
	by_home      text NOT NULL,
	by           bytea NOT NULL,
	label        text NOT NULL,
	value        text,
	at           timestamptz NOT NULL,
	agreement_id uuid NOT NULL,
	PRIMARY KEY (coop_id, item_id, by_home, by, label, home),
	CONSTRAINT labeller_is_a_pseudonym CHECK (length(by) = 16)
);
COMMENT ON TABLE merge_label IS 'Labels and signals that came with bundles: one word for each labeller, co-op, record and label; the latest stands';
COMMENT ON COLUMN merge_label.coop_id IS 'The co-op that holds it';
COMMENT ON COLUMN merge_label.item_id IS 'Id of the record that it is about';
COMMENT ON COLUMN merge_label.home IS 'Key name of that record''s home';
COMMENT ON COLUMN merge_label.by_home IS 'Key name of the labeller''s home';
COMMENT ON COLUMN merge_label.by IS 'The labeller''s pseudonym there';
COMMENT ON COLUMN merge_label.label IS 'Which label, or which kind of signal';
COMMENT ON COLUMN merge_label.value IS 'What was said, canonical JSON; NULL: a signal, which is only there';
COMMENT ON COLUMN merge_label.at IS 'When it was said';
COMMENT ON COLUMN merge_label.agreement_id IS 'Under which it came';
CALL commonhold_wall_in('merge_label');

-- What was said about an item goes with it.
CREATE FUNCTION merge_labels_go_with_their_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM merge_label l WHERE l.coop_id = NEW.coop_id AND l.item_id = NEW.id;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION merge_labels_go_with_their_item() IS 'Trigger: labels of an item that became a tombstone';
CREATE TRIGGER merge_labels_go_with_their_item AFTER UPDATE OF word ON contribution FOR EACH ROW
	WHEN ((NEW.word & 4096) <> 0 AND (OLD.word & 4096) = 0) EXECUTE FUNCTION merge_labels_go_with_their_item();

CREATE TABLE merge_near_run (
	coop_id  uuid PRIMARY KEY REFERENCES coop,
	at       timestamptz NOT NULL,
	texts    bigint NOT NULL,
	clusters bigint NOT NULL,
	near     bigint NOT NULL,
	per_cent integer NOT NULL,
	fair     boolean NOT NULL,
	losses   text NOT NULL
);
COMMENT ON TABLE merge_near_run IS 'The last search for near duplicates: advice, kept beside the items';
COMMENT ON COLUMN merge_near_run.coop_id IS 'The co-op';
COMMENT ON COLUMN merge_near_run.at IS 'When it ran';
COMMENT ON COLUMN merge_near_run.texts IS 'Texts looked at';
COMMENT ON COLUMN merge_near_run.clusters IS 'Clusters found';
COMMENT ON COLUMN merge_near_run.near IS 'Texts in them';
COMMENT ON COLUMN merge_near_run.per_cent IS 'The loss of a source that is still accepted';
COMMENT ON COLUMN merge_near_run.fair IS 'Nobody would lose more than that';
COMMENT ON COLUMN merge_near_run.losses IS 'Who would lose how much, canonical JSON';
CALL commonhold_wall_in('merge_near_run');

CREATE TABLE merge_near_cluster (
	coop_id uuid NOT NULL REFERENCES coop,
	no      bigint NOT NULL,
	items   bigint[] NOT NULL,
	PRIMARY KEY (coop_id, no)
);
COMMENT ON TABLE merge_near_cluster IS 'Items that say almost the same, of the last run';
COMMENT ON COLUMN merge_near_cluster.coop_id IS 'The co-op';
COMMENT ON COLUMN merge_near_cluster.no IS 'From 0, in the order of their first digests';
COMMENT ON COLUMN merge_near_cluster.items IS 'Item numbers';
CALL commonhold_wall_in('merge_near_cluster');

-- What a co-op no longer passes on of what it had passed on: its latest word on each record stands.
CREATE TABLE merge_passing (
	coop_id uuid NOT NULL REFERENCES coop,
	home    text NOT NULL,
	id      uuid NOT NULL,
	by_home text NOT NULL,
	rev     bigint NOT NULL,
	out     boolean NOT NULL,
	PRIMARY KEY (coop_id, id, home, by_home)
);
COMMENT ON TABLE merge_passing IS 'Words of other co-ops that they pass a record on no longer, or do again; kept whether the record is here or not, so that it makes no difference which comes first';
COMMENT ON COLUMN merge_passing.coop_id IS 'The co-op that was told';
COMMENT ON COLUMN merge_passing.home IS 'Key name of the record''s home';
COMMENT ON COLUMN merge_passing.id IS 'Uuid of its rid';
COMMENT ON COLUMN merge_passing.by_home IS 'Key name of the co-op that said so';
COMMENT ON COLUMN merge_passing.rev IS 'Size of its log when it said so: the greatest stands';
COMMENT ON COLUMN merge_passing.out IS 'Passed on no longer: in no release here';
CALL commonhold_wall_in('merge_passing');

CREATE TABLE merge_unmapped (
	coop_id uuid NOT NULL REFERENCES coop,
	home    text NOT NULL,
	id      uuid NOT NULL,
	schema  text NOT NULL,
	PRIMARY KEY (coop_id, id, home)
);
CREATE INDEX merge_unmapped_schema ON merge_unmapped (coop_id, home, schema);
COMMENT ON TABLE merge_unmapped IS 'Records of schemas that no agreement maps: taken as they are, until an admin decides';
COMMENT ON COLUMN merge_unmapped.coop_id IS 'The co-op that holds them';
COMMENT ON COLUMN merge_unmapped.home IS 'Key name of their home';
COMMENT ON COLUMN merge_unmapped.id IS 'Uuid of the rid';
COMMENT ON COLUMN merge_unmapped.schema IS 'What the home calls the schema';
CALL commonhold_wall_in('merge_unmapped');
CREATE INDEX merge_conflict_of_rid ON merge_conflict (coop_id, rid) WHERE rid IS NOT NULL;
CREATE INDEX merge_conflict_of_schema ON merge_conflict (coop_id, home) WHERE kind = 'unmapped';

-- Whether a record is kept out of releases for what was said of it elsewhere or found out here.
CREATE FUNCTION merge_is_held(in_coop uuid, in_home text, in_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM merge_passing p WHERE p.coop_id = in_coop AND p.id = in_id AND p.home = in_home AND p.out)
		OR EXISTS (SELECT FROM merge_conflict k WHERE k.coop_id = in_coop AND k.rid = 'dc:' || in_home || ':' || in_id AND k.kind = 'equivocation')
		OR EXISTS (SELECT FROM merge_unmapped u JOIN merge_conflict k ON k.coop_id = u.coop_id AND k.home = u.home AND k.kind = 'unmapped' AND k.decision = 'leave_out'
			AND k.detail::json ->> 'schema' = u.schema WHERE u.coop_id = in_coop AND u.id = in_id AND u.home = in_home)
$$;
COMMENT ON FUNCTION merge_is_held(uuid, text, uuid) IS 'Passed on no longer, contradicted by its own home, or of a schema that was left out';

-- ---- Numbers on their way ----

-- A bundle's rows become visible at once, with the one transaction that writes them. It may take minutes, and numbers are dense: so they are given beforehand, each group's in a moment of the pool's
-- lock, and nobody waits for the rows.
CREATE TABLE pool_arriving (
	coop_id uuid NOT NULL REFERENCES coop,
	first   bigint NOT NULL,
	n       bigint NOT NULL CONSTRAINT arriving_are_some CHECK (n > 0),
	PRIMARY KEY (coop_id, first)
);
COMMENT ON TABLE pool_arriving IS 'Item numbers given to rows that a transaction is still writing, in ranges. The pool ends before the first of them for whoever reads it by numbers';
COMMENT ON COLUMN pool_arriving.coop_id IS 'The co-op';
COMMENT ON COLUMN pool_arriving.first IS 'First number of the range';
COMMENT ON COLUMN pool_arriving.n IS 'How many';
CALL commonhold_wall_in('pool_arriving');

-- Numbers that were given count as contributions when their rows are there.
CREATE FUNCTION pool_arriving_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		UPDATE coop_count SET contributions = contributions - NEW.n WHERE coop_id = NEW.coop_id;
	ELSE
		UPDATE coop_count SET contributions = contributions + OLD.n WHERE coop_id = OLD.coop_id;
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION pool_arriving_counts() IS 'Trigger: keeps coop_count.contributions to what is there';
CREATE CONSTRAINT TRIGGER arriving_are_not_counted AFTER INSERT OR DELETE ON pool_arriving DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pool_arriving_counts();

CREATE FUNCTION pool_size(in_coop uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT coalesce((SELECT min(a.first) FROM pool_arriving a WHERE a.coop_id = in_coop), (SELECT h.next_item FROM pool_head h WHERE h.coop_id = in_coop))
$$;
COMMENT ON FUNCTION pool_size(uuid) IS 'Items of the pool without a gap, from 0: what decisions, packing and scanning read. NULL: there never was one';

-- Numbers that nobody writes rows for any more are given back; where later ones were given meanwhile, empty rows take their places.
CREATE FUNCTION pool_settle_arriving(in_coop uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
	IF NOT EXISTS (SELECT FROM pool_arriving WHERE coop_id = in_coop) OR NOT pg_try_advisory_xact_lock(hashtextextended('arriving ' || in_coop, 0)) THEN
		RETURN;
	END IF;
	PERFORM 1 FROM pool_head WHERE coop_id = in_coop FOR UPDATE;
	FOR r IN SELECT first, n FROM pool_arriving WHERE coop_id = in_coop ORDER BY first DESC LOOP
		UPDATE pool_head SET next_item = r.first WHERE coop_id = in_coop AND next_item = r.first + r.n;
		IF NOT FOUND THEN
			INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, leaf, salt)
				SELECT in_coop, v.id, v.no, '00000000-0000-0000-0000-000000000000', -1, 0, 0, 0, 'und', sha256(uuid_send(v.id)), 0, commonhold_now(), 4096, -1, ''
				FROM (SELECT no, gen_random_uuid() AS id FROM generate_series(r.first, r.first + r.n - 1) AS no) v;
			UPDATE coop_count SET contributions = contributions - r.n WHERE coop_id = in_coop;
		END IF;
	END LOOP;
	DELETE FROM pool_arriving WHERE coop_id = in_coop;
END $$;
COMMENT ON FUNCTION pool_settle_arriving(uuid) IS 'Settles the numbers that a transaction left behind which did not come to its end. While one is at work, which holds the advisory lock "arriving", nothing is done';

-- Counts changes of rows, so that a long transaction can tell that nothing it relied on has changed.
ALTER TABLE pool_head ADD COLUMN changes bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN pool_head.changes IS 'Statements that changed rows of contribution so far';
CREATE OR REPLACE FUNCTION pool_segment_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM 1 FROM pool_head h WHERE h.coop_id IN (SELECT coop_id FROM changed) ORDER BY h.coop_id FOR UPDATE;
	UPDATE pool_head h SET changes = h.changes + 1 WHERE h.coop_id IN (SELECT coop_id FROM changed);
	UPDATE pool_segment s SET dirty = true
		FROM (SELECT DISTINCT coop_id, (item_no >> 12)::integer AS no FROM changed) c
		WHERE s.coop_id = c.coop_id AND s.no = c.no AND NOT s.dirty;
	RETURN NULL;
END $$;
