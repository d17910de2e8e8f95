/* What was to go out and cannot be read. Either it was erased since it was decided what goes, or since the backup from which the pool was brought back: then it is left out, and the partner was not given it.
 * Or it is damage, which is said by its id. The keys database knows what was erased, whatever the pool shows. */
#include "bundle_scope.h"

#include "commonhold/db.h"

#include <stdio.h>

SQL(item_marked, "SELECT EXISTS (SELECT FROM erased_item WHERE coop_id = $1 AND item_id = $2)");
SQL(members_marked, "SELECT member_id FROM erased_member WHERE coop_id = $1 AND member_id = ANY ($2::uuid[])");
static const char items_of[] = "COPY (SELECT item_no FROM contribution WHERE coop_id = $1 AND member_no = $2) TO STDOUT (FORMAT binary)";

static void item_stays(struct writing *k, int64_t item)
{
	if (item >= 0 && item < (int64_t)k->scoped.n)
		k->scoped.in[item / 8] &= (uint8_t)~(1u << (item % 8));
}

/* The detail is what the log of a failed job and the command line say as well. */
static enum err damage(struct error *e, struct uuid id, const char *what, const char *why, const char *mend)
{
	char name[UUID_TEXT + 1] = { 0 };
	uuid_write(id, name);
	error_set(e, ERR_CORRUPT, "The %s %s %s", what, name, why);
	snprintf(e->detail, sizeof(e->detail), "%s", mend);
	return ERR_CORRUPT;
}

enum err bundle_damaged(struct error *e, struct uuid id, const char *why)
{
	return damage(e, id, "contribution", why, "Bring it back from a backup; or let its contributor delete it, or the membership: bundles then go on without it.");
}

enum err bundle_gone_item(struct writing *k, int64_t item, struct uuid id)
{
	struct rows r;
	TRY(db_keys_query(k->c, item_marked, &r, A_UUID(k->coop), A_UUID(id)));
	if (!row_bool(&r, 0, 0))
		return bundle_damaged(&k->c->error, id, "has no content, though it was not erased.");
	item_stays(k, item);
	return ERR_OK;
}

enum err bundle_gone_key(struct writing *k, struct uuid person)
{
	return damage(&k->c->error, person, "contributor", "has no key any more, though they were not erased.",
		"Bring the database of keys back from a backup; or have the membership deleted: bundles then go on without what it gave.");
}

static enum err row_stays(void *arg, const struct copy_field *f, int n)
{
	struct writing *k = arg;
	if (n != 1)
		return fail(k->c, ERR_CORRUPT, "A contribution's row is not as it should be.");
	item_stays(k, copy_int(f[0]));
	return ERR_OK;
}

/* Nothing of theirs goes, nor what they said: their tombstones say the rest. */
static enum err person_stays(struct writing *k, size_t number)
{
	k->people[number].goes = false;
	return db_copy_out(k->c, items_of, (struct db_arg[]){ A_UUID(k->coop), A_I64((int64_t)number) }, 2, row_stays, k);
}

enum err bundle_gone_people(struct writing *k, const uint32_t *numbers, size_t n)
{
	struct rows r;
	struct uuid *ids = ARENA_ARRAY(k->c->arena, n + 1, struct uuid);
	for (size_t i = 0; i < n; i++)
		ids[i] = k->people[numbers[i]].id;
	if (n == 0)
		return ERR_OK;
	TRY(db_keys_query(k->c, members_marked, &r, A_UUID(k->coop), A_UUIDS(ids, n)));
	for (size_t i = 0; i < n; i++) {
		bool marked = false;
		for (int row = 0; row < r.n && !marked; row++)
			marked = uuid_eq(row_uuid(&r, row, 0), ids[i]);
		if (marked)
			TRY(person_stays(k, numbers[i]));
	}
	return ERR_OK;
}
