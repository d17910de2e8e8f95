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
