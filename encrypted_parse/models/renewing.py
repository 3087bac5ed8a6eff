"""Opening once more what fails against kept cards: its author may have rotated since.

Whether the author's new key counts is judged as ever; nobody who writes values that verify with no
key causes more than a request a page, and one an author in some seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import EncryptedParseError, SignerNotFoundError
from encrypted_parse.models.sealer import ObjectContext, Sealer

Opened = list[bytes | EncryptedParseError]


@front_door
def open_by_author(
    sealer: Sealer,
    values: Mapping[str, Sequence[tuple[ObjectContext, str]]],
    kept: Collection[str],
) -> dict[str, Opened]:
    """Return for each author's values their plaintexts, or the errors that say why not.

    Of *kept* authors the cache had cards before the values were fetched. Where a signature of one
    of them fails, the directory is asked again, once for all of them.
    """
    opened = {author: sealer.unseal(texts, author) for author, texts in values.items()}
    unknown = {author for author in kept if any(map(_is_by_unknown_key, opened.get(author, ())))}
    for author in sealer.renew_authors(unknown) if unknown else ():
        places = [place for place, one in enumerate(opened[author]) if _is_by_unknown_key(one)]
        again = sealer.unseal([values[author][place] for place in places], author)
        for place, one in zip(places, again, strict=True):
            opened[author][place] = one
    return opened


def _is_by_unknown_key(opened: bytes | EncryptedParseError) -> bool:
    return isinstance(opened, SignerNotFoundError)
