/* Asking, deciding, granting, revoking. */
#include "access_internal.h"

#include "commonhold/ledger.h"

/* A grant may be renewed this long before it ends. */
#define RENEW_WITHIN (30 * CLOCK_DAY)

#define REQUEST_COLUMNS \
	"q.id, q.account_id, q.release_id, g.id, a.name, q.purpose, q.description, q.organisation, q.state, q.reason, q.terms_sha256, q.created_at, q.decided_at"
#define REQUEST_FROM \
	" FROM access_request q JOIN account a ON a.id = q.account_id LEFT JOIN access_grant g ON g.coop_id = q.coop_id AND g.request_id = q.id "

SQL(request_insert,
	"INSERT INTO access_request (coop_id, id, account_id, release_id, purpose, description, organisation, terms_sha256, state, created_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', commonhold_now())");
SQL(request_by_id, "SELECT " REQUEST_COLUMNS REQUEST_FROM "WHERE q.coop_id = $1 AND q.id = $2");
SQL(request_lock, "SELECT state FROM access_request WHERE coop_id = $1 AND id = $2 FOR UPDATE");
SQL(request_decide,
	"UPDATE access_request SET state = $3, decided_at = commonhold_now(), decided_by = $4, reason = $5 WHERE coop_id = $1 AND id = $2");
SQL(request_page,
	"SELECT " REQUEST_COLUMNS REQUEST_FROM
	"WHERE q.coop_id = $1 AND ($2::uuid IS NULL OR q.account_id = $2) AND ($3::text IS NULL OR q.state = $3) "
	"AND ($4::timestamptz IS NULL OR (q.created_at, q.id) < ($4, $5)) ORDER BY q.created_at DESC, q.id DESC LIMIT $6");
SQL(grant_insert,
	"INSERT INTO access_grant (coop_id, id, request_id, account_id, release_id, purpose, terms_sha256, granted_at, granted_by, expires_at, purge_days) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, commonhold_now(), $8, $9, $10)");
SQL(grant_by_id, "SELECT " GRANT_COLUMNS GRANT_FROM "WHERE g.coop_id = $1 AND g.id = $2");
SQL(grant_lock, "SELECT revoked_at FROM access_grant WHERE coop_id = $1 AND id = $2 FOR UPDATE");
SQL(grant_revoke, "UPDATE access_grant SET revoked_at = commonhold_now(), revoked_by = $3, reason = $4 WHERE coop_id = $1 AND id = $2");
SQL(grant_page,
	"SELECT " GRANT_COLUMNS GRANT_FROM
	"WHERE g.coop_id = $1 AND ($2::uuid IS NULL OR g.account_id = $2) AND ($3::timestamptz IS NULL OR (g.granted_at, g.id) < ($3, $4)) "
	"ORDER BY g.granted_at DESC, g.id DESC LIMIT $5");
SQL(grant_held,
	"SELECT EXISTS (SELECT FROM access_grant WHERE coop_id = $1 AND account_id = $2 AND release_id IS NOT DISTINCT FROM $3 AND purpose = $4 AND terms_sha256 = $5 "
	"AND revoked_at IS NULL AND expires_at > $6 AND (granted_by IS NOT NULL OR $7))");

static const struct db_constraint constraints[] = {
	{ "one_pending_request_per_person", ERR_EXISTS, NULL, "You have asked for this already; it is not decided yet." },
	DB_CONSTRAINTS_END
};

static struct access_request request_of_row(const struct rows *r, int i)
{
	return (struct access_request){
		.id = row_uuid(r, i, 0), .account = row_uuid(r, i, 1), .release = row_uuid(r, i, 2), .grant = row_uuid(r, i, 3), .account_name = row_str(r, i, 4),
		.purpose = row_str(r, i, 5), .description = row_str(r, i, 6), .organisation = row_str(r, i, 7), .state = row_str(r, i, 8), .reason = row_str(r, i, 9),
		.terms = sha256_load(row_bytes(r, i, 10)), .created_at = row_time(r, i, 11), .decided_at = row_time(r, i, 12),
	};
}

struct access_grant grant_of_row(const struct rows *r, int i)
{
	return (struct access_grant){
		.id = row_uuid(r, i, 0), .request = row_uuid(r, i, 1), .account = row_uuid(r, i, 2), .release = row_uuid(r, i, 3), .account_name = row_str(r, i, 4),
		.purpose = row_str(r, i, 5), .terms = sha256_load(row_bytes(r, i, 6)), .granted_at = row_time(r, i, 7), .expires_at = row_time(r, i, 8),
		.revoked_at = row_time(r, i, 9), .automatic = row_bool(r, i, 10), .purge_days = (int)row_int(r, i, 11),
	};
}

enum err require_account(struct call *c)
{
	return uuid_is_nil(c->actor.account) ? fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED)) : ERR_OK;
}

static enum err purpose_number(struct call *c, struct str name, unsigned *purpose)
{
	int no = policy_purpose_find(name.p ? name.p : "", name.n);
	if (no < 0)
		return fail_field(c, "/purpose", "There is no such purpose.");
	*purpose = (unsigned)no;
	return ERR_OK;
}

static struct str id_or_null(struct arena *a, struct uuid u)
{
	return uuid_is_nil(u) ? STR("null") : str_fmt(a, "\"%.*s\"", STR_ARG(uuid_format(a, u)));
}

/* The log names ids and no people. */
static enum err note_request(struct call *c, struct uuid coop, const char *type, const struct access_request *q)
{
	struct str id = uuid_format(c->arena, q->id), release = id_or_null(c->arena, q->release);
	return ledger_append(c, coop, &(struct leaf){ .type = type,
		.data = str_fmt(c->arena, "{\"release\":%.*s,\"request\":\"%.*s\"}", STR_ARG(release), STR_ARG(id)) }, NULL);
}

enum err note_grant(struct call *c, struct uuid coop, const char *type, const struct access_grant *g)
{
	struct str id = uuid_format(c->arena, g->id), request = uuid_format(c->arena, g->request), release = id_or_null(c->arena, g->release);
	return ledger_append(c, coop, &(struct leaf){ .type = type,
		.data = str_fmt(c->arena, "{\"grant\":\"%.*s\",\"release\":%.*s,\"request\":\"%.*s\"}", STR_ARG(id), STR_ARG(release), STR_ARG(request)) }, NULL);
}

static enum err request_get(struct call *c, struct uuid coop, struct uuid id, struct access_request *out)
{
	struct rows r;
	TRY(db_one(c, request_by_id, &r, A_UUID(coop), A_UUID(id)));
	*out = request_of_row(&r, 0);
	return ERR_OK;
}

static enum err grant_get(struct call *c, struct uuid coop, struct uuid id, struct access_grant *out)
{
	struct rows r;
	TRY(db_one(c, grant_by_id, &r, A_UUID(coop), A_UUID(id)));
	*out = grant_of_row(&r, 0);
	return ERR_OK;
}

/* Writes the grant of a request and its leaf, and closes the request. `by` is nil where nobody decided. Inside. */
static enum err grant_make(struct call *c, struct uuid coop, const struct access_offer *offer, struct access_request *q, struct uuid by, struct str reason, struct access_grant *out)
{
	struct uuid id = uuid_new();
	instant ends = duration_add(clock_now(), offer->grant_life, 1);
	TRY(db_exec(c, request_decide, A_UUID(coop), A_UUID(q->id), A_Z("granted"), A_UUID_OR_NULL(by), A_STR(reason.p ? reason : STR(""))));
	TRY(db_exec(c, grant_insert, A_UUID(coop), A_UUID(id), A_UUID(q->id), A_UUID(q->account), A_UUID_OR_NULL(q->release), A_STR(q->purpose),
		A_BYTES(str_make(q->terms.b, 32)), A_UUID_OR_NULL(by), A_TIME(ends), A_INT(offer->purge_days)));
	TRY(grant_get(c, coop, id, out));
	TRY(request_get(c, coop, q->id, q));
	return note_grant(c, coop, "access.granted", out);
}

/* The release that is asked about, if one is, and what is on offer. Inside. */
static enum err offer_for(struct call *c, struct uuid coop, struct uuid release, const struct release *r, struct access_offer *out)
{
	return access_offer_of(c, coop, uuid_is_nil(release) ? NULL : r, out);
}

static enum err check_ask(struct call *c, const struct access_offer *offer, unsigned purpose, struct sha256 terms)
{
	if (offer->audience == POLICY_AUDIENCE_PUBLIC)
		return fail_reason(c, ERR_REFUSED, "public", "This is public: nobody needs to ask.");
	if (!access_purpose_covered(purpose, offer->purposes))
		return fail_field(c, "/purpose", "Releases of this co-op are not for this purpose.");
	return offer_fits(c, offer, purpose, terms, false);
}

enum err access_ask(struct call *c, struct uuid coop, struct uuid release, struct str purpose, struct str description, struct str organisation, struct sha256 terms,
	struct access_request *out, struct access_grant *grant)
{
	struct release r = { 0 };
	struct access_offer offer;
	struct rows held;
	unsigned no = 0;
	struct uuid id = uuid_new();
	*grant = (struct access_grant){ 0 };
	db_constraints(constraints);
	TRY(require_account(c));
	description = str_trim(description.p ? description : STR(""));
	organisation = str_trim(organisation.p ? organisation : STR(""));
	TRY(purpose_number(c, purpose, &no));
	TRY(call_check_text(c, "/description", description, 10, LIMIT_TEXT_NOTE));
	TRY(call_check_text(c, "/organisation", organisation, 0, LIMIT_TEXT_NAME));
	if (!uuid_is_nil(release)) {
		TRY(release_read(c, coop, release, &r));
		TRY(release_usable(c, &r, true));
	}
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(access_require_unblocked(c, coop, c->actor.account));
	TRY(offer_for(c, coop, release, &r, &offer));
	TRY(check_ask(c, &offer, no, terms));
	bool automatic = offer.audience == POLICY_AUDIENCE_GATED_AUTO;
	TRY(db_one(c, grant_held, &held, A_UUID(coop), A_UUID(c->actor.account), A_UUID_OR_NULL(release), A_Z(policy_purpose_name(no)), A_BYTES(str_make(terms.b, 32)),
		A_TIME(clock_now() + RENEW_WITHIN), A_BOOL(automatic)));
	if (row_bool(&held, 0, 0))
		return fail_reason(c, ERR_EXISTS, "grant_held", "You hold a grant for this already. It can be renewed in its last 30 days.");
	TRY(db_exec(c, request_insert, A_UUID(coop), A_UUID(id), A_UUID(c->actor.account), A_UUID_OR_NULL(release), A_Z(policy_purpose_name(no)), A_STR(description),
		A_STR(organisation), A_BYTES(str_make(terms.b, 32))));
	TRY(request_get(c, coop, id, out));
	TRY(note_request(c, coop, "access.asked", out));
	if (automatic)
		TRY(grant_make(c, coop, &offer, out, (struct uuid){ { 0 } }, STR_NONE, grant));
	return db_commit(c);
}

static enum err refuse(struct call *c, struct uuid coop, struct access_request *q, struct str reason)
{
	if (reason.n < 3)
		return fail_field(c, "/reason", "Say why; the one who asked will read it.");
	TRY(db_exec(c, request_decide, A_UUID(coop), A_UUID(q->id), A_Z("refused"), A_UUID_OR_NULL(c->actor.account), A_STR(reason)));
	TRY(request_get(c, coop, q->id, q));
	return note_request(c, coop, "access.refused", q);
}

/* What was true when they asked must be true when it is granted. */
static enum err admit(struct call *c, struct uuid coop, const struct release *r, struct access_request *q, struct str reason, struct access_grant *out)
{
	struct access_offer offer;
	unsigned no = 0;
	TRY(access_require_unblocked(c, coop, q->account));
	TRY(offer_for(c, coop, q->release, r, &offer));
	TRY(purpose_number(c, q->purpose, &no));
	if (memcmp(&q->terms, &offer.terms_sha256, sizeof(q->terms)) != 0)
		return fail_reason(c, ERR_STATE, "terms_changed", "The terms changed since they were accepted. The one who asked must accept the present ones.");
	TRY(offer_fits(c, &offer, no, q->terms, false));
	struct uuid by = c->actor.account;
	if (uuid_is_nil(by))
		return fail(c, ERR_FORBIDDEN, "A person must decide this.");
	return grant_make(c, coop, &offer, q, by, reason, out);
}

enum err access_decide(struct call *c, struct uuid coop, struct uuid request, bool grant, struct str reason, struct access_request *out, struct access_grant *granted)
{
	struct release r = { 0 };
	struct rows locked;
	*granted = (struct access_grant){ 0 };
	reason = str_trim(reason.p ? reason : STR(""));
	TRY(call_check_text(c, "/reason", reason, 0, LIMIT_TEXT_NOTE));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(request_get(c, coop, request, out));
	TRY(db_commit(c));
	if (grant && !uuid_is_nil(out->release)) {
		TRY(release_read(c, coop, out->release, &r));
		TRY(release_usable(c, &r, true));
	}
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(db_one(c, request_lock, &locked, A_UUID(coop), A_UUID(request)));
	if (!str_is(row_str(&locked, 0, 0), "pending"))
		return fail(c, ERR_STATE, "This request is %.*s already.", STR_ARG(row_str(&locked, 0, 0)));
	if (grant)
		TRY(admit(c, coop, &r, out, reason, granted));
	else
		TRY(refuse(c, coop, out, reason));
	return db_commit(c);
}

enum err access_revoke(struct call *c, struct uuid coop, struct uuid grant, struct str reason, struct access_grant *out)
{
	struct rows locked;
	bool admin;
	reason = str_trim(reason.p ? reason : STR(""));
	TRY(call_check_text(c, "/reason", reason, 0, LIMIT_TEXT_NOTE));
	if (c->actor.kind != AUTH_SYSTEM)
		TRY(require_account(c));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_is_admin(c, coop, &admin));
	TRY(db_one(c, grant_lock, &locked, A_UUID(coop), A_UUID(grant)));
	TRY(grant_get(c, coop, grant, out));
	if (!admin && !uuid_eq(out->account, c->actor.account))
		return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	if (out->revoked_at != INSTANT_NONE)
		return db_commit(c);
	TRY(db_exec(c, grant_revoke, A_UUID(coop), A_UUID(grant), A_UUID_OR_NULL(c->actor.account), A_STR(reason)));
	TRY(grant_get(c, coop, grant, out));
	TRY(note_grant(c, coop, "access.revoked", out));
	return db_commit(c);
}

/* Whose rows a list shows: everybody's, for an admin who asks for them, or one's own. Inside. */
static enum err list_whose(struct call *c, struct uuid coop, bool all, struct uuid *account)
{
	*account = (struct uuid){ { 0 } };
	if (all)
		return member_require_admin(c, coop);
	*account = c->actor.account;
	return require_account(c);
}

enum err access_requests(struct call *c, struct uuid coop, bool all, struct str state, struct str cursor, int limit, struct access_request **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct uuid whose;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(list_whose(c, coop, all, &whose));
	TRY(db_finish(c, request_page, &r, A_UUID(coop), A_UUID_OR_NULL(whose), A_STR(state), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n, struct access_request);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = request_of_row(&r, (int)i);
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].created_at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}

enum err access_grants(struct call *c, struct uuid coop, bool all, struct str cursor, int limit, struct access_grant **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct uuid whose;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(list_whose(c, coop, all, &whose));
	TRY(db_finish(c, grant_page, &r, A_UUID(coop), A_UUID_OR_NULL(whose), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n, struct access_grant);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = grant_of_row(&r, (int)i);
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].granted_at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}
