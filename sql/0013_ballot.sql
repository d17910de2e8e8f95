-- Ballots: one engine for every kind of question a co-op decides.

CREATE TABLE ballot (
	coop_id        uuid NOT NULL REFERENCES coop,
	id             uuid NOT NULL,
	kind           text NOT NULL,
	subject        uuid NOT NULL,                   -- the release, or another row of the kind
	digest         bytea NOT NULL,                  -- SHA-256 of what is decided: votes are about these bytes
	title          text NOT NULL,
	question       text NOT NULL,                   -- plain words
	rule           text NOT NULL,                   -- canonical JSON, copied from the charter at opening
	charter        integer NOT NULL,                -- version the rule was copied from
	visibility     text NOT NULL DEFAULT 'closed',  -- open, closed until the end, restricted
	proposer_id    uuid,                            -- membership; NULL: the schedule
	state          text NOT NULL,
	created_at     timestamptz NOT NULL,
	opens_at       timestamptz NOT NULL,            -- end of the notice period
	closes_at      timestamptz NOT NULL,
	extended       boolean NOT NULL DEFAULT false,
	closed_at      timestamptz,
	result         text,                            -- canonical JSON of the counts, once closed
	PRIMARY KEY (coop_id, id),
	CONSTRAINT ballot_kind_is_known CHECK (kind IN ('release', 'charter', 'merge', 'toggle', 'admin', 'benefit')),
	CONSTRAINT ballot_state_is_known CHECK (state IN ('notice', 'open', 'passed', 'failed', 'cancelled')),
	CONSTRAINT ballot_visibility_is_known CHECK (visibility IN ('open', 'closed', 'restricted')),
	CONSTRAINT ballot_closes_after_it_opens CHECK (closes_at > opens_at),
	CONSTRAINT closed_ballots_have_a_result CHECK ((state IN ('passed', 'failed')) = (result IS NOT NULL)),
	CONSTRAINT ballot_digest_is_a_sha256 CHECK (length(digest) = 32)
);
CREATE UNIQUE INDEX one_live_ballot_per_subject ON ballot (coop_id, kind, subject) WHERE state IN ('notice', 'open');
COMMENT ON TABLE ballot IS 'A question put to the members or admins. The state changes only through ballot_move (ballot/ballot.c).';

CREATE TABLE ballot_roll (
	coop_id   uuid NOT NULL,
	ballot_id uuid NOT NULL,
	member_id uuid NOT NULL,
	member_no integer NOT NULL,
	is_admin  boolean NOT NULL,                     -- the admin roll is frozen too
	PRIMARY KEY (coop_id, ballot_id, member_id),
	FOREIGN KEY (coop_id, ballot_id) REFERENCES ballot
);
COMMENT ON TABLE ballot_roll IS 'Who may vote, frozen when the ballot opens; append-only.';
CREATE TRIGGER ballot_roll_is_append_only BEFORE UPDATE OR DELETE ON ballot_roll FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE TABLE vote (
	coop_id   uuid NOT NULL,
	seq       bigint GENERATED ALWAYS AS IDENTITY,
	ballot_id uuid NOT NULL,
	member_id uuid NOT NULL,
	choice    text NOT NULL,
	at        timestamptz NOT NULL,
	salt      bytea NOT NULL,                       -- of the commitment to this vote in the log
	PRIMARY KEY (coop_id, seq),
	CONSTRAINT vote_salt_has_32_bytes CHECK (length(salt) = 32),
	CONSTRAINT only_people_on_the_roll_vote FOREIGN KEY (coop_id, ballot_id, member_id) REFERENCES ballot_roll,
	CONSTRAINT vote_choice_is_known CHECK (choice IN ('for', 'against', 'abstain', 'none'))
);
CREATE INDEX vote_of_ballot ON vote (coop_id, ballot_id, member_id, seq);
COMMENT ON TABLE vote IS 'Every version of every vote; append-only, a member''s last one counts; none takes it back.';
CREATE TRIGGER vote_is_append_only BEFORE UPDATE OR DELETE ON vote FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE FUNCTION vote_only_while_open() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE b ballot%ROWTYPE;
BEGIN
	SELECT * INTO b FROM ballot WHERE coop_id = NEW.coop_id AND id = NEW.ballot_id FOR SHARE;
	IF b.state <> 'open' OR commonhold_now() < b.opens_at OR commonhold_now() >= b.closes_at THEN
		RAISE EXCEPTION 'this ballot is not open' USING ERRCODE = 'CH002', CONSTRAINT = 'vote_only_while_ballot_is_open';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER vote_only_while_ballot_is_open BEFORE INSERT ON vote FOR EACH ROW EXECUTE FUNCTION vote_only_while_open();

CREATE TABLE ballot_resolution (
	coop_id   uuid NOT NULL,
	ballot_id uuid NOT NULL,
	member_id uuid NOT NULL,
	choice    text NOT NULL,                        -- for, against, abstain, undecided
	via       text NOT NULL,                        -- policy_delegation.h: own, decided, none, cycle …
	decider   uuid,                                 -- membership that decided; NULL: nobody or the board
	path      uuid[] NOT NULL DEFAULT '{}',         -- delegates in order
	PRIMARY KEY (coop_id, ballot_id, member_id),
	FOREIGN KEY (coop_id, ballot_id, member_id) REFERENCES ballot_roll,
	CONSTRAINT resolution_choice_is_known CHECK (choice IN ('for', 'against', 'abstain', 'undecided'))
);
COMMENT ON TABLE ballot_resolution IS 'What became of every person on the roll, stored at close; append-only. Explanations read this.';
CREATE TRIGGER ballot_resolution_is_append_only BEFORE UPDATE OR DELETE ON ballot_resolution FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

CREATE TABLE ballot_count (
	coop_id    uuid NOT NULL,
	ballot_id  uuid NOT NULL,
	electorate text NOT NULL,                       -- members, admins
	roll       integer NOT NULL,
	yes        integer NOT NULL,
	no         integer NOT NULL,
	abstain    integer NOT NULL,
	undecided  integer NOT NULL,                    -- by all reasons
	PRIMARY KEY (coop_id, ballot_id, electorate),
	FOREIGN KEY (coop_id, ballot_id) REFERENCES ballot,
	CONSTRAINT for_against_abstain_and_undecided_make_the_roll CHECK (yes + no + abstain + undecided = roll)
);
COMMENT ON TABLE ballot_count IS 'The tally at close, by electorate.';
CREATE TRIGGER ballot_count_is_append_only BEFORE UPDATE OR DELETE ON ballot_count FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();

DO $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['ballot', 'ballot_roll', 'vote', 'ballot_resolution', 'ballot_count'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY within_coop ON %I USING (coop_id = (SELECT commonhold_coop()))', t);
		IF t <> 'ballot' THEN
			EXECUTE format('REVOKE UPDATE, DELETE ON %I FROM commonhold_app', t);
		END IF;
	END LOOP;
END $$;
