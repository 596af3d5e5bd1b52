"""What a person may write as a place."""

import pytest

from tunnel.agent.publish.place import Place, PlaceError


@pytest.mark.parametrize(
    ("text", "host", "path", "asks"),
    [
        ("", "", "/", True),
        ("/api", "", "/api", True),
        ("me.example.com", "me.example.com", "/", False),
        ("Me.Example.COM.", "me.example.com", "/", False),
        ("me.example.com/", "me.example.com", "/", False),
        ("me.example.com/API/v1/", "me.example.com", "/API/v1/", False),
        ("https://me.example.com/api", "me.example.com", "/api", False),
        ("*.example.com", "*.example.com", "/", True),
        ("*.example.com/api", "*.example.com", "/api", True),
        ("my_pc.localhost", "my_pc.localhost", "/", False),
        ("localhost", "localhost", "/", False),
    ],
)
def test_a_place(text: str, host: str, path: str, asks: bool):
    place = Place.parse(text)
    assert (place.host, place.path, place.asks_for_name) == (host, path, asks)
    assert place.strips == (path != "/")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("me.example.com:8080", "has a port, but clients use the gateway's: write me.example.com"),
        ("me.example.com:8080/api", "write me.example.com/api"),
        ("*", "is not one of the forms me.dev.example.com"),
        ("a.*.example.com", "is not one of the forms"),
        ("**.example.com", "is not one of the forms"),
        ("me..example.com", "is not one of the forms"),
        ("-me.example.com", "is not one of the forms"),
        ("me example.com", "is not one of the forms"),
        ("münchen.example.com", "is not one of the forms"),
        ("ftp//x y", "is not one of the forms"),
        ("me.example.com/a b", "is not one of the forms"),
        ("x" * 64 + ".example.com", "is not one of the forms"),
        (".".join(["x" * 60] * 5), "is not one of the forms"),
    ],
)
def test_what_is_no_place(text: str, said: str):
    with pytest.raises(PlaceError) as caught:
        Place.parse(text)
    assert said in str(caught.value)
