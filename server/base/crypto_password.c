/* Passwords: Argon2id (RFC 9106) with 19 MiB and 2 passes, which is about 40 ms of one core. Only as many run at a time as there are cores: more would make
 * every other request wait, and take 19 MiB each. */
#include "commonhold/crypto.h"

#include <pthread.h>
#include <semaphore.h>
#include <sodium.h>
#include <unistd.h>

#define PASSES 2
#define MEMORY ((size_t)19 * 1024 * 1024)
#define PASSWORD_MAX 4096

static sem_t turns;
static pthread_once_t turns_once = PTHREAD_ONCE_INIT;
/* Hash of a random password, for accounts that do not exist. */
static char nobody[crypto_pwhash_STRBYTES];

static void password_start(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	sem_init(&turns, 0, cores > 0 ? (unsigned)cores : 1);
	char unknown[32];
	randombytes_buf(unknown, sizeof(unknown));
	if (crypto_pwhash_argon2id_str(nobody, unknown, sizeof(unknown), PASSES, MEMORY) != 0)
		nobody[0] = '\0';
}

static void turn_take(void)
{
	pthread_once(&turns_once, password_start);
	while (sem_wait(&turns) != 0)
		continue;
}

enum err password_hash(struct arena *a, struct str password, struct str *out, struct error *e)
{
	char hash[crypto_pwhash_STRBYTES];
	if (password.n > PASSWORD_MAX)
		return error_set(e, ERR_INVALID, "The password is longer than %d bytes.", PASSWORD_MAX);
	turn_take();
	int failed = crypto_pwhash_argon2id_str(hash, password.p ? password.p : "", password.n, PASSES, MEMORY);
	sem_post(&turns);
	if (failed)
		return error_set(e, ERR_NO_MEMORY, "There is not enough memory to hash a password now.");
	*out = str_copy(a, str_of(hash));
	return ERR_OK;
}

bool password_verify(struct str hash, struct str password)
{
	char text[crypto_pwhash_STRBYTES] = { 0 };
	if (password.n > PASSWORD_MAX)
		return false;
	turn_take();
	bool known = hash.n < sizeof(text) && str_starts(hash, crypto_pwhash_argon2id_STRPREFIX);
	if (known)
		memcpy(text, hash.p, hash.n);
	else
		memcpy(text, nobody, sizeof(text));
	bool same = crypto_pwhash_argon2id_str_verify(text, password.p ? password.p : "", password.n) == 0;
	sem_post(&turns);
	return known && same;
}
