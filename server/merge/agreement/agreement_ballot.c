/* What a ballot on an agreement says of it: its terms, and what it would do, as both were when the ballot was opened. */
#include "agreement_internal.h"

#include "commonhold/ballot.h"
#include "commonhold/preview.h"
#include "server/merge/merge_pages.h"

/* The agreement that a ballot is about, and what was tried out; ballots from before dry runs were asked for have none. */
static enum err subject(struct call *c, const struct ballot *b, struct agreement *g, struct dry_run_voted *v)
{
	TRY(db_begin_in(c, b->coop, DB_READ));
	TRY(agreement_by_digest(c, b->coop, b->digest, g));
	enum err e = dry_run_voted(c, b->coop, b->id, v);
	if (e == ERR_NOT_FOUND) {
		*v = (struct dry_run_voted){ .without = STR("It was not asked for when this ballot was opened.") };
		error_clear(&c->error);
		e = ERR_OK;
	}
	TRY(e);
	return db_commit(c);
}

enum err agreement_on_ballot(struct call *c, const struct ballot *b, struct json_writer *w)
{
	struct agreement g;
	struct dry_run_voted voted;
	if (!str_is(b->kind, "merge"))
		return ERR_OK;
	TRY(subject(c, b, &g, &voted));
	jw_key(w, "agreement");
	jw_object(w);
	jw_kstr(w, "partner", g.partner_title);
	jw_kstr(w, "partner_key_name", g.partner);
	jw_kstr(w, "digest", sha256_hex(c->arena, g.terms.digest));
	jw_kint(w, "revision", g.terms.revision);
	jw_kbool(w, "renewal", g.terms.revision > 1);
	TRY(agreement_words_write(w, c->arena, "lines", &g));
	jw_kstr(w, "no_dry_run", voted.without);
	if (voted.tried)
		TRY(dry_run_summary_write(w, c, &g, &voted.run));
	jw_end_object(w);
	return ERR_OK;
}

enum err agreement_about_ballot(struct call *c, const struct ballot *b, struct json_writer *w)
{
	struct agreement g;
	struct dry_run_voted voted;
	if (!str_is(b->kind, "merge")) {
		jw_null(w);
		return ERR_OK;
	}
	TRY(subject(c, b, &g, &voted));
	jw_object(w);
	jw_kstr(w, "agreement", sha256_hex(c->arena, g.terms.digest));
	jw_key(w, "dry_run");
	if (voted.tried)
		dry_run_write(w, c->arena, &voted.run);
	else
		jw_null(w);
	jw_kstr(w, "no_dry_run", voted.without);
	jw_kz(w, "kind", "merge");
	jw_end_object(w);
	return ERR_OK;
}
