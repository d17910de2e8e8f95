/* sign_in.h - how somebody shows who they are: password, mailed link, another provider, second factor. Of the module account.
 *
 * Every way ends in sign_in's one door, which asks for the second factor where there is one and only then opens a session; nothing else may open one.
 * Each refusal has a stable reason (struct error) beside its sentence; none tells whether an address has an account.
 * Every try at a secret is counted before the secret is looked at, so that parallel guesses cost as much as others. Delays grow per account and network: whoever
 * guesses from elsewhere cannot lock the owner out.
 */
#ifndef COMMONHOLD_SIGN_IN_H
#define COMMONHOLD_SIGN_IN_H

#include "account.h"

#define SIGN_IN_STEP_LIFE (10 * CLOCK_MINUTE) /* from the first step to the second factor; at another provider and back */
#define LINK_LIFE (15 * CLOCK_MINUTE)         /* of a mailed link */
#define LINK_VERIFY_LIFE (2 * CLOCK_DAY)      /* of the link that proves an address: it opens no account, and people register in the evening */
#define SIGN_IN_FRESH (15 * CLOCK_MINUTE)     /* how young a session must be to change how one signs in, where there is no password and no second factor */
#define RECOVERY_CODES 10

/* From where somebody signs in. */
struct sign_in_from {
	struct str agent;    /* the browser's own name */
	struct str network;  /* request_network: whose tries are counted together */
	struct str browser;  /* secret of the cookie that names the browser for one sign-in; absent: it has none */
	bool in_steps;       /* the caller can ask for the second factor in a step of its own; otherwise its lack is an error, "factor_needed" */
};

/* Where a sign-in has come to: a session, or the second factor is still to be shown. */
struct sign_in {
	struct account account; /* whose it is */
	struct str secret;    /* of the session, for its cookie; absent while the second factor lacks */
	struct str challenge; /* of the step to come, for its cookie; absent once there is a session */
};

/* ---- Password ---- */

/* ERR_BAD_CREDENTIALS takes the same time whether the address exists. `code` of the second factor may be absent. */
CH_CHECK enum err sign_in_password(struct call *c, struct str email, struct str password, struct str code, const struct sign_in_from *from, struct sign_in *out);
/* The second step: a code of the second factor, or a recovery code. */
CH_CHECK enum err sign_in_code(struct call *c, struct str challenge, struct str code, const struct sign_in_from *from, struct sign_in *out);
/* Proof for changing how one signs in, by a session: a code where there is a second factor, else the password where there is one, else a session that began a short time ago. */
struct proof {
	struct str password; /* the present one */
	struct str code;     /* of the second factor, or a recovery code */
	struct str network;  /* request_network: tries are counted */
};
/* What the actor has to show: for the form. */
enum proof_kind {
	PROOF_CODE,     /* there is a second factor */
	PROOF_PASSWORD, /* there is a password */
	PROOF_FRESH,    /* neither: the session must be young */
};
CH_CHECK enum err proof_wanted(struct call *c, enum proof_kind *out);
/* Holds proof against the actor; own transactions. For whatever must be sure that it is them, before it is done. */
CH_CHECK enum err proof_check(struct call *c, const struct proof *proof);
/* Sets the actor's password and ends all their other sessions. */
CH_CHECK enum err password_change(struct call *c, const struct proof *proof, struct str password);

/* ---- Mailed links ---- */

enum link_purpose {
	LINK_SIGN_IN, /* signs in */
	LINK_RESET,   /* sets a new password and signs in */
	LINK_VERIFY,  /* proves the address, no more */
};
const char *link_purpose_name(enum link_purpose p);
/* Mails a link when there is an account with the address; says and does the same when there is none. from->browser is the cookie that the link is bound to. */
CH_CHECK enum err link_ask(struct call *c, enum link_purpose purpose, struct str email, const struct sign_in_from *from);
/* What a link is, without using it up: a mail scanner's visit must cost nothing. ERR_TOKEN_INVALID, ERR_GONE or ERR_TOKEN_EXPIRED when it works no longer. */
struct link {
	enum link_purpose purpose; /* what it does */
	struct str email;          /* as mailed to */
	struct str agent;          /* the browser that asked */
	bool same_browser;         /* it is the one that asks now */
	instant expires_at;        /* not valid from then on */
};
CH_CHECK enum err link_look(struct call *c, struct str secret, const struct sign_in_from *from, struct link *out);
/* Uses a link up. From another browser the person must say which address it went to (`email`), otherwise ERR_FORBIDDEN, "link_other_browser". LINK_RESET needs the new
 * password. LINK_VERIFY opens no session. The first proof of an address that came by signing in ends what was set up before it: password, sessions and tokens. */
CH_CHECK enum err link_use(struct call *c, struct str secret, struct str email, struct str password, struct str code, const struct sign_in_from *from, struct sign_in *out);

/* ---- Second factor ---- */

struct factor_state {
	bool on;           /* a code is asked for at every sign-in */
	instant since;     /* INSTANT_NONE while it is off */
	int recovery_left; /* recovery codes that were not used */
};
CH_CHECK enum err factor_read(struct call *c, struct factor_state *out);
/* A new secret, not asked for until a code confirms it: its base32 and its otpauth: URI. Replaces an unconfirmed one. */
CH_CHECK enum err factor_begin(struct call *c, const struct proof *proof, struct str *secret, struct str *uri);
/* The secret of a setup that is under way, to be shown again; ERR_STATE when there is none. */
CH_CHECK enum err factor_pending(struct call *c, struct str *secret, struct str *uri);
/* Switches it on, ends the other sessions, and hands out the recovery codes, which are shown this once. */
CH_CHECK enum err factor_confirm(struct call *c, struct str code, struct str codes[RECOVERY_CODES]);
CH_CHECK enum err factor_end(struct call *c, const struct proof *proof);
/* New recovery codes; the old ones work no longer. */
CH_CHECK enum err recovery_renew(struct call *c, const struct proof *proof, struct str codes[RECOVERY_CODES]);

/* ---- OpenID Connect ---- */

struct oidc_provider {
	struct str issuer; /* as in iss */
	struct str name;   /* what people call it */
};
/* The providers that people can sign in with here; none where none is configured. */
size_t oidc_providers(const struct oidc_provider **out);
/* Fetches what they say of themselves, and their keys: for `commonhold doctor`. */
CH_CHECK enum err oidc_check(struct call *c);
/* Begins a sign-in there, or with `link` the joining of the actor's account with an identity there, which needs proof. `url` is where the browser goes. from->browser binds it. */
CH_CHECK enum err oidc_begin(struct call *c, struct str issuer, bool link, const struct proof *proof, struct str next, const struct sign_in_from *from, struct str *url);
/* The browser has come back. `linked`: it was to join, and nobody was signed in by it. */
struct oidc_answer {
	struct str state;  /* which sign-in it answers */
	struct str code;   /* what an identity token is had for */
	struct str error;  /* why there is none; absent when all went well */
	struct str issuer; /* iss of RFC 9207; absent where the provider says none */
};
CH_CHECK enum err oidc_finish(struct call *c, const struct oidc_answer *answer, const struct sign_in_from *from, struct sign_in *out, struct str *next, bool *linked);
struct identity {
	struct str issuer, subject;  /* the identity itself */
	struct str email;            /* what the provider told last; absent where it told none */
	instant linked_at, used_at;  /* when the two were joined; the last sign-in, INSTANT_NONE before the first */
};
CH_CHECK enum err identity_list(struct call *c, struct identity **out, size_t *n);
/* Parts the two. Refused where it would leave no way to sign in. */
CH_CHECK enum err identity_end(struct call *c, const struct proof *proof, struct str issuer);

#endif
