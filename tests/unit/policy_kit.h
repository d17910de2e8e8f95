/*
 * policy_kit.h - a small world for tests of the policy engine: one arena, a specification that passes, members
 * and statements with sensible values, and one call that decides.
 */
#ifndef TESTS_POLICY_KIT_H
#define TESTS_POLICY_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commonhold/policy.h"
#include "commonhold/policy_analysis.h"
#include "commonhold/policy_pref.h"

#define SECONDS(n) ((policy_instant)(n)*POLICY_SECOND)
#define T0 SECONDS(1700000000)
#define DAY_S 86400

/* An arena of malloc'ed blocks that can also be told to fail at the n-th block. */
struct kit_mem {
	struct policy_mem mem; /* hand this to the engine */
	void **blocks;         /* what to free */
	size_t n, cap;         /* how many, room */
	size_t fail_at;        /* this block (from 1) and every later one is refused; 0: none */
	uint8_t fill;          /* what a block holds at first, mixed with 0xa5 */
};

static inline void *kit_alloc(void *ctx, size_t size)
{
	struct kit_mem *m = ctx;
	if (m->fail_at && m->n + 1 >= m->fail_at)
		return NULL;
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		m->blocks = realloc(m->blocks, m->cap * sizeof *m->blocks);
	}
	void *block = malloc(size);
	memset(block, 0xa5 ^ m->fill, size);
	return m->blocks[m->n++] = block;
}

static inline void kit_mem_init(struct kit_mem *m)
{
	*m = (struct kit_mem){.mem = {kit_alloc, m}};
}

static inline void kit_mem_release(struct kit_mem *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->blocks[i]);
	free(m->blocks);
	uint8_t fill = m->fill;
	kit_mem_init(m);
	m->fill = fill;
}

enum { KIT_MEMBERS = 8, KIT_ITEMS = 8, KIT_STATEMENTS = 32, KIT_EDGES = 16 };

/* A whole release in a struct. */
struct kit {
	struct kit_mem mem;                                   /* everything the engine asked for */
	struct policy_spec spec;                              /* starts as one that passes good items */
	struct policy_member members[KIT_MEMBERS];            /* start as active, consenting */
	size_t n_members;                                     /* how many are used */
	struct policy_statement statements[KIT_STATEMENTS];   /* what was said */
	size_t n_statements;                                  /* how much */
	struct policy_statement defaults[8];                  /* the co-op's */
	struct policy_edge edges[KIT_EDGES];                  /* delegations */
	size_t n_edges;                                       /* how many */
	struct policy_item_fact facts[KIT_ITEMS];             /* sparse facts */
	size_t n_facts;                                       /* how many */
	struct policy_item item;                              /* item 0, of member 0: starts as a good one */
	bool board;                                           /* there is a board */
	const struct policy_program *program;                 /* after kit_build */
	struct policy_rows *rows;                             /* after kit_build */
	struct policy_fault faults[32];                       /* of compiling and building */
	struct policy_faults fault_list;                      /* the same, as the engine takes it */
};

static inline void kit_init(struct kit *k)
{
	memset(k, 0, sizeof *k);
	kit_mem_init(&k->mem);
	policy_spec_init(&k->spec);
	k->spec.uses = POLICY_BIT(POLICY_USE_TRAIN_GEN);
	k->spec.uses_conditional = POLICY_USES_ALL;
	k->spec.audience = POLICY_AUDIENCE_GATED_MANUAL;
	k->spec.audience_duties = POLICY_DUTIES_ALL;
	k->spec.purposes = 1u << POLICY_PURPOSE_SCIENTIFIC;
	k->spec.licence_mode = POLICY_ADAPTATION;
	k->spec.outputs = 1u << POLICY_LICENCE_CC_BY_4_0;
	k->spec.cutoff = k->spec.instant = T0;
	k->spec.notice_min = 1;
	k->n_members = 1;
	for (size_t i = 0; i < KIT_MEMBERS; i++)
		k->members[i] = (struct policy_member){.standing = POLICY_STANDING_ACTIVE, .consent = POLICY_CONSENT_GIVEN,
		                                       .notice = 1, .purposes = 1u << POLICY_PURPOSE_ANY,
		                                       .consent_given = T0 - 100 * POLICY_DAY, .consent_expires = POLICY_NEVER,
		                                       .defaults_accepted = T0 - 100 * POLICY_DAY};
	k->item = (struct policy_item){.kind = POLICY_KIND_CHAT, .licence = POLICY_LICENCE_CC_BY_4_0,
	                               .moderation = POLICY_MODERATION_APPROVED, .flags = POLICY_ITEM_ATTRIBUTED,
	                               .created = T0 - 10 * POLICY_DAY};
	k->fault_list = (struct policy_faults){k->faults, 32, 0};
}

/* A statement of `subject` at a layer about train.gen, for everything (or item 0 in layer ITEM), a day old. */
static inline struct policy_statement kit_statement(uint32_t subject, unsigned layer, unsigned effect)
{
	bool on_item = layer == POLICY_LAYER_ITEM;
	return (struct policy_statement){.id = 1, .subject = subject, .item = on_item ? 0 : POLICY_NO_ITEM,
	                                 .uses = POLICY_BIT(POLICY_USE_TRAIN_GEN),
	                                 .duties = effect == POLICY_EFFECT_ALLOW_IF ? POLICY_BIT(POLICY_DUTY_CREDIT) : 0,
	                                 .effect = (uint8_t)effect, .layer = (uint8_t)layer,
	                                 .selector = on_item ? POLICY_SELECT_ITEM : POLICY_SELECT_ALL,
	                                 .declared_by = subject, .declared_at = T0 - POLICY_DAY, .valid_from = POLICY_EVER,
	                                 .valid_to = POLICY_NEVER};
}

static inline struct policy_statement *kit_say(struct kit *k, uint32_t subject, unsigned layer, unsigned effect)
{
	struct policy_statement *s = &k->statements[k->n_statements++];
	*s = kit_statement(subject, layer, effect);
	s->id = k->n_statements;
	if (layer == POLICY_LAYER_ITEM && k->n_facts == 0)
		k->facts[k->n_facts++] = (struct policy_item_fact){.item = 0, .member = k->item.member, .kind = k->item.kind,
		                                                   .embargo_until = POLICY_EVER, .retain_until = POLICY_NEVER};
	return s;
}

static inline struct policy_statement *kit_default(struct kit *k, unsigned layer, unsigned effect)
{
	struct policy_statement *s = &k->defaults[k->spec.n_defaults++];
	*s = kit_statement(0, layer, effect);
	k->spec.defaults = k->defaults;
	return s;
}

static inline struct policy_edge *kit_delegate(struct kit *k, uint32_t principal, uint32_t delegate)
{
	struct policy_edge *e = &k->edges[k->n_edges++];
	*e = (struct policy_edge){.id = k->n_edges, .principal = principal, .delegate = delegate,
	                          .question = POLICY_QUESTION_CONSENT, .scope = POLICY_SCOPE_COOP,
	                          .accepted_at = T0 - 50 * POLICY_DAY, .starts = POLICY_EVER, .ends = POLICY_NEVER,
	                          .revoked_at = POLICY_NEVER};
	return e;
}

static inline struct policy_facts kit_facts(const struct kit *k)
{
	return (struct policy_facts){.members = k->members, .n_members = k->n_members, .statements = k->statements,
	                             .n_statements = k->n_statements, .edges = k->edges, .n_edges = k->n_edges,
	                             .items = k->facts, .n_items = k->n_facts, .board_active = k->board};
}

static inline enum policy_status kit_build(struct kit *k)
{
	kit_mem_release(&k->mem);
	k->fault_list.n = 0;
	enum policy_status status = policy_compile(&k->spec, &k->mem.mem, &k->program, &k->fault_list);
	struct policy_facts facts = kit_facts(k);
	return status == POLICY_OK ? policy_rows_build(k->program, &facts, &k->mem.mem, &k->rows, &k->fault_list) : status;
}

/* Reasons of item 0, from nothing. */
static inline policy_reasons kit_decide(struct kit *k)
{
	assert_int_equal(kit_build(k), POLICY_OK);
	return policy_decide_one(k->program, k->rows, 0, policy_item_pack(&k->item), k->item.more, k->item.member);
}

static inline void kit_release(struct kit *k)
{
	kit_mem_release(&k->mem);
}

/* A small generator with a printed seed (splitmix64). POLICY_SEED in the environment repeats a run. */
static inline uint64_t kit_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline uint64_t kit_seed(const char *test)
{
	const char *given = getenv("POLICY_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : UINT64_C(20261122);
	print_message("%s: seed %llu\n", test, (unsigned long long)seed);
	return seed;
}

static inline unsigned kit_below(uint64_t *state, unsigned n)
{
	return (unsigned)(kit_random(state) % n);
}

#endif
