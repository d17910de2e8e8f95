#include "server/coop/coop_internal.h"

/* Consent to purposes, acceptance of the co-op's defaults, and the licence of new contributions: rows are added, the last one stands. */

SQL(consent_insert,
	"INSERT INTO consent (coop_id, member_id, state, purposes, notice, defaults, at, expires_at, defaults_until, salt) "
	"VALUES ($1, $2, $3, $4, $5, $6, commonhold_now(), $7, $8, $9)");
SQL(consent_last, "SELECT state, purposes, notice, defaults, at, expires_at FROM consent WHERE coop_id = $1 AND member_id = $2 ORDER BY seq DESC LIMIT 1");
SQL(licence_insert, "INSERT INTO licence_choice (coop_id, member_id, licence, at) VALUES ($1, $2, $3, commonhold_now())");
SQL(licence_last, "SELECT licence FROM licence_choice WHERE coop_id = $1 AND member_id = $2 ORDER BY seq DESC LIMIT 1");

enum err consent_of_member(struct call *c, struct uuid coop, struct uuid member, struct consent *out)
{
	struct rows r;
	TRY(db_query(c, consent_last, &r, A_UUID(coop), A_UUID(member)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "Nothing has been said about consent yet.");
	*out = (struct consent){
		.state = row_str(&r, 0, 0), .notice = (int)row_int(&r, 0, 2), .defaults = row_bool(&r, 0, 3), .at = row_time(&r, 0, 4), .expires_at = row_time(&r, 0, 5),
	};
	out->n_purposes = row_strs(c->arena, &r, 0, 1, &out->purposes);
	return ERR_OK;
}

bool consent_stands(const struct consent *consent)
{
	return str_is(consent->state, "given") || str_is(consent->state, "renewed");
}

/* What was said, in canonical form: the commitment in the log is to these bytes. */
static struct str consent_said(struct arena *a, const struct consent *consent)
{
	struct buf b;
	buf_init(&b, LIMIT_BODY_SMALL);
	struct json_writer w;
	jw_init(&w, &b);
	jw_object(&w);
	jw_kbool(&w, "defaults", consent->defaults);
	jw_kint(&w, "notice", consent->notice);
	jw_key(&w, "purposes");
	jw_array(&w);
	for (size_t i = 0; i < consent->n_purposes; i++)
		jw_str(&w, consent->purposes[i]);
	jw_end_array(&w);
	jw_kstr(&w, "state", consent->state);
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err consent_write(struct call *c, const struct member *m, const struct consent *said, bool with_leaf)
{
	uint8_t salt[32];
	random_bytes(salt, sizeof salt);
	TRY(db_exec(c, consent_insert, A_UUID(m->coop), A_UUID(m->id), A_STR(said->state), A_TEXTS(said->purposes, said->n_purposes), A_INT(said->notice), A_BOOL(said->defaults),
		A_TIME(said->expires_at), A_TIME(m->due_at), A_BYTES(str_copy(c->arena, str_make(salt, sizeof salt)))));
	if (!with_leaf)
		return ERR_OK;
	return log_act(c, m->coop, consent_stands(said) ? "consent.given" : "consent.withdrawn", leaf_with_commitment(c, m->id, consent_said(c->arena, said), salt), m->id);
}

/* In the vocabulary's order and without doubles, so that the same consent reads the same. */
static enum err check_purposes(struct call *c, const struct str *purposes, size_t n, struct consent *out)
{
	uint32_t bits = 0;
	for (size_t i = 0; i < n; i++) {
		int no = policy_purpose_find(purposes[i].p ? purposes[i].p : "", purposes[i].n);
		if (no < 0) {
			error_fault(&c->error, c->arena, str_fmt(c->arena, "/purposes/%zu", i), "There is no such purpose.");
			return error_set(&c->error, ERR_INVALID, "Some fields are not right.");
		}
		bits |= POLICY_BIT(no);
	}
	if (!bits)
		return fail_field(c, "/purposes", "Name at least one purpose, or withdraw your consent.");
	out->purposes = ARENA_ARRAY(c->arena, POLICY_PURPOSE_COUNT, struct str);
	for (unsigned no = 0; no < POLICY_PURPOSE_COUNT; no++)
		if (bits & POLICY_BIT(no))
			out->purposes[out->n_purposes++] = str_of(policy_purpose_name(no));
	return ERR_OK;
}

/* `shown`: 0 where whoever calls has read the charter in force under a lock, or says nothing about it. */
static enum err consent_to(struct call *c, const struct member *m, int shown, const struct str *purposes, size_t n, bool accept_defaults)
{
	struct charter charter;
	struct consent said = { .defaults = accept_defaults }, before;
	TRY(check_purposes(c, purposes, n, &said));
	TRY(charter_current(c, m->coop, &charter));
	if (shown && shown != charter.version)
		return fail_reason(c, ERR_STATE, "charter_changed", "The charter has changed since you were shown it. Read what it says now, and give your consent again if you agree.");
	enum err known = consent_of_member(c, m->coop, m->id, &before);
	if (known != ERR_OK && known != ERR_NOT_FOUND)
		return known;
	error_clear(&c->error);
	said.state = known == ERR_OK && consent_stands(&before) ? STR("renewed") : STR("given");
	said.notice = charter.version;
	/* An applicant has no checkup yet: theirs will come that long after admission. */
	instant due = m->due_at != INSTANT_NONE ? m->due_at : duration_add(clock_now(), charter.checkup_every, 1);
	said.expires_at = duration_add(due, charter.grace, 1);
	return consent_write(c, m, &said, true);
}

enum err consent_say(struct call *c, const struct member *m, const struct str *purposes, size_t n, bool accept_defaults)
{
	return consent_to(c, m, 0, purposes, n, accept_defaults);
}

enum err consent_give_shown(struct call *c, struct uuid coop, int shown, const struct str *purposes, size_t n, bool accept_defaults)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(require_member(c, coop, &me));
	TRY(consent_to(c, &me, shown, purposes, n, accept_defaults));
	return db_commit(c);
}

enum err consent_give(struct call *c, struct uuid coop, const struct str *purposes, size_t n, bool accept_defaults)
{
	return consent_give_shown(c, coop, 0, purposes, n, accept_defaults);
}

enum err consent_take_back(struct call *c, const struct member *m)
{
	struct consent before;
	TRY(consent_of_member(c, m->coop, m->id, &before));
	if (!consent_stands(&before))
		return fail(c, ERR_STATE, "No consent stands that could be withdrawn.");
	before.state = STR("withdrawn");
	before.defaults = false;
	return consent_write(c, m, &before, true);
}

enum err consent_withdraw(struct call *c, struct uuid coop)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(require_member(c, coop, &me));
	TRY(consent_take_back(c, &me));
	return db_commit(c);
}

enum err consent_end(struct call *c, const struct member *m, const char *state)
{
	struct consent before;
	enum err known = consent_of_member(c, m->coop, m->id, &before);
	if (known == ERR_NOT_FOUND || (known == ERR_OK && !consent_stands(&before))) {
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(known);
	before.state = str_of(state);
	before.defaults = false;
	return consent_write(c, m, &before, false); /* the leaf of leaving tells it */
}

enum err consent_current(struct call *c, struct uuid coop, struct consent *out)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(consent_of_member(c, coop, me.id, out));
	return db_commit(c);
}

/* ---- Licence ---- */

static bool allowed(const struct charter *charter, unsigned licence)
{
	return licence != POLICY_LICENCE_UNKNOWN && licence < 64 && (charter->licences_allowed >> licence & 1);
}

enum err licence_say(struct call *c, const struct member *m, struct str spdx)
{
	struct charter charter;
	TRY(charter_current(c, m->coop, &charter));
	unsigned licence = spdx.p ? policy_licence_find(spdx.p, spdx.n) : POLICY_LICENCE_UNKNOWN;
	if (licence == POLICY_LICENCE_UNKNOWN)
		return fail_field(c, "/licence", "This server knows no licence of this name.");
	if (!allowed(&charter, licence))
		return fail_field(c, "/licence", "The charter does not allow this licence.");
	struct str name = str_of(policy_licence_get(licence)->spdx);
	TRY(db_exec(c, licence_insert, A_UUID(m->coop), A_UUID(m->id), A_STR(name)));
	return log_act(c, m->coop, "licence.chosen", leaf_about_member(c, m->id, "licence", name), m->id);
}

enum err licence_choose(struct call *c, struct uuid coop, struct str spdx)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(require_member(c, coop, &me));
	TRY(licence_say(c, &me, spdx));
	return db_commit(c);
}

enum err licence_of_member(struct call *c, const struct charter *charter, struct uuid member, unsigned *licence, bool *own)
{
	struct rows r;
	TRY(db_query(c, licence_last, &r, A_UUID(charter->coop), A_UUID(member)));
	struct str chosen = r.n == 1 ? row_str(&r, 0, 0) : STR("");
	unsigned no = policy_licence_find(chosen.p, chosen.n);
	*own = r.n == 1;
	*licence = allowed(charter, no) ? no : charter->licence_default; /* a choice that a later charter no longer allows is void for what is new */
	return ERR_OK;
}

enum err licence_current(struct call *c, struct uuid coop, unsigned *licence, bool *own)
{
	struct member me;
	struct charter charter;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(charter_current(c, coop, &charter));
	TRY(licence_of_member(c, &charter, me.id, licence, own));
	return db_commit(c);
}
