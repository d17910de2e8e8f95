/* Merkle roots and proofs against the known answers of RFC 6962's reference tests, and against a naive recursion straight from the RFC's text. */
#include "commonhold/ledger.h"
#include "commonhold/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MOST 64

static struct arena *arena;
static struct sha256 leaves[MOST + 1];

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(256 * MIB);
	for (size_t i = 0; i <= MOST; i++)
		leaves[i] = merkle_leaf(str_fmt(arena, "leaf %zu", i));
	return crypto_start() ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static void assert_hash(struct sha256 h, const char *hex)
{
	assert_string_equal(str_z(arena, sha256_hex(arena, h)), hex);
}

/* The inputs and roots of the reference implementation of certificate-transparency (merkle_tree_test). */
static const char *const inputs[] = { "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f" };
static const char *const roots[] = {
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void reference_leaves(struct sha256 out[8])
{
	for (size_t i = 0; i < 8; i++) {
		uint8_t bytes[16];
		size_t n = strlen(inputs[i]) / 2;
		assert_true(str_unhex(str_of(inputs[i]), bytes, n));
		out[i] = merkle_leaf(str_make(bytes, n));
	}
}

static void roots_agree_with_the_reference(void **state)
{
	(void)state;
	struct sha256 leaf[8];
	reference_leaves(leaf);
	assert_hash(merkle_root(NULL, 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	for (size_t n = 1; n <= 8; n++)
		assert_hash(merkle_root(leaf, n), roots[n - 1]);
}

/* MTH of RFC 6962 section 2.1, word for word. */
static struct sha256 naive_root(const struct sha256 *leaf, size_t n)
{
	if (n == 0)
		return sha256(STR(""));
	if (n == 1)
		return leaf[0];
	size_t k = 1;
	while (k * 2 < n)
		k *= 2;
	return merkle_node(naive_root(leaf, k), naive_root(leaf + k, n - k));
}

static enum err hash_at(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	const struct sha256 *leaf = arg;
	uint64_t width = UINT64_C(1) << level;
	assert_true((index + 1) * width <= MOST);
	*out = naive_root(leaf + index * width, width);
	return ERR_OK;
}

static void proofs_agree_with_the_reference(void **state)
{
	(void)state;
	static const struct { uint64_t index, size; const char *path[3]; } inclusion[] = {
		{ 0, 1, { 0 } },
		{ 0, 8, { "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4" } },
		{ 5, 8, { "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b", "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" } },
		{ 2, 3, { "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" } },
		{ 1, 5, { "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b" } },
	};
	struct sha256 leaf[8], *path;
	size_t n;
	reference_leaves(leaf);
	for (size_t i = 0; i < CH_LEN(inclusion); i++) {
		assert_int_equal(merkle_inclusion(arena, inclusion[i].index, inclusion[i].size, hash_at, leaf, &path, &n), ERR_OK);
		for (size_t j = 0; j < n; j++)
			assert_hash(path[j], inclusion[i].path[j]);
		assert_true(n == 3 || !inclusion[i].path[n]);
	}
	assert_int_equal(merkle_consistency(arena, 6, 8, hash_at, leaf, &path, &n), ERR_OK);
	assert_int_equal(n, 3);
	assert_hash(path[0], "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a");
	assert_hash(path[1], "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0");
	assert_hash(path[2], "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
}

static void a_stream_has_the_root_of_the_whole(void **state)
{
	(void)state;
	struct merkle_builder b = { .size = 0 };
	for (size_t n = 0; n <= MOST; n++) {
		struct sha256 whole = naive_root(leaves, n), stream = merkle_builder_root(&b), listed = merkle_root(leaves, n);
		assert_memory_equal(&whole, &stream, 32);
		assert_memory_equal(&whole, &listed, 32);
		merkle_add(&b, leaves[n]);
	}
}

/* Any single change to what a proof speaks of must make it fail. */
static void assert_inclusion_is_strict(uint64_t index, uint64_t size, struct sha256 *path, size_t n, struct sha256 root)
{
	assert_true(merkle_inclusion_ok(leaves[index], index, size, path, n, root));
	assert_false(merkle_inclusion_ok(leaves[(index + 1) % (MOST + 1)], index, size, path, n, root));
	if (size > 1)
		assert_false(merkle_inclusion_ok(leaves[index], (index + 1) % size, size, path, n, root));
	assert_false(merkle_inclusion_ok(leaves[index], index, index, path, n, root));
	struct sha256 other = root;
	other.b[31] ^= 1;
	assert_false(merkle_inclusion_ok(leaves[index], index, size, path, n, other));
	for (size_t i = 0; i < n; i++) {
		path[i].b[0] ^= 1;
		assert_false(merkle_inclusion_ok(leaves[index], index, size, path, n, root));
		path[i].b[0] ^= 1;
	}
	if (n)
		assert_false(merkle_inclusion_ok(leaves[index], index, size, path, n - 1, root));
	struct sha256 longer[MOST];
	memcpy(longer, path, n * sizeof(*path));
	longer[n] = root;
	assert_false(merkle_inclusion_ok(leaves[index], index, size, longer, n + 1, root));
}

static void every_leaf_of_every_size_is_proven(void **state)
{
	(void)state;
	for (uint64_t size = 1; size <= MOST; size++) {
		struct sha256 root = naive_root(leaves, size);
		for (uint64_t index = 0; index < size; index++) {
			struct arena_mark mark = arena_mark(arena);
			struct sha256 *path;
			size_t n;
			assert_int_equal(merkle_inclusion(arena, index, size, hash_at, leaves, &path, &n), ERR_OK);
			assert_inclusion_is_strict(index, size, path, n, root);
			arena_rewind(arena, mark);
		}
	}
}

static void a_leaf_beyond_the_size_has_no_proof(void **state)
{
	(void)state;
	struct sha256 *path;
	size_t n;
	assert_int_equal(merkle_inclusion(arena, 5, 5, hash_at, leaves, &path, &n), ERR_NOT_FOUND);
	assert_int_equal(merkle_inclusion(arena, 0, 0, hash_at, leaves, &path, &n), ERR_NOT_FOUND);
	assert_int_equal(merkle_consistency(arena, 6, 5, hash_at, leaves, &path, &n), ERR_NOT_FOUND);
}

static void assert_consistency_is_strict(uint64_t from, uint64_t to, struct sha256 *path, size_t n)
{
	struct sha256 old = naive_root(leaves, from), now = naive_root(leaves, to), wrong_old = old, wrong_now = now;
	wrong_old.b[0] ^= 1;
	wrong_now.b[0] ^= 1;
	assert_true(merkle_consistency_ok(from, old, to, now, path, n));
	assert_false(merkle_consistency_ok(from, wrong_old, to, now, path, n));
	if (from)
		assert_false(merkle_consistency_ok(from, old, to, wrong_now, path, n));
	if (from != to)
		assert_false(merkle_consistency_ok(to, now, from, old, path, n));
	for (size_t i = 0; i < n; i++) {
		path[i].b[0] ^= 1;
		assert_false(merkle_consistency_ok(from, old, to, now, path, n));
		path[i].b[0] ^= 1;
	}
	if (n)
		assert_false(merkle_consistency_ok(from, old, to, now, path, n - 1));
	struct sha256 longer[MOST];
	memcpy(longer, path, n * sizeof(*path));
	longer[n] = now;
	assert_false(merkle_consistency_ok(from, old, to, now, longer, n + 1));
}

static void every_pair_of_sizes_is_consistent(void **state)
{
	(void)state;
	for (uint64_t to = 0; to <= MOST; to++) {
		for (uint64_t from = 0; from <= to; from++) {
			struct arena_mark mark = arena_mark(arena);
			struct sha256 *path;
			size_t n;
			assert_int_equal(merkle_consistency(arena, from, to, hash_at, leaves, &path, &n), ERR_OK);
			assert_consistency_is_strict(from, to, path, n);
			arena_rewind(arena, mark);
		}
	}
}

static void a_rewritten_history_has_no_consistency_proof(void **state)
{
	(void)state;
	struct sha256 forged[MOST], *path;
	size_t n;
	memcpy(forged, leaves, sizeof(forged));
	forged[3] = leaves[MOST];
	assert_int_equal(merkle_consistency(arena, 10, 20, hash_at, forged, &path, &n), ERR_OK);
	assert_false(merkle_consistency_ok(10, naive_root(leaves, 10), 20, naive_root(forged, 20), path, n));
}

static void a_leaf_cannot_pass_for_a_node(void **state)
{
	(void)state;
	uint8_t both[64];
	memcpy(both, leaves[0].b, 32);
	memcpy(both + 32, leaves[1].b, 32);
	struct sha256 node = merkle_node(leaves[0], leaves[1]), leaf = merkle_leaf(str_make(both, 64));
	assert_memory_not_equal(&node, &leaf, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_agree_with_the_reference),
		cmocka_unit_test(proofs_agree_with_the_reference),
		cmocka_unit_test(a_stream_has_the_root_of_the_whole),
		cmocka_unit_test(every_leaf_of_every_size_is_proven),
		cmocka_unit_test(a_leaf_beyond_the_size_has_no_proof),
		cmocka_unit_test(every_pair_of_sizes_is_consistent),
		cmocka_unit_test(a_rewritten_history_has_no_consistency_proof),
		cmocka_unit_test(a_leaf_cannot_pass_for_a_node),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
