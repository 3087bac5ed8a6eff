"""The table of environment variables, made from the code's.

Run as a script, it writes the table of docs/settings.md anew; tests/unit/test_settings.py
compares.
"""

from __future__ import annotations

from pathlib import Path

from encrypted_parse.settings import VARIABLES
from encrypted_parse.settings import Variable as Row

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
BEGIN = "<!-- What follows is made by `python tests/settings_table.py`. -->\n"


def table() -> str:
    """Return the table as Markdown."""
    parts = ["| variable | says | values | without it |", "|---|---|---|---|"]
    parts += [_line(variable) for variable in VARIABLES if variable.ours]
    parts += ["", "Conventions of the system that count here too:", ""]
    parts += ["| variable | says | values | without it |", "|---|---|---|---|"]
    parts += [_line(variable) for variable in VARIABLES if not variable.ours]
    return "\n".join(parts) + "\n"


def _line(variable: Row) -> str:
    meaning = f"{variable.meaning}; secret" if variable.hidden else variable.meaning
    return f"| `{variable.name}` | {meaning} | {variable.values} | {variable.default} |"


def main() -> None:
    """Write the table into docs/settings.md."""
    written = PAGE.read_text("utf-8").split(BEGIN)[0]
    PAGE.write_text(f"{written}{BEGIN}\n{table()}", "utf-8")


if __name__ == "__main__":
    main()
