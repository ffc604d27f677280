"""The guard's table: which addresses may be reached, whatever form they are written in."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.egress.addresses import AddressRefusedError, check_address, check_host

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf:ffff::1",
    "fec0::1",
    "ff02::1",
]

PERMITTED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00::1",
    "3ffe:ffff::1",
]

#: Other ways to write loopback and metadata addresses; none is a usual form, so none is a host.
ODD_FORMS = [
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "0X7F.0.0.1",
    "127.0x1",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "0",
    "0x",
    "1.2.3.4.5",
    "256.0.0.1",
    "127.0.0.1.",
    "evil.example.1",
    "fe80::1%eth0",
    "::1%1",
    "fe80::1%25eth0",
    ":::",
    "",
    ".",
    "a..b",
    "name..",
    "%31%32%37.0.0.1",
    "127.0.0.1 .example",
    "na me",
    "name\x00.example",
    "\uff11\uff12\uff17.0.0.1",
    "127。0。0。1",
    "a" * 64,
    ".".join(["a" * 60] * 5),
]


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefusedError):
        check_address(address, ())
    with pytest.raises(AddressRefusedError):
        check_host(address, ())


@pytest.mark.parametrize("address", PERMITTED)
def test_a_public_address_is_permitted(address: str) -> None:
    check_address(address, ())
    check_host(address, ())


@pytest.mark.parametrize("host", ODD_FORMS)
def test_a_host_in_no_usual_form_is_not_valid_even_where_everything_is_allowed(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_host(host, (ip_network("0.0.0.0/0"), ip_network("::/0")))


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost.", "deep.localhost"])
def test_localhost_is_the_loopback_address_whatever_the_resolver_says(name: str) -> None:
    with pytest.raises(AddressRefusedError, match=r"127\.0\.0\.1"):
        check_host(name, ())
    check_host(name, (ip_network("127.0.0.0/8"),))


@pytest.mark.parametrize("name", ["example.com", "example.com.", "x_y-z.example", "0x7f.example"])
def test_a_name_is_left_to_the_resolver(name: str) -> None:
    check_host(name, ())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
        ("fd00::1", "fd00::/8"),
        ("fe80::1%eth0", "fe80::/10"),
        ("::1", "::1/128"),
        ("::", "::/128"),
        ("64:ff9b::8.8.8.8", "64:ff9b::/96"),
        ("2002:808:808::", "2002::/16"),
    ],
)
def test_the_allow_list_permits_its_networks(address: str, network: str) -> None:
    check_address(address, (ip_network(network),))


@pytest.mark.parametrize("address", ["10.2.0.1", "127.0.0.1", "::1", "fd00::1"])
def test_the_allow_list_permits_nothing_else(address: str) -> None:
    with pytest.raises(AddressRefusedError, match="ALMENARA_EGRESS_ALLOW"):
        check_address(address, (ip_network("10.1.0.0/16"),))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fd00:ec2::254",
        "fd00:ec2::254%eth0",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "2002:a9fe:a9fe::",
        "2001:0:4136:e378:8000:63bf:5601:5601",  # Teredo; its client is written inverted
    ],
)
def test_the_metadata_addresses_are_refused_even_where_everything_is_allowed(address: str) -> None:
    with pytest.raises(AddressRefusedError, match="metadata"):
        check_address(address, (ip_network("0.0.0.0/0"), ip_network("::/0")))


@pytest.mark.parametrize(
    ("address", "network"),
    [("64:ff9b::10.0.0.1", "64:ff9b::/96"), ("2002:a00:1::", "2002::/16")],
)
def test_an_allowed_relay_does_not_open_what_lies_behind_it(address: str, network: str) -> None:
    with pytest.raises(AddressRefusedError):
        check_address(address, (ip_network(network),))


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_the_one_inside(address: object) -> None:
    def verdict(text: str) -> bool:
        try:
            check_address(text, ())
        except AddressRefusedError:
            return False
        return True

    assert verdict(f"::ffff:{address}") == verdict(str(address))


@given(st.text(max_size=40))
def test_any_text_as_a_host_is_judged_or_not_valid(host: str) -> None:
    try:
        check_host(host, ())
    except (AddressRefusedError, ValueError):
        return
    assert host.isascii()
