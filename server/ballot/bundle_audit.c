/* Reading a bundle and counting again. Everything in it is hostile until shown otherwise. */
#include "bundle.h"

#include "commonhold/ledger.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define PART_MAX 50000000 /* lines of one part; more is no co-op's ballot */
#define READ_BLOCK (256 * KIB)

/* An outcome as the bundle has it, to be compared. */
struct claimed {
	uint32_t decider;                 /* place, POLICY_BOARD, POLICY_NO_DECIDER */
	uint8_t choice, via, reason, hops;
	bool on_behalf, seen;
	uint64_t path[POLICY_DEPTH_MAX];  /* edges */
};

struct auditing {
	struct arena *a;
	struct error *e;
	struct audit_result *result;
	struct check **last;        /* where the next check goes */
	/* the header */
	struct str header_text;
	const struct json *header;
	struct ballot_rule rule;
	uint32_t size[BUNDLE_PART_COUNT]; /* as the header says */
	instant closed_at, opens_at;
	/* the lines */
	uint32_t seen[BUNDLE_PART_COUNT];
	struct merkle_builder roots[BUNDLE_PART_COUNT];
	uint8_t *roll, *active;
	struct ballot_cast *votes;
	struct ballot_stance *stances;
	struct policy_edge *edges;
	struct claimed *claimed;          /* by place */
	struct sha256 last_commitment;
	const struct json *proof;         /* the last line */
	/* reading */
	FILE *in;
	char *block;
	size_t at, end;                   /* in the block */
	char *line;
	int64_t lines;
};

/* ---- What was found ---- */

static void note(struct auditing *v, const char *id, bool ok, const char *fmt, ...) CH_PRINTF(4, 5);
static void note(struct auditing *v, const char *id, bool ok, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	struct check *c = ARENA_NEW(v->a, struct check);
	if (!c)
		return;
	*c = (struct check){ .id = id, .ok = ok, .text = str_copy(v->a, str_make(text, n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1)) };
	*v->last = c;
	v->last = &c->next;
	v->result->ok &= ok;
}

#define bad_line(v, ...) (note((v), "lines", false, __VA_ARGS__), false)

/* ---- Lines ---- */

/* The next line without its end; false at the end of the file or when it is not to be read (an error is then set). */
static bool next_line(struct auditing *v, struct str *out)
{
	size_t n = 0;
	for (;;) {
		if (v->at == v->end) {
			v->at = 0;
			v->end = fread(v->block, 1, READ_BLOCK, v->in);
			if (v->end == 0) {
				if (ferror(v->in))
					(void)error_set(v->e, ERR_IO, "The bundle cannot be read: %s.", strerrorname_np(errno));
				break;
			}
		}
		char *from = v->block + v->at, *stop = memchr(from, '\n', v->end - v->at);
		size_t part = stop ? (size_t)(stop - from) : v->end - v->at;
		if (n + part > BALLOT_BUNDLE_LINE) {
			note(v, "lines", false, "Line %lld is longer than a line may be.", (long long)v->lines + 1);
			return false;
		}
		memcpy(v->line + n, from, part);
		n += part;
		v->at += part + (stop != NULL);
		if (stop)
			break;
	}
	if (n == 0 && v->end == 0)
		return false;
	v->lines++;
	*out = str_make(v->line, n);
	return true;
}

/* ---- Fields ---- */

static bool whole(const struct json *o, const char *key, int64_t least, int64_t most, int64_t *out)
{
	const struct json *f = json_get(o, key);
	*out = json_int(f, least > INT64_MIN ? least - 1 : most);
	return json_is(f, JSON_NUMBER) && *out >= least && *out <= most;
}

/* A place in the list of people. */
static bool place(struct auditing *v, const struct json *o, const char *key, uint32_t *out)
{
	int64_t n;
	bool ok = whole(o, key, 0, (int64_t)v->size[BUNDLE_PEOPLE] - 1, &n);
	*out = ok ? (uint32_t)n : 0;
	return ok;
}

/* An instant, or null for `never`. */
static bool when(const struct json *o, const char *key, policy_instant never, policy_instant *out)
{
	const struct json *f = json_get(o, key);
	*out = never;
	return json_is(f, JSON_NULL) || whole(o, key, 0, INT64_C(1) << 53, out);
}

static bool flag(const struct json *o, const char *key, bool *out)
{
	const struct json *f = json_get(o, key);
	*out = json_is(f, JSON_TRUE);
	return *out || json_is(f, JSON_FALSE);
}

static bool digest(const struct json *o, const char *key, struct sha256 *out)
{
	return sha256_parse(json_member_text(o, key), out);
}

static bool choice_of(const struct json *o, uint8_t *out)
{
	struct str word = json_member_text(o, "choice");
	int no = word.p ? ballot_choice_find(word.p, word.n) : -1;
	*out = no < 0 ? 0 : (uint8_t)no;
	return no >= 0;
}

static int via_find(struct str name)
{
	for (unsigned i = 0; i < POLICY_VIA_COUNT; i++)
		if (str_is(name, policy_via_name(i)))
			return (int)i;
	return -1;
}

/* A place, "board", or, where it may be, "nobody" or null. */
static bool whom(struct auditing *v, const struct json *o, const char *key, bool outcome, uint32_t *out)
{
	const struct json *f = json_get(o, key);
	*out = POLICY_BOARD;
	if (str_is(json_text(f), "board"))
		return true;
	*out = outcome ? POLICY_NO_DECIDER : POLICY_NOBODY;
	if (outcome ? json_is(f, JSON_NULL) : str_is(json_text(f), "nobody"))
		return true;
	return place(v, o, key, out);
}

/* ---- Parts ---- */

static bool take_person(struct auditing *v, const struct json *o, uint32_t i)
{
	bool active, admin, roll;
	struct sha256 c;
	if (!flag(o, "active", &active) || !flag(o, "admin", &admin) || !flag(o, "roll", &roll) || !digest(o, "c", &c) || (admin && !roll))
		return bad_line(v, "Person %u is not written as a person is.", i);
	if (i > 0 && memcmp(v->last_commitment.b, c.b, sizeof(c.b)) >= 0)
		return bad_line(v, "Person %u is there twice or out of order.", i);
	v->last_commitment = c;
	v->active[i] = active;
	v->roll[i] = (uint8_t)((roll ? BALLOT_ON_ROLL : 0) | (admin ? BALLOT_ROLL_ADMIN : 0));
	return true;
}

static bool in_window(const struct auditing *v, instant at)
{
	return at >= v->opens_at && at < v->closed_at;
}

static bool take_vote(struct auditing *v, const struct json *o, uint32_t i)
{
	struct ballot_cast *vote = &v->votes[i];
	bool own = json_is(json_get(o, "for"), JSON_NULL);
	struct sha256 commitment;
	*vote = (struct ballot_cast){ .seq = i, .principal = POLICY_NO_DECIDER };
	if (!whole(o, "at", 0, INT64_C(1) << 53, &vote->at) || !place(v, o, "by", &vote->member) || !digest(o, "c", &commitment) || !choice_of(o, &vote->choice)
		|| (!own && !place(v, o, "for", &vote->principal)))
		return bad_line(v, "Vote %u is not written as a vote is.", i);
	if (!in_window(v, vote->at))
		return bad_line(v, "Vote %u was cast while the ballot was not open.", i);
	if (!(v->roll[vote->member] & BALLOT_ON_ROLL) || (!own && (!(v->roll[vote->principal] & BALLOT_ON_ROLL) || vote->principal == vote->member)))
		return bad_line(v, "Vote %u is of or for somebody who is not on the roll.", i);
	return true;
}

static bool take_stance(struct auditing *v, const struct json *o, uint32_t i)
{
	struct ballot_stance *s = &v->stances[i];
	if (!whole(o, "at", 0, INT64_C(1) << 53, &s->at) || !place(v, o, "by", &s->member) || !choice_of(o, &s->choice))
		return bad_line(v, "Word %u of the board is not written as one is.", i);
	if (!in_window(v, s->at) || !(v->roll[s->member] & BALLOT_ROLL_ADMIN))
		return bad_line(v, "Word %u of the board was not an admin's while the ballot was open.", i);
	return true;
}

static int scope_find(struct str word)
{
	return str_is(word, "coop") ? POLICY_SCOPE_COOP : str_is(word, "topic") ? POLICY_SCOPE_TOPIC : str_is(word, "target") ? POLICY_SCOPE_TARGET : -1;
}

static bool hex64(struct str text, uint64_t *out)
{
	uint8_t b[8];
	*out = 0;
	if (!str_unhex(text, b, sizeof(b)))
		return false;
	for (size_t i = 0; i < sizeof(b); i++)
		*out = *out << 8 | b[i];
	return true;
}

static bool take_delegation(struct auditing *v, const struct json *o, uint32_t i)
{
	struct policy_edge *e = &v->edges[i];
	int scope = scope_find(json_member_text(o, "scope"));
	int64_t id, topics;
	*e = (struct policy_edge){ .question = POLICY_QUESTION_VOTE };
	if (scope < 0 || !when(o, "accepted", POLICY_NEVER, &e->accepted_at) || !whom(v, o, "delegate", false, &e->delegate) || !whole(o, "edge", 0, INT64_C(1) << 53, &id)
		|| !when(o, "ends", POLICY_NEVER, &e->ends) || !place(v, o, "from", &e->principal) || !when(o, "revoked", POLICY_NEVER, &e->revoked_at)
		|| !when(o, "starts", POLICY_EVER, &e->starts) || !hex64(json_member_text(o, "target"), &e->target) || !whole(o, "topics", 0, UINT32_MAX, &topics))
		return bad_line(v, "Delegation %u is not written as a delegation is.", i);
	if (i > 0 && v->edges[i - 1].id >= (uint64_t)id)
		return bad_line(v, "Delegation %u is there twice or out of order.", i);
	e->id = (uint64_t)id;
	e->scope = (uint8_t)scope;
	e->topics = (uint32_t)topics;
	return true;
}

static bool take_outcome(struct auditing *v, const struct json *o, uint32_t i)
{
	uint32_t who;
	struct claimed k = { .seen = true };
	int via = via_find(json_member_text(o, "via"));
	const struct json *path = json_get(o, "path"), *reason = json_get(o, "reason");
	int why = json_is(reason, JSON_NULL) ? POLICY_VIA_OWN : via_find(json_text(reason));
	if (!place(v, o, "i", &who) || via < 0 || why < 0 || !choice_of(o, &k.choice) || !whom(v, o, "decider", true, &k.decider) || !flag(o, "on_behalf", &k.on_behalf)
		|| !json_is(path, JSON_ARRAY) || path->count > POLICY_DEPTH_MAX)
		return bad_line(v, "Outcome %u is not written as an outcome is.", i);
	if (!(v->roll[who] & BALLOT_ON_ROLL) || v->claimed[who].seen)
		return bad_line(v, "Outcome %u is of somebody who is not on the roll, or there twice.", i);
	k.via = (uint8_t)via;
	k.reason = (uint8_t)why;
	json_each(edge, path)
		k.path[k.hops++] = (uint64_t)json_int(edge, -1);
	v->claimed[who] = k;
	return true;
}

/* Parts come in order, and people, votes and the like are numbered from 0. */
static bool take_line(struct auditing *v, struct str text, const struct json *o)
{
	static const char *const kinds[BUNDLE_PART_COUNT] = { "person", "vote", "stance", "delegation", "outcome" };
	static bool (*const takers[BUNDLE_PART_COUNT])(struct auditing *, const struct json *, uint32_t) = { take_person, take_vote, take_stance, take_delegation, take_outcome };
	struct str kind = json_member_text(o, "t");
	int64_t i;
	for (unsigned part = 0; part < BUNDLE_PART_COUNT; part++) {
		if (!str_is(kind, kinds[part]))
			continue;
		for (unsigned later = part + 1; later < BUNDLE_PART_COUNT; later++)
			if (v->seen[later])
				return bad_line(v, "Line %lld is out of order.", (long long)v->lines);
		if (v->seen[part] >= v->size[part])
			return bad_line(v, "There are more %s than the header says.", bundle_part_name(part));
		if (part != BUNDLE_OUTCOMES && (!whole(o, "i", 0, PART_MAX, &i) || i != v->seen[part]))
			return bad_line(v, "Line %lld has another number than its place.", (long long)v->lines);
		merkle_add(&v->roots[part], merkle_leaf(text));
		return takers[part](v, o, v->seen[part]++);
	}
	return bad_line(v, "Line %lld is of no kind that a bundle has.", (long long)v->lines);
}

/* ---- The header ---- */

static bool header_sizes(struct auditing *v)
{
	const struct json *sizes = json_get(v->header, "sizes");
	for (unsigned part = 0; part < BUNDLE_PART_COUNT; part++) {
		int64_t n;
		if (!whole(sizes, bundle_part_name(part), 0, PART_MAX, &n))
			return false;
		v->size[part] = (uint32_t)n;
	}
	return true;
}

static bool make_room(struct auditing *v)
{
	v->roll = ARENA_ARRAY(v->a, v->size[BUNDLE_PEOPLE] + 1, uint8_t);
	v->active = ARENA_ARRAY(v->a, v->size[BUNDLE_PEOPLE] + 1, uint8_t);
	v->votes = ARENA_ARRAY(v->a, v->size[BUNDLE_VOTES] + 1, struct ballot_cast);
	v->stances = ARENA_ARRAY(v->a, v->size[BUNDLE_STANCES] + 1, struct ballot_stance);
	v->edges = ARENA_ARRAY(v->a, v->size[BUNDLE_DELEGATIONS] + 1, struct policy_edge);
	v->claimed = ARENA_ARRAY(v->a, v->size[BUNDLE_PEOPLE] + 1, struct claimed);
	if (!v->roll || !v->active || !v->votes || !v->stances || !v->edges || !v->claimed)
		return false;
	memset(v->claimed, 0, (v->size[BUNDLE_PEOPLE] + 1) * sizeof(*v->claimed));
	return true;
}

static bool take_header(struct auditing *v, struct str text)
{
	struct error e = { 0 };
	v->header_text = str_copy(v->a, text);
	if (json_parse(v->a, v->header_text, &v->header, &e) != ERR_OK || !str_is(json_member_text(v->header, "t"), "ballot"))
		return note(v, "header", false, "The first line is no header of a ballot's bundle."), false;
	int64_t version = json_int(json_get(v->header, "v"), 0);
	if (version != BALLOT_BUNDLE_VERSION)
		return note(v, "header", false, "The bundle is of version %lld; this program knows version %d.", (long long)version, BALLOT_BUNDLE_VERSION), false;
	if (!header_sizes(v) || !whole(v->header, "closed_at", 0, INT64_C(1) << 53, &v->closed_at) || !whole(v->header, "opens_at", 0, INT64_C(1) << 53, &v->opens_at))
		return note(v, "header", false, "The header does not say how much there is, or when the ballot was."), false;
	if (!json_get(v->header, "rule") || ballot_rule_parse(v->a, json_get(v->header, "rule"), &v->rule, &e) != ERR_OK)
		return note(v, "header", false, "The rule in the header is no rule: %s", e.message), false;
	if (!make_room(v))
		return note(v, "header", false, "The bundle is larger than this program has memory for."), false;
	v->result->ballot = json_member_text(v->header, "ballot");
	v->result->title = json_member_text(v->header, "title");
	note(v, "header", true, "Ballot %.*s of co-op %.*s: \"%.*s\".", STR_ARG(v->result->ballot), STR_ARG(json_member_text(v->header, "coop")),
		STR_ARG(str_sub(v->result->title, 0, 200)));
	return true;
}

static bool read_lines(struct auditing *v)
{
	struct str text;
	if (!next_line(v, &text) || !take_header(v, text))
		return v->lines > 0 ? false : (note(v, "header", false, "The bundle is empty."), false);
	while (next_line(v, &text)) {
		struct arena_mark mark = arena_mark(v->a);
		const struct json *o;
		struct error e = { 0 };
		if (v->proof)
			return bad_line(v, "Something follows the proof.");
		if (json_parse(v->a, text, &o, &e) != ERR_OK)
			return bad_line(v, "Line %lld is not JSON: %s", (long long)v->lines, e.message);
		if (str_is(json_member_text(o, "t"), "proof")) {
			if (json_parse(v->a, str_copy(v->a, text), &v->proof, &e) != ERR_OK)
				return bad_line(v, "The proof is not JSON.");
			continue;
		}
		if (!take_line(v, text, o))
			return false;
		arena_rewind(v->a, mark);
	}
	if (!v->result->ok)
		return false;
	for (unsigned part = 0; part < BUNDLE_PART_COUNT; part++)
		if (v->seen[part] != v->size[part])
			return bad_line(v, "There are %u %s; the header says %u.", v->seen[part], bundle_part_name(part), v->size[part]);
	note(v, "lines", true, "%u people, %u votes, %u delegations, each as it should be written.", v->seen[BUNDLE_PEOPLE], v->seen[BUNDLE_VOTES], v->seen[BUNDLE_DELEGATIONS]);
	return true;
}

/* ---- Checks ---- */

static void check_roots(struct auditing *v)
{
	const struct json *roots = json_get(v->header, "roots");
	for (unsigned part = 0; part < BUNDLE_PART_COUNT; part++) {
		struct sha256 said, found = merkle_builder_root(&v->roots[part]);
		if (!digest(roots, bundle_part_name(part), &said) || memcmp(said.b, found.b, sizeof(said.b)) != 0) {
			note(v, "roots", false, "The %s are not those whose root the header has.", bundle_part_name(part));
			return;
		}
	}
	note(v, "roots", true, "The Merkle roots of all five parts are those in the header.");
}

static bool outcome_same(const struct auditing *v, const struct ballot_facts *f, const struct ballot_outcome *o, uint32_t i)
{
	const struct claimed *k = &v->claimed[i];
	const struct ballot_voice *voice = &o->voices[i];
	uint32_t path[POLICY_DEPTH_MAX];
	size_t hops = ballot_outcome_path(f, o, i, path);
	bool same = k->seen && k->choice == voice->choice && k->via == voice->via && k->decider == voice->decider && k->on_behalf == voice->on_behalf && k->hops == hops
		&& k->reason == (voice->choice == BALLOT_NONE ? voice->reason : POLICY_VIA_OWN);
	for (size_t h = 0; same && h < hops; h++)
		same = k->path[h] == f->edges[path[h]].id;
	return same;
}

static void check_outcomes(struct auditing *v, const struct ballot_facts *f, const struct ballot_outcome *o)
{
	for (uint32_t i = 0; i < v->size[BUNDLE_PEOPLE]; i++)
		if ((v->roll[i] & BALLOT_ON_ROLL) && !outcome_same(v, f, o, i)) {
			note(v, "outcomes", false, "What the bundle says became of person %u is not what follows from the votes and delegations.", i);
			return;
		}
	note(v, "outcomes", true, "Everybody on the roll was counted as the votes and delegations say.");
}

static struct ballot_tally tally_of(const struct policy_tally *t)
{
	struct ballot_tally out = { .roll = (int)t->roll, .yes = (int)t->yes, .no = (int)t->no, .abstain = (int)t->abstain };
	for (unsigned i = 0; i < POLICY_VIA_COUNT; i++) {
		out.undecided_by[i] = (int)t->undecided[i];
		out.undecided += (int)t->undecided[i];
	}
	return out;
}

static bool tally_same(const struct json *said, const struct ballot_tally *t)
{
	const struct json *reasons = json_get(said, "undecided");
	bool same = json_int(json_get(said, "roll"), -1) == t->roll && json_int(json_get(said, "for"), -1) == t->yes && json_int(json_get(said, "against"), -1) == t->no
		&& json_int(json_get(said, "abstain"), -1) == t->abstain;
	for (unsigned i = 0; same && i < POLICY_VIA_COUNT; i++)
		same = json_int(json_get(reasons, policy_via_name(i)), 0) == t->undecided_by[i];
	return same && t->yes + t->no + t->abstain + t->undecided == t->roll;
}

static void check_counts(struct auditing *v, const struct ballot_outcome *o)
{
	struct audit_result *r = v->result;
	bool said;
	r->members = tally_of(&o->count.of[POLICY_MEMBERS]);
	r->admins = tally_of(&o->count.of[POLICY_ADMINS]);
	r->passed = o->verdict == POLICY_PASSED;
	const struct json *counts = json_get(v->header, "counts");
	bool same = tally_same(json_get(counts, "members"), &r->members) && tally_same(json_get(counts, "admins"), &r->admins);
	note(v, "counts", same, same ? "%d for, %d against, %d abstained, %d not decided, of %d on the roll." : "Counted again: %d for, %d against, %d abstained, %d not decided, of %d on the roll. The header says otherwise.",
		r->members.yes, r->members.no, r->members.abstain, r->members.undecided, r->members.roll);
	bool agrees = flag(v->header, "passed", &said) && said == r->passed;
	note(v, "result", agrees, "By its rule the ballot %s%s.", r->passed ? "passed" : "did not pass", agrees ? "" : "; the header says the opposite");
}

/* The facts as the header and the lines have them; false when the header contradicts itself. */
static bool facts_of(struct auditing *v, struct ballot_facts *f)
{
	const struct json *h = v->header, *board = json_get(h, "board");
	int64_t depth, cap, members, admins, num, den, proposer = -1;
	uint64_t target;
	bool strict, scheduled = json_is(json_get(h, "proposer"), JSON_NULL);
	struct str kind = json_member_text(h, "kind");
	int topic = kind.p ? policy_ballot_find(kind.p, kind.n) : -1;
	size_t n = v->size[BUNDLE_PEOPLE];
	if (topic < 0 || !whole(h, "depth", 1, POLICY_DEPTH_MAX, &depth) || !whole(h, "cap", 0, UINT32_MAX, &cap) || !whole(h, "members_last_year", 0, INT32_MAX, &members)
		|| !whole(h, "admins_last_year", 0, INT32_MAX, &admins) || !whole(board, "n", 0, INT32_MAX, &num) || !whole(board, "d", 1, INT32_MAX, &den) || !flag(board, "strict", &strict)
		|| !hex64(json_member_text(h, "target"), &target) || (!scheduled && !whole(h, "proposer", 0, (int64_t)n - 1, &proposer)))
		return false;
	struct ballot_mandate *mandates;
	size_t n_mandates;
	uint8_t *choice = ARENA_ARRAY(v->a, n + 1, uint8_t);
	if (!choice || !ballot_fold_casts(v->a, v->votes, v->size[BUNDLE_VOTES], n, v->closed_at - 1, choice, &mandates, &n_mandates))
		return false;
	choice[n] = (uint8_t)ballot_board_at(v->a, v->stances, v->size[BUNDLE_STANCES], v->roll, n, v->closed_at - 1, (uint32_t)num, (uint32_t)den, strict);
	*f = (struct ballot_facts){
		.n = n, .roll = v->roll, .active = v->active, .choice = choice, .edges = v->edges, .n_edges = v->size[BUNDLE_DELEGATIONS], .mandates = mandates, .n_mandates = n_mandates,
		.ask = { .question = POLICY_QUESTION_VOTE, .topic = (uint8_t)topic, .depth = (uint8_t)depth, .board_active = 1, .cap = (uint32_t)cap, .target = target, .at = v->closed_at - 1 },
		.proposer = scheduled ? POLICY_NO_DECIDER : (uint32_t)proposer, .members_last_year = (uint32_t)members, .admins_last_year = (uint32_t)admins,
		.rule = v->rule.nodes, .n_rule = v->rule.n,
	};
	return true;
}

static void recount(struct auditing *v)
{
	struct ballot_facts f;
	struct ballot_outcome o;
	if (!facts_of(v, &f) || ballot_outcome_of(v->a, &f, &o) != ERR_OK) {
		note(v, "counts", false, "What the header says about delegation contradicts itself, or there is no memory to count.");
		return;
	}
	check_outcomes(v, &f, &o);
	check_counts(v, &o);
}

/* The key that signed, and where it stands among the co-op's keys. Proofs carry the chain once there was a second key. */
static bool key_of(struct auditing *v, const struct keychain_trust *trust, uint8_t key[32], struct keychain *chain, size_t *which)
{
	struct str origin, name = json_member_text(v->header, "coop");
	const struct json *keys = json_get(v->proof, "keys");
	struct keychain carried;
	struct error e = { 0 };
	if (!note_verifier_parse(v->a, json_member_text(v->proof, "key"), &origin, key))
		return note(v, "log", false, "The proof names no key."), false;
	if (keys && keychain_read_json(v->a, keys, &carried, &e) != ERR_OK)
		return note(v, "log", false, "The proof's chain of keys: %s", e.message), false;
	if (keychain_settle(v->a, trust, keys ? &carried : NULL, name, key, chain, which, &v->result->pinned, &e) != ERR_OK)
		return note(v, "log", false, "The proof %s.", e.message), false;
	return true;
}

static bool leaf_names_header(struct auditing *v, struct str entry)
{
	const struct json *leaf, *data;
	struct error e = { 0 };
	if (!entry.p || json_parse(v->a, entry, &leaf, &e) != ERR_OK)
		return false;
	data = json_get(leaf, "data");
	return str_is(json_member_text(leaf, "t"), "ballot.sealed") && str_eq(json_member_text(data, "ballot"), v->result->ballot)
		&& str_eq(json_member_text(data, "bundle"), sha256_hex(v->a, sha256(v->header_text)));
}

static void check_log(struct auditing *v, const struct keychain_trust *trust)
{
	uint8_t key[32];
	struct keychain chain;
	size_t which;
	struct str origin = json_member_text(v->header, "origin");
	struct tlog_proof proof;
	struct sha256 root;
	uint64_t size;
	struct error e = { 0 };
	if (!v->proof) {
		note(v, "log", false, "The bundle has no proof that the co-op's log knows it.");
		return;
	}
	if (!key_of(v, trust, key, &chain, &which))
		return;
	if (tlog_proof_read(v->a, json_member_text(v->proof, "proof"), &proof, &e) != ERR_OK || checkpoint_verify(v->a, proof.checkpoint, origin, key, &size, &root, &e) != ERR_OK) {
		note(v, "log", false, "%s", e.message);
		return;
	}
	if (size > INT64_MAX || !keychain_signs_size(&chain, which, (int64_t)size)) {
		note(v, "log", false, "The proof is signed by key %zu of the co-op, which does not sign for a log of %llu leaves: another was in force.", which + 1, (unsigned long long)size);
		return;
	}
	bool named = leaf_names_header(v, proof.entry);
	bool there = named && merkle_inclusion_ok(merkle_leaf(proof.entry), proof.index, size, proof.path, proof.n, root);
	note(v, "log", there, there ? "Leaf %llu of the signed log \"%.*s\" names this header." : named ? "The proof does not lead from leaf %llu to the checkpoint of \"%.*s\"."
		: "Leaf %llu of \"%.*s\" speaks of another bundle.", (unsigned long long)proof.index, STR_ARG(origin));
}

/* ---- The whole ---- */

static FILE *open_bundle(const char *path, struct error *e)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
	if (!in)
		(void)error_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "The bundle %s cannot be opened: %s.", path, strerrorname_np(errno));
	return in;
}

enum err ballot_bundle_audit(struct arena *a, const char *path, const struct keychain_trust *trust, struct audit_result *out, struct error *e)
{
	struct auditing v = { .a = a, .e = e, .result = out, .block = arena_alloc(a, READ_BLOCK), .line = arena_alloc(a, BALLOT_BUNDLE_LINE + 1) };
	*out = (struct audit_result){ .ok = true };
	v.last = &out->checks;
	if (!v.block || !v.line)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	v.in = open_bundle(path, e);
	if (!v.in)
		return e->code;
	bool readable = read_lines(&v);
	if (v.in != stdin)
		(void)fclose(v.in);
	if (e->code != ERR_OK)
		return e->code;
	if (!readable)
		return ERR_OK;
	check_roots(&v);
	recount(&v);
	check_log(&v, trust);
	return ERR_OK;
}
