"""All that is wrong with a configuration is told at once, each thing once, in the order of the file."""

import difflib
from pathlib import Path
from typing import Any

import pytest

from app.settings import ConfigurationError, load
from app.settings.errors import Faults, KeyPath, WrongKeyError


def errors_of(tmp_path: Path, text: str, **variables: str) -> list[str]:
    """What is said of the file, without its name; of the variables first."""
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(str(file), {f"GATEWAY_{name}": value for name, value in variables.items()})
    assert str(caught.value).split("\n") == list(caught.value.errors)
    return [error.removeprefix(f"{file}:") for error in caught.value.errors]


EVERYTHING_WRONG = """\
public_url = "gw.test"
trusted_proxies = ["10.0.0.0/33", "10.0.0.1", "proxy.test"]
control_hosts = [1, "a b", "localhost", 2]
max_conections = 5
held_bytes_limit = 5
log_level = "loud"
origins = ["null", "*.*.test"]
request_headers = { set = { Host = "x", a = " 1" }, remove = ["b:", "c"] }

[[agents]]
token = "a b"
hosts = ["a.test:80", "*"]

[[agents]]
clusters = []
token = "s"
token_file = "t"

[[routes]]
host = "a.test:8443"
path = "/api/*"
cluster = "c1"
namespace = "Apps"
service = "web.apps"
port = "80"
verify = "no"
sticky = true

[[routes]]
hots = "b.test"
cluster = "c1"
namespace = "apps"
"""


def test_everything_is_told_at_once(tmp_path: Path):
    places = [error.partition(": ")[0] for error in errors_of(tmp_path, EVERYTHING_WRONG, PORT="http")]
    assert places == ["GATEWAY_PORT"] + [str(line) for line in (1, 2, 2, 3, 3, 3, 4, 5, 6, 7, 7, 8, 8, 8, 10, 11, 12,
        12, 14, 15, 20, 21, 23, 24, 25, 26, 27, 29, 29, 30)]  # fmt: skip


def test_each_line_names_the_key_and_what_is_valid(tmp_path: Path):
    errors = errors_of(tmp_path, EVERYTHING_WRONG, PORT="http")
    assert errors[0] == "GATEWAY_PORT: 'http' is not valid; valid: a whole number from 0 to 65535; 0 for a free port"
    assert "20: routes[0].host: 'a.test:8443' is not valid; routes ignore ports, write a.test" in errors
    assert "21: routes[0].path: '/api/*' is not valid; a prefix needs no star; write /api" in errors
    assert "24: routes[0].service: 'web.apps' is not valid; write a DNS label (a-z, 0-9 and -, at most 63 characters)" \
        in errors  # fmt: skip
    assert errors[-3:-1] == ["29: routes[1]: service is missing", "29: routes[1]: port is missing"]
    assert errors[-1].startswith(
        "30: routes[1].hots: unknown key, did you mean host?; valid keys: add_prefix, allow_missing"
    )


FOLLOWS = [
    # What is wrong; the only key that is named.
    ('held_bytes_limit = "x"\nheld_bytes_hard_limit = 1048576', "held_bytes_limit"),
    ("proxy_protocol = true\ntrusted_proxies = 5", "trusted_proxies"),
    ('trusted_proxies = ["x"]\nproxy_protocol = true', "trusted_proxies[0]"),
    ('admin_bind = "0.0.0.0:9090"\nadmin_token_file = "missing"', "admin_token_file"),
    ('[[agents]]\ntoken = 5\nclusters = ["c1"]', "agents[0].token"),
    ('[[agents]]\ntokn = "t"\nclusters = ["c1"]', "agents[0].tokn"),
    ('agents = [1, { token = "x", clusters = ["c1"] }]', "agents[0]"),
    ('routes = ["x"]', "routes[0]"),
    ("[[routes]]\nhost = 'a'\ncluster = 'c'\nnamespace = 'n'\nservice = 's'\nport = 1\nscheme = 'ftp'\nverify = false",
     "routes[0].scheme"),
    ("[[routes]]\nhost = 'a'\ncluster = 'c'\nnamespace = 'n'\nservice = 's'\nport = 1\nshceme = 'https'\nca_file = 'x'",
     "routes[0].shceme"),
    ("[[routes]]\nhost = 'a'\ncluster = 'c'\nnamespace = 'n'\nservice = 's'\nport = 0\n" * 2, "routes[0].port"),
    ("request_headers = { set = { a = ['b'] } }", "request_headers.set"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key"), FOLLOWS, ids=[key for _, key in FOLLOWS])
def test_what_only_follows_from_another_fault_is_not_told(tmp_path: Path, text: str, key: str):
    first, *more = errors_of(tmp_path, text)
    assert f": {key}: " in first
    assert [error for error in more if "routes[1]." not in error] == []


def test_a_file_that_is_not_toml_and_a_wrong_variable(tmp_path: Path):
    variable, syntax = errors_of(tmp_path, "a =", LOG_LEVEL="loud", PROXY_PROTOCOL="true")
    assert variable.startswith("GATEWAY_LOG_LEVEL: 'loud' is not valid; valid: ")
    assert syntax.startswith(" not TOML: ")


def test_a_variable_hides_what_is_wrong_in_the_file(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text("log_level = 'loud'", encoding="utf-8")
    assert load(str(file), {"GATEWAY_LOG_LEVEL": "debug"}).log_level == "debug"


def test_a_thousand_wrong_routes_are_a_thousand_lines(tmp_path: Path):
    """Read in one pass: the lines of all keys are looked for once."""
    route = "[[routes]]\nhost = 'a b'\ncluster = 'c'\nnamespace = 'n'\nservice = 's'\nport = 1\n"
    errors = errors_of(tmp_path, route * 1_000)
    assert [error.partition(":")[0] for error in errors] == [str(6 * number + 2) for number in range(1_000)]


# --- the gathering itself


def refuse(value: str, path: KeyPath) -> str:
    if value == "bad":
        raise WrongKeyError(path, "bad")
    return value.upper()


def test_a_wrong_key_is_not_looked_at_again():
    faults = Faults()
    assert faults.check(refuse, "good", ("a",)) == "GOOD"
    assert not faults
    assert faults.check(refuse, "bad", ("a", 0)) is None
    assert faults.check(refuse, "good", ("a", 0)) is None
    assert faults.check(refuse, "bad", ("a", 0, "b")) is None
    assert faults.check(refuse, "good", ("a", 1)) == "GOOD"
    assert [fault.path for fault in faults.found] == [("a", 0)]


def test_a_missing_key_is_told_of_its_table():
    faults = Faults()
    faults.add(WrongKeyError(("a",), "b is missing"), about=("a", "b"))
    faults.pass_over(("a", "c"))
    assert [(key in faults) for key in (("a",), ("a", "b"), ("a", "c"), ("a", "d"))] == [False, True, True, False]
    assert len(faults.found) == 1


def test_what_was_meant_is_looked_for_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each look compares the key with all others: 100,000 unknown keys took half a minute."""
    asked: list[str] = []
    near = difflib.get_close_matches

    def counted(name: str, *more: Any, **most: Any) -> list[str]:
        asked.append(name)
        return near(name, *more, **most)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    errors = errors_of(tmp_path, "".join(f"prot{number} = 1\n" for number in range(1_000)))
    assert "did you mean port?" in errors[0]
    assert len(errors) == 1_000
    assert len(asked) == 100
