"""`override`, which Python has from 3.12 on: the sandbox runs where nothing is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method: object) -> object:
        """Mark a method, for type checkers alone."""
        return method


__all__ = ["override"]
