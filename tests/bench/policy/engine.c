/*
 * engine.c - how fast the policy engine decides, beside a plain loop over the same columns that gives no reasons.
 *
 *     engine DIRECTORY
 *
 * Makes 10^6 items of 10^5 members with delegations from a fixed seed, decides them, and leaves in DIRECTORY the
 * columns and outcomes for the peers (peers.mjs) and engine.json, the samples of every figure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commonhold/policy.h"

enum { ITEMS = 1000000, MEMBERS = 100000, REPEATS = 15, EVENTS = 200, EXPLAINED = 2000, CROWD = 1000000 };
#define DAY_S 86400u
#define NOW_S 1700000000u

static uint64_t state = 20261122;

static uint64_t next_random(void)
{
	uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static unsigned below(unsigned n)
{
	return (unsigned)(next_random() % n);
}

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *must(void *at)
{
	if (!at) {
		fputs("engine: out of memory\n", stderr);
		exit(1);
	}
	return at;
}

static void *take(void *ctx, size_t size)
{
	(void)ctx;
	return malloc(size);
}
static struct policy_mem mem = {take, NULL};

/* Samples of one figure. */
struct figure {
	const char *name; /* as in policy.json */
	const char *unit; /* of the samples */
	double at[EVENTS > REPEATS ? EVENTS : REPEATS]; /* samples */
	size_t n;         /* how many */
};

static void sample(struct figure *f, double value)
{
	f->at[f->n++] = value;
}

/* ---- The world ---- */

static struct policy_member *members;
static struct policy_statement *statements;
static struct policy_edge *edges;
static size_t n_statements, n_edges;
static uint64_t *words;
static uint32_t *owners;

static struct policy_statement *say(uint32_t subject, unsigned layer, unsigned effect)
{
	struct policy_statement *s = &statements[n_statements++];
	*s = (struct policy_statement){.id = n_statements, .subject = subject, .item = POLICY_NO_ITEM, .effect = (uint8_t)effect,
	                               .uses = POLICY_BIT(POLICY_USE_TRAIN_GEN) | POLICY_BIT(POLICY_USE_SEARCH),
	                               .duties = effect == POLICY_EFFECT_ALLOW_IF ? POLICY_BIT(POLICY_DUTY_CREDIT) : 0,
	                               .layer = (uint8_t)layer, .declared_at = 5, .valid_from = POLICY_EVER, .valid_to = POLICY_NEVER};
	return s;
}

static void make_people(void)
{
	for (uint32_t m = 0; m < MEMBERS; m++) {
		members[m] = (struct policy_member){.standing = below(20) ? POLICY_STANDING_ACTIVE : POLICY_STANDING_LAPSED,
		                                    .consent = below(12) ? POLICY_CONSENT_GIVEN : POLICY_CONSENT_WITHDRAWN,
		                                    .notice = 1, .purposes = 1u << POLICY_PURPOSE_RESEARCH, .consent_given = 1,
		                                    .consent_expires = POLICY_NEVER, .defaults_accepted = POLICY_NEVER};
		unsigned kind = below(20);
		if (kind < 9)
			say(m, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
		else if (kind < 11)
			say(m, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF);
		else if (kind < 12)
			say(m, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
		else if (kind < 13)
			say(m, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->uses = POLICY_BIT(POLICY_USE_SEARCH);
		if (m < 2000)
			say(m, POLICY_LAYER_DELEGATE, below(10) ? POLICY_EFFECT_ALLOW : POLICY_EFFECT_DENY);
		uint32_t to = below(4) ? below(2000) : below(MEMBERS);
		if (below(2) && to != m)
			edges[n_edges++] = (struct policy_edge){.id = n_edges, .principal = m, .delegate = to,
			                                        .question = POLICY_QUESTION_CONSENT, .accepted_at = 3, .starts = POLICY_EVER,
			                                        .ends = POLICY_NEVER, .revoked_at = POLICY_NEVER};
	}
}

static void make_items(void)
{
	static const uint8_t licences[] = {POLICY_LICENCE_CC_BY_4_0, POLICY_LICENCE_CC_BY_4_0, POLICY_LICENCE_CC_BY_4_0,
	                                   POLICY_LICENCE_CC0_1_0, POLICY_LICENCE_CC0_1_0, POLICY_LICENCE_CC_BY_SA_4_0,
	                                   POLICY_LICENCE_CDLA_PERMISSIVE_2_0, POLICY_LICENCE_UNKNOWN};
	for (size_t i = 0; i < ITEMS; i++) {
		owners[i] = below(MEMBERS);
		const struct policy_item item = {
			.kind = (uint8_t)below(POLICY_KIND_COUNT), .licence = licences[below(8)],
			.moderation = below(25) ? POLICY_MODERATION_APPROVED : (uint8_t)below(3),
			.flags = (below(40) ? 0 : POLICY_ITEM_PII) | (below(60) ? 0 : POLICY_ITEM_DUPLICATE) |
			         (below(99) ? 0 : POLICY_ITEM_TOMBSTONED) | (below(30) ? POLICY_ITEM_ATTRIBUTED : 0),
			.created = (policy_instant)(NOW_S - below(400 * DAY_S)) * POLICY_SECOND};
		words[i] = policy_item_pack(&item);
	}
}

static void make_spec(struct policy_spec *spec)
{
	policy_spec_init(spec);
	spec->uses = POLICY_BIT(POLICY_USE_TRAIN_GEN) | POLICY_BIT(POLICY_USE_SEARCH);
	spec->uses_conditional = POLICY_USES_ALL;
	spec->audience = POLICY_AUDIENCE_GATED_MANUAL;
	spec->audience_duties = POLICY_DUTIES_ALL;
	spec->purposes = 1u << POLICY_PURPOSE_SCIENTIFIC;
	spec->licence_mode = POLICY_ADAPTATION;
	spec->outputs = 1u << POLICY_LICENCE_CC_BY_4_0;
	spec->kinds = POLICY_KINDS_ALL & ~POLICY_BIT(POLICY_KIND_RECORD);
	spec->cutoff = spec->instant = (policy_instant)(NOW_S - DAY_S) * POLICY_SECOND;
	spec->embargo = 7 * POLICY_DAY;
	spec->retention = 365 * POLICY_DAY;
	spec->notice_min = 1;
}

/* ---- (a) the plain loop: the same columns, the same rules, in or out, no reasons ---- */

static uint8_t *member_in;

static void plain_loop(const struct policy_spec *spec, uint8_t *out)
{
	const uint64_t first = (uint64_t)((spec->instant - spec->retention) / POLICY_SECOND);
	const uint64_t last = (uint64_t)((spec->instant - spec->embargo) / POLICY_SECOND);
	uint8_t kind_in[8], licence_in[64];
	for (unsigned k = 0; k < 8; k++)
		kind_in[k] = spec->kinds >> k & 1;
	for (unsigned l = 0; l < 64; l++)
		licence_in[l] = (policy_licence_outputs(l, POLICY_CELLS_PASS) & spec->outputs) != 0;
	for (size_t i = 0; i < ITEMS; i++) {
		const uint64_t w = words[i], created = w >> 32;
		unsigned licence = w >> 3 & 63;
		out[i] = kind_in[w & 7] & licence_in[licence] & ((w >> 9 & 3) == 1) & ((w & 0x0ff800) == 0) & (created > first) &
		         (created <= last) & ((w >> 20 & 1) | !policy_licence_get(licence)->credit) & member_in[owners[i]];
	}
}

/* ---- Files for the peers ---- */

static void write_column(const char *directory, const char *name, const void *at, size_t size)
{
	char path[1024];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *f = must(fopen(path, "wb"));
	if (fwrite(at, 1, size, f) != size || fclose(f) != 0)
		exit(1);
}

static void write_people(const char *directory, const struct policy_rows *rows)
{
	uint8_t *columns = must(calloc(4, MEMBERS));
	for (uint32_t m = 0; m < MEMBERS; m++) {
		struct policy_row row = policy_rows_get(rows, m, 0);
		columns[m] = members[m].standing == POLICY_STANDING_ACTIVE;
		columns[MEMBERS + m] = members[m].consent == POLICY_CONSENT_GIVEN;
		for (unsigned use = 0; use < 2; use++) {
			uint16_t bit = POLICY_BIT(use ? POLICY_USE_SEARCH : POLICY_USE_TRAIN_GEN);
			columns[(2 + use) * (size_t)MEMBERS + m] = row.deny & bit ? 3 : row.unknown & bit ? 2 : row.allow_if & bit ? 1 : 0;
		}
	}
	write_column(directory, "people.bin", columns, 4 * (size_t)MEMBERS);
	free(columns);
}

static void write_figures(const char *directory, const struct figure *figures, size_t n)
{
	char path[1024];
	snprintf(path, sizeof path, "%s/engine.json", directory);
	FILE *f = must(fopen(path, "w"));
	fputc('{', f);
	for (size_t i = 0; i < n; i++) {
		fprintf(f, "%s\"%s\":{\"unit\":\"%s\",\"samples\":[", i ? "," : "", figures[i].name, figures[i].unit);
		for (size_t j = 0; j < figures[i].n; j++)
			fprintf(f, "%s%.4f", j ? "," : "", figures[i].at[j]);
		fputs("]}", f);
	}
	fputs("}\n", f);
	fclose(f);
}

/* ---- Measuring ---- */

static void measure_delegation(struct figure *f)
{
	struct policy_edge *crowd = must(calloc(CROWD, sizeof *crowd));
	uint8_t *decided = must(calloc(CROWD + 1, 1));
	struct policy_path *paths = must(calloc(CROWD, sizeof *paths));
	for (uint32_t i = 0; i < CROWD; i++) {
		uint32_t to = below(CROWD);
		crowd[i] = (struct policy_edge){.id = i, .principal = i, .delegate = to == i ? (to + 1) % CROWD : to, .accepted_at = 1,
		                                .ends = POLICY_NEVER, .revoked_at = POLICY_NEVER};
		decided[i] = below(3) == 0;
	}
	const struct policy_voices voices = {CROWD, NULL, decided, false};
	const struct policy_ask ask = {.depth = POLICY_DEPTH_MAX, .at = 9};
	size_t size = (size_t)CROWD * 96;
	uint8_t *scratch = must(malloc(size));
	memset(scratch, 1, size);
	for (int r = 0; r < REPEATS; r++) {
		struct policy_area area;
		policy_area_init(&area, scratch, size);
		double start = now_ns();
		if (policy_delegation_resolve(crowd, CROWD, &voices, &ask, &area.mem, paths) != POLICY_OK)
			exit(1);
		sample(f, (now_ns() - start) / 1e6);
	}
	free(scratch);
	free(paths);
	free(decided);
	free(crowd);
}

/* A member changes a preference: one statement more, their row afresh, their items decided again. */
static void measure_events(const struct policy_program *program, struct policy_rows *rows, struct figure *f)
{
	uint32_t *start = must(calloc(MEMBERS + 2, sizeof *start)), *mine = must(calloc(ITEMS, sizeof *mine)), touched[64];
	for (size_t i = 0; i < ITEMS; i++)
		start[owners[i] + 1]++;
	for (size_t m = 0; m < MEMBERS; m++)
		start[m + 1] += start[m];
	for (uint32_t i = ITEMS; i-- > 0;)
		mine[--start[owners[i] + 1]] = i;
	policy_reasons seen = 0;
	for (int e = 0; e < EVENTS; e++) {
		uint32_t member = below(MEMBERS);
		struct policy_statement s = statements[0];
		s.subject = member;
		s.layer = POLICY_LAYER_SUBJECT;
		s.effect = POLICY_EFFECT_DENY;
		s.duties = 0;
		s.declared_at = 6;
		size_t n;
		double begin = now_ns();
		if (policy_rows_add(rows, &s, NULL, touched, 64, &n) != POLICY_OK)
			exit(1);
		for (uint32_t j = start[member + 1]; j < start[member + 2 > MEMBERS + 1 ? MEMBERS + 1 : member + 2]; j++)
			if (owners[mine[j]] == member)
				seen |= policy_decide_one(program, rows, mine[j], words[mine[j]], 0, member);
		sample(f, (now_ns() - begin) / 1e3);
	}
	if (!(seen & POLICY_REASON(PREF_DENY)))
		exit(1);
	free(mine);
	free(start);
}

static void measure_explaining(const struct policy_program *program, const struct policy_rows *rows, struct figure *f)
{
	static uint8_t buffer[1 << 20];
	for (int r = 0; r < REPEATS; r++) {
		double start = now_ns();
		for (uint32_t i = 0; i < EXPLAINED; i++) {
			struct policy_area area;
			struct policy_trace trace;
			policy_area_init(&area, buffer, sizeof buffer);
			if (policy_explain(program, rows, i, words[i], 0, owners[i], 0, &area.mem, &trace) != POLICY_OK)
				exit(1);
		}
		sample(f, (now_ns() - start) / 1e3 / EXPLAINED);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: engine DIRECTORY\n", stderr);
		return 2;
	}
	members = must(calloc(MEMBERS, sizeof *members));
	statements = must(calloc(2 * MEMBERS, sizeof *statements));
	edges = must(calloc(MEMBERS, sizeof *edges));
	words = must(calloc(ITEMS, sizeof *words));
	owners = must(calloc(ITEMS, sizeof *owners));
	member_in = must(calloc(MEMBERS, 1));
	make_people();
	make_items();
	struct policy_spec spec;
	make_spec(&spec);
	const struct policy_program *program;
	struct policy_faults faults = {0};
	if (policy_compile(&spec, &mem, &program, &faults) != POLICY_OK)
		return 1;
	const struct policy_facts facts = {.members = members, .n_members = MEMBERS, .statements = statements,
	                                   .n_statements = n_statements, .edges = edges, .n_edges = n_edges};
	struct figure figures[] = {{.name = "ns_per_decision", .unit = "ns"}, {.name = "plain_loop_ns", .unit = "ns"},
	                           {.name = "rows_build_ms", .unit = "ms"},   {.name = "delegation_1m_ms", .unit = "ms"},
	                           {.name = "redecide_event_us", .unit = "us"}, {.name = "explain_us", .unit = "us"}};
	struct policy_rows *rows = NULL;
	for (int r = 0; r < 5; r++) {
		double start = now_ns();
		if (policy_rows_build(program, &facts, &mem, &rows, &faults) != POLICY_OK || faults.n)
			return 1;
		sample(&figures[2], (now_ns() - start) / 1e6);
	}
	for (uint32_t m = 0; m < MEMBERS; m++)
		member_in[m] = policy_outcome_of(policy_rows_get(rows, m, 0).reasons) <= POLICY_CONDITIONAL;
	policy_reasons *reasons = must(calloc(ITEMS, sizeof *reasons));
	uint8_t *outcomes = must(calloc(ITEMS, 1)), *plain = must(calloc(ITEMS, 1));
	const struct policy_batch batch = {words, owners, NULL, ITEMS, 0};
	policy_decide_batch(program, rows, &batch, outcomes, reasons);
	plain_loop(&spec, plain);
	size_t in = 0;
	for (size_t i = 0; i < ITEMS; i++) {
		in += plain[i];
		if (plain[i] != (outcomes[i] <= POLICY_CONDITIONAL)) {
			fprintf(stderr, "engine: item %zu: the plain loop disagrees\n", i);
			return 1;
		}
	}
	printf("%d items of %d members, %zu delegations; %zu in the release\n", ITEMS, MEMBERS, n_edges, in);
	for (int r = 0; r < REPEATS; r++) {
		double start = now_ns();
		policy_decide_batch(program, rows, &batch, outcomes, reasons);
		double between = now_ns();
		plain_loop(&spec, plain);
		sample(&figures[0], (between - start) / ITEMS);
		sample(&figures[1], (now_ns() - between) / ITEMS);
	}
	write_column(argv[1], "words.bin", words, ITEMS * sizeof *words);
	write_column(argv[1], "owners.bin", owners, ITEMS * sizeof *owners);
	write_column(argv[1], "outcomes.bin", outcomes, ITEMS);
	write_people(argv[1], rows);
	measure_explaining(program, rows, &figures[5]);
	measure_events(program, rows, &figures[4]);
	measure_delegation(&figures[3]);
	write_figures(argv[1], figures, sizeof figures / sizeof figures[0]);
	return 0;
}
