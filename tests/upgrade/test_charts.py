"""The charts accept the recorded values, and render from them every object that runs in clusters already.

An upgrade may change probes, the version's labels and how pods replace one another; these are left out. Everything else
in `kept/` must stay: names, selectors (Kubernetes refuses to change them), commands, arguments, variables, ports,
volumes, the configuration.
"""

import tomllib
from typing import Any

import pytest

from tests.k8s.charts import Object, chart, parsed
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


def rendered(values: str) -> dict[str, Object]:
    """By kind and name, what the chart makes of a file of values today."""
    (given,) = parsed((FILES / f"{values}.yaml").read_text(encoding="utf-8"))
    texts = chart(values.partition("-")[0]).render(given, name="edge", namespace="tunnel")
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
