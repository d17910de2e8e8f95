#include "server/coop/choices.h"

#include "commonhold/db.h"
#include "commonhold/words.h"

/* Charters side by side, in plain words, before one joins. */

#define COMPARED_MAX 4 /* as many columns as a wide screen holds */

struct compared {
	struct coop coop;
	const struct json *words; /* of its charter, by heading */
	struct str standing;      /* the reader's; absent: no member */
};

/* The part of a charter's words under a heading; NULL without one. */
static const struct json *part_of(const struct compared *k, struct str heading)
{
	json_each(part, k->words)
		if (str_eq(json_member_text(part, "heading"), heading))
			return json_get(part, "lines");
	return NULL;
}

static bool all_say_the_same(const struct compared *k, size_t n, struct str heading)
{
	const struct json *first = part_of(&k[0], heading);
	for (size_t i = 1; i < n; i++) {
		const struct json *other = part_of(&k[i], heading);
		if (!first || !other || !json_equal(first, other))
			return false;
	}
	return n > 1;
}

/* Within one part, whether every co-op has the line: what differs is marked. */
static bool all_have_line(const struct compared *k, size_t n, struct str heading, struct str text)
{
	for (size_t i = 0; i < n; i++) {
		bool found = false;
		json_each(line, part_of(&k[i], heading))
			found |= str_eq(json_text(line), text);
		if (!found)
			return false;
	}
	return true;
}

static void write_cell(struct json_writer *w, const struct compared *k, size_t n, size_t at, struct str heading)
{
	jw_object(w);
	jw_kstr(w, "coop_name", k[at].coop.name);
	jw_key(w, "lines");
	jw_array(w);
	json_each(line, part_of(&k[at], heading)) {
		jw_object(w);
		jw_kstr(w, "text", json_text(line));
		jw_kbool(w, "differs", n > 1 && !all_have_line(k, n, heading, json_text(line)));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
}

static void write_rows(struct json_writer *w, const struct compared *k, size_t n)
{
	jw_key(w, "rows");
	jw_array(w);
	json_each(part, n ? k[0].words : NULL) {
		struct str heading = json_member_text(part, "heading");
		jw_object(w);
		jw_kstr(w, "heading", heading);
		jw_kbool(w, "same", all_say_the_same(k, n, heading));
		jw_key(w, "cells");
		jw_array(w);
		for (size_t i = 0; i < n; i++)
			write_cell(w, k, n, i, heading);
		jw_end_array(w);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_heads(struct json_writer *w, struct request *rq, const struct compared *k, size_t n)
{
	jw_key(w, "heads");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct coop *coop = &k[i].coop;
		jw_object(w);
		jw_kstr(w, "slug", coop->slug);
		jw_kstr(w, "coop_name", coop->name);
		jw_kstr(w, "members", words_count(rq->call->arena, coop->members));
		jw_kbool(w, "one_member", coop->members == 1);
		jw_kstr(w, "standing", k[i].standing);
		jw_kbool(w, "may_join", !k[i].standing.p && !uuid_is_nil(rq->call->actor.account) && !str_is(coop->admission, "invitation"));
		jw_kbool(w, "by_approval", str_is(coop->admission, "approval"));
		jw_kbool(w, "invited_only", str_is(coop->admission, "invitation"));
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* The reader's standing in each. */
static enum err read_standings(struct request *rq, struct compared *k, size_t n)
{
	struct member *mine;
	size_t n_mine;
	if (uuid_is_nil(rq->call->actor.account))
		return ERR_OK;
	TRY(member_mine(rq->call, &mine, &n_mine));
	for (size_t m = 0; m < n_mine; m++)
		for (size_t i = 0; i < n; i++)
			if (uuid_eq(mine[m].coop, k[i].coop.id) && mine[m].state != POLICY_STANDING_LEFT)
				k[i].standing = str_of(standing_in_words(mine[m].state));
	return ERR_OK;
}

static enum err read_coop(struct call *c, struct str name, struct compared *out)
{
	struct charter charter;
	*out = (struct compared){ 0 };
	TRY(db_begin(c, DB_READ));
	TRY(coop_find(c, name, &out->coop));
	TRY(db_commit(c));
	TRY(charter_view(c, out->coop.id, 0, &charter));
	out->words = charter_words(c->arena, &charter);
	return out->words ? ERR_OK : fail(c, ERR_TOO_LARGE, "A charter is too long to be compared.");
}

static enum err compare_data(struct request *rq, struct json_writer *w)
{
	struct str names[COMPARED_MAX + 1];
	struct compared k[COMPARED_MAX];
	size_t asked = request_query_all(rq, "coop", names, CH_LEN(names)), n = 0;
	jw_kz(w, "title", "Charters side by side");
	for (size_t i = 0; i < asked && n < COMPARED_MAX; i++) {
		bool again = false;
		TRY(read_coop(rq->call, names[i], &k[n]));
		for (size_t j = 0; j < n; j++)
			again |= uuid_eq(k[j].coop.id, k[n].coop.id);
		n += !again;
	}
	TRY(read_standings(rq, k, n));
	jw_kbool(w, "any", n > 0);
	jw_kbool(w, "several", n > 1);
	jw_kbool(w, "too_many", asked > COMPARED_MAX);
	jw_kint(w, "most", COMPARED_MAX);
	write_heads(w, rq, k, n);
	write_rows(w, k, n);
	return ERR_OK;
}

enum err compare_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	enum err e = compare_data(rq, &w);
	return page_end(rq, rs, "page/compare", &b, &w, e);
}
