/* config.h - the settings: from the environment, read once at start, checked, and the only global besides the clock.
 *
 * SETTINGS is the list that README.md and `commonhold doctor` show: name of the variable, field, default, what it is.
 */
#ifndef COMMONHOLD_CONFIG_H
#define COMMONHOLD_CONFIG_H

#include "error.h"

#define SETTINGS(X) \
	X("COMMONHOLD_DIR", dir, "./var", "Folder for everything that is kept: the private database, keys, releases.") \
	X("COMMONHOLD_LISTEN", listen, "127.0.0.1:8080", "Address and port to answer on. Put nginx in front of it for the world.") \
	X("COMMONHOLD_BASE_URL", base_url, "http://127.0.0.1:8080", "Address under which people reach the instance. With https, cookies are bound to it.") \
	X("COMMONHOLD_DATABASE_URL", database_url, "", "PostgreSQL to use, several hosts allowed. Empty: a private one in COMMONHOLD_DIR.") \
	X("COMMONHOLD_KEYS_URL", keys_url, "", "Database of the members' keys. Empty: beside the first, with _keys behind its name.") \
	X("COMMONHOLD_KEY_DIR", key_dir, "", "Folder of the instance's own keys. Empty: keys in COMMONHOLD_DIR.") \
	X("COMMONHOLD_RELEASES_DIR", releases_dir, "", "Folder of built releases. Empty: releases in COMMONHOLD_DIR.") \
	X("COMMONHOLD_LOG", log, "info", "Least level that is logged: debug, info, warn, error.") \
	X("COMMONHOLD_LOG_FORMAT", log_format, "json", "json, or plain for people.") \
	X("COMMONHOLD_WORKERS", workers, "64", "Requests answered at the same time.") \
	X("COMMONHOLD_DB_POOL", db_pool, "6", "Database connections behind them.") \
	X("COMMONHOLD_JOB_WORKERS", job_workers, "2", "Jobs run at the same time; 0 leaves them to another process.") \
	X("COMMONHOLD_REQUEST_TIMEOUT_MS", request_timeout_ms, "5000", "Longest gap inside a request.") \
	X("COMMONHOLD_RATE_LIMIT", rate_limit, "600", "Requests a minute for one account or address; 0 for no limit.") \
	X("COMMONHOLD_TRUST_PROXY", trust_proxy, "no", "yes: believe X-Forwarded-For from this machine.") \
	X("COMMONHOLD_SMTP_URL", smtp_url, "", "Mail server: smtp://host:587 (STARTTLS, required unless it is this machine) or smtps://host. Empty: no mail, notices stay in the inbox.") \
	X("COMMONHOLD_SMTP_USER", smtp_user, "", "Name to sign in to it with.") \
	X("COMMONHOLD_SMTP_PASSWORD", smtp_password, "", "Password to sign in to it with.") \
	X("COMMONHOLD_SMTP_CA", smtp_ca, "", "File of certificates that its certificate is checked against. Empty: those of the system.") \
	X("COMMONHOLD_MAIL_FROM", mail_from, "", "Sender of mail, such as Commonhold <mail@coop.example>. Needed with a mail server.") \
	X("COMMONHOLD_MAIL_BOUNCES", mail_bounces, "", "Address that delivery reports go to, extended by +id for each mail. Empty: the sender's.") \
	X("COMMONHOLD_BACKUP_CONTENT_DAYS", backup_content_days, "90", "Days that backups of the content are kept (backup.sh --content-days). People are told when the last one that holds what they had erased expires.") \
	X("COMMONHOLD_BACKUP_KEYS_DAYS", backup_keys_days, "7", "Days that backups of the keys are kept (backup.sh --keys-days): without them those of the content cannot be read.") \
	X("COMMONHOLD_METRICS_TOKEN", metrics_token, "", "Bearer token that opens /metrics to other machines.") \
	X("COMMONHOLD_OIDC_ISSUER", oidc_issuer, "", "OpenID Connect provider that people may sign in with, such as https://accounts.example.org. Empty: none.") \
	X("COMMONHOLD_OIDC_NAME", oidc_name, "", "What people call it. Empty: its host.") \
	X("COMMONHOLD_OIDC_CLIENT_ID", oidc_client_id, "", "What the provider calls this instance.") \
	X("COMMONHOLD_OIDC_CLIENT_SECRET", oidc_client_secret, "", "The secret that goes with it. Empty: a public client, by PKCE alone.") \
	X("COMMONHOLD_ALLOW_PRIVATE", allow_private, "no", "yes: webhooks of mirrors and publishing targets may be machines of this network, and without TLS. For tests and closed networks.") \
	X("COMMONHOLD_CLOCK", clock, "", "For tests: the instant (RFC 3339) that the clock starts at.")

struct config {
#define X(variable, field, initial, text) const char *field;
	SETTINGS(X)
#undef X
	int workers_n, db_pool_n, job_workers_n, request_timeout_n, rate_limit_n, backup_content_days_n, backup_keys_days_n;
	bool trust_proxy_on, allow_private_on;
};

/* Reads and checks the environment; ERR_CONFIG names the variable and what it may be. */
CH_CHECK enum err config_load(struct error *e);
/* Plain http to this very machine: the one kind of address that is spoken to without TLS. */
bool url_is_loopback(struct str url);
/* What was loaded; the defaults before. */
const struct config *config(void);
/* One row of the list, for `commonhold doctor` and the README's test; false past the end. */
struct setting { const char *variable, *initial, *text, *value; };
bool config_setting(size_t i, struct setting *out);

#endif
