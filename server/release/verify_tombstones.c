/* tombstones.jsonl: every tombstone of the co-op from the first on, each chained to the one before, the last one signed, and with it all of them. */
#include "verify_internal.h"

#include "commonhold/tombstone.h"

#include <unistd.h>

#define TOMBSTONES_MAX (4096 * MIB) /* ten million, which take 256 MiB to remember */
#define TOMBSTONE_LEAST 300         /* bytes of the shortest line: the set of ids is as large as the file can need */

struct tombstones {
	struct verifying *v;
	struct arena *arena;           /* of one line */
	struct tombstone_chain chain, before; /* where it ends, and where it ended before the last line */
	struct buf last;               /* the last line */
	size_t room;                   /* ids that the set still has room for */
};

/* What purges, and what is final for the rows of releases to come; an embargo ends. */
static bool forbids(enum tombstone_kind k)
{
	return k != TOMBSTONE_EMBARGO;
}

static bool tombstone_line(void *arg, struct str line)
{
	struct tombstones *t = arg;
	struct error e = { 0 };
	struct tombstone read;
	struct arena_mark mark = arena_mark(t->arena);
	t->before = t->chain;
	if (tombstone_take(t->arena, &t->chain, line, NULL, &read, &e) != ERR_OK)
		return verify_bad(t->v, "tombstones.jsonl: %s", e.message);
	if (t->room == 0)
		return verify_bad(t->v, "tombstones.jsonl names more ids than fit into it.");
	t->room--;
	if (forbids(read.kind))
		rid_set_add(&t->v->tombstoned, merkle_leaf(read.rid));
	buf_clear(&t->last);
	buf_add_str(&t->last, line);
	arena_rewind(t->arena, mark);
	return true;
}

static bool tombstones_read(struct tombstones *t, int fd)
{
	struct line_reader lines;
	char block[65536];
	ssize_t got = 0;
	lines_init(&lines, tombstone_line, t);
	bool ok = true;
	t->v->said[0] = '\0';
	while (ok && (got = read(fd, block, sizeof(block))) > 0)
		ok = lines_feed(&lines, block, (size_t)got);
	ok = ok && got == 0 && lines_end(&lines);
	if (!ok && !t->v->said[0])
		verify_bad(t->v, "tombstones.jsonl is wrong: %s.", lines.fault ? lines.fault : "it cannot be read");
	lines_release(&lines);
	return ok;
}

/* One good signature covers every line up to it. */
static bool last_signed(struct tombstones *t)
{
	struct error e = { 0 };
	if (t->chain.upto < 0)
		return true;
	if (tombstone_take_signed(t->arena, &t->before, buf_str(&t->last), &t->v->chain, NULL, &e) != ERR_OK)
		return verify_bad(t->v, "tombstones.jsonl: %s", e.message);
	return true;
}

static bool ends_as_claimed(struct tombstones *t)
{
	int64_t count = json_int(json_at(t->v->manifest, "/tombstones/count"), -1), upto = json_int(json_at(t->v->manifest, "/tombstones/upto_index"), -2);
	if (t->chain.upto == upto && count == upto + 1)
		return true;
	return verify_bad(t->v, "tombstones.jsonl ends at %lld; the manifest took %lld tombstones up to %lld into account.", (long long)t->chain.upto, (long long)count, (long long)upto);
}

bool documents_tombstones(struct verifying *v)
{
	struct found *f = files_find(v, STR("tombstones.jsonl"));
	int fd = f ? files_open(v, f->path) : -1;
	if (fd < 0)
		return verify_bad(v, "tombstones.jsonl cannot be read.");
	if ((uint64_t)f->size > TOMBSTONES_MAX) {
		close(fd);
		return verify_bad(v, "tombstones.jsonl is too large.");
	}
	struct tombstones t = { .v = v, .arena = v->arena, .chain = tombstone_chain_start(json_text(json_at(v->manifest, "/log/origin"))), .room = (size_t)f->size / TOMBSTONE_LEAST + 1 };
	buf_init(&t.last, VERIFY_LINE_MAX);
	bool ok = rid_set_init(&v->tombstoned, t.room) ? tombstones_read(&t, fd) : verify_bad(v, "There is no memory for the tombstones.");
	ok = ok && last_signed(&t) && ends_as_claimed(&t);
	buf_release(&t.last);
	close(fd);
	return ok && verify_good(v, "%lld tombstones, none missing, in order, signed.", (long long)t.chain.upto + 1);
}
