"""Where the names of points stand so that none hides a point or another name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CHARACTER, LINE = 5.4, 12.0
"""Width and height of a character of a name, in pixels."""
RADIUS = 5.0
"""Pixels around a point that no name covers."""
AWAY = 0.8
"""Area that a name may cover to stand a pixel nearer to its point."""
FAR = 8
"""Rings of places around a point, each a line further away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle of a plot, in pixels from its lower left corner."""

    left: float
    low: float
    right: float
    high: float

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.high, other.high) - max(self.low, other.low)
        return max(0.0, width) * max(0.0, height)

    def distance(self, point: tuple[float, float]) -> float:
        """Pixels from it to a point; 0 inside."""
        aside = max(self.left - point[0], point[0] - self.right, 0.0)
        return math.hypot(aside, max(self.low - point[1], point[1] - self.high, 0.0))

    def outside(self, width: float, height: float) -> float:
        """Area of it that lies outside a plot of that size."""
        inside = self.overlap(Box(left=0.0, low=0.0, right=width, high=height))
        return (self.right - self.left) * (self.high - self.low) - inside


def place(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    width: float,
    height: float,
    lines: Sequence[Box] = (),
) -> list[tuple[float, float]]:
    """Centre of each name, near its point and clear of all else where there is room.

    Names are set one by one, from the left, each at the first place that covers the least.

    Args:
        points: Points of the plot, in pixels from its lower left corner.
        names: Name of each; an empty one takes no room.
        width: Width of the plot in pixels.
        height: Its height.
        lines: Parts of the plot that names should not cross.
    """
    taken = [
        *lines,
        *(
            Box(left=x - RADIUS, low=y - RADIUS, right=x + RADIUS, high=y + RADIUS)
            for x, y in points
        ),
    ]
    found = list(points)
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if not names[i]:
            continue
        half = CHARACTER * len(names[i]) / 2
        best, least = points[i], float("inf")
        for x, y in _places(points[i], half):
            box = Box(left=x - half, low=y - LINE / 2, right=x + half, high=y + LINE / 2)
            covered = sum(box.overlap(other) for other in taken)
            cost = covered + 4.0 * box.outside(width, height) + AWAY * box.distance(points[i])
            if cost < least - 1e-9:
                best, least = (x, y), cost
        found[i] = best
        x, y = best
        taken.append(Box(left=x - half, low=y - LINE / 2, right=x + half, high=y + LINE / 2))
    return found


def leader(
    point: tuple[float, float], name: str, centre: tuple[float, float]
) -> tuple[float, float] | None:
    """Where a line from a point to its name ends; none where the name stands right beside it."""
    (x, y), half = point, CHARACTER * len(name) / 2
    left, right = centre[0] - half, centre[0] + half
    end = min(max(x, left), right), centre[1] - math.copysign(LINE / 2, centre[1] - y)
    beside = abs(centre[1] - y) < LINE / 2
    return None if beside or math.hypot(end[0] - x, end[1] - y) < 2 * RADIUS else end


def _places(point: tuple[float, float], half: float) -> list[tuple[float, float]]:
    """Places around a point, the nearest first: right, left, above, below, then the corners."""
    x, y = point
    aside = half + RADIUS + 2.0
    places = [(x + aside, y), (x - aside, y)]
    for ring in range(1, FAR + 1):
        up = RADIUS + LINE / 2 + (ring - 1) * LINE
        places += [(x, y + up), (x, y - up)]
        places += [(x + side * aside, y + sign * up) for side in (1, -1) for sign in (1, -1)]
    return places
