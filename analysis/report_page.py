"""Pieces of a page that needs nothing else: no script, no font, no style and no picture of others.

Figures are SVG inside the page. Everything that a store says is escaped here and nowhere else.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from analysis.figures import Figure, to_inline_svg
from analysis.render.cells import Sheet

FOLD = 40
"""Rows beyond which a table is folded."""
LONG = 24
"""Characters beyond which words in a cell may break into lines."""
WORDS, LONG_WORDS = ' class="words"', ' class="words long"'
STYLE = """
:root { --ink: #1b1b1b; --soft: #5c5c5c; --line: #d4d4d4; --shade: #f6f6f4; --link: #0b5394; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; color: var(--ink);
  background: white; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial,
  "Liberation Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-top: .5rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.75rem 0 .4rem; }
p, ul, dl { margin: .5rem 0; max-width: 46rem; }
a { color: var(--link); }
code { font-family: ui-monospace, "Liberation Mono", Menlo, Consolas, monospace; font-size: .9em; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
.byline, .notes, figcaption { color: var(--soft); font-size: .875rem; }
.notes { padding-left: 1.1rem; }
.notes li { margin: .15rem 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .9rem 0 1.1rem; }
table { border-collapse: collapse; font-size: .8125rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0 0 .3rem; font-size: .875rem; }
th, td { padding: .16rem .55rem; text-align: right; white-space: nowrap; font-weight: 400; }
th.words, td.words { text-align: left; }
td.long { white-space: normal; min-width: 9.5rem; max-width: 24rem; }
th:first-child, td:first-child { padding-left: 0; }
thead th { border-top: 1.5px solid var(--ink); border-bottom: 1px solid var(--ink);
  font-weight: 600; vertical-align: bottom; white-space: normal; }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
tbody tr:nth-child(even) { background: var(--shade); }
tr.quiet > * { color: var(--soft); }
details { margin: .9rem 0; }
summary { cursor: pointer; font-weight: 600; font-size: .875rem; }
figure { margin: 1.25rem 0 2rem; }
figure h3 { margin-top: 0; }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption { max-width: 46rem; margin-top: .4rem; }
@media print {
  @page { margin: 16mm 14mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  a { color: inherit; text-decoration: none; }
  h2, h3, caption, summary { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  figure svg { max-height: 235mm; }
  table { font-size: 7.2pt; }
  th, td { padding: .1rem .3rem; }
  thead { display: table-header-group; }
}
"""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One heading of a page with what stands below it."""

    name: str
    """Its id."""
    title: str
    """Its heading."""
    body: str
    """What stands below, as HTML."""


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole page.

    Args:
        title: Its heading.
        lead: What stands between heading and contents, as HTML.
        sections: The rest.
    """
    links = "\n".join(f'<li><a href="#{s.name}">{html.escape(s.title)}</a></li>' for s in sections)
    bodies = "\n".join(
        f'<section id="{s.name}">\n<h2>{html.escape(s.title)}</h2>\n{s.body}\n</section>'
        for s in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{html.escape(title)}</h1>\n{lead}\n</header>\n"
        f'<nav aria-label="Contents">\n<ul>\n{links}\n</ul>\n</nav>\n<main>\n{bodies}\n</main>\n'
        "</body>\n</html>\n"
    )


def prose(text: str) -> str:
    """Paragraphs of a docstring, with its ``code`` as code."""
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text.strip())]
    shown = (re.sub(r"``(.+?)``", r"<code>\1</code>", html.escape(block)) for block in blocks)
    return "\n".join(f"<p>{block}</p>" for block in shown if block)


def listed(texts: Iterable[str], style: str = "notes") -> str:
    """Sentences as a list; nothing where there is none."""
    items = "\n".join(f"<li>{html.escape(text)}</li>" for text in texts)
    return f'<ul class="{style}">\n{items}\n</ul>' if items else ""


def heading(text: str) -> str:
    """A heading inside a section."""
    return f"<h3>{html.escape(text)}</h3>"


def tables(sheets: Sequence[Sheet], quiet: Collection[str] = (), fold: int | None = FOLD) -> str:
    """The sections of a table; folded as a whole where they have many rows.

    Args:
        sheets: The sections.
        quiet: Names of rows that are set back, as references are.
        fold: Rows beyond which it is folded; none never folds it.
    """
    shown = "\n".join(_table(sheet, quiet) for sheet in sheets if sheet.rows)
    count = sum(len(sheet.rows) for sheet in sheets)
    if fold is None or count <= fold:
        return shown
    summary = f"<summary>{count:,} rows; open them to read or print</summary>"
    return f"<details>\n{summary}\n{shown}\n</details>"


def _table(sheet: Sheet, quiet: Collection[str]) -> str:
    """One section, as a table that scrolls inside a narrow window."""
    kinds = [WORDS if left else "" for left in sheet.left]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(text)}</th>'
        for kind, text in zip(kinds, sheet.headings, strict=True)
    )
    rows = "\n".join(_row(row, kinds, quiet) for row in sheet.rows)
    caption = f"<caption>{html.escape(sheet.title)}</caption>\n" if sheet.title else ""
    return (
        f'<div class="scroll">\n<table>\n{caption}'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _row(cells: Sequence[str], kinds: Sequence[str], quiet: Collection[str]) -> str:
    """A row, headed by its first cell."""
    first, *others = (html.escape(cell) for cell in cells)
    rest = "".join(
        f"<td{LONG_WORDS if kind and len(cell) > LONG and ' ' in cell else kind}>{cell}</td>"
        for kind, cell in zip(kinds[1:], others, strict=True)
    )
    back = ' class="quiet"' if cells[0].partition(" ")[0] in quiet else ""
    return f'<tr{back}><th scope="row"{kinds[0]}>{first}</th>{rest}</tr>'


def figure(one: Figure) -> str:
    """A figure with its caption, or the sentence that says why there is none."""
    title = f"<h3>{html.escape(one.title)}</h3>"
    if one.chart is None:
        said = f'<p class="byline">{html.escape(one.caption)}</p>'
        return f'<div id="{one.name}">\n{title}\n{said}\n</div>'
    drawn = to_inline_svg(one.chart, one.name, one.alt)
    caption = f"<figcaption>{html.escape(one.caption)}</figcaption>"
    return f'<figure id="{one.name}">\n{title}\n{drawn}\n{caption}\n</figure>'
