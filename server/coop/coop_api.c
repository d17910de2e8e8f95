#include "commonhold/coop.h"

#include "commonhold/crypto.h"
#include "commonhold/ledger.h"
#include "commonhold/routes.h"
#include "server/coop/choices.h"
#include "server/coop/coop_internal.h"

/* Co-ops, charters and memberships over JSON. What one says about one's own contributions is in choices_api.c. */

/* ---- Co-ops ---- */

static void coop_write(struct json_writer *w, struct arena *a, const struct coop *coop)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, coop->id));
	jw_kstr(w, "key_name", coop->key_name);
	jw_kstr(w, "slug", coop->slug);
	jw_kstr(w, "name", coop->name);
	jw_kstr(w, "domain", coop->domain);
	jw_kstr(w, "region", coop->region);
	jw_key(w, "languages");
	jw_array(w);
	for (size_t i = 0; i < coop->n_languages; i++)
		jw_str(w, coop->languages[i]);
	jw_end_array(w);
	jw_kstr(w, "admission", coop->admission);
	jw_kstr(w, "public_key", minisign_public_key(a, coop->public_key));
	jw_kstr(w, "founded_at", clock_format(a, coop->founded_at));
	jw_kint(w, "charter_version", coop->charter_version);
	jw_kint(w, "members", coop->members);
	jw_kint(w, "contributions", coop->contributions);
	jw_kint(w, "releases", coop->releases);
	jw_end_object(w);
}

static enum err list_coops(struct request *rq, struct response *rs)
{
	struct coop *coops;
	size_t n;
	struct str next;
	struct coop_filter filter = {
		.domain = request_query(rq, "domain"), .region = request_query(rq, "region"), .language = request_query(rq, "language"), .text = request_query(rq, "text"),
	};
	TRY(request_page(rq, &filter.cursor, &filter.limit));
	TRY(coop_list(rq->call, &filter, &coops, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		coop_write(&w, rq->call->arena, &coops[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err found_coop(struct request *rq, struct response *rs)
{
	struct coop coop;
	TRY(coop_found(rq->call, json_member_text(rq->json, "slug"), json_get(rq->json, "charter"), &coop));
	response_header(rs, "Location", str_fmt(rq->call->arena, "/api/v1/coops/%.*s", STR_ARG(coop.slug)));
	struct json_writer w = response_json(rs);
	coop_write(&w, rq->call->arena, &coop);
	return ERR_OK;
}

static enum err read_coop(struct request *rq, struct response *rs)
{
	struct coop coop;
	TRY(coop_read(rq->call, rq->coop.id, &coop));
	struct json_writer w = response_json(rs);
	coop_write(&w, rq->call->arena, &coop);
	return ERR_OK;
}

/* ---- Charters ---- */

static enum err list_charters(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct charter_row *rows;
	size_t n;
	TRY(charter_list(rq->call, rq->coop.id, &rows, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kint(&w, "version", rows[i].version);
		jw_kstr(&w, "sha256", sha256_hex(a, rows[i].digest));
		jw_kstr(&w, "ballot", uuid_format_or_none(a, rows[i].ballot));
		jw_kstr(&w, "adopted_at", clock_format(a, rows[i].adopted_at));
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

static enum err read_charter(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct charter charter;
	int64_t version = 0;
	bool current = str_is(rq->param[1], "current");
	if (!current && !str_to_i64(rq->param[1], 1, INT32_MAX, &version))
		return fail(rq->call, ERR_NOT_FOUND, "The charter has no such version.");
	TRY(charter_view(rq->call, rq->coop.id, (int)version, &charter));
	struct str tag = sha256_hex(a, charter.digest);
	if (response_not_modified(rq, rs, tag))
		return ERR_OK;
	response_etag(rs, tag);
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kint(&w, "version", charter.version);
	jw_kstr(&w, "sha256", tag);
	jw_kstr(&w, "adopted_at", clock_format(a, charter.adopted_at));
	jw_key(&w, "document");
	jw_raw(&w, charter.document);
	jw_key(&w, "words");
	jw_json(&w, charter_words(a, &charter));
	jw_end_object(&w);
	return ERR_OK;
}

/* ---- Members ---- */

struct str member_display(const struct member *m)
{
	if (str_is(m->attribution, "anonymous"))
		return STR("anonymous");
	return str_is(m->attribution, "public") && m->public_name.n ? m->public_name : m->pseudonym;
}

/* `whole` for oneself and for admins. */
void member_write(struct json_writer *w, struct arena *a, const struct member *m, bool whole)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, m->id));
	jw_kz(w, "state", policy_standing_name(m->state));
	jw_kbool(w, "is_admin", m->is_admin);
	jw_kstr(w, "joined_at", clock_format_or_none(a, m->joined_at));
	jw_kstr(w, "display", member_display(m));
	if (whole) {
		jw_kstr(w, "applied_at", clock_format(a, m->applied_at));
		jw_kstr(w, "due_at", clock_format_or_none(a, m->due_at));
		jw_kstr(w, "state_at", clock_format(a, m->state_at));
		jw_kstr(w, "attribution", m->attribution);
		jw_kstr(w, "pseudonym", m->pseudonym);
		jw_kstr(w, "public_name", m->public_name);
		jw_kint(w, "contributed", m->contributed);
		jw_kstr(w, "account_name", m->account_name);
	}
	jw_end_object(w);
}

static enum err member_answer(struct request *rq, struct response *rs, const struct member *m)
{
	struct json_writer w = response_json(rs);
	member_write(&w, rq->call->arena, m, true);
	return ERR_OK;
}

static enum err join_coop(struct request *rq, struct response *rs)
{
	struct member member;
	TRY(member_join(rq->call, rq->coop.id, &member));
	return member_answer(rq, rs, &member);
}

static enum err list_members(struct request *rq, struct response *rs)
{
	struct member *members;
	struct str cursor, next, state = request_query(rq, "state");
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	if (!rq->coop.is_admin && state.p && !str_is(state, "active"))
		return fail(rq->call, ERR_FORBIDDEN, "Only an admin sees who has applied, left or lapsed.");
	TRY(member_list(rq->call, rq->coop.id, rq->coop.is_admin ? state : STR("active"), cursor, limit, &members, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		member_write(&w, rq->call->arena, &members[i], rq->coop.is_admin);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err member_of_path(struct request *rq, struct uuid *id)
{
	return uuid_parse(rq->param[1], id) ? ERR_OK : fail(rq->call, ERR_NOT_FOUND, "There is no such member.");
}

static enum err read_member(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct member member;
	TRY(member_of_path(rq, &id));
	TRY(member_read(rq->call, rq->coop.id, id, &member));
	bool whole = rq->coop.is_admin || uuid_eq(id, rq->coop.member);
	if (!whole && !in_good_standing(member.state))
		return fail(rq->call, ERR_NOT_FOUND, "There is no such member.");
	struct json_writer w = response_json(rs);
	member_write(&w, rq->call->arena, &member, whole);
	return ERR_OK;
}

static enum err act_on_member(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct member member;
	struct str act = json_member_text(rq->json, "act"), reason = json_member_text(rq->json, "reason");
	TRY(member_of_path(rq, &id));
	if (str_is(act, "admit") || str_is(act, "refuse"))
		TRY(member_admit(rq->call, rq->coop.id, id, str_is(act, "admit"), reason, &member));
	else if (str_is(act, "remove"))
		TRY(member_remove(rq->call, rq->coop.id, id, reason, &member));
	else
		TRY(member_set_admin(rq->call, rq->coop.id, id, str_is(act, "make_admin"), &member));
	return member_answer(rq, rs, &member);
}

static enum err invite(struct request *rq, struct response *rs)
{
	TRY(member_invite(rq->call, rq->coop.id, json_member_text(rq->json, "email")));
	rs->status = 204;
	return ERR_OK;
}

static enum err change_self(struct request *rq, struct response *rs)
{
	struct member member;
	TRY(member_set_attribution(rq->call, rq->coop.id, json_member_text(rq->json, "attribution"), json_member_text(rq->json, "public_name"), &member));
	return member_answer(rq, rs, &member);
}

static enum err leave(struct request *rq, struct response *rs)
{
	struct member member;
	TRY(member_leave(rq->call, rq->coop.id, &member));
	rs->status = 204;
	return ERR_OK;
}

static enum err list_own(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct member *members;
	size_t n;
	TRY(member_mine(rq->call, &members, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "coop", uuid_format(a, members[i].coop));
		jw_kstr(&w, "member", uuid_format(a, members[i].id));
		jw_kz(&w, "state", policy_standing_name(members[i].state));
		jw_kbool(&w, "is_admin", members[i].is_admin);
		jw_kstr(&w, "due_at", clock_format_or_none(a, members[i].due_at));
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

/* ---- Keys ---- */

static enum err rotate_key(struct request *rq, struct response *rs)
{
	struct keychain chain;
	TRY(coop_key_rotate(rq->call, rq->coop.id, &chain));
	buf_add_str(&rs->body, chain.text);
	return ERR_OK;
}

/* ---- The instance ---- */

static void write_place(struct json_writer *w, struct arena *a, const struct request *rq, const char *key, const struct coop *coop, const char *path)
{
	jw_kstr(w, key, str_fmt(a, "%.*s/api/v1/coops/%.*s%s", STR_ARG(request_base_url(rq)), STR_ARG(coop->key_name), path));
}

/* What the instance signs of itself: canonical JSON, members in their order. */
static struct str instance_statement(const struct request *rq, const struct keychain *keys, const struct coop *coops, size_t n)
{
	struct arena *a = rq->call->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_RESPONSE / 4);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "api", str_fmt(a, "%.*s/api/v1", STR_ARG(request_base_url(rq))));
	jw_key(&w, "coops");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		write_place(&w, a, rq, "keys", &coops[i], "/keys.json");
		write_place(&w, a, rq, "log", &coops[i], "/log");
		jw_kstr(&w, "name", coops[i].key_name);
		jw_kstr(&w, "slug", coops[i].slug);
		write_place(&w, a, rq, "status", &coops[i], "/status.json");
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_kstr(&w, "created", clock_format(a, clock_now_whole(CLOCK_SECOND)));
	jw_kstr(&w, "instance", keys->name);
	jw_key(&w, "keys");
	jw_raw(&w, keys->text);
	jw_kstr(&w, "url", request_base_url(rq));
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err instance_sign(struct request *rq, const struct coop *coops, size_t n, struct keychain *keys, struct str *envelope)
{
	struct call *c = rq->call;
	struct uuid instance = { { 0 } };
	struct sign_key key;
	TRY(db_begin(c, DB_READ));
	TRY(keychain_of(c, instance, keys));
	TRY(instance_key(c, &key));
	TRY(db_commit(c));
	struct str payload = instance_statement(rq, keys, coops, n);
	if (payload.p)
		*envelope = dsse_sign(c->arena, &key, 1, STR(INSTANCE_PAYLOAD_TYPE), payload);
	secret_wipe(&key, sizeof(key));
	return payload.p ? ERR_OK : fail(c, ERR_TOO_LARGE, "The instance has too many co-ops to sign for at once.");
}

static enum err read_instance(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct coop *coops;
	size_t n;
	struct str next;
	struct coop_filter all = { .limit = LIMIT_PAGE };
	struct keychain keys;
	struct str envelope = STR_NONE;
	TRY(coop_list(rq->call, &all, &coops, &n, &next));
	TRY(instance_sign(rq, coops, n, &keys, &envelope));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kz(&w, "name", "Commonhold");
	jw_kstr(&w, "base_url", request_base_url(rq));
	jw_kstr(&w, "public_key", minisign_public_key(a, keychain_current(&keys)));
	jw_key(&w, "keys");
	jw_raw(&w, keys.text);
	jw_key(&w, "signed");
	jw_raw(&w, envelope);
	jw_key(&w, "coops");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "key_name", coops[i].key_name);
		jw_kstr(&w, "slug", coops[i].slug);
		jw_kstr(&w, "name", coops[i].name);
		jw_kstr(&w, "public_key", minisign_public_key(a, coops[i].public_key));
		jw_kstr(&w, "log", str_fmt(a, "%.*s/api/v1/coops/%.*s/log", STR_ARG(request_base_url(rq)), STR_ARG(coops[i].key_name)));
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"
const struct route coop_routes[] = {
	{ "GET", "/.well-known/commonhold", "instance_read", PERM_PUBLIC, 0, NULL, "instance", 200, read_instance, "What this instance is: its key and those of its co-ops." },
	{ "GET", "/api/v1/me/memberships", "membership_list", PERM_ACCOUNT, 0, NULL, "membership_list", 200, list_own, "Lists one's memberships in all co-ops." },
	{ "GET", "/api/v1/coops", "coop_list", PERM_PUBLIC, 0, NULL, "coop_list", 200, list_coops, "The directory of co-ops.",
	  .query = "cursor limit domain region language text" },
	{ "POST", "/api/v1/coops", "coop_found", PERM_ACCOUNT, LIMIT_BODY_CHARTER, "coop_new", "coop", 201, found_coop, "Founds a co-op with a charter; the founder is its first admin.",
	  ROUTE_IDEMPOTENT | ROUTE_EXPENSIVE },
	{ "GET", COOP, "coop_read", PERM_OPTIONAL, 0, NULL, "coop", 200, read_coop, "Reads a co-op." },
	{ "POST", COOP "/keys", "coop_key_rotate", PERM_ADMIN, 0, NULL, "keychain", 201, rotate_key, "Hands the co-op's signing over to a new key, for good.", ROUTE_EXPENSIVE },
	{ "GET", COOP "/charters", "charter_list", PERM_OPTIONAL, 0, NULL, "charter_list", 200, list_charters, "Lists the versions of the charter." },
	{ "GET", COOP "/charters/{version}", "charter_read", PERM_OPTIONAL, 0, NULL, "charter_version", 200, read_charter,
	  "Reads a version of the charter, or the current one, with the same in plain words." },
	{ "GET", COOP "/members", "member_list", PERM_ACTIVE, 0, NULL, "member_list", 200, list_members, "Lists members: their public faces, or all about them for admins.",
	  .query = "cursor limit state=applied|active|due|grace|lapsed|left|removed" },
	{ "POST", COOP "/members", "member_join", PERM_ACCOUNT, 0, NULL, "member", 201, join_coop, "Joins, or applies where admission is by approval." },
	{ "POST", COOP "/invitations", "member_invite", PERM_ADMIN, LIMIT_BODY_SMALL, "invitation", NULL, 204, invite, "Invites an address." },
	{ "GET", COOP "/members/me", "member_read_self", PERM_MEMBER, 0, NULL, "member_self", 200, choices_read_self, "Reads one's membership, consent and licence." },
	{ "PATCH", COOP "/members/me", "member_change_self", PERM_MEMBER, LIMIT_BODY_SMALL, "member_change", "member", 200, change_self, "Chooses how one is credited." },
	{ "DELETE", COOP "/members/me", "member_leave", PERM_MEMBER, 0, NULL, NULL, 204, leave, "Leaves the co-op." },
	{ "PUT", COOP "/members/me/consent", "consent_give", PERM_MEMBER, LIMIT_BODY_SMALL, "consent_new", "consent", 200, choices_give_consent, "Gives or renews consent." },
	{ "DELETE", COOP "/members/me/consent", "consent_withdraw", PERM_MEMBER, 0, NULL, NULL, 204, choices_withdraw_consent, "Withdraws consent." },
	{ "PUT", COOP "/members/me/licence", "licence_choose", PERM_MEMBER, LIMIT_BODY_SMALL, "licence_new", "licence", 200, choices_choose_licence, "Chooses the licence of one's new contributions." },
	{ "GET", COOP "/members/{member}", "member_read", PERM_ACTIVE, 0, NULL, "member", 200, read_member, "Reads a member." },
	{ "PATCH", COOP "/members/{member}", "member_act", PERM_ADMIN, LIMIT_BODY_SMALL, "member_act", "member", 200, act_on_member, "Admits, refuses or removes, makes an admin or no longer." },
	{ "GET", COOP "/statements", "statement_list", PERM_MEMBER, 0, NULL, "statement_list", 200, choices_list_statements, "Lists what one has said, or what stands of it.", .query = "current=true|false as=self|delegate|board" },
	{ "POST", COOP "/statements", "statement_make", PERM_MEMBER, LIMIT_BODY_SMALL, "statement_new", "statement_list", 201, choices_make_statements,
	  "Says what others may do with one's contributions.", ROUTE_IDEMPOTENT },
	ROUTE_TABLE_END
};
