#include "two_pools.h"

#include "commonhold/bundle.h"
#include "commonhold/merge.h"
#include "commonhold/message.h"
#include "commonhold/preview.h"

#include <stdlib.h>

static uint64_t state_of_chance;

uint64_t pools_seed(void)
{
	const char *given = getenv("COMMONHOLD_SEED");
	uint32_t fresh;
	random_bytes(&fresh, sizeof(fresh));
	uint64_t seed = given ? strtoull(given, NULL, 10) : fresh;
	print_message("COMMONHOLD_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

void pools_chance_from(uint64_t seed)
{
	state_of_chance = seed;
}

unsigned pools_chance(unsigned n)
{
	state_of_chance = state_of_chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(state_of_chance >> 33) % n;
}

const char *pools_licence(int licence)
{
	static const char *const licences[POOL_LICENCES] = { "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0" };
	return licences[licence];
}

void pools_run(void)
{
	static const struct job_kind *const tables[] = { ballot_jobs, release_jobs, control_jobs, joint_jobs, message_jobs, preview_jobs, NULL };
	struct error e = { 0 };
	int ran;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

void pools_found(struct two_pools *p, const char *draft)
{
	struct member joined;
	*p = (struct two_pools){ 0 };
	merge_world_make(&p->m, draft);
	p->side[0] = p->side[1] = p->m.w;
	p->side[1].coop = p->m.other;
	for (int i = 4; i < 7; i++) {
		struct call *c = by(&p->side[1], i);
		assert_ok(c, member_join(c, p->side[1].coop, &joined));
		p->side[1].id[i] = joined.id;
	}
}

struct uuid pools_give(struct world *w, int member, int text, int licence)
{
	struct receipt receipt;
	const struct json *json;
	struct call *c = by(w, member);
	struct str body = str_fmt(c->arena, "{\"kind\":\"example\",\"lang\":\"en\",\"licence\":\"%s\",\"content\":{\"input\":\"A text with the number %d.\",\"output\":\"An answer.\"}}", pools_licence(licence),
		text);
	assert_ok(c, json_parse(c->arena, body, &json, &c->error));
	assert_ok(c, pool_submit(c, w->coop, json, &receipt));
	return receipt.id;
}

void pools_carry(struct two_pools *p, int from)
{
	struct bundle_report written;
	struct merge_report taken;
	struct bundle_how how = { .even_empty = true };
	struct call *c = p->m.w.system;
	assert_ok(c, bundle_write(c, p->side[from].coop, p->m.agreement, &how, &written));
	assert_ok(c, bundle_take(c, p->side[!from].coop, str_z(c->arena, written.dir), &taken));
	assert_ok(c, bundle_taken_upto(c, p->side[from].coop, p->m.agreement, written.seq));
}
