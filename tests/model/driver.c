/*
 * driver.c - answers worlds with the engine, for comparison with the model.
 *
 * Reads worlds in the format of differential.py from standard input; for each writes a status byte and, when it
 * compiled, for every item the reasons before and after the set rules and its duties. Each world's blocks are sized
 * exactly and freed, so that the sanitizers see every step over an end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commonhold/policy.h"

static void must(bool held)
{
	if (!held) {
		fputs("driver: input ends early or memory is short\n", stderr);
		exit(1);
	}
}

static void *get(size_t n, size_t size)
{
	void *at = calloc(n ? n : 1, size);
	must(at != NULL);
	return at;
}

static uint64_t number(size_t bytes)
{
	unsigned char raw[8] = {0};
	must(fread(raw, 1, bytes, stdin) == bytes);
	uint64_t value = 0;
	for (size_t i = bytes; i-- > 0;)
		value = value << 8 | raw[i];
	return value;
}

#define U8() ((uint8_t)number(1))
#define U16() ((uint16_t)number(2))
#define U32() ((uint32_t)number(4))
#define U64() number(8)
#define I64() ((int64_t)number(8))

static void read_statements(struct policy_statement *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s[i].id = U64();
		s[i].subject = U32();
		s[i].item = U32();
		s[i].uses = U16();
		s[i].duties = U16();
		s[i].effect = U8();
		s[i].layer = U8();
		s[i].selector = U8();
		s[i].kind = U8();
		s[i].purpose = U8();
		s[i].audience = U8();
		s[i].flags = U8();
		s[i].revision = U32();
		s[i].declared_at = I64();
		s[i].valid_from = I64();
		s[i].valid_to = I64();
	}
}

/* A world and everything in it. */
struct world {
	struct policy_spec spec;             /* the release */
	struct policy_statement *defaults;   /* its arrays ... */
	struct policy_toggle *toggles;
	struct policy_rule *rules;
	struct policy_node *nodes;
	struct policy_facts facts;           /* the people ... */
	struct policy_member *members;
	struct policy_statement *statements;
	struct policy_edge *edges;
	struct policy_item_fact *items;
	size_t n;                            /* the items, in columns ... */
	uint64_t *words, *more;
	uint32_t *who;
	uint16_t *strata;
	uint8_t (*ids)[16];
};

static void read_spec(struct world *w)
{
	struct policy_spec *s = &w->spec;
	memset(s, 0, sizeof *s);
	s->uses = U16();
	s->uses_conditional = U16();
	s->audience_duties = U16();
	s->audience = U8();
	s->licence_mode = U8();
	s->purposes = U32();
	s->outputs = U32();
	s->kinds = U8();
	s->delegation_depth = U8();
	s->delegation_cap = U32();
	s->release_id = U64();
	s->notice_min = U32();
	s->k_contributors = U32();
	s->k_stratum = U32();
	s->assurance = U32();
	s->volume_cap = U64();
	s->cutoff = I64();
	s->instant = I64();
	s->embargo = I64();
	s->retention = I64();
	for (int i = 0; i < 4; i++)
		s->regions[i] = U64();
	must(fread(s->seed, 1, 32, stdin) == 32);
	s->n_defaults = U16();
	s->n_toggles = U16();
	s->n_rules = U16();
	s->n_nodes = U16();
	s->defaults = w->defaults = get(s->n_defaults, sizeof *w->defaults);
	s->toggles = w->toggles = get(s->n_toggles, sizeof *w->toggles);
	s->rules = w->rules = get(s->n_rules, sizeof *w->rules);
	s->nodes = w->nodes = get(s->n_nodes, sizeof *w->nodes);
	read_statements(w->defaults, s->n_defaults);
	for (size_t i = 0; i < s->n_toggles; i++) {
		w->toggles[i].kind = U8();
		w->toggles[i].kinds = U8();
		w->toggles[i].uses = U16();
		w->toggles[i].cap = U64();
		w->toggles[i].since = I64();
		w->toggles[i].until = I64();
	}
	for (size_t i = 0; i < s->n_rules; i++) {
		w->rules[i].uses = U16();
		w->rules[i].root = U16();
		w->rules[i].effect = U8();
	}
	for (size_t i = 0; i < s->n_nodes; i++) {
		w->nodes[i].op = U8();
		w->nodes[i].attribute = U8();
		w->nodes[i].compare = U8();
		w->nodes[i].first = U16();
		w->nodes[i].count = U16();
		w->nodes[i].value = I64();
		w->nodes[i].set = U64();
	}
}

static void read_people(struct world *w)
{
	struct policy_facts *f = &w->facts;
	memset(f, 0, sizeof *f);
	f->n_members = U16();
	f->n_statements = U16();
	f->n_edges = U16();
	f->n_items = U16();
	w->n = U16();
	f->board_active = U8();
	f->members = w->members = get(f->n_members, sizeof *w->members);
	f->statements = w->statements = get(f->n_statements, sizeof *w->statements);
	f->edges = w->edges = get(f->n_edges, sizeof *w->edges);
	f->items = w->items = get(f->n_items, sizeof *w->items);
	for (size_t i = 0; i < f->n_members; i++) {
		w->members[i].standing = U8();
		w->members[i].consent = U8();
		w->members[i].minor = U8();
		w->members[i].group = U32();
		w->members[i].notice = U32();
		w->members[i].purposes = U32();
		w->members[i].consent_given = I64();
		w->members[i].consent_expires = I64();
		w->members[i].defaults_accepted = I64();
	}
	read_statements(w->statements, f->n_statements);
	for (size_t i = 0; i < f->n_edges; i++) {
		w->edges[i].id = U64();
		w->edges[i].target = U64();
		w->edges[i].principal = U32();
		w->edges[i].delegate = U32();
		w->edges[i].topics = U32();
		w->edges[i].question = U8();
		w->edges[i].scope = U8();
		w->edges[i].accepted_at = I64();
		w->edges[i].starts = I64();
		w->edges[i].ends = I64();
		w->edges[i].revoked_at = I64();
	}
	for (size_t i = 0; i < f->n_items; i++) {
		w->items[i].item = U32();
		w->items[i].member = U32();
		w->items[i].kind = U8();
		w->items[i].embargo_until = I64();
		w->items[i].retain_until = I64();
	}
}

static void read_items(struct world *w)
{
	w->words = get(w->n, sizeof *w->words);
	w->more = get(w->n, sizeof *w->more);
	w->who = get(w->n, sizeof *w->who);
	w->strata = get(w->n, sizeof *w->strata);
	w->ids = get(w->n, sizeof *w->ids);
	for (size_t i = 0; i < w->n; i++) {
		w->words[i] = U64();
		w->more[i] = U64();
		w->who[i] = U32();
		w->strata[i] = U16();
		must(fread(w->ids[i], 1, 16, stdin) == 16);
	}
}

static void world_release(struct world *w)
{
	void *all[] = {w->defaults, w->toggles, w->rules, w->nodes, w->members, w->statements, w->edges, w->items,
	               w->words,    w->more,    w->who,   w->strata, w->ids};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		free(all[i]);
}

/* Memory: a list of malloc'ed blocks. */
static void *blocks[4096];
static size_t n_blocks;

static void *block(void *ctx, size_t size)
{
	(void)ctx;
	must(n_blocks < sizeof blocks / sizeof blocks[0]);
	void *at = malloc(size);
	must(at != NULL);
	memset(at, 0xa5, size);
	return blocks[n_blocks++] = at;
}

static void put(uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		putchar((int)(value >> 8 * i & 255));
}

static void answer(const struct world *w)
{
	struct policy_mem mem = {block, NULL};
	const struct policy_program *program;
	struct policy_rows *rows;
	if (policy_compile(&w->spec, &mem, &program, NULL) != POLICY_OK ||
	    policy_rows_build(program, &w->facts, &mem, &rows, NULL) != POLICY_OK) {
		put(1, 1);
		return;
	}
	put(0, 1);
	policy_reasons *before = block(NULL, (w->n + 1) * sizeof *before), *after = block(NULL, (w->n + 1) * sizeof *after);
	uint8_t *outcomes = block(NULL, w->n + 1);
	/* Two batches of different sizes: sharding must not matter. */
	size_t cut = w->n / 3;
	struct policy_batch first = {w->words, w->who, w->more, cut, 0};
	struct policy_batch rest = {w->words + cut, w->who + cut, w->more + cut, w->n - cut, (uint32_t)cut};
	policy_decide_batch(program, rows, &rest, outcomes + cut, before + cut);
	policy_decide_batch(program, rows, &first, outcomes, before);
	memcpy(after, before, w->n * sizeof *after);
	struct policy_set set = {w->words, w->who, (const uint8_t(*)[16])w->ids, w->strata, w->n, w->facts.n_members};
	struct policy_set_report report;
	must(policy_apply_set_rules(program, &set, after, outcomes, &mem, &report) == POLICY_OK);
	for (size_t i = 0; i < w->n; i++) {
		put(before[i], 8);
		put(after[i], 8);
	}
}

int main(void)
{
	static char in[1 << 16], out[1 << 16];
	setvbuf(stdin, in, _IOFBF, sizeof in);
	setvbuf(stdout, out, _IOFBF, sizeof out);
	for (int more = getchar(); more == 'W'; more = getchar()) {
		struct world w = {0};
		read_spec(&w);
		read_people(&w);
		read_items(&w);
		answer(&w);
		world_release(&w);
		while (n_blocks)
			free(blocks[--n_blocks]);
	}
	return 0;
}
