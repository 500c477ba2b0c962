"""Who may ask what: one line an operation of the API. A new operation without a line fails a test.

anybody: without signing in. signed-in: every session and API token. person: every session, no API token. viewer,
operator, admin: the lowest built-in role. fleet: nobody whose scope is narrower than the fleet.
"""

TABLE = """
GET /advisories                                    viewer
GET /advisories/{source}/{name}                    viewer
GET /attention                                     viewer fleet
GET /attention/{kind}                               viewer fleet
GET /audit                                         admin fleet
GET /audit/verification                            admin fleet
GET /audit/{event_id}                              admin fleet
GET /calendar                                      viewer
GET /cves                                          viewer
GET /cves/{cve_id}                                 viewer
GET /cves/{cve_id}/hosts                           viewer
GET /dashboard                                     viewer
GET /dead-letters                                  viewer fleet
POST /dead-letters/discard                         operator fleet
POST /dead-letters/replay                          operator fleet
GET /dead-letters/{letter_id}                      operator fleet
POST /dead-letters/{letter_id}/discard             operator fleet
POST /dead-letters/{letter_id}/replay              operator fleet
GET /distro-releases                               viewer
GET /domains                                       viewer
GET /enrolment-tokens                              operator fleet
POST /enrolment-tokens                             operator fleet
DELETE /enrolment-tokens/{token_id}                operator fleet
GET /enrolment-tokens/{token_id}/hosts             operator fleet
GET /errata-feeds                                  viewer
GET /exceptions                                    viewer
POST /exceptions                                   operator fleet
GET /exceptions/{exception_id}                     viewer
POST /exceptions/{exception_id}/end                operator fleet
GET /groups                                        viewer
POST /groups                                       operator fleet
DELETE /groups/{group_id}                          operator fleet
GET /groups/{group_id}                             viewer
PATCH /groups/{group_id}                           operator fleet
GET /hosts                                         viewer
DELETE /hosts/{host_id}                            operator
GET /hosts/facets                                  viewer
GET /hosts/{host_id}                               viewer
PATCH /hosts/{host_id}                             operator
GET /hosts/{host_id}/cves                          viewer
GET /hosts/{host_id}/diff                          viewer
POST /hosts/{host_id}/evaluate                     operator
GET /hosts/{host_id}/modules                       viewer
GET /hosts/{host_id}/packages                      viewer
GET /hosts/{host_id}/receipts                      viewer
GET /hosts/{host_id}/repositories                  viewer
PATCH /hosts/{host_id}/repositories                operator
GET /hosts/{host_id}/sbom                          viewer
GET /hosts/{host_id}/timeline                      viewer
GET /hosts/{host_id}/updates                       viewer
GET /inventory/ansible                             viewer
GET /inventory/prometheus                          viewer
GET /lifecycles                                    viewer
GET /lifecycles/forecast                           viewer
GET /me                                            signed-in
POST /me/password                                  person
GET /me/preferences                                person
PATCH /me/preferences                              person
POST /me/second-factor                             person
POST /me/second-factor/confirm                     person
POST /me/second-factor/recovery-codes              person
POST /me/second-factor/remove                      person
GET /mirror-access                                 operator fleet
POST /mirror-access                                admin fleet
DELETE /mirror-access/{access_id}                  admin fleet
GET /notification-channels                         operator fleet
POST /notification-channels                        admin fleet
DELETE /notification-channels/{channel_id}         admin fleet
PATCH /notification-channels/{channel_id}          admin fleet
POST /notification-channels/{channel_id}/test      admin fleet
GET /notification-rules                            operator fleet
POST /notification-rules                           admin fleet
DELETE /notification-rules/{rule_id}               admin fleet
PATCH /notification-rules/{rule_id}                admin fleet
GET /notifications                                 operator fleet
GET /notifications/{notification_id}               operator fleet
POST /notifications/{notification_id}/retry        admin fleet
GET /os-groups                                     viewer
POST /os-groups                                    operator fleet
DELETE /os-groups/{group_id}                       operator fleet
GET /os-groups/{group_id}                          viewer
PATCH /os-groups/{group_id}                        operator fleet
GET /os-variants                                   viewer
GET /packages                                      viewer
GET /packages/{name}/hosts                         viewer
GET /packages/{name}/versions                      viewer
GET /permissions                                   admin fleet
GET /pipeline                                      viewer fleet
GET /queues                                        viewer fleet
GET /receipts                                      viewer
GET /receipts/{receipt_id}                         viewer
GET /receipts/{receipt_id}/report                  operator
POST /receipts/{receipt_id}/reprocess              operator
GET /remediation-policies                          viewer
POST /remediation-policies                         admin fleet
GET /remediation-policies/defaults                 viewer
DELETE /remediation-policies/{policy_id}           admin fleet
GET /repositories                                  viewer
GET /repositories/link-proposals                   viewer
GET /repositories/{repository_id}                  viewer
PATCH /repositories/{repository_id}                operator fleet
GET /repositories/{repository_id}/mirrors          viewer
POST /repositories/{repository_id}/mirrors/link    operator fleet
POST /repositories/{repository_id}/mirrors/unlink  operator fleet
GET /repositories/{repository_id}/packages             viewer
POST /repositories/{repository_id}/sync            operator fleet
GET /repositories/{repository_id}/syncs            viewer
GET /roles                                         admin fleet
POST /roles                                        admin fleet
DELETE /roles/{name}                               admin fleet
GET /roles/{name}                                  admin fleet
PATCH /roles/{name}                                admin fleet
GET /sessions                                      person
POST /sessions                                     anybody
DELETE /sessions/current                           person
POST /sessions/end-others                          person
POST /sessions/oidc                                anybody
POST /sessions/oidc/begin                          anybody
POST /sessions/second-factor                       anybody
GET /sessions/ways                                 anybody
DELETE /sessions/{session_id}                      person
GET /settings                                      admin fleet
GET /tags                                          viewer
GET /tokens                                        person
POST /tokens                                       person
GET /tokens/all                                    admin fleet
DELETE /tokens/{token_id}                          person
GET /trends                                        viewer fleet
GET /users                                         admin fleet
POST /users                                        admin fleet
DELETE /users/{user_id}                            admin fleet
GET /users/{user_id}                               admin fleet
PATCH /users/{user_id}                             admin fleet
POST /users/{user_id}/password                     admin fleet
DELETE /users/{user_id}/second-factor              admin fleet
GET /users/{user_id}/sessions                      admin fleet
POST /users/{user_id}/sign-out                     admin fleet
GET /events                                        viewer
GET /events/recent                                 viewer
POST /hosts/actions                                operator
POST /hosts/{host_id}/merge                        operator
POST /hosts/{host_id}/rename                       operator
GET /hosts/{host_id}/enrolments                    viewer
POST /hosts/{host_id}/revoke-token                 operator
GET /jobs                                          viewer
GET /jobs/{job_id}                                 viewer
GET /query/complete                                viewer
GET /views                                         viewer
POST /views                                        viewer
DELETE /views/{view_id}                            viewer
GET /views/{view_id}                               viewer
PATCH /views/{view_id}                             viewer
POST /waiting-hosts/approve                        operator fleet
GET /waiting-hosts                                 viewer fleet
POST /waiting-hosts/{host_id}/approve              operator fleet
"""

ACCESS: dict[str, str] = {
    " ".join(words[:2]): " ".join(words[2:]) for words in map(str.split, TABLE.strip().splitlines())
}
"""Operation, as `GET /hosts`, to who may ask it."""
