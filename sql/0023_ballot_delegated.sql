-- Ballots decided through delegations: what is frozen at opening, votes on behalf of others, the board's stance, and the outcome of every person with path and reason.

-- Rows of earlier ballots get the new columns; the owner is let through its own walls and triggers for that.
ALTER TABLE ballot NO FORCE ROW LEVEL SECURITY;
ALTER TABLE ballot_roll NO FORCE ROW LEVEL SECURITY;
ALTER TABLE vote NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER vote_is_append_only;
ALTER TABLE ballot_resolution NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER ballot_resolution_is_append_only;
ALTER TABLE ballot_count NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER ballot_count_is_append_only;

ALTER TABLE ballot
	ADD COLUMN roll_members integer NOT NULL DEFAULT 0,
	ADD COLUMN roll_admins integer NOT NULL DEFAULT 0,
	ADD COLUMN members_last_year integer NOT NULL DEFAULT 0,
	ADD COLUMN admins_last_year integer NOT NULL DEFAULT 0,
	ADD COLUMN lapsing integer NOT NULL DEFAULT 0,
	ADD COLUMN first_closes_at timestamptz,
	ADD COLUMN board_choice text,
	ADD CONSTRAINT ballot_is_extended_once CHECK (extended = (first_closes_at IS NOT NULL) AND first_closes_at < closes_at),
	ADD CONSTRAINT board_choice_is_known CHECK (board_choice IN ('for', 'against', 'abstain'));
UPDATE ballot b SET roll_members = r.members, roll_admins = r.admins
	FROM (SELECT coop_id, ballot_id, count(*) AS members, count(*) FILTER (WHERE is_admin) AS admins FROM ballot_roll GROUP BY 1, 2) r
	WHERE r.coop_id = b.coop_id AND r.ballot_id = b.id;
COMMENT ON COLUMN ballot.roll_members IS 'People on the roll when it opened';
COMMENT ON COLUMN ballot.roll_admins IS 'Of these, admins';
COMMENT ON COLUMN ballot.members_last_year IS 'Members in good standing a year before it opened: the quorum base never falls below half of this';
COMMENT ON COLUMN ballot.admins_last_year IS 'Admins a year before it opened, for the same';
COMMENT ON COLUMN ballot.lapsing IS 'People whose checkup falls due or whose membership lapses before it closes: many at once are warned of';
COMMENT ON COLUMN ballot.first_closes_at IS 'When it would have closed, had the outcome not changed in the last tenth of the window; NULL: not extended';
COMMENT ON COLUMN ballot.closed_at IS 'End of voting, and the instant as of which delegations count: closes_at, or earlier where no vote could change the outcome. Not when the job ran';
COMMENT ON COLUMN ballot.board_choice IS 'What the board had resolved when it closed; NULL: nothing';

ALTER TABLE ballot_roll DROP CONSTRAINT ballot_roll_coop_id_ballot_id_fkey;
CREATE UNIQUE INDEX ballot_roll_by_number ON ballot_roll (coop_id, ballot_id, member_no);
-- What a foreign key would ask once a row is asked once a statement here: a roll has a million rows.
CREATE POLICY roll_freezes_at_opening ON ballot_roll AS RESTRICTIVE FOR INSERT
	WITH CHECK (ballot_id = ANY (ARRAY(SELECT b.id FROM ballot b WHERE b.coop_id = commonhold_coop() AND b.state = 'notice')));
COMMENT ON POLICY roll_freezes_at_opening ON ballot_roll IS 'People come onto the roll of a ballot of this co-op while it is in notice, and never afterwards';

ALTER TABLE vote ADD COLUMN member_no integer, ADD COLUMN on_behalf_of uuid, ADD COLUMN on_behalf_no integer;
UPDATE vote v SET member_no = r.member_no FROM ballot_roll r WHERE r.coop_id = v.coop_id AND r.ballot_id = v.ballot_id AND r.member_id = v.member_id;
ALTER TABLE vote
	ALTER COLUMN member_no SET NOT NULL,
	ADD CONSTRAINT votes_on_behalf_are_of_people_on_the_roll FOREIGN KEY (coop_id, ballot_id, on_behalf_of) REFERENCES ballot_roll,
	ADD CONSTRAINT cant_vote_on_behalf_of_yourself CHECK (on_behalf_of <> member_id),
	ADD CONSTRAINT vote_on_behalf_has_both_names CHECK ((on_behalf_of IS NULL) = (on_behalf_no IS NULL));
COMMENT ON COLUMN vote.member_no IS 'Number of who cast it';
COMMENT ON COLUMN vote.on_behalf_of IS 'A delegate''s vote for this one principal, who may still vote in person; NULL: one''s own vote';
COMMENT ON COLUMN vote.on_behalf_no IS 'Number of the principal';
DROP INDEX vote_of_ballot;
CREATE INDEX vote_own ON vote (coop_id, ballot_id, member_no, seq) WHERE on_behalf_of IS NULL;
CREATE INDEX vote_on_behalf ON vote (coop_id, ballot_id, on_behalf_no, seq) WHERE on_behalf_of IS NOT NULL;

-- One row a person, in the order of their numbers.
ALTER TABLE ballot_resolution ADD COLUMN member_no integer, ADD COLUMN decider_no integer, ADD COLUMN reason text, ADD COLUMN on_behalf boolean NOT NULL DEFAULT false;
UPDATE ballot_resolution s SET member_no = r.member_no, decider_no = CASE WHEN s.decider IS NOT NULL THEN r.member_no END,
	reason = CASE WHEN s.choice = 'undecided' THEN 'none' END
	FROM ballot_roll r WHERE r.coop_id = s.coop_id AND r.ballot_id = s.ballot_id AND r.member_id = s.member_id;
ALTER TABLE ballot_resolution DROP COLUMN path, DROP COLUMN decider, DROP COLUMN member_id;
ALTER TABLE ballot_resolution
	ADD COLUMN path bigint[],
	ALTER COLUMN member_no SET NOT NULL,
	ADD PRIMARY KEY (coop_id, ballot_id, member_no),
	ADD CONSTRAINT resolution_via_is_known CHECK (via IN ('decided', 'own', 'none', 'silent', 'nobody', 'cycle', 'depth', 'cap')),
	ADD CONSTRAINT resolution_reason_is_known CHECK (reason IN ('none', 'silent', 'nobody', 'cycle', 'depth', 'cap', 'expired', 'revoked', 'scope', 'unaccepted', 'faulty')),
	ADD CONSTRAINT the_undecided_have_a_reason CHECK ((choice = 'undecided') = (reason IS NOT NULL)),
	ADD CONSTRAINT the_decided_have_a_decider CHECK ((choice = 'undecided') = (decider_no IS NULL)),
	ADD CONSTRAINT own_votes_are_decided_by_oneself CHECK (via <> 'own' OR (decider_no = member_no AND path IS NULL)),
	ADD CONSTRAINT who_is_decided_for_has_a_path CHECK (via <> 'decided' OR (path IS NOT NULL AND decider_no <> member_no));
COMMENT ON COLUMN ballot_resolution.coop_id IS 'The co-op';
COMMENT ON COLUMN ballot_resolution.ballot_id IS 'The ballot';
COMMENT ON COLUMN ballot_resolution.member_no IS 'Number of the person on the roll';
COMMENT ON COLUMN ballot_resolution.choice IS 'for, against, abstain, undecided';
COMMENT ON COLUMN ballot_resolution.via IS 'As in policy_delegation.h: own, decided (by a delegate or the board), or why not';
COMMENT ON COLUMN ballot_resolution.reason IS 'Why undecided: via, or, where no delegation counted, why the most specific one did not (expired, revoked, scope, unaccepted)';
COMMENT ON COLUMN ballot_resolution.decider_no IS 'Number of who decided; -2 the board; NULL: nobody did';
COMMENT ON COLUMN ballot_resolution.path IS 'delegation.edge of each version followed, nearest first; NULL: none';
COMMENT ON COLUMN ballot_resolution.on_behalf IS 'The delegate voted for this person in particular';
COMMENT ON TABLE ballot_resolution IS 'What became of every person on the roll, stored at close; append-only. Explanations read this.';
CREATE POLICY outcomes_are_stored_while_closing ON ballot_resolution AS RESTRICTIVE FOR INSERT
	WITH CHECK (ballot_id = ANY (ARRAY(SELECT b.id FROM ballot b WHERE b.coop_id = commonhold_coop() AND b.state = 'open')));
COMMENT ON POLICY outcomes_are_stored_while_closing ON ballot_resolution IS 'Outcomes are written for an open ballot of this co-op, in the transaction that closes it';

ALTER TABLE ballot_count
	ADD COLUMN undecided_none integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_silent integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_nobody integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_cycle integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_depth integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_cap integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_expired integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_revoked integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_scope integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_unaccepted integer NOT NULL DEFAULT 0,
	ADD COLUMN undecided_faulty integer NOT NULL DEFAULT 0,
	ADD COLUMN in_person integer NOT NULL DEFAULT 0,
	ADD COLUMN by_delegates integer NOT NULL DEFAULT 0,
	ADD COLUMN by_board integer NOT NULL DEFAULT 0;
UPDATE ballot_count SET undecided_none = undecided, in_person = yes + no + abstain;
ALTER TABLE ballot_count ADD CONSTRAINT the_decided_were_decided_by_somebody CHECK (in_person + by_delegates + by_board = yes + no + abstain);
ALTER TABLE ballot_count ADD CONSTRAINT undecided_is_the_sum_of_its_reasons CHECK (undecided = undecided_none + undecided_silent + undecided_nobody + undecided_cycle +
	undecided_depth + undecided_cap + undecided_expired + undecided_revoked + undecided_scope + undecided_unaccepted + undecided_faulty);
COMMENT ON COLUMN ballot_count.undecided_none IS 'Did not vote and delegated to nobody; among admins also who did not vote in person';
COMMENT ON COLUMN ballot_count.undecided_silent IS 'The delegate at the end of the path did not decide';
COMMENT ON COLUMN ballot_count.undecided_nobody IS 'Asked that nobody decide';
COMMENT ON COLUMN ballot_count.undecided_cycle IS 'The delegations form a circle';
COMMENT ON COLUMN ballot_count.undecided_depth IS 'The chain is longer than the charter allows';
COMMENT ON COLUMN ballot_count.undecided_cap IS 'The delegate already decides for as many as the charter allows';
COMMENT ON COLUMN ballot_count.undecided_expired IS 'The delegation had ended or not begun';
COMMENT ON COLUMN ballot_count.undecided_revoked IS 'The delegation was revoked';
COMMENT ON COLUMN ballot_count.undecided_scope IS 'The delegations do not reach this question';
COMMENT ON COLUMN ballot_count.undecided_unaccepted IS 'The delegate had not accepted';
COMMENT ON COLUMN ballot_count.in_person IS 'Of the decided: voted themselves';
COMMENT ON COLUMN ballot_count.by_delegates IS 'Of the decided: another member decided for them';
COMMENT ON COLUMN ballot_count.by_board IS 'Of the decided: the board decided for them';
COMMENT ON COLUMN ballot_count.undecided_faulty IS 'The delegation contradicts the schema';

CREATE TABLE board_resolution (
	coop_id   uuid NOT NULL,
	seq       bigint GENERATED ALWAYS AS IDENTITY,
	ballot_id uuid NOT NULL,
	member_id uuid NOT NULL,
	member_no integer NOT NULL,
	choice    text NOT NULL,
	at        timestamptz NOT NULL,
	PRIMARY KEY (coop_id, seq),
	CONSTRAINT only_people_on_the_roll_resolve FOREIGN KEY (coop_id, ballot_id, member_id) REFERENCES ballot_roll,
	CONSTRAINT board_stance_is_known CHECK (choice IN ('for', 'against', 'abstain', 'none'))
);
COMMENT ON TABLE board_resolution IS 'What each admin says the board should say on a ballot; append-only, an admin''s last one counts, none takes it back. The board has resolved when the charter''s part of the admins say the same.';
COMMENT ON COLUMN board_resolution.coop_id IS 'The co-op';
COMMENT ON COLUMN board_resolution.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN board_resolution.ballot_id IS 'The ballot';
COMMENT ON COLUMN board_resolution.member_id IS 'The admin';
COMMENT ON COLUMN board_resolution.member_no IS 'Their number';
COMMENT ON COLUMN board_resolution.choice IS 'for, against, abstain, or none';
COMMENT ON COLUMN board_resolution.at IS 'When it was said';
CREATE INDEX board_resolution_of_ballot ON board_resolution (coop_id, ballot_id, seq);
CALL commonhold_make_append_only('board_resolution');
CALL commonhold_wall_in('board_resolution');
CREATE TRIGGER board_resolves_while_ballot_is_open BEFORE INSERT ON board_resolution FOR EACH ROW EXECUTE FUNCTION vote_only_while_open();

CREATE FUNCTION board_is_its_admins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM ballot_roll r WHERE r.coop_id = NEW.coop_id AND r.ballot_id = NEW.ballot_id AND r.member_id = NEW.member_id AND r.is_admin) THEN
		RAISE EXCEPTION 'only admins resolve' USING ERRCODE = 'CH002', CONSTRAINT = 'only_admins_on_the_roll_resolve';
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION board_is_its_admins() IS 'Trigger: the board is the admins who were on the roll when the ballot opened.';
CREATE TRIGGER only_admins_on_the_roll_resolve BEFORE INSERT ON board_resolution FOR EACH ROW EXECUTE FUNCTION board_is_its_admins();

-- Asked once a ballot, of all its rows together. Nested loops are out: the planner knows nothing yet about rows of this transaction.
CREATE FUNCTION closed_ballots_account_for_everybody() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off SET work_mem = '64MB' AS $$
DECLARE
	wrong boolean;
BEGIN
	WITH outcome AS MATERIALIZED (
		SELECT r.is_admin, s.choice, s.reason, s.via = 'own' AS own, count(*) AS n, count(r.member_no) AS listed, count(s.member_no) AS resolved
		FROM (SELECT member_no, is_admin FROM ballot_roll WHERE coop_id = NEW.coop_id AND ballot_id = NEW.id) r
		FULL JOIN (SELECT member_no, choice, reason, via FROM ballot_resolution WHERE coop_id = NEW.coop_id AND ballot_id = NEW.id) s USING (member_no)
		GROUP BY 1, 2, 3, 4
	), counted AS (
		SELECT e.electorate, coalesce(sum(o.n), 0) AS roll, coalesce(sum(o.n) FILTER (WHERE choice = 'for' AND (e.everybody OR own)), 0) AS yes,
			coalesce(sum(o.n) FILTER (WHERE choice = 'against' AND (e.everybody OR own)), 0) AS no,
			coalesce(sum(o.n) FILTER (WHERE choice = 'abstain' AND (e.everybody OR own)), 0) AS abstain
		FROM (VALUES ('members', true), ('admins', false)) AS e (electorate, everybody) LEFT JOIN outcome o ON e.everybody OR o.is_admin GROUP BY e.electorate
	), reasons AS (
		SELECT x.reason, x.n FROM ballot_count b, LATERAL (VALUES ('none', undecided_none), ('silent', undecided_silent), ('nobody', undecided_nobody),
			('cycle', undecided_cycle), ('depth', undecided_depth), ('cap', undecided_cap), ('expired', undecided_expired), ('revoked', undecided_revoked),
			('scope', undecided_scope), ('unaccepted', undecided_unaccepted), ('faulty', undecided_faulty)) AS x (reason, n)
		WHERE b.coop_id = NEW.coop_id AND b.ballot_id = NEW.id AND b.electorate = 'members' AND x.n > 0
	)
	SELECT EXISTS (SELECT FROM outcome WHERE n <> listed OR n <> resolved)
		OR EXISTS (SELECT FROM counted c LEFT JOIN ballot_count b ON b.coop_id = NEW.coop_id AND b.ballot_id = NEW.id AND b.electorate = c.electorate
			WHERE (b.roll, b.yes, b.no, b.abstain) IS DISTINCT FROM (c.roll, c.yes, c.no, c.abstain))
		OR EXISTS (SELECT FROM (SELECT reason, sum(n) AS n FROM outcome WHERE reason IS NOT NULL GROUP BY 1) o FULL JOIN reasons r USING (reason) WHERE o.n IS DISTINCT FROM r.n)
	INTO wrong;
	IF wrong THEN
		RAISE EXCEPTION 'the outcomes of ballot % do not make up its counts', NEW.id USING ERRCODE = 'CH002', CONSTRAINT = 'closed_ballots_account_for_everybody';
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION closed_ballots_account_for_everybody() IS 'Trigger: a ballot closes with exactly one outcome for everybody on its roll, and with counts that are the counts of these. Admins count in person only.';
CREATE TRIGGER closed_ballots_account_for_everybody AFTER UPDATE OF state ON ballot FOR EACH ROW
	WHEN (OLD.state = 'open' AND NEW.state IN ('passed', 'failed')) EXECUTE FUNCTION closed_ballots_account_for_everybody();

-- What a person themselves said last: NULL before they vote and after they take it back.
CREATE FUNCTION ballot_own_choice(in_coop uuid, in_ballot uuid, in_member integer) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT nullif((SELECT v.choice FROM vote v WHERE v.coop_id = in_coop AND v.ballot_id = in_ballot AND v.member_no = in_member AND v.on_behalf_of IS NULL ORDER BY v.seq DESC LIMIT 1), 'none')
$$;
COMMENT ON FUNCTION ballot_own_choice(uuid, uuid, integer) IS 'The own vote of a person that counts at present';
CREATE FUNCTION ballot_choice_for(in_coop uuid, in_ballot uuid, in_delegate integer, in_principal integer) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT nullif((SELECT v.choice FROM vote v WHERE v.coop_id = in_coop AND v.ballot_id = in_ballot AND v.on_behalf_no = in_principal AND v.member_no = in_delegate
		AND v.on_behalf_of IS NOT NULL ORDER BY v.seq DESC LIMIT 1), 'none')
$$;
COMMENT ON FUNCTION ballot_choice_for(uuid, uuid, integer, integer) IS 'What a delegate cast for one principal in particular';

-- Whom a member represents on an open ballot, nearest first: the effective delegations that lead to them, backwards. Who has voted ends the way for those behind them.
CREATE FUNCTION ballot_represented(in_coop uuid, in_ballot uuid, in_member integer, in_topic integer, in_target bigint, in_at timestamptz, in_depth integer)
	RETURNS TABLE (member_no integer, hops integer, choice text) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
	seen integer[] := ARRAY[in_member];
	front integer[] := ARRAY[in_member];
	found integer[];
BEGIN
	FOR hop IN 1..in_depth LOOP
		SELECT array_agg(DISTINCT n.principal_no) INTO found FROM delegation_now n
			JOIN membership p ON p.coop_id = n.coop_id AND p.number = n.principal_no AND p.state IN ('active', 'due', 'grace')
			WHERE n.coop_id = in_coop AND n.delegate_no = ANY (front) AND n.question = 0 AND n.state IN ('asked', 'standing', 'suspended') AND n.principal_no <> ALL (seen)
			AND n.edge = (SELECT o.edge FROM delegation_now o LEFT JOIN membership d ON d.coop_id = o.coop_id AND d.number = o.delegate_no
				WHERE o.coop_id = in_coop AND o.principal_no = n.principal_no AND o.question = 0 AND o.accepted_at <= in_at AND o.starts <= in_at AND o.ends > in_at
				AND o.revoked_at > in_at AND (o.delegate_no < 0 OR d.state IN ('active', 'due', 'grace'))
				AND CASE o.scope WHEN 0 THEN true WHEN 1 THEN o.topics >> in_topic & 1 = 1 ELSE o.target = in_target END
				ORDER BY o.scope DESC, o.accepted_at DESC, o.edge DESC LIMIT 1);
		EXIT WHEN found IS NULL;
		seen := seen || found;
		RETURN QUERY SELECT f.no, hop, ballot_own_choice(in_coop, in_ballot, f.no) FROM unnest(found) AS f (no) ORDER BY f.no;
		SELECT array_agg(f.no) INTO front FROM unnest(found) AS f (no) WHERE ballot_own_choice(in_coop, in_ballot, f.no) IS NULL;
		EXIT WHEN front IS NULL;
	END LOOP;
END $$;
COMMENT ON FUNCTION ballot_represented(uuid, uuid, integer, integer, bigint, timestamptz, integer) IS 'Whom a member represents on a ballot now, over how many hands, and what they voted themselves';

ALTER TABLE ballot FORCE ROW LEVEL SECURITY;
ALTER TABLE ballot_roll FORCE ROW LEVEL SECURITY;
ALTER TABLE vote FORCE ROW LEVEL SECURITY, ENABLE TRIGGER vote_is_append_only;
ALTER TABLE ballot_resolution FORCE ROW LEVEL SECURITY, ENABLE TRIGGER ballot_resolution_is_append_only;
ALTER TABLE ballot_count FORCE ROW LEVEL SECURITY, ENABLE TRIGGER ballot_count_is_append_only;
