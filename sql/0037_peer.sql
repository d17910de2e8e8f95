-- Who signs for a co-op or the instance, now and before, and the other co-ops that a co-op knows.

CREATE TABLE signing_key (
	coop_id    uuid NOT NULL,
	no         integer NOT NULL,
	public_key bytea NOT NULL,
	at         timestamptz,
	size       bigint,
	rotation   text,
	PRIMARY KEY (coop_id, no),
	CONSTRAINT signing_key_is_ed25519 CHECK (length(public_key) = 32),
	CONSTRAINT signing_keys_are_counted_from_one CHECK (no BETWEEN 1 AND 100),
	CONSTRAINT later_keys_were_handed_over CHECK (((no = 1) = (rotation IS NULL)) AND ((no = 1) = (at IS NULL)) AND ((no = 1) = (size IS NULL))),
	CONSTRAINT a_key_signs_for_one_alone UNIQUE (public_key)
);
COMMENT ON TABLE signing_key IS 'The public keys that a co-op signs with, in their order; the last one is in force. Public, like the directory of co-ops. The secret halves are in the keys database';
COMMENT ON COLUMN signing_key.coop_id IS 'The co-op; the nil id: the instance itself';
COMMENT ON COLUMN signing_key.no IS 'Counted from 1; the first one gives the name';
COMMENT ON COLUMN signing_key.public_key IS 'Ed25519, 32 bytes';
COMMENT ON COLUMN signing_key.at IS 'When it took over; NULL for the first';
COMMENT ON COLUMN signing_key.size IS 'Leaves that the log had then: every larger log is signed by this key; NULL for the first';
COMMENT ON COLUMN signing_key.rotation IS 'The DSSE envelope by which the key before and this one agree on it; NULL for the first';
CALL commonhold_make_append_only('signing_key');
INSERT INTO signing_key (coop_id, no, public_key) SELECT coop_id, 1, public_key FROM log_head;
-- Everybody reads them, as the directory of co-ops; a co-op, or the instance, adds its own.
ALTER TABLE signing_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY keys_are_public ON signing_key FOR SELECT USING (true);
CREATE POLICY keys_of_own_coop_only ON signing_key FOR INSERT WITH CHECK (coop_id = (SELECT commonhold_coop()) OR coop_id = '00000000-0000-0000-0000-000000000000');

CREATE TABLE peer (
	coop_id      uuid NOT NULL REFERENCES coop,
	id           uuid NOT NULL,
	url          text NOT NULL,
	name         text NOT NULL,
	slug         text NOT NULL DEFAULT '',
	title        text NOT NULL DEFAULT '',
	chain        text NOT NULL,
	fingerprint  text NOT NULL,
	state        text NOT NULL,
	here         uuid REFERENCES coop,
	met_at       timestamptz NOT NULL,
	state_at     timestamptz NOT NULL,
	decided_by   uuid,
	last_seen_at timestamptz,
	last_error   text,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT a_peer_is_known_once UNIQUE (coop_id, name),
	CONSTRAINT peer_name_is_base32 CHECK (name ~ '^[a-z2-7]{16}$'),
	CONSTRAINT peer_state_is_known CHECK (state IN ('seen', 'confirmed', 'refused', 'suspect')),
	CONSTRAINT peer_chain_is_bounded CHECK (length(chain) <= 262144),
	CONSTRAINT nobody_is_their_own_peer CHECK (here IS DISTINCT FROM coop_id)
);
COMMENT ON TABLE peer IS 'Other co-ops that a co-op knows, with the keys that were pinned when they were met.';
COMMENT ON COLUMN peer.coop_id IS 'The co-op that knows the other';
COMMENT ON COLUMN peer.id IS 'Random';
COMMENT ON COLUMN peer.url IS 'Of its instance, without a slash at the end; empty: known from a file alone';
COMMENT ON COLUMN peer.name IS '16 base32 characters of SHA-256 of its first public key';
COMMENT ON COLUMN peer.slug IS 'Readable part of its addresses, as its instance says';
COMMENT ON COLUMN peer.title IS 'Its name, as its instance says';
COMMENT ON COLUMN peer.chain IS 'keys.json as pinned';
COMMENT ON COLUMN peer.fingerprint IS 'Of its key in force, in groups of four';
COMMENT ON COLUMN peer.state IS 'seen: met, nobody has compared the fingerprint; confirmed: an admin has; refused: an admin wants nothing from it; suspect: it showed other keys than the pinned ones';
COMMENT ON COLUMN peer.here IS 'The co-op itself where it is on this instance';
COMMENT ON COLUMN peer.met_at IS 'When its keys were pinned';
COMMENT ON COLUMN peer.state_at IS 'Since when the state is what it is';
COMMENT ON COLUMN peer.decided_by IS 'Membership of the admin who confirmed or refused; NULL: nobody yet, or the instance itself';
COMMENT ON COLUMN peer.last_seen_at IS 'Last look that found the pinned chain or its continuation';
COMMENT ON COLUMN peer.last_error IS 'What the last look found wrong; NULL: nothing';
CALL commonhold_wall_in('peer');
