"""Which addresses an HTTP channel may reach, decided from the address alone; pure.

An address is permitted when it is globally reachable or lies in a network of the allow list; the
metadata addresses of the clouds are never permitted. What an IPv6 address carries inside (mapped,
NAT64, 6to4, Teredo) is judged as well, because that is where the packet may end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

#: Written out, because `ipaddress` changes its mind between Python versions and calls multicast,
#: the relays (6to4, NAT64) and some reserved ranges global.
_SPECIAL: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)

#: Everything that IANA has given out as global unicast lies here; all else of IPv6 (loopback,
#: fc00::/7, fe80::/10, ff00::/8, 64:ff9b::/96, 64:ff9b:1::/48, 100::/64, 5f00::/16) is refused.
_GLOBAL_UNICAST = IPv6Network("2000::/3")

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")

_METADATA: frozenset[Address | None] = frozenset(
    {ip_address("169.254.169.254"), ip_address("fd00:ec2::254")}
)

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_LONGEST_NAME = 253


class AddressRefusedError(Exception):
    """The address is not one that a channel may reach; the text says why and what permits it."""


def check_host(host: str, allow: Sequence[Network]) -> None:
    """Judge what can be judged before any name is looked up: literal addresses and `localhost`.

    Raises:
        AddressRefusedError: the host is an address, or means one, that is not permitted.
        ValueError: the host is neither a name nor an address in its usual form. The short, octal,
            hexadecimal and integer forms of IPv4 and the zones of IPv6 are no usual form.
    """
    address = _literal(host)
    if address is not None:
        check_address(address, allow)
    elif host.removesuffix(".").lower().rpartition(".")[2] == "localhost":
        check_address(IPv4Address("127.0.0.1"), allow)


def check_address(address: Address | str, allow: Sequence[Network]) -> None:
    """Judge an address that is about to be connected to.

    Raises:
        AddressRefusedError: it is not permitted.
    """
    if isinstance(address, str):
        address = ip_address(address.partition("%")[0])
    reason = _refusal(address, allow)
    if reason is not None:
        raise AddressRefusedError(f"{address} {reason}")


def _refusal(address: Address, allow: Sequence[Network]) -> str | None:
    """Say why the address is refused; ``None`` when it is permitted."""
    inner = _inner(address)
    if address in _METADATA or inner in _METADATA:
        return "is a metadata address of a cloud, which nothing permits"
    if inner is not None and isinstance(address, IPv6Address) and address.ipv4_mapped:
        return _refusal(inner, allow)
    if _is_public(address):
        return None
    if any(address in network for network in allow) and (
        inner is None or _refusal(inner, allow) is None
    ):
        return None
    return "is not a public address; ALMENARA_EGRESS_ALLOW permits networks such as this one"


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)


def _inner(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address carries inside, if it does."""
    if isinstance(address, IPv4Address):
        return None
    if address.teredo:
        return address.teredo[1]
    if address.sixtofour:
        return address.sixtofour
    carries = (
        address.ipv4_mapped is not None
        or any(address in network for network in _NAT64)
        # `::` and `::1` lie in the range of the compatible addresses and carry nothing.
        or (address in _COMPATIBLE and int(address) > 1)
    )
    return IPv4Address(int(address) & 0xFFFF_FFFF) if carries else None


def _literal(host: str) -> Address | None:
    """Return the address that the host spells out, or ``None`` when it is a name.

    Raises:
        ValueError: it is neither.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone")
        return IPv6Address(host)
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("not a host name")
    # A name whose last label is a number is an address to every resolver; only the one form that
    # every resolver reads alike is let through.
    return IPv4Address(host) if _NUMBER.fullmatch(labels[-1]) else None
