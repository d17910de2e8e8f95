/* Any bytes as an agreement's document, or as a draft between two co-ops. Whatever draft is taken gives a document that reads back, fits both charters, and is the same from the same draft. */
#include "commonhold/json.h"
#include "commonhold/terms.h"
#include "tests/fuzz/fuzz.h"

#define NOW INT64_C(1767258000000000)

static const char first[] =
	"{\"name\":\"A\",\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[\"train.gen\",\"eval\",\"search\"],\"purposes\":[\"research\"],\"k_contributors\":5},\"embargo\":\"P3D\","
	"\"ai_preferences\":{\"aggregate\":{\"effect\":\"deny\"}},\"attribution\":\"public\"}";
static const char second[] =
	"{\"name\":\"B\",\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[\"train.gen\",\"mine\"],\"purposes\":[\"scientific\",\"education\"],\"audience\":\"gated_auto\"},\"access\":{\"mode\":\"gated_auto\"},"
	"\"moderation\":{\"mode\":\"hold\"},\"retention\":{\"raw\":\"P2Y\"}}";

static bool charter_make(struct arena *a, const char *draft, struct charter *out)
{
	const struct json *v;
	struct str document;
	struct error e = { 0 };
	if (json_parse(a, str_of(draft), &v, &e) != ERR_OK || charter_check(a, v, &document, &e) != ERR_OK || charter_parse(a, document, out, &e) != ERR_OK)
		return false;
	out->version = 1;
	return true;
}

static void say(struct arena *a, const struct agreement_terms *t)
{
	struct agreement_words *lines;
	size_t n;
	FUZZ_CHECK(agreement_terms_words(a, t, 0, &lines, &n) == ERR_OK && n > 5);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK(lines[i].text.n > 0 && str_is_utf8(lines[i].text));
}

static void as_document(struct arena *a, struct str text, const struct charter *c)
{
	struct agreement_terms t;
	struct error e = { 0 };
	if (agreement_terms_parse(a, text, &t, &e) != ERR_OK) {
		FUZZ_CHECK(e.code != ERR_OK);
		return;
	}
	FUZZ_CHECK(sha256_eq(t.digest, sha256(text)) && str_cmp(t.parties[0], t.parties[1]) < 0 && (t.flow[0] || t.flow[1]) && t.uses && t.purposes && t.kinds && !(t.uses & t.floor));
	FUZZ_CHECK(t.ends > t.starts && t.freshness >= t.cadence);
	(void)!agreement_terms_fit(a, &t, c, &e);
	say(a, &t);
}

static void as_draft(struct arena *a, struct str text, const struct charter *one, const struct charter *two)
{
	const struct json *draft;
	struct agreement_party parties[2] = { { STR("aaaaaaaaaaaaaaaa"), STR("https://a.example"), one }, { STR("bbbbbbbbbbbbbbbb"), STR("https://b.example"), two } };
	struct str document, again;
	struct agreement_terms t;
	struct error e = { 0 };
	if (json_parse(a, text, &draft, &e) != ERR_OK)
		return;
	if (agreement_terms_check(a, draft, parties, (struct uuid){ { 7 } }, 1, NULL, NOW, &document, &e) != ERR_OK) {
		FUZZ_CHECK(e.code != ERR_OK);
		return;
	}
	FUZZ_CHECK(agreement_terms_check(a, draft, parties, (struct uuid){ { 7 } }, 1, NULL, NOW, &again, &e) == ERR_OK && str_eq(document, again));
	FUZZ_CHECK(agreement_terms_parse(a, document, &t, &e) == ERR_OK);
	FUZZ_CHECK(agreement_terms_fit(a, &t, one, &e) == ERR_OK && agreement_terms_fit(a, &t, two, &e) == ERR_OK);
	FUZZ_CHECK(t.moderation_both && t.k >= 5 && t.ends > NOW);
	say(a, &t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct charter one, two;
	if (size == 0 || !crypto_start())
		return 0;
	struct arena *a = arena_new(64 * MIB);
	FUZZ_CHECK(charter_make(a, first, &one) && charter_make(a, second, &two));
	struct str text = str_make(data + 1, size - 1);
	if (data[0] % 2)
		as_document(a, text, &one);
	else
		as_draft(a, text, &one, &two);
	arena_free(a);
	return 0;
}
