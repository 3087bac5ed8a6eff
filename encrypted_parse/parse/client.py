"""A plain Parse client: Parse's REST interface, and no crypto.

Rows go in and come out as Parse JSON. Immutable, and usable from many threads.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ArgumentError,
    ConnectionFailedError,
    EncryptedParseError,
    FunctionFailedError,
    InvalidValueError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ResponseTooLargeError,
    SessionExpiredError,
    WrongLoginError,
)
from encrypted_parse.parse.answers import expect_object, read_answer, read_failure, read_object
from encrypted_parse.parse.app import UserSession
from encrypted_parse.parse.batch import (
    BATCH_OPERATIONS,
    BatchOperation,
    BatchResult,
    chunks,
    read_results,
)
from encrypted_parse.parse.features import FEATURES_FUNCTION, Expected, Features, context_header
from encrypted_parse.parse.names import quote_object_id
from encrypted_parse.parse.sending import RestClient, class_path
from encrypted_parse.transport import HttpRequest, Repeat, exchange, is_header_value

_DELETE = {"__op": "Delete"}
_OK = 200
_NOT_FOUND = 404


@front_door
class ParseClient(RestClient):
    """One app, and one user's session or none."""

    def with_session(self, session_token: str | None) -> ParseClient:
        """Return a client that acts as the user of *session_token*."""
        return ParseClient(self.app, self._transport, session_token, self._known_features)

    # --- users ------------------------------------------------------------------------------

    def sign_up(self, username: str, password: str, **fields: Any) -> UserSession:  # noqa: ANN401 - any columns
        """Create a user and log in.

        Raises:
            UsernameTakenError: The name is in use.
            OutcomeUnknownError: The connection broke; try to log in.
        """
        _require_texts(username=username, password=password)
        body = {**fields, "username": username, "password": password}
        answer = read_object(self._send("POST", "users", body))
        return self._session({"username": username, **answer})

    def log_in(self, username: str, password: str) -> UserSession:
        """Log a user in. The password travels in the body, never in an address.

        Raises:
            InvalidValueError: Name or password holds a lone surrogate, which has no UTF-8.
            WrongLoginError: Wrong name or password; Parse does not say which.
        """
        _require_texts(username=username, password=password)
        body = {"username": username, "password": password}
        try:
            return self._session(read_object(self._send("POST", "login", body, repeat=Repeat.SAFE)))
        except ObjectNotFoundError as error:
            refusal = error
        raise WrongLoginError(
            f"wrong user name or password: {refusal}", code=refusal.code, status=refusal.status
        )

    def become(self, session_token: str) -> UserSession:
        """Return the session of a token that exists already.

        Raises:
            InvalidValueError: No header can hold the token.
            SessionExpiredError: The token is not valid any more.
        """
        _require_texts(session_token=session_token)
        answer = read_object(self.with_session(session_token)._read("users/me"))  # noqa: SLF001 - our own
        return self._session({**answer, "sessionToken": session_token})

    def log_out(self) -> None:
        """End this client's session on the server; one that has ended already is no error."""
        with contextlib.suppress(SessionExpiredError):
            read_answer(self._send("POST", "logout", {}, repeat=Repeat.SAFE))

    # --- objects ----------------------------------------------------------------------------

    def create(self, class_name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Create a row and return ``objectId`` and ``createdAt``.

        Carries a request id. It is repeated after a lost answer only if the app says that its
        server deduplicates: any other server would create a second row.

        Raises:
            OutcomeUnknownError: The connection broke; the row may exist.
            DuplicateRequestError: The row was saved by an attempt whose answer was lost.
        """
        repeat = Repeat.SAFE if self.app.server_deduplicates else Repeat.NEVER
        return read_object(
            self._send(
                "POST", class_path(class_name), fields, repeat=repeat, request_id=str(uuid.uuid4())
            )
        )

    def get(self, class_name: str, object_id: str, *, keys: Sequence[str] = ()) -> dict[str, Any]:
        """Return one row, or of it the columns *keys* alone.

        Raises:
            ObjectNotFoundError: There is none, or it is hidden from this user.
        """
        params = {"keys": ",".join(keys)} if keys else None
        return read_object(self._read(_object_path(class_name, object_id), params))

    def update(
        self,
        class_name: str,
        object_id: str,
        fields: Mapping[str, Any],
        *,
        request_id: str | None = None,
        expected: Expected | None = None,
    ) -> dict[str, Any]:
        """Change the given columns and return ``updatedAt``, and what operations made.

        With *expected*, tags by column, the companion's guard changes the row only if that is what
        it holds; without a guard they are ignored (see `features`). Of several updates with one
        *request_id*, a server that deduplicates takes the first.

        Raises:
            ObjectNotFoundError: There is no such row, or it is hidden from this user.
            DuplicateRequestError: The server has seen *request_id* before.
            GuardRefusedError: Code 9017, the row holds something else than *expected*.
        """
        safe = _is_plain_set(fields) or (request_id is not None and self.app.server_deduplicates)
        repeat = Repeat.SAFE if safe else Repeat.NEVER
        path = _object_path(class_name, object_id)
        context = context_header([(object_id, expected or {})])
        sent = self._send(
            "PUT", path, fields, repeat=repeat, request_id=request_id, context=context
        )
        return read_object(sent)

    def delete(self, class_name: str, object_id: str) -> None:
        """Delete a row.

        Raises:
            ObjectNotFoundError: There is no such row, or it is hidden from this user.
        """
        path = _object_path(class_name, object_id)
        try:
            read_answer(self._send("DELETE", path, None))
        except OutcomeUnknownError:
            with contextlib.suppress(ObjectNotFoundError):  # then the first attempt arrived
                read_answer(self._send("DELETE", path, None))

    def find(  # noqa: PLR0913 - the parameters of Parse's query, all by keyword
        self,
        class_name: str,
        *,
        where: Mapping[str, Any] | None = None,
        order: Sequence[str] = (),
        limit: int = 100,
        skip: int = 0,
        keys: Sequence[str] = (),
        include: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Return the rows that match *where*, at most *limit* of them.

        Raises:
            InvalidQueryError: The server cannot run the query.
        """
        query: dict[str, Any] = {"where": dict(where or {}), "limit": limit}
        if order:
            query["order"] = ",".join(order)
        if skip:
            query["skip"] = skip
        if keys:
            query["keys"] = ",".join(keys)
        if include:
            query["include"] = ",".join(include)
        results = self._query(class_name, query).get("results")
        if not isinstance(results, list):
            raise self._malformed("the answer to a query has no results")
        return [expect_object(row) for row in results]

    def count(self, class_name: str, *, where: Mapping[str, Any] | None = None) -> int:
        """Return how many rows match *where*."""
        query = {"where": dict(where or {}), "limit": 0, "count": 1}
        count = self._query(class_name, query).get("count")
        if isinstance(count, bool) or not isinstance(count, int):
            raise self._malformed("the answer to a count has no count")
        return count

    def batch(self, operations: Iterable[BatchOperation]) -> list[BatchResult]:
        """Run many creates, updates and deletes, 50 a request; one result each, in order.

        A batch is not a transaction: each operation succeeds or fails alone. If a request fails
        as a whole, its operations carry the error, and those after it are not sent. *operations*
        may be a generator: no more than one request's are taken from it before that is sent.
        """
        results: list[BatchResult] = []
        unsent: EncryptedParseError | None = None
        for chunk in chunks(operations):
            if unsent is not None:
                results.extend([BatchResult(None, unsent)] * len(chunk))
                continue
            try:
                results.extend(read_results(self._send_batch(chunk), chunk))
            except EncryptedParseError as error:
                results.extend([BatchResult(None, error)] * len(chunk))
                unsent = ConnectionFailedError("not sent: an earlier request of the batch failed")
        return results

    def transaction(self, operations: Sequence[BatchOperation]) -> list[Mapping[str, Any]]:
        """Run up to 50 operations of which all happen or none; the answers in order.

        Needs a server that has transactions: Postgres, or MongoDB with a replica set. No column
        may be new: on Postgres that locks the class (see `columns_exist`).

        Raises:
            InvalidValueError: Too many operations.
            ParseServerError: Nothing happened; the server does not say which one was wrong.
            OutcomeUnknownError: The connection broke; all happened, or none.
        """
        if len(operations) > BATCH_OPERATIONS:
            raise InvalidValueError(f"a transaction holds at most {BATCH_OPERATIONS} objects")
        results = read_results(self._send_batch(operations, transaction=True), operations)
        for result in results:
            if result.error is not None:
                raise result.error
        return [result.success or {} for result in results]

    def columns_exist(self, class_name: str, columns: Iterable[str]) -> bool:
        """Tell whether the database surely has *columns*.

        Postgres answers a question for any row that also names a column which it lacks with no
        row. So does a class without a row that this user may read: nobody knows, then. MongoDB
        has any column, and there a transaction may add some.
        """
        anything = [{column: {"$exists": True}} for column in ("objectId", *sorted(columns))]
        return bool(self.find(class_name, where={"$or": anything}, limit=1, keys=["objectId"]))

    def _send_batch(
        self, operations: Sequence[BatchOperation], *, transaction: bool = False
    ) -> Any:  # noqa: ANN401 - any JSON
        body: dict[str, Any] = {
            "requests": [operation.to_json(self.app.path) for operation in operations]
        }
        if transaction:
            body["transaction"] = True
        # No request id: Parse Server looks at it on no version's /batch, whatever paths are listed.
        context = context_header((one.object_id, one.expected) for one in operations)
        return read_answer(self._send("POST", "batch", body, context=context))

    def _session(self, answer: Mapping[str, Any]) -> UserSession:
        parts = [answer.get(name) for name in ("objectId", "username", "sessionToken")]
        if not all(isinstance(part, str) and part for part in parts) or not is_header_value(
            str(parts[-1])
        ):
            raise self._malformed("the answer to a log-in is no session")
        return UserSession(*map(str, parts))

    # --- files ------------------------------------------------------------------------------

    def upload_file(self, name: str, content: bytes, content_type: str) -> str:
        """Store a file that **everybody who knows its name can read**; returns that name.

        The server puts a random number before *name*. Repeated after a lost answer, which may
        leave a file that nobody knows of.

        Raises:
            ParseServerError: The server refused: of the name, the type, the size, or this user.
        """
        headers = self._headers()
        headers["Content-Type"] = content_type
        url = f"{self.app.server_url}/files/{quote_object_id(name)}"
        request = HttpRequest(
            "POST", url, headers, body=content, repeat=Repeat.SAFE, endpoint=self.app.endpoint
        )
        stored = read_object(exchange(self._transport, request)).get("name")
        if not isinstance(stored, str):
            raise self._malformed("the answer to an upload has no name")
        return stored

    def download_file(self, name: str, *, max_bytes: int) -> bytes:
        """Return the content of a stored file. Sends no session.

        Raises:
            ObjectNotFoundError: There is none of that name.
            ResponseTooLargeError: It has more than *max_bytes*.
        """
        url = f"{self.app.files_url}/{quote_object_id(name)}"
        request = HttpRequest("GET", url, repeat=Repeat.SAFE, endpoint=self.app.endpoint)
        response = exchange(self._transport, request)
        if response.status == _NOT_FOUND:
            raise ObjectNotFoundError("no stored file of that name", status=response.status)
        if response.status != _OK:
            raise read_failure(response)
        if len(response.body) > max_bytes:
            raise ResponseTooLargeError(
                response.named(f"the stored file exceeds {max_bytes} bytes")
            )
        return response.body

    def delete_file(self, name: str) -> None:
        """Delete a stored file. Parse Server wants the master key for it.

        Raises:
            PermissionDeniedError: This client has no master key.
            ObjectNotFoundError: There is none of that name.
        """
        read_answer(self._send("DELETE", f"files/{quote_object_id(name)}", None))

    def features(self) -> Features:
        """Return what the app's companion can; asked once, for the clients of all users.

        Raises:
            TransportError: The server could not be reached.
        """
        if not self._known_features.answers:
            path = f"functions/{FEATURES_FUNCTION}"
            try:
                answer = read_object(self._send("POST", path, {}, repeat=Repeat.SAFE))
            except (FunctionFailedError, PermissionDeniedError):
                answer = {}  # no companion, or an older one
            self._known_features.answers.append(Features.from_json(answer.get("result")))
        return self._known_features.answers[0]

    def call_function(self, name: str, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - any JSON
        """Call a cloud function and return its result.

        Raises:
            FunctionFailedError: It is unknown, or it threw.
        """
        path = f"functions/{quote_object_id(name)}"
        return read_object(self._send("POST", path, dict(params or {}))).get("result")


def _require_texts(**given: Any) -> None:  # noqa: ANN401 - whatever the annotations say
    """Refuse what is no text, without showing it."""
    for name, value in given.items():
        if not isinstance(value, str):
            kind = "None" if value is None else f"a {type(value).__name__}"
            raise ArgumentError(
                f"{name} is a string, not {kind}",
                hint="does it come from a variable that is not set?" if value is None else None,
            )


def _object_path(class_name: str, object_id: str) -> str:
    return f"{class_path(class_name)}/{quote_object_id(object_id)}"


def _is_plain_set(fields: Mapping[str, Any]) -> bool:
    """Tell whether sending *fields* twice is as good as once."""
    return all(
        value == _DELETE or not (isinstance(value, dict) and "__op" in value)
        for value in fields.values()
    )
