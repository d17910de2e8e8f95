/* limits.h - the maxima that several modules share or that people meet, in one table, each with its reason. A maximum of one file alone stands at its top. */
#ifndef COMMONHOLD_LIMITS_H
#define COMMONHOLD_LIMITS_H

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

#define LIMIT_REQUEST_ARENA (16 * MIB)    /* one request's memory: body, parsed tree and answer of the largest buffered route */
#define LIMIT_JOB_ARENA (64 * MIB)        /* one job's memory; streams keep their own windows */
#define LIMIT_DECIDE_ARENA ((size_t)4096 * MIB) /* deciding a whole pool: about 90 bytes an item and 200 a member; some 40 million items */
#define LIMIT_RESPONSE (8 * MIB)          /* a buffered answer; more is streamed */
#define LIMIT_PAGE_DATA (4 * MIB)         /* what a page is rendered from, as JSON: bylaws as HTML are the largest part */
#define LIMIT_BODY_SMALL (64 * KIB)       /* ordinary API bodies and forms */
#define LIMIT_BODY_CHARTER (512 * KIB)    /* a charter with its bylaws */
#define LIMIT_BODY_ITEM (1 * MIB)         /* one contribution */
#define LIMIT_BODY_BATCH ((size_t)16 << 30) /* an NDJSON batch is streamed; a cap that no honest batch meets */
#define LIMIT_CHARTER_FILLED (LIMIT_BODY_CHARTER + 64 * KIB) /* a charter with every default written out */
#define LIMIT_JSON_DEPTH 32               /* nesting; a parser or a reader that recurses must not be the one to find out */
#define LIMIT_JSON_NODES 200000           /* values in one document */
#define LIMIT_HEADERS 63                  /* the HTTP engine drops what comes after its 64th header silently */
#define LIMIT_PATH_PARAMS 6               /* deepest route has four */
#define LIMIT_MANIFEST (32 * MIB)         /* a manifest of the 100,000 files that its schema allows */
#define LIMIT_NOTE (256 * KIB)            /* a signed note, as a checkpoint is: its text and 64 signatures */
#define LIMIT_PROOF (1 * MIB)             /* a tlog-proof: one entry of the log, a path and a checkpoint */
#define LIMIT_PAGE 200                    /* rows in one page of a list */
#define LIMIT_PAGE_DEFAULT 50
#define LIMIT_TOKEN (8 * KIB)             /* a JWT; longer ones are refused before they are decoded */
#define LIMIT_FAULTS 32                   /* faults told about one input; the rest would not be read */
#define LIMIT_TEXT_NAME 200               /* names and titles, characters */
#define LIMIT_TEXT_NOTE 4000              /* reasons, notes, messages */
#define LIMIT_WORKER_STACK (1 * MIB)      /* the engine's default of 100 KiB is too small for JSON and TLS libraries */
#define LIMIT_WORKERS 64                  /* request threads */
#define LIMIT_DB_WAIT_MS 3000             /* how long a request waits for a connection before 503 */
#define LIMIT_STREAMS 16                  /* concurrent long answers: a quarter of the workers */
#define LIMIT_PACE (4 * KIB)              /* bytes a second that a client must move once its first grace is over; nginx waits for slower ones */
#define LIMIT_FORM_FIELDS 500             /* fields and files of one form */
#define LIMIT_DRAIN_MS 20000              /* how long a stop waits for requests in flight */

#endif
