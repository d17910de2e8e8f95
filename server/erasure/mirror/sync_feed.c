/* The feed of tombstones since the last run: followed by its chain, checked by its signatures, read from a file so that nothing it says can be too much at once. */
#include "sync_internal.h"

#include "commonhold/limits.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE_LINES 20000
#define PAGE_BYTES ((int64_t)PAGE_LINES * TOMBSTONE_LINE_MAX)

/* One page being read. */
struct page {
	struct sync *s;
	struct arena *scratch;      /* one line */
	struct tombstone_head head;
	bool ended;                 /* the head was read */
	int64_t lines;              /* tombstones of the page */
};

static enum err forged(struct sync *s)
{
	struct str why = str_copy(s->arena, str_sub(str_of(s->e->message), 0, 300));
	return sync_fail(s, ERR_CORRUPT, "forged", "The list of tombstones is not to be believed: %.*s", STR_ARG(why));
}

/* Versions that a tombstone names must go, whatever the status says by now. */
static void tombstone_heed(struct sync *s, const struct tombstone *t)
{
	struct str newest = STR_NONE;
	for (size_t i = 0; i < t->n_releases; i++)
		if (version_ok(t->releases[i]) && (!newest.p || version_compare(t->releases[i], newest) > 0))
			newest = t->releases[i];
	if (newest.p && s->current.p && version_compare(newest, s->current) >= 0) {
		names_add(s->arena, &s->named, str_copy(s->arena, t->rid));
		names_add(s->arena, &s->named_in, str_copy(s->arena, newest));
	}
	if (!tombstone_purges(t->kind))
		return;
	for (size_t i = 0; i < t->n_releases; i++) {
		struct str version = t->releases[i];
		if (!version_ok(version))
			continue;
		if (!names_has(&s->doomed, version))
			names_add(s->arena, &s->doomed, str_copy(s->arena, version));
		if (s->current.p && str_eq(version, s->current))
			names_add(s->arena, &s->rids, str_copy(s->arena, t->rid));
	}
}

/* The last tombstone of a page is told by what follows it, and that one's signature covers all before it. */
static enum err line_take(struct page *p, struct str line, bool last)
{
	struct sync *s = p->s;
	struct tombstone t;
	arena_reset(p->scratch);
	if ((last ? tombstone_take_signed(p->scratch, &s->chain, line, &s->state.keys, &t, s->e) : tombstone_take(p->scratch, &s->chain, line, NULL, &t, s->e)) != ERR_OK)
		return forged(s);
	tombstone_heed(s, &t);
	p->lines++;
	return ERR_OK;
}

static enum err head_take(struct page *p, struct str line)
{
	struct sync *s = p->s;
	p->ended = true;
	if (tombstone_head_read_signed(s->arena, str_copy(s->arena, line), &s->state.keys, s->status.origin, &p->head, s->e) != ERR_OK)
		return forged(s);
	return ERR_OK;
}

static bool is_head(struct str line)
{
	return memmem(line.p, line.n, "\"payloadType\"", 13) != NULL;
}

/* Lines one behind: each is taken once the next is known. */
static enum err page_lines(struct page *p, FILE *f)
{
	char *text = NULL, *before = NULL, *swap;
	size_t room = 0, room_before = 0, swap_room;
	ssize_t n, n_before = -1;
	enum err e = ERR_OK;
	while (e == ERR_OK && !p->ended && (n = getline(&text, &room, f)) > 0) {
		if (text[n - 1] != '\n' || n > TOMBSTONE_LINE_MAX) {
			e = sync_fail(p->s, ERR_CORRUPT, "forged", "The list of tombstones has a line that does not end.");
			break;
		}
		struct str line = str_make(text, (size_t)n - 1);
		bool head = is_head(line);
		if (n_before >= 0)
			e = line_take(p, str_make(before, (size_t)n_before), head);
		if (e == ERR_OK && head)
			e = head_take(p, line);
		n_before = n - 1;
		swap = before, before = text, text = swap;
		swap_room = room_before, room_before = room, room = swap_room;
	}
	if (e == ERR_OK && (!p->ended || getline(&text, &room, f) > 0))
		e = sync_fail(p->s, ERR_CORRUPT, "forged", "The list of tombstones does not end with its signed head.");
	free(text);
	free(before);
	return e;
}

static enum err page_read(struct sync *s, const char *path, struct page *page)
{
	FILE *f = fopen(path, "re");
	*page = (struct page){ .s = s, .scratch = arena_new(MIB) };
	enum err e = !f || !page->scratch ? sync_fail(s, ERR_IO, "disk", "The list of tombstones cannot be read: %s.", strerrorname_np(errno)) : page_lines(page, f);
	arena_free(page->scratch);
	if (f)
		fclose(f);
	return e;
}

/* What the head says must fit what was read, what was seen before, and the status. */
static enum err head_fits(struct sync *s, const struct page *p)
{
	const struct tombstone_head *h = &p->head;
	if (h->expires <= clock_now())
		return sync_fail(s, ERR_CORRUPT, "expired", "The list of tombstones is an old one: its head has expired.");
	if (h->upto < s->chain.upto)
		return sync_fail(s, ERR_CORRUPT, "rollback", "The list of tombstones ends at %lld; %lld were seen before.", (long long)h->upto, (long long)s->chain.upto);
	if (h->upto == s->chain.upto && !sha256_eq(h->chain, s->chain.digest))
		return sync_fail(s, ERR_CORRUPT, "rollback", "The list of tombstones is another one than the one seen before.");
	if (h->upto > s->chain.upto && p->lines == 0)
		return sync_fail(s, ERR_CORRUPT, "rollback", "The list of tombstones is cut short: %lld of %lld.", (long long)s->chain.upto + 1, (long long)h->upto + 1);
	return ERR_OK;
}

static enum err feed_log(struct sync *s, const struct tombstone_head *h)
{
	const struct sync_status *st = &s->status;
	if (h->upto < st->upto)
		return sync_fail(s, ERR_CORRUPT, "rollback", "The list of tombstones ends at %lld; the co-op's status speaks of %lld.", (long long)h->upto, (long long)st->upto);
	return h->size >= st->size ? log_consistent(s, st->size, st->root, h->size, h->root) : log_consistent(s, h->size, h->root, st->size, st->root);
}

enum err feed_fetch(struct sync *s)
{
	const char *path = folder_path(s, ".mirror/incoming/feed").p;
	struct page page;
	s->chain = s->state.origin.p ? s->state.chain : tombstone_chain_start(s->status.origin);
	s->doomed = (struct names){ 0 };
	s->named = s->state.named;
	s->named_in = s->state.named_in;
	do {
		sync_progress(s, "the list of tombstones", s->chain.upto + 1, s->status.upto + 1);
		TRY(remote_spool(s, str_fmt(s->arena, "/tombstones?since=%lld&limit=%d", (long long)s->chain.upto, PAGE_LINES), path, PAGE_BYTES));
		TRY(page_read(s, path, &page));
		TRY(head_fits(s, &page));
		if (sync_stopped(s))
			return sync_fail(s, ERR_UNAVAILABLE, "stopped", "Stopped.");
	} while (s->chain.upto < page.head.upto);
	(void)unlink(path);
	return feed_log(s, &page.head);
}
