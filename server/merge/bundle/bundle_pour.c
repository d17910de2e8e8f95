/* Records on their way into their part: a thread opens what is sealed, holds it against its hash, writes the lines and hands them to the compressor, while the caller asks the database for the next. A ring of
 * groups goes round; one lock guards its counts. */
#include "bundle_scope.h"

#include "commonhold/db.h"
#include "commonhold/policy_licence.h"
#include "commonhold/pool.h"

#include <pthread.h>
#include <stdlib.h>

#define GROUPS 4
#define GROUP_ROWS 256
#define GROUP_BYTES (256 * KIB) /* a group is handed over when it holds so much */

/* A record as it was given: what is of no fixed size lies in its group, one after the other. */
struct given {
	const struct person *who;
	struct uuid id;
	instant submitted;
	int64_t leaf;
	unsigned kind, licence;
	bool facts_sealed;
	struct bundle_content *content; /* NULL: it lies in the group as well */
	size_t salt, hash, lang, facts, path, sealed; /* how many bytes of each, in this order; path 0: none */
	size_t at;                      /* of the salt */
};

struct group {
	struct given rows[GROUP_ROWS];
	size_t n;
	size_t bytes;                   /* in all, with contents that lie elsewhere */
	struct buf kept;
};

struct pour {
	struct writing *k;
	struct bundle_stream *out;
	struct buf plain, facts, line;
	struct group groups[GROUPS];
	unsigned fill, take;            /* counts of groups handed over and done with; positions modulo GROUPS */
	bool free;                      /* the group to fill is known to be free */
	bool ending;                    /* no more groups will come */
	enum err failed;                /* what the thread ended with */
	struct error error;             /* and what it says about it */
	pthread_mutex_t lock;           /* guards the counts, ending and failed */
	pthread_cond_t moved;           /* any of them changed */
	pthread_t thread;
	bool started;                   /* the thread runs */
};

/* ---- A line ---- */

static void add_hex(struct buf *b, const char *from, size_t n)
{
	char *to = buf_reserve(b, n * 2);
	if (!to)
		return;
	bundle_hex_of((const uint8_t *)from, n, to);
	b->n += n * 2;
}

#define ADD(b, literal) buf_add((b), (literal), sizeof(literal) - 1)

/* Whether a partner is told of a circumstance. The others name people, or say again what stands elsewhere. */
static bool fact_goes(struct str key)
{
	static const char *const names[] = { "ai_preferences", "application", "derived_from", "friction", "model", "processing", "prompted", "provider", "sensitive" };
	return str_which(key, names, CH_LEN(names)) >= 0;
}

/* Out of a canonical object into another, in the same order. */
static bool add_facts(struct buf *b, struct str facts)
{
	const char *p = facts.p + 1, *end = facts.p + facts.n;
	bool first = true;
	if (facts.n < 2 || facts.p[0] != '{' || end[-1] != '}')
		return false;
	ADD(b, "{");
	while (p < end - 1) {
		const char *name = p, *value = bundle_value_end(p, end), *after;
		if (!value || *name != '"' || *value != ':' || !(after = bundle_value_end(value + 1, end)))
			return false;
		if (fact_goes(str_make(name + 1, (size_t)(value - name - 2)))) {
			buf_add(b, ",", first ? 0 : 1);
			buf_add(b, name, (size_t)(after - name));
			first = false;
		}
		p = after + (*after == ',');
	}
	ADD(b, "}");
	return true;
}

/* Opens something sealed into a buffer. */
static bool open_into(struct buf *to, const struct seal_key *key, struct str context, struct str sealed)
{
	buf_clear(to);
	char *room = sealed.n >= SEAL_OVERHEAD ? buf_reserve(to, sealed.n - SEAL_OVERHEAD) : NULL;
	if (!room || !unseal_into(key, context, sealed, (uint8_t *)room))
		return false;
	to->n = sealed.n - SEAL_OVERHEAD;
	return true;
}

/* What of a record is of no fixed size. */
struct parts { struct str salt, hash, lang, facts, path, sealed; };

static struct str part(const char **p, size_t n)
{
	struct str s = str_make(*p, n);
	*p += n;
	return s;
}

static struct parts parts_of(const struct group *g, const struct given *r)
{
	const char *p = g->kept.p + r->at;
	struct parts s;
	s.salt = part(&p, r->salt);
	s.hash = part(&p, r->hash);
	s.lang = part(&p, r->lang);
	s.facts = part(&p, r->facts);
	s.path = part(&p, r->path);
	s.sealed = r->content ? str_make(r->content->sealed, r->content->n) : part(&p, r->sealed);
	return s;
}

/* Content and circumstances of a record, open. */
static enum err record_open(struct pour *p, const struct given *r, const struct parts *s)
{
	struct error *e = &p->error;
	uint8_t context[32], facts_context[48];
	pool_seal_context(p->k->coop, r->id.b, context);
	if (!open_into(&p->plain, &r->who->key, str_make(context, sizeof(context)), s->sealed))
		return bundle_damaged(e, r->id, "has a content that its contributor's key does not open.");
	struct sha256 hash = sha256(buf_str(&p->plain));
	if (s->hash.n != 32 || memcmp(hash.b, s->hash.p, 32) != 0 || s->salt.n != 32)
		return bundle_damaged(e, r->id, "has a content that does not match its hash.");
	if (!r->facts_sealed) {
		buf_clear(&p->facts);
		buf_add_str(&p->facts, s->facts);
	} else if (!open_into(&p->facts, &r->who->key, pool_facts_context(p->k->coop, r->id, facts_context), s->facts)) {
		return bundle_damaged(e, r->id, "has circumstances that its contributor's key does not open.");
	}
	return ERR_OK;
}

static bool record_line(struct pour *p, const struct given *r, const struct parts *s)
{
	struct writing *k = p->k;
	struct buf *b = &p->line;
	char text[CLOCK_TEXT], id[UUID_TEXT];
	struct str home = r->who->home < 0 ? k->key_name : k->homes[r->who->home].home;
	buf_clear(b);
	ADD(b, "{\"at\":\"");
	buf_add(b, text, clock_write(r->submitted, text));
	ADD(b, "\",\"content\":");
	buf_add_str(b, buf_str(&p->plain));
	ADD(b, ",\"contributor\":\"");
	buf_add(b, r->who->contributor, 32);
	ADD(b, "\",\"facts\":");
	if (!add_facts(b, buf_str(&p->facts)))
		return false;
	ADD(b, ",\"home\":\"");
	buf_add_str(b, home);
	ADD(b, "\",\"kind\":\"");
	buf_add_z(b, policy_kind_name(r->kind));
	ADD(b, "\",\"lang\":\"");
	buf_add_str(b, s->lang);
	ADD(b, "\",\"leaf\":");
	buf_add_i64(b, r->leaf);
	ADD(b, ",\"licence\":\"");
	buf_add_z(b, policy_licence_get(r->licence)->spdx);
	if (s->path.n) {
		ADD(b, "\",\"path\":");
		buf_add_str(b, s->path);
		ADD(b, ",\"rid\":\"dc:");
	} else {
		ADD(b, "\",\"rid\":\"dc:");
	}
	buf_add_str(b, home);
	ADD(b, ":");
	uuid_write(r->id, id);
	buf_add(b, id, UUID_TEXT);
	ADD(b, "\",\"salt\":\"");
	add_hex(b, s->salt.p, 32);
	ADD(b, "\"}");
	return !b->failed;
}

/* ---- The thread ---- */

static enum err group_write(struct pour *p, const struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct given *r = &g->rows[i];
		struct parts s = parts_of(g, r);
		TRY(record_open(p, r, &s));
		if (!record_line(p, r, &s))
			return bundle_damaged(&p->error, r->id, "is larger than a record may be, or its circumstances are damaged.");
		TRY(bundle_stream_line(p->out, p->line.p, p->line.n));
	}
	return ERR_OK;
}

static void group_empty(struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->rows[i].content);
	g->n = g->bytes = 0;
	buf_clear(&g->kept);
}

/* Waits for the next group; false at the end. */
static bool group_wait(struct pour *p)
{
	pthread_mutex_lock(&p->lock);
	while (p->take == p->fill && !p->ending)
		pthread_cond_wait(&p->moved, &p->lock);
	bool more = p->take != p->fill;
	pthread_mutex_unlock(&p->lock);
	return more;
}

/* After a failure groups are emptied and nothing more: whoever hands them over hears of it with the next. */
static void *pour_run(void *arg)
{
	struct pour *p = arg;
	enum err said = ERR_OK;
	while (group_wait(p)) {
		struct group *g = &p->groups[p->take % GROUPS];
		if (said == ERR_OK)
			said = group_write(p, g);
		group_empty(g);
		pthread_mutex_lock(&p->lock);
		p->failed = said;
		p->take++;
		pthread_cond_signal(&p->moved);
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

/* ---- Handing over ---- */

/* Waits until there is a group to fill. */
static enum err group_free(struct pour *p)
{
	if (p->free)
		return ERR_OK;
	pthread_mutex_lock(&p->lock);
	while (p->fill - p->take == GROUPS)
		pthread_cond_wait(&p->moved, &p->lock);
	enum err said = p->failed;
	pthread_mutex_unlock(&p->lock);
	p->free = said == ERR_OK;
	if (said != ERR_OK)
		p->k->c->error = p->error; /* it says nothing more after its first failure */
	return said;
}

static void group_send(struct pour *p)
{
	pthread_mutex_lock(&p->lock);
	p->fill++;
	p->free = false;
	pthread_cond_signal(&p->moved);
	pthread_mutex_unlock(&p->lock);
}

/* Waits until the thread has written, or emptied, all that it was given. */
static void thread_end(struct pour *p)
{
	if (!p->started)
		return;
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_signal(&p->moved);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	p->started = false;
}

static size_t keep(struct group *g, struct str s)
{
	buf_add(&g->kept, s.p, s.n);
	return s.n;
}

enum err bundle_pour_row(struct pour *p, const struct copy_field *f, const struct person *who, struct str path, struct bundle_content *content)
{
	enum err said = group_free(p);
	if (said != ERR_OK) {
		free(content);
		return said;
	}
	struct group *g = &p->groups[p->fill % GROUPS];
	struct given *r = &g->rows[g->n++];
	*r = (struct given){ .who = who, .id = copy_uuid(f[RECORD_ID]), .submitted = copy_time(f[RECORD_SUBMITTED]), .leaf = copy_int(f[RECORD_LEAF]), .kind = (unsigned)copy_int(f[RECORD_KIND]),
		.licence = (unsigned)copy_int(f[RECORD_LICENCE]), .facts_sealed = f[RECORD_SEALED_FACTS].n >= 0, .content = content, .at = g->kept.n };
	r->salt = keep(g, copy_bytes(f[RECORD_SALT]));
	r->hash = keep(g, copy_bytes(f[RECORD_HASH]));
	r->lang = keep(g, copy_bytes(f[RECORD_LANG]));
	r->facts = keep(g, copy_bytes(f[r->facts_sealed ? RECORD_SEALED_FACTS : RECORD_FACTS]));
	r->path = keep(g, path);
	r->sealed = content ? 0 : keep(g, copy_bytes(f[RECORD_SEALED]));
	if (g->kept.failed)
		return fail(p->k->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	g->bytes += sizeof(*r) + (g->kept.n - r->at) + (content ? content->n : 0);
	if (g->n == GROUP_ROWS || g->bytes >= GROUP_BYTES)
		group_send(p);
	return ERR_OK;
}

static void pour_drop(void *arg)
{
	struct pour *p = arg;
	thread_end(p);
	for (size_t i = 0; i < GROUPS; i++) {
		group_empty(&p->groups[i]);
		buf_release(&p->groups[i].kept);
	}
	struct buf *secret[] = { &p->plain, &p->facts, &p->line };
	for (size_t i = 0; i < CH_LEN(secret); i++) {
		secret_wipe(secret[i]->p, secret[i]->p ? secret[i]->cap : 0);
		buf_release(secret[i]);
	}
	pthread_cond_destroy(&p->moved);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

enum err bundle_pour_begin(struct writing *k, struct bundle_stream *to, struct pour **out)
{
	struct pour *p = calloc(1, sizeof(*p));
	if (!p)
		return fail(k->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	p->k = k;
	p->out = to;
	to->error = &p->error;
	buf_init(&p->plain, LIMIT_BODY_ITEM);
	buf_init(&p->facts, LIMIT_BODY_ITEM);
	buf_init(&p->line, BUNDLE_LINE_MAX);
	for (size_t i = 0; i < GROUPS; i++)
		buf_init(&p->groups[i].kept, GROUP_BYTES + 2 * BUNDLE_LINE_MAX);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->moved, NULL);
	if (!arena_defer(k->c->arena, pour_drop, p))
		return fail(k->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	pthread_attr_t attr;
	bool good = pthread_attr_init(&attr) == 0;
	if (good) {
		p->started = pthread_attr_setstacksize(&attr, LIMIT_WORKER_STACK) == 0 && pthread_create(&p->thread, &attr, pour_run, p) == 0;
		pthread_attr_destroy(&attr);
	}
	*out = p;
	return p->started ? ERR_OK : fail(k->c, ERR_NO_MEMORY, "There is no thread to write records with.");
}

enum err bundle_pour_end(struct pour *p, enum err said)
{
	if (said == ERR_OK && p->free && p->groups[p->fill % GROUPS].n)
		group_send(p);
	thread_end(p);
	p->out->error = &p->k->c->error; /* the stream is the caller's again */
	if (said != ERR_OK || p->failed == ERR_OK)
		return said;
	p->k->c->error = p->error;
	return p->failed;
}
