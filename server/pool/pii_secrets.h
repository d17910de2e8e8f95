/* pii_secrets.h - what pii.c shares with its matcher of keys, tokens and passwords. */
#ifndef POOL_PII_SECRETS_H
#define POOL_PII_SECRETS_H

#include "server/pool/pii_numbers.h"

/* Shorter runs of letters, digits, '_' and '-' hold no token. */
#define PII_TOKEN_RUN 16

/* Looks at a run [from, to) of at least PII_TOKEN_RUN token characters. */
void pii_match_token(struct str text, size_t from, size_t to, struct pii_match *m);
/* Looks at "---" at `at`: a private key in PEM or armour. */
void pii_match_pem(struct str text, size_t at, struct pii_match *m);
/* Looks at '=' or ':' at `at`: password = "…", api_key: …, scheme://user:password@host. */
void pii_match_assignment(struct str text, size_t at, struct pii_match *m);

#endif
