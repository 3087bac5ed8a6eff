"""Hypothesis strategies, one per kind of value that the tests need."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from encrypted_parse.crypto import KeyType, PrivateKey

# Nothing here asserts on wall-clock time, so no example has a deadline.
ordinary = settings(deadline=None)
expensive = settings(deadline=None, max_examples=30)

_SEEDS = st.binary(min_size=32, max_size=32)


def private_keys(*key_types: KeyType) -> st.SearchStrategy[PrivateKey]:
    """Private keys of *key_types*; without any, keys that can sign."""
    return st.builds(PrivateKey, st.sampled_from(key_types or (KeyType.ED25519,)), _SEEDS)


def readers(min_size: int = 1, max_size: int = 5) -> st.SearchStrategy[list[PrivateKey]]:
    """Lists of distinct private keys of both types, to be the recipients of one envelope."""
    return st.lists(private_keys(*KeyType), min_size=min_size, max_size=max_size, unique=True)


def plaintexts() -> st.SearchStrategy[bytes]:
    """Plaintexts of all interesting lengths: empty, short, and around a frame of padding."""
    around_frames = st.integers(0, 1).flatmap(
        lambda frame: st.integers(150, 165).map(lambda size: b"p" * (160 * frame + size))
    )
    return st.one_of(st.binary(max_size=400), st.text().map(str.encode), around_frames)
