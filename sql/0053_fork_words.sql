-- What people who went along with a fork say later at the parent reaches the fork daily, agreement or not.

CREATE TABLE fork_told (
	coop_id   uuid NOT NULL,
	offer_id  uuid NOT NULL,
	size      bigint NOT NULL,
	upto      bigint NOT NULL,
	told_at   timestamptz NOT NULL,
	PRIMARY KEY (coop_id, offer_id),
	FOREIGN KEY (coop_id, offer_id) REFERENCES fork_offer,
	CONSTRAINT told_words_are_counted CHECK (upto >= 0 AND size > 0)
);
COMMENT ON TABLE fork_told IS 'How far a fork can be told what those who went along say here.';
COMMENT ON COLUMN fork_told.coop_id IS 'The parent';
COMMENT ON COLUMN fork_told.offer_id IS 'The offer by which they went along';
COMMENT ON COLUMN fork_told.size IS 'Leaves of our log when the words were looked at last: the revision of every line that was signed then';
COMMENT ON COLUMN fork_told.upto IS 'Number of the last line';
COMMENT ON COLUMN fork_told.told_at IS 'When they were looked at last';
CALL commonhold_wall_in('fork_told');

CREATE TABLE fork_word (
	coop_id    uuid NOT NULL,
	offer_id   uuid NOT NULL,
	member_no  integer NOT NULL,
	no         bigint NOT NULL,
	digest     bytea NOT NULL,
	line       text NOT NULL,
	PRIMARY KEY (coop_id, offer_id, member_no),
	FOREIGN KEY (coop_id, offer_id) REFERENCES fork_offer,
	CONSTRAINT fork_words_are_counted_from_one CHECK (no >= 1),
	CONSTRAINT fork_word_digest_is_sha256 CHECK (length(digest) = 32)
);
COMMENT ON TABLE fork_word IS 'The latest signed line of each who went along with a fork: what it is told when it asks.';
COMMENT ON COLUMN fork_word.coop_id IS 'The parent';
COMMENT ON COLUMN fork_word.offer_id IS 'The offer by which they went along';
COMMENT ON COLUMN fork_word.member_no IS 'Whose';
COMMENT ON COLUMN fork_word.no IS 'Lines are counted as they are signed: a later line of the same person has a later number, and takes the place of the one before';
COMMENT ON COLUMN fork_word.digest IS 'SHA-256 of it without revision and signature: by it is seen that something changed';
COMMENT ON COLUMN fork_word.line IS 'As in statements.jsonl of a bundle';
CREATE UNIQUE INDEX fork_word_by_number ON fork_word (coop_id, offer_id, no);
CALL commonhold_wall_in('fork_word');

CREATE TABLE fork_heard (
	coop_id   uuid PRIMARY KEY REFERENCES coop,
	upto      bigint NOT NULL,
	told      bigint NOT NULL,
	head      bigint NOT NULL,
	as_of     timestamptz NOT NULL,
	heard_at  timestamptz NOT NULL,
	CONSTRAINT heard_words_are_counted CHECK (upto >= 0 AND told >= 0 AND head > 0)
);
COMMENT ON TABLE fork_heard IS 'How far a fork has heard what its people say at its parent: the parent must never go back behind it.';
COMMENT ON COLUMN fork_heard.coop_id IS 'The fork';
COMMENT ON COLUMN fork_heard.upto IS 'Number of the last line that was taken with all before it';
COMMENT ON COLUMN fork_heard.told IS 'Revision that later lines are beyond';
COMMENT ON COLUMN fork_heard.head IS 'Leaves of the parent''s log, as it said last';
COMMENT ON COLUMN fork_heard.as_of IS 'When the parent said so';
COMMENT ON COLUMN fork_heard.heard_at IS 'When that was taken';
CALL commonhold_wall_in('fork_heard');

CREATE TABLE lineage_look (
	coop_id         uuid NOT NULL REFERENCES coop,
	name            text NOT NULL,
	kin             text NOT NULL,
	title           text NOT NULL,
	url             text NOT NULL,
	size            bigint NOT NULL,
	root            bytea NOT NULL,
	claimed_by      text,
	state           text NOT NULL,
	keys            text,
	signed          text,
	names_us        boolean NOT NULL DEFAULT false,
	verified_since  timestamptz,
	verified_at     timestamptz,
	looked_at       timestamptz,
	why             text,
	PRIMARY KEY (coop_id, name),
	CONSTRAINT kin_is_known CHECK (kin IN ('forebear', 'parent', 'sibling', 'fork')),
	CONSTRAINT lineage_look_state_is_known CHECK (state IN ('claimed', 'verified', 'refused')),
	CONSTRAINT what_is_verified_says_since_when CHECK (state <> 'verified' OR num_nonnulls(keys, signed, verified_since, verified_at) = 4),
	CONSTRAINT what_is_refused_says_why CHECK (state <> 'refused' OR why IS NOT NULL),
	CONSTRAINT lineage_look_root_is_sha256 CHECK (length(root) = 32)
);
COMMENT ON TABLE lineage_look IS 'What the relatives of a co-op show of themselves, looked at daily and held against what is known of them.';
COMMENT ON COLUMN lineage_look.coop_id IS 'Whose relatives';
COMMENT ON COLUMN lineage_look.name IS 'Key name of the relative';
COMMENT ON COLUMN lineage_look.kin IS 'forebear (a parent''s parent), parent, sibling (another fork of the parent), fork';
COMMENT ON COLUMN lineage_look.title IS 'What it is called, as was said when it was forked off';
COMMENT ON COLUMN lineage_look.url IS 'Address of its instance, as was said then; empty: not known';
COMMENT ON COLUMN lineage_look.size IS 'Leaves shared with its child or parent';
COMMENT ON COLUMN lineage_look.root IS 'Root over them';
COMMENT ON COLUMN lineage_look.claimed_by IS 'Key name of who says that there is such a relative; NULL: proved here, by a signed export or a signed lineage';
COMMENT ON COLUMN lineage_look.state IS 'claimed: it has not said so itself; verified: its keys and the lineage that it signs agree with what is known; refused: what it shows contradicts that';
COMMENT ON COLUMN lineage_look.keys IS 'Longest chain of keys that was proved, keys.json';
COMMENT ON COLUMN lineage_look.signed IS 'Its latest lineage that agrees, as it signed it';
COMMENT ON COLUMN lineage_look.names_us IS 'It names this co-op as its fork, or as its parent';
COMMENT ON COLUMN lineage_look.verified_since IS 'Since when every look that was answered agreed';
COMMENT ON COLUMN lineage_look.verified_at IS 'The last that did';
COMMENT ON COLUMN lineage_look.looked_at IS 'The last look, answered or not; NULL: none yet';
COMMENT ON COLUMN lineage_look.why IS 'What the last look found wrong; NULL: nothing';
CALL commonhold_wall_in('lineage_look');
