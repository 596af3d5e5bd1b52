"""An operator, an account with JetStream and a user of NATS, as `nsc` makes them: signed, for a server and a node."""

import base64
import json
import time
from typing import Any

import nkeys

_UNLIMITED = -1


class Identity:
    """A pair of keys, made of a number."""

    def __init__(self, prefix: int, number: int) -> None:
        self.seed = nkeys.encode_seed(bytes([number]) * 32, prefix)
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.name = self._pair.public_key.decode()

    def sign(self, name: str, subject: str, claims: dict[str, Any]) -> str:
        """A JWT by this identity about `subject`."""
        body = {"jti": name, "iat": int(time.time()), "iss": self.name, "name": name, "sub": subject, "nats": claims}
        text = f"{_encoded({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_encoded(body)}"
        return f"{text}.{_base64(self._pair.sign(text.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _encoded(value: object) -> str:
    return _base64(json.dumps(value).encode())


class Accounts:
    """What a server needs to know (`configuration`), and what a user presents (`credentials`)."""

    def __init__(self) -> None:
        operator = Identity(nkeys.PREFIX_BYTE_OPERATOR, 1)
        account = Identity(nkeys.PREFIX_BYTE_ACCOUNT, 2)
        user = Identity(nkeys.PREFIX_BYTE_USER, 3)
        system = Identity(nkeys.PREFIX_BYTE_ACCOUNT, 4)
        counts = ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "disk_storage", "mem_storage",
                  "streams", "consumer")  # fmt: skip
        limits = dict.fromkeys(counts, _UNLIMITED) | {"wildcards": True}
        without_jetstream = limits | {"disk_storage": 0, "mem_storage": 0}
        operator_jwt = operator.sign("operator", operator.name, {"type": "operator", "version": 2})
        account_jwt = operator.sign("account", account.name, {"limits": limits, "type": "account", "version": 2})
        system_jwt = operator.sign(
            "system", system.name, {"limits": without_jetstream, "type": "account", "version": 2}
        )
        user_claims = {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
        user_jwt = account.sign("gateway", user.name, user_claims)
        self.configuration = (
            f"operator: {operator_jwt}\nresolver: MEMORY\nsystem_account: {system.name}\n"
            f"resolver_preload: {{ {account.name}: {account_jwt}, {system.name}: {system_jwt} }}\n"
        )
        self.credentials = (
            f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )
