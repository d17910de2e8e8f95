/* The words of a mail: the templates of its kind (or the generic ones) inside the layout, once as text and once as HTML. */
#include "server/notify/notify_internal.h"

#include "commonhold/assets.h"
#include "commonhold/config.h"
#include "commonhold/template.h"
#include "commonhold/words.h"

#include <pthread.h>

#define MAIL_TEMPLATES_MAX 128
#define MAIL_PART_MAX (1 * MIB)

static struct {
	pthread_once_t once;
	struct arena *arena;      /* of the set: lives as long as the process */
	struct template_set *set; /* NULL when they could not be compiled */
	struct template_source sources[MAIL_TEMPLATES_MAX];
	size_t n;
	struct error error;
} mail_templates = { .once = PTHREAD_ONCE_INIT };

static void source_add(void *arg, const struct asset *asset)
{
	struct str path = str_of(asset->path), folder = STR("templates/"), end = STR(".mustache");
	(void)arg;
	if (str_ends(path, end.p) && mail_templates.n < MAIL_TEMPLATES_MAX)
		mail_templates.sources[mail_templates.n++] = (struct template_source){ str_sub(path, folder.n, path.n - folder.n - end.n), asset->content };
}

static void compile(void)
{
	struct arena *a = mail_templates.arena = arena_new(8 * MIB);
	if (!a)
		return;
	asset_each("templates/mail/", source_add, NULL);
	if (template_compile(a, mail_templates.sources, mail_templates.n, true, &mail_templates.set, &mail_templates.error) != ERR_OK)
		mail_templates.set = NULL;
}

/* A path of this site, nothing else: what leads elsewhere is no link of ours. */
static bool is_path(struct str url)
{
	bool ok = url.n > 0 && url.n < 1000 && url.p[0] == '/' && !str_starts(url, "//");
	for (size_t i = 0; ok && i < url.n; i++)
		ok = url.p[i] > ' ' && url.p[i] < 0x7f && url.p[i] != '\\' && url.p[i] != '<' && url.p[i] != '>' && url.p[i] != '"';
	return ok;
}

struct str notify_base_url(void)
{
	struct str base = str_of(config()->base_url);
	while (base.n && base.p[base.n - 1] == '/')
		base.n--;
	return base;
}

struct str notify_path(struct str url)
{
	return is_path(url) ? url : STR_NONE;
}

struct str notify_link(struct arena *a, struct str url)
{
	return is_path(url) ? str_fmt(a, "%.*s%.*s", STR_ARG(notify_base_url()), STR_ARG(url)) : STR_NONE;
}

/* A whole URL, of this site only. */
static struct str own_url(struct str url)
{
	struct str base = notify_base_url();
	bool ours = url.n > base.n && str_eq(str_sub(url, 0, base.n), base) && is_path(str_sub(url, base.n, url.n));
	return ours ? url : STR_NONE;
}

/* What the layout knows comes first: data of a notice cannot stand for it. */
static void write_frame(struct json_writer *w, struct arena *a, const struct mail_frame *f, const struct json *data)
{
	struct str base = notify_base_url();
	jw_kstr(w, "title", f->title);
	jw_kstr(w, "name", f->name);
	jw_kstr(w, "base_url", base);
	jw_kstr(w, "coop_name", f->coop_name);
	jw_kbool(w, "essential", f->essential);
	jw_kstr(w, "settings_url", f->to_account ? str_fmt(a, "%.*s/me/notices", STR_ARG(base)) : STR_NONE);
	jw_kstr(w, "inbox_url", str_fmt(a, "%.*s/inbox", STR_ARG(base)));
	jw_kstr(w, "unsubscribe_url", f->unsubscribe);
	jw_kstr(w, "link", notify_link(a, json_member_text(data, "url")));
	jw_kstr(w, "secret_link", own_url(json_member_text(data, "link")));
}

static bool is_of_frame(struct str key)
{
	static const char *const keys[] = { "title", "name", "base_url", "coop_name", "essential", "settings_url", "inbox_url", "unsubscribe_url", "link", "secret_link", "content" };
	return str_which(key, keys, CH_LEN(keys)) >= 0;
}

/* Instants are told in words. */
static void write_member(struct json_writer *w, struct arena *a, const struct json *member)
{
	instant t;
	if (member->type == JSON_STRING && clock_parse(member->text, &t))
		jw_str(w, words_minute(a, t));
	else
		jw_json(w, member);
}

static enum err make_root(struct arena *a, const struct mail_frame *f, const struct json *data, struct str content, const struct json **out, struct error *e)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, MAIL_PART_MAX * 2);
	jw_init(&w, &b);
	jw_object(&w);
	write_frame(&w, a, f, data);
	jw_kstr(&w, "content", content);
	json_each(member, data)
		if (!is_of_frame(member->key)) {
			jw_key_str(&w, member->key);
			write_member(&w, a, member);
		}
	jw_end_object(&w);
	struct str text = buf_take(a, &b);
	if (!text.p)
		return error_set(e, ERR_TOO_LARGE, "A mail says more than a mail may.");
	return json_parse(a, text, out, e);
}

static enum err render_one(struct arena *a, const char *name, const struct json *root, struct str *out, struct error *e)
{
	struct buf b;
	buf_init(&b, MAIL_PART_MAX);
	enum err rendered = template_render(mail_templates.set, a, name, root, &b, e);
	*out = buf_take(a, &b);
	if (rendered == ERR_OK && !out->p)
		return error_set(e, ERR_TOO_LARGE, "A mail says more than a mail may.");
	return rendered;
}

/* The kind's template, and the layout around it. */
static enum err render_part(struct arena *a, const char *kind, const char *form, const struct mail_frame *f, const struct json *data, struct str *out, struct error *e)
{
	const struct json *root;
	struct str content, name = str_fmt(a, "mail/%s.%s", kind, form);
	if (!template_exists(mail_templates.set, name.p))
		name = str_fmt(a, "mail/generic.%s", form);
	TRY(make_root(a, f, data, STR_NONE, &root, e));
	TRY(render_one(a, name.p, root, &content, e));
	TRY(make_root(a, f, data, str_trim(content), &root, e));
	return render_one(a, str_fmt(a, "mail/layout.%s", form).p, root, out, e);
}

enum err mail_render(struct arena *a, const char *kind, const struct mail_frame *f, const struct json *data, struct str *text, struct str *html, struct error *e)
{
	pthread_once(&mail_templates.once, compile);
	if (!mail_templates.set)
		return error_set(e, ERR_INTERNAL, "The templates of mail cannot be used: %s", mail_templates.error.message);
	TRY(render_part(a, kind, "txt", f, data, text, e));
	return render_part(a, kind, "html", f, data, html, e);
}
