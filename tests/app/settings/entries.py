"""Entries of a configuration, as a person writes them."""

ROUTE = {
    "host": '"a.test"', "cluster": '"c1"', "namespace": '"apps"', "service": '"web"', "port": "80"
}  # fmt: skip


def route(**changes: str | None) -> str:
    lines = {**ROUTE, **changes}
    return "[[routes]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None)


def agent(**lines: str) -> str:
    return "[[agents]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


HTTPS = {"scheme": '"https"'}
