#include "commonhold/words.h"

#include "commonhold/arena.h"

static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December" };

struct str words_day(struct arena *a, instant t)
{
	if (t == INSTANT_NONE)
		return STR_NONE;
	struct civil v = clock_civil(t);
	return str_fmt(a, "%d %s %d", v.day, months[v.month - 1], v.year);
}

struct str words_minute(struct arena *a, instant t)
{
	if (t == INSTANT_NONE)
		return STR_NONE;
	struct civil v = clock_civil(t);
	return str_fmt(a, "%d %s %d, %02d:%02d UTC", v.day, months[v.month - 1], v.year, v.hour, v.minute);
}

struct str words_day_iso(struct arena *a, instant t)
{
	return t == INSTANT_NONE ? STR_NONE : str_sub(clock_format(a, t), 0, 10);
}

struct str words_count(struct arena *a, int64_t n)
{
	struct str plain = str_fmt(a, "%lld", (long long)n);
	size_t sign = n < 0, digits = plain.n - sign, out = 0;
	char *text = arena_alloc(a, plain.n + digits / 3 + 1);
	for (size_t i = 0; i < plain.n; i++) {
		if (i > sign && (plain.n - i) % 3 == 0)
			text[out++] = ',';
		text[out++] = plain.p[i];
	}
	return str_make(text, out);
}

struct str words_things(struct arena *a, int64_t n, const char *one, const char *many)
{
	return str_fmt(a, "%.*s %s", STR_ARG(words_count(a, n)), n == 1 ? one : many);
}

struct str words_size(struct arena *a, int64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	size_t u = 0;
	double v = (double)bytes;
	while (v >= 1000 && u + 1 < CH_LEN(units)) {
		v /= 1000;
		u++;
	}
	return u == 0 ? str_fmt(a, "%lld B", (long long)bytes) : str_fmt(a, "%.1f %s", v, units[u]);
}

/* Names as the Unicode CLDR has them in English. */
static const struct { const char *tag, *name; } languages[] = {
	{ "af", "Afrikaans" }, { "am", "Amharic" }, { "ar", "Arabic" }, { "az", "Azerbaijani" }, { "be", "Belarusian" }, { "bg", "Bulgarian" }, { "bn", "Bangla" },
	{ "br", "Breton" }, { "bs", "Bosnian" }, { "ca", "Catalan" }, { "co", "Corsican" }, { "cs", "Czech" }, { "cy", "Welsh" }, { "da", "Danish" }, { "de", "German" },
	{ "el", "Greek" }, { "en", "English" }, { "eo", "Esperanto" }, { "es", "Spanish" }, { "et", "Estonian" }, { "eu", "Basque" }, { "fa", "Persian" }, { "fi", "Finnish" },
	{ "fil", "Filipino" }, { "fo", "Faroese" }, { "fr", "French" }, { "fur", "Friulian" }, { "fy", "Western Frisian" }, { "ga", "Irish" }, { "gd", "Scottish Gaelic" },
	{ "gl", "Galician" }, { "gn", "Guarani" }, { "gsw", "Swiss German" }, { "gu", "Gujarati" }, { "ha", "Hausa" }, { "he", "Hebrew" }, { "hi", "Hindi" },
	{ "hr", "Croatian" }, { "ht", "Haitian Creole" }, { "hu", "Hungarian" }, { "hy", "Armenian" }, { "id", "Indonesian" }, { "ig", "Igbo" }, { "is", "Icelandic" },
	{ "it", "Italian" }, { "ja", "Japanese" }, { "ka", "Georgian" }, { "kk", "Kazakh" }, { "km", "Khmer" }, { "kn", "Kannada" }, { "ko", "Korean" }, { "ku", "Kurdish" },
	{ "ky", "Kyrgyz" }, { "la", "Latin" }, { "lb", "Luxembourgish" }, { "lld", "Ladin" }, { "lo", "Lao" }, { "lt", "Lithuanian" }, { "lv", "Latvian" }, { "mi", "Māori" },
	{ "mk", "Macedonian" }, { "ml", "Malayalam" }, { "mn", "Mongolian" }, { "mr", "Marathi" }, { "ms", "Malay" }, { "mt", "Maltese" }, { "mul", "several languages" },
	{ "my", "Burmese" }, { "nb", "Norwegian Bokmål" }, { "nds", "Low German" }, { "ne", "Nepali" }, { "nl", "Dutch" }, { "nn", "Norwegian Nynorsk" }, { "no", "Norwegian" },
	{ "oc", "Occitan" }, { "or", "Odia" }, { "pa", "Punjabi" }, { "pl", "Polish" }, { "ps", "Pashto" }, { "pt", "Portuguese" }, { "qu", "Quechua" }, { "rm", "Romansh" },
	{ "ro", "Romanian" }, { "ru", "Russian" }, { "rw", "Kinyarwanda" }, { "sc", "Sardinian" }, { "se", "Northern Sami" }, { "si", "Sinhala" }, { "sk", "Slovak" },
	{ "sl", "Slovenian" }, { "so", "Somali" }, { "sq", "Albanian" }, { "sr", "Serbian" }, { "sv", "Swedish" }, { "sw", "Swahili" }, { "ta", "Tamil" }, { "te", "Telugu" },
	{ "tg", "Tajik" }, { "th", "Thai" }, { "ti", "Tigrinya" }, { "tk", "Turkmen" }, { "tr", "Turkish" }, { "uk", "Ukrainian" }, { "und", "unknown language" },
	{ "ur", "Urdu" }, { "uz", "Uzbek" }, { "vec", "Venetian" }, { "vi", "Vietnamese" }, { "wo", "Wolof" }, { "xh", "Xhosa" }, { "yi", "Yiddish" }, { "yo", "Yoruba" },
	{ "zh", "Chinese" }, { "zu", "Zulu" },
};

struct str words_language(struct arena *a, struct str tag)
{
	struct str rest = tag, primary;
	if (!tag.n || !str_split(&rest, '-', &primary))
		return tag;
	for (size_t i = 0; i < CH_LEN(languages); i++)
		if (str_is(primary, languages[i].tag))
			return rest.p && rest.n ? str_fmt(a, "%s (%.*s)", languages[i].name, STR_ARG(rest)) : str_of(languages[i].name);
	return tag;
}

struct str words_field(struct arena *a, struct str pointer)
{
	struct str rest = pointer, part, text = STR_NONE;
	int64_t no;
	bool numbered = false;
	while (str_split(&rest, '/', &part)) {
		if (!part.n)
			continue;
		bool number = str_to_i64(part, 0, INT32_MAX, &no);
		text = number ? str_fmt(a, "%.*s %lld", STR_ARG(text), (long long)no + 1) : str_fmt(a, "%.*s%s%.*s", STR_ARG(text), numbered ? ": " : text.n ? ", " : "", STR_ARG(part));
		numbered = number;
	}
	char *words = (char *)str_copy(a, text).p;
	for (size_t i = 0; i < text.n; i++)
		if (words[i] == '_')
			words[i] = ' ';
	if (text.n && words[0] >= 'a' && words[0] <= 'z')
		words[0] = (char)(words[0] - 'a' + 'A');
	return str_make(text.n ? words : "", text.n);
}

const char *words_use(unsigned use)
{
	static const char *const words[POLICY_USE_COUNT] = {
		"training generative models", "training other models", "use by a system at run time", "use at run time for a person who asks", "search that leads to the source",
		"automated analysis of any kind", "evaluating models", "passing the data on", "publishing figures about the whole",
	};
	return use < POLICY_USE_COUNT ? words[use] : "an unknown use";
}

const char *words_purpose(unsigned purpose)
{
	static const char *const words[POLICY_PURPOSE_COUNT] = {
		"any purpose", "research and development", "scientific research", "academic research", "purposes that are not commercial", "research that is not commercial",
		"commercial purposes", "commercial research", "the public benefit", "data altruism", "education", "improving a service",
	};
	return purpose < POLICY_PURPOSE_COUNT ? words[purpose] : "an unknown purpose";
}

const char *words_kind(unsigned kind)
{
	static const char *const words[POLICY_KIND_COUNT] = {
		[POLICY_KIND_CHAT] = "Conversation", [POLICY_KIND_PREFERENCE] = "Comparison", [POLICY_KIND_EXAMPLE] = "Example", [POLICY_KIND_FEEDBACK] = "Feedback",
		[POLICY_KIND_SIGNAL] = "Rating", [POLICY_KIND_BUNDLE] = "Bundle", [POLICY_KIND_RECORD] = "Record",
	};
	return kind < POLICY_KIND_COUNT ? words[kind] : "Contribution";
}

const char *words_outcome(unsigned outcome)
{
	static const char *const words[] = {
		[POLICY_INCLUDE] = "Released", [POLICY_CONDITIONAL] = "Released on conditions", [POLICY_HOLD] = "Held back", [POLICY_EXCLUDE] = "Left out",
	};
	return outcome < CH_LEN(words) ? words[outcome] : "Not decided";
}

const char *words_reason(unsigned reason)
{
	static const char *const words[POLICY_REASON_COUNT] = {
		[POLICY_REASON_NO_TOMBSTONED] = "It was deleted",
		[POLICY_REASON_NO_ERASURE_PENDING] = "It is being deleted",
		[POLICY_REASON_NO_RESTRICTED] = "A question about it is not settled",
		[POLICY_REASON_NO_LEGAL_HOLD] = "The law requires that it stays",
		[POLICY_REASON_NO_MEMBERSHIP_LAPSED] = "Its contributor is no member now",
		[POLICY_REASON_NO_CONSENT_MISSING] = "No consent was given",
		[POLICY_REASON_NO_CONSENT_EXPIRED] = "The consent has run out",
		[POLICY_REASON_NO_CONSENT_WITHDRAWN] = "The consent was withdrawn",
		[POLICY_REASON_NO_CONSENT_NOTICE_SUPERSEDED] = "The consent is to older words",
		[POLICY_REASON_NO_PURPOSE_NOT_COVERED] = "The consent is for other purposes",
		[POLICY_REASON_NO_DELEGATION_EXPIRED] = "The delegation has ended",
		[POLICY_REASON_NO_DELEGATION_REVOKED] = "The delegation was taken back",
		[POLICY_REASON_NO_DELEGATION_SCOPE] = "The delegation does not reach so far",
		[POLICY_REASON_NO_DELEGATION_CYCLE] = "The delegations run in a circle",
		[POLICY_REASON_NO_DELEGATION_DEPTH] = "The chain of delegations is too long",
		[POLICY_REASON_NO_DELEGATION_CAP] = "The delegate decides for too many",
		[POLICY_REASON_NO_PREF_DENY] = "Somebody entitled to said no",
		[POLICY_REASON_NO_PREF_UNKNOWN] = "Nobody has said yes to this use",
		[POLICY_REASON_NO_PREF_CONDITION_UNMET] = "It asks for conditions that are not met",
		[POLICY_REASON_NO_LIC_UNKNOWN] = "Its licence is not known",
		[POLICY_REASON_NO_LIC_INCOMPATIBLE] = "Its licence does not fit",
		[POLICY_REASON_NO_LIC_WAIVER] = "Its licence would need a waiver",
		[POLICY_REASON_NO_LIC_REVIEW] = "Somebody must look at its licence",
		[POLICY_REASON_NO_ATTRIBUTION_MISSING] = "The credit line is incomplete",
		[POLICY_REASON_NO_KIND_NOT_ACCEPTED] = "Its kind is not taken",
		[POLICY_REASON_NO_EMBARGO_UNTIL] = "It is under embargo",
		[POLICY_REASON_NO_RETENTION_PASSED] = "The time for keeping it is over",
		[POLICY_REASON_NO_REGION] = "Its region is not allowed",
		[POLICY_REASON_NO_MINOR] = "It may concern a minor",
		[POLICY_REASON_NO_SPECIAL_CATEGORY] = "It may hold sensitive data",
		[POLICY_REASON_NO_PII_REVIEW] = "Personal data waits for a look",
		[POLICY_REASON_NO_MODERATION_PENDING] = "An admin has not looked at it yet",
		[POLICY_REASON_NO_MODERATION_REJECTED] = "An admin rejected it",
		[POLICY_REASON_NO_DUPLICATE_OF] = "The same is in the pool already",
		[POLICY_REASON_NO_TOGGLE_FREEZE] = "The members withhold labels by vote",
		[POLICY_REASON_NO_TOGGLE_EMBARGO] = "The members voted for an embargo",
		[POLICY_REASON_NO_TOGGLE_SHIFT] = "The members voted against this use",
		[POLICY_REASON_NO_TOGGLE_CAP] = "The agreed volume is reached",
		[POLICY_REASON_NO_ASSURANCE_UNMET] = "Too few have consented so far",
		[POLICY_REASON_NO_K_MIN] = "Too few contributors around it",
		[POLICY_REASON_NO_AFTER_CUTOFF] = "It came after the cut-off",
		[POLICY_REASON_NO_AUDIENCE_DUTY] = "Its conditions cannot bind everybody",
		[POLICY_REASON_NO_ENGINE_ERROR] = "The facts about it do not add up",
		[POLICY_REASON_NO_THIRD_PARTY] = "It is about somebody else",
		[POLICY_REASON_NO_CHARTER_DENY] = "A rule of the charter keeps it out",
		[POLICY_REASON_NO_CHARTER_HOLD] = "A rule of the charter holds it",
		[POLICY_REASON_NO_PREF_CONDITIONAL] = "Allowed on conditions",
		[POLICY_REASON_NO_PARTNER_DIFFERS] = "The two co-ops do not agree on it",
	};
	return reason < POLICY_REASON_COUNT && words[reason] ? words[reason] : "A reason without words";
}

const char *words_who(unsigned fixer)
{
	static const char *const words[POLICY_FIXER_COUNT] = { "nobody", "the contributor", "their delegate", "the co-op", "time alone" };
	return fixer < POLICY_FIXER_COUNT ? words[fixer] : "nobody";
}

struct str words_list(struct arena *a, uint64_t bits, unsigned count, const char *(*word)(unsigned no))
{
	struct str text = STR_NONE;
	unsigned left = 0;
	for (unsigned i = 0; i < count; i++)
		left += bits >> i & 1;
	for (unsigned i = 0; i < count; i++) {
		if (!(bits >> i & 1))
			continue;
		left--;
		text = str_fmt(a, "%.*s%s%s", STR_ARG(text), word(i), left == 1 ? " and " : left ? ", " : "");
	}
	return text.n ? text : STR("nothing");
}
