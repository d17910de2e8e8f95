/* Asking another instance for a co-op's keys. It may be slow, lie, or be somebody else: what it says is a name and a chain of keys that must hold together by themselves. */
#include "server/merge/peer/peer_internal.h"

#include "commonhold/config.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"

#define WELL_KNOWN_MAX (1 * MIB)
#define COOP_MAX (256 * KIB)
#define TITLE_MAX 200

static bool name_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= '0' && name.p[i] <= '9') || name.p[i] == '-'))
			return false;
	return name.n >= 2 && name.n <= 40;
}

enum err peer_url_clean(struct call *c, struct str url, bool may_be_empty, struct str *out)
{
	bool loose = config()->allow_private_on;
	struct error why = { 0 };
	struct str text = str_trim(url.p ? url : STR(""));
	*out = STR("");
	if (!text.n && may_be_empty)
		return ERR_OK;
	ptrdiff_t scheme = str_index(text, ':');
	size_t end = 0;
	if (scheme > 0 && text.n > (size_t)scheme + 3)
		for (end = (size_t)scheme + 3; end < text.n && text.p[end] != '/' && text.p[end] != '?' && text.p[end] != '#';)
			end++;
	text = str_sub(text, 0, end);
	if (end == 0 || text.n > 500)
		return fail_field(c, "/url", "This is no address of an instance, such as https://commonhold.example.");
	if (str_eq(text, str_of(config()->base_url))) {
		*out = str_copy(c->arena, text);
		return ERR_OK;
	}
	if (fetch_url_check(c->arena, text, loose, loose, NULL, &why) != ERR_OK)
		return fail_field(c, "/url", "%s", why.message);
	*out = str_copy(c->arena, text);
	return ERR_OK;
}

static enum err ask(struct call *c, struct fetcher *f, struct str url, const char *what, int64_t max, struct str *out)
{
	struct fetch_answer answer;
	struct fetch_request request = { .url = url, .max_bytes = max, .total_ms = 15000, .allow_private = config()->allow_private_on, .allow_http = config()->allow_private_on };
	TRY(fetch(f, c->arena, &request, &answer, &c->error));
	if (answer.status == 404)
		return fail_reason(c, ERR_NOT_FOUND, "not_there", "The other instance has no %s.", what);
	if (answer.status != 200)
		return fail_reason(c, ERR_UNAVAILABLE, "answer", "The other instance answers with status %ld when asked for its %s.", answer.status, what);
	*out = answer.body;
	return ERR_OK;
}

/* That somebody who runs this software is there: a statement, signed by the key that it names itself. */
static enum err instance_ask(struct call *c, struct fetcher *f, struct str url)
{
	const struct json *said, *signed_said;
	struct keychain keys;
	struct str text, payload;
	struct buf b;
	size_t which;
	TRY(ask(c, f, str_cat(c->arena, url, STR("/.well-known/commonhold")), "description", WELL_KNOWN_MAX, &text));
	if (json_parse(c->arena, text, &said, &c->error) != ERR_OK || !json_is(json_get(said, "signed"), JSON_OBJECT))
		return fail_reason(c, ERR_UNAVAILABLE, "no_instance", "At this address is no instance of Commonhold that can be known by its keys.");
	buf_init(&b, 2 * WELL_KNOWN_MAX);
	json_canonical(&b, json_get(said, "signed"), false);
	struct str envelope = buf_take(c->arena, &b);
	if (keychain_read_json(c->arena, json_get(said, "keys"), &keys, &c->error) != ERR_OK || !envelope.p ||
		keychain_dsse_verify(c->arena, &keys, envelope, STR(INSTANCE_PAYLOAD_TYPE), &payload, &which, &c->error) != ERR_OK || which + 1 != keys.n ||
		json_parse(c->arena, payload, &signed_said, &c->error) != ERR_OK)
		return fail_reason(c, ERR_CORRUPT, "forged", "The other instance's description is not signed by its key.");
	return ERR_OK;
}

static enum err coop_ask(struct call *c, struct fetcher *f, struct str name, struct peer_look *out)
{
	const struct json *said;
	struct str text;
	TRY(ask(c, f, str_fmt(c->arena, "%.*s/api/v1/coops/%.*s", STR_ARG(out->url), STR_ARG(name)), "co-op of this name", COOP_MAX, &text));
	if (json_parse(c->arena, text, &said, &c->error) != ERR_OK)
		return fail_reason(c, ERR_UNAVAILABLE, "answer", "What the other instance says of the co-op cannot be understood.");
	struct str key_name = json_member_text(said, "key_name"), slug = json_member_text(said, "slug"), title = json_member_text(said, "name");
	if (!name_ok(key_name) || key_name.n != 16 || (!str_eq(name, key_name) && !str_eq(name, slug)))
		return fail_reason(c, ERR_CORRUPT, "another", "The other instance answers with another co-op than the one asked for.");
	out->slug = name_ok(slug) ? slug : STR("");
	out->title = title.p && str_is_utf8(title) ? str_utf8_head(title, TITLE_MAX) : out->slug;
	TRY(ask(c, f, str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/keys.json", STR_ARG(out->url), STR_ARG(key_name)), "chain of keys for this co-op", KEYCHAIN_TEXT_MAX, &text));
	TRY(keychain_read(c->arena, text, &out->keys, &c->error));
	return str_eq(out->keys.name, key_name) ? ERR_OK : fail_reason(c, ERR_CORRUPT, "another", "The chain of keys is of another co-op than the one asked for.");
}

static enum err look_here(struct call *c, struct str name, struct peer_look *out)
{
	struct coop coop;
	TRY(db_begin(c, DB_READ));
	TRY(coop_find(c, name, &coop));
	TRY(keychain_of(c, coop.id, &out->keys));
	TRY(db_commit(c));
	out->slug = coop.slug;
	out->title = coop.name;
	return ERR_OK;
}

static void fetcher_end(void *f)
{
	fetcher_free(f);
}

enum err peer_look_at(struct call *c, struct str url, struct str name, struct peer_look *out)
{
	*out = (struct peer_look){ .asked = true };
	name = str_trim(name.p ? name : STR(""));
	TRY(peer_url_clean(c, url, false, &out->url));
	if (!name_ok(name))
		return fail_field(c, "/name", "This is no name of a co-op: its address has small letters, digits and hyphens.");
	if (str_eq(out->url, str_of(config()->base_url)))
		return look_here(c, name, out);
	struct fetcher *f = fetcher_new();
	if (!f || !arena_defer(c->arena, fetcher_end, f))
		return fail(c, ERR_NO_MEMORY, "There is no memory to ask another instance.");
	TRY(instance_ask(c, f, out->url));
	return coop_ask(c, f, name, out);
}
