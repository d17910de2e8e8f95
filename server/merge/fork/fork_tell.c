#include "server/merge/fork/fork_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/bundle.h"
#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"
#include "commonhold/peer.h"

/* At the parent: what those who went along with a fork say now, for the fork, which asks daily. Nothing is said of anybody who stayed, and nothing of contents.
 *
 * The revision of a line is the size of the log in whose snapshot it was read, so that all that is in the log by then is in the line. Nothing is signed twice for one size: where only time has gone by and
 * something is different all the same, a leaf is added first. */

#define ATTEMPTS 5
#define LOOK_AGAIN (10 * CLOCK_MINUTE) /* where the log has not moved, what people say changes by time alone */

SQL(told_get, "SELECT size, upto, told_at FROM fork_told WHERE coop_id = $1 AND offer_id = $2");
SQL(told_put,
	"INSERT INTO fork_told (coop_id, offer_id, size, upto, told_at) VALUES ($1, $2, $3, $4, commonhold_now()) "
	"ON CONFLICT (coop_id, offer_id) DO UPDATE SET size = excluded.size, upto = excluded.upto, told_at = excluded.told_at");
SQL(word_digests,
	"SELECT v.member_id, v.member_no, w.digest FROM fork_moved v LEFT JOIN fork_word w ON w.coop_id = v.coop_id AND w.offer_id = v.offer_id AND w.member_no = v.member_no "
	"WHERE v.coop_id = $1 AND v.offer_id = $2 ORDER BY v.member_no");
SQL(word_put,
	"INSERT INTO fork_word (coop_id, offer_id, member_no, no, digest, line) VALUES ($1, $2, $3, $4, $5, $6) "
	"ON CONFLICT (coop_id, offer_id, member_no) DO UPDATE SET no = excluded.no, digest = excluded.digest, line = excluded.line");
SQL(words_after,
	"SELECT no, line FROM (SELECT w.no, w.line, sum(length(w.line)) OVER (ORDER BY w.no) - length(w.line) AS before FROM (SELECT no, line FROM fork_word WHERE coop_id = $1 AND offer_id = $2 AND no > $3 "
	"ORDER BY no LIMIT $4) w) p WHERE p.before < $5 ORDER BY no");
SQL(moved_spoken,
	"SELECT DISTINCT c.item_no FROM statement s JOIN contribution c ON c.coop_id = s.coop_id AND c.id = s.item_id WHERE s.coop_id = $1 AND s.item_id IS NOT NULL "
	"AND EXISTS (SELECT FROM fork_moved v WHERE v.coop_id = s.coop_id AND v.member_no = c.member_no)");
SQL(request_of, "SELECT request FROM fork_offer WHERE coop_id = $1 AND id = $2 AND state IN ('exported', 'founded')");

struct telling {
	struct call *c;
	struct uuid coop;
	struct fork_offer offer;
	int64_t size, upto;       /* what was told; size 0: nothing yet */
	instant told_at;
	int64_t head;             /* leaves of the log */
	struct fork_sayer sayer;
	struct guest_words *words; /* by number */
	size_t n_words;
	int64_t changed;          /* lines that are not as they were told */
};

struct sha256 fork_words_proof(struct arena *a, const uint8_t key[32], struct uuid offer, instant at, int64_t since)
{
	struct str id = uuid_format(a, offer), when = clock_format(a, at);
	return hmac_sha256(str_make(key, 32), str_fmt(a, "words\n%.*s\n%.*s\n%lld", STR_ARG(id), STR_ARG(when), (long long)since));
}

enum err fork_moved_spoken(struct call *c, struct uuid coop, int64_t **items, size_t *n)
{
	struct rows r;
	TRY(db_query(c, moved_spoken, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*items = ARENA_ARRAY(c->arena, *n + 1, int64_t);
	for (size_t i = 0; i < *n; i++)
		(*items)[i] = row_int(&r, (int)i, 0);
	return ERR_OK;
}

/* ---- Who asks ---- */

static enum err nobody(struct call *c)
{
	return fail(c, ERR_NOT_FOUND, "There is no such fork, or it was not the fork that asked.");
}

enum err fork_words_asked(struct call *c, struct uuid coop, struct uuid offer, instant at, int64_t since, const struct sha256 *proof)
{
	struct rows r;
	struct fork_request request;
	uint8_t key[32];
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, request_of, &r, A_UUID(coop), A_UUID(offer)));
	if (r.n != 1 || at < clock_now() - FORK_WORDS_PROOF_LIFE || at > clock_now() + FORK_WORDS_PROOF_LIFE)
		return nobody(c);
	TRY(fork_request_read(c->arena, row_str(&r, 0, 0), &request, &c->error));
	TRY(pairwise_key(c, coop, request.public_key, STR(FORK_WORDS_LABEL), key));
	struct sha256 right = fork_words_proof(c->arena, key, offer, at, since);
	secret_wipe(key, sizeof(key));
	TRY(db_commit(c));
	return secret_eq(str_make(right.b, 32), str_make(proof->b, 32)) ? ERR_OK : nobody(c);
}

/* ---- Looking and signing ---- */

/* The agreement by which somebody else's yes counts there, too. */
static enum err terms_with(struct telling *t)
{
	struct call *c = t->c;
	struct peer peer;
	struct agreement *all;
	size_t n;
	enum err e = peer_by_name(c, t->coop, t->offer.fork_name, &peer);
	if (e == ERR_NOT_FOUND) {
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	TRY(agreement_all(c, t->coop, peer.id, AGREEMENT_LIVE, &all, &n));
	for (size_t i = 0; i < n; i++)
		if (agreement_flows(&all[i]) && all[i].we_send)
			t->sayer.terms = &all[i].terms;
	return ERR_OK;
}

static enum err told_read(struct telling *t)
{
	struct call *c = t->c;
	struct rows r;
	struct sha256 root;
	TRY(fork_offer_get(c, t->coop, t->offer.id, &t->offer));
	if (t->offer.state != FORK_EXPORTED && t->offer.state != FORK_FOUNDED)
		return nobody(c);
	TRY(db_query(c, told_get, &r, A_UUID(t->coop), A_UUID(t->offer.id)));
	t->size = r.n ? row_int(&r, 0, 0) : 0;
	t->upto = r.n ? row_int(&r, 0, 1) : 0;
	t->told_at = r.n ? row_time(&r, 0, 2) : INSTANT_NONE;
	return ledger_head(c, t->coop, &t->head, &root);
}

static enum err word_look(struct telling *t, const struct rows *r, int i)
{
	struct call *c = t->c;
	uint8_t contributor[16];
	struct sha256 digest;
	size_t number = (size_t)row_int(r, i, 1);
	if (number >= t->n_words)
		return ERR_OK;
	TRY(bundle_contributor(c, t->coop, row_uuid(r, i, 0), contributor));
	TRY(fork_said_digest(&t->sayer, &t->words[number], contributor, &digest));
	if (str_eq(row_bytes(r, i, 2), str_make(digest.b, 32)))
		return ERR_OK;
	t->changed++;
	if (t->head <= t->size)
		return ERR_OK;
	TRY(fork_said_line(&t->sayer, &t->words[number], contributor));
	return db_exec(c, word_put, A_UUID(t->coop), A_UUID(t->offer.id), A_INT((int)number), A_I64(++t->upto), A_BYTES(str_make(digest.b, 32)), A_STR(buf_str(&t->sayer.line)));
}

/* In one snapshot. What has changed is signed, or counted alone where something was signed for this size of the log. */
static enum err look(struct telling *t)
{
	struct call *c = t->c;
	struct rows r;
	struct coop us;
	struct guest_scope scope = fork_said_scope();
	TRY(terms_with(t));
	TRY(coop_get(c, t->coop, &us));
	TRY(ledger_key(c, t->coop, &t->sayer.key));
	t->sayer.home = us.key_name;
	t->sayer.rev = t->head;
	TRY(guest_words_of_members(c, t->coop, &scope, &t->words, &t->n_words));
	TRY(db_query(c, word_digests, &r, A_UUID(t->coop), A_UUID(t->offer.id)));
	for (int i = 0; i < r.n; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(word_look(t, &r, i));
		arena_rewind(c->arena, mark);
	}
	if (t->changed && t->head <= t->size)
		return ERR_OK;
	return db_exec(c, told_put, A_UUID(t->coop), A_UUID(t->offer.id), A_I64(t->changed ? t->head : t->size > 0 ? t->size : t->head), A_I64(t->upto));
}

/* Once; *leaf: a leaf must come first. */
static enum err tell_once(struct telling *t, bool *leaf)
{
	struct call *c = t->c;
	*leaf = false;
	TRY(db_begin_in(c, t->coop, DB_SERIAL));
	TRY(fork_lock(c, t->coop));
	TRY(told_read(t));
	if (t->size == t->head && t->told_at != INSTANT_NONE && clock_now() < t->told_at + LOOK_AGAIN)
		return db_commit(c);
	t->changed = 0;
	buf_init(&t->sayer.line, BUNDLE_LINE_MAX);
	enum err e = look(t);
	buf_release(&t->sayer.line);
	secret_wipe(&t->sayer.key, sizeof(t->sayer.key));
	TRY(e);
	*leaf = t->changed && t->head <= t->size;
	return db_commit(c);
}

static enum err leaf_first(struct telling *t)
{
	TRY(db_begin_in(t->c, t->coop, DB_WRITE));
	TRY(fork_leaf(t->c, t->coop, "fork.told", t->offer.id, (struct uuid){ { 0 } }, STR("")));
	return db_commit(t->c);
}

/* Again where others wrote meanwhile. */
static enum err tell(struct telling *t)
{
	struct call *c = t->c;
	enum err e = ERR_RETRY;
	bool leaf = true;
	for (int i = 0; i < ATTEMPTS && (e == ERR_RETRY || (e == ERR_OK && leaf)); i++) {
		error_clear(&c->error);
		e = tell_once(t, &leaf);
		if (e != ERR_OK)
			db_rollback(c);
		else if (leaf)
			e = leaf_first(t);
	}
	return e;
}

/* ---- Answering ---- */

static void payload_write(struct json_writer *w, struct telling *t, struct str us, int64_t since, const struct rows *r)
{
	struct arena *a = t->c->arena;
	jw_object(w);
	jw_kstr(w, "as_of", clock_format(a, clock_now()));
	jw_kstr(w, "from", us);
	jw_kint(w, "head", t->head);
	jw_key(w, "lines");
	jw_array(w);
	for (int i = 0; i < r->n; i++) {
		jw_object(w);
		jw_kint(w, "no", row_int(r, i, 0));
		jw_key(w, "words");
		jw_raw(w, row_str(r, i, 1));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kstr(w, "offer", uuid_format(a, t->offer.id));
	jw_kint(w, "since", since);
	jw_kstr(w, "to", t->offer.fork_name);
	jw_kint(w, "told", t->size);
	jw_kint(w, "upto", t->upto);
	jw_kint(w, "v", 1);
	jw_end_object(w);
}

enum err fork_words_tell(struct call *c, struct uuid coop, struct uuid offer, int64_t since, struct str *envelope)
{
	struct telling t = { .c = c, .coop = coop, .offer = { .id = offer }, .sayer = { .c = c } };
	struct coop us;
	struct sign_key key;
	struct rows r;
	struct buf b;
	struct json_writer w;
	TRY(tell(&t));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(told_read(&t));
	TRY(coop_get(c, coop, &us));
	TRY(db_query(c, words_after, &r, A_UUID(coop), A_UUID(offer), A_I64(since), A_INT(FORK_WORDS_PAGE), A_I64(FORK_WORDS_BYTES)));
	TRY(ledger_key(c, coop, &key));
	TRY(db_commit(c));
	buf_init(&b, FORK_WORDS_MOST);
	jw_init(&w, &b);
	payload_write(&w, &t, us.key_name, since, &r);
	struct str text = buf_take(c->arena, &b);
	*envelope = text.p ? dsse_sign(c->arena, &key, 1, STR(FORK_WORDS_TYPE), text) : STR_NONE;
	secret_wipe(&key, sizeof(key));
	return envelope->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "What a member said is too long to be told.");
}
