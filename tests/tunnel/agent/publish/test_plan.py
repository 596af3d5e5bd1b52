"""What a command line means as a whole: which target goes where, and the message that asks for it."""

import re
from collections.abc import Sequence

import msgspec
import pytest

from tunnel.agent.publish.place import Place
from tunnel.agent.publish.plan import KEEP, REWRITE, Plan, PlanError, Rewrites, in_options
from tunnel.agent.publish.targets import Target
from tunnel.wire.publishing import Publish


def planned(targets: str, places: Sequence[str] = (), **rewrites: object) -> Plan:
    return Plan.of(
        [Target.parse(text) for text in targets.split()],
        [Place.parse(text) for text in places],
        Rewrites(**rewrites),  # type: ignore[arg-type]
    )


def as_sent(plan: Plan) -> dict[str, object]:
    return msgspec.json.decode(msgspec.json.encode(plan.message("seed")))


def test_the_smallest_message():
    assert as_sent(planned("5173")) == {
        "routes": [{"key": "5173", "port": 5173, "host_header": "localhost:5173"}],
        "name_seed": "seed",
        "watch": True,
    }


def test_a_message_with_everything():
    plan = planned(
        "5173 https://nas.lan:8443 https+insecure://nas",
        ["me.example.com", "me.example.com/nas"],
        strip_prefix=True, add_prefix="/base", https_redirect=True,
    )  # fmt: skip
    rewrites = {"add_prefix": "/base", "https_redirect": True}
    assert as_sent(plan)["routes"] == [
        {
            "key": "5173", "host": "me.example.com", "path": "/", "port": 5173, "host_header": "localhost:5173",
            **rewrites,
        },
        {
            "key": "https://nas.lan:8443", "host": "me.example.com", "path": "/nas", "service": "nas-lan", "port": 8443,
            "scheme": "https", "server_name": "nas.lan", "host_header": "nas.lan:8443", "strip_prefix": True,
            **rewrites,
        },
        {
            "key": "https://nas:443", "service": "nas", "port": 443, "scheme": "https", "verify": False,
            "host_header": "nas", **rewrites,
        },
    ]  # fmt: skip
    msgspec.json.decode(msgspec.json.encode(plan.message("seed")), type=Publish)


@pytest.mark.parametrize(
    ("host_header", "sent"), [(REWRITE, "localhost:80"), (KEEP, ""), ("app.internal", "app.internal")]
)
def test_the_host_that_the_service_sees(host_header: str, sent: str):
    expected = "localhost" if host_header == REWRITE else sent
    assert planned("80", host_header=host_header).message("seed").routes[0].host_header == expected


def test_given_names_are_asked_for_again():
    plan = planned("1 2 3", ["", "b.example.com", "*.example.com/x"])
    hosts = [route.host for route in plan.message("seed", ["one.example.com", "", "three.example.com"]).routes]
    assert hosts == ["one.example.com", "b.example.com", "three.example.com"]
    assert [route.host for route in plan.message("seed").routes] == ["", "b.example.com", "*.example.com"]


def test_each_route_has_a_key_of_its_own():
    """The gateway makes names of keys: two routes with one key would get the same."""
    assert [route.key for route in planned("80 80 http://localhost 81 80").routes] == [
        "80",
        "80#2",
        "80#3",
        "81",
        "80#4",
    ]


def test_a_service_is_reached_once():
    assert len(planned("80 80 localhost:80 https://localhost:80").services) == 1


@pytest.mark.parametrize(
    ("targets", "places", "rewrites", "said"),
    [
        ("80", ["a", "b"], {}, "--host: more of them"),
        ("80 81", ["a.b/x", "a.b/x/"], {}, "--host: a.b/x is given twice"),
        ("80", ["a"], {"strip_prefix": True}, "--strip-prefix: needs a --host with a path"),
        (" ".join(["80"] * 101), [], {}, "TARGET: one command publishes up to 100"),
    ],
)
def test_what_does_not_go_together(targets: str, places: list[str], rewrites: dict[str, object], said: str):
    with pytest.raises(PlanError) as caught:
        planned(targets, places, **rewrites)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        ("add_prefix: 'x y' is not valid", "--add-prefix: 'x y' is not valid"),
        ("path: '/a;b' is not valid: write another", "--host: '/a;b' is not valid: write another"),
        ("port: 0 is not valid", "port: 0 is not valid"),
        ("a.b is taken: path: x", "a.b is taken: path: x"),
        ("host", "host"),
        ("", ""),
    ],
)
def test_a_refusal_names_the_option(refusal: str, told: str):
    assert in_options(refusal) == told


def test_two_given_names_below_one_wildcard_are_two():
    assert [place.host for place in planned("80 81", ["*.a.b", "*.a.b"]).places] == ["*.a.b", "*.a.b"]


def test_the_same_command_has_the_same_id_and_another_one_another():
    plans = [
        planned("80"), planned("81"), planned("80 81"), planned("81 80"), planned("192.168.1.5:80"),
        planned("https://localhost:80"), planned("80", ["a.b"]), planned("80", ["a.b/x"]),
    ]  # fmt: skip
    ids = [plan.agent_id("host-1", "seed") for plan in plans]
    assert len(set(ids)) == len(plans)
    assert planned("80").agent_id("host-1", "seed") == ids[0]
    assert planned("80").agent_id("host-1", "other") != ids[0]
    assert planned("80", add_prefix="/x").agent_id("host-1", "seed") == ids[0]
    assert re.fullmatch(r"host-1-[0-9a-f]{12}-80-81", ids[2])


@pytest.mark.parametrize("hostname", ["", "...", "büro", "x" * 300, "my host"])
def test_an_id_is_one_whatever_the_machine_is_called(hostname: str):
    every = planned(" ".join(str(port) for port in range(10_000, 10_100)))
    for plan in (planned("80"), every):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", plan.agent_id(hostname, "seed"))
    assert every.agent_id(hostname, "seed") != every.agent_id(hostname, "other")
