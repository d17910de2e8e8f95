-- What was erased, kept apart from the content, so that a backup of the content that is restored does not bring it back.

CREATE TABLE erased_item (
	coop_id uuid NOT NULL,
	item_id uuid NOT NULL,
	erased_at timestamptz NOT NULL,
	keep_until timestamptz NOT NULL,
	PRIMARY KEY (coop_id, item_id)
);
CREATE INDEX erased_item_expires ON erased_item (keep_until);
COMMENT ON TABLE erased_item IS 'Items that were erased. Written before the content''s transaction commits; looked through at every start of the server';
COMMENT ON COLUMN erased_item.coop_id IS 'The co-op';
COMMENT ON COLUMN erased_item.item_id IS 'The contribution''s id, which says nothing about it';
COMMENT ON COLUMN erased_item.erased_at IS 'When it was erased';
COMMENT ON COLUMN erased_item.keep_until IS 'When no backup holds the item any more, so that the mark may go';

CREATE TABLE erased_member (
	coop_id uuid NOT NULL,
	member_id uuid NOT NULL,
	erased_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, member_id)
);
COMMENT ON TABLE erased_member IS 'Members whose key was destroyed with all they contributed';
COMMENT ON COLUMN erased_member.coop_id IS 'The co-op';
COMMENT ON COLUMN erased_member.member_id IS 'The membership';
COMMENT ON COLUMN erased_member.erased_at IS 'When the key was destroyed';

DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN
		GRANT SELECT, INSERT, UPDATE, DELETE ON erased_item, erased_member TO commonhold_app;
	END IF;
END
$$;
