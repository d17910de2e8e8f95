#include "checkup_internal.h"

#include "commonhold/notify.h"

/* What happens to checkups without anybody answering: questions asked out of turn, and the counting of what went out. */

SQL(asked_accounts,
	"SELECT m.account_id FROM membership m WHERE m.coop_id = $1 AND m.state IN ('active', 'due', 'grace') AND EXISTS (SELECT FROM (SELECT state, defaults, notice FROM consent c "
	"WHERE c.coop_id = $1 AND c.member_id = m.id ORDER BY seq DESC LIMIT 1) c WHERE c.state IN ('given', 'renewed') AND c.notice < $2 AND (c.defaults OR $3 <> 'default'))");
SQL(accounts_of_members, "SELECT DISTINCT account_id FROM membership WHERE coop_id = $1 AND id = ANY ($2)");

/* ---- Asking ---- */

/* Everybody whose line rests now is told, once. */
static enum err tell_accounts(struct call *c, struct uuid coop_id, const struct demand *d, const struct rows *r)
{
	struct coop coop;
	struct buf b;
	struct json_writer w;
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r->n + 1, struct uuid);
	for (int i = 0; i < r->n; i++)
		accounts[i] = row_uuid(r, i, 0);
	TRY(coop_get(c, coop_id, &coop));
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "reason", d->words);
	jw_kstr(&w, "text", str_fmt(c->arena, "%.*s Until you answer, what you said before counts as unsaid in %.*s.", STR_ARG(d->words), STR_ARG(coop.name)));
	jw_kz(&w, "title", "Something changed that you should answer");
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/checkup", STR_ARG(coop.slug)));
	jw_end_object(&w);
	struct notice notice = {
		.kind = "checkup.off_cycle", .coop = coop_id, .essential = true, .data = buf_take(c->arena, &b),
		.key = str_fmt(c->arena, "%.*s %.*s %.*s", STR_ARG(uuid_format(c->arena, coop_id)), STR_ARG(d->line),
			STR_ARG(uuid_is_nil(d->ballot) ? clock_format(c->arena, clock_now()) : uuid_format(c->arena, d->ballot))),
	};
	return notify_many(c, &notice, accounts, (size_t)r->n);
}

static enum err ask_about_delegations(struct call *c, struct uuid coop, const struct demand *d)
{
	struct uuid *members;
	struct rows r;
	size_t n;
	TRY(demand_delegations_again(c, coop, d, str_is(d->line, "board"), &members, &n));
	if (n == 0)
		return ERR_OK;
	TRY(db_query(c, accounts_of_members, &r, A_UUID(coop), A_UUIDS(members, n)));
	return tell_accounts(c, coop, d, &r);
}

static enum err ask_line(struct call *c, struct uuid coop, const struct demand *d)
{
	struct rows r;
	bool made;
	if (str_is(d->line, "delegations") || str_is(d->line, "board"))
		return ask_about_delegations(c, coop, d);
	TRY(demand_make(c, coop, d, (struct uuid){ { 0 } }, &made));
	if (!made)
		return ERR_OK;
	TRY(db_query(c, asked_accounts, &r, A_UUID(coop), A_INT(d->charter), A_STR(d->line)));
	return tell_accounts(c, coop, d, &r);
}

#define ASKED_LINES 8
#define WORDS_MAX 1900 /* bytes of what is said about a change */

/* The beginning of a text, whole characters of it. */
static struct str clipped(struct str text)
{
	size_t n = text.n < WORDS_MAX ? text.n : WORDS_MAX;
	while (n && n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	return str_sub(text, 0, n);
}

/* Several changes may concern one line: it is asked once, for all of them. */
static size_t gather(struct call *c, const struct json *args, struct demand *out)
{
	size_t n = 0;
	json_each(v, json_get(args, "lines")) {
		struct str line = json_member_text(v, "line"), words = json_member_text(v, "words");
		size_t at = 0;
		while (at < n && !str_eq(out[at].line, line))
			at++;
		if (at == ASKED_LINES || !line.n || !words.n)
			continue;
		if (at < n) {
			out[at].words = str_fmt(c->arena, "%.*s %.*s", STR_ARG(out[at].words), STR_ARG(words));
			continue;
		}
		out[n++] = (struct demand){ .line = line, .words = words,
			.reason = str_is(line, "licence") ? line : str_is(line, "delegations") || str_is(line, "board") ? STR("delegate") : json_member_text(v, "reason") };
	}
	return n;
}

static enum err off_cycle_run(struct call *c, const struct json *args)
{
	struct demand asked[ASKED_LINES];
	struct uuid coop, ballot = { { 0 } };
	struct charter charter;
	int64_t version = json_int(json_get(args, "charter"), 0);
	struct str with = json_member_text(args, "ballot");
	size_t n = gather(c, args, asked);
	if (!uuid_parse(json_member_text(args, "coop"), &coop) || (with.n && !uuid_parse(with, &ballot)))
		return fail(c, ERR_INTERNAL, "The job does not say which co-op asks.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(charter_current(c, coop, &charter));
	for (size_t i = 0; i < n; i++) {
		asked[i].ballot = ballot;
		asked[i].charter = version > 0 ? (int)version : charter.version;
		asked[i].words = clipped(asked[i].words);
		TRY(ask_line(c, coop, &asked[i]));
	}
	return db_commit(c);
}

static enum err count_run(struct call *c, const struct json *args)
{
	struct uuid coop, release;
	TRY(job_args_read(c, args, "release", &coop, &release));
	return count_release(c, coop, release);
}

const struct job_kind checkup_jobs[] = {
	{ "checkup.off_cycle", off_cycle_run, 10, 300 },
	{ "checkup.count", count_run, 10, 300 },
	JOB_TABLE_END,
};
