/* Sessions: a browser that is signed in. How one comes to have one is sign_in.c's matter. */
#include "server/account/account_internal.h"

#define SESSION_AGENT_MAX 200  /* characters of the browser's own name that are kept */
#define TOUCH_EVERY CLOCK_HOUR /* how precisely the last use of a session or token is known */

SQL(session_insert,
	"INSERT INTO session (id, account_id, secret_hash, created_at, seen_at, expires_at, agent, how, factor) "
	"VALUES ($1, $2, $3, commonhold_now(), commonhold_now(), $4, $5, $6, $7)");
SQL(session_touch, "UPDATE session SET seen_at = commonhold_now() WHERE id = $1");
SQL(token_touch, "UPDATE token SET used_at = date_trunc('hour', commonhold_now()) WHERE id = $1");
SQL(session_delete, "DELETE FROM session WHERE id = $1 AND account_id = $2");
SQL(session_delete_others, "DELETE FROM session WHERE account_id = $1 AND id IS DISTINCT FROM $2");
SQL(challenge_delete_all, "DELETE FROM sign_in_challenge WHERE account_id = $1");
SQL(link_end_all, "UPDATE sign_in_link SET used_at = commonhold_now() WHERE account_id = $1 AND used_at IS NULL AND purpose <> 'verify'");
SQL(session_of_account,
	"SELECT id, created_at, seen_at, expires_at, agent, how, factor FROM session WHERE account_id = $1 AND expires_at > commonhold_now() ORDER BY seen_at DESC, id LIMIT 200");
SQL(browser_seen,
	"WITH known AS (SELECT count(*) AS n FROM account_browser WHERE account_id = $1), "
	"added AS (INSERT INTO account_browser (account_id, agent_sha256, first_seen_at) VALUES ($1, $2, commonhold_now()) ON CONFLICT DO NOTHING RETURNING 1) "
	"SELECT (SELECT n FROM known) > 0 AND EXISTS (SELECT FROM added)");

SQL(session_forget, "DELETE FROM session WHERE expires_at <= commonhold_now()");
SQL(challenge_forget, "DELETE FROM sign_in_challenge WHERE expires_at <= commonhold_now()");
SQL(token_forget, "DELETE FROM token WHERE least(revoked_at, expires_at) <= commonhold_now() - interval '90 days'");
SQL(link_forget, "DELETE FROM sign_in_link WHERE expires_at <= commonhold_now() - interval '7 days'");
SQL(flow_forget, "DELETE FROM oidc_flow WHERE expires_at <= commonhold_now() - interval '1 day'");
SQL(delay_forget, "DELETE FROM sign_in_delay WHERE last_at <= commonhold_now() - interval '2 days'");

const char *how_name(enum sign_in_how how)
{
	static const char *const names[] = { [HOW_PASSWORD] = "password", [HOW_LINK] = "link", [HOW_OIDC] = "oidc", [HOW_OPERATOR] = "operator" };
	return names[how];
}

/* The longest beginning of at most n characters, cut at a character's end. */
static struct str beginning(struct str s, size_t n)
{
	size_t at = 0, seen = 0;
	while (at < s.n && (seen < n || ((uint8_t)s.p[at] & 0xc0) == 0x80))
		seen += ((uint8_t)s.p[at++] & 0xc0) != 0x80;
	while (at < s.n && ((uint8_t)s.p[at] & 0xc0) == 0x80)
		at++;
	return str_sub(s, 0, at);
}

/* A browser is the same one when its version has changed. */
static struct sha256 agent_kind(struct arena *a, struct str agent)
{
	char *to = arena_alloc(a, agent.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < agent.n; i++)
		if (agent.p[i] < '0' || agent.p[i] > '9')
			to[n++] = agent.p[i];
	return sha256(str_make(to, n));
}

static void become(struct call *c, struct uuid session, const struct account *who)
{
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = who->id, .session = session, .email = who->email, .name = who->name };
	if (who->locale.n)
		c->locale = who->locale;
}

enum err session_open(struct call *c, const struct account *who, enum sign_in_how how, bool factor, struct str agent, struct str *secret)
{
	struct sha256 stored;
	struct rows r;
	struct uuid id = uuid_new();
	*secret = secret_token_new(c->arena, "session", &stored);
	agent = agent.p && str_is_utf8(agent) ? beginning(agent, SESSION_AGENT_MAX) : STR("");
	struct sha256 kind = agent_kind(c->arena, agent);
	TRY(db_queue(c, session_insert, A_UUID(id), A_UUID(who->id), A_BYTES(str_make(stored.b, 32)), A_TIME(clock_now() + SESSION_LIFE), A_STR(agent), A_Z(how_name(how)),
		A_BOOL(factor)));
	TRY(db_one(c, browser_seen, &r, A_UUID(who->id), A_BYTES(str_make(kind.b, 32))));
	if (row_bool(&r, 0, 0))
		TRY(notice_new_sign_in(c, who, agent));
	become(c, id, who);
	return ERR_OK;
}

enum err session_start_for(struct call *c, struct uuid account, struct str agent, struct str *secret)
{
	struct account who;
	struct actor before = c->actor;
	TRY(account_read(c, account, &who));
	TRY(db_begin(c, DB_WRITE));
	TRY(session_open(c, &who, c->actor.kind == AUTH_SYSTEM ? HOW_OPERATOR : HOW_PASSWORD, false, agent, secret));
	if (before.kind == AUTH_SYSTEM)
		c->actor = before;
	return db_commit(c);
}

enum err session_touched(struct call *c, instant seen)
{
	if (seen != INSTANT_NONE && clock_now() - seen < TOUCH_EVERY)
		return ERR_OK;
	TRY(db_begin(c, DB_WRITE));
	return db_run_commit(c, c->actor.kind == AUTH_TOKEN ? &token_touch : &session_touch, NULL, &A_UUID(c->actor.session), 1);
}

enum err session_end(struct call *c, struct uuid session)
{
	struct rows r;
	TRY(account_require(c));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, session_delete, &r, A_UUID(session), A_UUID(c->actor.account)));
	return r.affected == 1 ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such session.");
}

enum err session_end_others(struct call *c, struct uuid account, struct uuid but, int64_t *ended)
{
	struct rows r;
	TRY(db_queue(c, challenge_delete_all, A_UUID(account)));
	TRY(db_queue(c, link_end_all, A_UUID(account)));
	TRY(db_query(c, session_delete_others, &r, A_UUID(account), A_UUID_OR_NULL(but)));
	*ended = r.affected;
	return ERR_OK;
}

enum err session_end_all(struct call *c, bool own, int *ended)
{
	int64_t n;
	TRY(account_require(c));
	TRY(db_begin(c, DB_WRITE));
	TRY(session_end_others(c, c->actor.account, own || c->actor.kind != AUTH_SESSION ? (struct uuid){ { 0 } } : c->actor.session, &n));
	*ended = (int)n;
	return db_commit(c);
}

enum err session_list(struct call *c, struct session_row **out, size_t *n)
{
	struct rows r;
	TRY(account_require(c));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, session_of_account, &r, A_UUID(c->actor.account)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct session_row);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct session_row){
			.id = row_uuid(&r, i, 0), .created_at = row_time(&r, i, 1), .seen_at = row_time(&r, i, 2), .expires_at = row_time(&r, i, 3), .agent = row_str(&r, i, 4),
			.how = row_str(&r, i, 5), .factor = row_bool(&r, i, 6), .current = c->actor.kind == AUTH_SESSION && uuid_eq(row_uuid(&r, i, 0), c->actor.session),
		};
	return ERR_OK;
}

/* ---- What has had its time ---- */

static enum err job_forget(struct call *c, const struct json *args)
{
	(void)args;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_queue0(c, challenge_forget));
	TRY(db_queue0(c, link_forget));
	TRY(db_queue0(c, token_forget));
	TRY(db_queue0(c, flow_forget));
	TRY(db_queue0(c, delay_forget));
	return db_finish0(c, session_forget, NULL);
}

const struct job_kind account_jobs[] = {
	{ "account.forget", job_forget, 5, 120 },
	JOB_TABLE_END,
};
