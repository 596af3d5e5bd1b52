"""The charts accept the recorded values, and render from them every object that runs in clusters already.

An upgrade may change probes, the version's labels and how pods replace one another; these are left out. Everything else
in `kept/` must stay: names, selectors (Kubernetes refuses to change them), commands, arguments, variables, ports,
volumes, the configuration.
"""

import tomllib
from typing import Any

import pytest

from tests.k8s.charts import K8S, Object, Values, chart, merged, parsed
from tests.upgrade.lost import lost
from tests.upgrade.recorded import FILES, KEPT

_FREE = {
    "app.kubernetes.io/version", "helm.sh/chart", "checksum/needs-restart", "startupProbe", "livenessProbe",
    "readinessProbe", "lifecycle", "strategy", "minReadySeconds", "topologySpreadConstraints",
}  # fmt: skip
VALUES = ["gateway-values", "gateway-values-existing", "agent-values", "agent-values-existing"]


def what_matters(value: Any) -> Any:
    """An object without what an upgrade may change; the gateway's configuration as the data that it is."""
    if isinstance(value, list):
        return [what_matters(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: tomllib.loads(item) if key == "gateway.toml" else what_matters(item)
        for key, item in value.items()
        if key not in _FREE
    }


def rendered(values: str, changes: Values | None = None) -> dict[str, Object]:
    """By kind and name, what the chart makes of a file of values today, with changes under it."""
    (given,) = parsed((FILES / f"{values}.yaml").read_text(encoding="utf-8"))
    texts = chart(values.partition("-")[0]).render(merged(changes or {}, given), name="edge", namespace="tunnel")
    objects = [item for path, text in sorted(texts.items()) if path.endswith(".yaml") for item in parsed(text)]
    return {f"{item['kind']} {item['metadata']['name']}": what_matters(item) for item in objects}


@pytest.mark.parametrize("values", VALUES)
def test_the_recorded_values_give_the_recorded_objects(values: str):
    (recorded,) = parsed((KEPT / f"{values}-objects.yaml").read_text(encoding="utf-8"))
    assert lost(recorded, rendered(values)) == []


@pytest.mark.parametrize("values", VALUES)
def test_each_recorded_object_has_a_name_and_something_to_keep(values: str):
    (recorded,) = parsed((KEPT / f"{values}-objects.yaml").read_text(encoding="utf-8"))
    (deployment,) = [item for name, item in recorded.items() if name.startswith("Deployment ")]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name", "image", "command", "args", "env", "volumeMounts"} <= set(container)
    assert deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "edge"


def of_before(defaults: Values, new: Values) -> Values:
    """The defaults of the version before, and nothing of those that are new: null takes a default away."""
    return defaults | {
        key: None if key not in defaults else of_before(defaults[key], value)
        for key, value in new.items()
        if key not in defaults or (isinstance(value, dict) and isinstance(defaults[key], dict))
    }


@pytest.mark.parametrize("values", VALUES)
def test_a_release_may_reuse_its_values(values: str):
    """`helm upgrade --reuse-values` takes the recorded version's defaults in place of the new chart's."""
    name = values.partition("-")[0]
    (defaults,) = parsed((FILES / f"{name}-defaults.yaml").read_text(encoding="utf-8"))
    (new,) = parsed((K8S / name / "values.yaml").read_text(encoding="utf-8"))
    assert rendered(values, of_before(defaults, new)) == rendered(values)
