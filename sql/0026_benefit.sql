-- The benefit ledger: what came in for releases, how it was split, and what was paid out. Nothing here is ever changed: a mistake is reversed by an entry of its own.

CREATE TABLE benefit_income (
	coop_id           uuid NOT NULL REFERENCES coop,
	id                uuid NOT NULL,
	seq               bigint GENERATED ALWAYS AS IDENTITY,
	release_id        uuid NOT NULL,
	kind              text NOT NULL,
	amount            bigint NOT NULL,
	currency          text NOT NULL,
	source            text NOT NULL,
	note              text NOT NULL DEFAULT '',
	reverses          uuid,
	charter           integer NOT NULL,
	ballot_id         uuid,
	contributors      smallint NOT NULL,
	commons           smallint NOT NULL,
	weight            text NOT NULL,
	weight_total      bigint NOT NULL,
	shares            integer NOT NULL,
	shares_root       bytea NOT NULL,
	recorded_by       uuid,
	recorded_at       timestamptz NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, release_id) REFERENCES release,
	FOREIGN KEY (coop_id, charter) REFERENCES charter,
	FOREIGN KEY (coop_id, reverses) REFERENCES benefit_income,
	CONSTRAINT income_is_reversed_once UNIQUE (coop_id, reverses),
	CONSTRAINT income_kind_is_known CHECK (kind IN ('money', 'grant')),
	CONSTRAINT currency_is_iso_4217 CHECK (currency ~ '^[A-Z]{3}$'),
	CONSTRAINT income_is_more_than_nothing CHECK ((amount > 0) = (reverses IS NULL) AND amount <> 0),
	CONSTRAINT income_is_split_wholly CHECK (contributors BETWEEN 0 AND 100 AND contributors + commons = 100),
	CONSTRAINT income_weight_is_known CHECK (weight IN ('included_items', 'per_contributor')),
	CONSTRAINT shares_root_is_a_sha256 CHECK (length(shares_root) = 32)
);
COMMENT ON COLUMN benefit_income.coop_id IS 'The co-op';
COMMENT ON COLUMN benefit_income.id IS 'Random';
COMMENT ON COLUMN benefit_income.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN benefit_income.release_id IS 'The release that earned it';
COMMENT ON COLUMN benefit_income.kind IS 'money, or a grant of money';
COMMENT ON COLUMN benefit_income.amount IS 'In the currency''s smallest unit; negative: takes back the entry it reverses';
COMMENT ON COLUMN benefit_income.currency IS 'ISO 4217';
COMMENT ON COLUMN benefit_income.source IS 'Who gave it; public';
COMMENT ON COLUMN benefit_income.note IS 'What it is for, or why it is reversed; public';
COMMENT ON COLUMN benefit_income.reverses IS 'The entry that this one takes back; NULL: an income';
COMMENT ON COLUMN benefit_income.charter IS 'Version whose rule split it';
COMMENT ON COLUMN benefit_income.ballot_id IS 'The ballot that decided another split; NULL: the charter''s';
COMMENT ON COLUMN benefit_income.contributors IS 'Per cent for those whose items are in the release';
COMMENT ON COLUMN benefit_income.commons IS 'Per cent for the co-op as a whole';
COMMENT ON COLUMN benefit_income.weight IS 'What the contributors'' part is divided by';
COMMENT ON COLUMN benefit_income.weight_total IS 'Sum of the weights of all contributors';
COMMENT ON COLUMN benefit_income.shares IS 'How many contributors there are';
COMMENT ON COLUMN benefit_income.shares_root IS 'Merkle root (RFC 6962) over the lines of the shares, in the order of benefit_share.no';
COMMENT ON COLUMN benefit_income.recorded_by IS 'Account of the admin; NULL: a ballot''s decision';
COMMENT ON COLUMN benefit_income.recorded_at IS 'When it was recorded';
CREATE INDEX benefit_income_by_seq ON benefit_income (coop_id, seq);
COMMENT ON TABLE benefit_income IS 'Money or a grant tied to a release, and the rule that split it; append-only.';
CALL commonhold_make_append_only('benefit_income');

CREATE TABLE benefit_share (
	coop_id   uuid NOT NULL,
	income_id uuid NOT NULL,
	no        integer NOT NULL,
	member_id uuid,
	weight    bigint NOT NULL,
	amount    bigint NOT NULL,
	salt      bytea NOT NULL,
	PRIMARY KEY (coop_id, income_id, no),
	FOREIGN KEY (coop_id, income_id) REFERENCES benefit_income,
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT one_share_per_member UNIQUE NULLS NOT DISTINCT (coop_id, income_id, member_id),
	CONSTRAINT the_commons_come_first CHECK ((no = 0) = (member_id IS NULL)),
	CONSTRAINT share_salt_has_32_bytes CHECK (length(salt) = 32)
);
COMMENT ON COLUMN benefit_share.coop_id IS 'The co-op';
COMMENT ON COLUMN benefit_share.income_id IS 'What is shared';
COMMENT ON COLUMN benefit_share.no IS '0: the commons; then the members, in the order of their commitments';
COMMENT ON COLUMN benefit_share.member_id IS 'Whose it is; NULL: the commons''';
COMMENT ON COLUMN benefit_share.weight IS 'Included items, or 1 a contributor; 0 for the commons';
COMMENT ON COLUMN benefit_share.amount IS 'In the currency''s smallest unit';
COMMENT ON COLUMN benefit_share.salt IS 'Of the commitment to the member in the public line';
CREATE INDEX benefit_share_of_member ON benefit_share (coop_id, member_id);
COMMENT ON TABLE benefit_share IS 'Who got how much of an income; append-only.';
CALL commonhold_make_append_only('benefit_share');

-- To the cent: at commit the shares of an income make it up, whoever wrote them.
CREATE FUNCTION benefit_shares_make_the_income() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE total bigint; people bigint; weights bigint;
BEGIN
	SELECT coalesce(sum(amount), 0), count(member_id), coalesce(sum(weight), 0) INTO total, people, weights
		FROM benefit_share WHERE coop_id = NEW.coop_id AND income_id = NEW.id;
	IF total <> NEW.amount OR people <> NEW.shares OR weights <> NEW.weight_total THEN
		RAISE EXCEPTION 'the shares of an income do not make it up' USING ERRCODE = 'CH002', CONSTRAINT = 'shares_make_the_income';
	END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER shares_make_the_income AFTER INSERT ON benefit_income DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION benefit_shares_make_the_income();

CREATE TABLE benefit_payment (
	coop_id     uuid NOT NULL REFERENCES coop,
	id          uuid NOT NULL,
	seq         bigint GENERATED ALWAYS AS IDENTITY,
	member_id   uuid,
	amount      bigint NOT NULL,
	currency    text NOT NULL,
	reference   text NOT NULL,
	ballot_id   uuid,
	recorded_by uuid,
	recorded_at timestamptz NOT NULL,
	PRIMARY KEY (coop_id, id),
	FOREIGN KEY (coop_id, member_id) REFERENCES membership,
	CONSTRAINT payment_is_more_than_nothing CHECK (amount > 0),
	CONSTRAINT payment_currency_is_iso_4217 CHECK (currency ~ '^[A-Z]{3}$'),
	CONSTRAINT the_commons_are_spent_by_ballot CHECK ((member_id IS NULL) = (ballot_id IS NOT NULL)),
	CONSTRAINT a_ballot_pays_once UNIQUE (coop_id, ballot_id)
);
COMMENT ON COLUMN benefit_payment.coop_id IS 'The co-op';
COMMENT ON COLUMN benefit_payment.id IS 'Random';
COMMENT ON COLUMN benefit_payment.seq IS 'Order within the server; never reused';
COMMENT ON COLUMN benefit_payment.member_id IS 'Whom it was paid to; NULL: spent from the commons';
COMMENT ON COLUMN benefit_payment.amount IS 'In the currency''s smallest unit';
COMMENT ON COLUMN benefit_payment.currency IS 'ISO 4217';
COMMENT ON COLUMN benefit_payment.reference IS 'How it was paid, or what for, in the admin''s words';
COMMENT ON COLUMN benefit_payment.ballot_id IS 'The ballot that decided to spend it; NULL for what members are owed anyway';
COMMENT ON COLUMN benefit_payment.recorded_by IS 'Account of the admin; NULL: a ballot''s decision';
COMMENT ON COLUMN benefit_payment.recorded_at IS 'When it was recorded';
CREATE INDEX benefit_payment_of_member ON benefit_payment (coop_id, member_id, seq);
COMMENT ON TABLE benefit_payment IS 'What was paid out of what is owed; append-only. The server moves no money: this says that somebody did.';
CALL commonhold_make_append_only('benefit_payment');

CALL commonhold_wall_in('benefit_income');
CALL commonhold_wall_in('benefit_share');
CALL commonhold_wall_in('benefit_payment');
