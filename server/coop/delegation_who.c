#include "server/coop/delegation_internal.h"

#include "commonhold/words.h"

/* Who decides for one member, and why: the delegations on the way from them are read in one trip (now) or hop by hop (as of a past instant), and the policy engine says what they
 * amount to, as it does for everybody at a close. */

#define HOPS_MAX 32 /* of a way that is followed: four times what any charter allows */

/* Whether a member ($1 co-op, $3 question, $4 topic's name, $5 target, $2 the member who asks) has decided: by the last vote that was not taken back, in person or for the asker
 * alone; or by anything said about the use as a delegate. */
#define SPOKE(member) \
	"CASE WHEN $3 = 1 THEN EXISTS (SELECT FROM (SELECT DISTINCT ON (s.kind, s.purpose, s.audience) s.effect FROM statement s WHERE s.coop_id = $1 AND s.member_id = " member \
	"  AND s.layer = 3 AND NOT s.board AND $4 = ANY (s.uses) AND s.declared_at <= commonhold_now() ORDER BY s.kind, s.purpose, s.audience, s.seq DESC) last WHERE last.effect <> 'none') " \
	"WHEN $5::uuid IS NULL THEN false ELSE EXISTS (SELECT FROM (SELECT DISTINCT ON (v.on_behalf_of) v.choice FROM vote v WHERE v.coop_id = $1 AND v.ballot_id = $5 " \
	"  AND v.member_id = " member " AND (v.on_behalf_of IS NULL OR v.on_behalf_of = $2) ORDER BY v.on_behalf_of, v.seq DESC) last WHERE last.choice <> 'none') END"
/* Whether the board has said anything about a use. */
#define BOARD_SPOKE(use, at) \
	"EXISTS (SELECT FROM (SELECT s.effect FROM statement s WHERE s.coop_id = $1 AND s.layer = 3 AND s.board AND " use " = ANY (s.uses) AND s.declared_at <= " at \
	"  ORDER BY s.seq DESC LIMIT 1) last WHERE last.effect <> 'none')"
/* While voting goes on, nobody learns from a closed ballot who has voted. */
#define HIDDEN "EXISTS (SELECT FROM ballot b WHERE b.coop_id = $1 AND b.id = $5 AND b.visibility = 'closed' AND b.state IN ('notice', 'open'))"
/* One row a delegation of everybody on the way, or a single one without, and in each what is known of the member who asks. */
SQL(way_now,
	"SELECT " EDGE_COLUMNS ", n.target, " SPOKE("q.id") ", self.number, self.state, " SPOKE("self.id") ", "
	"  CASE WHEN $3 = 1 THEN " BOARD_SPOKE("$4", "commonhold_now()") " ELSE EXISTS (SELECT FROM ballot b WHERE b.coop_id = $1 AND b.id = $5 AND b.board_choice IS NOT NULL) END, " HIDDEN " "
	"FROM (SELECT m.id, m.number, m.state FROM membership m WHERE m.coop_id = $1 AND m.id = $2) self "
	"LEFT JOIN LATERAL delegation_way($1, self.number, $3::integer::smallint, $6, $7, commonhold_now(), $8, $9) n ON true "
	"LEFT JOIN delegation d ON d.coop_id = $1 AND d.id = n.delegation_id LEFT JOIN membership p ON p.coop_id = $1 AND p.id = d.principal_id "
	"LEFT JOIN membership q ON q.coop_id = $1 AND q.id = d.delegate_id");
/* Everything that one member had delegated by an instant, from the facts alone. */
SQL(way_then,
	"SELECT d.edge, 0::bigint, d.principal_no, d.delegate_no, 0, 0::smallint, coalesce(e.accepted, 'infinity'), coalesce(e.accepted, d.made_at), "
	"coalesce(e.ends, 'infinity'), coalesce(e.closed, 'infinity'), d.id, d.principal_id, "
	"(SELECT to_state FROM membership_event v WHERE v.coop_id = $1 AND v.member_id = d.principal_id AND v.at <= $4 ORDER BY v.seq DESC LIMIT 1), d.delegate_id, "
	"(SELECT to_state FROM membership_event v WHERE v.coop_id = $1 AND v.member_id = d.delegate_id AND v.at <= $4 ORDER BY v.seq DESC LIMIT 1), "
	"d.scope, array_to_string(d.topics, ','), d.target "
	"FROM delegation d CROSS JOIN LATERAL (SELECT min(v.at) FILTER (WHERE v.kind IN ('accepted', 'confirmed')) AS accepted, "
	"  (array_agg(v.ends ORDER BY v.seq DESC) FILTER (WHERE v.ends IS NOT NULL))[1] AS ends, min(v.at) FILTER (WHERE v.kind IN ('declined', 'revoked', 'ended', 'suspended')) AS closed "
	"  FROM delegation_event v WHERE v.coop_id = $1 AND v.delegation_id = d.id AND v.at <= $4) e "
	"WHERE d.coop_id = $1 AND d.principal_no = $2 AND d.question = $3 AND d.made_at <= $4");
SQL(votes_of, /* as SPOKE, at a past instant, for several */
	"SELECT m.number FROM unnest($3::bigint[]) AS u (no) JOIN membership m ON m.coop_id = $1 AND m.number = u.no WHERE EXISTS (SELECT FROM (SELECT DISTINCT ON "
	"  (v.on_behalf_of) v.choice FROM vote v WHERE v.coop_id = $1 AND v.ballot_id = $5 AND v.member_id = m.id AND v.at <= $4 AND (v.on_behalf_of IS NULL OR v.on_behalf_of = $2) "
	"  ORDER BY v.on_behalf_of, v.seq DESC) last WHERE last.choice <> 'none') AND (m.id = $2 OR NOT " HIDDEN ")");
SQL(hidden_then, "SELECT EXISTS (SELECT FROM ballot b WHERE b.coop_id = $1 AND b.id = $2 AND b.visibility = 'closed' AND b.state IN ('notice', 'open'))");
/* A ballot that is over has stored what became of everybody: that is read, never worked out again. */
SQL(stored_way,
	"SELECT b.closed_at, s.via, s.reason, s.decider_no, (SELECT k.id FROM membership k WHERE k.coop_id = $1 AND k.number = s.decider_no), array_to_string(s.path, ',') "
	"FROM ballot b LEFT JOIN ballot_resolution s ON s.coop_id = b.coop_id AND s.ballot_id = b.id AND s.member_no = $3 "
	"WHERE b.coop_id = $1 AND b.id = $2 AND b.state IN ('passed', 'failed')");
SQL(words_of, /* whoever has said anything about the use as a delegate, whatever kind or purpose, and not taken it back */
	"SELECT m.number FROM unnest($3::bigint[]) AS u (no) JOIN membership m ON m.coop_id = $1 AND m.number = u.no WHERE EXISTS (SELECT FROM (SELECT DISTINCT ON "
	"  (s.kind, s.purpose, s.audience) s.effect FROM statement s WHERE s.coop_id = $1 AND s.member_id = m.id AND s.layer = 3 AND NOT s.board AND $2 = ANY (s.uses) AND s.declared_at <= $4 "
	"  ORDER BY s.kind, s.purpose, s.audience, s.seq DESC) last WHERE last.effect <> 'none') UNION ALL SELECT -2 WHERE " BOARD_SPOKE("$2", "$4"));
SQL(upstream_size,
	"WITH RECURSIVE up AS (SELECT n.principal_no, 1 AS hops FROM delegation_now n JOIN membership m ON m.coop_id = $1 AND m.id = $2 AND m.number = n.delegate_no "
	"  WHERE n.coop_id = $1 AND n.question = 0 AND n.state = 'standing' AND n.ends > commonhold_now() "
	"  UNION SELECT n.principal_no, up.hops + 1 FROM up JOIN delegation_now n ON n.coop_id = $1 AND n.question = 0 AND n.delegate_no = up.principal_no AND n.state = 'standing' "
	"    AND n.ends > commonhold_now() WHERE up.hops < $3) SELECT count(DISTINCT principal_no) FROM up");
SQL(charter_on, "SELECT coalesce(max(version), 1) FROM charter WHERE coop_id = $1 AND adopted_at <= $2");
SQL(ballot_kind_of, "SELECT kind FROM ballot WHERE coop_id = $1 AND id = $2");

/* The people and delegations on one way, by places of their own so that the engine sees a small co-op. */
struct way {
	struct policy_edge *edges;  /* principal and delegate are places */
	struct edge_row *rows;      /* the same as people read them; NULL where they were not read along */
	size_t n_edges, room;       /* how many, and places */
	int64_t *numbers;           /* member number of each place */
	struct uuid *members;       /* membership of each place */
	uint8_t *active, *decided;  /* of each place; decided has one more for the board */
	size_t n;                   /* places used */
	bool hidden;                /* who has voted is not to be told yet */
};

static void *way_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void way_room(struct call *c, struct way *way, size_t edges)
{
	struct way before = *way;
	size_t places = 2 * edges + 2;
	*way = (struct way){ .room = edges, .n_edges = before.n_edges, .n = before.n };
	way->edges = ARENA_ARRAY(c->arena, edges + 1, struct policy_edge);
	way->numbers = ARENA_ARRAY(c->arena, places, int64_t);
	way->members = ARENA_ARRAY(c->arena, places, struct uuid);
	way->active = ARENA_ARRAY(c->arena, places, uint8_t);
	way->decided = ARENA_ARRAY(c->arena, places, uint8_t);
	if (before.n == 0)
		return;
	memcpy(way->edges, before.edges, before.n_edges * sizeof *way->edges);
	memcpy(way->numbers, before.numbers, before.n * sizeof *way->numbers);
	memcpy(way->members, before.members, before.n * sizeof *way->members);
	memcpy(way->active, before.active, before.n);
}

static uint32_t place_of(struct way *way, int64_t number, struct uuid member, struct str state)
{
	if (number < 0)
		return (uint32_t)number;
	for (uint32_t i = 0; i < way->n; i++)
		if (way->numbers[i] == number)
			return i;
	int standing = policy_standing_find(state.p ? state.p : "", state.n);
	way->numbers[way->n] = number;
	way->members[way->n] = member;
	way->active[way->n] = standing >= 0 && in_good_standing((enum policy_standing)standing);
	return (uint32_t)way->n++;
}

static struct policy_edge *way_edge(struct way *way, const struct rows *r, int row, enum policy_question question)
{
	struct policy_edge *edge = &way->edges[way->n_edges++];
	*edge = (struct policy_edge){
		.id = (uint64_t)row_int(r, row, 0), .target = (uint64_t)row_int(r, row, 1), .principal = place_of(way, row_int(r, row, 2), row_uuid(r, row, 11), row_str(r, row, 12)),
		.delegate = place_of(way, row_int(r, row, 3), row_uuid(r, row, 13), row_str(r, row, 14)), .topics = (uint32_t)row_int(r, row, 4), .question = (uint8_t)question,
		.scope = (uint8_t)row_int(r, row, 5), .accepted_at = row_time(r, row, 6), .starts = row_time(r, row, 7), .ends = row_time(r, row, 8), .revoked_at = row_time(r, row, 9),
	};
	return edge;
}

/* ---- Reading the way ---- */

static void spoken(struct way *way, uint32_t place, bool spoke)
{
	if (spoke && place < way->n)
		way->decided[place] = 1;
}

/* The self is the first place. */
static enum err read_way_now(struct call *c, const struct delegation_path *ask, struct uuid member, uint64_t without, struct way *way)
{
	struct rows r;
	TRY(db_query(c, way_now, &r, A_UUID(c->coop), A_UUID(member), A_INT((int)ask->question), A_Z(delegation_topic_name(ask->question, ask->topic)), A_UUID_OR_NULL(ask->target),
		A_INT((int)ask->topic), A_I64((int64_t)delegation_target(ask->target)), A_INT(HOPS_MAX), A_I64((int64_t)without)));
	if (r.n == 0)
		return fail(c, ERR_NOT_FOUND, "There is no such member.");
	way_room(c, way, (size_t)r.n);
	way->rows = ARENA_ARRAY(c->arena, (size_t)r.n, struct edge_row);
	spoken(way, place_of(way, row_int(&r, 0, EDGE_COLUMN_COUNT + 2), member, row_str(&r, 0, EDGE_COLUMN_COUNT + 3)), row_bool(&r, 0, EDGE_COLUMN_COUNT + 4));
	bool board = row_bool(&r, 0, EDGE_COLUMN_COUNT + 5);
	for (int i = 0; i < r.n && !row_null(&r, i, 0); i++) {
		const struct edge_row *e = &way->rows[i];
		way->rows[i] = edge_of_row(&r, i);
		way->edges[way->n_edges++] = (struct policy_edge){
			.id = e->d.edge, .target = (uint64_t)row_int(&r, i, EDGE_COLUMN_COUNT), .topics = e->d.topics, .question = (uint8_t)ask->question, .scope = (uint8_t)e->d.scope,
			.principal = place_of(way, e->d.principal_no, e->d.principal, str_of(policy_standing_name(e->principal_state))),
			.delegate = place_of(way, (int32_t)e->d.delegate_no, e->d.delegate, str_of(policy_standing_name(e->delegate_state))),
			.accepted_at = row_time(&r, i, 19), .starts = row_time(&r, i, 20), .ends = row_time(&r, i, 21), .revoked_at = row_time(&r, i, 22),
		};
		spoken(way, way->edges[i].delegate, row_bool(&r, i, EDGE_COLUMN_COUNT + 1));
	}
	way->decided[way->n] = board;
	way->hidden = row_bool(&r, 0, EDGE_COLUMN_COUNT + 6);
	return ERR_OK;
}

static uint32_t topics_of(struct str names, enum policy_question question)
{
	struct str rest = names, word;
	uint32_t bits = 0;
	if (names.n == 0)
		return 0;
	while (str_split(&rest, ',', &word)) {
		int no = question == POLICY_QUESTION_VOTE ? policy_ballot_find(word.p, word.n) : policy_use_find(word.p, word.n);
		if (no >= 0)
			bits |= POLICY_BIT(no);
	}
	return bits;
}

/* Where the way went on then from the member at `place`; a number below 0 ends it. */
static int64_t next_then(struct call *c, const struct way *way, const struct policy_ask *ask, uint32_t place)
{
	struct policy_path *paths = ARENA_ARRAY(c->arena, way->n + 1, struct policy_path);
	struct policy_mem mem = { way_alloc, c->arena };
	struct policy_voices voices = { .n = way->n, .active = way->active };
	if (policy_delegation_resolve(way->edges, way->n_edges, &voices, ask, &mem, paths) != POLICY_OK || paths[place].edge == POLICY_NO_EDGE)
		return -1;
	uint32_t delegate = way->edges[paths[place].edge].delegate;
	return delegate < way->n ? way->numbers[delegate] : -1;
}

static enum err read_way_then(struct call *c, const struct policy_ask *ask, const struct delegation_path *about, int member_no, struct way *way)
{
	int64_t who = member_no;
	for (int hop = 0; hop <= HOPS_MAX && who >= 0; hop++) {
		struct rows r;
		uint32_t place = POLICY_NO_MEMBER;
		TRY(db_query(c, way_then, &r, A_UUID(c->coop), A_I64(who), A_Z(delegation_question_name(about->question)), A_TIME(about->at)));
		way_room(c, way, way->n_edges + (size_t)r.n);
		for (int i = 0; i < r.n; i++) {
			struct policy_edge *edge = way_edge(way, &r, i, about->question);
			struct str scope = row_str(&r, i, 15);
			edge->scope = str_is(scope, "target") ? POLICY_SCOPE_TARGET : str_is(scope, "topic") ? POLICY_SCOPE_TOPIC : POLICY_SCOPE_COOP;
			edge->topics = topics_of(row_str(&r, i, 16), about->question);
			edge->target = edge->scope == POLICY_SCOPE_TARGET ? delegation_target(row_uuid(&r, i, 17)) : 0;
			place = edge->principal;
		}
		if (place == POLICY_NO_MEMBER)
			break;
		int64_t next = next_then(c, way, ask, place);
		for (size_t i = 0; i < way->n_edges && next >= 0; i++)
			if (way->numbers[way->edges[i].principal] == next)
				next = -1; /* a circle */
		who = next;
	}
	return ERR_OK;
}

/* ---- Who has decided ---- */

/* Without a single ballot in view nobody has voted yet: who delegates no further is taken to decide. */
static enum err suppose_decided(struct call *c, struct way *way, const struct policy_ask *ask, uint32_t self)
{
	struct policy_path *paths = ARENA_ARRAY(c->arena, way->n + 1, struct policy_path);
	struct policy_mem mem = { way_alloc, c->arena };
	struct policy_voices voices = { .n = way->n, .active = way->active };
	if (policy_delegation_resolve(way->edges, way->n_edges, &voices, ask, &mem, paths) != POLICY_OK)
		return fail(c, ERR_INTERNAL, "The delegations cannot be followed just now.");
	for (uint32_t i = 0; i < way->n; i++)
		way->decided[i] = i != self && paths[i].edge == POLICY_NO_EDGE;
	way->decided[way->n] = 1;
	return ERR_OK;
}

static void mark_decided(struct way *way, const struct rows *r)
{
	for (int row = 0; row < r->n; row++) {
		if (row_int(r, row, 0) < 0)
			way->decided[way->n] = 1; /* the board */
		for (size_t i = 0; i < way->n; i++)
			if (way->numbers[i] == row_int(r, row, 0))
				way->decided[i] = 1;
	}
}

static enum err read_decided_then(struct call *c, const struct delegation_path *about, uint32_t self, struct way *way)
{
	struct rows r;
	if (about->question == POLICY_QUESTION_CONSENT) {
		TRY(db_query(c, words_of, &r, A_UUID(c->coop), A_Z(policy_use_name(about->topic)), A_I64S(way->numbers, way->n), A_TIME(about->at)));
	} else {
		TRY(db_one(c, hidden_then, &r, A_UUID(c->coop), A_UUID(about->target)));
		way->hidden = row_bool(&r, 0, 0);
		TRY(db_query(c, votes_of, &r, A_UUID(c->coop), A_UUID(way->members[self]), A_I64S(way->numbers, way->n), A_TIME(about->at), A_UUID(about->target)));
	}
	mark_decided(way, &r);
	return ERR_OK;
}

static enum err find_decided(struct call *c, const struct delegation_path *about, const struct policy_ask *ask, uint32_t self, struct way *way)
{
	if (about->question == POLICY_QUESTION_VOTE && uuid_is_nil(about->target))
		return suppose_decided(c, way, ask, self);
	if (!way->rows)
		TRY(read_decided_then(c, about, self, way));
	if (!way->hidden)
		return ERR_OK;
	uint8_t own = way->decided[self];
	TRY(suppose_decided(c, way, ask, self));
	way->decided[self] = own;
	return ERR_OK;
}

/* ---- What it amounts to ---- */

static struct str last_name(const struct delegation_path *p)
{
	return p->n_steps ? p->steps[p->n_steps - 1].name : STR("nobody");
}

static const char *dropped_words(enum policy_via dropped)
{
	switch (dropped) {
	case POLICY_VIA_EXPIRED:
		return " A delegation of yours that would cover this has ended, rests, or its delegate is not a current member.";
	case POLICY_VIA_REVOKED:
		return " A delegation of yours that would cover this was revoked or has ended.";
	case POLICY_VIA_SCOPE:
		return " Your delegations do not reach this.";
	case POLICY_VIA_UNACCEPTED:
		return " A delegation of yours waits to be accepted.";
	default:
		return "";
	}
}

static struct str why_words(struct arena *a, const struct delegation_path *p)
{
	struct str last = last_name(p);
	bool vote = p->question == POLICY_QUESTION_VOTE;
	switch (p->via) {
	case POLICY_VIA_OWN:
		return vote ? STR("You have voted yourself, and that counts before any delegation.") : STR("You have decided yourself.");
	case POLICY_VIA_DECIDED:
		if (vote)
			return str_fmt(a, "%.*s decides for you, unless you vote yourself.", STR_ARG(last));
		return str_fmt(a, "What %.*s says as a delegate reaches your items where you are silent, or where it is stricter than your own default. It never lifts a no of yours.", STR_ARG(last));
	case POLICY_VIA_SILENT:
		return str_fmt(a, "%.*s would decide for you, but has not %s. Until then nobody decides, unless you do.", STR_ARG(last), vote ? "voted" : "said anything about this use as a delegate");
	case POLICY_VIA_NOBODY:
		return STR("You asked that nobody decide this for you.");
	case POLICY_VIA_CYCLE:
		return STR("The delegations run in a circle back to you, so nobody decides unless somebody in it does.");
	case POLICY_VIA_DEPTH:
		return str_fmt(a, "The chain to %.*s is longer than the charter allows, so nobody decides for you.", STR_ARG(last));
	case POLICY_VIA_CAP:
		return str_fmt(a, "%.*s decides for as many members as the charter allows already.", STR_ARG(last));
	default:
		return str_fmt(a, "Nobody decides for you.%s%s", vote ? " Undecided is never a yes." : " What you say yourself, or the co-op's default if you accepted it, counts.", dropped_words(p->dropped));
	}
}

/* The same of a ballot that is over. */
static struct str why_words_then(struct arena *a, const struct delegation_path *p)
{
	switch (p->via) {
	case POLICY_VIA_OWN:
		return STR("You voted yourself.");
	case POLICY_VIA_DECIDED:
		return str_fmt(a, "%.*s decided for you.", STR_ARG(last_name(p)));
	default:
		return str_fmt(a, "Nobody decided for you: %s. Undecided was not counted as a yes.", policy_via_text(p->dropped != POLICY_VIA_NONE ? p->dropped : p->via));
	}
}

/* The steps with the delegations that they take, as people read them. */
static enum err take_steps(struct call *c, const struct way *way, const struct policy_path *paths, uint32_t self, struct delegation_path *out)
{
	int64_t *numbers = ARENA_ARRAY(c->arena, HOPS_MAX + 2, int64_t);
	uint32_t *delegates = ARENA_ARRAY(c->arena, HOPS_MAX + 2, uint32_t);
	struct edge_row *rows = way->rows;
	size_t n = 0, n_rows = way->n_edges;
	for (uint32_t at = self; at < way->n && n <= HOPS_MAX && paths[at].edge != POLICY_NO_EDGE && (n == 0 || !way->decided[at] || at == self); n++) {
		const struct policy_edge *edge = &way->edges[paths[at].edge];
		numbers[n] = (int64_t)edge->id;
		delegates[n] = at = edge->delegate;
		if (at == self) {
			n++;
			break;
		}
	}
	out->steps = ARENA_ARRAY(c->arena, n + 1, struct delegation_step);
	if (n == 0)
		return ERR_OK;
	if (!rows)
		TRY(edges_numbered(c, c->coop, numbers, n, &rows, &n_rows));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_rows; k++)
			if (rows[k].d.edge == (uint64_t)numbers[i])
				out->steps[out->n_steps++] = (struct delegation_step){ .by = rows[k].d, .name = rows[k].d.delegate_name, .member = rows[k].d.delegate };
	return ERR_OK;
}

static enum err conclude(struct call *c, const struct policy_ask *ask, struct way *way, uint32_t self, struct delegation_path *out)
{
	struct policy_path *paths = ARENA_ARRAY(c->arena, way->n + 1, struct policy_path);
	struct policy_mem mem = { way_alloc, c->arena };
	struct policy_voices voices = { .n = way->n, .active = way->active, .decided = way->decided, .beyond_own = out->question == POLICY_QUESTION_CONSENT };
	if (policy_delegation_resolve(way->edges, way->n_edges, &voices, ask, &mem, paths) != POLICY_OK)
		return fail(c, ERR_INTERNAL, "The delegations cannot be followed just now.");
	out->via = (enum policy_via)paths[self].via;
	out->dropped = (enum policy_via)paths[self].dropped;
	if (out->via != POLICY_VIA_OWN)
		TRY(take_steps(c, way, paths, self, out));
	if (paths[self].decider < way->n)
		out->decider = way->members[paths[self].decider];
	out->why = why_words(c->arena, out);
	return ERR_OK;
}

static enum err resolve(struct call *c, const struct charter *charter, struct uuid member, int number, bool now, uint64_t without, struct delegation_path *out)
{
	struct way way = { 0 };
	struct policy_ask ask = { .question = (uint8_t)out->question, .topic = (uint8_t)out->topic, .depth = (uint8_t)charter->delegation_depth, .board_active = 1,
		.target = delegation_target(out->target), .at = out->at };
	uint32_t self = 0;
	if (now) {
		TRY(read_way_now(c, out, member, without, &way));
	} else {
		TRY(read_way_then(c, &ask, out, number, &way));
		if (way.n == 0)
			way_room(c, &way, 1);
		self = place_of(&way, number, member, STR("active"));
	}
	TRY(find_decided(c, out, &ask, self, &way));
	return conclude(c, &ask, &way, self, out);
}

/* ---- Asking ---- */

static enum err check_topic(struct call *c, enum policy_question question, unsigned topic)
{
	return topic < delegation_topic_count(question) ? ERR_OK
		: fail_reason(c, ERR_INVALID, "delegation_topic", question == POLICY_QUESTION_VOTE ? "There is no such kind of ballot." : "There is no such use.");
}

/* A ballot has a kind, whatever the caller says. */
static enum err topic_of_target(struct call *c, enum policy_question question, struct uuid target, unsigned *topic)
{
	struct rows r;
	if (question != POLICY_QUESTION_VOTE || uuid_is_nil(target))
		return ERR_OK;
	TRY(db_query(c, ballot_kind_of, &r, A_UUID(c->coop), A_UUID(target)));
	if (r.n != 1)
		return fail_reason(c, ERR_NOT_FOUND, "delegation_target", "This co-op has no such ballot.");
	struct str kind = row_str(&r, 0, 0);
	int no = policy_ballot_find(kind.p, kind.n);
	*topic = no < 0 ? 0 : (unsigned)no;
	return ERR_OK;
}

enum err delegation_resolve_without(struct call *c, const struct charter *charter, struct uuid member, enum policy_question question, unsigned topic, struct uuid target,
	uint64_t without, struct delegation_path *out)
{
	*out = (struct delegation_path){ .question = question, .topic = topic, .target = target, .at = clock_now() };
	TRY(check_topic(c, question, topic));
	return resolve(c, charter, member, 0, true, without, out);
}

enum err delegation_resolve_one(struct call *c, struct uuid coop, struct uuid member, enum policy_question question, unsigned topic, struct uuid target,
	struct delegation_path *out)
{
	struct charter charter;
	TRY(charter_current(c, coop, &charter));
	return delegation_resolve_without(c, &charter, member, question, topic, target, 0, out);
}

/* The close gives a delegate no more members than the charter allows, the earliest first. Only where there may be more is that worked out. */
static enum err heed_cap(struct call *c, const struct charter *charter, const struct member *me, struct delegation_path *out)
{
	struct rows r;
	bool cut;
	if (out->question != POLICY_QUESTION_VOTE || !uuid_is_nil(out->target) || out->via != POLICY_VIA_DECIDED || uuid_is_nil(out->decider) || charter->delegation_cap == 0)
		return ERR_OK;
	TRY(db_one(c, upstream_size, &r, A_UUID(c->coop), A_UUID(out->decider), A_INT(charter->delegation_depth)));
	if (row_int(&r, 0, 0) <= charter->delegation_cap)
		return ERR_OK;
	TRY(delegation_cut_by_cap(c, charter, (uint32_t)me->number, out, &cut));
	if (!cut)
		return ERR_OK;
	out->via = POLICY_VIA_CAP;
	out->decider = (struct uuid){ { 0 } };
	out->why = why_words(c->arena, out);
	return ERR_OK;
}

/* The delegations that were followed, nearest first, as they are written down. */
static enum err stored_steps(struct call *c, struct str path, struct delegation_path *out)
{
	struct edge_row *rows;
	struct str rest = path, part;
	int64_t numbers[HOPS_MAX];
	size_t n = 0, n_rows;
	while (path.n && n < HOPS_MAX && str_split(&rest, ',', &part))
		n += str_to_i64(part, 0, INT64_MAX, &numbers[n]);
	out->steps = ARENA_ARRAY(c->arena, n + 1, struct delegation_step);
	if (n == 0)
		return ERR_OK;
	TRY(edges_numbered(c, c->coop, numbers, n, &rows, &n_rows));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_rows; k++)
			if (rows[k].d.edge == (uint64_t)numbers[i] && rows[k].d.delegate_kind != DELEGATE_NOBODY)
				out->steps[out->n_steps++] = (struct delegation_step){ .by = rows[k].d, .name = rows[k].d.delegate_name, .member = rows[k].d.delegate };
	return ERR_OK;
}

static enum policy_via via_named(struct str name)
{
	for (unsigned via = 0; via < POLICY_VIA_COUNT; via++)
		if (str_is(name, policy_via_name(via)))
			return (enum policy_via)via;
	return POLICY_VIA_NONE;
}

static enum err read_stored(struct call *c, const struct member *me, struct delegation_path *out, bool *over)
{
	struct rows r;
	*over = false;
	if (out->question != POLICY_QUESTION_VOTE || uuid_is_nil(out->target))
		return ERR_OK;
	TRY(db_query(c, stored_way, &r, A_UUID(c->coop), A_UUID(out->target), A_INT(me->number)));
	if (r.n == 0)
		return ERR_OK;
	*over = true;
	out->at = row_time(&r, 0, 0);
	if (row_null(&r, 0, 1)) {
		out->why = STR("You were not on the roll of this ballot.");
		return ERR_OK;
	}
	out->via = via_named(row_str(&r, 0, 1));
	out->dropped = out->via == POLICY_VIA_NONE && !row_null(&r, 0, 2) ? via_named(row_str(&r, 0, 2)) : POLICY_VIA_NONE;
	out->decider = row_uuid(&r, 0, 4);
	TRY(stored_steps(c, row_str(&r, 0, 5), out));
	out->why = why_words_then(c->arena, out);
	return ERR_OK;
}

enum err delegation_who_on(struct call *c, struct uuid coop, enum policy_question question, unsigned topic, struct uuid target, instant on, struct delegation_path *out)
{
	struct charter charter;
	struct member me;
	struct rows r;
	bool now = on == INSTANT_NONE || on >= clock_now();
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(topic_of_target(c, question, target, &topic));
	TRY(check_topic(c, question, topic));
	*out = (struct delegation_path){ .question = question, .topic = topic, .target = target, .at = now ? clock_now() : on };
	bool over;
	TRY(read_stored(c, &me, out, &over));
	if (over)
		return db_commit(c);
	if (now) {
		TRY(charter_current(c, coop, &charter));
	} else {
		TRY(db_one(c, charter_on, &r, A_UUID(coop), A_TIME(on)));
		TRY(charter_version(c, coop, (int)row_int(&r, 0, 0), &charter));
	}
	TRY(resolve(c, &charter, me.id, me.number, now, 0, out));
	if (now)
		TRY(heed_cap(c, &charter, &me, out));
	return db_commit(c);
}
