"""A switch with which a test makes something behave badly, and well again, at any time."""

from __future__ import annotations

from typing import ClassVar


class Switch:
    """What behaves in one of several ways, well at first."""

    behaviours: ClassVar[tuple[str, ...]] = ("well",)
    current = "well"

    @property
    def behaviour(self) -> str:
        """How it behaves now; may be set to any of :attr:`behaviours`.

        :raises ValueError: when set to something else, which would be no failure at all.
        """
        return self.current

    @behaviour.setter
    def behaviour(self, wanted: str) -> None:
        if wanted not in self.behaviours:
            raise ValueError(f"{wanted!r} is none of {', '.join(self.behaviours)}")
        self.current = wanted

    def release(self) -> None:
        """Behave well again: what hangs goes on."""
        self.current = "well"
