"""`pip install -e ./tunnel -e .`: the checkout under both names, and its programs."""

from pathlib import Path

import pytest

from tests.packaging.environment import Environment
from tests.system.process import ROOT
from tunnel.version import VERSION


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("editable"))
    environment.borrow_locked(ROOT / "requirements.txt")
    environment.borrow("hatchling")
    environment.install("--editable", str(ROOT / "tunnel"), "--editable", str(ROOT))
    return environment


def test_the_modules_are_the_checkouts(editable: Environment) -> None:
    source = "import tunnel.port as p, tunnel_gateway.main as m; print(p.__file__, m.__file__, m.__name__)"
    files = [str(ROOT / "tunnel" / "port.py"), str(ROOT / "app" / "main.py")]
    assert editable.run("python", "-c", source).split() == [*files, "tunnel_gateway.main"]
    file = editable.run("python", "-c", "import app.main; print(app.main.__file__)")
    assert Path(file) == ROOT / "app" / "main.py"


def test_its_programs_run(editable: Environment) -> None:
    assert editable.run("tunnel-gateway", "--version") == f"tunnel-gateway {VERSION}"
    assert editable.run("tunnel-agent", "--version") == f"tunnel-agent {VERSION}"
    assert editable.run("tunnel-gateway", "check").startswith("environment: ok: ")


@pytest.mark.slow
def test_the_agent_can_be_editable_alone(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.borrow_locked(ROOT / "requirements-agent.txt")
    environment.borrow("hatchling")
    environment.install("--editable", str(ROOT / "tunnel"))
    file = environment.run("python", "-c", "import tunnel.agent.runner as runner; print(runner.__file__)")
    assert Path(file) == ROOT / "tunnel" / "agent" / "runner.py"
    assert environment.run("tunnel-agent", "--version") == f"tunnel-agent {VERSION}"
