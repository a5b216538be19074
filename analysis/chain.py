"""A layer-wise network drawn as a chain of blocks: a row a stage, read from left to right and from top to bottom."""

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from analysis.style import INK, MUTED, SURFACE, operation_colour
from analysis.svg import canvas, place
from stcnas_core.genotype import Genotype
from stcnas_core.topology import LAYERWISE_STAGES, blocks_of

_BLOCK_WIDTH, _BLOCK_HEIGHT = 80.0, 15.5
_GAP, _ROW = 14.0, 24.0
_NAME, _MARGIN = 46.0, 5.0
_MOST_ACROSS = 6
"""Blocks of one row; longer stages go on in the next one."""


def rows_of(genotype: Genotype) -> list[tuple[str, tuple[str, ...]]]:
    """The rows of the drawing: the stage's name, empty where a stage goes on, and the operations of its layers."""
    operations = [edge.operation for edge in genotype.cell("network")]
    blocks = blocks_of(len(operations)) or 1
    rows: list[tuple[str, tuple[str, ...]]] = []
    for stage in range(LAYERWISE_STAGES + 1):
        layers = operations[stage * blocks : (stage + 1) * blocks]
        for start in range(0, len(layers), _MOST_ACROSS):
            name = "" if start else f"stage {stage + 1}"
            rows.append((name, tuple(layers[start : start + _MOST_ACROSS])))
    return rows


def describe_layers(genotype: Genotype) -> str:
    """The network in words, stage by stage."""
    return "; ".join(f"{name or 'then'}: {', '.join(operations)}" for name, operations in rows_of(genotype))


def chain_figure(genotype: Genotype) -> Figure:
    """One box a layer with its operation's name and colour; a skipped layer is dashed."""
    rows = rows_of(genotype)
    across = max(len(operations) for _, operations in rows)
    width = _MARGIN + _NAME + across * (_BLOCK_WIDTH + _GAP) - _GAP + _MARGIN
    height = 2 * _MARGIN + (len(rows) - 1) * _ROW + _BLOCK_HEIGHT
    figure = Figure(figsize=(width / 72, height / 72))
    axes = canvas(figure)
    for row, (name, operations) in enumerate(rows):
        y = _MARGIN + row * _ROW + _BLOCK_HEIGHT / 2
        axes.text(_MARGIN, y + 0.4, name, ha="left", va="center", fontsize=8.2, color=MUTED)
        for column, operation in enumerate(operations):
            x = _MARGIN + _NAME + column * (_BLOCK_WIDTH + _GAP)
            skipped = operation == "skip_connect"
            style = {"facecolor": SURFACE, "edgecolor": operation_colour(operation), "linewidth": 1.2}
            box = FancyBboxPatch(
                (x, y - _BLOCK_HEIGHT / 2),
                _BLOCK_WIDTH,
                _BLOCK_HEIGHT,
                boxstyle="round,pad=0,rounding_size=4",
                linestyle=(0, (4, 3)) if skipped else "solid",
                **style,
            )
            place(axes, box)
            axes.text(
                x + _BLOCK_WIDTH / 2,
                y + 0.4,
                operation,
                ha="center",
                va="center",
                fontsize=8.2,
                color=MUTED if skipped else INK,
            )
            if column:
                arrow = FancyArrowPatch(
                    (x - _GAP, y),
                    (x, y),
                    arrowstyle="-|>,head_length=3.6,head_width=2",
                    mutation_scale=1,
                    color=MUTED,
                    linewidth=1.0,
                    shrinkA=0,
                    shrinkB=1,
                )
                place(axes, arrow)
    return figure
