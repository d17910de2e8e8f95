-- Requests to delete, to hold back or to correct; who may ask for a member; what the law makes the co-op keep.

ALTER TABLE ballot DROP CONSTRAINT ballot_kind_is_known;
ALTER TABLE ballot ADD CONSTRAINT ballot_kind_is_known CHECK (kind IN ('release', 'charter', 'merge', 'toggle', 'admin', 'benefit', 'appeal'));

CREATE TABLE agent (
	coop_id    uuid NOT NULL REFERENCES coop,
	id         uuid NOT NULL,
	member_id  uuid NOT NULL,
	account_id uuid NOT NULL,
	kinds      text[] NOT NULL,
	alone      boolean NOT NULL,
	since      timestamptz NOT NULL,
	until      timestamptz NOT NULL,
	ended_at   timestamptz,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT agents_may_do_something CHECK (cardinality(kinds) > 0 AND kinds <@ ARRAY['erase', 'withdraw_future', 'embargo', 'correct']),
	CONSTRAINT agents_end_after_they_begin CHECK (until > since)
);
COMMENT ON TABLE agent IS 'An account that may ask for deletions in a member''s place, as that member said beforehand.';
COMMENT ON COLUMN agent.coop_id IS 'The co-op';
COMMENT ON COLUMN agent.id IS 'Random';
COMMENT ON COLUMN agent.member_id IS 'For whom';
COMMENT ON COLUMN agent.account_id IS 'The agent''s account';
COMMENT ON COLUMN agent.kinds IS 'Kinds of request that they may make';
COMMENT ON COLUMN agent.alone IS 'Their requests count at once; otherwise the member confirms each';
COMMENT ON COLUMN agent.since IS 'From when';
COMMENT ON COLUMN agent.until IS 'Until when, at the latest';
COMMENT ON COLUMN agent.ended_at IS 'Ended by one of the two; NULL: not';
CREATE INDEX agent_of_member ON agent (coop_id, member_id, since DESC);
CREATE UNIQUE INDEX agent_is_authorised_once ON agent (coop_id, member_id, account_id) WHERE ended_at IS NULL;
CREATE INDEX agent_of_account ON agent (account_id);
CALL commonhold_wall_in('agent');

CREATE TABLE account_erasure (
	id           uuid PRIMARY KEY,
	account_id   uuid,
	state        text NOT NULL,
	received_at  timestamptz NOT NULL,
	verified_at  timestamptz,
	purged_at    timestamptz,
	completed_at timestamptz,
	cancelled_at timestamptz,
	due_at       timestamptz NOT NULL,
	proof        text,
	told_at      timestamptz,
	coops        uuid[] NOT NULL DEFAULT '{}',
	CONSTRAINT account_erasure_state_is_known CHECK (state IN ('received', 'effective', 'purged', 'completed', 'cancelled')),
	CONSTRAINT account_erasures_are_proved_before_they_count CHECK (state IN ('received', 'cancelled') OR (verified_at IS NOT NULL AND proof IS NOT NULL)),
	CONSTRAINT account_erasures_say_when_they_ended CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL) AND (state = 'completed') = (completed_at IS NOT NULL))
);
COMMENT ON TABLE account_erasure IS 'Somebody asks that all that is held of them on this instance goes. Belongs to the instance, not to a co-op.';
COMMENT ON COLUMN account_erasure.id IS 'Random';
COMMENT ON COLUMN account_erasure.account_id IS 'Whose; NULL once the account is gone';
COMMENT ON COLUMN account_erasure.state IS 'received (waits for proof), effective (in every co-op), purged (the account is gone), completed, cancelled';
COMMENT ON COLUMN account_erasure.received_at IS 'When it was asked';
COMMENT ON COLUMN account_erasure.verified_at IS 'When proof was shown: from then on it counts';
COMMENT ON COLUMN account_erasure.purged_at IS 'When every co-op had purged and the account was gone';
COMMENT ON COLUMN account_erasure.completed_at IS 'When every recipient had confirmed, or their ladder was at its end';
COMMENT ON COLUMN account_erasure.cancelled_at IS 'Taken back, or not confirmed in time';
COMMENT ON COLUMN account_erasure.due_at IS 'By when it must be done (Regulation 1182/71)';
COMMENT ON COLUMN account_erasure.proof IS 'What was shown: password, code, session';
COMMENT ON COLUMN account_erasure.told_at IS 'When the last message went out, to an address that is gone afterwards';
COMMENT ON COLUMN account_erasure.coops IS 'Where it has a part';
CREATE UNIQUE INDEX one_open_erasure_an_account ON account_erasure (account_id) WHERE state IN ('received', 'effective', 'purged');

CREATE TABLE erasure (
	coop_id            uuid NOT NULL REFERENCES coop,
	id                 uuid NOT NULL,
	kind               text NOT NULL,
	scope              text NOT NULL,
	asker              text NOT NULL,
	account_id         uuid,
	member_id          uuid,
	agent_id           uuid,
	account_request_id uuid REFERENCES account_erasure,
	digest             bytea NOT NULL,
	state              text NOT NULL,
	n_items            bigint NOT NULL DEFAULT 0,
	n_held             bigint NOT NULL DEFAULT 0,
	items              bytea,
	reason_code        text NOT NULL,
	received_at        timestamptz NOT NULL,
	verified_at        timestamptz,
	effective_at       timestamptz,
	marked_at          timestamptz,
	purged_upto        bigint NOT NULL DEFAULT -1,
	purged_at          timestamptz,
	propagating_at     timestamptz,
	completed_at       timestamptz,
	denied_at          timestamptz,
	cancelled_at       timestamptz,
	extended_at        timestamptz,
	due_at             timestamptz NOT NULL,
	extended_reason    text,
	denial_code        text,
	denial_reason      text,
	appeal_until       timestamptz,
	appeal_ballot_id   uuid,
	appeal_outcome     text,
	restriction_id     uuid,
	restricted_until   timestamptz,
	replacement_id     uuid,
	until              timestamptz,
	first_idx          bigint NOT NULL DEFAULT -1,
	last_idx           bigint NOT NULL DEFAULT -1,
	key_gone_at        timestamptz,
	backups_until      timestamptz,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	FOREIGN KEY (coop_id, agent_id) REFERENCES agent,
	FOREIGN KEY (coop_id, appeal_ballot_id) REFERENCES ballot,
	CONSTRAINT erasure_kind_is_known CHECK (kind IN ('erase', 'withdraw_future', 'embargo', 'correct')),
	CONSTRAINT erasure_scope_is_known CHECK (scope IN ('items', 'coop', 'account')),
	CONSTRAINT erasure_asker_is_known CHECK (asker IN ('member', 'agent', 'subject', 'rule')),
	CONSTRAINT erasure_state_is_known CHECK (state IN ('received', 'verified', 'effective', 'purged', 'propagating', 'completed', 'denied', 'cancelled')),
	CONSTRAINT erasure_digest_is_a_sha256 CHECK (length(digest) = 32),
	CONSTRAINT whole_accounts_are_erased_and_nothing_else CHECK ((scope = 'account') = (account_request_id IS NOT NULL) AND (scope <> 'account' OR kind = 'erase')),
	CONSTRAINT claims_are_about_somebody_elses_items CHECK ((asker IN ('subject', 'rule')) = (member_id IS NULL)),
	CONSTRAINT agents_ask_under_an_authorisation CHECK ((asker = 'agent') = (agent_id IS NOT NULL)),
	CONSTRAINT named_items_are_kept_with_the_request CHECK ((scope = 'items') = (items IS NOT NULL) AND length(items) % 4 = 0),
	CONSTRAINT embargoes_end CHECK ((kind = 'embargo') = (until IS NOT NULL)),
	CONSTRAINT nothing_counts_unverified CHECK (effective_at IS NULL OR verified_at IS NOT NULL),
	CONSTRAINT later_states_were_effective CHECK (state NOT IN ('effective', 'purged', 'propagating', 'completed') OR effective_at IS NOT NULL),
	CONSTRAINT purged_things_were_erased CHECK (purged_at IS NULL OR (effective_at IS NOT NULL AND kind IN ('erase', 'correct'))),
	CONSTRAINT completed_requests_say_when CHECK ((state = 'completed') = (completed_at IS NOT NULL) OR state = 'cancelled'),
	CONSTRAINT cancelled_requests_say_when CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
	CONSTRAINT denials_name_a_code_and_a_reason CHECK ((denied_at IS NULL) = (denial_code IS NULL) AND (denial_code IS NULL) = (denial_reason IS NULL) AND (state <> 'denied' OR denied_at IS NOT NULL)),
	CONSTRAINT denial_code_is_known CHECK (denial_code IN ('suspected_fraud', 'insuf_verification', 'no_match', 'claim_not_covered', 'outside_jurisdiction', 'too_many_requests', 'other')),
	CONSTRAINT extensions_say_why CHECK ((extended_at IS NULL) = (extended_reason IS NULL)),
	CONSTRAINT only_denials_are_appealed CHECK (appeal_ballot_id IS NULL OR denied_at IS NOT NULL),
	CONSTRAINT appeals_end_by_their_ballot CHECK (appeal_outcome IS NULL OR appeal_ballot_id IS NOT NULL),
	CONSTRAINT appeal_outcome_is_known CHECK (appeal_outcome IN ('passed', 'failed', 'cancelled')),
	CONSTRAINT a_ballot_is_about_one_appeal UNIQUE (coop_id, appeal_ballot_id)
);
COMMENT ON TABLE erasure IS 'A request to delete, hold back or correct, in one co-op. Free text of people is in erasure_claim and goes; what stays says what was asked, when, and what was done.';
COMMENT ON COLUMN erasure.coop_id IS 'The co-op';
COMMENT ON COLUMN erasure.id IS 'Random; of its row in withdrawal too';
COMMENT ON COLUMN erasure.kind IS 'erase, withdraw_future, embargo, correct';
COMMENT ON COLUMN erasure.scope IS 'items (named), coop (all of the member''s here), account (part of a request about the whole account)';
COMMENT ON COLUMN erasure.asker IS 'member (their own), agent (for a member), subject (says that an item is about them), rule (the charter''s retention)';
COMMENT ON COLUMN erasure.account_id IS 'Who asked; NULL once that account is gone, and for rules';
COMMENT ON COLUMN erasure.member_id IS 'Whose items; NULL for claims and rules, which may be about several people''s';
COMMENT ON COLUMN erasure.agent_id IS 'Authorisation that an agent acted under';
COMMENT ON COLUMN erasure.account_request_id IS 'The request about the whole account that this is part of';
COMMENT ON COLUMN erasure.digest IS 'SHA-256 over what was asked (kind, scope, items, until): the very same asked again is the same request';
COMMENT ON COLUMN erasure.state IS 'See the table of edges in erasure.h';
COMMENT ON COLUMN erasure.n_items IS 'Items named, or found when it became effective';
COMMENT ON COLUMN erasure.n_held IS 'Of them, those whose content stays under a legal hold';
COMMENT ON COLUMN erasure.items IS 'Item numbers named, 4 bytes each, little-endian, ascending; NULL: all of the member''s';
COMMENT ON COLUMN erasure.reason_code IS 'Why: a word of ERASURE_REASONS';
COMMENT ON COLUMN erasure.received_at IS 'When it was asked';
COMMENT ON COLUMN erasure.verified_at IS 'When it was sure who asks: of members, at once';
COMMENT ON COLUMN erasure.effective_at IS 'From when it is in every decision';
COMMENT ON COLUMN erasure.marked_at IS 'When the overlay''s row was written into the items'' own: a step of carrying';
COMMENT ON COLUMN erasure.purged_upto IS 'How far purging has come: item number of the last that is done; -1: none';
COMMENT ON COLUMN erasure.purged_at IS 'When content, derived rows and files of withdrawn releases were gone';
COMMENT ON COLUMN erasure.propagating_at IS 'When recipients were told';
COMMENT ON COLUMN erasure.completed_at IS 'When every duty was confirmed or its ladder at its end';
COMMENT ON COLUMN erasure.denied_at IS 'When an admin said no, or it was not confirmed in time';
COMMENT ON COLUMN erasure.cancelled_at IS 'When it was taken back';
COMMENT ON COLUMN erasure.extended_at IS 'When more time was announced';
COMMENT ON COLUMN erasure.due_at IS 'By when it must be answered and done (Regulation 1182/71)';
COMMENT ON COLUMN erasure.extended_reason IS 'Why it takes longer, as told';
COMMENT ON COLUMN erasure.denial_code IS 'Code of the Data Rights Protocol 1.0';
COMMENT ON COLUMN erasure.denial_reason IS 'Why not, in an admin''s words';
COMMENT ON COLUMN erasure.appeal_until IS 'Last moment to take the denial to a ballot';
COMMENT ON COLUMN erasure.appeal_ballot_id IS 'The ballot about it';
COMMENT ON COLUMN erasure.appeal_outcome IS 'passed (it became effective), failed or cancelled (the denial stands)';
COMMENT ON COLUMN erasure.restriction_id IS 'Row of withdrawal that keeps the items out of releases while the claim is open';
COMMENT ON COLUMN erasure.restricted_until IS 'When that restriction was lifted; NULL while it lasts';
COMMENT ON COLUMN erasure.replacement_id IS 'The contribution that replaces a corrected one';
COMMENT ON COLUMN erasure.until IS 'End of an embargo';
COMMENT ON COLUMN erasure.first_idx IS 'Lowest index of its tombstones; -1: none';
COMMENT ON COLUMN erasure.last_idx IS 'Highest index of its tombstones; -1: none. Others'' may lie between';
COMMENT ON COLUMN erasure.key_gone_at IS 'When the member''s key was destroyed';
COMMENT ON COLUMN erasure.backups_until IS 'When the last backup that may hold it has expired';
CREATE INDEX erasure_of_account ON erasure (account_id, coop_id, received_at DESC, id DESC);
CREATE INDEX erasure_of_member ON erasure (coop_id, member_id, received_at DESC, id DESC);
CREATE INDEX erasure_open_by_due_date ON erasure (coop_id, due_at, id) WHERE state NOT IN ('completed', 'denied', 'cancelled');
CREATE INDEX erasure_by_time ON erasure (coop_id, received_at DESC, id DESC);
CREATE INDEX erasure_of_account_request ON erasure (account_request_id) WHERE account_request_id IS NOT NULL;
CREATE UNIQUE INDEX the_same_is_asked_once ON erasure (coop_id, account_id, digest) WHERE state NOT IN ('denied', 'cancelled') AND account_id IS NOT NULL;
ALTER TABLE erasure ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- Besides the rows of the co-op that it entered, a transaction may read those of requests that the acting account made anywhere: the page about one's whole account.
CREATE POLICY rows_of_own_coop_only ON erasure USING (coop_id = (SELECT commonhold_coop()) OR account_id = (SELECT commonhold_account()))
	WITH CHECK (coop_id = (SELECT commonhold_coop()));

CREATE TABLE erasure_event (
	coop_id    uuid NOT NULL,
	seq        bigint GENERATED ALWAYS AS IDENTITY,
	erasure_id uuid NOT NULL,
	event      text NOT NULL,
	by         text NOT NULL,
	at         timestamptz NOT NULL,
	note       text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, erasure_id) REFERENCES erasure,
	CONSTRAINT erasure_event_is_known CHECK (event IN ('received', 'verified', 'effective', 'purged', 'propagating', 'completed', 'denied', 'cancelled',
		'extended', 'reminded', 'overdue', 'appealed', 'appeal_passed', 'appeal_failed', 'held', 'released')),
	CONSTRAINT erasure_event_by_is_known CHECK (by IN ('asker', 'member', 'admin', 'ballot', 'instance'))
);
COMMENT ON TABLE erasure_event IS 'What happened to a request; append-only.';
COMMENT ON COLUMN erasure_event.coop_id IS 'The co-op';
COMMENT ON COLUMN erasure_event.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN erasure_event.erasure_id IS 'The request';
COMMENT ON COLUMN erasure_event.event IS 'A state that it came to, or what else happened';
COMMENT ON COLUMN erasure_event.by IS 'Who did it, as a role';
COMMENT ON COLUMN erasure_event.at IS 'When';
COMMENT ON COLUMN erasure_event.note IS 'A sentence of the program''s; never what people wrote';
CREATE INDEX erasure_event_of_request ON erasure_event (coop_id, erasure_id, seq);
CREATE UNIQUE INDEX a_request_is_reminded_of_once ON erasure_event (coop_id, erasure_id, event) WHERE event IN ('reminded', 'overdue');
CALL commonhold_make_append_only('erasure_event');
CALL commonhold_wall_in('erasure_event');

CREATE TABLE erasure_claim (
	coop_id    uuid NOT NULL,
	erasure_id uuid NOT NULL,
	what       text NOT NULL,
	sealed     bytea NOT NULL,
	PRIMARY KEY (coop_id, erasure_id, what),
	FOREIGN KEY (coop_id, erasure_id) REFERENCES erasure,
	CONSTRAINT what_people_wrote_is_known CHECK (what IN ('claim', 'appeal'))
);
COMMENT ON TABLE erasure_claim IS 'What people wrote with a claim or an appeal; deleted when the request ends.';
COMMENT ON COLUMN erasure_claim.coop_id IS 'The co-op';
COMMENT ON COLUMN erasure_claim.erasure_id IS 'The request';
COMMENT ON COLUMN erasure_claim.what IS 'claim: how one sees that the item is about them; appeal: why the denial is wrong, which members who vote may read';
COMMENT ON COLUMN erasure_claim.sealed IS 'The text, sealed under the instance''s key';
CALL commonhold_wall_in('erasure_claim');

CREATE TABLE erasure_held (
	coop_id    uuid NOT NULL,
	erasure_id uuid NOT NULL,
	item_no    bigint NOT NULL,
	PRIMARY KEY (coop_id, erasure_id, item_no),
	FOREIGN KEY (coop_id, erasure_id) REFERENCES erasure
);
COMMENT ON TABLE erasure_held IS 'Items of a request whose content a legal hold keeps; a row goes when its content does.';
COMMENT ON COLUMN erasure_held.coop_id IS 'The co-op';
COMMENT ON COLUMN erasure_held.erasure_id IS 'The request';
COMMENT ON COLUMN erasure_held.item_no IS 'The item';
CREATE INDEX erasure_held_item ON erasure_held (coop_id, item_no);
CALL commonhold_wall_in('erasure_held');

CREATE TABLE legal_hold (
	coop_id         uuid NOT NULL REFERENCES coop,
	contribution_id uuid NOT NULL,
	placed_at       timestamptz NOT NULL,
	ground          text NOT NULL,
	reason          text NOT NULL,
	placed_by       uuid,
	lifted_at       timestamptz,
	lifted_by       uuid,
	PRIMARY KEY (coop_id, contribution_id, placed_at),
	FOREIGN KEY (coop_id, contribution_id) REFERENCES contribution,
	CONSTRAINT hold_ground_is_known CHECK (ground IN ('expression', 'legal_obligation', 'public_health', 'archiving', 'legal_claims')),
	CONSTRAINT holds_end_after_they_begin CHECK (lifted_at >= placed_at)
);
COMMENT ON TABLE legal_hold IS 'Content that must be kept although it is in nothing any more (GDPR Art. 17(3)).';
COMMENT ON COLUMN legal_hold.coop_id IS 'The co-op';
COMMENT ON COLUMN legal_hold.contribution_id IS 'The item';
COMMENT ON COLUMN legal_hold.placed_at IS 'From when';
COMMENT ON COLUMN legal_hold.ground IS 'Letter of Art. 17(3): expression (a), legal_obligation (b), public_health (c), archiving (d), legal_claims (e)';
COMMENT ON COLUMN legal_hold.reason IS 'Why, in an admin''s words';
COMMENT ON COLUMN legal_hold.placed_by IS 'Account of the admin; NULL once it is gone';
COMMENT ON COLUMN legal_hold.lifted_at IS 'Until when; NULL while it lasts';
COMMENT ON COLUMN legal_hold.lifted_by IS 'Account of the admin who lifted it';
CREATE UNIQUE INDEX one_hold_an_item ON legal_hold (coop_id, contribution_id) WHERE lifted_at IS NULL;
CREATE INDEX legal_hold_by_time ON legal_hold (coop_id, placed_at DESC, contribution_id DESC);
CALL commonhold_wall_in('legal_hold');
