/* routes.h - every module's table of routes; main puts them together (server/app.c). Tables end with ROUTE_TABLE_END. */
#ifndef COMMONHOLD_ROUTES_H
#define COMMONHOLD_ROUTES_H

#include "http.h"

extern const struct route web_routes[];      /* health, metrics, OpenAPI, schemas, static files */
extern const struct route account_routes[], account_page_routes[], sign_in_routes[], sign_in_page_routes[], security_page_routes[];
extern const struct route coop_routes[], coop_page_routes[];
extern const struct route delegation_routes[], delegation_page_routes[];
extern const struct route ledger_routes[], ledger_page_routes[];
extern const struct route notify_routes[], notify_page_routes[];
extern const struct route pool_routes[], pool_page_routes[];
extern const struct route ballot_routes[], ballot_page_routes[];
extern const struct route ballot_proof_routes[], ballot_proof_page_routes[];
extern const struct route calendar_routes[];
extern const struct route release_routes[], release_page_routes[];
extern const struct route tombstone_routes[];
extern const struct route access_routes[], access_page_routes[];
extern const struct route motion_routes[], motion_page_routes[];
extern const struct route control_routes[], control_page_routes[];
extern const struct route benefit_routes[], benefit_page_routes[];
extern const struct route checkup_routes[], checkup_page_routes[];
extern const struct route mirror_routes[];
extern const struct route erasure_routes[], erasure_page_routes[], erasure_ask_page_routes[], erasure_admin_page_routes[], erasure_statement_routes[];
extern const struct route tombstone_page_routes[], mirror_page_routes[], agent_page_routes[], account_deletion_page_routes[], holdings_page_routes[];
extern const struct route adapter_routes[], adapter_page_routes[];
extern const struct route holdings_routes[];
extern const struct route fork_routes[], link_routes[], peer_routes[], agreement_routes[], message_routes[], merge_routes[], bundle_routes[];
extern const struct route onward_routes[];
extern const struct route preview_routes[], joint_routes[];
extern const struct route peer_page_routes[], merge_diff_page_routes[], agreement_page_routes[], dry_run_page_routes[], joint_page_routes[];
extern const struct route conflict_page_routes[], item_page_routes[], bundle_page_routes[], lineage_page_routes[], fork_page_routes[], link_page_routes[];

#endif
