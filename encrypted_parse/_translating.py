"""Foreign exceptions become ours, and nothing of them stays reachable."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType


class translating:  # noqa: N801 - reads as a statement, like `contextlib.suppress`
    """Translate foreign exceptions of a block: ``with translating(ValueError, to=lambda: ...):``.

    A foreign exception may hold what it complains about: the whole document of JSON, the bytes
    that are no text, a request with its password. Error trackers send causes and contexts, and
    ``from None`` hides a context without dropping it. So nothing of the foreign one is
    reachable from the new one: no cause, no context.

    Args:
        foreign: The classes to translate; all others pass.
        to: Makes the exception that is raised instead.
    """

    __slots__ = ("_foreign", "_to")

    def __init__(self, *foreign: type[BaseException], to: Callable[[], Exception]) -> None:
        self._foreign = foreign
        self._to = to

    def __enter__(self) -> None:
        """Enter the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise the other exception, if the block ended with a foreign one."""
        if kind is None or not issubclass(kind, self._foreign):
            return
        del kind, error, trace  # or this frame would hold them, in the new one's traceback
        new = self._to()
        try:
            raise new
        finally:
            new.__context__ = None
