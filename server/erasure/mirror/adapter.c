/* Targets: where a mirror's copy lies, who can read it there, and the credentials. */
#include "adapter_internal.h"

#include "commonhold/access.h"
#include "commonhold/config.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/mirror.h"

#define PART_DEFAULT ((int64_t)64 * 1024 * 1024)
#define PART_LEAST ((int64_t)5 * 1024 * 1024)
#define PART_MOST ((int64_t)5 * 1024 * 1024 * 1024)
#define COPIES_SHOWN 200

SQL(target_read, "SELECT " ADAPTER_TARGET_COLUMNS " FROM adapter_target t WHERE t.coop_id = $1 AND t.mirror_id = $2");
SQL(target_lock, "SELECT " ADAPTER_TARGET_COLUMNS ", t.credentials FROM adapter_target t WHERE t.coop_id = $1 AND t.mirror_id = $2 FOR UPDATE");
SQL(mirror_kind_of, "SELECT kind FROM mirror WHERE coop_id = $1 AND id = $2 AND state <> 'ended'");
SQL(copies_left, "SELECT count(*) FROM adapter_copy WHERE coop_id = $1 AND mirror_id = $2 AND state <> 'erased'");
SQL(target_put,
	"INSERT INTO adapter_target (coop_id, mirror_id, kind, endpoint, place, prefix, region, path_style, part_bytes, recreate, audience, credentials, confirmed_by, set_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, commonhold_now())"
	" ON CONFLICT (coop_id, mirror_id) DO UPDATE SET endpoint = excluded.endpoint, place = excluded.place, prefix = excluded.prefix, region = excluded.region, path_style = excluded.path_style,"
	" part_bytes = excluded.part_bytes, recreate = excluded.recreate, audience = excluded.audience, credentials = excluded.credentials, confirmed_by = excluded.confirmed_by,"
	" set_at = excluded.set_at, ending = false, state = 'waiting', error = NULL, attempts = 0, next_at = NULL");
SQL(copies_shown,
	"SELECT p.release_id, p.version, p.state, p.revision, p.begun_at, p.published_at, p.erased_at, p.checked, count(f.path), count(f.done_at)"
	" FROM adapter_copy p LEFT JOIN adapter_file f ON f.coop_id = p.coop_id AND f.mirror_id = p.mirror_id AND f.release_id = p.release_id"
	" WHERE p.coop_id = $1 AND p.mirror_id = $2 GROUP BY p.coop_id, p.mirror_id, p.release_id ORDER BY p.begun_at DESC, p.version DESC LIMIT $3");
SQL(target_retry, "UPDATE adapter_target SET state = 'waiting', attempts = 0, next_at = NULL WHERE coop_id = $1 AND mirror_id = $2");
SQL(target_ending, "UPDATE adapter_target SET ending = true, state = 'waiting', attempts = 0, next_at = NULL WHERE coop_id = $1 AND mirror_id = $2");
SQL(target_delete, "DELETE FROM adapter_target WHERE coop_id = $1 AND mirror_id = $2");

static const char *const kind_names[ADAPTER_KIND_COUNT] = { [ADAPTER_S3] = "s3", [ADAPTER_HUB] = "huggingface" };
static const char *const state_names[ADAPTER_STATE_COUNT] = {
#define X(name, text, sentence) [ADAPTER_##name] = text,
	ADAPTER_STATES(X)
#undef X
};
static const char *const copy_state_names[ADAPTER_COPY_STATE_COUNT] = {
#define X(name, text) [ADAPTER_COPY_##name] = text,
	ADAPTER_COPY_STATES(X)
#undef X
};

const char *adapter_kind_name(enum adapter_kind k)
{
	return kind_names[k];
}

const char *adapter_state_name(enum adapter_state s)
{
	return state_names[s];
}

const char *adapter_copy_state_name(enum adapter_copy_state s)
{
	return copy_state_names[s];
}

/* Place of a name in a list; 0 for what is not there, which the database has no way to hold. */
static int find_name(const char *const *names, size_t n, struct str name)
{
	int no = str_which(name, names, n);
	return no < 0 ? 0 : no;
}

int adapter_copy_state_find(struct str name)
{
	return find_name(copy_state_names, ADAPTER_COPY_STATE_COUNT, name);
}

struct str adapter_seal_context(struct arena *a, struct uuid coop, struct uuid mirror)
{
	return str_cat(a, STR("adapter/"), uuid_format(a, coop), STR("/"), uuid_format(a, mirror));
}

void adapter_target_read(struct adapter_target *t, const struct rows *r, int i)
{
	t->kind = (enum adapter_kind)find_name(kind_names, ADAPTER_KIND_COUNT, row_str(r, i, 0));
	t->endpoint = row_str(r, i, 1);
	t->place = row_str(r, i, 2);
	t->prefix = row_str(r, i, 3);
	t->region = row_str(r, i, 4);
	t->path_style = row_bool(r, i, 5);
	t->part_bytes = row_int(r, i, 6);
	t->recreate = row_bool(r, i, 7);
	struct str audience = row_str(r, i, 8);
	int no = policy_audience_find(audience.p, audience.n);
	t->audience = no > 0 ? (uint8_t)no : POLICY_AUDIENCE_PUBLIC;
	t->confirmed_by = row_uuid(r, i, 9);
	t->set_at = row_time(r, i, 10);
	t->state = (enum adapter_state)find_name(state_names, ADAPTER_STATE_COUNT, row_str(r, i, 11));
	t->error = row_str(r, i, 12);
	t->attempts = (int)row_int(r, i, 13);
	t->run_at = row_time(r, i, 14);
	t->next_at = row_time(r, i, 15);
	t->latest = row_str(r, i, 16);
}

/* ---- what a target may be ---- */

static bool is_plain(char ch, bool upper)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' || ch == '.' || (upper && ((ch >= 'A' && ch <= 'Z') || ch == '_'));
}

/* A name of letters, digits and -._ that neither begins nor ends with a sign. */
static bool is_name(struct str s, size_t least, size_t most, bool upper)
{
	if (s.n < least || s.n > most)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_plain(s.p[i], upper))
			return false;
	return s.p[0] != '-' && s.p[0] != '.' && s.p[s.n - 1] != '-' && s.p[s.n - 1] != '.' && !memmem(s.p, s.n, "..", 2);
}

static bool is_prefix(struct str s)
{
	struct str rest = s, part;
	if (s.n == 0)
		return true;
	if (s.n > 400)
		return false;
	while (str_split(&rest, '/', &part))
		if (!is_name(part, 1, 100, true))
			return false;
	return true;
}

static bool is_repository(struct str s)
{
	ptrdiff_t slash = str_index(s, '/');
	return slash > 0 && is_name(str_sub(s, 0, (size_t)slash), 1, 96, true) && is_name(str_sub(s, (size_t)slash + 1, s.n), 1, 96, true);
}

static enum err check_endpoint(struct call *c, struct str url)
{
	struct str host;
	bool open = config()->allow_private_on;
	enum err e = fetch_url_check(c->arena, url, open, open, &host, &c->error);
	if (e != ERR_OK)
		return fail_field(c, "/endpoint", "%s", c->error.code ? str_z(c->arena, str_of(c->error.message)) : "This is no address that can be asked.");
	size_t at = str_starts(url, "https://") ? 8 : 7;
	if (url.n > 300 || str_index(str_sub(url, at, url.n), '/') >= 0 || str_index(url, '?') >= 0 || str_index(url, '#') >= 0)
		return fail_field(c, "/endpoint", "Give scheme and host alone, such as https://s3.eu-central-1.amazonaws.com.");
	return ERR_OK;
}

static enum err check_place(struct call *c, const struct adapter_target *in)
{
	TRY(check_endpoint(c, in->endpoint));
	if (in->kind == ADAPTER_HUB && !is_repository(in->place))
		return fail_field(c, "/place", "Name the repository with its namespace, such as alpine-voices/releases.");
	if (in->kind == ADAPTER_HUB)
		return ERR_OK;
	if (!is_name(in->place, 3, 63, false))
		return fail_field(c, "/place", "This is no name of a bucket.");
	if (!is_prefix(in->prefix))
		return fail_field(c, "/prefix", "Letters, digits, dots, dashes and underscores, in parts between slashes.");
	if (!is_name(in->region, 1, 40, false))
		return fail_field(c, "/region", "Name the region that the service signs for, such as eu-central-1, or auto.");
	if (in->part_bytes < PART_LEAST || in->part_bytes > PART_MOST)
		return fail_field(c, "/part_bytes", "Parts have from 5 MiB to 5 GiB.");
	return ERR_OK;
}

static bool is_secret(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] < 0x20 || (uint8_t)s.p[i] > 0x7e)
			return false;
	return s.n > 0 && s.n <= 1000;
}

static enum err check_credentials(struct call *c, enum adapter_kind kind, const struct adapter_credentials *cr)
{
	if (!cr->secret.p)
		return ERR_OK;
	if (!is_secret(cr->secret))
		return fail_field(c, "/secret", "This is no secret that can be sent.");
	if (kind == ADAPTER_S3 && (!cr->key_id.p || !is_secret(cr->key_id) || str_index(cr->key_id, '/') >= 0))
		return fail_field(c, "/key_id", "Give the access key's id with its secret.");
	return ERR_OK;
}

/* More people than releases go to now may never read there. A release that is stricter than the present line is refused when its turn comes. */
static enum err check_audience(struct call *c, const struct adapter_target *in)
{
	struct access_offer offer;
	if (in->audience == POLICY_AUDIENCE_ANY || in->audience >= POLICY_AUDIENCE_COUNT)
		return fail_field(c, "/audience", "Say who can read what lies there.");
	TRY(access_offer_of(c, in->coop, NULL, &offer));
	if (in->audience > offer.audience)
		return fail_reason(c, ERR_REFUSED, "audience_too_wide", "Releases go to \"%s\" at most; a place that is read by \"%s\" would open them to more people.",
			policy_audience_name(offer.audience), policy_audience_name(in->audience));
	return ERR_OK;
}

/* ---- setting ---- */

static struct str credentials_seal(struct call *c, const struct adapter_target *in, const struct adapter_credentials *cr)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 8 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	if (cr->key_id.p)
		jw_kstr(&w, "key_id", cr->key_id);
	jw_kstr(&w, "secret", cr->secret);
	jw_end_object(&w);
	struct str sealed = seal(c->arena, instance_seal_key(instance_keys()), adapter_seal_context(c->arena, in->coop, in->mirror), buf_str(&b));
	secret_wipe(b.p, b.n);
	buf_release(&b);
	return sealed;
}

static bool is_same_place(const struct adapter_target *a, const struct adapter_target *b)
{
	return str_eq(a->endpoint, b->endpoint) && str_eq(a->place, b->place) && str_eq(a->prefix, b->prefix);
}

/* Credentials are sent nowhere but where they were given for; copies are not left behind where nobody looks after them. */
static enum err check_before(struct call *c, const struct adapter_target *in, const struct adapter_target *before, const struct adapter_credentials *cr)
{
	struct rows r;
	if (is_same_place(in, before))
		return ERR_OK;
	if (!cr->secret.p)
		return fail_field(c, "/secret", "Give the credentials of the new place.");
	TRY(db_one(c, copies_left, &r, A_UUID(in->coop), A_UUID(in->mirror)));
	if (row_int(&r, 0, 0) > 0)
		return fail_reason(c, ERR_STATE, "copies_left", "Copies lie at the former place. Have them erased first, by ending this target.");
	return ERR_OK;
}

static enum err mirror_kind_read(struct call *c, struct adapter_target *in)
{
	struct rows r;
	TRY(db_query(c, mirror_kind_of, &r, A_UUID(in->coop), A_UUID(in->mirror)));
	if (r.n == 0)
		return fail(c, ERR_NOT_FOUND, "There is no such mirror.");
	if (!str_is(row_str(&r, 0, 0), "s3") && !str_is(row_str(&r, 0, 0), "huggingface"))
		return fail(c, ERR_STATE, "This mirror is kept by somebody else: it has no target.");
	in->kind = str_is(row_str(&r, 0, 0), "s3") ? ADAPTER_S3 : ADAPTER_HUB;
	return ERR_OK;
}

static enum err log_target(struct call *c, const struct adapter_target *t, const char *type)
{
	struct arena *a = c->arena;
	struct str mirror = uuid_format(a, t->mirror);
	struct str facts = str_fmt(a, "{\"audience\":\"%s\",\"kind\":\"%s\",\"mirror\":\"%.*s\"}", policy_audience_name(t->audience), adapter_kind_name(t->kind), STR_ARG(mirror));
	return ledger_append(c, t->coop, &(struct leaf){ .type = type, .data = facts }, NULL);
}

static enum err put(struct call *c, const struct adapter_target *t, struct str sealed)
{
	TRY(db_exec(c, target_put, A_UUID(t->coop), A_UUID(t->mirror), A_Z(adapter_kind_name(t->kind)), A_STR(t->endpoint), A_STR(t->place), A_STR(t->prefix), A_STR(t->region), A_BOOL(t->path_style),
		A_I64(t->part_bytes), A_BOOL(t->recreate), A_Z(policy_audience_name(t->audience)), A_BYTES(sealed), A_UUID(c->actor.account)));
	TRY(job_queue(c, "adapter.run", uuid_format(c->arena, t->mirror), job_args(c->arena, t->coop, "mirror", t->mirror), clock_now()));
	return log_target(c, t, "adapter.set");
}

enum err adapter_set(struct call *c, const struct adapter_target *in, const struct adapter_credentials *credentials, bool confirm, struct adapter_target *out)
{
	struct adapter_target t = *in, before = { 0 };
	struct rows r;
	if (!confirm)
		return fail_field(c, "/confirm", "Confirm that nobody else can read what lies there.");
	TRY(db_begin_in(c, t.coop, DB_WRITE));
	TRY(mirror_kind_read(c, &t));
	t.part_bytes = t.part_bytes ? t.part_bytes : PART_DEFAULT;
	t.prefix = t.prefix.p ? t.prefix : STR("");
	t.region = t.region.p ? t.region : STR("");
	TRY(check_place(c, &t));
	TRY(check_credentials(c, t.kind, credentials));
	TRY(check_audience(c, &t));
	TRY(db_query(c, target_lock, &r, A_UUID(t.coop), A_UUID(t.mirror)));
	if (r.n) {
		adapter_target_read(&before, &r, 0);
		TRY(check_before(c, &t, &before, credentials));
	} else if (!credentials->secret.p) {
		return fail_field(c, "/secret", "Give the credentials of the place.");
	}
	TRY(put(c, &t, credentials->secret.p ? credentials_seal(c, &t, credentials) : row_bytes(&r, 0, ADAPTER_TARGET_N)));
	TRY(db_one(c, target_read, &r, A_UUID(t.coop), A_UUID(t.mirror)));
	*out = (struct adapter_target){ .coop = t.coop, .mirror = t.mirror };
	adapter_target_read(out, &r, 0);
	TRY(db_commit(c));
	job_wake();
	return ERR_OK;
}

/* ---- reading, trying again, ending ---- */

enum err adapter_read(struct call *c, struct uuid coop, struct uuid mirror, struct adapter_target *out, struct adapter_copy **copies, size_t *n)
{
	struct rows r;
	*out = (struct adapter_target){ .coop = coop, .mirror = mirror };
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_one(c, target_read, &r, A_UUID(coop), A_UUID(mirror)));
	adapter_target_read(out, &r, 0);
	TRY(db_query(c, copies_shown, &r, A_UUID(coop), A_UUID(mirror), A_INT(COPIES_SHOWN)));
	*n = (size_t)r.n;
	*copies = ARENA_ARRAY(c->arena, *n, struct adapter_copy);
	for (int i = 0; i < r.n; i++)
		(*copies)[i] = (struct adapter_copy){ .release = row_uuid(&r, i, 0), .version = row_str(&r, i, 1), .state = (enum adapter_copy_state)adapter_copy_state_find(row_str(&r, i, 2)),
			.revision = row_str(&r, i, 3), .begun_at = row_time(&r, i, 4), .published_at = row_time(&r, i, 5), .erased_at = row_time(&r, i, 6), .checked = row_str(&r, i, 7),
			.files = row_int(&r, i, 8), .files_done = row_int(&r, i, 9) };
	return db_commit(c);
}

static enum err lock(struct call *c, struct uuid coop, struct uuid mirror, struct adapter_target *out)
{
	struct rows r;
	*out = (struct adapter_target){ .coop = coop, .mirror = mirror };
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_one(c, target_lock, &r, A_UUID(coop), A_UUID(mirror)));
	adapter_target_read(out, &r, 0);
	return ERR_OK;
}

enum err adapter_retry(struct call *c, struct uuid coop, struct uuid mirror, struct adapter_target *out)
{
	struct rows r;
	TRY(lock(c, coop, mirror, out));
	TRY(db_exec(c, target_retry, A_UUID(coop), A_UUID(mirror)));
	TRY(job_queue(c, "adapter.run", uuid_format(c->arena, mirror), job_args(c->arena, coop, "mirror", mirror), clock_now()));
	TRY(db_one(c, target_read, &r, A_UUID(coop), A_UUID(mirror)));
	adapter_target_read(out, &r, 0);
	TRY(db_commit(c));
	job_wake();
	return ERR_OK;
}

enum err adapter_end(struct call *c, struct uuid coop, struct uuid mirror, bool erase)
{
	struct adapter_target t;
	TRY(lock(c, coop, mirror, &t));
	if (erase) {
		TRY(db_exec(c, target_ending, A_UUID(coop), A_UUID(mirror)));
		TRY(job_queue(c, "adapter.run", uuid_format(c->arena, mirror), job_args(c->arena, coop, "mirror", mirror), clock_now()));
	} else {
		TRY(db_exec(c, target_delete, A_UUID(coop), A_UUID(mirror)));
	}
	TRY(log_target(c, &t, "adapter.ended"));
	TRY(db_commit(c));
	job_wake();
	return ERR_OK;
}
