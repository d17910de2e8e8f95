/* crypto.h - hashes, signatures, sealing and keys, on libsodium and OpenSSL; nothing of our own invention.
 *
 * SHA-256 throughout; Ed25519 (RFC 8032) for everything the co-op signs; ES256 (RFC 7518) only for access tokens;
 * XChaCha20-Poly1305 for content and for wrapped keys; Argon2id (RFC 9106) for passwords.
 */
#ifndef COMMONHOLD_CRYPTO_H
#define COMMONHOLD_CRYPTO_H

#include "arena.h"
#include "clock.h"
#include "error.h"
#include "id.h"
#include "str.h"

/* Once, before anything else here. */
CH_CHECK bool crypto_start(void);

struct sha256 { uint8_t b[32]; };
/* Not in constant time: for digests, which are public. */
static inline bool sha256_eq(struct sha256 a, struct sha256 b) { return memcmp(a.b, b.b, sizeof(a.b)) == 0; }
/* The digest that raw bytes are, such as those of a bytea column; all zeros unless there are 32 of them. */
struct sha256 sha256_load(struct str bytes);
struct sha256 sha256(struct str s);
/* The digest of all parts one after another. */
struct sha256 sha256_of(const struct str *parts, size_t n);
struct str sha256_hex(struct arena *a, struct sha256 h);
/* The same; absent for all zeros, which stands for a digest that there is not yet. JSON writers write that as null. */
struct str sha256_hex_or_none(struct arena *a, struct sha256 h);
CH_CHECK bool sha256_parse(struct str hex, struct sha256 *out);
/* Running hash (OpenSSL EVP underneath: hardware SHA). The state is tied to the arena; without one (NULL) it is the caller's to free. */
struct hasher;
struct hasher *hasher_new(struct arena *a);
void hasher_free(struct hasher *h);
void hasher_add(struct hasher *h, const void *p, size_t n);
/* The digest; the hasher then starts afresh. */
struct sha256 hasher_end(struct hasher *h);
struct sha256 hmac_sha256(struct str key, struct str message);
/* Constant time. */
bool secret_eq(struct str a, struct str b);
void secret_wipe(void *p, size_t n);
void random_bytes(void *p, size_t n);

/* An Ed25519 key pair. */
struct sign_key { uint8_t public_key[32]; uint8_t secret[64]; };
void sign_key_new(struct sign_key *k);
void sign_key_from_seed(struct sign_key *k, const uint8_t seed[32]);
void sign_bytes(const struct sign_key *k, struct str message, uint8_t signature[64]);
CH_CHECK bool verify_bytes(const uint8_t public_key[32], struct str message, const uint8_t signature[64]);

/* A secret that the holders of two Ed25519 keys share and nobody else: X25519 of the two, converted, then HKDF-SHA-256 bound to `label` and to both public keys. The same on both sides.
 * False for a public key that is none, or of small order. */
CH_CHECK bool pairwise_secret(const struct sign_key *own, const uint8_t theirs[32], struct str label, uint8_t out[32]);

/* minisign (jedisct1.github.io/minisign): prehashed "ED" signatures. The key id is the first 8 bytes of SHA-256 of the public key, so that it needs no store.
 * Verification holds the file signature, the key id and the trusted comment; the untrusted comment is covered by nothing, as its name says. */
struct str minisign_public_key(struct arena *a, const uint8_t public_key[32]);               /* the base64 line, for minisign -P */
struct str minisign_sign(struct arena *a, const struct sign_key *k, struct str message, struct str trusted_comment); /* the .minisig text */
CH_CHECK bool minisign_verify(struct arena *a, const uint8_t public_key[32], struct str message, struct str minisig);
/* Reads the base64 line of a public key, whatever key id it carries. */
CH_CHECK bool minisign_parse_key(struct arena *a, struct str line, uint8_t public_key[32]);

/* DSSE (in-toto envelope v1). The envelope is canonical JSON; several signatures where there are several keys. */
struct str dsse_sign(struct arena *a, const struct sign_key *keys, size_t n, struct str payload_type, struct str payload);
/* The same in two steps, for keys that are in different hands: one key's signature alone; whether it holds; and the envelope with signatures that were made elsewhere. */
struct dsse_signature { uint8_t public_key[32], bytes[64]; };
void dsse_signature_make(struct arena *a, const struct sign_key *k, struct str payload_type, struct str payload, struct dsse_signature *out);
CH_CHECK bool dsse_signature_holds(struct arena *a, const struct dsse_signature *s, struct str payload_type, struct str payload);
struct str dsse_write(struct arena *a, const struct dsse_signature *signatures, size_t n, struct str payload_type, struct str payload);
/* Signatures that verify among the keys given must be at least `threshold`; hands out the payload. */
CH_CHECK enum err dsse_verify(struct arena *a, struct str envelope, const uint8_t (*public_keys)[32], size_t n, size_t threshold, struct str payload_type, struct str *payload, struct error *e);
/* The key id used in envelopes: hex SHA-256 of the public key. */
struct str key_id(struct arena *a, const uint8_t public_key[32]);

/* Sealing: 24-byte random nonce, then ciphertext with tag; `context` is authenticated, not stored, so that a row cannot be passed off as another. */
#define SEAL_OVERHEAD 40
struct seal_key { uint8_t b[32]; };
void seal_into(const struct seal_key *k, struct str context, struct str plain, uint8_t *out /* plain.n + SEAL_OVERHEAD */);
struct str seal(struct arena *a, const struct seal_key *k, struct str context, struct str plain);
CH_CHECK bool unseal_into(const struct seal_key *k, struct str context, struct str sealed, uint8_t *out /* sealed.n - SEAL_OVERHEAD */);
CH_CHECK bool unseal(struct arena *a, const struct seal_key *k, struct str context, struct str sealed, struct str *plain);

/* Passwords: Argon2id, 19 MiB, 2 passes; at most as many at a time as there are cores (others wait). */
CH_CHECK enum err password_hash(struct arena *a, struct str password, struct str *out, struct error *e);
/* False for a wrong password. An absent hash (unknown account) costs the same time and is false. */
bool password_verify(struct str hash, struct str password);

/* Secrets that people carry (personal tokens, session ids, grant secrets): "ch_<kind>_<43 base64url>"; only SHA-256 is stored. */
struct str secret_token_new(struct arena *a, const char *kind, struct sha256 *stored);
struct sha256 secret_token_hash(struct str token);

/* The instance's keys, in a directory of mode 0700 (files 0600): "seal" wraps the members' keys, "sign" is the instance's Ed25519 key, "access.pem" the P-256 key of
 * access tokens. They are made together at first start, all or none; a directory that lacks one of them, or that others can read, is refused, since a new seal key
 * would silently make every wrapped key unreadable. */
struct instance_keys;
CH_CHECK enum err instance_keys_open(const char *dir, struct instance_keys **out, struct error *e);
void instance_keys_free(struct instance_keys *k);
const struct seal_key *instance_seal_key(const struct instance_keys *k);
const struct sign_key *instance_sign_key(const struct instance_keys *k);
/* What the program runs with: set once at start, before any thread; NULL before. */
void instance_keys_use(const struct instance_keys *k);
const struct instance_keys *instance_keys(void);

/* Access tokens: JWT ES256, kid (RFC 7638 thumbprint) in the header. libjwt writes them; they are read with OpenSSL against our own key, because libjwt lets the header
 * of a token choose the algorithm: here header alg must be ES256 and the kid ours before any signature is looked at. */
struct token_claims { struct str issuer, subject, audience, scope, grant; instant issued, expires; };
CH_CHECK enum err access_token_make(struct arena *a, const struct instance_keys *k, const struct token_claims *claims, struct str *jwt, struct error *e);
/* ERR_TOKEN_INVALID for anything odd (another algorithm, `none`, wrong key, not a JWT, over LIMIT_TOKEN), ERR_TOKEN_EXPIRED after exp. */
CH_CHECK enum err access_token_check(struct arena *a, const struct instance_keys *k, struct str jwt, struct str audience, instant now, struct token_claims *out, struct error *e);
/* The JWKS document with our public access keys. */
struct str access_jwks(struct arena *a, const struct instance_keys *k);

#endif
