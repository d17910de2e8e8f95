#include "commonhold/calendar.h"

#include "commonhold/coop.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"

#include <libical/ical.h>
#include <stdlib.h>

#define COOPS_MAX 100   /* in one person's calendar */
#define DATES_MAX 400   /* of one kind in one co-op */

SQL(releases,
	"SELECT id, cutoff_at, state, state_at, version, published_at FROM release"
	" WHERE coop_id = $1 AND redacts_id IS NULL AND greatest(cutoff_at, published_at) > $2 ORDER BY cutoff_at, id LIMIT $3");
SQL(ballots,
	"SELECT id, kind, title, state, created_at, opens_at, closes_at, extended, closed_at FROM ballot"
	" WHERE coop_id = $1 AND closes_at > $2 ORDER BY opens_at, id LIMIT $3");
SQL(memberships,
	"SELECT m.coop_id, m.id, m.due_at, m.state_at, co.slug, (SELECT ch.name FROM charter ch WHERE ch.coop_id = m.coop_id ORDER BY ch.version DESC LIMIT 1)"
	" FROM membership m JOIN coop co ON co.id = m.coop_id WHERE m.account_id = $1 AND m.state IN ('active', 'due', 'grace') ORDER BY co.slug LIMIT $2");
SQL(feed_owner, "SELECT f.account_id FROM calendar_feed f JOIN account a ON a.id = f.account_id WHERE f.secret_hash = $1 AND a.closed_at IS NULL");
SQL(feed_read, "SELECT made_at FROM calendar_feed WHERE account_id = $1");
SQL(feed_make,
	"INSERT INTO calendar_feed (account_id, secret_hash, made_at) VALUES ($1, $2, commonhold_now())"
	" ON CONFLICT (account_id) DO UPDATE SET secret_hash = excluded.secret_hash, made_at = excluded.made_at");
SQL(feed_end, "DELETE FROM calendar_feed WHERE account_id = $1");

/* A calendar being written. */
struct calendar {
	struct call *c;
	icalcomponent *root;
	struct str base_url;
	struct str coop_name, coop_slug; /* of the co-op whose dates are written */
	bool own;                        /* a member's: titles of ballots are told */
};

/* One date. */
struct date {
	const char *what;        /* part of its UID: "release", "ballot", "checkup" */
	struct uuid id;
	const char *which;       /* the other part: "cutoff" */
	instant at;              /* when */
	instant revised;         /* when we last learnt something about it */
	int sequence;            /* how often its time was moved */
	bool cancelled;
	int remind_days;         /* 0: no alarm */
	struct str summary;
	struct str path;         /* below the co-op's page */
};

static struct icaltimetype ical_time(instant t)
{
	struct civil v = clock_civil(t);
	struct icaltimetype out = icaltime_null_time();
	out.year = v.year;
	out.month = v.month;
	out.day = v.day;
	out.hour = v.hour;
	out.minute = v.minute;
	out.second = v.second;
	out.zone = icaltimezone_get_utc_timezone();
	return out;
}

static void add_x(icalcomponent *to, const char *name, const char *value)
{
	icalproperty *p = icalproperty_new_x(value);
	icalproperty_set_x_name(p, name);
	icalcomponent_add_property(to, p);
}

static void calendar_end(void *root)
{
	icalcomponent_free(root);
}

static void calendar_begin(struct calendar *k, struct call *c, struct str base_url, struct str name)
{
	*k = (struct calendar){ .c = c, .base_url = base_url };
	k->root = icalcomponent_vanew(ICAL_VCALENDAR_COMPONENT, icalproperty_new_version("2.0"), icalproperty_new_prodid("-//Commonhold//Calendar//EN"),
		icalproperty_new_calscale("GREGORIAN"), (void *)0);
	arena_defer(c->arena, calendar_end, k->root);
	add_x(k->root, "X-WR-CALNAME", str_z(c->arena, name));
	add_x(k->root, "X-PUBLISHED-TTL", "PT6H");
}

static void add_alarm(icalcomponent *event, int days, const char *text)
{
	struct icaltriggertype before = icaltriggertype_from_int(-days * 86400);
	icalcomponent_add_component(event, icalcomponent_vanew(ICAL_VALARM_COMPONENT, icalproperty_new_action(ICAL_ACTION_DISPLAY),
		icalproperty_new_description(text), icalproperty_new_trigger(before), (void *)0));
}

static void add_date(struct calendar *k, const struct date *d)
{
	struct arena *a = k->c->arena;
	const char *uid = str_fmt(a, "%s-%.*s-%s@commonhold", d->what, STR_ARG(uuid_format(a, d->id)), d->which).p;
	const char *summary = str_fmt(a, "%.*s: %.*s", STR_ARG(k->coop_name), STR_ARG(d->summary)).p;
	const char *url = str_fmt(a, "%.*s/coops/%.*s%.*s", STR_ARG(k->base_url), STR_ARG(k->coop_slug), STR_ARG(d->path)).p;
	icalcomponent *event = icalcomponent_vanew(ICAL_VEVENT_COMPONENT, icalproperty_new_uid(uid), icalproperty_new_dtstamp(ical_time(d->revised)),
		icalproperty_new_dtstart(ical_time(d->at)), icalproperty_new_summary(summary), icalproperty_new_url(url), icalproperty_new_transp(ICAL_TRANSP_TRANSPARENT),
		icalproperty_new_sequence(d->sequence), icalproperty_new_status(d->cancelled ? ICAL_STATUS_CANCELLED : ICAL_STATUS_CONFIRMED), (void *)0);
	if (d->remind_days && !d->cancelled)
		add_alarm(event, d->remind_days, summary);
	icalcomponent_add_component(k->root, event);
}

static enum err calendar_write(struct calendar *k, struct str *out)
{
	char *text = icalcomponent_as_ical_string_r(k->root);
	if (!text)
		return fail(k->c, ERR_NO_MEMORY, "There is no memory for the calendar.");
	*out = str_copy(k->c->arena, str_of(text));
	free(text);
	return ERR_OK;
}

static enum err add_releases(struct calendar *k, struct uuid coop, instant after)
{
	struct rows r;
	TRY(db_query(k->c, releases, &r, A_UUID(coop), A_TIME(after), A_INT(DATES_MAX)));
	for (int i = 0; i < r.n; i++) {
		struct str state = row_str(&r, i, 2), version = row_str(&r, i, 4);
		struct str path = str_fmt(k->c->arena, "/releases/%.*s", STR_ARG(uuid_format(k->c->arena, row_uuid(&r, i, 0))));
		struct date d = {
			.what = "release", .id = row_uuid(&r, i, 0), .which = "cutoff", .at = row_time(&r, i, 1), .revised = row_time(&r, i, 3), .path = path,
			.cancelled = str_is(state, "cancelled"), .summary = STR("cut-off of a release"), .remind_days = k->own ? 2 : 0,
		};
		add_date(k, &d);
		if (row_null(&r, i, 5))
			continue;
		d.which = "published";
		d.at = row_time(&r, i, 5);
		d.remind_days = 0;
		d.summary = str_fmt(k->c->arena, "release %.*s published", STR_ARG(version));
		d.cancelled = str_is(state, "withdrawn");
		add_date(k, &d);
	}
	return ERR_OK;
}

/* What a ballot is called by those who are not members: its kind. */
static const char *ballot_words(struct str kind)
{
	static const char *const words[][2] = {
		{ "release", "ballot on a release" }, { "charter", "ballot on the charter" }, { "merge", "ballot on a merge" }, { "toggle", "ballot on a collective control" },
		{ "admin", "ballot on an admin" }, { "benefit", "ballot on the benefit" },
		{ "appeal", "ballot on an appeal" },
	};
	for (size_t i = 0; i < CH_LEN(words); i++)
		if (str_is(kind, words[i][0]))
			return words[i][1];
	return "ballot";
}

static enum err add_ballots(struct calendar *k, struct uuid coop, instant after)
{
	struct rows r;
	struct arena *a = k->c->arena;
	TRY(db_query(k->c, ballots, &r, A_UUID(coop), A_TIME(after), A_INT(DATES_MAX)));
	for (int i = 0; i < r.n; i++) {
		instant created = row_time(&r, i, 4), opens = row_time(&r, i, 5), ends = row_time(&r, i, 8);
		struct str name = k->own ? row_str(&r, i, 2) : str_of(ballot_words(row_str(&r, i, 1)));
		struct date d = {
			.what = "ballot", .id = row_uuid(&r, i, 0), .which = "opens", .at = opens, .revised = created, .cancelled = str_is(row_str(&r, i, 3), "cancelled"),
			.summary = str_fmt(a, "%.*s opens", STR_ARG(name)), .path = str_fmt(a, "/ballots/%.*s", STR_ARG(uuid_format(a, row_uuid(&r, i, 0)))),
		};
		add_date(k, &d);
		d.which = "closes";
		d.at = ends != INSTANT_NONE ? ends : row_time(&r, i, 6);
		d.sequence = row_bool(&r, i, 7) + (ends != INSTANT_NONE && ends != row_time(&r, i, 6));
		d.revised = ends != INSTANT_NONE ? ends : d.sequence ? opens : created;
		d.remind_days = k->own && ends == INSTANT_NONE ? 1 : 0;
		d.summary = str_fmt(a, "%.*s closes", STR_ARG(name));
		add_date(k, &d);
	}
	return ERR_OK;
}

static enum err add_coop(struct calendar *k, struct uuid coop)
{
	instant after = clock_now() - CALENDAR_PAST;
	TRY(db_enter_coop(k->c, coop));
	TRY(add_releases(k, coop, after));
	return add_ballots(k, coop, after);
}

enum err calendar_of_coop(struct call *c, struct uuid coop, struct str base_url, struct str *out)
{
	struct calendar k;
	struct coop co;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(coop_get(c, coop, &co));
	calendar_begin(&k, c, base_url, co.name);
	k.coop_name = co.name;
	k.coop_slug = co.slug;
	TRY(add_coop(&k, coop));
	TRY(db_commit(c));
	return calendar_write(&k, out);
}

/* The person acts from here on, so that row-level security shows their memberships. */
static enum err act_for(struct call *c, struct str secret)
{
	struct rows r;
	struct sha256 hash = secret_token_hash(secret);
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, feed_owner, &r, A_BYTES(str_make(hash.b, sizeof(hash.b)))));
	if (!r.n)
		return fail(c, ERR_NOT_FOUND, "There is no calendar at this address. Make a new one at %s.", "/me/calendar");
	c->actor.account = row_uuid(&r, 0, 0);
	return ERR_OK;
}

enum err calendar_of_secret(struct call *c, struct str secret, struct str base_url, struct str *out)
{
	struct calendar k;
	struct rows r;
	TRY(act_for(c, secret));
	calendar_begin(&k, c, base_url, STR("My data co-ops"));
	k.own = true;
	TRY(db_begin(c, DB_READ));
	TRY(db_query(c, memberships, &r, A_UUID(c->actor.account), A_INT(COOPS_MAX)));
	for (int i = 0; i < r.n; i++) {
		k.coop_slug = row_str(&r, i, 4);
		k.coop_name = row_str(&r, i, 5);
		TRY(add_coop(&k, row_uuid(&r, i, 0)));
		add_date(&k, &(struct date){ .what = "checkup", .id = row_uuid(&r, i, 1), .which = "due", .at = row_time(&r, i, 2), .revised = row_time(&r, i, 3),
			.summary = STR("annual checkup is due"), .path = STR("/checkup"), .remind_days = 14 });
	}
	TRY(db_commit(c));
	return calendar_write(&k, out);
}

enum err calendar_feed_read(struct call *c, instant *made_at)
{
	struct rows r;
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, feed_read, &r, A_UUID(c->actor.account)));
	*made_at = r.n ? row_time(&r, 0, 0) : INSTANT_NONE;
	return ERR_OK;
}

enum err calendar_feed_make(struct call *c, struct str *secret)
{
	struct sha256 stored;
	*secret = secret_token_new(c->arena, "calendar", &stored);
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, feed_make, NULL, A_UUID(c->actor.account), A_BYTES(str_make(stored.b, sizeof(stored.b))));
}

enum err calendar_feed_end(struct call *c)
{
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, feed_end, NULL, A_UUID(c->actor.account));
}
