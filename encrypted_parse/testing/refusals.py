"""What the server in memory answers to what it does not do."""

from __future__ import annotations


class RefusedError(Exception):
    """An error answer of Parse Server: its code, and HTTP's."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status
