"""The queries of the dashboards, the rules and the pages, and what each names: metrics, labels, and values of labels.

No PromQL is evaluated here: a query is read as words, which is enough to find a name that is misspelt or gone. Where
Prometheus is installed, `tests/system/test_dashboards.py` evaluates them too.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.k8s.charts import K8S, Object, parsed

RULES = K8S / "gateway" / "rules" / "gateway.yaml"
DASHBOARDS = sorted((K8S / "gateway" / "dashboards").glob("*.json"))

PAGES = [K8S.parent / "docs" / name for name in ("slo.md", "operation.md")]

OF_TARGETS = {"job", "instance"}
"""Labels that Prometheus adds."""

VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$job": ".+", "$cluster": "c1"}
"""What Grafana replaces in a query, and by what for a test."""

_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*") | (?P<number>\d[\w.]*) | (?P<name>[A-Za-z_:][\w:]*)
        | (?P<sign>=~|!~|!=|>=|<=|==|[-+*/^%()<>=,{}\[\]]) | (?P<blank>\s+)""",
    re.VERBOSE,
)
_WORDS = {"and", "or", "unless", "bool", "offset"}
_BEFORE_LABELS = {"by", "without", "on", "ignoring", "group_left", "group_right"}


@dataclass
class Named:
    """What a query names."""

    metrics: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    """Each with its matchers: label, operator, value."""
    labels: set[str] = field(default_factory=set)
    """To group or match by."""


def tokens(query: str) -> list[str]:
    """Raises AssertionError for what is no PromQL that we use."""
    found, at = [], 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        assert match is not None, f"{query[at:]!r} in {query!r}"
        at = match.end()
        if match.lastgroup != "blank":
            found.append(match[0])
    return found


def named(query: str) -> Named:
    """What a query names."""
    words = [*tokens(query), ""]
    result = Named()
    at = 0
    while words[at]:
        word, after = words[at], words[at + 1]
        at += 1
        if not re.match(r"[A-Za-z_:]", word) or word in _WORDS:
            continue
        if word in _BEFORE_LABELS:
            end = words.index(")", at)
            result.labels |= set(words[at + 1 : end]) - {","}
            at = end + 1
        elif after != "(" and after not in _BEFORE_LABELS:
            matchers = result.metrics.setdefault(word, [])
            if after == "{":
                end = words.index("}", at)
                inside = [part for part in words[at + 1 : end] if part != ","]
                matchers += [(inside[n], inside[n + 1], json.loads(inside[n + 2])) for n in range(0, len(inside), 3)]
                at = end + 1
    return result


# --- where they stand


def rules() -> Iterator[Object]:
    """Every rule of the file."""
    (file,) = parsed(RULES.read_text(encoding="utf-8"))
    for group in file["groups"]:
        yield from group["rules"]


def alerts() -> dict[str, Object]:
    """The alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> dict[str, str]:
    """Recording rules: name -> query."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def dashboards() -> dict[str, Object]:
    """The dashboards by file name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}


def panels(dashboard: Object) -> list[Object]:
    """All that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def filled_in(query: str) -> str:
    """As Grafana sends it."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def queries() -> dict[str, str]:
    """Every query, by where it stands, ready to be evaluated."""
    found = {f"rule {rule.get('alert') or rule.get('record')}": rule["expr"] for rule in rules()}
    for page in PAGES:
        blocks = re.findall(r"^```promql\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        assert blocks, page
        found |= {f"{page.name}: query {number}": block for number, block in enumerate(blocks, 1)}
    for file, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                found[f"{file}: {panel['title']}, {target['refId']}"] = filled_in(target["expr"])
        for annotation in dashboard["annotations"]["list"]:
            found[f"{file}: {annotation['name']}"] = filled_in(annotation["expr"])
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])
                assert asked is not None, variable
                found[f"{file}: variable {variable['name']}"] = filled_in(asked[1])
    return found


# --- against a scrape


def scraped(text: str) -> dict[str, dict[str, set[str]]]:
    """Of an answer of /metrics: name of each sample -> its labels, with the values that each takes."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in parse_text(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def missing(query: str, samples: dict[str, dict[str, set[str]]]) -> list[str]:
    """What the query names and the scrape has not."""
    asked = named(query)
    known: dict[str, dict[str, Any]] = {**samples, **{name: {"cluster": set()} for name in recorded()}}
    found = [name for name in asked.metrics if name not in known]
    labels = {label for name in asked.metrics for label in known.get(name, ())} | OF_TARGETS
    found += sorted(asked.labels - labels)
    for name, matchers in asked.metrics.items():
        for label, sign, value in matchers:
            values = known.get(name, {}).get(label)
            if values is None and label not in OF_TARGETS:
                found.append(f"{name}{{{label}}}")
            elif values and sign == "=" and value not in values:
                found.append(f'{name}{{{label}="{value}"}}')
    return found
