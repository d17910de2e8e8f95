/* What people are told by mail and in their inbox about signing in. The link of a mail carries its secret in the query: a path would stand in more logs. */
#include "server/account/account_internal.h"

#include "commonhold/config.h"
#include "commonhold/notify.h"
#include "commonhold/words.h"

static const struct { const char *title, *text, *action; } link_words[] = {
	[LINK_SIGN_IN] = { "Sign in to Commonhold", "Open this link to sign in. If you did not ask for it, do nothing: nobody is signed in without it.", "Sign in" },
	[LINK_RESET] = { "A new password for Commonhold", "Open this link to set a new password. If you did not ask for it, do nothing: your password stays as it is.", "Set a new password" },
	[LINK_VERIFY] = { "Confirm your e-mail address", "Open this link to confirm that mail reaches you at this address. If you did not register, do nothing.", "Confirm the address" },
};

static struct json_writer data_begin(struct buf *b, const char *title, const char *text)
{
	struct json_writer w;
	buf_init(b, 16 * KIB);
	jw_init(&w, b);
	jw_object(&w);
	jw_kz(&w, "title", title);
	jw_kz(&w, "text", text);
	return w;
}

enum err notice_link(struct call *c, const struct account *who, enum link_purpose purpose, struct str secret, instant expires)
{
	struct buf b;
	struct json_writer w = data_begin(&b, link_words[purpose].title, link_words[purpose].text);
	struct str base = str_of(config()->base_url);
	while (base.n && base.p[base.n - 1] == '/')
		base.n--;
	jw_kstr(&w, "link", str_fmt(c->arena, "%.*s/sign-in/link?secret=%.*s", STR_ARG(base), STR_ARG(secret)));
	jw_kz(&w, "action", link_words[purpose].action);
	if (purpose != LINK_VERIFY)
		jw_kint(&w, "minutes", (expires - clock_now()) / CLOCK_MINUTE);
	jw_end_object(&w);
	return notify_mail_to(c, who->email, "account.link", buf_take(c->arena, &b));
}

enum err notice_new_sign_in(struct call *c, const struct account *who, struct str agent)
{
	struct buf b;
	struct json_writer w = data_begin(&b, "A new sign-in to your account",
		"Somebody signed in to your account with a browser that was not seen before. If that was not you, sign it out under My account and change your password.");
	jw_kz(&w, "url", "/me");
	jw_kstr(&w, "when", words_minute(c->arena, clock_now()));
	jw_kstr(&w, "agent", agent.n ? agent : STR("a browser without a name"));
	jw_end_object(&w);
	return notify_send(c, &(struct notice){ .kind = "account.new_sign_in", .account = who->id, .data = buf_take(c->arena, &b), .essential = true });
}

enum err notice_changed(struct call *c, struct uuid account, const char *what)
{
	struct buf b;
	struct json_writer w = data_begin(&b, "How you sign in was changed", str_fmt(c->arena, "%s If that was not you, ask for a new password on the sign-in page at once.", what).p);
	jw_kz(&w, "url", "/me");
	jw_kstr(&w, "when", words_minute(c->arena, clock_now()));
	jw_kz(&w, "what", what);
	jw_end_object(&w);
	return notify_send(c, &(struct notice){ .kind = "account.factor_changed", .account = account, .data = buf_take(c->arena, &b), .essential = true });
}
