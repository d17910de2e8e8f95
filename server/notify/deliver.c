/* Sending what is due: mail is claimed in small batches under a lease, made into a message, given to the server, and settled one by one. A process that dies in
 * between leaves its mail to others when the lease ends; at worst a message goes out twice, under the same Message-ID. */
#include "server/notify/notify_internal.h"
#include "server/notify/smtp.h"

#include "commonhold/config.h"
#include "commonhold/log.h"

#include <stdatomic.h>

#define BATCH 10              /* of 30 seconds at most each: less than the lease */
#define LEASE_SECONDS 600
#define ATTEMPTS_MAX 16       /* about two and a half days of "not now" */
#define KEEP_TRYING_DAYS 5    /* while nothing at all can be sent (RFC 5321 4.5.4.1) */
#define SEALED_LIFE CLOCK_DAY /* a mailed link is over by then */
#define DELAY_FIRST (1 * CLOCK_MINUTE)
#define DELAY_MAX (6 * CLOCK_HOUR)
#define DOWN_DELAY (1 * CLOCK_MINUTE)
#define TAG_BYTES 32          /* the id and half of a MAC */

/* The lease is the due time: others may take the mail when it has passed. */
SQL(claim,
	"WITH chosen AS MATERIALIZED (SELECT id FROM mail WHERE state = 'waiting' AND due <= commonhold_now() ORDER BY due LIMIT $1 FOR UPDATE SKIP LOCKED),"
	" taken AS (UPDATE mail SET attempts = attempts + 1, due = commonhold_now() + $2 * interval '1 second' FROM chosen WHERE mail.id = chosen.id RETURNING mail.*)"
	" SELECT t.id, t.kind, t.account_id, t.sealed, t.attempts, t.queued_at, a.email, a.name, a.closed_at IS NOT NULL, n.data, coalesce(n.essential, false),"
	"  (SELECT ch.name FROM charter ch WHERE ch.coop_id = t.about_coop ORDER BY ch.version DESC LIMIT 1)"
	" FROM taken t LEFT JOIN account a ON a.id = t.account_id LEFT JOIN notice n ON n.account_id = t.account_id AND n.id = t.notice_id ORDER BY t.queued_at, t.id");
SQL(unreachable, "SELECT unreachable FROM mail_trouble WHERE address_hash = $1");
SQL(settle, "UPDATE mail SET state = $2, settled_at = commonhold_now(), sealed = NULL, code = $3, said = $4 WHERE id = $1 AND state = 'waiting'");
SQL(settle_sent, "UPDATE mail SET state = 'sent', settled_at = commonhold_now(), sealed = NULL, code = $2, said = NULL, address_hash = $3 WHERE id = $1 AND state = 'waiting'");
SQL(postpone, "UPDATE mail SET due = $2, code = $3, said = $4, attempts = attempts - $5 WHERE id = $1 AND state = 'waiting'");
SQL(give_back, "UPDATE mail SET attempts = attempts - 1, due = $2 WHERE id = ANY ($1) AND state = 'waiting'");
SQL(next_due, "SELECT min(due) FROM mail WHERE state = 'waiting'");

/* One claimed mail. */
struct outgoing {
	struct uuid id, account;
	const char *kind;
	struct str sealed;            /* address and data, for mail to an address */
	int attempts;
	instant queued_at;
	struct str address, name;
	bool closed, essential;       /* of the account; of the notice */
	struct str data;              /* of the notice; absent for digests */
	struct str coop_name;
};

/* Until when this process leaves a server alone that could not be reached: acts go on queueing mail, and their jobs must not wait for connections in turn. */
static _Atomic instant rest_until;

struct batch { struct outgoing mail[BATCH]; size_t n; };

/* ---- Tags ---- */

static const char tag_letters[] = "abcdefghijklmnopqrstuvwxyz234567";

static void tag_bytes(struct uuid mail, uint8_t out[TAG_BYTES])
{
	struct sha256 mac = notify_mac("message", str_make(mail.b, 16));
	memcpy(out, mail.b, 16);
	memcpy(out + 16, mac.b, 16);
}

struct str mail_tag(struct arena *a, struct uuid mail)
{
	uint8_t bytes[TAG_BYTES];
	char *out = arena_alloc(a, 53);
	uint32_t bits = 0;
	int have = 0;
	size_t n = 0;
	tag_bytes(mail, bytes);
	for (size_t i = 0; i < TAG_BYTES; i++) {
		bits = bits << 8 | bytes[i];
		for (have += 8; have >= 5; have -= 5)
			out[n++] = tag_letters[bits >> (have - 5) & 31];
	}
	out[n++] = tag_letters[bits << (5 - have) & 31];
	return str_make(out, n);
}

bool mail_tag_read(struct str tag, struct uuid *mail)
{
	uint8_t bytes[TAG_BYTES + 1], right[TAG_BYTES];
	uint32_t bits = 0;
	int have = 0;
	size_t n = 0;
	if (tag.n != 52)
		return false;
	for (size_t i = 0; i < tag.n; i++) {
		char letter = tag.p[i] >= 'A' && tag.p[i] <= 'Z' ? (char)(tag.p[i] | 32) : tag.p[i];
		const char *at = letter ? strchr(tag_letters, letter) : NULL;
		if (!at)
			return false;
		bits = bits << 5 | (uint32_t)(at - tag_letters);
		have += 5;
		if (have >= 8) {
			have -= 8;
			bytes[n++] = (uint8_t)(bits >> have);
		}
	}
	memcpy(mail->b, bytes, 16);
	tag_bytes(*mail, right);
	return n == TAG_BYTES && secret_eq(str_make(bytes, TAG_BYTES), str_make(right, TAG_BYTES));
}

/* ---- One message ---- */

static enum err unseal_mail(struct call *c, struct outgoing *m)
{
	struct str plain;
	const struct json *root;
	struct buf b;
	if (!unseal(c->arena, instance_seal_key(instance_keys()), mail_seal_context(c->arena, m->id), m->sealed, &plain))
		return fail(c, ERR_CORRUPT, "A mail was sealed with another key.");
	TRY(json_parse(c->arena, plain, &root, &c->error));
	buf_init(&b, LIMIT_BODY_SMALL * 2);
	json_canonical(&b, json_get(root, "data"), true);
	m->address = json_member_text(root, "address");
	m->data = buf_take(c->arena, &b);
	return ERR_OK;
}

static bool is_digest(const struct outgoing *m)
{
	return !m->sealed.p && !m->data.p;
}

/* The address that reports go to: the mail's own, where the setting makes that possible. */
static struct str return_path(struct arena *a, struct str sender, struct str tag)
{
	struct str bounces = str_of(config()->mail_bounces);
	ptrdiff_t at = str_index(bounces, '@');
	if (at <= 0)
		return sender;
	return str_fmt(a, "%.*s+%.*s%.*s", (int)at, bounces.p, STR_ARG(tag), STR_ARG(str_sub(bounces, (size_t)at, bounces.n)));
}

/* Fills in what the mail says; *empty for a digest whose notices are all gone or read. */
static enum err read_content(struct call *c, struct outgoing *m, struct mail_frame *f, const struct json **data, bool *empty)
{
	struct str title = STR_NONE;
	bool digest = is_digest(m);
	*empty = false;
	if (m->sealed.p)
		TRY(unseal_mail(c, m));
	if (digest) {
		TRY(db_begin(c, DB_READ));
		TRY(digest_data(c, m->id, &m->data, &title, empty));
		TRY(db_commit(c));
	}
	if (*empty)
		return ERR_OK;
	TRY(json_parse(c->arena, m->data, data, &c->error));
	f->title = title.p ? title : json_member_text(*data, "title");
	if (!f->title.n)
		f->title = STR("Commonhold");
	f->name = m->name;
	f->coop_name = m->coop_name;
	f->to_account = !uuid_is_nil(m->account);
	f->essential = m->essential;
	if (f->to_account && !m->essential)
		f->unsubscribe = unsubscribe_link(c->arena, m->account, digest ? NOTIFY_TOPIC_COUNT : notify_topic_of(m->kind));
	return ERR_OK;
}

static enum err compose(struct call *c, struct outgoing *m, struct str *from, struct str *message, bool *empty)
{
	struct arena *a = c->arena;
	struct mail_frame f = { 0 };
	const struct json *data = NULL;
	struct str sender_name, sender, tag = mail_tag(a, m->id);
	if (!mail_sender_read(a, str_of(config()->mail_from), &sender_name, &sender))
		return fail(c, ERR_CONFIG, "COMMONHOLD_MAIL_FROM is no sender such as Commonhold <mail@coop.example>.");
	TRY(read_content(c, m, &f, &data, empty));
	if (*empty)
		return ERR_OK;
	struct mail_message mm = {
		.from_name = sender_name, .from = sender, .to = m->address, .subject = f.title, .boundary = str_sub(tag, 26, 26), .unsubscribe = f.unsubscribe, .at = clock_now(),
		.id = str_fmt(a, "%.*s@%.*s", STR_ARG(tag), STR_ARG(str_sub(sender, (size_t)str_index(sender, '@') + 1, sender.n))),
	};
	TRY(mail_render(a, m->kind, &f, data, &mm.text, &mm.html, &c->error));
	*from = return_path(a, sender, tag);
	return mail_compose(a, &mm, message, &c->error);
}

/* ---- What becomes of it ---- */

static enum err settle_as(struct call *c, const struct outgoing *m, const char *state, int code, struct str said)
{
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, settle, NULL, A_UUID(m->id), A_Z(state), A_INT(code), A_STR(said));
}

static int64_t delay_after(int attempts)
{
	int64_t delay = DELAY_FIRST;
	for (int i = 1; i < attempts && delay < DELAY_MAX; i++)
		delay *= 2;
	return delay < DELAY_MAX ? delay : DELAY_MAX;
}

static enum err try_later(struct call *c, const struct outgoing *m, instant due, bool counts, const struct smtp_reply *r)
{
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, postpone, NULL, A_UUID(m->id), A_TIME(due), A_INT(r->code), A_Z(r->said), A_INT(counts ? 0 : 1));
}

static void log_reply(const struct outgoing *m, const struct smtp_reply *r, const char *event)
{
	struct str kind = str_of(m->kind);
	log_event(LOG_WARN, event, LOG_S("kind", kind), LOG_N("code", r->code), LOG_N("attempt", m->attempts), LOG_Z("said", r->said));
}

/* "5.1.1" at the start of what was said, or the reply's number. */
static struct str status_of(struct arena *a, const struct smtp_reply *r)
{
	struct str said = str_of(r->said), word;
	bool enhanced = str_split(&said, ' ', &word) && word.n >= 5 && word.n <= 9 && word.p[1] == '.' && word.p[0] >= '2' && word.p[0] <= '5';
	return enhanced ? word : str_fmt(a, "%d", r->code);
}

static enum err refused(struct call *c, const struct outgoing *m, const struct smtp_reply *r)
{
	struct str status = status_of(c->arena, r);
	log_reply(m, r, "mail.refused");
	TRY(db_begin(c, DB_WRITE));
	if (r->outcome == SMTP_NOBODY)
		TRY(mail_address_refused(c, mail_address_hash(c->arena, m->address), &(struct mail_refusal){ .status = status, .said = str_of(r->said), .told_by = "reply", .nobody = mail_status_is_nobody(status, r->code) }));
	return db_finish(c, settle, NULL, A_UUID(m->id), A_Z("refused"), A_INT(r->code), A_Z(r->said));
}

static enum err taken(struct call *c, const struct outgoing *m, const struct smtp_reply *r)
{
	struct sha256 hash = mail_address_hash(c->arena, m->address);
	TRY(db_begin(c, DB_WRITE));
	TRY(mail_address_delivered(c, m->address));
	return db_finish(c, settle_sent, NULL, A_UUID(m->id), A_INT(r->code), A_BYTES(str_make(hash.b, sizeof(hash.b))));
}

static enum err settle_reply(struct call *c, const struct outgoing *m, const struct smtp_reply *r, bool *down)
{
	instant now = clock_now();
	switch (r->outcome) {
	case SMTP_TAKEN:
		return taken(c, m, r);
	case SMTP_NOBODY:
	case SMTP_REFUSED:
		return refused(c, m, r);
	case SMTP_LATER:
		if (m->attempts >= ATTEMPTS_MAX)
			break;
		log_reply(m, r, "mail.postponed");
		return try_later(c, m, now + delay_after(m->attempts), true, r);
	default:
		*down = true;
		log_reply(m, r, "mail.server_down");
		if (now - m->queued_at > KEEP_TRYING_DAYS * CLOCK_DAY)
			break;
		return try_later(c, m, now + DOWN_DELAY, false, r);
	}
	log_reply(m, r, "mail.given_up");
	return settle_as(c, m, "given_up", r->code, str_of(r->said));
}

/* Whether it is to be sent at all. */
static enum err is_wanted(struct call *c, const struct outgoing *m, bool *wanted)
{
	struct rows r;
	bool stale = m->sealed.p && clock_now() - m->queued_at > SEALED_LIFE;
	*wanted = m->sealed.p ? !stale : m->address.p && !m->closed;
	if (!*wanted || m->essential || m->sealed.p)
		return ERR_OK;
	struct sha256 hash = mail_address_hash(c->arena, m->address);
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, unreachable, &r, A_BYTES(str_make(hash.b, sizeof(hash.b)))));
	*wanted = !r.n || !row_bool(&r, 0, 0);
	return ERR_OK;
}

static enum err send_one(struct call *c, struct smtp *s, struct outgoing *m, bool *down)
{
	struct str from, message;
	bool wanted, empty = false;
	TRY(is_wanted(c, m, &wanted));
	if (!wanted)
		return settle_as(c, m, "dropped", 0, STR_NONE);
	enum err e = compose(c, m, &from, &message, &empty);
	if (e == ERR_DB || e == ERR_UNAVAILABLE || e == ERR_CONFIG || e == ERR_NO_MEMORY)
		return e;
	if (e != ERR_OK) {
		/* Mail that cannot be made never can be: it must not stand in the way of others. */
		struct str kind = str_of(m->kind);
		log_event(LOG_ERROR, "mail.cannot_be_made", LOG_S("kind", kind), LOG_Z("message", c->error.message));
		db_rollback(c);
		error_clear(&c->error);
		return settle_as(c, m, "given_up", 0, STR("The message could not be made."));
	}
	if (empty)
		return settle_as(c, m, "dropped", 0, STR_NONE);
	struct smtp_reply r = smtp_send(s, from, m->address, message);
	return settle_reply(c, m, &r, down);
}

/* ---- The queue ---- */

static enum err claim_batch(struct call *c, struct batch *b)
{
	struct rows r;
	*b = (struct batch){ 0 };
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, claim, &r, A_INT(BATCH), A_INT(LEASE_SECONDS)));
	for (int i = 0; i < r.n && i < BATCH; i++)
		b->mail[b->n++] = (struct outgoing){
			.id = row_uuid(&r, i, 0), .kind = str_z(c->arena, row_str(&r, i, 1)), .account = row_uuid(&r, i, 2), .sealed = row_bytes(&r, i, 3),
			.attempts = (int)row_int(&r, i, 4), .queued_at = row_time(&r, i, 5), .address = row_str(&r, i, 6), .name = row_str(&r, i, 7),
			.closed = row_bool(&r, i, 8), .data = row_str(&r, i, 9), .essential = row_bool(&r, i, 10), .coop_name = row_str(&r, i, 11),
		};
	return ERR_OK;
}

/* What was claimed and not tried is for the next run. */
static enum err give_back_from(struct call *c, const struct batch *b, size_t from)
{
	struct uuid ids[BATCH];
	size_t n = 0;
	for (size_t i = from; i < b->n; i++)
		ids[n++] = b->mail[i].id;
	if (!n)
		return ERR_OK;
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, give_back, NULL, A_UUIDS(ids, n), A_TIME(clock_now() + DOWN_DELAY));
}

static enum err send_batch(struct call *c, struct smtp *s, struct batch *b, bool *down)
{
	for (size_t i = 0; i < b->n; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		enum err e = send_one(c, s, &b->mail[i], down);
		if (e != ERR_OK || *down) {
			db_rollback(c);
			struct error said = c->error;
			TRY(give_back_from(c, b, i + 1));
			c->error = said;
			return e;
		}
		arena_rewind(c->arena, mark);
	}
	return ERR_OK;
}

/* The next run, when the first of the mail that waits is due. */
static enum err run_again(struct call *c, bool down)
{
	struct rows r;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query0(c, next_due, &r));
	instant due = row_time(&r, 0, 0), soonest = clock_now() + (down ? DOWN_DELAY : 0);
	if (due != INSTANT_NONE)
		TRY(job_queue(c, "notify.send", STR("later"), STR_NONE, due > soonest ? due : soonest));
	return db_commit(c);
}

static enum err drain(struct call *c, struct smtp *s, bool *down)
{
	struct batch b = { .n = BATCH };
	while (b.n == BATCH && !*down) {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(job_extend(c));
		TRY(claim_batch(c, &b));
		TRY(send_batch(c, s, &b, down));
		arena_rewind(c->arena, mark);
	}
	return ERR_OK;
}

static void close_smtp(void *s)
{
	smtp_free(s);
}

enum err deliver_run(struct call *c, const struct json *args)
{
	bool down = false;
	(void)args;
	if (!notify_mail_on())
		return ERR_OK;
	if (atomic_load(&rest_until) > clock_now() && atomic_load(&rest_until) <= clock_now() + DOWN_DELAY)
		return run_again(c, true);
	struct smtp *s = smtp_new();
	if (!s)
		return fail(c, ERR_NO_MEMORY, "There is no memory to send mail with.");
	arena_defer(c->arena, close_smtp, s);
	TRY(drain(c, s, &down));
	atomic_store(&rest_until, down ? clock_now() + DOWN_DELAY : INSTANT_NONE);
	return run_again(c, down);
}

enum err notify_mail_check(struct arena *a, struct error *e)
{
	struct str name, sender;
	if (!mail_sender_read(a, str_of(config()->mail_from), &name, &sender))
		return error_set(e, ERR_CONFIG, "COMMONHOLD_MAIL_FROM is no sender such as Commonhold <mail@coop.example>.");
	struct smtp *s = smtp_new();
	if (!s)
		return error_set(e, ERR_NO_MEMORY, "There is no memory to try the mail server with.");
	struct smtp_reply r = smtp_try(s);
	smtp_free(s);
	if (r.outcome == SMTP_TAKEN)
		return ERR_OK;
	return error_hint(e, ERR_CONFIG, "Look at COMMONHOLD_SMTP_URL, _USER, _PASSWORD and _CA.", "The mail server cannot be used: %s (%d).", r.said, r.code);
}

const struct job_kind notify_jobs[] = {
	{ "notify.send", deliver_run, 8, 600 },
	{ "notify.digest", digest_run, 8, 600 },
	JOB_TABLE_END
};
