/*
 * ballot.c - does it pass, and can that still change?
 *
 * Rules are small arrays whose children stand after their parents, so one pass from the last node to the
 * first evaluates them. Ratios are compared by cross-multiplication in 64 bits: nothing is rounded.
 */
#include "policy/internal.h"

#define NAME(sym, no, name) [no] = (name),
static const char *const names[] = {POLICY_BALLOTS(NAME)};
#undef NAME

const char *policy_ballot_name(unsigned kind)
{
	return kind < POLICY_BALLOT_COUNT ? names[kind] : NULL;
}

int policy_ballot_find(const char *name, size_t len)
{
	for (int i = 0; i < POLICY_BALLOT_COUNT; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	return -1;
}

static bool is_composite(const struct policy_quorum *node)
{
	return node->op == POLICY_RULE_ALL_OF || node->op == POLICY_RULE_ANY_OF;
}

static bool node_valid(const struct policy_quorum *node, size_t at, size_t n)
{
	if (node->op >= POLICY_RULE_OP_COUNT || node->electorate >= POLICY_ELECTORATE_COUNT || node->strict > 1)
		return false;
	if (is_composite(node))
		return node->count > 0 && node->first > at && (size_t)node->first + node->count <= n;
	if (node->op == POLICY_RULE_N_OF_M_ADMINS)
		return node->num > 0 && node->electorate == POLICY_ADMINS;
	if (node->op == POLICY_RULE_MAJORITY)
		return node->num == 0 || (node->num <= node->den && 2 * (uint64_t)node->num >= node->den);
	return node->den > 0 && node->num <= node->den && (node->num > 0 || node->op == POLICY_RULE_OBJECTION_CAP);
}

/* Sound nodes, and every one but the root a child exactly once: a tree, nothing hanging loose. */
bool policy_quorum_valid(const struct policy_quorum *rule, size_t n)
{
	if (n == 0 || n > POLICY_QUORUM_MAX)
		return false;
	uint8_t parents[POLICY_QUORUM_MAX] = {1};
	for (size_t i = 0; i < n; i++) {
		if (!node_valid(&rule[i], i, n))
			return false;
		for (size_t c = 0; is_composite(&rule[i]) && c < rule[i].count; c++)
			parents[rule[i].first + c]++;
	}
	for (size_t i = 0; i < n; i++)
		if (parents[i] != 1)
			return false;
	return true;
}

static uint64_t undecided(const struct policy_tally *tally)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < POLICY_VIA_COUNT; i++)
		sum += tally->undecided[i];
	return sum;
}

bool policy_tally_valid(const struct policy_tally *tally)
{
	uint64_t rest = undecided(tally);
	return (uint64_t)tally->yes + tally->no + tally->abstain + rest == tally->roll && tally->proposer_yes <= 1 &&
	       tally->proposer_yes <= tally->yes && tally->fixed_yes <= tally->yes && tally->fixed_no <= tally->no &&
	       tally->fixed_abstain <= tally->abstain && tally->fixed_undecided <= rest;
}

uint32_t policy_quorum_base(const struct policy_tally *tally)
{
	uint32_t half = tally->roll_last_year / 2 + tally->roll_last_year % 2;
	return tally->roll > half ? tally->roll : half;
}

static bool leaf_passes(const struct policy_quorum *node, const struct policy_tally *tally)
{
	uint64_t yes = tally->yes, no = tally->no, num = node->num, den = node->den;
	uint64_t base = policy_quorum_base(tally), cast = yes + no + tally->abstain;
	if (tally->roll == 0)
		return false;
	switch (node->op) {
	case POLICY_RULE_MAJORITY:
		if (yes == no)
			return false;
		if (num == 0)
			return yes > no;
		return node->strict ? yes * den > num * (yes + no) : yes * den >= num * (yes + no);
	case POLICY_RULE_APPROVAL_QUORUM:
		return yes * den >= num * base;
	case POLICY_RULE_TURNOUT_QUORUM:
		return cast * den >= num * base;
	case POLICY_RULE_OBJECTION_CAP:
		return no * den <= num * cast;
	default:
		return yes - tally->proposer_yes >= num;
	}
}

static void evaluate(const struct policy_quorum *rule, size_t n, const struct policy_count *count, uint8_t *out)
{
	for (size_t i = n; i-- > 0;) {
		const struct policy_quorum *node = &rule[i];
		if (!is_composite(node)) {
			out[i] = leaf_passes(node, &count->of[node->electorate]) ? POLICY_PASSED : POLICY_FAILED;
			continue;
		}
		size_t passed = 0;
		for (size_t c = 0; c < node->count; c++)
			passed += out[node->first + c] == POLICY_PASSED;
		out[i] = passed == node->count || (node->op == POLICY_RULE_ANY_OF && passed > 0) ? POLICY_PASSED
		                                                                               : POLICY_FAILED;
	}
}

static bool sound(const struct policy_quorum *rule, size_t n, const struct policy_count *count)
{
	return policy_quorum_valid(rule, n) && policy_tally_valid(&count->of[POLICY_MEMBERS]) &&
	       policy_tally_valid(&count->of[POLICY_ADMINS]);
}

void policy_ballot_nodes(const struct policy_quorum *rule, size_t n, const struct policy_count *count, uint8_t *out)
{
	if (sound(rule, n, count))
		evaluate(rule, n, count, out);
	else
		memset(out, POLICY_FAILED, n);
}

enum policy_verdict policy_ballot_decide(const struct policy_quorum *rule, size_t n, const struct policy_count *count)
{
	uint8_t verdicts[POLICY_QUORUM_MAX];
	if (!sound(rule, n, count))
		return POLICY_FAILED;
	evaluate(rule, n, count, verdicts);
	return (enum policy_verdict)verdicts[0];
}

/* ---- Can it still change? -----------------------------------------------------------------------
 *
 * Every leaf is monotone: more `for` never hurts, and of two ways to withhold it, `against` hurts
 * majorities and objection caps while silence hurts turnout; an abstention hurts less than either. So
 * the best that can still happen is that everyone free says yes; the worst is some number of `against`
 * with the rest silent, and as that number grows each leaf changes its mind at most once. It is enough
 * to look where some leaf does. */

static uint32_t free_votes(const struct policy_tally *tally)
{
	return tally->roll - tally->fixed_yes - tally->fixed_no - tally->fixed_abstain - tally->fixed_undecided;
}

/* The tally if of the free votes `against` say no, `yes` say yes and the rest nothing. A proposer whose vote is
 * not fixed is the last to be counted as yes among admins, which is the most that can be had. */
static struct policy_tally imagine(const struct policy_tally *now, uint32_t yes, uint32_t against)
{
	struct policy_tally t = {.roll = now->roll, .roll_last_year = now->roll_last_year};
	t.yes = now->fixed_yes + yes;
	t.no = now->fixed_no + against;
	t.abstain = now->fixed_abstain;
	t.undecided[POLICY_VIA_NONE] = t.roll - t.yes - t.no - t.abstain;
	t.proposer_yes = now->proposer_yes && t.yes > 0;
	return t;
}

enum { TURNS_MAX = 2 * POLICY_QUORUM_MAX + 2 };

/* Numbers of `against` in [0, free] on both sides of every leaf's change of mind, and the two ends. */
static size_t turning_points(const struct policy_quorum *rule, size_t n, unsigned electorate,
                             const struct policy_tally *now, uint32_t out[TURNS_MAX])
{
	uint32_t most = free_votes(now);
	size_t len = 0;
	out[len++] = 0;
	out[len++] = most;
	for (size_t i = 0; i < n; i++) {
		if (is_composite(&rule[i]) || rule[i].electorate != electorate)
			continue;
		struct policy_tally low = imagine(now, 0, 0), high = imagine(now, 0, most);
		bool first = leaf_passes(&rule[i], &low);
		if (first == leaf_passes(&rule[i], &high))
			continue;
		uint32_t same = 0, other = most;
		while (other - same > 1) {
			uint32_t mid = same + (other - same) / 2;
			struct policy_tally at = imagine(now, 0, mid);
			if (leaf_passes(&rule[i], &at) == first)
				same = mid;
			else
				other = mid;
		}
		out[len++] = same;
		out[len++] = other;
	}
	return len;
}

static bool can_pass(const struct policy_quorum *rule, size_t n, const struct policy_count *count)
{
	struct policy_count best;
	uint8_t verdicts[POLICY_QUORUM_MAX];
	for (unsigned e = 0; e < POLICY_ELECTORATE_COUNT; e++)
		best.of[e] = imagine(&count->of[e], free_votes(&count->of[e]), 0);
	evaluate(rule, n, &best, verdicts);
	return verdicts[0] == POLICY_PASSED;
}

static bool can_fail(const struct policy_quorum *rule, size_t n, const struct policy_count *count)
{
	uint32_t members[TURNS_MAX], admins[TURNS_MAX];
	size_t n_members = turning_points(rule, n, POLICY_MEMBERS, &count->of[POLICY_MEMBERS], members);
	size_t n_admins = turning_points(rule, n, POLICY_ADMINS, &count->of[POLICY_ADMINS], admins);
	for (size_t m = 0; m < n_members; m++)
		for (size_t a = 0; a < n_admins; a++) {
			struct policy_count worst = {{imagine(&count->of[POLICY_MEMBERS], 0, members[m]),
			                              imagine(&count->of[POLICY_ADMINS], 0, admins[a])}};
			uint8_t verdicts[POLICY_QUORUM_MAX];
			evaluate(rule, n, &worst, verdicts);
			if (verdicts[0] == POLICY_FAILED)
				return true;
		}
	return false;
}

bool policy_ballot_settled(const struct policy_quorum *rule, size_t n, const struct policy_count *count,
                           enum policy_verdict *verdict)
{
	*verdict = POLICY_FAILED;
	if (!sound(rule, n, count))
		return false;
	bool pass = can_pass(rule, n, count), fail = can_fail(rule, n, count);
	*verdict = pass ? POLICY_PASSED : POLICY_FAILED;
	return pass != fail;
}

void policy_ballot_count(const struct policy_path *paths, const uint8_t *choice, const uint8_t *on_roll, size_t n,
                         struct policy_tally *tally)
{
	uint32_t last_year = tally->roll_last_year;
	*tally = (struct policy_tally){.roll_last_year = last_year};
	for (size_t m = 0; m < n; m++) {
		if (on_roll && !on_roll[m])
			continue;
		tally->roll++;
		const struct policy_path *path = &paths[m];
		bool decided = path->via == POLICY_VIA_OWN || path->via == POLICY_VIA_DECIDED;
		uint8_t said = 0;
		if (decided && (path->decider < n || path->decider == POLICY_BOARD))
			said = choice[path->decider < n ? path->decider : n];
		switch (said) {
		case 1:
			tally->yes++;
			break;
		case 2:
			tally->no++;
			break;
		case 3:
			tally->abstain++;
			break;
		default:
			/* A decision that is no choice is no decision: silence at the end of the path. */
			tally->undecided[decided ? POLICY_VIA_SILENT : path->via < POLICY_VIA_COUNT ? path->via : POLICY_VIA_FAULTY]++;
		}
	}
}

policy_instant policy_ballot_extend(policy_instant opened, policy_instant closes, policy_instant flipped_at,
                                    bool extended)
{
	if (extended || opened >= closes || flipped_at >= closes)
		return closes;
	int64_t window, later;
	if (__builtin_sub_overflow(closes, opened, &window))
		return closes;
	int64_t tenth = window / 10;
	if (flipped_at < closes - tenth || __builtin_add_overflow(closes, tenth, &later))
		return closes;
	return later;
}
