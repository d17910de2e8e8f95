#include "commonhold/form.h"

struct str form_filled(const struct request *rq, const char *field)
{
	struct str value = request_form(rq, field);
	value = value.p ? str_trim(value) : value;
	return value.n ? value : STR_NONE;
}

void form_list(struct request *rq, struct json_writer *w, const char *key, const char *field)
{
	struct str *values;
	size_t n = request_form_all(rq, field, &values);
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, values[i]);
	jw_end_array(w);
}

void form_text(struct json_writer *w, const char *key, struct str written)
{
	if (written.n)
		jw_kstr(w, key, written);
}

void form_number(struct json_writer *w, const char *key, struct str written)
{
	int64_t n;
	if (str_to_i64(written, INT64_MIN / 2, INT64_MAX / 2, &n))
		jw_kint(w, key, n);
	else
		form_text(w, key, written);
}

static bool among(const struct str *values, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (str_is(values[i], word))
			return true;
	return false;
}

void form_boxes(struct request *rq, struct json_writer *w, const struct form_boxes *b)
{
	struct str *values = NULL;
	size_t n = b->sent ? request_form_all(rq, b->field, &values) : 0;
	jw_key(w, b->key);
	jw_array(w);
	for (unsigned no = 0; no < b->count; no++) {
		if (!(b->mask >> no & 1))
			continue;
		jw_object(w);
		jw_kz(w, "id", b->name(no));
		jw_kz(w, "words", b->words(no));
		jw_kbool(w, "chosen", b->sent ? among(values, n, b->name(no)) : (b->usual >> no & 1) != 0);
		jw_end_object(w);
	}
	jw_end_array(w);
}
