#include "server/base/crypto_keys.h"

#include "commonhold/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 4096
#define PATH_ROOM 4096

static const struct instance_keys *in_use;

void instance_keys_use(const struct instance_keys *k) { in_use = k; }
const struct instance_keys *instance_keys(void) { return in_use; }
const struct seal_key *instance_seal_key(const struct instance_keys *k) { return &k->seal; }
const struct sign_key *instance_sign_key(const struct instance_keys *k) { return &k->sign; }

void instance_keys_free(struct instance_keys *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->access);
	if (k->access_pem)
		sodium_memzero(k->access_pem, k->access_pem_n);
	free(k->access_pem);
	sodium_memzero(k, sizeof(*k));
	free(k);
}

static enum err keys_io(struct error *e, const char *what, const char *path)
{
	return error_set(e, ERR_CONFIG, "The keys cannot be used: %s %s: %s.", what, path, strerror(errno));
}

/* A file or folder of ours that nobody else may read. */
static enum err check_private(int fd, const char *path, struct error *e)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return keys_io(e, "stat", path);
	/* root reads everything anyway: an operator's doctor may run as root beside a server that does not */
	if (st.st_uid != geteuid() && st.st_uid != 0 && geteuid() != 0)
		return error_hint(e, ERR_CONFIG, "Give it to the user that the server runs as.", "The keys cannot be used: %s belongs to another user.", path);
	if (st.st_mode & 077)
		return error_hint(e, ERR_CONFIG, "chmod 700 the directory of keys and chmod 600 its files; if others could read them, replace the keys.",
			"The keys cannot be used: others can read %s (mode %03o).", path, (unsigned)st.st_mode & 0777);
	return ERR_OK;
}

static enum err write_file(int dir, const char *name, const void *p, size_t n, struct error *e)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return keys_io(e, "create", name);
	bool ok = file_write_all(fd, p, n) && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	return ok ? ERR_OK : keys_io(e, "write", name);
}

static enum err read_file(int dir, const char *name, char *to, size_t room, size_t *n, struct error *e)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? error_hint(e, ERR_CONFIG, "Restore the directory of keys from its backup. Making a new key would lose what the old one sealed.",
			"The keys cannot be used: the file \"%s\" is missing.", name) : keys_io(e, "open", name);
	enum err err = check_private(fd, name, e);
	ssize_t got = err ? 0 : read(fd, to, room);
	close(fd);
	if (err)
		return err;
	if (got < 0)
		return keys_io(e, "read", name);
	if ((size_t)got == room)
		return error_set(e, ERR_CONFIG, "The keys cannot be used: the file \"%s\" is too large.", name);
	*n = (size_t)got;
	return ERR_OK;
}

/* 32 secret bytes as a line of hex. */
static enum err read_hex(int dir, const char *name, uint8_t out[32], struct error *e)
{
	char text[FILE_MAX];
	size_t n = 0;
	TRY(read_file(dir, name, text, sizeof(text), &n, e));
	bool ok = str_unhex(str_trim(str_make(text, n)), out, 32);
	sodium_memzero(text, sizeof(text));
	return ok ? ERR_OK : error_set(e, ERR_CONFIG, "The keys cannot be used: the file \"%s\" does not hold a key.", name);
}

static enum err write_hex(int dir, const char *name, struct error *e)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t secret[32];
	char text[65];
	randombytes_buf(secret, sizeof(secret));
	for (size_t i = 0; i < sizeof(secret); i++) {
		text[i * 2] = digits[secret[i] >> 4];
		text[i * 2 + 1] = digits[secret[i] & 15];
	}
	text[64] = '\n';
	enum err err = write_file(dir, name, text, sizeof(text), e);
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(text, sizeof(text));
	return err;
}

static enum err write_access_key(int dir, struct error *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *pem = BIO_new(BIO_s_secmem());
	char *text = NULL;
	enum err err = ERR_OK;
	if (!key || !pem || !PEM_write_bio_PKCS8PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL)) {
		err = error_set(e, ERR_CONFIG, "The key of access tokens cannot be made.");
	} else {
		size_t n = (size_t)BIO_get_mem_data(pem, &text);
		err = write_file(dir, "access.pem", text, n, e);
	}
	BIO_free(pem);
	EVP_PKEY_free(key);
	return err;
}

static enum err write_keys(int dir, struct error *e)
{
	TRY(write_hex(dir, "seal", e));
	TRY(write_hex(dir, "sign", e));
	TRY(write_access_key(dir, e));
	return fsync(dir) == 0 ? ERR_OK : keys_io(e, "sync", "keys");
}

static void remove_keys(int dir, const char *path)
{
	unlinkat(dir, "seal", 0);
	unlinkat(dir, "sign", 0);
	unlinkat(dir, "access.pem", 0);
	rmdir(path);
}

static void sync_parent(const char *path)
{
	char parent[PATH_ROOM];
	const char *slash = strrchr(path, '/');
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

/* All keys are written to a folder beside, which then takes the name in one step: another process that starts at the same time, or a crash, leaves either no
 * keys or all. rename() replaces an empty folder and refuses a full one. */
static enum err make_keys(const char *path, struct error *e)
{
	char beside[PATH_ROOM];
	if (snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= (int)sizeof(beside))
		return error_set(e, ERR_CONFIG, "The path of the keys is too long.");
	TRY(file_make_parents(path, e));
	if (!mkdtemp(beside))
		return keys_io(e, "create", beside);
	int dir = open(beside, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return keys_io(e, "open", beside);
	enum err err = write_keys(dir, e);
	if (!err && rename(beside, path) != 0) {
		bool others_were_first = errno == ENOTEMPTY || errno == EEXIST;
		if (!others_were_first)
			err = keys_io(e, "create", path);
		remove_keys(dir, beside);
	} else if (err) {
		remove_keys(dir, beside);
	}
	close(dir);
	sync_parent(path);
	return err;
}

static bool holds_nothing(int dir)
{
	static const char *const names[] = { "seal", "sign", "access.pem" };
	for (size_t i = 0; i < CH_LEN(names); i++)
		if (faccessat(dir, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return false;
	return true;
}

static void base64url_32(char out[44], const uint8_t b[32])
{
	sodium_bin2base64(out, 44, b, 32, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static bool access_point(EVP_PKEY *key, uint8_t x[32], uint8_t y[32])
{
	char group[64];
	size_t n;
	if (!EVP_PKEY_is_a(key, "EC") || !EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &n) || strcmp(group, "prime256v1") != 0)
		return false;
	BIGNUM *bx = NULL, *by = NULL;
	bool ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &bx) && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &by) && BN_bn2binpad(bx, x, 32) == 32 &&
		BN_bn2binpad(by, y, 32) == 32;
	BN_free(bx);
	BN_free(by);
	return ok;
}

/* RFC 7638: SHA-256 of the required members, in order of their names, without white space. */
static void access_thumbprint(struct instance_keys *k)
{
	char jwk[160];
	int n = snprintf(jwk, sizeof(jwk), "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", k->x, k->y);
	struct sha256 digest = sha256(str_make(jwk, (size_t)n));
	base64url_32(k->kid, digest.b);
}

static enum err read_access_key(int dir, struct instance_keys *k, struct error *e)
{
	uint8_t x[32], y[32];
	k->access_pem = calloc(1, FILE_MAX);
	if (!k->access_pem)
		return error_set(e, ERR_NO_MEMORY, "There is no memory for the keys.");
	TRY(read_file(dir, "access.pem", k->access_pem, FILE_MAX, &k->access_pem_n, e));
	BIO *pem = BIO_new_mem_buf(k->access_pem, (int)k->access_pem_n);
	k->access = pem ? PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL) : NULL;
	BIO_free(pem);
	if (!k->access || !access_point(k->access, x, y))
		return error_set(e, ERR_CONFIG, "The keys cannot be used: the file \"access.pem\" does not hold a P-256 key.");
	base64url_32(k->x, x);
	base64url_32(k->y, y);
	access_thumbprint(k);
	return ERR_OK;
}

static enum err read_keys(int dir, const char *path, struct instance_keys *k, struct error *e)
{
	uint8_t seed[32];
	TRY(check_private(dir, path, e));
	TRY(read_hex(dir, "seal", k->seal.b, e));
	TRY(read_hex(dir, "sign", seed, e));
	sign_key_from_seed(&k->sign, seed);
	sodium_memzero(seed, sizeof(seed));
	return read_access_key(dir, k, e);
}

enum err instance_keys_open(const char *dir_path, struct instance_keys **out, struct error *e)
{
	char path[PATH_ROOM];
	size_t n = strlen(dir_path);
	while (n > 1 && dir_path[n - 1] == '/')
		n--;
	if (!crypto_start())
		return error_set(e, ERR_CONFIG, "The cryptographic libraries cannot be used.");
	if (n == 0 || n >= sizeof(path))
		return error_set(e, ERR_CONFIG, "The path of the keys is empty or too long.");
	memcpy(path, dir_path, n);
	path[n] = '\0';
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 && errno != ENOENT)
		return keys_io(e, "open", path);
	if (dir < 0 || holds_nothing(dir)) {
		if (dir >= 0)
			close(dir);
		TRY(make_keys(path, e));
		dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (dir < 0)
			return keys_io(e, "open", path);
	}
	struct instance_keys *k = calloc(1, sizeof(*k));
	enum err err = k ? read_keys(dir, path, k, e) : error_set(e, ERR_NO_MEMORY, "There is no memory for the keys.");
	close(dir);
	if (err) {
		instance_keys_free(k);
		return err;
	}
	*out = k;
	return ERR_OK;
}
