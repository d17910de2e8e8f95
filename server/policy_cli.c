#include "app.h"
#include "policy_doc.h"

#include "commonhold/clock.h"
#include "commonhold/file.h"
#include "commonhold/policy_analysis.h"

#include <getopt.h>
#include <stdio.h>

/* A policy document is read whole; a co-op's charter and some thousand items fit. */
#define DOCUMENT_MAX ((size_t)64 << 20)
#define MEMORY_MAX ((size_t)1 << 30)
#define FINDINGS_MAX 256

static const char explain_usage[] =
	"usage: commonhold explain [--json] [--item ID] DOCUMENT.json\n\n"
	"Decides the items of a policy document and says why: every reason, what was set aside and by which rule, who could change it.\n"
	"The document holds \"release\", \"members\", \"statements\", \"delegations\" and \"items\"; \"-\" reads standard input.\n";
static const char policy_usage[] =
	"usage: commonhold policy check DOCUMENT.json\n"
	"       commonhold policy diff A.json B.json\n"
	"       commonhold policy what-if DOCUMENT.json OTHER.json\n\n"
	"check    faults of a release's rules, and rules that never apply, are shadowed, contradict or deny everything\n"
	"diff     whether two releases decide alike, with a case in which they do not; exit status 1 if they differ\n"
	"what-if  the items of one document under its own release and under another's: what comes in, what goes out\n";

/* One run of a command. */
struct policy_run {
	struct arena *a;        /* everything's memory */
	struct error e;         /* what went wrong */
	struct policy_mem mem;  /* the same memory for the engine */
	bool json;              /* for machines */
	struct json_writer w;   /* when json */
};

static enum err read_document(struct policy_run *r, const char *path, bool whole, struct policy_doc *out)
{
	struct str text;
	const struct json *root;
	TRY(file_read(r->a, "The document", path, DOCUMENT_MAX, &text, &r->e));
	TRY(json_parse(r->a, text, &root, &r->e));
	return policy_doc_read(r->a, root, whole, out, &r->e);
}

static enum err say_faults(struct policy_run *r, const struct policy_faults *faults)
{
	for (size_t i = 0; i < faults->n && i < faults->cap; i++)
		error_fault(&r->e, r->a, str_fmt(r->a, "%s[%u]", policy_fault_where(faults->at[i].code), faults->at[i].index), "%s",
			policy_fault_text(faults->at[i].code));
	return error_set(&r->e, ERR_INVALID, "The release's rules have faults.");
}

static enum err compile(struct policy_run *r, const struct policy_spec *spec, const struct policy_program **program)
{
	struct policy_fault places[32];
	struct policy_faults faults = { places, CH_LEN(places), 0 };
	enum policy_status status = policy_compile(spec, &r->mem, program, &faults);
	if (status == POLICY_INVALID)
		return say_faults(r, &faults);
	return status == POLICY_OK ? ERR_OK : error_set(&r->e, ERR_INTERNAL, "Memory is short.");
}

/* ---- Deciding a document ------------------------------------------------------------------------------------------------- */

/* A document under one release. */
struct decided {
	const struct policy_program *program; /* the release, compiled */
	struct policy_rows *rows;             /* its people */
	policy_reasons *before, *after;       /* reasons of each item, before and after the set rules */
	uint8_t *outcomes;                    /* outcomes in the end */
};

static enum err decide(struct policy_run *r, const struct policy_spec *spec, const struct policy_doc *doc, struct decided *d)
{
	TRY(compile(r, spec, &d->program));
	struct policy_faults faults = { 0 };
	d->before = ARENA_ARRAY(r->a, doc->n + 1, policy_reasons);
	d->after = ARENA_ARRAY(r->a, doc->n + 1, policy_reasons);
	d->outcomes = ARENA_ARRAY(r->a, doc->n + 1, uint8_t);
	if (policy_rows_build(d->program, &doc->facts, &r->mem, &d->rows, &faults) != POLICY_OK)
		return error_set(&r->e, ERR_INTERNAL, "Memory is short.");
	if (faults.n)
		fprintf(stderr, "commonhold: %zu facts contradict the schema; what they touch is held\n", faults.n);
	policy_decide_batch(d->program, d->rows, &(struct policy_batch){ doc->words, doc->members, doc->more, doc->n, 0 }, d->outcomes, d->before);
	memcpy(d->after, d->before, doc->n * sizeof *d->after);
	const struct policy_set set = { .words = doc->words, .members = doc->members, .ids = (const uint8_t(*)[16])doc->keys, .n = doc->n,
		.n_members = doc->facts.n_members };
	struct policy_set_report report;
	if (policy_apply_set_rules(d->program, &set, d->after, d->outcomes, &r->mem, &report) != POLICY_OK)
		return error_set(&r->e, ERR_INTERNAL, "Memory is short.");
	return ERR_OK;
}

/* ---- explain --------------------------------------------------------------------------------------------------------------- */

/* What an explanation is written from. */
struct explained {
	struct policy_run *r;             /* the run */
	const struct policy_doc *doc;     /* the document */
	const struct decided *d;          /* its decisions */
	const struct policy_trace *trace; /* one item's */
};

static const struct policy_statement *statement_at(const struct explained *x, uint32_t ref)
{
	if (ref >= POLICY_REF_DEFAULTS)
		return &x->doc->spec.defaults[ref - POLICY_REF_DEFAULTS];
	return &x->doc->facts.statements[ref];
}

/* "statement 7 (subject)", by the caller's number. */
static const char *statement_name(const struct explained *x, uint32_t ref)
{
	if (ref == POLICY_NO_ROW)
		return "";
	const struct policy_statement *s = statement_at(x, ref);
	return str_z(x->r->a, str_fmt(x->r->a, "statement %llu (%s)", (unsigned long long)s->id, policy_layer_name(s->layer)));
}

static struct str cause_message(const struct explained *x, const struct policy_cause *cause)
{
	char text[512];
	size_t n = policy_cause_text(x->d->program, x->trace, cause, text, sizeof text);
	return str_copy(x->r->a, str_make(text, n < sizeof text ? n : sizeof text - 1));
}

static struct str uses_list(struct policy_run *r, uint16_t uses)
{
	struct buf b;
	buf_init(&b, 1024);
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		if (uses >> use & 1)
			buf_addf(&b, "%s%s", b.n ? ", " : "", policy_use_name(use));
	return buf_take(r->a, &b);
}

static struct str step_text(const struct explained *x, const struct policy_step *step)
{
	struct arena *a = x->r->a;
	const char *who = policy_fixer_name(step->fixer);
	switch (step->act) {
	case POLICY_ACT_ALLOW:
		return str_fmt(a, "%s: allow %.*s on this item", who, STR_ARG(uses_list(x->r, step->uses)));
	case POLICY_ACT_LIFT:
		return str_fmt(a, "%s: take back %s for %.*s", who, statement_name(x, step->statement), STR_ARG(uses_list(x->r, step->uses)));
	case POLICY_ACT_WAIT:
		return step->until == POLICY_NEVER ? str_fmt(a, "wait for a later release") : str_fmt(a, "wait until %.*s", STR_ARG(clock_format(a, step->until)));
	default:
		return str_fmt(a, "%s: clear %s", who, policy_reason_get(step->reason)->name);
	}
}

static void print_explanation(const struct explained *x)
{
	const struct policy_trace *t = x->trace;
	printf("%.*s: %s\n", STR_ARG(x->doc->ids[t->item]), policy_outcome_name(t->outcome));
	for (size_t i = 0; i < t->n_causes; i++)
		printf("  %s%s  %.*s%s%s\n", t->causes[i].determining ? "" : "also ", policy_reason_get(t->causes[i].reason)->name,
			STR_ARG(cause_message(x, &t->causes[i])), t->causes[i].statement == POLICY_NO_ROW ? "" : "  by ",
			statement_name(x, t->causes[i].statement));
	for (size_t i = 0; i < t->n_overridden; i++)
		printf("  set aside: %s for %s, since %s%s%s\n", statement_name(x, t->overridden[i].statement), policy_use_name(t->overridden[i].use),
			policy_override_text(t->overridden[i].rule), t->overridden[i].by == POLICY_NO_ROW ? "" : ": ",
			statement_name(x, t->overridden[i].by));
	for (size_t f = 0; f < t->n_fixes; f++) {
		printf("  %s", f ? "or: " : "to bring it in: ");
		for (size_t i = 0; i < t->fixes[f].n; i++)
			printf("%s%.*s", i ? "; and " : "", STR_ARG(step_text(x, &t->fixes[f].steps[i])));
		printf("\n");
	}
	if (t->retry_at != POLICY_NEVER)
		printf("  in by itself from %.*s\n", STR_ARG(clock_format(x->r->a, t->retry_at)));
}

static void key_hex(const struct explained *x, const char *key, const uint8_t digest[32])
{
	jw_kstr(&x->r->w, key, str_fmt(x->r->a, "sha256:%.*s", STR_ARG(str_hex(x->r->a, digest, 32))));
}

static void key_statement(const struct explained *x, const char *key, uint32_t ref)
{
	if (ref != POLICY_NO_ROW)
		jw_kint(&x->r->w, key, (int64_t)statement_at(x, ref)->id);
}

static void write_causes(const struct explained *x, const char *key, bool determining)
{
	struct json_writer *w = &x->r->w;
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < x->trace->n_causes; i++) {
		const struct policy_cause *c = &x->trace->causes[i];
		if (c->determining != determining)
			continue;
		const struct policy_reason *row = policy_reason_get(c->reason);
		jw_object(w);
		jw_kz(w, "gate", policy_gate_name(c->gate));
		jw_kz(w, "code", row->name);
		jw_kz(w, "fixer", policy_fixer_name(row->fixer));
		jw_kz(w, "reference", row->reference);
		jw_kstr(w, "message", cause_message(x, c));
		jw_knames(w, "uses", c->uses, POLICY_USE_COUNT, policy_use_name);
		key_statement(x, "statement", c->statement);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_fixes(const struct explained *x)
{
	struct json_writer *w = &x->r->w;
	jw_key(w, "fix");
	jw_array(w);
	for (size_t f = 0; f < x->trace->n_fixes; f++) {
		jw_array(w);
		for (size_t i = 0; i < x->trace->fixes[f].n; i++) {
			const struct policy_step *step = &x->trace->fixes[f].steps[i];
			jw_object(w);
			jw_kz(w, "actor", policy_fixer_name(step->fixer));
			jw_kz(w, "reason", policy_reason_get(step->reason)->name);
			jw_kstr(w, "act", step_text(x, step));
			jw_end_object(w);
		}
		jw_end_array(w);
	}
	jw_end_array(w);
}

static void write_explanation(const struct explained *x)
{
	const struct policy_trace *t = x->trace;
	struct json_writer *w = &x->r->w;
	jw_object(w);
	jw_kstr(w, "item", x->doc->ids[t->item]);
	jw_kz(w, "outcome", policy_outcome_name(t->outcome));
	write_causes(x, "determining", true);
	write_causes(x, "also", false);
	jw_key(w, "overridden");
	jw_array(w);
	for (size_t i = 0; i < t->n_overridden; i++) {
		jw_object(w);
		key_statement(x, "statement", t->overridden[i].statement);
		key_statement(x, "by", t->overridden[i].by);
		jw_kz(w, "use", policy_use_name(t->overridden[i].use));
		jw_kz(w, "rule", policy_override_name(t->overridden[i].rule));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_knames(w, "duties", t->duties, POLICY_DUTY_COUNT, policy_duty_name);
	write_fixes(x);
	jw_key(w, "retry_at");
	jw_str(w, t->retry_at == POLICY_NEVER ? STR_NONE : clock_format(x->r->a, t->retry_at));
	key_hex(x, "policy", t->policy);
	key_hex(x, "snapshot", t->snapshot);
	key_hex(x, "engine", t->engine);
	key_hex(x, "digest", t->digest);
	jw_end_object(w);
}

static enum err explain(struct policy_run *r, const char *path, struct str only)
{
	struct policy_doc doc;
	struct decided d;
	bool found = false;
	TRY(read_document(r, path, true, &doc));
	TRY(decide(r, &doc.spec, &doc, &d));
	if (r->json)
		jw_array(&r->w);
	for (uint32_t i = 0; i < doc.n; i++) {
		struct policy_trace trace;
		if (only.n && !str_eq(doc.ids[i], only))
			continue;
		found = true;
		if (policy_explain(d.program, d.rows, i, doc.words[i], doc.more[i], doc.members[i], d.after[i] & ~d.before[i], &r->mem, &trace) != POLICY_OK)
			return error_set(&r->e, ERR_INTERNAL, "Memory is short.");
		const struct explained x = { r, &doc, &d, &trace };
		if (r->json)
			write_explanation(&x);
		else
			print_explanation(&x);
	}
	if (r->json)
		jw_end_array(&r->w);
	if (only.n && !found)
		return error_set(&r->e, ERR_NOT_FOUND, "There is no item \"%.*s\" in the document.", STR_ARG(only));
	return ERR_OK;
}

/* ---- policy check, diff, what-if --------------------------------------------------------------------------------------------- */

static enum err check(struct policy_run *r, const char *path, bool *clean)
{
	struct policy_doc doc;
	const struct policy_program *program;
	struct policy_finding found[FINDINGS_MAX];
	size_t n;
	TRY(read_document(r, path, false, &doc));
	TRY(compile(r, &doc.spec, &program));
	if (policy_analyse(&doc.spec, &r->mem, found, FINDINGS_MAX, &n) != POLICY_OK)
		return error_set(&r->e, ERR_INTERNAL, "Memory is short.");
	for (size_t i = 0; i < n; i++) {
		bool of_rule = found[i].index < doc.spec.n_rules && found[i].code <= POLICY_FINDING_CONTRADICTS;
		const char *kind = found[i].code == POLICY_FINDING_DEFAULT_SHADOWED ? "default" : found[i].code == POLICY_FINDING_TOGGLE_INERT ? "toggle" : "rule";
		if (found[i].index == POLICY_NO_ROW)
			printf("%s: %s\n", policy_finding_name(found[i].code), policy_finding_text(found[i].code));
		else
			printf("%s %u%s%.*s%s: %s%s\n", kind, of_rule && doc.spec.rules[found[i].index].id ? doc.spec.rules[found[i].index].id : found[i].index,
				of_rule && doc.spec.rules[found[i].index].name.len ? " (" : "",
				of_rule ? (int)doc.spec.rules[found[i].index].name.len : 0, of_rule ? doc.spec.rules[found[i].index].name.at : "",
				of_rule && doc.spec.rules[found[i].index].name.len ? ")" : "", policy_finding_text(found[i].code),
				found[i].other == POLICY_NO_ROW ? "" : str_z(r->a, str_fmt(r->a, ": rule %u", doc.spec.rules[found[i].other].id)));
	}
	if (n == 0)
		printf("No faults, and every rule matters.\n");
	*clean = n == 0;
	return ERR_OK;
}

static void print_reasons(const char *label, policy_reasons reasons)
{
	printf("  %s: %s", label, policy_outcome_name(policy_outcome_of(reasons)));
	for (unsigned i = 0; i < POLICY_REASON_COUNT; i++)
		if (reasons >> i & 1)
			printf(" %s", policy_reason_get(i)->name);
	printf("\n");
}

static void print_witness(struct policy_run *r, const struct policy_witness *w)
{
	const struct policy_item item = policy_item_unpack(w->word, w->more, 0);
	if (w->n_said == 0 && w->a == 0 && w->b == 0) {
		printf("They differ in rules over the set or in limits of delegation.\n");
		return;
	}
	printf("They differ for an item of kind %s under %s, made %.*s,\n", policy_kind_name(item.kind), policy_licence_get(item.licence)->spdx,
		STR_ARG(clock_format(r->a, item.created)));
	printf("of a member (%s, consent %s)", policy_standing_name(w->member.standing), policy_consent_name(w->member.consent));
	for (size_t i = 0; i < w->n_said; i++)
		printf("%s says %s %.*s", i ? " and" : " who", policy_effect_name(w->said[i].effect), STR_ARG(uses_list(r, w->said[i].uses)));
	printf(":\n");
	print_reasons("first", w->a);
	print_reasons("second", w->b);
}

static enum err diff(struct policy_run *r, const char *path_a, const char *path_b, bool *same)
{
	struct policy_doc a, b;
	struct policy_witness witness;
	const struct policy_program *program;
	TRY(read_document(r, path_a, false, &a));
	TRY(read_document(r, path_b, false, &b));
	TRY(compile(r, &a.spec, &program));
	TRY(compile(r, &b.spec, &program));
	enum policy_status status = policy_equivalent(&a.spec, &b.spec, &r->mem, &witness);
	if (status != POLICY_OK && status != POLICY_DIFFERS)
		return error_set(&r->e, ERR_TOO_LARGE, "The rules tell more cases apart than can be listed.");
	*same = status == POLICY_OK;
	if (*same)
		printf("The two decide alike.\n");
	else
		print_witness(r, &witness);
	return ERR_OK;
}

static void print_change(const struct policy_doc *doc, const struct policy_change *change, const uint32_t *list)
{
	printf("%llu items come in, %llu go out; %llu members come in, %llu go out\n", (unsigned long long)change->items_gained,
		(unsigned long long)change->items_lost, (unsigned long long)change->members_gained, (unsigned long long)change->members_lost);
	for (unsigned from = 0; from < POLICY_OUTCOME_COUNT; from++)
		for (unsigned to = 0; to < POLICY_OUTCOME_COUNT; to++)
			if (change->moved[from][to])
				printf("  %s -> %s: %llu\n", policy_outcome_name(from), policy_outcome_name(to), (unsigned long long)change->moved[from][to]);
	for (unsigned i = 0; i < POLICY_REASON_COUNT; i++)
		if (change->reason_gained[i] || change->reason_lost[i])
			printf("  %s: +%llu -%llu\n", policy_reason_get(i)->name, (unsigned long long)change->reason_gained[i],
				(unsigned long long)change->reason_lost[i]);
	for (size_t i = 0; i < change->n_listed; i++)
		printf("  %.*s\n", STR_ARG(doc->ids[list[i]]));
}

static enum err what_if(struct policy_run *r, const char *path, const char *other_path)
{
	enum { LISTED = 100 };
	struct policy_doc doc, other;
	struct decided before, after;
	struct policy_change change;
	uint32_t list[LISTED];
	TRY(read_document(r, path, true, &doc));
	TRY(read_document(r, other_path, false, &other));
	TRY(decide(r, &doc.spec, &doc, &before));
	TRY(decide(r, &other.spec, &doc, &after));
	if (policy_what_if(doc.members, before.after, after.after, doc.n, doc.facts.n_members, &r->mem, list, LISTED, &change) != POLICY_OK)
		return error_set(&r->e, ERR_INTERNAL, "Memory is short.");
	print_change(&doc, &change, list);
	return ERR_OK;
}

/* ---- The commands -------------------------------------------------------------------------------------------------------------- */

static bool wants_help(int argc, char **argv)
{
	return argc > 1 && (str_is(str_of(argv[1]), "--help") || str_is(str_of(argv[1]), "-h"));
}

static int misused(const char *usage)
{
	fprintf(stderr, "%s", usage);
	return 2;
}

static bool run_open(struct policy_run *r)
{
	*r = (struct policy_run){ .a = arena_new(MEMORY_MAX) };
	if (r->a)
		r->mem = policy_doc_mem(r->a);
	return r->a != NULL;
}

int explain_main(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { "item", required_argument, NULL, 'i' }, { 0 } };
	struct policy_run r;
	struct str only = STR_NONE;
	struct buf out;
	bool json = false;
	if (wants_help(argc, argv)) {
		printf("%s", explain_usage);
		return 0;
	}
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o != 'j' && o != 'i')
			return misused(explain_usage);
		json |= o == 'j';
		only = o == 'i' ? str_of(optarg) : only;
	}
	if (optind + 1 != argc)
		return misused(explain_usage);
	if (!run_open(&r))
		return 1;
	buf_init(&out, MEMORY_MAX);
	r.json = json;
	jw_init(&r.w, &out);
	int status = explain(&r, argv[optind], only) == ERR_OK ? 0 : command_failed("explain", &r.e);
	if (status == 0 && json)
		printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_release(&out);
	arena_free(r.a);
	return status;
}

int policy_main(int argc, char **argv)
{
	struct policy_run r;
	if (wants_help(argc, argv)) {
		printf("%s", policy_usage);
		return 0;
	}
	struct str what = argc > 1 ? str_of(argv[1]) : STR_NONE;
	bool checks = str_is(what, "check") && argc == 3, diffs = str_is(what, "diff") && argc == 4, asks = str_is(what, "what-if") && argc == 4;
	if (!checks && !diffs && !asks)
		return misused(policy_usage);
	if (!run_open(&r))
		return 1;
	bool good = true;
	enum err e = checks ? check(&r, argv[2], &good) : diffs ? diff(&r, argv[2], argv[3], &good) : what_if(&r, argv[2], argv[3]);
	int status = e == ERR_OK ? !good : command_failed("policy", &r.e);
	arena_free(r.a);
	return status;
}
