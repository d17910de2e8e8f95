#include "server/merge/merge_pages.h"

#include "commonhold/db.h"
#include "commonhold/message.h"
#include "commonhold/routes.h"
#include "commonhold/waiting.h"
#include "commonhold/words.h"

/* Partners: who they are, what was agreed with them, meeting one; and for admins what was said to them and what was refused. */

#define AGREEMENTS_SHOWN 20
#define REFUSALS_SHOWN 3

struct str peer_called(const struct peer *p)
{
	return p->title.n ? p->title : p->slug.n ? p->slug : p->name;
}

/* ---- Rows ---- */

static const char *const state_words[PEER_STATE_COUNT] = { "not confirmed", "confirmed", "refused", "suspect" };
static const char *const state_badges[PEER_STATE_COUNT] = { "hold", "include", "neutral", "exclude" };

/* The chain's length, as people count keys. */
static size_t keys_in(struct arena *a, const struct peer *p)
{
	const struct json *chain;
	struct error e = { 0 };
	const struct json *keys = json_parse(a, p->chain, &chain, &e) == ERR_OK ? json_get(chain, "keys") : NULL;
	return keys ? keys->count : 1;
}

static void peer_members(struct json_writer *w, struct arena *a, const struct peer *p)
{
	jw_kstr(w, "id", uuid_format(a, p->id));
	jw_kstr(w, "called", peer_called(p));
	jw_kstr(w, "key_name", p->name);
	jw_kstr(w, "url", p->url.n ? p->url : STR_NONE);
	jw_kbool(w, "here", !uuid_is_nil(p->here));
	jw_kz(w, "state_words", state_words[p->state]);
	jw_kz(w, "badge", state_badges[p->state]);
	jw_kbool(w, "is_seen", p->state == PEER_SEEN);
	jw_kbool(w, "is_confirmed", p->state == PEER_CONFIRMED);
	jw_kbool(w, "is_refused", p->state == PEER_REFUSED);
	jw_kbool(w, "is_suspect", p->state == PEER_SUSPECT);
	jw_kstr(w, "fingerprint", p->fingerprint);
	jw_kstr(w, "met", words_day(a, p->met_at));
	jw_kstr(w, "state_since", words_minute(a, p->state_at));
	jw_kstr(w, "last_seen", p->last_seen_at == INSTANT_NONE ? STR_NONE : words_minute(a, p->last_seen_at));
	jw_kstr(w, "last_error", p->last_error);
}

static enum err peers_write(struct json_writer *w, struct request *rq)
{
	struct peer *peers;
	size_t n;
	TRY(peer_list(rq->call, rq->coop.id, &peers, &n));
	jw_kbool(w, "any_peers", n > 0);
	jw_key(w, "peers");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		peer_members(w, rq->call->arena, &peers[i]);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

/* Agreements with one partner, or (nil) with all. */
static enum err agreements_write(struct json_writer *w, struct request *rq, struct uuid peer)
{
	struct agreement *rows;
	struct str next;
	size_t n, shown = 0;
	TRY(agreement_list(rq->call, rq->coop.id, STR_NONE, uuid_is_nil(peer) ? request_query(rq, "cursor") : STR_NONE, uuid_is_nil(peer) ? AGREEMENTS_SHOWN : LIMIT_PAGE, &rows, &n, &next));
	jw_key(w, "agreements");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (!uuid_is_nil(peer) && !uuid_eq(rows[i].peer, peer))
			continue;
		agreement_row_write(w, rq->call->arena, &rows[i]);
		shown++;
	}
	jw_end_array(w);
	jw_kbool(w, "any_agreements", shown > 0);
	jw_kstr(w, "next", uuid_is_nil(peer) ? next : STR_NONE);
	return ERR_OK;
}

/* What others have to type to confirm us. */
static enum err own_fingerprint(struct json_writer *w, struct request *rq)
{
	struct call *c = rq->call;
	struct keychain own;
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(keychain_of(c, rq->coop.id, &own));
	TRY(db_commit(c));
	jw_kstr(w, "own_fingerprint", keychain_fingerprint(c->arena, keychain_current(&own)));
	jw_kstr(w, "own_name", rq->coop.name);
	jw_kstr(w, "own_url", request_base_url(rq));
	return ERR_OK;
}

static enum err refusals_write(struct json_writer *w, struct request *rq, struct str cursor, int limit)
{
	struct refusal *rows;
	struct str next;
	size_t n;
	TRY(merge_refusals(rq->call, rq->coop.id, cursor, limit, &rows, &n, &next));
	jw_kbool(w, "any_refusals", n > 0);
	jw_kstr(w, "next", next);
	jw_key(w, "refusals");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "who", rows[i].peer_title.n ? rows[i].peer_title : STR("a stranger"));
		jw_kstr(w, "what", rows[i].what);
		jw_kstr(w, "code", rows[i].code);
		jw_kstr(w, "sentence", rows[i].sentence);
		jw_kstr(w, "at", words_minute(rq->call->arena, rows[i].at));
		jw_kstr(w, "times", rows[i].times > 1 ? str_fmt(rq->call->arena, "%.*s times that day", STR_ARG(words_count(rq->call->arena, rows[i].times))) : STR_NONE);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

/* ---- All of them ---- */

static void typed_write(struct json_writer *w, struct request *rq, const char *const *names, size_t n)
{
	jw_key(w, "typed");
	jw_object(w);
	for (size_t i = 0; i < n; i++)
		jw_kstr(w, names[i], rq->body.n && request_form(rq, names[i]).p ? request_form(rq, names[i]) : STR(""));
	jw_end_object(w);
}

static enum err all_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	static const char *const names[] = { "url", "name", "file_url" };
	jw_kz(w, "title", "Partners and merges");
	TRY(page_form_said(rq, rs, refused, w));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "admin", rq->coop.is_admin);
	typed_write(w, rq, names, CH_LEN(names));
	TRY(own_fingerprint(w, rq));
	TRY(waiting_write(rq->call, w, rq->coop.id, rq->coop.slug, rq->coop.member, rq->coop.is_admin));
	TRY(peers_write(w, rq));
	TRY(agreements_write(w, rq, (struct uuid){ { 0 } }));
	if (!rq->coop.is_admin)
		return ERR_OK;
	jw_key(w, "refused_lately");
	jw_object(w);
	TRY(refusals_write(w, rq, STR_NONE, REFUSALS_SHOWN));
	jw_end_object(w);
	return ERR_OK;
}

static enum err all_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/peers", &b, &w, all_data(&w, rq, rs, refused));
}

static enum err all_page(struct request *rq, struct response *rs)
{
	return all_form(rq, rs, ERR_OK);
}

static struct str peer_place(struct request *rq, struct uuid id)
{
	return str_fmt(rq->call->arena, "/coops/%.*s/peers/%.*s", STR_ARG(rq->coop.slug), STR_ARG(uuid_format(rq->call->arena, id)));
}

static enum err meet_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct form_file file;
	struct peer peer;
	struct str url = form_filled(rq, "url"), name = form_filled(rq, "name");
	enum err e;
	if (request_file(rq, "keys", &file) && file.content.n)
		e = peer_meet_file(c, rq->coop.id, form_filled(rq, "file_url").p ? form_filled(rq, "file_url") : STR(""), file.content, &peer);
	else if (str_is(request_form(rq, "how"), "file"))
		e = fail_field(c, "/keys", "Choose the file that the other co-op gave you.");
	else if (!url.p)
		e = fail_field(c, "/url", "Say where the other co-op is.");
	else if (!name.p)
		e = fail_field(c, "/name", "Say which co-op there.");
	else
		e = peer_meet(c, rq->coop.id, url, name, &peer);
	if (e != ERR_OK)
		return all_form(rq, rs, e);
	return response_done(rq, rs, peer.state == PEER_SEEN ? STR("You have met. Compare the fingerprint before you confirm.") : STR("That co-op was known already."), peer_place(rq, peer.id));
}

/* ---- One ---- */

static enum err one_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	static const char *const names[] = { "fingerprint" };
	struct uuid id;
	struct peer p;
	TRY(page_form_said(rq, rs, refused, w));
	TRY(request_param_uuid(rq, 1, &id));
	TRY(peer_read(rq->call, rq->coop.id, id, &p));
	jw_kstr(w, "title", peer_called(&p));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "admin", rq->coop.is_admin);
	typed_write(w, rq, names, CH_LEN(names));
	peer_members(w, rq->call->arena, &p);
	size_t keys = keys_in(rq->call->arena, &p);
	jw_kstr(w, "keys", keys == 1 ? STR("one, the first") : str_fmt(rq->call->arena, "%zu, each handed over by the one before", keys));
	jw_kbool(w, "may_confirm", rq->coop.is_admin && p.state != PEER_CONFIRMED);
	jw_kbool(w, "may_refuse", rq->coop.is_admin && p.state != PEER_REFUSED);
	TRY(own_fingerprint(w, rq));
	return agreements_write(w, rq, id);
}

static enum err one_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/peer", &b, &w, one_data(&w, rq, rs, refused));
}

static enum err one_page(struct request *rq, struct response *rs)
{
	return one_form(rq, rs, ERR_OK);
}

static enum err confirm_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct peer p;
	TRY(request_param_uuid(rq, 1, &id));
	struct str typed = form_filled(rq, "fingerprint");
	enum err e = peer_confirm(rq->call, rq->coop.id, id, typed.p ? typed : STR(""), &p);
	return e == ERR_OK ? response_done(rq, rs, STR("Confirmed. From now on its words count when they are signed with this key."), peer_place(rq, id)) : one_form(rq, rs, e);
}

static enum err refuse_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct peer p;
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = peer_refuse(rq->call, rq->coop.id, id, &p);
	return e == ERR_OK ? response_done(rq, rs, STR("Nothing is taken from this co-op any more."), peer_place(rq, id)) : one_form(rq, rs, e);
}

static enum err refresh_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct peer p;
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = peer_refresh(rq->call, rq->coop.id, id, &p);
	if (e != ERR_OK)
		return one_form(rq, rs, e);
	return response_done(rq, rs, p.last_error.n ? STR("Looked, and something is not as it should be: see below.") : STR("Looked: its keys are those that we know."), peer_place(rq, id));
}

/* ---- For admins ---- */

static enum err refusals_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "What was refused");
	jw_kstr(&w, "coop", rq->coop.slug);
	return page_end(rq, rs, "page/refusals", &b, &w, refusals_write(&w, rq, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT));
}

/* What each type of message is about, for people. */
static const struct { const char *type, *words; } kinds[] = {
	{ "agreement.proposed", "An agreement is proposed" }, { "agreement.renewal", "A renewal is proposed" }, { "agreement.assent", "Signed assent to an agreement" },
	{ "agreement.suspended", "An agreement is suspended" }, { "agreement.resumed", "A suspension is lifted" }, { "agreement.ended", "An agreement ends" },
	{ "bundle.ready", "A bundle is ready" }, { "joint.proposed", "A joint release is proposed" }, { "joint.state", "Where a joint release stands" }, { "receipt", "A receipt for an erasure" },
	{ "link.brought", "Somebody brought a code" }, { "link.proved", "Two accounts are linked" }, { "link.declined", "A code was no good" }, { "preview.ready", "A preview for a dry run" },
};

static struct str kind_words(struct str type)
{
	for (size_t i = 0; i < CH_LEN(kinds); i++)
		if (str_is(type, kinds[i].type))
			return str_of(kinds[i].words);
	return type;
}

static const char *delivery_words(const struct message_row *m)
{
	return !m->out ? "taken" : str_is(m->state, "waiting") ? m->attempts ? "tried, waits for the next time" : "on its way" : str_is(m->state, "delivered") ? "delivered"
		: str_is(m->state, "dead") ? "given up" : "replaced by a newer one";
}

static const char *delivery_badge(const struct message_row *m)
{
	return !m->out || str_is(m->state, "delivered") ? "include" : str_is(m->state, "waiting") ? "hold" : str_is(m->state, "dead") ? "exclude" : "neutral";
}

static enum err messages_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct message_row *rows;
	struct str next;
	size_t n;
	TRY(message_list(rq->call, rq->coop.id, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &rows, &n, &next));
	jw_kbool(w, "any", n > 0);
	jw_kstr(w, "next", next);
	jw_key(w, "messages");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct message_row *m = &rows[i];
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, m->id));
		jw_kstr(w, "what", kind_words(m->type));
		jw_kstr(w, "type", m->type);
		jw_kstr(w, "who", str_fmt(a, "%s %.*s", m->out ? "to" : "from", STR_ARG(m->peer_title)));
		jw_kstr(w, "at", words_minute(a, m->at));
		jw_kz(w, "state_words", delivery_words(m));
		jw_kz(w, "badge", delivery_badge(m));
		jw_kstr(w, "error", m->error);
		jw_kbool(w, "again", m->out && (str_is(m->state, "dead") || (str_is(m->state, "waiting") && m->attempts > 0)));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

/* Agreements under which bundles go out. */
static enum err senders_write(struct json_writer *w, struct request *rq)
{
	struct call *c = rq->call;
	struct agreement *all;
	size_t n, senders = 0;
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(agreement_all(c, rq->coop.id, (struct uuid){ { 0 } }, AGREEMENT_LIVE, &all, &n));
	TRY(db_commit(c));
	jw_key(w, "senders");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (!all[i].we_send || !agreement_flows(&all[i]))
			continue;
		jw_object(w);
		jw_kstr(w, "digest", sha256_hex(c->arena, all[i].terms.digest));
		jw_kstr(w, "partner", all[i].partner_title);
		jw_end_object(w);
		senders++;
	}
	jw_end_array(w);
	jw_kbool(w, "any_senders", senders > 0);
	return ERR_OK;
}

static enum err messages_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	TRY(page_form_said(rq, rs, refused, w));
	jw_kz(w, "title", "Messages between co-ops");
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "wrong_any", refused != ERR_OK);
	TRY(senders_write(w, rq));
	return messages_write(w, rq);
}

enum err messages_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/messages", &b, &w, messages_data(&w, rq, rs, refused));
}

static enum err messages_page(struct request *rq, struct response *rs)
{
	return messages_form(rq, rs, ERR_OK);
}

/* Messages that came as a file. What was refused is among the refusals, with its reason. */
static enum err carried_form(struct request *rq, struct response *rs)
{
	struct form_file file;
	struct message_import done;
	if (!request_file(rq, "messages", &file) || file.content.n == 0)
		return messages_form(rq, rs, fail_field(rq->call, "/messages", "Choose the file that the other co-op gave you."));
	enum err e = message_import(rq->call, rq->coop.id, file.content, &done);
	if (e != ERR_OK)
		return messages_form(rq, rs, e);
	return response_done(rq, rs, str_fmt(rq->call->arena, "Taken: %d. There before: %d. Refused: %d.", done.taken, done.again, done.refused), coop_place(rq, done.refused ? "refusals" : "messages"));
}

static enum err again_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(message_again(rq->call, rq->coop.id, id));
	return response_done(rq, rs, STR("It is tried again now."), coop_place(rq, "messages"));
}

#define ALL "/coops/{coop}/peers"
#define ONE ALL "/{peer}"
const struct route peer_page_routes[] = {
	{ "GET", ALL, "page_peers", PERM_ACTIVE, 0, NULL, "text/html", 200, all_page, "Partners, and what was agreed with them" },
	{ "POST", ALL, "page_peer_meet", PERM_ADMIN, LIMIT_BODY_CHARTER, "form", "text/html", 303, meet_form, "Meet another co-op", ROUTE_EXPENSIVE },
	{ "GET", ONE, "page_peer", PERM_ACTIVE, 0, NULL, "text/html", 200, one_page, "One partner" },
	{ "POST", ONE "/confirm", "page_peer_confirm", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, confirm_form, "Confirm it by its fingerprint" },
	{ "POST", ONE "/refuse", "page_peer_refuse", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, refuse_form, "Take nothing from it any more" },
	{ "POST", ONE "/refresh", "page_peer_refresh", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, refresh_form, "Look at its keys again", ROUTE_EXPENSIVE },
	{ "GET", "/coops/{coop}/refusals", "page_refusals", PERM_ADMIN, 0, NULL, "text/html", 200, refusals_page, "What other co-ops sent and was refused" },
	{ "GET", "/coops/{coop}/messages", "page_messages", PERM_ADMIN, 0, NULL, "text/html", 200, messages_page, "What was said to other co-ops, and by them" },
	{ "POST", "/coops/{coop}/messages", "page_messages_carried", PERM_ADMIN, LIMIT_BODY_ITEM * 8, "form", "text/html", 303, carried_form, "Take messages from a file" },
	{ "POST", "/coops/{coop}/messages/{message}/again", "page_message_again", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, again_form, "Try a message again" },
	ROUTE_TABLE_END
};
