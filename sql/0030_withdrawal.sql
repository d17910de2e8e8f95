-- Withdrawals: what is taken out of future releases, at once, whatever the number of items; and what erasure leaves of an item.

CREATE TABLE withdrawal (
	coop_id uuid NOT NULL REFERENCES coop,
	id uuid NOT NULL,
	kind text NOT NULL CONSTRAINT withdrawal_kind_is_known CHECK (kind IN ('erase', 'withdraw_future', 'embargo', 'restrict')),
	member_no integer,
	upto bigint NOT NULL,
	items bytea,
	first bigint,
	last bigint,
	n bigint NOT NULL CONSTRAINT withdrawal_counts_its_items CHECK (n >= 0),
	made_at timestamptz NOT NULL,
	until timestamptz NOT NULL DEFAULT 'infinity',
	marked_at timestamptz,
	lifted_at timestamptz,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT withdrawal_is_of_items_or_of_a_member CHECK ((member_no IS NULL) = (items IS NOT NULL)),
	CONSTRAINT withdrawn_items_are_four_bytes_each CHECK (items IS NULL OR (n > 0 AND length(items) = n * 4 AND first <= last AND last < upto)),
	CONSTRAINT only_an_embargo_ends_by_itself CHECK ((kind = 'embargo') = (until < 'infinity')),
	CONSTRAINT only_what_is_final_is_marked CHECK (marked_at IS NULL OR kind IN ('erase', 'withdraw_future')),
	CONSTRAINT what_is_final_is_not_lifted CHECK (lifted_at IS NULL OR kind IN ('embargo', 'restrict'))
);
ALTER TABLE withdrawal ALTER COLUMN items SET STORAGE EXTERNAL;
-- What every decision asks for: those whose bits are not in the rows yet, or never will be because they end.
CREATE INDEX withdrawal_in_force ON withdrawal (coop_id, until) WHERE marked_at IS NULL AND lifted_at IS NULL;
COMMENT ON TABLE withdrawal IS 'Items taken out of future releases: one row whatever their number, effective when it is committed. Decisions lay its bits over the items'' words; what is final is written into the rows afterwards';
COMMENT ON COLUMN withdrawal.coop_id IS 'The co-op';
COMMENT ON COLUMN withdrawal.id IS 'Made by whoever withdraws';
COMMENT ON COLUMN withdrawal.kind IS 'erase: content goes everywhere; withdraw_future: in no new release; embargo: in none before `until`; restrict: in none while a claim is looked at';
COMMENT ON COLUMN withdrawal.member_no IS 'All items of this member with numbers below `upto`; NULL: those in `items`';
COMMENT ON COLUMN withdrawal.upto IS 'Items in the pool when it was made: later ones are not touched';
COMMENT ON COLUMN withdrawal.items IS 'Item numbers, ascending, 4 bytes little-endian each; NULL: all of a member''s';
COMMENT ON COLUMN withdrawal.first IS 'Lowest number in `items`';
COMMENT ON COLUMN withdrawal.last IS 'Highest number in `items`';
COMMENT ON COLUMN withdrawal.n IS 'How many items';
COMMENT ON COLUMN withdrawal.made_at IS 'When it was made';
COMMENT ON COLUMN withdrawal.until IS 'End of an embargo; infinity for the others';
COMMENT ON COLUMN withdrawal.marked_at IS 'When the bits were all in the rows, so that decisions need not look here any more';
COMMENT ON COLUMN withdrawal.lifted_at IS 'When a restriction was settled, or an embargo ended early';
CALL commonhold_wall_in('withdrawal');

CREATE TABLE suppression (
	coop_id uuid NOT NULL REFERENCES coop,
	mark bytea NOT NULL CONSTRAINT suppression_mark_is_a_hmac CHECK (length(mark) = 32),
	PRIMARY KEY (coop_id, mark)
);
COMMENT ON TABLE suppression IS 'What a member had erased is not taken from them again. Only a keyed digest is kept: without the instance''s key it says nothing about the content';
COMMENT ON COLUMN suppression.coop_id IS 'The co-op';
COMMENT ON COLUMN suppression.mark IS 'HMAC-SHA-256 over co-op, member and content hash, under a key derived from the instance''s seal key';
CALL commonhold_make_append_only('suppression');
CALL commonhold_wall_in('suppression');

ALTER TABLE pool_head ADD COLUMN suppressed bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN pool_head.suppressed IS 'Entries in suppression: while there are none, nobody looks';

-- Circumstances may say as much of a person as content does, so they are sealed like it. Rows from before keep them in `facts` until the server has sealed them.
ALTER TABLE contribution ADD COLUMN sealed_facts bytea;
COMMENT ON COLUMN contribution.sealed_facts IS 'Circumstances as canonical JSON, sealed under the member''s key; NULL where `facts` still holds them, or nothing does';
-- So may a moderator's reason.
ALTER TABLE moderation_decision ADD COLUMN sealed_reason bytea;
COMMENT ON COLUMN moderation_decision.sealed_reason IS 'A person''s reason, sealed under the contributor''s key; in `reason` stand a processor''s words, and reasons from before';
CREATE INDEX contribution_with_open_facts ON contribution (coop_id, item_no) WHERE facts <> '{}';

-- Whether a sorted list of numbers, 4 bytes little-endian each, holds one.
CREATE FUNCTION pool_list_holds(list bytea, wanted bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	flat bytea := list || '';
	low integer := 0;
	high integer := length(list) / 4;
	middle integer;
	found bigint;
BEGIN
	WHILE low < high LOOP
		middle := (low + high) / 2;
		found := get_byte(flat, middle * 4) + get_byte(flat, middle * 4 + 1) * 256 + get_byte(flat, middle * 4 + 2) * 65536 + get_byte(flat, middle * 4 + 3) * 16777216::bigint;
		IF found = wanted THEN
			RETURN true;
		ELSIF found < wanted THEN
			low := middle + 1;
		ELSE
			high := middle;
		END IF;
	END LOOP;
	RETURN false;
END $$;
COMMENT ON FUNCTION pool_list_holds(bytea, bigint) IS 'Binary search in withdrawal.items';

-- The bits of an item's word (policy.h) that withdrawals in force lay over it.
CREATE FUNCTION pool_withdrawn_bits(in_coop uuid, item bigint, member integer) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT coalesce(bit_or(CASE w.kind WHEN 'erase' THEN 1 << 13 WHEN 'restrict' THEN 1 << 14 WHEN 'withdraw_future' THEN 1 << 21 ELSE 1 << 22 END), 0)::bigint
	FROM withdrawal w WHERE w.coop_id = in_coop AND w.marked_at IS NULL AND w.lifted_at IS NULL AND w.until > commonhold_now() AND item < w.upto
	AND CASE WHEN w.member_no IS NOT NULL THEN w.member_no = member ELSE item BETWEEN w.first AND w.last AND pool_list_holds(w.items, item) END
$$;
COMMENT ON FUNCTION pool_withdrawn_bits(uuid, bigint, integer) IS 'What stands over one item and is not in its row. For a few items at a time; a scan of the pool merges the lists instead';

CREATE FUNCTION pool_embargo_end(in_coop uuid, item bigint, member integer) RETURNS timestamptz LANGUAGE sql STABLE AS $$
	SELECT max(w.until) FROM withdrawal w WHERE w.coop_id = in_coop AND w.kind = 'embargo' AND w.marked_at IS NULL AND w.lifted_at IS NULL AND w.until > commonhold_now()
	AND item < w.upto AND CASE WHEN w.member_no IS NOT NULL THEN w.member_no = member ELSE item BETWEEN w.first AND w.last AND pool_list_holds(w.items, item) END
$$;
COMMENT ON FUNCTION pool_embargo_end(uuid, bigint, integer) IS 'Until when an item is under embargo by its contributor; NULL for none';

-- Neither what is to be erased nor what its contributor took out for good makes a later item of the same content a duplicate (bits 12, 13, 21).
CREATE OR REPLACE FUNCTION pool_item_stands(word bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT (word & 2110976) = 512';
COMMENT ON FUNCTION pool_item_stands(bigint) IS 'Approved, and neither tombstoned, about to be erased, nor withdrawn for good';

-- ---- What goes with an erased item ----

-- Tables of facts give up what they hold of an item once its row is a tombstone (bit 12), and only then.
CREATE FUNCTION pool_item_is_erased(in_coop uuid, item uuid) RETURNS boolean LANGUAGE sql STABLE AS
	'SELECT EXISTS (SELECT FROM contribution c WHERE c.coop_id = in_coop AND c.id = item AND (c.word & 4096) <> 0)';
COMMENT ON FUNCTION pool_item_is_erased(uuid, uuid) IS 'Whether an item is a tombstone in this transaction';

CREATE OR REPLACE FUNCTION statement_about_own_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM contribution c WHERE c.coop_id = NEW.coop_id AND c.id = NEW.item_id AND c.member_id = NEW.member_id AND (c.word & 4096) = 0) THEN
		RAISE EXCEPTION 'not an item of this member' USING ERRCODE = 'CH002', CONSTRAINT = 'statement_is_about_own_item';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION statement_about_own_item() IS 'Trigger: one speaks about one''s own items only, while they are there.';
DROP TRIGGER facts_do_not_change ON statement;
CREATE TRIGGER facts_do_not_change BEFORE UPDATE OR TRUNCATE ON statement FOR EACH STATEMENT EXECUTE FUNCTION commonhold_append_only();
CREATE FUNCTION statement_goes_with_its_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.item_id IS NULL OR NOT pool_item_is_erased(OLD.coop_id, OLD.item_id) THEN
		RAISE EXCEPTION 'statement is append-only' USING ERRCODE = 'CH001';
	END IF;
	RETURN OLD;
END $$;
COMMENT ON FUNCTION statement_goes_with_its_item() IS 'Trigger: a statement on an item goes when the item is erased; no other statement ever goes';
CREATE TRIGGER statements_go_with_their_item BEFORE DELETE ON statement FOR EACH ROW EXECUTE FUNCTION statement_goes_with_its_item();
CREATE INDEX statement_on_item ON statement (coop_id, item_id) WHERE item_id IS NOT NULL;

DROP TRIGGER moderation_decision_is_append_only ON moderation_decision;
CREATE FUNCTION moderation_reason_goes_with_its_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND NEW.reason = '' AND NEW.sealed_reason IS NULL AND NEW.coop_id = OLD.coop_id AND NEW.seq = OLD.seq AND NEW.contribution_id = OLD.contribution_id AND NEW.decision = OLD.decision
		AND NEW.stage = OLD.stage AND NEW.by_account IS NOT DISTINCT FROM OLD.by_account AND NEW.at = OLD.at AND pool_item_is_erased(OLD.coop_id, OLD.contribution_id) THEN
		RETURN NEW;
	END IF;
	RAISE EXCEPTION 'moderation_decision is append-only' USING ERRCODE = 'CH001';
END $$;
COMMENT ON FUNCTION moderation_reason_goes_with_its_item() IS 'Trigger: the reason of a decision may speak about people, so it is emptied with the item; the decision stays';
CREATE TRIGGER moderation_decision_is_append_only BEFORE UPDATE OR DELETE ON moderation_decision FOR EACH ROW EXECUTE FUNCTION moderation_reason_goes_with_its_item();

DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN
		GRANT DELETE ON statement TO commonhold_app;
		GRANT UPDATE (reason, sealed_reason) ON moderation_decision TO commonhold_app;
	END IF;
END $$;
