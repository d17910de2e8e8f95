-- What the schema itself promises, whatever program writes to it (architecture.md "Data").
BEGIN;
SELECT * FROM no_plan();

-- Every table of co-op data has its key begin with coop_id and a wall that holds for its owner too.
SELECT ok(c.relrowsecurity AND c.relforcerowsecurity, c.relname || ' is behind row-level security, for its owner too')
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'coop_id' AND NOT a.attisdropped
	WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname NOT IN ('charter', 'coop_count', 'mirror_lag', 'signing_key') -- public, and counts that name nobody
	ORDER BY c.relname;
SELECT ok((i.indkey::smallint[])[0] = a.attnum, c.relname || ' has a primary key that begins with coop_id')
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'coop_id' AND NOT a.attisdropped
	JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
	WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
	ORDER BY c.relname;

-- Facts that happened cannot be rewritten: neither by a privilege nor, for the owner, by a statement.
SELECT ok(NOT has_table_privilege('commonhold_app', t, 'UPDATE') AND NOT has_table_privilege('commonhold_app', t, 'DELETE'), t || ' cannot be rewritten by the server')
	FROM unnest(ARRAY['charter', 'vote', 'ballot_roll', 'ballot_resolution', 'ballot_count', 'membership_event', 'release_event', 'moderation_decision',
		'consent', 'licence_choice', 'log_leaf', 'delegation', 'delegation_event', 'reminder', 'checkup_demand', 'consent_receipt', 'release_share', 'suppression', 'duty_step', 'receipt', 'tombstone', 'tombstone_seal',
		'signing_key', 'agreement_event', 'bundle_in', 'merge_applied', 'onward_receipt', 'lineage', 'lineage_charter', 'fork_answer']) AS t;
SELECT ok(NOT has_table_privilege('commonhold_app', 'statement', 'UPDATE'), 'a statement cannot be changed by the server');
SELECT ok(EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t::regclass AND NOT g.tgisinternal AND (g.tgtype & 24) <> 0), t || ' refuses to be rewritten, even by its owner')
	FROM unnest(ARRAY['charter', 'statement', 'vote', 'ballot_roll', 'ballot_resolution', 'ballot_count', 'membership_event', 'release_event', 'moderation_decision',
		'consent', 'licence_choice', 'log_leaf', 'access_log', 'delegation', 'delegation_event', 'reminder', 'checkup_demand', 'consent_receipt', 'release_share', 'suppression', 'duty_step', 'receipt', 'tombstone', 'tombstone_seal',
		'signing_key', 'agreement_event', 'bundle_in', 'merge_applied', 'onward_receipt', 'lineage', 'lineage_charter', 'fork_answer']) AS t;

-- Nothing that opens an account is kept as it is: only digests, or sealed.
SELECT is_empty($$ SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'
	AND table_name IN ('session', 'token', 'sign_in_link', 'sign_in_challenge', 'recovery_code', 'account_factor', 'oidc_flow')
	AND column_name ~ 'secret|code|state|verifier|browser' AND data_type <> 'bytea' $$, 'secrets of signing in are kept as bytes of a digest or a seal');

-- Rules that read as sentences.
SELECT col_has_check('membership', 'state', 'a membership is in a known state');
SELECT col_is_pk('reminder', ARRAY['coop_id', 'member_id', 'cycle', 'step', 'channel'], 'a step of a checkup is told at most once on each channel');
SELECT index_is_unique('public', 'consent_receipt', 'one_annual_receipt_per_cycle', 'an annual checkup is done once a cycle');
SELECT throws_ok($$ INSERT INTO account (id, email, name, created_at) VALUES (gen_random_uuid(), 'no address', 'x', commonhold_now()) $$, '23514', NULL,
	'an account has an address');
SELECT lives_ok($$ INSERT INTO account (id, email, name, created_at) VALUES ('00000000-0000-4000-8000-000000000001', 'A@example.org', 'A', commonhold_now()) $$, 'an account can be made');
SELECT throws_ok($$ INSERT INTO account (id, email, name, created_at) VALUES (gen_random_uuid(), 'a@EXAMPLE.org', 'B', commonhold_now()) $$, '23505', NULL,
	'the same address in other letters is the same address');
SELECT lives_ok($$ INSERT INTO account_identity (issuer, subject, account_id, linked_at) VALUES ('https://op.example', '1', '00000000-0000-4000-8000-000000000001', commonhold_now()) $$,
	'an account can be joined with an identity elsewhere');
SELECT throws_ok($$ INSERT INTO account_identity (issuer, subject, account_id, linked_at) VALUES ('https://op.example', '2', '00000000-0000-4000-8000-000000000001', commonhold_now()) $$,
	'23505', NULL, 'with one of each provider');
SELECT throws_ok($$ INSERT INTO sign_in_link (id, account_id, purpose, email, secret_hash, created_at, expires_at)
	VALUES (gen_random_uuid(), '00000000-0000-4000-8000-000000000001', 'sign_in', 'a@example.org', 'ch_link_as_it_is', commonhold_now(), commonhold_now() + interval '1 minute') $$,
	'23514', NULL, 'a link''s secret is kept as its digest');
SELECT lives_ok($$ INSERT INTO coop (id, key_name, slug, public_key, founder_id, founded_at)
	VALUES ('00000000-0000-4000-8000-000000000002', 'abcdefghijklmnop', 'one', '\x00', '00000000-0000-4000-8000-000000000001', commonhold_now()) $$, 'a co-op can be founded');
SELECT throws_ok($$ INSERT INTO coop (id, key_name, slug, public_key, founder_id, founded_at)
	VALUES (gen_random_uuid(), 'bbcdefghijklmnop', 'abcdefghijklmnop', '\x00', '00000000-0000-4000-8000-000000000001', commonhold_now()) $$, '23514', NULL,
	'a slug cannot pass for a key name');
SELECT throws_ok($$ INSERT INTO charter (coop_id, version, document, digest, name, domain, region, languages, admission, adopted_at)
	VALUES ('00000000-0000-4000-8000-000000000002', 2, '{}', decode(repeat('00', 32), 'hex'), 'x', 'x', 'x', '{}', 'open', commonhold_now()) $$, '23514', NULL,
	'a later charter needs a ballot');
SELECT throws_ok($$ INSERT INTO ballot_count (coop_id, ballot_id, electorate, roll, yes, no, abstain, undecided)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 'members', 5, 1, 1, 1, 1) $$, '23514', NULL, 'for, against, abstain and undecided make the roll');

SELECT throws_ok($$ INSERT INTO ballot_count (coop_id, ballot_id, electorate, roll, yes, no, abstain, undecided, undecided_none, in_person)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 'members', 5, 1, 1, 1, 2, 1, 3) $$, '23514', NULL, 'the undecided are the sum of their reasons');
SELECT throws_ok($$ INSERT INTO ballot_count (coop_id, ballot_id, electorate, roll, yes, no, abstain, undecided, undecided_none, in_person)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 'members', 5, 1, 1, 1, 2, 2, 2) $$, '23514', NULL, 'the decided were decided by somebody');
SELECT throws_ok($$ INSERT INTO ballot_resolution (coop_id, ballot_id, member_no, choice, via)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 0, 'undecided', 'none') $$, '23514', NULL, 'the undecided have a reason');
SELECT throws_ok($$ INSERT INTO ballot_resolution (coop_id, ballot_id, member_no, choice, via, decider_no)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 0, 'for', 'decided', 1) $$, '23514', NULL, 'who is decided for has a path');
SELECT throws_ok($$ INSERT INTO ballot_resolution (coop_id, ballot_id, member_no, choice, via, decider_no)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 0, 'for', 'own', 1) $$, '23514', NULL, 'own votes are decided by oneself');

-- Withdrawals are of items or of a member, and what is final stays; what tables of facts hold of an item goes with the item and not otherwise.
INSERT INTO membership (coop_id, id, account_id, number, state, applied_at, state_at, pseudonym)
	VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000000000001', 1, 'applied', commonhold_now(), commonhold_now(), 'q');
SELECT throws_ok($$ INSERT INTO withdrawal (coop_id, id, kind, upto, n, made_at) VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 'erase', 5, 1, commonhold_now()) $$,
	'23514', NULL, 'a withdrawal is of items or of a member');
SELECT throws_ok($$ INSERT INTO withdrawal (coop_id, id, kind, upto, items, first, last, n, made_at)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 'erase', 5, '\x0100', 1, 1, 1, commonhold_now()) $$, '23514', NULL, 'an item number has four bytes');
SELECT throws_ok($$ INSERT INTO withdrawal (coop_id, id, kind, upto, member_no, n, made_at) VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 'embargo', 5, 1, 1, commonhold_now()) $$,
	'23514', NULL, 'an embargo has an end');
SELECT throws_ok($$ INSERT INTO withdrawal (coop_id, id, kind, upto, member_no, n, made_at, lifted_at)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 'erase', 5, 1, 1, commonhold_now(), commonhold_now()) $$, '23514', NULL, 'an erasure is not lifted');
SELECT ok(pool_list_holds('\x0100000005000000ffffffff', 5) AND pool_list_holds('\x0100000005000000ffffffff', 4294967295) AND NOT pool_list_holds('\x0100000005000000ffffffff', 4)
	AND NOT pool_list_holds('', 0), 'a list of item numbers is searched');
INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, leaf, salt)
	VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000c1', 0, '00000000-0000-4000-8000-00000000000a', 1, 0, 0, 3, 'en', sha256('a'), 1, commonhold_now(), 512, 0, '\x00');
INSERT INTO statement (coop_id, member_id, layer, item_id, uses, effect, declared_by, declared_at, salt)
	VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000a', 1, '00000000-0000-4000-8000-0000000000c1', '{eval}', 'deny', '00000000-0000-4000-8000-000000000001',
	commonhold_now(), '\x00');
INSERT INTO moderation_decision (coop_id, contribution_id, decision, stage, at, reason)
	VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000c1', 'reject', 'post_submission', commonhold_now(), 'about people');
SELECT throws_ok('DELETE FROM statement', 'CH001', NULL, 'a statement stays while its item does');
SELECT throws_ok($$ UPDATE moderation_decision SET reason = '' $$, 'CH001', NULL, 'a moderator''s reason stays while the item does');
UPDATE contribution SET word = word | 4096;
SELECT throws_ok($$ UPDATE moderation_decision SET reason = '', decision = 'approve' $$, 'CH001', NULL, 'a decision stays, whatever becomes of the item');
SELECT throws_ok($$ UPDATE moderation_decision SET reason = 'another' $$, 'CH001', NULL, 'a reason is emptied and not replaced');
SELECT lives_ok($$ UPDATE moderation_decision SET reason = '' $$, 'a moderator''s reason goes with the item');
SELECT lives_ok('DELETE FROM statement', 'a statement on an item goes with it');
SELECT throws_ok($$ INSERT INTO statement (coop_id, member_id, layer, item_id, uses, effect, declared_by, declared_at, salt)
	VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000a', 1, '00000000-0000-4000-8000-0000000000c1', '{eval}', 'deny', '00000000-0000-4000-8000-000000000001',
	commonhold_now(), '\x00') $$, 'CH002', NULL, 'nothing more is said about an erased item');
SELECT ok(NOT pool_item_stands(512 | 2097152) AND NOT pool_item_stands(512 | 8192) AND pool_item_stands(512 | 65536), 'what is withdrawn for good does not stand');
DELETE FROM membership WHERE number = 1;

-- Within a co-op only its own rows are seen, by whoever asks and however.
SELECT lives_ok($$ INSERT INTO membership (coop_id, id, account_id, number, state, applied_at, state_at, pseudonym)
	VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), '00000000-0000-4000-8000-000000000001', 0, 'applied', commonhold_now(), commonhold_now(), 'p') $$,
	'somebody can apply');
SET LOCAL ROLE commonhold_app;
SELECT set_config('commonhold.coop', '00000000-0000-4000-8000-000000000003', true), set_config('commonhold.account', '', true);
SELECT is((SELECT count(*) FROM membership), 0::bigint, 'another co-op sees no members of this one');
SELECT set_config('commonhold.coop', '', true);
SELECT is((SELECT count(*) FROM membership), 0::bigint, 'outside any co-op nobody''s members are seen');
SELECT set_config('commonhold.coop', '00000000-0000-4000-8000-000000000002', true);
SELECT is((SELECT count(*) FROM membership), 1::bigint, 'the co-op sees its own');
SELECT set_config('commonhold.coop', '', true), set_config('commonhold.account', '00000000-0000-4000-8000-000000000001', true);
SELECT is((SELECT count(*) FROM membership), 1::bigint, 'a person sees their own membership anywhere');

-- The injected clock rules: moving it moves what the database calls now.
SELECT set_config('commonhold.now', '2030-01-01T00:00:00Z', true);
SELECT is(commonhold_now(), '2030-01-01T00:00:00Z'::timestamptz, 'the database follows the injected clock');

RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
