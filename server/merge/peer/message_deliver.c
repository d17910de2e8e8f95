/* Carrying messages: in the order in which they were said, each until it has arrived or was refused. A partner on this instance gets them straight into its inbox, another one by HTTP; what is
 * checked at the other end is the same. */
#include "message_internal.h"

#include "commonhold/config.h"
#include "commonhold/fetch.h"
#include "commonhold/log.h"
#include "commonhold/notify.h"

#define AT_ONCE 100                       /* in one run of the job */
#define DELAY_FIRST (30 * CLOCK_SECOND)
#define DELAY_MOST (6 * CLOCK_HOUR)
#define ATTEMPTS_MOST 60                  /* about two weeks */
#define FORGET_MESSAGES (90 * CLOCK_DAY)  /* after MESSAGE_LIFE, or what was taken could be taken again */
#define FORGET_REFUSALS (365 * CLOCK_DAY)
#define ANSWER_MAX (64 * 1024)
#define ERROR_MOST 300                    /* characters of what the other side says that are kept */

SQL(next_waiting,
	"SELECT id, type, body, envelope, made_at, attempts, next_at FROM message_out WHERE coop_id = $1 AND peer_id = $2 AND state = 'waiting' ORDER BY seq LIMIT 1 FOR UPDATE");
SQL(out_ended,
	"UPDATE message_out SET state = $3, ended_at = commonhold_now(), attempts = attempts + 1, last_error = $4 WHERE coop_id = $1 AND id = $2 AND state = 'waiting'");
SQL(out_again, "UPDATE message_out SET attempts = attempts + 1, next_at = $3, last_error = $4 WHERE coop_id = $1 AND id = $2 AND state = 'waiting'");
SQL(out_now,
	"UPDATE message_out SET state = 'waiting', ended_at = NULL, next_at = commonhold_now(), attempts = 0 WHERE coop_id = $1 AND id = $2 AND state IN ('waiting', 'dead') RETURNING peer_id");
SQL(forget_out, "DELETE FROM message_out WHERE coop_id = $1 AND state <> 'waiting' AND ended_at < $2");
SQL(forget_in, "DELETE FROM message_in WHERE coop_id = $1 AND taken_at < $2");
SQL(forget_refusals, "DELETE FROM refusal WHERE coop_id = $1 AND at < $2");
SQL(admins_told,
	"SELECT o.slug, (SELECT array_agg(m.account_id) FROM membership m WHERE m.coop_id = o.id AND m.is_admin AND m.account_id IS NOT NULL AND m.state IN ('active', 'due', 'grace')) "
	"FROM coop o WHERE o.id = $1");

/* What came of an attempt. */
enum arrival { ARRIVED, NOT_NOW, NEVER };
struct verdict { enum arrival arrival; struct str why; int64_t wait; };

/* Reasons that the other side's admins, or time, may mend: it does not know or trust us yet, or has not heard of our new key. */
static bool may_change(struct str code)
{
	return str_is(code, "stranger") || str_is(code, "peer_unconfirmed") || str_is(code, "bad_signature") || str_is(code, "retired_key") || str_is(code, "from_the_future");
}

static struct str said_by(struct arena *a, const struct fetch_answer *answer, struct str *code)
{
	const struct json *problem;
	struct error ignored = { 0 };
	*code = STR_NONE;
	if (json_parse(a, answer->body, &problem, &ignored) != ERR_OK)
		return str_fmt(a, "The other side answered %ld.", answer->status);
	struct str reason = json_member_text(problem, "reason"), detail = json_member_text(problem, "detail");
	*code = reason.p ? reason : json_member_text(problem, "code");
	if (!detail.n)
		detail = json_member_text(problem, "title");
	return str_fmt(a, "The other side answered %ld: %.*s", answer->status, STR_ARG(str_utf8_head(detail, ERROR_MOST)));
}

static struct verdict by_http(struct call *c, const struct peer *peer, struct str envelope)
{
	struct fetch_answer answer = { 0 };
	struct error why = { 0 };
	struct str code, name = peer->slug.n ? peer->slug : peer->name;
	bool loose = config()->allow_private_on;
	struct fetch_header type = { STR("Content-Type"), STR("application/json") };
	struct fetch_request request = { .method = "POST", .url = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/merge/inbox", STR_ARG(peer->url), STR_ARG(name)), .headers = &type, .n_headers = 1,
		.body = envelope, .max_bytes = ANSWER_MAX, .allow_private = loose, .allow_http = loose };
	if (fetch(NULL, c->arena, &request, &answer, &why) != ERR_OK)
		return (struct verdict){ NOT_NOW, str_copy(c->arena, str_of(why.message)), 0 };
	if (answer.status >= 200 && answer.status < 300)
		return (struct verdict){ ARRIVED, STR_NONE, 0 };
	struct str text = said_by(c->arena, &answer, &code);
	bool refused = answer.status >= 400 && answer.status < 500 && answer.status != 408 && answer.status != 425 && answer.status != 429 && !may_change(code);
	/* An address that is gone may come back with the instance's next version or backup; a refusal with a reason is an answer. */
	if (refused && answer.status == 404 && !code.p)
		refused = false;
	return (struct verdict){ refused ? NEVER : NOT_NOW, text, fetch_retry_after(&answer, 0) * CLOCK_SECOND };
}

static struct verdict straight(struct call *c, struct uuid coop, const struct peer *peer, struct str envelope)
{
	bool again;
	enum err e = message_take(c, peer->here, envelope, &again);
	struct str why = str_copy(c->arena, str_of(c->error.message)), code = str_copy(c->arena, str_of(c->error.reason));
	error_clear(&c->error);
	db_rollback(c);
	if (db_enter_coop(c, coop) != ERR_OK)
		return (struct verdict){ NOT_NOW, why, 0 };
	if (e == ERR_OK)
		return (struct verdict){ ARRIVED, STR_NONE, 0 };
	return (struct verdict){ merge_is_refusal(e) && !may_change(code) ? NEVER : NOT_NOW, why, 0 };
}

static int64_t delay(int attempts, int64_t asked)
{
	int64_t wait = DELAY_FIRST;
	uint32_t random;
	for (int i = 0; i < attempts && wait < DELAY_MOST; i++)
		wait *= 3;
	if (wait > DELAY_MOST)
		wait = DELAY_MOST;
	random_bytes(&random, sizeof(random));
	wait = wait / 2 + (int64_t)(random % 1000) * (wait / 2000);
	if (asked > DELAY_MOST)
		asked = DELAY_MOST;
	return asked > wait ? asked : wait;
}

static enum err tell_dead(struct call *c, struct uuid coop, const struct peer *peer, const struct waiting *m, struct str why)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	struct uuid *accounts;
	TRY(db_one(c, admins_told, &r, A_UUID(coop)));
	size_t n = row_uuids(c->arena, &r, 0, 1, &accounts);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", str_fmt(c->arena, "%.*s did not take a message", STR_ARG(peer->title.n ? peer->title : peer->name)));
	jw_kstr(&w, "text", str_fmt(c->arena, "%.*s: %.*s", STR_ARG(m->type), STR_ARG(why)));
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/messages", STR_ARG(row_str(&r, 0, 0))));
	jw_end_object(&w);
	struct notice notice = { .kind = "merge.undelivered", .coop = coop, .key = uuid_format(c->arena, m->id), .data = buf_take(c->arena, &b) };
	return n ? notify_many(c, &notice, accounts, n) : ERR_OK;
}

/* The next message and its envelope; *m.id is nil when nothing is due. `due` says when to look again (INSTANT_NONE: when something new is said). */
static enum err next(struct call *c, struct uuid coop, struct uuid peer_id, struct peer *peer, struct waiting *m, instant *due)
{
	struct rows r;
	*m = (struct waiting){ .attempts = 0 };
	*due = INSTANT_NONE;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(peer_get(c, coop, peer_id, peer));
	TRY(db_query(c, next_waiting, &r, A_UUID(coop), A_UUID(peer_id)));
	if (r.n && row_time(&r, 0, 6) > clock_now())
		*due = row_time(&r, 0, 6);
	else if (r.n) {
		*m = (struct waiting){ row_uuid(&r, 0, 0), row_str(&r, 0, 1), row_str(&r, 0, 2), row_str(&r, 0, 3), row_time(&r, 0, 4), (int)row_int(&r, 0, 5) };
		TRY(message_seal(c, coop, peer, m));
	}
	return db_commit(c);
}

static enum err record(struct call *c, struct uuid coop, const struct peer *peer, const struct waiting *m, const struct verdict *v)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	bool dead = v->arrival == NEVER || (v->arrival == NOT_NOW && m->attempts + 1 >= ATTEMPTS_MOST);
	if (v->arrival == ARRIVED)
		TRY(db_exec(c, out_ended, A_UUID(coop), A_UUID(m->id), A_STR(STR("delivered")), A_STR(STR_NONE)));
	else if (dead) {
		TRY(db_exec(c, out_ended, A_UUID(coop), A_UUID(m->id), A_STR(STR("dead")), A_STR(v->why)));
		TRY(tell_dead(c, coop, peer, m, v->why));
	} else {
		instant again = clock_now() + delay(m->attempts, v->wait);
		TRY(db_exec(c, out_again, A_UUID(coop), A_UUID(m->id), A_TIME(again), A_STR(v->why)));
		TRY(message_queue_delivery(c, coop, peer->id, again));
	}
	TRY(db_commit(c));
	if (v->arrival != ARRIVED)
		log_event(LOG_INFO, "message.not_taken", LOG_S("type", m->type), LOG_S("message", uuid_format(c->arena, m->id)), LOG_N("attempt", m->attempts + 1), LOG_N("dead", dead));
	return ERR_OK;
}

static enum err deliver_run(struct call *c, const struct json *args)
{
	struct uuid coop, peer_id;
	TRY(job_args_read(c, args, "peer", &coop, &peer_id));
	for (int i = 0; i < AT_ONCE; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		struct peer peer;
		struct waiting m;
		instant due;
		TRY(next(c, coop, peer_id, &peer, &m, &due));
		if (uuid_is_nil(m.id)) {
			if (due == INSTANT_NONE)
				return ERR_OK;
			TRY(db_begin_in(c, coop, DB_WRITE));
			TRY(message_queue_delivery(c, coop, peer_id, due));
			return db_commit(c);
		}
		struct verdict v = !uuid_is_nil(peer.here) ? straight(c, coop, &peer, m.envelope) : peer.url.n ? by_http(c, &peer, m.envelope) :
			(struct verdict){ NOT_NOW, STR("That co-op is known from a file alone: carry its messages as a file, too."), DELAY_MOST };
		TRY(record(c, coop, &peer, &m, &v));
		if (v.arrival == NOT_NOW)
			return ERR_OK;
		if (c->job)
			TRY(job_extend(c));
		arena_rewind(c->arena, mark);
	}
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(message_queue_delivery(c, coop, peer_id, clock_now()));
	return db_commit(c);
}

enum err message_forget(struct call *c, struct uuid coop)
{
	instant now = clock_now();
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, forget_out, A_UUID(coop), A_TIME(now - FORGET_MESSAGES)));
	TRY(db_exec(c, forget_in, A_UUID(coop), A_TIME(now - FORGET_MESSAGES)));
	TRY(db_exec(c, forget_refusals, A_UUID(coop), A_TIME(now - FORGET_REFUSALS)));
	TRY(peer_spent_forget(c, coop));
	return db_commit(c);
}

enum err message_again(struct call *c, struct uuid coop, struct uuid id)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(db_one(c, out_now, &r, A_UUID(coop), A_UUID(id)));
	TRY(message_queue_delivery(c, coop, row_uuid(&r, 0, 0), clock_now()));
	return db_commit(c);
}

const struct job_kind message_jobs[] = {
	{ "merge.deliver", deliver_run, 20, 300 },
	JOB_TABLE_END,
};
