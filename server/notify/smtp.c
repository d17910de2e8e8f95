#include "server/notify/smtp.h"
#include "server/notify/message.h"

#include "commonhold/config.h"
#include "commonhold/limits.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_SECONDS 10L
#define MAIL_SECONDS 30L      /* one mail from the connection to the reply: a batch of them must fit the lease of its mail */

struct smtp {
	CURL *curl;
	char url[600];             /* server, and the name that we greet it with */
	struct str message;        /* what is left to be read of the mail under way */
	char verb[8];              /* the last command sent */
	int code;                  /* the last reply, */
	char line[200];            /* and its text */
	bool leaving;              /* QUIT was sent: what is said from now on is not about the mail */
};

static bool is_loopback(struct str host)
{
	return str_is(host, "localhost") || str_is(host, "[::1]") || str_starts(host, "127.");
}

bool smtp_is_here(const char *url)
{
	struct str host = str_of(strstr(url, "://") ? strstr(url, "://") + 3 : url);
	bool bracketed = str_starts(host, "[");
	ptrdiff_t end = str_index(host, bracketed ? ']' : ':');
	return is_loopback(end < 0 ? host : str_sub(host, 0, (size_t)end + bracketed));
}

/* A reply's last line, "550 5.1.1 No such user". */
static void note_reply(struct smtp *s, struct str line)
{
	int64_t code;
	if (line.n >= 3 && str_to_i64(str_sub(line, 0, 3), 200, 599, &code)) {
		s->code = (int)code;
		mail_words_keep(str_sub(line, 4, line.n), s->line, sizeof(s->line));
	}
}

/* A command's verb, and nothing else of it: what follows may be a password. Leaving is no part of what becomes of a mail. */
static void note_command(struct smtp *s, const char *data, size_t n)
{
	char verb[sizeof(s->verb)] = "";
	for (size_t i = 0; i < n && i < sizeof(verb) - 1 && data[i] >= 'A' && data[i] <= 'Z'; i++)
		verb[i] = data[i];
	s->leaving = strcmp(verb, "QUIT") == 0;
	if (!s->leaving)
		memcpy(s->verb, verb, sizeof(verb));
}

/* libcurl tells what it sends and hears. */
static int watch(CURL *curl, curl_infotype type, char *data, size_t n, void *arg)
{
	struct smtp *s = arg;
	(void)curl;
	if (type == CURLINFO_HEADER_OUT)
		note_command(s, data, n);
	else if (type == CURLINFO_HEADER_IN && !s->leaving)
		note_reply(s, str_make(data, n));
	return 0;
}

static size_t read_message(char *to, size_t size, size_t n, void *arg)
{
	struct smtp *s = arg;
	size_t take = size * n < s->message.n ? size * n : s->message.n;
	memcpy(to, s->message.p, take);
	s->message = str_sub(s->message, take, s->message.n);
	return take;
}

/* The name that we greet with: the host of our own address, "localhost" where that is no name. */
static void greeting(char *out, size_t size)
{
	const char *base = strstr(config()->base_url, "://");
	size_t n = base ? strcspn(base + 3, ":/[") : 0;
	snprintf(out, size, "%.*s", n ? (int)n : 9, n ? base + 3 : "localhost");
}

static void secure(struct smtp *s)
{
	bool here = str_starts(str_of(config()->smtp_url), "smtp://") && smtp_is_here(config()->smtp_url);
	curl_easy_setopt(s->curl, CURLOPT_USE_SSL, (long)(here ? CURLUSESSL_NONE : CURLUSESSL_ALL));
	curl_easy_setopt(s->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(s->curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(s->curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (config()->smtp_ca[0])
		curl_easy_setopt(s->curl, CURLOPT_CAINFO, config()->smtp_ca);
}

static void prepare(struct smtp *s)
{
	s->verb[0] = s->line[0] = '\0';
	s->code = 0;
	s->leaving = false;
	curl_easy_reset(s->curl);
	curl_easy_setopt(s->curl, CURLOPT_URL, s->url);
	curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(s->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(s->curl, CURLOPT_TIMEOUT, MAIL_SECONDS);
	curl_easy_setopt(s->curl, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(s->curl, CURLOPT_DEBUGFUNCTION, watch);
	curl_easy_setopt(s->curl, CURLOPT_DEBUGDATA, s);
	if (config()->smtp_user[0]) {
		curl_easy_setopt(s->curl, CURLOPT_USERNAME, config()->smtp_user);
		curl_easy_setopt(s->curl, CURLOPT_PASSWORD, config()->smtp_password);
	}
	secure(s);
}

struct smtp *smtp_new(void)
{
	struct smtp *s = calloc(1, sizeof(*s));
	char name[256];
	if (!s || !(s->curl = curl_easy_init())) {
		free(s);
		return NULL;
	}
	greeting(name, sizeof(name));
	snprintf(s->url, sizeof(s->url), "%s/%s", config()->smtp_url, name);
	return s;
}

void smtp_free(struct smtp *s)
{
	if (!s)
		return;
	curl_easy_cleanup(s->curl);
	free(s);
}

/* What cannot be sent to any server, such as an address whose host has no ASCII form. */
static bool is_our_fault(CURLcode result)
{
	return result == CURLE_URL_MALFORMAT || result == CURLE_BAD_FUNCTION_ARGUMENT || result == CURLE_READ_ERROR;
}

/* A refusal says something about the address when it answers RCPT, and about the message when it answers DATA. Once a mail was begun, whatever else goes wrong is put
 * down to that mail, so that one on which a server chokes does not hold up the others; before that, nothing can be sent. */
static enum smtp_outcome judge(const struct smtp *s, CURLcode result)
{
	bool mail = strcmp(s->verb, "MAIL") == 0, rcpt = strcmp(s->verb, "RCPT") == 0, data = strcmp(s->verb, "DATA") == 0;
	if (result == CURLE_OK)
		return SMTP_TAKEN;
	if (is_our_fault(result) || (data && s->code >= 500))
		return SMTP_REFUSED;
	if (rcpt && s->code >= 500)
		return SMTP_NOBODY;
	return mail || rcpt || data ? SMTP_LATER : SMTP_DOWN;
}

static struct smtp_reply reply_of(const struct smtp *s, CURLcode result)
{
	struct smtp_reply r = { .outcome = judge(s, result), .code = s->code };
	bool refused = result == CURLE_OK || s->code >= 400;
	snprintf(r.said, sizeof(r.said), "%s", refused ? s->line : curl_easy_strerror(result));
	return r;
}

struct smtp_reply smtp_send(struct smtp *s, struct str from, struct str to, struct str message)
{
	char sender[300], recipient[300];
	prepare(s);
	snprintf(sender, sizeof(sender), "<%.*s>", STR_ARG(from));
	snprintf(recipient, sizeof(recipient), "<%.*s>", STR_ARG(to));
	struct curl_slist *recipients = curl_slist_append(NULL, recipient);
	if (!recipients)
		return (struct smtp_reply){ .outcome = SMTP_DOWN, .said = "out of memory" };
	s->message = message;
	curl_easy_setopt(s->curl, CURLOPT_MAIL_FROM, sender);
	curl_easy_setopt(s->curl, CURLOPT_MAIL_RCPT, recipients);
	curl_easy_setopt(s->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(s->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)message.n);
	curl_easy_setopt(s->curl, CURLOPT_READFUNCTION, read_message);
	curl_easy_setopt(s->curl, CURLOPT_READDATA, s);
	CURLcode result = curl_easy_perform(s->curl);
	curl_slist_free_all(recipients);
	return reply_of(s, result);
}

struct smtp_reply smtp_try(struct smtp *s)
{
	prepare(s);
	curl_easy_setopt(s->curl, CURLOPT_CONNECT_ONLY, 1L);
	return reply_of(s, curl_easy_perform(s->curl));
}
