"""What development servers check of a request, each in a few lines, and which requests pass on a route that rewrites.

The checks are those of Vite 8.4, webpack-dev-server 5.2, Next.js 16.4, Rails 8 and Django 5.2 with the defaults of
development; `tests/system/test_dev_servers.py` has the servers themselves, but for Rails.
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from app.asgi.reading import read_scope
from app.public.header_rules import request_head
from app.public.rewriting import request_for_service
from app.rules.policy import DEFAULT_POLICY, NO_CHANGES, Policy
from app.rules.rewrite import Rewrite
from tests.fakes.asgi import scope_of

PUBLIC = "me.dev.example.com"
PORT = 5173
LOCAL = Policy(rewrite=Rewrite(f"localhost:{PORT}".encode()))

Fields = dict[str, str]


def is_local(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    return name == "localhost" or name.endswith(".localhost") or re.fullmatch(r"[0-9.]+|.*:.*", name) is not None


def vite(seen: Fields) -> bool:
    """`server.allowedHosts`. Its WebSocket wants the page's token from whoever sends an Origin."""
    return is_local(seen["host"])


def webpack(seen: Fields) -> bool:
    """`allowedHosts: "auto"`, and for its WebSocket an Origin of the same name."""
    origin = urlsplit(seen["origin"]).hostname
    return is_local(seen["host"]) and origin is not None and origin == urlsplit(f"//{seen['host']}").hostname


def next_resources(seen: Fields) -> bool:
    """`allowedDevOrigins`, for `/_next/`."""
    return is_local(urlsplit(seen["origin"]).hostname or "")


def next_actions(seen: Fields) -> bool:
    """A server action compares Origin with X-Forwarded-Host."""
    return urlsplit(seen["origin"]).netloc == seen.get("x-forwarded-host", seen["host"])


def rails_hosts(seen: Fields) -> bool:
    """`config.hosts` looks at both."""
    return is_local(seen["host"]) and is_local(seen["x-forwarded-host"].split(",")[-1].strip())


def rails_forms(seen: Fields) -> bool:
    """`forgery_protection_origin_check` compares with `request.base_url`."""
    return seen["origin"] == f"{seen['x-forwarded-proto']}://{seen['x-forwarded-host']}"


def rails_cable(seen: Fields) -> bool:
    """`allow_same_origin_as_host`, and in development any port of localhost."""
    is_same = seen["origin"] == f"{seen['x-forwarded-proto']}://{seen['host']}"
    return is_same or re.fullmatch(r"https?://localhost:\d+", seen["origin"]) is not None


def django_hosts(seen: Fields) -> bool:
    """`ALLOWED_HOSTS = []` with DEBUG."""
    return is_local(seen["host"])


def django_forms(seen: Fields) -> bool:
    """CsrfViewMiddleware; without SECURE_PROXY_SSL_HEADER the scheme is that of the connection."""
    return seen["origin"] == f"http://{seen['host']}"


Check = Callable[[Fields], bool]
HOSTS = [vite, rails_hosts, django_hosts]
ORIGINS = [webpack, next_resources, next_actions, rails_forms, rails_cable, django_forms]


def seen_by_service(policy: Policy, scheme: str, origin: str) -> Fields:
    headers = [(b"origin", origin.encode())]
    request = read_scope(scope_of("http", "/", PUBLIC, headers=headers, scheme=scheme), None)
    if policy.rewrite is not None:
        request = request_for_service(policy.rewrite, request)
    return {name.decode(): value.decode() for name, value in request_head(request, NO_CHANGES).headers}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("check", HOSTS + ORIGINS)
def test_the_applications_own_pages_pass(check: Check, scheme: str):
    assert check(seen_by_service(LOCAL, scheme, f"{scheme}://{PUBLIC}"))


FOREIGN = [
    "https://evil.test",
    f"https://{PUBLIC}.evil.test",
    f"https://{PUBLIC}:8443",
    f"http://localhost:{PORT}",
    "null",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("check", ORIGINS)
def test_pages_of_others_do_not(check: Check, origin: str):
    assert not check(seen_by_service(LOCAL, "https", origin))


@pytest.mark.parametrize("check", [*HOSTS, webpack, next_resources])
def test_without_a_rewrite_nobody_passes(check: Check):
    assert not check(seen_by_service(DEFAULT_POLICY, "https", f"https://{PUBLIC}"))


@pytest.mark.parametrize("check", [next_actions, rails_forms, rails_cable])
def test_what_compares_only_passes_without_one_too(check: Check):
    assert check(seen_by_service(DEFAULT_POLICY, "https", f"https://{PUBLIC}"))


def test_django_behind_tls_needs_the_rewrite():
    """It believes itself on http, and refuses the form of an https page."""
    assert not django_forms(seen_by_service(DEFAULT_POLICY, "https", f"https://{PUBLIC}"))
