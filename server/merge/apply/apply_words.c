/* apply_words.c - statement lines of a bundle: what homes say of contributors, and which records they no longer pass on. */
#include "server/merge/merge_internal.h"

#include <stdlib.h>

#define WORDS_AT_ONCE 500
#define WORDS_BYTES (8 * MIB) /* of lines, from which a group is closed early */

SQL(words_known,
	"SELECT d.no::integer, g.rev, g.agreement_id, CASE WHEN g.agreement_id = $4 THEN g.line END FROM unnest($2, $3) WITH ORDINALITY AS d(home, contributor, no) "
	"JOIN guest g ON g.coop_id = $1 AND g.home = d.home AND g.contributor = d.contributor");
SQL(guest_doubted,
	"WITH g AS (UPDATE guest SET standing = 'lapsed' WHERE coop_id = $1 AND home = $2 AND contributor = $3 AND standing <> 'lapsed' RETURNING coop_id) "
	"UPDATE guest_head h SET changes = h.changes + 1 FROM g WHERE h.coop_id = g.coop_id");
SQL(passing_put,
	"INSERT INTO merge_passing (coop_id, home, id, by_home, rev, out) SELECT $1, d.home, d.id, $4, $5, $6 FROM (SELECT DISTINCT u.home, u.id FROM unnest($2, $3) AS u(home, id)) d "
	"ON CONFLICT (coop_id, id, home, by_home) DO UPDATE SET rev = excluded.rev, out = excluded.out "
	"WHERE merge_passing.rev < excluded.rev OR (merge_passing.rev = excluded.rev AND excluded.out AND NOT merge_passing.out)");
/* Whose words come another way than they did: whether each of their items does is to be looked at again. */
SQL(items_of_guests,
	"SELECT o.key_name, x.id FROM (SELECT c.id, (c.more >> 24 & 255) AS no FROM contribution c WHERE c.coop_id = $1 AND c.member_no = ANY ($2) AND (c.word & 4096) = 0 "
	"UNION ALL SELECT i.id, i.origin FROM item_origin i WHERE i.coop_id = $1 AND i.member_no = ANY ($2)) x JOIN origin_coop o ON o.coop_id = $1 AND o.no = x.no");
/* Only of what is here is it asked, and once: it costs more than all else. */
#define TOUCHED(row, table, origin) \
	"WITH w AS MATERIALIZED (SELECT " row ", merge_is_held($1, d.home, d.id) AS held FROM (SELECT DISTINCT u.home, u.id FROM unnest($2, $3) AS u(home, id)) d " \
	"JOIN origin_coop o ON o.coop_id = $1 AND o.key_name = d.home JOIN " table " x ON x.coop_id = $1 AND x.id = d.id AND " origin " = o.no) "
SQL(rows_hold,
	TOUCHED("x.item_no", "contribution", "(x.word & 4096) = 0 AND (x.more >> 24 & 255)")
	"UPDATE contribution c SET word = CASE WHEN w.held THEN c.word | 16384 ELSE c.word & ~16384::bigint END FROM w "
	"WHERE c.coop_id = $1 AND c.item_no = w.item_no AND ((c.word & 16384) <> 0) <> w.held");
SQL(origins_hold,
	TOUCHED("x.id, x.origin", "item_origin", "x.origin")
	"UPDATE item_origin i SET word = CASE WHEN w.held THEN i.word | 16384 ELSE i.word & ~16384::bigint END FROM w "
	"WHERE i.coop_id = $1 AND i.id = w.id AND i.origin = w.origin AND ((i.word & 16384) <> 0) <> w.held");
SQL(unmapped_put,
	"INSERT INTO merge_unmapped (coop_id, home, id, schema) SELECT $1, unnest($2), unnest($3), unnest($4) ON CONFLICT DO NOTHING");
SQL(unmapped_of_schema, "SELECT id FROM merge_unmapped WHERE coop_id = $1 AND home = $2 AND schema = $3");

/* ---- Records whose standing changed ---- */

bool touched_add(struct touched *t, struct str home, struct uuid id)
{
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 256;
		struct touched_one *more = realloc(t->one, room * sizeof(*more));
		if (!more)
			return false;
		t->one = more;
		t->room = room;
	}
	t->one[t->n].id = id;
	snprintf(t->one[t->n++].home, sizeof(t->one[0].home), "%.*s", STR_ARG(home));
	return true;
}

void touched_free(struct touched *t)
{
	free(t->one);
	*t = (struct touched){ 0 };
}

static enum err hold_some(struct call *c, struct uuid coop, const struct touched_one *one, size_t n)
{
	struct arena_mark mark = arena_mark(c->arena);
	struct str *homes = ARENA_ARRAY(c->arena, n, struct str);
	struct uuid *ids = ARENA_ARRAY(c->arena, n, struct uuid);
	for (size_t i = 0; i < n; i++) {
		homes[i] = str_of(one[i].home);
		ids[i] = one[i].id;
	}
	TRY(db_exec(c, rows_hold, A_UUID(coop), A_TEXTS(homes, n), A_UUIDS(ids, n)));
	TRY(db_exec(c, origins_hold, A_UUID(coop), A_TEXTS(homes, n), A_UUIDS(ids, n)));
	arena_rewind(c->arena, mark);
	return ERR_OK;
}

enum err apply_passing(struct applying *a)
{
	enum { AT_ONCE = 10000 };
	for (size_t from = 0; from < a->touched.n; from += AT_ONCE)
		TRY(hold_some(a->call, a->coop, a->touched.one + from, a->touched.n - from < AT_ONCE ? a->touched.n - from : AT_ONCE));
	return ERR_OK;
}

enum err unmapped_note(struct call *c, struct uuid coop, const struct str *homes, const struct uuid *ids, const struct str *schemas, size_t n)
{
	return db_exec(c, unmapped_put, A_UUID(coop), A_TEXTS(homes, n), A_UUIDS(ids, n), A_TEXTS(schemas, n));
}

enum err merge_leave_out_schema(struct call *c, struct uuid coop, const struct merge_conflict *k)
{
	const struct json *detail;
	struct rows r;
	struct touched touched = { 0 };
	enum err err = ERR_OK;
	TRY(json_parse(c->arena, k->detail, &detail, &c->error));
	TRY(pool_lock(c, coop));
	TRY(db_query(c, unmapped_of_schema, &r, A_UUID(coop), A_STR(k->home), A_STR(json_member_text(detail, "schema"))));
	for (int i = 0; i < r.n && err == ERR_OK; i++)
		err = touched_add(&touched, k->home, row_uuid(&r, i, 0)) ? ERR_OK : fail(c, ERR_NO_MEMORY, "There is no memory for this.");
	if (err == ERR_OK && touched.n)
		err = hold_some(c, coop, touched.one, touched.n);
	touched_free(&touched);
	return err;
}

/* ---- Words of contributors ---- */

/* Some lines of contributors, of distinct (home, contributor). */
struct words_group { struct guest_words words[WORDS_AT_ONCE]; size_t n, bytes; };

static bool has(const struct words_group *g, const struct guest_words *w)
{
	for (size_t i = 0; i < g->n; i++)
		if (memcmp(g->words[i].contributor, w->contributor, 16) == 0 && str_eq(g->words[i].home, w->home))
			return true;
	return false;
}

struct words_columns { struct str *homes, *contributors; };

static struct words_columns columns_of(struct arena *a, const struct words_group *g)
{
	struct words_columns k = { ARENA_ARRAY(a, g->n, struct str), ARENA_ARRAY(a, g->n, struct str) };
	for (size_t i = 0; i < g->n; i++) {
		k.homes[i] = g->words[i].home;
		k.contributors[i] = str_make(g->words[i].contributor, 16);
	}
	return k;
}

/* Looks again at the items of those who moved from one source to another. */
static enum err touch_moved(struct applying *a, const struct rows *known, const struct guest *guests)
{
	struct call *c = a->call;
	struct rows r;
	size_t n = 0;
	int64_t *numbers = ARENA_ARRAY(c->arena, (size_t)known->n + 1, int64_t);
	for (int i = 0; i < known->n; i++) {
		const struct guest *g = &guests[row_int(known, i, 0) - 1];
		if (!uuid_eq(g->agreement, row_uuid(known, i, 2)))
			numbers[n++] = g->number;
	}
	if (n == 0)
		return ERR_OK;
	TRY(db_query(c, items_of_guests, &r, A_UUID(a->coop), A_I64S(numbers, n)));
	for (int i = 0; i < r.n; i++)
		if (!touched_add(&a->touched, row_str(&r, i, 0), row_uuid(&r, i, 1)))
			return fail(c, ERR_NO_MEMORY, "There is no memory for the names of records.");
	return ERR_OK;
}

/* What the person is said to have said themselves; the rest may change while no leaf is added to the log. */
static struct str own_words(struct arena *a, struct str line)
{
	const struct json *json;
	struct error ignored = { 0 };
	struct buf b;
	if (json_parse(a, line, &json, &ignored) != ERR_OK || !json_get(json, "said"))
		return STR_NONE;
	buf_init(&b, BUNDLE_LINE_MAX + 64);
	json_canonical(&b, json_get(json, "said"), false);
	return buf_take(a, &b);
}

/* Two lines of one revision that differ: nobody can tell which is right, so neither is acted on until there is a later one. Where they put other words into the person's mouth, the home has signed two things
 * that cannot both be true, and both are kept. */
static enum err words_doubted(struct applying *a, const struct guest_words *words, struct str known)
{
	struct call *c = a->call;
	struct str first = own_words(c->arena, known), second = own_words(c->arena, words->line);
	TRY(db_exec(c, guest_doubted, A_UUID(a->coop), A_STR(words->home), A_BYTES(str_make(words->contributor, 16))));
	if (str_eq(first, second))
		return ERR_OK;
	a->report.quarantined++;
	struct str who = str_hex(c->arena, words->contributor, 16);
	return merge_equivocation_in(c, a->coop, a->agreement.id, words->home, "words", str_fmt(c->arena, "words %.*s %lld", STR_ARG(who), (long long)words->rev), known, words->line);
}

/* Those of one source. */
static enum err words_put_some(struct applying *a, struct uuid source, struct words_group *g)
{
	struct call *c = a->call;
	struct rows known;
	if (g->n == 0)
		return ERR_OK;
	struct words_columns k = columns_of(c->arena, g);
	TRY(db_query(c, words_known, &known, A_UUID(a->coop), A_TEXTS(k.homes, g->n), A_BYTEAS(k.contributors, g->n), A_UUID(source)));
	a->report.contributors += (int64_t)g->n - known.n;
	a->report.statements += (int64_t)g->n - known.n;
	for (int i = 0; i < known.n; i++)
		a->report.statements += row_int(&known, i, 1) < g->words[row_int(&known, i, 0) - 1].rev;
	struct guest *guests = ARENA_ARRAY(c->arena, g->n, struct guest);
	TRY(guest_put(c, a->coop, source, g->words, g->n, guests));
	for (int i = 0; i < known.n; i++) {
		const struct guest_words *words = &g->words[row_int(&known, i, 0) - 1];
		struct str line = row_str(&known, i, 3);
		if (line.p && row_int(&known, i, 1) == words->rev && !str_eq(line, words->line))
			TRY(words_doubted(a, words, line));
	}
	return touch_moved(a, &known, guests);
}

static enum err words_put(struct applying *a, struct words_group *g)
{
	if (a->n_homes == 1)
		return words_put_some(a, a->sources[0], g);
	struct words_group *some = ARENA_NEW(a->call->arena, struct words_group);
	for (size_t home = 0; home < a->n_homes; home++) {
		some->n = 0;
		for (size_t i = 0; i < g->n; i++)
			if (apply_home(a, g->words[i].home) == (int)home)
				some->words[some->n++] = g->words[i];
		TRY(words_put_some(a, a->sources[home], some));
	}
	return ERR_OK;
}

enum err apply_words_of(struct applying *a, struct uuid source, const struct guest_words *words, size_t n)
{
	struct words_group *g = ARENA_NEW(a->call->arena, struct words_group);
	for (size_t from = 0; from < n; from += WORDS_AT_ONCE) {
		g->n = n - from < WORDS_AT_ONCE ? n - from : WORDS_AT_ONCE;
		memcpy(g->words, words + from, g->n * sizeof(*words));
		TRY(words_put_some(a, source, g));
	}
	return ERR_OK;
}

static enum err words_read(struct applying *a, const struct bundle_lines *at, struct str line, const struct bundle_said *said, struct guest_words *out)
{
	struct error e = { 0 };
	if (guest_words_read(a->call->arena, line, said->json, out, &e) != ERR_OK)
		return apply_refuse_error(a, at, &e);
	out->as_of = a->bundle->as_of;
	int home = apply_home(a, out->home);
	if (home < 0)
		return apply_refuse(a, BUNDLE_REASON_OUTSIDE, at, "The bundle does not list the home of this statement.");
	return words_check(out, a->terms[home], &e) == ERR_OK ? ERR_OK : apply_refuse(a, BUNDLE_REASON_LOOSER, at, "%s", e.message);
}

/* ---- What is no longer passed on ---- */

static enum err passing_take(struct applying *a, const struct bundle_lines *at, const struct bundle_said *said)
{
	struct call *c = a->call;
	struct str *homes = ARENA_ARRAY(c->arena, said->n_rids, struct str);
	struct uuid *ids = ARENA_ARRAY(c->arena, said->n_rids, struct uuid);
	bool out = said->what == BUNDLE_OUT;
	for (size_t i = 0; i < said->n_rids; i++) {
		if (!rid_parse(said->rids[i], &homes[i], &ids[i]))
			return apply_refuse(a, BUNDLE_REASON_MALFORMED, at, "A record's name is not one.");
		if (!touched_add(&a->touched, homes[i], ids[i]))
			return fail(c, ERR_NO_MEMORY, "There is no memory for the names of records.");
	}
	*(out ? &a->report.out : &a->report.back) += (int64_t)said->n_rids;
	return db_exec(c, passing_put, A_UUID(a->coop), A_TEXTS(homes, said->n_rids), A_UUIDS(ids, said->n_rids), A_STR(said->home), A_I64(said->rev), A_BOOL(out));
}

/* One line, which the arena holds until its group is put. */
static enum err line_take(struct applying *a, struct words_group *g, const struct bundle_lines *at, struct str line)
{
	struct call *c = a->call;
	struct bundle_said said;
	struct guest_words *words = &g->words[g->n];
	TRY(bundle_said_read(c->arena, line, NULL, &said, &c->error)); /* bundle_check has followed the chain and looked at the signature */
	g->bytes += line.n;
	if (said.what != BUNDLE_WORDS)
		return passing_take(a, at, &said);
	if (apply_drops(a, said.home))
		return ERR_OK;
	TRY(words_read(a, at, line, &said, words));
	if (has(g, words))
		return apply_refuse(a, BUNDLE_REASON_MALFORMED, at, "A contributor has two lines.");
	g->n++;
	return ERR_OK;
}

enum err apply_statements(struct applying *a)
{
	struct call *c = a->call;
	struct bundle_lines *lines;
	if (a->bundle->counts.statements + a->bundle->counts.out + a->bundle->counts.back == 0)
		return ERR_OK;
	struct words_group *g = ARENA_NEW(c->arena, struct words_group);
	TRY(bundle_lines_open(c->arena, a->bundle, BUNDLE_STATEMENTS, &lines, &c->error));
	struct arena_mark mark = arena_mark(c->arena);
	for (;;) {
		struct str line;
		TRY(bundle_lines_next(lines, &line, &c->error));
		if (line.p)
			TRY(line_take(a, g, lines, str_copy(c->arena, line)));
		if (!line.p || g->n == WORDS_AT_ONCE || g->bytes > WORDS_BYTES) {
			TRY(words_put(a, g));
			g->n = g->bytes = 0;
			arena_rewind(c->arena, mark);
		}
		if (!line.p)
			return ERR_OK;
	}
}
