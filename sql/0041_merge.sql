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
