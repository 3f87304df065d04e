"""What a running keeper lets be seen."""

import contextlib
import http.client
import re
from pathlib import Path

PAGES = ("/metrics", "/healthz?verbose", "/readyz", "/version")
SECONDS = 5.0

_LISTENING = re.compile(r"observe_listening host=(\S+) port=(\d+)")


def pages_of(log: Path) -> dict[str, str]:
    """Return the pages of the process whose log this is; none where it serves or answers none."""
    found = _LISTENING.findall(log.read_text(errors="replace"))
    pages: dict[str, str] = {}
    if not found:
        return pages
    host, port = found[-1]
    for name in PAGES:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(host, int(port), timeout=SECONDS)
            connection.request("GET", name)
            pages[name] = connection.getresponse().read().decode(errors="replace")
            connection.close()
    return pages
