#include "server/merge/fork/fork_internal.h"

#include "commonhold/bundle.h"
#include "commonhold/terms.h"

/* What a parent says of somebody who goes along with a fork, or went: a line as in a bundle's statements.jsonl, signed by itself. What is told of those who are silent are denials alone: nobody whom
 * they let speak for them there speaks for them here. Only where an agreement between the two is in effect does somebody else's yes count as far as that allows. */

/* Words on single items go along where the item does; those on items that stayed name ids that are nothing there. */
static bool told(void *arg, int64_t item_no, struct uuid item)
{
	(void)arg;
	(void)item_no;
	(void)item;
	return true;
}

struct guest_scope fork_said_scope(void)
{
	return (struct guest_scope){ .uses = POLICY_USES_ALL, .purposes = POLICY_PURPOSES_ALL, .audience = POLICY_AUDIENCE_PUBLIC, .told = told };
}

/* What is left of something that is said for somebody. */
static struct guest_word as_agreed(const struct guest_word *word, const struct agreement_terms *terms)
{
	struct guest_word kept = *word;
	if (word->effect != POLICY_EFFECT_DENY)
		kept.uses = terms && terms->purposes & policy_purpose_above(word->purpose) ? word->uses & terms->uses & (uint16_t)~terms->floor : 0;
	return kept;
}

void fork_said_limit(struct arena *a, struct guest_words *words, const struct agreement_terms *terms)
{
	struct guest_word *kept = ARENA_ARRAY(a, words->n_spoken + 1, struct guest_word);
	size_t n = 0;
	for (size_t i = 0; i < words->n_spoken; i++) {
		kept[n] = as_agreed(&words->spoken_for[i], terms);
		n += kept[n].uses != 0;
	}
	words->spoken_for = kept;
	words->n_spoken = n;
}

static void line_write(struct fork_sayer *s, const struct guest_words *words, const char *contributor, bool whole, struct str sig)
{
	struct arena *a = s->c->arena;
	struct json_writer w;
	buf_clear(&s->line);
	jw_init(&w, &s->line);
	jw_object(&w);
	jw_key(&w, "consent");
	guest_consent_write(&w, a, words);
	jw_kstr(&w, "contributor", str_make(contributor, 32));
	jw_kstr(&w, "home", s->home);
	jw_kstr(&w, "name", words->name);
	if (whole)
		jw_kint(&w, "rev", s->rev);
	jw_key(&w, "said");
	guest_said_write(&w, a, words);
	if (sig.p)
		jw_kstr(&w, "sig", sig);
	jw_key(&w, "spoken_for");
	guest_spoken_write(&w, words);
	jw_kz(&w, "standing", policy_standing_name(words->standing));
	jw_end_object(&w);
}

static enum err too_long(const struct fork_sayer *s)
{
	return s->line.failed ? fail(s->c, ERR_TOO_LARGE, "What a member said is too long to be handed over.") : ERR_OK;
}

enum err fork_said_digest(struct fork_sayer *s, struct guest_words *words, const uint8_t contributor[16], struct sha256 *digest)
{
	struct str hex = str_hex(s->c->arena, contributor, 16);
	words->home = s->home;
	fork_said_limit(s->c->arena, words, s->terms);
	line_write(s, words, hex.p, false, STR_NONE);
	*digest = sha256(buf_str(&s->line));
	return too_long(s);
}

enum err fork_said_line(struct fork_sayer *s, struct guest_words *words, const uint8_t contributor[16])
{
	uint8_t signature[64];
	struct arena *a = s->c->arena;
	struct str hex = str_hex(a, contributor, 16);
	words->home = s->home;
	fork_said_limit(a, words, s->terms);
	line_write(s, words, hex.p, true, STR_NONE);
	TRY(too_long(s));
	sign_bytes(&s->key, str_cat(a, STR(BUNDLE_SAID_PREFIX), buf_str(&s->line)), signature);
	line_write(s, words, hex.p, true, str_base64(a, signature, 64));
	return too_long(s);
}
