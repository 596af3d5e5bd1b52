"""The committed plain manifests are what the charts give now, and their script says when they are not."""

import shutil
from pathlib import Path

import pytest

from tests.k8s.charts import K8S, render_script


def test_the_manifests_are_up_to_date() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (K8S / "manifests").iterdir()}
    assert committed == render_script().rendered(), "run `make manifests`"


def test_nothing_of_helms_own_is_in_them() -> None:
    for path in (K8S / "manifests").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "helm.sh/" not in text
        assert "managed-by" not in text
        assert "{{" not in text
        assert all(line == line.rstrip() for line in text.splitlines())


def test_the_script_writes_and_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    script = render_script()
    shutil.copytree(K8S, tmp_path / "k8s")
    monkeypatch.setattr(script, "HERE", tmp_path / "k8s")
    stale = tmp_path / "k8s" / "manifests" / "agent.yaml"
    assert script.main(["--check"]) == 0
    stale.write_text("kind: Nothing\n")
    assert script.main(["--check"]) == 1
    assert capsys.readouterr().err == "k8s/manifests/agent.yaml: out of date; run make manifests\n"
    assert stale.read_text() == "kind: Nothing\n"
    assert script.main([]) == 0
    assert stale.read_text() == (K8S / "manifests" / "agent.yaml").read_text()
    (tmp_path / "k8s" / "manifests" / "gateway.yaml").unlink()
    assert script.main(["--check"]) == 1
