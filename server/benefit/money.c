#include "commonhold/benefit.h"

#include <stdlib.h>

/* ISO 4217's minor units, where they are not two. */
static const struct { char code[4]; unsigned decimals; } odd_currencies[] = {
	{ "BHD", 3 }, { "BIF", 0 }, { "CLP", 0 }, { "DJF", 0 }, { "GNF", 0 }, { "IQD", 3 }, { "ISK", 0 }, { "JOD", 3 }, { "JPY", 0 }, { "KMF", 0 }, { "KRW", 0 }, { "KWD", 3 },
	{ "LYD", 3 }, { "OMR", 3 }, { "PYG", 0 }, { "RWF", 0 }, { "TND", 3 }, { "UGX", 0 }, { "VND", 0 }, { "VUV", 0 }, { "XAF", 0 }, { "XOF", 0 }, { "XPF", 0 },
};

static bool currency_ok(struct str currency)
{
	bool ok = currency.n == 3;
	for (size_t i = 0; ok && i < 3; i++)
		ok = currency.p[i] >= 'A' && currency.p[i] <= 'Z';
	return ok;
}

static unsigned decimals_of(struct str currency)
{
	for (size_t i = 0; i < CH_LEN(odd_currencies); i++)
		if (str_is(currency, odd_currencies[i].code))
			return odd_currencies[i].decimals;
	return 2;
}

bool money_parse(struct str text, struct str currency, int64_t *units)
{
	unsigned decimals = decimals_of(currency), after = 0;
	bool point = false;
	int64_t sum = 0;
	if (!currency_ok(currency) || !text.n || text.p[0] == '.' || text.p[text.n - 1] == '.')
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '.' && !point) {
			point = true;
			continue;
		}
		if (text.p[i] < '0' || text.p[i] > '9' || sum > MONEY_MAX)
			return false;
		sum = sum * 10 + (text.p[i] - '0');
		after += point;
	}
	if (after > decimals)
		return false;
	for (; after < decimals && sum <= MONEY_MAX; after++)
		sum *= 10;
	*units = sum;
	return sum > 0 && sum <= MONEY_MAX;
}

/* The digits of an amount with its point; `group` puts a comma between thousands. */
static struct str money_text(struct arena *a, int64_t units, struct str currency, char group)
{
	unsigned decimals = decimals_of(currency);
	uint64_t rest = units < 0 ? -(uint64_t)units : (uint64_t)units;
	char out[48], *at = out + sizeof(out);
	unsigned digits = 0;
	do {
		if (group && digits > decimals && (digits - decimals) % 3 == 0)
			*--at = group;
		*--at = (char)('0' + rest % 10);
		rest /= 10;
		if (++digits == decimals)
			*--at = '.';
	} while (rest || digits <= decimals);
	if (units < 0)
		*--at = '-';
	return str_copy(a, str_make(at, (size_t)(out + sizeof(out) - at)));
}

struct str money_format(struct arena *a, int64_t units, struct str currency)
{
	return money_text(a, units, currency, 0);
}

struct str money_words(struct arena *a, int64_t units, struct str currency)
{
	struct str digits = money_text(a, units, currency, ',');
	return str_fmt(a, "%.*s %.*s", STR_ARG(currency), STR_ARG(digits));
}

/* What is left of a part's worth once whole units are given. */
struct remainder { uint64_t left; size_t at; };

static int larger_first(const void *a, const void *b)
{
	const struct remainder *x = a, *y = b;
	if (x->left != y->left)
		return x->left > y->left ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

bool money_split(struct arena *a, int64_t amount, struct money_part *parts, size_t n)
{
	struct remainder *rest = ARENA_ARRAY(a, n ? n : 1, struct remainder);
	uint64_t total = 0;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].weight > INT64_MAX - total)
			return false;
		total += parts[i].weight;
	}
	if (!rest || !total || amount < 0)
		return false;
	int64_t left = amount;
	for (size_t i = 0; i < n; i++) {
		unsigned __int128 worth = (unsigned __int128)(uint64_t)amount * parts[i].weight;
		parts[i].amount = (int64_t)(worth / total);
		rest[i] = (struct remainder){ (uint64_t)(worth % total), i };
		left -= parts[i].amount;
	}
	/* Fewer units are left than there are parts with a remainder, so that nobody gets two. */
	qsort(rest, n, sizeof(*rest), larger_first);
	for (size_t i = 0; left > 0; i++, left--)
		parts[rest[i].at].amount++;
	return true;
}
