"""Under which names a page may be asked for, and which pages ask: ``Host`` and ``Origin``, whatever they hold.

Other people's pages run in the same browser as ours. They can have a name of their own point at this machine (DNS
rebinding), so only an address, ``localhost`` or a name that was given is answered. Both headers come from strangers:
nothing that they hold raises.
"""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

#: a name or an address, and perhaps a port; no user, no path
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?")


def knows(host: str, names: Iterable[str]) -> bool:
    """Say whether a ``Host`` is one that nobody else can make point here.

    Args:
        host: With or without a port.
        names: Names that are ours, besides ``localhost``.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found["name"].strip("[]").rstrip(".").lower()
    if name == "localhost" or name in (one.strip("[]").lower() for one in names):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def authority_of(origin: str) -> str | None:
    """Return the host and port of an ``Origin``; None for what is none, such as ``null`` or ``http://[``."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    is_plain = parts.scheme in ("http", "https") and not (parts.path or parts.query or parts.fragment)
    return (parts.netloc.lower() or None) if is_plain else None
