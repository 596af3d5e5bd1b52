"""Vite's development server: a module that is edited changes in the page, which is not loaded again."""

from pathlib import Path

from tests.browser.conftest import Publish, Visit
from tests.system.applications import node
from tests.system.harness import free_port
from tests.system.process import Processes

INDEX = '<!doctype html><title>Vite</title><p id="text"></p><script type="module" src="/main.js"></script>\n'
MAIN = """\
import { text } from "./text.js";

const show = (shown) => { document.querySelector("#text").textContent = shown; };

show(text);
import.meta.hot.accept("./text.js", (changed) => show(changed.text));
"""


def write(site: Path, text: str) -> None:
    (site / "text.js").write_text(f'export const text = "{text}";\n')


def test_a_module_changes_without_a_reload(
    processes: Processes, pages: Path, publish: Publish, visit: Visit, tmp_path: Path
) -> None:
    site, port = tmp_path / "site", free_port()
    site.mkdir()
    (site / "index.html").write_text(INDEX)
    (site / "main.js").write_text(MAIN)
    write(site, "first")
    vite = [node(), str(pages / "node_modules/vite/bin/vite.js"), str(site), "--port", str(port), "--strictPort"]
    processes.start("vite", vite).wait_line("ready in")
    page = visit("vite_page.js", publish("vite", port))
    page.wait_line("page: shows first", "failed:")
    write(site, "second")
    page.wait_line("page: shows second", "failed:")
    assert page.wait_end() == 0
