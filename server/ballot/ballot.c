#include "commonhold/ballot.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"

#include "ballot_internal.h"

SQL(ballot_insert,
	"INSERT INTO ballot (coop_id, id, kind, subject, digest, title, question, rule, charter, visibility, proposer_id, state, created_at, opens_at, closes_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'notice', commonhold_now(), $12, $13)");
SQL(ballot_lock,
	"SELECT state, kind, subject, digest, rule, opens_at, closes_at, proposer_id, charter, extended, members_last_year, admins_last_year "
	"FROM ballot WHERE coop_id = $1 AND id = $2 FOR UPDATE");
SQL(ballot_set_state,
	"UPDATE ballot SET state = $3, closed_at = $5, result = $4, board_choice = $6 WHERE coop_id = $1 AND id = $2");
/* Grace still votes for itself; who only applied, lapsed, left or was removed does not. */
SQL(roll_freeze,
	"INSERT INTO ballot_roll (coop_id, ballot_id, member_id, member_no, is_admin) "
	"SELECT coop_id, $2, id, number, is_admin FROM membership "
	"WHERE coop_id = $1 AND state IN ('active', 'due', 'grace') AND ($3 OR is_admin)");
SQL(roll_digest,
	"SELECT count(*), count(*) FILTER (WHERE is_admin), sha256(coalesce(string_agg(uuid_send(member_id), '' ORDER BY member_id), '')) "
	"FROM ballot_roll WHERE coop_id = $1 AND ballot_id = $2");
/* Who was in good standing at an instant: everybody's last event up to then. */
SQL(standing_at,
	"SELECT count(*), count(*) FILTER (WHERE is_admin) FROM (SELECT DISTINCT ON (member_id) to_state, is_admin FROM membership_event WHERE coop_id = $1 AND at <= $2 "
	"ORDER BY member_id, seq DESC) e WHERE to_state IN ('active', 'due', 'grace')");
SQL(ballot_set_frozen, "UPDATE ballot SET members_last_year = $3, admins_last_year = $4, roll_members = $5, roll_admins = $6 WHERE coop_id = $1 AND id = $2");
SQL(ballot_set_lapsing,
	"UPDATE ballot b SET lapsing = (SELECT count(*) FROM membership m WHERE m.coop_id = b.coop_id AND m.state IN ('active', 'due', 'grace') AND "
	"((m.due_at >= b.opens_at AND m.due_at < b.closes_at) OR (m.due_at >= $3 AND m.due_at < $4))) WHERE b.coop_id = $1 AND b.id = $2");
SQL(ballot_set_extended, "UPDATE ballot SET extended = true, first_closes_at = closes_at, closes_at = $3 WHERE coop_id = $1 AND id = $2");

/* The life of a ballot: every change of state is a row here, with the sentence that people read. */
static const struct lifecycle_edge edges[] = {
	{ LIFECYCLE_BEGINNING, BALLOT_NOTICE, "It is announced." },
	{ BALLOT_NOTICE, BALLOT_OPEN, "The notice period is over: the roll is frozen and voting begins.", .leaf = "ballot.opened" },
	{ BALLOT_OPEN, BALLOT_PASSED, "Voting is over and the rule is met.", .leaf = "ballot.closed" },
	{ BALLOT_OPEN, BALLOT_FAILED, "Voting is over and the rule is not met.", .leaf = "ballot.closed" },
	{ BALLOT_NOTICE, BALLOT_CANCELLED, "What was to be decided is no longer on the table.", .leaf = "ballot.cancelled" },
	{ BALLOT_OPEN, BALLOT_CANCELLED, "What was to be decided is no longer on the table.", .leaf = "ballot.cancelled" },
};

static const char *const state_names[] = { "notice", "open", "passed", "failed", "cancelled" };

const struct lifecycle ballot_life = {
	.thing = "This ballot", LIFECYCLE_TABLE(state_names, edges), .final = LIFECYCLE_BIT(BALLOT_PASSED) | LIFECYCLE_BIT(BALLOT_FAILED) | LIFECYCLE_BIT(BALLOT_CANCELLED),
};

const char *ballot_state_name(enum ballot_state s)
{
	return lifecycle_word(&ballot_life, (int)s);
}

bool ballot_state_parse(struct str text, enum ballot_state *out)
{
	int state = lifecycle_state(&ballot_life, text);
	if (state >= 0)
		*out = (enum ballot_state)state;
	return state >= 0;
}

enum err ballot_take(struct call *c, struct uuid coop, struct uuid id, struct ballot_locked *out)
{
	struct rows r;
	TRY(db_one(c, ballot_lock, &r, A_UUID(coop), A_UUID(id)));
	*out = (struct ballot_locked){
		.coop = coop, .id = id, .kind = row_str(&r, 0, 1), .subject = row_uuid(&r, 0, 2), .digest = sha256_load(row_bytes(&r, 0, 3)), .rule = row_str(&r, 0, 4),
		.opens_at = row_time(&r, 0, 5), .closes_at = row_time(&r, 0, 6), .proposer = row_uuid(&r, 0, 7), .charter = (int)row_int(&r, 0, 8), .extended = row_bool(&r, 0, 9),
		.members_last_year = (int)row_int(&r, 0, 10), .admins_last_year = (int)row_int(&r, 0, 11),
	};
	return ballot_state_parse(row_str(&r, 0, 0), &out->state) ? ERR_OK : fail(c, ERR_CORRUPT, "A ballot is in a state that is not known.");
}

/* How a ballot ended, or nothing of that where it goes on. */
struct ending { instant at; struct str result, board; };

/* The one place where a ballot changes state: along an edge of the table, with its leaf in the log. `facts` are written into the leaf. */
static enum err ballot_move(struct call *c, struct ballot_locked *b, enum ballot_state to, const struct ending *end, struct str facts)
{
	const struct lifecycle_edge *edge;
	TRY(lifecycle_step(&ballot_life, b->state, to, &edge, &c->error));
	b->state = to;
	TRY(db_exec(c, ballot_set_state, A_UUID(b->coop), A_UUID(b->id), A_Z(ballot_state_name(to)), A_STR(end->result), A_TIME(end->at), A_STR(end->board)));
	return ledger_append(c, b->coop, &(struct leaf){ .type = edge->leaf, .data = facts }, NULL);
}

static struct str leaf_text(struct call *c, const struct buf *b)
{
	return str_copy(c->arena, buf_str(b));
}

static enum err ballot_queue_step(struct call *c, struct uuid coop, struct uuid id, const char *kind, instant due)
{
	return job_queue(c, kind, uuid_format(c->arena, id), job_args(c->arena, coop, "ballot", id), due);
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

enum err ballot_rule_of(struct call *c, struct str text, struct ballot_rule *out)
{
	const struct json *json;
	TRY(json_parse(c->arena, text, &json, &c->error));
	return ballot_rule_parse(c->arena, json, out, &c->error);
}

unsigned ballot_topic_of(struct str kind)
{
	int topic = policy_ballot_find(kind.p, kind.n);
	return topic < 0 ? POLICY_BALLOT_COUNT : (unsigned)topic;
}

/* ---- Opening ---- */

/* The floors of the quorum base: who was there a year ago. Where the rule asks admins only, there are no members to ask about. */
static enum err freeze_floors(struct call *c, struct ballot_locked *b, bool asks_members, int roll, int admins)
{
	struct rows r;
	TRY(db_one(c, standing_at, &r, A_UUID(b->coop), A_TIME(duration_add(b->opens_at, (struct duration){ .years = 1 }, -1))));
	b->members_last_year = asks_members ? (int)row_int(&r, 0, 0) : 0;
	b->admins_last_year = (int)row_int(&r, 0, 1);
	return db_exec(c, ballot_set_frozen, A_UUID(b->coop), A_UUID(b->id), A_INT(b->members_last_year), A_INT(b->admins_last_year), A_INT(roll), A_INT(admins));
}

/* How many people's checkups and memberships run out while it is open: a ballot that straddles a mass lapse is warned of. */
static enum err note_lapsing(struct call *c, const struct ballot_locked *b)
{
	struct charter charter;
	TRY(charter_version(c, b->coop, b->charter, &charter));
	return db_exec(c, ballot_set_lapsing, A_UUID(b->coop), A_UUID(b->id), A_TIME(duration_add(b->opens_at, charter.grace, -1)), A_TIME(duration_add(b->closes_at, charter.grace, -1)));
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
	TRY(note_lapsing(c, &(struct ballot_locked){ .coop = coop, .id = *id, .charter = in->charter, .opens_at = in->opens_at, .closes_at = in->closes_at }));
	TRY(ballot_tell(c, coop, *id, "announced"));
	return ballot_queue_step(c, coop, *id, "ballot.open", in->opens_at);
}

/* Whether the rule can be met, or missed, whatever anyone does: then there is nothing to vote about. As long as votes may change until the close, only the size of the roll
 * can settle it: a number of admins that there are not, a part of last year's roll that is more than this year's. */
static bool settled_by_roll(const struct ballot_rule *rule, const struct ballot_locked *b, uint32_t roll, uint32_t admins)
{
	struct policy_count count = { .of = {
		[POLICY_MEMBERS] = { .roll = roll, .roll_last_year = (uint32_t)b->members_last_year },
		[POLICY_ADMINS] = { .roll = admins, .roll_last_year = (uint32_t)b->admins_last_year },
	} };
	enum policy_verdict verdict;
	count.of[POLICY_MEMBERS].undecided[POLICY_VIA_NONE] = roll;
	count.of[POLICY_ADMINS].undecided[POLICY_VIA_NONE] = admins;
	return policy_ballot_settled(rule->nodes, rule->n, &count, &verdict);
}

static enum err ballot_close(struct call *c, struct ballot_locked *b, instant end, bool may_extend);

static enum err ballot_open(struct call *c, struct ballot_locked *b)
{
	struct ballot_rule rule;
	struct rows r;
	TRY(ballot_rule_of(c, b->rule, &rule));
	bool asks_members = rule_asks_members(&rule);
	TRY(db_exec(c, roll_freeze, A_UUID(b->coop), A_UUID(b->id), A_BOOL(asks_members)));
	TRY(db_one(c, roll_digest, &r, A_UUID(b->coop), A_UUID(b->id)));
	TRY(freeze_floors(c, b, asks_members, (int)row_int(&r, 0, 0), (int)row_int(&r, 0, 1)));
	TRY(note_lapsing(c, b));
	struct str id = uuid_format(c->arena, b->id), digest = str_hex(c->arena, row_bytes(&r, 0, 2).p, 32);
	struct str facts = str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"roll\":%lld,\"admins\":%lld,\"roll_sha256\":\"%.*s\",\"members_last_year\":%d,\"admins_last_year\":%d}", STR_ARG(id),
		(long long)row_int(&r, 0, 0), (long long)row_int(&r, 0, 1), STR_ARG(digest), b->members_last_year, b->admins_last_year);
	TRY(ballot_move(c, b, BALLOT_OPEN, &(struct ending){ .at = INSTANT_NONE }, facts));
	instant now = clock_now();
	if (now < b->closes_at && settled_by_roll(&rule, b, (uint32_t)row_int(&r, 0, 0), (uint32_t)row_int(&r, 0, 1)))
		return ballot_close(c, b, now, false);
	TRY(ballot_tell(c, b->coop, b->id, "opened"));
	return ballot_queue_step(c, b->coop, b->id, "ballot.close", b->closes_at);
}

/* ---- Closing ---- */

static void write_reasons(struct json_writer *w, const struct policy_tally *t)
{
	jw_key(w, "undecided_by");
	jw_object(w);
	for (unsigned via = 0; via < POLICY_VIA_COUNT; via++)
		if (t->undecided[via])
			jw_kint(w, policy_via_name(via), t->undecided[via]);
	jw_end_object(w);
}

static void write_tally(struct json_writer *w, const char *key, const struct policy_tally *t)
{
	jw_key(w, key);
	jw_object(w);
	jw_kint(w, "abstain", t->abstain);
	jw_kint(w, "against", t->no);
	jw_kint(w, "for", t->yes);
	jw_kint(w, "quorum_base", policy_quorum_base(t));
	jw_kint(w, "roll", t->roll);
	jw_kint(w, "undecided", t->roll - t->yes - t->no - t->abstain);
	write_reasons(w, t);
	jw_end_object(w);
}

static struct str result_text(struct call *c, const struct ballot_ending *end)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	write_tally(&w, "admins", &end->count.of[POLICY_ADMINS]);
	if (end->board != BALLOT_NONE)
		jw_kz(&w, "board", ballot_choice_name(end->board));
	write_tally(&w, "members", &end->count.of[POLICY_MEMBERS]);
	jw_kbool(&w, "passed", end->passed);
	jw_end_object(&w);
	struct str text = leaf_text(c, &b);
	buf_release(&b);
	return text;
}

/* What follows from the decision is the business of the subject's module, which may stand above this one: it hears of it through the queue. Cooling-off periods and the like
 * count from closed_at. */
static enum err queue_consequence(struct call *c, const struct ballot_locked *b, bool passed, instant closed_at)
{
	struct str coop = uuid_format(c->arena, b->coop), id = uuid_format(c->arena, b->id), subject = uuid_format(c->arena, b->subject), at = clock_format(c->arena, closed_at);
	struct str kind = str_fmt(c->arena, "%.*s.decided", STR_ARG(b->kind));
	struct str args = str_fmt(c->arena, "{\"coop\":\"%.*s\",\"ballot\":\"%.*s\",\"subject\":\"%.*s\",\"passed\":%s,\"closed_at\":\"%.*s\"}", STR_ARG(coop), STR_ARG(id),
		STR_ARG(subject), passed ? "true" : "false", STR_ARG(at));
	return job_queue(c, str_z(c->arena, kind), id, args, clock_now());
}

/* Once, by a tenth of the window, counted from when it is announced: nobody could vote between the old end and now. */
static enum err ballot_extend(struct call *c, struct ballot_locked *b, instant until)
{
	instant now = clock_now();
	instant closes = until + (now > b->closes_at ? now - b->closes_at : 0);
	struct str id = uuid_format(c->arena, b->id), was = clock_format(c->arena, b->closes_at), is = clock_format(c->arena, closes);
	TRY(db_exec(c, ballot_set_extended, A_UUID(b->coop), A_UUID(b->id), A_TIME(closes)));
	b->extended = true;
	b->closes_at = closes;
	TRY(note_lapsing(c, b));
	struct str facts = str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"from\":\"%.*s\",\"to\":\"%.*s\"}", STR_ARG(id), STR_ARG(was), STR_ARG(is));
	TRY(ledger_append(c, b->coop, &(struct leaf){ .type = "ballot.extended", .data = facts }, NULL));
	TRY(ballot_tell(c, b->coop, b->id, "extended"));
	return ballot_queue_step(c, b->coop, b->id, "ballot.close", closes);
}

/* `end`: the instant at which voting ended, whenever this runs. */
static enum err ballot_close(struct call *c, struct ballot_locked *b, instant end, bool may_extend)
{
	struct ballot_ending ending;
	TRY(ballot_settle(c, b, end, may_extend, &ending));
	if (ending.extend)
		return ballot_extend(c, b, ending.closes_at);
	struct str result = result_text(c, &ending), board = ending.board == BALLOT_NONE ? STR_NONE : str_of(ballot_choice_name(ending.board));
	struct str id = uuid_format(c->arena, b->id), digest = sha256_hex(c->arena, b->digest), at = clock_format(c->arena, end);
	struct str facts = str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"closed_at\":\"%.*s\",\"digest\":\"%.*s\",\"result\":%.*s}", STR_ARG(id), STR_ARG(at), STR_ARG(digest), STR_ARG(result));
	TRY(ballot_move(c, b, ending.passed ? BALLOT_PASSED : BALLOT_FAILED, &(struct ending){ end, result, board }, facts));
	TRY(ballot_tell(c, b->coop, b->id, "closed"));
	TRY(ballot_queue_step(c, b->coop, b->id, "ballot.seal", clock_now()));
	return queue_consequence(c, b, ending.passed, end);
}

enum err ballot_advance(struct call *c, struct uuid coop, struct uuid ballot)
{
	struct ballot_locked b;
	TRY(db_begin_in(c, coop, DB_WRITE));
	/* Whoever revokes, joins or leaves just now does so before the roll is frozen or the count is taken, or dates it after: never in between. */
	TRY(membership_lock(c, coop));
	TRY(ballot_take(c, coop, ballot, &b));
	if (b.state == BALLOT_NOTICE && clock_now() >= b.opens_at)
		TRY(ballot_open(c, &b));
	if (b.state == BALLOT_OPEN && clock_now() >= b.closes_at)
		TRY(ballot_close(c, &b, b.closes_at, true));
	return db_commit(c);
}

enum err ballot_cancel(struct call *c, struct uuid coop, struct uuid ballot, struct str reason)
{
	struct ballot_locked b;
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
	return ballot_move(c, &b, BALLOT_CANCELLED, &(struct ending){ .at = clock_now() }, facts);
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
	{ "ballot.tell", ballot_job_tell, 20, 300 },
	{ "ballot.acted", ballot_job_acted, 20, 300 },
	JOB_TABLE_END,
};
