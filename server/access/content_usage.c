/* What a release's files say of their use to machines that read headers: AIPREF's vocabulary -07 has two words that mean the same as a use of ours. */
#include "commonhold/access.h"

static const struct { const char *label; enum policy_use use; bool may_allow; } words[] = {
	{ "train-ai", POLICY_USE_TRAIN_GEN, true },
	{ "search", POLICY_USE_SEARCH, false },
};

struct str content_usage(struct arena *a, uint16_t uses, uint16_t uses_conditional)
{
	struct str out = STR("");
	uses = policy_uses_expand(uses);
	uses_conditional = policy_uses_expand(uses_conditional);
	for (size_t i = 0; i < CH_LEN(words); i++) {
		uint16_t use = (uint16_t)POLICY_BIT(words[i].use);
		bool denied = !(uses & use), allowed = words[i].may_allow && !denied && !(uses_conditional & use);
		if (denied || allowed)
			out = str_fmt(a, "%.*s%s%s=%s", STR_ARG(out), out.n ? ", " : "", words[i].label, denied ? "n" : "y");
	}
	return out;
}
