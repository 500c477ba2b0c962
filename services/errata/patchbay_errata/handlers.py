"""What errata does when a timer fires. Nothing nudges it: feeds are looked at when they are due."""

import threading
from collections.abc import Callable

from patchbay_errata.crawl import Crawler


def crawl_due(crawler: Crawler) -> Callable[[threading.Event], None]:
    """Crawl until nothing is due."""

    def run(stop: threading.Event) -> None:
        while not stop.is_set() and crawler.crawl_next():
            pass

    return run
