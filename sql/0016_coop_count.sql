-- What ties the co-op's tables to those of the pool and the releases: public counts, and whose items statements may be about.

CREATE FUNCTION pool_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE coop_count SET contributions = contributions + NEW.next_item - OLD.next_item WHERE coop_id = NEW.coop_id;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION pool_counts() IS 'Trigger: keeps coop_count.contributions, once a batch.';
CREATE CONSTRAINT TRIGGER contributions_are_counted AFTER UPDATE OF next_item ON pool_head DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (OLD.next_item <> NEW.next_item) EXECUTE FUNCTION pool_counts();

CREATE FUNCTION release_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE coop_count SET releases = releases + 1 WHERE coop_id = NEW.coop_id;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION release_counts() IS 'Trigger: keeps coop_count.releases.';
CREATE CONSTRAINT TRIGGER releases_are_counted AFTER UPDATE OF state ON release DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (OLD.state <> 'published' AND NEW.state = 'published') EXECUTE FUNCTION release_counts();

CREATE FUNCTION statement_about_own_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM contribution c WHERE c.coop_id = NEW.coop_id AND c.id = NEW.item_id AND c.member_id = NEW.member_id) THEN
		RAISE EXCEPTION 'not an item of this member' USING ERRCODE = 'CH002', CONSTRAINT = 'statement_is_about_own_item';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION statement_about_own_item() IS 'Trigger: one speaks about one''s own items only.';
CREATE TRIGGER statement_is_about_own_item BEFORE INSERT ON statement FOR EACH ROW WHEN (NEW.item_id IS NOT NULL AND NEW.layer = 1)
	EXECUTE FUNCTION statement_about_own_item();
