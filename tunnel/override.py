"""Marks a method whose contract is that of a base class or protocol: its docstring stands there.

The same as `typing.override` (Python 3.12): a type checker refuses it on a method that overrides nothing.
"""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing_extensions import override
else:
    _Method = TypeVar("_Method")

    def override(method: _Method, /) -> _Method:
        """Give back the method as it is."""
        return method


__all__ = ["override"]
