"""The guard's table: which addresses may be reached, whatever form they are written in."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.egress.addresses import AddressRefusedError, check_address, check_host
from tests.egress_table import ODD_FORMS, PERMITTED, REFUSED


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
