"""A table as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.render.cells import Sheet


def to_markdown(sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    """One Markdown table a section, and the notes as a list below."""
    parts = []
    for sheet in sheets:
        rules = ("---" if left else "---:" for left in sheet.left)
        parts.append(f"**{_escape(sheet.title)}**\n")
        parts.append(_line(map(_escape, sheet.headings)))
        parts.append(_line(rules))
        parts += [_line(map(_escape, row)) for row in sheet.rows]
        parts.append("")
    parts += [f"- {_escape(note)}" for note in notes]
    return "\n".join(parts) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape(text: str) -> str:
    """Text whose signs Markdown would read as its own."""
    for sign in "\\|*`<>":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")
