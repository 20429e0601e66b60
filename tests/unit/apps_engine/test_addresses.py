"""Which addresses may be reached, in every notation."""

from __future__ import annotations

import pytest

from services.apps_engine.domain.addresses import BadAddress, may_reach, networks_of, target_of

LOOPBACK = networks_of(["127.0.0.0/8", "::1/128"])


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"]
)
def test_the_open_internet_is_reached(address: str) -> None:
    assert may_reach(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "fc00::1",
        "fd12:3456:789a::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_everything_else_is_not(address: str) -> None:
    assert not may_reach(address)


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.2.3.4/8"]
)
def test_only_a_numeric_address_is_judged(text: str) -> None:
    """Other spellings are names, which are resolved before anything is judged."""
    assert not may_reach(text)
    assert not may_reach(text, LOOPBACK)


def test_an_operator_opens_networks() -> None:
    assert may_reach("127.0.0.1", LOOPBACK)
    assert may_reach("::1", LOOPBACK)
    assert not may_reach("10.0.0.1", LOOPBACK)


def test_a_gateway_leads_only_where_one_may_go_anyway() -> None:
    """An opened NAT64 prefix opens nothing that stands behind it."""
    allowed = networks_of(["64:ff9b::/96"])
    assert may_reach("64:ff9b::808:808", allowed)
    assert not may_reach("64:ff9b::7f00:1", allowed)
    assert not may_reach("64:ff9b::a9fe:a9fe", allowed)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "example.org",
        "//example.org/",
        "http://",
        "http:///x",
        "file:///etc/passwd",
        "gopher://127.0.0.1:11211/_x",
        "ftp://example.org/",
        "javascript:alert(1)",
        "http://user@example.org/",
        "http://user:word@example.org/",
        "http://@example.org/",
        "http://example.org@127.0.0.1/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://exam ple.org/",
        "http://example.org/\r\nHost: x",
        "http://example.org/\x00",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://example.org/" + "x" * 3000,
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadAddress):
        target_of(address)


def test_a_target_knows_its_origin() -> None:
    target = target_of("HTTPS://Example.ORG./a?b=c#d")
    assert target.origin == ("https", "example.org", 443)
    assert str(target.url).endswith("/a?b=c")
    assert target_of("http://bücher.example/").host == "xn--bcher-kva.example"
