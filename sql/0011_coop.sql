-- Co-ops, their charters, members, consents and statements.

CREATE TABLE coop (
	id         uuid PRIMARY KEY,
	key_name   text NOT NULL UNIQUE,
	slug       text NOT NULL UNIQUE,
	public_key bytea NOT NULL,
	founder_id uuid NOT NULL REFERENCES account,
	founded_at timestamptz NOT NULL,
	CONSTRAINT key_name_is_base32 CHECK (key_name ~ '^[a-z2-7]{16}$'),
	CONSTRAINT slug_is_readable CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])$' AND slug !~ '^[a-z2-7]{16}$')
);
COMMENT ON COLUMN coop.id IS 'Random';
COMMENT ON COLUMN coop.key_name IS '16 base32 characters of SHA-256 of the first public key';
COMMENT ON COLUMN coop.slug IS 'Readable part of addresses';
COMMENT ON COLUMN coop.public_key IS 'First Ed25519 public key';
COMMENT ON COLUMN coop.founder_id IS 'Who founded it';
COMMENT ON COLUMN coop.founded_at IS 'When it was founded';
COMMENT ON TABLE coop IS 'A data co-operative. Public; what it decides is in its charter.';

CREATE TABLE charter (
	coop_id    uuid NOT NULL REFERENCES coop,
	version    integer NOT NULL,
	document   text NOT NULL,
	digest     bytea NOT NULL,
	name       text NOT NULL,
	domain     text NOT NULL,
	region     text NOT NULL,
	languages  text[] NOT NULL,
	admission  text NOT NULL,
	ballot_id  uuid,
	adopted_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, version),
	CONSTRAINT charter_versions_count_from_one CHECK (version >= 1),
	CONSTRAINT later_charters_need_a_ballot CHECK ((version = 1) = (ballot_id IS NULL)),
	CONSTRAINT charter_digest_is_a_sha256 CHECK (length(digest) = 32)
);
COMMENT ON COLUMN charter.coop_id IS 'The co-op';
COMMENT ON COLUMN charter.version IS '1 is the founding charter';
COMMENT ON COLUMN charter.document IS 'Canonical JSON (RFC 8785)';
COMMENT ON COLUMN charter.digest IS 'SHA-256 of document';
COMMENT ON COLUMN charter.name IS 'Copied from the document for the directory';
COMMENT ON COLUMN charter.domain IS 'Copied from the document for the directory';
COMMENT ON COLUMN charter.region IS 'Copied from the document for the directory';
COMMENT ON COLUMN charter.languages IS 'Copied from the document for the directory';
COMMENT ON COLUMN charter.admission IS 'Open, approval or invitation';
COMMENT ON COLUMN charter.ballot_id IS 'The ballot that adopted it; NULL for the founding version';
COMMENT ON COLUMN charter.adopted_at IS 'When it came into force';
COMMENT ON TABLE charter IS 'A version of a co-op''s charter as adopted; append-only.';
CALL commonhold_make_append_only('charter');

CREATE TABLE membership (
	coop_id        uuid NOT NULL REFERENCES coop,
	id             uuid NOT NULL,
	account_id     uuid NOT NULL REFERENCES account,
	number         integer NOT NULL,
	state          text NOT NULL,
	is_admin       boolean NOT NULL DEFAULT false,
	applied_at     timestamptz NOT NULL,
	joined_at      timestamptz,
	due_at         timestamptz,
	state_at       timestamptz NOT NULL,
	attribution    text NOT NULL DEFAULT 'pseudonym',
	pseudonym      text NOT NULL,
	public_name    text,
	contributed    bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT one_membership_per_account UNIQUE (coop_id, account_id),
	CONSTRAINT member_numbers_are_unique UNIQUE (coop_id, number),
	CONSTRAINT pseudonyms_are_unique UNIQUE (coop_id, pseudonym),
	CONSTRAINT membership_state_is_known CHECK (state IN ('applied', 'active', 'due', 'grace', 'lapsed', 'left', 'removed')),
	CONSTRAINT attribution_is_known CHECK (attribution IN ('anonymous', 'pseudonym', 'public')),
	CONSTRAINT public_attribution_has_a_name CHECK (attribution <> 'public' OR public_name IS NOT NULL),
	CONSTRAINT members_have_a_due_date CHECK (state IN ('applied', 'left', 'removed') OR (joined_at IS NOT NULL AND due_at IS NOT NULL))
);
COMMENT ON COLUMN membership.coop_id IS 'The co-op';
COMMENT ON COLUMN membership.id IS 'Random';
COMMENT ON COLUMN membership.account_id IS 'Whose it is';
COMMENT ON COLUMN membership.number IS 'Dense per co-op from 0: the policy engine''s member index';
COMMENT ON COLUMN membership.state IS 'See the constraint, and policy_vocab.h';
COMMENT ON COLUMN membership.is_admin IS 'Whether the member is an admin';
COMMENT ON COLUMN membership.applied_at IS 'When membership was first asked for';
COMMENT ON COLUMN membership.joined_at IS 'First admitted';
COMMENT ON COLUMN membership.due_at IS 'Next annual checkup';
COMMENT ON COLUMN membership.state_at IS 'Since when it is in this state';
COMMENT ON COLUMN membership.attribution IS 'How the member is credited: anonymous, pseudonym, public';
COMMENT ON COLUMN membership.pseudonym IS 'Random per co-op, collision-free';
COMMENT ON COLUMN membership.public_name IS 'For attribution ''public''; kept when another is chosen';
COMMENT ON COLUMN membership.contributed IS 'Items in the pool, for pages';
CREATE INDEX membership_of_account ON membership (account_id);
COMMENT ON TABLE membership IS 'One account in one co-op. The state changes only through membership_move (coop/membership.c).';

CREATE TABLE membership_event (
	coop_id    uuid NOT NULL,
	seq        bigint GENERATED ALWAYS AS IDENTITY,
	member_id  uuid NOT NULL,
	from_state text,
	to_state   text NOT NULL,
	is_admin   boolean NOT NULL,
	at         timestamptz NOT NULL,
	by_account uuid,
	reason     text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership
);
COMMENT ON COLUMN membership_event.coop_id IS 'The co-op';
COMMENT ON COLUMN membership_event.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN membership_event.member_id IS 'The membership that it is about';
COMMENT ON COLUMN membership_event.from_state IS 'NULL: the application itself';
COMMENT ON COLUMN membership_event.to_state IS 'State after the change';
COMMENT ON COLUMN membership_event.is_admin IS 'Whether the member is an admin';
COMMENT ON COLUMN membership_event.at IS 'When it was said or happened';
COMMENT ON COLUMN membership_event.by_account IS 'NULL: the daily job';
COMMENT ON COLUMN membership_event.reason IS 'What the admin wrote; never in the public log';
COMMENT ON TABLE membership_event IS 'Every change of a membership; append-only.';
CALL commonhold_make_append_only('membership_event');

CREATE TABLE consent (
	coop_id         uuid NOT NULL,
	seq             bigint GENERATED ALWAYS AS IDENTITY,
	member_id       uuid NOT NULL,
	state           text NOT NULL,
	purposes        text[] NOT NULL,
	notice          integer NOT NULL,
	defaults        boolean NOT NULL,
	at              timestamptz NOT NULL,
	expires_at      timestamptz NOT NULL,
	salt            bytea NOT NULL,
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT consent_state_is_known CHECK (state IN ('given', 'renewed', 'refused', 'withdrawn', 'revoked', 'invalidated'))
);
COMMENT ON COLUMN consent.coop_id IS 'The co-op';
COMMENT ON COLUMN consent.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN consent.member_id IS 'The membership that it is about';
COMMENT ON COLUMN consent.state IS 'DPV: given, renewed, withdrawn, refused';
COMMENT ON COLUMN consent.purposes IS 'Purposes consented to; ''any'' covers all';
COMMENT ON COLUMN consent.notice IS 'Charter version whose words the person was shown';
COMMENT ON COLUMN consent.defaults IS 'Accepts the co-op''s default statements (layer 5)';
COMMENT ON COLUMN consent.at IS 'When it was said or happened';
COMMENT ON COLUMN consent.expires_at IS 'At the latest the end of the grace after the next checkup';
COMMENT ON COLUMN consent.salt IS 'Of the commitment in the log''s leaf';
CREATE INDEX consent_of_member ON consent (coop_id, member_id, seq);
COMMENT ON TABLE consent IS 'What a member consented to and when; append-only, the last row stands.';
CALL commonhold_make_append_only('consent');

CREATE TABLE statement (
	coop_id     uuid NOT NULL,
	seq         bigint GENERATED ALWAYS AS IDENTITY,
	member_id   uuid NOT NULL,
	layer       smallint NOT NULL,
	kind        text,
	item_id     uuid,
	uses        text[] NOT NULL,
	purpose     text,
	audience    text,
	effect      text NOT NULL,
	duties      text[] NOT NULL DEFAULT '{}',
	declared_by uuid NOT NULL,
	via         uuid,
	declared_at timestamptz NOT NULL,
	valid_from  timestamptz,
	valid_to    timestamptz,
	external    boolean NOT NULL DEFAULT false,
	verbatim    text,
	revision    text,
	salt        bytea NOT NULL,
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT statement_effect_is_known CHECK (effect IN ('allow', 'allow_if', 'deny', 'none')),
	CONSTRAINT only_conditional_allows_have_duties CHECK ((effect = 'allow_if') = (cardinality(duties) > 0)),
	CONSTRAINT statement_names_a_use CHECK (cardinality(uses) > 0),
	CONSTRAINT item_statements_are_layer_one CHECK ((layer = 1) = (item_id IS NOT NULL)),
	CONSTRAINT statement_layer_is_of_a_member CHECK (layer IN (1, 2, 3)),
	CONSTRAINT statement_kind_or_item CHECK (kind IS NULL OR item_id IS NULL)
);
COMMENT ON COLUMN statement.coop_id IS 'The co-op';
COMMENT ON COLUMN statement.seq IS 'The engine''s statement id';
COMMENT ON COLUMN statement.member_id IS 'Whom it is about';
COMMENT ON COLUMN statement.layer IS '1 on an item, 2 own default, 3 delegate';
COMMENT ON COLUMN statement.kind IS 'Limited to a kind';
COMMENT ON COLUMN statement.item_id IS 'Limited to an item (layer 1)';
COMMENT ON COLUMN statement.uses IS 'Words of the uses that it is about';
COMMENT ON COLUMN statement.purpose IS 'NULL: any';
COMMENT ON COLUMN statement.audience IS 'NULL: any';
COMMENT ON COLUMN statement.effect IS 'Allow, allow_if, deny; none takes it back';
COMMENT ON COLUMN statement.duties IS 'For allow_if';
COMMENT ON COLUMN statement.declared_by IS 'Account that said it';
COMMENT ON COLUMN statement.via IS 'Delegation under which it was said (layer 3)';
COMMENT ON COLUMN statement.declared_at IS 'When it was said';
COMMENT ON COLUMN statement.valid_from IS 'Counts from then on; NULL: from when it was said';
COMMENT ON COLUMN statement.valid_to IS 'Counts until then; NULL: without end';
COMMENT ON COLUMN statement.external IS 'Came from a preference string of elsewhere';
COMMENT ON COLUMN statement.verbatim IS 'The string as it came, with its vocabulary''s revision';
COMMENT ON COLUMN statement.revision IS 'Revision of the vocabulary that the preference string is in';
COMMENT ON COLUMN statement.salt IS 'Of the commitment in the log''s leaf';
CREATE INDEX statement_of_member ON statement (coop_id, member_id, seq);
COMMENT ON TABLE statement IS 'What somebody entitled said about uses of a member''s items; append-only, a later one of the same kind replaces an earlier one.';
CALL commonhold_make_append_only('statement');

CREATE TABLE licence_choice (
	coop_id   uuid NOT NULL,
	seq       bigint GENERATED ALWAYS AS IDENTITY,
	member_id uuid NOT NULL,
	licence   text NOT NULL,
	at        timestamptz NOT NULL,
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership
);
COMMENT ON COLUMN licence_choice.coop_id IS 'The co-op';
COMMENT ON COLUMN licence_choice.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN licence_choice.member_id IS 'The membership that it is about';
COMMENT ON COLUMN licence_choice.licence IS 'SPDX id, among the charter''s allowed';
COMMENT ON COLUMN licence_choice.at IS 'When it was said or happened';
CREATE INDEX licence_choice_of_member ON licence_choice (coop_id, member_id, seq);
COMMENT ON TABLE licence_choice IS 'The licence a member puts on new contributions; append-only, the last row stands. Granted licences are never taken back.';
CALL commonhold_make_append_only('licence_choice');

CREATE TABLE invitation (
	coop_id      uuid NOT NULL REFERENCES coop,
	email_sha256 bytea NOT NULL,
	invited_by   uuid NOT NULL,
	at           timestamptz NOT NULL,
	used_at      timestamptz,
	PRIMARY KEY (coop_id, email_sha256),
	FOREIGN KEY (coop_id, invited_by) REFERENCES membership,
	CONSTRAINT invitation_digest_is_a_sha256 CHECK (length(email_sha256) = 32)
);
COMMENT ON COLUMN invitation.coop_id IS 'The co-op';
COMMENT ON COLUMN invitation.email_sha256 IS 'SHA-256 of the address in lower case: the address itself is not kept';
COMMENT ON COLUMN invitation.invited_by IS 'Membership of the admin';
COMMENT ON COLUMN invitation.at IS 'When it was said or happened';
COMMENT ON COLUMN invitation.used_at IS 'When somebody joined with it';
COMMENT ON TABLE invitation IS 'Whom an admin has invited: whoever joins with this address is a member at once.';

CREATE TABLE coop_count (
	coop_id       uuid PRIMARY KEY REFERENCES coop,
	members       bigint NOT NULL DEFAULT 0,
	contributions bigint NOT NULL DEFAULT 0,
	releases      bigint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN coop_count.coop_id IS 'The co-op';
COMMENT ON COLUMN coop_count.members IS 'Active, due or in grace';
COMMENT ON COLUMN coop_count.contributions IS 'Taken into the pool';
COMMENT ON COLUMN coop_count.releases IS 'Published';
COMMENT ON TABLE coop_count IS 'Public figures of each co-op, for the directory. Kept by deferred triggers, so that its row is locked last and only briefly.';

CREATE FUNCTION coop_count_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO coop_count (coop_id) VALUES (NEW.id);
	RETURN NULL;
END $$;
COMMENT ON FUNCTION coop_count_begins() IS 'Trigger: a co-op that is founded is counted from then on.';
CREATE TRIGGER coop_is_counted AFTER INSERT ON coop FOR EACH ROW EXECUTE FUNCTION coop_count_begins();

CREATE FUNCTION membership_counts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	step integer := (NEW.state IN ('active', 'due', 'grace'))::integer;
BEGIN
	IF TG_OP = 'UPDATE' THEN
		step := step - (OLD.state IN ('active', 'due', 'grace'))::integer;
	END IF;
	IF step <> 0 THEN
		UPDATE coop_count SET members = members + step WHERE coop_id = NEW.coop_id;
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION membership_counts() IS 'Trigger: keeps coop_count.members.';
CREATE CONSTRAINT TRIGGER members_are_counted_in AFTER INSERT ON membership DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION membership_counts();
CREATE CONSTRAINT TRIGGER members_are_counted AFTER UPDATE OF state ON membership DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION membership_counts();

-- Whoever moves a membership holds the co-op's advisory lock (coop/membership.c), so this cannot be outrun.
CREATE FUNCTION membership_keeps_an_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM membership WHERE coop_id = OLD.coop_id AND is_admin AND state IN ('active', 'due', 'grace')) THEN
		RAISE EXCEPTION 'the last admin stays' USING ERRCODE = 'CH002', CONSTRAINT = 'coop_keeps_an_admin';
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION membership_keeps_an_admin() IS 'Trigger: a co-op always has an admin in good standing.';
CREATE TRIGGER coop_keeps_an_admin AFTER UPDATE ON membership FOR EACH ROW
	WHEN (OLD.is_admin AND (NOT NEW.is_admin OR NEW.state NOT IN ('active', 'due', 'grace'))) EXECUTE FUNCTION membership_keeps_an_admin();

-- A request sees the memberships of its co-op and the person's own.
ALTER TABLE membership ENABLE ROW LEVEL SECURITY;
ALTER TABLE membership FORCE ROW LEVEL SECURITY;
CREATE POLICY membership_of_coop_or_own ON membership
	USING (coop_id = (SELECT commonhold_coop()) OR account_id = (SELECT commonhold_account()))
	WITH CHECK (coop_id = (SELECT commonhold_coop()));
CALL commonhold_wall_in('membership_event');
CALL commonhold_wall_in('consent');
CALL commonhold_wall_in('statement');
CALL commonhold_wall_in('licence_choice');
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN
		REVOKE UPDATE, DELETE ON coop FROM commonhold_app;
		REVOKE DELETE ON membership FROM commonhold_app;
	END IF;
END $$;
CALL commonhold_wall_in('invitation');

-- Who calls, and which co-op is meant: everything that a request needs to know before it begins, in one trip. The membership becomes visible once the account is told.
CREATE FUNCTION commonhold_identify(secret bytea, bearer boolean, coop_name text)
	RETURNS TABLE (caller uuid, account_id uuid, email text, name text, locale text, expires_at timestamptz, revoked boolean, touched_at timestamptz,
		coop_id uuid, key_name text, slug text, title text, member_id uuid, member_state text, member_is_admin boolean)
	LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	who record;
	place record;
	seat record;
BEGIN
	IF bearer THEN
		SELECT t.id, t.account_id, a.email, a.name, a.locale, t.expires_at, t.revoked_at IS NOT NULL AS revoked, t.used_at AS touched_at INTO who
			FROM token t JOIN account a ON a.id = t.account_id WHERE t.secret_hash = secret AND a.closed_at IS NULL;
	ELSE
		SELECT s.id, s.account_id, a.email, a.name, a.locale, s.expires_at, false AS revoked, s.seen_at AS touched_at INTO who
			FROM session s JOIN account a ON a.id = s.account_id WHERE s.secret_hash = secret AND a.closed_at IS NULL;
	END IF;
	SELECT c.id, c.key_name, c.slug, (SELECT h.name FROM charter h WHERE h.coop_id = c.id ORDER BY h.version DESC LIMIT 1) AS title INTO place FROM coop c WHERE c.slug = coop_name OR c.key_name = coop_name;
	SELECT NULL::uuid AS id, NULL::text AS state, NULL::boolean AS is_admin INTO seat;
	IF who.account_id IS NOT NULL AND place.id IS NOT NULL THEN
		PERFORM set_config('commonhold.account', who.account_id::text, true);
		SELECT m.id, m.state, m.is_admin INTO seat FROM membership m WHERE m.coop_id = place.id AND m.account_id = who.account_id;
	END IF;
	RETURN QUERY SELECT who.id, who.account_id, who.email, who.name, who.locale, who.expires_at, who.revoked, who.touched_at,
		place.id, place.key_name, place.slug, place.title, seat.id, seat.state, seat.is_admin;
END $$;
COMMENT ON FUNCTION commonhold_identify(bytea, boolean, text) IS 'The account of a session''s or token''s secret, the co-op of a name, and the membership of one in the other; NULLs where there is none.';
