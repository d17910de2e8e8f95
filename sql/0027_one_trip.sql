-- What a request wants of its co-op travels in the trip that finds out who calls: so finding that out also tells row-level security, for the rest of the transaction.
-- Only a member's co-op is told, and nothing on the word of a token that was revoked or has expired.

CREATE OR REPLACE FUNCTION commonhold_identify(secret bytea, bearer boolean, coop_name text)
	RETURNS TABLE (caller uuid, account_id uuid, email text, name text, locale text, expires_at timestamptz, revoked boolean, touched_at timestamptz,
		coop_id uuid, key_name text, slug text, title text, member_id uuid, member_state text, member_is_admin boolean)
	LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	who record;
	place record;
	seat record;
BEGIN
	IF bearer THEN
		SELECT t.id, t.account_id, a.email, a.name, a.locale, t.expires_at, t.revoked_at IS NOT NULL AS revoked, t.used_at AS touched_at INTO who
			FROM token t JOIN account a ON a.id = t.account_id WHERE t.secret_hash = secret AND a.closed_at IS NULL;
	ELSE
		SELECT s.id, s.account_id, a.email, a.name, a.locale, s.expires_at, false AS revoked, s.seen_at AS touched_at INTO who
			FROM session s JOIN account a ON a.id = s.account_id WHERE s.secret_hash = secret AND a.closed_at IS NULL;
	END IF;
	SELECT c.id, c.key_name, c.slug, (SELECT h.name FROM charter h WHERE h.coop_id = c.id ORDER BY h.version DESC LIMIT 1) AS title INTO place FROM coop c WHERE c.slug = coop_name OR c.key_name = coop_name;
	SELECT NULL::uuid AS id, NULL::text AS state, NULL::boolean AS is_admin INTO seat;
	IF who.account_id IS NOT NULL AND place.id IS NOT NULL AND NOT who.revoked AND (who.expires_at IS NULL OR who.expires_at > commonhold_now()) THEN
		PERFORM set_config('commonhold.account', who.account_id::text, true);
		SELECT m.id, m.state, m.is_admin INTO seat FROM membership m WHERE m.coop_id = place.id AND m.account_id = who.account_id;
		IF seat.state NOT IN ('left', 'removed') THEN
			PERFORM set_config('commonhold.coop', place.id::text, true);
		END IF;
	END IF;
	RETURN QUERY SELECT who.id, who.account_id, who.email, who.name, who.locale, who.expires_at, who.revoked, who.touched_at,
		place.id, place.key_name, place.slug, place.title, seat.id, seat.state, seat.is_admin;
END $$;
COMMENT ON FUNCTION commonhold_identify(bytea, boolean, text) IS 'The account of a session''s or token''s secret, the co-op of a name, and the membership of one in the other; NULLs where there is none. '
	'Tells the rest of the transaction the account, and the co-op where the account is a member of it.';
