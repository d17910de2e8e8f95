#include "server/coop/coop_internal.h"

#include "commonhold/ledger.h"

#define COOP_COLUMNS \
	"c.id, c.key_name, c.slug, k.public_key, c.founder_id, c.founded_at, v.version, v.name, v.domain, v.region, v.admission, v.languages, " \
	"n.members, n.contributions, n.releases"
#define COOP_TABLES \
	" FROM coop c JOIN coop_count n ON n.coop_id = c.id " \
	"JOIN LATERAL (SELECT public_key FROM signing_key WHERE coop_id = c.id ORDER BY no DESC LIMIT 1) k ON true " \
	"JOIN LATERAL (SELECT * FROM charter WHERE coop_id = c.id ORDER BY version DESC LIMIT 1) v ON true "
SQL(coop_insert,
	"INSERT INTO coop (id, key_name, slug, public_key, founder_id, founded_at) VALUES ($1, $2, $3, $4, $5, commonhold_now())");
SQL(coop_by_id, "SELECT " COOP_COLUMNS COOP_TABLES "WHERE c.id = $1");
SQL(coop_by_name, "SELECT " COOP_COLUMNS COOP_TABLES "WHERE c.slug = $1 OR c.key_name = $1");
SQL(coop_page,
	"SELECT " COOP_COLUMNS COOP_TABLES
	"WHERE ($1::timestamptz IS NULL OR (c.founded_at, c.id) > ($1, $2)) "
	"AND ($3::text IS NULL OR lower(v.domain) = lower($3)) AND ($4::text IS NULL OR lower(v.region) = lower($4)) "
	"AND ($5::text IS NULL OR EXISTS (SELECT FROM unnest(v.languages) l WHERE lower(l) = lower($5) OR starts_with(lower(l), lower($5) || '-'))) "
	"AND ($6::text IS NULL OR position(lower($6) IN lower(v.name || ' ' || v.domain || ' ' || c.slug)) > 0) "
	"ORDER BY c.founded_at, c.id LIMIT $7");

static const struct db_constraint constraints[] = {
	{ "coop_slug_key", ERR_EXISTS, "/slug", "Another co-op has this address already." },
	{ "slug_is_readable", ERR_INVALID, "/slug", "An address has 2 to 40 small letters, digits and hyphens, and begins and ends with a letter or digit." },
	DB_CONSTRAINTS_END
};

enum err log_act(struct call *c, struct uuid coop, const char *type, struct str data, struct uuid by)
{
	int64_t index;
	return ledger_append(c, coop, &(struct leaf){ .type = type, .data = data, .by = by }, &index);
}

struct str leaf_about_member(struct call *c, struct uuid member, const char *key, struct str value)
{
	struct buf b;
	buf_init(&b, 4 * KIB);
	struct json_writer w;
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "member", uuid_format(c->arena, member));
	if (key)
		jw_kstr(&w, key, value);
	jw_end_object(&w);
	return buf_take(c->arena, &b);
}

struct str leaf_with_commitment(struct call *c, struct uuid member, struct str said, const uint8_t salt[32])
{
	return leaf_about_member(c, member, "commitment", sha256_hex(c->arena, ledger_commitment(salt, sha256(said))));
}

static struct coop coop_of_row(struct arena *a, const struct rows *r, int row)
{
	struct coop coop = {
		.id = row_uuid(r, row, 0), .key_name = row_str(r, row, 1), .slug = row_str(r, row, 2), .founder = row_uuid(r, row, 4), .founded_at = row_time(r, row, 5),
		.charter_version = (int)row_int(r, row, 6), .name = row_str(r, row, 7), .domain = row_str(r, row, 8), .region = row_str(r, row, 9),
		.admission = row_str(r, row, 10), .members = row_int(r, row, 12), .contributions = row_int(r, row, 13), .releases = row_int(r, row, 14),
	};
	struct str key = row_bytes(r, row, 3);
	if (key.n == 32)
		memcpy(coop.public_key, key.p, 32);
	coop.n_languages = row_strs(a, r, row, 11, &coop.languages);
	return coop;
}

static enum err check_slug(struct call *c, struct str slug)
{
	bool sound = slug.n >= 2 && slug.n <= 40 && slug.p[0] != '-' && slug.p[slug.n - 1] != '-';
	for (size_t i = 0; i < slug.n; i++)
		sound &= (slug.p[i] >= 'a' && slug.p[i] <= 'z') || (slug.p[i] >= '0' && slug.p[i] <= '9') || slug.p[i] == '-';
	if (sound && !str_is(slug, "new"))
		return ERR_OK;
	return fail_field(c, "/slug", "An address has 2 to 40 small letters, digits and hyphens, and begins and ends with a letter or digit.");
}

/* Leaf 0: what the co-op is, and who may be asked about it. */
static struct str founding_leaf(struct call *c, struct str key_name, struct str slug, struct uuid founder)
{
	struct buf b;
	buf_init(&b, 4 * KIB);
	struct json_writer w;
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "coop", key_name);
	jw_kstr(&w, "founder", uuid_format(c->arena, founder));
	jw_kstr(&w, "slug", slug);
	jw_end_object(&w);
	return buf_take(c->arena, &b);
}

/* A draft's pointers lead into the charter: where it is part of a larger body, so must the faults. */
static void faults_below(struct call *c, const char *prefix)
{
	for (struct fault *f = c->error.faults; f; f = f->next)
		if (!str_starts(f->pointer, prefix)) /* the schema's faults lead there from the body's root already */
			f->pointer = str_fmt(c->arena, "%s%.*s", prefix, STR_ARG(f->pointer));
}

static enum err founding_facts(struct call *c, struct str key_name, struct uuid founder, void *arg, struct str *out)
{
	const struct str *slug = arg;
	*out = founding_leaf(c, key_name, *slug, founder);
	return ERR_OK;
}

enum err coop_begin(struct call *c, const struct coop_beginning *b, struct coop *out)
{
	struct charter charter;
	struct member founder;
	struct str facts;
	int version;
	uint8_t public_key[32];
	struct uuid first = uuid_new(), no_ballot = { { 0 } };
	db_constraints(constraints);
	coop_explain_constraints();
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "Sign in first.");
	TRY(check_slug(c, b->slug));
	TRY(charter_parse(c->arena, b->document, &charter, &c->error));
	TRY(ledger_key_new(c, b->id, public_key));
	struct str key_name = coop_key_name(c->arena, public_key);
	TRY(db_exec(c, coop_insert, A_UUID(b->id), A_STR(key_name), A_STR(b->slug), A_BYTES(str_make(public_key, 32)), A_UUID(c->actor.account)));
	if (b->log)
		TRY(b->log(c, b->id, key_name, b->arg));
	TRY(b->facts(c, key_name, first, b->arg, &facts));
	TRY(log_act(c, b->id, b->leaf, facts, first));
	TRY(charter_adopt(c, b->id, b->document, no_ballot, first, &version));
	TRY(membership_begin(c, b->id, first, c->actor.account, POLICY_STANDING_ACTIVE, true, &charter, &founder));
	TRY(log_act(c, b->id, "admin.added", leaf_about_member(c, first, NULL, STR_NONE), first));
	TRY(coop_get(c, b->id, out));
	out->members = 1; /* counted when the transaction ends */
	return ERR_OK;
}

enum err coop_found(struct call *c, struct str slug, const struct json *draft, struct coop *out)
{
	struct str document;
	struct charter charter;
	struct uuid id = uuid_new();
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "Sign in first.");
	enum err checked = charter_check(c->arena, draft, &document, &c->error);
	if (checked != ERR_OK)
		faults_below(c, "/charter");
	enum err slug_checked = check_slug(c, slug); /* told together: one form, one answer */
	TRY(checked);
	TRY(slug_checked);
	TRY(charter_parse(c->arena, document, &charter, &c->error));

	struct coop_beginning beginning = { .id = id, .slug = slug, .document = document, .leaf = "coop.founded", .facts = founding_facts, .arg = &slug };
	TRY(db_begin_in(c, id, DB_WRITE));
	TRY(coop_begin(c, &beginning, out));
	return db_commit(c);
}

static enum err coop_one(struct call *c, const struct db_stmt *stmt, struct db_arg by, struct coop *out)
{
	struct rows r;
	TRY(db_run(c, stmt, &r, &by, 1));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such co-op.");
	*out = coop_of_row(c->arena, &r, 0);
	return ERR_OK;
}

enum err coop_get(struct call *c, struct uuid id, struct coop *out)
{
	return coop_one(c, &coop_by_id, A_UUID(id), out);
}

enum err coop_read(struct call *c, struct uuid id, struct coop *out)
{
	TRY(db_begin_in(c, id, DB_READ));
	TRY(coop_get(c, id, out));
	return db_commit(c);
}

enum err coop_find(struct call *c, struct str name, struct coop *out)
{
	return coop_one(c, &coop_by_name, A_STR(name), out);
}

enum err coop_list(struct call *c, const struct coop_filter *filter, struct coop **out, size_t *n, struct str *next_cursor)
{
	struct rows r;
	struct page_cursor after;
	int limit = filter->limit < 1 || filter->limit > LIMIT_PAGE ? LIMIT_PAGE_DEFAULT : filter->limit;
	TRY(page_cursor_read(c, filter->cursor, &after));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, coop_page, &r, A_TIME(after.at), A_UUID(after.id), A_STR(filter->domain), A_STR(filter->region), A_STR(filter->language), A_STR(filter->text),
		A_I64(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct coop);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = coop_of_row(c->arena, &r, (int)i);
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].founded_at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}
