"""What is missing in a wrong `--service` value, in one line: people first try the forms of other tools.

Pure, and only for texts that `ServiceEntry.parse` refused. The line says what to write, and that `tunnel-agent http`
publishes a port that no route of the gateway names.
"""

import re

FORM = "NAME.NAMESPACE:PORT=HOST:PORT"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PORT = r"[0-9]{1,5}"
_HOST = rf"(?:{_LABEL}\.)*{_LABEL}|\[[0-9a-f:.]+\]"
_NAMED = re.compile(rf"(?P<name>{_LABEL})(?P<namespace>\.{_LABEL})?(?P<port>:{_PORT})?")
"""What stands before the equals sign, perhaps not all of it."""
_WHERE = re.compile(rf"{_PORT}|(?P<host>{_HOST})?(?P<port>:{_PORT})?")
"""What stands after it; alone it is what others call a port to publish: `5173`, `:5173`, `localhost:5173`."""
_URL = re.compile(r"[a-z+]+://", re.IGNORECASE)


def of(text: str) -> str:
    """What is wrong with it."""
    service, equals, where = text.partition("=")
    named, address = _NAMED.fullmatch(service), _WHERE.fullmatch(where if equals else text)
    if equals and _URL.match(where):
        return f"{text!r} has a URL where HOST:PORT belongs; the gateway's route says whether a service speaks TLS"
    if named and named["namespace"] and named["port"] and not where:
        return f"{text!r} does not say where the service is: write {service}=HOST:PORT, or =PORT for this machine"
    if not equals and address and (address["port"] or text.isdigit()):
        return (
            f"{text!r} does not say which service it is: write NAME.NAMESPACE:PORT={text}, as the gateway's route "
            f"names it; {_publish(text)}"
        )
    if not (equals and named and address and where):
        return f"{text!r} is not of the form {FORM}"
    if address["host"] and not address["port"]:
        return f"{text!r} does not say the port of {address['host']}: write {service}={address['host']}:PORT"
    missing = [name for name in ("namespace", "port") if not named[name]]
    if not missing:
        return f"{text!r} is not of the form {FORM}: a port is a number from 1 to 65535"
    whole = f"{named['name']}{named['namespace'] or '.NAMESPACE'}{named['port'] or ':PORT'}={where}"
    said = " and ".join(missing)
    return (
        f"{text!r} does not say the service's {said}: write {whole}, as the gateway's route names it; {_publish(where)}"
    )


def _publish(where: str) -> str:
    return f"to publish a port that no route names, run tunnel-agent http {where}"
