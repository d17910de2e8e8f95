-- The pool: contributions, their sealed content, and the columns that the policy engine reads.

CREATE TABLE pool_head (
	coop_id   uuid PRIMARY KEY REFERENCES coop,
	next_item bigint NOT NULL DEFAULT 0             -- the next item number
);
COMMENT ON TABLE pool_head IS 'Hands out item numbers: dense per co-op, in order of commit. Its row is the lock of the pool: submitting, moderating and packing take it first.';

CREATE TABLE shard_key (
	coop_id uuid NOT NULL REFERENCES coop,
	no      integer NOT NULL,                       -- small number used beside every item
	kind    smallint NOT NULL,                      -- policy_vocab.h
	licence smallint NOT NULL,                      -- policy_licence.h
	month   integer NOT NULL,                       -- year * 12 + month - 1 of submission
	PRIMARY KEY (coop_id, no),
	CONSTRAINT shard_keys_are_unique UNIQUE (coop_id, kind, licence, month)
);
COMMENT ON TABLE shard_key IS 'Releases are cut into files by kind, licence and month of submission, so that what did not change is not written again.';

CREATE TABLE contribution (
	coop_id        uuid NOT NULL,
	id             uuid NOT NULL,
	item_no        bigint NOT NULL,                 -- dense per co-op
	member_id      uuid NOT NULL,
	member_no      integer NOT NULL,                -- membership.number
	shard          integer NOT NULL,                -- shard_key.no
	kind           smallint NOT NULL,
	licence        smallint NOT NULL,
	lang           text NOT NULL,                   -- BCP 47; 'und' when not said
	content_sha256 bytea NOT NULL,                  -- of the canonical content
	bytes          integer NOT NULL,                -- of the canonical content
	submitted_at   timestamptz NOT NULL,
	word           bigint NOT NULL,                 -- packed policy word (policy.h)
	more           bigint NOT NULL DEFAULT 0,       -- packed second word
	leaf           bigint NOT NULL,                 -- index of its leaf in the co-op's log
	salt           bytea NOT NULL,                  -- of the commitment in that leaf; destroyed with the content
	findings       smallint NOT NULL DEFAULT 0,     -- kinds of personal data found, as bits (pii.h)
	facts          text NOT NULL DEFAULT '{}',      -- canonical JSON: circumstances (prompted, friction, application, provider, model, processing)
	PRIMARY KEY (coop_id, id),
	CONSTRAINT content_hash_is_a_sha256 CHECK (length(content_sha256) = 32)
);
-- The same content from the same member is one contribution.
CREATE UNIQUE INDEX contribution_once_per_member ON contribution (coop_id, content_sha256, member_no);
CREATE UNIQUE INDEX contribution_by_item_no ON contribution (coop_id, item_no);
CREATE INDEX contribution_of_member ON contribution (coop_id, member_no, item_no);
COMMENT ON TABLE contribution IS 'One contribution: what policy needs to know of it. The content is apart, sealed.';

CREATE TABLE contribution_content (
	coop_id uuid NOT NULL,
	shard   integer NOT NULL,
	id      uuid NOT NULL,
	lang    text NOT NULL,                          -- copied from contribution: releases need it and nothing else of that row
	sealed  bytea NOT NULL,                         -- XChaCha20-Poly1305 under the member's key, bound to co-op and id
	PRIMARY KEY (coop_id, shard, id)
);
ALTER TABLE contribution_content ALTER COLUMN sealed SET STORAGE EXTERNAL;
COMMENT ON TABLE contribution_content IS 'Canonical content, sealed under the contributor''s key, in the order in which releases read it.';

CREATE TABLE moderation_decision (
	coop_id         uuid NOT NULL,
	seq             bigint GENERATED ALWAYS AS IDENTITY,
	contribution_id uuid NOT NULL,
	decision        text NOT NULL,
	stage           text NOT NULL,                  -- on_submission, post_submission, pre_publication, on_demand
	by_account      uuid,                           -- NULL: a processor
	at              timestamptz NOT NULL,
	reason          text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, seq),
	CONSTRAINT moderation_decision_is_known CHECK (decision IN ('hold', 'approve', 'reject'))
);
CREATE INDEX moderation_decision_of_item ON moderation_decision (coop_id, contribution_id, seq);
COMMENT ON TABLE moderation_decision IS 'Every moderation decision; append-only, the last one stands.';
CREATE TRIGGER moderation_decision_is_append_only BEFORE UPDATE OR DELETE ON moderation_decision FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

-- Items waiting for a moderator: the queue reads this and nothing else.
CREATE INDEX contribution_waiting ON contribution (coop_id, item_no) WHERE (word >> 9 & 3) = 0;

CREATE TABLE pool_segment (
	coop_id uuid NOT NULL REFERENCES coop,
	no      integer NOT NULL,                       -- items no * 4096 … no * 4096 + 4095
	items   integer NOT NULL,                       -- how many there are
	upto    bigint NOT NULL,                        -- item number after the last one in it
	ids     bytea NOT NULL,                         -- 16 bytes an item
	members bytea NOT NULL,                         -- 4 bytes, little-endian, an item
	words   bytea NOT NULL,                         -- 8 bytes
	mores   bytea NOT NULL,                         -- 8 bytes
	hashes  bytea NOT NULL,                         -- 32 bytes
	shards  bytea NOT NULL,                         -- 4 bytes
	dirty   boolean NOT NULL DEFAULT false,         -- a row of it changed since it was packed
	PRIMARY KEY (coop_id, no)
);
ALTER TABLE pool_segment ALTER COLUMN ids SET STORAGE EXTERNAL, ALTER COLUMN members SET STORAGE EXTERNAL, ALTER COLUMN words SET STORAGE EXTERNAL,
	ALTER COLUMN mores SET STORAGE EXTERNAL, ALTER COLUMN hashes SET STORAGE EXTERNAL, ALTER COLUMN shards SET STORAGE EXTERNAL;
COMMENT ON TABLE pool_segment IS 'The pool''s policy columns, packed 4096 items to a row: what freezing a release reads. Derived from contribution.';

-- Whatever changes a contribution makes its segment stale, in the same transaction. The lock keeps a packer out that read the rows before the change: it updates the row of
-- pool_head, so that it also fails a change that was made under an older snapshot.
CREATE FUNCTION pool_segment_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM 1 FROM pool_head h WHERE h.coop_id IN (SELECT coop_id FROM changed) ORDER BY h.coop_id FOR UPDATE;
	UPDATE pool_segment s SET dirty = true
		FROM (SELECT DISTINCT coop_id, (item_no >> 12)::integer AS no FROM changed) c
		WHERE s.coop_id = c.coop_id AND s.no = c.no AND NOT s.dirty;
	RETURN NULL;
END $$;
CREATE TRIGGER contribution_update_stales_segment AFTER UPDATE ON contribution REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION pool_segment_stale();

-- Approved (bits 9-10 of the word) and neither tombstoned nor about to be erased (bits 12, 13): an item that later items of the same content are duplicates of.
CREATE FUNCTION pool_item_stands(word bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT (word & 13824) = 512';
-- An item is marked as a duplicate (bit 16) exactly while an item of the same content with a lower number stands. Submission marks what it writes; this keeps the marks
-- right when an item begins or ceases to stand.
CREATE FUNCTION pool_settle_duplicates() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE touched bytea[];
BEGIN
	SELECT array_agg(DISTINCT h) INTO touched
		FROM before b JOIN after a USING (coop_id, id), LATERAL (VALUES (a.content_sha256), (b.content_sha256)) AS hashes(h)
		WHERE pool_item_stands(a.word) <> pool_item_stands(b.word) OR a.content_sha256 <> b.content_sha256;
	-- The update below comes back here with nothing left to do.
	IF touched IS NULL THEN
		RETURN NULL;
	END IF;
	UPDATE contribution c SET word = c.word # 65536
		FROM (SELECT i.coop_id, i.content_sha256, min(i.item_no) FILTER (WHERE pool_item_stands(i.word)) AS first
			FROM contribution i JOIN unnest(touched) AS t(h) ON i.content_sha256 = t.h
			WHERE i.coop_id IN (SELECT coop_id FROM after)
			GROUP BY i.coop_id, i.content_sha256) g
		WHERE c.coop_id = g.coop_id AND c.content_sha256 = g.content_sha256
		AND ((c.word & 65536) <> 0) <> (c.item_no > g.first AND g.first IS NOT NULL);
	RETURN NULL;
END $$;
CREATE TRIGGER contribution_update_settles_duplicates AFTER UPDATE ON contribution REFERENCING OLD TABLE AS before NEW TABLE AS after
	FOR EACH STATEMENT EXECUTE FUNCTION pool_settle_duplicates();

-- Erasure empties a row and leaves it as a tombstone: positions in the pool are for ever.
CREATE TRIGGER contribution_rows_stay BEFORE DELETE ON contribution FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

DO $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['pool_head', 'shard_key', 'contribution', 'contribution_content', 'moderation_decision', 'pool_segment'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY within_coop ON %I USING (coop_id = (SELECT commonhold_coop()))', t);
	END LOOP;
	REVOKE UPDATE, DELETE ON moderation_decision FROM commonhold_app;
END $$;
