/* Who may be in a bundle, and statements.jsonl: what contributors said, and what is no longer passed on. */
#include "bundle_scope.h"

#include "commonhold/db.h"
#include "commonhold/keyring.h"
#include "commonhold/origin.h"
#include "commonhold/peer.h"
#include "commonhold/pool.h"

SQL(members_all, "SELECT number, id FROM membership WHERE coop_id = $1 ORDER BY number");
SQL(said_known, "SELECT number, digest FROM bundle_said WHERE coop_id = $1 AND agreement_id = $2 ORDER BY number");
SQL(said_put,
	"INSERT INTO bundle_said (coop_id, agreement_id, number, digest) SELECT $1, $2, unnest($3)::integer, unnest($4) "
	"ON CONFLICT (coop_id, agreement_id, number) DO UPDATE SET digest = excluded.digest");

static const char ids_copy[] = "COPY (SELECT item_no, id, (more >> 24 & 255)::smallint FROM contribution WHERE coop_id = $1 AND item_no >= $2 AND item_no < $3 ORDER BY item_no) TO STDOUT (FORMAT binary)";

/* ---- Names for members ---- */

/* What nobody but this co-op can compute, whatever its key has become since: the secret that its first key shares with itself. */
enum err bundle_contributor_secret(struct call *c, struct uuid coop, uint8_t secret[32])
{
	struct keychain keys;
	TRY(keychain_of(c, coop, &keys));
	return pairwise_key(c, coop, keychain_first(&keys), STR("commonhold/contributor/1"), secret);
}

void bundle_contributor_of(const uint8_t secret[32], struct uuid member, uint8_t out[16])
{
	struct sha256 h = hmac_sha256(str_make(secret, 32), str_make(member.b, 16));
	memcpy(out, h.b, 16);
}

void bundle_hex_of(const uint8_t *from, size_t n, char *to)
{
	for (size_t i = 0; i < n; i++) {
		*to++ = "0123456789abcdef"[from[i] >> 4];
		*to++ = "0123456789abcdef"[from[i] & 15];
	}
}

/* ---- Who there is ---- */

enum err bundle_people_load(struct writing *k)
{
	struct rows r;
	uint8_t secret[32], name[16];
	struct arena *a = k->c->arena;
	TRY(bundle_contributor_secret(k->c, k->coop, secret));
	TRY(db_query(k->c, members_all, &r, A_UUID(k->coop)));
	k->n_people = r.n ? (size_t)row_int(&r, r.n - 1, 0) + 1 : 0;
	k->people = ARENA_ARRAY(a, k->n_people + 1, struct person);
	for (int i = 0; i < r.n; i++) {
		struct person *p = &k->people[row_int(&r, i, 0)];
		p->goes = true;
		p->home = -1;
		p->id = row_uuid(&r, i, 1);
		bundle_contributor_of(secret, p->id, name);
		bundle_hex_of(name, sizeof(name), p->contributor);
	}
	secret_wipe(secret, sizeof(secret));
	return bundle_onward_people(k);
}

void bundle_people_wipe(struct writing *k)
{
	for (size_t i = 0; i < k->n_people; i++)
		secret_wipe(&k->people[i].key, sizeof(k->people[i].key));
}

enum err bundle_people_keys(struct writing *k)
{
	struct call *c = k->c;
	size_t n = 0;
	struct uuid *ids = ARENA_ARRAY(c->arena, k->n_people + 1, struct uuid);
	uint32_t *numbers = ARENA_ARRAY(c->arena, k->n_people + 1, uint32_t);
	for (size_t i = 0; i < k->n_people && i < k->scoped.n_members; i++) {
		if (k->people[i].goes && k->scoped.has[i]) {
			numbers[n] = (uint32_t)i;
			ids[n++] = k->people[i].id;
		}
	}
	struct seal_key *keys = ARENA_ARRAY(c->arena, n + 1, struct seal_key);
	bool *there = ARENA_ARRAY(c->arena, n + 1, bool);
	if (n == 0)
		return ERR_OK;
	TRY(keyring_get(c, k->coop, ids, n, keys, there));
	size_t gone = 0;
	for (size_t i = 0; i < n; i++) {
		k->people[numbers[i]].key = keys[i];
		k->people[numbers[i]].keyed = there[i];
		if (!there[i])
			numbers[gone++] = numbers[i];
	}
	secret_wipe(keys, n * sizeof(*keys));
	return bundle_gone_people(k, numbers, gone);
}

/* ---- What they said ---- */

/* A line that is signed: what comes before the signature, and what after. */
static struct str line_signed(struct writing *k, struct str head, struct str tail)
{
	struct arena *a = k->c->arena;
	uint8_t signature[64];
	sign_bytes(&k->key, bundle_said_text(a, head, tail), signature);
	return str_cat(a, head, STR(",\"sig\":\""), str_base64(a, signature, 64), STR("\""), tail);
}

/* The members of a line of words before and behind the signature; the part with the revision is left out of the digest by which changes are seen. */
static bool words_text(struct writing *k, const struct guest_words *words, const char *contributor, struct buf *consent, struct buf *said, struct buf *tail)
{
	struct json_writer w;
	struct arena *a = k->c->arena;
	buf_clear(consent);
	buf_clear(said);
	buf_clear(tail);
	jw_init(&w, consent);
	jw_object(&w);
	jw_key(&w, "consent");
	guest_consent_write(&w, a, words);
	jw_kstr(&w, "contributor", str_make(contributor, 32));
	jw_kstr(&w, "home", k->key_name);
	jw_kstr(&w, "name", words->name);
	buf_add_z(said, ",\"said\":");
	jw_init(&w, said);
	guest_said_write(&w, a, words);
	buf_add_z(tail, ",\"spoken_for\":");
	jw_init(&w, tail);
	guest_spoken_write(&w, words);
	buf_add_z(tail, ",\"standing\":\"");
	buf_add_z(tail, policy_standing_name(words->standing));
	buf_add_z(tail, "\"}");
	return !consent->failed && !said->failed && !tail->failed;
}

/* What a partner is told of, one thing after another. */
struct telling {
	struct writing *k;
	struct bundle_stream *out;
	struct buf consent, said, tail;
	struct sha256 *known;           /* by number: digest of what was told last; zeros: nothing */
	uint8_t *involved;              /* by number: something of theirs goes out, or went */
};

static void telling_end(void *arg)
{
	struct telling *t = arg;
	buf_release(&t->consent);
	buf_release(&t->said);
	buf_release(&t->tail);
}

static enum err note_said(struct telling *t, size_t number, struct sha256 digest)
{
	struct writing *k = t->k;
	char *kept = (char *)k->said_digests[0].p + k->n_said * 32; /* room for everybody, made at once */
	memcpy(kept, digest.b, 32);
	k->said_digests[k->n_said] = str_make(kept, 32);
	k->said_numbers[k->n_said++] = (int64_t)number;
	k->counts.statements++;
	return ERR_OK;
}

static enum err tell_own(struct telling *t, size_t number, struct guest_words *words)
{
	struct writing *k = t->k;
	struct call *c = k->c;
	struct arena_mark mark = arena_mark(c->arena);
	words->home = k->key_name;
	if (!words_text(k, words, k->people[number].contributor, &t->consent, &t->said, &t->tail))
		return fail(c, ERR_TOO_LARGE, "What one contributor said is longer than a line may be.");
	struct sha256 digest = sha256_of((const struct str[]){ buf_str(&t->consent), buf_str(&t->said), buf_str(&t->tail) }, 3);
	if (sha256_eq(digest, t->known[number]))
		return ERR_OK;
	struct str head = str_cat(c->arena, buf_str(&t->consent), str_fmt(c->arena, ",\"rev\":%lld", (long long)k->head_size), buf_str(&t->said));
	struct str line = line_signed(k, head, buf_str(&t->tail));
	TRY(bundle_stream_line(t->out, line.p, line.n));
	arena_rewind(c->arena, mark);
	return note_said(t, number, digest);
}

static enum err tell_guest(struct telling *t, size_t number)
{
	struct str line = t->k->people[number].line;
	struct sha256 digest = sha256(line);
	if (sha256_eq(digest, t->known[number]))
		return ERR_OK;
	TRY(bundle_stream_line(t->out, line.p, line.n));
	t->k->home_goes[t->k->people[number].home] = true;
	return note_said(t, number, digest);
}

static bool told(void *arg, int64_t item_no, struct uuid item)
{
	const struct writing *k = arg;
	(void)item;
	return item_no >= 0 && item_no < (int64_t)k->scoped.n && (bundle_bit(k->scoped.in, item_no) || bundle_bit(k->given, item_no));
}

static enum err known_load(struct telling *t)
{
	struct writing *k = t->k;
	struct rows r;
	size_t n = k->n_people > k->scoped.n_members ? k->n_people : k->scoped.n_members;
	t->known = ARENA_ARRAY(k->c->arena, n + 1, struct sha256);
	t->involved = arena_alloc(k->c->arena, n + 1);
	k->said_numbers = ARENA_ARRAY(k->c->arena, n + 1, int64_t);
	k->said_digests = ARENA_ARRAY(k->c->arena, n + 1, struct str);
	k->said_digests[0].p = arena_alloc(k->c->arena, (n + 1) * 32);
	memcpy(t->involved, k->scoped.has, k->scoped.n_members);
	TRY(db_query(k->c, said_known, &r, A_UUID(k->coop), A_UUID(k->agreement.id)));
	for (int i = 0; i < r.n; i++) {
		size_t number = (size_t)row_int(&r, i, 0);
		if (number >= n)
			continue;
		t->involved[number] = 1;
		if (!k->whole)
			t->known[number] = sha256_load(row_bytes(&r, i, 1));
	}
	return ERR_OK;
}

static enum err tell_words(struct telling *t)
{
	struct writing *k = t->k;
	struct guest_words *words;
	size_t n;
	const struct agreement_terms *terms = &k->agreement.terms;
	struct guest_scope scope = { terms->uses, terms->purposes, terms->audience, told, k };
	TRY(guest_words_of_members(k->c, k->coop, &scope, &words, &n));
	for (size_t i = 0; i < k->n_people; i++) {
		if (!t->involved[i] || !k->people[i].goes)
			continue;
		if (k->people[i].home >= 0)
			TRY(tell_guest(t, i));
		else if (i < n)
			TRY(tell_own(t, i, &words[i]));
	}
	return ERR_OK;
}

/* ---- What goes out, and what comes back ---- */

/* Ids on their way into lines of up to BUNDLE_RIDS. */
struct listing { struct telling *t; const struct origin_names *names; const char *what; const uint8_t *bits; struct buf rids; size_t n; int64_t *count; };

static enum err listing_flush(struct listing *l)
{
	struct writing *k = l->t->k;
	struct arena *a = k->c->arena;
	if (l->n == 0)
		return ERR_OK;
	struct arena_mark mark = arena_mark(a);
	struct str rids = str_cat(a, STR("["), buf_str(&l->rids), STR("]")), home = str_cat(a, STR("\"home\":\""), k->key_name, STR("\""));
	struct str rev = str_fmt(a, ",\"rev\":%lld", (long long)k->head_size);
	struct str head = l->what[0] == 'b' ? str_cat(a, STR("{\"back\":"), rids, STR(","), home, rev) : str_cat(a, STR("{"), home, STR(",\"out\":"), rids, rev);
	struct str line = line_signed(k, head, STR("}"));
	TRY(bundle_stream_line(l->t->out, line.p, line.n));
	*l->count += (int64_t)l->n;
	l->n = 0;
	buf_clear(&l->rids);
	arena_rewind(a, mark);
	return ERR_OK;
}

static enum err listing_row(void *arg, const struct copy_field *f, int n)
{
	struct listing *l = arg;
	char id[UUID_TEXT];
	if (n != 3 || !bundle_bit(l->bits, copy_int(f[0])))
		return ERR_OK;
	uuid_write(copy_uuid(f[1]), id);
	buf_add_z(&l->rids, l->n ? ",\"dc:" : "\"dc:");
	buf_add_str(&l->rids, l->names->key_name[copy_int(f[2]) & 0xff]);
	buf_add_byte(&l->rids, ':');
	buf_add(&l->rids, id, UUID_TEXT);
	buf_add_byte(&l->rids, '"');
	return ++l->n == BUNDLE_RIDS ? listing_flush(l) : ERR_OK;
}

static void listing_end(void *arg)
{
	buf_release(&((struct listing *)arg)->rids);
}

static enum err tell_listed(struct telling *t, const struct origin_names *names, const char *what, const uint8_t *bits, int64_t *count)
{
	struct writing *k = t->k;
	struct listing *l = ARENA_NEW(k->c->arena, struct listing);
	int64_t n = (int64_t)k->scoped.n;
	*l = (struct listing){ .t = t, .names = names, .what = what, .bits = bits, .count = count };
	buf_init(&l->rids, BUNDLE_RIDS * 80);
	arena_defer(k->c->arena, listing_end, l);
	for (int64_t from = 0; from < n; from += POOL_SEGMENT) {
		int64_t to = from + POOL_SEGMENT < n ? from + POOL_SEGMENT : n;
		uint8_t any = 0;
		for (int64_t i = from / 8; i < (to + 7) / 8; i++)
			any |= bits[i];
		if (any)
			TRY(db_copy_out(k->c, ids_copy, (struct db_arg[]){ A_UUID(k->coop), A_I64(from), A_I64(to) }, 3, listing_row, l));
	}
	return listing_flush(l);
}

/* Passed on before and no longer, unless a tombstone says it; and the other way round. A whole bundle says of everything that was ever told whether it is: what said so
 * before may be lost. */
static enum err tell_changes(struct telling *t)
{
	struct writing *k = t->k;
	size_t bytes = k->scoped.n / 8 + 1;
	struct origin_names *names = ARENA_NEW(k->c->arena, struct origin_names);
	uint8_t *out = arena_alloc(k->c->arena, bytes), *back = arena_alloc(k->c->arena, bytes);
	for (size_t i = 0; i < bytes; i++) {
		uint8_t in = k->scoped.in[i], before = k->whole ? k->ever[i] : k->now[i];
		out[i] = (uint8_t)(before & ~in & ~k->scoped.gone[i]);
		back[i] = (uint8_t)(in & k->ever[i] & (k->whole ? 0xff : ~k->now[i]));
	}
	TRY(origin_names_load(k->c, k->coop, names));
	TRY(tell_listed(t, names, "out", out, &k->counts.out));
	return tell_listed(t, names, "back", back, &k->counts.back);
}

enum err bundle_statements_write(struct writing *k)
{
	struct telling *t = ARENA_NEW(k->c->arena, struct telling);
	t->k = k;
	t->out = ARENA_NEW(k->c->arena, struct bundle_stream);
	bundle_stream_begin(&k->files, t->out, "statements.jsonl", false, true);
	buf_init(&t->consent, LIMIT_BODY_SMALL);
	buf_init(&t->said, BUNDLE_LINE_MAX - 4 * LIMIT_BODY_SMALL);
	buf_init(&t->tail, 2 * LIMIT_BODY_SMALL);
	arena_defer(k->c->arena, telling_end, t);
	TRY(known_load(t));
	TRY(tell_words(t));
	TRY(tell_changes(t));
	return bundle_stream_end(t->out);
}

enum err bundle_statements_note(struct writing *k)
{
	return k->n_said ? db_exec(k->c, said_put, A_UUID(k->coop), A_UUID(k->agreement.id), A_I64S(k->said_numbers, k->n_said), A_BYTEAS(k->said_digests, k->n_said)) : ERR_OK;
}
