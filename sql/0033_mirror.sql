-- Who holds copies and what they owe when something is erased: mirrors, deliveries, duties, receipts, and the steps that follow when a duty is not met.

-- ---- What the gate knows for longer than its log ----

CREATE TABLE access_use (
	coop_id    uuid NOT NULL,
	release_id uuid NOT NULL,
	account_id uuid NOT NULL REFERENCES account,
	grant_id   uuid NOT NULL,
	first_at   timestamptz NOT NULL,
	last_at    timestamptz NOT NULL,
	gone_at    timestamptz,
	PRIMARY KEY (coop_id, release_id, account_id, grant_id),
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	CONSTRAINT use_begins_before_it_ends CHECK (last_at >= first_at)
);
COMMENT ON COLUMN access_use.coop_id IS 'The co-op';
COMMENT ON COLUMN access_use.release_id IS 'What was downloaded, whole or in part';
COMMENT ON COLUMN access_use.account_id IS 'Who did';
COMMENT ON COLUMN access_use.grant_id IS 'Under which grant; the nil id: as a member, without one';
COMMENT ON COLUMN access_use.first_at IS 'First download';
COMMENT ON COLUMN access_use.last_at IS 'Last download, to the hour';
COMMENT ON COLUMN access_use.gone_at IS 'When they confirmed that they hold it no more; void when they downloaded again later';
CREATE INDEX access_use_of_account ON access_use (coop_id, account_id);
COMMENT ON TABLE access_use IS 'That somebody downloaded a release: kept for as long as deletions may have to reach them, which is longer than the log of downloads is.';
INSERT INTO access_use (coop_id, release_id, account_id, grant_id, first_at, last_at)
	SELECT coop_id, release_id, account_id, coalesce(grant_id, '00000000-0000-0000-0000-000000000000'), min(at), max(at)
	FROM access_log WHERE account_id IS NOT NULL GROUP BY 1, 2, 3, 4;

CREATE TABLE access_block (
	coop_id    uuid NOT NULL REFERENCES coop,
	account_id uuid NOT NULL REFERENCES account,
	reason     text NOT NULL,
	since      timestamptz NOT NULL,
	PRIMARY KEY (coop_id, account_id)
);
COMMENT ON COLUMN access_block.coop_id IS 'The co-op';
COMMENT ON COLUMN access_block.account_id IS 'Who gets no new grants';
COMMENT ON COLUMN access_block.reason IS 'A sentence for them';
COMMENT ON COLUMN access_block.since IS 'From when';
COMMENT ON TABLE access_block IS 'Accounts that are given no new grants until they have confirmed a deletion that is overdue.';

-- ---- Mirrors ----

CREATE TABLE mirror (
	coop_id      uuid NOT NULL REFERENCES coop,
	id           uuid NOT NULL,
	account_id   uuid NOT NULL REFERENCES account,
	name         text NOT NULL,
	kind         text NOT NULL,
	url          text,
	public_key   bytea,
	secret       bytea,
	state        text NOT NULL,
	state_at     timestamptz NOT NULL,
	reason       text NOT NULL DEFAULT '',
	registered_at timestamptz NOT NULL,
	told_at      timestamptz,
	seen_upto    bigint NOT NULL DEFAULT -1,
	seen_at      timestamptz,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT mirror_kind_is_known CHECK (kind IN ('pull', 'webhook', 's3', 'huggingface')),
	CONSTRAINT mirror_state_is_known CHECK (state IN ('active', 'suspended', 'ended')),
	CONSTRAINT webhooks_have_an_address CHECK ((kind = 'webhook') = (url IS NOT NULL)),
	CONSTRAINT webhooks_have_a_secret CHECK ((kind = 'webhook') = (secret IS NOT NULL)),
	CONSTRAINT those_who_confirm_have_a_key CHECK ((kind IN ('pull', 'webhook')) = (public_key IS NOT NULL)),
	CONSTRAINT mirror_key_is_ed25519 CHECK (length(public_key) = 32),
	CONSTRAINT mirror_name_is_short_and_not_empty CHECK (length(name) BETWEEN 1 AND 200)
);
COMMENT ON COLUMN mirror.coop_id IS 'The co-op whose releases it copies';
COMMENT ON COLUMN mirror.id IS 'Random';
COMMENT ON COLUMN mirror.account_id IS 'Who answers for it';
COMMENT ON COLUMN mirror.name IS 'What it is called; public';
COMMENT ON COLUMN mirror.kind IS 'pull: asks for itself; webhook: is told; s3, huggingface: kept by this instance';
COMMENT ON COLUMN mirror.url IS 'Of the webhook';
COMMENT ON COLUMN mirror.public_key IS 'Ed25519, which its receipts are signed with';
COMMENT ON COLUMN mirror.secret IS 'Of the webhook''s HMAC; sealed';
COMMENT ON COLUMN mirror.state IS 'active; suspended: told nothing for now; ended';
COMMENT ON COLUMN mirror.state_at IS 'Since when';
COMMENT ON COLUMN mirror.reason IS 'Why it was suspended or ended';
COMMENT ON COLUMN mirror.registered_at IS 'When it was registered';
COMMENT ON COLUMN mirror.told_at IS 'When it last said what it holds; NULL: never, so that it may hold anything';
COMMENT ON COLUMN mirror.seen_upto IS 'Last tombstone that it has confirmed; -1: none';
COMMENT ON COLUMN mirror.seen_at IS 'Instant that its last receipt gives';
CREATE UNIQUE INDEX mirror_names_are_unique ON mirror (coop_id, lower(name)) WHERE state <> 'ended';
CREATE UNIQUE INDEX mirror_keys_are_unique ON mirror (coop_id, public_key) WHERE state <> 'ended';
CREATE INDEX mirror_of_account ON mirror (account_id);
COMMENT ON TABLE mirror IS 'A copy of a co-op''s releases that is kept in step, and whom to tell.';

CREATE TABLE mirror_holding (
	coop_id    uuid NOT NULL,
	mirror_id  uuid NOT NULL,
	release_id uuid NOT NULL,
	since      timestamptz NOT NULL,
	gone_at    timestamptz,
	PRIMARY KEY (coop_id, mirror_id, release_id),
	FOREIGN KEY (coop_id, mirror_id) REFERENCES mirror,
	FOREIGN KEY (coop_id, release_id) REFERENCES release
);
COMMENT ON COLUMN mirror_holding.coop_id IS 'The co-op';
COMMENT ON COLUMN mirror_holding.mirror_id IS 'The mirror';
COMMENT ON COLUMN mirror_holding.release_id IS 'What it holds, or held';
COMMENT ON COLUMN mirror_holding.since IS 'When it first said so, or was sent it';
COMMENT ON COLUMN mirror_holding.gone_at IS 'When it said that it holds it no more';
COMMENT ON TABLE mirror_holding IS 'What mirrors say that they hold, and what this instance has put there.';

-- ---- Telling them ----

CREATE TABLE delivery (
	coop_id     uuid NOT NULL,
	id          uuid NOT NULL,
	mirror_id   uuid NOT NULL,
	message_id  uuid NOT NULL,
	upto        bigint NOT NULL,
	wanted      bigint NOT NULL,
	news        boolean NOT NULL,
	body        text,
	state       text NOT NULL,
	attempts    integer NOT NULL DEFAULT 0,
	next_at     timestamptz NOT NULL,
	lease       uuid,
	lease_until timestamptz,
	last_status integer,
	last_error  text,
	created_at  timestamptz NOT NULL,
	ended_at    timestamptz,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, mirror_id) REFERENCES mirror,
	CONSTRAINT delivery_state_is_known CHECK (state IN ('waiting', 'sending', 'delivered', 'dead', 'dropped')),
	CONSTRAINT sending_has_a_lease CHECK ((state = 'sending') = (lease IS NOT NULL AND lease_until IS NOT NULL)),
	CONSTRAINT ended_deliveries_say_when CHECK ((state IN ('delivered', 'dead', 'dropped')) = (ended_at IS NOT NULL)),
	CONSTRAINT at_least_what_was_said_is_wanted CHECK (wanted >= upto)
);
COMMENT ON COLUMN delivery.coop_id IS 'The co-op';
COMMENT ON COLUMN delivery.id IS 'Random';
COMMENT ON COLUMN delivery.mirror_id IS 'Who is told';
COMMENT ON COLUMN delivery.message_id IS 'The webhook-id: the same in every attempt that says the same';
COMMENT ON COLUMN delivery.upto IS 'Last tombstone that the message names';
COMMENT ON COLUMN delivery.wanted IS 'Last tombstone that there is to tell by now';
COMMENT ON COLUMN delivery.news IS 'Something has come up since the message was written: the next attempt is another message';
COMMENT ON COLUMN delivery.body IS 'The message, the same in every attempt under its id; NULL: not written yet';
COMMENT ON COLUMN delivery.state IS 'waiting, sending, delivered, dead after the last attempt, dropped with its mirror';
COMMENT ON COLUMN delivery.attempts IS 'So far';
COMMENT ON COLUMN delivery.next_at IS 'When the next attempt is due';
COMMENT ON COLUMN delivery.lease IS 'Of the attempt under way';
COMMENT ON COLUMN delivery.lease_until IS 'After which it counts as lost and is made again';
COMMENT ON COLUMN delivery.last_status IS 'HTTP status of the last answer; NULL: none came';
COMMENT ON COLUMN delivery.last_error IS 'Why the last attempt failed';
COMMENT ON COLUMN delivery.created_at IS 'When there was first something to tell';
COMMENT ON COLUMN delivery.ended_at IS 'When it was delivered or given up';
CREATE UNIQUE INDEX one_open_delivery_per_mirror ON delivery (coop_id, mirror_id) WHERE state IN ('waiting', 'sending');
CREATE INDEX delivery_by_time ON delivery (coop_id, created_at DESC, id DESC);
COMMENT ON TABLE delivery IS 'What webhooks are told, attempt by attempt; what comes up in between is told by the next attempt.';

-- ---- What is owed ----

CREATE TABLE duty (
	coop_id      uuid NOT NULL,
	id           uuid NOT NULL,
	erasure_id   uuid NOT NULL,
	kind         text NOT NULL,
	mirror_id    uuid,
	grant_id     uuid,
	account_id   uuid NOT NULL REFERENCES account,
	first_idx    bigint NOT NULL,
	upto         bigint NOT NULL,
	releases     text[] NOT NULL,
	announced_at timestamptz NOT NULL,
	due_at       timestamptz NOT NULL,
	step         smallint NOT NULL DEFAULT 0,
	step_at      timestamptz,
	confirmed_at timestamptz,
	method       text,
	receipt_id   uuid,
	ended_at     timestamptz,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, mirror_id) REFERENCES mirror,
	FOREIGN KEY (coop_id, grant_id) REFERENCES access_grant,
	CONSTRAINT a_recipient_owes_once_for_an_erasure UNIQUE NULLS NOT DISTINCT (coop_id, erasure_id, mirror_id, grant_id),
	CONSTRAINT duty_kind_is_known CHECK (kind IN ('mirror', 'grant')),
	CONSTRAINT a_mirror_or_a_grant_owes CHECK ((kind = 'mirror') = (mirror_id IS NOT NULL) AND (kind = 'grant') = (grant_id IS NOT NULL)),
	CONSTRAINT duty_method_is_known CHECK (method IN ('patched', 'deleted', 'never-held')),
	CONSTRAINT confirmed_duties_say_how CHECK ((confirmed_at IS NULL) = (method IS NULL)),
	CONSTRAINT duty_step_is_known CHECK (step BETWEEN 0 AND 6),
	CONSTRAINT duty_covers_its_tombstones CHECK (upto >= first_idx)
);
COMMENT ON COLUMN duty.coop_id IS 'The co-op';
COMMENT ON COLUMN duty.id IS 'Random';
COMMENT ON COLUMN duty.erasure_id IS 'The deletion that is to be confirmed';
COMMENT ON COLUMN duty.kind IS 'Who owes it: a mirror, or the holder of a grant';
COMMENT ON COLUMN duty.mirror_id IS 'The mirror';
COMMENT ON COLUMN duty.grant_id IS 'The grant';
COMMENT ON COLUMN duty.account_id IS 'Who answers for either';
COMMENT ON COLUMN duty.first_idx IS 'First tombstone of the deletion';
COMMENT ON COLUMN duty.upto IS 'Last tombstone of the deletion: a receipt up to here confirms';
COMMENT ON COLUMN duty.releases IS 'Versions that held an erased item and that they have, or may have';
COMMENT ON COLUMN duty.announced_at IS 'When they were told';
COMMENT ON COLUMN duty.due_at IS 'By when a receipt is owed';
COMMENT ON COLUMN duty.step IS 'Steps of the ladder taken so far';
COMMENT ON COLUMN duty.step_at IS 'When the last one was taken';
COMMENT ON COLUMN duty.confirmed_at IS 'When it was confirmed';
COMMENT ON COLUMN duty.method IS 'How, in their words: patched, deleted, never-held';
COMMENT ON COLUMN duty.receipt_id IS 'The receipt';
COMMENT ON COLUMN duty.ended_at IS 'When nothing more follows: confirmed, or the ladder is at its end';
CREATE INDEX duty_of_erasure ON duty (coop_id, erasure_id);
CREATE INDEX duty_open ON duty (coop_id, due_at) WHERE confirmed_at IS NULL;
CREATE INDEX duty_of_mirror ON duty (coop_id, mirror_id, upto) WHERE mirror_id IS NOT NULL;
CREATE INDEX duty_of_grant ON duty (coop_id, grant_id, upto) WHERE grant_id IS NOT NULL;
CREATE INDEX duty_of_account ON duty (coop_id, account_id);
COMMENT ON TABLE duty IS 'What a recipient owes: to delete what a tombstone names from their copies, and to say so by a date.';

CREATE TABLE duty_step (
	coop_id uuid NOT NULL,
	duty_id uuid NOT NULL,
	step    smallint NOT NULL,
	at      timestamptz NOT NULL,
	what    text NOT NULL,
	PRIMARY KEY (coop_id, duty_id, step),
	FOREIGN KEY (coop_id, duty_id) REFERENCES duty
);
COMMENT ON COLUMN duty_step.coop_id IS 'The co-op';
COMMENT ON COLUMN duty_step.duty_id IS 'The duty';
COMMENT ON COLUMN duty_step.step IS 'Number of the step';
COMMENT ON COLUMN duty_step.at IS 'When it was taken';
COMMENT ON COLUMN duty_step.what IS 'Its name: reminded, due, blocked, listed, revoked, reported';
COMMENT ON TABLE duty_step IS 'Steps taken about duties that were not met; append-only.';
CALL commonhold_make_append_only('duty_step');

CREATE TABLE receipt (
	coop_id    uuid NOT NULL,
	id         uuid NOT NULL,
	seq        bigint GENERATED ALWAYS AS IDENTITY,
	mirror_id  uuid,
	grant_id   uuid,
	account_id uuid,
	upto       bigint NOT NULL,
	releases   text[] NOT NULL,
	method     text NOT NULL,
	models     text,
	doubtful   boolean NOT NULL,
	said_at    timestamptz NOT NULL,
	at         timestamptz NOT NULL,
	envelope   text,
	digest     bytea NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, mirror_id) REFERENCES mirror,
	FOREIGN KEY (coop_id, grant_id) REFERENCES access_grant,
	CONSTRAINT a_receipt_counts_once UNIQUE (coop_id, digest),
	CONSTRAINT a_mirror_or_a_grantee_confirms CHECK ((mirror_id IS NULL) <> (grant_id IS NULL)),
	CONSTRAINT receipt_method_is_known CHECK (method IN ('patched', 'deleted', 'never-held')),
	CONSTRAINT receipt_digest_is_a_sha256 CHECK (length(digest) = 32)
);
COMMENT ON COLUMN receipt.coop_id IS 'The co-op';
COMMENT ON COLUMN receipt.id IS 'Random';
COMMENT ON COLUMN receipt.seq IS 'Order of arrival';
COMMENT ON COLUMN receipt.mirror_id IS 'The mirror that confirms …';
COMMENT ON COLUMN receipt.grant_id IS '… or the grant whose holder does';
COMMENT ON COLUMN receipt.account_id IS 'The holder, signed in; NULL: the mirror''s key, or this instance for the copies that it keeps itself';
COMMENT ON COLUMN receipt.upto IS 'All tombstones up to this one are dealt with';
COMMENT ON COLUMN receipt.releases IS 'Versions that they hold now';
COMMENT ON COLUMN receipt.method IS 'patched, deleted, never-held';
COMMENT ON COLUMN receipt.models IS 'What they say about models trained on it; NULL: nothing';
COMMENT ON COLUMN receipt.doubtful IS 'They say never-held, and a download, or their own word, says otherwise';
COMMENT ON COLUMN receipt.said_at IS 'The instant that the receipt gives';
COMMENT ON COLUMN receipt.at IS 'When it came';
COMMENT ON COLUMN receipt.envelope IS 'DSSE as it came; NULL where somebody confirmed signed in';
COMMENT ON COLUMN receipt.digest IS 'SHA-256 of what was said, which the log holds too';
CREATE INDEX receipt_of_mirror ON receipt (coop_id, mirror_id, seq DESC);
CREATE INDEX receipt_of_grant ON receipt (coop_id, grant_id, seq DESC);
COMMENT ON TABLE receipt IS 'Confirmations by mirrors and grantees that they deleted what tombstones name; append-only.';
CALL commonhold_make_append_only('receipt');

-- Counts for the operators, kept by what changes them: no wall, since they name nobody.
CREATE TABLE mirror_lag (
	coop_id     uuid PRIMARY KEY REFERENCES coop,
	outstanding bigint NOT NULL,
	overdue     bigint NOT NULL,
	oldest_at   timestamptz,
	mirrors     bigint NOT NULL,
	behind      bigint NOT NULL,
	tombstones  bigint NOT NULL,
	worst       bigint NOT NULL,
	since       timestamptz,
	waiting     bigint NOT NULL,
	dead        bigint NOT NULL
);
COMMENT ON COLUMN mirror_lag.coop_id IS 'The co-op';
COMMENT ON COLUMN mirror_lag.outstanding IS 'Duties that are not confirmed';
COMMENT ON COLUMN mirror_lag.overdue IS 'Those of them past their due date when it was last counted';
COMMENT ON COLUMN mirror_lag.oldest_at IS 'When the oldest of them was announced';
COMMENT ON COLUMN mirror_lag.mirrors IS 'Mirrors that are not ended';
COMMENT ON COLUMN mirror_lag.behind IS 'Those that have a duty outstanding';
COMMENT ON COLUMN mirror_lag.tombstones IS 'How many tombstones they are behind, together';
COMMENT ON COLUMN mirror_lag.worst IS 'How many the worst of them is';
COMMENT ON COLUMN mirror_lag.since IS 'When the oldest of what mirrors owe was announced';
COMMENT ON COLUMN mirror_lag.waiting IS 'Deliveries under way';
COMMENT ON COLUMN mirror_lag.dead IS 'Deliveries given up and not repeated';
COMMENT ON TABLE mirror_lag IS 'How far behind the recipients of a co-op are: what /metrics sums up.';

CALL commonhold_wall_in('access_use');
CALL commonhold_wall_in('access_block');
CALL commonhold_wall_in('mirror');
CALL commonhold_wall_in('mirror_holding');
CALL commonhold_wall_in('delivery');
CALL commonhold_wall_in('duty');
CALL commonhold_wall_in('duty_step');
CALL commonhold_wall_in('receipt');
