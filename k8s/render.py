"""`python k8s/render.py [--check]`: renders the plain manifests from the charts, with the values in `k8s/examples/`.

Needs no cluster and no helm (it uses helm-python-sdk from PyPI). `--check` writes nothing, and ends with status 1 if a
file in `k8s/manifests/` differs from what the charts give now. The manifests contain nothing that only Helm
understands, such as its labels and hooks.
"""

import argparse
import sys
from pathlib import Path

import helm_python

HERE = Path(__file__).parent
ORDER = (
    "ConfigMap", "Secret", "PersistentVolumeClaim", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy",
    "Ingress", "HTTPRoute",
)  # fmt: skip
"""Objects that others refer to come first."""
MANIFESTS = {
    "gateway.yaml": ("gateway", ["gateway.yaml"], ()),
    "gateway-nodes.yaml": ("gateway", ["gateway.yaml", "gateway-nodes.yaml"], ()),
    "gateway-ingress.yaml": ("gateway", ["gateway.yaml", "gateway-ingress.yaml"], ("Ingress",)),
    "gateway-httproute.yaml": ("gateway", ["gateway.yaml", "gateway-httproute.yaml"], ("HTTPRoute",)),
    "agent.yaml": ("agent", ["agent.yaml"], ()),
}
"""File -> chart, its value files (later ones win), and the kinds to keep (empty: all)."""
_HELMS_OWN = ("helm.sh/", "app.kubernetes.io/managed-by:")


def values_of(names: list[str]) -> dict[str, object]:
    """The merged values of these files in `k8s/examples/`. A later file replaces whole top-level keys."""
    merged: dict[str, object] = {}
    for name in names:
        merged |= helm_python.values_from_yaml((HERE / "examples" / name).read_text(encoding="utf-8"))
    return merged


def objects_of(rendered: dict[str, str]) -> list[tuple[str, str]]:
    """(kind, text) of every object in a chart's output, in the order in which to apply them."""
    found = []
    for path, text in sorted(rendered.items()):
        if path.endswith((".yaml", ".yml")):
            for part in text.split("\n---\n"):
                kind = next((line.split()[1] for line in part.splitlines() if line.startswith("kind:")), None)
                if kind is not None:
                    found.append((kind, part.strip("\n")))
    return sorted(found, key=lambda item: ORDER.index(item[0]))


def manifest(chart: str, values: dict[str, object], kinds: tuple[str, ...] = ()) -> str:
    """One file: the chart's objects of these kinds, without Helm's own labels and annotations."""
    with helm_python.Chart.load(HERE / chart) as loaded:
        rendered = loaded.render(values, name=loaded.name, namespace="tunnel")
    texts = [
        "\n".join(line.rstrip() for line in text.splitlines() if not line.strip().startswith(_HELMS_OWN))
        for kind, text in objects_of(rendered)
        if not kinds or kind in kinds
    ]
    return "\n---\n".join(texts) + "\n"


def rendered() -> dict[str, str]:
    """File name -> its content."""
    head = "# Rendered from k8s/{} with k8s/examples/{} by `make manifests`. Edit those files, not this one.\n---\n"
    return {
        name: head.format(chart, " and ".join(files)) + manifest(chart, values_of(files), kinds)
        for name, (chart, files, kinds) in MANIFESTS.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the manifests, or check them."""
    parser = argparse.ArgumentParser(description="Render the plain manifests from the charts.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    check = parser.parse_args(arguments).check
    stale = []
    for name, text in rendered().items():
        path = HERE / "manifests" / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        sys.stderr.write(f"k8s/manifests/{name}: {'out of date; run make manifests' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
