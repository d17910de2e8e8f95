/* record_make.c - one line of a bundle's records made ready for the pool. Pure; runs on any thread. */
#include "merge_internal.h"

#include "commonhold/contribution.h"

#define MEMBERS_MAX 24 /* of a submission made from a record */

/* A submission put together from parts of parsed trees: the nodes are copied, and what hangs below them hangs below the copies from then on, so that walks through it end there. */
struct assembled { struct json root, member[MEMBERS_MAX]; size_t n; };

static void assemble(struct assembled *s, struct str key, const struct json *value)
{
	if (!value || s->n == MEMBERS_MAX)
		return;
	struct json *m = &s->member[s->n];
	*m = *value;
	m->key = key;
	m->next = NULL;
	m->parent = &s->root;
	for (struct json *child = (struct json *)value->child; child; child = (struct json *)child->next)
		child->parent = m;
	if (s->n)
		s->member[s->n - 1].next = m;
	s->root.child = s->member;
	s->root.count = (unsigned)++s->n;
}

static struct json text_node(struct str text)
{
	return (struct json){ .type = JSON_STRING, .text = text };
}

static const struct json *submission_of(struct arena *scratch, const struct bundle_record *r, const struct json *content, const struct json *facts)
{
	struct assembled *s = ARENA_NEW(scratch, struct assembled);
	struct json kind = text_node(str_of(contribution_kind_word(r->kind))), lang = text_node(r->lang), licence = text_node(str_of(policy_licence_get(r->licence)->spdx));
	s->root.type = JSON_OBJECT;
	assemble(s, STR("kind"), &kind);
	if (r->lang.n && !str_is(r->lang, "und"))
		assemble(s, STR("lang"), &lang);
	assemble(s, STR("licence"), &licence);
	assemble(s, STR("content"), content);
	json_each(fact, facts)
		assemble(s, fact->key, fact);
	return &s->root;
}

static enum err check_scope(const struct applying *a, const struct bundle_record *r, struct error *e)
{
	const struct agreement_terms *t = &a->agreement.terms;
	if (!(t->kinds >> r->kind & 1))
		return error_set(e, ERR_REFUSED, "The agreement lets no records of this kind through.");
	if (r->licence >= POLICY_LICENCE_MAX || !(t->licences >> r->licence & 1))
		return error_set(e, ERR_REFUSED, "The agreement lets no records under this licence through.");
	return ERR_OK;
}

enum err record_make(const struct applying *a, struct arena *keep, struct arena *scratch, struct str line, struct record_made *out, struct error *e)
{
	const struct json *content, *facts;
	struct bundle_record *r = &out->record;
	TRY(bundle_record_read(scratch, line, r, e));
	TRY(check_scope(a, r, e));
	out->home = apply_home(a, r->home);
	if (out->home < 0)
		return error_set(e, ERR_REFUSED, "The bundle does not list the home of this record.");
	TRY(json_parse(scratch, r->content, &content, e));
	TRY(json_parse(scratch, r->facts, &facts, e));
	struct foreign *f = &out->foreign;
	*f = (struct foreign){
		.home = (unsigned)out->home, .id = r->id, .hash = r->hash, .lang = r->lang.n ? r->lang : STR("und"), .at = r->at, .leaf = r->leaf, .content = r->content, .facts = r->facts,
	};
	memcpy(f->salt, r->salt, sizeof(f->salt));
	TRY(foreign_prepare(scratch, &a->rules, submission_of(scratch, r, content, facts), f, e));
	out->schema = r->kind == POLICY_KIND_RECORD ? str_copy(keep, json_member_text(content, "schema")) : STR_NONE;
	return ERR_OK;
}

/* ---- Statements ---- */

static bool overlaps(uint8_t a, uint8_t b, uint8_t any)
{
	return a == b || a == any || b == any;
}

/* A person's own denial in general, of what is spoken for them. Denials on single items are the engine's: layer 1 goes before any default. */
static bool denied(const struct guest_words *w, const struct guest_word *spoken)
{
	for (size_t i = 0; i < w->n_said; i++) {
		const struct guest_word *said = &w->said[i];
		if (said->effect == POLICY_EFFECT_DENY && uuid_is_nil(said->item) && said->uses & spoken->uses && (!said->has_kind || (spoken->has_kind && said->kind == spoken->kind))
			&& overlaps(said->purpose, spoken->purpose, POLICY_PURPOSE_ANY) && said->audience == POLICY_AUDIENCE_ANY && said->valid_from == INSTANT_NONE && said->valid_to == INSTANT_NEVER)
			return true;
	}
	return false;
}

enum err words_check(const struct guest_words *words, const struct agreement_terms *terms, struct error *e)
{
	for (size_t i = 0; i < words->n_spoken; i++) {
		const struct guest_word *spoken = &words->spoken_for[i];
		if (spoken->effect == POLICY_EFFECT_DENY)
			continue;
		if (spoken->uses & ~terms->uses)
			return error_set(e, ERR_REFUSED, "It allows a use that the agreement does not have.");
		if (denied(words, spoken))
			return error_set(e, ERR_REFUSED, "It allows in a person's place what that person denies.");
	}
	if (words->consent_expires != INSTANT_NEVER && words->consent_given != INSTANT_NEVER && words->consent_expires < words->consent_given)
		return error_set(e, ERR_REFUSED, "It has a consent that ends before it began.");
	return ERR_OK;
}
