"""Figures: each function takes plain arrays and writes one PNG or SVG, whose bytes depend only on those arrays.

Matplotlib's objects are used directly, without pyplot: no global state, no display and nothing to close. An SVG is
smaller, for a page that may be narrow, and dark where its reader prefers that.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from worldmodels.common.checkpoint import atomic_path

_ON_A_PAGE = (5.2, 3.8)  # inches, 72 units each
_SIZE = (8.0, 4.8)  # inches; at 100 dots per inch a page shows it 800 pixels wide, and the text is sized for that
_DPI = 150
_TITLE, _LABEL, _TICK = 14, 13, 11.5  # points
_INK, _FAINT, _GRID = "#27272a", "#71717a", "#e4e4e7"
_AGENT, _OTHER = "#2563ab", "#a1a1aa"
_COLOURS = ("#2563ab", "#d9792b", "#3f8f5b", "#8a5aa8", "#b3413a", "#6b7280")  # markers distinguish them in grey
_MARKS = ("o", "s", "^", "D", "v", "P")
_DARK = {  # each colour's place on a dark page
    "#ffffff": "#18181b",
    "#27272a": "#f4f4f5",
    "#71717a": "#a1a1aa",
    "#e4e4e7": "#3f3f46",
    "#2563ab": "#6ea8e8",
    "#a1a1aa": "#8b8b94",
    "#d9792b": "#f0a35e",
    "#3f8f5b": "#73c592",
    "#8a5aa8": "#bd93d8",
    "#b3413a": "#e58079",
    "#6b7280": "#9ca3af",
}
_FEW = 12  # points of a line that are marked
_GAP, _PAIR_GAP = 4, 10  # pixels of the original frames between reconstructions, and between their rows


def return_histogram(
    path: Path,
    agent: ArrayLike,
    random: ArrayLike,
    interval: tuple[float, float],
    *,
    solved: float | None = None,
    title: str = "Return on held-out seeds",
) -> None:
    """Histogram of the agent's and the random policy's returns on the same seeds.

    Args:
        agent, random: (N,), (M,) episode returns, unscaled.
        interval: the 95 % interval of the agent's mean.
        solved: the return at which the environment counts as solved.
    """
    agent, random = np.asarray(agent, np.float64), np.asarray(random, np.float64)
    fig, ax = _figure(path)
    both = np.concatenate([agent, random])
    low, high = float(both.min()), float(both.max())
    if high - low < 1e-6 * max(1.0, abs(low), abs(high)):  # NumPy refuses bins that are narrower than a rounding error
        low, high = low - 0.5, high + 0.5
    bins = np.linspace(low, high, min(30, max(10, len(both) // 4)) + 1).tolist()
    ax.hist(random, bins=bins, color=_OTHER, alpha=0.75, label=f"random policy, mean {random.mean():.1f}")
    ax.hist(agent, bins=bins, color=_AGENT, alpha=0.75, label="agent")
    ax.axvspan(*interval, color=_AGENT, alpha=0.18, linewidth=0)
    mean_label = f"agent's mean {agent.mean():.1f}, 95 % interval {interval[0]:.1f} to {interval[1]:.1f}"
    ax.axvline(float(agent.mean()), color=_AGENT, linewidth=2, label=mean_label)
    ax.axvline(float(random.mean()), color=_FAINT, linewidth=2)
    if solved is not None:
        ax.axvline(solved, color=_INK, linewidth=1.5, linestyle=(0, (4, 3)), label=f"solved at {solved:g}")
    ax.set_ylim(top=(1.8 if path.suffix == ".svg" else 1.5) * ax.get_ylim()[1])  # room for the legend
    ax.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    _label(ax, title, "return of an episode", "episodes")
    _write(fig, path)


def dream_against_real(
    path: Path,
    dream: ArrayLike,
    real: ArrayLike,
    rank_correlation: float,
    kinds: Sequence[str] = (),
    *,
    title: str = "Does the dream tell good controllers from bad?",
) -> None:
    """Each controller's mean return in the dream against its mean return in reality, and their rank correlation.

    Args:
        dream, real: (N,) mean returns, unscaled.
        rank_correlation: Spearman's, of the two.
        kinds: (N,) each controller's kind ("random", "best of a round"), shown by colour and marker.
    """
    dream, real = np.asarray(dream, np.float64), np.asarray(real, np.float64)
    names = np.asarray(kinds or ["controller"] * len(dream))
    fig, ax = _figure(path)
    both = np.concatenate([dream, real])
    ends = [both.min(), both.max()]
    ax.plot(ends, ends, color=_FAINT, linewidth=1.5, linestyle=(0, (4, 3)), label="the same in both")
    for i, kind in enumerate(dict.fromkeys(names)):
        here, colour, mark = names == kind, _COLOURS[i % len(_COLOURS)], _MARKS[i % len(_MARKS)]
        ax.scatter(real[here], dream[here], s=55, c=colour, marker=mark, edgecolors="white", label=str(kind), zorder=3)
    subtitle = f"Spearman's ρ = {rank_correlation:.2f}, {len(dream)} controllers"
    _label(ax, f"{title}\n{subtitle}", "mean return in reality", "mean return in the dream")
    _write(fig, path)


def reconstructions(path: Path, originals: NDArray[np.uint8], reconstructed: NDArray[np.uint8]) -> None:
    """Frames above their reconstructions by V, without resampling, eight to a row.

    Args:
        originals, reconstructed: (N, H, W, 3) uint8.

    Raises:
        ValueError: the two differ in shape.
    """
    if originals.shape != reconstructed.shape:
        raise ValueError(f"{originals.shape} originals but {reconstructed.shape} reconstructions")
    height = originals.shape[1]
    mosaic = _mosaic(originals, reconstructed)
    wide = _ON_A_PAGE[0] if path.suffix == ".svg" else _SIZE[0]
    tall = 0.2 + 0.84 * wide * mosaic.shape[0] / mosaic.shape[1]
    fig = Figure(figsize=(wide, tall), dpi=_DPI, facecolor="white")
    fig.set_layout_engine("constrained", w_pad=0.1)
    ax = fig.add_subplot()
    ax.imshow(mosaic, interpolation="nearest")
    pairs = np.arange(0, mosaic.shape[0], 2 * height + _PAIR_GAP)
    names = ["original", "reconstruction"] * len(pairs)
    ax.set_yticks((pairs[:, None] + height * np.array([0.5, 1.5])).ravel(), names, fontsize=_TICK, color=_INK)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _write(fig, path)


def _mosaic(above: NDArray[np.uint8], below: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two (N, H, W, 3) arrays as one image: up to eight pairs per row, one frame above the other, white between."""
    pairs = np.concatenate([above, below], axis=1)  # (N, 2H, W, 3)
    columns = min(8, len(pairs))
    pairs = np.pad(pairs, ((0, -len(pairs) % columns), (0, 0), (0, 0), (0, 0)), constant_values=255)
    pairs = np.pad(pairs, ((0, 0), (0, _PAIR_GAP), (0, _GAP), (0, 0)), constant_values=255)
    tall, wide = pairs.shape[1:3]
    grid = pairs.reshape(-1, columns, tall, wide, 3).swapaxes(1, 2)  # (rows, 2H, columns, W, 3)
    return grid.reshape(-1, columns * wide, 3)[:-_PAIR_GAP, :-_GAP]


def open_loop_error(
    path: Path,
    horizons: ArrayLike,
    error: ArrayLike,
    baseline: ArrayLike,
    *,
    ylabel: str = "root mean square error of z",
    title: str = "How far M sees ahead without looking",
) -> None:
    """Error of M's open-loop prediction against the horizon, and that of a constant prediction.

    Args:
        horizons: (N,) steps ahead, at least 1. error, baseline: (N,), as ``ylabel`` says.
    """
    horizons = np.asarray(horizons, np.float64)
    fig, ax = _figure(path)
    ax.plot(horizons, np.asarray(baseline), color=_OTHER, linewidth=2, marker="s", label="z stays as it is")
    ax.plot(horizons, np.asarray(error), color=_AGENT, linewidth=2, marker="o", label="M, open loop")
    ax.set_xscale("log")
    ax.set_xticks(horizons, [f"{horizon:g}" for horizon in horizons])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    _label(ax, title, "horizon (steps)", ylabel)
    _write(fig, path)


def curves(
    path: Path,
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    whole: bool = False,
) -> None:
    """One line for each name, through its (N,) abscissae and (N,) ordinates.

    Args:
        whole: the abscissae are counts: no fractions on the axis.
    """
    fig, ax = _figure(path)
    for i, (name, (x, y)) in enumerate(lines.items()):
        mark = _MARKS[i % len(_MARKS)] if len(np.asarray(x)) <= _FEW else None
        ax.plot(np.asarray(x), np.asarray(y), color=_COLOURS[i % len(_COLOURS)], linewidth=1.8, marker=mark, label=name)
    if whole:
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    _label(ax, title, xlabel, ylabel)
    _write(fig, path)


def intervals(
    path: Path,
    names: Sequence[str],
    points: Sequence[ArrayLike],
    ranges: Sequence[tuple[float, float]],
    *,
    title: str,
    xlabel: str,
) -> None:
    """A row for each name, the first on top: its points, their mean, and an interval.

    Args:
        points: (n,) of each name. ranges: the interval's ends.
    """
    fig, ax = _figure(path)
    rows = np.arange(len(names))[::-1]
    for row, values, (low, high) in zip(rows, points, ranges, strict=True):
        values = np.asarray(values, np.float64)
        ax.plot([low, high], [row, row], color=_AGENT, linewidth=7, alpha=0.3, solid_capstyle="butt")
        ax.scatter(values, np.full(len(values), row), s=30, color=_OTHER, edgecolors="white", zorder=3)
        ax.scatter([values.mean()], [row], s=70, color=_AGENT, marker="D", edgecolors="white", zorder=4)
    ax.set_yticks(rows, [textwrap.fill(name, 24) for name in names])
    ax.set_ylim(-0.6, len(names) - 0.4)
    _label(ax, title, xlabel, "")
    _write(fig, path)


def traversals(path: Path, frames: NDArray[np.uint8], names: Sequence[str], values: Sequence[float]) -> None:
    """What V draws as one dimension of z moves and the others stay: a row for each dimension.

    Args:
        frames: (D, N, H, W, 3) uint8.
        names: (D,) of the dimensions. values: (N,) of the dimension that moves.
    """
    rows, columns, height, width = frames.shape[:4]
    mosaic = frames.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    inches = _ON_A_PAGE[0]
    fig = Figure(figsize=(inches, 0.5 + inches * 0.9 * mosaic.shape[0] / mosaic.shape[1]), dpi=_DPI, facecolor="white")
    fig.set_layout_engine("constrained")
    ax = fig.add_subplot()
    ax.imshow(mosaic, interpolation="nearest")
    ax.set_yticks(height * (np.arange(rows) + 0.5), names, fontsize=_TICK, color=_INK)
    ax.set_xticks(width * (np.arange(columns) + 0.5), [f"{value:g}" for value in values], fontsize=_TICK, color=_INK)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _write(fig, path)


def state_ranges(path: Path, statistics: Mapping[str, Sequence[float]]) -> None:
    """Range, spread and mean of every dimension of the recorded states, in units of its standard deviation.

    Args:
        statistics: ``mean``, ``std``, ``min`` and ``max``, each (S,), in the environment's units.
    """
    mean, std, low, high = (np.asarray(statistics[name], np.float64) for name in ("mean", "std", "min", "max"))
    unit = np.where(std > 0, std, 1.0)
    dimension = np.arange(len(mean))
    fig, ax = _figure(path)
    ax.vlines(dimension, (low - mean) / unit, (high - mean) / unit, color=_OTHER, linewidth=3, label="range")
    ax.vlines(dimension, -1, 1, color=_AGENT, linewidth=9, label="one standard deviation either side of the mean")
    ax.set_xticks(dimension, [f"{m:.2g} ± {s:.2g}" for m, s in zip(mean, std, strict=True)], rotation=45, ha="right")
    ax.set_yscale("symlog", linthresh=5)
    ax.set_ylim(top=10 * ax.get_ylim()[1])  # room for the legend
    _label(ax, "Recorded states", "dimension: mean ± standard deviation", "standard deviations")
    _write(fig, path)


def _figure(path: Path) -> tuple[Figure, Axes]:
    fig = Figure(figsize=_ON_A_PAGE if path.suffix == ".svg" else _SIZE, dpi=_DPI, facecolor="white")
    fig.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    ax = fig.add_subplot()
    ax.set_axisbelow(True)
    ax.grid(color=_GRID, linewidth=1)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_FAINT)
    ax.tick_params(labelsize=_TICK, colors=_FAINT, labelcolor=_INK)
    return fig, ax


def _label(ax: Axes, title: str, xlabel: str, ylabel: str) -> None:
    ax.set_title(title, fontsize=_TITLE, color=_INK, loc="left", pad=10)
    ax.set_xlabel(xlabel, fontsize=_LABEL, color=_INK)
    ax.set_ylabel(ylabel, fontsize=_LABEL, color=_INK)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=_TICK, labelcolor=_INK, frameon=True, framealpha=1, edgecolor="white")


def _write(fig: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:  # no Software entry: it would put matplotlib's version into the bytes
        if path.suffix == ".svg":
            temporary.write_text(_svg(fig), encoding="utf-8")
        else:
            FigureCanvasAgg(fig).print_png(str(temporary), metadata={"Software": None})


def _svg(fig: Figure) -> str:
    """With text as text, and colours that follow the reader's preference for light or dark."""
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "worldmodels", "font.family": "sans-serif"}):
        FigureCanvasSVG(fig).print_svg(file, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    for light in _DARK:
        text = text.replace(light, f"var(--c{light[1:]})")
    style = "".join(f"--c{light[1:]}:{light};" for light in _DARK)
    dark = "".join(f"--c{light[1:]}:{colour};" for light, colour in _DARK.items())
    rules = f"<style>svg{{{style}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return text.replace("<defs>", f"{rules}<defs>", 1)
