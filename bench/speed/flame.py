"""Draws where a server's time goes: a flame graph out of the stacks that py-spy recorded.

    py-spy record --gil --format raw --rate 400 --duration 10 --pid PID --output stacks.txt
    python -m bench.speed.flame stacks.txt docs/explanation/profile.svg

py-spy is no dependency: whoever looks installs it. Each box is a function, as wide as its share of
the time in which Python ran; below it stands what it called. What is narrower than a pixel is left
out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT, _FONT = 1_200.0, 15.0, 10.0
#: A letter is about so wide, and a box of fewer letters has no text.
_LETTER, _FEWEST = 5.6, 4
_COLOURS = {"almenara": "#f3b15a", "uvicorn": "#9fc3e8", "sqlite": "#b9d7a1"}
_OTHER = "#dddddd"


@dataclass
class Box:
    """A function where it was called from, and the samples in it."""

    name: str
    samples: int = 0
    calls: dict[str, Box] = field(default_factory=dict)


def read_stacks(lines: Iterable[str]) -> Box:
    """Put stacks together, each a line of functions from the outermost, and a count.

    Raises:
        ValueError: a line is none.
    """
    root = Box("all")
    for line in lines:
        stack, _, count = line.rstrip("\n").rpartition(" ")
        box = root
        box.samples += int(count)
        for frame in stack.split(";"):
            # Without the line: one box for each function.
            name = frame.rpartition(":")[0] + ")" if frame.endswith(")") else frame
            box = box.calls.setdefault(name, Box(name))
            box.samples += int(count)
    return root


def without_its_start(box: Box, *, share: float = 0.97) -> Box:
    """Leave out what stands alone above everything: how the process was started."""
    whole = box.samples
    while len(box.calls) == 1 and next(iter(box.calls.values())).samples >= share * whole:
        box = next(iter(box.calls.values()))
    return box


def draw(root: Box) -> str:
    """Return the picture, as SVG."""
    boxes = list(_boxes(root, 0.0, 0, _WIDTH / max(1, root.samples)))
    depth = 1 + max((row for _, _, row, _ in boxes), default=0)
    shapes = "\n".join(_shape(*one, whole=root.samples) for one in boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {depth * _HEIGHT:g}" '
        f'font-family="sans-serif" font-size="{_FONT:g}">\n{shapes}\n</svg>\n'
    )


def _boxes(
    box: Box, left: float, row: int, scale: float
) -> Iterator[tuple[Box, float, int, float]]:
    width = box.samples * scale
    if width < 1:
        return
    yield box, left, row, width
    for called in sorted(box.calls.values(), key=lambda one: -one.samples):
        yield from _boxes(called, left, row + 1, scale)
        left += called.samples * scale


def _shape(box: Box, left: float, row: int, width: float, *, whole: int) -> str:
    top = row * _HEIGHT
    colour = next((one for part, one in _COLOURS.items() if part in box.name), _OTHER)
    letters = int(width / _LETTER)
    text = box.name.partition(" (")[0][:letters] if letters >= _FEWEST else ""
    told = f"{box.name}: {box.samples / max(1, whole):.1%}"
    return (
        f'<g><title>{escape(told)}</title><rect x="{left:.1f}" y="{top:g}" width="{width:.1f}" '
        f'height="{_HEIGHT - 1:g}" fill="{colour}"/><text x="{left + 2:.1f}" '
        f'y="{top + _FONT + 1:g}">{escape(text)}</text></g>'
    )


if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8") as stacks:
        picture = draw(without_its_start(read_stacks(stacks)))
    Path(sys.argv[2]).write_text(picture, encoding="utf-8")
