/* hub.h - releases under the read paths of the Hugging Face Hub, so that its stock clients, pointed here by their endpoint setting, list and download them.
 *
 *     the Hub's                 here
 *     namespace                 the co-op's slug (or key name)
 *     dataset name              "releases", or "main": the co-op's line of releases
 *     revision                  a version ("1.2.0" or "v1.2.0"); "main" or "HEAD": the latest; a commit, in full: the first 40 hex digits of the manifest's SHA-256
 *     file                      a file of the release, its seals included; LFS oid and linked ETag are its SHA-256, which the manifest repeats
 *     access token              "hf_" and a download token made from a grant, or "hf_" and a personal token of whoever holds one: clients take none without the prefix
 *     gated                     "manual", "auto" or false, by the audience; "members" is a private dataset
 *
 * As on the Hub, what a release holds may be listed by anyone, and its bytes are gated: 401 without credentials, 403 with those that do not open it, both with X-Error-Code
 * GatedRepo; 404 with RepoNotFound, RevisionNotFound or EntryNotFound; 410 for what was withdrawn. Every byte goes through access_check and the access log. "raw" gives the content
 * itself, never a pointer file. Nothing can be written here.
 */
#ifndef COMMONHOLD_HUB_H
#define COMMONHOLD_HUB_H

#include "routes.h"

extern const struct route hub_routes[];

#endif
