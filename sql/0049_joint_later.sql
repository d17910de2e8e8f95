-- What joint releases have learned: redactions that both sign, and going on with what both agree on.

ALTER TABLE release_joint
	ADD COLUMN narrows boolean NOT NULL DEFAULT false,
	ADD COLUMN without bytea,
	ADD COLUMN left_out text,
	ADD CONSTRAINT what_is_left_out_is_leaves CHECK (length(without) % 32 = 0);
COMMENT ON COLUMN release_joint.narrows IS 'The maker''s admins go on with what both sets have in common';
COMMENT ON COLUMN release_joint.without IS 'Leaves of the items that only one of the sets has, 32 bytes each, ascending: left out on both sides';
COMMENT ON COLUMN release_joint.left_out IS 'Which items of ours these are, and what kept them back, in words for admins';

CREATE TABLE release_kept (
	coop_id    uuid NOT NULL,
	release_id uuid NOT NULL,
	moved      bytea NOT NULL,
	origins    bytea NOT NULL,
	PRIMARY KEY (coop_id, release_id),
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	CONSTRAINT kept_rows_are_whole CHECK (length(moved) % 5 = 0 AND length(origins) % 21 = 0)
);
ALTER TABLE release_kept ALTER COLUMN moved SET STORAGE EXTERNAL, ALTER COLUMN origins SET STORAGE EXTERNAL;
COMMENT ON TABLE release_kept IS 'What stands in a release''s rows of their other origins: a redaction copies rows and cannot change them. Ids alone, no content.';
COMMENT ON COLUMN release_kept.coop_id IS 'The co-op';
COMMENT ON COLUMN release_kept.release_id IS 'The release, once published';
COMMENT ON COLUMN release_kept.moved IS 'Rows that went out under a licence of another origin than their own: item number (4 bytes, little-endian) and licence, ascending';
COMMENT ON COLUMN release_kept.origins IS 'Further origins that its rows name: item number (4 bytes, little-endian), number of the home, id; ascending';

DO $$
BEGIN
	ALTER TABLE release_kept ENABLE ROW LEVEL SECURITY;
	ALTER TABLE release_kept FORCE ROW LEVEL SECURITY;
	CREATE POLICY within_coop ON release_kept USING (coop_id = (SELECT commonhold_coop()));
END $$;
