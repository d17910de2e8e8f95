/* JSON throughput on a contribution of about 1 KB: parse, canonical form, and jansson's parse beside it in the same run. */
#include "commonhold/clock.h"
#include "commonhold/json.h"

/* jansson's header names some things as ours does. */
#define json_type jansson_type
#define json_equal jansson_equal
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_TRUE JANSSON_TRUE
#define JSON_FALSE JANSSON_FALSE
#define JSON_NULL JANSSON_NULL
#include <jansson.h>
#include <stdio.h>

#define ROUND_US 500000

static const char chat[] =
	"{\"kind\":\"chat\",\"circumstance\":{\"prompted\":\"reactive\",\"friction\":\"low\",\"application\":\"Letter helper\",\"provider\":\"example.org\",\"model\":\"small-7b\"},"
	"\"messages\":[{\"role\":\"user\",\"content\":\"How do I write to my landlord about the heating? It has been broken for two weeks, and the letters I sent were "
	"not answered.\\nI would like to stay polite, but firm.\"},{\"role\":\"assistant\",\"content\":\"Begin with the facts: what is broken, since when, and when you "
	"told them before. Then say what you ask for and until when, and what you will do otherwise.\\n\\n1. Date and address\\n2. The fault\\n3. A deadline of, say, ten days"
	"\\n4. The consequence: a reduction of the rent\"},{\"role\":\"user\",\"content\":\"Merci, c\xe2\x80\x99" "est tr\xc3\xa8s clair \xe2\x80\x94 et si personne ne r\xc3\xa9pond ?\"}],"
	"\"annotations\":[{\"at\":1,\"label\":\"helpful\",\"score\":4.5},{\"at\":1,\"label\":\"tone\",\"score\":-1}],\"licence\":\"CC-BY-4.0\",\"language\":\"en\","
	"\"tags\":[\"housing\",\"letters\"],\"consent\":true,\"parent\":null}";

static void report(const char *what, size_t rounds, int64_t us)
{
	printf("%-28s %8.1f MB/s %9.0f documents/s\n", what, (double)rounds * (double)(sizeof(chat) - 1) / (double)us, (double)rounds * 1e6 / (double)us);
}

static void bench_parse(struct arena *a, struct str text)
{
	size_t rounds = 0;
	int64_t from = clock_tick(), took;
	do {
		for (int i = 0; i < 100; i++, rounds++) {
			const struct json *v;
			struct error e;
			if (json_parse(a, text, &v, &e) != ERR_OK)
				abort();
			arena_reset(a);
		}
	} while ((took = clock_tick() - from) < ROUND_US);
	report("json_parse", rounds, took);
}

static void bench_canonical(struct arena *a, struct str text, const char *what)
{
	const struct json *v;
	struct error e;
	struct buf out;
	buf_init(&out, MIB);
	if (json_parse(a, text, &v, &e) != ERR_OK)
		abort();
	size_t rounds = 0;
	int64_t from = clock_tick(), took;
	do {
		for (int i = 0; i < 100; i++, rounds++) {
			buf_clear(&out);
			json_canonical(&out, v, true);
		}
	} while ((took = clock_tick() - from) < ROUND_US);
	report(what, rounds, took);
	buf_release(&out);
}

static void bench_jansson(struct str text)
{
	size_t rounds = 0;
	int64_t from = clock_tick(), took;
	do {
		for (int i = 0; i < 100; i++, rounds++)
			json_decref(json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL));
	} while ((took = clock_tick() - from) < ROUND_US);
	report("jansson json_loadb", rounds, took);
}

int main(void)
{
	struct str text = str_make(chat, sizeof(chat) - 1);
	struct arena *a = arena_new(16 * MIB);
	const struct json *v;
	struct error e;
	struct buf sorted;
	buf_init(&sorted, MIB);
	if (!a || json_parse(a, text, &v, &e) != ERR_OK)
		abort();
	json_canonical(&sorted, v, true);
	printf("document: %zu bytes\n", text.n);
	bench_parse(a, text);
	bench_canonical(a, text, "json_canonical, unsorted");
	bench_canonical(a, buf_str(&sorted), "json_canonical, in order");
	bench_jansson(text);
	buf_release(&sorted);
	arena_free(a);
	return 0;
}
