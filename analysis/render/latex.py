"""A table as LaTeX with the rules of the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.render.cells import Sheet

SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "Δ": r"$\Delta$", "†": r"\dag{}", "‡": r"\ddag{}", "–": "--", "≥": r"$\geq$",
    "≤": r"$\leq$", "×": r"$\times$", "−": "$-$",
}  # fmt: skip
"""What stands for a sign that LaTeX reads as its own, or that its standard fonts lack."""
PREAMBLE = r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs,graphicx}"


def to_latex(sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    """One table a section, no wider than the text; the notes stand below as a list."""
    parts = [PREAMBLE]
    for sheet in sheets:
        alignment = "".join("l" if left else "r" for left in sheet.left)
        parts += [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escape(sheet.title)}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _line(sheet.headings),
            r"\midrule",
            *map(_line, sheet.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    if notes:
        items = (rf"\item {escape(note)}" for note in notes)
        parts += [r"\begin{itemize}", *items, r"\end{itemize}"]
    return "\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX prints it; a sign that is not known becomes a question mark."""
    known = (SIGNS.get(sign, sign) for sign in text.replace("\n", " "))
    return "".join(part if part.isascii() else "?" for part in known)


def _line(cells: Iterable[str]) -> str:
    # A row that opens with a bracket would be read as an option of the line break before it.
    shown = (f"{{}}{escape(cell)}" if cell.startswith("[") else escape(cell) for cell in cells)
    return " & ".join(shown) + r" \\"
