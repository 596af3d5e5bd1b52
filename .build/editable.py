"""A build hook for `pip install -e .`: adds a package `tunnel_gateway` whose modules are those of app/.

The wheel ships app/ as `tunnel_gateway`. An editable install puts the checkout on the path, where there is only `app`.
"""

import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGE = '''\
"""The checkout's app/, under the name that the wheel gives it."""

__path__ = [{path!r}]
'''


class EditableHook(BuildHookInterface[Any]):
    """Adds one generated file to an editable install, and nothing to any other build."""

    _folder: "tempfile.TemporaryDirectory[str] | None" = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the package's `__init__.py`; hatch copies it while it builds."""
        if version != "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="tunnel-gateway-")
        file = Path(self._folder.name) / "__init__.py"
        file.write_text(_PACKAGE.format(path=str(Path(self.root) / "app")), encoding="utf-8")
        build_data["force_include_editable"][str(file)] = "tunnel_gateway/__init__.py"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  (hatchling calls it so)
        """Remove what was written."""
        if self._folder is not None:
            self._folder.cleanup()
