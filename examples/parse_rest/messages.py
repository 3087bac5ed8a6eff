"""The same classes with encryption: three lines, and the old way to connect is gone."""

from parse_rest.datatypes import Object

from encrypted_parse.integrations.parse_rest import acl_readers, connect, encrypted_object, sealed

connect()


@encrypted_object(text=sealed(to=acl_readers(), author="senderId"))
class Message(Object):
    """A message from one user to others."""
