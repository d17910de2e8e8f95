-- What co-ops agree on with each other, what they say to each other, and what was refused.

-- ---- Agreements ----

CREATE TABLE agreement (
	coop_id uuid NOT NULL REFERENCES coop,
	id      uuid NOT NULL,
	peer_id uuid NOT NULL,
	made_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, peer_id) REFERENCES peer
);
COMMENT ON COLUMN agreement.coop_id IS 'The co-op, as one side of it';
COMMENT ON COLUMN agreement.id IS 'The same at both co-ops and in every revision; random';
COMMENT ON COLUMN agreement.peer_id IS 'The other side';
COMMENT ON COLUMN agreement.made_at IS 'When it was drafted, or came in';
CREATE INDEX agreement_of_peer ON agreement (coop_id, peer_id);
COMMENT ON TABLE agreement IS 'That two co-ops have, or may have, an agreement about sharing their pools; what it says is in its revisions.';

CREATE TABLE agreement_revision (
	coop_id      uuid NOT NULL,
	agreement_id uuid NOT NULL,
	revision     integer NOT NULL,
	document     text NOT NULL,
	digest       bytea NOT NULL,
	charter_theirs text NOT NULL,
	state        text NOT NULL,
	proposed_here boolean NOT NULL,
	suspended_here boolean NOT NULL DEFAULT false,
	suspended_there boolean NOT NULL DEFAULT false,
	suspended_by_charter boolean NOT NULL DEFAULT false,
	ballot_id    uuid,
	assent_ours  text,
	assent_theirs text,
	made_at      timestamptz NOT NULL,
	state_at     timestamptz NOT NULL,
	effect_at    timestamptz,
	starts_at    timestamptz NOT NULL,
	ends_at      timestamptz NOT NULL,
	note         text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, agreement_id, revision),
	FOREIGN KEY (coop_id, agreement_id) REFERENCES agreement,
	FOREIGN KEY (coop_id, ballot_id) REFERENCES ballot,
	CONSTRAINT agreement_state_is_known CHECK (state IN ('drafted', 'proposed', 'voting', 'passed', 'signed', 'in_effect', 'suspended', 'ending', 'ended', 'rejected', 'withdrawn',
		'expired', 'renewed')),
	CONSTRAINT agreement_revisions_count_from_one CHECK (revision >= 1),
	CONSTRAINT agreement_digest_is_of_its_document CHECK (digest = sha256(convert_to(document, 'UTF8'))),
	CONSTRAINT nobody_signs_without_a_ballot CHECK (assent_ours IS NULL OR ballot_id IS NOT NULL),
	CONSTRAINT in_effect_needs_both_assents CHECK (state NOT IN ('in_effect', 'suspended', 'ending') OR (assent_ours IS NOT NULL AND assent_theirs IS NOT NULL AND effect_at IS NOT NULL)),
	CONSTRAINT suspended_says_by_whom CHECK ((state = 'suspended') <= (suspended_here OR suspended_there OR suspended_by_charter)),
	CONSTRAINT agreement_begins_before_it_ends CHECK (starts_at < ends_at OR state IN ('ending', 'ended', 'rejected', 'withdrawn', 'expired', 'renewed'))
);
COMMENT ON COLUMN agreement_revision.coop_id IS 'The co-op';
COMMENT ON COLUMN agreement_revision.agreement_id IS 'The agreement';
COMMENT ON COLUMN agreement_revision.revision IS 'From 1; each renewal is one more';
COMMENT ON COLUMN agreement_revision.document IS 'What it says: canonical JSON, schemas/agreement.json';
COMMENT ON COLUMN agreement_revision.digest IS 'SHA-256 of the document: what both co-ops vote on and sign';
COMMENT ON COLUMN agreement_revision.charter_theirs IS 'The partner''s charter that it was written under: canonical JSON, whose digest the document names';
COMMENT ON COLUMN agreement_revision.state IS 'drafted, proposed, voting, passed, signed, in_effect, suspended, ending, ended, rejected, withdrawn, expired, renewed';
COMMENT ON COLUMN agreement_revision.proposed_here IS 'Written by this co-op; by the partner otherwise';
COMMENT ON COLUMN agreement_revision.suspended_here IS 'This co-op has suspended it';
COMMENT ON COLUMN agreement_revision.suspended_there IS 'The partner has';
COMMENT ON COLUMN agreement_revision.suspended_by_charter IS 'It is looser than a charter that has changed since';
COMMENT ON COLUMN agreement_revision.ballot_id IS 'Ballot of kind merge of this co-op';
COMMENT ON COLUMN agreement_revision.assent_ours IS 'DSSE envelope of this co-op''s yes, by its key';
COMMENT ON COLUMN agreement_revision.assent_theirs IS 'The partner''s, by theirs';
COMMENT ON COLUMN agreement_revision.made_at IS 'When the revision was drafted, or came in';
COMMENT ON COLUMN agreement_revision.state_at IS 'Since when it is in its state';
COMMENT ON COLUMN agreement_revision.effect_at IS 'When it came into effect';
COMMENT ON COLUMN agreement_revision.starts_at IS 'First instant, as the document says';
COMMENT ON COLUMN agreement_revision.ends_at IS 'When it ends: as the document says, or sooner after a notice';
COMMENT ON COLUMN agreement_revision.note IS 'Why it is as it is, a sentence';
CREATE UNIQUE INDEX agreement_digests_are_unique ON agreement_revision (coop_id, digest);
CREATE UNIQUE INDEX one_revision_is_in_effect ON agreement_revision (coop_id, agreement_id) WHERE state IN ('in_effect', 'suspended', 'ending');
CREATE INDEX agreement_revision_newest ON agreement_revision (coop_id, made_at DESC, digest);
CREATE INDEX agreement_revision_alive ON agreement_revision (state) WHERE state NOT IN ('ended', 'rejected', 'withdrawn', 'expired', 'renewed');
COMMENT ON TABLE agreement_revision IS 'What an agreement says, and how far it has come on this side.';

CREATE TABLE agreement_event (
	coop_id      uuid NOT NULL,
	agreement_id uuid NOT NULL,
	revision     integer NOT NULL,
	seq          bigint GENERATED ALWAYS AS IDENTITY,
	at           timestamptz NOT NULL,
	state        text,
	by           text NOT NULL,
	note         text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, agreement_id, revision, seq),
	FOREIGN KEY (coop_id, agreement_id, revision) REFERENCES agreement_revision,
	CONSTRAINT agreement_actor_is_known CHECK (by IN ('admin', 'ballot', 'partner', 'charter', 'clock'))
);
COMMENT ON COLUMN agreement_event.coop_id IS 'The co-op';
COMMENT ON COLUMN agreement_event.agreement_id IS 'The agreement';
COMMENT ON COLUMN agreement_event.revision IS 'Which revision';
COMMENT ON COLUMN agreement_event.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN agreement_event.at IS 'When';
COMMENT ON COLUMN agreement_event.state IS 'What it came to; NULL: no change of state';
COMMENT ON COLUMN agreement_event.by IS 'admin, ballot, partner, charter, clock';
COMMENT ON COLUMN agreement_event.note IS 'A sentence';
COMMENT ON TABLE agreement_event IS 'What happened to an agreement; append-only.';
CALL commonhold_make_append_only('agreement_event');

-- ---- Messages between co-ops ----

CREATE TABLE message_out (
	coop_id  uuid NOT NULL REFERENCES coop,
	id       uuid NOT NULL,
	peer_id  uuid NOT NULL,
	seq      bigint GENERATED ALWAYS AS IDENTITY,
	type     text NOT NULL,
	key      text,
	body     text NOT NULL,
	envelope text,
	state    text NOT NULL,
	attempts integer NOT NULL DEFAULT 0,
	made_at  timestamptz NOT NULL,
	next_at  timestamptz NOT NULL,
	ended_at timestamptz,
	last_error text,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT message_state_is_known CHECK (state IN ('waiting', 'delivered', 'dead', 'dropped')),
	CONSTRAINT ended_messages_say_when CHECK ((state = 'waiting') = (ended_at IS NULL))
);
COMMENT ON COLUMN message_out.coop_id IS 'The co-op that says it';
COMMENT ON COLUMN message_out.id IS 'Random; in the message too';
COMMENT ON COLUMN message_out.peer_id IS 'Whom it is for';
COMMENT ON COLUMN message_out.seq IS 'Order in which they are said';
COMMENT ON COLUMN message_out.type IS 'agreement.proposed, bundle.ready, …';
COMMENT ON COLUMN message_out.key IS 'A later one of the same type and key replaces it while it waits; NULL: none does';
COMMENT ON COLUMN message_out.body IS 'What it says: a JSON object';
COMMENT ON COLUMN message_out.envelope IS 'Signed when it first leaves, the same in every attempt unless the key changes';
COMMENT ON COLUMN message_out.state IS 'waiting, delivered, dead after the last attempt or a refusal, dropped for a newer one';
COMMENT ON COLUMN message_out.attempts IS 'So far';
COMMENT ON COLUMN message_out.made_at IS 'When it was said';
COMMENT ON COLUMN message_out.next_at IS 'When the next attempt is due';
COMMENT ON COLUMN message_out.ended_at IS 'When it arrived, or was given up';
COMMENT ON COLUMN message_out.last_error IS 'What the last attempt met with, a sentence';
CREATE INDEX message_out_waiting ON message_out (coop_id, peer_id, seq) WHERE state = 'waiting';
CREATE INDEX message_out_newest ON message_out (coop_id, made_at DESC, id);
COMMENT ON TABLE message_out IS 'What a co-op says to its partners, until it has arrived.';

CREATE TABLE message_in (
	coop_id  uuid NOT NULL REFERENCES coop,
	digest   bytea NOT NULL CONSTRAINT message_digest_is_sha256 CHECK (length(digest) = 32),
	id       uuid NOT NULL,
	peer_id  uuid NOT NULL,
	type     text NOT NULL,
	said_at  timestamptz NOT NULL,
	taken_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, digest)
);
COMMENT ON COLUMN message_in.coop_id IS 'The co-op that was told';
COMMENT ON COLUMN message_in.digest IS 'SHA-256 of what was signed: the same again is not taken twice, nor one of the same id that was signed anew';
COMMENT ON COLUMN message_in.id IS 'As the sender named it';
COMMENT ON COLUMN message_in.peer_id IS 'Who said it';
COMMENT ON COLUMN message_in.type IS 'What it was about';
COMMENT ON COLUMN message_in.said_at IS 'When the sender wrote it';
COMMENT ON COLUMN message_in.taken_at IS 'When it was taken here';
CREATE UNIQUE INDEX a_message_is_taken_once ON message_in (coop_id, peer_id, id);
CREATE INDEX message_in_newest ON message_in (coop_id, taken_at DESC, id);
COMMENT ON TABLE message_in IS 'What a co-op was told by its partners and took.';

-- ---- Refusals ----

CREATE TABLE refusal (
	coop_id  uuid NOT NULL REFERENCES coop,
	id       uuid NOT NULL,
	peer_id  uuid,
	at       timestamptz NOT NULL,
	day      date NOT NULL,
	what     text NOT NULL,
	code     text NOT NULL,
	sentence text NOT NULL,
	times    bigint NOT NULL DEFAULT 1,
	PRIMARY KEY (coop_id, id)
);
COMMENT ON COLUMN refusal.coop_id IS 'The co-op that refused it';
COMMENT ON COLUMN refusal.id IS 'Random';
COMMENT ON COLUMN refusal.peer_id IS 'Who sent it; NULL: a stranger';
COMMENT ON COLUMN refusal.at IS 'When it was last refused';
COMMENT ON COLUMN refusal.day IS 'Day of the first time';
COMMENT ON COLUMN refusal.what IS 'What was sent, in a few words';
COMMENT ON COLUMN refusal.code IS 'Why, for machines';
COMMENT ON COLUMN refusal.sentence IS 'Why, for people';
COMMENT ON COLUMN refusal.times IS 'How often that day';
CREATE UNIQUE INDEX the_same_refusal_counts_up ON refusal (coop_id, coalesce(peer_id, '00000000-0000-0000-0000-000000000000'), day, what, code);
CREATE INDEX refusal_newest ON refusal (coop_id, at DESC, id);
COMMENT ON TABLE refusal IS 'What a co-op was sent by others and did not take, and why: for its admins.';

CALL commonhold_wall_in('agreement');
CALL commonhold_wall_in('agreement_revision');
CALL commonhold_wall_in('agreement_event');
CALL commonhold_wall_in('message_out');
CALL commonhold_wall_in('message_in');
CALL commonhold_wall_in('refusal');
