"""The rule of the file that takes the requests of a learned route is named, also where it is a wildcard."""

import pytest

from app.learned import Claim, Learned
from app.node.gateway import Gateway
from app.operator.route_reasons import reason_of
from app.rules.routes import Route, RouteTable
from app.settings import Settings
from tests.fakes.link import TARGET

ROUTES = RouteTable([Route("a.test", b"/", TARGET), Route("*.apps.test", b"/", TARGET)])


@pytest.mark.parametrize(
    ("host", "begins"),
    [
        ("a.test", "the file routes a.test, so all paths"),
        ("x.y.apps.test", "the file routes *.apps.test, which covers x.y.apps.test, so all paths"),
        ("*.y.apps.test", "the file routes *.apps.test, which covers *.y.apps.test, so all paths"),
    ],
)
def test_the_rule_that_shadows_is_named(host: str, begins: str):
    gateway = Gateway(Settings(routes=ROUTES))
    reason = reason_of(gateway, Learned(Claim(host, "/shop", TARGET), 1e12))
    assert reason is not None
    assert reason.code == "shadowed"
    assert reason.explanation.startswith(begins)
