-- Publishing adapters: where a mirror's copy lies, and how far each file of each version has got there.

CREATE TABLE adapter_target (
	coop_id      uuid NOT NULL REFERENCES coop,
	mirror_id    uuid NOT NULL,
	kind         text NOT NULL,
	endpoint     text NOT NULL,
	place        text NOT NULL,
	prefix       text NOT NULL DEFAULT '',
	region       text NOT NULL DEFAULT '',
	path_style   boolean NOT NULL DEFAULT true,
	part_bytes   bigint NOT NULL DEFAULT 67108864,
	recreate     boolean NOT NULL DEFAULT false,
	audience     text NOT NULL,
	credentials  bytea NOT NULL,
	confirmed_by uuid NOT NULL,
	set_at       timestamptz NOT NULL,
	ending       boolean NOT NULL DEFAULT false,
	state        text NOT NULL DEFAULT 'waiting',
	error        text,
	attempts     integer NOT NULL DEFAULT 0,
	run_at       timestamptz,
	next_at      timestamptz,
	latest       text,
	latest_etag  text,
	PRIMARY KEY (coop_id, mirror_id),
	FOREIGN KEY (coop_id, mirror_id) REFERENCES mirror,
	CONSTRAINT a_place_is_kept_by_one_target UNIQUE (endpoint, place, prefix),
	CONSTRAINT adapter_kind_is_known CHECK (kind IN ('s3', 'huggingface')),
	CONSTRAINT adapter_audience_is_known CHECK (audience IN ('members', 'gated_manual', 'gated_auto', 'public')),
	CONSTRAINT adapter_state_is_known CHECK (state IN ('waiting', 'working', 'current', 'retrying', 'refused', 'dead')),
	CONSTRAINT parts_have_a_size_that_buckets_take CHECK (part_bytes BETWEEN 5242880 AND 5368709120)
);
COMMENT ON TABLE adapter_target IS 'Where the instance itself keeps a mirror''s copy in step: a bucket or a dataset repository.';
COMMENT ON COLUMN adapter_target.coop_id IS 'The co-op';
COMMENT ON COLUMN adapter_target.mirror_id IS 'The mirror that it is the place of';
COMMENT ON COLUMN adapter_target.kind IS 's3 or huggingface';
COMMENT ON COLUMN adapter_target.endpoint IS 'Scheme and host of the service';
COMMENT ON COLUMN adapter_target.place IS 'The bucket, or namespace/name of the repository';
COMMENT ON COLUMN adapter_target.prefix IS 'Of a bucket: what comes before the versions';
COMMENT ON COLUMN adapter_target.region IS 'Of a bucket: as requests are signed for';
COMMENT ON COLUMN adapter_target.path_style IS 'Of a bucket: it is named in the path, and not in the host';
COMMENT ON COLUMN adapter_target.part_bytes IS 'Of a bucket: files over this go up in parts of this';
COMMENT ON COLUMN adapter_target.recreate IS 'Of a repository: erased by deleting and making it again';
COMMENT ON COLUMN adapter_target.audience IS 'Who can read what lies there, as an admin has confirmed; policy_vocab.h';
COMMENT ON COLUMN adapter_target.credentials IS 'Sealed under the instance''s key, with co-op and mirror as context';
COMMENT ON COLUMN adapter_target.confirmed_by IS 'Account of the admin who said who can read it';
COMMENT ON COLUMN adapter_target.set_at IS 'When it was set as it is';
COMMENT ON COLUMN adapter_target.ending IS 'The copies are erased, and then the target is forgotten';
COMMENT ON COLUMN adapter_target.state IS 'How the last run ended';
COMMENT ON COLUMN adapter_target.error IS 'What it met, a sentence; never an address''s query, a header or a credential';
COMMENT ON COLUMN adapter_target.attempts IS 'Runs in a row that got no further';
COMMENT ON COLUMN adapter_target.run_at IS 'When the last run ended';
COMMENT ON COLUMN adapter_target.next_at IS 'No run before; NULL: none is planned';
COMMENT ON COLUMN adapter_target.latest IS 'The version that is named as the latest there';
COMMENT ON COLUMN adapter_target.latest_etag IS 'Of the object that names it, so that it is replaced only as we left it';

CREATE TABLE adapter_copy (
	coop_id      uuid NOT NULL,
	mirror_id    uuid NOT NULL,
	release_id   uuid NOT NULL,
	version      text NOT NULL,
	state        text NOT NULL,
	revision     text,
	begun_at     timestamptz NOT NULL,
	published_at timestamptz,
	erased_at    timestamptz,
	checked      text,
	PRIMARY KEY (coop_id, mirror_id, release_id),
	FOREIGN KEY (coop_id, mirror_id) REFERENCES adapter_target ON DELETE CASCADE,
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	CONSTRAINT adapter_copy_state_is_known CHECK (state IN ('uploading', 'published', 'erasing', 'erased')),
	CONSTRAINT erased_copies_say_what_was_checked CHECK ((state = 'erased') = (erased_at IS NOT NULL) AND (state = 'erased') = (checked IS NOT NULL))
);
COMMENT ON TABLE adapter_copy IS 'A version at a target.';
COMMENT ON COLUMN adapter_copy.coop_id IS 'The co-op';
COMMENT ON COLUMN adapter_copy.mirror_id IS 'The mirror';
COMMENT ON COLUMN adapter_copy.release_id IS 'The release';
COMMENT ON COLUMN adapter_copy.version IS 'Its version, as folders and tags are called';
COMMENT ON COLUMN adapter_copy.state IS 'How far it is';
COMMENT ON COLUMN adapter_copy.revision IS 'Of a repository: the commit that holds it';
COMMENT ON COLUMN adapter_copy.begun_at IS 'When the upload began';
COMMENT ON COLUMN adapter_copy.published_at IS 'When it was there whole';
COMMENT ON COLUMN adapter_copy.erased_at IS 'When it was found gone';
COMMENT ON COLUMN adapter_copy.checked IS 'What was asked after erasing, and answered: JSON';

CREATE TABLE adapter_file (
	coop_id    uuid NOT NULL,
	mirror_id  uuid NOT NULL,
	release_id uuid NOT NULL,
	path       text NOT NULL,
	size       bigint NOT NULL,
	sha256     bytea NOT NULL,
	upload_id  text,
	part_bytes bigint,
	etag       text,
	done_at    timestamptz,
	PRIMARY KEY (coop_id, mirror_id, release_id, path),
	FOREIGN KEY (coop_id, mirror_id, release_id) REFERENCES adapter_copy ON DELETE CASCADE,
	CONSTRAINT adapter_file_digest_is_a_sha256 CHECK (length(sha256) = 32)
);
CREATE INDEX adapter_file_by_digest ON adapter_file (coop_id, mirror_id, sha256) WHERE done_at IS NOT NULL;
COMMENT ON TABLE adapter_file IS 'A file of a version at a target.';
COMMENT ON COLUMN adapter_file.coop_id IS 'The co-op';
COMMENT ON COLUMN adapter_file.mirror_id IS 'The mirror';
COMMENT ON COLUMN adapter_file.release_id IS 'The release';
COMMENT ON COLUMN adapter_file.path IS 'Inside the release';
COMMENT ON COLUMN adapter_file.size IS 'Bytes';
COMMENT ON COLUMN adapter_file.sha256 IS 'Of the file';
COMMENT ON COLUMN adapter_file.upload_id IS 'Of the multipart upload that is under way';
COMMENT ON COLUMN adapter_file.part_bytes IS 'Size of its parts: fixed when it began';
COMMENT ON COLUMN adapter_file.etag IS 'What the place calls it';
COMMENT ON COLUMN adapter_file.done_at IS 'When it was there';

CREATE TABLE adapter_part (
	coop_id    uuid NOT NULL,
	mirror_id  uuid NOT NULL,
	release_id uuid NOT NULL,
	path       text NOT NULL,
	no         integer NOT NULL,
	etag       text NOT NULL,
	sha256     bytea NOT NULL,
	PRIMARY KEY (coop_id, mirror_id, release_id, path, no),
	FOREIGN KEY (coop_id, mirror_id, release_id, path) REFERENCES adapter_file ON DELETE CASCADE,
	CONSTRAINT parts_are_numbered_from_one CHECK (no BETWEEN 1 AND 10000),
	CONSTRAINT adapter_part_digest_is_a_sha256 CHECK (length(sha256) = 32)
);
COMMENT ON TABLE adapter_part IS 'A part of a file that is there already: what a run that was killed need not send again.';
COMMENT ON COLUMN adapter_part.coop_id IS 'The co-op';
COMMENT ON COLUMN adapter_part.mirror_id IS 'The mirror';
COMMENT ON COLUMN adapter_part.release_id IS 'The release';
COMMENT ON COLUMN adapter_part.path IS 'Of the file';
COMMENT ON COLUMN adapter_part.no IS 'From 1';
COMMENT ON COLUMN adapter_part.etag IS 'What the place calls it';
COMMENT ON COLUMN adapter_part.sha256 IS 'Of the part';

CALL commonhold_wall_in('adapter_target');
CALL commonhold_wall_in('adapter_copy');
CALL commonhold_wall_in('adapter_file');
CALL commonhold_wall_in('adapter_part');
