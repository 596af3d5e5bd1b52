"""The metrics: what is counted, and how it is shown."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from app.observed.metrics import Distribution, Limit, Metrics, Snapshot, Stall, StallTotal, limit_of, link_state
from app.public.passage import Passage
from app.rules import problems
from app.rules.policy import DEFAULT_POLICY
from tests.app.observed.counted import Told, changed, record, samples
from tunnel.account import Account
from tunnel.gateway.link import Link, LinkState
from tunnel.gateway.yamux import YamuxCarrier

# --- exchanges


def test_a_request_that_ended():
    got = changed(lambda metrics: metrics.ended(record(method="POST", status=404, head_at=100.1)))
    assert got["gateway_requests_total", "POST", "ok", "4xx"] == 1
    assert got["gateway_request_duration_seconds_sum",] == 0.25
    assert got["gateway_request_head_seconds_sum",] == pytest.approx(0.1)
    assert got["gateway_request_head_seconds_count",] == 1
    assert ("gateway_request_duration_seconds_bucket", "0.1") not in got
    assert got["gateway_request_duration_seconds_bucket", "0.25"] == 1  # borders are inclusive
    assert got["gateway_request_duration_seconds_bucket", "+Inf"] == 1


def test_a_request_without_an_answer():
    got = changed(lambda metrics: metrics.ended(record(status=0, outcome="client_left")))
    assert got["gateway_requests_total", "GET", "client_left", "none"] == 1
    assert ("gateway_request_head_seconds_count",) not in got


@pytest.mark.parametrize("problem", [problems.NO_AGENT, problems.TOO_SLOW, problems.BODY_TOO_LARGE, problems.INTERNAL])
def test_our_own_errors_have_an_outcome_each(problem: problems.Problem):
    got = changed(lambda metrics: metrics.ended(record(status=problem.status, outcome=problem.code)))
    assert got["gateway_requests_total", "GET", problem.code, f"{problem.status // 100}xx"] == 1


def test_requests_are_counted_on_from_one_scrape_to_the_next():
    metrics = Metrics()
    for status in (200, 204, 200):
        metrics.ended(record(status=status))
    assert samples(metrics)["gateway_requests_total", "GET", "ok", "2xx"] == 3
    metrics.ended(record(status=201))
    assert samples(metrics)["gateway_requests_total", "GET", "ok", "2xx"] == 4
    assert samples(metrics)["gateway_requests_total", "GET", "ok", "2xx"] == 4


def test_what_is_counted_between_two_scrapes_is_bounded_and_none_is_lost():
    metrics = Metrics()
    outcomes = ("ok", "client_left", "made up")
    for number in range(3_000):
        metrics.ended(record(method=f"X{number}", status=number % 600, outcome=outcomes[number % 3]))
        metrics.ended(record(method="GET", status=number % 600, outcome=outcomes[number % 3]))
        assert sum(map(len, metrics._counted.values())) <= 256
    got = {key: value for key, value in samples(metrics).items() if key[0] == "gateway_requests_total"}
    assert sum(got.values()) == 6_000
    assert {key[1] for key in got} == {"GET", "other"}
    assert {key[2] for key in got} == {"ok", "client_left", "other"}
    assert got["gateway_requests_total", "GET", "ok", "2xx"] == sum(
        number % 600 // 100 == 2 for number in range(0, 3_000, 3)
    )


def test_tls():
    metrics = Metrics()
    assert ("gateway_tls_certificate_expiry_timestamp_seconds",) not in samples(metrics)
    metrics.tls.ok, metrics.tls.failed, metrics.tls.unfinished = 1, 2, 3
    metrics.tls.renewals, metrics.tls.renewals_failed, metrics.tls.not_after = 4, 5, 1_893_456_000.0
    got = {key: value for key, value in samples(metrics).items() if key[0].startswith("gateway_tls_")}
    assert got == {
        ("gateway_tls_handshakes_total", "ok"): 1,
        ("gateway_tls_handshakes_total", "failed"): 2,
        ("gateway_tls_handshakes_total", "unfinished"): 3,
        ("gateway_tls_renewals_total", "ok"): 4,
        ("gateway_tls_renewals_total", "failed"): 5,
        ("gateway_tls_certificate_expiry_timestamp_seconds",): 1_893_456_000,
    }


def test_activity_is_the_same_only_while_nothing_happens():
    metrics = Metrics()
    made = record("websocket", status=101)

    def pass_on(size_bytes: int) -> None:
        metrics.client_to_service.messages += size_bytes

    happenings: list[Callable[[], object]] = [
        lambda: metrics.ended(record()),
        lambda: metrics.websocket_opened(made),
        lambda: pass_on(1),
        lambda: metrics.ended(made),
        lambda: setattr(metrics, "request_bytes_up", 1),
        lambda: setattr(metrics, "request_bytes_down", 1),
    ]
    seen = {metrics.activity()}
    for number, happen in enumerate(happenings, 2):
        happen()
        samples(metrics)  # a scrape is none
        seen.add(metrics.activity())
        assert len(seen) == number


def test_a_websocket_opens_and_closes():
    metrics = Metrics()
    made = record("websocket", status=101, head_at=100.1)
    metrics.websocket_opened(made)
    got = samples(metrics)
    assert got["websocket_connections_active",] == 1
    assert got["gateway_requests_total", "GET", "ok", "1xx"] == 1
    assert got["gateway_request_head_seconds_count",] == 1
    made.closed_by, made.close_code = "service", 4001
    metrics.ended(made)
    got = samples(metrics)
    assert got["websocket_connections_active",] == 0
    assert got["gateway_websocket_closes_total", "service", "4xxx"] == 1
    assert got["gateway_requests_total", "GET", "ok", "1xx"] == 1
    assert got["gateway_request_duration_seconds_count",] == 0
    assert got["gateway_request_head_seconds_count",] == 1


def test_the_gauge_goes_down_whatever_an_open_websocket_ends_with():
    metrics = Metrics()
    made = record("websocket", status=101)
    metrics.websocket_opened(made)
    made.status = 502
    metrics.ended(made)
    assert metrics.websockets_active == 0


def test_a_refused_handshake_is_a_request():
    got = changed(lambda metrics: metrics.ended(record("websocket", status=403, outcome="origin_refused")))
    assert got["gateway_requests_total", "GET", "origin_refused", "4xx"] == 1
    assert not [key for key in got if key[0].startswith(("websocket_", "gateway_websocket_"))]


def test_messages_by_direction():
    def pass_on(metrics: Metrics) -> None:
        up = Passage("client_to_service", DEFAULT_POLICY, metrics, record("websocket"))
        down = Passage("service_to_client", DEFAULT_POLICY, metrics, record("websocket"))
        up.passed(5, 0.0, 0.0001)
        up.passed(7, 0.0, 0.3)
        down.passed(11, 0.0, 20.0)

    got = changed(pass_on)
    assert got["websocket_messages_total", "client_to_service"] == 2
    assert got["websocket_messages_total", "service_to_client"] == 1
    assert got["websocket_bytes_total", "client_to_service"] == 12
    assert got["websocket_bytes_total", "service_to_client"] == 11
    duration = "websocket_message_duration_seconds"
    assert (f"{duration}_bucket", "5e-05") not in got
    assert got[f"{duration}_bucket", "0.0001"] == 1
    assert got[f"{duration}_bucket", "0.5"] == 2
    assert got[f"{duration}_bucket", "10.0"] == 2
    assert got[f"{duration}_bucket", "+Inf"] == got[f"{duration}_count",] == 3
    assert got[f"{duration}_sum",] == pytest.approx(20.3001)


def test_bytes_of_bodies():
    def pass_on(metrics: Metrics) -> None:
        metrics.request_bytes_up += 3
        metrics.request_bytes_down += 5

    assert changed(pass_on) == {
        ("gateway_request_bytes_total", "client_to_service"): 3,
        ("gateway_request_bytes_total", "service_to_client"): 5,
    }


def test_a_limit_is_counted_and_named_in_the_record():
    made = record()
    got = changed(lambda metrics: [metrics.limit_hit(Limit.BODY_SIZE, made), metrics.limit_hit(Limit.HELD_HIGH)])
    assert got == {("gateway_limits_hit_total", "body_size"): 1, ("gateway_limits_hit_total", "held_high"): 1}
    assert made.limit == "body_size"


def test_problems_that_stand_for_a_limit():
    assert limit_of(problems.TOO_MANY_OF_CLIENT) is Limit.WEBSOCKETS_CLIENT
    assert limit_of(problems.BUSY) is None


# --- stalls


def test_a_stall_counts_from_its_begin_to_its_end():
    total = StallTotal()
    one, two = Stall(total), Stall(total)
    one.begin(100.0)
    one.begin(101.0)
    two.begin(101.0)
    assert total.seconds == 0.0
    one.end(102.0)
    one.end(103.0)
    assert (one.seconds, two.seconds, total.seconds) == (2.0, 0.0, 2.0)
    one.begin(110.0)
    one.end(111.0)
    two.end(105.0)
    assert (one.seconds, two.seconds, total.seconds) == (3.0, 4.0, 7.0)


def test_stalls_by_side():
    def wait(metrics: Metrics) -> None:
        for total, seconds in ((metrics.stalled_by_client, 2.0), (metrics.stalled_by_service, 3.0)):
            stall = Stall(total)
            stall.begin(100.0)
            stall.end(100.0 + seconds)

    assert changed(wait) == {
        ("gateway_stall_seconds_total", "client"): 2.0,
        ("gateway_stall_seconds_total", "service"): 3.0,
    }


@given(st.lists(st.floats(0, 100)))
def test_a_distribution_counts_each_value_once(values: list[float]):
    distribution = Distribution([0.1, 1.0, 10.0])
    for value in values:
        distribution.add(value)
    expected = [sum(value <= border for value in values) for border in (0.1, 1.0, 10.0)]
    assert distribution.cumulative() == [*expected, len(values)]
    assert distribution.total == pytest.approx(sum(values))


# --- state


def test_state_is_read_when_it_is_asked_for():
    metrics = Metrics()
    source = Told(
        Snapshot(
            links=[("c1", "ready"), ("c1", "ready"), ("c1", "joining")],
            clusters=["c1", "c2"],
            streams=7,
            held_bytes=100,
            held_bytes_limits={"high": 1_000, "hard": 2_000},
            draining=True,
            waiting=3,
            waits={"served": 5, "in_vain": 2},
        )
    )
    metrics.watch(source)
    metrics.link_joined("c1")
    got = samples(metrics)
    assert {key: value for key, value in got.items() if key[0] == "gateway_links"} == {
        ("gateway_links", "c1", "ready"): 2,
        ("gateway_links", "c1", "joining"): 1,
        ("gateway_links", "c2", "ready"): 0,  # an alert can see it
    }
    assert got["gateway_link_reconnects_total", "c1"] == 0
    assert got["gateway_link_reconnects_total", "c2"] == 0
    assert got["gateway_streams_active",] == 7
    assert got["gateway_held_bytes",] == 100
    assert got["gateway_held_bytes_limit", "high"] == 1_000
    assert got["gateway_held_bytes_limit", "hard"] == 2_000
    assert got["gateway_draining",] == 1
    assert got["gateway_requests_waiting",] == 3
    assert [got["gateway_request_waits_total", end] for end in ("served", "in_vain", "left", "refused")] == [5, 2, 0, 0]
    source.now = Snapshot(clusters=["c1"])
    metrics.link_joined("c1")
    metrics.link_joined("c1")
    got = samples(metrics)
    assert got["gateway_links", "c1", "ready"] == 0
    assert got["gateway_link_reconnects_total", "c1"] == 2
    assert got["gateway_draining",] == 0


@given(st.lists(st.floats(0, 20) | st.sampled_from([0.1, 1.0, 10.0])), st.integers(0, 20))
def test_many_values_are_counted_as_one_by_one(values: list[float], first: int):
    one_by_one, at_once = Distribution([0.1, 1.0, 10.0]), Distribution([0.1, 1.0, 10.0])
    for value in values:
        one_by_one.add(value)
    for part in (values[:first], values[first:]):
        at_once.add_all(part)
    assert (at_once.counts, at_once.total) == (one_by_one.counts, one_by_one.total)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1_000])
def test_no_duration_is_lost_however_many_came_since_the_last_scrape(count: int):
    metrics = Metrics()
    for number in range(count):
        metrics.ended(record(head_at=100.1 if number % 2 else None, ended_at=100.25 + number % 3))
    got = samples(metrics)
    assert got["gateway_request_duration_seconds_count",] == count
    assert got["gateway_request_duration_seconds_bucket", "0.25"] == len(range(0, count, 3))
    assert got["gateway_request_head_seconds_count",] == count // 2
    assert samples(metrics)["gateway_request_duration_seconds_count",] == count


def link() -> Link:
    made = Link(
        cluster="c1", wake=lambda: None, on_ready=lambda _: None, on_identified=lambda _: None,
        on_closed=lambda _, __: None, clock=lambda: 100.0,
    )  # fmt: skip
    assert made.state is LinkState.JOINING
    return made


def test_states_of_a_link():
    one = link()
    assert link_state(one) == "joining"
    one.speak(YamuxCarrier(one, account=Account()))
    assert link_state(one) == "ready"
    one.doubt()
    assert link_state(one) == "doubted"
    one.close(1001, "")
    assert link_state(one) == "leaving"


# --- the exposition


def test_two_gateways_in_one_process_do_not_meet():
    one, two = Metrics(), Metrics()
    one.limit_hit(Limit.ORIGIN)
    assert samples(one)["gateway_limits_hit_total", "origin"] == 1
    assert samples(two)["gateway_limits_hit_total", "origin"] == 0


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3",
            "application/openmetrics-text; version=1.0.0",
        ),
        ("application/openmetrics-text; version=9.x; escaping=?", "application/openmetrics-text; version=1.0.0"),
    ],
)
def test_the_format_asked_for(accept: str | None, content_type: str):
    metrics = Metrics()
    metrics.ended(record())
    body, said = metrics.render(accept)
    assert said.startswith(content_type)
    parse = parse_openmetrics if "openmetrics" in said else parse_text
    assert "gateway_requests" in {family.name.removesuffix("_total") for family in parse(body.decode())}


@given(st.text())
def test_no_accept_can_break_it(accept: str):
    body, content_type = METRICS.render(accept)
    assert b"gateway_draining" in body
    assert content_type.isascii()


METRICS = Metrics()
