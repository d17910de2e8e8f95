-- What is held about people: who was told what goes when, who took an archive, and the one way in which a fact that never changes loses the account that it names.

CREATE TABLE retention_notice (
	coop_id   uuid NOT NULL REFERENCES coop,
	member_no integer NOT NULL,
	window_name text NOT NULL,
	upto      timestamptz NOT NULL,
	told_at   timestamptz NOT NULL,
	PRIMARY KEY (coop_id, member_no, window_name, upto),
	CONSTRAINT retention_window_is_known CHECK (window_name IN ('raw', 'quarantine'))
);
COMMENT ON TABLE retention_notice IS 'Who was told that items of theirs reach the end of a window of the charter: nothing goes before its member has been told long enough';
COMMENT ON COLUMN retention_notice.coop_id IS 'The co-op';
COMMENT ON COLUMN retention_notice.member_no IS 'membership.number of who was told';
COMMENT ON COLUMN retention_notice.window_name IS 'raw: contributions in the pool; quarantine: what was held or rejected';
COMMENT ON COLUMN retention_notice.upto IS 'Speaks of what was contributed (quarantine: held or rejected) until then';
COMMENT ON COLUMN retention_notice.told_at IS 'When they were told';
CALL commonhold_wall_in('retention_notice');

CREATE TABLE archive_taken (
	account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
	id         uuid NOT NULL,
	about_coop uuid,
	at         timestamptz NOT NULL,
	PRIMARY KEY (account_id, id)
);
CREATE INDEX archive_taken_by_time ON archive_taken (account_id, at);
COMMENT ON TABLE archive_taken IS 'Copies of everything held about a person that were handed to them: a few a day, and none that they are not told of';
COMMENT ON COLUMN archive_taken.account_id IS 'Who took it';
COMMENT ON COLUMN archive_taken.id IS 'Random';
COMMENT ON COLUMN archive_taken.about_coop IS 'Of one co-op; NULL: of all';
COMMENT ON COLUMN archive_taken.at IS 'When';

-- A person's own rows are found for an archive, and let go of with the account.
CREATE INDEX access_log_of_account ON access_log (coop_id, account_id) WHERE account_id IS NOT NULL;
CREATE INDEX contribution_by_age ON contribution (coop_id, submitted_at, item_no) WHERE (word & 12288) = 0;

-- Facts do not change, but the account that one names may be taken out of them: by account_unlink alone, which runs with the owner's rights and says so to the trigger. The server's own role
-- has no right to update these tables, and the trigger does not believe it.
CREATE OR REPLACE FUNCTION commonhold_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP IN ('UPDATE', 'DELETE') AND current_user <> 'commonhold_app' AND current_setting('commonhold.unlinking', true) = TG_TABLE_NAME THEN
		IF TG_LEVEL = 'STATEMENT' THEN
			RETURN NULL;
		END IF;
		RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
	END IF;
	RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'CH001';
END
$$;

CREATE OR REPLACE FUNCTION moderation_reason_goes_with_its_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND current_user <> 'commonhold_app' AND current_setting('commonhold.unlinking', true) = TG_TABLE_NAME THEN
		RETURN NEW;
	END IF;
	IF TG_OP = 'UPDATE' AND NEW.reason = '' AND NEW.coop_id = OLD.coop_id AND NEW.seq = OLD.seq AND NEW.contribution_id = OLD.contribution_id AND NEW.decision = OLD.decision
		AND NEW.stage = OLD.stage AND NEW.by_account IS NOT DISTINCT FROM OLD.by_account AND NEW.at = OLD.at AND pool_item_is_erased(OLD.coop_id, OLD.contribution_id) THEN
		RETURN NEW;
	END IF;
	RAISE EXCEPTION 'moderation_decision is append-only' USING ERRCODE = 'CH001';
END $$;

-- Within one co-op: every fact that names an account names another from then on, which was never anybody's. Only where the first is closed and the second an empty stand-in.
CREATE FUNCTION account_unlink(in_account uuid, in_stand_in uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
	here uuid := commonhold_coop();
	of_table record;
	n bigint;
	total bigint := 0;
BEGIN
	IF here IS NULL OR NOT EXISTS (SELECT FROM account WHERE id = in_account AND closed_at IS NOT NULL)
		OR NOT EXISTS (SELECT FROM account WHERE id = in_stand_in AND closed_at IS NOT NULL AND email LIKE '%@erased.invalid') THEN
		RAISE EXCEPTION 'only a closed account is taken out of facts' USING ERRCODE = 'CH002', CONSTRAINT = 'only_closed_accounts_are_unlinked';
	END IF;
	-- What an admin or the person wrote about a membership or a delegation is free text, and goes.
	PERFORM set_config('commonhold.unlinking', 'membership_event', true);
	UPDATE membership_event e SET reason = '' WHERE e.coop_id = here AND e.reason <> ''
		AND (e.by_account = in_account OR e.member_id IN (SELECT m.id FROM membership m WHERE m.coop_id = here AND m.account_id IN (in_account, in_stand_in)));
	PERFORM set_config('commonhold.unlinking', 'delegation_event', true);
	UPDATE delegation_event e SET reason = '' WHERE e.coop_id = here AND e.reason <> '' AND e.reason !~ '^[a-z_]+$'
		AND e.by_member IN (SELECT m.id FROM membership m WHERE m.coop_id = here AND m.account_id IN (in_account, in_stand_in));
	FOR of_table IN SELECT * FROM (VALUES ('membership_event', 'by_account'), ('statement', 'declared_by'), ('benefit_income', 'recorded_by'), ('benefit_payment', 'recorded_by'),
		('moderation_decision', 'by_account'), ('receipt', 'account_id'),
		('access_log', 'account_id')) AS t(name, col) LOOP
		PERFORM set_config('commonhold.unlinking', of_table.name, true);
		EXECUTE format('UPDATE %I SET %I = $2 WHERE coop_id = $3 AND %I = $1', of_table.name, of_table.col, of_table.col) USING in_account, in_stand_in, here;
		GET DIAGNOSTICS n = ROW_COUNT;
		total := total + n;
	END LOOP;
	-- A receipt says the public name as well. The consents stay, and the log has the receipt's digest; the document is the person's.
	PERFORM set_config('commonhold.unlinking', 'consent_receipt', true);
	DELETE FROM consent_receipt r WHERE r.coop_id = here AND r.member_id IN (SELECT m.id FROM membership m WHERE m.coop_id = here AND m.account_id IN (in_account, in_stand_in));
	PERFORM set_config('commonhold.unlinking', '', true);
	UPDATE coop SET founder_id = in_stand_in WHERE id = here AND founder_id = in_account;
	RETURN total;
END $$;
COMMENT ON FUNCTION account_unlink(uuid, uuid) IS 'Within the present co-op: puts an empty stand-in in the place of a closed account in everything that is append-only. How many rows named it';
REVOKE ALL ON FUNCTION account_unlink(uuid, uuid) FROM PUBLIC;
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'commonhold_app') THEN
		GRANT EXECUTE ON FUNCTION account_unlink(uuid, uuid) TO commonhold_app;
	END IF;
END $$;
