/* Contents for records, read in the order in which they lie on the disk. A batch writes its contents in the order of their ids, so that one item after another is far from the next, and looking each up in the
 * index costs several times what reading them does. They are read on from where those of the first item lie and kept until their item comes, in a window of a bounded size. What is not there by then is looked
 * up: contents that lie in another order than their items cost what looking up costs, and never more memory. */
#include "bundle_scope.h"

#include "commonhold/db.h"
#include "commonhold/pool.h"

#include <stdlib.h>

#define WINDOW (24 * MIB)   /* of contents that wait for their items: two batches of records of 1 KB */
#define READ_ON (1 * MIB)   /* about what is read at a time */
#define BLOCKS_MAX 512      /* of the table, at a time */
#define WORTH 4             /* reading on is given up where a block has less than one content of ours in so many */
#define FEW_MISSING 16      /* with one in so many missing they are looked up, and reading on waits */
#define AGAIN (16 * POOL_SEGMENT) /* items that are looked up before reading on is tried again */
#define BUCKETS 16384

/* The contents of the first items of a stretch are anywhere in their batch: the least place of some of them is close to where the batch begins. */
SQL(first_block,
	"SELECT coalesce(min((k.ctid::text::point)[0])::bigint, 0), pg_relation_size('contribution_content') / current_setting('block_size')::bigint "
	"FROM contribution c JOIN contribution_content k ON k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id WHERE c.coop_id = $1 AND c.item_no >= $2 AND c.item_no < $2 + 64");
static const char lying_copy[] = "COPY (SELECT id, sealed FROM contribution_content WHERE coop_id = $1 AND ctid >= $2::tid AND ctid < $3::tid) TO STDOUT (FORMAT binary)";
static const char looked_up_copy[] =
	"COPY (SELECT k.id, k.sealed FROM contribution c JOIN contribution_content k ON k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id "
	"WHERE c.coop_id = $1 AND c.item_no = ANY ($2::bigint[])) TO STDOUT (FORMAT binary)";

struct contents {
	struct call *c;
	struct uuid coop;
	struct bundle_content **buckets;   /* by id */
	size_t held, came;          /* bytes that wait; contents that came with the last reading on */
	bool full;                  /* the window was, so that some are not kept that came */
	bool reading;               /* reading on is worth it in this stretch */
	int64_t item;               /* behind the last item that was asked for */
	int64_t again;              /* from which item reading on is tried again once it was given up */
	int64_t block, end, step;   /* of the table: next one, behind the last one, how many at a time */
};

static struct bundle_content **place_of(struct contents *w, struct uuid id)
{
	uint32_t h;
	memcpy(&h, id.b, sizeof(h));
	struct bundle_content **at = &w->buckets[h % BUCKETS];
	while (*at && memcmp((*at)->id.b, id.b, 16) != 0)
		at = &(*at)->next;
	return at;
}

static void contents_end(void *arg)
{
	struct contents *w = arg;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (w->buckets[i]) {
			struct bundle_content *gone = w->buckets[i];
			w->buckets[i] = gone->next;
			free(gone);
		}
	}
	w->held = 0;
}

struct contents *bundle_contents_new(struct call *c, struct uuid coop)
{
	struct contents *w = ARENA_NEW(c->arena, struct contents);
	*w = (struct contents){ .c = c, .coop = coop, .item = -1, .step = 1 };
	w->buckets = ARENA_ARRAY(c->arena, BUCKETS, struct bundle_content *);
	arena_defer(c->arena, contents_end, w);
	return w;
}

/* Takes it out of the window; NULL when it is not there. */
static struct bundle_content *take(struct contents *w, struct uuid id)
{
	struct bundle_content **at = place_of(w, id), *taken = *at;
	if (!taken)
		return NULL;
	*at = taken->next;
	w->held -= taken->n;
	return taken;
}

void bundle_contents_drop(struct contents *w, struct uuid id)
{
	free(take(w, id));
}

/* ---- Filling the window ---- */

static enum err content_came(struct contents *w, const struct copy_field *f)
{
	struct uuid id = copy_uuid(f[0]);
	struct bundle_content **at = place_of(w, id);
	size_t n = f[1].n > 0 ? (size_t)f[1].n : 0;
	if (*at)
		return ERR_OK;
	struct bundle_content *one = malloc(sizeof(*one) + n);
	if (!one)
		return fail(w->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	*one = (struct bundle_content){ .id = id, .n = n };
	memcpy(one->sealed, f[1].p, n);
	*at = one;
	w->held += n;
	return ERR_OK;
}

static enum err lying_row(void *arg, const struct copy_field *f, int n)
{
	struct contents *w = arg;
	w->came++;
	w->full |= w->held > WINDOW;
	return n != 2 ? fail(w->c, ERR_CORRUPT, "A content's row is not as it should be.") : w->full ? ERR_OK : content_came(w, f);
}

static enum err looked_up_row(void *arg, const struct copy_field *f, int n)
{
	struct contents *w = arg;
	return n != 2 ? fail(w->c, ERR_CORRUPT, "A content's row is not as it should be.") : content_came(w, f);
}

/* A few blocks more, of about READ_ON bytes. */
static enum err read_on(struct contents *w)
{
	struct call *c = w->c;
	struct arena_mark mark = arena_mark(c->arena);
	size_t before = w->held;
	int64_t to = w->block + w->step < w->end ? w->block + w->step : w->end, blocks = to - w->block;
	w->came = 0;
	TRY(db_copy_out(c, lying_copy, (struct db_arg[]){ A_UUID(w->coop), A_STR(str_fmt(c->arena, "(%lld,0)", (long long)w->block)), A_STR(str_fmt(c->arena, "(%lld,0)", (long long)to)) }, 3, lying_row, w));
	arena_rewind(c->arena, mark);
	w->block = to;
	w->reading = !w->full && to < w->end && (int64_t)w->came * WORTH >= blocks;
	size_t bytes = w->held - before;
	if (bytes < READ_ON / 2 && w->step < BLOCKS_MAX)
		w->step *= 2;
	else if (bytes > READ_ON && w->step > 1)
		w->step /= 2;
	return ERR_OK;
}

/* How many of the items have no content here yet. */
static size_t missing(struct contents *w, const struct bundle_wanted *items, size_t n)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += !*place_of(w, items[i].id);
	return count;
}

/* The content of the first of the items, and those of the next that are missing as well, up to READ_ON bytes of them. */
static enum err look_up(struct contents *w, const struct bundle_wanted *items, size_t n)
{
	struct call *c = w->c;
	struct arena_mark mark = arena_mark(c->arena);
	int64_t *numbers = ARENA_ARRAY(c->arena, n, int64_t), bytes = 0;
	size_t count = 0;
	for (size_t i = 0; i < n && bytes < (int64_t)READ_ON; i++) {
		if (*place_of(w, items[i].id))
			continue;
		numbers[count++] = items[i].item;
		bytes += items[i].bytes;
	}
	TRY(db_copy_out(c, looked_up_copy, (struct db_arg[]){ A_UUID(w->coop), A_STR(bundle_numbers_text(c->arena, numbers, count)) }, 2, looked_up_row, w));
	arena_rewind(c->arena, mark);
	return ERR_OK;
}

/* Where the contents of a stretch begin; those behind it that were not asked for are let go. */
static enum err stretch_begin(struct contents *w, int64_t item)
{
	struct rows r;
	struct arena_mark mark = arena_mark(w->c->arena);
	contents_end(w);
	TRY(db_one(w->c, first_block, &r, A_UUID(w->coop), A_I64(item)));
	w->block = row_int(&r, 0, 0);
	w->end = row_int(&r, 0, 1);
	arena_rewind(w->c->arena, mark);
	w->full = false;
	w->reading = w->block < w->end;
	w->again = item + AGAIN;
	return ERR_OK;
}

enum err bundle_contents_ahead(struct contents *w, int64_t first, int64_t behind, const struct bundle_wanted *items, size_t n)
{
	if (first != w->item || (!w->reading && first >= w->again))
		TRY(stretch_begin(w, first));
	w->item = behind;
	while (w->reading && missing(w, items, n) * FEW_MISSING > n)
		TRY(read_on(w));
	return ERR_OK;
}

enum err bundle_contents_take(struct contents *w, const struct bundle_wanted *items, size_t n, struct bundle_content **out)
{
	*out = take(w, items->id);
	if (!*out) {
		TRY(look_up(w, items, n));
		*out = take(w, items->id);
	}
	return ERR_OK;
}
