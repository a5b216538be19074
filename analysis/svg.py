"""matplotlib figures as small inline SVG: text stays text, colours become CSS variables, ids never clash.

Styles that matplotlib repeats on every element are gathered as classes, which a page of many figures shares.
"""

import io
import itertools
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from analysis.style import FONT, RC, VARIABLES
from analysis.svg_path import short_path

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_VARIABLE_OF = {light: f"var(--{name})" for name, (light, _) in VARIABLES.items()}
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_DECIMALS = re.compile(r"-?\d+\.\d+")
_RUN = 3
"""Neighbours that are worth a group."""
_CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Sheet:
    """The CSS classes that the drawings of a page use, by style."""

    rules: dict[str, str] = field(default_factory=dict)

    def name(self, style: str) -> str:
        """The class that carries `style`."""
        return self.rules.setdefault(style, f"m{len(self.rules)}")

    def css(self) -> str:
        """All classes as rules."""
        return "".join(f".{name}{{{style}}}" for style, name in self.rules.items())


@dataclass(frozen=True)
class Drawing:
    """Inline SVG with its size in CSS pixels (96 to the inch)."""

    markup: str
    width: int
    height: int


def plain(text: str, longest: int = 60) -> str:
    """A foreign text as XML can hold it, on one line and not longer than `longest`."""
    line = re.sub(r"\s+", " ", _CONTROL.sub("\ufffd", text))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def canvas(figure: Figure) -> Axes:
    """Bare axes over the whole figure whose unit is the point, with (0, 0) at the top left."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    width, height = figure.get_size_inches()
    axes.set_xlim(0, width * 72)
    axes.set_ylim(height * 72, 0)
    return axes


def place(axes: Axes, artist: Artist) -> None:
    """Put an artist onto a canvas, unclipped: it lies inside, and a clip path would need an id on every element."""
    axes.add_artist(artist)
    artist.set_clip_on(False)


def draw(build: Callable[[], Figure], prefix: str, label: str, sheet: Sheet) -> Drawing:
    """Build a figure in the report's style and render it.

    `prefix` makes its ids unique on the page; `label` is what a reader who cannot see it hears.
    """
    out = io.StringIO()
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # The browser draws the text, with fonts of its own; only the layout lacks the width of such a character.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure = build()
        width, height = figure.get_size_inches()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ET.fromstring(out.getvalue())
    _shrink(root, prefix, sheet)
    _drop(root, "metadata")
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", plain(label, 1000))
    root.set("class", "plot")
    return Drawing(_serialise(root), round(width * 96), round(height * 96))


def _drop(root: ET.Element, tag: str) -> None:
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == _SVG + tag]:
            parent.remove(child)


def _shrink(root: ET.Element, prefix: str, sheet: Sheet) -> None:
    used = _referenced(root)
    names = {name: f"{prefix}-{index}" for index, name in enumerate(sorted(used))}
    _drop(root, "style")
    _drop_background(root)
    for element in root.iter():
        identifier = element.attrib.pop("id", None)
        if identifier in names:
            element.set("id", names[identifier])
        _relink(element, names)
        if "d" in element.attrib:
            element.set("d", short_path(element.attrib["d"]))
        for name in ("x", "y", "transform", "points", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy", "r"):
            if name in element.attrib and element is not root:
                element.set(name, _numbers(element.attrib[name]))
        style = element.attrib.pop("style", None)
        if style and (style := _style(style)):
            element.set("class", sheet.name(style))
        if re.fullmatch(r"rotate\(-?0 [^)]*\)", element.attrib.get("transform", "")):
            del element.attrib["transform"]
    _drop_unused(root)
    _unwrap(root)
    for parent in list(root.iter()):
        _gather(parent, sheet)


def _drop_background(root: ET.Element) -> None:
    """The invisible rectangles behind figure and axes."""
    for parent in list(root.iter()):
        for child in [child for child in parent if child.get("style", "").replace(" ", "") == "fill:none"]:
            parent.remove(child)


def _drop_unused(root: ET.Element) -> None:
    """Clip paths that nothing refers to, which have lost their ids by now."""
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == _SVG + "clipPath" and "id" not in child.attrib]:
            parent.remove(child)


def _referenced(root: ET.Element) -> set[str]:
    found: set[str] = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == _XLINK:
                found.add(value.removeprefix("#"))
            found.update(re.findall(r"url\(#([^)]+)\)", value))
    return found


def _relink(element: ET.Element, names: dict[str, str]) -> None:
    target = element.attrib.pop(_XLINK, None)
    if target is not None:
        element.set("href", "#" + names[target.removeprefix("#")])
    for name, value in list(element.attrib.items()):
        if "url(#" in value:
            element.set(name, re.sub(r"url\(#([^)]+)\)", lambda match: f"url(#{names[match[1]]})", value))


def _numbers(text: str) -> str:
    """A tenth of a point: no screen shows less at the size of these figures."""
    rounded = _DECIMALS.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), text)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", re.sub(r"\s+", " ", rounded)).strip()


def _style(text: str) -> str:
    """Colours as variables, the page's font for matplotlib's; what is the default anyway goes."""
    parts = [part.strip() for part in text.split(";") if part.strip()]
    kept: list[str] = []
    for part in parts:
        key, _, value = part.partition(":")
        key, value = key.strip(), value.strip()
        if key == "font":
            kept.extend(_font(value))
        elif key in {"font-family", "stroke-miterlimit"} or (key, value) == ("stroke-linejoin", "miter"):
            continue
        else:
            value = _COLOUR.sub(lambda match: _VARIABLE_OF.get(match[0], match[0]), value)
            kept.append(f"{key}:{value}")
    return ";".join(kept)


def _font(value: str) -> list[str]:
    """`bold 9px 'DejaVu Sans', ...` without the family."""
    words = value.split(f"'{FONT}'")[0].split()
    size = next((word for word in words if word.endswith("px")), None)
    found = [f"font-size:{size}"] if size else []
    found += [f"font-weight:{word}" for word in words if word == "bold" or re.fullmatch(r"\d00", word)]
    found += [f"font-style:{word}" for word in words if word in {"italic", "oblique"}]
    return found


def _unwrap(parent: ET.Element) -> None:
    """Groups that carry nothing dissolve into their parent."""
    children = list(parent)
    for child in children:
        _unwrap(child)
        parent.remove(child)
    for child in children:
        if child.tag == _SVG + "g" and not child.attrib:
            parent.extend(list(child))
        elif child.tag != _SVG + "defs" or len(child):
            parent.append(child)


def _gather(parent: ET.Element, sheet: Sheet) -> None:
    """Neighbours of one class become a group that carries it; an opacity would then be the whole group's."""
    styles = {name: style for style, name in sheet.rules.items()}
    runs = [(name, list(run)) for name, run in itertools.groupby(parent, key=lambda child: child.get("class"))]
    for name, run in runs:
        if name is None or len(run) < _RUN or re.search(r"(^|;)opacity:", styles[name]):
            continue
        group = ET.Element(_SVG + "g", {"class": name})
        parent.insert(list(parent).index(run[0]), group)
        for child in run:
            parent.remove(child)
            del child.attrib["class"]
            group.append(child)


def _serialise(root: ET.Element) -> str:
    for element in root.iter():
        element.tag = str(element.tag).removeprefix(_SVG)
        element.tail = None
        if element.tag not in {"text", "tspan"}:
            element.text = None
    return ET.tostring(root, encoding="unicode").replace(" />", "/>")
