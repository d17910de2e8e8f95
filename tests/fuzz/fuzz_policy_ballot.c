/* Any bytes as a ballot's rule, its counts and the delegations behind them: unsound ones fail, settled ones stay as they are, every member resolves to something that adds up. */
#include <string.h>

#include "commonhold/policy.h"
#include "tests/fuzz/fuzz.h"

enum { MEMBERS = 6, EDGES = 10 };

static size_t take(const uint8_t **data, size_t *size, void *to, size_t want)
{
	size_t n = *size < want ? *size : want;
	memset(to, 0, want);
	memcpy(to, *data, n);
	*data += n;
	*size -= n;
	return n;
}

static void check_ballot(const uint8_t **data, size_t *size)
{
	struct policy_quorum rule[8];
	struct policy_count count = {0};
	uint8_t n, small[2][8], nodes[8];
	take(data, size, &n, 1);
	n = (uint8_t)(n % 8 + 1);
	for (size_t i = 0; i < n; i++) {
		uint8_t b[6];
		take(data, size, b, sizeof b);
		rule[i] = (struct policy_quorum){.op = b[0] % 8, .electorate = b[1] % 3, .strict = b[1] >> 7, .first = b[2] % 9, .count = b[3] % 4,
		                                 .num = b[4] % 5, .den = b[5] % 5};
	}
	for (int e = 0; e < 2; e++) {
		struct policy_tally *t = &count.of[e];
		take(data, size, small[e], sizeof small[e]);
		const uint8_t *b = small[e];
		*t = (struct policy_tally){.yes = b[0] % 16, .no = b[1] % 16, .abstain = b[2] % 8, .roll_last_year = b[3], .proposer_yes = b[4] & 1,
		                           .fixed_yes = b[4] >> 4, .fixed_no = b[5] >> 4, .fixed_abstain = b[6] % 4};
		size_t via = (b[6] >> 4) % POLICY_VIA_COUNT;
		t->undecided[via] = b[7] % 16;
		t->roll = t->yes + t->no + t->abstain + t->undecided[via] + (b[5] & 1);
	}
	enum policy_verdict verdict = policy_ballot_decide(rule, n, &count), settled;
	policy_ballot_nodes(rule, n, &count, nodes);
	FUZZ_CHECK(nodes[0] == verdict);
	if (!policy_quorum_valid(rule, n) || !policy_tally_valid(&count.of[0]) || !policy_tally_valid(&count.of[1]))
		FUZZ_CHECK(verdict == POLICY_FAILED);
	if (policy_ballot_settled(rule, n, &count, &settled))
		FUZZ_CHECK(settled == verdict);
}

static void check_delegation(const uint8_t **data, size_t *size)
{
	static _Alignas(16) uint8_t memory[1 << 14];
	struct policy_edge edges[EDGES];
	struct policy_path paths[MEMBERS];
	uint8_t decided[MEMBERS + 1], choice[MEMBERS + 1], b[6];
	take(data, size, decided, sizeof decided);
	for (size_t i = 0; i <= MEMBERS; i++) {
		choice[i] = decided[i] % 5;
		decided[i] = decided[i] % 3 == 0;
	}
	for (size_t i = 0; i < EDGES; i++) {
		take(data, size, b, sizeof b);
		edges[i] = (struct policy_edge){.id = b[0], .principal = b[1] % 8, .delegate = b[2] % 9 == 8 ? POLICY_BOARD : b[2] % 9, .topics = b[3],
		                                .question = b[4] & 1, .scope = b[4] >> 1 & 3, .accepted_at = b[5] & 7, .starts = 0,
		                                .ends = b[5] >> 3, .revoked_at = b[5] & 64 ? 3 : POLICY_NEVER};
	}
	struct policy_area area;
	take(data, size, b, sizeof b);
	policy_area_init(&area, memory, b[0] & 1 ? sizeof memory : b[1] * 4u);
	const struct policy_voices voices = {MEMBERS, NULL, decided, b[2] & 1};
	const struct policy_ask ask = {.question = 0, .topic = b[3] % 34, .depth = b[4] % 10, .board_active = b[2] >> 1 & 1, .cap = b[5] % 4, .at = 5};
	if (policy_delegation_resolve(edges, EDGES, &voices, &ask, &area.mem, paths) != POLICY_OK)
		return;
	struct policy_tally tally = {0};
	policy_ballot_count(paths, choice, NULL, MEMBERS, &tally);
	FUZZ_CHECK(tally.roll == MEMBERS && policy_tally_valid(&tally));
	for (uint32_t m = 0; m < MEMBERS; m++) {
		uint32_t path[16];
		size_t len = policy_delegation_path(edges, paths, MEMBERS, m, path, 16);
		FUZZ_CHECK(len <= 16 && (paths[m].via != POLICY_VIA_DECIDED || (len == paths[m].hops && path[len - 1] == paths[m].decider)));
		FUZZ_CHECK(paths[m].via != POLICY_VIA_DECIDED || paths[m].hops <= ask.depth);
		FUZZ_CHECK((paths[m].decider == POLICY_NO_DECIDER) == (paths[m].via != POLICY_VIA_OWN && paths[m].via != POLICY_VIA_DECIDED));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_ballot(&data, &size);
	check_delegation(&data, &size);
	return 0;
}
