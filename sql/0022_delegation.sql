-- Delegations: who lets whom decide, and everything that became of it.

CREATE TABLE delegation (
	coop_id       uuid NOT NULL REFERENCES coop,
	id            uuid NOT NULL,
	edge          bigint GENERATED ALWAYS AS IDENTITY,
	first_id      uuid NOT NULL,
	principal_id  uuid NOT NULL,
	principal_no  integer NOT NULL,
	question      text NOT NULL,
	scope         text NOT NULL,
	topics        text[] NOT NULL DEFAULT '{}',
	target        uuid,
	delegate_kind text NOT NULL,
	delegate_id   uuid,
	delegate_no   integer NOT NULL,
	made_at       timestamptz NOT NULL,
	chosen_end    timestamptz,
	salt          bytea NOT NULL,
	PRIMARY KEY (coop_id, id),
	CONSTRAINT delegation_edges_are_unique UNIQUE (coop_id, edge),
	FOREIGN KEY (coop_id, principal_id) REFERENCES membership,
	FOREIGN KEY (coop_id, delegate_id) REFERENCES membership,
	CONSTRAINT cant_delegate_to_yourself CHECK (delegate_id IS NULL OR delegate_id <> principal_id),
	CONSTRAINT delegation_question_is_known CHECK (question IN ('vote', 'consent')),
	CONSTRAINT delegation_scope_is_known CHECK (scope IN ('coop', 'topic', 'target')),
	CONSTRAINT delegated_topics_go_with_scope_topic CHECK ((scope = 'topic') = (cardinality(topics) > 0)),
	CONSTRAINT delegated_target_goes_with_scope_target CHECK ((scope = 'target') = (target IS NOT NULL)),
	CONSTRAINT delegate_is_a_member_the_board_or_nobody CHECK (
		(delegate_kind = 'member' AND delegate_id IS NOT NULL AND delegate_no >= 0) OR (delegate_kind = 'board' AND delegate_id IS NULL AND delegate_no = -2) OR
		(delegate_kind = 'nobody' AND delegate_id IS NULL AND delegate_no = -3)),
	CONSTRAINT delegation_ends_after_it_is_made CHECK (chosen_end > made_at),
	CONSTRAINT delegation_salt_has_32_bytes CHECK (length(salt) = 32)
);
COMMENT ON TABLE delegation IS 'One version of a delegation as its principal made it; append-only. What became of it is in delegation_event.';
COMMENT ON COLUMN delegation.coop_id IS 'The co-op';
COMMENT ON COLUMN delegation.id IS 'Random; of this version';
COMMENT ON COLUMN delegation.edge IS 'The engine''s number of this version; breaks ties';
COMMENT ON COLUMN delegation.first_id IS 'First version of the same delegation; its own id for the first';
COMMENT ON COLUMN delegation.principal_id IS 'Who delegates';
COMMENT ON COLUMN delegation.principal_no IS 'Their number';
COMMENT ON COLUMN delegation.question IS 'vote: how my vote is cast; consent: what is said about my items. Never both';
COMMENT ON COLUMN delegation.scope IS 'coop: everything; topic: the kinds or uses in topics; target: one ballot or release';
COMMENT ON COLUMN delegation.topics IS 'Kinds of ballots, or uses, in the vocabulary''s order';
COMMENT ON COLUMN delegation.target IS 'The ballot (vote) or release (consent)';
COMMENT ON COLUMN delegation.delegate_kind IS 'member, board (its recorded resolution), nobody (a stop that hides broader delegations)';
COMMENT ON COLUMN delegation.delegate_id IS 'The member who may decide';
COMMENT ON COLUMN delegation.delegate_no IS 'Their number; -2 the board, -3 nobody: as the engine''s 32 bits';
COMMENT ON COLUMN delegation.made_at IS 'When it was made';
COMMENT ON COLUMN delegation.chosen_end IS 'Until when at the longest; NULL: until the checkup';
COMMENT ON COLUMN delegation.salt IS 'Of the commitment in the log''s leaf';
CREATE INDEX delegation_of_principal ON delegation (coop_id, principal_id, question);
CREATE INDEX delegation_to_delegate ON delegation (coop_id, delegate_id, question) WHERE delegate_id IS NOT NULL;
CALL commonhold_make_append_only('delegation');
CALL commonhold_wall_in('delegation');

CREATE TABLE delegation_event (
	coop_id       uuid NOT NULL,
	seq           bigint GENERATED ALWAYS AS IDENTITY,
	delegation_id uuid NOT NULL,
	kind          text NOT NULL,
	at            timestamptz NOT NULL,
	by_member     uuid,
	ends          timestamptz,
	reason        text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, delegation_id) REFERENCES delegation,
	CONSTRAINT delegation_event_is_known CHECK (kind IN ('made', 'accepted', 'declined', 'revoked', 'ended', 'suspended', 'confirmed', 'cut')),
	CONSTRAINT what_makes_it_count_says_until_when CHECK ((kind IN ('accepted', 'confirmed')) = (ends IS NOT NULL))
);
COMMENT ON TABLE delegation_event IS 'Everything that became of a delegation; append-only. Who decided for somebody on a day is read from here.';
COMMENT ON COLUMN delegation_event.coop_id IS 'The co-op';
COMMENT ON COLUMN delegation_event.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN delegation_event.delegation_id IS 'The version that it is about';
COMMENT ON COLUMN delegation_event.kind IS 'made, accepted, declined, revoked (by the principal), ended, suspended (checkup overdue), confirmed (at a checkup), cut (a chain broke further on)';
COMMENT ON COLUMN delegation_event.at IS 'When it happened';
COMMENT ON COLUMN delegation_event.by_member IS 'Who acted; NULL: the schedule';
COMMENT ON COLUMN delegation_event.ends IS 'accepted and confirmed: it counts until then, unless something ends it sooner';
COMMENT ON COLUMN delegation_event.reason IS 'replaced, expired, left, removed, lapsed, resigned, due …; or what a person wrote';
CREATE INDEX delegation_event_of_delegation ON delegation_event (coop_id, delegation_id, seq);
CALL commonhold_make_append_only('delegation_event');
CALL commonhold_wall_in('delegation_event');

CREATE TABLE delegation_now (
	coop_id       uuid NOT NULL,
	edge          bigint NOT NULL,
	delegation_id uuid NOT NULL,
	principal_no  integer NOT NULL,
	delegate_no   integer NOT NULL,
	question      smallint NOT NULL,
	scope         smallint NOT NULL,
	topics        integer NOT NULL,
	target        bigint NOT NULL,
	accepted_at   timestamptz NOT NULL,
	starts        timestamptz NOT NULL,
	ends          timestamptz NOT NULL,
	revoked_at    timestamptz NOT NULL,
	state         text NOT NULL,
	reason        text NOT NULL DEFAULT '',
	PRIMARY KEY (coop_id, edge),
	FOREIGN KEY (coop_id, delegation_id) REFERENCES delegation,
	CONSTRAINT delegation_state_is_known CHECK (state IN ('asked', 'standing', 'suspended', 'declined', 'revoked', 'ended')),
	CONSTRAINT only_accepted_delegations_stand CHECK (state NOT IN ('standing', 'suspended') OR accepted_at < 'infinity'),
	CONSTRAINT ended_delegations_say_when CHECK ((state IN ('declined', 'revoked', 'ended')) = (revoked_at < 'infinity'))
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX delegation_now_is_one_row_a_version ON delegation_now (coop_id, delegation_id);
CREATE UNIQUE INDEX one_live_delegation_per_matter ON delegation_now (coop_id, principal_no, question, scope, topics, target) WHERE state IN ('asked', 'standing', 'suspended');
CREATE INDEX delegation_now_of_principal ON delegation_now (coop_id, principal_no, question);
CREATE INDEX delegation_now_to_delegate ON delegation_now (coop_id, delegate_no, question) WHERE state IN ('asked', 'standing', 'suspended');
CREATE INDEX delegation_now_running_out ON delegation_now (coop_id, ends) WHERE state IN ('asked', 'standing');
CREATE INDEX delegation_now_of_one_matter ON delegation_now (coop_id, target) WHERE scope = 2 AND state IN ('asked', 'standing');
COMMENT ON TABLE delegation_now IS 'Every version as the policy engine reads it: derived from delegation and delegation_event in the same transaction, and the only one of the three that changes.';
COMMENT ON COLUMN delegation_now.coop_id IS 'The co-op';
COMMENT ON COLUMN delegation_now.edge IS 'The engine''s number of the version';
COMMENT ON COLUMN delegation_now.delegation_id IS 'The version';
COMMENT ON COLUMN delegation_now.principal_no IS 'Member number of who delegates';
COMMENT ON COLUMN delegation_now.delegate_no IS 'Member number; -2 the board, -3 nobody';
COMMENT ON COLUMN delegation_now.question IS '0 vote, 1 consent';
COMMENT ON COLUMN delegation_now.scope IS '0 co-op, 1 topic, 2 target';
COMMENT ON COLUMN delegation_now.topics IS 'Bits of the kinds of ballots or uses; 0 unless scope 1';
COMMENT ON COLUMN delegation_now.target IS 'First 64 bits of the ballot''s or release''s id; 0 unless scope 2';
COMMENT ON COLUMN delegation_now.accepted_at IS 'When the delegate accepted; infinity: not yet. For board and nobody: when made';
COMMENT ON COLUMN delegation_now.starts IS 'Start of validity';
COMMENT ON COLUMN delegation_now.ends IS 'End of validity: least of the chosen end and the principal''s checkup';
COMMENT ON COLUMN delegation_now.revoked_at IS 'When it was revoked, declined or ended otherwise; infinity: not';
COMMENT ON COLUMN delegation_now.state IS 'asked, standing, suspended, declined, revoked, ended';
COMMENT ON COLUMN delegation_now.reason IS 'Why it is no longer standing';
CALL commonhold_wall_in('delegation_now');

ALTER TABLE statement ADD COLUMN board boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN statement.board IS 'Said by the board, whose resolution this row completed (layer 3)';
ALTER TABLE statement ADD CONSTRAINT the_board_speaks_as_a_delegate CHECK (NOT board OR layer = 3);
ALTER TABLE statement ADD CONSTRAINT delegates_speak_of_no_item CHECK (layer <> 3 OR item_id IS NULL);
CREATE INDEX statement_of_delegates ON statement (coop_id, member_id, seq) WHERE layer = 3;

CREATE TABLE board_say (
	coop_id   uuid NOT NULL,
	seq       bigint GENERATED ALWAYS AS IDENTITY,
	member_id uuid NOT NULL,
	use       text NOT NULL,
	effect    text NOT NULL,
	duties    text[] NOT NULL DEFAULT '{}',
	at        timestamptz NOT NULL,
	PRIMARY KEY (coop_id, seq),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT board_effect_is_known CHECK (effect IN ('allow', 'allow_if', 'deny', 'none'))
);
COMMENT ON TABLE board_say IS 'What each admin says the board should say about a use of the items of those who let it speak; append-only, an admin''s last word about a use counts. The board has resolved, and a statement is written, when the charter''s part of the admins say the same.';
COMMENT ON COLUMN board_say.coop_id IS 'The co-op';
COMMENT ON COLUMN board_say.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN board_say.member_id IS 'The admin';
COMMENT ON COLUMN board_say.use IS 'The use that it is about';
COMMENT ON COLUMN board_say.effect IS 'allow, allow_if, deny; none: the board should say nothing';
COMMENT ON COLUMN board_say.duties IS 'For allow_if';
COMMENT ON COLUMN board_say.at IS 'When it was said';
CREATE INDEX board_say_of_member ON board_say (coop_id, member_id, use, seq);
CALL commonhold_make_append_only('board_say');
CALL commonhold_wall_in('board_say');

-- The way from one member over effective delegations, with all delegations of everybody on it (the engine says what each is worth): one trip for one person's path. A delegation
-- is effective if it is valid and reaches the question; of several the most specific, then the latest accepted, then the highest number.
CREATE FUNCTION delegation_way(in_coop uuid, in_member integer, in_question smallint, in_topic integer, in_target bigint, in_at timestamptz, in_hops integer, in_without bigint)
	RETURNS SETOF delegation_now LANGUAGE plpgsql STABLE ROWS 4 AS $$
DECLARE
	who integer := in_member;
	visited integer[] := ARRAY[]::integer[];
	next_no integer;
BEGIN
	FOR hop IN 0..in_hops LOOP
		visited := visited || who;
		RETURN QUERY SELECT * FROM delegation_now n WHERE n.coop_id = in_coop AND n.principal_no = who AND n.question = in_question AND n.edge <> in_without;
		SELECT n.delegate_no INTO next_no FROM delegation_now n
			JOIN membership p ON p.coop_id = n.coop_id AND p.number = n.principal_no AND p.state IN ('active', 'due', 'grace')
			LEFT JOIN membership d ON d.coop_id = n.coop_id AND d.number = n.delegate_no
			WHERE n.coop_id = in_coop AND n.principal_no = who AND n.question = in_question AND n.edge <> in_without AND n.accepted_at <= in_at AND n.starts <= in_at AND n.ends > in_at
			AND n.revoked_at > in_at AND (n.delegate_no < 0 OR d.state IN ('active', 'due', 'grace'))
			AND CASE n.scope WHEN 0 THEN true WHEN 1 THEN n.topics >> in_topic & 1 = 1 ELSE n.target = in_target END
			ORDER BY n.scope DESC, n.accepted_at DESC, n.edge DESC LIMIT 1;
		EXIT WHEN next_no IS NULL OR next_no < 0 OR next_no = ANY (visited);
		who := next_no;
	END LOOP;
END $$;
COMMENT ON FUNCTION delegation_way(uuid, integer, smallint, integer, bigint, timestamptz, integer, bigint) IS 'All delegations but one (0: all) of everybody on the way from a member, for the engine';
