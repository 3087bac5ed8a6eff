"""Batches: many writes in one request."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from encrypted_parse.discretion import as_value, front_door
from encrypted_parse.errors import EncryptedParseError, MalformedResponseError
from encrypted_parse.parse.answers import error_from
from encrypted_parse.parse.features import MAX_HEADER_BYTES, Expected, context_header
from encrypted_parse.parse.hints import Asked
from encrypted_parse.parse.names import check_class_name, quote_object_id

BATCH_OPERATIONS = 50  # Parse.com's number, safe everywhere
BATCH_BYTES = 8 * 1024 * 1024  # Parse Server takes 20 MB by default; proxies less


def _as_value(error: EncryptedParseError | None) -> EncryptedParseError | None:
    return error and as_value(error)


@front_door
@frozen
class BatchOperation:
    """One write of a batch.

    Attributes:
        expected: What the row has to hold, as tags by column; see `ParseClient.update`.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    expected: Expected = field(factory=dict, kw_only=True)

    @property
    def object_id(self) -> str:
        """The row's object id; of a create, what stands in its place."""
        return urllib.parse.unquote(self.path.rpartition("/")[2])

    @classmethod
    def create(cls, class_name: str, fields: Mapping[str, Any]) -> BatchOperation:
        """Create a row."""
        check_class_name(class_name)
        return cls("POST", f"/classes/{class_name}", fields)

    @classmethod
    def update(
        cls,
        class_name: str,
        object_id: str,
        fields: Mapping[str, Any],
        expected: Expected | None = None,
    ) -> BatchOperation:
        """Change some columns of a row."""
        check_class_name(class_name)
        path = f"/classes/{class_name}/{quote_object_id(object_id)}"
        return cls("PUT", path, fields, expected=expected or {})

    @classmethod
    def delete(cls, class_name: str, object_id: str) -> BatchOperation:
        """Delete a row."""
        check_class_name(class_name)
        return cls("DELETE", f"/classes/{class_name}/{quote_object_id(object_id)}")

    @property
    def size(self) -> int:
        """About how many bytes it takes: what is long in a row is text."""
        values = () if self.body is None else self.body.values()
        return 200 + sum(len(value) if isinstance(value, str) else 100 for value in values)

    @property
    def header_size(self) -> int:
        """How many bytes of a header its tags take."""
        return sum(map(len, context_header([(self.object_id, self.expected)]).values()))

    def to_json(self, server_path: str) -> dict[str, Any]:
        """Return the sub-request; its path begins with the path of the server's address."""
        request: dict[str, Any] = {"method": self.method, "path": server_path + self.path}
        if self.body is not None:
            request["body"] = dict(self.body)
        return request


@front_door
@frozen
class BatchResult:
    """What became of one operation: the server's answer, or the error."""

    success: Mapping[str, Any] | None
    error: EncryptedParseError | None = field(converter=_as_value)


def chunks(operations: Iterable[BatchOperation]) -> Iterator[list[BatchOperation]]:
    """Cut *operations* into what one request holds: 50, eight megabytes, and tags in a header.

    A row that tags are sent of stands in a request once: its guard takes one write at a time.
    """
    chunk: list[BatchOperation] = []
    size = header = 0
    guarded: set[str] = set()
    for operation in operations:
        tags = operation.header_size
        full = size + operation.size > BATCH_BYTES or header + tags > MAX_HEADER_BYTES
        if chunk and (full or operation.object_id in guarded):
            yield chunk
            chunk, size, header, guarded = [], 0, 0, set()
        chunk.append(operation)
        size += operation.size
        header += tags
        if tags:
            guarded.add(operation.object_id)
        if len(chunk) == BATCH_OPERATIONS:
            yield chunk
            chunk, size, header, guarded = [], 0, 0, set()
    if chunk:
        yield chunk


def read_results(
    answer: Any,  # noqa: ANN401 - any JSON
    operations: Sequence[BatchOperation],
) -> list[BatchResult]:
    """Read the answer to a batch of *operations*.

    Raises:
        MalformedResponseError: Not one result per operation.
    """
    if not isinstance(answer, list) or len(answer) != len(operations):
        raise MalformedResponseError("the answer to a batch has not one result per operation")
    return [
        _read_result(item, Asked(tuple(operation.body or ())))
        for item, operation in zip(answer, operations, strict=True)
    ]


def _read_result(item: Any, asked: Asked) -> BatchResult:  # noqa: ANN401 - any JSON
    if isinstance(item, dict) and isinstance(item.get("success"), dict):
        return BatchResult(item["success"], None)
    if isinstance(item, dict) and isinstance(item.get("error"), dict):
        return BatchResult(None, error_from(item["error"], None, asked))
    raise MalformedResponseError("a result of a batch is neither success nor error")
