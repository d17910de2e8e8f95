#include "commonhold/packed.h"

/* ISO 639-1, two letters each; the number is the position from 1. Append only. */
static const char languages[] =
	"aaabaeafakamanarasavayazbabebgbhbibmbnbobrbscacechcocrcscucvcydadedvdzeeeleneoeseteufafffifjfofrfygagdglgngugvhahehihohrhthuhyhziaidieigiiikioisitiujajvkakgki"
	"kjkkklkmknkokrkskukvkwkylalblglilnloltlulvmgmhmimkmlmnmrmsmtmynandnengnlnnnonrnvnyocojomorospapiplpsptqurmrnrorurwsascsdsesgsiskslsmsnsosqsrssstsusvswtatetgth"
	"titktltntotrtstttwtyugukuruzvevivowawoxhyiyozazhzu";

/* ISO 3166-1 alpha-2. Append only. */
static const char regions[] =
	"adaeafagaialamaoaqarasatauawaxazbabbbdbebfbgbhbibjblbmbnbobqbrbsbtbvbwbybzcacccdcfcgchcickclcmcncocrcucvcwcxcyczdedjdkdmdodzeceeegeheresetfifjfkfmfofrgagbgdgegf"
	"ggghgiglgmgngpgqgrgsgtgugwgyhkhmhnhrhthuidieiliminioiqirisitjejmjojpkekgkhkikmknkpkrkwkykzlalblclilklrlsltlulvlymamcmdmemfmgmhmkmlmmmnmompmqmrmsmtmumvmwmxmymzna"
	"ncnenfngninlnonpnrnunzompapepfpgphpkplpmpnprpsptpwpyqarerorsrurwsasbscsdsesgshsisjskslsmsnsosrssstsvsxsysztctdtftgthtjtktltmtntotrtttvtwtzuaugumusuyuzvavcvevgvi"
	"vnvuwfwsyeytzazmzw";

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned pair_number(const char *table, size_t n, struct str pair)
{
	if (pair.n != 2)
		return 0;
	for (size_t i = 0; i + 1 < n; i += 2)
		if (table[i] == lower(pair.p[0]) && table[i + 1] == lower(pair.p[1]))
			return (unsigned)(i / 2) + 1;
	return 0;
}

unsigned packed_language(struct str tag)
{
	struct str rest = tag, first;
	if (tag.n == 0 || !str_split(&rest, '-', &first) || str_eq_nocase(first, "und"))
		return 0;
	unsigned no = pair_number(languages, sizeof languages - 1, first);
	return no ? no : PACKED_OTHER;
}

unsigned packed_region(struct str code)
{
	return pair_number(regions, sizeof regions - 1, code);
}

unsigned packed_application(struct str name)
{
	name = str_trim(name);
	if (name.n == 0)
		return 0;
	uint32_t h = 2166136261u; /* FNV-1a, folded to 16 bits */
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (uint8_t)lower(name.p[i])) * 16777619u;
	return (h ^ h >> 16) % 65535u + 1;
}

unsigned packed_length(uint64_t bytes)
{
	uint64_t steps = bytes / PACKED_LENGTH_UNIT + (bytes % PACKED_LENGTH_UNIT != 0);
	return steps > 65535 ? 65535 : (unsigned)steps;
}
