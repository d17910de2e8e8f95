/* Erasing from a dataset repository for good. Deleting a file in a commit removes nothing: what lies in the history, behind tags and beside git in LFS goes with them, and is asked for afterwards. */
#include "hub.h"

#include <stdlib.h>

#define DELETIONS 1000 /* a call */

/* ---- what goes ---- */

struct shas { struct str *items; size_t n; };

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool has(const struct shas *s, struct str sha)
{
	return s->n && bsearch(&sha, s->items, s->n, sizeof(sha), by_text);
}

/* Digests of the files of those versions that go, or of those that stay. */
static enum err shas_of(struct adapter_run *run, struct adapter_plan *p, bool doomed, struct shas *out)
{
	size_t total = 0;
	for (size_t i = 0; i < p->n; i++) {
		if (p->copies[i].doomed != doomed)
			continue;
		TRY(adapter_store_files(run, &p->copies[i]));
		total += p->copies[i].n_files;
	}
	*out = (struct shas){ ARENA_ARRAY(run->c->arena, total + 1, struct str), 0 };
	for (size_t i = 0; i < p->n; i++)
		for (size_t f = 0; p->copies[i].doomed == doomed && f < p->copies[i].n_files; f++)
			out->items[out->n++] = sha256_hex(run->c->arena, p->copies[i].files[f].sha256);
	if (out->n)
		qsort(out->items, out->n, sizeof(*out->items), by_text);
	return ERR_OK;
}

/* What only withdrawn versions have. A shard that the redaction kept stays. */
static enum err doomed_shas(struct adapter_run *run, struct adapter_plan *p, struct shas *out)
{
	struct shas going, staying;
	size_t n = 0;
	TRY(shas_of(run, p, true, &going));
	TRY(shas_of(run, p, false, &staying));
	for (size_t i = 0; i < going.n; i++)
		if (!has(&staying, going.items[i]) && (n == 0 || !str_eq(going.items[n - 1], going.items[i])))
			going.items[n++] = going.items[i];
	*out = (struct shas){ going.items, n };
	return ERR_OK;
}

static struct adapter_version *newest_kept(struct adapter_plan *p)
{
	struct adapter_version *best = NULL;
	for (size_t i = 0; i < p->n; i++)
		if (!p->copies[i].doomed && p->copies[i].state == ADAPTER_COPY_PUBLISHED && (!best || p->copies[i].release.published_at > best->release.published_at))
			best = &p->copies[i];
	return best;
}

/* Tags of versions that came before the first that goes have nothing of it behind them. All others do: they are on commits that follow it. */
static bool tag_stays(const struct adapter_plan *p, struct str tag)
{
	instant first = INSTANT_NEVER;
	for (size_t i = 0; i < p->n; i++)
		if (p->copies[i].doomed && p->copies[i].begun_at < first)
			first = p->copies[i].begun_at;
	for (size_t i = 0; i < p->n; i++)
		if (!p->copies[i].doomed && p->copies[i].state == ADAPTER_COPY_PUBLISHED && p->copies[i].begun_at < first && str_eq(p->copies[i].release.version, tag))
			return true;
	return false;
}

/* ---- the head ---- */

#define NOTICE "This dataset was withdrawn by the co-op that published it, because something in it had to be deleted. What replaces it, if anything, will be published here.\n"

/* Nothing is left to show: every file goes, and a word about why stays. */
static enum err show_nothing(struct adapter_run *run)
{
	struct arena *a = run->c->arena;
	struct hub_info info;
	struct hub_tree tree;
	struct str commit;
	struct buf lines;
	bool bare = true;
	TRY(hub_info_read(run, &info));
	if (!info.exists)
		return ERR_OK;
	TRY(hub_tree_read(run, info.head, &tree));
	buf_init(&lines, 32 * MIB);
	for (size_t i = 0; i < tree.n; i++) {
		if (str_is(tree.entries[i].path, ".gitattributes") || str_is(tree.entries[i].path, "README.md"))
			continue;
		struct json_writer w;
		bare = false;
		jw_init(&w, &lines);
		jw_object(&w);
		jw_kz(&w, "key", "deletedFile");
		jw_key(&w, "value");
		jw_object(&w);
		jw_kstr(&w, "path", tree.entries[i].path);
		jw_end_object(&w);
		jw_end_object(&w);
		buf_add_byte(&lines, '\n');
	}
	struct str notice = str_base64(a, NOTICE, sizeof(NOTICE) - 1);
	buf_addf(&lines, "{\"key\":\"file\",\"value\":{\"content\":\"%.*s\",\"encoding\":\"base64\",\"path\":\"README.md\"}}\n", STR_ARG(notice));
	enum err e = bare ? ERR_OK : hub_commit(run, info.head, STR("Withdraw"), buf_str(&lines), &commit);
	buf_release(&lines);
	return e;
}

/* ---- history ---- */

static enum err untag_all(struct adapter_run *run, const struct adapter_plan *p)
{
	struct hub_refs refs;
	TRY(hub_refs_read(run, &refs));
	for (size_t i = 0; i < refs.n_others; i++)
		if (!str_starts(refs.others[i].ref, "refs/convert/"))
			return adapter_fail(run, true, "There are branches or pull requests in the repository, which this instance did not make and which may hold what is to be erased. Delete them, or have the repository made anew.");
	for (size_t i = 0; i < refs.n_tags; i++)
		if (!tag_stays(p, refs.tags[i].name))
			TRY(hub_untag(run, refs.tags[i].name));
	return ERR_OK;
}

static enum err lfs_delete(struct adapter_run *run, const struct str *shas, size_t n)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "deletions");
	jw_object(&w);
	jw_kbool(&w, "rewriteHistory", true);
	jw_key(&w, "sha");
	jw_array(&w);
	for (size_t i = 0; i < n; i++)
		jw_str(&w, shas[i]);
	jw_end_array(&w);
	jw_end_object(&w);
	jw_end_object(&w);
	return hub_do(run, "POST", hub_path(run, STR("/lfs-files/batch")), buf_take(run->c->arena, &b), NULL, "delete stored files");
}

/* Those stored that are to go. */
static enum err lfs_left(struct adapter_run *run, const struct shas *doomed, struct str **out, size_t *n)
{
	struct str *stored;
	size_t n_stored;
	*n = 0;
	TRY(hub_lfs_list(run, &stored, &n_stored));
	*out = ARENA_ARRAY(run->c->arena, n_stored + 1, struct str);
	for (size_t i = 0; i < n_stored; i++)
		if (has(doomed, stored[i]))
			(*out)[(*n)++] = stored[i];
	return ERR_OK;
}

static enum err lfs_erase(struct adapter_run *run, const struct shas *doomed)
{
	struct str *left;
	size_t n;
	TRY(lfs_left(run, doomed, &left, &n));
	for (size_t i = 0; i < n; i += DELETIONS)
		TRY(lfs_delete(run, left + i, n - i < DELETIONS ? n - i : DELETIONS));
	return ERR_OK;
}

static enum err history_length(struct adapter_run *run, size_t *n)
{
	const struct json *list;
	TRY(hub_do(run, "GET", hub_path(run, STR("/commits/main")), STR_NONE, &list, "list its history"));
	*n = list->count;
	return json_is(list, JSON_ARRAY) && *n > 0 ? ERR_OK : adapter_fail(run, false, "The repository's history cannot be read.");
}

static enum err squash(struct adapter_run *run)
{
	size_t n;
	TRY(history_length(run, &n));
	return n == 1 ? ERR_OK : hub_do(run, "POST", hub_path(run, STR("/super-squash/main")), STR("{\"message\":\"Erase what was withdrawn\"}"), NULL, "rewrite its history");
}

/* ---- asked afterwards ---- */

static enum err found_gone(struct adapter_run *run, const struct adapter_plan *p, struct str revision, const char *what)
{
	bool there;
	(void)p;
	if (!revision.n)
		return ERR_OK;
	TRY(hub_revision_is_there(run, revision, &there));
	if (there)
		return adapter_fail(run, false, "A withdrawn revision can still be asked for.");
	adapter_note(run, what, revision, 0);
	return ERR_OK;
}

static enum err check_refs(struct adapter_run *run, const struct adapter_plan *p)
{
	struct hub_refs refs;
	TRY(hub_refs_read(run, &refs));
	if (refs.n_others)
		return adapter_fail(run, false, "The place still keeps a converted copy (%.*s). It goes with the next conversion, or when the repository is made anew.", STR_ARG(str_sub(refs.others[0].ref, 0, 60)));
	for (size_t i = 0; i < refs.n_tags; i++)
		for (size_t k = 0; k < p->n; k++)
			if (p->copies[k].doomed && str_eq(refs.tags[i].name, p->copies[k].release.version))
				return adapter_fail(run, false, "The tag of a withdrawn version is still there.");
	return ERR_OK;
}

static enum err check_gone(struct adapter_run *run, const struct adapter_plan *p, const struct shas *doomed)
{
	struct str *left;
	size_t n;
	for (size_t i = 0; i < p->n; i++) {
		if (!p->copies[i].doomed)
			continue;
		TRY(found_gone(run, p, p->copies[i].revision, "revision"));
		TRY(found_gone(run, p, p->copies[i].release.version, "tag"));
	}
	TRY(lfs_left(run, doomed, &left, &n));
	if (n)
		return adapter_fail(run, false, "Of the withdrawn files %zu are still stored.", n);
	adapter_note(run, "stored files", run->t.place, 0);
	TRY(history_length(run, &n));
	if (n != 1)
		return adapter_fail(run, false, "The repository's history is still there.");
	return check_refs(run, p);
}

/* ---- the two ways ---- */

static enum err rewrite(struct adapter_run *run, struct adapter_plan *p)
{
	struct adapter_version *kept = newest_kept(p);
	struct shas doomed;
	struct hub_info info;
	struct str commit = STR_NONE;
	TRY(hub_info_read(run, &info));
	if (!info.exists)
		return ERR_OK;
	TRY(doomed_shas(run, p, &doomed));
	if (kept)
		TRY(hub_show(run, kept, &commit));
	else
		TRY(show_nothing(run));
	TRY(untag_all(run, p));
	TRY(lfs_erase(run, &doomed));
	TRY(squash(run));
	TRY(check_gone(run, p, &doomed));
	TRY(hub_info_read(run, &info));
	if (kept) {
		TRY(hub_tag(run, kept->release.version, info.head, str_cat(run->c->arena, STR("Release "), kept->release.version)));
		TRY(adapter_store_published(run, kept, info.head));
	}
	return adapter_store_latest(run, kept ? kept->release.version : STR_NONE, STR_NONE);
}

/* With the repository goes everything that was ever in it; what stays of the co-op's versions goes with it and is put there again. */
static enum err make_anew(struct adapter_run *run, struct adapter_plan *p)
{
	struct arena *a = run->c->arena;
	struct hub_info info;
	struct fetch_answer answer;
	ptrdiff_t slash = str_index(run->t.place, '/');
	struct str space = str_sub(run->t.place, 0, (size_t)slash), name = str_sub(run->t.place, (size_t)slash + 1, run->t.place.n);
	struct str body = str_fmt(a, "{\"name\":\"%.*s\",\"organization\":\"%.*s\",\"type\":\"dataset\"}", STR_ARG(name), STR_ARG(space));
	TRY(hub_ask(run, "DELETE", STR("/api/repos/delete"), body, NULL, &answer, "delete the repository"));
	if (answer.status != 404 && (answer.status < 200 || answer.status >= 300))
		return hub_odd(run, &answer, "delete the repository");
	TRY(hub_info_read(run, &info));
	if (info.exists)
		return adapter_fail(run, false, "The repository is still there after it was deleted.");
	adapter_note(run, "repository", run->t.place, 0);
	for (size_t i = 0; i < p->n; i++) {
		p->n_doomed += !p->copies[i].doomed;
		p->copies[i].doomed = true;
	}
	return adapter_store_latest(run, STR_NONE, STR_NONE);
}

enum err hub_erase(struct adapter_run *run, struct adapter_plan *p)
{
	return run->t.recreate || run->ending ? make_anew(run, p) : rewrite(run, p);
}
