"""Requests of Parse's REST interface: addresses, headers, bodies, and how often they are sent."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.errors import (
    InvalidQueryError,
    InvalidValueError,
    MalformedResponseError,
    NotPicklableError,
    OutcomeUnknownError,
    ServerFailedError,
)
from encrypted_parse.parse.answers import (
    FIRST_FAILURE,
    is_of_gateway,
    read_answer,
    read_failure,
    read_object,
)
from encrypted_parse.parse.app import ParseApp
from encrypted_parse.parse.features import KnownFeatures
from encrypted_parse.parse.hints import Asked
from encrypted_parse.parse.names import check_class_name
from encrypted_parse.parse.types import made_whole
from encrypted_parse.transport import (
    HttpRequest,
    HttpResponse,
    Repeat,
    Transport,
    exchange,
    is_header_value,
)

MAX_URL_QUERY_BYTES = 4096  # longer queries travel in a body; servers stop at about 16 KB
_INTERNAL = 1
_DISTANCES = ('"$nearSphere"', '"$centerSphere"')  # what Parse Server asks ST_DistanceSphere for


@front_door
class RestClient:
    """One app, and one user's session or none. Immutable, and usable from many threads.

    Raises:
        InvalidValueError: No header can hold the session token. It is not shown.
    """

    def __init__(
        self,
        app: ParseApp,
        transport: Transport,
        session_token: str | None = None,
        known_features: KnownFeatures | None = None,
    ) -> None:
        self.app = app
        self._transport = transport
        if session_token is not None and not (session_token and is_header_value(session_token)):
            raise InvalidValueError(
                "a session token is printable ASCII, and not empty", hint="log in again"
            )
        self._session_token = session_token
        self._known_features = KnownFeatures() if known_features is None else known_features

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - any JSON
        """Send any request of Parse's REST interface, and return the JSON of its answer.

        Reads are repeated, and travel in a body if they are long; nothing else is repeated.

        Raises:
            ParseServerError: The server refused or failed.
            OutcomeUnknownError: The connection broke during a write.
        """
        encoded = dict(params or {})
        if method == "GET" and sum(map(len, encoded.values())) > MAX_URL_QUERY_BYTES:
            query = {name: _decode(value) for name, value in encoded.items()}
            body = {**query, "_method": "GET"}
            with _explaining_distances(encoded):
                return read_answer(self._send("POST", path, body, repeat=Repeat.SAFE))
        repeat = Repeat.SAFE if method == "GET" else Repeat.NEVER
        request = HttpRequest(
            method,
            f"{self.app.server_url}/{path}",
            {**self._headers(), **(headers or {})},
            encoded,
            body=content,
            repeat=repeat,
            endpoint=self.app.endpoint,
        )
        with _explaining_distances(encoded):
            return read_answer(self._exchange(request))

    def _exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request; of a write that a gateway answered, nobody knows what became.

        Raises:
            OutcomeUnknownError: The gateway gave up on a write that may have arrived.
            ParseServerError: The server refused or failed.
        """
        response = exchange(self._transport, request)
        if request.repeat is Repeat.NEVER and is_of_gateway(response):
            raise OutcomeUnknownError(
                f"a gateway answered a write with HTTP {response.status}, so it may or may not "
                f"have happened: {request.endpoint}",
                hint="fetch the object before you try again",
            )
        if response.status >= FIRST_FAILURE:
            raise read_failure(response, self._asked(request))
        return response

    def _asked(self, request: HttpRequest) -> Asked:
        """Return what hints for the failure of *request* rest on."""
        columns: Any = ()
        if request.body is not None and f"{self.app.server_url}/classes/" in request.url:
            columns = _decode(request.body)
        known = columns if isinstance(columns, dict) else ()
        return Asked(tuple(known), as_master=self.app.master_key is not None)

    def _query(self, class_name: str, query: Mapping[str, Any]) -> dict[str, Any]:
        encoded = {
            name: value if isinstance(value, str) else encode(value).decode("ascii")
            for name, value in query.items()
        }
        path = class_path(class_name)
        with _explaining_distances(encoded):
            if sum(map(len, encoded.values())) <= MAX_URL_QUERY_BYTES:
                return read_object(self._read(path, encoded))
            body = {**query, "_method": "GET"}
            return read_object(self._send("POST", path, body, repeat=Repeat.SAFE))

    def _read(self, path: str, params: Mapping[str, str] | None = None) -> HttpResponse:
        request = HttpRequest(
            "GET",
            f"{self.app.server_url}/{path}",
            self._headers(),
            params or {},
            repeat=Repeat.SAFE,
            endpoint=self.app.endpoint,
        )
        return self._exchange(request)

    def _send(  # noqa: PLR0913 - the parts of a request, all by keyword
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        repeat: Repeat = Repeat.NEVER,
        request_id: str | None = None,
        context: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        headers = {**self._headers(), **(context or {})}
        if request_id is not None:
            headers["X-Parse-Request-Id"] = request_id
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = hushed(encode(made_whole(body, self.app.files_url)))
        url = f"{self.app.server_url}/{path}"
        return self._exchange(
            HttpRequest(
                method, url, headers, body=content, repeat=repeat, endpoint=self.app.endpoint
            )
        )

    def _malformed(self, text: str) -> MalformedResponseError:
        """Return the error for an answer that is JSON, and another's."""
        return MalformedResponseError(f"{text}: {self.app.endpoint}")

    def _headers(self) -> dict[str, str]:
        headers = hushed({"X-Parse-Application-Id": self.app.application_id})
        if self.app.rest_api_key is not None:
            headers["X-Parse-REST-API-Key"] = self.app.rest_api_key
        if self.app.master_key is not None:
            headers["X-Parse-Master-Key"] = self.app.master_key
        if self._session_token is not None:
            headers["X-Parse-Session-Token"] = self._session_token
        return headers

    def __repr__(self) -> str:
        return f"<ParseClient {self.app.server_url}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a client holds a session and is not pickled")


def encode(body: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Return JSON as it is sent.

    Raises:
        InvalidValueError: JSON cannot say it: a lone surrogate, NaN, another type, too deep.
            It is not shown.
    """
    # Raised behind the block: the errors of these steps hold the text, or what surrounds it.
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        encoded = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
        if b"\\ud" in encoded:  # an astral character, or half of one
            json.dumps(body, ensure_ascii=False).encode("utf-8")
        return encoded
    raise InvalidValueError(
        "what is to be sent has no JSON: NaN, a lone surrogate, or a type of its own"
    )


def _decode(value: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


@contextlib.contextmanager
def _explaining_distances(query: Mapping[str, str]) -> Iterator[None]:
    """Say what a query by distance needs, where the server only says that it failed.

    Postgres without PostGIS has no such function; Parse Server hides that behind code 1.

    Raises:
        InvalidQueryError: In place of that.
    """
    try:
        yield
    except ServerFailedError as error:
        if error.code != _INTERNAL or not any(
            test in query.get("where", "") for test in _DISTANCES
        ):
            raise
        raise InvalidQueryError(
            f"the server failed at a query by distance: {error}",
            code=error.code,
            status=error.status,
            hint=(
                "on Postgres, __near needs PostGIS: CREATE EXTENSION postgis; __within and"
                " __covers need nothing. If it is there, the server's log says more"
            ),
        ) from error


def class_path(class_name: str) -> str:
    """Return the path of a class's rows.

    Raises:
        ModelDefinitionError: No class has such a name.
    """
    check_class_name(class_name)
    return f"classes/{class_name}"
