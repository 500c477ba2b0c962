"""Errata: advisories, CVEs, scores and lifecycles beyond what repositories themselves publish.

Its sources come with a later issue; until then it gathers nothing, and security verdicts rest on the advisories and
labels that repo-sync finds in the repositories.
"""

from patchbay_shared.service import Service

SERVICE = Service(name="errata", summary="Gathers advisories, CVEs, scores, lifecycles.")
