"""The directory: where users' public keys are published and looked up."""

from __future__ import annotations

from encrypted_parse.directory.cache import CachingDirectory
from encrypted_parse.directory.cards import Card, new_card, parse_card
from encrypted_parse.directory.chains import CardChain, link_cards
from encrypted_parse.directory.client import DirectoryClient
from encrypted_parse.directory.links import are_linked
from encrypted_parse.directory.service import ServiceClient
from encrypted_parse.directory.shared_cache import CardCache
from encrypted_parse.directory.shelf import Shelf
from encrypted_parse.directory.tokens import Token, TokenProvider

__all__ = [
    "CachingDirectory",
    "Card",
    "CardCache",
    "CardChain",
    "DirectoryClient",
    "ServiceClient",
    "Shelf",
    "Token",
    "TokenProvider",
    "are_linked",
    "link_cards",
    "new_card",
    "parse_card",
]
