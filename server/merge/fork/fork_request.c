#include "server/merge/fork/fork_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/ledger.h"

/* The key of a fork is made where it is going to live, before anything is exported for it: canonical JSON {"at","coop","key","name","url","v":1} in a DSSE envelope by that key. */

static struct str request_payload(struct call *c, const struct fork_request *q)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(c->arena, clock_now()));
	jw_kstr(&w, "coop", uuid_format(c->arena, q->coop));
	jw_kstr(&w, "key", str_hex(c->arena, q->public_key, 32));
	jw_kstr(&w, "name", q->key_name);
	jw_kstr(&w, "url", q->url);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	return buf_take(c->arena, &b);
}

/* The founding transaction's first step, taken back: the key stays, as its own database keeps it, and founding finds it there. */
static enum err key_of_future(struct call *c, struct uuid coop, struct sign_key *key)
{
	uint8_t public_key[32];
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ledger_key_new(c, coop, public_key));
	TRY(ledger_key(c, coop, key));
	db_rollback(c);
	return ERR_OK;
}

enum err fork_request_make(struct call *c, struct fork_request *out)
{
	struct uuid before = c->coop;
	struct sign_key key;
	*out = (struct fork_request){ .coop = uuid_new(), .url = str_of(config()->base_url) };
	c->coop = (struct uuid){ { 0 } };
	TRY(key_of_future(c, out->coop, &key));
	c->coop = before;
	memcpy(out->public_key, key.public_key, 32);
	out->key_name = coop_key_name(c->arena, key.public_key);
	out->text = dsse_sign(c->arena, &key, 1, STR(FORK_REQUEST_TYPE), request_payload(c, out));
	secret_wipe(&key, sizeof(key));
	return ERR_OK;
}

/* It is shown as a link to members, and asked for what the fork says of itself: whether it may be asked at all is decided then. */
bool fork_url_ok(struct arena *a, struct str url)
{
	struct error e = { 0 };
	return url.n > 0 && url.n <= FORK_PLACE_MAX && fetch_url_check(a, url, true, true, NULL, &e) == ERR_OK;
}

/* The key stands in what it signs: the envelope is opened without it, and then held against it. */
static bool payload_of(struct arena *a, struct str text, const struct json **out)
{
	const struct json *envelope;
	struct str payload;
	struct error e = { 0 };
	return text.n <= FORK_REQUEST_MAX && json_parse(a, text, &envelope, &e) == ERR_OK && str_unbase64(a, json_member_text(envelope, "payload"), &payload)
		&& json_parse(a, payload, out, &e) == ERR_OK && json_is(*out, JSON_OBJECT);
}

enum err fork_request_read(struct arena *a, struct str text, struct fork_request *out, struct error *e)
{
	const struct json *said;
	struct str payload;
	*out = (struct fork_request){ .text = text };
	if (!payload_of(a, text, &said) || !str_unhex(json_member_text(said, "key"), out->public_key, 32) || !uuid_parse(json_member_text(said, "coop"), &out->coop)
		|| json_int(json_get(said, "v"), 0) != 1)
		return error_set(e, ERR_INVALID, "This is no request for a fork, as `commonhold fork request` makes them.");
	out->url = json_member_text(said, "url");
	if (!fork_url_ok(a, out->url))
		return error_set(e, ERR_INVALID, "The request names no address of an instance.");
	out->key_name = coop_key_name(a, out->public_key);
	if (!str_eq(json_member_text(said, "name"), out->key_name))
		return error_set(e, ERR_INVALID, "The request names another co-op than its key does.");
	if (dsse_verify(a, text, (const uint8_t (*)[32])out->public_key, 1, 1, STR(FORK_REQUEST_TYPE), &payload, e) != ERR_OK)
		return error_set(e, ERR_INVALID, "The request is not signed by the key that it names.");
	return ERR_OK;
}
