"""The reference says every key, and no other; its example is a configuration."""

import json
import re
from pathlib import Path

import pytest

from app.settings import load
from app.settings.schema import AgentEntry, ClusterKeys, File, PolicyKeys, RouteEntry, keys_of

DOCUMENT = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")


def documented(*headings: str) -> list[str]:
    """The keys in the tables under headings that begin so; of all others without any."""
    keys = []
    for section in DOCUMENT.split("\n## ")[1:]:
        special = section.startswith(("Policy", "`[[agents]]`", "`[[routes]]`", "`[cluster]`"))
        if section.startswith(headings) if headings else not special:
            keys += re.findall(r"^\| `([a-z0-9_]+)` \|", section, re.MULTILINE)
    return keys


@pytest.mark.parametrize(
    ("headings", "keys"),
    [
        ((), set(keys_of(File)) - set(keys_of(PolicyKeys)) - {"agents", "routes", "cluster"}),
        (("Policy",), set(keys_of(PolicyKeys))),
        (("`[[agents]]`",), set(keys_of(AgentEntry))),
        (("`[[routes]]`",), set(keys_of(RouteEntry)) - set(keys_of(PolicyKeys))),
        (("`[cluster]`",), set(keys_of(ClusterKeys))),
    ],
)
def test_every_key_has_one_row_and_every_row_a_key(headings: tuple[str, ...], keys: set[str]):
    assert sorted(documented(*headings)) == sorted(keys)


def test_what_needs_a_restart_says_so():
    from app.operator.reload import NEEDS_RESTART

    marked = re.findall(r"^\| `([a-z0-9_]+)` \|[^|]*\|[^|]*\| restart\b", DOCUMENT, re.MULTILINE)
    assert sorted(marked) == sorted(set(NEEDS_RESTART) - {"cluster"})
    assert "\nThe whole table needs a restart." in DOCUMENT.partition("\n## `[cluster]`")[2]


def as_told(value: object) -> set[str]:
    """How the column of defaults may say this value."""
    if value is None:
        return {"none", "unlimited"}
    if isinstance(value, bool):
        return {str(value).lower()}
    if isinstance(value, int | float):
        return {f"{value:g}"} if value < 1_000_000 else {str(int(value))}
    if isinstance(value, tuple) and value:
        return {f"`{json.dumps(value)}`"}
    return {f"`{value}`"} if isinstance(value, str) else {"none"}


def test_defaults_are_those_of_an_empty_file():
    settings = load(None, {})
    tables = DOCUMENT.partition("## `[[agents]]`")[0]
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|[^|]*\| ([^|]*) \|", tables, re.MULTILINE)
    values = {key: getattr(settings, key, getattr(settings.policy, key, None)) for key, _ in rows}
    in_words = [key for key, text in rows if text not in as_told(values[key])]
    assert in_words == ["control_hosts", "held_bytes_hard_limit", "max_connections"]


def test_its_example_is_a_configuration(tmp_path: Path):
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    file = tmp_path / "gateway.toml"
    file.write_text(example, encoding="utf-8")
    assert load(str(file), {}).summary() == "1 route of 1 host, 1 agent token, no admin token"
