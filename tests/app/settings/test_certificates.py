"""The certificate of the public listener: what is served, and each way in which its files can be wrong."""

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from app.settings import ConfigurationError, Settings, certificate_of, load
from tests.fakes.certificates import NAME, Authority, encrypted

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.write(made.issue())
    return made


def settings_of(authority: Authority) -> Settings:
    return Settings(tls_certificate=str(authority.certificate), tls_key=str(authority.key))


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject, int]:
    """Both ends of a connection after its handshake, and what the server sent after that."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=NAME)
    for end in (theirs, ours, theirs, ours, theirs):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return ours, theirs, to_client.pending


def test_none_is_asked_for():
    assert certificate_of(Settings()) is None


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
def test_clients_get_it_with_its_chain(authority: Authority, key_type: trustme.KeyType):
    authority.write(authority.issue(key_type=key_type))
    found = certificate_of(settings_of(authority))
    assert found is not None
    _, client, _ = shake_hands(found.context, authority.client())
    assert client.version() == "TLSv1.3"
    told = client.getpeercert()
    assert told is not None
    assert told["subjectAltName"] == (("DNS", NAME),)


def test_nothing_older_than_tls_1_2(authority: Authority):
    found = certificate_of(settings_of(authority))
    assert found is not None
    old = authority.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake_hands(found.context, old)[1].version() == "TLSv1.2"
    assert found.context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
)
def test_only_http_1_1_is_chosen(authority: Authority, offered: list[str], chosen: str | None):
    found = certificate_of(settings_of(authority))
    assert found is not None
    client = authority.client()
    if offered:
        client.set_alpn_protocols(offered)
    assert shake_hands(found.context, client)[0].selected_alpn_protocol() == chosen


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_tickets_are_sent(authority: Authority, version: ssl.TLSVersion):
    found = certificate_of(settings_of(authority))
    assert found is not None
    client = authority.client()
    client.maximum_version = version
    _, end, later_bytes = shake_hands(found.context, client)
    assert later_bytes == 0
    assert end.session is None or not end.session.has_ticket


@pytest.mark.parametrize("end", [datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)])
def test_its_validity_is_read_whichever_way_it_is_written(authority: Authority, end: datetime):
    """UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5)."""
    leaf = authority.issue(not_before=datetime(1999, 1, 2, 3, 4, 5, tzinfo=UTC), not_after=end)
    authority.write(leaf)
    found = certificate_of(settings_of(authority))
    assert found is not None
    known = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    assert found.not_before == known.not_valid_before_utc.timestamp() == 915_246_245
    assert found.not_after == known.not_valid_after_utc.timestamp() == end.timestamp()
    assert str(found) == f"valid until {end:%Y-%m-%d %H:%M:%S} UTC"


def test_one_that_clients_refuse_now_is_a_warning(authority: Authority):
    authority.write(authority.issue(not_before=NOW - timedelta(days=2), not_after=NOW))
    found = certificate_of(settings_of(authority))
    assert found is not None
    now = NOW.timestamp()
    assert found.warning(now) is None
    assert found.warning(now + 1) == "the certificate expired on 2026-05-04 03:02:01 UTC; renew it"
    assert found.warning(now - 2 * 86_400) is None
    assert found.warning(now - 2 * 86_400 - 1) == (
        "the certificate is not valid before 2026-05-02 03:02:01 UTC; check it, and the clock"
    )


def test_the_same_contents_have_the_same_digest(authority: Authority):
    first = certificate_of(settings_of(authority))
    again = certificate_of(settings_of(authority))
    authority.write(authority.issue())
    other = certificate_of(settings_of(authority))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.digest == again.digest != other.digest


def test_both_may_be_in_one_file(authority: Authority):
    leaf = authority.issue()
    leaf.private_key_and_cert_chain_pem.write_to_path(authority.certificate)
    assert certificate_of(Settings(tls_certificate=str(authority.certificate), tls_key=str(authority.certificate)))


# --- wrong files

Change = Callable[[Authority], None]


def damaged(content: bytes) -> bytes:
    """Still PEM, but not what it was."""
    lines = content.splitlines(keepends=True)
    return lines[0] + lines[2] + b"".join(lines[3:])


WRONG: list[tuple[str, Change, str, str]] = [
    ("no certificate file", lambda a: a.certificate.unlink(), "certificate", "cannot be read: No such file or dir"),
    ("no key file", lambda a: a.key.unlink(), "key", "cannot be read: No such file or directory"),
    ("a folder", lambda a: (a.key.unlink(), a.key.mkdir())[1], "key", "cannot be read: Is a directory"),
    ("an empty certificate", lambda a: a.put(a.certificate, b""), "certificate", "has no certificate; write it in PEM"),
    ("an empty key", lambda a: a.put(a.key, b""), "key", "has no private key; write it in PEM, without a passphrase"),
    ("a certificate in DER", lambda a: a.put(a.certificate, b"\x30\x82\x01\xff" * 99), "certificate", "has no certif"),
    ("a key for a certificate", lambda a: a.put(a.certificate, a.key.read_bytes()), "certificate", "has no certif"),
    ("a certificate for a key", lambda a: a.put(a.key, a.certificate.read_bytes()), "key", "has no private key"),
    ("a damaged certificate", lambda a: a.put(a.certificate, damaged(a.certificate.read_bytes())), "certificate",
     "is not a valid PEM certificate: "),
    ("a certificate cut short", lambda a: a.put(a.certificate, a.certificate.read_bytes()[:300]), "certificate",
     "has no certificate"),
    ("a damaged chain", lambda a: a.put(a.certificate, a.certificate.read_bytes() + damaged(a.file.read_bytes())),
     "certificate", "is not a valid PEM certificate: "),
    ("a damaged key", lambda a: a.put(a.key, damaged(a.key.read_bytes())), "key", "is not a valid PEM key: "),
    ("a key cut short", lambda a: a.put(a.key, a.key.read_bytes()[:100]), "key", "is not a valid PEM key: "),
    ("another's key", lambda a: a.put(a.key, a.issue().private_key_pem.bytes()), "key",
     "is not the key of the certificate in "),
    ("a key of another kind", lambda a: a.put(a.key, a.issue(key_type=trustme.KeyType.RSA).private_key_pem.bytes()),
     "key", "is not the key of the certificate in "),
    ("an encrypted key", lambda a: a.put(a.key, encrypted(a.issue())), "key",
     "is encrypted; write the key without a passphrase"),
    ("a byte-order mark", lambda a: a.put(a.certificate, b"\xef\xbb\xbf" + a.certificate.read_bytes()), "certificate",
     "begins with a byte-order mark; save it as UTF-8 without one"),
    ("a key in UTF-16", lambda a: a.put(a.key, a.key.read_text().encode("utf-16")), "key", "is UTF-16; save it as UTF"),
    ("a file without end", lambda a: (a.key.unlink(), a.key.symlink_to("/dev/zero"))[1], "key", "is too long"),
    ("a pipe for a certificate", lambda a: (a.certificate.unlink(), os.mkfifo(a.certificate))[1], "certificate",
     "is a pipe; "),
    ("a pipe for a key", lambda a: (a.key.unlink(), os.mkfifo(a.key))[1], "key", "is a pipe; "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "about", "text"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_files(authority: Authority, change: Change, about: str, text: str):
    change(authority)
    with pytest.raises(ConfigurationError) as refused:
        certificate_of(settings_of(authority))
    file = authority.certificate if about == "certificate" else authority.key
    assert str(refused.value).startswith(f"tls_{about}: {file} {text}")
    assert "\n" not in str(refused.value)


def test_both_files_are_named_at_once(authority: Authority):
    authority.certificate.unlink()
    authority.put(authority.key, b"")
    with pytest.raises(ConfigurationError) as refused:
        certificate_of(settings_of(authority))
    assert refused.value.errors == (
        f"tls_certificate: {authority.certificate} cannot be read: No such file or directory",
        f"tls_key: {authority.key} has no private key; write it in PEM, without a passphrase",
    )


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("about", ["certificate", "key"])
def test_a_file_that_may_not_be_read(authority: Authority, about: str):
    file = authority.certificate if about == "certificate" else authority.key
    file.chmod(0)
    with pytest.raises(ConfigurationError, match=f"^tls_{about}: {file} cannot be read: Permission denied$"):
        certificate_of(settings_of(authority))


def test_a_certificate_that_is_too_weak(authority: Authority, monkeypatch: pytest.MonkeyPatch):
    """What is too weak depends on how OpenSSL was built, so here it says so by itself."""
    weak = ssl.SSLError(1, "[SSL: EE_KEY_TOO_SMALL] ee key too small")
    weak.reason = "EE_KEY_TOO_SMALL"

    def load_cert_chain(*_: object) -> None:
        raise weak

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_cert_chain)
    with pytest.raises(ConfigurationError, match=f"^tls_certificate: {authority.certificate} cannot be used: ee key t"):
        certificate_of(settings_of(authority))


@pytest.mark.parametrize(("given", "other"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")])
def test_one_without_the_other(tmp_path: Path, given: str, other: str):
    file = tmp_path / "gateway.toml"
    file.write_text(f'\n{given} = "x.pem"', encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        certificate_of(load(str(file), {}))
    assert str(refused.value) == f"{file}:2: {given}: needs {other} as well; set both or neither"


# --- where they are written


def test_files_are_relative_to_the_configurations_folder_and_errors_say_where_they_are_named(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text('tls_certificate = "a.crt"\n\ntls_key = "a.key"\n', encoding="utf-8")
    settings = load(str(file), {})
    assert (settings.tls_certificate, settings.tls_key) == (str(tmp_path / "a.crt"), str(tmp_path / "a.key"))
    assert settings.tls_places == (f"{file}:1: tls_certificate", f"{file}:3: tls_key")
    settings = load(str(file), {"GATEWAY_TLS_CERTIFICATE": "b.crt"}, arguments={"tls_key": "/c.key"})
    assert (settings.tls_certificate, settings.tls_key) == (str(tmp_path / "b.crt"), "/c.key")
    assert settings.tls_places == ("GATEWAY_TLS_CERTIFICATE", "--tls-key")
    assert settings.arguments == {"tls_key": "/c.key"}


def test_a_wrong_argument_is_named_as_it_was_given():
    with pytest.raises(ConfigurationError, match=r"^--tls-key: '' is not valid; valid: a string of at least one"):
        load(None, {}, arguments={"tls_key": ""})
