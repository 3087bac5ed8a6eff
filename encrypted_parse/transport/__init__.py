"""HTTP: one door to the network. Knows nothing of Parse or of Virgil."""

from __future__ import annotations

from encrypted_parse.transport.addresses import Endpoint, check_url, insecure_hosts
from encrypted_parse.transport.fake import FakeTransport
from encrypted_parse.transport.looks import refusal_in_front
from encrypted_parse.transport.network import RequestsTransport
from encrypted_parse.transport.port import (
    HttpRequest,
    HttpResponse,
    Repeat,
    Transport,
    exchange,
    is_header_value,
)
from encrypted_parse.transport.retrying import RetryingTransport

__all__ = [
    "Endpoint",
    "FakeTransport",
    "HttpRequest",
    "HttpResponse",
    "Repeat",
    "RequestsTransport",
    "RetryingTransport",
    "Transport",
    "check_url",
    "exchange",
    "insecure_hosts",
    "is_header_value",
    "refusal_in_front",
]
