#include "commonhold/erasure_statement.h"

#include "server/erasure/where.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"

#include <stdlib.h>

/* The signed statement about a request: what was asked and when, what was done here, who had copies and what they answered, and what none of it proves. Made anew each time from what is
 * stored; the co-op's key signs it, the tombstone feed's head and the log's checkpoint in it tie it to what everybody sees. */

#define STATEMENT_ITEMS ERASURE_ITEMS_MAX /* that it names; it says how many there are */

static const char *const limits[] = {
	"A model that was trained on an item keeps what it learned. What recipients say about models is their word.",
	"Copies of people who never told us of them, or who hide them, are not reached.",
	"A receipt is the recipient's word, signed with their key. It proves who said so, not that every copy is gone.",
	"The licence under which an item was released is not taken back by its deletion.",
	"Backups made before the purge hold the item encrypted until the instant given under \"backups\".",
};

const char *erasure_statement_limit(size_t i)
{
	return i < CH_LEN(limits) ? limits[i] : NULL;
}

static void write_request(struct json_writer *w, struct arena *a, const struct erasure *e)
{
	jw_key(w, "request");
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, e->id));
	jw_kz(w, "kind", erasure_kind_name(e->kind));
	jw_kz(w, "scope", erasure_scope_name(e->scope));
	jw_kz(w, "asker", erasure_asker_name(e->asker));
	jw_kstr(w, "reason_code", e->reason_code);
	jw_kz(w, "state", erasure_state_name(e->state));
	jw_kstr(w, "received", clock_format_or_none(a, e->received_at));
	jw_kstr(w, "verified", clock_format_or_none(a, e->verified_at));
	jw_kstr(w, "effective", clock_format_or_none(a, e->effective_at));
	jw_kstr(w, "purged", clock_format_or_none(a, e->purged_at));
	jw_kstr(w, "propagating", clock_format_or_none(a, e->propagating_at));
	jw_kstr(w, "completed", clock_format_or_none(a, e->completed_at));
	jw_kstr(w, "denied", clock_format_or_none(a, e->denied_at));
	jw_kstr(w, "cancelled", clock_format_or_none(a, e->cancelled_at));
	jw_kstr(w, "due", clock_format_or_none(a, e->due_at));
	jw_kstr(w, "extended", clock_format_or_none(a, e->extended_at));
	jw_kstr(w, "until", clock_format_or_none(a, e->until));
	jw_kstr(w, "denial_code", e->denial_code);
	jw_end_object(w);
}

static int by_id(const void *a, const void *b)
{
	return uuid_cmp(((const struct where_tombstone *)a)->contribution, ((const struct where_tombstone *)b)->contribution);
}

static int64_t index_of(const struct where_tombstone *t, size_t n, struct uuid id)
{
	struct where_tombstone key = { .contribution = id };
	const struct where_tombstone *found = n ? bsearch(&key, t, n, sizeof *t, by_id) : NULL;
	return found ? found->idx : -1;
}

/* By rid, each with its tombstone's index. The order is that of the pool. */
static enum err write_items(struct call *c, struct json_writer *w, const struct erasure *e)
{
	struct where_tombstone *stones;
	struct erasure_item *items;
	size_t n_stones, n, named = 0;
	int64_t after = -1;
	TRY(where_tombstones(c, e, STATEMENT_ITEMS, &stones, &n_stones));
	qsort(stones, n_stones, sizeof *stones, by_id);
	jw_key(w, "items");
	jw_array(w);
	do {
		TRY(erasure_items(c, e->coop, e->id, after, LIMIT_PAGE, &items, &n));
		for (size_t i = 0; i < n && named < STATEMENT_ITEMS; i++, named++) {
			int64_t idx = index_of(stones, n_stones, items[i].contribution);
			jw_object(w);
			jw_kstr(w, "rid", items[i].rid);
			jw_key(w, "tombstone");
			if (idx >= 0)
				jw_int(w, idx);
			else
				jw_null(w);
			jw_kbool(w, "held", items[i].held);
			jw_end_object(w);
		}
		after = n ? items[n - 1].item_no : after;
	} while (n == LIMIT_PAGE && named < STATEMENT_ITEMS);
	jw_end_array(w);
	jw_kint(w, "items_in_all", e->n_items);
	return ERR_OK;
}

static void write_releases(struct json_writer *w, struct arena *a, const struct where *where)
{
	jw_key(w, "releases");
	jw_array(w);
	for (size_t i = 0; i < where->n_releases; i++) {
		const struct release *r = &where->releases[i];
		jw_object(w);
		jw_kstr(w, "version", r->version);
		jw_kz(w, "state", release_state_name(r->state));
		jw_kstr(w, "published", clock_format_or_none(a, r->published_at));
		jw_kstr(w, "withdrawn", clock_format_or_none(a, r->withdrawn_at));
		jw_kstr(w, "cleared", clock_format_or_none(a, r->cleared_at));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kstr(w, "use_instead", where->use);
}

static void write_copy(struct json_writer *w, struct arena *a, const struct where_copy *copy)
{
	const struct duty *d = &copy->duty;
	bool confirmed = d->confirmed_at != INSTANT_NONE;
	jw_object(w);
	jw_kz(w, "kind", d->partner.p ? "coop" : uuid_is_nil(d->mirror) ? "grantee" : "mirror");
	jw_kstr(w, "name", d->name);
	jw_key(w, "releases");
	jw_array(w);
	for (size_t i = 0; i < d->n_releases; i++)
		jw_str(w, d->releases[i]);
	jw_end_array(w);
	jw_kstr(w, "announced", clock_format_or_none(a, d->announced_at));
	jw_kstr(w, "due", clock_format_or_none(a, d->due_at));
	jw_kz(w, "step", duty_step_name(d->step));
	jw_kstr(w, "confirmed", clock_format_or_none(a, d->confirmed_at));
	jw_kstr(w, "method", confirmed ? d->method : STR_NONE);
	jw_kbool(w, "doubtful", d->doubtful);
	jw_kstr(w, "models", d->models);
	jw_kstr(w, "receipt_sha256", confirmed ? sha256_hex(a, copy->receipt) : STR_NONE);
	jw_end_object(w);
}

static void write_copies(struct json_writer *w, struct arena *a, const struct where *where)
{
	jw_key(w, "recipients");
	jw_array(w);
	for (size_t i = 0; i < where->n_copies; i++)
		write_copy(w, a, &where->copies[i]);
	jw_end_array(w);
	jw_key(w, "recipients_in_all");
	jw_object(w);
	jw_kint(w, "total", where->counts.total);
	jw_kint(w, "confirmed", where->counts.confirmed);
	jw_kint(w, "overdue", where->counts.overdue);
	jw_end_object(w);
}

static void write_coop(struct json_writer *w, struct arena *a, const struct coop *coop, const struct keychain *chain)
{
	jw_key(w, "coop");
	jw_object(w);
	jw_kstr(w, "key_name", coop->key_name);
	jw_kstr(w, "name", coop->name);
	jw_kstr(w, "address", str_fmt(a, "%s/coops/%.*s", config()->base_url, STR_ARG(coop->slug)));
	if (chain->n > 1) {
		jw_key(w, "keys");
		jw_raw(w, chain->text);
	}
	jw_kstr(w, "public_key", minisign_public_key(a, keychain_current(chain)));
	jw_end_object(w);
}

static enum err write_tombstones(struct call *c, struct json_writer *w, const struct erasure *e, const struct where *where)
{
	struct str head, checkpoint;
	TRY(tombstone_head(c, e->coop, &head, NULL, NULL));
	TRY(ledger_checkpoint(c, e->coop, &checkpoint));
	jw_key(w, "tombstones");
	jw_object(w);
	jw_kint(w, "count", where->tombstones);
	jw_kint(w, "first", e->first_idx);
	jw_kint(w, "last", e->last_idx);
	jw_key(w, "head");
	jw_raw(w, head);
	jw_end_object(w);
	jw_kstr(w, "checkpoint", checkpoint);
	return ERR_OK;
}

static enum err document_write(struct call *c, struct json_writer *w, const struct erasure *e)
{
	struct arena *a = c->arena;
	struct where where;
	struct coop coop;
	struct keychain chain;
	TRY(where_read(c, e, &where));
	TRY(db_begin_in(c, e->coop, DB_READ));
	TRY(coop_get(c, e->coop, &coop));
	TRY(keychain_of(c, e->coop, &chain));
	TRY(db_commit(c));
	jw_object(w);
	jw_kint(w, "v", 1);
	jw_kstr(w, "created", clock_format(a, clock_now()));
	write_coop(w, a, &coop, &chain);
	write_request(w, a, e);
	TRY(write_items(c, w, e));
	TRY(write_tombstones(c, w, e, &where));
	write_releases(w, a, &where);
	write_copies(w, a, &where);
	jw_kstr(w, "key_destroyed", clock_format_or_none(a, e->key_gone_at));
	jw_key(w, "backups");
	jw_object(w);
	jw_kstr(w, "last_expires", clock_format_or_none(a, e->backups_until));
	jw_end_object(w);
	jw_kint(w, "held", e->n_held);
	jw_kstr(w, "replacement", uuid_is_nil(e->replacement) ? STR_NONE : rid_format(a, coop.key_name, e->replacement));
	jw_key(w, "not_claimed");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(limits); i++)
		jw_z(w, limits[i]);
	jw_end_array(w);
	jw_end_object(w);
	return ERR_OK;
}

static enum err canonical_of(struct call *c, struct buf *text, struct str *out)
{
	const struct json *tree;
	struct buf b;
	if (text->failed)
		return fail(c, ERR_TOO_LARGE, "The statement would be too large.");
	TRY(json_parse(c->arena, buf_str(text), &tree, &c->error));
	buf_init(&b, LIMIT_RESPONSE);
	json_canonical(&b, tree, true);
	*out = buf_take(c->arena, &b);
	return out->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "The statement would be too large.");
}

enum err erasure_statement(struct call *c, struct uuid coop, struct uuid id, struct str *envelope)
{
	struct erasure e;
	struct sign_key key;
	struct str payload;
	struct buf b;
	struct json_writer w;
	TRY(erasure_read(c, coop, id, &e));
	buf_init(&b, LIMIT_RESPONSE / 2);
	jw_init(&w, &b);
	enum err err = document_write(c, &w, &e);
	if (err == ERR_OK)
		err = canonical_of(c, &b, &payload);
	buf_release(&b);
	TRY(err);
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ledger_key(c, coop, &key));
	TRY(db_commit(c));
	*envelope = dsse_sign(c->arena, &key, 1, STR(ERASURE_STATEMENT_TYPE), payload);
	secret_wipe(&key, sizeof key);
	return ERR_OK;
}
