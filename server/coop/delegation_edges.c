#include "server/coop/delegation_internal.h"

/* Delegations as the policy engine reads them: for closing ballots and for deciding on items. Streamed into memory of exactly their size. */

SQL(edges_count, "SELECT count(*) FROM delegation_now WHERE coop_id = $1 AND question = $2");

static const char edges_sql[] =
	"COPY (SELECT edge, target, principal_no, delegate_no, topics, scope, accepted_at, starts, ends, revoked_at FROM delegation_now WHERE coop_id = $1 AND question = $2) "
	"TO STDOUT (FORMAT binary)";

/* Versions that began after an instant but had been asked for by then. */
SQL(edges_asked,
	"SELECT n.edge, d.made_at, d.chosen_end FROM delegation_now n JOIN delegation d ON d.coop_id = n.coop_id AND d.id = n.delegation_id "
	"WHERE n.coop_id = $1 AND n.question = $2 AND n.starts > $3 AND d.made_at <= $3 ORDER BY n.edge");

uint64_t delegation_target(struct uuid target)
{
	uint64_t number; /* random bits: as they lie in memory, which is how release_spec reads them */
	memcpy(&number, target.b, sizeof number);
	return number;
}

struct edge_loader {
	struct policy_edge *edges; /* in the table's order */
	size_t n, room;            /* how many, and places */
	uint8_t question;          /* of all of them */
};

static enum err take_edge(void *arg, const struct copy_field *f, int n)
{
	struct edge_loader *l = arg;
	if (n != 10 || l->n == l->room)
		return ERR_CORRUPT;
	l->edges[l->n++] = (struct policy_edge){
		.id = (uint64_t)copy_int(f[0]), .target = (uint64_t)copy_int(f[1]), .principal = (uint32_t)copy_int(f[2]), .delegate = (uint32_t)copy_int(f[3]),
		.topics = (uint32_t)copy_int(f[4]), .question = l->question, .scope = (uint8_t)copy_int(f[5]), .accepted_at = copy_time(f[6]), .starts = copy_time(f[7]),
		.ends = copy_time(f[8]), .revoked_at = copy_time(f[9]),
	};
	return ERR_OK;
}

enum err delegation_edges_load(struct call *c, struct arena *a, struct uuid coop, enum policy_question question, struct policy_edge **out, size_t *n)
{
	struct rows r;
	TRY(db_one(c, edges_count, &r, A_UUID(coop), A_INT((int)question)));
	struct edge_loader l = { .room = (size_t)row_int(&r, 0, 0), .question = (uint8_t)question };
	l.edges = ARENA_ARRAY(a, l.room + 1, struct policy_edge);
	if (!l.edges)
		return fail(c, ERR_NO_MEMORY, "The delegations of a co-op do not fit into memory.");
	enum err err = db_copy_out(c, edges_sql, (struct db_arg[]){ A_UUID(coop), A_INT((int)question) }, 2, take_edge, &l);
	if (err == ERR_CORRUPT && c->error.code == ERR_OK)
		return fail(c, ERR_RETRY, "The delegations of a co-op changed while they were read.");
	TRY(err);
	*out = l.edges;
	*n = l.n;
	return ERR_OK;
}

/* What lies ahead of the instant is not known yet. */
static policy_instant unknown_after(policy_instant t, instant at)
{
	return t > at ? POLICY_NEVER : t;
}

static int asked_row(const struct rows *r, uint64_t edge)
{
	int low = 0, high = r->n;
	while (low < high) {
		int mid = low + (high - low) / 2;
		if ((uint64_t)row_int(r, mid, 0) < edge)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->n && (uint64_t)row_int(r, low, 0) == edge ? low : -1;
}

enum err delegation_edges_as_of(struct call *c, struct arena *a, struct uuid coop, enum policy_question question, instant at, struct policy_edge **out, size_t *n)
{
	struct rows asked;
	size_t kept = 0;
	TRY(delegation_edges_load(c, a, coop, question, out, n));
	TRY(db_query(c, edges_asked, &asked, A_UUID(coop), A_INT((int)question), A_TIME(at)));
	for (size_t i = 0; i < *n; i++) {
		struct policy_edge e = (*out)[i];
		if (e.starts > at) {
			int row = asked_row(&asked, e.id);
			if (row < 0)
				continue;
			instant chosen = row_time(&asked, row, 2);
			e.starts = row_time(&asked, row, 1);
			e.ends = chosen == INSTANT_NONE ? POLICY_NEVER : chosen;
		}
		e.accepted_at = unknown_after(e.accepted_at, at);
		e.ends = unknown_after(e.ends, at);
		e.revoked_at = unknown_after(e.revoked_at, at);
		(*out)[kept++] = e;
	}
	*n = kept;
	return ERR_OK;
}
