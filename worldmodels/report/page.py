"""One self-contained HTML page: text, tables, pictures and films, all inside the file."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from worldmodels.common.checkpoint import write_bytes

_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".mp4": "video/mp4"}


@dataclass(frozen=True)
class Shown:
    """A picture (SVG, PNG) or a film (MP4), and what it shows, which is also its text for those who do not see it."""

    path: Path
    caption: str

    @property
    def is_film(self) -> bool:
        """Whether it moves."""
        return self.path.suffix == ".mp4"

    @property
    def address(self) -> str:
        """The whole file as a data: address."""
        return f"data:{_TYPES[self.path.suffix]};base64,{base64.b64encode(self.path.read_bytes()).decode()}"


@dataclass(frozen=True)
class Table:
    """A table; if ``folded``, it is shown when its caption is opened."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: its anchor.
        commands: lines to type.
    """

    name: str
    title: str
    text: str = ""
    shown: Sequence[Shown] = ()
    tables: Sequence[Table] = field(default=())
    commands: str = ""


def write_page(path: Path, title: str, score: str, beside: str, sections: Sequence[Section]) -> None:
    """Write the page, atomically.

    Args:
        score: what the page is about, in large letters; ``beside``: the rest of that line.
    """
    environment = Environment(
        loader=PackageLoader("worldmodels.report", ""), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("page.html")
    text = template.render(title=title, score=score, beside=beside, sections=sections)
    write_bytes(path, text.encode())
