-- The audit log of each co-op: leaves, the Merkle hashes over them in tiles of 256 (C2SP tlog-tiles), and the head under whose lock leaves are appended.

CREATE TABLE log_head (
	coop_id uuid PRIMARY KEY,
	origin text NOT NULL CONSTRAINT origin_has_no_spaces_or_plus CHECK (origin ~ '^[^[:space:]+]{1,255}$'),
	public_key bytea NOT NULL CONSTRAINT log_key_is_ed25519 CHECK (length(public_key) = 32),
	size bigint NOT NULL DEFAULT 0 CONSTRAINT log_size_is_not_negative CHECK (size >= 0),
	frontier bytea NOT NULL DEFAULT '',
	CONSTRAINT frontier_has_a_hash_per_one_bit_of_the_size CHECK (length(frontier) = 32 * length(replace(size::bit(64)::text, '0', '')))
) WITH (fillfactor = 50);
COMMENT ON TABLE log_head IS 'How far each log has come. Its row is locked to append, so that leaves are gapless and in order';
COMMENT ON COLUMN log_head.coop_id IS 'The co-op';
COMMENT ON COLUMN log_head.origin IS 'Name of the log in its checkpoints; fixed when the log is opened';
COMMENT ON COLUMN log_head.public_key IS 'The key that its checkpoints are signed with';
COMMENT ON COLUMN log_head.size IS 'Number of leaves';
COMMENT ON COLUMN log_head.frontier IS 'Roots of the perfect subtrees that make up the leaves, largest first, 32 bytes each: the root is a fold over it';

CREATE FUNCTION log_head_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'UPDATE' OR NEW.size < OLD.size OR NEW.origin <> OLD.origin OR NEW.coop_id <> OLD.coop_id THEN
		RAISE EXCEPTION 'a log only grows' USING ERRCODE = 'CH001';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION log_head_only_grows() IS 'Trigger: a log is never shortened, renamed or removed';
CREATE TRIGGER log_only_grows BEFORE UPDATE OR DELETE ON log_head FOR EACH ROW EXECUTE FUNCTION log_head_only_grows();
CALL commonhold_wall_in('log_head');

CREATE TABLE log_leaf (
	coop_id uuid NOT NULL,
	idx bigint NOT NULL CONSTRAINT leaves_are_counted_from_zero CHECK (idx >= 0),
	at timestamptz NOT NULL,
	type text NOT NULL CONSTRAINT leaf_type_is_a_dotted_name CHECK (type ~ '^[a-z][a-z0-9_]*([.][a-z0-9_]+)*$'),
	entry bytea NOT NULL CONSTRAINT entry_fits_a_bundle CHECK (length(entry) BETWEEN 2 AND 65535),
	hash bytea NOT NULL CONSTRAINT leaf_hash_is_sha256 CHECK (length(hash) = 32),
	PRIMARY KEY (coop_id, idx)
);
COMMENT ON TABLE log_leaf IS 'Every governance act, once and for ever. Ids, digests and decisions only: never content or personal data';
COMMENT ON COLUMN log_leaf.coop_id IS 'The co-op';
COMMENT ON COLUMN log_leaf.idx IS 'Position in the log, gapless from 0';
COMMENT ON COLUMN log_leaf.at IS 'When it was appended, as the entry says';
COMMENT ON COLUMN log_leaf.type IS 'What happened, as the entry says: release.published, statement.made';
COMMENT ON COLUMN log_leaf.entry IS 'The leaf: canonical JSON {"at","by","data","t"}';
COMMENT ON COLUMN log_leaf.hash IS 'RFC 6962 leaf hash of the entry';
CALL commonhold_make_append_only('log_leaf');
CALL commonhold_wall_in('log_leaf');

CREATE TABLE log_tile (
	coop_id uuid NOT NULL,
	level smallint NOT NULL CONSTRAINT tile_level_fits_the_index CHECK (level BETWEEN 0 AND 7),
	n bigint NOT NULL CONSTRAINT tiles_are_counted_from_zero CHECK (n >= 0),
	root bytea NOT NULL CONSTRAINT tile_root_is_sha256 CHECK (length(root) = 32),
	hashes bytea NOT NULL CONSTRAINT full_tile_has_256_hashes CHECK (length(hashes) = 8192),
	PRIMARY KEY (coop_id, level, n)
);
ALTER TABLE log_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
COMMENT ON TABLE log_tile IS 'The full tiles of each log. Partial ones are made from leaves and from the roots of full tiles below';
COMMENT ON COLUMN log_tile.coop_id IS 'The co-op';
COMMENT ON COLUMN log_tile.level IS 'Level of the tile: a hash in it spans 256^level leaves';
COMMENT ON COLUMN log_tile.n IS 'Index within the level';
COMMENT ON COLUMN log_tile.root IS 'Merkle root over the hashes: a hash of the tile above';
COMMENT ON COLUMN log_tile.hashes IS 'The 256 hashes, as they are served';
CALL commonhold_make_append_only('log_tile');
CALL commonhold_wall_in('log_tile');
