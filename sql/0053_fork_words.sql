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
