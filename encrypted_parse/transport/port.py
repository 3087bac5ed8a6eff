"""The port: all that the floors above know of HTTP."""

from __future__ import annotations

from typing import Protocol

from encrypted_parse.transport.messages import HttpRequest, HttpResponse


class Transport(Protocol):
    """Carries one request to a server and brings back its answer.

    May be called from many threads at once. Redirects are not followed, cookies are not kept, and
    an HTTP error status is an answer like any other.
    """

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send *request* and return the whole answer.

        Raises:
            ConnectionFailedError: The request never reached the server.
            RequestTimeoutError: No answer in time, and the request may be repeated.
            OutcomeUnknownError: The connection broke after sending; or no answer came in time to
                a request that must not be repeated.
            ResponseTooLargeError: The answer exceeds the size limit.
            MalformedResponseError: The answer's content encoding is broken or was not asked for.
        """
        ...
