#include "erasure_internal.h"

#include "commonhold/ledger.h"
#include "commonhold/pool.h"
#include "commonhold/tombstone.h"

#include <stdlib.h>

/* Asking, confirming, taking back: what the person it is about does. One transaction each. */

SQL(erasure_same, "SELECT id FROM erasure WHERE coop_id = $1 AND account_id = $2 AND digest = $3 AND state NOT IN ('denied', 'cancelled')");
SQL(member_newest_item,
	"SELECT coalesce(max(c.item_no), -1) FROM contribution c JOIN membership m ON m.coop_id = c.coop_id AND m.number = c.member_no WHERE c.coop_id = $1 AND m.id = $2");
SQL(member_of_account, "SELECT id, state IN ('left', 'removed') FROM membership WHERE coop_id = $1 AND account_id = $2");
SQL(erasure_set_count, "UPDATE erasure SET n_items = $3 WHERE coop_id = $1 AND id = $2");
SQL(erasure_set_unrestricted, "UPDATE erasure SET restricted_until = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(embargoes_of_member,
	"SELECT count(*) FROM erasure WHERE coop_id = $1 AND member_id = $2 AND kind = 'embargo' AND state NOT IN ('denied', 'cancelled') AND until > commonhold_now()");
SQL(erasure_set_agent_over, "SELECT ended_at IS NOT NULL OR until <= commonhold_now() FROM agent WHERE coop_id = $1 AND id = $2");

/* ---- What is asked ---- */

static enum err check_kind(struct call *c, const struct erasure_wish *w)
{
	if (w->kind == ERASURE_EMBARGO && (w->until == INSTANT_NONE || w->until <= clock_now()))
		return fail_field(c, "/until", "Say until when, in the future.");
	if (w->kind == ERASURE_EMBARGO && w->until > duration_add(clock_now(), (struct duration){ .years = 100 }, 1))
		return fail_field(c, "/until", "This is more than a hundred years away. Withdraw it from future releases instead.");
	if (w->kind != ERASURE_EMBARGO && w->until != INSTANT_NONE)
		return fail_field(c, "/until", "Only an embargo ends.");
	if ((w->kind == ERASURE_CORRECT) != (w->replacement != NULL))
		return fail_field(c, "/replacement", w->replacement ? "Only a correction has a replacement." : "Say what it is to be replaced by.");
	if (w->kind == ERASURE_CORRECT && (w->scope != ERASURE_ITEMS || w->n_items != 1))
		return fail_field(c, "/items", "One item is corrected at a time.");
	if (w->kind == ERASURE_CORRECT && !uuid_is_nil(w->for_member))
		return fail_field(c, "/kind", "A correction contributes something new, which only the member does.");
	return ERR_OK;
}

static enum err check_wish(struct call *c, const struct erasure_wish *w)
{
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	if ((unsigned)w->kind >= ERASURE_KIND_COUNT)
		return fail_field(c, "/kind", "There is no such kind of request.");
	if (w->scope != ERASURE_ITEMS && w->scope != ERASURE_COOP)
		return fail_field(c, "/scope", "This must be items or coop. The whole account is asked about in its own place.");
	if (w->scope == ERASURE_ITEMS && (w->n_items == 0 || w->n_items > ERASURE_ITEMS_MAX))
		return fail_field(c, "/items", "Name one to %d items.", ERASURE_ITEMS_MAX);
	if (w->scope == ERASURE_COOP && w->n_items)
		return fail_field(c, "/items", "Items are named for scope items only.");
	if (w->reason_code.p && !erasure_reason_words(w->reason_code))
		return fail_field(c, "/reason_code", "There is no such reason.");
	if (w->about_me && !uuid_is_nil(w->for_member))
		return fail_field(c, "/about_me", "A claim about oneself is made by oneself.");
	TRY(check_kind(c, w));
	return w->about_me ? claim_check(c, w) : ERR_OK;
}

/* What an agent sends must be fresh: whoever gets hold of it cannot use it later. */
static enum err check_fresh(struct call *c, const struct erasure_wish *w)
{
	instant now = clock_now();
	if (w->issued_at == INSTANT_NONE || w->expires_at == INSTANT_NONE)
		return fail_field(c, w->issued_at == INSTANT_NONE ? "/issued_at" : "/expires_at", "An agent's request says from when until when it is valid.");
	if (w->expires_at <= w->issued_at || w->expires_at - w->issued_at > ERASURE_AGENT_VALID)
		return fail_field(c, "/expires_at", "A request is valid for %d minutes at most.", (int)(ERASURE_AGENT_VALID / CLOCK_MINUTE));
	if (w->issued_at > now + CLOCK_MINUTE)
		return fail_field(c, "/issued_at", "This is in the future.");
	return w->expires_at > now ? ERR_OK : fail_reason(c, ERR_REFUSED, "expired", "This request has expired. Make it anew.");
}

static struct str default_reason(const struct erasure_wish *w)
{
	if (w->reason_code.p)
		return w->reason_code;
	return w->about_me ? STR("about_me") : w->kind == ERASURE_CORRECT ? STR("inaccurate") : STR("consent_withdrawn");
}

static int by_id(const void *a, const void *b)
{
	return uuid_cmp(*(const struct uuid *)a, *(const struct uuid *)b);
}

/* Of everything that is asked, so that the very same is found again. A whole co-op is the same while nothing new was contributed. */
static struct sha256 digest_of(struct arena *a, const struct erasure_wish *w, struct uuid member, int64_t newest)
{
	struct buf b;
	struct uuid *ids = ARENA_ARRAY(a, w->n_items + 1, struct uuid);
	if (w->n_items)
		memcpy(ids, w->items, w->n_items * sizeof(*ids));
	qsort(ids, w->n_items, sizeof(*ids), by_id);
	buf_init(&b, ERASURE_ITEMS_MAX * sizeof(*ids) + LIMIT_BODY_ITEM + 1024);
	buf_addf(&b, "%s\n%s\n%d\n%lld\n%lld\n", erasure_kind_name(w->kind), erasure_scope_name(w->scope), w->about_me, (long long)(w->kind == ERASURE_EMBARGO ? w->until : 0), (long long)newest);
	buf_add_str(&b, uuid_format(a, member));
	buf_add_byte(&b, '\n');
	if (w->replacement)
		json_canonical(&b, w->replacement, true);
	buf_add_byte(&b, '\n');
	for (size_t i = 0; i < w->n_items; i++)
		if (i == 0 || !uuid_eq(ids[i], ids[i - 1]))
			buf_add(&b, ids[i].b, sizeof(ids[i].b));
	return sha256(buf_take(a, &b));
}

/* ---- Who asks ---- */

struct asking {
	const struct erasure_wish *wish;
	enum erasure_asker asker;
	struct uuid member;      /* whose items; nil for claims */
	struct agent agent;
	bool at_once;            /* nothing needs to be confirmed or decided */
	struct sha256 digest;    /* of all that is asked */
	struct str items;        /* packed; absent: all of the member's */
};

/* The acting account's membership; what somebody contributed stays theirs to delete after they left. */
static enum err own_membership(struct call *c, struct uuid coop, struct uuid *out)
{
	struct rows r;
	TRY(db_query(c, member_of_account, &r, A_UUID(coop), A_UUID(c->actor.account)));
	if (r.n != 1)
		return fail_reason(c, ERR_FORBIDDEN, "not_a_member", "You contributed nothing here. If an item is about you, say so in a claim.");
	*out = row_uuid(&r, 0, 0);
	return ERR_OK;
}

static enum err who_asks(struct call *c, struct uuid coop, struct asking *a)
{
	const struct erasure_wish *w = a->wish;
	a->at_once = true;
	if (w->about_me) {
		a->asker = ERASURE_SUBJECT;
		a->at_once = false;
		return ERR_OK;
	}
	if (uuid_is_nil(w->for_member)) {
		a->asker = ERASURE_MEMBER;
		return own_membership(c, coop, &a->member);
	}
	a->asker = ERASURE_AGENT;
	a->member = w->for_member;
	TRY(check_fresh(c, w));
	TRY(agent_find(c, coop, w->for_member, w->kind, &a->agent));
	a->at_once = a->agent.alone;
	return ERR_OK;
}

/* What is asked as a whole, and the numbers of what was named. */
static enum err digest_wish(struct call *c, struct uuid coop, struct asking *a)
{
	struct rows r;
	int64_t newest = 0;
	if (a->wish->scope == ERASURE_COOP) {
		TRY(db_one(c, member_newest_item, &r, A_UUID(coop), A_UUID(a->member)));
		newest = row_int(&r, 0, 0);
	}
	a->digest = digest_of(c->arena, a->wish, a->member, newest);
	return ERR_OK;
}

static enum err select_items(struct call *c, struct uuid coop, struct asking *a)
{
	const struct erasure_wish *w = a->wish;
	a->items = STR_NONE;
	if (w->scope != ERASURE_ITEMS)
		return ERR_OK;
	int64_t *numbers = ARENA_ARRAY(c->arena, w->n_items, int64_t);
	TRY(pool_select(c, coop, a->member, w->items, w->n_items, numbers));
	a->items = items_pack(c->arena, numbers, w->n_items);
	return ERR_OK;
}

/* The very same that was asked before and stands; *out nil when there is none. */
static enum err find_same(struct call *c, struct uuid coop, const struct asking *a, struct uuid *out)
{
	struct rows r;
	TRY(db_query(c, erasure_same, &r, A_UUID(coop), A_UUID(c->actor.account), A_BYTES(str_make(a->digest.b, 32))));
	*out = r.n ? row_uuid(&r, 0, 0) : (struct uuid){ { 0 } };
	return ERR_OK;
}

/* ---- Taking effect ---- */

static enum pool_withdrawal_kind overlay_of(enum erasure_kind k)
{
	static const enum pool_withdrawal_kind kinds[ERASURE_KIND_COUNT] = { POOL_ERASE, POOL_WITHDRAW_FUTURE, POOL_EMBARGO, POOL_ERASE };
	return kinds[k];
}

enum err erasure_unrestrict(struct call *c, struct erasure_locked *l)
{
	if (!l->restricted)
		return ERR_OK;
	TRY(pool_withdrawal_lift(c, l->e.coop, l->restriction));
	l->restricted = false;
	return db_exec(c, erasure_set_unrestricted, A_UUID(l->e.coop), A_UUID(l->e.id));
}

enum err erasure_take_effect(struct call *c, struct erasure_locked *l, const char *by, const char *note)
{
	struct pool_withdrawal w = { .id = l->e.id, .kind = overlay_of(l->e.kind), .until = l->e.until };
	int64_t *items = NULL;
	if (l->items.p) {
		w.n = items_unpack(c->arena, l->items, &items);
		w.items = items;
	} else {
		w.member = l->e.member;
	}
	if (!l->items.p || w.n)
		TRY(pool_withdraw(c, l->e.coop, &w));
	if (!l->items.p) {
		TRY(pool_withdrawal_left(c, l->e.coop, l->e.id, &l->e.n_items));
		TRY(db_exec(c, erasure_set_count, A_UUID(l->e.coop), A_UUID(l->e.id), A_I64(l->e.n_items)));
	}
	TRY(erasure_unrestrict(c, l));
	TRY(erasure_queue_carry(c, l->e.coop, l->e.id, clock_now()));
	return erasure_move(c, l, ERASURE_EFFECTIVE, by, note);
}

/* A claim is restricted before anybody has looked at it, unless the same account's claim about the same item was looked at and denied: asking again and again must not keep others' items
 * out of releases for ever. Then it waits for its answer all the same. */
static enum err restrict_items(struct call *c, const struct erasure_new *n, bool *restricted)
{
	bool denied;
	int64_t *items;
	struct pool_withdrawal w = { .id = n->restriction, .kind = POOL_RESTRICT, .until = INSTANT_NONE };
	w.n = items_unpack(c->arena, n->items, &items);
	w.items = items;
	TRY(claim_denied_before(c, n->e.coop, n->items, &denied));
	*restricted = !denied;
	TRY(pool_withdraw(c, n->e.coop, &w));
	return denied ? pool_withdrawal_lift(c, n->e.coop, n->restriction) : ERR_OK;
}

/* Those that end are never written into the rows: every decision looks at each of them until it ends. */
static enum err embargo_room(struct call *c, struct uuid coop, const struct asking *a)
{
	struct rows r;
	TRY(db_one(c, embargoes_of_member, &r, A_UUID(coop), A_UUID(a->member)));
	if (row_int(&r, 0, 0) >= ERASURE_EMBARGOES)
		return fail_reason(c, ERR_TOO_MANY, "embargoes", "You have %d embargoes in force here. Name several items in one, or end one first.", ERASURE_EMBARGOES);
	return ERR_OK;
}

static enum err tell_received(struct call *c, const struct erasure *e, bool restricted)
{
	static const char *const kind_words[ERASURE_KIND_COUNT] = { "that it is deleted", "that it is in no release any more", "that it is in no release for a while", "that it is replaced" };
	struct str what = items_words(c->arena, e);
	if (e->asker == ERASURE_SUBJECT) {
		TRY(tell_admins(c, e, "deletion.claim", "Somebody says that an item is about them",
			str_fmt(c->arena, "Somebody claims that %.*s hold what is about them. %s, by %.*s at the latest.", STR_ARG(what),
				restricted ? "They are in no release until an admin decides" : "You denied that before, so they are not held back; an admin decides anew", STR_ARG(day_words(c->arena, e->due_at)))));
		return tell_asker(c, e, "deletion.received", "Your claim was received",
			str_fmt(c->arena, "%.*s %s. An admin answers you by %.*s.", STR_ARG(what),
				restricted ? "are in no release from now on" : "are not held back meanwhile, since you claimed this before and it was denied", STR_ARG(day_words(c->arena, e->due_at))));
	}
	if (e->state == ERASURE_EFFECTIVE && e->asker == ERASURE_AGENT)
		return tell_member(c, e, "deletion.effective", "Your agent asked for a deletion, and it counts",
			str_fmt(c->arena, "Your agent asked for this about %.*s of yours: %s. It counts from now on, as you allowed them.", STR_ARG(what), kind_words[e->kind]));
	if (e->state == ERASURE_EFFECTIVE)
		return tell_member(c, e, "deletion.effective", "What you asked for counts",
			str_fmt(c->arena, "You asked for this about %.*s of yours: %s. It counts from now on. If it was not you, change your password, and tell the co-op.", STR_ARG(what), kind_words[e->kind]));
	return tell_member(c, e, "deletion.confirm", "Your agent asks for a deletion: do you want it?",
		str_fmt(c->arena, "Your agent asks for this about %.*s of yours: %s. Nothing happens until you confirm, and the request lapses after %d days.", STR_ARG(what), kind_words[e->kind], (int)(ERASURE_CONFIRM_LIFE / CLOCK_DAY)));
}

static enum err write_request(struct call *c, struct uuid coop, const struct asking *a, struct uuid replacement, struct erasure *out)
{
	struct charter charter;
	const struct erasure_wish *w = a->wish;
	bool claim = a->asker == ERASURE_SUBJECT;
	TRY(charter_current(c, coop, &charter));
	struct erasure_locked l = { .items = a->items, .purged_upto = -1, .e = {
		.coop = coop, .id = uuid_new(), .kind = w->kind, .scope = w->scope, .asker = a->asker, .account = c->actor.account, .member = a->member,
		.agent = a->asker == ERASURE_AGENT ? a->agent.id : (struct uuid){ { 0 } }, .state = ERASURE_RECEIVED, .n_items = (int64_t)(a->items.n / 4), .reason_code = default_reason(w),
		.received_at = clock_now(), .verified_at = INSTANT_NONE, .due_at = due_date(clock_now(), 1, charter.region), .replacement = replacement,
		.until = w->kind == ERASURE_EMBARGO ? w->until : INSTANT_NONE } };
	struct erasure_new n = { .e = l.e, .items = a->items, .digest = a->digest, .restriction = claim ? uuid_new() : (struct uuid){ { 0 } } };
	if (claim)
		TRY(claim_room(c, coop));
	if (w->kind == ERASURE_EMBARGO)
		TRY(embargo_room(c, coop, a));
	TRY(erasure_insert(c, &n));
	if (claim) {
		bool restricted;
		TRY(restrict_items(c, &n, &restricted));
		if (w->claim.n)
			TRY(claim_put(c, coop, l.e.id, "claim", w->claim));
		if (restricted)
			TRY(claim_tell_contributors(c, &l.e, a->items));
		TRY(tell_received(c, &l.e, restricted));
		TRY(erasure_move(c, &l, ERASURE_VERIFIED, "asker", ""));
	} else if (a->at_once) {
		l.e.state = ERASURE_EFFECTIVE;
		TRY(tell_received(c, &l.e, false));
		l.e.state = ERASURE_RECEIVED;
		TRY(erasure_take_effect(c, &l, a->asker == ERASURE_AGENT ? "asker" : "member", ""));
	} else {
		TRY(tell_received(c, &l.e, false));
		TRY(erasure_leaf(c, &l.e, "deletion.received"));
	}
	return erasure_get(c, coop, l.e.id, out);
}

/* Who asks what, and whether it was asked before: *same nil when it was not. */
static enum err find_out(struct call *c, struct uuid coop, struct asking *a, struct uuid *same)
{
	TRY(who_asks(c, coop, a));
	TRY(digest_wish(c, coop, a));
	TRY(find_same(c, coop, a, same));
	return uuid_is_nil(*same) ? select_items(c, coop, a) : ERR_OK;
}

/* What is wrong with a replacement stands below it in what was sent. */
static enum err of_replacement(struct call *c, enum err e)
{
	for (struct fault *f = c->error.faults; e != ERR_OK && f; f = f->next)
		f->pointer = str_fmt(c->arena, "/replacement%.*s", STR_ARG(f->pointer));
	return e;
}

/* The replacement is contributed first: it is there, or nothing is deleted. Asked again after a crash in between, the pool answers the first receipt. */
static enum err submit_replacement(struct call *c, struct uuid coop, struct asking *a, struct uuid *out)
{
	struct receipt receipt;
	struct uuid same;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(find_out(c, coop, a, &same));
	TRY(db_commit(c));
	if (!uuid_is_nil(same))
		return ERR_OK;
	error_clear(&c->error);
	TRY(of_replacement(c, pool_submit(c, coop, a->wish->replacement, &receipt)));
	if (uuid_eq(receipt.id, a->wish->items[0]))
		return fail_field(c, "/replacement", "This is what the item says already.");
	*out = receipt.id;
	return ERR_OK;
}

enum err erasure_ask(struct call *c, struct uuid coop, const struct erasure_wish *wish, struct erasure *out)
{
	struct asking a = { .wish = wish };
	struct uuid same, replacement = { { 0 } };
	TRY(check_wish(c, wish));
	if (wish->replacement)
		TRY(submit_replacement(c, coop, &a, &replacement));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(find_out(c, coop, &a, &same));
	if (!uuid_is_nil(same))
		TRY(erasure_get(c, coop, same, out));
	else
		TRY(write_request(c, coop, &a, replacement, out));
	return db_commit(c);
}

/* ---- Afterwards ---- */

enum err erasure_verify(struct call *c, struct uuid coop, struct uuid id, struct erasure *out)
{
	struct erasure_locked l;
	struct uuid me;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(erasure_lock_for(c, coop, id, &l, NULL));
	TRY(own_membership(c, coop, &me));
	if (l.e.asker != ERASURE_AGENT || !uuid_eq(me, l.e.member))
		return fail_reason(c, ERR_FORBIDDEN, "not_yours", "Only the member whom it is about confirms a request.");
	if (l.e.state != ERASURE_RECEIVED) {
		*out = l.e;
		return l.e.effective_at != INSTANT_NONE ? db_commit(c) : fail_reason(c, ERR_STATE, "not_waiting", "This request does not wait for a confirmation any more.");
	}
	if (clock_now() - l.e.received_at > ERASURE_CONFIRM_LIFE)
		return fail_reason(c, ERR_STATE, "lapsed", "It is too late to confirm this request. Let it be asked again.");
	TRY(db_one(c, erasure_set_agent_over, &r, A_UUID(coop), A_UUID(l.e.agent)));
	if (row_bool(&r, 0, 0))
		return fail_reason(c, ERR_STATE, "agent_ended", "The agent who asked is not authorised any more. Ask yourself instead.");
	TRY(tell_asker(c, &l.e, "deletion.confirmed", "A request that you made as an agent was confirmed", STR("The member confirmed it, and it counts from now on.")));
	TRY(erasure_take_effect(c, &l, "member", ""));
	TRY(erasure_get(c, coop, id, out));
	return db_commit(c);
}

/* Whoever was told that the items are kept back until a day hears that they are so no longer: by another embargo in the feed, which is over within the hour. Here it holds nothing back. */
static enum err tell_ended(struct call *c, const struct erasure_locked *l)
{
	struct erasure e;
	int64_t first, last, count;
	size_t n = l->items.n / 4;
	TRY(tombstone_of_erasure(c, l->e.coop, l->e.id, &first, &last, &count));
	if (count == 0 || n == 0)
		return ERR_OK;
	int64_t *items = ARENA_ARRAY(c->arena, n, int64_t);
	for (size_t i = 0; i < n; i++) {
		uint32_t item;
		memcpy(&item, l->items.p + i * sizeof(item), sizeof(item));
		items[i] = item;
	}
	TRY(erasure_by_order(c, l->e.coop, &(struct erasure_order){ .kind = ERASURE_EMBARGO, .asker = ERASURE_RULE, .reason_code = STR(ERASURE_EMBARGO_ENDED),
		.until = (clock_now() / CLOCK_HOUR + 1) * CLOCK_HOUR, .items = items, .n = n }, &e));
	return pool_withdrawal_lift(c, l->e.coop, e.id);
}

/* One that is about further origins alone has no rows of its own that it keeps back. */
static enum err embargo_end(struct call *c, struct erasure_locked *l, const char *by)
{
	if (l->e.n_items)
		TRY(pool_withdrawal_lift(c, l->e.coop, l->e.id));
	TRY(erasure_unrestrict(c, l));
	return erasure_move(c, l, ERASURE_CANCELLED, by, "");
}

enum err erasure_embargo_over(struct call *c, struct uuid coop, struct uuid id)
{
	struct erasure_locked l;
	TRY(pool_lock(c, coop));
	TRY(erasure_lock(c, coop, id, &l));
	return l.e.kind != ERASURE_EMBARGO || l.e.state == ERASURE_CANCELLED ? ERR_OK : embargo_end(c, &l, "instance");
}

enum err erasure_cancel(struct call *c, struct uuid coop, struct uuid id, struct erasure *out)
{
	struct erasure_locked l;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(erasure_lock_for(c, coop, id, &l, NULL));
	if (!l.e.mine)
		return fail_reason(c, ERR_FORBIDDEN, "not_yours", "Only who asked takes a request back.");
	if (l.e.state == ERASURE_CANCELLED) {
		*out = l.e;
		return db_commit(c);
	}
	if (l.e.state != ERASURE_RECEIVED && l.e.state != ERASURE_VERIFIED && l.e.kind != ERASURE_EMBARGO)
		return fail_reason(c, ERR_STATE, "effective", l.e.effective_at == INSTANT_NONE ? "This request was answered already." : "What is deleted cannot be taken back.");
	if (l.e.effective_at != INSTANT_NONE) {
		/* What an agent asked for protects the member: it is for them alone to let it go. */
		TRY(db_query(c, member_of_account, &r, A_UUID(coop), A_UUID(c->actor.account)));
		if (r.n != 1 || !uuid_eq(row_uuid(&r, 0, 0), l.e.member))
			return fail_reason(c, ERR_FORBIDDEN, "not_yours", "Only the member whose items they are ends an embargo.");
		TRY(embargo_end(c, &l, "asker"));
		TRY(tell_ended(c, &l));
	} else {
		TRY(erasure_unrestrict(c, &l));
		TRY(claim_forget(c, coop, id));
		TRY(erasure_move(c, &l, ERASURE_CANCELLED, "asker", ""));
	}
	TRY(erasure_get(c, coop, id, out));
	return db_commit(c);
}

/* ---- The instance itself ---- */

enum err erasure_by_order(struct call *c, struct uuid coop, const struct erasure_order *o, struct erasure *out)
{
	struct charter charter;
	TRY(charter_current(c, coop, &charter));
	struct erasure_locked l = { .items = items_pack(c->arena, o->items, o->n), .purged_upto = -1, .e = {
		.coop = coop, .id = uuid_new(), .kind = o->kind, .scope = ERASURE_ITEMS, .asker = o->asker, .state = ERASURE_RECEIVED, .reason_code = o->reason_code,
		.received_at = clock_now(), .verified_at = clock_now(), .due_at = due_date(clock_now(), 1, charter.region), .replacement = o->replacement, .until = o->until } };
	l.e.n_items = (int64_t)(l.items.n / 4);
	struct erasure_new new = { .e = l.e, .items = l.items, .digest = sha256(l.items) };
	TRY(pool_lock(c, coop));
	TRY(erasure_insert(c, &new));
	TRY(erasure_take_effect(c, &l, "instance", ""));
	return erasure_get(c, coop, l.e.id, out);
}

enum err erasure_by_rule(struct call *c, struct uuid coop, const int64_t *items, size_t n, struct erasure *out)
{
	return erasure_by_order(c, coop, &(struct erasure_order){ .kind = ERASURE_ERASE, .asker = ERASURE_RULE, .reason_code = STR("retention"), .until = INSTANT_NONE, .items = items, .n = n }, out);
}
