/* Identifiers: UUIDs, a co-op's name from its key, federated ids. */
#include "commonhold/arena.h"
#include "commonhold/id.h"
#include "commonhold/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena *arena;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(MIB);
	return arena ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

#define assert_str(s, z) do { struct str s_ = (s), z_ = str_of(z); \
	if (!str_eq(s_, z_)) fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(s_), z_.p); } while (0)

static void new_ids_are_random_and_of_version_4(void **state)
{
	(void)state;
	struct uuid last = uuid_new();
	for (int i = 0; i < 1000; i++) {
		struct uuid u = uuid_new();
		assert_int_equal(u.b[6] >> 4, 4);
		assert_int_equal(u.b[8] >> 6, 2);
		assert_false(uuid_eq(u, last) || uuid_is_nil(u));
		last = u;
	}
	assert_true(uuid_is_nil((struct uuid){ 0 }));
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	struct uuid u, back;
	assert_true(uuid_parse(STR("F81D4FAE-7dec-11d0-a765-00a0c91e6bf6"), &u));
	assert_str(uuid_format(arena, u), "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
	for (int i = 0; i < 100; i++) {
		u = uuid_new();
		assert_true(uuid_parse(uuid_format(arena, u), &back));
		assert_true(uuid_eq(u, back));
		assert_int_equal(uuid_cmp(u, back), 0);
	}
}

static void other_spellings_are_no_ids(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "f81d4fae7dec11d0a76500a0c91e6bf6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6 ", "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}",
		"f81d4fae-7dec-11d0-a765+00a0c91e6bf6", "g81d4fae-7dec-11d0-a765-00a0c91e6bf6", "f81d4fa-e7dec-11d0-a765-00a0c91e6bf6", "f81d4fae-7dec-11d0-a76500-a0c91e6bf6" };
	struct uuid u;
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_false(uuid_parse(str_of(bad[i]), &u));
	assert_false(uuid_parse(STR_NONE, &u));
}

/* base32(SHA-256 of the bytes 0 to 31), first 16 characters. */
static void a_coop_is_named_by_its_key(void **state)
{
	(void)state;
	uint8_t key[32];
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	assert_str(coop_key_name(arena, key), "mmg42klgyqzwneis");
}

static void federated_ids_have_one_spelling(void **state)
{
	(void)state;
	struct uuid u, back;
	struct str name;
	assert_true(uuid_parse(STR("f81d4fae-7dec-41d0-a765-00a0c91e6bf6"), &u));
	struct str rid = rid_format(arena, STR("mmg42klgyqzwneis"), u);
	assert_str(rid, "dc:mmg42klgyqzwneis:f81d4fae-7dec-41d0-a765-00a0c91e6bf6");
	assert_true(rid_parse(rid, &name, &back));
	assert_str(name, "mmg42klgyqzwneis");
	assert_true(uuid_eq(u, back));
	static const char *const bad[] = { "", "dc:mmg42klgyqzwneis", "DC:mmg42klgyqzwneis:f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "dc:MMG42klgyqzwneis:f81d4fae-7dec-41d0-a765-00a0c91e6bf6",
		"dc:mmg42klgyqzwneis:F81d4fae-7dec-41d0-a765-00a0c91e6bf6", "dc:mmg42klgyqzwnei1:f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "dc:mmg42klgyqzwneis-f81d4fae-7dec-41d0-a765-00a0c91e6bf6",
		"dc:mmg42klgyqzwneis:f81d4fae-7dec-41d0-a765-00a0c91e6bf6x", "dc:mmg42klgyqzwnei:0f81d4fae-7dec-41d0-a765-00a0c91e6bf6" };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		if (rid_parse(str_of(bad[i]), &name, &back))
			fail_msg("%s", bad[i]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(new_ids_are_random_and_of_version_4), TEST(what_is_written_is_read_again), TEST(other_spellings_are_no_ids), TEST(a_coop_is_named_by_its_key),
		TEST(federated_ids_have_one_spelling),
	};
	return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
