/* What two sets have in common: which leaves only one of them has, from the leaves of the parts that differ. Pure. */
#include "joint_internal.h"

static size_t leave_out_max = JOINT_WITHOUT_MAX;

void joint_leave_out_at_most(size_t leaves)
{
	leave_out_max = leaves;
}

static const uint8_t *bucket_digest(struct str set, unsigned bucket)
{
	return (const uint8_t *)set.p + 32 + 32 * bucket;
}

/* The leaves of one part of a set, out of sorted ones. */
static struct str bucket_of(struct str leaves, unsigned bucket)
{
	size_t n = leaves.n / 32, from = 0, to;
	while (from < n && (uint8_t)leaves.p[from * 32] < bucket)
		from++;
	for (to = from; to < n && (uint8_t)leaves.p[to * 32] == bucket; to++)
		continue;
	return str_sub(leaves, from * 32, (to - from) * 32);
}

/* Whether these are all of that part. */
static bool is_whole(struct str set, unsigned bucket, struct str leaves)
{
	static const uint8_t empty[32];
	return memcmp(bucket_digest(set, bucket), leaves.n ? sha256(leaves).b : empty, 32) == 0;
}

/* Adds what only one of two sorted lists has, and counts it, also where there is no room for more. */
static size_t add_apart(struct buf *b, struct str x, struct str y)
{
	size_t n = 0;
	while (x.n || y.n) {
		int order = !x.n ? 1 : !y.n ? -1 : memcmp(x.p, y.p, 32);
		if (order)
			buf_add(b, order < 0 ? x.p : y.p, 32);
		n += order != 0;
		if (order <= 0)
			x = str_sub(x, 32, x.n);
		if (order >= 0)
			y = str_sub(y, 32, y.n);
	}
	return n;
}

/* Both sorted lists in one. */
static void add_united(struct buf *b, struct str x, struct str y)
{
	while (x.n || y.n) {
		int order = !x.n ? 1 : !y.n ? -1 : memcmp(x.p, y.p, 32);
		buf_add(b, order <= 0 ? x.p : y.p, 32);
		if (order <= 0)
			x = str_sub(x, 32, x.n);
		if (order >= 0)
			y = str_sub(y, 32, y.n);
	}
}

struct joint_apart joint_apart(struct arena *a, const struct release_joint *j, struct str ours, struct str our_leaves)
{
	struct joint_apart out = { JOINT_APART_UNKNOWN, 0, STR_NONE };
	struct buf apart, united;
	bool whole = j->theirs.n == JOINT_SET_BYTES && ours.n == JOINT_SET_BYTES;
	buf_init(&apart, leave_out_max * sizeof(struct sha256));
	buf_init(&united, leave_out_max * sizeof(struct sha256));
	for (unsigned i = 0; whole && i < JOINT_BUCKETS; i++) {
		if (memcmp(bucket_digest(ours, i), bucket_digest(j->theirs, i), 32) == 0)
			continue;
		struct str mine = bucket_of(our_leaves, i), other = bucket_of(j->their_leaves, i);
		whole = is_whole(ours, i, mine) && is_whole(j->theirs, i, other);
		out.n += add_apart(&apart, mine, other);
	}
	if (whole && out.n) {
		add_united(&united, buf_str(&apart), j->without);
		out.found = apart.failed || united.failed ? JOINT_APART_TOO_MANY : JOINT_APART_KNOWN;
	}
	if (out.found == JOINT_APART_KNOWN)
		out.without = str_copy(a, buf_str(&united));
	buf_release(&apart);
	buf_release(&united);
	return out;
}

struct str joint_too_many(struct arena *a, const struct release_joint *j, const struct joint_apart *apart)
{
	size_t before = j->without.n / sizeof(struct sha256);
	struct str more = before ? str_fmt(a, ", beside the %zu that are left out already", before) : STR("");
	return str_fmt(a, "They differ in %zu items%.*s, and at most %zu can be left out. First bring what is missing to both: let each export a bundle under the agreement and the other take it in, and look "
		"whether one of them has been refused. It goes on by itself once fewer differ. Or end this one, and propose it again after that.", apart->n, STR_ARG(more), leave_out_max);
}
