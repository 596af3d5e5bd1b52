"""`tunnel-agent http`: publishes until it is told to stop, or gives up.

The exit status is 0 after SIGTERM, SIGINT or SIGHUP, and 1 if it gave up; then the reasons are on standard error.
Nothing is published any more by then.
"""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

import click

from tunnel.agent import log, signals, view
from tunnel.agent.options import PROGRAM
from tunnel.agent.publish import listening
from tunnel.agent.publish.publisher import Publisher
from tunnel.agent.runner import Runner
from tunnel.agent.service.services import Services
from tunnel.agent.settings import PublishSettings
from tunnel.agent.view.json_lines import JsonView
from tunnel.agent.view.output import Output
from tunnel.agent.view.text import clean

GAVE_UP = 1


async def run(settings: PublishSettings, *, look: view.Look, as_json: bool) -> int:
    """Publish; the exit status. Raises SettingsError before anything is dialled."""
    agent, plan = settings.agent, settings.plan
    shown = _view(sys.stdout, look, as_json=as_json)
    log.configure(agent.log_format, agent.log_level, shown.note if shown.takes_log else None)
    if agent.log_level == "warning":  # a refused stream is a request, and the view shows it
        logging.getLogger("tunnel.agent.yamux").setLevel(logging.ERROR)
    publisher = Publisher(plan, settings.name_seed, [gateway.typed for gateway in agent.gateways], shown)
    looking = asyncio.ensure_future(
        listening.look(plan.targets, Services(plan.services, api_hosts=agent.api_hosts), shown.note)
    )
    try:
        for warning in settings.warnings:
            shown.note(warning)
        runner = Runner(agent, publisher)
        _stop_with_terminal(runner.stop)
        await runner.run()
    finally:
        publisher.leave()
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        shown.close()
    _report(publisher.faults)
    return GAVE_UP if publisher.faults else 0


def _stop_with_terminal(stop: Callable[[], None]) -> None:
    """A terminal that is closed ends the command as Ctrl-C does, unless it was told to go on (nohup)."""
    number = getattr(signal, "SIGHUP", None)  # Windows has none
    if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
        signals.on(number, stop)


def _view(stream: TextIO, look: view.Look, *, as_json: bool) -> view.View:
    return JsonView(Output(stream)) if as_json else view.of(stream, look)


def _report(faults: Sequence[str]) -> None:
    for fault in faults:
        click.echo(f"{PROGRAM}: {clean(fault)}", err=True)
