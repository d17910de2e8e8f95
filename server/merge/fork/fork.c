#include "server/merge/fork/fork_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/ledger.h"
#include "commonhold/notify.h"
#include "commonhold/words.h"

/* Offers to go on elsewhere, and what each member says to them. */

#define TELL_CHUNK 2000 /* people told in one transaction */
#define OFFERS_LISTED 200
#define ANSWERS_MAX 100 /* words of one member on one offer */

/* The last word of each member counts; whoever is not in good standing takes nothing along. */
#define GOING \
	"(SELECT DISTINCT ON (a.member_id) a.member_id, a.yes FROM fork_answer a WHERE a.coop_id = o.coop_id AND a.offer_id = o.id ORDER BY a.member_id, a.no DESC)"
#define OFFER_COLUMNS \
	"o.id, o.title, o.place, o.reason, o.offered_by, " MEMBER_NAME ", o.offered_at, o.closes_at, o.state_at, o.state, " \
	"(SELECT count(*) FROM " GOING " g JOIN membership s ON s.coop_id = o.coop_id AND s.id = g.member_id WHERE g.yes AND s.state IN ('active', 'due', 'grace')), " \
	"o.members, o.items, o.size, o.root, o.fork_name, o.fork_url, mine.no IS NOT NULL, coalesce(mine.yes, false), " \
	"coalesce((SELECT v.items FROM fork_moved v WHERE v.coop_id = o.coop_id AND v.offer_id = o.id AND v.member_id = me.id), me.contributed, 0)"
#define OFFER_FROM \
	" FROM fork_offer o JOIN membership m ON m.coop_id = o.coop_id AND m.id = o.offered_by " \
	"LEFT JOIN membership me ON me.coop_id = o.coop_id AND me.account_id = commonhold_account() " \
	"LEFT JOIN LATERAL (SELECT a.no, a.yes FROM fork_answer a WHERE a.coop_id = o.coop_id AND a.offer_id = o.id AND a.member_id = me.id ORDER BY a.no DESC LIMIT 1) mine ON true "

SQL(fork_lock_take, "SELECT pg_advisory_xact_lock(hashtextextended('fork ' || $1::uuid::text, 0)) IS NULL");
SQL(offer_by_id, "SELECT " OFFER_COLUMNS OFFER_FROM "WHERE o.coop_id = $1 AND o.id = $2");
SQL(offer_page, "SELECT " OFFER_COLUMNS OFFER_FROM "WHERE o.coop_id = $1 ORDER BY o.offered_at DESC, o.id LIMIT $2");
SQL(offers_open, "SELECT count(*) FROM fork_offer WHERE coop_id = $1 AND state = 'open'");
SQL(offers_made, "SELECT count(*) FROM fork_offer WHERE coop_id = $1 AND offered_by = $2 AND offered_at > commonhold_now() - interval '30 days'");
SQL(offer_insert,
	"INSERT INTO fork_offer (coop_id, id, title, place, reason, offered_by, offered_at, closes_at, state, state_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, commonhold_now(), $7, 'open', commonhold_now())");
SQL(offer_state, "UPDATE fork_offer SET state = $3, state_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(answer_count, "SELECT count(*) FROM fork_answer WHERE coop_id = $1 AND offer_id = $2 AND member_id = $3");
SQL(answer_insert,
	"INSERT INTO fork_answer (coop_id, offer_id, member_id, no, yes, claim, salt, said_at) VALUES ($1, $2, $3, $4, $5, $6, $7, commonhold_now())");
SQL(members_to_tell,
	"SELECT m.number, m.account_id FROM membership m WHERE m.coop_id = $1 AND m.number > $2 AND m.account_id IS NOT NULL AND m.state IN ('active', 'due', 'grace') "
	"ORDER BY m.number LIMIT $3");
SQL(offer_place, "SELECT slug FROM coop WHERE id = $1");

static const struct { const char *word, *sentence; } states[FORK_STATE_COUNT] = {
#define X(name, word, sentence) [FORK_##name] = { word, sentence },
	FORK_STATES(X)
#undef X
};

const char *fork_state_word(unsigned state)
{
	return state < FORK_STATE_COUNT ? states[state].word : "";
}

const char *fork_state_sentence(unsigned state)
{
	return state < FORK_STATE_COUNT ? states[state].sentence : "";
}

/* ---- Reading ---- */

static enum fork_state state_of(struct str word)
{
	for (unsigned i = 0; i < FORK_STATE_COUNT; i++)
		if (str_is(word, states[i].word))
			return (enum fork_state)i;
	return FORK_WITHDRAWN;
}

static struct fork_offer offer_of_row(struct uuid coop, const struct rows *r, int i)
{
	return (struct fork_offer){
		.coop = coop, .id = row_uuid(r, i, 0), .title = row_str(r, i, 1), .place = row_str(r, i, 2), .reason = row_str(r, i, 3), .by = row_uuid(r, i, 4),
		.by_name = row_str(r, i, 5), .offered_at = row_time(r, i, 6), .closes_at = row_time(r, i, 7), .state_at = row_time(r, i, 8), .state = state_of(row_str(r, i, 9)),
		.yes = row_int(r, i, 10), .members = row_int(r, i, 11), .items = row_int(r, i, 12), .size = row_int(r, i, 13), .root = sha256_load(row_bytes(r, i, 14)),
		.fork_name = row_str(r, i, 15), .fork_url = row_str(r, i, 16), .answered = row_bool(r, i, 17), .mine = row_bool(r, i, 18), .my_items = row_int(r, i, 19),
	};
}

enum err fork_offer_get(struct call *c, struct uuid coop, struct uuid id, struct fork_offer *out)
{
	struct rows r;
	TRY(db_query(c, offer_by_id, &r, A_UUID(coop), A_UUID(id)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such offer of a fork.");
	*out = offer_of_row(coop, &r, 0);
	return ERR_OK;
}

enum err fork_offer_read(struct call *c, struct uuid coop, struct uuid id, struct fork_offer *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(fork_offer_get(c, coop, id, out));
	return db_commit(c);
}

enum err fork_offer_list(struct call *c, struct uuid coop, struct fork_offer **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, offer_page, &r, A_UUID(coop), A_INT(OFFERS_LISTED)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct fork_offer);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = offer_of_row(coop, &r, (int)i);
	return ERR_OK;
}

/* ---- Offering ---- */

enum err fork_lock(struct call *c, struct uuid coop)
{
	return db_exec(c, fork_lock_take, A_UUID(coop));
}

enum err fork_leaf(struct call *c, struct uuid coop, const char *type, struct uuid offer, struct uuid by, struct str more)
{
	struct str id = uuid_format(c->arena, offer);
	struct str facts = str_fmt(c->arena, "{\"offer\":\"%.*s\"%.*s}", STR_ARG(id), STR_ARG(more));
	return ledger_append(c, coop, &(struct leaf){ .type = type, .data = facts, .by = by }, NULL);
}

/* The acting member, in good standing. */
static enum err good_member(struct call *c, struct uuid coop, struct member *me)
{
	TRY(member_of_actor(c, coop, me));
	if (!in_good_standing(me->state))
		return fail_reason(c, ERR_REFUSED, "not_a_member", "Only current members do this.");
	return ERR_OK;
}

static enum err draft_check(struct call *c, const struct fork_draft *draft)
{
	struct str host;
	TRY(call_check_text(c, "/title", draft->title.p ? draft->title : STR(""), 2, FORK_TITLE_MAX));
	TRY(call_check_text(c, "/reason", draft->reason.p ? draft->reason : STR(""), 10, FORK_REASON_MAX));
	TRY(call_check_text(c, "/place", draft->place.p ? draft->place : STR(""), 8, FORK_PLACE_MAX));
	if (fetch_url_check(c->arena, draft->place, true, true, &host, &c->error) != ERR_OK)
		return fail_field(c, "/place", "This is no address of an instance: https://example.org.");
	if (draft->closes_at < clock_now() + FORK_ASK_MIN || draft->closes_at > clock_now() + FORK_ASK_MAX)
		return fail_field(c, "/closes_at", "Members are asked for at least 7 days and at most 90.");
	return ERR_OK;
}

static enum err tell_members(struct call *c, struct uuid coop, struct uuid offer)
{
	return job_queue(c, "fork.tell", uuid_format(c->arena, offer), job_args(c->arena, coop, "offer", offer), clock_now());
}

enum err fork_offer_make(struct call *c, struct uuid coop, const struct fork_draft *draft, struct fork_offer *out)
{
	struct charter charter;
	struct member me;
	struct rows r;
	struct uuid id = uuid_new();
	TRY(draft_check(c, draft));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(fork_lock(c, coop));
	TRY(charter_current(c, coop, &charter));
	TRY(good_member(c, coop, &me));
	if (charter.admins_propose && !me.is_admin)
		return fail_reason(c, ERR_REFUSED, "admins_propose", "Under this charter only admins propose. Ask one of them.");
	TRY(db_one(c, offers_open, &r, A_UUID(coop)));
	if (row_int(&r, 0, 0) >= FORKS_OPEN)
		return fail_reason(c, ERR_REFUSED, "forks_open", "%d forks are offered already. Wait until one of them is decided.", FORKS_OPEN);
	TRY(db_one(c, offers_made, &r, A_UUID(coop), A_UUID(me.id)));
	if (row_int(&r, 0, 0) >= FORKS_A_MONTH)
		return fail_reason(c, ERR_REFUSED, "forks_made", "You have offered %d forks within 30 days, and every member was told of each. Let somebody else offer it, or wait.", FORKS_A_MONTH);
	TRY(db_exec(c, offer_insert, A_UUID(coop), A_UUID(id), A_STR(draft->title), A_STR(draft->place), A_STR(draft->reason), A_UUID(me.id), A_TIME(draft->closes_at)));
	TRY(tell_members(c, coop, id));
	TRY(job_queue(c, "fork.close", uuid_format(c->arena, id), job_args(c->arena, coop, "offer", id), draft->closes_at));
	struct str digest = sha256_hex(c->arena, sha256_of((struct str[]){ draft->title, STR("\n"), draft->place, STR("\n"), draft->reason }, 5));
	TRY(fork_leaf(c, coop, "fork.offered", id, me.id, str_fmt(c->arena, ",\"sha256\":\"%.*s\"", STR_ARG(digest))));
	TRY(fork_offer_get(c, coop, id, out));
	return db_commit(c);
}

enum err fork_offer_withdraw(struct call *c, struct uuid coop, struct uuid id, struct fork_offer *out)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(fork_lock(c, coop));
	TRY(good_member(c, coop, &me));
	TRY(fork_offer_get(c, coop, id, out));
	if (!uuid_eq(out->by, me.id) && !me.is_admin)
		return fail(c, ERR_FORBIDDEN, "Only who offered it, or an admin, takes it back.");
	if (out->state != FORK_OPEN && out->state != FORK_CLOSED)
		return fail_reason(c, ERR_STATE, "fork_state", "%s", fork_state_sentence(out->state));
	TRY(db_exec(c, offer_state, A_UUID(coop), A_UUID(id), A_Z(fork_state_word(FORK_WITHDRAWN))));
	TRY(fork_leaf(c, coop, "fork.withdrawn", id, me.id, STR("")));
	TRY(fork_offer_get(c, coop, id, out));
	return db_commit(c);
}

/* ---- Answering ---- */

/* The commitment keeps what was said out of the public log, and the person can show it all the same. */
static enum err answer_leaf(struct call *c, struct uuid coop, struct uuid offer, struct uuid member, bool yes, const uint8_t salt[32])
{
	struct str id = uuid_format(c->arena, offer), who = uuid_format(c->arena, member);
	struct str said = str_fmt(c->arena, "{\"offer\":\"%.*s\",\"yes\":%s}", STR_ARG(id), yes ? "true" : "false");
	struct str commitment = sha256_hex(c->arena, ledger_commitment(salt, sha256(said)));
	struct str facts = str_fmt(c->arena, "{\"commitment\":\"%.*s\",\"member\":\"%.*s\",\"offer\":\"%.*s\"}", STR_ARG(commitment), STR_ARG(who), STR_ARG(id));
	return ledger_append(c, coop, &(struct leaf){ .type = "fork.answered", .data = facts, .by = member }, NULL);
}

static enum err answer_write(struct call *c, const struct fork_offer *offer, const struct member *me, bool yes, struct str *claim)
{
	struct rows r;
	struct sha256 hash;
	uint8_t salt[32];
	random_bytes(salt, sizeof(salt));
	*claim = yes ? code_new(c->arena, "claim", &hash) : STR_NONE;
	TRY(db_one(c, answer_count, &r, A_UUID(offer->coop), A_UUID(offer->id), A_UUID(me->id)));
	int no = (int)row_int(&r, 0, 0) + 1;
	if (no > ANSWERS_MAX)
		return fail_reason(c, ERR_REFUSED, "answers", "You have changed your mind %d times on this. What you said last stands.", ANSWERS_MAX);
	TRY(db_exec(c, answer_insert, A_UUID(offer->coop), A_UUID(offer->id), A_UUID(me->id), A_INT(no), A_BOOL(yes), A_BYTES(yes ? str_make(hash.b, 32) : STR_NONE),
		A_BYTES(str_make(salt, 32))));
	return answer_leaf(c, offer->coop, offer->id, me->id, yes, salt);
}

enum err fork_answer(struct call *c, struct uuid coop, struct uuid id, bool yes, struct fork_offer *out, struct str *claim)
{
	struct member me;
	*claim = STR_NONE;
	if (c->actor.kind != AUTH_SESSION && c->actor.kind != AUTH_TOKEN)
		return fail(c, ERR_FORBIDDEN, "Each says this for themselves.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(fork_lock(c, coop));
	TRY(good_member(c, coop, &me));
	TRY(fork_offer_get(c, coop, id, out));
	bool over = out->state != FORK_OPEN && out->state != FORK_CLOSED;
	if (over || (yes && (out->state != FORK_OPEN || clock_now() >= out->closes_at)))
		return fail_reason(c, ERR_STATE, "fork_state", "%s", over ? fork_state_sentence(out->state) : "The time to say yes is over. A yes can still be taken back.");
	if (!yes && !out->mine && out->answered)
		return db_commit(c);
	TRY(answer_write(c, out, &me, yes, claim));
	TRY(fork_offer_get(c, coop, id, out));
	return db_commit(c);
}

/* ---- Jobs ---- */

static struct str offer_notice(struct call *c, const struct fork_offer *offer, struct str slug)
{
	struct buf b;
	struct json_writer w;
	struct str id = uuid_format(c->arena, offer->id);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", str_fmt(c->arena, "A fork is offered: %.*s", STR_ARG(offer->title)));
	jw_kstr(&w, "text", str_fmt(c->arena, "%.*s offers to go on at %.*s. Nothing of yours goes along unless you say yes yourself, until %.*s; nobody can say it for you.",
		STR_ARG(offer->by_name), STR_ARG(offer->place), STR_ARG(words_minute(c->arena, offer->closes_at))));
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/forks/%.*s", STR_ARG(slug), STR_ARG(id)));
	jw_end_object(&w);
	return buf_take(c->arena, &b);
}

/* One piece; *last moves on to the last member told, and stands still when there is nobody left. */
static enum err tell_piece(struct call *c, struct uuid coop, struct uuid id, int64_t *last)
{
	struct fork_offer offer;
	struct rows r, slug;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(fork_offer_get(c, coop, id, &offer));
	TRY(db_query(c, members_to_tell, &r, A_UUID(coop), A_INT((int)*last), A_INT(TELL_CHUNK)));
	if (r.n == 0 || offer.state != FORK_OPEN)
		return db_commit(c);
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 1);
	TRY(db_one(c, offer_place, &slug, A_UUID(coop)));
	struct notice n = { .kind = "fork.offered", .coop = coop, .key = uuid_format(c->arena, id), .data = offer_notice(c, &offer, row_str(&slug, 0, 0)) };
	TRY(notify_many(c, &n, accounts, (size_t)r.n));
	*last = row_int(&r, r.n - 1, 0);
	return db_commit(c);
}

static enum err job_tell(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	int64_t last = -1, before;
	TRY(job_args_read(c, args, "offer", &coop, &id));
	do {
		struct arena_mark mark = arena_mark(c->arena);
		before = last;
		TRY(tell_piece(c, coop, id, &last));
		arena_rewind(c->arena, mark);
		if (last != before)
			TRY(job_extend(c));
	} while (last != before);
	return ERR_OK;
}

static enum err job_close(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct fork_offer offer;
	TRY(job_args_read(c, args, "offer", &coop, &id));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(fork_lock(c, coop));
	TRY(fork_offer_get(c, coop, id, &offer));
	if (offer.state != FORK_OPEN || clock_now() < offer.closes_at)
		return db_commit(c);
	TRY(db_exec(c, offer_state, A_UUID(coop), A_UUID(id), A_Z(fork_state_word(FORK_CLOSED))));
	TRY(fork_leaf(c, coop, "fork.closed", id, (struct uuid){ { 0 } }, str_fmt(c->arena, ",\"yes\":%lld", (long long)offer.yes)));
	return db_commit(c);
}

const struct job_kind fork_jobs[] = {
	{ "fork.tell", job_tell, 10, 120 },
	{ "fork.close", job_close, 20, 60 },
	{ "fork.feed", fork_job_feed, 5, 120 },
	JOB_TABLE_END
};
