"""`python -m encrypted_parse`: the command line, where its script is not on the path."""

from __future__ import annotations

from encrypted_parse.cli.entry import main

if __name__ == "__main__":
    main()
