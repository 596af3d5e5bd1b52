"""The command line: `tunnel-gateway [serve|check|token|drain]`. Each command is a function returning the exit status.

0: done. 1: it failed (the gateway did not start, or did not drain). 2: wrong usage or configuration, with one line on
standard error. Tokens are never arguments, because everybody on the machine can read a command line.
"""

import argparse
import json
import secrets
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tunnel.version import VERSION

from .settings import ConfigurationError, admin_token, certificate_of, load, token_hash

PROGRAM = "tunnel-gateway"

_TOKEN_BYTES = 32
_ANSWER_SECONDS = 10.0


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog=PROGRAM, description="Reverse-tunnel gateway for private clusters.")
    top.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION}")
    # No abbreviations: --admin-token SECRET must not be taken for --admin-token-file.
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands (default: serve)")

    serve = commands.add_parser("serve", help="serve until SIGTERM or SIGINT", allow_abbrev=False)
    serve.add_argument("--config", metavar="FILE", help="gateway.toml (default: GATEWAY_CONFIG)")
    serve.add_argument("--host", help="address to listen on (default: host in the configuration, else 127.0.0.1)")
    serve.add_argument("--port", type=_port, help="port to listen on (default: port in the configuration, else 8080)")
    serve.add_argument("--tls-certificate", metavar="FILE", help="certificate with its chain, in PEM: speak TLS")
    serve.add_argument("--tls-key", metavar="FILE", help="key of the certificate, in PEM")

    check = commands.add_parser("check", help="check a configuration without serving it", allow_abbrev=False)
    check.add_argument("file", metavar="FILE", nargs="?", help="gateway.toml (default: GATEWAY_CONFIG)")

    token = commands.add_parser(
        "token", help="create a token for an agent, and its [[agents]] entry", allow_abbrev=False
    )
    token.add_argument(
        "--clusters", metavar="C1,C2", type=_names, default=["CLUSTER"], help="the clusters that the agent may serve"
    )

    drain = commands.add_parser("drain", help="ask a running gateway to drain", allow_abbrev=False)
    drain.add_argument(
        "--url",
        type=_url,
        default="http://127.0.0.1:8080",
        help="address of the gateway (default: http://127.0.0.1:8080)",
    )
    drain.add_argument(
        "--wait", type=_seconds, metavar="SECONDS", help="return when the gateway is drained, or after this time"
    )
    drain.add_argument(
        "--admin-token-file", metavar="FILE", help="file with the admin token (default: GATEWAY_ADMIN_TOKEN)"
    )
    return top


def run(arguments: Sequence[str]) -> int:
    """Run a command line. Returns the exit status.

    Wrong usage raises SystemExit(2); `--help` and `--version` raise SystemExit(0).
    """
    if not arguments or arguments[0] not in {"serve", "check", "token", "drain", "-h", "--help", "--version"}:
        arguments = ["serve", *arguments]
    options = parser().parse_args(arguments)
    try:
        match options.command:
            case "check":
                return check(options.file)
            case "token":
                return token(options.clusters)
            case "drain":
                return drain(options.url, options.wait, options.admin_token_file)
            case _:
                return serve(options.config, options.host, options.port, **_tls_arguments(options))
    except ConfigurationError as error:
        for line in error.errors:
            _complain(line)
        return 2


def serve(config: str | None, host: str | None, port: int | None, **arguments: str) -> int:
    """Check the configuration, then serve until SIGTERM or SIGINT. Raises ConfigurationError.

    `host`, `port` and `arguments`: keys of the configuration that the command line gives.
    """
    address = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings = load(config, arguments={**arguments, **address})
    from . import serve as server  # noqa: PLC0415  (the other commands need no server)

    return server.serve(settings, settings.host, settings.port)


def check(file: str | None) -> int:
    """Print a summary of a file and the variables. Raises ConfigurationError."""
    settings = load(file)
    certificate = certificate_of(settings)
    print(f"{settings.file or 'environment'}: ok: {settings.summary()}")  # noqa: T201  (what the command is for)
    warning = certificate.warning() if certificate is not None else None
    if warning is not None:
        _complain(f"warning: {settings.tls_places[0]}: {warning}")
    for text in settings.warnings():
        _complain(f"warning: {text}")
    return 0


def token(clusters: Sequence[str]) -> int:
    """Print a new token on standard output, and its [[agents]] entry on standard error."""
    made = secrets.token_urlsafe(_TOKEN_BYTES)
    names = ", ".join(json.dumps(name) for name in clusters)
    sys.stdout.write(f"{made}\n")
    sys.stdout.flush()
    sys.stderr.write(
        "# Give the token above to the agent; it is stored nowhere else. Add this entry to the gateway's file:\n"
        f'[[agents]]\ntoken_sha256 = "{token_hash(made).hex()}"\nclusters = [{names}]\n'
    )
    return 0


def drain(url: str, wait_seconds: float | None, token_file: str | None) -> int:
    """Send `POST /-/drain`, and print the answer. Raises ConfigurationError for an invalid token."""
    import httpx  # noqa: PLC0415  (takes a tenth of a second, and only this command needs it)

    secret = admin_token(token_file)
    headers = {"accept": "application/json"}
    if secret is not None:
        headers["authorization"] = f"Bearer {secret}"
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/-/drain",
            params={"wait": f"{wait_seconds:g}"} if wait_seconds is not None else None,
            headers=headers,
            timeout=httpx.Timeout(_ANSWER_SECONDS, read=_ANSWER_SECONDS + (wait_seconds or 0.0)),
            trust_env=False,  # a proxy of the environment would lead away from this machine
            verify=ssl.create_default_context(),  # the system's CAs, where httpx has a list of its own
        )
    except httpx.HTTPError as error:
        _complain(f"drain: {url}: {str(error) or type(error).__name__}")
        return 1
    told = _told(answer.text)
    if answer.is_success:
        print(told or "draining")  # noqa: T201  (what the command is for)
        return 0
    hint = "; set GATEWAY_ADMIN_TOKEN or --admin-token-file" if answer.status_code == 401 and secret is None else ""
    _complain(f"drain: {url} answered {answer.status_code}: {told or answer.reason_phrase}{hint}")
    return 1


def _tls_arguments(options: argparse.Namespace) -> dict[str, str]:
    """The files of the command line; unlike those of the configuration, relative to the working directory."""
    given = {"tls_certificate": options.tls_certificate, "tls_key": options.tls_key}
    return {key: str(Path(name).absolute()) if name else "" for key, name in given.items() if name is not None}


def _told(text: str) -> str:
    """The text of an answer on one line: the message of a JSON answer, else the body."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        value = value.get("message", text)
    return " ".join(str(value).split())[:500]


def _complain(text: str) -> None:
    sys.stderr.write(f"{PROGRAM}: {text}\n")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError("write a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError("write seconds, from 0 to 86400")
    return value


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not all(name.isprintable() for name in names):
        raise argparse.ArgumentTypeError("write names of clusters, separated by commas")
    return names


def _url(text: str) -> str:
    try:
        url = urlsplit(text)
        good = (
            url.scheme in ("http", "https") and bool(url.hostname) and not (url.query or url.fragment or url.username)
        )
        _ = url.port  # raises ValueError for an invalid port
    except ValueError:
        good = False
    if not good:
        raise argparse.ArgumentTypeError("write http://host[:port][/prefix] or https://...")
    return text
