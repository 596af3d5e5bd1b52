"""A learned set whose time is passed in, with the tokens of two clusters that share some hosts, and one revoked."""

import asyncio
from collections.abc import Iterable

import pytest

from app.learned import Claim, ClaimError, Fault, LearnedRoutes, Store
from app.learned.lifetimes import LIFETIME_SECONDS
from app.settings import Grant, Settings
from tunnel.port import Target

GRANTS = {
    b"a": Grant(("a", "a2"), hosts=("*.a.test", "*.both.test")),
    b"b": Grant(("b",), hosts=("*.b.test", "*.both.test")),
    b"gone": Grant(("r",), revoked=True, hosts=("*.r.test",)),
}
DAY = LIFETIME_SECONDS


def claim(host: str, path: str = "/", cluster: str = "a", service: str = "traefik") -> Claim:
    return Claim(host, path, Target(cluster, "ingress", service, 80))


class World:
    """A learned set, and its clock."""

    def __init__(self, store: Store | None = None, now: float = 1_000_000.0, **settings: object) -> None:
        self.now = now
        self.settings = Settings(**{"grants": GRANTS, **settings})  # type: ignore[arg-type]
        self.set = LearnedRoutes(self.settings, store, clock=lambda: self.now)

    def register(self, *claims: Claim) -> None:
        async def run() -> None:
            for one in claims:
                await self.set.register(one, "agent x")

        asyncio.run(run())

    def refused(self, one: Claim) -> Fault:
        """Why it is; and the refusal is remembered, as a call's is."""
        with pytest.raises(ClaimError) as caught:
            self.register(one)
        self.set.refuse(one.target.cluster, one.host, one.path, caught.value, "agent x")
        return caught.value.fault

    def sync(self, cluster: str, claims: Iterable[Claim], patterns: tuple[str, ...] | None = None) -> list[Claim]:
        hosts = GRANTS[cluster.encode()[:1]].hosts if patterns is None else patterns
        refused = asyncio.run(self.set.sync(cluster, claims, hosts, "agent x"))
        return [one for one, _ in refused]

    def unregister(self, host: str, *clusters: str, path: str | None = None) -> int:
        return asyncio.run(self.set.unregister(host, clusters, "agent x", path=path))

    def apply(self, **settings: object) -> None:
        self.set.apply(Settings(**{"grants": GRANTS, **settings}))  # type: ignore[arg-type]

    def serves(self, host: str) -> list[str]:
        return [f"{route.path.decode()} {route.target}" for route in self.set.of_host(host) or ()]

    @property
    def known(self) -> list[str]:
        return [f"{one.claim.host}{one.claim.path} {one.claim.target.cluster}" for one in self.set]


def lines(caplog: pytest.LogCaptureFixture, needle: str = "") -> list[str]:
    return [record.getMessage() for record in caplog.records if needle in record.getMessage()]
