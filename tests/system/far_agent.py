"""A gateway and an agent at the two ends of a long path, both of which say how large their windows are."""

from dataclasses import dataclass
from pathlib import Path

from tests.go.build import go_binary
from tests.system.harness import LOOPBACK, NAMESPACE, TOKEN, Stack
from tests.system.process import START_SECONDS, Process, wait_until
from tests.system.windows_of import largest


@dataclass
class FarAgent:
    """All that was started."""

    gateway: Process
    agent: Process
    path: Process
    _folder: Path

    def window(self, end: str) -> int:
        """The largest receive window of one end: `gateway`, or `agent` if it is ours."""
        return largest(self._folder / f"{end}.sock")

    def stop(self) -> None:
        for process in (self.agent, self.gateway, self.path):
            process.stop()


def start(stack: Stack, folder: Path, *, rtt: float, rate: float, existing: bool) -> FarAgent:
    """Start them, for the services that `stack` has; return when the gateway has its agent."""
    options = (str(stack.port), f"--rtt={rtt}", f"--rate={rate}")
    path = stack.processes.python("path", "tests.system.long_path", *options)
    port = int(path.wait_line("ready ").split()[-1])
    stack.settings["public_url"] = f"http://{LOOPBACK}:{port}"  # where the existing agent dials
    config, at = str(stack.write_config()), ("--host", LOOPBACK, "--port", str(stack.port))
    listening = "tests.system.windows_of", str(folder / "gateway.sock")
    gateway = stack._gateway = stack.processes.python("gateway", *listening, "app", "--config", config, *at)
    gateway.wait_line("ready")
    agent = _start_existing(stack, port) if existing else _start_ours(stack, folder / "agent.sock", port)
    wait_until(stack._serves, START_SECONDS, "the gateway has an agent")
    return FarAgent(gateway, agent, path, folder)


def _start_ours(stack: Stack, window_socket: Path, port: int) -> Process:
    options = ["--gateway", f"ws://{LOOPBACK}:{port}/agent", "--token", TOKEN, "--cluster", "c1", "--agent-id", "a1"]
    services = [service.option for service in stack.services.values()]
    listening = "tests.system.windows_of", str(window_socket)
    return stack.processes.python("agent", *listening, "tunnel.agent", *options, *services)


def _start_existing(stack: Stack, port: int) -> Process:
    names = [
        f"--resolve={item.name}.{NAMESPACE}.svc.cluster.local:{item.public_port}={LOOPBACK}:{item.port}"
        for item in stack.services.values()
    ]
    options = ["--api", f"http://{LOOPBACK}:{port}", "--token", TOKEN, "--name", "c1", "--agent-id", "go-1"]
    return stack.processes.start("existing agent", [str(go_binary()), "existing-agent", *options, *names])
