#include "server/coop/coop_internal.h"
#include "server/coop/guest_internal.h"

#include "commonhold/keyring.h"

#include <stdlib.h>

/* Taking a home's words about its people: who is new gets a number and a key, whose words are newer than what stands gets those, and nobody else is touched. A few statements whatever
 * the number of guests.
 *
 * What is said for somebody counts from when it was first said without a break, so that a word repeated in every bundle is not a new one at every cut-off. */

SQL(known_guests,
	"SELECT d.no::integer, g.id, g.number, g.rev, g.spoken, g.agreement_id, g.linked_member, s.state, s.under IS NOT NULL FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS d(home, contributor, no) "
	"JOIN guest g ON g.coop_id = $1 AND g.home = d.home AND g.contributor = d.contributor JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id");
SQL(next_number, "SELECT coop_next_number($1)");
SQL(guest_insert,
	"INSERT INTO guest (coop_id, id, number, home, contributor, agreement_id, rev, line, standing, consent, purposes, consent_given, consent_expires, spoken, name, first_at, heard_at) "
	"SELECT $1, d.id, d.number::integer, d.home, d.contributor, $2, d.rev, d.line, d.standing, d.consent, string_to_array(d.purposes, ','), d.given, d.expires, d.spoken::integer, "
	"nullif(d.name, ''), commonhold_now(), commonhold_now() "
	"FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::bytea[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::bigint[], $15::text[]) "
	"AS d(id, number, home, contributor, rev, line, standing, consent, purposes, given, expires, spoken, name) "
	"ON CONFLICT (coop_id, id) DO UPDATE SET agreement_id = excluded.agreement_id, rev = excluded.rev, line = excluded.line, standing = excluded.standing, consent = excluded.consent, "
	"purposes = excluded.purposes, consent_given = excluded.consent_given, consent_expires = excluded.consent_expires, spoken = excluded.spoken, name = excluded.name, heard_at = excluded.heard_at");
SQL(said_clear, "DELETE FROM guest_statement WHERE coop_id = $1 AND guest_id = ANY ($2)");
SQL(said_insert,
	"INSERT INTO guest_statement (coop_id, guest_id, layer, kind, item_id, uses, purpose, audience, effect, duties, declared_at, valid_from, valid_to, external, verbatim) "
	"SELECT $1, d.guest, CASE WHEN d.item = '00000000-0000-0000-0000-000000000000' THEN 2 ELSE 1 END, nullif(d.kind, ''), nullif(d.item, '00000000-0000-0000-0000-000000000000'), "
	"string_to_array(d.uses, ','), nullif(d.purpose, 'any'), nullif(d.audience, 'any'), d.effect, string_to_array(d.duties, ','), nullif(d.declared, '-infinity'), nullif(d.since, '-infinity'), "
	"nullif(d.until, 'infinity'), d.external <> 0, d.verbatim "
	"FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::text[]) "
	"AS d(guest, kind, item, uses, purpose, audience, effect, duties, declared, since, until, external, verbatim)");
SQL(spoken_kept, "SELECT no, words FROM guest_spoken WHERE coop_id = $1 AND no = ANY ($2::bigint[]) ORDER BY no");
SQL(spoken_known, "SELECT digest, no FROM guest_spoken WHERE coop_id = $1 AND digest = ANY ($2)");
SQL(spoken_next, "SELECT coalesce(max(no) + 1, 1)::bigint FROM guest_spoken WHERE coop_id = $1");
SQL(spoken_insert, "INSERT INTO guest_spoken (coop_id, no, digest, words) SELECT $1, unnest($2::bigint[])::integer, unnest($3), unnest($4)");

#define ROWS_AT_ONCE 1000

/* One guest being put. */
struct putting {
	const struct guest_words *words;
	struct uuid id, agreement, linked;
	int64_t number;
	int64_t spoken;   /* guest_spoken.no before, then after */
	int64_t rev;      /* that stands; -1: new here */
	bool newer;       /* the words are */
};

/* ---- What is said for people, kept once ---- */

/* A word in one number, so that sets of them are compared and sorted: everything but since when. */
static uint64_t code_of(const struct guest_word *word, unsigned use)
{
	return (uint64_t)word->has_kind << 48 | (uint64_t)word->kind << 40 | (uint64_t)word->purpose << 32 | (uint64_t)use << 24 | (uint64_t)word->effect << 16 | word->duties;
}

static struct guest_word word_of_code(uint64_t code, instant since)
{
	return (struct guest_word){ .has_kind = code >> 48 & 1, .kind = (uint8_t)(code >> 40), .purpose = (uint8_t)(code >> 32), .uses = (uint16_t)POLICY_BIT(code >> 24 & 0xff),
		.effect = (uint8_t)(code >> 16), .duties = (uint16_t)code, .declared_at = since, .valid_from = INSTANT_NONE, .valid_to = INSTANT_NEVER };
}

static int code_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static size_t codes_of(struct arena *a, const struct guest_word *words, size_t n, uint64_t **out)
{
	size_t count = 0, kept = 0;
	*out = ARENA_ARRAY(a, n * POLICY_USE_COUNT + 1, uint64_t);
	for (size_t i = 0; i < n; i++)
		for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
			if (words[i].uses >> use & 1)
				(*out)[count++] = code_of(&words[i], use);
	qsort(*out, count, sizeof(**out), code_order);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || (*out)[kept - 1] != (*out)[i])
			(*out)[kept++] = (*out)[i];
	return kept;
}

/* What stood before, by number. */
struct kept { int64_t no; struct guest_word *words; size_t n; };

static enum err kept_read(struct call *c, struct uuid coop, const struct putting *p, size_t n, struct kept **out, size_t *n_out)
{
	struct rows r;
	int64_t *numbers = ARENA_ARRAY(c->arena, n, int64_t);
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		if (p[i].newer && p[i].spoken && (count == 0 || numbers[count - 1] != p[i].spoken))
			numbers[count++] = p[i].spoken;
	*n_out = 0;
	*out = NULL;
	if (count == 0)
		return ERR_OK;
	TRY(db_query(c, spoken_kept, &r, A_UUID(coop), A_I64S(numbers, count)));
	*out = ARENA_ARRAY(c->arena, (size_t)r.n, struct kept);
	for (int i = 0; i < r.n; i++) {
		struct kept *k = &(*out)[(*n_out)++];
		k->no = row_int(&r, i, 0);
		if (!spoken_read(c->arena, row_str(&r, i, 1), &k->words, &k->n))
			return fail(c, ERR_CORRUPT, "What is said for a guest is not as it should be.");
	}
	return ERR_OK;
}

static const struct kept *kept_find(const struct kept *kept, size_t n, int64_t no)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (kept[middle].no < no)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && kept[low].no == no ? &kept[low] : NULL;
}

static instant since_when(const struct kept *before, uint64_t code, instant as_of)
{
	for (size_t i = 0; before && i < before->n; i++)
		for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
			if (before->words[i].uses >> use & 1 && code_of(&before->words[i], use) == code)
				return before->words[i].declared_at < as_of ? before->words[i].declared_at : as_of;
	return as_of;
}

/* Sets of words that this call met, by what they come from, and then their number. */
struct memo { struct sha256 from, digest; struct str words; int64_t no; bool used; };
struct memos { struct memo *at; size_t cap, n; };

static struct memo *memo_place(struct memos *m, struct sha256 from)
{
	uint64_t h;
	memcpy(&h, from.b, sizeof(h));
	size_t at = (size_t)h & (m->cap - 1);
	while (m->at[at].used && !sha256_eq(m->at[at].from, from))
		at = (at + 1) & (m->cap - 1);
	return &m->at[at];
}

static struct memo *memo_of(struct call *c, struct memos *m, const struct putting *p, const struct kept *kept, size_t n_kept)
{
	struct arena_mark mark = arena_mark(c->arena);
	uint64_t *codes;
	size_t n = codes_of(c->arena, p->words->spoken_for, p->words->n_spoken, &codes);
	if (n == 0) {
		arena_rewind(c->arena, mark);
		return NULL;
	}
	struct hasher *h = hasher_new(c->arena);
	hasher_add(h, codes, n * sizeof(*codes));
	hasher_add(h, &p->spoken, sizeof(p->spoken));
	hasher_add(h, &p->words->as_of, sizeof(p->words->as_of));
	struct sha256 from = hasher_end(h);
	struct memo *memo = memo_place(m, from);
	if (!memo->used) {
		const struct kept *before = kept_find(kept, n_kept, p->spoken);
		struct guest_word *words = ARENA_ARRAY(c->arena, n, struct guest_word);
		for (size_t i = 0; i < n; i++)
			words[i] = word_of_code(codes[i], since_when(before, codes[i], p->words->as_of));
		struct str json = spoken_write(c->arena, words, n);
		*memo = (struct memo){ .from = from, .digest = sha256(json), .words = json, .used = true };
		m->n++;
		return memo;
	}
	arena_rewind(c->arena, mark);
	return memo;
}

/* Numbers for the sets: those that the co-op has already, and new ones. */
static enum err memos_number(struct call *c, struct uuid coop, struct memos *m)
{
	struct rows r, next;
	struct memo **list = ARENA_ARRAY(c->arena, m->n, struct memo *);
	struct str *digests = ARENA_ARRAY(c->arena, m->n, struct str), *words = ARENA_ARRAY(c->arena, m->n, struct str);
	int64_t *numbers = ARENA_ARRAY(c->arena, m->n, int64_t);
	size_t n = 0, fresh = 0;
	for (size_t i = 0; i < m->cap; i++)
		if (m->at[i].used) {
			list[n] = &m->at[i];
			digests[n++] = str_make(m->at[i].digest.b, 32);
		}
	TRY(db_query(c, spoken_known, &r, A_UUID(coop), A_BYTEAS(digests, n)));
	TRY(db_one(c, spoken_next, &next, A_UUID(coop)));
	int64_t no = row_int(&next, 0, 0);
	for (size_t i = 0; i < n; i++) {
		for (int row = 0; row < r.n && !list[i]->no; row++)
			if (str_eq(row_bytes(&r, row, 0), str_make(list[i]->digest.b, 32)))
				list[i]->no = row_int(&r, row, 1);
		for (size_t j = 0; j < i && !list[i]->no; j++)
			if (sha256_eq(list[j]->digest, list[i]->digest))
				list[i]->no = list[j]->no;
		if (list[i]->no)
			continue;
		list[i]->no = no++;
		numbers[fresh] = list[i]->no;
		digests[fresh] = str_make(list[i]->digest.b, 32);
		words[fresh++] = list[i]->words;
	}
	return fresh ? db_exec(c, spoken_insert, A_UUID(coop), A_I64S(numbers, fresh), A_BYTEAS(digests, fresh), A_TEXTS(words, fresh)) : ERR_OK;
}

static enum err number_spoken(struct call *c, struct uuid coop, struct putting *p, size_t n)
{
	struct kept *kept;
	size_t n_kept, cap = 16;
	TRY(kept_read(c, coop, p, n, &kept, &n_kept));
	while (cap < n * 2)
		cap *= 2;
	struct memos memos = { ARENA_ARRAY(c->arena, cap, struct memo), cap, 0 };
	struct memo **of = ARENA_ARRAY(c->arena, n, struct memo *);
	for (size_t i = 0; i < n; i++)
		of[i] = p[i].newer ? memo_of(c, &memos, &p[i], kept, n_kept) : NULL;
	if (memos.n)
		TRY(memos_number(c, coop, &memos));
	for (size_t i = 0; i < n; i++)
		if (p[i].newer)
			p[i].spoken = of[i] ? of[i]->no : 0;
	return ERR_OK;
}

/* ---- Rows ---- */

static struct str names_joined(struct arena *a, uint64_t bits, unsigned count, const char *(*name)(unsigned no))
{
	struct str out = STR("");
	for (unsigned i = 0; i < count; i++)
		if (bits >> i & 1)
			out = out.n ? str_fmt(a, "%.*s,%s", STR_ARG(out), name(i)) : str_of(name(i));
	return out;
}

static enum err write_guests(struct call *c, struct uuid coop, struct uuid agreement, const struct putting *const *p, size_t n)
{
	struct arena *a = c->arena;
	struct uuid *ids = ARENA_ARRAY(a, n, struct uuid);
	int64_t *numbers = ARENA_ARRAY(a, n * 3, int64_t), *revs = numbers + n, *spoken = revs + n;
	struct str *texts = ARENA_ARRAY(a, n * 7, struct str), *homes = texts, *contributors = texts + n, *lines = texts + n * 2, *standings = texts + n * 3, *consents = texts + n * 4;
	struct str *purposes = texts + n * 5, *names = texts + n * 6;
	instant *given = ARENA_ARRAY(a, n * 2, instant), *expires = given + n;
	for (size_t i = 0; i < n; i++) {
		const struct guest_words *w = p[i]->words;
		ids[i] = p[i]->id;
		numbers[i] = p[i]->number;
		homes[i] = w->home;
		contributors[i] = str_make(w->contributor, 16);
		revs[i] = w->rev;
		lines[i] = w->line;
		standings[i] = str_of(policy_standing_name(w->standing));
		consents[i] = str_of(policy_consent_name(w->consent));
		purposes[i] = names_joined(a, w->purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
		given[i] = w->consent_given == INSTANT_NEVER ? INSTANT_NONE : w->consent_given;
		expires[i] = w->consent_expires;
		spoken[i] = p[i]->spoken;
		names[i] = w->name.p ? w->name : STR("");
	}
	return db_exec(c, guest_insert, A_UUID(coop), A_UUID(agreement), A_UUIDS(ids, n), A_I64S(numbers, n), A_TEXTS(homes, n), A_BYTEAS(contributors, n), A_I64S(revs, n), A_TEXTS(lines, n),
		A_TEXTS(standings, n), A_TEXTS(consents, n), A_TEXTS(purposes, n), A_TIMES(given, n), A_TIMES(expires, n), A_I64S(spoken, n), A_TEXTS(names, n));
}

static enum err write_said(struct call *c, struct uuid coop, const struct uuid *guest, const struct guest_word *const *word, size_t n)
{
	struct arena *a = c->arena;
	struct uuid *items = ARENA_ARRAY(a, n, struct uuid);
	struct str *texts = ARENA_ARRAY(a, n * 7, struct str), *kinds = texts, *uses = texts + n, *purposes = texts + n * 2, *audiences = texts + n * 3, *effects = texts + n * 4;
	struct str *duties = texts + n * 5, *verbatims = texts + n * 6;
	instant *times = ARENA_ARRAY(a, n * 3, instant), *declared = times, *since = times + n, *until = times + n * 2;
	int64_t *external = ARENA_ARRAY(a, n, int64_t);
	for (size_t i = 0; i < n; i++) {
		const struct guest_word *w = word[i];
		items[i] = w->item;
		kinds[i] = w->has_kind ? str_of(policy_kind_name(w->kind)) : STR("");
		uses[i] = names_joined(a, w->uses, POLICY_USE_COUNT, policy_use_name);
		purposes[i] = str_of(policy_purpose_name(w->purpose));
		audiences[i] = str_of(policy_audience_name(w->audience));
		effects[i] = str_of(policy_effect_name(w->effect));
		duties[i] = names_joined(a, w->duties, POLICY_DUTY_COUNT, policy_duty_name);
		declared[i] = w->declared_at;
		since[i] = w->valid_from;
		until[i] = w->valid_to;
		external[i] = w->external;
		verbatims[i] = w->verbatim;
	}
	return db_exec(c, said_insert, A_UUID(coop), A_UUIDS(guest, n), A_TEXTS(kinds, n), A_UUIDS(items, n), A_TEXTS(uses, n), A_TEXTS(purposes, n), A_TEXTS(audiences, n), A_TEXTS(effects, n),
		A_TEXTS(duties, n), A_TIMES(declared, n), A_TIMES(since, n), A_TIMES(until, n), A_I64S(external, n), A_TEXTS(verbatims, n));
}

static enum err write_all_said(struct call *c, struct uuid coop, const struct putting *const *p, size_t n)
{
	struct uuid *guest = ARENA_ARRAY(c->arena, ROWS_AT_ONCE, struct uuid);
	const struct guest_word **word = ARENA_ARRAY(c->arena, ROWS_AT_ONCE, const struct guest_word *);
	size_t full = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < p[i]->words->n_said; k++) {
			guest[full] = p[i]->id;
			word[full++] = &p[i]->words->said[k];
			if (full < ROWS_AT_ONCE)
				continue;
			struct arena_mark mark = arena_mark(c->arena);
			TRY(write_said(c, coop, guest, word, full));
			arena_rewind(c->arena, mark);
			full = 0;
		}
	return full ? write_said(c, coop, guest, word, full) : ERR_OK;
}

static enum err clear_said(struct call *c, struct uuid coop, const struct putting *const *p, size_t n)
{
	struct uuid *before = ARENA_ARRAY(c->arena, n, struct uuid);
	size_t known = 0;
	for (size_t i = 0; i < n; i++)
		if (p[i]->rev >= 0)
			before[known++] = p[i]->id;
	return known ? db_exec(c, said_clear, A_UUID(coop), A_UUIDS(before, known)) : ERR_OK;
}

/* Guests keep the agreement that they came under while it lives: another one that brings them too neither widens nor narrows what that allows. */
static enum err write_by_agreement(struct call *c, struct uuid coop, const struct putting *p, size_t n, struct uuid agreement)
{
	const struct putting **batch = ARENA_ARRAY(c->arena, n + 1, const struct putting *);
	size_t full = 0;
	for (size_t i = 0; i < n; i++)
		if (p[i].newer && uuid_eq(p[i].agreement, agreement))
			batch[full++] = &p[i];
	for (size_t from = 0; from < full; from += ROWS_AT_ONCE) {
		size_t some = full - from < ROWS_AT_ONCE ? full - from : ROWS_AT_ONCE;
		struct arena_mark mark = arena_mark(c->arena);
		TRY(write_guests(c, coop, agreement, batch + from, some));
		TRY(clear_said(c, coop, batch + from, some));
		TRY(write_all_said(c, coop, batch + from, some));
		arena_rewind(c->arena, mark);
	}
	return ERR_OK;
}

static enum err write_rows(struct call *c, struct uuid coop, const struct putting *p, size_t n)
{
	struct guest_source *sources;
	size_t n_sources;
	TRY(guest_source_list(c, coop, &sources, &n_sources));
	for (size_t i = 0; i < n_sources; i++)
		TRY(write_by_agreement(c, coop, p, n, sources[i].agreement));
	return ERR_OK;
}

/* ---- The whole ---- */

/* Where the words of somebody who is known come from, from now on, and whether these are the ones. Among several ways the one that lives stays, but for the home's own. */
static void settle_source(struct putting *p, struct uuid stands, bool ended, bool by_way, const struct guest_source *comes)
{
	bool same = uuid_eq(stands, comes->agreement), direct = uuid_is_nil(comes->under);
	p->newer = p->words->rev > p->rev;
	if (same)
		return;
	if (by_way && direct)
		p->newer = true;
	else if (ended)
		p->newer |= !direct && p->words->rev == p->rev;
	else
		p->agreement = stands;
	if (!direct && !ended)
		p->newer = false;
}

static enum err look_up(struct call *c, struct uuid coop, const struct guest_source *source, const struct guest_words *words, size_t n, struct putting *p)
{
	struct rows r;
	struct str *homes = ARENA_ARRAY(c->arena, n * 2, struct str), *contributors = homes + n;
	for (size_t i = 0; i < n; i++) {
		p[i] = (struct putting){ .words = &words[i], .agreement = source->agreement, .rev = -1, .newer = true, .number = -1 };
		homes[i] = words[i].home;
		contributors[i] = str_make(words[i].contributor, 16);
	}
	TRY(db_query(c, known_guests, &r, A_UUID(coop), A_TEXTS(homes, n), A_BYTEAS(contributors, n)));
	for (int i = 0; i < r.n; i++) {
		struct putting *one = &p[row_int(&r, i, 0) - 1];
		one->id = row_uuid(&r, i, 1);
		one->number = row_int(&r, i, 2);
		one->rev = row_int(&r, i, 3);
		one->spoken = row_int(&r, i, 4);
		one->linked = row_uuid(&r, i, 6);
		settle_source(one, row_uuid(&r, i, 5), str_is(row_str(&r, i, 7), "ended"), row_bool(&r, i, 8), source);
	}
	return ERR_OK;
}

static enum err number_new(struct call *c, struct uuid coop, struct putting *p, size_t n)
{
	struct rows r;
	struct uuid *ids = ARENA_ARRAY(c->arena, n, struct uuid);
	size_t fresh = 0;
	TRY(db_one(c, next_number, &r, A_UUID(coop)));
	int64_t number = row_int(&r, 0, 0);
	for (size_t i = 0; i < n; i++) {
		if (p[i].number >= 0)
			continue;
		if (number >= POLICY_MEMBERS_MAX)
			return fail(c, ERR_REFUSED, "There are no numbers left for guests.");
		p[i].id = uuid_new();
		p[i].number = number++;
		ids[fresh++] = p[i].id;
	}
	return fresh ? keyring_make_many(c, coop, ids, fresh) : ERR_OK;
}

static void guest_as_put(const struct guest_source *source, const struct putting *p, struct guest *out)
{
	const struct guest_words *w = p->words;
	*out = (struct guest){ .id = p->id, .number = (int)p->number, .home = w->home, .home_title = source->title, .agreement = p->agreement, .rev = p->newer ? w->rev : p->rev,
		.standing = w->standing, .name = w->name, .linked = p->linked };
	memcpy(out->contributor, w->contributor, sizeof(out->contributor));
}

enum err guest_put(struct call *c, struct uuid coop, struct uuid agreement, const struct guest_words *words, size_t n, struct guest *out)
{
	struct guest_source source;
	bool any = false;
	if (n == 0)
		return ERR_OK;
	TRY(membership_lock(c, coop));
	TRY(guest_source_get(c, coop, agreement, &source));
	struct putting *p = ARENA_ARRAY(c->arena, n, struct putting);
	if (!p)
		return fail(c, ERR_NO_MEMORY, "There is no memory for so many guests at once.");
	TRY(look_up(c, coop, &source, words, n, p));
	TRY(number_new(c, coop, p, n));
	TRY(number_spoken(c, coop, p, n));
	TRY(write_rows(c, coop, p, n));
	for (size_t i = 0; i < n; i++) {
		any |= p[i].newer;
		guest_as_put(&source, &p[i], &out[i]);
	}
	return any ? guest_head_move(c, coop) : ERR_OK;
}
