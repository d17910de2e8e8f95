#include "server/coop/coop_internal.h"
#include "server/coop/guest_internal.h"

#include "commonhold/keyring.h"

#include <stdlib.h>

/* Guests and the agreements that they come under: the rows. Whoever changes anything that a decision holds to moves guest_head on in the same transaction. */

SQL(head_bump, "INSERT INTO guest_head (coop_id, changes) VALUES ($1, 1) ON CONFLICT (coop_id) DO UPDATE SET changes = guest_head.changes + 1");
SQL(source_put,
	"INSERT INTO guest_source (coop_id, agreement_id, home, title, uses, purposes, floor_uses, audience, k, embargo, retention, access, attribution, state, fresh_until, under, changed_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, coalesce($15, '-infinity'), $16, commonhold_now()) "
	"ON CONFLICT (coop_id, agreement_id) DO UPDATE SET home = excluded.home, title = excluded.title, uses = excluded.uses, purposes = excluded.purposes, floor_uses = excluded.floor_uses, "
	"audience = excluded.audience, k = excluded.k, embargo = excluded.embargo, retention = excluded.retention, access = excluded.access, attribution = excluded.attribution, "
	"state = excluded.state, fresh_until = coalesce($15, guest_source.fresh_until), changed_at = excluded.changed_at");
SQL(source_heard,
	"UPDATE guest_source SET fresh_until = greatest(fresh_until, $3), changed_at = commonhold_now() WHERE coop_id = $1 AND (agreement_id = $2 OR under = $2) RETURNING state");
#define SOURCE_COLUMNS \
	"agreement_id, home, title, array_to_string(uses, ','), array_to_string(purposes, ','), array_to_string(floor_uses, ','), audience, k, embargo, retention, access, attribution, state, fresh_until, under"
SQL(source_get, "SELECT " SOURCE_COLUMNS " FROM guest_source WHERE coop_id = $1 AND agreement_id = $2");
SQL(source_all, "SELECT " SOURCE_COLUMNS " FROM guest_source WHERE coop_id = $1 ORDER BY agreement_id");

#define GUEST_COLUMNS "g.id, g.number, g.home, coalesce((SELECT o.title FROM origin_coop o WHERE o.coop_id = g.coop_id AND o.key_name = g.home), s.title), g.contributor, g.agreement_id, g.rev, g.standing, g.name, g.linked_member"
#define GUEST_FROM " FROM guest g JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id "
SQL(guest_by_number, "SELECT " GUEST_COLUMNS GUEST_FROM "WHERE g.coop_id = $1 AND g.number = $2");
SQL(guest_by_contributor, "SELECT " GUEST_COLUMNS GUEST_FROM "WHERE g.coop_id = $1 AND g.home = $2 AND g.contributor = $3");
SQL(guest_by_id, "SELECT " GUEST_COLUMNS GUEST_FROM "WHERE g.coop_id = $1 AND g.id = $2");
SQL(guests_by_number, "SELECT " GUEST_COLUMNS GUEST_FROM "WHERE g.coop_id = $1 AND g.number = ANY ($2::bigint[]) ORDER BY g.number");
SQL(guests_lines, "SELECT " GUEST_COLUMNS ", g.line" GUEST_FROM "WHERE g.coop_id = $1 AND g.agreement_id = $2 AND g.number > $3 ORDER BY g.number LIMIT $4");
SQL(guest_set_link, "UPDATE guest SET linked_member = $3 WHERE coop_id = $1 AND id = $2 RETURNING id");
SQL(pairs_all, "SELECT g.number, m.number FROM guest g JOIN membership m ON m.coop_id = g.coop_id AND m.id = g.linked_member WHERE g.coop_id = $1 ORDER BY g.number");
SQL(limits_all, "SELECT g.number, g.agreement_id FROM guest g WHERE g.coop_id = $1 ORDER BY g.number");
SQL(ever_guests, "SELECT coop_next_number($1) FROM guest_head WHERE coop_id = $1");

/* ---- Sources ---- */

static const char *const state_names[] = { [GUEST_SOURCE_IN_EFFECT] = "in_effect", [GUEST_SOURCE_SUSPENDED] = "suspended", [GUEST_SOURCE_ENDED] = "ended" };
static const char *const access_names[] = { "public", "gated_auto", "gated_manual" };
static const char *const attribution_names[] = { "anonymous", "pseudonym", "public" };

static size_t names_of(uint64_t bits, unsigned count, const char *(*name)(unsigned no), struct str *out)
{
	size_t n = 0;
	for (unsigned i = 0; i < count; i++)
		if (bits >> i & 1)
			out[n++] = str_of(name(i));
	return n;
}

enum err guest_head_move(struct call *c, struct uuid coop)
{
	return db_exec(c, head_bump, A_UUID(coop));
}

static bool source_sound(const struct guest_source *s)
{
	return s->uses && !(s->uses & ~POLICY_USES_ALL) && !(s->floor & ~POLICY_USES_ALL) && s->purposes && !(s->purposes & ~POLICY_PURPOSES_ALL) && s->audience < POLICY_AUDIENCE_COUNT
		&& s->k <= INT32_MAX && s->embargo >= 0 && s->retention >= 0 && str_which(s->access, access_names, CH_LEN(access_names)) >= 0
		&& str_which(s->attribution, attribution_names, CH_LEN(attribution_names)) >= 0 && (unsigned)s->state < CH_LEN(state_names) && s->home.n == 16;
}

enum err guest_source_put(struct call *c, struct uuid coop, const struct guest_source *s)
{
	struct str uses[POLICY_USE_COUNT], floor[POLICY_USE_COUNT], purposes[POLICY_PURPOSE_COUNT];
	if (!source_sound(s))
		return fail(c, ERR_INVALID, "What an agreement allows cannot be kept as it is said.");
	size_t n_uses = names_of(s->uses, POLICY_USE_COUNT, policy_use_name, uses), n_floor = names_of(s->floor, POLICY_USE_COUNT, policy_use_name, floor);
	size_t n_purposes = names_of(s->purposes, POLICY_PURPOSE_COUNT, policy_purpose_name, purposes);
	TRY(db_exec(c, source_put, A_UUID(coop), A_UUID(s->agreement), A_STR(s->home), A_STR(s->title.p ? s->title : s->home), A_TEXTS(uses, n_uses), A_TEXTS(purposes, n_purposes),
		A_TEXTS(floor, n_floor), A_Z(policy_audience_name(s->audience)), A_INT((int)s->k), A_I64(s->embargo), A_I64(s->retention), A_STR(s->access), A_STR(s->attribution),
		A_Z(state_names[s->state]), A_TIME(s->fresh_until), A_UUID_OR_NULL(s->under)));
	return guest_head_move(c, coop);
}

enum err guest_source_heard(struct call *c, struct uuid coop, struct uuid agreement, instant fresh_until)
{
	struct rows r;
	TRY(db_query(c, source_heard, &r, A_UUID(coop), A_UUID(agreement), A_TIME(fresh_until)));
	if (r.n == 0)
		return fail(c, ERR_NOT_FOUND, "There is no such agreement to hear of.");
	return guest_head_move(c, coop);
}

static uint32_t bits_of_row(const struct rows *r, int row, int col, int (*find)(const char *name, size_t len))
{
	struct str rest = row_str(r, row, col), word;
	uint32_t bits = 0;
	while (rest.n && str_split(&rest, ',', &word)) {
		int no = find(word.p, word.n);
		bits |= no < 0 ? 0 : POLICY_BIT(no);
	}
	return bits;
}

static struct guest_source source_of_row(const struct rows *r, int i)
{
	struct str audience = row_str(r, i, 6);
	int state = str_which(row_str(r, i, 12), state_names, CH_LEN(state_names)), no = policy_audience_find(audience.p, audience.n);
	return (struct guest_source){
		.agreement = row_uuid(r, i, 0), .home = row_str(r, i, 1), .title = row_str(r, i, 2), .uses = (uint16_t)bits_of_row(r, i, 3, policy_use_find),
		.purposes = bits_of_row(r, i, 4, policy_purpose_find), .floor = (uint16_t)bits_of_row(r, i, 5, policy_use_find), .audience = no < 0 ? POLICY_AUDIENCE_MEMBERS : (uint8_t)no,
		.k = (uint32_t)row_int(r, i, 7), .embargo = row_int(r, i, 8), .retention = row_int(r, i, 9), .access = row_str(r, i, 10), .attribution = row_str(r, i, 11),
		.state = state < 0 ? GUEST_SOURCE_ENDED : (enum guest_source_state)state, .fresh_until = row_time(r, i, 13),
		.under = row_uuid(r, i, 14),
	};
}

enum err guest_source_get(struct call *c, struct uuid coop, struct uuid agreement, struct guest_source *out)
{
	struct rows r;
	TRY(db_one(c, source_get, &r, A_UUID(coop), A_UUID(agreement)));
	*out = source_of_row(&r, 0);
	return ERR_OK;
}

enum err guest_source_list(struct call *c, struct uuid coop, struct guest_source **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, source_all, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct guest_source);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = source_of_row(&r, i);
	return ERR_OK;
}

/* ---- Guests ---- */

static struct guest guest_of_row(const struct rows *r, int i)
{
	struct str standing = row_str(r, i, 7), contributor = row_bytes(r, i, 4);
	int no = policy_standing_find(standing.p ? standing.p : "", standing.n);
	struct guest g = {
		.id = row_uuid(r, i, 0), .number = (int)row_int(r, i, 1), .home = row_str(r, i, 2), .home_title = row_str(r, i, 3), .agreement = row_uuid(r, i, 5), .rev = row_int(r, i, 6),
		.standing = no < 0 ? POLICY_STANDING_REMOVED : (enum policy_standing)no, .name = row_str(r, i, 8), .linked = row_uuid(r, i, 9),
	};
	if (contributor.n == sizeof(g.contributor))
		memcpy(g.contributor, contributor.p, sizeof(g.contributor));
	return g;
}

static enum err guest_one(struct call *c, const struct rows *r, struct guest *out)
{
	if (r->n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such guest.");
	*out = guest_of_row(r, 0);
	return ERR_OK;
}

enum err guest_of_number(struct call *c, struct uuid coop, int number, struct guest *out)
{
	struct rows r;
	TRY(db_query(c, guest_by_number, &r, A_UUID(coop), A_INT(number)));
	return guest_one(c, &r, out);
}

enum err guest_find(struct call *c, struct uuid coop, struct str home, const uint8_t contributor[16], struct guest *out)
{
	struct rows r;
	TRY(db_query(c, guest_by_contributor, &r, A_UUID(coop), A_STR(home), A_BYTES(str_make(contributor, 16))));
	return guest_one(c, &r, out);
}

enum err guest_of_id(struct call *c, struct uuid coop, struct uuid id, struct guest *out)
{
	struct rows r;
	TRY(db_query(c, guest_by_id, &r, A_UUID(coop), A_UUID(id)));
	return guest_one(c, &r, out);
}

enum err guests_of_numbers(struct call *c, struct uuid coop, const int64_t *numbers, size_t n, struct guest *out, bool *present)
{
	struct rows r;
	TRY(db_query(c, guests_by_number, &r, A_UUID(coop), A_I64S(numbers, n)));
	for (size_t i = 0; i < n; i++) {
		int low = 0, high = r.n;
		while (low < high) {
			int middle = (low + high) / 2;
			if (row_int(&r, middle, 1) < numbers[i])
				low = middle + 1;
			else
				high = middle;
		}
		present[i] = low < r.n && row_int(&r, low, 1) == numbers[i];
		if (present[i])
			out[i] = guest_of_row(&r, low);
	}
	return ERR_OK;
}

enum err guest_lines(struct call *c, struct uuid coop, struct uuid agreement, int after, size_t limit, struct guest **guests, struct str **lines, size_t *n)
{
	struct rows r;
	TRY(db_query(c, guests_lines, &r, A_UUID(coop), A_UUID(agreement), A_INT(after), A_I64((int64_t)limit)));
	*n = (size_t)r.n;
	*guests = ARENA_ARRAY(c->arena, *n + 1, struct guest);
	*lines = ARENA_ARRAY(c->arena, *n + 1, struct str);
	for (int i = 0; i < r.n; i++) {
		(*guests)[i] = guest_of_row(&r, i);
		(*lines)[i] = row_str(&r, i, 10);
	}
	return ERR_OK;
}

enum err guest_link(struct call *c, struct uuid coop, struct uuid guest, struct uuid member)
{
	struct rows r;
	TRY(db_query(c, guest_set_link, &r, A_UUID(coop), A_UUID(guest), A_UUID_OR_NULL(member)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such guest.");
	return guest_head_move(c, coop);
}

enum err guest_pairs(struct call *c, struct uuid coop, struct guest_pair **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, pairs_all, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct guest_pair);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct guest_pair){ (uint32_t)row_int(&r, i, 0), (uint32_t)row_int(&r, i, 1) };
	return ERR_OK;
}

/* ---- Limits ---- */

const char *guest_access_name(unsigned access)
{
	return access < CH_LEN(access_names) ? access_names[access] : access_names[CH_LEN(access_names) - 1];
}

static struct guest_limits limits_of(const struct guest_source *s)
{
	return (struct guest_limits){ .embargo = s->embargo, .retention = s->retention, .attribution = (uint8_t)str_which(s->attribution, attribution_names, CH_LEN(attribution_names)),
		.access = (uint8_t)str_which(s->access, access_names, CH_LEN(access_names)), .is_guest = true, .ended = s->state == GUEST_SOURCE_ENDED };
}

static int source_order(const void *key, const void *s)
{
	return uuid_cmp(*(const struct uuid *)key, ((const struct guest_source *)s)->agreement);
}

enum err guest_limits_load(struct call *c, struct uuid coop, struct guest_limits **by_number, size_t *n, uint32_t *k)
{
	struct rows head, r;
	struct guest_source *sources;
	size_t n_sources;
	*by_number = NULL;
	*n = 0;
	*k = 0;
	TRY(db_query(c, ever_guests, &head, A_UUID(coop)));
	if (head.n == 0)
		return ERR_OK;
	TRY(guest_source_list(c, coop, &sources, &n_sources));
	TRY(db_query(c, limits_all, &r, A_UUID(coop)));
	*n = (size_t)row_int(&head, 0, 0);
	*by_number = ARENA_ARRAY(c->arena, *n + 1, struct guest_limits);
	for (int i = 0; i < r.n; i++) {
		struct uuid agreement = row_uuid(&r, i, 1);
		const struct guest_source *s = bsearch(&agreement, sources, n_sources, sizeof(*sources), source_order);
		int64_t number = row_int(&r, i, 0);
		if (!s || number < 0 || (size_t)number >= *n)
			return fail(c, ERR_CORRUPT, "The guests of a co-op are not as they should be.");
		(*by_number)[number] = limits_of(s);
		if (s->state == GUEST_SOURCE_IN_EFFECT)
			*k = s->k > *k ? s->k : *k;
	}
	return ERR_OK;
}
