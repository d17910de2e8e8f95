-- Deletions across a merge: what homes took back, receipts of partners, what may not come in again, and what was derived from what.

-- ---- Requests that a partner's home brought about ----

ALTER TABLE erasure DROP CONSTRAINT erasure_asker_is_known;
ALTER TABLE erasure ADD CONSTRAINT erasure_asker_is_known CHECK (asker IN ('member', 'agent', 'subject', 'rule', 'partner'));
ALTER TABLE erasure DROP CONSTRAINT claims_are_about_somebody_elses_items;
ALTER TABLE erasure ADD CONSTRAINT claims_are_about_somebody_elses_items CHECK ((asker IN ('subject', 'rule', 'partner')) = (member_id IS NULL));
COMMENT ON COLUMN erasure.asker IS 'member (their own), agent (for a member), subject (says that an item is about them), rule (the charter''s retention, and what was derived), partner (another co-op, whose item it is)';
COMMENT ON COLUMN erasure.member_id IS 'Whose items; NULL for claims, rules and partners, which may be about several people''s';

-- ---- What homes said ----

CREATE TABLE onward_word (
	coop_id     uuid NOT NULL REFERENCES coop,
	feed        text NOT NULL,
	idx         bigint NOT NULL,
	home        text NOT NULL,
	id          uuid NOT NULL,
	kind        text NOT NULL,
	reason_code text NOT NULL,
	effective   timestamptz NOT NULL,
	purge_by    timestamptz NOT NULL,
	until       timestamptz,
	replacement uuid,
	line        text NOT NULL,
	digest      bytea NOT NULL,
	via         text NOT NULL,
	counts      boolean NOT NULL,
	taken_at    timestamptz NOT NULL,
	erasure_id  uuid,
	answered_at timestamptz,
	PRIMARY KEY (coop_id, feed, idx),
	CONSTRAINT onward_word_kind_is_known CHECK (kind IN ('erase', 'withdraw_future', 'embargo', 'correct')),
	CONSTRAINT onward_words_keep_their_line CHECK (digest = sha256(convert_to(line, 'UTF8'))),
	CONSTRAINT only_an_embargo_has_an_end CHECK ((kind = 'embargo') = (until IS NOT NULL))
);
COMMENT ON TABLE onward_word IS 'Tombstones of other co-ops, as they were signed: kept whether the item is here or not, so that it never comes back.';
COMMENT ON COLUMN onward_word.coop_id IS 'The co-op that was told';
COMMENT ON COLUMN onward_word.feed IS 'Key name of the co-op in whose feed it stands, and which signed it';
COMMENT ON COLUMN onward_word.idx IS 'Its place in that feed';
COMMENT ON COLUMN onward_word.home IS 'Key name of the home of the item';
COMMENT ON COLUMN onward_word.id IS 'The item, under its home''s id';
COMMENT ON COLUMN onward_word.kind IS 'erase, withdraw_future, embargo, correct';
COMMENT ON COLUMN onward_word.reason_code IS 'Why, from a fixed set';
COMMENT ON COLUMN onward_word.effective IS 'Since when, in whole hours';
COMMENT ON COLUMN onward_word.purge_by IS 'By when holders have purged it';
COMMENT ON COLUMN onward_word.until IS 'End of an embargo';
COMMENT ON COLUMN onward_word.replacement IS 'correct: the id, of the same home, that takes its place';
COMMENT ON COLUMN onward_word.line IS 'The line, byte for byte';
COMMENT ON COLUMN onward_word.digest IS 'SHA-256 of the line';
COMMENT ON COLUMN onward_word.via IS 'Key name of the partner who handed it over: where the receipt goes';
COMMENT ON COLUMN onward_word.counts IS 'Signed by the item''s home. Others count for what that very partner gave us, and nothing else';
COMMENT ON COLUMN onward_word.taken_at IS 'When it came';
COMMENT ON COLUMN onward_word.erasure_id IS 'The request that carries it out here; NULL: nothing of it is here';
COMMENT ON COLUMN onward_word.answered_at IS 'When our receipt was sent; NULL: not yet';
CREATE INDEX onward_word_of_item ON onward_word (coop_id, home, id);
CREATE INDEX onward_word_open ON onward_word (coop_id, home, id) WHERE erasure_id IS NULL AND counts;
CREATE INDEX onward_word_of_erasure ON onward_word (coop_id, erasure_id, feed, idx) WHERE erasure_id IS NOT NULL;
CREATE INDEX onward_word_unanswered ON onward_word (coop_id, via, feed, idx) WHERE answered_at IS NULL;
CALL commonhold_wall_in('onward_word');

CREATE TABLE onward_home (
	coop_id uuid NOT NULL REFERENCES coop,
	home    text NOT NULL,
	keys    text NOT NULL,
	PRIMARY KEY (coop_id, home)
);
COMMENT ON TABLE onward_home IS 'Keys of co-ops that are no peers and whose words or receipts are passed on: followed from their names, the longest chain that was seen.';
COMMENT ON COLUMN onward_home.coop_id IS 'The co-op that knows it';
COMMENT ON COLUMN onward_home.home IS 'Its key name';
COMMENT ON COLUMN onward_home.keys IS 'Its keys.json';
CALL commonhold_wall_in('onward_home');

-- ---- What partners owe, and their receipts ----

ALTER TABLE duty ADD COLUMN partner text, ADD COLUMN through text, ADD COLUMN partner_name text, ADD COLUMN told int8multirange, ADD COLUMN seen int8multirange;
ALTER TABLE duty ALTER COLUMN account_id DROP NOT NULL;
ALTER TABLE duty DROP CONSTRAINT a_recipient_owes_once_for_an_erasure;
ALTER TABLE duty ADD CONSTRAINT a_recipient_owes_once_for_an_erasure UNIQUE NULLS NOT DISTINCT (coop_id, erasure_id, mirror_id, grant_id, partner);
ALTER TABLE duty DROP CONSTRAINT duty_kind_is_known;
ALTER TABLE duty ADD CONSTRAINT duty_kind_is_known CHECK (kind IN ('mirror', 'grant', 'partner'));
ALTER TABLE duty DROP CONSTRAINT a_mirror_or_a_grant_owes;
ALTER TABLE duty ADD CONSTRAINT a_mirror_a_grant_or_a_partner_owes CHECK ((kind = 'mirror') = (mirror_id IS NOT NULL) AND (kind = 'grant') = (grant_id IS NOT NULL)
	AND (kind = 'partner') = (partner IS NOT NULL) AND (kind = 'partner') = (partner_name IS NOT NULL) AND (kind = 'partner') = (account_id IS NULL)
	AND (kind = 'partner') = (told IS NOT NULL) AND (kind = 'partner') = (seen IS NOT NULL));
ALTER TABLE duty ADD CONSTRAINT partners_alone_are_told_through_others CHECK (through IS NULL OR partner IS NOT NULL);
ALTER TABLE duty DROP CONSTRAINT duty_method_is_known;
ALTER TABLE duty ADD CONSTRAINT duty_method_is_known CHECK (method IN ('patched', 'deleted', 'never-held', 'held-back'));
CREATE INDEX duty_of_partner ON duty (coop_id, partner, upto) WHERE partner IS NOT NULL;
COMMENT ON COLUMN duty.kind IS 'Who owes it: a mirror, the holder of a grant, or another co-op that holds the item itself';
COMMENT ON COLUMN duty.account_id IS 'Who answers for it; NULL for co-ops';
COMMENT ON COLUMN duty.partner IS 'Key name of the co-op';
COMMENT ON COLUMN duty.through IS 'Key name of the partner who passed the item on to it and answers for its receipt; NULL: it is our own partner';
COMMENT ON COLUMN duty.partner_name IS 'What that co-op is called';
COMMENT ON COLUMN duty.told IS 'Tombstones, by index, that are about items which that co-op has, or may have';
COMMENT ON COLUMN duty.seen IS 'Those that its receipts confirm: all of them, and the duty is';

CREATE TABLE onward_receipt (
	coop_id  uuid NOT NULL REFERENCES coop,
	id       uuid NOT NULL,
	seq      bigint GENERATED ALWAYS AS IDENTITY,
	feed     text NOT NULL,
	by       text NOT NULL,
	through  text NOT NULL,
	method   text NOT NULL,
	said_at  timestamptz NOT NULL,
	at       timestamptz NOT NULL,
	envelope text NOT NULL,
	digest   bytea NOT NULL,
	erasures uuid[] NOT NULL,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT a_partners_receipt_counts_once UNIQUE (coop_id, digest),
	CONSTRAINT onward_receipt_method_is_known CHECK (method IN ('deleted', 'never-held', 'held-back')),
	CONSTRAINT onward_receipt_digest_is_a_sha256 CHECK (length(digest) = 32)
);
COMMENT ON TABLE onward_receipt IS 'Receipts of co-ops that held our items, or items that we passed on; append-only.';
COMMENT ON COLUMN onward_receipt.coop_id IS 'The co-op that was told';
COMMENT ON COLUMN onward_receipt.id IS 'Random';
COMMENT ON COLUMN onward_receipt.seq IS 'Order of arrival';
COMMENT ON COLUMN onward_receipt.feed IS 'Key name of the co-op whose tombstones it confirms';
COMMENT ON COLUMN onward_receipt.by IS 'Key name of the co-op that signed it';
COMMENT ON COLUMN onward_receipt.through IS 'Key name of the partner who handed it over';
COMMENT ON COLUMN onward_receipt.method IS 'deleted, never-held, held-back';
COMMENT ON COLUMN onward_receipt.said_at IS 'The instant that it gives';
COMMENT ON COLUMN onward_receipt.at IS 'When it came';
COMMENT ON COLUMN onward_receipt.envelope IS 'DSSE as it was signed';
COMMENT ON COLUMN onward_receipt.digest IS 'SHA-256 of that';
COMMENT ON COLUMN onward_receipt.erasures IS 'Requests here that it is about';
CREATE INDEX onward_receipt_of_erasure ON onward_receipt USING gin (erasures);
CALL commonhold_make_append_only('onward_receipt');
CALL commonhold_wall_in('onward_receipt');

-- ---- What may not come in again ----

CREATE TABLE onward_mark (
	coop_id      uuid NOT NULL REFERENCES coop,
	agreement_id uuid NOT NULL,
	mark         bytea NOT NULL,
	PRIMARY KEY (coop_id, agreement_id, mark),
	CONSTRAINT onward_mark_is_an_hmac CHECK (length(mark) = 32)
);
COMMENT ON TABLE onward_mark IS 'Contents that were erased and may not come in under another id: HMAC-SHA-256 under the agreement''s pairwise key.';
COMMENT ON COLUMN onward_mark.coop_id IS 'The co-op';
COMMENT ON COLUMN onward_mark.agreement_id IS 'The agreement whose key it is under';
COMMENT ON COLUMN onward_mark.mark IS 'The keyed digest of the content''s hash';
CALL commonhold_wall_in('onward_mark');

-- ---- What was made from what ----

CREATE TABLE derivation (
	coop_id uuid NOT NULL REFERENCES coop,
	id      uuid NOT NULL,
	home    text NOT NULL,
	source  uuid NOT NULL,
	copied  boolean NOT NULL,
	PRIMARY KEY (coop_id, id, home, source)
);
COMMENT ON TABLE derivation IS 'Contributions that say what they were made from.';
COMMENT ON COLUMN derivation.coop_id IS 'The co-op that holds it';
COMMENT ON COLUMN derivation.id IS 'The contribution that was made …';
COMMENT ON COLUMN derivation.home IS '… from a record of this home (key name) …';
COMMENT ON COLUMN derivation.source IS '… with this id';
COMMENT ON COLUMN derivation.copied IS 'Content of the source is in it: it goes when the source is erased';
CREATE INDEX derivation_of_source ON derivation (coop_id, home, source);
CALL commonhold_wall_in('derivation');

-- ---- Passed on: what comes from a home by way of a partner ----

ALTER TABLE guest_source ADD COLUMN under uuid;
COMMENT ON COLUMN guest_source.under IS 'The agreement with the giver, for a home whose items come by way of that one: limits are the stricter of both agreements. NULL: the agreement itself';
CREATE INDEX guest_source_under ON guest_source (coop_id, under) WHERE under IS NOT NULL;

CREATE TABLE onward_source (
	coop_id      uuid NOT NULL REFERENCES coop,
	agreement_id uuid NOT NULL,
	home         text NOT NULL CONSTRAINT onward_source_is_a_key_name CHECK (home ~ '^[a-z2-7]{16}$'),
	source_id    uuid NOT NULL,
	document     text NOT NULL,
	assent       text NOT NULL,
	PRIMARY KEY (coop_id, agreement_id, home),
	CONSTRAINT an_onward_source_is_named_once UNIQUE (coop_id, source_id),
	FOREIGN KEY (coop_id, agreement_id) REFERENCES guest_source
);
COMMENT ON TABLE onward_source IS 'Homes whose items a partner passes on: the agreement between the two, which lets it, with the home''s signed assent.';
COMMENT ON COLUMN onward_source.coop_id IS 'The co-op that is given them';
COMMENT ON COLUMN onward_source.agreement_id IS 'Its agreement with the partner';
COMMENT ON COLUMN onward_source.home IS 'Key name of the home';
COMMENT ON COLUMN onward_source.source_id IS 'guest_source.agreement_id of those who come this way';
COMMENT ON COLUMN onward_source.document IS 'The agreement between the home and the partner, canonical JSON';
COMMENT ON COLUMN onward_source.assent IS 'DSSE by the home''s key over its digest';
CALL commonhold_wall_in('onward_source');

CREATE TABLE onward_head (
	coop_id    uuid NOT NULL REFERENCES coop,
	home       text NOT NULL,
	via        text NOT NULL,
	size       bigint NOT NULL,
	root       bytea NOT NULL,
	checkpoint text NOT NULL,
	seen_at    timestamptz NOT NULL,
	PRIMARY KEY (coop_id, home, via),
	CONSTRAINT onward_head_root_is_a_sha256 CHECK (length(root) = 32)
);
COMMENT ON TABLE onward_head IS 'The newest head of a home''s log that each partner has shown: whoever shows two that no log can both have is found out.';
COMMENT ON COLUMN onward_head.coop_id IS 'The co-op that was shown it';
COMMENT ON COLUMN onward_head.home IS 'Key name of the co-op whose log it is';
COMMENT ON COLUMN onward_head.via IS 'Key name of the partner who showed it';
COMMENT ON COLUMN onward_head.size IS 'Leaves';
COMMENT ON COLUMN onward_head.root IS 'Root over them';
COMMENT ON COLUMN onward_head.checkpoint IS 'The note that says so, signed by the home';
COMMENT ON COLUMN onward_head.seen_at IS 'When';
CALL commonhold_wall_in('onward_head');

CREATE TABLE onward_way (
	coop_id uuid NOT NULL REFERENCES coop,
	home    text NOT NULL,
	id      uuid NOT NULL,
	via     text NOT NULL,
	PRIMARY KEY (coop_id, id, home, via)
);
CREATE INDEX onward_way_of_home ON onward_way (coop_id, home);
COMMENT ON TABLE onward_way IS 'By which ways a record came that somebody passed on. No row: from its home alone.';
COMMENT ON COLUMN onward_way.coop_id IS 'The co-op that was given it';
COMMENT ON COLUMN onward_way.home IS 'Key name of its home';
COMMENT ON COLUMN onward_way.id IS 'Uuid of its rid';
COMMENT ON COLUMN onward_way.via IS 'Key name of who gave it: the home itself, or a partner';
CALL commonhold_wall_in('onward_way');

CREATE TABLE origin_entry (
	coop_id uuid NOT NULL REFERENCES coop,
	home    text NOT NULL,
	first   bigint NOT NULL,
	n       integer NOT NULL,
	entries text NOT NULL,
	PRIMARY KEY (coop_id, home, first),
	CONSTRAINT origin_entries_are_some CHECK (n > 0)
);
COMMENT ON TABLE origin_entry IS 'The leaves themselves of a log whose records may be passed on: a path begins with the leaf. They hold commitments and ids, and no content.';
COMMENT ON COLUMN origin_entry.coop_id IS 'The co-op that keeps them';
COMMENT ON COLUMN origin_entry.home IS 'Key name of the co-op whose log it is';
COMMENT ON COLUMN origin_entry.first IS 'Index of the first';
COMMENT ON COLUMN origin_entry.n IS 'How many, one after another';
COMMENT ON COLUMN origin_entry.entries IS 'A line each';
CALL commonhold_wall_in('origin_entry');

-- Whether a record is given by somebody as things stand: it came that way, and the giver has not taken that back.
CREATE FUNCTION onward_way_is_open(in_coop uuid, in_home text, in_id uuid, in_via text) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT NOT EXISTS (SELECT FROM merge_passing p WHERE p.coop_id = in_coop AND p.id = in_id AND p.home = in_home AND p.by_home = in_via AND p.out)
		AND (EXISTS (SELECT FROM onward_way w WHERE w.coop_id = in_coop AND w.id = in_id AND w.home = in_home AND w.via = in_via)
			OR (in_via = in_home AND NOT EXISTS (SELECT FROM onward_way w WHERE w.coop_id = in_coop AND w.id = in_id AND w.home = in_home)))
$$;
COMMENT ON FUNCTION onward_way_is_open(uuid, text, uuid, text) IS 'It came by this giver, who still gives it';

-- A person's words come from one giver, and so must the record: what was said to another may say less about it.
CREATE OR REPLACE FUNCTION merge_is_held(in_coop uuid, in_home text, in_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM merge_passing p WHERE p.coop_id = in_coop AND p.id = in_id AND p.home = in_home AND p.by_home = in_home AND p.out
			AND NOT EXISTS (SELECT FROM onward_way w WHERE w.coop_id = in_coop AND w.id = in_id AND w.home = in_home))
		OR EXISTS (SELECT FROM guest g JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id
			WHERE g.coop_id = in_coop AND g.home = in_home AND g.id IN (SELECT c.member_id FROM contribution c WHERE c.coop_id = in_coop AND c.id = in_id
				UNION ALL SELECT i.member_id FROM item_origin i WHERE i.coop_id = in_coop AND i.id = in_id) AND NOT onward_way_is_open(in_coop, in_home, in_id, s.home))
		OR EXISTS (SELECT FROM merge_conflict k WHERE k.coop_id = in_coop AND k.rid = 'dc:' || in_home || ':' || in_id AND k.kind = 'equivocation')
		OR EXISTS (SELECT FROM merge_unmapped u JOIN merge_conflict k ON k.coop_id = u.coop_id AND k.home = u.home AND k.kind = 'unmapped' AND k.decision = 'leave_out'
			AND k.detail::json ->> 'schema' = u.schema WHERE u.coop_id = in_coop AND u.id = in_id AND u.home = in_home)
$$;
