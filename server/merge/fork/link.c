#include "server/merge/fork/fork_internal.h"

#include "commonhold/bundle.h"
#include "commonhold/db.h"
#include "commonhold/guest.h"
#include "commonhold/ledger.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

/* Links: a code that is given at one co-op and brought to the other.
 *
 *   link.offered  {"code":HEX SHA-256 of the code,"contributor":32 HEX,"expires":INSTANT}   a member of the sender, whom it calls so, was given the code
 *   link.proved   {"code":HEX,"contributor":32 HEX}                                         a member of the sender, whom it calls so, has brought it
 *   link.ended    {"contributor":32 HEX,"yours":32 HEX}                                     no longer: the sender's name for its member, and the receiver's for its own
 */

#define LINKS_LISTED 200
#define OFFERS_OF_A_PEER 10000 /* codes of one peer that may wait to be brought */

#define LINK_COLUMNS \
	"l.id, l.peer_id, l.home, l.member_id, l.contributor, l.ours, CASE WHEN l.state = 'offered' AND l.expires_at <= commonhold_now() THEN 'expired' ELSE l.state END, l.made_at, l.state_at, " \
	"l.expires_at, coalesce((SELECT CASE WHEN p.title <> '' THEN p.title ELSE p.name END FROM peer p WHERE p.coop_id = l.coop_id AND p.name = l.home), " \
	"(SELECT g.title FROM lineage g WHERE g.coop_id = l.coop_id AND g.name = l.home LIMIT 1), l.home), " \
	"(SELECT count(*) FROM guest g JOIN contribution c ON c.coop_id = g.coop_id AND c.member_no = g.number AND (c.word & 12288) = 0 WHERE l.state = 'standing' AND g.coop_id = l.coop_id " \
	"AND g.home = l.home AND g.contributor = l.contributor) + " \
	"(SELECT count(*) FROM guest g JOIN item_origin o ON o.coop_id = g.coop_id AND o.member_no = g.number WHERE l.state = 'standing' AND g.coop_id = l.coop_id " \
	"AND g.home = l.home AND g.contributor = l.contributor)"

SQL(link_by_id, "SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.id = $2");
SQL(link_of_member, "SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.member_id = $2 ORDER BY l.made_at DESC, l.id LIMIT $3");
SQL(link_of_code, "SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.home = $2 AND l.code = $3 AND l.ours = $4 FOR UPDATE");
SQL(link_of_contributor, "SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.home = $2 AND l.contributor = $3 AND l.state = 'standing' FOR UPDATE");
SQL(link_insert,
	"INSERT INTO link (coop_id, id, peer_id, home, member_id, contributor, code, ours, state, made_at, state_at, expires_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, commonhold_now(), commonhold_now(), $10)");
SQL(link_stand, "UPDATE link SET state = 'standing', state_at = commonhold_now(), member_id = $3, contributor = $4 WHERE coop_id = $1 AND id = $2");
SQL(link_finish, "UPDATE link SET state = 'ended', state_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(codes_out, "SELECT count(*) FROM link WHERE coop_id = $1 AND member_id = $2 AND ours AND state = 'offered' AND expires_at > commonhold_now()");
SQL(codes_of_peer, "SELECT count(*) FROM link WHERE coop_id = $1 AND home = $2 AND NOT ours AND state = 'offered'");
SQL(codes_forget, "DELETE FROM link WHERE coop_id = $1 AND home = $2 AND member_id IS NULL AND state = 'offered' AND expires_at < commonhold_now() - interval '1 day'");

static const struct db_constraint constraints[] = {
	{ "one_contributor_is_linked_once", ERR_EXISTS, NULL, "The account there is linked with a member here already." },
	{ "a_link_code_is_known_once", ERR_EXISTS, NULL, "This code is known already." },
	DB_CONSTRAINTS_END
};

static const char *const state_words[LINK_STATE_COUNT] = {
#define X(name, word, sentence) [LINK_##name] = word,
	LINK_STATES(X)
#undef X
};
static const char *const state_sentences[LINK_STATE_COUNT] = {
#define X(name, word, sentence) [LINK_##name] = sentence,
	LINK_STATES(X)
#undef X
};

const char *link_state_word(unsigned state)
{
	return state < LINK_STATE_COUNT ? state_words[state] : "";
}

const char *link_state_sentence(unsigned state)
{
	return state < LINK_STATE_COUNT ? state_sentences[state] : "";
}

static enum link_state state_of(struct str word)
{
	for (unsigned i = 0; i < LINK_STATE_COUNT; i++)
		if (str_is(word, state_words[i]))
			return (enum link_state)i;
	return LINK_ENDED;
}

static struct link_row link_of_row(struct arena *a, struct uuid coop, const struct rows *r, int i)
{
	struct str contributor = row_bytes(r, i, 4);
	struct link_row row = {
		.link = {
			.coop = coop, .id = row_uuid(r, i, 0), .peer = row_uuid(r, i, 1), .home = row_str(r, i, 2), .ours = row_bool(r, i, 5), .state = state_of(row_str(r, i, 6)),
			.at = row_time(r, i, 7), .state_at = row_time(r, i, 8), .expires_at = row_time(r, i, 9), .title = row_str(r, i, 10), .items = row_int(r, i, 11),
		},
		.member = row_uuid(r, i, 3),
	};
	if (contributor.n == 16) {
		memcpy(row.contributor, contributor.p, 16);
		row.link.contributor = str_hex(a, contributor.p, 16);
	}
	return row;
}

static enum err link_find(struct call *c, struct uuid coop, const struct db_stmt *stmt, const struct db_arg *args, size_t n, struct link_row *out, bool *found)
{
	struct rows r;
	TRY(db_run(c, stmt, &r, args, n));
	*found = r.n > 0;
	if (*found)
		*out = link_of_row(c->arena, coop, &r, 0);
	return ERR_OK;
}

static enum err link_get(struct call *c, struct uuid coop, struct uuid id, struct link_row *out)
{
	bool found;
	const struct db_arg args[] = { A_UUID(coop), A_UUID(id) };
	TRY(link_find(c, coop, &link_by_id, args, CH_LEN(args), out, &found));
	return found ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such link.");
}

static enum err link_of_hash(struct call *c, struct uuid coop, struct str home, struct sha256 code, bool ours, struct link_row *out, bool *found)
{
	const struct db_arg args[] = { A_UUID(coop), A_STR(home), A_BYTES(str_make(code.b, 32)), A_BOOL(ours) };
	return link_find(c, coop, &link_of_code, args, CH_LEN(args), out, found);
}

static enum err link_of_theirs(struct call *c, struct uuid coop, struct str home, const uint8_t contributor[16], struct link_row *out, bool *found)
{
	const struct db_arg args[] = { A_UUID(coop), A_STR(home), A_BYTES(str_make(contributor, 16)) };
	return link_find(c, coop, &link_of_contributor, args, CH_LEN(args), out, found);
}

/* ---- What a link does ---- */

/* A guest that is not here yet is linked when it comes, by a trigger of its table. */
static enum err guest_is(struct call *c, struct uuid coop, struct str home, const uint8_t contributor[16], struct uuid member)
{
	struct guest guest;
	enum err e = guest_find(c, coop, home, contributor, &guest);
	if (e == ERR_NOT_FOUND) {
		error_clear(&c->error);
		return ERR_OK;
	}
	return e != ERR_OK ? e : guest_link(c, coop, guest.id, member);
}

/* The log says that there is a link, and not whose. */
static enum err link_leaf(struct call *c, struct uuid coop, const char *type, struct uuid link)
{
	struct str id = uuid_format(c->arena, link);
	return ledger_append(c, coop, &(struct leaf){ .type = type, .data = str_fmt(c->arena, "{\"link\":\"%.*s\"}", STR_ARG(id)) }, NULL);
}

static enum err stand(struct call *c, const struct link_row *row, const uint8_t contributor[16], struct uuid member)
{
	const struct link *l = &row->link;
	TRY(membership_lock(c, l->coop));
	TRY(db_exec(c, link_stand, A_UUID(l->coop), A_UUID(l->id), A_UUID(member), A_BYTES(str_make(contributor, 16))));
	TRY(guest_is(c, l->coop, l->home, contributor, member));
	return link_leaf(c, l->coop, "link.made", l->id);
}

static enum err finish(struct call *c, const struct link_row *row)
{
	struct uuid nobody = { { 0 } };
	TRY(membership_lock(c, row->link.coop));
	TRY(db_exec(c, link_finish, A_UUID(row->link.coop), A_UUID(row->link.id)));
	if (row->link.state != LINK_STANDING)
		return ERR_OK;
	TRY(guest_is(c, row->link.coop, row->link.home, row->contributor, nobody));
	return link_leaf(c, row->link.coop, "link.ended", row->link.id);
}

enum err link_claimed(struct call *c, struct uuid coop, struct str home, const uint8_t contributor[16], struct uuid member)
{
	struct uuid nobody = { { 0 } };
	struct link_row row = { .link = { .coop = coop, .id = uuid_new(), .home = home } };
	bool found;
	db_constraints(constraints);
	TRY(link_of_theirs(c, coop, home, contributor, &row, &found));
	if (found)
		return uuid_eq(row.member, member) ? ERR_OK : fail_reason(c, ERR_EXISTS, "linked_already", "The account there is linked with a member here already.");
	row.link = (struct link){ .coop = coop, .id = uuid_new(), .home = home };
	TRY(db_exec(c, link_insert, A_UUID(coop), A_UUID(row.link.id), A_UUID_OR_NULL(nobody), A_STR(home), A_UUID(member), A_NULL_BYTES, A_NULL_BYTES, A_BOOL(false), A_Z("offered"), A_TIME(clock_now())));
	return stand(c, &row, contributor, member);
}

/* ---- Messages out ---- */

static enum err say(struct call *c, struct uuid coop, struct uuid peer, const char *type, struct str body)
{
	return message_send(c, coop, peer, type, STR_NONE, body);
}

static enum err say_ended(struct call *c, struct uuid coop, struct uuid peer, const uint8_t ours[16], struct str theirs)
{
	struct str mine = str_hex(c->arena, ours, 16);
	return say(c, coop, peer, "link.ended", str_fmt(c->arena, "{\"contributor\":\"%.*s\",\"yours\":\"%.*s\"}", STR_ARG(mine), STR_ARG(theirs)));
}

static enum err good_member(struct call *c, struct uuid coop, struct member *me)
{
	if (c->actor.kind != AUTH_SESSION && c->actor.kind != AUTH_TOKEN)
		return fail(c, ERR_FORBIDDEN, "Each says this for themselves.");
	TRY(member_of_actor(c, coop, me));
	if (!in_good_standing(me->state))
		return fail_reason(c, ERR_REFUSED, "not_a_member", "Only current members do this.");
	return ERR_OK;
}

static enum err confirmed_peer(struct call *c, struct uuid coop, struct uuid id, struct peer *out)
{
	TRY(peer_get(c, coop, id, out));
	return peer_require_confirmed(c, out);
}

enum err link_offer(struct call *c, struct uuid coop, struct uuid peer_id, struct link *out, struct str *code)
{
	struct member me;
	struct peer peer;
	struct rows r;
	struct sha256 hash;
	struct link_row row;
	struct uuid id = uuid_new();
	uint8_t contributor[16];
	instant expires = clock_now() + LINK_CODE_LIFE;
	db_constraints(constraints);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(good_member(c, coop, &me));
	TRY(confirmed_peer(c, coop, peer_id, &peer));
	TRY(db_one(c, codes_out, &r, A_UUID(coop), A_UUID(me.id)));
	if (row_int(&r, 0, 0) >= LINKS_OPEN)
		return fail_reason(c, ERR_REFUSED, "links_open", "You have %d codes out that are good for a day. Use one of them, or wait.", LINKS_OPEN);
	TRY(bundle_contributor(c, coop, me.id, contributor));
	*code = code_new(c->arena, "link", &hash);
	TRY(db_exec(c, link_insert, A_UUID(coop), A_UUID(id), A_UUID(peer_id), A_STR(peer.name), A_UUID(me.id), A_NULL_BYTES, A_BYTES(str_make(hash.b, 32)), A_BOOL(true), A_Z("offered"), A_TIME(expires)));
	struct str hex = sha256_hex(c->arena, hash), who = str_hex(c->arena, contributor, 16), until = clock_format(c->arena, expires);
	TRY(say(c, coop, peer_id, "link.offered",
		str_fmt(c->arena, "{\"code\":\"%.*s\",\"contributor\":\"%.*s\",\"expires\":\"%.*s\"}", STR_ARG(hex), STR_ARG(who), STR_ARG(until))));
	TRY(link_get(c, coop, id, &row));
	*out = row.link;
	return db_commit(c);
}

enum err link_prove(struct call *c, struct uuid coop, struct uuid peer_id, struct str code, struct link *out)
{
	struct member me;
	struct peer peer;
	struct sha256 hash;
	struct link_row row, other;
	uint8_t contributor[16];
	bool found, linked;
	db_constraints(constraints);
	if (!code_read(code.p ? code : STR(""), "link", &hash))
		return fail_field(c, "/code", "A code has six groups of four letters and digits.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(good_member(c, coop, &me));
	TRY(confirmed_peer(c, coop, peer_id, &peer));
	TRY(link_of_hash(c, coop, peer.name, hash, false, &row, &found));
	if (!found || row.link.state != LINK_OFFERED)
		return fail_reason(c, ERR_REFUSED, "link_code", "%s gave no such code, or it is over or used. A code that was given only now takes a minute to be known here.", peer.title.n ? str_z(c->arena, peer.title) : "The other co-op");
	TRY(link_of_theirs(c, coop, peer.name, row.contributor, &other, &linked));
	if (linked && uuid_eq(other.member, me.id))
		TRY(db_exec(c, link_finish, A_UUID(coop), A_UUID(other.link.id))); /* proved before: this one takes its place */
	else if (linked)
		return fail_reason(c, ERR_EXISTS, "linked_already", "The account there is linked with a member here already.");
	TRY(bundle_contributor(c, coop, me.id, contributor));
	struct str hex = sha256_hex(c->arena, hash), who = str_hex(c->arena, contributor, 16);
	TRY(say(c, coop, peer_id, "link.proved", str_fmt(c->arena, "{\"code\":\"%.*s\",\"contributor\":\"%.*s\"}", STR_ARG(hex), STR_ARG(who))));
	TRY(stand(c, &row, row.contributor, me.id));
	TRY(link_get(c, coop, row.link.id, &row));
	*out = row.link;
	return db_commit(c);
}

enum err link_end(struct call *c, struct uuid coop, struct uuid id, struct link *out)
{
	struct member me;
	struct link_row row;
	uint8_t contributor[16];
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_of_actor(c, coop, &me));
	TRY(link_get(c, coop, id, &row));
	if (!uuid_eq(row.member, me.id))
		return fail(c, ERR_NOT_FOUND, "There is no such link.");
	if (row.link.state != LINK_STANDING && row.link.state != LINK_OFFERED)
		return fail_reason(c, ERR_STATE, "link_state", "%s", link_state_sentence(row.link.state));
	if (row.link.state == LINK_STANDING && !uuid_is_nil(row.link.peer)) {
		TRY(bundle_contributor(c, coop, me.id, contributor));
		TRY(say_ended(c, coop, row.link.peer, contributor, row.link.contributor));
	}
	TRY(finish(c, &row));
	TRY(link_get(c, coop, id, &row));
	*out = row.link;
	return db_commit(c);
}

enum err link_list(struct call *c, struct uuid coop, struct link **out, size_t *n)
{
	struct member me;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_of_actor(c, coop, &me));
	TRY(db_query(c, link_of_member, &r, A_UUID(coop), A_UUID(me.id), A_INT(LINKS_LISTED)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct link);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = link_of_row(c->arena, coop, &r, (int)i).link;
	return db_commit(c);
}

/* ---- Messages in: inside the transaction of the inbox ---- */

struct link_said { struct sha256 code; uint8_t contributor[16], yours[16]; instant expires; };

static enum err said_read(struct call *c, const struct message *m, bool code, bool yours, bool expires, struct link_said *out)
{
	bool ok = str_unhex(json_member_text(m->body, "contributor"), out->contributor, 16);
	ok &= !code || sha256_parse(json_member_text(m->body, "code"), &out->code);
	ok &= !yours || str_unhex(json_member_text(m->body, "yours"), out->yours, 16);
	ok &= !expires || clock_parse(json_member_text(m->body, "expires"), &out->expires);
	return ok ? ERR_OK : fail_reason(c, ERR_REFUSED, "malformed", "The message does not say what its kind says.");
}

enum err link_take_offered(struct call *c, struct uuid coop, const struct message *m)
{
	struct link_said said;
	struct link_row row;
	struct rows r;
	bool found;
	TRY(said_read(c, m, true, false, true, &said));
	TRY(link_of_hash(c, coop, m->from, said.code, false, &row, &found));
	if (found)
		return ERR_OK;
	TRY(db_exec(c, codes_forget, A_UUID(coop), A_STR(m->from)));
	TRY(db_one(c, codes_of_peer, &r, A_UUID(coop), A_STR(m->from)));
	if (row_int(&r, 0, 0) >= OFFERS_OF_A_PEER)
		return fail_reason(c, ERR_REFUSED, "links_open", "Too many codes of this co-op wait already.");
	instant latest = clock_now() + LINK_CODE_LIFE, expires = said.expires < latest ? said.expires : latest;
	struct uuid nobody = { { 0 } };
	return db_exec(c, link_insert, A_UUID(coop), A_UUID(uuid_new()), A_UUID(m->peer), A_STR(m->from), A_UUID_OR_NULL(nobody), A_BYTES(str_make(said.contributor, 16)),
		A_BYTES(str_make(said.code.b, 32)), A_BOOL(false), A_Z("offered"), A_TIME(expires));
}

enum err link_take_proved(struct call *c, struct uuid coop, const struct message *m)
{
	struct link_said said;
	struct link_row row, other;
	bool found, linked;
	uint8_t mine[16];
	TRY(said_read(c, m, true, false, false, &said));
	TRY(link_of_hash(c, coop, m->from, said.code, true, &row, &found));
	if (!found || uuid_is_nil(row.member))
		return fail_reason(c, ERR_REFUSED, "link_code", "No such code was given here.");
	if (row.link.state == LINK_STANDING && memcmp(row.contributor, said.contributor, 16) == 0)
		return ERR_OK;
	TRY(link_of_theirs(c, coop, m->from, said.contributor, &other, &linked));
	/* Brought on the last minute and told an hour later is brought in time; taken back, used or linked otherwise is not. */
	bool late = row.link.state == LINK_EXPIRED && m->at > row.link.expires_at + MESSAGE_AHEAD;
	bool same = linked && uuid_eq(other.member, row.member);
	if ((linked && !same) || late || (row.link.state != LINK_OFFERED && row.link.state != LINK_EXPIRED)) {
		TRY(bundle_contributor(c, coop, row.member, mine));
		return say_ended(c, coop, m->peer, mine, str_hex(c->arena, said.contributor, 16));
	}
	if (same) /* proved before, as by a claim: this one takes its place */
		TRY(db_exec(c, link_finish, A_UUID(coop), A_UUID(other.link.id)));
	return stand(c, &row, said.contributor, row.member);
}

enum err link_take_ended(struct call *c, struct uuid coop, const struct message *m)
{
	struct link_said said;
	struct link_row row;
	bool found;
	uint8_t mine[16];
	TRY(said_read(c, m, false, true, false, &said));
	TRY(link_of_theirs(c, coop, m->from, said.contributor, &row, &found));
	if (!found)
		return ERR_OK;
	TRY(bundle_contributor(c, coop, row.member, mine));
	return memcmp(mine, said.yours, 16) == 0 ? finish(c, &row) : ERR_OK;
}
