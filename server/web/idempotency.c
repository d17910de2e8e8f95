/* Idempotency-Key: the first answer to a write is kept under the caller's key for a day and given again, so that a client that lost the answer may ask again without doing
 * the thing twice. The kept answer is sealed: it may hold a secret that is told only once.
 *
 * While the first request is being answered the row has no status. A second one then gets 409 and asks again later. When the first died on the way the row stays so until
 * it expires: it may have been carried out, and nobody may carry it out again under this key.
 */
#include "server/web/web.h"

#include "commonhold/db.h"

SQL(idempotency_expire, "DELETE FROM idempotency WHERE actor = $1 AND key = $2 AND expires < commonhold_now()");
SQL(idempotency_forget, "DELETE FROM idempotency WHERE expires < commonhold_now()");
SQL(idempotency_claim,
	"INSERT INTO idempotency AS i (actor, key, route, request_hash, created_at, expires) "
	"VALUES ($1, $2, $3, $4, commonhold_now(), commonhold_now() + interval '24 hours') "
	"ON CONFLICT (actor, key) DO UPDATE SET actor = i.actor "
	"RETURNING (xmax = 0), request_hash, status, headers, body");
SQL(idempotency_keep, "UPDATE idempotency SET status = $3, headers = $4, body = $5 WHERE actor = $1 AND key = $2 AND status IS NULL");
SQL(idempotency_drop, "DELETE FROM idempotency WHERE actor = $1 AND key = $2 AND status IS NULL");

static bool is_key(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 0x21 || s.p[i] > 0x7E)
			return false;
	}
	return s.n >= 1 && s.n <= 255;
}

static void idempotency_actor(struct exchange *x)
{
	struct arena *a = x->call.arena;
	struct sha256 h = hmac_sha256(str_make(x->server->secret, sizeof(x->server->secret)), x->session.p ? x->session : x->address);
	bool account = !uuid_is_nil(x->call.actor.account);
	struct str name = account ? uuid_format(a, x->call.actor.account) : str_hex(a, h.b, 16);
	snprintf(x->key_actor, sizeof(x->key_actor), "%.*s", STR_ARG(name));
}

static struct str request_digest(struct exchange *x)
{
	struct hasher *h = hasher_new(x->call.arena);
	const struct str parts[] = { x->method, x->rq.path, x->rq.query, x->rq.body };
	for (size_t i = 0; i < CH_LEN(parts); i++) {
		uint64_t n = parts[i].n;
		hasher_add(h, &n, sizeof(n));
		hasher_add(h, parts[i].p, parts[i].n);
	}
	struct sha256 *digest = ARENA_NEW(x->call.arena, struct sha256), plain = hasher_end(h);
	/* Keyed: whoever has the database alone cannot try out what was sent. */
	*digest = hmac_sha256(str_make(x->server->secret, sizeof(x->server->secret)), str_make(plain.b, sizeof(plain.b)));
	return str_make(digest->b, sizeof(digest->b));
}

static struct seal_key answer_key(const struct exchange *x)
{
	struct seal_key k;
	struct sha256 derived = hmac_sha256(str_make(x->server->secret, sizeof(x->server->secret)), STR("idempotency"));
	memcpy(k.b, derived.b, sizeof(k.b));
	return k;
}

static struct str answer_context(struct exchange *x)
{
	return str_fmt(x->call.arena, "%s %.*s", x->key_actor, STR_ARG(x->key));
}

/* The kept answer as the present one: sealed are the length of the header lines, the lines, and the body; in the clear stands the content type. */
static enum err answer_repeat(struct exchange *x, int status, struct str type, struct str sealed)
{
	struct call *c = &x->call;
	struct seal_key key = answer_key(x);
	struct str kept, length;
	int64_t headers;
	if (!unseal(c->arena, &key, answer_context(x), sealed, &kept) || !str_split(&kept, '\n', &length) || !str_to_i64(length, 0, (int64_t)kept.n, &headers))
		return fail(c, ERR_CORRUPT, "A kept answer cannot be opened.");
	x->rs.status = status;
	x->rs.content_type = type.n ? str_z(c->arena, type) : NULL;
	buf_add_str(&x->rs.headers, str_sub(kept, 0, (size_t)headers));
	response_header(&x->rs, "Idempotency-Replayed", STR("true"));
	buf_add_str(&x->rs.body, str_sub(kept, (size_t)headers, kept.n));
	return ERR_OK;
}

static enum err claim_answer(struct exchange *x, const struct rows *r, struct str digest, bool *repeated)
{
	struct call *c = &x->call;
	if (row_bool(r, 0, 0)) {
		x->idempotent = true;
		return ERR_OK;
	}
	if (!str_eq(row_bytes(r, 0, 1), digest))
		return fail(c, ERR_IDEMPOTENCY, "%s", err_text(ERR_IDEMPOTENCY));
	if (row_null(r, 0, 2)) {
		x->retry_after = 1;
		return fail_reason(c, ERR_CONFLICT, "idempotency_in_progress", "The first request with this Idempotency-Key has not been answered yet, or its answer was lost.");
	}
	*repeated = true;
	return answer_repeat(x, (int)row_int(r, 0, 2), row_str(r, 0, 3), row_bytes(r, 0, 4));
}

enum err idempotency_begin(struct exchange *x, bool *repeated)
{
	struct call *c = &x->call;
	struct rows rows;
	x->key = exchange_header(x, "Idempotency-Key");
	if (!x->key.p || !db_content_pool())
		return ERR_OK;
	if (!is_key(x->key)) {
		error_fault(&c->error, c->arena, STR("header/Idempotency-Key"), "This must be 1 to 255 visible ASCII characters.");
		return error_set(&c->error, ERR_BAD_REQUEST, "The Idempotency-Key is not usable.");
	}
	idempotency_actor(x);
	struct str digest = request_digest(x);
	TRY(db_begin(c, DB_WRITE));
	TRY(db_queue(c, idempotency_expire, A_Z(x->key_actor), A_STR(x->key)));
	TRY(db_finish(c, idempotency_claim, &rows, A_Z(x->key_actor), A_STR(x->key), A_Z(x->rq.route->id), A_BYTES(digest)));
	return claim_answer(x, &rows, digest, repeated);
}

static enum err answer_keep(struct exchange *x)
{
	struct call *c = &x->call;
	struct seal_key key = answer_key(x);
	struct str headers = buf_str(&x->rs.headers), body = buf_str(&x->rs.body);
	struct str plain = str_fmt(c->arena, "%zu\n%.*s%.*s", headers.n, STR_ARG(headers), STR_ARG(body));
	struct str sealed = seal(c->arena, &key, answer_context(x), plain);
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, idempotency_keep, NULL, A_Z(x->key_actor), A_STR(x->key), A_INT(x->rs.status), A_Z(x->rs.content_type ? x->rs.content_type : ""), A_BYTES(sealed));
}

static enum err answer_drop(struct exchange *x)
{
	struct call *c = &x->call;
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, idempotency_drop, NULL, A_Z(x->key_actor), A_STR(x->key));
}

void idempotency_end(struct exchange *x)
{
	struct error said = x->call.error;
	/* A fault of ours, or of the moment, changed nothing: the same request may be tried again. */
	bool settled = x->rs.status < 500 && x->rs.status != 429 && !x->rs.streamed;
	if ((settled ? answer_keep(x) : answer_drop(x)) != ERR_OK) {
		metric_add("commonhold_http_idempotency_lost_total", "", 1);
		db_rollback(&x->call);
	}
	x->call.error = said;
}

/* Nobody asks again for most of what is kept. */
static enum err job_forget(struct call *c, const struct json *args)
{
	(void)args;
	TRY(db_begin(c, DB_WRITE));
	return db_run_commit(c, &idempotency_forget, NULL, NULL, 0);
}

const struct job_kind web_jobs[] = {
	{ "web.forget", job_forget, 5, 120 },
	JOB_TABLE_END,
};
