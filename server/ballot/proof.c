/* Sealing a closed ballot, and its bundle. */
#include "bundle.h"

#include "ballot_internal.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

SQL(seal_read, "SELECT header, digest, leaf, sealed_at, secret FROM ballot_seal WHERE coop_id = $1 AND ballot_id = $2");
SQL(seal_insert, "INSERT INTO ballot_seal (coop_id, ballot_id, secret, header, digest, leaf, sealed_at) VALUES ($1, $2, $3, $4, $5, $6, commonhold_now())");
SQL(recount_read, "SELECT electorate, what, n FROM ballot_recount($1, $2)");
SQL(ballot_heading, "SELECT title, question, closed_at, first_closes_at, visibility FROM ballot WHERE coop_id = $1 AND id = $2");

static const char members_sql[] = "COPY (SELECT number, id FROM membership WHERE coop_id = $1) TO STDOUT (FORMAT binary)";
static const char salts_sql[] = "COPY (SELECT seq, salt FROM vote WHERE coop_id = $1 AND ballot_id = $2 ORDER BY seq) TO STDOUT (FORMAT binary)";

/* A closed ballot with all that its bundle is made of. */
struct sealing {
	struct ballot_case k;
	struct ballot_locked ballot;
	struct ballot_facts facts;
	struct ballot_outcome outcome;
	struct str title, question, visibility;
	instant closed_at, first_closes_at;
	uint8_t secret[32];
	struct uuid *ids;                 /* memberships by number */
	struct sha256 *vote_commitments;  /* in the order of the votes */
	size_t n_salts;                   /* read so far */
	struct sha256 *commitments;       /* by place */
	uint32_t *place, *people;
	size_t n_people;
};

/* ---- Loading ---- */

static enum err take_member(void *arg, const struct copy_field *f, int n)
{
	struct sealing *s = arg;
	int64_t no = n == 2 ? copy_int(f[0]) : -1;
	if (no >= 0 && (size_t)no < s->k.n)
		s->ids[no] = copy_uuid(f[1]);
	return ERR_OK;
}

static enum err take_salt(void *arg, const struct copy_field *f, int n)
{
	struct sealing *s = arg;
	struct str salt = n == 2 ? copy_bytes(f[1]) : STR_NONE;
	size_t i = s->n_salts++;
	if (i >= s->k.n_casts || salt.n != 32 || copy_int(f[0]) != s->k.casts[i].seq)
		return ERR_CORRUPT;
	const struct ballot_cast *v = &s->k.casts[i];
	struct uuid behalf = v->principal == POLICY_NO_DECIDER ? (struct uuid){ { 0 } } : s->ids[v->principal];
	struct str choice = v->choice == BALLOT_NONE ? STR("none") : str_of(ballot_choice_name(v->choice));
	s->vote_commitments[i] = ballot_vote_commitment(s->k.arena, s->k.ballot->id, s->ids[v->member], behalf, choice, (const uint8_t *)salt.p);
	return ERR_OK;
}

static int by_seq(const void *x, const void *y)
{
	const struct ballot_cast *a = x, *b = y;
	return (a->seq > b->seq) - (a->seq < b->seq);
}

static int by_edge(const void *x, const void *y)
{
	const struct policy_edge *a = x, *b = y;
	return (a->id > b->id) - (a->id < b->id);
}

/* ---- People ---- */

static void salt_of(const uint8_t secret[32], struct arena *a, struct uuid member, uint8_t salt[32])
{
	struct arena_mark mark = arena_mark(a);
	struct sha256 mac = hmac_sha256(str_make(secret, 32), uuid_format(a, member));
	memcpy(salt, mac.b, 32);
	arena_rewind(a, mark);
}

static struct sha256 commitment_of(const struct sealing *s, uint32_t number)
{
	uint8_t salt[32];
	salt_of(s->secret, s->k.arena, s->ids[number], salt);
	struct arena_mark mark = arena_mark(s->k.arena);
	struct sha256 said = sha256(uuid_format(s->k.arena, s->ids[number]));
	arena_rewind(s->k.arena, mark);
	return ledger_commitment(salt, said);
}

struct person { struct sha256 commitment; uint32_t number; };

static int by_commitment(const void *x, const void *y)
{
	const struct person *a = x, *b = y;
	return memcmp(a->commitment.b, b->commitment.b, sizeof(a->commitment.b));
}

/* The roll, and whoever else stands on somebody's way. */
static enum err find_people(struct sealing *s)
{
	const struct ballot_facts *f = &s->facts;
	uint8_t *in = ARENA_ARRAY(s->k.arena, f->n + 1, uint8_t);
	struct person *list = ARENA_ARRAY(s->k.arena, f->n + 1, struct person);
	s->place = ARENA_ARRAY(s->k.arena, f->n + 1, uint32_t);
	s->people = ARENA_ARRAY(s->k.arena, f->n + 1, uint32_t);
	s->commitments = ARENA_ARRAY(s->k.arena, f->n + 1, struct sha256);
	if (!in || !list || !s->place || !s->people || !s->commitments)
		return fail(s->k.call, ERR_NO_MEMORY, "The ballot does not fit into memory.");
	for (size_t m = 0; m < f->n; m++)
		in[m] = f->roll[m] != 0;
	for (size_t i = 0; i < f->n_edges; i++) {
		in[f->edges[i].principal] = 1;
		if (f->edges[i].delegate < f->n)
			in[f->edges[i].delegate] = 1;
	}
	for (uint32_t m = 0; m < f->n; m++)
		if (in[m])
			list[s->n_people++] = (struct person){ commitment_of(s, m), m };
	qsort(list, s->n_people, sizeof(list[0]), by_commitment);
	for (uint32_t m = 0; m < f->n; m++)
		s->place[m] = BUNDLE_NOBODY_HERE;
	for (uint32_t i = 0; i < s->n_people; i++) {
		s->people[i] = list[i].number;
		s->commitments[i] = list[i].commitment;
		s->place[list[i].number] = i;
	}
	return ERR_OK;
}

static bool edges_sound(const struct ballot_facts *f)
{
	for (size_t i = 0; i < f->n_edges; i++)
		if (f->edges[i].principal >= f->n || (f->edges[i].delegate >= f->n && f->edges[i].delegate != POLICY_BOARD && f->edges[i].delegate != POLICY_NOBODY))
			return false;
	return true;
}

static void free_arena(void *slot)
{
	arena_free(slot);
}

/* Everything about a closed ballot but its secret. Inside. */
static enum err load(struct call *c, struct uuid coop, struct uuid ballot, struct sealing *s)
{
	struct rows r;
	*s = (struct sealing){ 0 };
	TRY(ballot_take(c, coop, ballot, &s->ballot));
	if (s->ballot.state != BALLOT_PASSED && s->ballot.state != BALLOT_FAILED)
		return fail_reason(c, ERR_STATE, "ballot_not_closed", "This ballot is not closed: there is nothing to prove yet.");
	TRY(db_one(c, ballot_heading, &r, A_UUID(coop), A_UUID(ballot)));
	s->title = row_str(&r, 0, 0);
	s->question = row_str(&r, 0, 1);
	s->closed_at = row_time(&r, 0, 2);
	s->first_closes_at = row_time(&r, 0, 3);
	s->visibility = row_str(&r, 0, 4);
	s->k = (struct ballot_case){ .call = c, .ballot = &s->ballot, .arena = arena_new(LIMIT_DECIDE_ARENA) };
	if (!s->k.arena || !arena_defer(c->arena, free_arena, s->k.arena))
		return fail(c, ERR_NO_MEMORY, "There is no memory to prove the ballot.");
	TRY(ballot_case_load(&s->k, s->closed_at));
	qsort(s->k.casts, s->k.n_casts, sizeof(s->k.casts[0]), by_seq);
	qsort(s->k.edges, s->k.n_edges, sizeof(s->k.edges[0]), by_edge);
	TRY(ballot_case_outcome(&s->k, s->closed_at - 1, &s->facts, &s->outcome));
	s->ids = ARENA_ARRAY(s->k.arena, s->k.n + 1, struct uuid);
	s->vote_commitments = ARENA_ARRAY(s->k.arena, s->k.n_casts + 1, struct sha256);
	if (!s->ids || !s->vote_commitments)
		return fail(c, ERR_NO_MEMORY, "There is no memory to prove the ballot.");
	if (!edges_sound(&s->facts))
		return fail(c, ERR_CORRUPT, "A delegation leads to nobody.");
	TRY(db_copy_out(c, members_sql, (struct db_arg[]){ A_UUID(coop) }, 1, take_member, s));
	return db_copy_out(c, salts_sql, (struct db_arg[]){ A_UUID(coop), A_UUID(ballot) }, 2, take_salt, s);
}

static struct bundle_source source_of(const struct sealing *s)
{
	return (struct bundle_source){
		.facts = &s->facts, .outcome = &s->outcome, .votes = s->k.casts, .vote_commitments = s->vote_commitments, .n_votes = s->k.n_casts, .stances = s->k.stances,
		.n_stances = s->k.n_stances, .place = s->place, .people = s->people, .commitments = s->commitments, .n_people = s->n_people,
	};
}

/* ---- The header ---- */

struct summing { struct merkle_builder roots[BUNDLE_PART_COUNT]; };

static enum err sum_line(void *arg, enum bundle_part part, struct str line)
{
	merkle_add(&((struct summing *)arg)->roots[part], merkle_leaf(line));
	return ERR_OK;
}

static void write_tally(struct json_writer *w, const char *key, const struct policy_tally *t)
{
	jw_key(w, key);
	jw_object(w);
	jw_kint(w, "abstain", t->abstain);
	jw_kint(w, "against", t->no);
	jw_kint(w, "for", t->yes);
	jw_kint(w, "roll", t->roll);
	jw_key(w, "undecided");
	jw_object(w);
	for (unsigned via = 0; via < POLICY_VIA_COUNT; via++)
		if (t->undecided[via])
			jw_kint(w, policy_via_name(via), t->undecided[via]);
	jw_end_object(w);
	jw_end_object(w);
}

static void write_parts(struct json_writer *w, struct arena *a, const struct summing *sum)
{
	jw_key(w, "roots");
	jw_object(w);
	for (unsigned part = 0; part < BUNDLE_PART_COUNT; part++)
		jw_kstr(w, bundle_part_name(part), sha256_hex(a, merkle_builder_root(&sum->roots[part])));
	jw_end_object(w);
	jw_key(w, "sizes");
	jw_object(w);
	for (unsigned part = 0; part < BUNDLE_PART_COUNT; part++)
		jw_kint(w, bundle_part_name(part), (int64_t)sum->roots[part].size);
	jw_end_object(w);
}

static void write_terms(struct json_writer *w, const struct sealing *s)
{
	const struct charter *ch = &s->k.charter;
	jw_key(w, "board");
	jw_object(w);
	jw_kint(w, "d", ch->board_d);
	jw_kint(w, "n", ch->board_n);
	jw_kbool(w, "strict", ch->board_strict);
	jw_end_object(w);
	jw_kint(w, "cap", ch->delegation_cap);
	jw_kint(w, "charter", s->ballot.charter);
	jw_kint(w, "depth", ch->delegation_depth);
	jw_kint(w, "admins_last_year", s->ballot.admins_last_year);
	jw_kint(w, "members_last_year", s->ballot.members_last_year);
	jw_key(w, "rule");
	jw_raw(w, s->ballot.rule);
	jw_key(w, "proposer");
	if (s->facts.proposer < s->facts.n && s->place[s->facts.proposer] != BUNDLE_NOBODY_HERE)
		jw_int(w, s->place[s->facts.proposer]);
	else
		jw_null(w);
	char target[17];
	snprintf(target, sizeof target, "%016llx", (unsigned long long)s->facts.ask.target);
	jw_kz(w, "target", target);
}

static enum err header_of(struct sealing *s, const struct summing *sum, struct str *out)
{
	struct call *c = s->k.call;
	struct coop coop;
	struct str origin;
	struct buf b, canonical;
	struct json_writer w;
	const struct json *json;
	TRY(coop_get(c, s->ballot.coop, &coop));
	TRY(ledger_origin(c, s->ballot.coop, &origin));
	buf_init(&b, BALLOT_BUNDLE_LINE);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kint(&w, "v", BALLOT_BUNDLE_VERSION);
	jw_kz(&w, "t", "ballot");
	jw_kstr(&w, "ballot", uuid_format(c->arena, s->ballot.id));
	jw_kstr(&w, "coop", coop.key_name);
	jw_kstr(&w, "origin", origin);
	jw_kstr(&w, "kind", s->ballot.kind);
	jw_kstr(&w, "subject", uuid_format(c->arena, s->ballot.subject));
	jw_kstr(&w, "digest", sha256_hex(c->arena, s->ballot.digest));
	jw_kstr(&w, "title", s->title);
	jw_kstr(&w, "question", s->question);
	jw_kstr(&w, "visibility", s->visibility);
	jw_kint(&w, "opens_at", s->ballot.opens_at);
	jw_kint(&w, "closed_at", s->closed_at);
	write_terms(&w, s);
	write_parts(&w, c->arena, sum);
	jw_key(&w, "counts");
	jw_object(&w);
	write_tally(&w, "members", &s->outcome.count.of[POLICY_MEMBERS]);
	write_tally(&w, "admins", &s->outcome.count.of[POLICY_ADMINS]);
	jw_end_object(&w);
	jw_kbool(&w, "passed", s->outcome.verdict == POLICY_PASSED);
	jw_end_object(&w);
	struct str text = buf_take(c->arena, &b);
	TRY(json_parse(c->arena, text, &json, &c->error));
	buf_init(&canonical, BALLOT_BUNDLE_LINE);
	json_canonical(&canonical, json, false);
	*out = buf_take(c->arena, &canonical);
	return ERR_OK;
}

/* ---- The other count ---- */

static bool count_word(struct ballot_tally *t, struct str what, int n)
{
	t->roll += n;
	if (str_is(what, "for"))
		t->yes += n;
	else if (str_is(what, "against"))
		t->no += n;
	else if (str_is(what, "abstain"))
		t->abstain += n;
	else {
		t->undecided += n;
		for (unsigned via = 0; via < POLICY_VIA_COUNT; via++)
			if (str_is(what, policy_via_name(via))) {
				t->undecided_by[via] += n;
				return true;
			}
		return false;
	}
	return true;
}

static enum err recount(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_recount *out)
{
	struct rows r;
	*out = (struct ballot_recount){ .members = { .roll = 0 } };
	TRY(db_query(c, recount_read, &r, A_UUID(coop), A_UUID(ballot)));
	for (int i = 0; i < r.n; i++)
		if (!count_word(str_is(row_str(&r, i, 0), "admins") ? &out->admins : &out->members, row_str(&r, i, 1), (int)row_int(&r, i, 2)))
			return fail(c, ERR_CORRUPT, "The recount has a reason that is not known.");
	return ERR_OK;
}

enum err ballot_recount(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_recount *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(recount(c, coop, ballot, out));
	return db_commit(c);
}

static bool tally_agrees(const struct policy_tally *t, const struct ballot_tally *u)
{
	bool same = (int)t->roll == u->roll && (int)t->yes == u->yes && (int)t->no == u->no && (int)t->abstain == u->abstain;
	for (unsigned via = 0; same && via < POLICY_VIA_COUNT; via++)
		same = (int)t->undecided[via] == u->undecided_by[via];
	return same;
}

/* ---- Sealing ---- */

static enum err seal_leaf(struct sealing *s, struct str header, int64_t *leaf)
{
	struct call *c = s->k.call;
	struct str id = uuid_format(c->arena, s->ballot.id), digest = sha256_hex(c->arena, sha256(header));
	struct str facts = str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"bundle\":\"%.*s\"}", STR_ARG(id), STR_ARG(digest));
	return ledger_append(c, s->ballot.coop, &(struct leaf){ .type = "ballot.sealed", .data = facts }, leaf);
}

enum err ballot_seal(struct call *c, struct uuid coop, struct uuid ballot)
{
	struct sealing s;
	struct summing sum = { 0 };
	struct ballot_recount other;
	struct str header;
	struct rows r;
	int64_t leaf;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(load(c, coop, ballot, &s));
	TRY(db_query(c, seal_read, &r, A_UUID(coop), A_UUID(ballot)));
	if (r.n > 0)
		return db_commit(c);
	TRY(recount(c, coop, ballot, &other));
	if (!tally_agrees(&s.outcome.count.of[POLICY_MEMBERS], &other.members) || !tally_agrees(&s.outcome.count.of[POLICY_ADMINS], &other.admins))
		return fail(c, ERR_CORRUPT, "Two ways of counting this ballot do not agree: nothing is sealed.");
	random_bytes(s.secret, sizeof s.secret);
	TRY(find_people(&s));
	struct bundle_source source = source_of(&s);
	TRY(bundle_lines(&source, sum_line, &sum));
	TRY(header_of(&s, &sum, &header));
	TRY(seal_leaf(&s, header, &leaf));
	TRY(db_exec(c, seal_insert, A_UUID(coop), A_UUID(ballot), A_BYTES(str_make(s.secret, 32)), A_STR(header), A_BYTES(str_make(sha256(header).b, 32)), A_I64(leaf)));
	return db_commit(c);
}

static enum err job_seal(struct call *c, const struct json *args)
{
	struct uuid coop, ballot;
	TRY(job_args_read(c, args, "ballot", &coop, &ballot));
	return ballot_seal(c, coop, ballot);
}

const struct job_kind ballot_proof_jobs[] = {
	{ "ballot.seal", job_seal, 20, 600 },
	JOB_TABLE_END,
};

/* ---- Reading ---- */

/* Inside. `secret` may be NULL. */
static enum err seal_get(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_seal *out, uint8_t *secret)
{
	struct rows r;
	TRY(db_query(c, seal_read, &r, A_UUID(coop), A_UUID(ballot)));
	if (r.n != 1)
		return fail_reason(c, ERR_NOT_FOUND, "not_sealed", "There is no proof of this ballot yet. It is made when the ballot has closed.");
	*out = (struct ballot_seal){ row_str(&r, 0, 0), sha256_load(row_bytes(&r, 0, 1)), row_int(&r, 0, 2), row_time(&r, 0, 3) };
	if (secret)
		memcpy(secret, row_bytes(&r, 0, 4).p, 32);
	return ERR_OK;
}

/* A ballot of restricted visibility is for members; what others may see of the rest has no names. Inside. */
static enum err may_read(struct call *c, struct uuid coop, struct uuid ballot)
{
	struct rows r;
	struct member me;
	TRY(db_one(c, ballot_heading, &r, A_UUID(coop), A_UUID(ballot)));
	if (!str_is(row_str(&r, 0, 4), "restricted") || c->actor.kind == AUTH_SYSTEM)
		return ERR_OK;
	TRY(member_of_actor(c, coop, &me));
	return in_good_standing(me.state) ? ERR_OK : fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
}

enum err ballot_seal_read(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_seal *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(may_read(c, coop, ballot));
	TRY(seal_get(c, coop, ballot, out, NULL));
	return db_commit(c);
}

struct writing {
	bundle_write_fn write;
	void *arg;
	char text[64 * KIB];
	size_t n;
};

static enum err flush(struct writing *w)
{
	size_t n = w->n;
	w->n = 0;
	return n ? w->write(w->arg, w->text, n) : ERR_OK;
}

static enum err write_line(void *arg, enum bundle_part part, struct str line)
{
	struct writing *w = arg;
	(void)part;
	if (w->n + line.n + 1 > sizeof(w->text))
		TRY(flush(w));
	if (line.n + 1 > sizeof(w->text)) {
		TRY(w->write(w->arg, line.p, line.n));
		return w->write(w->arg, "\n", 1);
	}
	memcpy(w->text + w->n, line.p, line.n);
	w->text[w->n + line.n] = '\n';
	w->n += line.n + 1;
	return ERR_OK;
}

/* The last line: the log's proof, and the key that it is signed with. */
static enum err proof_line(struct call *c, struct uuid coop, int64_t leaf, struct str *out)
{
	struct str proof, origin;
	struct keychain chain;
	struct buf b;
	struct json_writer w;
	TRY(ledger_prove_inclusion(c, coop, leaf, &proof));
	TRY(ledger_origin(c, coop, &origin));
	TRY(keychain_of(c, coop, &chain));
	buf_init(&b, 2 * LIMIT_PROOF + KEYCHAIN_TEXT_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "key", note_verifier_key(c->arena, origin, keychain_current(&chain)));
	if (chain.n > 1) {
		jw_key(&w, "keys");
		jw_raw(&w, chain.text);
	}
	jw_kstr(&w, "proof", proof);
	jw_kz(&w, "t", "proof");
	jw_end_object(&w);
	*out = buf_take(c->arena, &b);
	return ERR_OK;
}

/* A sealed ballot as it was sealed. Inside. */
static enum err load_sealed(struct call *c, struct uuid coop, struct uuid ballot, struct sealing *s, struct ballot_seal *seal)
{
	uint8_t secret[32];
	TRY(may_read(c, coop, ballot));
	TRY(seal_get(c, coop, ballot, seal, secret));
	TRY(load(c, coop, ballot, s));
	memcpy(s->secret, secret, sizeof(secret));
	return find_people(s);
}

/* ---- How many at a time ---- */

/* Whoever comes may ask for a bundle, and each takes the memory of a whole ballot. */
static atomic_int under_way;

struct slot { bool held; };

static void slot_release(void *slot)
{
	struct slot *s = slot;
	if (s->held)
		atomic_fetch_sub(&under_way, 1);
	s->held = false;
}

static enum err slot_take(struct call *c, struct slot **out)
{
	struct slot *s = ARENA_NEW(c->arena, struct slot);
	if (!s || !arena_defer(c->arena, slot_release, s))
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	s->held = atomic_fetch_add(&under_way, 1) < BALLOT_PROOFS_AT_ONCE;
	*out = s;
	if (s->held)
		return ERR_OK;
	atomic_fetch_sub(&under_way, 1);
	return fail_reason(c, ERR_UNAVAILABLE, "proofs_busy", "Several proofs of ballots are being made just now. Try again shortly.");
}

static enum err write_bundle(struct call *c, struct uuid coop, struct uuid ballot, bundle_write_fn write, void *arg)
{
	struct sealing s;
	struct ballot_seal seal;
	struct str last;
	TRY(db_begin_in(c, coop, DB_SERIAL));
	TRY(load_sealed(c, coop, ballot, &s, &seal));
	TRY(proof_line(c, coop, seal.leaf, &last));
	TRY(db_commit(c));
	struct writing *w = ARENA_NEW(c->arena, struct writing);
	if (!w)
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	w->write = write;
	w->arg = arg;
	w->n = 0;
	struct bundle_source source = source_of(&s);
	TRY(write_line(w, BUNDLE_PEOPLE, seal.header));
	TRY(bundle_lines(&source, write_line, w));
	TRY(write_line(w, BUNDLE_PEOPLE, last));
	return flush(w);
}

enum err ballot_bundle_write(struct call *c, struct uuid coop, struct uuid ballot, bundle_write_fn write, void *arg)
{
	struct slot *slot;
	TRY(slot_take(c, &slot));
	enum err e = write_bundle(c, coop, ballot, write, arg);
	slot_release(slot);
	return e;
}

/* ---- One's own part ---- */

struct picking {
	struct arena *a;
	uint32_t place;                  /* whose lines are wanted */
	uint64_t outcome_place;          /* which outcome that is */
	struct sha256 *leaves[BUNDLE_PART_COUNT];
	uint64_t n[BUNDLE_PART_COUNT];
	struct str person, outcome;
};

static enum err pick_line(void *arg, enum bundle_part part, struct str line)
{
	struct picking *p = arg;
	if (part != BUNDLE_PEOPLE && part != BUNDLE_OUTCOMES)
		return ERR_OK;
	uint64_t i = p->n[part]++;
	p->leaves[part][i] = merkle_leaf(line);
	if (part == BUNDLE_PEOPLE && i == p->place)
		p->person = str_copy(p->a, line);
	if (part == BUNDLE_OUTCOMES && i == p->outcome_place)
		p->outcome = str_copy(p->a, line);
	return ERR_OK;
}

struct hashes { const struct sha256 *leaves; };

/* Subtrees of a list that is in memory. */
static enum err hash_at(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	const struct hashes *h = arg;
	*out = merkle_root(h->leaves + (index << level), (size_t)1 << level);
	return ERR_OK;
}

static uint64_t outcomes_before(const struct sealing *s, uint32_t place)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < place; i++)
		n += (s->facts.roll[s->people[i]] & BALLOT_ON_ROLL) != 0;
	return n;
}

static enum err own_proof(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_own_proof *out)
{
	struct sealing s;
	struct ballot_seal seal;
	struct member me;
	TRY(db_begin_in(c, coop, DB_SERIAL));
	TRY(member_of_actor(c, coop, &me));
	TRY(load_sealed(c, coop, ballot, &s, &seal));
	TRY(db_commit(c));
	if ((size_t)me.number >= s.facts.n || !(s.facts.roll[me.number] & BALLOT_ON_ROLL))
		return fail_reason(c, ERR_NOT_FOUND, "not_on_roll", "You were not on the roll of this ballot.");
	struct picking p = { .a = c->arena, .place = s.place[me.number], .outcome_place = outcomes_before(&s, s.place[me.number]) };
	p.leaves[BUNDLE_PEOPLE] = ARENA_ARRAY(s.k.arena, s.n_people + 1, struct sha256);
	p.leaves[BUNDLE_OUTCOMES] = ARENA_ARRAY(s.k.arena, s.n_people + 1, struct sha256);
	if (!p.leaves[BUNDLE_PEOPLE] || !p.leaves[BUNDLE_OUTCOMES])
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	struct bundle_source source = source_of(&s);
	TRY(bundle_lines(&source, pick_line, &p));
	*out = (struct ballot_own_proof){ .place = p.place, .commitment = s.commitments[p.place], .person = p.person, .outcome = p.outcome, .outcome_index = p.outcome_place };
	salt_of(s.secret, s.k.arena, me.id, out->salt);
	struct hashes people = { p.leaves[BUNDLE_PEOPLE] }, outcomes = { p.leaves[BUNDLE_OUTCOMES] };
	TRY(merkle_inclusion(c->arena, p.place, p.n[BUNDLE_PEOPLE], hash_at, &people, &out->person_path, &out->n_person_path));
	return merkle_inclusion(c->arena, p.outcome_place, p.n[BUNDLE_OUTCOMES], hash_at, &outcomes, &out->outcome_path, &out->n_outcome_path);
}

enum err ballot_own_proof(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_own_proof *out)
{
	struct slot *slot;
	TRY(slot_take(c, &slot));
	enum err e = own_proof(c, coop, ballot, out);
	slot_release(slot);
	return e;
}
