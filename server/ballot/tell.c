#include "commonhold/db.h"
#include "commonhold/notify.h"
#include "commonhold/words.h"

#include "ballot_internal.h"

/* Notices about ballots, each given at most once per person: by the roll (before it is frozen, by the members), in pieces, from jobs that are queued with the act itself. */

#define TELL_CHUNK 2000 /* people told in one transaction */

/* Everybody after a number: on the roll once there is one. */
SQL(people_to_tell,
	"SELECT m.number, m.account_id FROM membership m WHERE m.coop_id = $1 AND m.number > $3 AND m.state IN ('active', 'due', 'grace') "
	"AND (NOT EXISTS (SELECT FROM ballot b WHERE b.coop_id = $1 AND b.id = $2 AND b.state <> 'notice') "
	"  OR EXISTS (SELECT FROM ballot_roll r WHERE r.coop_id = $1 AND r.ballot_id = $2 AND r.member_id = m.id)) ORDER BY m.number LIMIT $4");
SQL(principals_to_tell,
	"SELECT m.account_id, coalesce(ballot_choice_for($1, $2, $3, m.number), ballot_own_choice($1, $2, $3)) "
	"FROM ballot_represented($1, $2, $3, $4, $5, commonhold_now(), $6) x JOIN membership m ON m.coop_id = $1 AND m.number = x.member_no "
	"JOIN ballot_roll r ON r.coop_id = $1 AND r.ballot_id = $2 AND r.member_no = x.member_no WHERE x.choice IS NULL");
SQL(represents_anyone, "SELECT EXISTS (SELECT FROM delegation_now n JOIN membership m ON m.coop_id = $1 AND m.id = $2 WHERE n.coop_id = $1 AND n.delegate_no = m.number "
	"AND n.question = 0 AND n.state IN ('asked', 'standing', 'suspended'))");
SQL(coop_and_delegate, "SELECT c.slug, m.number, " MEMBER_NAME " FROM coop c JOIN membership m ON m.coop_id = c.id AND m.id = $2 WHERE c.id = $1");
SQL(coop_slug, "SELECT slug FROM coop WHERE id = $1");

enum err ballot_tell(struct call *c, struct uuid coop, struct uuid ballot, const char *event)
{
	struct str coop_id = uuid_format(c->arena, coop), id = uuid_format(c->arena, ballot);
	struct str args = str_fmt(c->arena, "{\"coop\":\"%.*s\",\"ballot\":\"%.*s\",\"event\":\"%s\"}", STR_ARG(coop_id), STR_ARG(id), event);
	return job_queue(c, "ballot.tell", str_fmt(c->arena, "%.*s %s", STR_ARG(id), event), args, clock_now());
}

#define TELL_AFTER (2 * CLOCK_MINUTE) /* a delegate who corrects a vote at once tells once */

enum err ballot_tell_principals(struct call *c, struct uuid coop, struct uuid ballot, struct uuid delegate)
{
	struct rows r;
	TRY(db_one(c, represents_anyone, &r, A_UUID(coop), A_UUID(delegate)));
	if (!row_bool(&r, 0, 0))
		return ERR_OK;
	struct str coop_id = uuid_format(c->arena, coop), id = uuid_format(c->arena, ballot), who = uuid_format(c->arena, delegate);
	struct str args = str_fmt(c->arena, "{\"coop\":\"%.*s\",\"ballot\":\"%.*s\",\"delegate\":\"%.*s\"}", STR_ARG(coop_id), STR_ARG(id), STR_ARG(who));
	return job_queue(c, "ballot.acted", str_fmt(c->arena, "%.*s %.*s", STR_ARG(id), STR_ARG(who)), args, clock_now() + TELL_AFTER);
}

/* ---- Roll ---- */

static struct str counts_words(struct arena *a, const struct ballot *b)
{
	const struct ballot_tally *t = &b->members;
	return str_fmt(a, "%d for, %d against, %d abstained, %d undecided of %d", t->yes, t->no, t->abstain, t->undecided, t->roll);
}

static struct str event_text(struct arena *a, const struct ballot *b, struct str event)
{
	struct str opens = words_minute(a, b->opens_at), closes = words_minute(a, b->closes_at);
	if (str_is(event, "announced"))
		return str_fmt(a, "Voting begins on %.*s and ends on %.*s.", STR_ARG(opens), STR_ARG(closes));
	if (str_is(event, "opened"))
		return str_fmt(a, "You may vote until %.*s. Whoever you let decide for you will, unless you vote yourself.", STR_ARG(closes));
	if (str_is(event, "extended"))
		return str_fmt(a, "The outcome changed shortly before the end, so voting goes on until %.*s, once.", STR_ARG(closes));
	return str_fmt(a, "It %s: %.*s.", b->state == BALLOT_PASSED ? "passed" : "did not pass", STR_ARG(counts_words(a, b)));
}

static struct str event_data(struct call *c, const struct ballot *b, struct str event, struct str slug)
{
	static const char *const heads[][2] = {
		{ "announced", "A ballot is announced" }, { "opened", "A ballot is open" }, { "extended", "A ballot is extended" }, { "closed", "A ballot is over" },
	};
	struct arena *a = c->arena;
	struct buf buf;
	struct json_writer w;
	const struct json *rule;
	const char *head = "A ballot";
	for (size_t i = 0; i < CH_LEN(heads); i++)
		if (str_is(event, heads[i][0]))
			head = heads[i][1];
	buf_init(&buf, 64 * KIB);
	jw_init(&w, &buf);
	jw_object(&w);
	jw_kstr(&w, "title", str_fmt(a, "%s: %.*s", head, STR_ARG(b->title)));
	jw_kstr(&w, "text", event_text(a, b, event));
	jw_kstr(&w, "url", str_fmt(a, "/coops/%.*s/ballots/%.*s", STR_ARG(slug), STR_ARG(uuid_format(a, b->id))));
	jw_kstr(&w, "ballot", b->question);
	jw_kstr(&w, "opens", clock_format(a, b->opens_at));
	jw_kstr(&w, "closes", clock_format(a, b->closes_at));
	if (json_parse(a, b->rule, &rule, &c->error) == ERR_OK)
		jw_kstr(&w, "rule", ballot_rule_words(a, rule));
	if (str_is(event, "closed")) {
		jw_kz(&w, "outcome", b->state == BALLOT_PASSED ? "passed" : "not passed");
		jw_kstr(&w, "counts", counts_words(a, b));
	}
	jw_end_object(&w);
	struct str text = str_copy(a, buf_str(&buf));
	buf_release(&buf);
	return text;
}

/* Whether what is to be told is still so: a ballot may have been cancelled, or have closed, since. */
static bool still_so(const struct ballot *b, struct str event)
{
	if (str_is(event, "announced"))
		return b->state == BALLOT_NOTICE;
	return str_is(event, "closed") ? b->state == BALLOT_PASSED || b->state == BALLOT_FAILED : b->state == BALLOT_OPEN;
}

/* One piece; *last moves on to the last member told, and stands still when there is nobody left. */
static enum err tell_piece(struct call *c, struct uuid coop, struct uuid ballot, struct str event, int64_t *last)
{
	struct ballot b;
	struct rows r, slug;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ballot_find(c, coop, ballot, &b));
	TRY(db_query(c, people_to_tell, &r, A_UUID(coop), A_UUID(ballot), A_I64(*last), A_INT(TELL_CHUNK)));
	if (r.n == 0 || !still_so(&b, event))
		return db_commit(c);
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 1);
	TRY(db_one(c, coop_slug, &slug, A_UUID(coop)));
	const char *kind = str_z(c->arena, str_fmt(c->arena, "ballot.%.*s", STR_ARG(event)));
	struct notice n = { .kind = kind, .coop = coop, .key = uuid_format(c->arena, ballot), .data = event_data(c, &b, event, row_str(&slug, 0, 0)) };
	TRY(notify_many(c, &n, accounts, (size_t)r.n));
	*last = row_int(&r, r.n - 1, 0);
	return db_commit(c);
}

enum err ballot_job_tell(struct call *c, const struct json *args)
{
	struct uuid coop, ballot;
	int64_t last = -1, before;
	TRY(job_args_read(c, args, "ballot", &coop, &ballot));
	do {
		struct arena_mark mark = arena_mark(c->arena);
		before = last;
		TRY(tell_piece(c, coop, ballot, json_member_text(args, "event"), &last));
		arena_rewind(c->arena, mark);
		if (last != before)
			TRY(job_extend(c));
	} while (last != before);
	return ERR_OK;
}

/* ---- Principals ---- */

static struct str act_data(struct call *c, const struct ballot *b, struct str slug, struct str delegate, struct str choice)
{
	struct arena *a = c->arena;
	struct buf buf;
	struct json_writer w;
	bool shown = !str_is(b->visibility, "closed");
	buf_init(&buf, 64 * KIB);
	jw_init(&w, &buf);
	jw_object(&w);
	jw_kstr(&w, "title", str_fmt(a, "%.*s voted for you: %.*s", STR_ARG(delegate), STR_ARG(b->title)));
	if (shown)
		jw_kstr(&w, "text", str_fmt(a, "Your delegate %.*s chose %.*s for you. If you want otherwise, vote yourself until %.*s: your own vote goes first.", STR_ARG(delegate),
			STR_ARG(choice), STR_ARG(words_minute(a, b->closes_at))));
	else
		jw_kstr(&w, "text", str_fmt(a, "Your delegate %.*s voted; how is hidden until the end. If you want to decide yourself, vote until %.*s: your own vote goes first.", STR_ARG(delegate),
			STR_ARG(words_minute(a, b->closes_at))));
	jw_kstr(&w, "url", str_fmt(a, "/coops/%.*s/ballots/%.*s", STR_ARG(slug), STR_ARG(uuid_format(a, b->id))));
	jw_kstr(&w, "delegate", delegate);
	jw_kstr(&w, "scope", b->title);
	if (shown)
		jw_kstr(&w, "choice", choice);
	jw_end_object(&w);
	struct str text = str_copy(a, buf_str(&buf));
	buf_release(&buf);
	return text;
}

/* Those for whom the delegate's vote is `choice`. */
static enum err tell_choice(struct call *c, const struct ballot *b, const struct rows *r, struct str slug, struct str delegate, struct uuid who, const char *choice)
{
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r->n, struct uuid);
	size_t n = 0;
	for (int i = 0; i < r->n; i++)
		if (str_is(row_str(r, i, 1), choice))
			accounts[n++] = row_uuid(r, i, 0);
	if (n == 0)
		return ERR_OK;
	/* What is hidden must not show by a second notice either. */
	const char *told = str_is(b->visibility, "closed") ? "voted" : choice;
	struct notice notice = {
		.kind = "delegation.act", .coop = b->coop, .data = act_data(c, b, slug, delegate, str_of(choice)),
		.key = str_fmt(c->arena, "%.*s %.*s %s", STR_ARG(uuid_format(c->arena, b->id)), STR_ARG(uuid_format(c->arena, who)), told),
	};
	return notify_many(c, &notice, accounts, n);
}

enum err ballot_job_acted(struct call *c, const struct json *args)
{
	struct uuid coop, ballot, delegate;
	struct ballot b;
	struct charter charter;
	struct rows who, r;
	TRY(job_args_read(c, args, "ballot", &coop, &ballot));
	TRY(job_args_read(c, args, "delegate", &coop, &delegate));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ballot_find(c, coop, ballot, &b));
	if (b.state != BALLOT_OPEN)
		return db_commit(c);
	TRY(charter_version(c, coop, b.charter, &charter));
	TRY(db_one(c, coop_and_delegate, &who, A_UUID(coop), A_UUID(delegate)));
	TRY(db_query(c, principals_to_tell, &r, A_UUID(coop), A_UUID(ballot), A_INT((int)row_int(&who, 0, 1)), A_INT((int)ballot_topic_of(b.kind)), A_I64((int64_t)delegation_target(b.id)),
		A_INT(charter.delegation_depth)));
	for (unsigned choice = BALLOT_FOR; choice < BALLOT_CHOICE_COUNT; choice++)
		TRY(tell_choice(c, &b, &r, row_str(&who, 0, 0), row_str(&who, 0, 2), delegate, ballot_choice_name(choice)));
	return db_commit(c);
}
