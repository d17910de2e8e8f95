/* text.c - a cause in words: its template with the blanks filled in. Rendered only when someone asks. */
#include <stdio.h>

#include "policy/internal.h"

/* Text into a buffer of any size, counting what it would take. */
struct out {
	char *at;    /* buffer; may be NULL if size is 0 */
	size_t size; /* its size */
	size_t len;  /* bytes wanted so far */
};

static void put(struct out *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++, out->len++)
		if (out->len + 1 < out->size)
			out->at[out->len] = text[i];
}

static void put_word(struct out *out, const char *word)
{
	put(out, word ? word : "?", word ? strlen(word) : 1);
}

static void put_list(struct out *out, uint32_t bits, const char *(*name)(unsigned))
{
	bool first = true;
	for (unsigned i = 0; i < 32; i++) {
		if (!(bits >> i & 1))
			continue;
		if (!first)
			put(out, ", ", 2);
		put_word(out, name(i));
		first = false;
	}
	if (first)
		put(out, "nothing", 7);
}

/* Days since 1970 as a civil date (Howard Hinnant's algorithm), then the time of day. */
static void put_instant(struct out *out, policy_instant at)
{
	char text[80];
	if (at == POLICY_NEVER || at == POLICY_EVER) {
		put_word(out, "a later release");
		return;
	}
	int64_t days = at / POLICY_DAY, rest = at % POLICY_DAY;
	if (rest < 0) {
		rest += POLICY_DAY;
		days--;
	}
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = yoe + era * 400 + (month <= 2), seconds = rest / POLICY_SECOND;
	int n = snprintf(text, sizeof text, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lldZ", (long long)year, (long long)month,
	                 (long long)day, (long long)(seconds / 3600), (long long)(seconds / 60 % 60),
	                 (long long)(seconds % 60));
	put(out, text, n > 0 ? (size_t)n : 0);
}

static void put_number(struct out *out, uint64_t number)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
	put(out, text, n > 0 ? (size_t)n : 0);
}

static void put_blank(struct out *out, const char *name, size_t len, const struct policy_program *program,
                      const struct policy_trace *trace, const struct policy_cause *cause)
{
	const struct policy_spec *spec = &program->spec;
	const struct policy_item item = policy_item_unpack(trace->word, trace->more, trace->member);
	switch (len ? name[0] : 0) {
	case 'u':
		if (len == 3)
			put_list(out, cause->uses ? cause->uses : program->uses, policy_use_name);
		else
			put_instant(out, cause->until);
		return;
	case 'p':
		put_list(out, spec->purposes, policy_purpose_name);
		return;
	case 'k':
		if (len == 4)
			put_word(out, policy_kind_name(item.kind));
		else if (cause->reason == POLICY_REASON_NO_ASSURANCE_UNMET)
			put_number(out, cause->rule < spec->n_toggles ? spec->toggles[cause->rule].cap : spec->assurance);
		else
			put_number(out, spec->k_contributors > spec->k_stratum ? spec->k_contributors : spec->k_stratum);
		return;
	case 'l':
		put_word(out, policy_licence_get(item.licence)->name);
		return;
	case 'a':
		put_word(out, policy_audience_name(spec->audience));
		return;
	default:
		put_list(out,
		         cause->reason == POLICY_REASON_NO_AUDIENCE_DUTY ? trace->conditions & (uint32_t)~spec->audience_duties
		                                                         : trace->conditions,
		         policy_duty_name);
	}
}

size_t policy_cause_text(const struct policy_program *program, const struct policy_trace *trace,
                         const struct policy_cause *cause, char *at, size_t size)
{
	struct out out = {at, size, 0};
	const struct policy_reason *row = policy_reason_get(cause->reason);
	const char *template = row ? row->message : "A reason that this engine does not know.";
	while (*template) {
		const char *open = strchr(template, '{');
		const char *close = open ? strchr(open, '}') : NULL;
		if (!close) {
			put_word(&out, template);
			break;
		}
		put(&out, template, (size_t)(open - template));
		put_blank(&out, open + 1, (size_t)(close - open - 1), program, trace, cause);
		template = close + 1;
	}
	if (size)
		at[out.len < size ? out.len : size - 1] = '\0';
	return out.len;
}
