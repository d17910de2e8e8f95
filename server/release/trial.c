/* A co-op's own pool decided twice: as its charter has it, and as an agreement would. */
#include "joint_internal.h"

void release_rules(const struct charter *charter, instant at, struct policy_spec *out)
{
	release_spec(charter, NULL, at, at, out);
}

static const struct policy_row *rows_of(const struct decided *d)
{
	struct policy_row *rows = ARENA_ARRAY(d->arena, d->facts.n_members * POLICY_KIND_COUNT + 1, struct policy_row);
	for (size_t m = 0; rows && m < d->facts.n_members; m++)
		for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++)
			rows[m * POLICY_KIND_COUNT + kind] = policy_rows_get(d->rows, (uint32_t)m, kind);
	return rows;
}

enum err release_try(struct call *c, struct uuid coop, const struct release_joint *together, struct release_trial *out)
{
	struct decided alone, joint;
	instant at = release_preview_cutoff();
	TRY(decide_pack(c, coop));
	TRY(db_begin_in(c, coop, DB_SERIAL));
	TRY(decide_trial(c, coop, NULL, at, &alone));
	TRY(decide_trial(c, coop, together, at, &joint));
	TRY(db_commit(c));
	*out = (struct release_trial){
		.at = at, .n = joint.n, .words = joint.words, .more = joint.more, .members = joint.members, .ids = (const uint8_t (*)[16])joint.ids,
		.hashes = (const uint8_t (*)[32])joint.hashes, .alone = alone.reasons, .joint = joint.reasons, .n_members = joint.facts.n_members, .people = joint.facts.members,
		.rows = rows_of(&joint), .notice_min = alone.spec.notice_min,
	};
	return out->rows ? ERR_OK : fail(c, ERR_NO_MEMORY, "There is no memory to try an agreement out.");
}
