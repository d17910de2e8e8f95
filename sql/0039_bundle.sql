-- Bundles: what was passed on under an agreement and how far, what was taken, and the logs of other co-ops as far as they are known.

CREATE TABLE bundle_flow (
	coop_id      uuid NOT NULL REFERENCES coop,
	agreement_id uuid NOT NULL,
	seq          bigint NOT NULL DEFAULT 0,
	digest       bytea,
	size         bigint NOT NULL DEFAULT 0,
	root         bytea,
	tombstones   bigint NOT NULL DEFAULT -1,
	whole_next   boolean NOT NULL DEFAULT false,
	taken_seq    bigint NOT NULL DEFAULT 0,
	taken_at     timestamptz,
	PRIMARY KEY (coop_id, agreement_id),
	CONSTRAINT flow_digest_is_a_sha256 CHECK (length(digest) = 32),
	CONSTRAINT a_flow_that_began_says_where_it_is CHECK (seq = 0 OR (digest IS NOT NULL AND root IS NOT NULL))
);
COMMENT ON TABLE bundle_flow IS 'How far bundles to a partner have come. Its row is locked while one is written';
COMMENT ON COLUMN bundle_flow.coop_id IS 'The co-op that sends';
COMMENT ON COLUMN bundle_flow.agreement_id IS 'Under which';
COMMENT ON COLUMN bundle_flow.seq IS 'Number of the last bundle; 0: none yet';
COMMENT ON COLUMN bundle_flow.digest IS 'SHA-256 of its bundle.json';
COMMENT ON COLUMN bundle_flow.size IS 'Leaves of our log at its head';
COMMENT ON COLUMN bundle_flow.root IS 'Root over them';
COMMENT ON COLUMN bundle_flow.tombstones IS 'Last tombstone in it; -1: none';
COMMENT ON COLUMN bundle_flow.whole_next IS 'The next one tells everything again, because one was lost';
COMMENT ON COLUMN bundle_flow.taken_seq IS 'Last bundle that the partner said it has taken';
COMMENT ON COLUMN bundle_flow.taken_at IS 'When it said so';
CALL commonhold_wall_in('bundle_flow');

CREATE TABLE bundle_out (
	coop_id      uuid NOT NULL,
	agreement_id uuid NOT NULL,
	seq          bigint NOT NULL,
	digest       bytea NOT NULL,
	manifest     text NOT NULL,
	state        text NOT NULL,
	made_at      timestamptz NOT NULL,
	PRIMARY KEY (coop_id, agreement_id, seq),
	FOREIGN KEY (coop_id, agreement_id) REFERENCES bundle_flow,
	CONSTRAINT bundle_state_is_known CHECK (state IN ('ready', 'taken', 'gone')),
	CONSTRAINT sent_bundles_are_numbered_from_1 CHECK (seq >= 1),
	CONSTRAINT sent_digest_is_a_sha256 CHECK (length(digest) = 32)
);
COMMENT ON TABLE bundle_out IS 'Bundles that were written for partners';
COMMENT ON COLUMN bundle_out.coop_id IS 'The co-op that sends';
COMMENT ON COLUMN bundle_out.agreement_id IS 'Under which';
COMMENT ON COLUMN bundle_out.seq IS 'Its number';
COMMENT ON COLUMN bundle_out.digest IS 'SHA-256 of its bundle.json';
COMMENT ON COLUMN bundle_out.manifest IS 'bundle.json';
COMMENT ON COLUMN bundle_out.state IS 'ready: its files are there; taken: the partner has it, and the files are gone; gone: the files went before the partner had it';
COMMENT ON COLUMN bundle_out.made_at IS 'When it was written';
CREATE INDEX bundle_out_ready ON bundle_out (made_at) WHERE state = 'ready';
CALL commonhold_wall_in('bundle_out');

CREATE TABLE bundle_sent (
	coop_id      uuid NOT NULL,
	agreement_id uuid NOT NULL,
	no           integer NOT NULL,
	ever         bytea NOT NULL,
	now          bytea NOT NULL,
	PRIMARY KEY (coop_id, agreement_id, no),
	FOREIGN KEY (coop_id, agreement_id) REFERENCES bundle_flow,
	CONSTRAINT sent_bits_cover_a_segment CHECK (length(ever) = 512 AND length(now) = 512)
);
COMMENT ON TABLE bundle_sent IS 'Which items were passed on, a bit an item';
COMMENT ON COLUMN bundle_sent.coop_id IS 'The co-op that sends';
COMMENT ON COLUMN bundle_sent.agreement_id IS 'Under which';
COMMENT ON COLUMN bundle_sent.no IS 'Segment: items no * 4096 … no * 4096 + 4095';
COMMENT ON COLUMN bundle_sent.ever IS 'The partner was given the record';
COMMENT ON COLUMN bundle_sent.now IS 'It is passed on as of the last bundle';
CALL commonhold_wall_in('bundle_sent');

CREATE TABLE bundle_said (
	coop_id      uuid NOT NULL,
	agreement_id uuid NOT NULL,
	number       integer NOT NULL,
	digest       bytea NOT NULL,
	PRIMARY KEY (coop_id, agreement_id, number),
	FOREIGN KEY (coop_id, agreement_id) REFERENCES bundle_flow,
	CONSTRAINT said_digest_is_a_sha256 CHECK (length(digest) = 32)
);
COMMENT ON TABLE bundle_said IS 'What a partner was last told of a contributor, as a digest: they are told again when it changes';
COMMENT ON COLUMN bundle_said.coop_id IS 'The co-op that sends';
COMMENT ON COLUMN bundle_said.agreement_id IS 'Under which';
COMMENT ON COLUMN bundle_said.number IS 'Number of the member, or guest';
COMMENT ON COLUMN bundle_said.digest IS 'SHA-256 of the line without its revision and signature; of a guest''s whole line';
CALL commonhold_wall_in('bundle_said');

CREATE TABLE bundle_in (
	coop_id      uuid NOT NULL REFERENCES coop,
	agreement_id uuid NOT NULL,
	seq          bigint NOT NULL,
	digest       bytea NOT NULL,
	home         text NOT NULL,
	manifest     text NOT NULL,
	size         bigint NOT NULL,
	root         bytea NOT NULL,
	frontier     bytea NOT NULL,
	origin       text NOT NULL,
	tombstones   bigint NOT NULL,
	chain        bytea NOT NULL,
	taken_at     timestamptz NOT NULL,
	PRIMARY KEY (coop_id, agreement_id, seq),
	CONSTRAINT taken_bundles_are_numbered_from_1 CHECK (seq >= 1),
	CONSTRAINT taken_digests_are_sha256 CHECK (length(digest) = 32 AND length(root) = 32 AND length(chain) = 32)
);
COMMENT ON TABLE bundle_in IS 'Bundles that were taken, and where the sender''s log and tombstones stood: what the next one is held against. Append-only';
COMMENT ON COLUMN bundle_in.coop_id IS 'The co-op that took it';
COMMENT ON COLUMN bundle_in.agreement_id IS 'Under which';
COMMENT ON COLUMN bundle_in.seq IS 'Its number';
COMMENT ON COLUMN bundle_in.digest IS 'SHA-256 of its bundle.json';
COMMENT ON COLUMN bundle_in.home IS 'Key name of the co-op that sent it';
COMMENT ON COLUMN bundle_in.manifest IS 'bundle.json';
COMMENT ON COLUMN bundle_in.size IS 'Leaves of the sender''s log at its head';
COMMENT ON COLUMN bundle_in.root IS 'Root over them';
COMMENT ON COLUMN bundle_in.frontier IS 'Roots of the perfect subtrees that make up these leaves, largest first, 32 bytes each';
COMMENT ON COLUMN bundle_in.origin IS 'Name of the sender''s log';
COMMENT ON COLUMN bundle_in.tombstones IS 'Last tombstone of the sender that is known; -1: none';
COMMENT ON COLUMN bundle_in.chain IS 'SHA-256 of that line; of the log''s name where there is none';
COMMENT ON COLUMN bundle_in.taken_at IS 'When';
CALL commonhold_make_append_only('bundle_in');
CALL commonhold_wall_in('bundle_in');

CREATE TABLE origin_log (
	coop_id    uuid NOT NULL REFERENCES coop,
	home       text NOT NULL,
	origin     text NOT NULL,
	size       bigint NOT NULL,
	root       bytea NOT NULL,
	checkpoint text NOT NULL,
	checked_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, home),
	CONSTRAINT origin_root_is_a_sha256 CHECK (length(root) = 32)
);
COMMENT ON TABLE origin_log IS 'The logs of other co-ops as far as they are known here';
COMMENT ON COLUMN origin_log.coop_id IS 'The co-op that knows it';
COMMENT ON COLUMN origin_log.home IS 'Key name of the co-op whose log it is';
COMMENT ON COLUMN origin_log.origin IS 'Name of the log';
COMMENT ON COLUMN origin_log.size IS 'Leaves';
COMMENT ON COLUMN origin_log.root IS 'Root over them';
COMMENT ON COLUMN origin_log.checkpoint IS 'The note that says so, signed by that co-op';
COMMENT ON COLUMN origin_log.checked_at IS 'When it was last seen to go on from what was known';
CALL commonhold_wall_in('origin_log');

CREATE TABLE origin_leaf (
	coop_id uuid NOT NULL,
	home    text NOT NULL,
	no      bigint NOT NULL,
	hashes  bytea NOT NULL,
	PRIMARY KEY (coop_id, home, no),
	CONSTRAINT leaf_hashes_are_whole CHECK (length(hashes) BETWEEN 32 AND 131072 AND length(hashes) % 32 = 0)
);
ALTER TABLE origin_leaf ALTER COLUMN hashes SET STORAGE EXTERNAL;
COMMENT ON TABLE origin_leaf IS 'Leaf hashes of these logs, packed, where the leaves themselves were seen: what paths of records that are passed on are made from';
COMMENT ON COLUMN origin_leaf.coop_id IS 'The co-op that knows them';
COMMENT ON COLUMN origin_leaf.home IS 'Key name of the co-op whose log it is';
COMMENT ON COLUMN origin_leaf.no IS 'Leaves no * 4096 … no * 4096 + 4095';
COMMENT ON COLUMN origin_leaf.hashes IS '32 bytes a leaf; the last row may be shorter';
CALL commonhold_wall_in('origin_leaf');
