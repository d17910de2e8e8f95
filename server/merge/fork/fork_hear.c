#include "server/merge/fork/fork_internal.h"
#include "server/merge/merge_internal.h"

#include "commonhold/config.h"
#include "commonhold/fetch.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

/* At the fork: what its people say at the parent. Their latest line replaces the one before, as in a bundle: a no is heeded, and a yes that they said themselves, later, is one. Nobody is here by it who did not
 * come along, and nothing that somebody else allows in their place counts but under an agreement. */

#define PAGES 200 /* in one run; the next one goes on */
#define REFUSED_MOST 8 /* told to the admins of one answer */

SQL(heard_get, "SELECT upto, told, head FROM fork_heard WHERE coop_id = $1");
SQL(heard_put,
	"INSERT INTO fork_heard (coop_id, upto, told, head, as_of, heard_at) VALUES ($1, $2, $3, $4, $5, commonhold_now()) "
	"ON CONFLICT (coop_id) DO UPDATE SET upto = excluded.upto, told = excluded.told, head = excluded.head, as_of = excluded.as_of, heard_at = excluded.heard_at");
SQL(came_along,
	"SELECT d.no::integer FROM unnest($3::bytea[]) WITH ORDINALITY AS d(contributor, no) "
	"JOIN guest g ON g.coop_id = $1 AND g.home = $2 AND g.contributor = d.contributor AND g.agreement_id = $4 ORDER BY d.no");

/* What was heard before. */
struct heard { int64_t upto, told, head; };

/* One answer. */
struct hearing {
	struct call *c;
	const struct fork_parent *p;
	struct heard before;
	int64_t since, upto, told, head, last; /* last: number of its last line; since where it has none */
	instant as_of;
	const struct json *lines;
	struct guest_words *words;
	size_t n;
	struct { struct str code, sentence; } refused[REFUSED_MOST];
	size_t n_refused;
};

static void refuse(struct hearing *h, const char *code, const char *sentence)
{
	for (size_t i = 0; i < h->n_refused; i++)
		if (str_is(h->refused[i].code, code))
			return;
	if (h->n_refused < REFUSED_MOST) {
		h->refused[h->n_refused].code = str_copy(h->c->arena, str_of(code));
		h->refused[h->n_refused++].sentence = str_copy(h->c->arena, str_of(sentence));
	}
}

/* Told once no transaction is open. */
static void refusals_note(struct hearing *h)
{
	for (size_t i = 0; i < h->n_refused; i++)
		merge_refuse(h->c, h->p->coop, h->p->peer, STR("words of the parent"), h->refused[i].code, h->refused[i].sentence);
}

/* ---- The answer ---- */

/* False where none of it is taken. */
static bool answer_read(struct hearing *h, struct str envelope)
{
	struct call *c = h->c;
	const struct json *said;
	struct str payload;
	struct uuid offer;
	struct error why = { 0 };
	size_t which;
	if (keychain_dsse_verify(c->arena, &h->p->keys, envelope, STR(FORK_WORDS_TYPE), &payload, &which, &why) != ERR_OK) {
		refuse(h, "signature", "What came as words of the parent is not signed by the parent.");
		return false;
	}
	bool ok = json_parse(c->arena, payload, &said, &why) == ERR_OK && json_int(json_get(said, "v"), 0) == 1 && json_is(json_get(said, "lines"), JSON_ARRAY);
	ok = ok && clock_parse(json_member_text(said, "as_of"), &h->as_of) && h->as_of <= clock_now() + FORK_WORDS_PROOF_LIFE;
	ok = ok && str_eq(json_member_text(said, "from"), h->p->name) && str_eq(json_member_text(said, "to"), h->p->us) && uuid_parse(json_member_text(said, "offer"), &offer) && uuid_eq(offer, h->p->offer);
	ok = ok && json_int(json_get(said, "since"), -1) == h->since;
	if (!ok) {
		refuse(h, "not_for_us", "The parent answered something else than it was asked.");
		return false;
	}
	h->lines = json_get(said, "lines");
	h->head = json_int(json_get(said, "head"), -1);
	h->told = json_int(json_get(said, "told"), -1);
	h->upto = json_int(json_get(said, "upto"), -1);
	if (!keychain_signs_size(&h->p->keys, which, h->head)) {
		refuse(h, "signature", "What came as words of the parent is signed by a key that was retired.");
		return false;
	}
	if (h->head < h->before.head || h->told < h->before.told || h->upto < h->before.upto || h->told > h->head) {
		refuse(h, "rollback", "The parent goes back behind what it said before of the people who came along.");
		return false;
	}
	return true;
}

/* ---- Its lines ---- */

static struct str canonical(struct arena *a, const struct json *v)
{
	struct buf b;
	buf_init(&b, BUNDLE_LINE_MAX + 64);
	json_canonical(&b, v, false);
	return buf_take(a, &b);
}

/* Beyond what was heard, in order, signed by the parent as of a revision that was not heard of before. */
static bool line_read(struct hearing *h, const struct json *entry, struct guest_words *out)
{
	static const struct agreement_terms all = { .uses = POLICY_USES_ALL };
	struct arena *a = h->c->arena;
	struct bundle_said said;
	struct error why = { 0 };
	int64_t no = json_int(json_get(entry, "no"), -1);
	struct str line = canonical(a, json_get(entry, "words"));
	if (no <= h->last || no > h->upto || !line.p) {
		refuse(h, "malformed", "A line of the parent's is out of order.");
		return false;
	}
	h->last = no;
	if (bundle_said_read(a, line, &h->p->keys, &said, &why) != ERR_OK || guest_words_read(a, line, said.json, out, &why) != ERR_OK || words_check(out, &all, &why) != ERR_OK) {
		refuse(h, why.reason[0] ? why.reason : "malformed", why.message);
		return false;
	}
	if (said.what != BUNDLE_WORDS || !str_eq(out->home, h->p->name)) {
		refuse(h, "outside", "A line is not what the parent says of one of its people.");
		return false;
	}
	if (out->rev > h->told || (no > h->before.upto && out->rev <= h->before.told)) {
		refuse(h, "rollback", "A line of the parent's is older than what it said before.");
		return false;
	}
	out->as_of = h->as_of < clock_now() ? h->as_of : clock_now();
	return true;
}

static void lines_read(struct hearing *h)
{
	size_t count = 0;
	json_each (entry, h->lines)
		count++;
	if (count > FORK_WORDS_PAGE) {
		refuse(h, "malformed", "The parent says more at once than was asked for.");
		return;
	}
	h->words = ARENA_ARRAY(h->c->arena, count + 1, struct guest_words);
	json_each (entry, h->lines)
		h->n += line_read(h, entry, &h->words[h->n]);
}

/* ---- Taking ---- */

/* Leaves those who came along. Inside. */
static enum err keep_known(struct hearing *h)
{
	struct call *c = h->c;
	struct rows r;
	struct str *contributors = ARENA_ARRAY(c->arena, h->n + 1, struct str);
	size_t kept = 0;
	for (size_t i = 0; i < h->n; i++)
		contributors[i] = str_make(h->words[i].contributor, 16);
	TRY(db_query(c, came_along, &r, A_UUID(h->p->coop), A_STR(h->p->name), A_BYTEAS(contributors, h->n), A_UUID(h->p->offer)));
	if ((size_t)r.n < h->n)
		refuse(h, "outside", "A line is about somebody who did not come along.");
	for (int i = 0; i < r.n; i++)
		h->words[kept++] = h->words[row_int(&r, i, 0) - 1];
	h->n = kept;
	return ERR_OK;
}

/* The agreement by which the parent may say what somebody else allows for its people. Inside. */
static enum err terms_with(struct hearing *h, const struct agreement_terms **out)
{
	struct agreement *all;
	size_t n = 0;
	*out = NULL;
	if (uuid_is_nil(h->p->peer))
		return ERR_OK;
	TRY(agreement_all(h->c, h->p->coop, h->p->peer, AGREEMENT_LIVE, &all, &n));
	for (size_t i = 0; i < n; i++)
		if (agreement_flows(&all[i]) && all[i].we_receive)
			*out = &all[i].terms;
	return ERR_OK;
}

static enum err words_put(struct hearing *h)
{
	struct call *c = h->c;
	const struct agreement_terms *terms;
	TRY(keep_known(h));
	TRY(terms_with(h, &terms));
	for (size_t i = 0; i < h->n; i++)
		fork_said_limit(c->arena, &h->words[i], terms);
	struct applying *a = ARENA_NEW(c->arena, struct applying);
	a->call = c;
	a->coop = h->p->coop;
	a->agreement.id = h->p->offer;
	return apply_words_of(a, h->p->offer, h->words, h->n);
}

/* Moves on only where nothing was left out: what was, is asked for again. */
static enum err heard_write(struct hearing *h, bool whole)
{
	bool all = h->last >= h->upto;
	if (!whole)
		return ERR_OK;
	return db_exec(h->c, heard_put, A_UUID(h->p->coop), A_I64(all ? h->upto : h->last), A_I64(all ? h->told : h->before.told), A_I64(h->head), A_TIME(h->as_of));
}

static enum err heard_read(struct call *c, struct uuid coop, struct heard *out)
{
	struct rows r;
	TRY(db_query(c, heard_get, &r, A_UUID(coop)));
	*out = r.n ? (struct heard){ row_int(&r, 0, 0), row_int(&r, 0, 1), row_int(&r, 0, 2) } : (struct heard){ 0 };
	return ERR_OK;
}

enum err fork_words_take(struct call *c, const struct fork_parent *p, int64_t since, struct str envelope, bool *whole, int64_t *next)
{
	struct hearing *h = ARENA_NEW(c->arena, struct hearing);
	*h = (struct hearing){ .c = c, .p = p, .since = since, .last = since };
	*next = since;
	TRY(db_begin_in(c, p->coop, DB_READ));
	TRY(heard_read(c, p->coop, &h->before));
	TRY(db_commit(c));
	bool read = answer_read(h, envelope);
	if (read) {
		lines_read(h);
		TRY(db_begin_in(c, p->coop, DB_WRITE));
		TRY(membership_lock(c, p->coop));
		if (h->n)
			TRY(words_put(h));
		*whole &= h->n_refused == 0;
		TRY(heard_write(h, *whole));
		TRY(db_commit(c));
		*next = h->last < h->upto ? h->last : since;
	}
	*whole &= read;
	refusals_note(h);
	return ERR_OK;
}

/* ---- Asking ---- */

static enum err proof_make(struct call *c, const struct fork_parent *p, instant at, int64_t since, struct sha256 *out)
{
	uint8_t key[32];
	TRY(db_begin_in(c, p->coop, DB_READ));
	TRY(pairwise_key(c, p->coop, keychain_first(&p->keys), STR(FORK_WORDS_LABEL), key));
	*out = fork_words_proof(c->arena, key, p->offer, at, since);
	secret_wipe(key, sizeof(key));
	return db_commit(c);
}

static enum err ask_there(struct call *c, const struct fork_parent *p, int64_t since, struct str *envelope)
{
	struct fetch_answer answer;
	struct sha256 proof;
	instant now = clock_now();
	TRY(proof_make(c, p, now, since, &proof));
	db_release(c);
	struct str offer = uuid_format(c->arena, p->offer), at = clock_format(c->arena, now), hex = sha256_hex(c->arena, proof);
	struct fetch_header type = { STR("Content-Type"), STR("application/json") };
	struct fetch_request request = {
		.method = "POST", .headers = &type, .n_headers = 1, .max_bytes = 2 * FORK_WORDS_MOST, .allow_private = config()->allow_private_on, .allow_http = config()->allow_private_on,
		.url = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/forks/%.*s/words", STR_ARG(p->url), STR_ARG(p->name), STR_ARG(offer)),
		.body = str_fmt(c->arena, "{\"at\":\"%.*s\",\"proof\":\"%.*s\",\"since\":%lld}", STR_ARG(at), STR_ARG(hex), (long long)since),
	};
	TRY(fetch(NULL, c->arena, &request, &answer, &c->error));
	*envelope = answer.body;
	return answer.status == 200 ? ERR_OK : fail(c, ERR_UNAVAILABLE, "The parent's instance does not tell what its people say: it answers %ld.", answer.status);
}

static enum err ask_here(struct call *c, const struct fork_parent *p, int64_t since, struct str *envelope)
{
	struct uuid before = c->coop;
	c->coop = (struct uuid){ { 0 } };
	enum err e = fork_words_tell(c, p->here, p->offer, since, envelope);
	c->coop = before;
	return e;
}

enum err fork_words_hear(struct call *c, const struct fork_parent *p)
{
	struct heard heard;
	bool whole = true;
	TRY(db_begin_in(c, p->coop, DB_READ));
	TRY(heard_read(c, p->coop, &heard));
	TRY(db_commit(c));
	int64_t since = heard.upto, next = since;
	for (int i = 0; i < PAGES; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		struct str envelope;
		TRY(uuid_is_nil(p->here) ? ask_there(c, p, since, &envelope) : ask_here(c, p, since, &envelope));
		TRY(fork_words_take(c, p, since, envelope, &whole, &next));
		arena_rewind(c->arena, mark);
		if (c->job)
			TRY(job_extend(c));
		if (next == since)
			return ERR_OK;
		since = next;
	}
	return ERR_OK;
}
