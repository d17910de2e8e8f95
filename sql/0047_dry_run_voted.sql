-- What voters see of a dry run when a ballot on an agreement opens: fixed then, whatever is tried out later.

CREATE TABLE ballot_dry_run (
	coop_id    uuid NOT NULL,
	ballot_id  uuid NOT NULL,
	dry_run_id uuid,
	without    text,
	at         timestamptz NOT NULL,
	PRIMARY KEY (coop_id, ballot_id),
	FOREIGN KEY (coop_id, ballot_id) REFERENCES ballot,
	FOREIGN KEY (coop_id, dry_run_id) REFERENCES dry_run,
	CONSTRAINT a_ballot_has_a_dry_run_or_says_why_not CHECK ((dry_run_id IS NULL) <> (without IS NULL)),
	CONSTRAINT why_there_is_no_dry_run_is_said CHECK (length(without) BETWEEN 3 AND 4000)
);
COMMENT ON TABLE ballot_dry_run IS 'The dry run that the voters of a ballot on an agreement see, or why there is none (preview.h). Append-only.';
COMMENT ON COLUMN ballot_dry_run.coop_id IS 'The co-op';
COMMENT ON COLUMN ballot_dry_run.ballot_id IS 'The ballot';
COMMENT ON COLUMN ballot_dry_run.dry_run_id IS 'The dry run of exactly the document that is voted on; NULL: there is none';
COMMENT ON COLUMN ballot_dry_run.without IS 'Why there is none, as the admin who opened the ballot said it to the voters; NULL where there is one';
COMMENT ON COLUMN ballot_dry_run.at IS 'When the ballot was opened';
CREATE INDEX ballots_of_a_dry_run ON ballot_dry_run (coop_id, dry_run_id) WHERE dry_run_id IS NOT NULL;
CREATE TRIGGER ballot_dry_run_is_append_only BEFORE UPDATE OR DELETE ON ballot_dry_run FOR EACH ROW EXECUTE FUNCTION commonhold_append_only();
ALTER TABLE ballot_dry_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE ballot_dry_run FORCE ROW LEVEL SECURITY;
CREATE POLICY within_coop ON ballot_dry_run USING (coop_id = (SELECT commonhold_coop()));
REVOKE UPDATE, DELETE ON ballot_dry_run FROM commonhold_app;
