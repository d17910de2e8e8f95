/* import_pairs.c - preference pairs: prompt, chosen and rejected, as texts, messages, or transcripts that share their beginning. */
#include "server/pool/import_internal.h"

static const char human[] = "\n\nHuman:", assistant[] = "\n\nAssistant:";

/* Where the next speaker's mark is, and whose; absent at the end. */
static const char *next_speaker(struct str text, const char **role, size_t *mark)
{
	const char *h = memmem(text.p, text.n, human, sizeof(human) - 1), *a = memmem(text.p, text.n, assistant, sizeof(assistant) - 1);
	bool is_human = h && (!a || h < a);
	*role = is_human ? "user" : "assistant";
	*mark = is_human ? sizeof(human) - 1 : sizeof(assistant) - 1;
	return is_human ? h : a;
}

/* "\n\nHuman: …\n\nAssistant: …", the form of the first published preference sets. */
static bool read_transcript(struct import *im, struct str text, struct import_turn **turns, size_t *n)
{
	const char *role, *next_role;
	size_t mark, next_mark;
	*n = 0;
	*turns = ARENA_ARRAY(im->row, IMPORT_MESSAGES, struct import_turn);
	const char *at = next_speaker(text, &role, &mark);
	if (!at || at != text.p)
		return false;
	while (at && *n < IMPORT_MESSAGES) {
		struct str rest = str_sub(text, (size_t)(at - text.p) + mark, text.n);
		const char *next = next_speaker(rest, &next_role, &next_mark);
		(*turns)[(*n)++] = (struct import_turn){ role, str_trim(next ? str_make(rest.p, (size_t)(next - rest.p)) : rest) };
		at = next;
		role = next_role;
		mark = next_mark;
	}
	return at == NULL;
}

/* A text, a message, a list of messages or a transcript. A plain text is the turn of `role`. */
static bool read_side(struct import *im, const struct json *v, const char *role, struct import_turn **turns, size_t *n)
{
	if (json_is(v, JSON_ARRAY))
		return import_turns(im, v, turns, n);
	if (json_is(v, JSON_STRING) && str_starts(v->text, human))
		return read_transcript(im, v->text, turns, n);
	*turns = ARENA_NEW(im->row, struct import_turn);
	*n = 1;
	struct str text = json_text(v);
	if (!text.p)
		text = json_member_text(v, "value");
	if (!text.p)
		text = json_member_text(v, "content");
	**turns = (struct import_turn){ role, text };
	return text.p != NULL;
}

static bool same_turn(const struct import_turn *a, const struct import_turn *b)
{
	return strcmp(a->role, b->role) == 0 && str_eq(a->content, b->content);
}

/* A pair, once both sides are read. */
struct pair {
	struct import_turn *prompt, *chosen, *rejected;
	size_t prompts, chosens, rejecteds;
};

/* Turns that both sides begin with belong to the prompt; where the row gives a prompt besides, they repeat it. */
static void split_common(struct pair *p)
{
	size_t common = 0;
	while (common + 1 < p->chosens && common + 1 < p->rejecteds && same_turn(&p->chosen[common], &p->rejected[common]))
		common++;
	if (common >= p->prompts) {
		p->prompt = p->chosen;
		p->prompts = common;
	}
	p->chosen += common;
	p->chosens -= common;
	p->rejected += common;
	p->rejecteds -= common;
}

static const char *read_pair(struct import *im, const struct json *row, struct pair *p)
{
	const struct json *prompt = json_get(row, "prompt");
	if (!prompt)
		prompt = json_get(row, "conversations");
	if (!prompt)
		prompt = json_get(row, "question");
	if (prompt && !read_side(im, prompt, "user", &p->prompt, &p->prompts))
		return "The prompt is neither a text nor a list of messages.";
	if (!read_side(im, json_get(row, "chosen"), "assistant", &p->chosen, &p->chosens))
		return "The chosen answer is neither a text nor a list of messages.";
	if (!read_side(im, json_get(row, "rejected"), "assistant", &p->rejected, &p->rejecteds))
		return "The rejected answer is neither a text nor a list of messages.";
	split_common(p);
	if (p->prompts == 0)
		return "There is no prompt, and the answers do not begin with a common one.";
	if (p->chosens == 1 && p->rejecteds == 1 && same_turn(p->chosen, p->rejected))
		return "The two answers are the same.";
	return NULL;
}

enum err import_row_preference(struct import *im, const struct json *row)
{
	struct pair p = { 0 };
	struct str id = json_member_text(row, "id");
	if (id.n > IMPORT_ID_BYTES)
		id = STR_NONE;
	const char *problem = read_pair(im, row, &p);
	if (problem) {
		import_refuse(im, im->line, IMPORT_REASON_INVALID, STR(""), str_of(problem), id);
		return ERR_OK;
	}
	struct json_writer w;
	struct str system = json_member_text(row, "system");
	import_begin(im, &w, POLICY_KIND_PREFERENCE, json_member_text(row, "lang"));
	jw_key(&w, "content");
	jw_object(&w);
	jw_key(&w, "prompt");
	jw_array(&w);
	if (system.n)
		import_message(&w, "system", system);
	for (size_t i = 0; i < p.prompts; i++)
		import_message(&w, p.prompt[i].role, p.prompt[i].content);
	jw_end_array(&w);
	import_write_turns(&w, "chosen", p.chosen, p.chosens);
	import_write_turns(&w, "rejected", p.rejected, p.rejecteds);
	jw_end_object(&w);
	import_end(im, &w, "preference pairs", &id, NULL, id.n > 0);
	return import_emit_text(im, STR_NONE, &id, id.n > 0);
}
