"""Small pictures as inline SVG. Lengths across are per cent of the picture's width, so that it fits any window without scaling its text
or its marks; colours are the page's CSS variables, so that it follows light, dark and print. The same numbers give the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

ROW_HEIGHT = 26


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high` with reference lines: (value, class), class `reference` or `floor`."""

    low: float
    high: float
    lines: tuple[tuple[float, str], ...] = ()
    ticks: tuple[float, ...] = ()

    def at(self, value: float) -> float:
        """Position in per cent, kept inside the picture (with room for a mark)."""
        share = (value - self.low) / (self.high - self.low)
        return 2 + 96 * min(1.0, max(0.0, share))


def spanning(values: Sequence[float], lines: Sequence[tuple[float, str]], *, step: float) -> Scale:
    """A scale that holds all values and lines, its ends and ticks on multiples of `step`."""
    held = [*values, *(v for v, _ in lines)]
    low = int(min(held) // step)
    high = -int(-max(held) // step)
    high = high if high > low else low + 1
    every = max(1, -(-(high - low) // 5))
    ticks = tuple(round(n * step, 6) for n in range(low, high + 1, every))
    return Scale(low * step, high * step, tuple(lines), ticks)


def interval_mark(scale: Scale, value: float | None, low: float | None, high: float | None, *, label: str, tone: str = "") -> Markup:
    """One row of a forest plot: the interval as a bar, the value as a dot, the scale's lines through the whole row."""
    parts = _lines(scale)
    if low is not None and high is not None:
        parts.append(f'<line class="span" x1="{scale.at(low):.2f}%" x2="{scale.at(high):.2f}%" y1="50%" y2="50%"/>')
    if value is not None:
        parts.append(f'<circle class="dot" cx="{scale.at(value):.2f}%" cy="50%" r="4.5"/>')
    return _svg(parts, f"forest {tone}".strip(), label, ROW_HEIGHT)


def axis(scale: Scale, *, digits: int = 2) -> Markup:
    """The row that carries the scale's numbers."""
    parts = _lines(scale, bottom="6")
    for i, tick in enumerate(scale.ticks):
        x = scale.at(tick)
        minor = ' class="minor"' if i % 2 else ""  # left out in a narrow window
        anchor = "start" if x < 6 else "end" if x > 94 else "middle"
        parts.append(f'<line class="tick" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="5"/>')
        parts.append(f'<text{minor} x="{x:.2f}%" y="18" text-anchor="{anchor}">{f"{tick:.{digits}f}".replace("-", "−")}</text>')
    return _svg(parts, "axis", None, 22)


def bar(share: float, *, label: str, tone: str = "") -> Markup:
    """A horizontal bar of `share` (0 to 1) of the width."""
    width = 100 * min(1.0, max(0.0, share))
    parts = ['<rect class="track" x="0" y="4" width="100%" height="14" rx="3"/>']
    if width > 0:
        parts.append(f'<rect class="fill" x="0" y="4" width="{max(width, 0.4):.2f}%" height="14" rx="3"/>')
    return _svg(parts, f"bar {tone}".strip(), label, 22)


def histogram(counts: Sequence[int], picked: Sequence[int], *, label: str) -> Markup:
    """Bars of `counts`, side by side; the `picked` part of each is filled. The caller puts numbers on the axis."""
    top, height = max([*counts, 1]), 130
    width = 100 / max(1, len(counts))
    parts = []
    for i, (all_of_it, part) in enumerate(zip(counts, picked, strict=True)):
        for css, amount in (("pool", all_of_it), ("picked", part)):
            tall = amount / top * (height - 4)
            if amount:
                tall = max(tall, 1.5)
                parts.append(
                    f'<rect class="{css}" x="{i * width + 0.25:.2f}%" y="{height - tall:.1f}" width="{width - 0.5:.2f}%" height="{tall:.1f}"/>'
                )
    parts.append(f'<line class="base" x1="0" x2="100%" y1="{height}" y2="{height}"/>')
    return _svg(parts, "histogram", label, height + 1)


def bins(values: Sequence[float], edges: Sequence[float]) -> list[int]:
    """How many values lie in each [edge, next edge); the last bin holds its upper edge."""
    found = [0] * (len(edges) - 1)
    for value in values:
        at = sum(value >= edge for edge in edges) - 1
        if at == len(found) and value == edges[-1]:
            at -= 1
        if 0 <= at < len(found):
            found[at] += 1
    return found


def _lines(scale: Scale, bottom: str = "118%") -> list[str]:
    """Slightly taller than the row, so that the lines of a table's rows meet."""
    return [
        f'<line class="{css}" x1="{scale.at(value):.2f}%" x2="{scale.at(value):.2f}%" y1="-18%" y2="{bottom}"/>'
        for value, css in scale.lines
    ]


def _svg(parts: Sequence[str], css: str, label: str | None, height: int) -> Markup:
    from markupsafe import Markup

    named = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    title = f"<title>{escape(label)}</title>" if label else ""
    # every part is built above from numbers and fixed class names; labels are escaped
    return Markup(f'<svg class="{css}" width="100%" height="{height}" {named}>{title}{"".join(parts)}</svg>')  # noqa: S704
