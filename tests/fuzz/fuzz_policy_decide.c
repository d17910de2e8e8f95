/*
 * Any bytes as a release, its people and its items: decided or refused, explained and replayed, and never let in by what is
 * out of range. Memory is limited, so running out of it is met at every place.
 */
#include <string.h>

#include "commonhold/policy.h"
#include "commonhold/policy_analysis.h"
#include "tests/fuzz/fuzz.h"

struct input {
	const uint8_t *at; /* what is left */
	size_t len;        /* how much */
};

static void take(struct input *in, void *to, size_t size)
{
	size_t n = in->len < size ? in->len : size;
	memset(to, 0, size);
	memcpy(to, in->at, n);
	in->at += n;
	in->len -= n;
}

static uint8_t byte(struct input *in)
{
	uint8_t b;
	take(in, &b, 1);
	return b;
}

/* A value mostly in [0, n), sometimes out of range. */
static uint8_t pick(struct input *in, unsigned n)
{
	uint8_t b = byte(in);
	return b >= 250 ? b : (uint8_t)(b % n);
}

static policy_instant instant(struct input *in)
{
	static const policy_instant times[] = {0, 10, 20, 30, POLICY_EVER, POLICY_NEVER, -5, INT64_MAX - 1};
	return times[byte(in) % 8];
}

static void read_statement(struct input *in, struct policy_statement *s, bool is_default)
{
	*s = (struct policy_statement){.id = byte(in), .subject = pick(in, 4), .item = POLICY_NO_ITEM, .effect = pick(in, 4),
	                               .layer = is_default ? (uint8_t)(5 + byte(in) % 2) : pick(in, 5), .kind = pick(in, 7),
	                               .purpose = pick(in, 12), .audience = pick(in, 5), .revision = byte(in)};
	take(in, &s->uses, 2);
	s->uses &= byte(in) ? POLICY_USES_ALL : 0xffff;
	s->duties = s->effect == POLICY_EFFECT_ALLOW_IF ? 1 : 0;
	s->selector = byte(in) % 2;
	if (s->layer == POLICY_LAYER_ITEM) {
		s->selector = POLICY_SELECT_ITEM;
		s->item = pick(in, 3);
		s->flags = byte(in) % 2;
	}
	if (s->subject == 3)
		s->subject = POLICY_BOARD;
	s->declared_at = instant(in);
	s->valid_from = POLICY_EVER;
	s->valid_to = byte(in) % 4 ? POLICY_NEVER : instant(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(16) uint8_t memory[4 << 20];
	struct input in = {data, size};
	struct policy_spec spec;
	struct policy_statement defaults[2], statements[12];
	struct policy_member members[3];
	struct policy_edge edges[4];
	struct policy_node nodes[4];
	struct policy_rule rules[2];
	struct policy_toggle toggles[2];
	struct policy_item_fact facts[3];
	struct policy_area area;
	policy_area_init(&area, memory, byte(&in) < 250 ? sizeof memory : (size_t)byte(&in) * 2048);
	policy_spec_init(&spec);
	take(&in, &spec.uses, 2);
	spec.uses &= POLICY_USES_ALL;
	take(&in, &spec.uses_conditional, 1);
	spec.audience = pick(&in, 5);
	spec.audience_duties = byte(&in);
	spec.licence_mode = pick(&in, 2);
	take(&in, &spec.purposes, 2);
	spec.purposes &= 0xffe;
	take(&in, &spec.outputs, 2);
	spec.outputs &= POLICY_OUTPUTS_ALL;
	spec.kinds = byte(&in) & POLICY_KINDS_ALL;
	spec.delegation_depth = pick(&in, 9);
	spec.delegation_cap = byte(&in) % 3;
	spec.cutoff = 20;
	spec.instant = byte(&in) % 2 ? 20 : 30;
	spec.embargo = byte(&in) % 3 ? 0 : instant(&in);
	spec.retention = byte(&in) % 3 ? 0 : instant(&in);
	spec.k_contributors = byte(&in) % 4;
	spec.volume_cap = byte(&in) % 4 ? POLICY_NO_CAP : byte(&in) % 4;
	spec.defaults = defaults;
	spec.n_defaults = byte(&in) % 3;
	for (size_t i = 0; i < spec.n_defaults; i++)
		read_statement(&in, &defaults[i], true);
	spec.toggles = toggles;
	spec.n_toggles = byte(&in) % 3;
	for (size_t i = 0; i < spec.n_toggles; i++)
		toggles[i] = (struct policy_toggle){.kind = pick(&in, 4), .kinds = byte(&in), .uses = byte(&in), .cap = byte(&in) % 3,
		                                    .since = instant(&in), .until = instant(&in)};
	spec.nodes = nodes;
	spec.n_nodes = byte(&in) % 5;
	take(&in, nodes, sizeof nodes);
	for (size_t i = 0; i < 4; i++) {
		nodes[i].op %= 6;
		nodes[i].first %= 6;
		nodes[i].count %= 4;
	}
	spec.rules = rules;
	spec.n_rules = byte(&in) % 3;
	for (size_t i = 0; i < spec.n_rules; i++)
		rules[i] = (struct policy_rule){.uses = POLICY_USES_ALL, .root = byte(&in) % 5, .effect = 2 + byte(&in) % 2};
	for (size_t i = 0; i < 3; i++) {
		members[i] = (struct policy_member){.standing = pick(&in, 7), .consent = pick(&in, 10), .group = byte(&in) % 3, .purposes = 1,
		                                    .consent_given = instant(&in), .consent_expires = instant(&in),
		                                    .defaults_accepted = instant(&in)};
		facts[i] = (struct policy_item_fact){.item = byte(&in) % 3, .member = pick(&in, 3), .kind = pick(&in, 7),
		                                     .embargo_until = instant(&in), .retain_until = instant(&in)};
	}
	struct policy_facts world = {.members = members, .n_members = byte(&in) % 4, .statements = statements, .n_statements = byte(&in) % 13,
	                             .edges = edges, .n_edges = byte(&in) % 5, .items = facts, .n_items = byte(&in) % 4,
	                             .board_active = byte(&in) % 2};
	for (size_t i = 0; i < world.n_statements; i++)
		read_statement(&in, &statements[i], false);
	for (size_t i = 0; i < world.n_edges; i++)
		edges[i] = (struct policy_edge){.id = byte(&in), .principal = pick(&in, 3), .delegate = byte(&in) % 5 ? pick(&in, 3) : POLICY_BOARD,
		                                .topics = byte(&in), .question = pick(&in, 2), .scope = pick(&in, 3), .accepted_at = instant(&in),
		                                .starts = instant(&in), .ends = instant(&in), .revoked_at = instant(&in)};
	const struct policy_program *program;
	struct policy_rows *rows;
	struct policy_fault places[4];
	struct policy_faults faults = {places, 4, 0};
	struct policy_finding findings[8];
	size_t n_findings;
	(void)policy_analyse(&spec, &area.mem, findings, 8, &n_findings);
	if (policy_compile(&spec, &area.mem, &program, &faults) != POLICY_OK ||
	    policy_rows_build(program, &world, &area.mem, &rows, &faults) != POLICY_OK)
		return 0;
	uint64_t words[4], more[4];
	uint32_t who[4];
	policy_reasons reasons[4];
	uint8_t outcomes[4];
	for (uint32_t i = 0; i < 4; i++) {
		take(&in, &words[i], 8);
		take(&in, &more[i], 8);
		who[i] = pick(&in, 3);
	}
	policy_decide_batch(program, rows, &(struct policy_batch){words, who, more, 4, 0}, outcomes, reasons);
	for (uint32_t i = 0; i < 4; i++) {
		FUZZ_CHECK(reasons[i] == policy_decide_one(program, rows, i, words[i], more[i], who[i]));
		FUZZ_CHECK(outcomes[i] == policy_outcome_of(reasons[i]));
		bool odd = who[i] >= world.n_members || (words[i] & 7) == 7 || (words[i] & POLICY_ITEM_RESERVED) || (words[i] >> 9 & 3) == 3;
		FUZZ_CHECK(!odd || outcomes[i] >= POLICY_HOLD);
		struct policy_trace trace;
		if (policy_explain(program, rows, i, words[i], more[i], who[i], 0, &area.mem, &trace) != POLICY_OK)
			continue;
		FUZZ_CHECK(trace.reasons == reasons[i] && trace.outcome == outcomes[i]);
		enum policy_status status = policy_replay(program, rows, &trace, &area.mem);
		FUZZ_CHECK(status == POLICY_OK || status == POLICY_NO_MEMORY);
		char text[256];
		for (size_t c = 0; c < trace.n_causes; c++)
			FUZZ_CHECK(policy_cause_text(program, &trace, &trace.causes[c], text, sizeof text) > 0);
	}
	static const uint8_t ids[4][16] = {{1}, {2}, {3}, {4}};
	struct policy_set set = {words, who, ids, NULL, 4, world.n_members};
	struct policy_set_report report;
	policy_reasons before[4];
	memcpy(before, reasons, sizeof before);
	if (policy_apply_set_rules(program, &set, reasons, outcomes, &area.mem, &report) == POLICY_OK)
		for (size_t i = 0; i < 4; i++)
			FUZZ_CHECK((reasons[i] & before[i]) == before[i]);
	return 0;
}
