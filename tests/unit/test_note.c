/* Signed notes, checkpoints, proof texts and tile addresses, against the examples of C2SP and changed copies. */
#include "commonhold/ledger.h"
#include "commonhold/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct arena *arena;
static struct sign_key key;
static const struct str origin = { "commonhold.example/coop/abcdefghijklmnop", 40 };

static int set_up(void **state)
{
	(void)state;
	static const uint8_t seed[32] = { 7 };
	arena = arena_new(64 * MIB);
	sign_key_from_seed(&key, seed);
	return crypto_start() ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static enum err verify(struct str note)
{
	uint64_t size;
	struct sha256 root;
	struct error e = { 0 };
	return checkpoint_verify(arena, note, origin, key.public_key, &size, &root, &e);
}

static struct str note_of(uint64_t size)
{
	return checkpoint_sign(arena, origin, size, sha256(STR("root")), &key);
}

static struct str resigned(const char *text)
{
	/* any text with a signature line of the key */
	uint8_t blob[68];
	struct str parts[] = { origin, STR("\n\x01"), str_make(key.public_key, 32) };
	struct sha256 id = sha256_of(parts, 3);
	memcpy(blob, id.b, 4);
	sign_bytes(&key, str_of(text), blob + 4);
	return str_fmt(arena, "%s\n\xe2\x80\x94 %.*s %.*s\n", text, STR_ARG(origin), STR_ARG(str_base64(arena, blob, sizeof(blob))));
}

static void a_checkpoint_reads_back(void **state)
{
	(void)state;
	uint64_t size;
	struct sha256 root, expected = sha256(STR("root"));
	struct error e = { 0 };
	struct str note = note_of(70000);
	assert_int_equal(checkpoint_verify(arena, note, origin, key.public_key, &size, &root, &e), ERR_OK);
	assert_int_equal(size, 70000);
	assert_memory_equal(&root, &expected, 32);
	assert_true(str_starts(note, "commonhold.example/coop/abcdefghijklmnop\n70000\n"));
	assert_int_equal(verify(note_of(0)), ERR_OK);
}

/* The verifier key and note of golang.org/x/mod/sumdb/note's documentation, which the C2SP format is made of. */
static void the_key_id_is_that_of_the_reference_implementation(void **state)
{
	(void)state;
	struct str name;
	uint8_t public_key[32];
	struct str verifier = STR("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
	assert_true(note_verifier_parse(arena, verifier, &name, public_key));
	assert_true(str_is(name, "PeterNeumann"));
	assert_true(str_eq(note_verifier_key(arena, name, public_key), verifier));
	assert_false(note_verifier_parse(arena, STR("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"), &name, public_key));
	assert_false(note_verifier_parse(arena, STR("PeterNewmann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"), &name, public_key));
	assert_false(note_verifier_parse(arena, STR("PeterNeumann+c74f20a3"), &name, public_key));
	assert_false(note_verifier_parse(arena, STR(""), &name, public_key));
}

static void every_changed_byte_of_a_checkpoint_is_caught(void **state)
{
	(void)state;
	struct str note = note_of(1234567);
	char *p = arena_alloc(arena, note.n);
	for (size_t i = 0; i < note.n; i++) {
		memcpy(p, note.p, note.n);
		p[i] ^= 1;
		assert_int_not_equal(verify(str_make(p, note.n)), ERR_OK);
	}
	for (size_t n = 0; n < note.n; n++)
		assert_int_not_equal(verify(str_sub(note, 0, n)), ERR_OK);
}

static void another_log_or_key_is_refused(void **state)
{
	(void)state;
	struct sign_key other;
	uint64_t size;
	struct sha256 root;
	struct error e = { 0 };
	sign_key_new(&other);
	assert_int_equal(checkpoint_verify(arena, note_of(5), origin, other.public_key, &size, &root, &e), ERR_INVALID);
	assert_int_equal(checkpoint_verify(arena, note_of(5), STR("commonhold.example/coop/other"), key.public_key, &size, &root, &e), ERR_INVALID);
}

static void witnesses_are_passed_over(void **state)
{
	(void)state;
	struct str note = note_of(5);
	struct str witness = str_fmt(arena, "%.*s\xe2\x80\x94 witness.example/w1 %.*s\n", STR_ARG(note), STR_ARG(str_base64(arena, "idid-and-a-signature", 20)));
	assert_int_equal(verify(witness), ERR_OK);
}

static void a_wrong_signature_of_the_logs_own_key_spoils_the_note(void **state)
{
	(void)state;
	struct str five = note_of(5), six = note_of(6), text, line = STR_NONE, rest = six;
	while (str_split(&rest, '\n', &text) && rest.p)
		line = text;
	assert_true(str_starts(line, "\xe2\x80\x94 "));
	assert_int_equal(verify(str_fmt(arena, "%.*s%.*s\n", STR_ARG(five), STR_ARG(line))), ERR_INVALID);
}

static void odd_texts_are_refused_even_when_signed(void **state)
{
	(void)state;
	static const char good_root[] = "SBNJTRN+FjG7owHVrKtubwTEsrXqeY8Lf2tqsl7JwbM=";
	static const char *const sizes[] = { "05", "-1", "+5", "5 ", " 5", "", "0x5", "99999999999999999999", "5a" };
	const char *name = "commonhold.example/coop/abcdefghijklmnop";
	assert_int_equal(verify(resigned(str_z(arena, str_fmt(arena, "%s\n5\n%s\n", name, good_root)))), ERR_OK);
	for (size_t i = 0; i < CH_LEN(sizes); i++)
		assert_int_equal(verify(resigned(str_z(arena, str_fmt(arena, "%s\n%s\n%s\n", name, sizes[i], good_root)))), ERR_INVALID);
	assert_int_equal(verify(resigned(str_z(arena, str_fmt(arena, "%s\n5\nAAAA\n", name)))), ERR_INVALID);
	assert_int_equal(verify(resigned(str_z(arena, str_fmt(arena, "%s\n5\n", name)))), ERR_INVALID);
	assert_int_equal(verify(resigned(str_z(arena, str_fmt(arena, "%s\n5\n%s\nextension\n", name, good_root)))), ERR_OK);
	assert_int_equal(verify(resigned(str_z(arena, str_fmt(arena, "%s\n5\n%s\nexten\tsion\n", name, good_root)))), ERR_INVALID);
}

static void a_proof_reads_back(void **state)
{
	(void)state;
	struct sha256 path[3] = { sha256(STR("a")), sha256(STR("b")), sha256(STR("c")) };
	struct tlog_proof in = { STR("{\"t\":\"x\"}"), 73894, path, 3, note_of(109482) }, out;
	struct error e = { 0 };
	struct str text = tlog_proof_write(arena, &in);
	assert_true(str_starts(text, "c2sp.org/tlog-proof@v1\nextra eyJ0IjoieCJ9\nindex 73894\n"));
	assert_int_equal(tlog_proof_read(arena, text, &out, &e), ERR_OK);
	assert_int_equal(out.index, 73894);
	assert_int_equal(out.n, 3);
	assert_memory_equal(out.path, path, sizeof(path));
	assert_true(str_eq(out.entry, in.entry) && str_eq(out.checkpoint, in.checkpoint));
	in.entry = STR_NONE;
	in.n = 0;
	in.index = 0;
	assert_int_equal(tlog_proof_read(arena, tlog_proof_write(arena, &in), &out, &e), ERR_OK);
	assert_null(out.entry.p);
	assert_int_equal(out.n, 0);
}

static void what_is_no_proof_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v2\nindex 0\n\nx\n",
		"c2sp.org/tlog-proof@v1\nindex 00\n\nx\n", "c2sp.org/tlog-proof@v1\nindex -1\n\nx\n", "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nx\n",
		"c2sp.org/tlog-proof@v1\nindex 1\n", "c2sp.org/tlog-proof@v1\nindex 1\n\n", "c2sp.org/tlog-proof@v1\nextra !\nindex 1\n\nx\n", "index 1\n\nx\n" };
	struct tlog_proof out;
	struct error e = { 0 };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_int_equal(tlog_proof_read(arena, str_of(bad[i]), &out, &e), ERR_INVALID);
}

static void tile_addresses_are_those_of_c2sp(void **state)
{
	(void)state;
	static const struct { const char *text; struct tile_path p; } good[] = {
		{ "0/000", { false, 0, 0, 256 } },
		{ "0/x001/x234/067", { false, 0, 1234067, 256 } },
		{ "1/000.p/17", { false, 1, 0, 17 } },
		{ "63/999.p/255", { false, 63, 999, 255 } },
		{ "entries/x001/000.p/1", { true, 0, 1000, 1 } },
		{ "entries/272", { true, 0, 272, 256 } },
	};
	for (size_t i = 0; i < CH_LEN(good); i++) {
		struct tile_path p;
		assert_true(tile_path_parse(str_of(good[i].text), &p));
		assert_int_equal(p.entries, good[i].p.entries);
		assert_int_equal(p.level, good[i].p.level);
		assert_int_equal(p.index, good[i].p.index);
		assert_int_equal(p.width, good[i].p.width);
		assert_string_equal(str_z(arena, tile_path_format(arena, p)), good[i].text);
	}
	static const char *const bad[] = { "", "/", "0", "0/", "0/0", "0/00", "0/0000", "00/000", "64/000", "-1/000", "0/x000/000", "0/001/000", "0/x001", "0/x001/", "0/000.p",
		"0/000.p/", "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/000.q/1", "0/000.p/1/1", "0/x001.p/1", "entries", "entry/000", "0/x1/000", "0/x001/x234/06a",
		"0/x999/x999/x999/x999/x999/x999/999", "0/../000", "0//000", "0/000 " };
	struct tile_path p;
	for (size_t i = 0; i < CH_LEN(bad); i++)
		if (tile_path_parse(str_of(bad[i]), &p))
			fail_msg("accepted %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_checkpoint_reads_back),
		cmocka_unit_test(the_key_id_is_that_of_the_reference_implementation),
		cmocka_unit_test(every_changed_byte_of_a_checkpoint_is_caught),
		cmocka_unit_test(another_log_or_key_is_refused),
		cmocka_unit_test(witnesses_are_passed_over),
		cmocka_unit_test(a_wrong_signature_of_the_logs_own_key_spoils_the_note),
		cmocka_unit_test(odd_texts_are_refused_even_when_signed),
		cmocka_unit_test(a_proof_reads_back),
		cmocka_unit_test(what_is_no_proof_is_refused),
		cmocka_unit_test(tile_addresses_are_those_of_c2sp),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
