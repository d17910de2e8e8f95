/* The set of a joint release, as both co-ops come to it by themselves: by federated ids, sorted, with a digest for each part of it. Pure. */
#include "commonhold/release_joint.h"

#include <stdlib.h>

struct sha256 joint_leaf(struct str rid, struct sha256 content)
{
	const struct str parts[] = { STR("commonhold/joint/item/1\n"), rid, STR("\n"), str_make(content.b, sizeof(content.b)) };
	return sha256_of(parts, CH_LEN(parts));
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct sha256));
}

static size_t without_twins(struct sha256 *leaves, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || !sha256_eq(leaves[kept - 1], leaves[i]))
			leaves[kept++] = leaves[i];
	return kept;
}

static struct sha256 set_digest(struct sha256 document, struct str buckets)
{
	const struct str parts[] = { STR("commonhold/joint/set/1\n"), str_make(document.b, sizeof(document.b)), buckets };
	return sha256_of(parts, CH_LEN(parts));
}

void joint_set_seal(struct joint_set *set, struct sha256 document)
{
	if (set->n)
		qsort(set->leaves, set->n, sizeof(*set->leaves), by_bytes);
	set->n = without_twins(set->leaves, set->n);
	memset(set->buckets, 0, sizeof(set->buckets));
	for (size_t from = 0, to; from < set->n; from = to) {
		for (to = from + 1; to < set->n && set->leaves[to].b[0] == set->leaves[from].b[0]; to++)
			continue;
		set->buckets[set->leaves[from].b[0]] = sha256(str_make(set->leaves + from, (to - from) * sizeof(*set->leaves)));
	}
	set->digest = set_digest(document, str_make(set->buckets, sizeof(set->buckets)));
}

struct str joint_set_bytes(struct arena *a, const struct joint_set *set)
{
	return str_cat(a, str_make(set->digest.b, 32), str_make(set->buckets, sizeof(set->buckets)));
}

bool joint_set_read(struct str bytes, struct sha256 document, struct sha256 *digest)
{
	if (bytes.n != JOINT_SET_BYTES)
		return false;
	*digest = sha256_load(str_sub(bytes, 0, 32));
	return sha256_eq(*digest, set_digest(document, str_sub(bytes, 32, bytes.n)));
}
