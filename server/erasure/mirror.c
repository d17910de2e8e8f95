/* The registry of mirrors. */
#include "commonhold/mirror.h"

#include <string.h>

static const char *const kinds[MIRROR_KIND_COUNT] = { "pull", "webhook", "s3", "huggingface" };
static const char *const states[MIRROR_STATE_COUNT] = { "active", "suspended", "ended" };

/* One arrow of a mirror's life. */
static const struct edge {
	enum mirror_state from, to;
	const char *sentence;
} edges[] = {
	{ MIRROR_ACTIVE, MIRROR_SUSPENDED, "It is told nothing for now; what it owes stays owed." },
	{ MIRROR_SUSPENDED, MIRROR_ACTIVE, "It is told again, and at once what it has missed." },
	{ MIRROR_ACTIVE, MIRROR_ENDED, "It copies no more; it confirms what it still owes." },
	{ MIRROR_SUSPENDED, MIRROR_ENDED, "It is given up; it confirms what it still owes." },
};

const char *mirror_kind_name(enum mirror_kind k)
{
	return k < MIRROR_KIND_COUNT ? kinds[k] : "";
}

bool mirror_kind_find(struct str name, enum mirror_kind *out)
{
	for (unsigned k = 0; k < MIRROR_KIND_COUNT; k++)
		if (str_is(name, kinds[k])) {
			*out = (enum mirror_kind)k;
			return true;
		}
	return false;
}

const char *mirror_state_name(enum mirror_state s)
{
	return s < MIRROR_STATE_COUNT ? states[s] : "";
}

bool mirror_table_ok(void)
{
	bool entered[MIRROR_STATE_COUNT] = { [MIRROR_ACTIVE] = true };
	for (size_t i = 0; i < CH_LEN(edges); i++) {
		if (edges[i].from == edges[i].to || edges[i].from == MIRROR_ENDED || !edges[i].sentence[0])
			return false;
		entered[edges[i].to] = true;
	}
	return entered[MIRROR_SUSPENDED] && entered[MIRROR_ENDED];
}
