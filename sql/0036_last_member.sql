-- Who is alone in a co-op may end their account: the right to be forgotten does not wait for somebody to hand over to. Otherwise a co-op keeps an admin, as before.
CREATE OR REPLACE FUNCTION membership_keeps_an_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM membership WHERE coop_id = OLD.coop_id AND is_admin AND state IN ('active', 'due', 'grace'))
		AND NOT (NOT EXISTS (SELECT FROM membership WHERE coop_id = OLD.coop_id AND state IN ('active', 'due', 'grace'))
			AND EXISTS (SELECT FROM account_erasure e WHERE e.account_id = NEW.account_id AND e.state = 'effective')) THEN
		RAISE EXCEPTION 'the last admin stays' USING ERRCODE = 'CH002', CONSTRAINT = 'coop_keeps_an_admin';
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION membership_keeps_an_admin() IS 'Trigger: a co-op always has an admin in good standing, unless its only member ends their account.';
