"""An app's classes as they were written for parse_rest, years ago."""

from parse_rest.connection import register
from parse_rest.datatypes import Object

register("APPLICATION_ID", "REST_API_KEY")


class Message(Object):
    """A message from one user to others."""
