"""The services, in the order in which they start: the only tuple of them."""

from patchbay_api.service import SERVICE as API
from patchbay_errata.service import SERVICE as ERRATA
from patchbay_ingest.service import SERVICE as INGEST
from patchbay_repo_sync.service import SERVICE as REPO_SYNC
from patchbay_shared.service import Service
from patchbay_update_engine.service import SERVICE as UPDATE_ENGINE
from patchbay_web.service import SERVICE as WEB

SERVICES: tuple[Service, ...] = (UPDATE_ENGINE, REPO_SYNC, ERRATA, INGEST, API, WEB)
