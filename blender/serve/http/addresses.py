"""Decide whether an IP address belongs to the public internet, by IANA's special-purpose registries (RFC 6890).

Python's ``is_global`` depends on the version of Python and ignores gateways. An IPv6 address that embeds an IPv4
address must be public by both, as a gateway of this network may translate it. Addresses that the registries reserve
for one protocol, or do not call globally reachable, count as not public: no image server has them.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

#: decides whether a connection to an address is allowed
IsPublic = Callable[[str], bool]

_SPECIAL_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, given up
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
#: all addresses that IANA has allocated for global unicast; all others are special or unused
_UNICAST_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID and others
        "2001:db8::/32",  # documentation
        "3ffe::/16",  # an early test network, given back
        "3fff::/20",  # documentation
    )
)
_NAT64, _SIX_TO_FOUR = IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16")
#: ``::ffff:a.b.c.d``, which sockets connect to by IPv4
_MAPPED = IPv6Network("::ffff:0:0/96")


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet.

    Args:
        address: IPv4 or IPv6; an address with a zone (``%eth0``) is link-local and not public.
    """
    if "%" in address:
        return False
    parsed = ip_address(address)
    return _is_public_4(parsed) if isinstance(parsed, IPv4Address) else _is_public_6(parsed)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _SPECIAL_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address in _MAPPED or address in _NAT64:
        return _is_public_4(IPv4Address(int(address) & 0xFFFFFFFF))
    if address in _SIX_TO_FOUR:
        return _is_public_4(IPv4Address(int(address) >> 80 & 0xFFFFFFFF))
    # ISATAP: the last 32 bits are IPv4, behind a fixed prefix
    if int(address) >> 32 & 0xFCFFFFFF == 0x5EFE and not _is_public_4(IPv4Address(int(address) & 0xFFFFFFFF)):
        return False
    return address in _UNICAST_6 and not any(address in network for network in _SPECIAL_6)
