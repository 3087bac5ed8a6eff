"""Keys and primitives: the only floor that imports `cryptography`.

Everything here is functions and values over bytes: no I/O, no clock, no globals. No primitive is
implemented here; the one piece of arithmetic is the birational map of section 2.3 of the wire
format, which turns an Ed25519 public key into the X25519 key that it receives data with.
"""

from __future__ import annotations

from encrypted_parse.crypto.keys import EphemeralKey, KeyType, PrivateKey, PublicKey

__all__ = ["EphemeralKey", "KeyType", "PrivateKey", "PublicKey"]
