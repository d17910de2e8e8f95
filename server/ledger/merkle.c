/* Merkle trees over SHA-256 as RFC 6962 section 2.1 defines them: hashes, roots and proofs, without I/O and without recursion. */
#include "commonhold/ledger.h"

/* Proofs are at most this long: one hash a level, and one for the old tree itself. */
#define PATH_MAX_HASHES 66

struct sha256 merkle_leaf(struct str leaf)
{
	struct str parts[2] = { STR("\0"), leaf };
	return sha256_of(parts, 2);
}

struct sha256 merkle_node(struct sha256 left, struct sha256 right)
{
	uint8_t bytes[1 + 32 + 32] = { 1 };
	memcpy(bytes + 1, left.b, 32);
	memcpy(bytes + 33, right.b, 32);
	return sha256(str_make(bytes, sizeof(bytes)));
}

void merkle_add(struct merkle_builder *b, struct sha256 leaf_hash)
{
	struct sha256 h = leaf_hash;
	for (uint64_t size = b->size; size & 1; size >>= 1)
		h = merkle_node(b->stack[--b->depth], h);
	b->stack[b->depth++] = h;
	b->size++;
}

struct sha256 merkle_builder_root(const struct merkle_builder *b)
{
	if (b->depth == 0)
		return sha256(STR(""));
	struct sha256 root = b->stack[b->depth - 1];
	for (unsigned i = b->depth - 1; i > 0; i--)
		root = merkle_node(b->stack[i - 1], root);
	return root;
}

struct sha256 merkle_root(const struct sha256 *leaf_hashes, size_t n)
{
	struct merkle_builder b = { .size = 0 };
	for (size_t i = 0; i < n; i++)
		merkle_add(&b, leaf_hashes[i]);
	return merkle_builder_root(&b);
}

/* The largest power of two smaller than n, as an exponent; n > 1. */
static unsigned split_level(uint64_t n)
{
	return 63u - (unsigned)__builtin_clzll(n - 1);
}

/* Root of the leaves [begin, end), where begin is a multiple of the largest power of two not above the length: folds the perfect subtrees from the right. */
static enum err range_root(uint64_t begin, uint64_t end, merkle_hash_fn hash_at, void *arg, struct sha256 *out)
{
	bool any = false;
	while (end > begin) {
		unsigned level = (unsigned)__builtin_ctzll(end - begin);
		struct sha256 h;
		TRY(hash_at(arg, level, (end >> level) - 1, &h));
		*out = any ? merkle_node(h, *out) : h;
		any = true;
		end -= UINT64_C(1) << level;
	}
	return ERR_OK;
}

/* Hashes collected from the root downwards, which is the reverse of a proof's order. */
struct path {
	struct sha256 hash[PATH_MAX_HASHES];
	size_t n;
};

static enum err path_hand_out(struct arena *a, const struct path *down, struct sha256 **path, size_t *n)
{
	*n = down->n;
	*path = ARENA_ARRAY(a, down->n ? down->n : 1, struct sha256);
	if (!*path)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < down->n; i++)
		(*path)[i] = down->hash[down->n - 1 - i];
	return ERR_OK;
}

enum err merkle_inclusion(struct arena *a, uint64_t index, uint64_t size, merkle_hash_fn hash_at, void *arg, struct sha256 **path, size_t *n)
{
	struct path down = { .n = 0 };
	if (index >= size)
		return ERR_NOT_FOUND;
	uint64_t begin = 0, end = size;
	while (end - begin > 1) {
		uint64_t middle = begin + (UINT64_C(1) << split_level(end - begin));
		bool left = index < middle;
		TRY(range_root(left ? middle : begin, left ? end : middle, hash_at, arg, &down.hash[down.n++]));
		*(left ? &end : &begin) = middle;
	}
	return path_hand_out(a, &down, path, n);
}

/* RFC 6962 section 2.1.2: PROOF(m, D[n]) = SUBPROOF(m, D[n], true). `whole` is its b: the old tree is known to the verifier as long as the walk has only gone left. */
enum err merkle_consistency(struct arena *a, uint64_t old_size, uint64_t size, merkle_hash_fn hash_at, void *arg, struct sha256 **path, size_t *n)
{
	struct path down = { .n = 0 };
	if (old_size > size)
		return ERR_NOT_FOUND;
	uint64_t begin = 0, end = size;
	bool whole = true;
	if (old_size == 0 || old_size == size)
		return path_hand_out(a, &down, path, n);
	while (old_size != end) {
		uint64_t middle = begin + (UINT64_C(1) << split_level(end - begin));
		bool left = old_size <= middle;
		TRY(range_root(left ? middle : begin, left ? end : middle, hash_at, arg, &down.hash[down.n++]));
		*(left ? &end : &begin) = middle;
		whole = whole && left;
	}
	if (!whole)
		TRY(range_root(begin, end, hash_at, arg, &down.hash[down.n++]));
	return path_hand_out(a, &down, path, n);
}

/* The algorithm of RFC 9162 section 2.1.3.2. */
bool merkle_inclusion_ok(struct sha256 leaf, uint64_t index, uint64_t size, const struct sha256 *path, size_t n, struct sha256 root)
{
	if (index >= size)
		return false;
	uint64_t at = index, last = size - 1;
	struct sha256 r = leaf;
	for (size_t i = 0; i < n; i++) {
		if (last == 0)
			return false;
		if ((at & 1) || at == last) {
			r = merkle_node(path[i], r);
			while (!(at & 1) && at != 0) {
				at >>= 1;
				last >>= 1;
			}
		} else {
			r = merkle_node(r, path[i]);
		}
		at >>= 1;
		last >>= 1;
	}
	return last == 0 && memcmp(r.b, root.b, sizeof(r.b)) == 0;
}

/* The algorithm of RFC 9162 section 2.1.4.2, with the empty tree consistent with every tree. */
bool merkle_consistency_ok(uint64_t old_size, struct sha256 old_root, uint64_t size, struct sha256 root, const struct sha256 *path, size_t n)
{
	if (old_size > size)
		return false;
	if (old_size == size)
		return n == 0 && sha256_eq(old_root, root);
	if (old_size == 0) {
		struct sha256 empty = sha256(STR(""));
		return n == 0 && sha256_eq(old_root, empty);
	}
	uint64_t at = old_size - 1, last = size - 1;
	while (at & 1) {
		at >>= 1;
		last >>= 1;
	}
	/* When the old tree is a perfect subtree of the new one its root is the start, and the proof does not repeat it. */
	bool perfect = at == 0;
	if (!perfect && n == 0)
		return false;
	struct sha256 old = perfect ? old_root : path[0], now = old;
	for (size_t i = perfect ? 0 : 1; i < n; i++) {
		if (last == 0)
			return false;
		if ((at & 1) || at == last) {
			old = merkle_node(path[i], old);
			now = merkle_node(path[i], now);
			while (!(at & 1) && at != 0) {
				at >>= 1;
				last >>= 1;
			}
		} else {
			now = merkle_node(now, path[i]);
		}
		at >>= 1;
		last >>= 1;
	}
	return last == 0 && sha256_eq(old, old_root) && sha256_eq(now, root);
}
