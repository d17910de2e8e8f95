-- Forks and lineage, and people who are in two co-ops.

CREATE TABLE fork_offer (
	coop_id     uuid NOT NULL REFERENCES coop,
	id          uuid NOT NULL,
	title       text NOT NULL,
	place       text NOT NULL,
	reason      text NOT NULL,
	offered_by  uuid NOT NULL,
	offered_at  timestamptz NOT NULL,
	closes_at   timestamptz NOT NULL,
	state       text NOT NULL,
	state_at    timestamptz NOT NULL,
	request     text,
	fork_name   text,
	fork_url    text,
	size        bigint,
	root        bytea,
	manifest    bytea,
	members     bigint,
	items       bigint,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, offered_by) REFERENCES membership,
	CONSTRAINT fork_state_is_known CHECK (state IN ('open', 'closed', 'exporting', 'exported', 'founded', 'withdrawn')),
	CONSTRAINT members_are_asked_for_a_while CHECK (closes_at > offered_at),
	CONSTRAINT exported_forks_say_for_whom_and_what CHECK (state NOT IN ('exported', 'founded')
		OR num_nonnulls(request, fork_name, fork_url, size, root, manifest, members, items) = 8),
	CONSTRAINT fork_root_is_sha256 CHECK (root IS NULL OR length(root) = 32),
	CONSTRAINT fork_manifest_is_sha256 CHECK (manifest IS NULL OR length(manifest) = 32)
);
COMMENT ON TABLE fork_offer IS 'Somebody offers the members to go on elsewhere.';
COMMENT ON COLUMN fork_offer.coop_id IS 'The co-op: the parent';
COMMENT ON COLUMN fork_offer.id IS 'Random';
COMMENT ON COLUMN fork_offer.title IS 'What the fork is to be called';
COMMENT ON COLUMN fork_offer.place IS 'Address of the instance where it is to live';
COMMENT ON COLUMN fork_offer.reason IS 'Why, in plain text';
COMMENT ON COLUMN fork_offer.offered_by IS 'The member who offers it';
COMMENT ON COLUMN fork_offer.offered_at IS 'When';
COMMENT ON COLUMN fork_offer.closes_at IS 'Until when members are asked';
COMMENT ON COLUMN fork_offer.state IS 'open, closed (can be exported), exporting, exported, founded, withdrawn';
COMMENT ON COLUMN fork_offer.state_at IS 'Since when';
COMMENT ON COLUMN fork_offer.request IS 'What the instance asked with that it was exported for, signed by the key of the fork';
COMMENT ON COLUMN fork_offer.fork_name IS 'Key name of the fork';
COMMENT ON COLUMN fork_offer.fork_url IS 'Address of its instance';
COMMENT ON COLUMN fork_offer.size IS 'Leaves of the log that went along';
COMMENT ON COLUMN fork_offer.root IS 'Root over them';
COMMENT ON COLUMN fork_offer.manifest IS 'SHA-256 of fork.json';
COMMENT ON COLUMN fork_offer.members IS 'How many members went along';
COMMENT ON COLUMN fork_offer.items IS 'How many items';
CREATE INDEX fork_offer_by_time ON fork_offer (coop_id, offered_at DESC);
CALL commonhold_wall_in('fork_offer');

CREATE TABLE fork_answer (
	coop_id    uuid NOT NULL,
	offer_id   uuid NOT NULL,
	member_id  uuid NOT NULL,
	no         integer NOT NULL,
	yes        boolean NOT NULL,
	claim      bytea,
	salt       bytea NOT NULL,
	said_at    timestamptz NOT NULL,
	PRIMARY KEY (coop_id, offer_id, member_id, no),
	FOREIGN KEY (coop_id, offer_id) REFERENCES fork_offer,
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT fork_answers_are_counted_from_one CHECK (no >= 1),
	CONSTRAINT a_yes_comes_with_a_claim CHECK (yes = (claim IS NOT NULL)),
	CONSTRAINT fork_claim_is_sha256 CHECK (claim IS NULL OR length(claim) = 32),
	CONSTRAINT fork_answer_salt_has_32_bytes CHECK (length(salt) = 32)
);
COMMENT ON TABLE fork_answer IS 'What members said about going along with a fork; the last word of each counts, and no word is no.';
COMMENT ON COLUMN fork_answer.coop_id IS 'The co-op';
COMMENT ON COLUMN fork_answer.offer_id IS 'The offer';
COMMENT ON COLUMN fork_answer.member_id IS 'Who says it: never a delegate';
COMMENT ON COLUMN fork_answer.no IS 'Which word of theirs on it, from 1';
COMMENT ON COLUMN fork_answer.yes IS 'They go along, with their items';
COMMENT ON COLUMN fork_answer.claim IS 'SHA-256 of the code by which they show the fork that what came of theirs is theirs';
COMMENT ON COLUMN fork_answer.salt IS 'Of the commitment in the log';
COMMENT ON COLUMN fork_answer.said_at IS 'When';
CREATE INDEX fork_answer_of_member ON fork_answer (coop_id, member_id);
CALL commonhold_make_append_only('fork_answer');
CALL commonhold_wall_in('fork_answer');

CREATE TABLE fork_moved (
	coop_id    uuid NOT NULL,
	offer_id   uuid NOT NULL,
	member_id  uuid NOT NULL,
	member_no  integer NOT NULL,
	items      bigint NOT NULL,
	moved_at   timestamptz NOT NULL,
	PRIMARY KEY (coop_id, offer_id, member_id),
	FOREIGN KEY (coop_id, offer_id) REFERENCES fork_offer,
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT moved_items_are_counted CHECK (items >= 0)
);
COMMENT ON TABLE fork_moved IS 'Whose items went along with a fork.';
COMMENT ON COLUMN fork_moved.coop_id IS 'The parent';
COMMENT ON COLUMN fork_moved.offer_id IS 'The offer';
COMMENT ON COLUMN fork_moved.member_id IS 'Whose';
COMMENT ON COLUMN fork_moved.member_no IS 'Their number';
COMMENT ON COLUMN fork_moved.items IS 'How many';
COMMENT ON COLUMN fork_moved.moved_at IS 'When the export was made';
CREATE INDEX fork_moved_of_member ON fork_moved (coop_id, member_id);
CALL commonhold_wall_in('fork_moved');

CREATE TABLE lineage (
	coop_id     uuid NOT NULL REFERENCES coop,
	depth       integer NOT NULL,
	name        text NOT NULL,
	title       text NOT NULL,
	url         text,
	at          timestamptz NOT NULL,
	size        bigint NOT NULL,
	root        bytea NOT NULL,
	checkpoint  text NOT NULL,
	keys        text NOT NULL,
	charter     integer NOT NULL,
	manifest    text,
	signature   text,
	PRIMARY KEY (coop_id, depth),
	CONSTRAINT parents_are_counted_from_one CHECK (depth BETWEEN 1 AND 32),
	CONSTRAINT lineage_size_is_positive CHECK (size > 0),
	CONSTRAINT lineage_root_is_sha256 CHECK (length(root) = 32),
	CONSTRAINT the_export_is_kept_with_its_signature CHECK ((depth = 1) = (manifest IS NOT NULL) AND (depth = 1) = (signature IS NOT NULL))
);
COMMENT ON TABLE lineage IS 'The co-ops that a fork comes from. What it says of each is signed by that co-op.';
COMMENT ON COLUMN lineage.coop_id IS 'The fork';
COMMENT ON COLUMN lineage.depth IS '1: its parent, 2: the parent of that';
COMMENT ON COLUMN lineage.name IS 'Key name';
COMMENT ON COLUMN lineage.title IS 'What its charter called it then';
COMMENT ON COLUMN lineage.url IS 'Address of its instance then';
COMMENT ON COLUMN lineage.at IS 'When its child was exported from it';
COMMENT ON COLUMN lineage.size IS 'Leaves of its log that are the first of ours';
COMMENT ON COLUMN lineage.root IS 'Root over them';
COMMENT ON COLUMN lineage.checkpoint IS 'Its signed note over them';
COMMENT ON COLUMN lineage.keys IS 'Its key chain then';
COMMENT ON COLUMN lineage.charter IS 'Version of its charter that went over';
COMMENT ON COLUMN lineage.manifest IS 'fork.json of the export, canonical; of the parent alone';
COMMENT ON COLUMN lineage.signature IS 'fork.dsse.json over it; of the parent alone';
CALL commonhold_make_append_only('lineage');
CALL commonhold_wall_in('lineage');

CREATE TABLE lineage_charter (
	coop_id     uuid NOT NULL REFERENCES coop,
	name        text NOT NULL,
	version     integer NOT NULL,
	digest      bytea NOT NULL,
	adopted_at  timestamptz NOT NULL,
	document    text NOT NULL,
	PRIMARY KEY (coop_id, name, version),
	CONSTRAINT lineage_charters_are_counted_from_one CHECK (version >= 1),
	CONSTRAINT lineage_charter_digest_is_sha256 CHECK (length(digest) = 32)
);
COMMENT ON TABLE lineage_charter IS 'The charters that a parent had, each as its log names it.';
COMMENT ON COLUMN lineage_charter.coop_id IS 'The fork';
COMMENT ON COLUMN lineage_charter.name IS 'Key name of the parent';
COMMENT ON COLUMN lineage_charter.version IS 'Version there';
COMMENT ON COLUMN lineage_charter.digest IS 'SHA-256 of the document';
COMMENT ON COLUMN lineage_charter.adopted_at IS 'When it was adopted there';
COMMENT ON COLUMN lineage_charter.document IS 'Canonical JSON';
CALL commonhold_make_append_only('lineage_charter');
CALL commonhold_wall_in('lineage_charter');

CREATE TABLE fork_claim (
	coop_id      uuid NOT NULL REFERENCES coop,
	claim        bytea NOT NULL,
	home         text NOT NULL,
	contributor  bytea NOT NULL,
	member_id    uuid,
	claimed_at   timestamptz,
	PRIMARY KEY (coop_id, claim),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT a_claim_is_made_by_somebody CHECK ((member_id IS NULL) = (claimed_at IS NULL)),
	CONSTRAINT claims_are_sha256 CHECK (length(claim) = 32),
	CONSTRAINT claims_are_of_a_contributor CHECK (length(contributor) = 16)
);
COMMENT ON TABLE fork_claim IS 'By what somebody shows a fork that what came along is theirs.';
COMMENT ON COLUMN fork_claim.coop_id IS 'The fork';
COMMENT ON COLUMN fork_claim.claim IS 'SHA-256 of the code that they were given at the parent';
COMMENT ON COLUMN fork_claim.home IS 'Key name of the parent';
COMMENT ON COLUMN fork_claim.contributor IS 'Who they are there, towards us';
COMMENT ON COLUMN fork_claim.member_id IS 'The member who brought it; NULL: nobody yet';
COMMENT ON COLUMN fork_claim.claimed_at IS 'When';
CREATE INDEX fork_claim_of_member ON fork_claim (coop_id, member_id);
CALL commonhold_wall_in('fork_claim');

CREATE TABLE link (
	coop_id      uuid NOT NULL REFERENCES coop,
	id           uuid NOT NULL,
	peer_id      uuid,
	home         text NOT NULL,
	member_id    uuid,
	contributor  bytea,
	code         bytea,
	proof        bytea,
	tries        integer NOT NULL DEFAULT 0,
	ours         boolean NOT NULL,
	state        text NOT NULL,
	made_at      timestamptz NOT NULL,
	state_at     timestamptz NOT NULL,
	expires_at   timestamptz NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT link_state_is_known CHECK (state IN ('offered', 'brought', 'standing', 'ended', 'expired', 'declined')),
	CONSTRAINT standing_links_have_both_ends CHECK (state <> 'standing' OR (member_id IS NOT NULL AND contributor IS NOT NULL)),
	CONSTRAINT link_contributor_has_16_bytes CHECK (contributor IS NULL OR length(contributor) = 16),
	CONSTRAINT link_code_is_sha256 CHECK (code IS NULL OR length(code) = 32),
	CONSTRAINT keys_of_codes_go_when_they_are_used CHECK (proof IS NULL OR state IN ('offered', 'brought'))
);
COMMENT ON TABLE link IS 'A member here and a contributor of another co-op who have proved that they are one person, or are about to.';
COMMENT ON COLUMN link.coop_id IS 'The co-op';
COMMENT ON COLUMN link.id IS 'Random';
COMMENT ON COLUMN link.peer_id IS 'The other co-op; NULL: proved by the claim of a fork';
COMMENT ON COLUMN link.home IS 'Its key name';
COMMENT ON COLUMN link.member_id IS 'The member here, who was given the code or brought it';
COMMENT ON COLUMN link.contributor IS 'Who they are there, towards us; NULL: not proved yet';
COMMENT ON COLUMN link.code IS 'By what both co-ops name the code: a digest of it and of both names, which proves nothing; NULL for claims';
COMMENT ON COLUMN link.proof IS 'The key that only the code gives, sealed by the instance; NULL once it is used or over, and for claims';
COMMENT ON COLUMN link.tries IS 'Wrong proofs by the other co-op';
COMMENT ON COLUMN link.ours IS 'The code was given here';
COMMENT ON COLUMN link.state IS 'offered, brought, standing, ended, expired, declined';
COMMENT ON COLUMN link.made_at IS 'When it began';
COMMENT ON COLUMN link.state_at IS 'Since when it is in its state';
COMMENT ON COLUMN link.expires_at IS 'When the code is over, or waiting for the other co-op''s answer is';
CREATE UNIQUE INDEX one_contributor_is_linked_once ON link (coop_id, home, contributor) WHERE state = 'standing';
CREATE UNIQUE INDEX a_link_code_is_known_once ON link (coop_id, home, code) WHERE code IS NOT NULL;
CREATE INDEX link_of_member ON link (coop_id, member_id);
CALL commonhold_wall_in('link');

-- A guest who comes after their link was proved is linked at once.
CREATE FUNCTION guest_is_linked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.linked_member IS NULL THEN
		NEW.linked_member := (SELECT l.member_id FROM link l WHERE l.coop_id = NEW.coop_id AND l.home = NEW.home AND l.contributor = NEW.contributor AND l.state = 'standing');
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION guest_is_linked() IS 'Trigger: who has proved to be a member here is known as that member when their items come';
CREATE TRIGGER guest_is_linked BEFORE INSERT ON guest FOR EACH ROW EXECUTE FUNCTION guest_is_linked();

-- Whoever leaves is nobody here whom a guest could be.
CREATE FUNCTION links_end_with_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE link SET state = 'ended', state_at = commonhold_now(), proof = NULL WHERE coop_id = NEW.coop_id AND member_id = NEW.id AND state IN ('offered', 'brought', 'standing');
	IF FOUND THEN
		UPDATE guest SET linked_member = NULL WHERE coop_id = NEW.coop_id AND linked_member = NEW.id;
		UPDATE guest_head SET changes = changes + 1 WHERE coop_id = NEW.coop_id;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION links_end_with_membership() IS 'Trigger: links end when the membership does';
CREATE TRIGGER links_end_with_membership AFTER UPDATE OF state ON membership FOR EACH ROW WHEN (NEW.state IN ('left', 'removed') AND OLD.state <> NEW.state)
	EXECUTE FUNCTION links_end_with_membership();
