#include "app.h"

#include "commonhold/access.h"
#include "commonhold/account.h"
#include "commonhold/adapter.h"
#include "commonhold/agreement.h"
#include "commonhold/joint.h"
#include "commonhold/ballot.h"
#include "commonhold/ballot_proof.h"
#include "commonhold/bundle.h"
#include "commonhold/control.h"
#include "commonhold/checkup.h"
#include "commonhold/coop.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/fork.h"
#include "commonhold/onward.h"
#include "commonhold/delegation.h"
#include "commonhold/erasure.h"
#include "commonhold/holdings.h"
#include "commonhold/http.h"
#include "commonhold/hub.h"
#include "commonhold/ledger.h"
#include "commonhold/log.h"
#include "commonhold/message.h"
#include "commonhold/merge.h"
#include "commonhold/mirror.h"
#include "commonhold/motion.h"
#include "commonhold/notify.h"
#include "commonhold/peer.h"
#include "commonhold/pool.h"
#include "commonhold/preview.h"
#include "commonhold/release.h"
#include "commonhold/release_api.h"
#include "commonhold/routes.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The program's parts, in the order in which they are opened. */
struct app {
	struct instance_keys *keys;
	struct cluster *cluster;      /* NULL with a database of the operator's own */
	struct db_pool *content;
	struct db_pool *keyring;
	struct http_server *http;     /* NULL until app_serve */
	struct job_runner *jobs;
};

/* A module a line. */
static const struct route *const route_tables[] = {
	web_routes,
	account_routes, account_page_routes, sign_in_routes, sign_in_page_routes, security_page_routes,
	notify_routes, notify_page_routes,
	ledger_routes, ledger_page_routes,
	coop_routes, coop_page_routes,
	delegation_routes, delegation_page_routes,
	pool_routes, pool_page_routes,
	ballot_routes, ballot_page_routes,
	ballot_proof_routes, ballot_proof_page_routes,
	release_routes, release_page_routes, tombstone_routes, calendar_routes,
	access_routes, access_page_routes,
	hub_routes,
	holdings_routes,
	benefit_routes, benefit_page_routes,
	control_routes, control_page_routes,
	motion_routes, motion_page_routes,
	checkup_routes, checkup_page_routes,
	mirror_routes,
	erasure_routes, erasure_page_routes, erasure_ask_page_routes, erasure_admin_page_routes, erasure_statement_routes,
	tombstone_page_routes, mirror_page_routes, agent_page_routes, account_deletion_page_routes, holdings_page_routes,
	adapter_routes, adapter_page_routes,
	peer_routes, agreement_routes, message_routes, bundle_routes, merge_routes,
	preview_routes, joint_routes,
	peer_page_routes, merge_diff_page_routes, agreement_page_routes, dry_run_page_routes, joint_page_routes,
	conflict_page_routes, item_page_routes, bundle_page_routes, lineage_page_routes, fork_page_routes, link_page_routes,
	fork_routes, link_routes,
	onward_routes,
	NULL,
};

static const struct job_kind *const job_tables[] = {
	web_jobs,
	notify_jobs,
	account_jobs,
	coop_jobs,
	pool_jobs,
	control_jobs,
	delegation_jobs,
	ballot_jobs,
	ballot_proof_jobs,
	release_jobs,
	access_jobs,
	holdings_jobs,
	peer_jobs,
	agreement_jobs, message_jobs, bundle_jobs, merge_jobs,
	preview_jobs, joint_jobs,
	fork_jobs,
	onward_jobs,
	motion_jobs,
	checkup_jobs,
	erasure_jobs,
	mirror_jobs,
	adapter_jobs,
	NULL,
};

static const struct job_tick ticks[] = {
	{ "release.schedule", 3600 },
	{ "membership.daily", 86400 },
	{ "delegation.daily", 86400 },
	{ "access.prune", 86400 },
	{ "retention.daily", 86400 },
	{ "mirror.daily", 86400 },
	{ "adapter.tick", 3600 },
	{ "account.forget", 86400 },
	{ "web.forget", 3600 },
	{ "erasure.reconcile", 86400 },
	{ "notify.send", 600 },
	{ "notify.digest", 86400 },
	{ "erasure.daily", 86400 },
	{ "peer.refresh", 86400 },
	{ "fork.feed", 86400 },
	{ "agreement.daily", 3600 },
	{ "bundle.tick", 3600 },
	JOB_TICK_END,
};

const struct job_kind *const *app_jobs(void)
{
	return job_tables;
}

static const struct lifecycle *const lives[] = { &ballot_life, &release_life, &membership_life, &erasure_life, &mirror_life, &agreement_life };

static enum err check_lives(struct error *e)
{
	for (size_t i = 0; i < CH_LEN(lives); i++)
		TRY(lifecycle_check(lives[i], e));
	return ERR_OK;
}

/* The same for every page and call: who is this, and which co-op is meant. */
static enum err identify(struct call *c, const struct http_identity *who, struct coop_ref *coop)
{
	return coop_identify(c, who, coop);
}

/* What a ballot's page shows of its subject, by whose business it is. */
static enum err on_ballot(struct call *c, const struct ballot *b, struct json_writer *w)
{
	if (str_is(b->kind, "merge"))
		return agreement_on_ballot(c, b, w);
	return str_is(b->kind, "appeal") ? erasure_on_ballot(c, b, w) : motion_on_ballot(c, b, w);
}

static enum err ready(struct call *c)
{
	SQL(ping, "SELECT 1");
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, ping, NULL));
	return db_commit(c);
}

static void gauges(void)
{
	struct db_pool_stats s = db_pool_stats(db_content_pool());
	metric_set("commonhold_db_connections", "", s.size);
	metric_set("commonhold_db_connections_in_use", "", s.in_use);
	metric_set("commonhold_db_waiting", "", s.waiting);
	metric_set("commonhold_db_wait_timeouts_total", "", s.timeouts);
	metric_set("commonhold_db_queries_total", "", s.queries);
	job_metrics();
	release_gauges();
	mirror_metrics();
}

static enum err make_dir(const char *path, mode_t mode, struct error *e)
{
	if (mkdir(path, mode) != 0 && errno != EEXIST)
		return error_set(e, ERR_CONFIG, "The folder %s cannot be made: %s. Set COMMONHOLD_DIR to one that can.", path, strerrorname_np(errno));
	return ERR_OK;
}

static enum err open_database(struct app *a, struct error *e)
{
	const struct config *cf = config();
	const char *url = cf->database_url, *keys_url = cf->keys_url;
	struct arena *scratch = arena_new(64 * KIB);
	if (!scratch)
		return error_set(e, ERR_NO_MEMORY, "There is no memory to start with.");
	if (!url[0]) {
		enum err started = cluster_start(&a->cluster, cf->dir, e);
		if (started != ERR_OK) {
			arena_free(scratch);
			return started;
		}
		url = cluster_url(a->cluster, false);
		keys_url = cluster_url(a->cluster, true);
	} else if (!keys_url[0]) {
		keys_url = db_keys_url(scratch, url).p;
	}
	enum err opened = keys_url ? db_pool_open(&a->content, url, cf->db_pool_n, e) : error_set(e, ERR_CONFIG, "COMMONHOLD_DATABASE_URL is not a connection string.");
	if (opened == ERR_OK)
		opened = db_pool_open(&a->keyring, keys_url, 2, e);
	arena_free(scratch);
	TRY(opened);
	db_use_pool(a->content, a->keyring);
	return ERR_OK;
}

static enum err migrate(struct app *a, struct error *e)
{
	int content, keys;
	TRY(db_migrate(a->content, false, &content, e));
	TRY(db_migrate(a->keyring, true, &keys, e));
	if (content + keys)
		log_event(LOG_INFO, "database.migrated", LOG_N("content", content), LOG_N("keys", keys));
	return ERR_OK;
}

/* The part of the base URL that names the host: what logs are called by. */
static const char *host_of(const char *base_url)
{
	const char *at = strstr(base_url, "://");
	return at ? at + 3 : base_url;
}

static void block_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

enum err app_open(struct app **out, struct error *e)
{
	struct app *a = calloc(1, sizeof(*a));
	*out = a;
	if (!a)
		return error_set(e, ERR_NO_MEMORY, "There is no memory to start with.");
	block_signals();
	TRY(config_load(e));
	if (!crypto_start() || !fetch_start())
		return error_set(e, ERR_INTERNAL, "The cryptographic libraries cannot be started.");
	TRY(check_lives(e));
	TRY(make_dir(config()->dir, 0700, e));
	TRY(make_dir(config()->releases_dir, 0700, e));
	TRY(instance_keys_open(config()->key_dir, &a->keys, e));
	instance_keys_use(a->keys);
	ledger_use_host(host_of(config()->base_url));
	ballot_use_subject(on_ballot);
	ballot_use_about(agreement_about_ballot);
	onward_start();
	merge_use_waiting();
	TRY(open_database(a, e));
	return migrate(a, e);
}

void app_close(struct app *a)
{
	if (!a)
		return;
	db_pool_close(a->content);
	db_pool_close(a->keyring);
	cluster_stop(a->cluster);
	instance_keys_free(a->keys);
	free(a);
}

/* What is looked at whenever a server starts: whether a restored backup has brought erased items back. */
static enum err queue_at_start(struct error *e)
{
	struct arena *a = arena_new(64 * KIB);
	if (!a)
		return error_set(e, ERR_NO_MEMORY, "There is no memory to start with.");
	struct call c = { .arena = a, .actor.kind = AUTH_SYSTEM, .locale = STR("en") };
	enum err err = db_begin(&c, DB_WRITE);
	if (err == ERR_OK)
		err = job_queue(&c, "erasure.reconcile", STR("start"), STR_NONE, clock_now());
	if (err == ERR_OK)
		err = db_commit(&c);
	*e = c.error;
	e->faults = NULL;
	db_release(&c);
	arena_free(a);
	return err;
}

enum err app_serve(struct app *a, struct error *e)
{
	const struct config *cf = config();
	struct http_options options = {
		.listen = cf->listen, .base_url = cf->base_url, .tables = route_tables, .workers = cf->workers_n, .request_timeout_ms = cf->request_timeout_n,
		.rate_per_minute = cf->rate_limit_n, .trust_proxy = cf->trust_proxy_on, .metrics_token = cf->metrics_token[0] ? str_of(cf->metrics_token) : STR_NONE,
		.secret = str_make(instance_seal_key(a->keys)->b, 32), .hooks = { identify, ready, gauges },
	};
	if (cf->job_workers_n > 0) {
		TRY(queue_at_start(e));
		job_ticks(ticks);
		TRY(job_start(&a->jobs, job_tables, cf->job_workers_n, e));
	}
	return http_start(&a->http, &options, e);
}

int app_port(const struct app *a)
{
	return a->http ? http_port(a->http) : 0;
}

void app_drain(struct app *a)
{
	if (a->http)
		http_stop(a->http);
	if (a->jobs)
		job_stop(a->jobs);
	mirror_push_drain();
	a->http = NULL;
	a->jobs = NULL;
}

void app_wait(void)
{
	sigset_t set;
	int which;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &which);
}

struct call *app_call(void)
{
	struct arena *arena = arena_new(LIMIT_JOB_ARENA);
	if (!arena)
		return NULL;
	struct call *c = ARENA_NEW(arena, struct call);
	c->arena = arena;
	c->actor.kind = AUTH_SYSTEM;
	c->locale = STR("en");
	return c;
}

void app_call_end(struct call *c)
{
	if (!c)
		return;
	db_release(c);
	arena_free(c->arena);
}
