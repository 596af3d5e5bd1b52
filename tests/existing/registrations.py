"""The routes that the agent registers over REST, one call after the other (section 12).

It has one handler for all its ingresses: while a call is tried again, the routes behind it wait. Any answer but 200 is
tried again, twice. The result is reported and changes nothing; the next round comes with the next resync.
"""

import asyncio
import http.client
import json
import random
from urllib.parse import urlsplit

from tests.existing.envelope import report
from tests.existing.options import Options

PATH = "/api/v1/gateway/routes/register"
ATTEMPTS = 3
CALL_SECONDS = 30.0


class Registrations:
    """All routes of one agent."""

    def __init__(self, options: Options, cluster: str, dice: random.Random) -> None:
        self._options = options
        self._cluster = cluster
        self._dice = dice

    async def run(self) -> None:
        """For ever: nobody tells it whether the agent has a link."""
        while True:
            for host in self._options.routes:
                await self._register(host)
            await asyncio.sleep(self._options.resync)

    async def _register(self, host: str) -> None:
        for number in range(1, ATTEMPTS + 1):
            answer = await asyncio.to_thread(self._call, host)
            if answer == "200":
                return
            report("12", f"attempt {number} to register {host} was answered {answer}")
            if number < ATTEMPTS:
                await asyncio.sleep(self._options.retry * number * self._dice.uniform(0.75, 1.25))

    def _call(self, host: str) -> str:
        """The status, or why there is none."""
        parts = urlsplit(self._options.gateway)
        service, _, port = self._options.routes[host].partition(":")
        name, _, namespace = service.partition(".")
        body = {
            "cluster_uuid": self._cluster,
            "hostname": host,
            "namespace": namespace,
            "path": "/",
            "path_type": "Prefix",
            "routing_mode": "tunnel",
            "service_name": name,
            "service_port": int(port),
            "tls": True,
        }
        headers = {"Authorization": f"Bearer {self._options.token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=CALL_SECONDS)
        try:
            connection.request("POST", PATH, json.dumps(body), headers)
            return str(connection.getresponse().status)
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()
