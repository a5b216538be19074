"""Colours and type of the report: one palette, drawn as plain colours and shown as CSS variables.

Figures are drawn in the light scheme's colours; `analysis.svg` replaces each of them by its variable, so that the
browser shows the same figure in the reader's light or dark scheme. Every light colour is therefore unique.
"""

from collections.abc import Sequence
from typing import Any

INK, MUTED, GRID, SURFACE, HEAT = "#1b1f24", "#5a6472", "#dfe3e8", "#fefefe", "#5f9bf0"

VARIABLES: dict[str, tuple[str, str]] = {
    "ink": (INK, "#e7eaee"),
    "muted": (MUTED, "#9aa5b3"),
    "grid": (GRID, "#333a44"),
    "surface": (SURFACE, "#171b21"),
    # The ink is readable on every shade between surface and heat, in both schemes.
    "heat": (HEAT, "#2a63c4"),
    # Settings: told apart by hue, lightness and marker.
    "s0": ("#0b62c4", "#6cb0ff"),
    "s1": ("#c2410c", "#ff9a62"),
    "s2": ("#0f7f5f", "#45d1a4"),
    "s3": ("#9b2f8f", "#e88bdc"),
    "s4": ("#8a6400", "#e3bd4b"),
    "s5": ("#4b4fc9", "#a9abff"),
    "s6": ("#b1234f", "#ff86a8"),
    "s7": ("#3f6f1f", "#a3d06f"),
    # Operations: pooling blue and teal, skip amber, separable violet and magenta, dilated green, plain convolution red.
    "max-pool": ("#1666b0", "#66b3ff"),
    "avg-pool": ("#0a7d86", "#4fd0da"),
    "skip": ("#a86200", "#ffb84d"),
    "sep3": ("#6b3fc0", "#b79aff"),
    "sep5": ("#b02a92", "#f38fdd"),
    "dil3": ("#2f7d32", "#7fd383"),
    "dil5": ("#6f7a00", "#c9d64f"),
    "conv1": ("#c0392b", "#ff8f80"),
    "conv3": ("#6c3dc1", "#b89bff"),
    # Inverted bottlenecks: a hue a kernel, the larger expansion darker.
    "mb3e3": ("#3b78c2", "#8fbcf5"),
    "mb3e6": ("#154a91", "#5c93e6"),
    "mb5e3": ("#8a5cc7", "#c9aef5"),
    "mb5e6": ("#55308f", "#a07be0"),
    "mb7e3": ("#b85a38", "#f5b59a"),
    "mb7e6": ("#8f3514", "#e08a63"),
    "none": ("#7b8694", "#8d98a6"),
}
"""Name of the CSS variable -> colour in the light scheme, colour in the dark scheme."""

OPERATIONS = {
    "max_pool_3x3": "max-pool",
    "avg_pool_3x3": "avg-pool",
    "skip_connect": "skip",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
    "nor_conv_1x1": "conv1",
    "nor_conv_3x3": "conv3",
    **{f"mbconv_{side}x{side}_e{expansion}": f"mb{side}e{expansion}" for side in (3, 5, 7) for expansion in (3, 6)},
    "none": "none",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_SETTING_COLOURS = 8

FONT = "DejaVu Sans"
"""Ships with matplotlib, so that a figure is laid out alike everywhere; wider than what browsers show instead."""

RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "stcnas",
    "font.family": FONT,
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.solid_capstyle": "round",
    "path.simplify": True,
}


def operation_colour(operation: str) -> str:
    """The light-scheme colour of an operation, the muted one for an unknown operation."""
    name = OPERATIONS.get(operation)
    return VARIABLES[name][0] if name else MUTED


def operation_variable(operation: str) -> str:
    """The CSS variable of an operation's colour."""
    return OPERATIONS.get(operation, "muted")


def setting_colours(settings: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour (light scheme) and matplotlib marker of each setting; both repeat out of step beyond eight settings."""
    return {
        setting: (
            VARIABLES[f"s{index % _SETTING_COLOURS}"][0],
            MARKERS[(index + index // _SETTING_COLOURS) % len(MARKERS)],
        )
        for index, setting in enumerate(settings)
    }


def variable_of(colour: str) -> str:
    """The CSS variable whose light-scheme value is `colour`."""
    return _BY_COLOUR[colour]


_BY_COLOUR = {light: name for name, (light, _) in VARIABLES.items()}


def css_variables() -> str:
    """The two schemes as custom properties, light by default and dark where the reader's system asks for it."""
    light = "".join(f"--{name}:{colours[0]};" for name, colours in VARIABLES.items())
    dark = "".join(f"--{name}:{colours[1]};" for name, colours in VARIABLES.items())
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
