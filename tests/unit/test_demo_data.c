/* The demo's made-up data: the same seed gives the same bytes, every item passes its schema, and it holds what it says - no more personal data, no fewer
 * duplicates, in order of time. */
#include "commonhold/contribution.h"
#include "commonhold/demo_data.h"
#include "commonhold/pii.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define END (INT64_C(1795305600) * CLOCK_SECOND) /* 2026-11-22 */

static struct arena *arena;
static const struct contribution_schemas *schemas;

static int set_up(void **state)
{
	(void)state;
	struct error e = { 0 };
	arena = arena_new(256 * MIB);
	return arena && crypto_start() && contribution_schemas_load(arena, &schemas, &e) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

/* What was told. */
struct told {
	struct hasher *digest;                       /* over everything */
	size_t coops, members[DEMO_COOPS], items;    /* how many */
	size_t kinds[POLICY_KIND_COUNT], languages[DEMO_LANGUAGES], choices[DEMO_CHOICE_COUNT];
	size_t pii, duplicates, licences;            /* items with personal data, repeated ones, with a licence of their own */
	size_t bytes;                                /* of all items */
	instant last;                                /* of the item before */
	instant joined[DEMO_COOPS][5000];            /* when each joined */
	struct str email[10000];                     /* all addresses */
	struct sha256 *hash;                         /* of each content */
	const struct json_schema *record[DEMO_COOPS];/* the co-ops' own schemas */
	bool check;                                  /* look closely */
};

static void hash_str(struct told *t, struct str s)
{
	hasher_add(t->digest, s.p, s.n);
	hasher_add(t->digest, "\n", 1);
}

static enum err on_coop(void *arg, unsigned index, const struct demo_coop *c, struct error *e)
{
	struct told *t = arg;
	const struct json *schema;
	assert_int_equal(index, t->coops++);
	hash_str(t, c->name);
	assert_true(c->language_count > 1 && c->purpose.n > 0 && c->bylaws.n > 0 && c->slug.n == strlen(c->slug.p));
	for (size_t i = 0; i < c->language_count; i++)
		assert_int_equal(c->languages[i].n, strlen(c->languages[i].p));
	assert_int_equal(c->name.n, strlen(c->name.p));
	assert_int_equal(c->domain.n, strlen(c->domain.p));
	assert_int_equal(c->region.n, strlen(c->region.p));
	assert_int_equal(c->licence.n, strlen(c->licence.p));
	assert_int_equal(c->record_name.n, strlen(c->record_name.p));
	assert_int_equal(json_parse(arena, c->record_schema, &schema, e), ERR_OK);
	assert_int_equal(json_schema_compile(arena, schema, NULL, NULL, &t->record[index], e), ERR_OK);
	return ERR_OK;
}

static enum err on_member(void *arg, const struct demo_member *m, struct error *e)
{
	struct told *t = arg;
	(void)e;
	t->email[m->coop * 5000 + m->index] = str_copy(arena, m->email);
	t->joined[m->coop][m->index] = m->joined;
	assert_int_equal(m->index, t->members[m->coop]++);
	assert_true(m->joined < END && m->name.n > 0 && str_is_utf8(m->name));
	t->choices[m->choice]++;
	hash_str(t, m->name);
	hash_str(t, m->email);
	return ERR_OK;
}

static enum err on_contribution(void *arg, const struct demo_contribution *c, struct error *e)
{
	struct told *t = arg;
	hash_str(t, c->json);
	assert_true(c->submitted >= t->last && c->submitted <= END);
	assert_true(c->member < t->members[c->coop] && t->joined[c->coop][c->member] <= c->submitted);
	t->last = c->submitted;
	if (t->check) {
		struct arena_mark mark = arena_mark(arena);
		const struct json *v;
		struct contribution_draft d;
		struct pii_report r = { 0 };
		assert_int_equal(json_parse(arena, c->json, &v, e), ERR_OK);
		if (contribution_canonical(arena, schemas, v, &d, e) != ERR_OK)
			fail_msg("%.*s: %.*s in %.*s", STR_ARG(e->faults->pointer), STR_ARG(e->faults->message), STR_ARG(c->json));
		assert_int_equal(d.kind, c->kind);
		if (d.kind == POLICY_KIND_RECORD)
			assert_int_equal(json_schema_check(arena, t->record[c->coop], d.record_data, e), ERR_OK);
		pii_scan_tree(json_get(v, "content"), &r);
		if (r.mask != c->pii)
			fail_msg("found %x where %x was planted: %.*s", r.mask, c->pii, STR_ARG(d.content));
		bool seen = false;
		for (size_t i = 0; i < t->items && !seen; i++)
			seen = memcmp(&t->hash[i], &d.hash, sizeof(d.hash)) == 0;
		assert_int_equal(seen, c->duplicate);
		t->hash[t->items] = d.hash;
		t->licences += d.licence.p != NULL;
		static const char *const tags[] = { "en", "de", "fr", "es", "it", "pl", "tr", "rm" };
		for (size_t i = 0; i < CH_LEN(tags); i++)
			t->languages[i] += str_is(d.lang, tags[i]);
		arena_rewind(arena, mark);
	}
	t->kinds[c->kind]++;
	t->pii += c->pii != 0;
	t->duplicates += c->duplicate;
	t->bytes += c->json.n;
	t->items++;
	return ERR_OK;
}

static struct told *tell(struct demo_options o, bool check)
{
	struct told *t = ARENA_NEW(arena, struct told);
	struct demo_listener listener = { on_coop, on_member, on_contribution, t };
	struct error e = { 0 };
	t->digest = hasher_new(arena);
	t->check = check;
	t->hash = check ? ARENA_ARRAY(arena, 5000, struct sha256) : NULL;
	if (demo_generate(&o, &listener, &e) != ERR_OK)
		fail_msg("%s", e.message);
	return t;
}

static void every_item_passes_its_schema_and_holds_what_it_says(void **state)
{
	(void)state;
	struct told *t = tell((struct demo_options){ .seed = 1, .end = END }, true);
	assert_int_equal(t->coops, DEMO_COOPS);
	assert_int_equal(t->members[0] + t->members[1], 200);
	assert_int_equal(t->items, 5000);
	for (unsigned k = 0; k < POLICY_KIND_COUNT; k++)
		assert_true(t->kinds[k] > 100);
	for (unsigned l = 0; l < DEMO_LANGUAGES; l++)
		assert_true(t->languages[l] > 50);
	for (unsigned c = 0; c < DEMO_CHOICE_COUNT; c++)
		assert_true(t->choices[c] > 5);
	assert_in_range(t->pii, 50, 250);
	assert_in_range(t->duplicates, 20, 100);
	assert_in_range(t->licences, 800, 1800);
	assert_in_range(t->bytes / t->items, 800, 1400);
	print_message("%zu bytes an item; %zu with personal data, %zu repeated; chat %zu preference %zu example %zu feedback %zu signal %zu bundle %zu record %zu\n",
		t->bytes / t->items, t->pii, t->duplicates, t->kinds[0], t->kinds[1], t->kinds[2], t->kinds[3], t->kinds[4], t->kinds[5], t->kinds[6]);
}

static void members_have_names_and_addresses_of_their_own(void **state)
{
	(void)state;
	struct told *t = tell((struct demo_options){ .seed = 3, .end = END, .members = 900, .contributions = 1 }, false);
	struct str all[900];
	size_t n = 0;
	for (size_t i = 0; i < CH_LEN(t->email); i++)
		if (t->email[i].p)
			all[n++] = t->email[i];
	assert_int_equal(n, 900);
	for (size_t i = 0; i < n; i++) {
		assert_true(memmem(all[i].p, all[i].n, "@example.", 9) != NULL);
		for (size_t k = i + 1; k < n; k++)
			assert_false(str_eq(all[i], all[k]));
	}
}

static void the_same_seed_gives_the_same_bytes_and_another_does_not(void **state)
{
	(void)state;
	struct demo_options o = { .seed = 1, .end = END, .contributions = 800 };
	struct sha256 first = hasher_end(tell(o, false)->digest), second = hasher_end(tell(o, false)->digest);
	o.seed = 2;
	struct sha256 other = hasher_end(tell(o, false)->digest);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_memory_not_equal(&first, &other, sizeof(first));
	assert_string_equal(str_z(arena, sha256_hex(arena, first)), "424b5ab2075186cb5aa32c07535286af3ea359af6a1c36fca5b5aa37c4f538a8");
}

static void sizes_outside_the_bounds_are_refused_and_the_smallest_work(void **state)
{
	(void)state;
	struct demo_listener nobody = { 0 };
	struct error e = { 0 };
	assert_int_equal(demo_generate(&(struct demo_options){ .end = END, .members = 9 }, &nobody, &e), ERR_INVALID);
	assert_int_equal(demo_generate(&(struct demo_options){ .end = END, .members = 5001 }, &nobody, &e), ERR_INVALID);
	assert_int_equal(demo_generate(&(struct demo_options){ .end = END, .months = 25 }, &nobody, &e), ERR_INVALID);
	assert_int_equal(demo_generate(&(struct demo_options){ .end = END, .contributions = 10000001 }, &nobody, &e), ERR_INVALID);
	struct told *t = tell((struct demo_options){ .seed = 5, .end = END, .members = 10, .months = 1, .contributions = 60 }, true);
	assert_int_equal(t->members[0], 5);
	assert_int_equal(t->members[1], 5);
	assert_null(demo_coop(DEMO_COOPS));
	assert_non_null(demo_coop(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_item_passes_its_schema_and_holds_what_it_says),
		cmocka_unit_test(members_have_names_and_addresses_of_their_own),
		cmocka_unit_test(the_same_seed_gives_the_same_bytes_and_another_does_not),
		cmocka_unit_test(sizes_outside_the_bounds_are_refused_and_the_smallest_work),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
