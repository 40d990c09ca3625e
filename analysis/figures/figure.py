"""A figure as a value, and its drawing without a browser: SVG inside a page, SVG and PNG as files.

A figure that has nothing to show is a sentence that says why, never an empty frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import vl_convert
from altair import SCHEMA_VERSION
from altair.typing import ChartType

from analysis.figures.style import CONFIG, FONT

SCHEMA = ".".join(SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""Version of Vega-Lite that charts are written in, as the drawing library names it."""
SCALE = 2.0
"""Pixels of a PNG for each pixel of the figure."""
NOTHING = ("", "M0,0h0v0h0Z")
"""Paths that draw nothing."""
DROPPED = ("role", "class", "pointer-events", "font-family", "version")
"""Attributes that a drawing inside a page does without; its root names the font once."""
USUAL_VALUES = (("opacity", "1"), ("stroke-width", "1"))
"""Attributes that say what holds without them."""
PLACES = ("d", "transform")
LONG = re.compile(r"-?\d+\.\d{3,}")
"""Numbers with more decimals than a screen or a printer has."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a report."""

    name: str
    """Its id in a page and the name of its file."""
    title: str
    """What it is of."""
    caption: str
    """How to read it: quantities, units, what is left out; where there is no chart, why."""
    chart: ChartType | None = None
    """The drawing; none where there is nothing to show."""
    alt: str = ""
    """What a reader learns from it who does not see it."""

    def __post_init__(self) -> None:
        if self.chart is not None and not self.alt:
            raise ValueError(f"figure {self.name!r} has a chart and no text alternative; give alt")


def to_svg(chart: ChartType) -> str:
    """A chart as the text of an SVG file."""
    return str(vl_convert.vegalite_to_svg(_spec(chart), **_options()))


def to_png(chart: ChartType) -> bytes:
    """A chart as the content of a PNG file."""
    return bytes(vl_convert.vegalite_to_png(_spec(chart), scale=SCALE, **_options()))


def to_inline_svg(chart: ChartType, name: str, alt: str) -> str:
    """A chart as an element of a page of HTML.

    Args:
        chart: What to draw.
        name: Id of the figure, which goes before the ids inside it: a page holds many figures.
        alt: Its text alternative.
    """
    root = ElementTree.fromstring(to_svg(chart))
    _prune(root)
    for element in root.iter():
        # Inside HTML the parser knows SVG by its element; a namespace is an address for nothing.
        element.tag = element.tag.rpartition("}")[2]
        for key, value in list(element.attrib.items()):
            if key.startswith("aria-") or key in DROPPED or (key, value) in USUAL_VALUES:
                del element.attrib[key]
            elif key == "id":
                element.set(key, f"{name}-{value}")
            elif key in PLACES:
                element.set(key, LONG.sub(lambda place: f"{float(place[0]):.2f}", value))
            else:
                element.set(key, re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value))
    root.set("font-family", FONT)
    root.attrib |= {"role": "img", "aria-label": alt}
    return ElementTree.tostring(root, encoding="unicode")


def _prune(element: ElementTree.Element) -> None:
    """Removes what draws nothing: most of an axis consists of such groups."""
    for child in list(element):
        _prune(child)
        empty = child.tag.endswith("}g") and len(child) == 0
        if empty or child.get("display") == "none" or child.get("d") in NOTHING:
            element.remove(child)


def _spec(chart: ChartType) -> dict[str, Any]:
    return dict(chart.to_dict())


def _options() -> dict[str, Any]:
    """The look of every figure; nothing may be loaded from anywhere."""
    return {"vl_version": SCHEMA, "config": dict(CONFIG), "allowed_base_urls": []}
