-- What partners made us keep or do, counted, so that none makes it too much.

CREATE TABLE peer_spent (
	coop_id uuid NOT NULL REFERENCES coop,
	who     text NOT NULL,
	what    text NOT NULL,
	since   timestamptz NOT NULL,
	spent   bigint NOT NULL,
	PRIMARY KEY (coop_id, who, what),
	CONSTRAINT something_was_spent CHECK (spent > 0)
);
COMMENT ON TABLE peer_spent IS 'How much of what another co-op has brought about within a window (PEER_BUDGETS in peer.h): more is refused with the reason peer_budget.';
COMMENT ON COLUMN peer_spent.coop_id IS 'The co-op that keeps or does it';
COMMENT ON COLUMN peer_spent.who IS 'Key name of the other co-op';
COMMENT ON COLUMN peer_spent.what IS 'Word of the budget';
COMMENT ON COLUMN peer_spent.since IS 'When the window began';
COMMENT ON COLUMN peer_spent.spent IS 'How much within it';
CALL commonhold_wall_in('peer_spent');
