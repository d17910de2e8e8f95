#include "commonhold/ballot.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"

#include "ballot_internal.h"

SQL(ballot_insert,
	"INSERT INTO ballot (coop_id, id, kind, subject, digest, title, question, rule, charter, visibility, proposer_id, state, created_at, opens_at, closes_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'notice', commonhold_now(), $12, $13)");
SQL(ballot_lock,
	"SELECT state, kind, subject, digest, rule, opens_at, closes_at, proposer_id FROM ballot WHERE coop_id = $1 AND id = $2 FOR UPDATE");
SQL(ballot_set_state,
	"UPDATE ballot SET state = $3, closed_at = CASE WHEN $3 IN ('passed', 'failed', 'cancelled') THEN commonhold_now() END, result = $4 "
	"WHERE coop_id = $1 AND id = $2");
/* Grace still votes for itself; who only applied, lapsed, left or was removed does not. */
SQL(roll_freeze,
	"INSERT INTO ballot_roll (coop_id, ballot_id, member_id, member_no, is_admin) "
	"SELECT coop_id, $2, id, number, is_admin FROM membership "
	"WHERE coop_id = $1 AND state IN ('active', 'due', 'grace') AND ($3 OR is_admin)");
SQL(roll_digest,
	"SELECT count(*), count(*) FILTER (WHERE is_admin), sha256(coalesce(string_agg(uuid_send(member_id), '' ORDER BY member_id), '')) "
	"FROM ballot_roll WHERE coop_id = $1 AND ballot_id = $2");
SQL(vote_insert,
	"INSERT INTO vote (coop_id, ballot_id, member_id, member_no, choice, at, salt) "
	"SELECT coop_id, ballot_id, member_id, member_no, $4, commonhold_now(), $5 FROM ballot_roll WHERE coop_id = $1 AND ballot_id = $2 AND member_id = $3");
SQL(resolution_store,
	"INSERT INTO ballot_resolution (coop_id, ballot_id, member_no, choice, via, decider_no, reason) "
	"SELECT r.coop_id, r.ballot_id, r.member_no, CASE WHEN v.choice IS NULL OR v.choice = 'none' THEN 'undecided' ELSE v.choice END, "
	"  CASE WHEN v.choice IS NULL OR v.choice = 'none' THEN 'none' ELSE 'own' END, "
	"  CASE WHEN v.choice IS NULL OR v.choice = 'none' THEN NULL ELSE r.member_no END, CASE WHEN v.choice IS NULL OR v.choice = 'none' THEN 'none' END "
	"FROM ballot_roll r LEFT JOIN LATERAL (SELECT choice FROM vote v WHERE v.coop_id = r.coop_id AND v.ballot_id = r.ballot_id AND v.member_id = r.member_id "
	"  ORDER BY seq DESC LIMIT 1) v ON true "
	"WHERE r.coop_id = $1 AND r.ballot_id = $2");
SQL(count_store,
	"INSERT INTO ballot_count (coop_id, ballot_id, electorate, roll, yes, no, abstain, undecided, undecided_none) "
	"SELECT $1, $2, e, count(x.member_no), count(*) FILTER (WHERE choice = 'for'), count(*) FILTER (WHERE choice = 'against'), "
	"  count(*) FILTER (WHERE choice = 'abstain'), count(*) FILTER (WHERE choice = 'undecided'), count(*) FILTER (WHERE choice = 'undecided') "
	"FROM (VALUES ('members'), ('admins')) AS electorate(e) LEFT JOIN LATERAL "
	"  (SELECT r.member_no, s.choice FROM ballot_roll r JOIN ballot_resolution s USING (coop_id, ballot_id, member_no) "
	"   WHERE r.coop_id = $1 AND r.ballot_id = $2 AND (e = 'members' OR r.is_admin)) x ON true GROUP BY e");
SQL(count_read,
	"SELECT electorate, roll, yes, no, abstain, undecided FROM ballot_count WHERE coop_id = $1 AND ballot_id = $2");
SQL(proposer_voted,
	"SELECT EXISTS (SELECT FROM ballot_resolution WHERE coop_id = $1 AND ballot_id = $2 AND decider_no = member_no AND choice = 'for' AND member_no = (SELECT number FROM membership WHERE coop_id = $1 AND id = $3))");

/* The life of a ballot: every change of state is a row here, with the sentence that people read. */
static const struct ballot_edge { enum ballot_state from, to; const char *leaf, *sentence; } edges[] = {
	{ BALLOT_NOTICE, BALLOT_OPEN, "ballot.opened", "The notice period is over: the roll is frozen and voting begins." },
	{ BALLOT_OPEN, BALLOT_PASSED, "ballot.closed", "Voting is over and the rule is met." },
	{ BALLOT_OPEN, BALLOT_FAILED, "ballot.closed", "Voting is over and the rule is not met." },
	{ BALLOT_NOTICE, BALLOT_CANCELLED, "ballot.cancelled", "What was to be decided is no longer on the table." },
	{ BALLOT_OPEN, BALLOT_CANCELLED, "ballot.cancelled", "What was to be decided is no longer on the table." },
};

static const char *const state_names[] = { "notice", "open", "passed", "failed", "cancelled" };

const char *ballot_state_name(enum ballot_state s)
{
	return (unsigned)s < CH_LEN(state_names) ? state_names[s] : "unknown";
}

bool ballot_state_parse(struct str text, enum ballot_state *out)
{
	for (size_t i = 0; i < CH_LEN(state_names); i++) {
		if (str_is(text, state_names[i])) {
			*out = (enum ballot_state)i;
			return true;
		}
	}
	return false;
}

/* A ballot as locked for a change. */
struct locked {
	struct uuid coop, id, subject, proposer;
	enum ballot_state state;
	struct str kind, rule;
	struct sha256 digest;
	instant opens_at, closes_at;
};

static enum err ballot_take(struct call *c, struct uuid coop, struct uuid id, struct locked *out)
{
	struct rows r;
	TRY(db_one(c, ballot_lock, &r, A_UUID(coop), A_UUID(id)));
	*out = (struct locked){
		.coop = coop, .id = id, .kind = row_str(&r, 0, 1), .subject = row_uuid(&r, 0, 2), .digest = sha256_load(row_bytes(&r, 0, 3)), .rule = row_str(&r, 0, 4),
		.opens_at = row_time(&r, 0, 5), .closes_at = row_time(&r, 0, 6), .proposer = row_uuid(&r, 0, 7),
	};
	return ballot_state_parse(row_str(&r, 0, 0), &out->state) ? ERR_OK : fail(c, ERR_CORRUPT, "A ballot is in a state that is not known.");
}

/* The one place where a ballot changes state: along an edge of the table, with its leaf in the log. `facts` are written into the leaf. */
static enum err ballot_move(struct call *c, struct locked *b, enum ballot_state to, struct str result, struct str facts)
{
	for (size_t i = 0; i < CH_LEN(edges); i++) {
		if (edges[i].from != b->state || edges[i].to != to)
			continue;
		b->state = to;
		TRY(db_exec(c, ballot_set_state, A_UUID(b->coop), A_UUID(b->id), A_Z(ballot_state_name(to)), A_STR(result)));
		return ledger_append(c, b->coop, &(struct leaf){ .type = edges[i].leaf, .data = facts }, NULL);
	}
	return fail(c, ERR_STATE, "This ballot is %s and cannot become %s.", ballot_state_name(b->state), ballot_state_name(to));
}

static struct str leaf_text(struct call *c, const struct buf *b)
{
	return str_copy(c->arena, buf_str(b));
}

static enum err ballot_queue_step(struct call *c, struct uuid coop, struct uuid id, const char *kind, instant due)
{
	return job_queue(c, kind, uuid_format(c->arena, id), job_args(c->arena, coop, "ballot", id), due);
}

static struct str announce_facts(struct call *c, const struct ballot_draft *in, struct uuid id)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "ballot", uuid_format(c->arena, id));
	jw_kz(&w, "kind", in->kind);
	jw_kstr(&w, "subject", uuid_format(c->arena, in->subject));
	jw_kstr(&w, "digest", sha256_hex(c->arena, in->digest));
	jw_kint(&w, "charter", in->charter);
	jw_key(&w, "rule");
	jw_json(&w, in->rule);
	jw_kstr(&w, "opens_at", clock_format(c->arena, in->opens_at));
	jw_kstr(&w, "closes_at", clock_format(c->arena, in->closes_at));
	jw_end_object(&w);
	struct str text = leaf_text(c, &b);
	buf_release(&b);
	return text;
}

enum err ballot_create(struct call *c, struct uuid coop, const struct ballot_draft *in, struct uuid *id)
{
	struct ballot_rule rule;
	TRY(ballot_rule_parse(c->arena, in->rule, &rule, &c->error));
	*id = uuid_new();
	struct str visibility = in->visibility.p ? in->visibility : STR("closed");
	TRY(db_exec(c, ballot_insert, A_UUID(coop), A_UUID(*id), A_Z(in->kind), A_UUID(in->subject), A_BYTES(str_make(in->digest.b, 32)), A_STR(in->title),
		A_STR(in->question), A_STR(rule.json), A_INT(in->charter), A_STR(visibility), A_UUID_OR_NULL(in->proposer), A_TIME(in->opens_at), A_TIME(in->closes_at)));
	TRY(ledger_append(c, coop, &(struct leaf){ .type = "ballot.announced", .data = announce_facts(c, in, *id) }, NULL));
	return ballot_queue_step(c, coop, *id, "ballot.open", in->opens_at);
}

/* Whether the rule asks the members at all; otherwise only admins are on the roll. */
static bool rule_asks_members(const struct ballot_rule *rule)
{
	for (size_t i = 0; i < rule->n; i++) {
		unsigned op = rule->nodes[i].op;
		bool counts = op != POLICY_RULE_ALL_OF && op != POLICY_RULE_ANY_OF && op != POLICY_RULE_N_OF_M_ADMINS;
		if (counts && rule->nodes[i].electorate == POLICY_MEMBERS)
			return true;
	}
	return false;
}

static enum err rule_of(struct call *c, struct str text, struct ballot_rule *out)
{
	const struct json *json;
	TRY(json_parse(c->arena, text, &json, &c->error));
	return ballot_rule_parse(c->arena, json, out, &c->error);
}

static enum err ballot_open(struct call *c, struct locked *b)
{
	struct ballot_rule rule;
	TRY(rule_of(c, b->rule, &rule));
	TRY(db_exec(c, roll_freeze, A_UUID(b->coop), A_UUID(b->id), A_BOOL(rule_asks_members(&rule))));
	struct rows r;
	TRY(db_one(c, roll_digest, &r, A_UUID(b->coop), A_UUID(b->id)));
	struct str id = uuid_format(c->arena, b->id), digest = str_hex(c->arena, row_bytes(&r, 0, 2).p, 32);
	struct str facts = str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"roll\":%lld,\"admins\":%lld,\"roll_sha256\":\"%.*s\"}", STR_ARG(id), (long long)row_int(&r, 0, 0),
		(long long)row_int(&r, 0, 1), STR_ARG(digest));
	TRY(ballot_move(c, b, BALLOT_OPEN, STR_NONE, facts));
	return ballot_queue_step(c, b->coop, b->id, "ballot.close", b->closes_at);
}

static enum err counts_read(struct call *c, struct uuid coop, struct uuid id, struct ballot_tally *members, struct ballot_tally *admins)
{
	struct rows r;
	TRY(db_query(c, count_read, &r, A_UUID(coop), A_UUID(id)));
	for (int i = 0; i < r.n; i++) {
		struct ballot_tally t = { (int)row_int(&r, i, 1), (int)row_int(&r, i, 2), (int)row_int(&r, i, 3), (int)row_int(&r, i, 4), (int)row_int(&r, i, 5), { 0 } };
		*(str_is(row_str(&r, i, 0), "admins") ? admins : members) = t;
	}
	return ERR_OK;
}

static struct policy_tally engine_tally(struct ballot_tally t)
{
	struct policy_tally out = { .roll = (uint32_t)t.roll, .yes = (uint32_t)t.yes, .no = (uint32_t)t.no, .abstain = (uint32_t)t.abstain };
	out.undecided[POLICY_VIA_NONE] = (uint32_t)t.undecided;
	return out;
}

static void write_tally(struct json_writer *w, const char *key, struct ballot_tally t)
{
	jw_key(w, key);
	jw_object(w);
	jw_kint(w, "abstain", t.abstain);
	jw_kint(w, "against", t.no);
	jw_kint(w, "for", t.yes);
	jw_kint(w, "roll", t.roll);
	jw_kint(w, "undecided", t.undecided);
	jw_end_object(w);
}

static struct str result_text(struct call *c, struct ballot_tally members, struct ballot_tally admins, bool passed)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	write_tally(&w, "admins", admins);
	write_tally(&w, "members", members);
	jw_kbool(&w, "passed", passed);
	jw_end_object(&w);
	struct str text = leaf_text(c, &b);
	buf_release(&b);
	return text;
}

/* What follows from the decision is the business of the subject's module, which may stand above this one: it hears of it through the queue. */
static enum err queue_consequence(struct call *c, const struct locked *b, bool passed)
{
	struct str coop = uuid_format(c->arena, b->coop), id = uuid_format(c->arena, b->id), subject = uuid_format(c->arena, b->subject);
	struct str kind = str_fmt(c->arena, "%.*s.decided", STR_ARG(b->kind));
	struct str args = str_fmt(c->arena, "{\"coop\":\"%.*s\",\"ballot\":\"%.*s\",\"subject\":\"%.*s\",\"passed\":%s}", STR_ARG(coop), STR_ARG(id), STR_ARG(subject),
		passed ? "true" : "false");
	return job_queue(c, str_z(c->arena, kind), id, args, clock_now());
}

static enum err ballot_close(struct call *c, struct locked *b)
{
	struct ballot_rule rule;
	struct ballot_tally members = { 0 }, admins = { 0 };
	TRY(rule_of(c, b->rule, &rule));
	TRY(db_exec(c, resolution_store, A_UUID(b->coop), A_UUID(b->id)));
	TRY(db_exec(c, count_store, A_UUID(b->coop), A_UUID(b->id)));
	TRY(counts_read(c, b->coop, b->id, &members, &admins));
	struct rows r;
	TRY(db_one(c, proposer_voted, &r, A_UUID(b->coop), A_UUID(b->id), A_UUID_OR_NULL(b->proposer)));
	struct policy_count count = { .of = { [POLICY_MEMBERS] = engine_tally(members), [POLICY_ADMINS] = engine_tally(admins) } };
	count.of[POLICY_ADMINS].proposer_yes = row_bool(&r, 0, 0);
	bool passed = policy_ballot_decide(rule.nodes, rule.n, &count) == POLICY_PASSED;
	struct str result = result_text(c, members, admins, passed);
	struct str id = uuid_format(c->arena, b->id), digest = sha256_hex(c->arena, b->digest);
	struct str facts = str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"digest\":\"%.*s\",\"result\":%.*s}", STR_ARG(id), STR_ARG(digest), STR_ARG(result));
	TRY(ballot_move(c, b, passed ? BALLOT_PASSED : BALLOT_FAILED, result, facts));
	return queue_consequence(c, b, passed);
}

enum err ballot_advance(struct call *c, struct uuid coop, struct uuid ballot)
{
	struct locked b;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ballot_take(c, coop, ballot, &b));
	instant now = clock_now();
	if (b.state == BALLOT_NOTICE && now >= b.opens_at)
		TRY(ballot_open(c, &b));
	if (b.state == BALLOT_OPEN && now >= b.closes_at)
		TRY(ballot_close(c, &b));
	return db_commit(c);
}

enum err ballot_cancel(struct call *c, struct uuid coop, struct uuid ballot, struct str reason)
{
	struct locked b;
	struct buf text;
	struct json_writer w;
	TRY(ballot_take(c, coop, ballot, &b));
	buf_init(&text, 4 * KIB);
	jw_init(&w, &text);
	jw_object(&w);
	jw_kstr(&w, "ballot", uuid_format(c->arena, ballot));
	jw_kstr(&w, "reason", str_sub(reason, 0, 1000));
	jw_end_object(&w);
	struct str facts = leaf_text(c, &text);
	buf_release(&text);
	return ballot_move(c, &b, BALLOT_CANCELLED, STR_NONE, facts);
}

/* A vote enters the log as a commitment, since it may have to stay hidden until the end and deletable afterwards. */
static enum err vote_leaf(struct call *c, struct uuid coop, struct uuid ballot, struct uuid member, struct str choice, const uint8_t salt[32])
{
	struct str id = uuid_format(c->arena, ballot), who = uuid_format(c->arena, member);
	struct sha256 said = sha256(str_fmt(c->arena, "%.*s %.*s %.*s", STR_ARG(id), STR_ARG(who), STR_ARG(choice)));
	struct str commitment = sha256_hex(c->arena, ledger_commitment(salt, said));
	struct str facts = str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"c\":\"%.*s\"}", STR_ARG(id), STR_ARG(commitment));
	return ledger_append(c, coop, &(struct leaf){ .type = "vote.cast", .data = facts }, NULL);
}

enum err ballot_cast_vote(struct call *c, struct uuid coop, struct uuid ballot, struct str choice, struct ballot *out)
{
	struct member me;
	uint8_t salt[32];
	random_bytes(salt, sizeof(salt));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_of_actor(c, coop, &me));
	TRY(ballot_find(c, coop, ballot, out));
	if (me.state != POLICY_STANDING_ACTIVE && me.state != POLICY_STANDING_DUE && me.state != POLICY_STANDING_GRACE)
		return fail_reason(c, ERR_REFUSED, "not_a_member", "Only current members vote.");
	if (!out->may_vote)
		return out->on_roll || out->state != BALLOT_OPEN
			? fail_reason(c, ERR_STATE, "ballot_not_open", "This ballot is not open for votes.")
			: fail_reason(c, ERR_REFUSED, "not_on_roll", "You were not on the roll when this ballot opened.");
	TRY(db_exec(c, vote_insert, A_UUID(coop), A_UUID(ballot), A_UUID(me.id), A_STR(choice), A_BYTES(str_make(salt, 32))));
	TRY(vote_leaf(c, coop, ballot, me.id, choice, salt));
	out->my_choice = str_is(choice, "none") ? STR_NONE : choice;
	return db_commit(c);
}

bool ballot_table_ok(void)
{
	bool reached[CH_LEN(state_names)] = { [BALLOT_NOTICE] = true };
	for (size_t i = 0; i < CH_LEN(edges); i++) {
		if (edges[i].from == edges[i].to || !edges[i].leaf || !edges[i].sentence[0])
			return false;
		reached[edges[i].to] = true;
	}
	for (size_t i = 0; i < CH_LEN(reached); i++)
		if (!reached[i])
			return false;
	return true;
}

static enum err job_step(struct call *c, const struct json *args)
{
	struct uuid coop, ballot;
	TRY(job_args_read(c, args, "ballot", &coop, &ballot));
	return ballot_advance(c, coop, ballot);
}

const struct job_kind ballot_jobs[] = {
	{ "ballot.open", job_step, 20, 60 },
	{ "ballot.close", job_step, 20, 300 },
	JOB_TABLE_END,
};
