"""What is counted and logged of exchanges as messages, and the request's own id in the log."""

import logging

import pytest

from tunnel.agent.service import dial
from tunnel.agent.traffic import Running
from tunnel.wire import refusals

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_exchanges_and_their_bytes(conversation):
    assert conversation.carrier.running() == Running()
    conversation.request("r-1")
    service = await conversation.service(1)
    sent = len(service.heard)
    assert sent > 0
    assert conversation.carrier.running() == Running(1, sent, 0)
    service.say(OK)
    await conversation.over()
    assert conversation.carrier.running() == Running()
    assert (conversation.traffic.to_service_bytes, conversation.traffic.to_gateway_bytes) == (sent, len(OK))


async def test_a_lost_link_counts_what_it_carried(conversation):
    conversation.request("r-1")
    service = await conversation.service(1)
    service.say(OK[:20])
    conversation.carrier.lost("gone")
    await conversation.until(lambda: conversation.traffic.to_gateway_bytes)
    assert conversation.traffic.to_gateway_bytes == 20


@pytest.mark.parametrize(
    ("kind", "label"), [(refusals.REFUSED, "refused"), (refusals.NO_SUCH_NAME, "no_such_name"), ("new", "other")]
)
async def test_a_dial_that_failed_is_counted_and_logged(conversation, caplog, kind, label):
    conversation.refusing = dial.DialError("no connection", kind)
    conversation.request(headers={"x-request-ID": ["id-of-the-client"], "accept": ["*/*"]})
    await conversation.over()
    assert {name: number for name, number in conversation.traffic.refused.items() if number} == {label: 1}
    (record,) = [record for record in caplog.records if record.getMessage().startswith("refused exchange")]
    assert record.getMessage() == "refused exchange to apps/web:80: 10.0.0.1:8080: no connection"
    assert record.fields == {"request_id": "id-of-the-client", "target": "apps/web:80"}


async def test_what_may_not_be_reached_is_counted(conversation):
    conversation.request(service_name="other")
    await conversation.over()
    assert conversation.traffic.refused["not_allowed"] == 1


async def test_a_request_that_cannot_be_sent_is_counted(conversation):
    conversation.request(method="CONNECT")
    await conversation.over()
    assert conversation.traffic.refused["other"] == 1


async def test_without_an_id_of_the_clients_a_line_has_the_exchanges(conversation, caplog):
    caplog.set_level(logging.DEBUG, "tunnel.agent")
    conversation.request("r-7")
    (await conversation.service(1)).say(OK)
    await conversation.over()
    (record,) = [record for record in caplog.records if record.getMessage().startswith("exchange closed")]
    assert record.fields == {"request_id": "r-7", "target": "apps/web:80"}


async def test_an_id_in_the_log_is_bounded(conversation, caplog):
    conversation.request(service_name="other", headers={"X-Request-Id": "x" * 100_000})
    await conversation.over()
    (record,) = [record for record in caplog.records if record.getMessage().startswith("refused exchange")]
    assert len(record.fields["request_id"]) == 128
