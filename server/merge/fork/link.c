#include "server/merge/fork/fork_internal.h"

#include "commonhold/bundle.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/guest.h"
#include "commonhold/ledger.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

/* Links: a code that is given at one co-op and brought to the other. Its giver keeps, sealed, a key that only the code gives; nothing of it goes out. Who brings it proves by that key that
 * the code was typed there, and for whom; the giver answers with a proof of its own. So neither co-op can link somebody who was not signed in at it with the code in hand.
 *
 *   link.brought   {"at":INSTANT,"code":HEX,"contributor":32 HEX,"proof":HEX}   a member of the sender, whom it calls so, typed a code of the receiver's
 *   link.proved    {"code":HEX,"contributor":32 HEX,"proof":HEX}                it was given to a member of the sender, whom it calls so
 *   link.declined  {"code":HEX}                                                 it was not, or is over or used
 *   link.ended     {"contributor":32 HEX,"yours":32 HEX}                        no longer: the sender's name for its member, and the receiver's for its own
 *
 * "code" is SHA-256("commonhold/link/2/code\n" GIVER "\n" BRINGER "\n" CODE), the key the same with "key"; GIVER and BRINGER are key names. The proofs are HMAC-SHA-256 under the key, of
 * "brought\n" BRINGER's contributor, and of "proved\n" BRINGER's contributor "\n" GIVER's contributor.
 */

#define LINKS_LISTED 200
#define BROUGHT_A_DAY 10 /* codes that one member may bring: each is asked about at the other co-op */

#define LINK_COLUMNS \
	"l.id, l.peer_id, l.home, l.member_id, l.contributor, l.ours, CASE WHEN l.state IN ('offered', 'brought') AND l.expires_at <= commonhold_now() THEN 'expired' ELSE l.state END, l.made_at, l.state_at, " \
	"l.expires_at, coalesce((SELECT CASE WHEN p.title <> '' THEN p.title ELSE p.name END FROM peer p WHERE p.coop_id = l.coop_id AND p.name = l.home), " \
	"(SELECT g.title FROM lineage g WHERE g.coop_id = l.coop_id AND g.name = l.home LIMIT 1), l.home), " \
	"(SELECT count(*) FROM guest g JOIN contribution c ON c.coop_id = g.coop_id AND c.member_no = g.number AND (c.word & 12288) = 0 WHERE l.state = 'standing' AND g.coop_id = l.coop_id " \
	"AND g.home = l.home AND g.contributor = l.contributor) + " \
	"(SELECT count(*) FROM guest g JOIN item_origin o ON o.coop_id = g.coop_id AND o.member_no = g.number WHERE l.state = 'standing' AND g.coop_id = l.coop_id " \
	"AND g.home = l.home AND g.contributor = l.contributor), l.proof"

SQL(link_by_id, "SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.id = $2");
SQL(link_of_member, "SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.member_id = $2 ORDER BY l.made_at DESC, l.id LIMIT $3");
SQL(link_of_code, "SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.home = $2 AND l.code = $3 AND l.ours = $4 FOR UPDATE");
SQL(link_of_contributor, "SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.home = $2 AND l.contributor = $3 AND l.state = 'standing' FOR UPDATE");
SQL(link_of_member_there,
	"SELECT " LINK_COLUMNS " FROM link l WHERE l.coop_id = $1 AND l.home = $2 AND l.member_id = $3 AND l.contributor <> $4 AND l.peer_id IS NOT NULL AND l.state = 'standing' LIMIT 1");
SQL(link_insert,
	"INSERT INTO link (coop_id, id, peer_id, home, member_id, code, proof, ours, state, made_at, state_at, expires_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, commonhold_now(), commonhold_now(), $10)");
SQL(link_stand, "UPDATE link SET state = 'standing', state_at = commonhold_now(), contributor = $3, proof = NULL WHERE coop_id = $1 AND id = $2");
SQL(link_close, "UPDATE link SET state = $3, state_at = commonhold_now(), proof = NULL WHERE coop_id = $1 AND id = $2");
SQL(link_tried, "UPDATE link SET tries = tries + 1 WHERE coop_id = $1 AND id = $2 RETURNING tries");
SQL(link_forget_old, "UPDATE link SET state = 'expired', state_at = expires_at, proof = NULL WHERE coop_id = $1 AND state IN ('offered', 'brought') AND expires_at < $2");
SQL(codes_out, "SELECT count(*) FROM link WHERE coop_id = $1 AND member_id = $2 AND ours AND state = 'offered' AND expires_at > commonhold_now()");
SQL(codes_given, "SELECT count(*) FROM link WHERE coop_id = $1 AND member_id = $2 AND ours AND made_at > commonhold_now() - interval '1 day'");
SQL(codes_brought, "SELECT count(*) FROM link WHERE coop_id = $1 AND member_id = $2 AND NOT ours AND peer_id IS NOT NULL AND made_at > commonhold_now() - interval '1 day'");

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
	int no = str_which(word, state_words, LINK_STATE_COUNT);
	return no < 0 ? LINK_ENDED : (enum link_state)no;
}

static struct link_row link_of_row(struct arena *a, struct uuid coop, const struct rows *r, int i)
{
	struct str contributor = row_bytes(r, i, 4);
	struct link_row row = {
		.link = {
			.coop = coop, .id = row_uuid(r, i, 0), .peer = row_uuid(r, i, 1), .home = row_str(r, i, 2), .ours = row_bool(r, i, 5), .state = state_of(row_str(r, i, 6)),
			.at = row_time(r, i, 7), .state_at = row_time(r, i, 8), .expires_at = row_time(r, i, 9), .title = row_str(r, i, 10), .items = row_int(r, i, 11),
		},
		.member = row_uuid(r, i, 3), .proof = row_bytes(r, i, 12),
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
	TRY(db_exec(c, link_stand, A_UUID(l->coop), A_UUID(l->id), A_BYTES(str_make(contributor, 16))));
	TRY(guest_is(c, l->coop, l->home, contributor, member));
	return link_leaf(c, l->coop, "link.made", l->id);
}

/* The key of its code goes with it. */
static enum err link_over(struct call *c, const struct link_row *row, enum link_state to)
{
	return db_exec(c, link_close, A_UUID(row->link.coop), A_UUID(row->link.id), A_Z(state_words[to]));
}

static enum err finish(struct call *c, const struct link_row *row)
{
	struct uuid nobody = { { 0 } };
	TRY(membership_lock(c, row->link.coop));
	TRY(link_over(c, row, LINK_ENDED));
	if (row->link.state != LINK_STANDING)
		return ERR_OK;
	TRY(guest_is(c, row->link.coop, row->link.home, row->contributor, nobody));
	return link_leaf(c, row->link.coop, "link.ended", row->link.id);
}

enum err link_claimed(struct call *c, struct uuid coop, struct str home, const uint8_t contributor[16], struct uuid member)
{
	struct uuid nobody = { { 0 } };
	struct link_row row;
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

/* ---- Codes ---- */

/* What a code is between two co-ops: by what they name it, and the key that only it gives. Other co-ops' codes, and codes the other way, are others. */
struct link_code { struct sha256 name, key; };

static struct sha256 code_part(const char *what, struct str giver, struct str bringer, const struct sha256 *code)
{
	return sha256_of((struct str[]){ STR("commonhold/link/2/"), str_of(what), STR("\n"), giver, STR("\n"), bringer, STR("\n"), str_make(code->b, 32) }, 8);
}

static struct link_code code_between(struct sha256 *code, struct str giver, struct str bringer)
{
	struct link_code out = { code_part("code", giver, bringer, code), code_part("key", giver, bringer, code) };
	secret_wipe(code, sizeof(*code));
	return out;
}

static struct sha256 proof_of(struct call *c, const struct sha256 *key, const char *what, const uint8_t brought_by[16], const uint8_t given_to[16])
{
	struct str bringer = str_hex(c->arena, brought_by, 16), giver = given_to ? str_hex(c->arena, given_to, 16) : STR("");
	return hmac_sha256(str_make(key->b, 32), str_fmt(c->arena, "commonhold/link/2/%s\n%.*s\n%.*s", what, STR_ARG(bringer), STR_ARG(giver)));
}

static bool proof_holds(struct call *c, const struct sha256 *key, const char *what, const uint8_t brought_by[16], const uint8_t given_to[16], const struct sha256 *said)
{
	struct sha256 right = proof_of(c, key, what, brought_by, given_to);
	return secret_eq(str_make(right.b, 32), str_make(said->b, 32));
}

/* The key of an open code, as its row keeps it: whoever reads the database alone proves nothing with it. */
static struct str key_context(struct call *c, struct uuid coop, struct uuid link)
{
	struct str k = uuid_format(c->arena, coop), id = uuid_format(c->arena, link);
	return str_fmt(c->arena, "link %.*s %.*s", STR_ARG(k), STR_ARG(id));
}

static bool key_open(struct call *c, const struct link_row *row, struct sha256 *out)
{
	struct str plain;
	if (!row->proof.p || !unseal(c->arena, instance_seal_key(instance_keys()), key_context(c, row->link.coop, row->link.id), row->proof, &plain) || plain.n != 32)
		return false;
	memcpy(out->b, plain.p, 32);
	return true;
}

static enum err code_keep(struct call *c, struct uuid coop, struct uuid id, const struct peer *peer, struct uuid member, const struct link_code *code, bool ours, instant expires)
{
	struct str sealed = seal(c->arena, instance_seal_key(instance_keys()), key_context(c, coop, id), str_make(code->key.b, 32));
	return db_exec(c, link_insert, A_UUID(coop), A_UUID(id), A_UUID(peer->id), A_STR(peer->name), A_UUID(member), A_BYTES(str_make(code->name.b, 32)), A_BYTES(sealed), A_BOOL(ours),
		A_Z(ours ? "offered" : "brought"), A_TIME(expires));
}

enum err link_offer(struct call *c, struct uuid coop, struct uuid peer_id, struct link *out, struct str *code)
{
	struct member me;
	struct peer peer;
	struct coop us;
	struct rows r;
	struct sha256 secret;
	struct link_row row;
	struct uuid id = uuid_new();
	db_constraints(constraints);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(good_member(c, coop, &me));
	TRY(confirmed_peer(c, coop, peer_id, &peer));
	TRY(coop_get(c, coop, &us));
	TRY(db_one(c, codes_out, &r, A_UUID(coop), A_UUID(me.id)));
	if (row_int(&r, 0, 0) >= LINKS_OPEN)
		return fail_reason(c, ERR_REFUSED, "links_open", "You have %d codes out that are still good. Use one of them, or wait.", LINKS_OPEN);
	TRY(db_one(c, codes_given, &r, A_UUID(coop), A_UUID(me.id)));
	if (row_int(&r, 0, 0) >= LINKS_A_DAY)
		return fail_reason(c, ERR_REFUSED, "links_open", "You were given %d codes within a day. Wait until tomorrow.", LINKS_A_DAY);
	*code = code_new(c->arena, "link", &secret);
	struct link_code parts = code_between(&secret, us.key_name, peer.name);
	TRY(code_keep(c, coop, id, &peer, me.id, &parts, true, clock_now() + LINK_CODE_LIFE));
	secret_wipe(&parts, sizeof(parts));
	TRY(link_get(c, coop, id, &row));
	*out = row.link;
	return db_commit(c);
}

enum err link_prove(struct call *c, struct uuid coop, struct uuid peer_id, struct str code, struct link *out)
{
	struct member me;
	struct peer peer;
	struct coop us;
	struct rows r;
	struct sha256 secret;
	struct link_row row;
	struct uuid id = uuid_new();
	uint8_t contributor[16];
	bool found;
	db_constraints(constraints);
	if (!code_read(code.p ? code : STR(""), "link", &secret))
		return fail_field(c, "/code", "A code has six groups of four letters and digits.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(good_member(c, coop, &me));
	TRY(confirmed_peer(c, coop, peer_id, &peer));
	TRY(coop_get(c, coop, &us));
	TRY(db_one(c, codes_brought, &r, A_UUID(coop), A_UUID(me.id)));
	if (row_int(&r, 0, 0) >= BROUGHT_A_DAY)
		return fail_reason(c, ERR_REFUSED, "links_open", "You have brought %d codes within a day. Wait until tomorrow.", BROUGHT_A_DAY);
	struct link_code parts = code_between(&secret, peer.name, us.key_name);
	TRY(link_of_hash(c, coop, peer.name, parts.name, false, &row, &found));
	if (found)
		return fail_reason(c, ERR_REFUSED, "link_code", "This code was brought already. Take a new one at the other co-op.");
	TRY(bundle_contributor(c, coop, me.id, contributor));
	TRY(code_keep(c, coop, id, &peer, me.id, &parts, false, clock_now() + LINK_WORD_LIFE));
	struct sha256 proof = proof_of(c, &parts.key, "brought", contributor, NULL);
	secret_wipe(&parts.key, sizeof(parts.key));
	struct str name = sha256_hex(c->arena, parts.name), who = str_hex(c->arena, contributor, 16), proved = sha256_hex(c->arena, proof), at = clock_format(c->arena, clock_now());
	TRY(say(c, coop, peer_id, "link.brought", str_fmt(c->arena, "{\"at\":\"%.*s\",\"code\":\"%.*s\",\"contributor\":\"%.*s\",\"proof\":\"%.*s\"}", STR_ARG(at), STR_ARG(name), STR_ARG(who), STR_ARG(proved))));
	TRY(link_get(c, coop, id, &row));
	*out = row.link;
	return db_commit(c);
}

enum err link_forget(struct call *c, struct uuid coop)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, link_forget_old, A_UUID(coop), A_TIME(clock_now() - LINK_WORD_LIFE)));
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
	if (row.link.state != LINK_STANDING && row.link.state != LINK_OFFERED && row.link.state != LINK_BROUGHT)
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

struct link_said { struct sha256 code, proof; uint8_t contributor[16], yours[16]; instant at; };

enum link_part { SAYS_CODE = 1, SAYS_CONTRIBUTOR = 2, SAYS_PROOF = 4, SAYS_YOURS = 8, SAYS_AT = 16 };

static enum err said_read(struct call *c, const struct message *m, unsigned parts, struct link_said *out)
{
	bool ok = !(parts & SAYS_CODE) || sha256_parse(json_member_text(m->body, "code"), &out->code);
	ok &= !(parts & SAYS_CONTRIBUTOR) || str_unhex(json_member_text(m->body, "contributor"), out->contributor, 16);
	ok &= !(parts & SAYS_PROOF) || sha256_parse(json_member_text(m->body, "proof"), &out->proof);
	ok &= !(parts & SAYS_YOURS) || str_unhex(json_member_text(m->body, "yours"), out->yours, 16);
	ok &= !(parts & SAYS_AT) || clock_parse(json_member_text(m->body, "at"), &out->at);
	return ok ? ERR_OK : fail_reason(c, ERR_REFUSED, "malformed", "The message does not say what its kind says.");
}

static enum err decline(struct call *c, struct uuid coop, const struct message *m, const struct link_said *said)
{
	struct str name = sha256_hex(c->arena, said->code);
	return say(c, coop, m->peer, "link.declined", str_fmt(c->arena, "{\"code\":\"%.*s\"}", STR_ARG(name)));
}

/* Whether nothing stands against it: the account there is nobody else's here, and the member has no other account there. *same: proved before, and this one takes its place. */
static enum err may_stand(struct call *c, const struct link_row *row, const uint8_t contributor[16], struct link_row *same, bool *replaces, bool *may)
{
	struct link_row other;
	bool has_other;
	const struct db_arg args[] = { A_UUID(row->link.coop), A_STR(row->link.home), A_UUID(row->member), A_BYTES(str_make(contributor, 16)) };
	TRY(link_of_theirs(c, row->link.coop, row->link.home, contributor, same, replaces));
	TRY(link_find(c, row->link.coop, &link_of_member_there, args, CH_LEN(args), &other, &has_other));
	*may = !has_other && (!*replaces || uuid_eq(same->member, row->member));
	return ERR_OK;
}

/* Typed there while it was good, and heard of while anybody remembers. */
static bool in_time(const struct link_row *row, const struct link_said *said)
{
	return said->at <= row->link.expires_at + MESSAGE_AHEAD && clock_now() <= row->link.expires_at + LINK_WORD_LIFE;
}

/* Whoever names a code, and not what it gives, was told of it otherwise than by the person: after a few tries it is void. */
static enum err tried(struct call *c, const struct link_row *row)
{
	struct rows r;
	TRY(db_one(c, link_tried, &r, A_UUID(row->link.coop), A_UUID(row->link.id)));
	return row_int(&r, 0, 0) < LINK_TRIES ? ERR_OK : link_over(c, row, LINK_ENDED);
}

enum err link_take_brought(struct call *c, struct uuid coop, const struct message *m)
{
	struct link_said said;
	struct link_row row, same;
	struct sha256 key;
	bool found, replaces, may;
	uint8_t mine[16];
	TRY(said_read(c, m, SAYS_AT | SAYS_CODE | SAYS_CONTRIBUTOR | SAYS_PROOF, &said));
	TRY(link_of_hash(c, coop, m->from, said.code, true, &row, &found));
	if (found && row.link.state == LINK_STANDING && memcmp(row.contributor, said.contributor, 16) == 0)
		return ERR_OK;
	if (!found || (row.link.state != LINK_OFFERED && row.link.state != LINK_EXPIRED) || !in_time(&row, &said) || !key_open(c, &row, &key))
		return decline(c, coop, m, &said);
	bool right = proof_holds(c, &key, "brought", said.contributor, NULL, &said.proof);
	if (!right)
		TRY(tried(c, &row));
	else
		TRY(may_stand(c, &row, said.contributor, &same, &replaces, &may));
	if (right && !may)
		TRY(link_over(c, &row, LINK_DECLINED));
	if (!right || !may)
		return decline(c, coop, m, &said);
	if (replaces)
		TRY(link_over(c, &same, LINK_ENDED));
	TRY(bundle_contributor(c, coop, row.member, mine));
	struct sha256 proof = proof_of(c, &key, "proved", said.contributor, mine);
	secret_wipe(&key, sizeof(key));
	struct str name = sha256_hex(c->arena, said.code), who = str_hex(c->arena, mine, 16), proved = sha256_hex(c->arena, proof);
	TRY(say(c, coop, m->peer, "link.proved", str_fmt(c->arena, "{\"code\":\"%.*s\",\"contributor\":\"%.*s\",\"proof\":\"%.*s\"}", STR_ARG(name), STR_ARG(who), STR_ARG(proved))));
	return stand(c, &row, said.contributor, row.member);
}

enum err link_take_proved(struct call *c, struct uuid coop, const struct message *m)
{
	struct link_said said;
	struct link_row row, same;
	struct sha256 key;
	bool found, replaces, may;
	uint8_t mine[16];
	TRY(said_read(c, m, SAYS_CODE | SAYS_CONTRIBUTOR | SAYS_PROOF, &said));
	TRY(link_of_hash(c, coop, m->from, said.code, false, &row, &found));
	if (!found || uuid_is_nil(row.member))
		return fail_reason(c, ERR_REFUSED, "link_code", "No such code was brought here.");
	if (row.link.state == LINK_STANDING && memcmp(row.contributor, said.contributor, 16) == 0)
		return ERR_OK;
	TRY(bundle_contributor(c, coop, row.member, mine));
	if (row.link.state == LINK_BROUGHT && (!key_open(c, &row, &key) || !proof_holds(c, &key, "proved", mine, said.contributor, &said.proof)))
		return fail_reason(c, ERR_REFUSED, "link_proof", "The other co-op does not prove that it gave the code to the account that it names.");
	TRY(may_stand(c, &row, said.contributor, &same, &replaces, &may));
	/* taken back or over in the meantime: the other co-op, where it stands already, hears of that */
	if (row.link.state != LINK_BROUGHT || !may) {
		if (row.link.state == LINK_BROUGHT)
			TRY(link_over(c, &row, LINK_DECLINED));
		return say_ended(c, coop, m->peer, mine, str_hex(c->arena, said.contributor, 16));
	}
	if (replaces)
		TRY(link_over(c, &same, LINK_ENDED));
	return stand(c, &row, said.contributor, row.member);
}

enum err link_take_declined(struct call *c, struct uuid coop, const struct message *m)
{
	struct link_said said;
	struct link_row row;
	bool found;
	TRY(said_read(c, m, SAYS_CODE, &said));
	TRY(link_of_hash(c, coop, m->from, said.code, false, &row, &found));
	return found && row.link.state == LINK_BROUGHT ? link_over(c, &row, LINK_DECLINED) : ERR_OK;
}

enum err link_take_ended(struct call *c, struct uuid coop, const struct message *m)
{
	struct link_said said;
	struct link_row row;
	bool found;
	uint8_t mine[16];
	TRY(said_read(c, m, SAYS_CONTRIBUTOR | SAYS_YOURS, &said));
	TRY(link_of_theirs(c, coop, m->from, said.contributor, &row, &found));
	if (!found)
		return ERR_OK;
	TRY(bundle_contributor(c, coop, row.member, mine));
	return memcmp(mine, said.yours, 16) == 0 ? finish(c, &row) : ERR_OK;
}
