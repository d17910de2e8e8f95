-- Motions: what members propose. Collective controls: what they decided to withhold, until when.

ALTER TABLE charter ADD COLUMN notice_min integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN charter.notice_min IS 'Oldest version whose words a consent may have been given on: raised when a version widens what members had agreed to; 0: any';

CREATE TABLE motion (
	coop_id     uuid NOT NULL REFERENCES coop,
	id          uuid NOT NULL,
	kind        text NOT NULL,
	title       text NOT NULL,
	reason      text NOT NULL,
	document    text NOT NULL,
	digest      bytea NOT NULL,
	charter     integer NOT NULL,
	seconders   integer NOT NULL,
	proposer_id uuid NOT NULL,
	made_at     timestamptz NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, proposer_id) REFERENCES membership,
	FOREIGN KEY (coop_id, charter) REFERENCES charter,
	CONSTRAINT motion_kind_is_known CHECK (kind IN ('charter', 'toggle', 'admin', 'benefit')),
	CONSTRAINT motion_digest_is_a_sha256 CHECK (length(digest) = 32),
	CONSTRAINT motion_wants_no_less_than_no_seconders CHECK (seconders >= 0)
);
COMMENT ON TABLE motion IS 'Something that a member proposes, exactly as it will be voted on; append-only.';
COMMENT ON COLUMN motion.coop_id IS 'The co-op';
COMMENT ON COLUMN motion.id IS 'Random; the subject of its ballot';
COMMENT ON COLUMN motion.kind IS 'Kind of its ballot: charter (an amendment), toggle (a collective control), admin, benefit';
COMMENT ON COLUMN motion.title IS 'In a few words, made from the document';
COMMENT ON COLUMN motion.reason IS 'Why, in the proposer''s words';
COMMENT ON COLUMN motion.document IS 'Canonical JSON (RFC 8785) of what is decided';
COMMENT ON COLUMN motion.digest IS 'SHA-256 of document: the ballot is about these bytes';
COMMENT ON COLUMN motion.charter IS 'Version in force when it was made; an amendment is adopted on this one only';
COMMENT ON COLUMN motion.seconders IS 'How many others must second it before it is put to the vote, as the charter said then';
COMMENT ON COLUMN motion.proposer_id IS 'Membership of who proposes it';
COMMENT ON COLUMN motion.made_at IS 'When it was proposed';
CREATE INDEX motion_by_time ON motion (coop_id, made_at DESC, id DESC);
CALL commonhold_make_append_only('motion');
CALL commonhold_wall_in('motion');

CREATE TABLE motion_event (
	coop_id   uuid NOT NULL,
	seq       bigint GENERATED ALWAYS AS IDENTITY,
	motion_id uuid NOT NULL,
	event     text NOT NULL,
	member_id uuid,
	ballot_id uuid,
	at        timestamptz NOT NULL,
	note      text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, motion_id) REFERENCES motion,
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	FOREIGN KEY (coop_id, ballot_id) REFERENCES ballot,
	CONSTRAINT motion_event_is_known CHECK (event IN ('seconded', 'announced', 'withdrawn', 'carried', 'lost', 'outdated', 'refused')),
	CONSTRAINT members_second_and_withdraw CHECK ((event IN ('seconded', 'withdrawn')) = (member_id IS NOT NULL)),
	CONSTRAINT announced_motions_have_a_ballot CHECK ((event = 'announced') = (ballot_id IS NOT NULL))
);
COMMENT ON TABLE motion_event IS 'What became of a motion; append-only.';
COMMENT ON COLUMN motion_event.coop_id IS 'The co-op';
COMMENT ON COLUMN motion_event.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN motion_event.motion_id IS 'The motion';
COMMENT ON COLUMN motion_event.event IS 'seconded by a member, announced as a ballot, withdrawn by its proposer; then carried (it passed and took effect), lost, outdated (the charter changed meanwhile) or refused (it passed and cannot take effect, as the note says)';
COMMENT ON COLUMN motion_event.member_id IS 'Who seconded or withdrew it';
COMMENT ON COLUMN motion_event.ballot_id IS 'The ballot it was announced as';
COMMENT ON COLUMN motion_event.at IS 'When it happened';
COMMENT ON COLUMN motion_event.note IS 'A sentence for people';
CREATE UNIQUE INDEX motion_is_announced_once ON motion_event (coop_id, motion_id) WHERE event = 'announced';
CREATE UNIQUE INDEX motion_is_seconded_once_by_each ON motion_event (coop_id, motion_id, member_id) WHERE event = 'seconded';
CREATE UNIQUE INDEX motion_ends_once ON motion_event (coop_id, motion_id) WHERE event IN ('withdrawn', 'carried', 'lost', 'outdated', 'refused');
CALL commonhold_make_append_only('motion_event');
CALL commonhold_wall_in('motion_event');

CREATE TABLE motion_what_if (
	coop_id     uuid NOT NULL,
	motion_id   uuid NOT NULL,
	computed_at timestamptz NOT NULL,
	document    text NOT NULL,
	PRIMARY KEY (coop_id, motion_id),
	FOREIGN KEY (coop_id, motion_id) REFERENCES motion
);
COMMENT ON TABLE motion_what_if IS 'What an amendment would change for the items of the pool, computed when it was proposed; append-only.';
COMMENT ON COLUMN motion_what_if.coop_id IS 'The co-op';
COMMENT ON COLUMN motion_what_if.motion_id IS 'The amendment';
COMMENT ON COLUMN motion_what_if.computed_at IS 'As of when';
COMMENT ON COLUMN motion_what_if.document IS 'JSON: items by outcome and reason, members and items gained and lost';
CALL commonhold_make_append_only('motion_what_if');
CALL commonhold_wall_in('motion_what_if');

CREATE TABLE control (
	coop_id   uuid NOT NULL REFERENCES coop,
	id        uuid NOT NULL,
	kind      text NOT NULL,
	mode      text NOT NULL,
	kinds     text[] NOT NULL,
	uses      text[] NOT NULL,
	amount    bigint,
	reason    text NOT NULL,
	until     timestamptz,
	ballot_id uuid NOT NULL,
	set_at    timestamptz NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, ballot_id) REFERENCES ballot,
	CONSTRAINT a_ballot_sets_one_control UNIQUE (coop_id, ballot_id),
	CONSTRAINT control_kind_is_known CHECK (kind IN ('quality_freeze', 'selective_embargo', 'preference_shift', 'rate_limit', 'assurance')),
	CONSTRAINT control_mode_fits_its_kind CHECK ((kind = 'selective_embargo' AND mode IN ('pause', 'evaluation_only')) OR (kind <> 'selective_embargo' AND mode = '')),
	CONSTRAINT control_touches_some_kind CHECK (cardinality(kinds) > 0),
	CONSTRAINT only_shifts_name_uses CHECK ((kind = 'preference_shift') = (cardinality(uses) > 0)),
	CONSTRAINT limits_and_pledges_name_an_amount CHECK ((kind IN ('rate_limit', 'assurance')) = (amount IS NOT NULL)),
	CONSTRAINT control_amount_is_positive CHECK (amount > 0),
	CONSTRAINT control_ends_after_it_begins CHECK (until > set_at)
);
COMMENT ON TABLE control IS 'A collective control that a passed ballot set: what is withheld from future items, why and until when; append-only.';
COMMENT ON COLUMN control.coop_id IS 'The co-op';
COMMENT ON COLUMN control.id IS 'Random';
COMMENT ON COLUMN control.kind IS 'See the constraint, and control.h';
COMMENT ON COLUMN control.mode IS 'Of an embargo: pause (no releases) or evaluation_only (new items in releases for evaluation alone); empty for others';
COMMENT ON COLUMN control.kinds IS 'Kinds of contribution that it touches';
COMMENT ON COLUMN control.uses IS 'Uses that a preference shift denies';
COMMENT ON COLUMN control.amount IS 'Items a month of a rate limit; members that a pledge waits for';
COMMENT ON COLUMN control.reason IS 'Public reason';
COMMENT ON COLUMN control.until IS 'When it lifts by itself; NULL: by a ballot only (a pledge: when enough have joined)';
COMMENT ON COLUMN control.ballot_id IS 'The passed ballot that set it';
COMMENT ON COLUMN control.set_at IS 'Touches what is contributed from here on';
CALL commonhold_make_append_only('control');
CALL commonhold_wall_in('control');

CREATE TABLE control_lift (
	coop_id    uuid NOT NULL,
	control_id uuid NOT NULL,
	ballot_id  uuid,
	cause      text NOT NULL,
	at         timestamptz NOT NULL,
	PRIMARY KEY (coop_id, control_id),
	FOREIGN KEY (coop_id, control_id) REFERENCES control,
	FOREIGN KEY (coop_id, ballot_id) REFERENCES ballot,
	CONSTRAINT lift_cause_is_known CHECK (cause IN ('ballot', 'date', 'pledge')),
	CONSTRAINT ballots_lift_by_ballot CHECK ((cause = 'ballot') = (ballot_id IS NOT NULL))
);
COMMENT ON TABLE control_lift IS 'The end of a control, once; append-only.';
COMMENT ON COLUMN control_lift.coop_id IS 'The co-op';
COMMENT ON COLUMN control_lift.control_id IS 'The control';
COMMENT ON COLUMN control_lift.ballot_id IS 'The passed ballot that lifted it';
COMMENT ON COLUMN control_lift.cause IS 'ballot; date: its day had come; pledge: enough members had joined';
COMMENT ON COLUMN control_lift.at IS 'When it ended; of a date, that date';
CALL commonhold_make_append_only('control_lift');
CALL commonhold_wall_in('control_lift');

CREATE TABLE control_pledge (
	coop_id    uuid NOT NULL,
	seq        bigint GENERATED ALWAYS AS IDENTITY,
	control_id uuid NOT NULL,
	member_id  uuid NOT NULL,
	joined     boolean NOT NULL,
	at         timestamptz NOT NULL,
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, control_id) REFERENCES control,
	FOREIGN KEY (coop_id, member_id) REFERENCES membership
);
COMMENT ON TABLE control_pledge IS 'Who joined a pledge, or took that back before it was reached; append-only, the last row of a member stands.';
COMMENT ON COLUMN control_pledge.coop_id IS 'The co-op';
COMMENT ON COLUMN control_pledge.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN control_pledge.control_id IS 'The pledge';
COMMENT ON COLUMN control_pledge.member_id IS 'The member';
COMMENT ON COLUMN control_pledge.joined IS 'Joined, or no longer';
COMMENT ON COLUMN control_pledge.at IS 'When it was said';
CREATE INDEX control_pledge_of_control ON control_pledge (coop_id, control_id, member_id, seq);
CALL commonhold_make_append_only('control_pledge');
CALL commonhold_wall_in('control_pledge');
