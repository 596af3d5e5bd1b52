"""TLS of peer links: TLS 1.3 only, because both ends are ours.

With a `ca_file` of the cluster's own, its signature is what counts: whoever has a certificate by it is a node, and
nodes are dialled at addresses that no certificate names. Without one, the system's authorities and the host's name
count.
"""

import ssl
from pathlib import Path


def server_context(
    certificate: Path, key: Path | None = None, *, ca_file: Path | None = None, required: bool = False
) -> ssl.SSLContext:
    """Of the listener. With `ca_file` it asks for a client certificate; `required`: none, no link.

    Raises OSError and ssl.SSLError for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def client_context(
    *, ca_file: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Of the dialler, with its client certificate if it has one. Raises OSError and ssl.SSLError likewise."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = ca_file is None
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
