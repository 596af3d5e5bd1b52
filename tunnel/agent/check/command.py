"""Runs every check at once and prints what they found. Exits with 1 if an agent with these settings could not work.

Invariant: it has ended `LIMIT_SECONDS` after its start, and what has not answered by then is a finding that failed.
"""

import asyncio

import click

from tunnel.agent.check import findings as shown
from tunnel.agent.check import lookups
from tunnel.agent.check.findings import LIMIT_SECONDS, Finding, failed
from tunnel.agent.check.gateway import GatewayCheck
from tunnel.agent.check.services import check_services
from tunnel.agent.settings import AgentSettings


def main(settings: AgentSettings, *, as_json: bool) -> int:
    """Check, print, and return the exit status."""
    findings = lookups.run(check(settings))
    click.echo(shown.as_json(findings) if as_json else shown.as_text(findings))
    return 1 if failed(findings) else 0


async def check(settings: AgentSettings, limit_seconds: float = LIMIT_SECONDS) -> list[Finding]:
    """Each gateway, then each service, in the order of the settings."""
    gateways = [GatewayCheck(settings, gateway).run(limit_seconds) for gateway in settings.gateways]
    found = await asyncio.gather(*gateways, check_services(settings, limit_seconds))
    return [finding for findings in found for finding in findings]
