#include "commonhold/ballot.h"
#include "commonhold/ledger.h"
#include "commonhold/tombstone.h"

#include "release_internal.h"

/* The first and the last tombstone of the hours in which those that it was withdrawn for were made: nearer nobody is told, since those came together. */
#define HOUR_OF(which, end) \
	"coalesce((SELECT " end "(t.idx) FROM tombstone t WHERE t.coop_id = release.coop_id AND t.made_at = (SELECT f.made_at FROM tombstone f WHERE f.coop_id = release.coop_id " \
	"AND f.idx = release." which ")), " which ")"
#define RELEASE_COLUMNS \
	"id, charter, state, cutoff_at, state_at, frozen_at, build_after, published_at, ballot_id, previous_id, version, spec, failure, candidates, included, contributors, " \
	"built_items, candidates_sha256, manifest_sha256, leaf, seed, redacts_id, withdrawn_at, cleared_at, withdrawn_why, " \
	HOUR_OF("tombstones_from", "min") ", " HOUR_OF("tombstones_upto", "max") ", joint_id"

SQL(release_by_id, "SELECT " RELEASE_COLUMNS " FROM release WHERE coop_id = $1 AND id = $2");
SQL(release_for_update, "SELECT " RELEASE_COLUMNS " FROM release WHERE coop_id = $1 AND id = $2 FOR UPDATE");
SQL(release_by_version, "SELECT " RELEASE_COLUMNS " FROM release WHERE coop_id = $1 AND version = $2");
SQL(release_by_manifest, "SELECT " RELEASE_COLUMNS " FROM release WHERE coop_id = $1 AND substr(manifest_sha256, 1, length($2)) = $2 AND version IS NOT NULL");
SQL(release_newest, "SELECT " RELEASE_COLUMNS " FROM release WHERE coop_id = $1 AND state = 'published' ORDER BY leaf DESC NULLS LAST, published_at DESC LIMIT 1");
SQL(release_last, "SELECT " RELEASE_COLUMNS " FROM release WHERE coop_id = $1 AND published_at IS NOT NULL ORDER BY leaf DESC NULLS LAST, published_at DESC LIMIT 1");
SQL(release_page,
	"SELECT " RELEASE_COLUMNS " FROM release WHERE coop_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::timestamptz IS NULL OR (cutoff_at, id) < ($3, $4)) "
	"ORDER BY cutoff_at DESC, id DESC LIMIT $5");
SQL(release_last_cutoff, "SELECT max(cutoff_at) FROM release WHERE coop_id = $1 AND joint_id IS NULL");
SQL(release_insert,
	"INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed) VALUES ($1, $2, $3, $4, 'scheduled', commonhold_now(), $5, $6) "
	"ON CONFLICT (coop_id, cutoff_at) WHERE redacts_id IS NULL DO NOTHING");
SQL(release_set_state, "UPDATE release SET state = $3, state_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(release_note_event, "INSERT INTO release_event (coop_id, release_id, from_state, to_state, at, reason) VALUES ($1, $2, $3, $4, commonhold_now(), $5)");
SQL(release_set_build_after, "UPDATE release SET build_after = $3 WHERE coop_id = $1 AND id = $2");
SQL(release_set_failure, "UPDATE release SET failure = $3 WHERE coop_id = $1 AND id = $2");
SQL(coop_ids, "SELECT id FROM coop ORDER BY id");

/* The life of a release. */
static const struct lifecycle_edge edges[] = {
	{ LIFECYCLE_BEGINNING, RELEASE_SCHEDULED, "Its cut-off is known." },
	{ LIFECYCLE_BEGINNING, RELEASE_REDACTING, "It is to take the place of an earlier release, without what was erased." },
	{ RELEASE_SCHEDULED, RELEASE_FROZEN, "The cut-off has come: what may be in it is decided and fixed.", .leaf = "release.frozen" },
	{ RELEASE_FROZEN, RELEASE_NOTICE, "Everybody can see what would be released; voting begins after the notice.", .leaf = "release.noticed" },
	{ RELEASE_FROZEN, RELEASE_FAILED, "Nothing may be released.", .leaf = "release.failed" },
	{ RELEASE_NOTICE, RELEASE_OPEN, "The ballot is open.", .leaf = "release.opened" },
	{ RELEASE_NOTICE, RELEASE_PASSED, "The ballot passed.", .leaf = "release.passed" },
	{ RELEASE_NOTICE, RELEASE_FAILED, "The ballot did not pass.", .leaf = "release.failed" },
	{ RELEASE_OPEN, RELEASE_PASSED, "The ballot passed.", .leaf = "release.passed" },
	{ RELEASE_OPEN, RELEASE_FAILED, "The ballot did not pass.", .leaf = "release.failed" },
	{ RELEASE_PASSED, RELEASE_COOLING_OFF, "There is time for second thoughts before it is built.", .leaf = "release.cooling_off" },
	{ RELEASE_COOLING_OFF, RELEASE_BUILDING, "It is being built.", .leaf = "release.building" },
	{ RELEASE_COOLING_OFF, RELEASE_EXPIRED, "It passed, but was not built within 90 days.", .leaf = "release.expired" },
	{ RELEASE_BUILDING, RELEASE_PUBLISHED, "It is published.", .leaf = "release.published" },
	{ RELEASE_BUILDING, RELEASE_FAILED, "So much was withdrawn since the notice that it was stopped.", .leaf = "release.failed" },
	{ RELEASE_BUILDING, RELEASE_EXPIRED, "It passed, but was not built within 90 days.", .leaf = "release.expired" },
	{ RELEASE_PUBLISHED, RELEASE_SUPERSEDED, "A newer release has taken its place.", .leaf = "release.superseded" },
	{ RELEASE_PUBLISHED, RELEASE_WITHDRAWN, "It was withdrawn.", .leaf = "release.withdrawn" },
	{ RELEASE_SUPERSEDED, RELEASE_WITHDRAWN, "It was withdrawn.", .leaf = "release.withdrawn" },
	{ RELEASE_BUILDING, RELEASE_CANCELLED, "It was cancelled.", .leaf = "release.cancelled" },
	{ RELEASE_BUILDING, RELEASE_JOINED, "The co-op that it is made with has published it.", .leaf = "release.joined" },
	{ RELEASE_JOINED, RELEASE_LEFT, "It was withdrawn.", .leaf = "release.left" },
	{ RELEASE_LEFT, RELEASE_JOINED, "It was published again, without what was erased.", .leaf = "release.joined" },
	{ RELEASE_REDACTING, RELEASE_PUBLISHED, "It is published: an earlier release without what was erased, for which nobody need vote.", .leaf = "release.published" },
	{ RELEASE_REDACTING, RELEASE_FAILED, "Without what was erased too little is left to be released.", .leaf = "release.failed" },
	{ RELEASE_REDACTING, RELEASE_CANCELLED, "A newer release without what was erased came first, or all that was made of it was withdrawn.", .leaf = "release.cancelled" },
	{ RELEASE_SCHEDULED, RELEASE_CANCELLED, "It was cancelled.", .leaf = "release.cancelled" },
	{ RELEASE_FROZEN, RELEASE_CANCELLED, "It was cancelled.", .leaf = "release.cancelled" },
	{ RELEASE_NOTICE, RELEASE_CANCELLED, "It was cancelled.", .leaf = "release.cancelled" },
	{ RELEASE_OPEN, RELEASE_CANCELLED, "It was cancelled.", .leaf = "release.cancelled" },
	{ RELEASE_PASSED, RELEASE_CANCELLED, "It was cancelled.", .leaf = "release.cancelled" },
	{ RELEASE_COOLING_OFF, RELEASE_CANCELLED, "It was cancelled.", .leaf = "release.cancelled" },
};

static const char *const state_names[] = {
#define X(name, text) [RELEASE_##name] = text,
	RELEASE_STATES(X)
#undef X
};

const struct lifecycle release_life = {
	.thing = "This release", LIFECYCLE_TABLE(state_names, edges),
	.final = LIFECYCLE_BIT(RELEASE_FAILED) | LIFECYCLE_BIT(RELEASE_EXPIRED) | LIFECYCLE_BIT(RELEASE_CANCELLED) | LIFECYCLE_BIT(RELEASE_WITHDRAWN),
};

const char *release_state_name(enum release_state s)
{
	return lifecycle_word(&release_life, (int)s);
}

static enum err release_row(struct call *c, struct uuid coop, const struct rows *r, int i, struct release *out)
{
	*out = (struct release){
		.coop = coop, .id = row_uuid(r, i, 0), .charter = (int)row_int(r, i, 1), .cutoff_at = row_time(r, i, 3), .state_at = row_time(r, i, 4),
		.frozen_at = row_time(r, i, 5), .build_after = row_time(r, i, 6), .published_at = row_time(r, i, 7), .ballot = row_uuid(r, i, 8),
		.previous = row_uuid(r, i, 9), .version = row_str(r, i, 10), .spec = row_str(r, i, 11), .failure = row_str(r, i, 12), .candidates = row_int(r, i, 13),
		.included = row_int(r, i, 14), .contributors = row_int(r, i, 15), .built_items = row_int(r, i, 16), .candidates_sha256 = sha256_load(row_bytes(r, i, 17)),
		.manifest_sha256 = sha256_load(row_bytes(r, i, 18)), .leaf = row_null(r, i, 19) ? -1 : row_int(r, i, 19), .seed = sha256_load(row_bytes(r, i, 20)), .redacts = row_uuid(r, i, 21),
		.withdrawn_at = row_time(r, i, 22), .cleared_at = row_time(r, i, 23), .withdrawn_why = row_str(r, i, 24),
		.joint = row_uuid(r, i, 27), .tombstones_from = row_null(r, i, 25) ? -1 : row_int(r, i, 25), .tombstones_upto = row_null(r, i, 26) ? -1 : row_int(r, i, 26),
	};
	int state = lifecycle_state(&release_life, row_str(r, i, 2));
	out->state = (enum release_state)state;
	return state >= 0 ? ERR_OK : fail(c, ERR_CORRUPT, "A release is in a state that is not known.");
}

static enum err release_one(struct call *c, const struct db_stmt *s, struct uuid coop, struct db_arg second, struct release *out)
{
	struct rows r;
	TRY(db_run_one(c, s, &r, (struct db_arg[]){ A_UUID(coop), second }, 2));
	return release_row(c, coop, &r, 0, out);
}

enum err release_get(struct call *c, struct uuid coop, struct uuid id, struct release *out)
{
	return release_one(c, &release_by_id, coop, A_UUID(id), out);
}

enum err release_take(struct call *c, struct uuid coop, struct uuid id, struct release *out)
{
	return release_one(c, &release_for_update, coop, A_UUID(id), out);
}

enum err release_latest(struct call *c, struct uuid coop, struct release *out)
{
	struct rows r;
	TRY(db_one(c, release_newest, &r, A_UUID(coop)));
	return release_row(c, coop, &r, 0, out);
}

enum err release_last_published(struct call *c, struct uuid coop, struct release *out)
{
	struct rows r;
	TRY(db_one(c, release_last, &r, A_UUID(coop)));
	return release_row(c, coop, &r, 0, out);
}

enum err release_read(struct call *c, struct uuid coop, struct uuid release, struct release *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_get(c, coop, release, out));
	return db_commit(c);
}

/* The name as a manifest's digest, or as its first 20 bytes, which is as long as a Git commit's. */
static bool manifest_prefix(struct str name, uint8_t out[32], size_t *n)
{
	*n = name.n / 2;
	return (name.n == 40 || name.n == 64) && str_unhex(name, out, *n);
}

/* The newest published one; while there is none because the last was withdrawn, that one, so that whoever asks is told what became of it. Inside. */
static enum err latest_or_last(struct call *c, struct uuid coop, struct release *out)
{
	enum err e = release_latest(c, coop, out);
	if (e != ERR_NOT_FOUND)
		return e;
	error_clear(&c->error);
	return release_last_published(c, coop, out);
}

enum err release_find(struct call *c, struct uuid coop, struct str name, struct release *out)
{
	struct uuid id;
	uint8_t digest[32];
	size_t n;
	TRY(db_begin_in(c, coop, DB_READ));
	if (uuid_parse(name, &id))
		TRY(release_get(c, coop, id, out));
	else if (str_is(name, "latest"))
		TRY(latest_or_last(c, coop, out));
	else if (manifest_prefix(name, digest, &n))
		TRY(release_one(c, &release_by_manifest, coop, A_BYTES(str_make(digest, n)), out));
	else
		TRY(release_one(c, &release_by_version, coop, A_STR(name), out));
	return db_commit(c);
}

enum err release_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct release **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, release_page, &r, A_UUID(coop), A_STR(state), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n, struct release);
	for (size_t i = 0; i < *n; i++)
		TRY(release_row(c, coop, &r, (int)i, &(*out)[i]));
	*next_cursor = STR_NONE;
	if (r.n > limit)
		*next_cursor = page_cursor_write(c->arena, (*out)[*n - 1].cutoff_at, (*out)[*n - 1].id);
	return db_commit(c);
}

/* The ends of a release that members are told. */
static bool is_told(enum release_state s)
{
	return s == RELEASE_PUBLISHED || s == RELEASE_FAILED || s == RELEASE_EXPIRED || s == RELEASE_CANCELLED || s == RELEASE_WITHDRAWN || s == RELEASE_JOINED ||
		s == RELEASE_LEFT;
}

enum err release_move(struct call *c, struct release *r, enum release_state to, struct str facts)
{
	const struct lifecycle_edge *edge;
	struct str id = uuid_format(c->arena, r->id);
	TRY(lifecycle_step(&release_life, r->state, to, &edge, &c->error));
	if (!facts.p)
		facts = str_fmt(c->arena, "{\"release\":\"%.*s\"}", STR_ARG(id));
	TRY(db_exec(c, release_set_state, A_UUID(r->coop), A_UUID(r->id), A_Z(release_state_name(to))));
	TRY(db_exec(c, release_note_event, A_UUID(r->coop), A_UUID(r->id), A_Z(release_state_name(r->state)), A_Z(release_state_name(to)), A_Z(edge->sentence)));
	r->state = to;
	r->state_at = clock_now();
	if (!uuid_is_nil(r->joint))
		TRY(release_queue(c, r, "joint.tell", clock_now()));
	if (is_told(to) && (uuid_is_nil(r->redacts) || r->version.p || to == RELEASE_PUBLISHED)) /* of a redaction that came to nothing there is nothing to tell */
		TRY(release_queue(c, r, "release.tell", clock_now()));
	return ledger_append(c, r->coop, &(struct leaf){ .type = edge->leaf, .data = facts }, &r->leaf);
}

enum err release_queue(struct call *c, const struct release *r, const char *kind, instant due)
{
	return job_queue(c, kind, uuid_format(c->arena, r->id), job_args(c->arena, r->coop, "release", r->id), due);
}

/* The first cut-off of the cadence that no release has yet. The announcement lead is the charter's: a cut-off nearer than that is left to the one after it. */
static enum err next_cutoff(struct call *c, const struct charter *charter, instant last, instant *out)
{
	instant after = duration_add(clock_now(), charter->lead, 1);
	if (last != INSTANT_NONE && last > after)
		after = last;
	instant *dates;
	size_t n;
	TRY(cadence_after(c->arena, charter->rrule, charter->cadence_start, after, 1, &dates, &n, &c->error));
	*out = n ? dates[0] : INSTANT_NONE;
	return ERR_OK;
}

enum err release_schedule_next(struct call *c, struct uuid coop, struct release *out)
{
	struct charter charter;
	struct control *controls;
	size_t n_controls;
	struct rows r;
	instant cutoff;
	TRY(db_begin_in(c, coop, DB_WRITE));
	if (out) /* somebody asks for it; the schedule does not look at the answer */
		TRY(member_require_admin(c, coop));
	TRY(charter_current(c, coop, &charter));
	TRY(control_current(c, coop, &controls, &n_controls));
	const struct control *pausing = control_pausing(controls, n_controls);
	if (pausing)
		return out ? fail_reason(c, ERR_REFUSED, "releases_paused", "Releases are paused by a vote of the members: %.*s", STR_ARG(str_sub(pausing->reason, 0, 400)))
			: db_commit(c);
	TRY(db_query(c, release_last_cutoff, &r, A_UUID(coop)));
	instant last = row_time(&r, 0, 0);
	if (last != INSTANT_NONE && last > clock_now() && !out)
		return db_commit(c);
	TRY(next_cutoff(c, &charter, last, &cutoff));
	if (cutoff == INSTANT_NONE)
		return out ? fail(c, ERR_REFUSED, "The charter's cadence has no further date.") : db_commit(c);
	struct release next = { .id = uuid_new(), .coop = coop, .charter = charter.version, .cutoff_at = cutoff, .state = RELEASE_SCHEDULED };
	uint8_t seed[32];
	random_bytes(seed, sizeof(seed));
	TRY(db_query(c, release_insert, &r, A_UUID(coop), A_UUID(next.id), A_INT(charter.version), A_TIME(cutoff), A_STR(release_spec_json(c->arena, &charter, cutoff, NULL)),
		A_BYTES(str_make(seed, sizeof(seed)))));
	if (r.affected == 1) {
		struct str id = uuid_format(c->arena, next.id), when = clock_format(c->arena, cutoff);
		TRY(ledger_append(c, coop, &(struct leaf){ .type = "release.scheduled",
			.data = str_fmt(c->arena, "{\"cutoff\":\"%.*s\",\"release\":\"%.*s\"}", STR_ARG(when), STR_ARG(id)) }, NULL));
		TRY(release_queue(c, &next, "release.freeze", cutoff));
		TRY(release_queue(c, &next, "release.tell", clock_now()));
	}
	if (out)
		*out = next;
	return db_commit(c);
}

/* What the ballot decided (job "release.decided"). The cooling-off counts from the end of voting, whenever this runs. */
static enum err release_decided(struct call *c, struct uuid coop, struct uuid release, bool passed, instant closed_at)
{
	struct release r;
	struct charter charter;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(release_take(c, coop, release, &r));
	if (r.state != RELEASE_NOTICE && r.state != RELEASE_OPEN)
		return db_commit(c);
	if (!passed) {
		TRY(release_move(c, &r, RELEASE_FAILED, STR_NONE));
		TRY(db_exec(c, release_set_failure, A_UUID(coop), A_UUID(release), A_Z("The ballot did not pass.")));
		return db_commit(c);
	}
	TRY(charter_version(c, coop, r.charter, &charter));
	TRY(release_move(c, &r, RELEASE_PASSED, STR_NONE));
	TRY(release_move(c, &r, RELEASE_COOLING_OFF, STR_NONE));
	instant after = duration_add(closed_at, charter.cooling_off, 1);
	TRY(db_exec(c, release_set_build_after, A_UUID(coop), A_UUID(release), A_TIME(after)));
	TRY(release_queue(c, &r, "release.build", after));
	return db_commit(c);
}

enum err release_cancel(struct call *c, struct uuid coop, struct uuid release, struct str reason, struct release *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(release_take(c, coop, release, out));
	bool balloting = out->state == RELEASE_NOTICE || out->state == RELEASE_OPEN;
	if (out->state == RELEASE_BUILDING && uuid_is_nil(out->joint))
		return fail(c, ERR_STATE, "This release is being built and cannot be cancelled any more.");
	TRY(release_move(c, out, RELEASE_CANCELLED, STR_NONE));
	TRY(db_exec(c, release_set_failure, A_UUID(coop), A_UUID(release), A_STR(reason)));
	out->failure = reason;
	if (balloting && !uuid_is_nil(out->ballot))
		TRY(ballot_cancel(c, coop, out->ballot, reason));
	return db_commit(c);
}

/* The ballot has opened: the release says so. */
static enum err release_opened(struct call *c, struct uuid coop, struct uuid release)
{
	struct release r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(release_take(c, coop, release, &r));
	if (r.state == RELEASE_NOTICE)
		TRY(release_move(c, &r, RELEASE_OPEN, STR_NONE));
	return db_commit(c);
}

static enum err job_freeze(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	TRY(job_args_read(c, args, "release", &coop, &id));
	TRY(release_freeze(c, coop, id));
	return release_schedule_next(c, coop, NULL);
}

static enum err job_opened(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	TRY(job_args_read(c, args, "release", &coop, &id));
	return release_opened(c, coop, id);
}

static enum err job_decided(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	instant closed_at;
	TRY(job_args_read(c, args, "subject", &coop, &id));
	if (!clock_parse(json_member_text(args, "closed_at"), &closed_at))
		closed_at = clock_now(); /* queued before ballots said so */
	return release_decided(c, coop, id, json_bool(json_get(args, "passed"), false), closed_at);
}

static enum err job_build(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	TRY(job_args_read(c, args, "release", &coop, &id));
	return release_build(c, coop, id);
}

static enum err job_redact(struct call *c, const struct json *args)
{
	struct uuid coop, same;
	TRY(job_args_read(c, args, "line", &coop, &same));
	return release_redact_now(c, coop);
}

static enum err job_seal(struct call *c, const struct json *args)
{
	struct uuid coop, same;
	TRY(job_args_read(c, args, "line", &coop, &same));
	return tombstone_seal(c, coop);
}

static enum err job_tell(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	TRY(job_args_read(c, args, "release", &coop, &id));
	return release_tell(c, coop, id);
}

/* Keeps every co-op's next release scheduled: new co-ops, amended cadences, missed dates. */
static enum err job_schedule(struct call *c, const struct json *args)
{
	struct rows r;
	(void)args;
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, coop_ids, &r));
	TRY(db_commit(c));
	for (int i = 0; i < r.n; i++)
		TRY(release_schedule_next(c, row_uuid(&r, i, 0), NULL));
	return ERR_OK;
}

const struct job_kind release_jobs[] = {
	{ "release.schedule", job_schedule, 5, 120 },
	{ "release.freeze", job_freeze, 20, 600 },
	{ "release.opened", job_opened, 20, 60 },
	{ "release.decided", job_decided, 20, 60 },
	{ "release.build", job_build, 20, 900 },
	{ "release.redact", job_redact, 20, 900 },
	{ "tombstone.seal", job_seal, 20, 120 },
	{ "release.tell", job_tell, 20, 120 },
	JOB_TABLE_END,
};
