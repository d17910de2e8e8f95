#include "server/merge/fork/fork_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"

/* Which co-op holds what of a person, as far as this one can know: what it holds itself, what it sent under agreements, what went along with forks, and whom else the person has proved to be. */

#define TOMBSTONED "4096"

/* What of a member's was erased, and of that what this co-op was told to be gone there: the duty of the partner has the indices of tombstones that it confirmed. */
#define CONFIRMED(partner) \
	"(SELECT count(DISTINCT t.idx) FROM tombstone t JOIN contribution tc ON tc.coop_id = t.coop_id AND tc.id = t.contribution_id AND tc.member_no = $3 " \
	"JOIN duty d ON d.coop_id = t.coop_id AND d.partner = " partner " AND d.seen @> t.idx WHERE t.coop_id = $1)"

SQL(holds_home,
	"SELECT k.key_name, (SELECT h.name FROM charter h WHERE h.coop_id = k.id ORDER BY h.version DESC LIMIT 1), count(c.id) FILTER (WHERE (c.word & " TOMBSTONED ") = 0), "
	"count(c.id) FILTER (WHERE (c.word & " TOMBSTONED ") <> 0), coalesce(min(c.submitted_at), m.applied_at), m.number "
	"FROM membership m JOIN coop k ON k.id = m.coop_id LEFT JOIN contribution c ON c.coop_id = m.coop_id AND c.member_no = m.number "
	"WHERE m.coop_id = $1 AND m.id = $2 GROUP BY k.id, k.key_name, m.applied_at, m.number");
/* An item's place in its segment's bits; the lowest bit of a byte comes first. */
SQL(holds_sent,
	"SELECT s.agreement_id, p.name, CASE WHEN p.title <> '' THEN p.title ELSE p.name END, p.url, count(*), count(*) FILTER (WHERE (c.word & " TOMBSTONED ") <> 0), "
	"least(count(*) FILTER (WHERE (c.word & " TOMBSTONED ") <> 0), " CONFIRMED("p.name") "), min(c.submitted_at), "
	"NOT EXISTS (SELECT FROM agreement_revision r WHERE r.coop_id = $1 AND r.agreement_id = s.agreement_id AND r.state IN ('in_effect', 'suspended', 'ending')) "
	"FROM contribution c JOIN bundle_sent s ON s.coop_id = c.coop_id AND s.no = c.item_no / 4096 AND get_bit(s.ever, (c.item_no % 4096)::integer) = 1 "
	"JOIN agreement g ON g.coop_id = s.coop_id AND g.id = s.agreement_id JOIN peer p ON p.coop_id = g.coop_id AND p.id = g.peer_id "
	"WHERE c.coop_id = $1 AND c.member_id = $2 AND c.member_no = $3 GROUP BY s.agreement_id, p.name, p.title, p.url ORDER BY 8, 1");
SQL(holds_moved,
	"SELECT o.id, o.fork_name, o.title, o.fork_url, v.items, "
	"(SELECT count(*) FROM contribution c WHERE c.coop_id = $1 AND c.member_no = $3 AND c.submitted_at <= v.moved_at AND (c.word & " TOMBSTONED ") <> 0 "
	" AND EXISTS (SELECT FROM tombstone t WHERE t.coop_id = c.coop_id AND t.contribution_id = c.id AND t.effective >= v.moved_at)), "
	CONFIRMED("o.fork_name") ", v.moved_at, false "
	"FROM fork_moved v JOIN fork_offer o ON o.coop_id = v.coop_id AND o.id = v.offer_id WHERE v.coop_id = $1 AND v.member_id = $2 AND o.state IN ('exported', 'founded') ORDER BY v.moved_at, o.id");
SQL(holds_guest,
	"SELECT l.id, g.home, coalesce((SELECT s.title FROM guest_source s WHERE s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id), g.home), "
	"(SELECT p.url FROM peer p WHERE p.coop_id = g.coop_id AND p.name = g.home), "
	"(SELECT count(*) FROM contribution c WHERE c.coop_id = g.coop_id AND c.member_no = g.number) + (SELECT count(*) FROM item_origin i WHERE i.coop_id = g.coop_id AND i.member_no = g.number), "
	"(SELECT count(*) FROM contribution c WHERE c.coop_id = g.coop_id AND c.member_no = g.number AND (c.word & " TOMBSTONED ") <> 0), "
	"(SELECT count(*) FROM contribution c WHERE c.coop_id = g.coop_id AND c.member_no = g.number AND (c.word & " TOMBSTONED ") <> 0), g.first_at, $3::integer < 0 "
	"FROM link l JOIN guest g ON g.coop_id = l.coop_id AND g.home = l.home AND g.contributor = l.contributor "
	"WHERE l.coop_id = $1 AND l.member_id = $2 AND l.state = 'standing' ORDER BY g.first_at, l.id");

const char *holds_how_word(unsigned how)
{
	static const char *const words[HOLDS_HOW_COUNT] = {
#define X(name, word) [HOLDS_##name] = word,
		HOLDS_HOWS(X)
#undef X
	};
	return how < HOLDS_HOW_COUNT ? words[how] : "";
}

static struct holds of_row(enum holds_how how, const struct rows *r, int i)
{
	struct str url = row_str(r, i, 3);
	return (struct holds){
		.how = how, .under = row_uuid(r, i, 0), .name = row_str(r, i, 1), .title = row_str(r, i, 2), .url = url.n ? url : STR_NONE, .items = row_int(r, i, 4),
		.erased = row_int(r, i, 5), .confirmed = row_int(r, i, 6), .since = row_time(r, i, 7), .ended = row_bool(r, i, 8),
	};
}

enum err holds_get(struct call *c, struct uuid coop, struct uuid member, struct holds **out, size_t *n)
{
	static const struct { const struct db_stmt *stmt; enum holds_how how; } asked[] = { { &holds_sent, HOLDS_SENT }, { &holds_moved, HOLDS_MOVED }, { &holds_guest, HOLDS_GUEST } };
	struct rows home, r[CH_LEN(asked)];
	TRY(db_one(c, holds_home, &home, A_UUID(coop), A_UUID(member)));
	const struct db_arg args[] = { A_UUID(coop), A_UUID(member), A_INT((int)row_int(&home, 0, 5)) };
	size_t most = 1;
	for (size_t i = 0; i < CH_LEN(asked); i++) {
		TRY(db_run(c, asked[i].stmt, &r[i], args, CH_LEN(args)));
		most += (size_t)r[i].n;
	}
	struct holds *all = *out = ARENA_ARRAY(c->arena, most, struct holds);
	*n = 0;
	all[(*n)++] = (struct holds){
		.how = HOLDS_HOME, .name = row_str(&home, 0, 0), .title = row_str(&home, 0, 1), .url = str_of(config()->base_url), .items = row_int(&home, 0, 2), .erased = row_int(&home, 0, 3),
		.confirmed = row_int(&home, 0, 3), .since = row_time(&home, 0, 4),
	};
	for (size_t i = 0; i < CH_LEN(asked); i++)
		for (int k = 0; k < r[i].n; k++)
			all[(*n)++] = of_row(asked[i].how, &r[i], k);
	return ERR_OK;
}

enum err holds_mine(struct call *c, struct uuid coop, struct holds **out, size_t *n)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_of_actor(c, coop, &me));
	TRY(holds_get(c, coop, me.id, out, n));
	return db_commit(c);
}

void holds_write(struct json_writer *w, struct arena *a, const struct holds *holds, size_t n)
{
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct holds *h = &holds[i];
		jw_object(w);
		jw_kz(w, "how", holds_how_word(h->how));
		jw_kstr(w, "coop", h->name);
		jw_kstr(w, "title", h->title);
		jw_kstr(w, "url", h->url);
		jw_kstr(w, "under", uuid_format_or_none(a, h->under));
		jw_kint(w, "items", h->items);
		jw_kint(w, "erased", h->erased);
		jw_kint(w, "confirmed", h->confirmed);
		jw_kstr(w, "since", clock_format(a, h->since));
		jw_kbool(w, "ended", h->ended);
		jw_end_object(w);
	}
	jw_end_array(w);
}
