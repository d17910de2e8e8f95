-- Guests: people of other co-ops whose words came with an agreement; and origins: who else contributed a content that stands here once.

CREATE TABLE guest_head (
	coop_id uuid PRIMARY KEY REFERENCES coop,
	changes bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE guest_head IS 'Counts what changed about guests and where they come from, so that a decision can say which state it saw. No row: the co-op never had a guest';
COMMENT ON COLUMN guest_head.coop_id IS 'The co-op';
COMMENT ON COLUMN guest_head.changes IS 'Changes so far';
CALL commonhold_wall_in('guest_head');

CREATE TABLE guest_source (
	coop_id      uuid NOT NULL REFERENCES coop,
	agreement_id uuid NOT NULL,
	home         text NOT NULL CONSTRAINT guest_source_is_a_key_name CHECK (home ~ '^[a-z2-7]{16}$'),
	title        text NOT NULL,
	uses         text[] NOT NULL,
	purposes     text[] NOT NULL,
	floor_uses   text[] NOT NULL,
	audience     text NOT NULL,
	k            integer NOT NULL CONSTRAINT guest_source_k_is_no_debt CHECK (k >= 0),
	embargo      bigint NOT NULL CONSTRAINT guest_source_embargo_is_a_length CHECK (embargo >= 0),
	retention    bigint NOT NULL CONSTRAINT guest_source_retention_is_a_length CHECK (retention >= 0),
	access       text NOT NULL CONSTRAINT guest_source_access_is_known CHECK (access IN ('public', 'gated_auto', 'gated_manual')),
	attribution  text NOT NULL CONSTRAINT guest_source_attribution_is_known CHECK (attribution IN ('anonymous', 'pseudonym', 'public')),
	state        text NOT NULL CONSTRAINT guest_source_state_is_known CHECK (state IN ('in_effect', 'suspended', 'ended')),
	fresh_until  timestamptz NOT NULL,
	changed_at   timestamptz NOT NULL,
	PRIMARY KEY (coop_id, agreement_id)
);
COMMENT ON TABLE guest_source IS 'What an agreement allows with what comes in under it. Written when the agreement changes; every decision about a guest holds to it';
COMMENT ON COLUMN guest_source.coop_id IS 'The co-op';
COMMENT ON COLUMN guest_source.agreement_id IS 'The agreement, the same over its renewals';
COMMENT ON COLUMN guest_source.home IS 'Key name of the partner';
COMMENT ON COLUMN guest_source.title IS 'What the partner is called, for people';
COMMENT ON COLUMN guest_source.uses IS 'Uses that the agreement allows: any other is denied';
COMMENT ON COLUMN guest_source.purposes IS 'Purposes that it allows: a guest''s consent counts for these alone';
COMMENT ON COLUMN guest_source.floor_uses IS 'Uses that it denies whatever anybody says';
COMMENT ON COLUMN guest_source.audience IS 'Widest audience: a release for a wider one goes without';
COMMENT ON COLUMN guest_source.k IS 'Fewest contributors in a release that holds something from there';
COMMENT ON COLUMN guest_source.embargo IS 'Microseconds that an item waits after it was made; 0 for none';
COMMENT ON COLUMN guest_source.retention IS 'Microseconds that an item may be kept after it was made; 0 for no limit';
COMMENT ON COLUMN guest_source.access IS 'Widest access to a release that holds something from there';
COMMENT ON COLUMN guest_source.attribution IS 'Most that is said of who contributed';
COMMENT ON COLUMN guest_source.state IS 'in_effect; suspended: held until it goes on; ended: in no new release';
COMMENT ON COLUMN guest_source.fresh_until IS 'Until when what was heard last counts: after it, guests from there are held until they are heard of again';
COMMENT ON COLUMN guest_source.changed_at IS 'When this row was written';
CALL commonhold_wall_in('guest_source');

CREATE TABLE guest (
	coop_id         uuid NOT NULL REFERENCES coop,
	id              uuid NOT NULL,
	number          integer NOT NULL,
	home            text NOT NULL CONSTRAINT guest_home_is_a_key_name CHECK (home ~ '^[a-z2-7]{16}$'),
	contributor     bytea NOT NULL CONSTRAINT guest_contributor_is_a_pseudonym CHECK (length(contributor) = 16),
	agreement_id    uuid NOT NULL,
	rev             bigint NOT NULL,
	line            text NOT NULL,
	standing        text NOT NULL,
	consent         text NOT NULL,
	purposes        text[] NOT NULL,
	consent_given   timestamptz,
	consent_expires timestamptz NOT NULL,
	spoken          integer NOT NULL DEFAULT 0,
	name            text,
	linked_member   uuid,
	first_at        timestamptz NOT NULL,
	heard_at        timestamptz NOT NULL,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT guest_numbers_are_unique UNIQUE (coop_id, number),
	CONSTRAINT one_guest_per_contributor UNIQUE (coop_id, home, contributor),
	FOREIGN KEY (coop_id, agreement_id) REFERENCES guest_source,
	FOREIGN KEY (coop_id, linked_member) REFERENCES membership
);
CREATE INDEX guest_from_source ON guest (coop_id, agreement_id, number);
CREATE INDEX guest_of_member ON guest (coop_id, linked_member) WHERE linked_member IS NOT NULL;
COMMENT ON TABLE guest IS 'A person of another co-op whose items are here. No account, no vote, no member: only what their home said they say. Their home alone changes it';
COMMENT ON COLUMN guest.coop_id IS 'The co-op that has the guest';
COMMENT ON COLUMN guest.id IS 'Random; contribution.member_id of their items, and whose content key it is';
COMMENT ON COLUMN guest.number IS 'Out of the same dense sequence as membership.number: the policy engine''s member index';
COMMENT ON COLUMN guest.home IS 'Key name of the co-op that they are a member of';
COMMENT ON COLUMN guest.contributor IS 'Their pseudonym towards others, made by their home';
COMMENT ON COLUMN guest.agreement_id IS 'The agreement under which they came';
COMMENT ON COLUMN guest.rev IS 'Size of their home''s log when it said so: the greatest stands';
COMMENT ON COLUMN guest.line IS 'The statement line as their home signed it, word for word';
COMMENT ON COLUMN guest.standing IS 'Of their membership at home, as in membership.state';
COMMENT ON COLUMN guest.consent IS 'State of their consent at home';
COMMENT ON COLUMN guest.purposes IS 'Purposes consented to at home';
COMMENT ON COLUMN guest.consent_given IS 'First commit of the consent that stands; NULL: none does';
COMMENT ON COLUMN guest.consent_expires IS 'End of the consent';
COMMENT ON COLUMN guest.spoken IS 'guest_spoken.no of what is said for them; 0: nothing';
COMMENT ON COLUMN guest.name IS 'Name under which they want to be credited; NULL: none given';
COMMENT ON COLUMN guest.linked_member IS 'Membership of the same person here, proved at both co-ops; NULL: none';
COMMENT ON COLUMN guest.first_at IS 'When they were first heard of here';
COMMENT ON COLUMN guest.heard_at IS 'When their home''s latest word was taken';
CALL commonhold_wall_in('guest');

CREATE TABLE guest_statement (
	coop_id     uuid NOT NULL,
	seq         bigint GENERATED ALWAYS AS IDENTITY,
	guest_id    uuid NOT NULL,
	layer       smallint NOT NULL CONSTRAINT guest_speaks_for_themselves CHECK (layer IN (1, 2)),
	kind        text,
	item_id     uuid,
	uses        text[] NOT NULL CONSTRAINT guest_statement_names_a_use CHECK (cardinality(uses) > 0),
	purpose     text,
	audience    text,
	effect      text NOT NULL CONSTRAINT guest_statement_effect_is_known CHECK (effect IN ('allow', 'allow_if', 'deny')),
	duties      text[] NOT NULL,
	declared_at timestamptz,
	valid_from  timestamptz,
	valid_to    timestamptz,
	external    boolean NOT NULL,
	verbatim    text,
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, guest_id) REFERENCES guest ON UPDATE CASCADE,
	CONSTRAINT guest_item_statements_are_layer_one CHECK ((layer = 1) = (item_id IS NOT NULL)),
	CONSTRAINT guest_statement_kind_or_item CHECK (kind IS NULL OR item_id IS NULL)
);
CREATE INDEX guest_statement_of_guest ON guest_statement (coop_id, guest_id, seq);
CREATE INDEX guest_statement_on_item ON guest_statement (coop_id, item_id) WHERE item_id IS NOT NULL;
COMMENT ON TABLE guest_statement IS 'What stands of a guest''s own words, as their home''s latest line says: all of it is replaced by the next';
COMMENT ON COLUMN guest_statement.coop_id IS 'The co-op';
COMMENT ON COLUMN guest_statement.seq IS 'The engine''s statement id is this with the highest bit but one set';
COMMENT ON COLUMN guest_statement.guest_id IS 'Who speaks';
COMMENT ON COLUMN guest_statement.layer IS '1 on an item, 2 own default';
COMMENT ON COLUMN guest_statement.kind IS 'Limited to a kind';
COMMENT ON COLUMN guest_statement.item_id IS 'Limited to an item of theirs (layer 1): its uuid, whether it is here yet or not';
COMMENT ON COLUMN guest_statement.uses IS 'Words of the uses that it is about';
COMMENT ON COLUMN guest_statement.purpose IS 'NULL: any';
COMMENT ON COLUMN guest_statement.audience IS 'NULL: any';
COMMENT ON COLUMN guest_statement.effect IS 'Allow, allow_if, deny';
COMMENT ON COLUMN guest_statement.duties IS 'For allow_if';
COMMENT ON COLUMN guest_statement.declared_at IS 'When it was said; NULL: since ever';
COMMENT ON COLUMN guest_statement.valid_from IS 'Counts from then on; NULL: from when it was said';
COMMENT ON COLUMN guest_statement.valid_to IS 'Counts until then; NULL: without end';
COMMENT ON COLUMN guest_statement.external IS 'A denial that only a later word of theirs on the item itself lifts';
COMMENT ON COLUMN guest_statement.verbatim IS 'The preference string that it came as';
CALL commonhold_wall_in('guest_statement');

CREATE TABLE guest_spoken (
	coop_id uuid NOT NULL REFERENCES coop,
	no      integer NOT NULL CONSTRAINT guest_spoken_counts_from_one CHECK (no > 0),
	digest  bytea NOT NULL CONSTRAINT guest_spoken_digest_is_a_sha256 CHECK (length(digest) = 32),
	words   text NOT NULL,
	PRIMARY KEY (coop_id, no),
	CONSTRAINT guest_spoken_is_kept_once UNIQUE (coop_id, digest)
);
COMMENT ON TABLE guest_spoken IS 'What homes say for those who said nothing themselves: many people share the same, so each distinct one is a subgroup of the policy engine''s';
COMMENT ON COLUMN guest_spoken.coop_id IS 'The co-op';
COMMENT ON COLUMN guest_spoken.no IS 'The engine''s subgroup number';
COMMENT ON COLUMN guest_spoken.digest IS 'SHA-256 of words';
COMMENT ON COLUMN guest_spoken.words IS 'Canonical JSON: a list of kind, use, purpose, effect, duties and since when';
CALL commonhold_wall_in('guest_spoken');

-- Members and guests share one sequence of numbers. Under the co-op's membership lock (coop/membership.c).
CREATE FUNCTION coop_next_number(in_coop uuid) RETURNS integer LANGUAGE sql STABLE AS $$
	SELECT greatest((SELECT coalesce(max(number) + 1, 0) FROM membership WHERE coop_id = in_coop), (SELECT coalesce(max(number) + 1, 0) FROM guest WHERE coop_id = in_coop))
$$;
COMMENT ON FUNCTION coop_next_number(uuid) IS 'The next number for a member or a guest';

-- ---- Origins ----

CREATE TABLE origin_coop (
	coop_id  uuid NOT NULL REFERENCES coop,
	no       smallint NOT NULL CONSTRAINT origin_fits_into_a_byte CHECK (no BETWEEN 1 AND 255),
	key_name text NOT NULL CONSTRAINT origin_is_a_key_name CHECK (key_name ~ '^[a-z2-7]{16}$'),
	title    text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, no),
	CONSTRAINT origins_are_numbered_once UNIQUE (coop_id, key_name)
);
COMMENT ON TABLE origin_coop IS 'Co-ops that items here come from, by the number that stands in bits 24-31 of contribution.more; 0 is this co-op itself';
COMMENT ON COLUMN origin_coop.coop_id IS 'The co-op';
COMMENT ON COLUMN origin_coop.no IS 'The number, for ever';
COMMENT ON COLUMN origin_coop.key_name IS 'Key name of the home: the middle of its items'' rids';
COMMENT ON COLUMN origin_coop.title IS 'What it is called, for people';
CALL commonhold_wall_in('origin_coop');

CREATE TABLE item_origin (
	coop_id      uuid NOT NULL,
	item_no      bigint NOT NULL,
	origin       smallint NOT NULL,
	id           uuid NOT NULL,
	member_no    integer NOT NULL,
	member_id    uuid NOT NULL,
	licence      smallint NOT NULL,
	lang         text NOT NULL,
	word         bigint NOT NULL,
	more         bigint NOT NULL,
	leaf         bigint NOT NULL,
	salt         bytea NOT NULL,
	findings     smallint NOT NULL DEFAULT 0,
	sealed_facts bytea,
	at           timestamptz NOT NULL,
	PRIMARY KEY (coop_id, item_no, origin, id),
	-- In this order it finds ids as well. Without foreign keys, like contribution: a bundle brings half a million at once, and neither numbers nor guests are ever deleted.
	CONSTRAINT origin_ids_are_unique UNIQUE (coop_id, id, origin)
);
CREATE INDEX item_origin_of_member ON item_origin (coop_id, member_no, item_no);
COMMENT ON TABLE item_origin IS 'Another contribution of a content that stands here already: no row of its own, but its contributor''s word counts for the row too. Taken away alone; the next one takes the row''s place when that is erased';
COMMENT ON COLUMN item_origin.coop_id IS 'The co-op';
COMMENT ON COLUMN item_origin.item_no IS 'contribution.item_no of the row with the same content';
COMMENT ON COLUMN item_origin.origin IS 'origin_coop.no of its home';
COMMENT ON COLUMN item_origin.id IS 'The uuid of its rid';
COMMENT ON COLUMN item_origin.member_no IS 'guest.number of who contributed it';
COMMENT ON COLUMN item_origin.member_id IS 'guest.id of the same';
COMMENT ON COLUMN item_origin.licence IS 'Its own licence; the row gets what fits them all';
COMMENT ON COLUMN item_origin.lang IS 'BCP 47; ''und'' when not said';
COMMENT ON COLUMN item_origin.word IS 'Packed policy word as if it were a row (policy.h)';
COMMENT ON COLUMN item_origin.more IS 'Packed second word, with its origin';
COMMENT ON COLUMN item_origin.leaf IS 'Index of its leaf in its home''s log';
COMMENT ON COLUMN item_origin.salt IS 'Of the commitment in that leaf; goes with it';
COMMENT ON COLUMN item_origin.findings IS 'Kinds of personal data found, as bits (pii.h)';
COMMENT ON COLUMN item_origin.sealed_facts IS 'Its circumstances, sealed under the guest''s key as for a row with this id';
COMMENT ON COLUMN item_origin.at IS 'When it was contributed at home';
CALL commonhold_wall_in('item_origin');
