"""A call of the API, and the register of what answers it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from .cluster import Cluster

Answer = t.Callable[["Cluster", "Call"], t.Any]

#: ``GET /nodes/{node}/qemu`` → the function that answers it.
ANSWERS: dict[str, Answer] = {}


@dataclass
class Call:
    """A call whose parameters fit the schema and which the schema permits."""

    user: str
    parameters: dict[str, t.Any]
    #: ``total`` of the answer, for lists of which only a part is answered.
    total: int | None = None

    @property
    def node(self) -> str:
        """The node that is called."""
        return str(self.parameters["node"])

    @property
    def vmid(self) -> int:
        """The VM that is called."""
        return int(self.parameters["vmid"])

    def get(self, key: str) -> str | None:
        """A parameter as text; ``None`` when it is absent or empty."""
        value = self.parameters.get(key)
        return None if value is None else str(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean parameter."""
        value = self.parameters.get(key)
        return default if value is None else str(value) in ("1", "True")

    def number(self, key: str) -> int | None:
        """An integer parameter."""
        value = self.parameters.get(key)
        return None if value is None else int(float(value))

    def rest(self, *without: str) -> dict[str, t.Any]:
        """The parameters but for some."""
        return {key: value for key, value in self.parameters.items() if key not in without}


def answers(*keys: str) -> t.Callable[[Answer], Answer]:
    """Registers a function for methods of the schema."""

    def register(function: Answer) -> Answer:
        for key in keys:
            ANSWERS[key] = function
        return function

    return register
