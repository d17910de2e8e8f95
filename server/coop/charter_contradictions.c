#include "server/coop/charter.h"

#include <libical/ical.h>

/* Fields that are each in order and yet cannot stand together. Each fault names the field that a person would most likely change. */

static void fault(struct arena *a, struct error *e, const char *pointer, const char *text)
{
	error_fault(e, a, str_of(pointer), "%s", text);
}

static bool is_zero(struct duration d)
{
	return !d.years && !d.months && !d.days && !d.seconds;
}

static void check_licences(struct arena *a, const struct charter *c, struct error *e)
{
	const struct json *outputs = json_at(c->json, "/release/output_licences");
	if (c->licence_default && c->licences_allowed && !(c->licences_allowed >> c->licence_default & 1))
		fault(a, e, "/licence/default", "The default licence is not among those that are allowed.");
	if (c->licence_mode == POLICY_ADAPTATION && outputs && outputs->count == 0)
		fault(a, e, "/release/output_licences", "A release under one licence needs at least one licence to choose from.");
	json_each(output, outputs) {
		unsigned no = policy_licence_find(output->text.p, output->text.n);
		if (no == POLICY_LICENCE_UNKNOWN)
			continue;
		if (c->licence_mode == POLICY_COLLECTION) {
			if (!(c->licences_allowed >> no & 1))
				error_fault(e, a, json_pointer(a, output), "No contribution can have this licence: members may not choose it.");
			else if (!policy_licence_get(no)->shares)
				error_fault(e, a, json_pointer(a, output), "This licence does not permit passing copies on.");
			continue;
		}
		if (!(POLICY_OUTPUTS_ALL >> no & 1)) {
			error_fault(e, a, json_pointer(a, output), "A whole release cannot be put under this licence.");
			continue;
		}
		bool reached = false;
		for (unsigned in = 1; in < POLICY_LICENCE_COUNT; in++)
			reached |= (c->licences_allowed >> in & 1) && (policy_licence_outputs(in, POLICY_CELLS_PASS) >> no & 1);
		if (!reached)
			error_fault(e, a, json_pointer(a, output), "None of the licences that members may choose can lead to this one.");
	}
}

static void check_uses(struct arena *a, const struct charter *c, struct error *e)
{
	uint16_t uses = policy_uses_expand(c->release_uses), denied = policy_uses_expand(c->ai_deny);
	json_each(use, json_at(c->json, "/release/uses_conditional")) {
		int no = policy_use_find(use->text.p, use->text.n);
		if (no >= 0 && !(uses >> no & 1))
			error_fault(e, a, json_pointer(a, use), "Releases are not made for this use.");
	}
	json_each(preference, json_get(c->json, "ai_preferences")) {
		int no = policy_use_find(preference->key.p, preference->key.n);
		if (no < 0)
			continue;
		uint16_t bit = (uint16_t)POLICY_BIT(no);
		struct str pointer = str_fmt(a, "/ai_preferences/%.*s/effect", STR_ARG(preference->key));
		if (!c->share_by_default && ((c->ai_allow | c->ai_allow_if) & bit))
			error_fault(e, a, pointer, "The co-op does not share by default, and so cannot say yes for those who are silent. Change sharing, or leave this out.");
		else if (c->share_by_default && (c->ai_deny & bit) && (policy_uses_expand(bit) & uses))
			error_fault(e, a, pointer, "The co-op shares by default, and yet says no to a use that its releases are for.");
		else if (((c->ai_allow | c->ai_allow_if) & bit) && (denied & bit))
			error_fault(e, a, pointer, "This is allowed here and denied with mine.");
	}
}

static bool rrule_is_sound(struct str text, const char **problem)
{
	char z[512];
	*problem = "This is no recurrence rule (RFC 5545), such as FREQ=MONTHLY;BYMONTHDAY=1.";
	if (text.n == 0 || text.n >= sizeof z)
		return false;
	for (size_t i = 0; i < text.n; i++) /* libical stops at the first byte it does not like and keeps what came before */
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=;,+-", text.p[i]))
			return false;
	memcpy(z, text.p, text.n);
	z[text.n] = 0;
	icalerror_clear_errno();
	struct icalrecurrencetype rule = icalrecurrencetype_from_string(z);
	if (icalerrno != ICAL_NO_ERROR || rule.freq == ICAL_NO_RECURRENCE)
		return false;
	*problem = "Releases can be cut at most daily.";
	if (rule.freq < ICAL_DAILY_RECURRENCE || rule.by_second[0] != ICAL_RECURRENCE_ARRAY_MAX || rule.by_minute[0] != ICAL_RECURRENCE_ARRAY_MAX ||
		(rule.by_hour[0] != ICAL_RECURRENCE_ARRAY_MAX && rule.by_hour[1] != ICAL_RECURRENCE_ARRAY_MAX))
		return false;
	return true;
}

static void check_times(struct arena *a, const struct charter *c, struct error *e)
{
	const char *problem;
	if (!rrule_is_sound(c->rrule, &problem))
		fault(a, e, "/cadence/rrule", problem);
	if (duration_length(c->notice) < 7 * CLOCK_DAY)
		fault(a, e, "/cadence/notice", "The notice must be seven days at least, so that people can withdraw in time.");
	if (is_zero(c->voting))
		fault(a, e, "/cadence/voting", "A ballot needs time to vote.");
	if (is_zero(c->token_life) || duration_length(c->token_life) > CLOCK_DAY)
		fault(a, e, "/access/token_life", "A download token lives more than nothing and at most a day.");
	if (is_zero(c->grant_life))
		fault(a, e, "/access/grant_life", "An access grant needs some time.");
	if (is_zero(c->checkup_every))
		fault(a, e, "/membership/checkup_every", "The checkup needs an interval.");
	else if (duration_length(c->window) + duration_length(c->grace) >= duration_length(c->checkup_every))
		fault(a, e, "/membership/checkup_every", "The window before and the grace after a checkup must fit between two checkups.");
	if (duration_length(c->gather) > CLOCK_DAY)
		fault(a, e, "/deletion/gather", "A deletion must not wait longer than a day before the release is made anew.");
	if (duration_length(c->redact_within) <= duration_length(c->gather) || duration_length(c->redact_within) > 30 * CLOCK_DAY)
		fault(a, e, "/deletion/redact_within", "This must be longer than deletions are gathered, and thirty days at most.");
	if (!is_zero(c->retention_raw) && duration_length(c->embargo) >= duration_length(c->retention_raw))
		fault(a, e, "/embargo", "Contributions would be deleted before their embargo ends.");
}

static void check_access(struct arena *a, const struct charter *c, struct error *e)
{
	int mode = policy_audience_find(c->access.p, c->access.n);
	if (mode > (int)c->release_audience)
		fault(a, e, "/release/audience", "Access is wider than the audience that items are decided for. Widen the audience, or narrow access.mode.");
}

static void check_people(struct arena *a, const struct charter *c, struct error *e)
{
	unsigned lawful = str_is(c->delegation_profile, "ch") ? 9 : str_is(c->delegation_profile, "de") ? 2 : 0;
	if (lawful && (c->delegation_cap == 0 || c->delegation_cap > lawful))
		error_fault(e, a, STR("/delegation/cap"), "Under the profile %.*s one delegate may decide for at most %u members.", STR_ARG(c->delegation_profile), lawful);
	if (c->benefit_contributors + c->benefit_commons != 100)
		fault(a, e, "/benefit/contributors", "What contributors and the commons get must add up to 100.");
}

/* A schema that does not compile would refuse every record, and nobody would know why. */
static void check_records(struct arena *a, const struct charter *c, struct error *e)
{
	json_each(schema, json_get(c->json, "records")) {
		const struct json_schema *compiled;
		struct error why = { 0 };
		if (json_schema_compile(a, schema, NULL, NULL, &compiled, &why) != ERR_OK)
			error_fault(e, a, json_pointer(a, schema), "This schema cannot be used: %s", why.message);
	}
}

void charter_contradictions(struct arena *a, const struct charter *c, struct error *e)
{
	check_licences(a, c, e);
	check_uses(a, c, e);
	check_times(a, c, e);
	check_access(a, c, e);
	check_people(a, c, e);
	check_records(a, c, e);
}
