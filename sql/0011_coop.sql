-- Co-ops, their charters, members, consents and statements.

CREATE TABLE coop (
	id         uuid PRIMARY KEY,
	key_name   text NOT NULL UNIQUE,                -- 16 base32 characters of SHA-256 of the first public key
	slug       text NOT NULL UNIQUE,                -- readable part of addresses
	public_key bytea NOT NULL,                      -- first Ed25519 public key
	founder_id uuid NOT NULL REFERENCES account,
	founded_at timestamptz NOT NULL,
	CONSTRAINT key_name_is_base32 CHECK (key_name ~ '^[a-z2-7]{16}$'),
	CONSTRAINT slug_is_readable CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])$' AND slug !~ '^[a-z2-7]{16}$')
);
COMMENT ON TABLE coop IS 'A data co-operative. Public; what it decides is in its charter.';

CREATE TABLE charter (
	coop_id    uuid NOT NULL REFERENCES coop,
	version    integer NOT NULL,                    -- 1 is the founding charter
	document   text NOT NULL,                       -- canonical JSON (RFC 8785)
	digest     bytea NOT NULL,                      -- SHA-256 of document
	name       text NOT NULL,                       -- copied from the document for the directory …
	domain     text NOT NULL,
	region     text NOT NULL,
	languages  text[] NOT NULL,
	admission  text NOT NULL,                       -- … open, approval or invitation
	ballot_id  uuid,                                -- the ballot that adopted it; NULL for the founding version
	adopted_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, version),
	CONSTRAINT charter_versions_count_from_one CHECK (version >= 1),
	CONSTRAINT later_charters_need_a_ballot CHECK ((version = 1) = (ballot_id IS NULL)),
	CONSTRAINT charter_digest_is_a_sha256 CHECK (length(digest) = 32)
);
COMMENT ON TABLE charter IS 'A version of a co-op''s charter as adopted; append-only.';
CREATE TRIGGER charter_is_append_only BEFORE UPDATE OR DELETE ON charter FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE TABLE membership (
	coop_id        uuid NOT NULL REFERENCES coop,
	id             uuid NOT NULL,
	account_id     uuid NOT NULL REFERENCES account,
	number         integer NOT NULL,                -- dense per co-op from 0: the policy engine's member index
	state          text NOT NULL,
	is_admin       boolean NOT NULL DEFAULT false,
	applied_at     timestamptz NOT NULL,
	joined_at      timestamptz,                     -- first admitted
	due_at         timestamptz,                     -- next annual checkup
	state_at       timestamptz NOT NULL,            -- since when it is in this state
	attribution    text NOT NULL DEFAULT 'pseudonym',
	pseudonym      text NOT NULL,                   -- random per co-op, collision-free
	public_name    text,                            -- for attribution 'public'
	contributed    bigint NOT NULL DEFAULT 0,       -- items in the pool, for pages
	PRIMARY KEY (coop_id, id),
	CONSTRAINT one_membership_per_account UNIQUE (coop_id, account_id),
	CONSTRAINT member_numbers_are_unique UNIQUE (coop_id, number),
	CONSTRAINT pseudonyms_are_unique UNIQUE (coop_id, pseudonym),
	CONSTRAINT membership_state_is_known CHECK (state IN ('applied', 'active', 'due', 'grace', 'lapsed', 'left', 'removed')),
	CONSTRAINT attribution_is_known CHECK (attribution IN ('anonymous', 'pseudonym', 'public')),
	CONSTRAINT public_attribution_has_a_name CHECK (attribution <> 'public' OR public_name IS NOT NULL),
	CONSTRAINT members_have_a_due_date CHECK (state IN ('applied', 'left', 'removed') OR (joined_at IS NOT NULL AND due_at IS NOT NULL))
);
CREATE INDEX membership_of_account ON membership (account_id);
COMMENT ON TABLE membership IS 'One account in one co-op. The state changes only through membership_move (coop/membership.c).';

CREATE TABLE membership_event (
	coop_id    uuid NOT NULL,
	seq        bigint GENERATED ALWAYS AS IDENTITY,
	member_id  uuid NOT NULL,
	from_state text,                                -- NULL: the application itself
	to_state   text NOT NULL,
	is_admin   boolean NOT NULL,
	at         timestamptz NOT NULL,
	by_account uuid,                                -- NULL: the daily job
	reason     text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership
);
COMMENT ON TABLE membership_event IS 'Every change of a membership; append-only.';
CREATE TRIGGER membership_event_is_append_only BEFORE UPDATE OR DELETE ON membership_event FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE TABLE consent (
	coop_id         uuid NOT NULL,
	seq             bigint GENERATED ALWAYS AS IDENTITY,
	member_id       uuid NOT NULL,
	state           text NOT NULL,                  -- DPV: given, renewed, withdrawn, refused …
	purposes        text[] NOT NULL,                -- purposes consented to; 'any' covers all
	notice          integer NOT NULL,               -- charter version whose words the person was shown
	defaults        boolean NOT NULL,               -- accepts the co-op's default statements (layer 5)
	at              timestamptz NOT NULL,
	expires_at      timestamptz NOT NULL,           -- at the latest the next checkup
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT consent_state_is_known CHECK (state IN ('given', 'renewed', 'refused', 'withdrawn', 'revoked', 'invalidated'))
);
CREATE INDEX consent_of_member ON consent (coop_id, member_id, seq);
COMMENT ON TABLE consent IS 'What a member consented to and when; append-only, the last row stands.';
CREATE TRIGGER consent_is_append_only BEFORE UPDATE OR DELETE ON consent FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE TABLE statement (
	coop_id     uuid NOT NULL,
	seq         bigint GENERATED ALWAYS AS IDENTITY, -- the engine's statement id
	member_id   uuid NOT NULL,                      -- whom it is about
	layer       smallint NOT NULL,                  -- 1 on an item, 2 own default, 3 delegate
	kind        text,                               -- limited to a kind
	item_id     uuid,                               -- limited to an item (layer 1)
	uses        text[] NOT NULL,
	purpose     text,                               -- NULL: any
	audience    text,                               -- NULL: any
	effect      text NOT NULL,                      -- allow, allow_if, deny; none takes it back
	duties      text[] NOT NULL DEFAULT '{}',       -- for allow_if
	declared_by uuid NOT NULL,                      -- account that said it
	via         uuid,                               -- delegation under which it was said (layer 3)
	declared_at timestamptz NOT NULL,
	valid_from  timestamptz,
	valid_to    timestamptz,
	external    boolean NOT NULL DEFAULT false,     -- came from a preference string of elsewhere
	verbatim    text,                               -- the string as it came, with its vocabulary's revision
	revision    text,
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT statement_effect_is_known CHECK (effect IN ('allow', 'allow_if', 'deny', 'none')),
	CONSTRAINT only_conditional_allows_have_duties CHECK ((effect = 'allow_if') = (cardinality(duties) > 0)),
	CONSTRAINT statement_names_a_use CHECK (cardinality(uses) > 0),
	CONSTRAINT item_statements_are_layer_one CHECK ((layer = 1) = (item_id IS NOT NULL)),
	CONSTRAINT statement_layer_is_of_a_member CHECK (layer IN (1, 2, 3)),
	CONSTRAINT statement_kind_or_item CHECK (kind IS NULL OR item_id IS NULL)
);
CREATE INDEX statement_of_member ON statement (coop_id, member_id, seq);
COMMENT ON TABLE statement IS 'What somebody entitled said about uses of a member''s items; append-only, a later one of the same kind replaces an earlier one.';
CREATE TRIGGER statement_is_append_only BEFORE UPDATE OR DELETE ON statement FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE TABLE licence_choice (
	coop_id   uuid NOT NULL,
	seq       bigint GENERATED ALWAYS AS IDENTITY,
	member_id uuid NOT NULL,
	licence   text NOT NULL,                        -- SPDX id, among the charter's allowed
	at        timestamptz NOT NULL,
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership
);
CREATE INDEX licence_choice_of_member ON licence_choice (coop_id, member_id, seq);
COMMENT ON TABLE licence_choice IS 'The licence a member puts on new contributions; append-only, the last row stands. Granted licences are never taken back.';
CREATE TRIGGER licence_choice_is_append_only BEFORE UPDATE OR DELETE ON licence_choice FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

-- A request sees the memberships of its co-op and the person's own.
ALTER TABLE membership ENABLE ROW LEVEL SECURITY;
ALTER TABLE membership FORCE ROW LEVEL SECURITY;
CREATE POLICY membership_of_coop_or_own ON membership
	USING (coop_id = (SELECT commonhold_coop()) OR account_id = (SELECT commonhold_account()))
	WITH CHECK (coop_id = (SELECT commonhold_coop()));
DO $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['membership_event', 'consent', 'statement', 'licence_choice'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY within_coop ON %I USING (coop_id = (SELECT commonhold_coop()))', t);
		EXECUTE format('REVOKE UPDATE, DELETE ON %I FROM commonhold_app', t);
	END LOOP;
	REVOKE UPDATE, DELETE ON charter FROM commonhold_app;
END $$;
