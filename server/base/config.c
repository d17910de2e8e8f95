#include "commonhold/config.h"
#include "commonhold/arena.h"
#include "commonhold/clock.h"
#include "commonhold/log.h"

#include <stdlib.h>

static struct config settings = {
#define X(variable, field, initial, text) .field = initial,
	SETTINGS(X)
#undef X
	.workers_n = 64, .db_pool_n = 6, .job_workers_n = 2, .request_timeout_n = 5000, .rate_limit_n = 600, .backup_content_days_n = 90, .backup_keys_days_n = 7,
};

/* Text of settings that are made from others; lives as long as the process. */
static struct arena *texts;

const struct config *config(void)
{
	return &settings;
}

bool config_setting(size_t i, struct setting *out)
{
	const struct setting rows[] = {
#define X(variable, field, initial, text) { variable, initial, text, settings.field },
		SETTINGS(X)
#undef X
	};
	if (i >= CH_LEN(rows))
		return false;
	*out = rows[i];
	return true;
}

static const char *environment(const char *variable, const char *initial)
{
	const char *value = getenv(variable);
	return value ? value : initial;
}

static enum err number(const char *variable, const char *text, int min, int max, int *out, struct error *e)
{
	int64_t v;
	if (!str_to_i64(str_of(text), min, max, &v))
		return error_set(e, ERR_CONFIG, "%s is \"%s\"; it must be a whole number from %d to %d.", variable, text, min, max);
	*out = (int)v;
	return ERR_OK;
}

static enum err yes_or_no(const char *variable, const char *text, bool *out, struct error *e)
{
	*out = str_is(str_of(text), "yes");
	if (!*out && !str_is(str_of(text), "no"))
		return error_set(e, ERR_CONFIG, "%s is \"%s\"; it must be yes or no.", variable, text);
	return ERR_OK;
}

/* "127.0.0.1:8080", "[::1]:8080", or a port alone for every address. Port 0 picks one. */
static enum err address(const char *variable, const char *text, struct error *e)
{
	const char *colon = strrchr(text, ':');
	int64_t port;
	if (colon == text || !str_to_i64(str_of(colon ? colon + 1 : text), 0, 65535, &port))
		return error_set(e, ERR_CONFIG, "%s is \"%s\"; it must be an address and a port such as 127.0.0.1:8080.", variable, text);
	return ERR_OK;
}

static enum err start_log(struct error *e)
{
	enum log_level level;
	bool plain = str_is(str_of(settings.log_format), "plain");
	if (!log_level_parse(str_of(settings.log), &level))
		return error_set(e, ERR_CONFIG, "COMMONHOLD_LOG is \"%s\"; it must be debug, info, warn or error.", settings.log);
	if (!plain && !str_is(str_of(settings.log_format), "json"))
		return error_set(e, ERR_CONFIG, "COMMONHOLD_LOG_FORMAT is \"%s\"; it must be json or plain.", settings.log_format);
	log_configure(level, plain);
	return ERR_OK;
}

static enum err start_clock(struct error *e)
{
	instant from;
	if (!settings.clock[0])
		return ERR_OK;
	if (!clock_parse(str_of(settings.clock), &from))
		return error_set(e, ERR_CONFIG, "COMMONHOLD_CLOCK is \"%s\"; it must be an instant such as 2026-01-31T12:00:00Z.", settings.clock);
	clock_shift(from - clock_now());
	return ERR_OK;
}

static const char *below_dir(const char *given, const char *name)
{
	return given[0] ? given : str_fmt(texts, "%s/%s", settings.dir, name).p;
}

/* The scheme, a host and perhaps a port: credentials have settings of their own, which are never shown. */
static enum err mail(struct error *e)
{
	struct str url = str_of(settings.smtp_url), from = str_of(settings.mail_from);
	if (!url.n)
		return ERR_OK;
	struct str host = str_starts(url, "smtp://") ? str_sub(url, 7, url.n) : str_starts(url, "smtps://") ? str_sub(url, 8, url.n) : STR("");
	if (!host.n || str_index(host, '@') >= 0 || str_index(host, '/') >= 0 || str_index(host, ' ') >= 0)
		return error_set(e, ERR_CONFIG, "COMMONHOLD_SMTP_URL must be like smtp://mail.example.org:587 or smtps://mail.example.org, with nothing after the port and no name or password in it.");
	if (str_index(from, '@') <= 0 || str_index(from, '\r') >= 0 || str_index(from, '\n') >= 0)
		return error_set(e, ERR_CONFIG, "COMMONHOLD_MAIL_FROM is \"%s\"; with COMMONHOLD_SMTP_URL it must be a sender such as Commonhold <mail@coop.example>.", settings.mail_from);
	if (settings.mail_bounces[0] && str_index(str_of(settings.mail_bounces), '@') <= 0)
		return error_set(e, ERR_CONFIG, "COMMONHOLD_MAIL_BOUNCES is \"%s\"; it must be an address such as bounces@coop.example.", settings.mail_bounces);
	return ERR_OK;
}

bool url_is_loopback(struct str url)
{
	static const char *const hosts[] = { "http://127.0.0.1", "http://localhost", "http://[::1]" };
	for (size_t i = 0; i < CH_LEN(hosts) && str_index(url, '@') < 0; i++)
		if (str_starts(url, hosts[i])) {
			struct str rest = str_sub(url, strlen(hosts[i]), url.n);
			return rest.n == 0 || rest.p[0] == ':' || rest.p[0] == '/';
		}
	return false;
}

/* A provider of identities: its address and what it calls us go together. */
static enum err provider(struct error *e)
{
	if (settings.oidc_issuer[0] && !settings.oidc_client_id[0])
		return error_set(e, ERR_CONFIG, "COMMONHOLD_OIDC_CLIENT_ID is empty; it must be what %s calls this instance.", settings.oidc_issuer);
	if (settings.oidc_issuer[0] && !str_starts(str_of(settings.oidc_issuer), "https://") && !url_is_loopback(str_of(settings.oidc_issuer)))
		return error_set(e, ERR_CONFIG, "COMMONHOLD_OIDC_ISSUER is \"%s\"; it must begin with https://.", settings.oidc_issuer);
	return ERR_OK;
}

enum err config_load(struct error *e)
{
	if (!texts)
		texts = arena_new(64 * 1024);
	if (!texts)
		return error_set(e, ERR_NO_MEMORY, "There is no memory to start with.");
#define X(variable, field, initial, text) settings.field = environment(variable, initial);
	SETTINGS(X)
#undef X
	settings.key_dir = below_dir(settings.key_dir, "keys");
	settings.releases_dir = below_dir(settings.releases_dir, "releases");
	TRY(address("COMMONHOLD_LISTEN", settings.listen, e));
	TRY(number("COMMONHOLD_WORKERS", settings.workers, 1, 256, &settings.workers_n, e));
	TRY(number("COMMONHOLD_DB_POOL", settings.db_pool, 1, 64, &settings.db_pool_n, e));
	TRY(number("COMMONHOLD_JOB_WORKERS", settings.job_workers, 0, 16, &settings.job_workers_n, e));
	TRY(number("COMMONHOLD_REQUEST_TIMEOUT_MS", settings.request_timeout_ms, 100, 600000, &settings.request_timeout_n, e));
	TRY(number("COMMONHOLD_RATE_LIMIT", settings.rate_limit, 0, 1000000, &settings.rate_limit_n, e));
	TRY(number("COMMONHOLD_BACKUP_CONTENT_DAYS", settings.backup_content_days, 0, 3650, &settings.backup_content_days_n, e));
	TRY(number("COMMONHOLD_BACKUP_KEYS_DAYS", settings.backup_keys_days, 0, settings.backup_content_days_n, &settings.backup_keys_days_n, e));
	TRY(yes_or_no("COMMONHOLD_TRUST_PROXY", settings.trust_proxy, &settings.trust_proxy_on, e));
	TRY(yes_or_no("COMMONHOLD_ALLOW_PRIVATE", settings.allow_private, &settings.allow_private_on, e));
	if (!str_starts(str_of(settings.base_url), "http://") && !str_starts(str_of(settings.base_url), "https://"))
		return error_set(e, ERR_CONFIG, "COMMONHOLD_BASE_URL is \"%s\"; it must begin with http:// or https://.", settings.base_url);
	TRY(mail(e));
	TRY(provider(e));
	TRY(start_log(e));
	return start_clock(e);
}
