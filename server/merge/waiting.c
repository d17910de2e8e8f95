/* waiting.c - what waits for a member or an admin: votes, offers of a fork, partners, agreements, and what merging could not settle. */
#include "commonhold/waiting.h"

#include "commonhold/db.h"
#include "commonhold/merge.h"

/* In the order of `kinds`. Who has let somebody vote for them may still vote: a ballot counts until they have voted themselves. */
SQL(waiting_of_member,
	"SELECT (SELECT count(*) FROM ballot b JOIN ballot_roll r ON r.coop_id = b.coop_id AND r.ballot_id = b.id AND r.member_id = $2 WHERE b.coop_id = $1 AND b.state = 'open' AND b.closes_at > commonhold_now() "
	" AND NOT EXISTS (SELECT FROM vote v WHERE v.coop_id = b.coop_id AND v.ballot_id = b.id AND v.member_id = $2)), "
	"(SELECT count(*) FROM fork_offer o WHERE o.coop_id = $1 AND o.state = 'open' AND o.closes_at > commonhold_now() "
	" AND NOT EXISTS (SELECT FROM fork_answer a WHERE a.coop_id = o.coop_id AND a.offer_id = o.id AND a.member_id = $2))");
SQL(waiting_of_admin,
	"SELECT (SELECT count(*) FROM peer WHERE coop_id = $1 AND state = 'suspect'), (SELECT count(*) FROM peer WHERE coop_id = $1 AND state = 'seen'), "
	"(SELECT count(*) FROM agreement_revision WHERE coop_id = $1 AND state = 'drafted'), (SELECT count(*) FROM agreement_revision WHERE coop_id = $1 AND state = 'proposed'), "
	"(SELECT count(*) FROM merge_conflict WHERE coop_id = $1 AND decision IS NULL), (SELECT count(*) FROM message_out WHERE coop_id = $1 AND state = 'dead')");

static const struct waiting of_member[] = {
	{ .one = "open ballot without a vote of yours", .many = "open ballots without a vote of yours", .place = "/ballots" },
	{ .one = "fork is offered: say yes or no", .many = "forks are offered: say yes or no", .place = "/forks" },
};
static const struct waiting of_admin[] = {
	{ .one = "partner showed other keys than we knew", .many = "partners showed other keys than we knew", .place = "/peers" },
	{ .one = "partner to be confirmed by its fingerprint", .many = "partners to be confirmed by their fingerprints", .place = "/peers" },
	{ .one = "draft of an agreement to be proposed", .many = "drafts of agreements to be proposed", .place = "/peers#agreements" },
	{ .one = "proposed agreement to be tried out and voted on", .many = "proposed agreements to be tried out and voted on", .place = "/peers#agreements" },
	{ .one = "conflict of merging to be decided", .many = "conflicts of merging to be decided", .place = "/conflicts" },
	{ .one = "message to a partner could not be delivered", .many = "messages to partners could not be delivered", .place = "/messages" },
};
_Static_assert(CH_LEN(of_member) + CH_LEN(of_admin) <= WAITING_MAX, "all that can wait has room");

static void add(const struct rows *r, const struct waiting *kinds, size_t n_kinds, struct waiting *out, size_t *n)
{
	for (size_t i = 0; i < n_kinds; i++) {
		int64_t count = row_int(r, 0, (int)i);
		if (count == 0)
			continue;
		out[*n] = kinds[i];
		out[(*n)++].count = count;
	}
}

static enum err merge_waiting(struct call *c, struct uuid coop, struct uuid member, bool admin, struct waiting *out, size_t *n)
{
	struct rows mine, all;
	*n = 0;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_one(c, waiting_of_member, &mine, A_UUID(coop), A_UUID(member)));
	if (admin)
		TRY(db_one(c, waiting_of_admin, &all, A_UUID(coop)));
	TRY(db_commit(c));
	add(&mine, of_member, CH_LEN(of_member), out, n);
	if (admin)
		add(&all, of_admin, CH_LEN(of_admin), out, n);
	return ERR_OK;
}

void merge_use_waiting(void)
{
	waiting_use(merge_waiting);
}
