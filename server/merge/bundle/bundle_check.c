/* Checking a bundle: everything that can be known without the database, in one pass over its files. The first thing that is wrong ends it, in the order of the files, however many threads look. */
#include "bundle_internal.h"

#include "commonhold/belt.h"
#include "commonhold/guest.h"
#include "commonhold/json.h"
#include "commonhold/terms.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCRATCH (128 * MIB) /* of one line, parsed: the parser ends at 200,000 values */
#define EARLIEST INT64_C(946684800000000) /* 2000-01-01: nobody contributed anything before */
#define EMPTY_ROOT sha256(STR(""))

/* What the check has in hand. */
struct checking {
	struct arena *a;             /* of the caller: little */
	struct arena *scratch;       /* of one line */
	struct bundle *b;
	const struct bundle_expected *x;
	struct bundle_counts seen;   /* lines so far */
	struct error *e;
};

static enum err too_much_memory(struct error *e)
{
	return bundle_refuse(e, BUNDLE_REASON_TOO_LARGE, "One of its lines needs more memory than a line may.");
}

/* ---- Who, what, and in which order ---- */

static enum err check_sender(struct checking *k)
{
	struct bundle *b = k->b;
	const struct bundle_expected *x = k->x;
	if (!str_eq(b->to, x->us))
		return bundle_refuse(k->e, BUNDLE_REASON_NOT_FOR_US, "It is for %.*s.", STR_ARG(b->to));
	if (x->keys.n == 0)
		return bundle_refuse(k->e, BUNDLE_REASON_STRANGER, "Its sender calls itself %.*s.", STR_ARG(b->from));
	/* what is pinned is as long as what came, or the other way round: a bundle may be older than the last hand-over */
	if (!keychain_continues(&b->keys, &x->keys) && !keychain_continues(&x->keys, &b->keys))
		return bundle_refuse(k->e, BUNDLE_REASON_KEYS, "keys.json is another chain than the pinned one.");
	if (x->keys.n > b->keys.n)
		b->keys = x->keys;
	/* a chain that was cut short would let a retired key sign for any size */
	if (!keychain_signs_size(&b->keys, b->signed_by, b->head_size))
		return bundle_refuse(k->e, BUNDLE_REASON_SIGNATURE, "The key that signed bundle.json was not in force for such a log.");
	if (x->in_doubt)
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "Its sender has signed two things that cannot both be true. An admin has to look at them first.");
	if (!x->known)
		return bundle_refuse(k->e, BUNDLE_REASON_AGREEMENT, "%.*s", STR_ARG(x->why_not));
	return ERR_OK;
}

static enum err check_order(struct checking *k)
{
	struct bundle *b = k->b;
	const struct bundle_expected *x = k->x;
	if (x->again) {
		b->repeated = sha256_eq(b->digest, x->again_digest);
		return b->repeated ? ERR_OK : bundle_refuse(k->e, BUNDLE_REASON_ROLLBACK, "Another bundle with the number %lld was taken before.", (long long)b->seq);
	}
	if (b->seq <= x->seq)
		return bundle_refuse(k->e, BUNDLE_REASON_ROLLBACK, "Its number is %lld, and %lld was taken before.", (long long)b->seq, (long long)x->seq);
	if (b->head_size < (int64_t)x->log.size)
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "Its log is shorter than it was.");
	if (b->created > x->now + CLOCK_HOUR || b->as_of > x->now + CLOCK_HOUR) /* or it would count as news for as long as the sender likes */
		return bundle_refuse(k->e, BUNDLE_REASON_MALFORMED, "It was made in the future.");
	if (b->whole)
		return ERR_OK;
	if (b->seq != x->seq + 1)
		return bundle_refuse(k->e, BUNDLE_REASON_GAP, "Number %lld comes first.", (long long)x->seq + 1);
	if (!sha256_eq(b->prev, x->digest))
		return bundle_refuse(k->e, BUNDLE_REASON_ROLLBACK, "It does not go on from the bundle that was taken last.");
	if (b->base_size != (int64_t)x->log.size || !sha256_eq(b->base_root, merkle_builder_root(&x->log)))
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "It begins elsewhere than the last one ended.");
	return ERR_OK;
}

/* ---- The log ---- */

static enum err check_checkpoint(struct checking *k)
{
	struct bundle *b = k->b;
	struct error why = { 0 };
	struct sha256 root;
	uint64_t size;
	if (k->x->origin.p && !str_eq(b->origin, k->x->origin))
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "Its log has another name than before.");
	if (keychain_checkpoint_verify(k->a, &b->keys, b->checkpoint, b->origin, &size, &root, &why) != ERR_OK)
		return bundle_refuse(k->e, BUNDLE_REASON_SIGNATURE, "Its checkpoint is not the sender's.");
	if (size != (uint64_t)b->head_size || !sha256_eq(root, b->head_root))
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "Its checkpoint is of another head than bundle.json says.");
	return ERR_OK;
}

static enum err check_consistency(struct checking *k)
{
	struct bundle *b = k->b;
	struct sha256 path[BUNDLE_PATH_MAX];
	struct str rest, line, bytes;
	size_t n = 0;
	TRY(bundle_file_text(k->a, b, bundle_file_find(b, "consistency.proof"), 64 * KIB, &rest, k->e));
	while (rest.n && str_split(&rest, '\n', &line) && (line.n || rest.n)) {
		if (n == BUNDLE_PATH_MAX || !str_unbase64(k->a, line, &bytes) || bytes.n != 32)
			return bundle_refuse(k->e, BUNDLE_REASON_MALFORMED, "consistency.proof is none.");
		memcpy(path[n++].b, bytes.p, 32);
	}
	if (!merkle_consistency_ok((uint64_t)b->base_size, b->base_root, (uint64_t)b->head_size, b->head_root, path, n))
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "consistency.proof does not lead from its base to its head.");
	return ERR_OK;
}

struct events { struct checking *k; struct bundle_lines *lines; };

/* The log grows past every size at which something was known of it: it must have been the same there. *other: the note that says otherwise. */
static bool known_otherwise(const struct checking *k, struct str *other)
{
	const struct bundle_expected *x = k->x;
	int64_t size = (int64_t)k->b->log.size;
	bool any = size == x->known_size || size == (int64_t)x->log.size || size == x->known_at_head;
	*other = x->known_checkpoint;
	for (size_t i = 0; i < x->n_heads; i++)
		any |= size == x->heads[i].size;
	if (!any)
		return false;
	struct sha256 root = merkle_builder_root(&k->b->log);
	bool wrong = (x->known_size > 0 && size == x->known_size && !sha256_eq(root, x->known_root)) ||
		(x->log.size > 0 && size == (int64_t)x->log.size && !sha256_eq(root, merkle_builder_root(&x->log))) || (size == x->known_at_head && !sha256_eq(root, x->known_head_root));
	for (size_t i = 0; !wrong && i < x->n_heads; i++) {
		wrong = size == x->heads[i].size && !sha256_eq(root, x->heads[i].root);
		*other = wrong ? x->heads[i].checkpoint : *other;
	}
	return wrong;
}

/* The sender has signed two heads, if the rest of its leaves leads to the one that it shows now. */
static enum err refuse_rewritten(struct events *v, struct str other)
{
	struct checking *k = v->k;
	struct bundle *b = k->b;
	int64_t at = (int64_t)b->log.size;
	struct str entry;
	for (;;) {
		TRY(bundle_lines_next(v->lines, &entry, k->e));
		if (!entry.p)
			break;
		merkle_add(&b->log, merkle_leaf(entry));
	}
	if ((int64_t)b->log.size == b->head_size && sha256_eq(merkle_builder_root(&b->log), b->head_root))
		b->contradicts = other;
	return bundle_refuse(k->e, BUNDLE_REASON_LOG, "The first %lld leaves are others than those that were known.", (long long)at);
}

/* The next leaf, which the log is grown by; absent at the end. */
static enum err next_event(struct events *v, struct str *entry)
{
	struct checking *k = v->k;
	struct str other;
	TRY(bundle_lines_next(v->lines, entry, k->e));
	if (!entry->p)
		return ERR_OK;
	if (entry->n > LEDGER_ENTRY_MAX || (int64_t)k->b->log.size >= k->b->head_size)
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "It has leaves that its head does not.");
	merkle_add(&k->b->log, merkle_leaf(*entry));
	k->seen.events++;
	return known_otherwise(k, &other) ? refuse_rewritten(v, other) : ERR_OK;
}

static enum err events_end(struct events *v)
{
	struct checking *k = v->k;
	struct str entry;
	do
		TRY(next_event(v, &entry));
	while (entry.p);
	if ((int64_t)k->b->log.size != k->b->head_size || !sha256_eq(merkle_builder_root(&k->b->log), k->b->head_root))
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "Its events do not lead to its head.");
	return ERR_OK;
}

/* ---- Records ---- */

/* Whether an entry of a log is the leaf that commits to a record: the end of its canonical form, which nothing but these members can be. */
static bool entry_commits(struct str entry, struct str rid, struct sha256 commitment)
{
	static const char tail[] = "\"},\"t\":\"contribution.made\"}", middle[] = "\",\"rid\":\"", head[] = ",\"data\":{\"c\":\"";
	char c[64], *to = c;
	for (size_t i = 0; i < 32; i++) {
		*to++ = "0123456789abcdef"[commitment.b[i] >> 4];
		*to++ = "0123456789abcdef"[commitment.b[i] & 15];
	}
	size_t after = sizeof(middle) - 1 + rid.n + sizeof(tail) - 1, before = sizeof(head) - 1 + 64;
	if (entry.n < after + before)
		return false;
	const char *p = entry.p + entry.n - after;
	if (memcmp(p, middle, sizeof(middle) - 1) != 0 || memcmp(p + sizeof(middle) - 1, rid.p, rid.n) != 0 || memcmp(entry.p + entry.n - sizeof(tail) + 1, tail, sizeof(tail) - 1) != 0)
		return false;
	/* a commitment to a preference string may stand in between: ","p":"<64 digits> */
	if (p - entry.p >= (ptrdiff_t)(before + 7 + 64) && memcmp(p - 64 - 7, "\",\"p\":\"", 7) == 0)
		p -= 64 + 7;
	return memcmp(p - 64, c, 64) == 0 && memcmp(p - before, head, sizeof(head) - 1) == 0;
}

static const struct bundle_home *home_of(const struct bundle *b, struct str home)
{
	for (size_t i = 0; i < b->n_homes; i++)
		if (str_eq(b->homes[i].home, home))
			return &b->homes[i];
	return NULL;
}

/* By the path that the record carries: the entry, then hashes. */
static enum err check_path(struct checking *k, const struct bundle_record *r, struct sha256 commitment)
{
	const struct json *list;
	struct error why = { 0 };
	struct sha256 path[BUNDLE_PATH_MAX];
	struct str entry = STR_NONE, bytes;
	size_t n = 0;
	const struct bundle_home *home = home_of(k->b, r->home);
	bool own = str_eq(r->home, k->b->from);
	if (home && home->ours)
		return ERR_OK;
	if (!own && !home)
		return bundle_refuse(k->e, BUNDLE_REASON_COMMITMENT, "%.*s is of a home whose log it says nothing of.", STR_ARG(r->rid));
	if (json_parse(k->scratch, r->path, &list, &why) != ERR_OK || list->count == 0 || list->count > BUNDLE_PATH_MAX)
		return bundle_refuse(k->e, BUNDLE_REASON_MALFORMED, "The path of %.*s is none.", STR_ARG(r->rid));
	json_each (step, list) {
		if (!str_unbase64(k->scratch, json_text(step), &bytes) || (step != list->child && bytes.n != 32))
			return bundle_refuse(k->e, BUNDLE_REASON_MALFORMED, "The path of %.*s is none.", STR_ARG(r->rid));
		if (step == list->child)
			entry = bytes;
		else
			memcpy(path[n++].b, bytes.p, 32);
	}
	int64_t size = own ? k->b->head_size : home->size;
	if (!entry_commits(entry, r->rid, commitment) || !merkle_inclusion_ok(merkle_leaf(entry), (uint64_t)r->leaf, (uint64_t)size, path, n, own ? k->b->head_root : home->root))
		return bundle_refuse(k->e, BUNDLE_REASON_COMMITMENT, "It is %.*s.", STR_ARG(r->rid));
	return ERR_OK;
}

static bool is_canonical_object(struct str text)
{
	return text.n && text.p[0] == '{' && json_is_canonical(text);
}

static enum err check_within(struct checking *k, const struct bundle_record *r)
{
	const struct bundle_expected *x = k->x;
	const struct bundle_home *home = home_of(k->b, r->home);
	const char *what = NULL;
	if (home && home->terms && (!(home->terms->kinds >> r->kind & 1) || !(home->terms->licences >> r->licence & 1)))
		return bundle_refuse(k->e, BUNDLE_REASON_OUTSIDE, "%.*s is not what its home lets the sender pass on.", STR_ARG(r->rid));
	if (!(x->kinds >> r->kind & 1))
		what = "is of a kind";
	else if (r->licence == 0 || !(x->licences >> r->licence & 1))
		what = "has a licence";
	else if (!str_eq(r->home, k->b->from) && !x->onward)
		what = "has a home";
	else if (str_eq(r->home, x->us) && !home)
		what = "is our own and so of a home"; /* single writer: nobody tells us of ourselves; what is passed on and comes home is passed over */
	else if (r->at < EARLIEST || r->at > k->b->created + CLOCK_HOUR)
		what = "has a time"; /* contents are filed by month: made-up months would be as many shards */
	return what ? bundle_refuse(k->e, BUNDLE_REASON_OUTSIDE, "%.*s %s that the agreement does not let through.", STR_ARG(r->rid), what) : ERR_OK;
}

/* ---- Records on several threads ----
 *
 * Workers read lines, and look at each by itself; the caller's thread, line by line and in order, holds them against the log, whose leaves it takes in. A line's own fault is said where one thread would
 * have come to it: what is refused, and why, does not depend on the threads. */

#define GROUP_LINES 1024
#define GROUP_BYTES ((size_t)2 * MIB) /* of lines, from which a group is closed early */
#define CHUNK 32                      /* lines that a worker takes at a time */

/* What the log is asked about a line. Texts lie in the group's. */
struct line_seen {
	struct str rid, home;
	int64_t leaf;
	struct sha256 commitment;
	bool has_path;           /* its own path was followed: the events say nothing of it */
};

struct group {
	struct buf text;
	size_t offset[GROUP_LINES + 1];
	struct line_seen line[GROUP_LINES];
	pthread_mutex_t lock;    /* of what follows */
	size_t wrong_at;         /* first line with a fault of its own; GROUP_LINES: none was found */
	bool wrong_after_log;    /* which comes behind what the log says of that line */
	struct error wrong;
};

struct flow {
	const struct checking *k;
	struct bundle_lines *lines;
	struct group group[BELT_GROUPS];
};

/* By the events of the bundle, which come in the same order. */
static enum err check_among_events(struct checking *k, struct events *v, const struct line_seen *r)
{
	struct str entry = STR("");
	if (!str_eq(r->home, k->b->from) || r->leaf < (int64_t)k->b->log.size)
		return bundle_refuse(k->e, BUNDLE_REASON_COMMITMENT, "%.*s lacks its path.", STR_ARG(r->rid));
	while (entry.p && (int64_t)k->b->log.size <= r->leaf)
		TRY(next_event(v, &entry));
	if (!entry.p || !entry_commits(entry, r->rid, r->commitment))
		return bundle_refuse(k->e, BUNDLE_REASON_COMMITMENT, "It is %.*s.", STR_ARG(r->rid));
	return ERR_OK;
}

static struct { unsigned workers; size_t lines; } asked; /* by a test; 0: as usual */

void bundle_check_workers_use(unsigned n_workers, size_t lines)
{
	asked.workers = n_workers;
	asked.lines = lines;
}

/* Lines into a group, until it is full or they end. */
static enum err group_fill(void *arg, unsigned place, size_t *n, bool *last, struct error *e)
{
	struct flow *f = arg;
	struct group *g = &f->group[place];
	size_t most = asked.lines && asked.lines < GROUP_LINES ? asked.lines : GROUP_LINES;
	buf_clear(&g->text);
	g->wrong_at = GROUP_LINES;
	while (*n < most && g->text.n < GROUP_BYTES) {
		struct str line;
		TRY(bundle_lines_next(f->lines, &line, e));
		if (!line.p) {
			*last = true;
			break;
		}
		g->offset[*n] = g->text.n;
		buf_add(&g->text, line.p, line.n);
		if (g->text.failed)
			return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
		g->offset[++*n] = g->text.n;
	}
	return ERR_OK;
}

/* What can be said of a line without the log. *after_log: its fault comes behind what that says. */
static enum err line_look(struct checking *k, struct str line, struct line_seen *seen, bool *after_log)
{
	struct bundle_record r;
	*after_log = false;
	TRY(bundle_record_read(k->scratch, line, &r, k->e));
	TRY(check_within(k, &r));
	*seen = (struct line_seen){ .rid = r.rid, .home = r.home, .leaf = r.leaf, .commitment = ledger_commitment(r.salt, sha256(r.content)), .has_path = r.path.p != NULL };
	if (r.path.p)
		TRY(check_path(k, &r, seen->commitment));
	*after_log = true;
	if (!is_canonical_object(r.content) || !is_canonical_object(r.facts))
		return bundle_refuse(k->e, BUNDLE_REASON_MALFORMED, "The content of %.*s is not canonical JSON.", STR_ARG(r.rid));
	return ERR_OK;
}

static void group_wrong(struct group *g, size_t at, bool after_log, const struct error *e)
{
	pthread_mutex_lock(&g->lock);
	if (at < g->wrong_at) {
		g->wrong_at = at;
		g->wrong_after_log = after_log;
		g->wrong = *e;
	}
	pthread_mutex_unlock(&g->lock);
}

static void group_work(void *arg, unsigned place, unsigned worker, unsigned round, size_t from, size_t to, struct arena *scratch)
{
	struct flow *f = arg;
	struct group *g = &f->group[place];
	(void)worker;
	(void)round;
	for (volatile size_t i = from; i < to; i++) {
		jmp_buf full;
		struct error e = { 0 };
		struct checking mine = { .b = f->k->b, .x = f->k->x, .scratch = scratch, .e = &e };
		bool after_log = false;
		arena_reset(scratch);
		if (setjmp(full) != 0) {
			too_much_memory(&e);
			group_wrong(g, i, false, &e);
			arena_guard(scratch, NULL);
			return;
		}
		arena_guard(scratch, &full);
		enum err said = line_look(&mine, str_sub(buf_str(&g->text), g->offset[i], g->offset[i + 1] - g->offset[i]), &g->line[i], &after_log);
		arena_guard(scratch, NULL);
		if (said != ERR_OK) {
			group_wrong(g, i, after_log, &e);
			return; /* nobody looks behind a line that is wrong */
		}
	}
}

/* The lines of a group in order, as if no thread had looked at them before. */
static enum err group_fold(struct checking *k, struct events *v, const struct group *g, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool wrong = i == g->wrong_at;
		k->seen.records++;
		if (!(wrong && !g->wrong_after_log) && !g->line[i].has_path)
			TRY(check_among_events(k, v, &g->line[i]));
		if (wrong) {
			*k->e = g->wrong;
			return g->wrong.code;
		}
	}
	return ERR_OK;
}

static enum err groups_fold(struct checking *k, struct events *v, struct flow *f, struct belt *belt)
{
	for (unsigned number = 0;; number++) {
		struct belt_group taken = belt_take(belt, number);
		TRY(group_fold(k, v, &f->group[taken.place], taken.n));
		if (taken.error) {
			*k->e = *taken.error;
			return taken.error->code;
		}
		if (taken.last)
			return ERR_OK;
		belt_done(belt);
	}
}

static unsigned workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return asked.workers ? asked.workers : n < 1 ? 1 : n > BELT_WORKERS_MAX ? BELT_WORKERS_MAX : (unsigned)n;
}

static void flow_free(void *arg)
{
	struct flow *f = arg;
	for (size_t i = 0; i < BELT_GROUPS; i++) {
		buf_release(&f->group[i].text);
		pthread_mutex_destroy(&f->group[i].lock);
	}
	free(f);
}

static enum err check_records(struct checking *k)
{
	struct belt *belt;
	struct events events = { .k = k };
	struct flow *f = calloc(1, sizeof(*f));
	if (!f)
		return error_set(k->e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	f->k = k;
	for (size_t i = 0; i < BELT_GROUPS; i++) {
		buf_init(&f->group[i].text, GROUP_BYTES + BUNDLE_LINE_MAX + KIB);
		pthread_mutex_init(&f->group[i].lock, NULL);
	}
	const struct belt_work work = { .arg = f, .workers = workers(), .chunk = CHUNK, .scratch = SCRATCH, .fill = group_fill, .work = group_work };
	enum err said = bundle_lines_open(k->a, k->b, BUNDLE_RECORDS, &f->lines, k->e);
	if (said == ERR_OK)
		said = bundle_lines_open(k->a, k->b, BUNDLE_EVENTS, &events.lines, k->e);
	if (said == ERR_OK)
		said = belt_start(&work, &belt, k->e);
	if (said == ERR_OK) {
		said = groups_fold(k, &events, f, belt);
		belt_stop(belt);
	}
	flow_free(f);
	return said == ERR_OK ? events_end(&events) : said;
}

/* ---- Statements, labels, tombstones ---- */

static enum err check_said(struct checking *k, struct str line)
{
	struct bundle_said said;
	struct guest_words words;
	struct error why = { 0 };
	struct bundle *b = k->b;
	TRY(bundle_said_read(k->scratch, line, NULL, &said, k->e));
	const struct bundle_home *home = home_of(b, said.home);
	bool own = str_eq(said.home, b->from);
	if (!own && (!home || said.what != BUNDLE_WORDS))
		return bundle_refuse(k->e, BUNDLE_REASON_OUTSIDE, "A statement is of %.*s, for whom the sender does not speak.", STR_ARG(said.home));
	k->seen.statements += said.what == BUNDLE_WORDS;
	if (home && home->ours)
		return ERR_OK;
	TRY(bundle_said_read(k->scratch, line, own ? &b->keys : &home->keys, &said, k->e));
	if (said.rev > (own ? b->head_size : home->size))
		return bundle_refuse(k->e, BUNDLE_REASON_MALFORMED, "A statement is of a log that is longer than its head.");
	for (size_t i = 0; i < said.n_rids; i++) {
		struct str home_named;
		struct uuid id;
		if (!rid_parse(said.rids[i], &home_named, &id) || (!str_eq(home_named, said.home) && (!k->x->passed || str_eq(home_named, k->x->us)))) /* of others' it says no more than whether it passes them on */
			return bundle_refuse(k->e, BUNDLE_REASON_OUTSIDE, "It says whether %.*s is passed on, which is for its home to say.", STR_ARG(said.rids[i]));
	}
	k->seen.out += said.what == BUNDLE_OUT ? (int64_t)said.n_rids : 0;
	k->seen.back += said.what == BUNDLE_BACK ? (int64_t)said.n_rids : 0;
	if (said.what != BUNDLE_WORDS)
		return ERR_OK;
	if (guest_words_read(k->scratch, line, said.json, &words, &why) != ERR_OK)
		return bundle_refuse(k->e, BUNDLE_REASON_MALFORMED, "A statement says what no statement says: %.200s", why.message);
	return ERR_OK;
}

static enum err check_label(struct checking *k, struct str line)
{
	struct bundle_label label;
	k->seen.labels++;
	TRY(bundle_label_read(k->scratch, line, &label, k->e));
	if (!str_eq(label.by_home, k->b->from)) /* labels are signed by the bundle alone */
		return bundle_refuse(k->e, BUNDLE_REASON_OUTSIDE, "A label is of %.*s, for whom the sender does not speak.", STR_ARG(label.by_home));
	return ERR_OK;
}

/* The whole lines of a part, each by `check`. */
static enum err check_lines(struct checking *k, enum bundle_section part, enum err (*check)(struct checking *, struct str))
{
	struct bundle_lines *lines;
	struct str line;
	TRY(bundle_lines_open(k->a, k->b, part, &lines, k->e));
	for (;;) {
		TRY(bundle_lines_next(lines, &line, k->e));
		if (!line.p)
			return ERR_OK;
		arena_reset(k->scratch);
		enum err said = check(k, line);
		if (said != ERR_OK) {
			struct str place = bundle_lines_place(k->a, lines);
			size_t n = strlen(k->e->message);
			snprintf(k->e->message + n, sizeof(k->e->message) - n, " (%.*s)", STR_ARG(place));
			return said;
		}
	}
}

static enum err check_tombstone(struct checking *k, struct str line)
{
	struct bundle *b = k->b;
	const struct tombstone_chain *seen = &k->x->chain;
	struct tombstone_chain before = b->chain;
	struct error why = { 0 };
	bool last = b->chain.upto + 1 == b->tombstones_upto;
	k->seen.tombstones++;
	enum err said = tombstone_take(k->scratch, &b->chain, line, last ? keychain_current(&b->keys) : NULL, NULL, &why);
	for (size_t i = b->keys.n - 1; last && said != ERR_OK && i-- > 0;) { /* it may be older than the last hand-over */
		b->chain = before;
		said = tombstone_take(k->scratch, &b->chain, line, b->keys.keys[i].public_key, NULL, &why);
	}
	if (said != ERR_OK)
		return bundle_refuse(k->e, BUNDLE_REASON_TOMBSTONES, "%.250s", why.message);
	if (seen->upto >= 0 && b->chain.upto == seen->upto && !sha256_eq(b->chain.digest, seen->digest))
		return bundle_refuse(k->e, BUNDLE_REASON_TOMBSTONES, "Number %lld is another than the one that was known.", (long long)seen->upto);
	return ERR_OK;
}

static enum err check_tombstones(struct checking *k)
{
	struct bundle *b = k->b;
	const struct tombstone_chain *seen = &k->x->chain;
	if (b->tombstones_upto < seen->upto)
		return bundle_refuse(k->e, BUNDLE_REASON_TOMBSTONES, "They end at %lld, and %lld was seen.", (long long)b->tombstones_upto, (long long)seen->upto);
	if (!b->whole && b->tombstones_from != seen->upto + 1)
		return bundle_refuse(k->e, BUNDLE_REASON_TOMBSTONES, "They begin at %lld, and the last one that was seen is %lld.", (long long)b->tombstones_from, (long long)seen->upto);
	b->chain = b->whole || seen->upto < 0 ? tombstone_chain_start(b->origin) : *seen;
	TRY(check_lines(k, BUNDLE_TOMBSTONES, check_tombstone));
	return b->chain.upto == b->tombstones_upto ? ERR_OK : bundle_refuse(k->e, BUNDLE_REASON_TOMBSTONES, "They end before the index that bundle.json says.");
}

/* ---- The whole ---- */

/* keys.json, checkpoint and consistency.proof, which bundle_open and the checks above read as wholes. */
static enum err check_small_files(struct checking *k)
{
	struct str text;
	for (size_t i = 0; i < k->b->n_files; i++) {
		const struct bundle_file *f = &k->b->files[i];
		if (f->part != BUNDLE_OTHER)
			continue;
		TRY(bundle_file_text(k->a, k->b, f, KEYCHAIN_TEXT_MAX, &text, k->e));
		if (!sha256_eq(sha256(text), f->sha256))
			return bundle_refuse(k->e, BUNDLE_REASON_FILES, "%.*s is not the file that bundle.json lists.", STR_ARG(f->path));
	}
	return ERR_OK;
}

static enum err check_counts(const struct checking *k)
{
	const struct bundle_counts *said = &k->b->counts, *seen = &k->seen;
	bool right = said->events == seen->events && said->tombstones == seen->tombstones && said->statements == seen->statements && said->out == seen->out && said->back == seen->back &&
		said->records == seen->records && said->labels == seen->labels;
	return right ? ERR_OK : bundle_refuse(k->e, BUNDLE_REASON_MALFORMED, "It holds another number of lines than it says.");
}

static enum err check_all(struct checking *k)
{
	struct bundle *b = k->b;
	TRY(check_sender(k));
	TRY(check_order(k));
	if (b->repeated)
		return ERR_OK;
	TRY(check_small_files(k));
	TRY(check_checkpoint(k));
	TRY(check_consistency(k));
	for (size_t i = 0; i < b->n_homes; i++)
		TRY(bundle_home_check(k->a, b, k->x, &b->homes[i], k->e));
	TRY(check_tombstones(k));
	TRY(check_lines(k, BUNDLE_STATEMENTS, check_said));
	b->log = b->whole ? (struct merkle_builder){ .size = 0 } : k->x->log;
	if (b->whole && !sha256_eq(b->base_root, EMPTY_ROOT))
		return bundle_refuse(k->e, BUNDLE_REASON_LOG, "A whole bundle begins with the first leaf.");
	TRY(check_records(k));
	TRY(check_lines(k, BUNDLE_LABELS, check_label));
	return check_counts(k);
}

enum err bundle_check(struct arena *a, struct bundle *b, const struct bundle_expected *expected, struct error *e)
{
	struct checking k = { .a = a, .b = b, .x = expected, .e = e, .scratch = arena_new(SCRATCH) };
	jmp_buf full;
	b->checked = b->repeated = false;
	if (!k.scratch)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	if (setjmp(full) != 0) {
		arena_free(k.scratch);
		return too_much_memory(e);
	}
	arena_guard(k.scratch, &full);
	enum err said = check_all(&k);
	arena_free(k.scratch);
	b->checked = said == ERR_OK;
	return said;
}
