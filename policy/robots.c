/*
 * robots.c - `Content-Usage` in robots.txt (draft-ietf-aipref-attach), within RFC 9309.
 *
 * The rules of the most specific group apply. Of the `Content-Usage` rules those with the longest path that is a
 * byte prefix count, together when their paths are equal; none counts for a path that may not be crawled.
 */
#include "policy/internal.h"

/* What is being looked for. */
struct search {
	const char *agent;         /* product token */
	const char *path;          /* path asked about */
	unsigned dialect;          /* of the preferences */
	bool grouped;              /* rules have begun since the last User-agent line */
	bool applies;              /* the current group is ours */
	bool named;                /* looking at groups that name the agent, else at those for everyone */
	bool found;                /* some group was ours */
	long allow;                /* length of the longest Allow that matches; -1 for none */
	long disallow;             /* the same of Disallow */
	long usage;                /* length of the longest Content-Usage path that matches; -1 for none */
	struct policy_pref pref;   /* what those say together */
};

static struct policy_text trim(struct policy_text text)
{
	while (text.len && (text.at[0] == ' ' || text.at[0] == '\t')) {
		text.at++;
		text.len--;
	}
	while (text.len && strchr(" \t\r", text.at[text.len - 1]))
		text.len--;
	return text;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_word(struct policy_text text, const char *word)
{
	for (size_t i = 0; i < text.len; i++)
		if (word[i] == '\0' || lower(text.at[i]) != lower(word[i]))
			return false;
	return word[text.len] == '\0';
}

/* RFC 9309 2.2.3: `*` is any run of bytes, a final `$` the end. Linear: only the last star is ever tried again. */
static bool matches(struct policy_text rule, const char *path)
{
	bool anchored = rule.len && rule.at[rule.len - 1] == '$';
	size_t n = rule.len - anchored, r = 0, star = SIZE_MAX, back = 0;
	for (size_t p = 0;;) {
		if (r == n && (!anchored || path[p] == '\0'))
			return true;
		if (r < n && rule.at[r] == '*') {
			star = r++;
			back = p;
		} else if (r < n && path[p] && rule.at[r] == path[p]) {
			r++;
			p++;
		} else if (star != SIZE_MAX && path[back]) {
			r = star + 1;
			p = ++back;
		} else {
			return false;
		}
	}
}

static void on_agent(struct search *s, struct policy_text value)
{
	if (s->grouped)
		s->applies = s->grouped = false;
	s->applies |= s->named ? same_word(value, s->agent) : same_word(value, "*");
	s->found |= s->applies;
}

static void on_access(struct search *s, struct policy_text value, long *longest)
{
	if (value.len && matches(value, s->path) && (long)value.len > *longest)
		*longest = (long)value.len;
}

static void on_usage(struct search *s, struct policy_text value)
{
	struct policy_text rule = {"/", 1};
	if (value.len && value.at[0] == '/') {
		rule = (struct policy_text){value.at, 0};
		while (value.len && *value.at != ' ' && *value.at != '\t') {
			value.at++;
			value.len--;
			rule.len++;
		}
		value = trim(value);
	}
	if (strncmp(s->path, rule.at, rule.len) != 0 || (long)rule.len < s->usage)
		return;
	struct policy_pref pref;
	policy_pref_read(s->dialect, value.at, value.len, &pref);
	if ((long)rule.len > s->usage)
		s->pref = pref;
	else
		policy_pref_combine(&s->pref, &pref);
	s->usage = (long)rule.len;
}

static void on_line(struct search *s, struct policy_text line)
{
	const char *comment = line.len ? memchr(line.at, '#', line.len) : NULL;
	if (comment)
		line.len = (size_t)(comment - line.at);
	const char *colon = line.len ? memchr(line.at, ':', line.len) : NULL;
	if (!colon)
		return;
	struct policy_text key = trim((struct policy_text){line.at, (size_t)(colon - line.at)});
	struct policy_text value = trim((struct policy_text){colon + 1, line.len - (size_t)(colon - line.at) - 1});
	if (same_word(key, "user-agent")) {
		on_agent(s, value);
		return;
	}
	s->grouped = true;
	if (!s->applies)
		return;
	if (same_word(key, "allow"))
		on_access(s, value, &s->allow);
	else if (same_word(key, "disallow"))
		on_access(s, value, &s->disallow);
	else if (same_word(key, "content-usage"))
		on_usage(s, value);
}

static void look(struct search *s, const char *text, size_t len)
{
	for (const char *at = text, *end = text + len; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		stop = stop ? stop : end;
		on_line(s, (struct policy_text){at, (size_t)(stop - at)});
		at = stop + 1 < end ? stop + 1 : end;
	}
}

void policy_pref_robots(const char *text, size_t len, const char *agent, const char *path, unsigned dialect,
                        struct policy_pref *out)
{
	struct search s = {0};
	for (int named = 1; named >= 0 && !s.found; named--) {
		s = (struct search){.agent = agent, .path = path, .dialect = dialect, .named = named, .allow = -1, .disallow = -1,
		                    .usage = -1, .pref = {.dialect = (uint8_t)dialect}};
		look(&s, len ? text : "", len);
	}
	if (s.disallow > s.allow)
		s.pref = (struct policy_pref){.dialect = (uint8_t)dialect};
	s.pref.verbatim = (struct policy_text){text, len};
	*out = s.pref;
}
