"""The metrics of the process itself: its configuration, its version, and how late its event loop is."""

import asyncio
import platform

from app.node.exchanges import TICK_SECONDS
from app.node.gateway import Gateway
from app.observed.metrics import Metrics
from app.settings import load
from tests.app.observed.counted import samples
from tests.fakes.loop import VirtualLoop, dialogue
from tunnel.version import VERSION


def test_reloads():
    metrics = Metrics()
    got = samples(metrics)
    assert got["gateway_config_last_reload_successful",] == 1
    assert ("gateway_config_last_reload_success_timestamp_seconds",) not in got
    metrics.reloads.took(100.0, changed=True)
    metrics.reloads.failed()
    metrics.reloads.failed()
    got = {key: value for key, value in samples(metrics).items() if key[0].startswith("gateway_config_")}
    assert got == {
        ("gateway_config_reloads_total", "applied"): 1,
        ("gateway_config_reloads_total", "unchanged"): 0,
        ("gateway_config_reloads_total", "refused"): 2,
        ("gateway_config_last_reload_successful",): 0,
        ("gateway_config_last_reload_success_timestamp_seconds",): 100,
    }
    metrics.reloads.took(200.0, changed=False)
    got = samples(metrics)
    assert got["gateway_config_reloads_total", "unchanged"] == got["gateway_config_last_reload_successful",] == 1
    assert got["gateway_config_last_reload_success_timestamp_seconds",] == 200


def test_what_is_built():
    assert samples(Metrics())["gateway_build_info", platform.python_version(), VERSION] == 1


@dialogue
async def test_how_late_the_gateways_tick_is():
    gateway = Gateway(load(None, {}))
    gateway.open()
    await asyncio.sleep(3 * TICK_SECONDS + 0.001)
    quick = samples(gateway.metrics)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.call_later(TICK_SECONDS - 0.101, loop.stand_still, 0.3)  # from 0.1 s before the tick is due
    await asyncio.sleep(TICK_SECONDS)
    slow = samples(gateway.metrics)
    await gateway.aclose()
    name = "gateway_loop_lag_seconds"
    assert quick[f"{name}_bucket", "0.002"] == quick[f"{name}_count",] == 3
    assert (slow[f"{name}_bucket", "0.1"], slow[f"{name}_bucket", "0.25"], slow[f"{name}_count",]) == (3, 4, 4)
