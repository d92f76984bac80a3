"""A switch with which a test lets a fake fail, and work again, at any time."""

from __future__ import annotations

from typing import ClassVar


class Switch:
    """Something with several behaviours, of which it has the first at first."""

    behaviours: ClassVar[tuple[str, ...]] = ("available",)
    current = "available"

    @property
    def behaviour(self) -> str:
        """The behaviour now; may be set to any of :attr:`behaviours`.

        :raises ValueError: it is set to something else, which would not fail at all.
        """
        return self.current

    @behaviour.setter
    def behaviour(self, wanted: str) -> None:
        if wanted not in self.behaviours:
            raise ValueError(f"{wanted!r} is not one of {', '.join(self.behaviours)}")
        self.current = wanted

    def release(self) -> None:
        """Work again: what hangs goes on."""
        self.current = "available"
