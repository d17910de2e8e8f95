-- The annual checkup: cycles of a membership, the ledger of reminders, what must be asked again out of turn, and the receipts of what was answered.

ALTER TABLE membership
	ADD COLUMN cycle integer NOT NULL DEFAULT 1,
	ADD COLUMN due_day smallint,
	ADD COLUMN checked_at timestamptz,
	ADD COLUMN next_step_at timestamptz NOT NULL DEFAULT '-infinity',
	ADD CONSTRAINT cycles_are_counted_from_one CHECK (cycle >= 1),
	ADD CONSTRAINT due_day_is_a_day_of_a_month CHECK (due_day BETWEEN 1 AND 31);
COMMENT ON COLUMN membership.cycle IS 'Which checkup comes next: 1 until the first is done; a new one with each renewal and return';
COMMENT ON COLUMN membership.due_day IS 'Day of the month of the anniversary, so that the 29th of February comes back in leap years; NULL: that of due_at';
COMMENT ON COLUMN membership.checked_at IS 'When the last checkup was done; NULL: never';
COMMENT ON COLUMN membership.next_step_at IS 'When the daily job has to look at it next; -infinity: at its next run';
CREATE INDEX membership_with_a_step_due ON membership (coop_id, next_step_at) WHERE state IN ('active', 'due', 'grace');

-- Other durations make other dates.
CREATE FUNCTION charter_moves_steps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE membership SET next_step_at = '-infinity' WHERE coop_id = NEW.coop_id AND state IN ('active', 'due', 'grace');
	RETURN NULL;
END $$;
COMMENT ON FUNCTION charter_moves_steps() IS 'Trigger: a new charter may move the steps of every membership, so the daily job looks at all of them once.';
CREATE TRIGGER steps_follow_the_charter AFTER INSERT ON charter FOR EACH ROW WHEN (NEW.version > 1) EXECUTE FUNCTION charter_moves_steps();

ALTER TABLE consent ADD COLUMN defaults_until timestamptz;
COMMENT ON COLUMN consent.defaults_until IS 'The acceptance of the co-op''s defaults rests from then on: the next checkup when it was said; NULL: not known, the state of the membership decides';

-- What a member said about all their items, or a kind of them, and about which single ones: the lines of a checkup, next to the ten thousand that an import may have brought.
CREATE INDEX statement_default_of_member ON statement (coop_id, member_id, seq) WHERE layer = 2;
CREATE INDEX statement_on_item_of_member ON statement (coop_id, member_id, item_id) WHERE layer = 1;

CREATE TABLE reminder (
	coop_id   uuid NOT NULL,
	member_id uuid NOT NULL,
	cycle     integer NOT NULL,
	step      text NOT NULL,
	channel   text NOT NULL,
	due_at    timestamptz NOT NULL,
	at        timestamptz NOT NULL,
	outcome   text NOT NULL,
	PRIMARY KEY (coop_id, member_id, cycle, step, channel),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT reminder_step_is_known CHECK (step IN ('-30', '-14', '-7', '-1', 'grace', '+1', '+7', '+21', 'lapsed')),
	CONSTRAINT reminder_channel_is_known CHECK (channel IN ('notice')),
	CONSTRAINT reminder_outcome_is_known CHECK (outcome IN ('sent', 'passed_over')),
	CONSTRAINT nobody_is_reminded_early CHECK (at >= due_at)
);
COMMENT ON TABLE reminder IS 'Which step of which checkup was said to whom: at most once each, whatever happens to the daily job. Append-only.';
COMMENT ON COLUMN reminder.coop_id IS 'The co-op';
COMMENT ON COLUMN reminder.member_id IS 'Who was reminded';
COMMENT ON COLUMN reminder.cycle IS 'Of which checkup (membership.cycle)';
COMMENT ON COLUMN reminder.step IS 'Days before or after the due date; grace and lapsed tell of those changes';
COMMENT ON COLUMN reminder.channel IS 'How: notice hands it to notify, which tries inbox and mail again and shows what bounced';
COMMENT ON COLUMN reminder.due_at IS 'When the step came';
COMMENT ON COLUMN reminder.at IS 'When the daily job saw to it';
COMMENT ON COLUMN reminder.outcome IS 'Sent, or passed_over because a later step had come as well: who was away through several gets the latest only';
CALL commonhold_make_append_only('reminder');
CALL commonhold_wall_in('reminder');

CREATE TABLE checkup_demand (
	coop_id   uuid NOT NULL,
	id        uuid NOT NULL,
	line      text NOT NULL,
	member_id uuid,
	target_id uuid,
	charter   integer NOT NULL,
	reason    text NOT NULL,
	words     text NOT NULL,
	ballot_id uuid,
	at        timestamptz NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id) REFERENCES coop,
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT demanded_line_is_known CHECK (line IN ('consent', 'default', 'licence', 'delegation')),
	CONSTRAINT demand_reason_is_known CHECK (reason IN ('purpose', 'recipients', 'default', 'licence', 'delegate')),
	CONSTRAINT a_delegation_is_asked_of_its_principal CHECK ((line = 'delegation') = (member_id IS NOT NULL AND target_id IS NOT NULL)),
	CONSTRAINT demand_is_said_in_words CHECK (length(words) BETWEEN 1 AND 2000)
);
CREATE UNIQUE INDEX a_ballot_asks_a_line_once ON checkup_demand (coop_id, ballot_id, line, (coalesce(target_id, coop_id))) WHERE ballot_id IS NOT NULL;
CREATE INDEX checkup_demand_of_member ON checkup_demand (coop_id, member_id);
COMMENT ON TABLE checkup_demand IS 'What a material change makes the co-op ask again out of turn. Until a member answers, the line counts as unsaid. Append-only.';
COMMENT ON COLUMN checkup_demand.coop_id IS 'The co-op';
COMMENT ON COLUMN checkup_demand.id IS 'Random';
COMMENT ON COLUMN checkup_demand.line IS 'Which standing choice is asked again: consent, default (its acceptance), licence, delegation';
COMMENT ON COLUMN checkup_demand.member_id IS 'Who is asked; NULL: every member';
COMMENT ON COLUMN checkup_demand.target_id IS 'The delegation that is meant; NULL otherwise';
COMMENT ON COLUMN checkup_demand.charter IS 'Words of the charter version that count from now on: what was said on an older one is not an answer';
COMMENT ON COLUMN checkup_demand.reason IS 'What changed: a purpose, the class of recipients, the co-op''s default, its licences, a delegate or what delegates may do';
COMMENT ON COLUMN checkup_demand.words IS 'The same for people';
COMMENT ON COLUMN checkup_demand.ballot_id IS 'The ballot that changed it; NULL: none did';
COMMENT ON COLUMN checkup_demand.at IS 'Since when';
CALL commonhold_make_append_only('checkup_demand');
CALL commonhold_wall_in('checkup_demand');

CREATE TABLE release_share (
	coop_id    uuid NOT NULL,
	member_no  integer NOT NULL,
	release_id uuid NOT NULL,
	items      bigint NOT NULL,
	PRIMARY KEY (coop_id, member_no, release_id),
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	CONSTRAINT a_share_has_items CHECK (items > 0)
);
COMMENT ON TABLE release_share IS 'How many items of each member went out in each release: counted once it is published, so that a checkup need not read whole releases. Append-only.';
COMMENT ON COLUMN release_share.coop_id IS 'The co-op';
COMMENT ON COLUMN release_share.member_no IS 'membership.number';
COMMENT ON COLUMN release_share.release_id IS 'The published release';
COMMENT ON COLUMN release_share.items IS 'Items of the member in it';
CALL commonhold_make_append_only('release_share');
CALL commonhold_wall_in('release_share');

CREATE TABLE release_counted (
	coop_id    uuid NOT NULL,
	release_id uuid NOT NULL,
	at         timestamptz NOT NULL,
	PRIMARY KEY (coop_id, release_id),
	FOREIGN KEY (coop_id, release_id) REFERENCES release
);
COMMENT ON TABLE release_counted IS 'Which releases release_share has counted. Append-only.';
COMMENT ON COLUMN release_counted.coop_id IS 'The co-op';
COMMENT ON COLUMN release_counted.release_id IS 'The release';
COMMENT ON COLUMN release_counted.at IS 'When';
CALL commonhold_make_append_only('release_counted');
CALL commonhold_wall_in('release_counted');

CREATE TABLE consent_receipt (
	coop_id   uuid NOT NULL,
	id        uuid NOT NULL,
	member_id uuid NOT NULL,
	cycle     integer NOT NULL,
	kind      text NOT NULL,
	charter   integer NOT NULL,
	issued_at timestamptz NOT NULL,
	document  bytea NOT NULL,
	sha256    bytea NOT NULL,
	signature text NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT receipt_kind_is_known CHECK (kind IN ('annual', 'off_cycle')),
	CONSTRAINT receipt_digest_is_of_the_document CHECK (sha256 = sha256(document)),
	CONSTRAINT receipt_fits_a_page CHECK (length(document) <= 1048576)
);
CREATE UNIQUE INDEX one_annual_receipt_per_cycle ON consent_receipt (coop_id, member_id, cycle) WHERE kind = 'annual';
CREATE INDEX consent_receipt_of_member ON consent_receipt (coop_id, member_id, issued_at);
COMMENT ON TABLE consent_receipt IS 'Signed receipts of checkups, with the field names of ISO/IEC TS 27560. Append-only.';
COMMENT ON COLUMN consent_receipt.coop_id IS 'The co-op';
COMMENT ON COLUMN consent_receipt.id IS 'Random; receipt_id in the document';
COMMENT ON COLUMN consent_receipt.member_id IS 'Whose checkup it was';
COMMENT ON COLUMN consent_receipt.cycle IS 'Which checkup (membership.cycle before it was done)';
COMMENT ON COLUMN consent_receipt.kind IS 'Annual: every line; off_cycle: those that were asked out of turn';
COMMENT ON COLUMN consent_receipt.charter IS 'Version whose words were shown';
COMMENT ON COLUMN consent_receipt.issued_at IS 'When the checkup was done';
COMMENT ON COLUMN consent_receipt.document IS 'Canonical JSON: exactly the bytes that are signed';
COMMENT ON COLUMN consent_receipt.sha256 IS 'Of the document; also in the leaf checkup.done';
COMMENT ON COLUMN consent_receipt.signature IS 'minisign signature over the document by the co-op''s key';
CALL commonhold_make_append_only('consent_receipt');
CALL commonhold_wall_in('consent_receipt');
