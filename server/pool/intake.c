/* intake.c - who contributes, and what their co-op's charter says to that. */
#include "server/pool/pool_internal.h"
#include "server/pool/intake_rules.h"

#include "commonhold/db.h"

#include <pthread.h>

SQL(intake_find,
	"SELECT m.id, m.number, m.state, m.public_name IS NOT NULL, k.key_name, "
	"(SELECT max(version) FROM charter h WHERE h.coop_id = m.coop_id), "
	"(SELECT l.licence FROM licence_choice l WHERE l.coop_id = m.coop_id AND l.member_id = m.id ORDER BY l.seq DESC LIMIT 1) "
	"FROM membership m JOIN coop k ON k.id = m.coop_id WHERE m.coop_id = (SELECT commonhold_coop()) AND m.account_id = (SELECT commonhold_account())");

SQL(intake_again, "SELECT m.state, (SELECT max(version) FROM charter h WHERE h.coop_id = m.coop_id) FROM membership m WHERE m.coop_id = $1 AND m.id = $2");

#define RULES_KEPT 64 /* charters in memory: those of the co-ops that contribute right now */

static struct { pthread_mutex_t lock; struct intake_rules *kept[RULES_KEPT]; unsigned next; } cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct intake_rules *intake_rules_ref(struct intake_rules *r)
{
	__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

static void intake_rules_unref(struct intake_rules *r)
{
	if (r && __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) == 0)
		arena_free(r->arena);
}

static void unref_deferred(void *rules)
{
	intake_rules_unref(rules);
}

static struct intake_rules *rules_find(struct uuid coop, int version)
{
	struct intake_rules *found = NULL;
	pthread_mutex_lock(&cache.lock);
	for (size_t i = 0; i < RULES_KEPT && !found; i++)
		if (cache.kept[i] && cache.kept[i]->version == version && uuid_eq(cache.kept[i]->coop, coop))
			found = intake_rules_ref(cache.kept[i]);
	pthread_mutex_unlock(&cache.lock);
	return found;
}

static void rules_keep(struct intake_rules *r)
{
	pthread_mutex_lock(&cache.lock);
	struct intake_rules *old = cache.kept[cache.next];
	cache.kept[cache.next] = intake_rules_ref(r);
	cache.next = (cache.next + 1) % RULES_KEPT;
	pthread_mutex_unlock(&cache.lock);
	intake_rules_unref(old);
}

static enum intake_verdict verdict_of(struct str word)
{
	return str_is(word, "approve") ? INTAKE_APPROVE : str_is(word, "reject") ? INTAKE_REJECT : INTAKE_HOLD;
}

/* Schemas of records that the charter registers: {"records": {name: schema}}. Without that member any record is taken. */
static enum err records_compile(struct intake_rules *r, const struct json *charter, struct error *e)
{
	const struct json *records = json_get(charter, "records");
	r->records_registered = json_is(records, JSON_OBJECT);
	if (!r->records_registered)
		return ERR_OK;
	r->records = ARENA_ARRAY(r->arena, records->count, struct intake_record);
	json_each(schema, records) {
		r->records[r->n_records].name = schema->key;
		TRY(json_schema_compile(r->arena, schema, NULL, NULL, &r->records[r->n_records].schema, e));
		r->n_records++;
	}
	return ERR_OK;
}

static enum err rules_fill(struct intake_rules *r, const struct charter *charter, struct error *e)
{
	const struct json *json;
	r->kinds = charter->kinds;
	r->licence_default = charter->licence_default;
	r->licences = charter->licences_allowed;
	r->mode = verdict_of(charter->moderation_mode);
	r->pii_action = verdict_of(charter->pii_action);
	r->pii_threshold = charter->pii_threshold > 0 ? (unsigned)charter->pii_threshold : 1;
	TRY(json_parse(r->arena, str_copy(r->arena, charter->document), &json, e));
	return records_compile(r, json, e);
}

static enum err rules_make(struct call *c, struct uuid coop, int version, struct intake_rules **out)
{
	struct charter charter;
	TRY(charter_version(c, coop, version, &charter));
	struct arena *a = arena_new(INTAKE_RULES_BYTES);
	struct intake_rules *r = a ? ARENA_NEW(a, struct intake_rules) : NULL;
	if (!r) {
		arena_free(a);
		return fail(c, ERR_NO_MEMORY, "There is no memory for the co-op's rules.");
	}
	*r = (struct intake_rules){ .arena = a, .refs = 1, .coop = coop, .version = version };
	jmp_buf full;
	enum err err;
	if (setjmp(full)) {
		err = fail(c, ERR_NO_MEMORY, "The co-op's rules need more memory than they may have.");
	} else {
		arena_guard(a, &full);
		err = rules_fill(r, &charter, &c->error);
	}
	arena_guard(a, NULL);
	if (err != ERR_OK) {
		intake_rules_unref(r);
		return err;
	}
	rules_keep(r);
	*out = r;
	return ERR_OK;
}

bool intake_standing(struct str state)
{
	int standing = policy_standing_find(state.p, state.n);
	return standing == POLICY_STANDING_ACTIVE || standing == POLICY_STANDING_DUE || standing == POLICY_STANDING_GRACE;
}

int intake_version(const struct intake *in)
{
	return in->rules->version;
}

enum err intake_ask_again(struct call *c, const struct intake *in, struct rows *out)
{
	return db_ask(c, intake_again, out, A_UUID(in->coop), A_UUID(in->member));
}

enum err intake_still_open(struct call *c, const struct intake *in, const struct rows *asked)
{
	if (asked->n != 1)
		return fail(c, ERR_NOT_FOUND, "Only members contribute to a co-op's pool.");
	struct str state = row_str(asked, 0, 0);
	if (!intake_standing(state))
		return fail_reason(c, ERR_FORBIDDEN, "membership_standing", "Your membership is %.*s by now, so nothing more is taken.", STR_ARG(state));
	if (row_int(asked, 0, 1) != in->rules->version)
		return fail_reason(c, ERR_STATE, "charter_changed", "The co-op's charter changed in the meantime. Send the rest again.");
	return ERR_OK;
}

/* The member's own choice while the charter still allows it. */
static unsigned licence_for(const struct intake_rules *r, struct str chosen)
{
	unsigned own = chosen.n ? policy_licence_find(chosen.p, chosen.n) : POLICY_LICENCE_UNKNOWN;
	return own != POLICY_LICENCE_UNKNOWN && r->licences >> own & 1 ? own : r->licence_default;
}

/* What the database says about who contributes, all but the rules: those are of `version`. */
static enum err intake_read(struct call *c, struct uuid coop, const struct rows *r, struct intake *out, int *version)
{
	if (r->n == 0)
		return fail(c, ERR_NOT_FOUND, "Only members contribute to a co-op's pool.");
	struct str state = row_str(r, 0, 2);
	if (!intake_standing(state))
		return fail_reason(c, ERR_FORBIDDEN, "membership_standing", "Your membership is %.*s, so you cannot contribute at present.", STR_ARG(state));
	*version = (int)row_int(r, 0, 5);
	*out = (struct intake){
		.coop = coop, .member = row_uuid(r, 0, 0), .account = c->actor.account, .member_no = (uint32_t)row_int(r, 0, 1),
		.has_public_name = row_bool(r, 0, 3), .coop_name = row_str(r, 0, 4), .rules = rules_find(coop, *version),
	};
	return ERR_OK;
}

static enum err intake_finish(struct call *c, const struct rows *r, struct intake *in)
{
	arena_defer(c->arena, unref_deferred, in->rules);
	in->licence = licence_for(in->rules, row_str(r, 0, 6));
	return keyring_make(c, in->coop, in->member, &in->key);
}

enum err intake_open(struct call *c, struct uuid coop, struct intake *out)
{
	struct rows r;
	int version;
	TRY(db_query0(c, intake_find, &r));
	TRY(intake_read(c, coop, &r, out, &version));
	if (!out->rules)
		TRY(rules_make(c, coop, version, &out->rules));
	return intake_finish(c, &r, out);
}

struct pool_asked_intake { struct rows rows; };

enum err pool_ask_intake(struct call *c, struct pool_asked_intake **out)
{
	*out = ARENA_NEW(c->arena, struct pool_asked_intake);
	return db_ask_run(c, &intake_find, &(*out)->rows, NULL, 0);
}

enum err intake_take(struct call *c, struct uuid coop, const struct pool_asked_intake *asked, struct intake *out)
{
	int version;
	if (asked) {
		TRY(intake_read(c, coop, &asked->rows, out, &version));
		if (out->rules)
			return intake_finish(c, &asked->rows, out);
	}
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(intake_open(c, coop, out));
	return db_commit(c);
}
