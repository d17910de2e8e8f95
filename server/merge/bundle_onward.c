/* Records of other homes that a bundle passes on: whose, and the paths that lead to their homes' logs. */
#include "bundle_scope.h"

enum err bundle_guests_load(struct writing *k)
{
	(void)k;
	return ERR_OK;
}
