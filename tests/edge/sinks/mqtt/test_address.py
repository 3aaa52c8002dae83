"""The address of a broker: what is meant, and what is refused without giving a password away."""

from __future__ import annotations

import pytest

from edge.errors import UsageError
from edge.sinks.mqtt.address import LONGEST_TOPIC, LONGEST_URL, BrokerAddress, topic_fault
from tests.edge.fakes import one_line


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("mqtt://host/t", BrokerAddress("host", 1883, "t"), id="shortest"),
        pytest.param("MQTT://Broker.local:1884/flora/a", BrokerAddress("broker.local", 1884, "flora/a"), id="port"),
        pytest.param("mqtts://host/t", BrokerAddress("host", 8883, "t", is_tls=True), id="TLS has a port of its own"),
        pytest.param("mqtt://host:/t", BrokerAddress("host", 1883, "t"), id="no digit after the colon"),
        pytest.param("mqtt://[::1]:1884/t", BrokerAddress("::1", 1884, "t"), id="IPv6"),
        pytest.param("mqtt://u@host/t", BrokerAddress("host", 1883, "t", user="u"), id="user alone"),
        pytest.param(
            "mqtt://u%40home:p%2F%3F%23%3a@host/t", BrokerAddress("host", 1883, "t", False, "u@home", "p/?#:"), id="%xx"
        ),
        pytest.param("mqtt://bücher/Küche/B%20%40", BrokerAddress("bücher", 1883, "Küche/B @"), id="beyond ASCII"),
    ],
)
def test_an_address_is_read(url: str, expected: BrokerAddress) -> None:
    assert BrokerAddress.parse(url, {}) == expected


def test_the_password_may_come_from_the_environment() -> None:
    environment = {"FLORA_MQTT_PASSWORD": "hidden"}
    assert BrokerAddress.parse("mqtt://u@host/t", environment).password == "hidden"
    assert BrokerAddress.parse("mqtt://u:typed@host/t", environment).password == "typed"


def test_what_is_shown_of_an_address_holds_neither_user_nor_password() -> None:
    address = BrokerAddress.parse("mqtts://somebody:hidden@[::1]/a/b", {})
    assert str(address) == "mqtts://[::1]:8883/a/b"
    assert "somebody" not in repr(address)
    assert "hidden" not in repr(address)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "not an MQTT address"),
        ("host/t", "not an MQTT address"),
        ("mqtt:host/t", "not an MQTT address"),
        ("http://host/t", "not an MQTT address"),
        ("mqtt:///t", "names no host"),
        ("mqtt://:1883/t", "names no host"),
        ("mqtt://u:secret@/t", "names no host"),
        ("mqtt://[::1/t", "the host is no name or number"),
        ("mqtt://a..b/t", "the host is no name or number"),
        (f"mqtt://{'a' * 64}/t", "the host is no name or number"),
        ("mqtt://ho st/t", "the host is no name or number"),
        ("mqtt://host|ls/t", "the host is no name or number"),
        ("mqtt://host:0/t", "the port is 0"),
        ("mqtt://host:65536/t", "the port is no number up to 65535"),
        ("mqtt://host:-1/t", "the port is no number up to 65535"),
        ("mqtt://host:mqtt/t", "the port is no number up to 65535"),
        ("mqtt://host", "the topic, or a level of it, is empty"),
        ("mqtt://host/", "the topic, or a level of it, is empty"),
        ("mqtt://host/a//b", "the topic, or a level of it, is empty"),
        ("mqtt://host/a/", "the topic, or a level of it, is empty"),
        ("mqtt://host/a/+", "the topic holds + or #"),
        ("mqtt://host/a/%23", "the topic holds + or #"),
        ("mqtt://host/a/#", "holds ? or #"),
        ("mqtt://host/a?b", "holds ? or #"),
        ("mqtt://host/$SYS/x", "topics that begin with $ belong to the broker"),
        ("mqtt://host/a%0Ab", "the topic holds characters that cannot be printed"),
        ("mqtt://host/a%00b", "the topic holds characters that cannot be printed"),
        (f"mqtt://host/{'ü' * (LONGEST_TOPIC // 2)}b", f"the topic is longer than {LONGEST_TOPIC} bytes"),
        ("mqtt://host/a\nb", "holds characters that cannot be printed"),
        ("mqtt://ho\tst/a", "holds characters that cannot be printed"),
        ("mqtt://host/\x1b[31m", "holds characters that cannot be printed"),
        ("mqtt://host/\udce9", "holds characters that cannot be printed"),
        ("mqtt://host/%ff", "a %xx in it is no UTF-8"),
        ("mqtt://:secret@host/t", "there is a password"),
        ("mqtt://u%00:secret@host/t", "the user or the password holds a zero byte"),
        (f"mqtt://host/{'a' * LONGEST_URL}", f"longer than {LONGEST_URL} characters"),
        ("mqtt://u:secret/with?odd#signs@host/t", "holds ? or #"),
        ("mqtt://u:secret/with@host/t", "an @ behind the first /"),
        ("mqtt://u:1234/secret@host/t", "an @ behind the first /"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_address_that_cannot_be_meant_is_one_line(url: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        BrokerAddress.parse(url, {})
    line = one_line(caught)
    assert line.startswith("--mqtt ")
    assert f": {problem}" in line
    assert line.endswith(
        "; expected mqtt[s]://[user:password@]host[:port]/topic, as in mqtt://broker.local/flora/window"
    )
    assert line.isprintable()
    assert "secret" not in line
    assert len(line) < 400


def test_a_password_in_the_environment_needs_a_user() -> None:
    with pytest.raises(UsageError, match=r"FLORA_MQTT_PASSWORD.* but no user") as caught:
        BrokerAddress.parse("mqtt://host/t", {"FLORA_MQTT_PASSWORD": "hidden"})
    assert "hidden" not in one_line(caught)


def test_a_topic_may_be_as_long_as_the_limit() -> None:
    assert topic_fault("a" * LONGEST_TOPIC) is None
