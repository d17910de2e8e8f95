#include "commonhold/assets.h"
#include "commonhold/template.h"
#include "commonhold/tombstone.h"
#include "commonhold/words.h"

#include "joint_internal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define DOCUMENT_MAX (4 * MIB)

/* A JSON text built by `fill`, parsed, for templates and canonical files. */
static struct str document_text(struct artefact *a, void (*fill)(struct artefact *a, struct json_writer *w))
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, DOCUMENT_MAX);
	jw_init(&w, &b);
	fill(a, &w);
	return buf_take(a->d->arena, &b);
}

static unsigned count_nonzero(const int64_t *counts, unsigned n)
{
	unsigned found = 0;
	for (unsigned i = 0; i < n; i++)
		found += counts[i] != 0;
	return found;
}

static const char *size_category(int64_t rows)
{
	return rows < 1000 ? "n<1K" : rows < 10000 ? "1K<n<10K" : rows < 100000 ? "10K<n<100K" : rows < 1000000 ? "100K<n<1M" : rows < 10000000 ? "1M<n<10M" : "10M<n<100M";
}

/* The members' duties that travel with the rows, in words. */
static struct str duty_words(struct artefact *a)
{
	uint64_t licences = 0;
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++)
		if (a->rows_by_licence[i])
			licences |= UINT64_C(1) << i;
	uint16_t duties = policy_licence_duties(licences);
	struct buf b;
	buf_init(&b, 4 * KIB);
	for (unsigned i = 0; i < POLICY_DUTY_COUNT; i++)
		if (duties >> i & 1)
			buf_addf(&b, "%s%s", b.n ? ", " : "", policy_duty_name(i));
	return buf_take(a->d->arena, &b);
}

static void card_kinds(struct artefact *a, struct json_writer *w)
{
	jw_key(w, "kinds");
	jw_array(w);
	for (unsigned i = 0; i < POLICY_KIND_COUNT; i++) {
		if (!a->rows_by_kind[i])
			continue;
		jw_object(w);
		jw_kz(w, "kind", policy_kind_name(i));
		jw_kint(w, "rows", a->rows_by_kind[i]);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void card_licences(struct artefact *a, struct json_writer *w)
{
	unsigned one = 0;
	jw_key(w, "licences");
	jw_array(w);
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++) {
		if (!a->rows_by_licence[i])
			continue;
		one = i;
		jw_object(w);
		jw_kz(w, "spdx", licence_spdx(i));
		jw_kint(w, "rows", a->rows_by_licence[i]);
		jw_end_object(w);
	}
	jw_end_array(w);
	bool single = count_nonzero(a->rows_by_licence, POLICY_LICENCE_COUNT) == 1;
	jw_kbool(w, "single_licence", single);
	if (single)
		jw_kstr(w, "hub_id", str_lower(a->d->arena, str_of(licence_spdx(one))));
}

static struct str yaml_quoted(struct artefact *a, struct str s)
{
	/* A JSON string is a YAML string. */
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_str(&w, s);
	return buf_take(a->d->arena, &b);
}

static void card_facts(struct artefact *a, struct json_writer *w)
{
	const struct charter *charter = &a->d->charter;
	struct arena *arena = a->d->arena;
	struct str date = clock_format(arena, a->release->build_after);
	jw_object(w);
	jw_kstr(w, "name", charter->name);
	jw_kstr(w, "yaml_name", yaml_quoted(a, charter->name));
	jw_kstr(w, "version", a->version);
	if (a->base)
		jw_kstr(w, "redacts", a->base->version);
	jw_kint(w, "items", a->rows);
	jw_kint(w, "contributors", a->contributors);
	jw_kint(w, "left_out", (int64_t)a->d->n - a->rows);
	jw_kstr(w, "date", str_sub(date, 0, 10));
	jw_kz(w, "electorate", "the co-operative under its charter's rule");
	jw_kz(w, "size_category", size_category(a->rows));
	jw_kz(w, "purpose_words", "People who make data should have a say in what is made of it: the members hold the rights in this pool together and decide together.");
	jw_kstr(w, "domain", charter->domain);
	jw_kstr(w, "region", charter->region);
	jw_kint(w, "charter_version", charter->version);
	jw_kstr(w, "charter_sha256", sha256_hex(arena, charter->digest));
	jw_kint(w, "purge_days", charter->purge_days);
	jw_kstr(w, "public_key", minisign_public_key(arena, a->key.public_key));
	struct str duties = duty_words(a);
	if (duties.n)
		jw_kstr(w, "duties", duties);
	jw_key(w, "languages");
	jw_json(w, json_at(charter->json, "/scope/language"));
	jw_knames(w, "uses", charter->release_uses, POLICY_USE_COUNT, policy_use_name);
	jw_knames(w, "purposes", charter->release_purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
	card_kinds(a, w);
	card_licences(a, w);
	jw_end_object(w);
}

static enum err card_write(struct artefact *a)
{
	struct template_set *set;
	const struct json *facts;
	struct template_source source = { STR("card"), asset_find(STR("templates/artefact/card.mustache")) };
	struct buf out;
	TRY(template_compile(a->d->arena, &source, 1, true, &set, &a->c->error));
	TRY(json_parse(a->d->arena, document_text(a, card_facts), &facts, &a->c->error));
	buf_init(&out, DOCUMENT_MAX);
	enum err e = template_render(set, a->d->arena, "card", facts, &out, &a->c->error);
	if (e == ERR_OK)
		e = artefact_write(a, "README.md", buf_str(&out), true);
	buf_release(&out);
	return e;
}

/* ---- croissant.json (Croissant 1.1 with RAI) ---- */

static void croissant_context(struct json_writer *w)
{
	static const char *const terms[][2] = {
		{ "@language", "en" }, { "@vocab", "https://schema.org/" }, { "citeAs", "cr:citeAs" }, { "column", "cr:column" }, { "conformsTo", "dct:conformsTo" },
		{ "cr", "http://mlcommons.org/croissant/" }, { "rai", "http://mlcommons.org/croissant/RAI/" }, { "dct", "http://purl.org/dc/terms/" },
		{ "sc", "https://schema.org/" }, { "extract", "cr:extract" }, { "field", "cr:field" }, { "fileObject", "cr:fileObject" }, { "fileSet", "cr:fileSet" },
		{ "includes", "cr:includes" }, { "isLiveDataset", "cr:isLiveDataset" }, { "jsonPath", "cr:jsonPath" }, { "key", "cr:key" }, { "md5", "cr:md5" },
		{ "recordSet", "cr:recordSet" }, { "references", "cr:references" }, { "repeated", "cr:repeated" }, { "sdVersion", "cr:sdVersion" }, { "source", "cr:source" },
		{ "subField", "cr:subField" }, { "transform", "cr:transform" },
	};
	jw_key(w, "@context");
	jw_object(w);
	for (size_t i = 0; i < CH_LEN(terms); i++)
		jw_kz(w, terms[i][0], terms[i][1]);
	jw_key(w, "dataType");
	jw_object(w);
	jw_kz(w, "@id", "cr:dataType");
	jw_kz(w, "@type", "@vocab");
	jw_end_object(w);
	jw_key(w, "data");
	jw_object(w);
	jw_kz(w, "@id", "cr:data");
	jw_kz(w, "@type", "@json");
	jw_end_object(w);
	jw_end_object(w);
}

static void croissant_files(struct artefact *a, struct json_writer *w)
{
	jw_key(w, "distribution");
	jw_array(w);
	for (size_t i = 0; i < a->n_files; i++) {
		const struct file_entry *f = &a->files[i];
		if (!f->shard)
			continue;
		jw_object(w);
		jw_kstr(w, "@id", f->path);
		jw_kz(w, "@type", "cr:FileObject");
		jw_kstr(w, "contentSize", str_fmt(a->d->arena, "%lld B", (long long)f->size));
		jw_kstr(w, "contentUrl", f->path);
		jw_kz(w, "encodingFormat", "application/jsonlines");
		jw_kstr(w, "name", f->path);
		jw_kstr(w, "sha256", sha256_hex(a->d->arena, f->sha256));
		jw_end_object(w);
	}
	for (unsigned k = 0; k < POLICY_KIND_COUNT; k++) {
		if (!a->rows_by_kind[k])
			continue;
		jw_object(w);
		jw_kstr(w, "@id", str_fmt(a->d->arena, "%s-files", policy_kind_name(k)));
		jw_kz(w, "@type", "cr:FileSet");
		jw_kz(w, "encodingFormat", "application/jsonlines");
		jw_kstr(w, "includes", str_fmt(a->d->arena, "data/%s/*.jsonl.gz", policy_kind_name(k)));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void croissant_field(struct artefact *a, struct json_writer *w, const char *kind, const char *name, const char *description)
{
	jw_object(w);
	jw_kstr(w, "@id", str_fmt(a->d->arena, "%s/%s", kind, name));
	jw_kz(w, "@type", "cr:Field");
	jw_kz(w, "dataType", "sc:Text");
	jw_kz(w, "description", description);
	jw_kz(w, "name", name);
	jw_key(w, "source");
	jw_object(w);
	jw_key(w, "extract");
	jw_object(w);
	jw_kz(w, "column", name);
	jw_end_object(w);
	jw_key(w, "fileSet");
	jw_object(w);
	jw_kstr(w, "@id", str_fmt(a->d->arena, "%s-files", kind));
	jw_end_object(w);
	jw_end_object(w);
	jw_end_object(w);
}

static void croissant_records(struct artefact *a, struct json_writer *w)
{
	static const char *const fields[][2] = {
		{ "rid", "Permanent id of the contribution." }, { "kind", "Kind of contribution." }, { "content", "The contribution itself, as JSON." },
		{ "lang", "Language (BCP 47)." }, { "licence", "SPDX id of the licence of this row." }, { "attribution", "Name the contributor wants to be credited by." },
		{ "created_month", "Month of submission." }, { "source_coop", "Co-operative it was contributed to." },
	};
	jw_key(w, "recordSet");
	jw_array(w);
	for (unsigned k = 0; k < POLICY_KIND_COUNT; k++) {
		if (!a->rows_by_kind[k])
			continue;
		const char *kind = policy_kind_name(k);
		jw_object(w);
		jw_kz(w, "@id", kind);
		jw_kz(w, "@type", "cr:RecordSet");
		jw_key(w, "field");
		jw_array(w);
		for (size_t f = 0; f < CH_LEN(fields); f++)
			croissant_field(a, w, kind, fields[f][0], fields[f][1]);
		jw_end_array(w);
		jw_key(w, "key");
		jw_object(w);
		jw_kstr(w, "@id", str_fmt(a->d->arena, "%s/rid", kind));
		jw_end_object(w);
		jw_kz(w, "name", kind);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void croissant_facts(struct artefact *a, struct json_writer *w)
{
	struct arena *arena = a->d->arena;
	const struct charter *charter = &a->d->charter;
	struct str date = clock_format(arena, a->release->build_after);
	struct str site = str_fmt(arena, "%s/coops/%.*s", a->base_url, STR_ARG(a->coop.slug));
	jw_object(w);
	croissant_context(w);
	jw_kz(w, "@type", "sc:Dataset");
	jw_kz(w, "conformsTo", "http://mlcommons.org/croissant/1.1");
	jw_kstr(w, "name", a->coop.slug);
	jw_kstr(w, "description", str_fmt(arena, "Contributions by %lld members of the data co-operative %.*s, released by vote.", (long long)a->contributors,
		STR_ARG(charter->name)));
	jw_kstr(w, "url", str_fmt(arena, "%.*s/releases/%.*s", STR_ARG(site), STR_ARG(a->version)));
	jw_key(w, "license");
	jw_array(w);
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++)
		if (a->rows_by_licence[i])
			jw_z(w, policy_licence_get(i)->url);
	jw_end_array(w);
	jw_key(w, "creator");
	jw_object(w);
	jw_kz(w, "@type", "sc:Organization");
	jw_kstr(w, "name", charter->name);
	jw_kstr(w, "url", site);
	jw_end_object(w);
	jw_kstr(w, "datePublished", str_sub(date, 0, 10));
	jw_kstr(w, "version", a->version);
	jw_kbool(w, "isLiveDataset", false);
	jw_key(w, "inLanguage");
	jw_json(w, json_at(charter->json, "/scope/language"));
	jw_kz(w, "rai:dataCollection", "Submitted by members of the co-operative for this pool, under their own choices of use, purpose and licence.");
	jw_kz(w, "rai:dataReleaseMaintenancePlan", "Scheduled releases under the charter's cadence; withdrawals are carried to a signed tombstone feed and redaction patches.");
	jw_kz(w, "rai:personalSensitiveInformation", "Searched on submission for addresses, numbers and secrets; findings are held for moderators. No search finds everything.");
	jw_kz(w, "rai:dataLimitations", "Contributors chose to take part; they do not represent any population.");
	croissant_files(a, w);
	croissant_records(a, w);
	jw_end_object(w);
}

/* ---- policy.json, report.json ---- */

static void policy_facts(struct artefact *a, struct json_writer *w)
{
	struct arena *arena = a->d->arena;
	uint8_t digest[32], engine[32];
	policy_program_digest(a->d->program, digest);
	policy_engine_digest(engine);
	jw_object(w);
	jw_kint(w, "v", 1);
	jw_key(w, "spec");
	jw_raw(w, release_spec_json(arena, &a->d->charter, a->release->cutoff_at, a->d));
	jw_key(w, "charter");
	jw_raw(w, a->d->charter.document);
	jw_kstr(w, "engine_sha256", str_hex(arena, engine, 32));
	jw_key(w, "ai_preferences");
	jw_json(w, json_get(a->d->charter.json, "ai_preferences"));
	jw_end_object(w);
}

static void report_facts(struct artefact *a, struct json_writer *w)
{
	const struct policy_set_report *counts = &a->d->report;
	jw_object(w);
	jw_kint(w, "v", 1);
	jw_kstr(w, "release", rid_format(a->d->arena, a->coop.key_name, a->release->id));
	jw_key(w, "totals");
	jw_object(w);
	jw_kint(w, "candidates", (int64_t)a->d->n);
	jw_kint(w, "released", a->rows);
	jw_kint(w, "excluded", (int64_t)a->d->n - a->rows);
	jw_end_object(w);
	jw_key(w, "outcomes");
	jw_object(w);
	for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++)
		jw_kint(w, policy_outcome_name(o), (int64_t)counts->outcomes[o]);
	jw_end_object(w);
	jw_key(w, "reasons");
	jw_array(w);
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++) {
		if (!counts->reasons[no])
			continue;
		const struct policy_reason *reason = policy_reason_get(no);
		jw_object(w);
		jw_kz(w, "reason", reason->name);
		jw_kint(w, "count", (int64_t)counts->reasons[no]);
		jw_kz(w, "severity", policy_outcome_name(reason->severity));
		jw_kz(w, "gate", policy_gate_name(reason->gate));
		jw_kz(w, "who_can_change_it", policy_fixer_name(reason->fixer));
		jw_kz(w, "message", words_reason(no));
		jw_kz(w, "reference", reason->reference);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "controls");
	jw_array(w);
	for (size_t i = 0; i < a->d->n_controls; i++) {
		const struct control *k = &a->d->controls[i];
		jw_object(w);
		jw_kstr(w, "control", uuid_format(a->d->arena, k->id));
		jw_kz(w, "kind", control_kind_name(k->kind));
		jw_kstr(w, "effect", control_effect(a->d->arena, k));
		jw_kstr(w, "reason", k->reason);
		jw_kstr(w, "ballot", uuid_format(a->d->arena, k->ballot));
		jw_kstr(w, "set_at", clock_format(a->d->arena, k->set_at));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "privacy");
	jw_object(w);
	jw_kint(w, "k", a->d->spec.k_contributors);
	jw_kint(w, "contributors", a->contributors);
	jw_end_object(w);
	jw_end_object(w);
}

/* ---- LICENSES/, TERMS.md, keys.json ---- */

static enum err licence_write(struct artefact *a, unsigned licence)
{
	struct arena *arena = a->d->arena;
	const char *spdx = licence_spdx(licence);
	struct str path = str_fmt(arena, "LICENSES/%s.txt", spdx);
	struct str text = asset_find(str_fmt(arena, "licences/%s.txt", spdx));
	if (text.p)
		return artefact_write(a, path.p, text, true);
	uint64_t bit = UINT64_C(1) << licence;
	size_t n = policy_licence_notice(bit, licence, NULL, 0);
	char *notice = arena_alloc(arena, n + 1);
	policy_licence_notice(bit, licence, notice, n + 1);
	return artefact_write(a, path.p, str_make(notice, n), true);
}

/* ---- tombstones.jsonl ---- */

#define TOMBSTONE_PAGE 2000 /* lines held at a time */

/* Every tombstone of the co-op since its log began, so that the chain can be followed from its start. */
static enum err tombstones_copy(struct artefact *a, FILE *out, struct hasher *h, int64_t *size)
{
	struct call *c = a->c;
	struct buf page;
	int64_t upto, last;
	TRY(tombstone_upto(c, a->release->coop, &upto, NULL));
	buf_init(&page, TOMBSTONE_PAGE * (size_t)TOMBSTONE_LINE_MAX);
	enum err e = ERR_OK;
	for (int64_t from = 0; e == ERR_OK && from <= upto; from = last + 1) {
		buf_clear(&page);
		e = tombstone_lines(c, a->release->coop, from, upto, TOMBSTONE_PAGE, &page, &last);
		if (e == ERR_OK && last < from)
			e = fail(c, ERR_CORRUPT, "A tombstone is missing.");
		if (e == ERR_OK && fwrite(page.p, 1, page.n, out) != page.n)
			e = fail(c, ERR_IO, "tombstones.jsonl cannot be written: %s.", strerrorname_np(errno));
		hasher_add(h, page.p, page.n);
		*size += (int64_t)page.n;
	}
	buf_release(&page);
	a->tombstones = upto + 1;
	a->tombstones_upto = upto;
	return e;
}

static enum err tombstones_write(struct artefact *a)
{
	struct call *c = a->c;
	struct hasher *h = hasher_new(a->d->arena);
	int64_t size = 0;
	FILE *out = fopen(str_fmt(c->arena, "%.*s/tombstones.jsonl", STR_ARG(a->dir)).p, "wxe");
	if (!out)
		return fail(c, ERR_IO, "tombstones.jsonl cannot be created: %s.", strerrorname_np(errno));
	enum err e = tombstones_copy(a, out, h, &size);
	if (e == ERR_OK && (fflush(out) != 0 || fsync(fileno(out)) != 0))
		e = fail(c, ERR_IO, "tombstones.jsonl cannot be made durable: %s.", strerrorname_np(errno));
	fclose(out);
	TRY(e);
	struct file_entry *f = artefact_add(a);
	f->path = STR("tombstones.jsonl");
	f->size = size;
	f->sha256 = hasher_end(h);
	return ERR_OK;
}

enum err documents_write(struct artefact *a)
{
	TRY(card_write(a));
	TRY(artefact_write_canonical(a, "croissant.json", document_text(a, croissant_facts), true, NULL));
	TRY(artefact_write_canonical(a, "policy.json", document_text(a, policy_facts), true, &a->policy_sha256));
	TRY(artefact_write_canonical(a, "report.json", document_text(a, report_facts), true, &a->report_sha256));
	TRY(artefact_write(a, "keys.json", a->chain.text, true));
	TRY(artefact_write(a, "TERMS.md", a->d->charter.terms, true));
	TRY(tombstones_write(a));
	for (unsigned i = 1; i < POLICY_LICENCE_COUNT; i++)
		if (a->rows_by_licence[i])
			TRY(licence_write(a, i));
	return ERR_OK;
}
