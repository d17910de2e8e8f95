#include "release_internal.h"

#include "commonhold/guest.h"

/* A duration as microseconds, counted from the epoch: months and years as the calendar has them there. */
static int64_t duration_length(struct duration d)
{
	return duration_add(0, d, 1);
}

void release_spec(const struct charter *charter, const struct release *r, instant cutoff, instant at, struct policy_spec *out)
{
	policy_spec_init(out);
	out->uses = charter->release_uses;
	out->uses_conditional = charter->release_uses_conditional;
	out->audience = charter->release_audience;
	out->audience_duties = policy_audience_duties(charter->release_audience);
	out->licence_mode = (uint8_t)charter->licence_mode;
	out->purposes = charter->release_purposes;
	out->outputs = charter->outputs;
	out->kinds = charter->kinds;
	out->delegation_depth = (uint8_t)charter->delegation_depth;
	out->delegation_cap = charter->delegation_cap;
	out->notice_min = (uint32_t)charter->notice_min;
	out->k_contributors = charter->k_contributors;
	out->volume_cap = POLICY_NO_CAP;
	out->cutoff = cutoff;
	out->instant = at;
	out->embargo = duration_length(charter->embargo);
	out->retention = duration_length(charter->retention_raw);
	out->defaults = charter->defaults;
	out->n_defaults = charter->n_defaults;
	out->rules = charter->rules;
	out->n_rules = charter->n_rules;
	out->nodes = charter->nodes;
	out->n_nodes = charter->n_nodes;
	memset(out->regions, 0xff, sizeof(out->regions));
	if (r) {
		memcpy(&out->release_id, r->id.b, sizeof(out->release_id));
		memcpy(out->seed, r->seed.b, sizeof(out->seed));
	}
}

const char *licence_spdx(unsigned licence)
{
	return policy_licence_get(licence)->spdx;
}

/* The controls as the engine has them, so that a decision can be made again from this document alone. Whether lots are drawn. */
static bool controls_json(struct json_writer *w, struct arena *a, const struct decided *d)
{
	bool lots = false;
	jw_key(w, "controls");
	jw_array(w);
	for (size_t i = 0; i < d->spec.n_toggles; i++) {
		const struct policy_toggle *t = &d->spec.toggles[i];
		const struct control *k = &d->controls[t->id - 1];
		lots |= t->kind == POLICY_TOGGLE_CAP;
		jw_object(w);
		jw_kstr(w, "ballot", uuid_format(a, k->ballot));
		if (k->amount)
			jw_kint(w, "cap", (int64_t)t->cap);
		jw_kstr(w, "control", uuid_format(a, k->id));
		jw_kint(w, "id", t->id);
		jw_kz(w, "kind", control_kind_name(k->kind));
		jw_knames(w, "kinds", t->kinds, POLICY_KIND_COUNT, policy_kind_name);
		jw_kstr(w, "reason", k->reason);
		if (t->since != POLICY_EVER)
			jw_kstr(w, "since", clock_format(a, t->since));
		if (t->until != POLICY_NEVER)
			jw_kstr(w, "until", clock_format(a, t->until));
		if (t->uses)
			jw_knames(w, "uses", t->uses, POLICY_USE_COUNT, policy_use_name);
		jw_end_object(w);
	}
	jw_end_array(w);
	return lots;
}

struct str release_spec_json(struct arena *a, const struct charter *charter, instant cutoff, const struct decided *d)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_CHARTER_FILLED);
	jw_init(&w, &b);
	jw_object(&w);
	unsigned access = d ? guests_access(d) : 0;
	if (access) /* agreements ask for it that something in here is under */
		jw_kz(&w, "access", guest_access_name(access));
	jw_kz(&w, "audience", policy_audience_name(charter->release_audience));
	jw_kint(&w, "charter", charter->version);
	jw_kstr(&w, "charter_sha256", sha256_hex(a, charter->digest));
	bool lots = d && d->spec.n_toggles && controls_json(&w, a, d);
	jw_kstr(&w, "cutoff", clock_format(a, cutoff));
	jw_kz(&w, "engine", POLICY_ENGINE);
	jw_kint(&w, "k_contributors", d ? d->spec.k_contributors : charter->k_contributors);
	jw_knames(&w, "kinds", charter->kinds, POLICY_KIND_COUNT, policy_kind_name);
	if (lots)
		jw_kstr(&w, "lots_seed", str_hex(a, d->spec.seed, 32));
	jw_kz(&w, "mode", charter->licence_mode == POLICY_ADAPTATION ? "adaptation" : "collection");
	uint32_t notice_min = d ? d->spec.notice_min : (uint32_t)charter->notice_min;
	if (notice_min)
		jw_kint(&w, "notice_min", notice_min);
	jw_knames(&w, "output_licences", charter->outputs, POLICY_LICENCE_COUNT, licence_spdx);
	jw_knames(&w, "purposes", charter->release_purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
	jw_knames(&w, "uses", charter->release_uses, POLICY_USE_COUNT, policy_use_name);
	jw_knames(&w, "uses_conditional", charter->release_uses_conditional, POLICY_USE_COUNT, policy_use_name);
	jw_end_object(&w);
	return buf_take(a, &b);
}
