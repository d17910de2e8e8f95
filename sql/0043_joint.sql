-- Trying a merge out (previews, dry runs) and releasing together (joint releases).

-- ---- Previews and dry runs ----

CREATE TABLE merge_preview (
	coop_id      uuid NOT NULL REFERENCES coop,
	agreement_id uuid NOT NULL,
	agreement    bytea NOT NULL,
	ours         boolean NOT NULL,
	digest       bytea NOT NULL,
	as_of        timestamptz NOT NULL,
	items        bigint NOT NULL,
	people       bigint NOT NULL,
	size         bigint NOT NULL,
	body         bytea NOT NULL,
	people_no    bytea,
	kept_at      timestamptz NOT NULL,
	PRIMARY KEY (coop_id, agreement_id, ours),
	CONSTRAINT preview_digest_is_sha256 CHECK (length(digest) = 32),
	CONSTRAINT previews_are_no_less_than_nothing CHECK (items >= 0 AND people >= 0 AND size > 0)
);
ALTER TABLE merge_preview ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE merge_preview IS 'The newest preview of each side of an agreement under discussion: what a pool would hold, without content (preview.h).';
COMMENT ON COLUMN merge_preview.coop_id IS 'The co-op';
COMMENT ON COLUMN merge_preview.agreement_id IS 'The agreement that it is for';
COMMENT ON COLUMN merge_preview.agreement IS 'Digest of the revision that it is for';
COMMENT ON COLUMN merge_preview.ours IS 'Made here; else the partner''s';
COMMENT ON COLUMN merge_preview.digest IS 'SHA-256 of the file';
COMMENT ON COLUMN merge_preview.as_of IS 'State of the pool that it tells of';
COMMENT ON COLUMN merge_preview.items IS 'Items listed';
COMMENT ON COLUMN merge_preview.people IS 'People listed, by numbers that tell nothing';
COMMENT ON COLUMN merge_preview.size IS 'Bytes of the file';
COMMENT ON COLUMN merge_preview.body IS 'The file with its signature, compressed';
COMMENT ON COLUMN merge_preview.people_no IS 'Ours only: the member number of each person listed, 4 bytes little-endian each';
COMMENT ON COLUMN merge_preview.kept_at IS 'When it was made here or taken in';

CREATE TABLE preview_last (
	coop_id   uuid NOT NULL REFERENCES coop,
	agreement bytea NOT NULL,
	ours      boolean NOT NULL,
	digest    bytea NOT NULL,
	as_of     timestamptz NOT NULL,
	kept_at   timestamptz NOT NULL,
	PRIMARY KEY (coop_id, agreement, ours),
	CONSTRAINT last_preview_digest_is_sha256 CHECK (length(digest) = 32)
);
COMMENT ON TABLE preview_last IS 'When the last preview for a revision was made or taken, which outlives the preview itself: two revisions in turn would get past the interval otherwise (preview.h)';
COMMENT ON COLUMN preview_last.coop_id IS 'The co-op';
COMMENT ON COLUMN preview_last.agreement IS 'Digest of the revision';
COMMENT ON COLUMN preview_last.ours IS 'Made here; else the partner''s';
COMMENT ON COLUMN preview_last.digest IS 'SHA-256 of the file';
COMMENT ON COLUMN preview_last.as_of IS 'State of the pool that it tells of';
COMMENT ON COLUMN preview_last.kept_at IS 'When it was made here or taken in';

CREATE TABLE dry_run (
	coop_id      uuid NOT NULL REFERENCES coop,
	id           uuid NOT NULL,
	agreement    bytea NOT NULL,
	at           timestamptz NOT NULL,
	ours         bytea NOT NULL,
	theirs       bytea NOT NULL,
	document     text NOT NULL,
	digest       bytea NOT NULL,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT dry_run_digests_are_sha256 CHECK (length(ours) = 32 AND length(theirs) = 32 AND length(digest) = 32),
	CONSTRAINT the_same_input_is_tried_once UNIQUE (coop_id, agreement, ours, theirs)
);
COMMENT ON TABLE dry_run IS 'What an agreement would do to both pools, computed from both previews; both sides come to the same document. Append-only.';
COMMENT ON COLUMN dry_run.coop_id IS 'The co-op';
COMMENT ON COLUMN dry_run.id IS 'Random';
COMMENT ON COLUMN dry_run.agreement IS 'Digest of the revision that was tried';
COMMENT ON COLUMN dry_run.at IS 'When';
COMMENT ON COLUMN dry_run.ours IS 'Digest of our preview';
COMMENT ON COLUMN dry_run.theirs IS 'Digest of the partner''s preview';
COMMENT ON COLUMN dry_run.document IS 'Canonical JSON';
COMMENT ON COLUMN dry_run.digest IS 'SHA-256 of the document';
CREATE TRIGGER dry_run_is_append_only BEFORE UPDATE OR DELETE ON dry_run FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE TABLE dry_run_member (
	coop_id    uuid NOT NULL,
	dry_run_id uuid NOT NULL,
	member_no  bigint NOT NULL,
	items      bigint NOT NULL,
	in_alone   bigint NOT NULL,
	in_joint   bigint NOT NULL,
	at_partner bigint NOT NULL,
	lost       text NOT NULL,
	PRIMARY KEY (coop_id, dry_run_id, member_no),
	FOREIGN KEY (coop_id, dry_run_id) REFERENCES dry_run ON DELETE CASCADE
);
COMMENT ON TABLE dry_run_member IS 'What a dry run means for each of the co-op''s own members; each reads their own.';
COMMENT ON COLUMN dry_run_member.coop_id IS 'The co-op';
COMMENT ON COLUMN dry_run_member.dry_run_id IS 'The dry run';
COMMENT ON COLUMN dry_run_member.member_no IS 'The member, by number';
COMMENT ON COLUMN dry_run_member.items IS 'Of their items in the preview';
COMMENT ON COLUMN dry_run_member.in_alone IS 'Of these in a release of the co-op alone';
COMMENT ON COLUMN dry_run_member.in_joint IS 'Of these in a release under the agreement';
COMMENT ON COLUMN dry_run_member.at_partner IS 'Of these that the partner would release';
COMMENT ON COLUMN dry_run_member.lost IS 'JSON object: why items fall out, by the name of the reason, with how many';

-- ---- Joint releases ----

ALTER TABLE release ADD COLUMN joint_id uuid;
COMMENT ON COLUMN release.joint_id IS 'The joint release that this is one co-op''s part of; the same id in the other co-op';
CREATE UNIQUE INDEX one_release_per_joint_release ON release (coop_id, joint_id) WHERE joint_id IS NOT NULL AND redacts_id IS NULL;
ALTER TABLE release DROP CONSTRAINT release_state_is_known, ADD CONSTRAINT release_state_is_known CHECK (state IN ('scheduled', 'frozen', 'notice', 'open', 'passed', 'failed',
	'cooling_off', 'building', 'published', 'superseded', 'withdrawn', 'expired', 'cancelled', 'redacting', 'joined', 'left'));

CREATE TABLE release_joint (
	coop_id         uuid NOT NULL REFERENCES coop,
	joint_id        uuid NOT NULL,
	release_id      uuid NOT NULL,
	agreement_id    uuid NOT NULL,
	maker           boolean NOT NULL,
	partner         text NOT NULL,
	partner_key     bytea NOT NULL,
	partner_keys    text NOT NULL,
	document        text NOT NULL,
	document_sha256 bytea NOT NULL,
	partner_charter text NOT NULL,
	ours            bytea,
	our_leaves      bytea,
	theirs          bytea,
	their_leaves    bytea,
	differs         text,
	partner_state   text NOT NULL,
	heard_at        timestamptz,
	partner_ballot  text,
	partner_version text,
	partner_url     text,
	manifest        text,
	manifest_sha256 bytea,
	signature       bytea,
	published_at    timestamptz,
	made_at         timestamptz NOT NULL,
	PRIMARY KEY (coop_id, joint_id),
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	CONSTRAINT joint_digests_are_sha256 CHECK (length(document_sha256) = 32 AND length(manifest_sha256) = 32),
	CONSTRAINT partner_key_is_ed25519 CHECK (length(partner_key) = 32),
	CONSTRAINT signature_is_ed25519 CHECK (length(signature) = 64),
	CONSTRAINT joint_sets_are_a_digest_and_its_buckets CHECK (length(ours) = 32 * 257 AND length(theirs) = 32 * 257),
	CONSTRAINT partner_state_is_known CHECK (partner_state IN ('proposed', 'frozen', 'passed', 'failed', 'published', 'withdrawn', 'cancelled'))
);
COMMENT ON TABLE release_joint IS 'A release that two co-ops make together, as one of them sees it (release_joint.h, joint.h).';
COMMENT ON COLUMN release_joint.coop_id IS 'The co-op';
COMMENT ON COLUMN release_joint.joint_id IS 'The same in both co-ops';
COMMENT ON COLUMN release_joint.release_id IS 'The co-op''s own release for it';
COMMENT ON COLUMN release_joint.agreement_id IS 'Under which agreement';
COMMENT ON COLUMN release_joint.maker IS 'This co-op builds and publishes it';
COMMENT ON COLUMN release_joint.partner IS 'Key name of the other';
COMMENT ON COLUMN release_joint.partner_key IS 'The other''s Ed25519 key, which its signature is checked with';
COMMENT ON COLUMN release_joint.partner_keys IS 'The other''s keys.json, which leads from its name to that key';
COMMENT ON COLUMN release_joint.document IS 'What it is made by: canonical JSON, the same in both';
COMMENT ON COLUMN release_joint.document_sha256 IS 'Its digest';
COMMENT ON COLUMN release_joint.partner_charter IS 'The other''s charter, whose digest the document names';
COMMENT ON COLUMN release_joint.ours IS 'Digest of the set that this co-op decided, and of its 256 buckets';
COMMENT ON COLUMN release_joint.our_leaves IS 'Our leaves in the parts that differ, to tell the other, 32 bytes each, ascending; not more than a message holds';
COMMENT ON COLUMN release_joint.theirs IS 'The same as the other says it';
COMMENT ON COLUMN release_joint.their_leaves IS 'The other''s leaves in the parts that differ, 32 bytes each, ascending';
COMMENT ON COLUMN release_joint.differs IS 'Where the sets differ, or why the other does not sign';
COMMENT ON COLUMN release_joint.partner_state IS 'What the other last said of it';
COMMENT ON COLUMN release_joint.heard_at IS 'When the other wrote that: what it wrote before counts no more';
COMMENT ON COLUMN release_joint.partner_ballot IS 'The other''s ballot, closed: canonical JSON {"closed_at","id"}';
COMMENT ON COLUMN release_joint.partner_version IS 'The maker''s version of it';
COMMENT ON COLUMN release_joint.partner_url IS 'Where the maker serves it';
COMMENT ON COLUMN release_joint.manifest IS 'The manifest that the partner is asked to sign: canonical JSON';
COMMENT ON COLUMN release_joint.manifest_sha256 IS 'Its digest';
COMMENT ON COLUMN release_joint.signature IS 'The partner''s signature of it, as DSSE has it; void when another manifest takes its place';
COMMENT ON COLUMN release_joint.published_at IS 'When the maker published it';
COMMENT ON COLUMN release_joint.made_at IS 'When it was proposed';

DO $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['merge_preview', 'preview_last', 'dry_run', 'dry_run_member', 'release_joint'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY within_coop ON %I USING (coop_id = (SELECT commonhold_coop()))', t);
	END LOOP;
	REVOKE UPDATE, DELETE ON dry_run FROM commonhold_app;
END $$;
