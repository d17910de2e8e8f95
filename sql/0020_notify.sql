-- Notices: the inbox of each account, how each person wants to be told, and the queue of mail. They belong to accounts, not to co-ops.

CREATE TABLE notice (
	account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
	id         uuid NOT NULL,
	kind       text NOT NULL,
	topic      text NOT NULL,
	about_coop uuid,
	key        text,
	data       text NOT NULL,
	essential  boolean NOT NULL,
	mail       text NOT NULL,
	digest_id  uuid,
	at         timestamptz NOT NULL,
	read_at    timestamptz,
	PRIMARY KEY (account_id, id),
	CONSTRAINT notice_kind_is_a_dotted_name CHECK (kind ~ '^[a-z0-9_]+([.][a-z0-9_]+)*$'),
	CONSTRAINT notice_key_is_short CHECK (length(key) BETWEEN 1 AND 200),
	CONSTRAINT notice_data_are_an_object CHECK (data LIKE '{%}' AND length(data) <= 65536),
	CONSTRAINT notice_mail_is_known CHECK (mail IN ('none', 'now', 'digest')),
	CONSTRAINT only_digests_gather_notices CHECK (digest_id IS NULL OR mail = 'digest')
);
CREATE UNIQUE INDEX notice_is_given_at_most_once ON notice (account_id, kind, key) WHERE key IS NOT NULL;
CREATE INDEX notice_by_time ON notice (account_id, at DESC, id DESC);
CREATE INDEX notice_waits_for_a_digest ON notice (account_id) WHERE mail = 'digest' AND digest_id IS NULL;
CREATE INDEX notice_of_digest ON notice (digest_id) WHERE digest_id IS NOT NULL;
COMMENT ON TABLE notice IS 'Something that a person is told: a row of their inbox';
COMMENT ON COLUMN notice.account_id IS 'Who is told';
COMMENT ON COLUMN notice.id IS 'Random';
COMMENT ON COLUMN notice.kind IS 'What happened: ballot.opened. Names the templates of its mail';
COMMENT ON COLUMN notice.topic IS 'The group of kinds that a setting is about';
COMMENT ON COLUMN notice.about_coop IS 'The co-op that it is about; NULL: none';
COMMENT ON COLUMN notice.key IS 'At most one notice of a kind and key is given to an account; NULL: any number';
COMMENT ON COLUMN notice.data IS 'Canonical JSON: title, text, url (a path of this site) and the kind''s own fields';
COMMENT ON COLUMN notice.essential IS 'Mailed at once whatever the settings say';
COMMENT ON COLUMN notice.mail IS 'none: the inbox alone; now: a mail of its own; digest: waits for, or went with, a digest';
COMMENT ON COLUMN notice.digest_id IS 'The mail that gathered it';
COMMENT ON COLUMN notice.at IS 'When it was given';
COMMENT ON COLUMN notice.read_at IS 'When the person marked it as read';

CREATE TABLE notice_setting (
	account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
	topic      text NOT NULL,
	how        text NOT NULL,
	set_at     timestamptz NOT NULL,
	PRIMARY KEY (account_id, topic),
	CONSTRAINT notice_setting_is_known CHECK (how IN ('now', 'daily', 'weekly', 'quarterly', 'inbox'))
);
COMMENT ON TABLE notice_setting IS 'How a person wants to be told; where there is no row, the default of the topic holds';
COMMENT ON COLUMN notice_setting.account_id IS 'Whose choice it is';
COMMENT ON COLUMN notice_setting.topic IS 'The group of kinds';
COMMENT ON COLUMN notice_setting.how IS 'now: a mail at once; daily, weekly, quarterly: gathered; inbox: never by mail';
COMMENT ON COLUMN notice_setting.set_at IS 'When it was chosen';

CREATE TABLE mail (
	id         uuid PRIMARY KEY,
	kind       text NOT NULL,
	account_id uuid,
	notice_id  uuid,
	about_coop uuid,
	sealed     bytea,
	state      text NOT NULL DEFAULT 'waiting',
	attempts   integer NOT NULL DEFAULT 0,
	due        timestamptz NOT NULL,
	queued_at  timestamptz NOT NULL,
	settled_at timestamptz,
	code       integer,
	said       text,
	address_hash bytea,
	CONSTRAINT mail_state_is_known CHECK (state IN ('waiting', 'sent', 'refused', 'given_up', 'dropped')),
	CONSTRAINT mail_goes_to_an_account_or_an_address CHECK (account_id IS NOT NULL OR (notice_id IS NULL AND (state <> 'waiting' OR sealed IS NOT NULL))),
	CONSTRAINT settled_mail_says_when CHECK ((state = 'waiting') = (settled_at IS NULL)),
	CONSTRAINT settled_mail_keeps_no_content CHECK (state = 'waiting' OR sealed IS NULL)
) WITH (fillfactor = 70);
CREATE INDEX mail_ready ON mail (due) WHERE state = 'waiting';
CREATE INDEX mail_of_account ON mail (account_id, queued_at);
CREATE INDEX mail_refused_about ON mail (about_coop, settled_at) WHERE state = 'refused';
CREATE INDEX mail_settled ON mail (settled_at) WHERE settled_at IS NOT NULL;
COMMENT ON TABLE mail IS 'Every message that goes or went out. What it says is in its notice, or sealed here until it is settled';
COMMENT ON COLUMN mail.id IS 'Random; part of the Message-ID and of the return path, so that a bounce finds it';
COMMENT ON COLUMN mail.kind IS 'Names the templates';
COMMENT ON COLUMN mail.account_id IS 'To whom; NULL: to the sealed address';
COMMENT ON COLUMN mail.notice_id IS 'The notice that it tells; NULL: a digest, or mail to an address';
COMMENT ON COLUMN mail.about_coop IS 'The co-op that it is about; NULL: none';
COMMENT ON COLUMN mail.sealed IS 'Address and data of mail to an address, under the instance''s key: it may carry a sign-in link';
COMMENT ON COLUMN mail.state IS 'waiting; sent: the server took it; refused: for good, by the server or by a later report; given_up: too many attempts; dropped: the account is closed or its address unreachable';
COMMENT ON COLUMN mail.attempts IS 'Attempts begun';
COMMENT ON COLUMN mail.due IS 'The next attempt is not before this; while one is under way, when others may take it over';
COMMENT ON COLUMN mail.queued_at IS 'When it was queued';
COMMENT ON COLUMN mail.settled_at IS 'When it came to its end';
COMMENT ON COLUMN mail.code IS 'The last reply of the mail server, as a number';
COMMENT ON COLUMN mail.said IS 'What the mail server said with it, without addresses';
COMMENT ON COLUMN mail.address_hash IS 'As in mail_trouble: where it was sent, for a report that comes back later';

CREATE TABLE mail_trouble (
	address_hash bytea PRIMARY KEY CONSTRAINT address_hash_is_sha256 CHECK (length(address_hash) = 32),
	refusals     integer NOT NULL,
	first_at     timestamptz NOT NULL,
	last_at      timestamptz NOT NULL,
	status       text NOT NULL,
	said         text NOT NULL,
	told_by      text NOT NULL CONSTRAINT trouble_is_told_by_reply_or_report CHECK (told_by IN ('reply', 'report')),
	unreachable  boolean NOT NULL
);
COMMENT ON TABLE mail_trouble IS 'Addresses that refused mail. A delivery, or the person''s word, takes the row away';
COMMENT ON COLUMN mail_trouble.address_hash IS 'HMAC-SHA-256 of the address in lower case, under the instance''s key';
COMMENT ON COLUMN mail_trouble.refusals IS 'How often mail was refused since the last delivery';
COMMENT ON COLUMN mail_trouble.first_at IS 'The first of these refusals';
COMMENT ON COLUMN mail_trouble.last_at IS 'The last of them';
COMMENT ON COLUMN mail_trouble.status IS 'Enhanced status code (RFC 3463), or the reply''s number';
COMMENT ON COLUMN mail_trouble.said IS 'What the server said, without addresses';
COMMENT ON COLUMN mail_trouble.told_by IS 'reply: refused while sending; report: a delivery report came back later';
COMMENT ON COLUMN mail_trouble.unreachable IS 'Only essential mail is still tried';

CREATE TABLE calendar_feed (
	account_id  uuid PRIMARY KEY REFERENCES account ON DELETE CASCADE,
	secret_hash bytea NOT NULL UNIQUE CONSTRAINT calendar_secret_is_a_sha256 CHECK (length(secret_hash) = 32),
	made_at     timestamptz NOT NULL
);
COMMENT ON TABLE calendar_feed IS 'The secret address of a person''s own calendar, for programs that cannot sign in';
COMMENT ON COLUMN calendar_feed.account_id IS 'Whose calendar';
COMMENT ON COLUMN calendar_feed.secret_hash IS 'SHA-256 of the secret in the address';
COMMENT ON COLUMN calendar_feed.made_at IS 'When the address was made; a new one ends the one before';
