"""What looks like a secret is masked, and what helps to understand stays."""

import pytest

from app.commands.masks import MASK, masked, masked_text

RANDOM = "kV3xq9Zb_T7rLw2-Yc8mNf4hGs6jPd1aQe5uXo0iBvA"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer s3cret-of-one", "s3cret-of-one"),
        ("it sent proxy-authorization=Digest a, b", "Digest"),
        ("{'Cookie': 'a=b; session=s3cret'}", "s3cret"),
        ("Set-Cookie: session=s3cret; Secure", "s3cret"),
        ("refused bearer s3cret-of-one", "s3cret-of-one"),
        ("Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("GET /path?key=s3cret HTTP/1.1", "s3cret"),
        ("dial https://user:s3cret@proxy.test:3128/", "s3cret"),
        ("access_token=s3cret&b", "s3cret"),
        ("password: s3cret", "s3cret"),
        ("X-Api-Key: s3cret", "s3cret"),
        ('the answer {"password": "s3cret"}', "s3cret"),
        ("client-secret=s3cret&x=1", "s3cret"),
        ("passphrase=s3cret", "s3cret"),
        ("x-auth-token: s3cret of words", "s3cret of words"),
        ("agent: token: s3cret is unknown", "s3cret"),
        ("it has +known+ in it", "+known+"),
        (f"the agent said {JWT}", JWT),
        (f"/reset/{RANDOM}/now", RANDOM),
        ("digest " + "0123456789abcdef" * 4, "0123456789abcdef"),
    ],
)
def test_masked(text: str, secret: str):
    told = masked_text(text, ("+known+",))
    assert secret not in told
    assert MASK in told


@pytest.mark.parametrize(
    "text",
    [
        "no token covers cluster c9: its routes answer 503; add an [[agents]] entry",
        "link-7 of agent a1 in c1: refused (token sha256:1a2b3c4d)",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "5f0c8a6e7d1b4c39a2e8f6d7c5b4a392",
        "a-very-long-name-of-a-deployment-in-production-7d4b9c6f5-x2x9q.apps.svc.cluster.local:8080",
        "https://app.example.com/a/b is gone; is the gateway running?",
        "2026-01-01T00:00:00.000Z",
        "agent a1 serves cluster c1 (token=sha256:1a2b3c4d)",
        'gateway_agents_refused_total{reason="unknown_token"} 5.0',
        'gateway_cluster_requests_total{cluster="c1",outcome="ok"} 7.0',
    ],
)
def test_left_as_it_is(text: str):
    assert masked_text(text) == text


def test_json():
    value = {"a": ["/x?q=1", 7, None, True], "set": {"Authorization": "x", "cookie": None, "x": 1.5}}
    assert masked(value) == {
        "a": [f"/x?{MASK}", 7, None, True], "set": {"Authorization": MASK, "cookie": None, "x": 1.5}
    }  # fmt: skip


def test_fields_by_their_names():
    value = {
        "token": "sha256:1a2b3c4d", "admin_token": "s3cret", "password": ["s3cret", {"x": "s3cret"}],
        "api_key": "s3cret", "cookies": {"id": "s3cret"}, "query": "s3cret", "has_token": True,
        "admin_token_file": "/run/token", "tls_key": "/run/tls.key", "max_links_per_token": 256,
        "headers": {"accept": "s3cret", "other": ["s3cret"]},
        "request_headers": {"set": {"X-Shared": "s3cret", "X-Number": "5555"}, "remove": ["X-Old"]},
        "it": "+known+", "token=s3cret": 1,
    }  # fmt: skip
    assert masked(value, ("+known+",)) == {
        "token": "sha256:1a2b3c4d", "admin_token": MASK, "password": [MASK, {"x": MASK}], "api_key": MASK,
        "cookies": {"id": MASK}, "query": MASK, "has_token": True, "admin_token_file": "/run/token",
        "tls_key": "/run/tls.key", "max_links_per_token": 256, "headers": {"accept": MASK, "other": [MASK]},
        "request_headers": {"set": {"X-Shared": MASK, "X-Number": MASK}, "remove": ["X-Old"]},
        "it": MASK, f"token={MASK}": 1,
    }  # fmt: skip


@pytest.mark.parametrize("piece", ["a-", "x-", "eyJ-", "eyJ.", "token", "bearer ", "f", "cookie-", "a@", "=:", "aA1="])
def test_no_text_takes_long(piece: str):
    """Work that grows with the square would end in the timeout of the test."""
    assert masked_text(piece * 100_000)
