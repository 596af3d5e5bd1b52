"""Whose PROXY headers are believed, and how often the log says that one was not."""

import dataclasses
import logging

import pytest

from app.node.gateway import Gateway
from app.observed.metrics import HeaderFault
from app.server.doorman import LINE_SECONDS, Doorman
from app.settings import Settings
from app.settings.hosts import network
from tests.app.observed.counted import samples
from tests.fakes.clock import Clock


def gateway_of(*trusted: str) -> Gateway:
    return Gateway(Settings(trusted_proxies=tuple(network(value, ()) for value in trusted), proxy_protocol=True))


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("fe80::1%eth0", True),
        ("", False),
    ],
)
def test_those_of_trusted_proxies_are_believed(peer: str, trusted: bool):
    assert Doorman(gateway_of("10.0.0.0/8", "2001:db8::/32", "fe80::/10")).is_trusted(peer) is trusted


def test_a_reload_changes_who_is_believed():
    gateway = gateway_of("10.0.0.0/8")
    doorman = Doorman(gateway)
    gateway.apply(dataclasses.replace(gateway.settings, trusted_proxies=(network("192.0.2.7", ()),)))
    assert doorman.is_trusted("192.0.2.7")
    assert not doorman.is_trusted("10.0.0.1")


def test_wrong_headers_are_a_line_a_minute(caplog: pytest.LogCaptureFixture):
    clock = Clock()
    doorman = Doorman(gateway_of("10.0.0.0/8"), clock=clock)

    def lines() -> list[str]:
        texts = [record.getMessage().partition(". Check")[0] for record in caplog.records]
        assert {record.levelno for record in caplog.records} <= {logging.WARNING}
        caplog.clear()
        return texts

    doorman.refused(HeaderFault.INVALID, "10.0.0.1", "one")
    assert lines() == ["connections closed because of their PROXY header: 1, the last from 10.0.0.1: one"]
    for fault in (HeaderFault.INVALID, HeaderFault.LATE, HeaderFault.CROWDED):
        doorman.refused(fault, "10.0.0.2", "two")
    clock.now += LINE_SECONDS - 0.001
    doorman.refused(HeaderFault.LATE, "10.0.0.3", "three")
    assert lines() == []
    clock.now += 0.001
    doorman.refused(HeaderFault.LATE, "10.0.0.4", "four")
    assert lines() == ["connections closed because of their PROXY header: 5, the last from 10.0.0.4: four"]


def test_strangers_are_a_line_for_those_who_look_for_it_and_do_not_use_up_the_others(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, logger="gateway")
    doorman = Doorman(gateway_of("10.0.0.0/8"), clock=Clock())
    for _ in range(2):
        doorman.refused(HeaderFault.UNTRUSTED, "203.0.113.9", "it is not in trusted_proxies")
    doorman.refused(HeaderFault.INVALID, "10.0.0.1", "one")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG", "WARNING"]


def test_all_are_counted():
    gateway = gateway_of("10.0.0.0/8")
    doorman = Doorman(gateway, clock=Clock())
    for number, fault in enumerate(HeaderFault, 1):
        for _ in range(number):
            doorman.refused(fault, "10.0.0.1", "")
    found = samples(gateway.metrics)
    name = "gateway_proxy_headers_refused_total"
    assert [found[name, fault.value] for fault in HeaderFault] == [1, 2, 3, 4]
