"""`docs/architecture.md` names files that exist, and every room."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_what_is_named_exists():
    named = set(re.findall(r"`((?:app|tunnel|tests)/[\w/.]*)`", DOCUMENT))
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_files_named_without_their_folder_exist():
    short = set(re.findall(r"(?<![\w/])((?:server|asgi|public|node|agents|gateway)/\w+\.py)", DOCUMENT))
    assert len(short) > 10
    assert [name for name in short if not any((ROOT / half / name).exists() for half in ("app", "tunnel"))] == []


def test_tests_named_without_their_folder_exist():
    short = set(re.findall(r"`(test_\w+\.py)`", DOCUMENT))
    assert len(short) > 2
    assert short - {file.name for file in (ROOT / "tests").rglob("test_*.py")} == set()


def test_every_room_is_named():
    folders = {file.parent for half in ("app", "tunnel") for file in (ROOT / half).glob("*/*.py")}
    rooms = [f"{path.parent.name}/{path.name}/" for path in sorted(folders)]
    assert [room for room in rooms if f"`{room}`" not in DOCUMENT and room != "app/demo/"] == []
