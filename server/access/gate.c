/* What is on offer, what a grant opens, and the tokens made from it. */
#include "access_internal.h"

#include "commonhold/config.h"
#include "commonhold/json.h"

#define CANDIDATES 50 /* grants of one account that are looked at for one release */

SQL(grants_for_release,
	"SELECT " GRANT_COLUMNS GRANT_FROM
	"WHERE g.coop_id = $1 AND g.account_id = $2 ORDER BY (g.revoked_at IS NULL AND g.expires_at > commonhold_now() AND (g.release_id IS NULL OR g.release_id = ANY ($3))) DESC, "
	"g.granted_at DESC, g.id LIMIT $4");
SQL(grant_by_id, "SELECT " GRANT_COLUMNS GRANT_FROM "WHERE g.coop_id = $1 AND g.id = $2");
SQL(coops_with_log, "SELECT id FROM coop ORDER BY id");
SQL(log_prune, "DELETE FROM access_log WHERE coop_id = $1 AND at < $2");
/* Whoever said long ago that they hold it no more need not be remembered either. */
SQL(use_prune, "DELETE FROM access_use WHERE coop_id = $1 AND gone_at < $2 AND last_at <= gone_at");

bool access_purpose_covered(unsigned purpose, uint32_t purposes)
{
	return (policy_purpose_above(purpose) & purposes) != 0;
}

/* ---- what is on offer ---- */

static uint32_t name_bits(const struct json *names, int (*find)(const char *, size_t))
{
	uint32_t bits = 0;
	json_each (name, names) {
		int no = name->type == JSON_STRING ? find(name->text.p, name->text.n) : -1;
		if (no >= 0)
			bits |= POLICY_BIT(no);
	}
	return bits;
}

/* What a release was decided for stands in it, whatever the charter says by now. An audience that cannot be read is the narrowest. */
enum err offer_by_release(struct call *c, const struct release *r, struct access_offer *out)
{
	const struct json *spec;
	TRY(json_parse(c->arena, r->spec, &spec, &c->error));
	struct str name = json_member_text(spec, "audience");
	int audience = policy_audience_find(name.p ? name.p : "", name.n);
	out->audience = audience > 0 ? (uint8_t)audience : POLICY_AUDIENCE_MEMBERS;
	/* Something in it is under an agreement with another co-op that asks for more care. */
	struct str access = json_member_text(spec, "access");
	int asked = access.p ? policy_audience_find(access.p, access.n) : POLICY_AUDIENCE_PUBLIC;
	if (asked < out->audience)
		out->audience = asked > 0 ? (uint8_t)asked : POLICY_AUDIENCE_MEMBERS;
	out->purposes = name_bits(json_get(spec, "purposes"), policy_purpose_find);
	out->uses = (uint16_t)name_bits(json_get(spec, "uses"), policy_use_find);
	out->uses_conditional = (uint16_t)name_bits(json_get(spec, "uses_conditional"), policy_use_find);
	return ERR_OK;
}

static void narrow(struct access_offer *o, const struct charter *charter)
{
	int mode = policy_audience_find(charter->access.p ? charter->access.p : "", charter->access.n);
	if (mode <= 0)
		mode = POLICY_AUDIENCE_MEMBERS;
	if (mode < o->audience)
		o->audience = (uint8_t)mode;
}

enum err access_offer_of(struct call *c, struct uuid coop, const struct release *release, struct access_offer *out)
{
	struct charter charter;
	TRY(charter_current(c, coop, &charter));
	*out = (struct access_offer){
		.audience = charter.release_audience, .purposes = charter.release_purposes, .uses = charter.release_uses, .uses_conditional = charter.release_uses_conditional,
		.terms = charter.terms, .terms_sha256 = sha256(charter.terms), .token_life = charter.token_life, .grant_life = charter.grant_life,
		.purge_days = charter.purge_days,
	};
	if (release)
		TRY(offer_by_release(c, release, out));
	narrow(out, &charter);
	for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++)
		if (access_purpose_covered(p, out->purposes))
			out->purposes_covered |= POLICY_BIT(p);
	return ERR_OK;
}

enum err access_offer_read(struct call *c, struct uuid coop, const struct release *release, struct access_offer *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(access_offer_of(c, coop, release, out));
	return db_commit(c);
}

enum err offer_fits(struct call *c, const struct access_offer *offer, unsigned purpose, struct sha256 terms, bool automatic)
{
	if (memcmp(&terms, &offer->terms_sha256, sizeof(terms)) != 0)
		return error_hint(&c->error, ERR_TERMS, "Read the present terms and ask again.", "The terms that were accepted are not the present ones.");
	if (offer->audience < POLICY_AUDIENCE_GATED_MANUAL)
		return fail_reason(c, ERR_FORBIDDEN, "members_only", "This is for members of the co-op only.");
	if (!access_purpose_covered(purpose, offer->purposes))
		return fail_reason(c, ERR_FORBIDDEN, "purpose_not_covered", "The release is not for the purpose of this grant.");
	if (automatic && offer->audience < POLICY_AUDIENCE_GATED_AUTO)
		return fail_reason(c, ERR_FORBIDDEN, "needs_decision", "An admin must decide about access to this release. Ask again.");
	return ERR_OK;
}

/* ---- what a grant opens ---- */

static const bool has_files[RELEASE_STATE_COUNT] = { [RELEASE_PUBLISHED] = true, [RELEASE_SUPERSEDED] = true };
static const bool is_to_come[RELEASE_STATE_COUNT] = {
	[RELEASE_SCHEDULED] = true, [RELEASE_FROZEN] = true, [RELEASE_NOTICE] = true, [RELEASE_OPEN] = true, [RELEASE_PASSED] = true, [RELEASE_COOLING_OFF] = true,
	[RELEASE_BUILDING] = true,
};

/* As "withdrawn" in schemas/problem.json. */
static struct str withdrawn_facts(struct call *c, const struct release *r, const struct release *to, struct str patch, struct str coop)
{
	struct arena *a = c->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "version", r->version);
	jw_kstr(&w, "reason", r->withdrawn_why);
	jw_kstr(&w, "at", clock_format_or_none(a, r->withdrawn_at));
	jw_key(&w, "tombstones");
	if (r->tombstones_from >= 0) {
		jw_object(&w);
		jw_kint(&w, "from", r->tombstones_from);
		jw_kint(&w, "upto", r->tombstones_upto);
		jw_end_object(&w);
	} else {
		jw_null(&w);
	}
	int64_t since = r->tombstones_from >= 0 ? r->tombstones_from - 1 : -1;
	jw_kstr(&w, "feed", str_fmt(a, "/api/v1/coops/%.*s/tombstones?since=%lld", STR_ARG(coop), (long long)since));
	jw_kstr(&w, "move_to", to->version);
	jw_kstr(&w, "patch", patch.p ? str_fmt(a, "/api/v1/coops/%.*s/releases/%.*s/files/%.*s", STR_ARG(coop), STR_ARG(to->version), STR_ARG(patch)) : STR_NONE);
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* What was withdrawn, for which tombstones, and where to go from here. */
static enum err say_withdrawn(struct call *c, const struct release *r)
{
	struct release to = { 0 };
	struct str patch = STR_NONE;
	struct coop coop;
	TRY(db_begin_in(c, r->coop, DB_READ));
	TRY(coop_get(c, r->coop, &coop));
	enum err e = release_move_to(c, r, &to, &patch);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	error_clear(&c->error);
	TRY(db_commit(c));
	struct str facts = withdrawn_facts(c, r, &to, patch, coop.slug);
	if (to.version.p)
		e = fail_reason(c, ERR_GONE, "withdrawn", "This version was withdrawn. Delete your copies of it, and use version %.*s.", STR_ARG(to.version));
	else
		e = fail_reason(c, ERR_GONE, "withdrawn", "This version was withdrawn. Delete your copies of it. There is no other to use yet.");
	c->error.more_name = "withdrawn";
	c->error.more = facts;
	return e;
}

enum err release_usable(struct call *c, const struct release *r, bool ahead)
{
	if (has_files[r->state] || (ahead && is_to_come[r->state]))
		return ERR_OK;
	if (r->state == RELEASE_WITHDRAWN)
		return say_withdrawn(c, r);
	if (r->state == RELEASE_EXPIRED)
		return fail_reason(c, ERR_GONE, "expired", "This release was not built in time; there will be none.");
	return fail_reason(c, ERR_NOT_FOUND, "not_built", "This release has no files.");
}

/* The releases that a grant may name to open one: itself and, of a redaction, those that it is without what was erased. Whoever had got one of those must get the patch. */
struct lineage { struct uuid *ids; size_t n; };

/* Inside. */
static enum err lineage_of(struct call *c, const struct release *release, struct lineage *out)
{
	struct release at = *release;
	size_t room = 4;
	*out = (struct lineage){ ARENA_ARRAY(c->arena, room, struct uuid), 0 };
	for (;;) {
		if (out->n == room) {
			struct uuid *grown = ARENA_ARRAY(c->arena, room * 2, struct uuid);
			memcpy(grown, out->ids, room * sizeof(*grown));
			out->ids = grown;
			room *= 2;
		}
		out->ids[out->n++] = at.id;
		if (uuid_is_nil(at.redacts))
			return ERR_OK;
		TRY(release_get(c, at.coop, at.redacts, &at));
	}
}

static bool in_lineage(const struct lineage *l, struct uuid release)
{
	for (size_t i = 0; i < l->n; i++)
		if (uuid_eq(l->ids[i], release))
			return true;
	return false;
}

/* A grant against the release at this moment. */
static enum err grant_opens(struct call *c, const struct access_grant *g, const struct access_offer *offer, const struct lineage *line)
{
	int purpose = policy_purpose_find(g->purpose.p, g->purpose.n);
	if (g->revoked_at != INSTANT_NONE)
		return fail_reason(c, ERR_FORBIDDEN, "grant_revoked", "The grant was revoked.");
	if (clock_now() >= g->expires_at)
		return fail_reason(c, ERR_FORBIDDEN, "grant_expired", "The grant has expired. Ask again.");
	if (!uuid_is_nil(g->release) && !in_lineage(line, g->release))
		return fail_reason(c, ERR_FORBIDDEN, "other_release", "The grant is for another release.");
	return offer_fits(c, offer, purpose < 0 ? POLICY_PURPOSE_COUNT : (unsigned)purpose, g->terms, g->automatic);
}

static struct str scope_text(struct arena *a, struct uuid coop, struct uuid release)
{
	struct str c = uuid_format(a, coop), r = uuid_is_nil(release) ? STR("*") : uuid_format(a, release);
	return str_fmt(a, "download:%.*s:%.*s", STR_ARG(c), STR_ARG(r));
}

/* The grant that a token was made from, if the token is sound and for this release. Inside. */
static enum err grant_of_token(struct call *c, struct uuid coop, const struct lineage *line, struct str bearer, struct access_grant *out)
{
	struct token_claims claims;
	struct uuid id, subject;
	struct rows r;
	TRY(access_token_check(c->arena, instance_keys(), bearer, str_of(config()->base_url), clock_now(), &claims, &c->error));
	if (!str_eq(claims.issuer, str_of(config()->base_url)) || !uuid_parse(claims.grant, &id) || !uuid_parse(claims.subject, &subject))
		return fail(c, ERR_TOKEN_INVALID, "%s", err_text(ERR_TOKEN_INVALID));
	bool fits = str_eq(claims.scope, scope_text(c->arena, coop, (struct uuid){ { 0 } }));
	for (size_t i = 0; i < line->n; i++)
		fits = fits || str_eq(claims.scope, scope_text(c->arena, coop, line->ids[i]));
	if (!fits)
		return fail_reason(c, ERR_FORBIDDEN, "other_release", "The token is for something else.");
	TRY(db_query(c, grant_by_id, &r, A_UUID(coop), A_UUID(id)));
	if (r.n != 1)
		return fail_reason(c, ERR_FORBIDDEN, "no_grant", "The token's grant is not known here.");
	*out = grant_of_row(&r, 0);
	return uuid_eq(out->account, subject) ? ERR_OK : fail(c, ERR_TOKEN_INVALID, "%s", err_text(ERR_TOKEN_INVALID));
}

static enum err check_token(struct call *c, struct uuid coop, const struct release *release, const struct access_offer *offer, struct str bearer, struct uuid *grant)
{
	struct access_grant g;
	struct lineage line;
	TRY(lineage_of(c, release, &line));
	TRY(grant_of_token(c, coop, &line, bearer, &g));
	TRY(grant_opens(c, &g, offer, &line));
	c->actor.account = g.account;
	*grant = g.id;
	return ERR_OK;
}

/* Any of the account's grants will do; what is said is why the likeliest of them does not. */
static enum err check_account(struct call *c, struct uuid coop, const struct release *release, const struct access_offer *offer, struct uuid *grant)
{
	struct rows r;
	struct lineage line;
	struct error first = { 0 };
	TRY(lineage_of(c, release, &line));
	TRY(db_query(c, grants_for_release, &r, A_UUID(coop), A_UUID(c->actor.account), A_UUIDS(line.ids, line.n), A_INT(CANDIDATES)));
	for (int i = 0; i < r.n; i++) {
		struct access_grant g = grant_of_row(&r, i);
		if (grant_opens(c, &g, offer, &line) == ERR_OK) {
			*grant = g.id;
			return ERR_OK;
		}
		if (i == 0)
			first = c->error;
		error_clear(&c->error);
	}
	if (r.n == 0)
		return fail_reason(c, ERR_FORBIDDEN, "no_grant", "Access to this release is granted on request. Ask for it first.");
	c->error = first;
	return first.code;
}

static enum err check_member(struct call *c, struct uuid coop)
{
	struct member me;
	enum err e = member_of_actor(c, coop, &me);
	bool stands = e == ERR_OK && in_good_standing(me.state);
	if (stands || (e != ERR_OK && e != ERR_NOT_FOUND))
		return e;
	return fail_reason(c, ERR_FORBIDDEN, "members_only", "This is for members of the co-op only.");
}

static enum err check_inside(struct call *c, struct uuid coop, const struct release *release, struct str bearer, struct uuid *grant)
{
	struct access_offer offer;
	TRY(access_offer_of(c, coop, release, &offer));
	if (offer.audience == POLICY_AUDIENCE_PUBLIC)
		return ERR_OK;
	if (bearer.p)
		return check_token(c, coop, release, &offer, bearer, grant);
	TRY(require_account(c));
	if (offer.audience == POLICY_AUDIENCE_MEMBERS)
		return check_member(c, coop);
	return check_account(c, coop, release, &offer, grant);
}

enum err access_check(struct call *c, struct uuid coop, const struct release *release, struct str bearer, struct uuid *grant)
{
	*grant = (struct uuid){ { 0 } };
	TRY(release_usable(c, release, false));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(check_inside(c, coop, release, bearer, grant));
	return db_commit(c);
}

/* ---- tokens ---- */

static enum err token_make(struct call *c, const struct access_grant *g, struct uuid coop, struct duration life, struct str *jwt, instant *expires)
{
	instant now = clock_now();
	*expires = duration_add(now, life, 1);
	if (*expires > g->expires_at)
		*expires = g->expires_at;
	*expires -= *expires % CLOCK_SECOND;
	struct str base = str_of(config()->base_url);
	struct token_claims claims = {
		.issuer = base, .audience = base, .subject = uuid_format(c->arena, g->account), .scope = scope_text(c->arena, coop, g->release),
		.grant = uuid_format(c->arena, g->id), .issued = now, .expires = *expires,
	};
	return access_token_make(c->arena, instance_keys(), &claims, jwt, &c->error);
}

enum err access_token(struct call *c, struct uuid coop, struct uuid grant, struct str *jwt, instant *expires)
{
	struct access_offer line;
	struct rows r;
	TRY(require_account(c));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_one(c, grant_by_id, &r, A_UUID(coop), A_UUID(grant)));
	struct access_grant g = grant_of_row(&r, 0);
	if (!uuid_eq(g.account, c->actor.account))
		return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	TRY(access_offer_of(c, coop, NULL, &line));
	TRY(db_commit(c));
	if (g.revoked_at != INSTANT_NONE)
		return fail_reason(c, ERR_FORBIDDEN, "grant_revoked", "The grant was revoked.");
	if (clock_now() >= g.expires_at)
		return fail_reason(c, ERR_FORBIDDEN, "grant_expired", "The grant has expired. Ask again.");
	if (memcmp(&g.terms, &line.terms_sha256, sizeof(g.terms)) != 0)
		return error_hint(&c->error, ERR_TERMS, "Read the present terms and ask again.", "The terms that were accepted are not the present ones.");
	return token_make(c, &g, coop, line.token_life, jwt, expires);
}

/* ---- the log of downloads ---- */

enum err access_log_prune(struct call *c, struct uuid coop, int64_t *deleted)
{
	struct charter charter;
	struct rows r;
	*deleted = 0;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(charter_current(c, coop, &charter));
	instant before = duration_add(clock_now(), charter.retention_access_log, -1);
	if (before < clock_now()) {
		TRY(db_query(c, log_prune, &r, A_UUID(coop), A_TIME(before)));
		*deleted = r.affected;
		TRY(db_exec(c, use_prune, A_UUID(coop), A_TIME(before)));
	}
	if (*deleted > 0)
		TRY(ledger_append(c, coop, &(struct leaf){ .type = "access.log_pruned", .data = str_fmt(c->arena, "{\"rows\":%lld}", (long long)*deleted) }, NULL));
	return db_commit(c);
}

static enum err job_prune(struct call *c, const struct json *args)
{
	struct rows r;
	int64_t deleted;
	(void)args;
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, coops_with_log, &r));
	TRY(db_commit(c));
	for (int i = 0; i < r.n; i++)
		TRY(access_log_prune(c, row_uuid(&r, i, 0), &deleted));
	return ERR_OK;
}

const struct job_kind access_jobs[] = {
	{ "access.prune", job_prune, 5, 300 },
	JOB_TABLE_END,
};
