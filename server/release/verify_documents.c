/* The documents beside the rows: report, Croissant, licences. */
#include "verify_internal.h"

#include "commonhold/assets.h"

#define DOCUMENT_MAX (32 * MIB)

static bool read_json(struct verifying *v, const char *path, bool canonical, const struct json **out)
{
	struct str text;
	struct error e = { 0 };
	if (!files_read(v, path, DOCUMENT_MAX, &text))
		return false;
	if (json_parse(v->arena, text, out, &e) != ERR_OK)
		return verify_bad(v, "%s is not JSON: %s", path, e.message);
	if (!canonical)
		return true;
	struct buf again;
	buf_init(&again, text.n + 1);
	json_canonical(&again, *out, false);
	bool same = !again.failed && str_eq(buf_str(&again), text);
	buf_release(&again);
	return same ? true : verify_bad(v, "%s is not in canonical form.", path);
}

static bool digest_claimed(struct verifying *v, const char *path, const char *member)
{
	struct found *f = files_find(v, str_of(path));
	struct sha256 claimed;
	if (!f || !files_hash(v, f))
		return false;
	if (!sha256_parse(json_member_text(v->manifest, member), &claimed) || memcmp(claimed.b, f->sha256.b, 32) != 0)
		return verify_bad(v, "%s is not the one that the manifest was made with (%s).", path, member);
	return true;
}

static int64_t number_at(const struct json *root, const char *pointer)
{
	return json_int(json_at(root, pointer), -1);
}

static bool reasons_sound(struct verifying *v, const struct json *report, int64_t candidates)
{
	const struct json *reasons = json_get(report, "reasons");
	json_each(reason, reasons) {
		struct str name = json_member_text(reason, "reason");
		if (number_at(reason, "/count") > candidates)
			return verify_bad(v, "The report counts the reason %.*s more often than there were candidates.", STR_ARG(name));
		json_each(other, reasons)
			if (other != reason && str_eq(json_member_text(other, "reason"), name))
				return verify_bad(v, "The report counts the reason %.*s twice.", STR_ARG(name));
	}
	return true;
}

static bool schema_holds(struct verifying *v, const char *path, const struct json *document)
{
	const struct json *schema_text;
	const struct json_schema *schema;
	struct error e = { 0 };
	struct str source = asset_find(str_fmt(v->arena, "schemas/%s", path));
	if (!source.p || json_parse(v->arena, source, &schema_text, &e) != ERR_OK || json_schema_compile(v->arena, schema_text, NULL, NULL, &schema, &e) != ERR_OK)
		return verify_bad(v, "This program lacks the schema of %s.", path);
	if (json_schema_check(v->arena, schema, document, &e) == ERR_OK)
		return true;
	const struct fault *f = e.faults;
	return verify_bad(v, "%s does not fit its schema at %.*s: %.*s", path, f ? (int)f->pointer.n : 0, f ? f->pointer.p : "", f ? (int)f->message.n : 0, f ? f->message.p : "");
}

bool documents_report(struct verifying *v)
{
	const struct json *report;
	if (!digest_claimed(v, "policy.json", "policy_sha256") || !digest_claimed(v, "report.json", "report_sha256"))
		return false;
	if (!read_json(v, "report.json", true, &report) || !schema_holds(v, "report.json", report))
		return false;
	int64_t candidates = number_at(report, "/totals/candidates"), released = number_at(report, "/totals/released"), excluded = number_at(report, "/totals/excluded");
	if (!str_eq(json_member_text(report, "release"), json_member_text(v->manifest, "release")))
		return verify_bad(v, "The report is about another release.");
	if (released != number_at(v->manifest, "/counts/items") || candidates != released + excluded)
		return verify_bad(v, "The report's totals do not add up to what the manifest counts.");
	if (number_at(report, "/privacy/contributors") != number_at(v->manifest, "/counts/contributors") || number_at(report, "/privacy/k") != number_at(v->manifest, "/privacy/k"))
		return verify_bad(v, "Report and manifest name different numbers of contributors.");
	return reasons_sound(v, report, candidates) && verify_good(v, "Of %lld candidates %lld were released and %lld were not; the report adds up.", (long long)candidates, (long long)released,
		(long long)excluded);
}

static bool file_object_sound(struct verifying *v, const struct json *object)
{
	struct str url = json_member_text(object, "contentUrl"), hash = json_member_text(object, "sha256");
	if (!url.p || !hash.p)
		return true;
	const struct found *f = files_find(v, url);
	if (!f || !f->entry)
		return verify_bad(v, "croissant.json describes \"%.*s\", which is not a file of this release.", STR_ARG(str_sub(url, 0, 255)));
	if (!str_eq(hash, json_member_text(f->entry, "sha256")))
		return verify_bad(v, "croissant.json gives \"%.*s\" another hash.", STR_ARG(f->path));
	return true;
}

bool documents_croissant(struct verifying *v)
{
	const struct json *croissant;
	size_t described = 0, shards = 0;
	if (!read_json(v, "croissant.json", false, &croissant))
		return false;
	json_each(object, json_get(croissant, "distribution")) {
		if (!file_object_sound(v, object))
			return false;
		described += json_get(object, "sha256") && str_starts(json_member_text(object, "contentUrl"), "data/");
	}
	for (size_t i = 0; i < v->n_files; i++)
		shards += str_starts(v->files[i].path, "data/");
	if (described != shards)
		return verify_bad(v, "croissant.json describes %zu shards of %zu.", described, shards);
	return verify_good(v, "croissant.json describes every shard with its hash.");
}

/* Whether a licence expression names an id: its parts are ids, operators and brackets. */
static bool expression_names(struct str expression, struct str id)
{
	size_t from = 0;
	for (size_t i = 0; i <= expression.n; i++) {
		bool between = i == expression.n || expression.p[i] == ' ' || expression.p[i] == '(' || expression.p[i] == ')';
		if (between && str_eq(str_sub(expression, from, i - from), id))
			return true;
		if (between)
			from = i + 1;
	}
	return false;
}

static bool licence_has_text(struct verifying *v, struct str expression)
{
	size_t from = 0;
	for (size_t i = 0; i <= expression.n; i++) {
		if (i < expression.n && expression.p[i] != ' ' && expression.p[i] != '(' && expression.p[i] != ')')
			continue;
		struct str id = str_sub(expression, from, i - from);
		from = i + 1;
		if (id.n == 0 || str_is(id, "AND") || str_is(id, "OR") || str_is(id, "WITH"))
			continue;
		if (!files_find(v, str_fmt(v->arena, "LICENSES/%.*s.txt", STR_ARG(id))))
			return verify_bad(v, "Rows are under %.*s, but LICENSES/%.*s.txt is missing.", STR_ARG(id), STR_ARG(id));
	}
	return true;
}

bool documents_licences(struct verifying *v)
{
	for (size_t i = 0; i < v->licences.n; i++)
		if (v->licences.at[i].claimed && !licence_has_text(v, v->licences.at[i].key))
			return false;
	for (size_t f = 0; f < v->n_files; f++) {
		struct str path = v->files[f].path;
		if (!str_starts(path, "LICENSES/"))
			continue;
		bool used = false;
		struct str id = str_ends(path, ".txt") ? str_sub(path, 9, path.n - 9 - 4) : STR("");
		for (size_t i = 0; i < v->licences.n && !used; i++)
			used = v->licences.at[i].claimed && expression_names(v->licences.at[i].key, id);
		if (!used)
			return verify_bad(v, "\"%.*s\" is the text of a licence that no row is under.", STR_ARG(path));
	}
	return verify_good(v, "Every licence that rows are under is there in full.");
}
