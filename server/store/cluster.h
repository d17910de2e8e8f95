/* cluster.h - what cluster.c (its life) and cluster_setup.c (its making) share. */
#ifndef COMMONHOLD_STORE_CLUSTER_H
#define COMMONHOLD_STORE_CLUSTER_H

#include "commonhold/db.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* How PostgreSQL is kept from being root, which it refuses to be. */
enum unprivileged {
	AS_OURSELVES, /* we are not root */
	AS_MAPPED,    /* root, seen as the account postgres inside a user namespace: files stay root's */
	AS_OTHER,     /* another account, by setpriv; its files are that account's */
};

struct cluster {
	char dir[PATH_MAX];          /* absolute; ours alone */
	char data[PATH_MAX + 16];    /* dir/postgres, or where that leads */
	char log[PATH_MAX + 16];     /* dir/postgres.log */
	char bin[PATH_MAX];          /* folder of PostgreSQL's programs */
	char socket_dir[108];        /* of the Unix socket */
	char urls[2][256];           /* content, keys */
	enum unprivileged as;        /* how it is run */
	uid_t uid;                   /* the account, for AS_MAPPED and AS_OTHER */
	gid_t gid;                   /* and its group */
	char peer[64];               /* the account as which the server sees our connections */
	char prefix[3][40];          /* arguments of the wrapper */
	int lock;                    /* descriptor of dir/cluster.lock; who holds its lock owns the cluster */
	bool owner;                  /* we hold it */
	bool child;                  /* the postmaster is our child, to be reaped */
	_Atomic pid_t pid;           /* of the postmaster; 0 while it is down */
	int stop[2];                 /* a byte in this pipe ends the supervision */
	pthread_t supervisor;
	bool supervised;             /* the thread runs */
};

#define CLUSTER_ARGS 32 /* of a command line */

/* Fills in directories, programs and the account; makes `dir`. */
CH_CHECK enum err cluster_find(struct cluster *c, const char *dir, struct error *e);
/* initdb, once. */
CH_CHECK enum err cluster_create(struct cluster *c, struct error *e);
/* Who may connect: the account that runs it, over the socket, and nobody else. Written before every start. */
CH_CHECK enum err cluster_write_access(const struct cluster *c, struct error *e);
/* The roles and the two databases; needs a running server. */
CH_CHECK enum err cluster_make_databases(const struct cluster *c, struct error *e);
/* A command line behind the wrapper that sheds root. `argv` has room for CLUSTER_ARGS. */
void cluster_command(const struct cluster *c, const char **argv, const char *const *command);
/* The last lines of the log into e->detail. */
void cluster_log_tail(const struct cluster *c, struct error *e);
/* host=… user=… dbname=… */
void cluster_conninfo(const struct cluster *c, char *out, size_t n, const char *user, const char *database);

#endif
