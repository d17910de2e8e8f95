-- Sealed ballots: what the log has of a ballot's bundle, and a second count that goes another way than the program's.

CREATE TABLE ballot_seal (
	coop_id   uuid NOT NULL,
	ballot_id uuid NOT NULL,
	secret    bytea NOT NULL,
	header    text NOT NULL,
	digest    bytea NOT NULL,
	leaf      bigint NOT NULL,
	sealed_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, ballot_id),
	FOREIGN KEY (coop_id, ballot_id) REFERENCES ballot,
	CONSTRAINT seal_secret_has_32_bytes CHECK (length(secret) = 32),
	CONSTRAINT seal_digest_is_a_sha256 CHECK (digest = sha256(convert_to(header, 'UTF8')))
);
COMMENT ON TABLE ballot_seal IS 'The header of a closed ballot''s bundle, whose digest the log has; append-only. The other lines follow from the ballot''s facts and the secret.';
COMMENT ON COLUMN ballot_seal.coop_id IS 'The co-op';
COMMENT ON COLUMN ballot_seal.ballot_id IS 'The ballot';
COMMENT ON COLUMN ballot_seal.secret IS 'Key of the salts of people''s commitments: HMAC-SHA256 of a membership''s id under it. Told to nobody whole';
COMMENT ON COLUMN ballot_seal.header IS 'First line of the bundle, canonical JSON';
COMMENT ON COLUMN ballot_seal.digest IS 'SHA-256 of header';
COMMENT ON COLUMN ballot_seal.leaf IS 'Index of ballot.sealed in the co-op''s log';
COMMENT ON COLUMN ballot_seal.sealed_at IS 'When it was sealed';
CALL commonhold_make_append_only('ballot_seal');
CALL commonhold_wall_in('ballot_seal');

-- The program colours the graph of delegations in one pass over rows of delegation_now. This count starts from what people did (delegation, delegation_event, vote), finds the end
-- of everybody's way by doubling the distance looked ahead, and knows nothing of what the closing stored.
CREATE FUNCTION ballot_recount(in_coop uuid, in_ballot uuid) RETURNS TABLE (electorate text, what text, n bigint) LANGUAGE plpgsql
	SET work_mem = '64MB' SET enable_nestloop = off AS $$
#variable_conflict use_column
DECLARE
	b ballot%ROWTYPE;
	rules json;
	seen timestamptz;
	hops_allowed integer;
	cap integer;
	board text;
	moved bigint;
	m record;
	so_far bigint;
BEGIN
	SELECT * INTO b FROM ballot WHERE coop_id = in_coop AND id = in_ballot;
	IF b.state IS NULL OR b.state NOT IN ('passed', 'failed') THEN
		RAISE EXCEPTION 'this ballot is not closed' USING ERRCODE = 'CH002', CONSTRAINT = 'only_closed_ballots_are_recounted';
	END IF;
	seen := b.closed_at - interval '1 microsecond';
	SELECT document::json INTO rules FROM charter WHERE coop_id = in_coop AND version = b.charter;
	hops_allowed := (rules #>> '{delegation,depth}')::integer;
	cap := (rules #>> '{delegation,cap}')::integer;

	-- The one choice that the charter's part of the admins say.
	SELECT CASE WHEN count(*) = 1 THEN min(choice) END INTO board FROM (
		SELECT choice FROM (SELECT DISTINCT ON (member_no) choice FROM board_resolution WHERE coop_id = in_coop AND ballot_id = in_ballot AND at <= seen
			ORDER BY member_no, seq DESC) said
		WHERE choice <> 'none' GROUP BY choice
		HAVING count(*) * coalesce((rules #>> '{board,d}')::bigint, 2) - CASE WHEN coalesce((rules #>> '{board,strict}')::boolean, true) THEN 1 ELSE 0 END
			>= coalesce((rules #>> '{board,n}')::bigint, 1) * (SELECT count(*) FROM ballot_roll WHERE coop_id = in_coop AND ballot_id = in_ballot AND is_admin)) resolved;

	DROP TABLE IF EXISTS recount, recount_voice, recount_load;
	CREATE TEMP TABLE recount ON COMMIT DROP AS
	WITH standing AS (
		SELECT s.number AS no, CASE WHEN s.state_at > seen THEN coalesce(e.from_state, 'applied') ELSE s.state END IN ('active', 'due', 'grace') AS active
		FROM membership s LEFT JOIN (SELECT DISTINCT ON (member_id) member_id, from_state FROM membership_event WHERE coop_id = in_coop AND at > seen ORDER BY member_id, seq) e
			ON e.member_id = s.id
		WHERE s.coop_id = in_coop
	), own AS (
		SELECT DISTINCT ON (member_no) member_no AS no, choice FROM vote WHERE coop_id = in_coop AND ballot_id = in_ballot AND on_behalf_of IS NULL AND at <= seen
		ORDER BY member_no, seq DESC
	), life AS (
		SELECT d.edge, d.principal_no, d.delegate_no, array_position('{coop,topic,target}', d.scope) AS width,
			d.scope = 'coop' OR (d.scope = 'topic' AND b.kind = ANY (d.topics)) OR (d.scope = 'target' AND d.target = in_ballot) AS reaches,
			min(e.at) FILTER (WHERE e.kind IN ('accepted', 'confirmed')) AS accepted,
			least(coalesce((array_agg(e.ends ORDER BY e.seq DESC) FILTER (WHERE e.kind IN ('accepted', 'confirmed')))[1], d.chosen_end), min(e.at) FILTER (WHERE e.kind = 'suspended')) AS ends,
			bool_or(e.kind IN ('declined', 'revoked', 'ended')) AS over
		FROM delegation d JOIN delegation_event e ON e.coop_id = d.coop_id AND e.delegation_id = d.id AND e.at <= seen
		WHERE d.coop_id = in_coop AND d.question = 'vote' AND d.made_at <= seen
		GROUP BY d.edge, d.principal_no, d.delegate_no, d.scope, d.topics, d.target, d.chosen_end
	), judged AS (
		SELECT l.*, CASE WHEN over THEN 'revoked' WHEN ends <= seen THEN 'expired' WHEN accepted IS NULL THEN 'unaccepted'
			WHEN NOT p.active OR (l.delegate_no >= 0 AND NOT q.active) THEN 'expired' WHEN NOT reaches THEN 'scope' END AS why
		FROM life l JOIN standing p ON p.no = l.principal_no LEFT JOIN standing q ON q.no = l.delegate_no
	), effective AS (
		SELECT DISTINCT ON (principal_no) * FROM judged WHERE why IS NULL ORDER BY principal_no, width DESC, accepted DESC, edge DESC
	), dropped AS (
		SELECT DISTINCT ON (principal_no) principal_no, why FROM judged WHERE why = 'scope' OR (why IS NOT NULL AND reaches)
		ORDER BY principal_no, why = 'scope', width DESC, accepted DESC NULLS FIRST, edge DESC
	)
	SELECT s.no, r.member_no IS NOT NULL AS on_roll, coalesce(r.is_admin, false) AS is_admin, nullif(o.choice, 'none') AS choice, f.edge, f.delegate_no, f.accepted, x.why AS dropped,
		coalesce(nullif(o.choice, 'none') IS NOT NULL OR f.edge IS NULL OR f.delegate_no < 0, true) AS is_end,
		0 AS dist, s.no AS far, f.accepted AS latest, f.edge AS latest_edge
	FROM standing s LEFT JOIN ballot_roll r ON r.coop_id = in_coop AND r.ballot_id = in_ballot AND r.member_no = s.no
	LEFT JOIN own o ON o.no = s.no LEFT JOIN effective f ON f.principal_no = s.no LEFT JOIN dropped x ON x.principal_no = s.no;
	CREATE UNIQUE INDEX recount_by_no ON recount (no);
	UPDATE recount SET far = delegate_no, dist = 1 WHERE NOT is_end;
	ANALYZE recount;

	-- Everybody looks twice as far as before; 2^25 hops are more than there are people. Who still sees no end walks in a circle.
	FOR round IN 1..25 LOOP
		UPDATE recount w SET far = t.far, dist = w.dist + t.dist,
			latest = CASE WHEN (t.latest, t.latest_edge) > (w.latest, w.latest_edge) THEN t.latest ELSE w.latest END,
			latest_edge = CASE WHEN (t.latest, t.latest_edge) > (w.latest, w.latest_edge) THEN t.latest_edge ELSE w.latest_edge END
		FROM recount t WHERE t.no = w.far AND NOT t.is_end AND NOT w.is_end;
		GET DIAGNOSTICS moved = ROW_COUNT;
		EXIT WHEN moved = 0;
	END LOOP;

	CREATE TEMP TABLE recount_voice ON COMMIT DROP AS
	SELECT no, on_roll, is_admin, edge, accepted, dropped, decider, CASE WHEN place > cap AND cap > 0 THEN 'cap' ELSE via END AS via,
		CASE WHEN place > cap AND cap > 0 THEN NULL ELSE choice END AS choice
	FROM (
		SELECT v.*, CASE WHEN via = 'decided' AND decider >= 0 THEN row_number() OVER (PARTITION BY via, decider ORDER BY latest, latest_edge, hops, accepted, edge) END AS place
		FROM (
			SELECT h.*, CASE WHEN via = 'own' THEN own WHEN via = 'decided' THEN end_choice END AS choice, CASE WHEN via = 'own' THEN no WHEN via = 'decided' THEN end_no END AS decider
			FROM (
				SELECT g.*, CASE WHEN own IS NOT NULL THEN 'own' WHEN edge IS NULL THEN 'none' WHEN delegate_no = -3 THEN 'nobody' WHEN NOT ended THEN 'cycle'
					WHEN hops > hops_allowed THEN 'depth' WHEN end_choice IS NOT NULL THEN 'decided' ELSE 'silent' END AS via
				FROM (
					SELECT w.no, w.on_roll, w.is_admin, w.choice AS own, w.edge, w.delegate_no, w.accepted, w.dropped, w.latest, w.latest_edge, t.is_end AS ended,
						w.dist + CASE WHEN t.choice IS NULL AND t.delegate_no = -2 THEN 1 ELSE 0 END AS hops,
						CASE WHEN t.choice IS NOT NULL THEN t.choice WHEN t.delegate_no = -2 THEN board END AS end_choice,
						CASE WHEN t.choice IS NULL AND t.delegate_no = -2 THEN -2 ELSE t.no END AS end_no
					FROM recount w JOIN recount t ON t.no = w.far) g) h) v) placed;

	-- Votes of delegates for one principal in particular: the nearest delegate on the way who cast one, while the cap lasts.
	CREATE TEMP TABLE recount_load ON COMMIT DROP AS SELECT decider, count(*) AS n FROM recount_voice WHERE via = 'decided' AND decider >= 0 GROUP BY decider;
	FOR m IN
		WITH RECURSIVE said AS (
			SELECT delegate, principal, choice FROM (SELECT DISTINCT ON (member_no, on_behalf_no) member_no AS delegate, on_behalf_no AS principal, choice FROM vote
				WHERE coop_id = in_coop AND ballot_id = in_ballot AND on_behalf_of IS NOT NULL AND at <= seen ORDER BY member_no, on_behalf_no, seq DESC) last WHERE choice <> 'none'
		), way AS (
			SELECT r.no AS principal, 1 AS hop, r.delegate_no AS at_no FROM recount r
			WHERE r.no IN (SELECT principal FROM said) AND r.on_roll AND r.choice IS NULL AND r.delegate_no >= 0
			UNION ALL
			SELECT w.principal, w.hop + 1, r.delegate_no FROM way w JOIN recount r ON r.no = w.at_no AND r.choice IS NULL AND r.delegate_no >= 0 WHERE w.hop < hops_allowed
		)
		SELECT * FROM (SELECT DISTINCT ON (w.principal) w.principal, s.delegate, s.choice, r.accepted, r.edge FROM way w JOIN said s ON s.principal = w.principal AND s.delegate = w.at_no
			JOIN recount r ON r.no = w.principal ORDER BY w.principal, w.hop) nearest ORDER BY accepted, edge
	LOOP
		IF NOT EXISTS (SELECT FROM recount_voice WHERE no = m.principal AND via = 'decided' AND decider = m.delegate) THEN
			so_far := coalesce((SELECT l.n FROM recount_load l WHERE l.decider = m.delegate), 0);
			IF cap > 0 AND so_far >= cap THEN
				UPDATE recount_voice SET via = 'cap', choice = NULL, decider = NULL WHERE no = m.principal;
				CONTINUE;
			END IF;
			DELETE FROM recount_load WHERE decider = m.delegate;
			INSERT INTO recount_load VALUES (m.delegate, so_far + 1);
		END IF;
		UPDATE recount_voice SET via = 'decided', choice = m.choice, decider = m.delegate WHERE no = m.principal;
	END LOOP;

	RETURN QUERY SELECT 'members', coalesce(choice, CASE WHEN via = 'none' THEN coalesce(dropped, 'none') ELSE via END), count(*) FROM recount_voice WHERE on_roll GROUP BY 2;
	-- Admins count in person.
	RETURN QUERY SELECT 'admins', CASE WHEN via = 'own' THEN choice WHEN choice IS NOT NULL THEN 'none' WHEN via = 'none' THEN coalesce(dropped, 'none') ELSE via END, count(*)
		FROM recount_voice WHERE is_admin GROUP BY 2;
END $$;
COMMENT ON FUNCTION ballot_recount(uuid, uuid) IS 'A closed ballot counted again in SQL: by electorate, how many voices there are for, against, abstaining, and undecided by each reason. Inside its co-op.';
