import re
import xml.etree.ElementTree as ET

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.style import MARKERS, VARIABLES, css_variables, setting_colours, variable_of
from analysis.svg import Sheet, canvas, draw, place, plain


def _figure():
    figure = Figure(figsize=(3, 2))
    axes = figure.add_subplot()
    axes.plot([1, 2, 3], [1, 4, 2], marker="o", color=VARIABLES["s0"][0])
    axes.set_title("a < b & $c", parse_math=False)
    return figure


def test_drawings_of_one_page_share_no_ids_and_refer_only_to_their_own():
    sheet = Sheet()
    pages = [ET.fromstring(draw(_figure, prefix, "x", sheet).markup) for prefix in ("one", "two")]
    ids = [[element.get("id") for element in page.iter() if element.get("id")] for page in pages]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    for page, own in zip(pages, ids, strict=True):
        text = ET.tostring(page, encoding="unicode")
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)) <= {
            pair for name in own for pair in ((name, ""), ("", name))
        }


def test_same_figure_same_markup():
    assert draw(_figure, "p", "x", Sheet()) == draw(_figure, "p", "x", Sheet())


def test_colours_are_variables_and_text_is_text():
    sheet = Sheet()
    markup = draw(_figure, "p", "x", sheet).markup
    assert "stroke:var(--s0)" in sheet.css()
    assert ">a &lt; b &amp; $c</text>" in markup
    assert VARIABLES["s0"][0] not in markup + sheet.css()
    assert "DejaVu" not in markup + sheet.css()


def test_label_of_any_text_is_valid_xml():
    hostile = 'x" onload="alert(1)\x00\x1b <script>'
    root = ET.fromstring(draw(_figure, "p", hostile, Sheet()).markup)
    assert root.get("aria-label") == 'x" onload="alert(1)\ufffd\ufffd <script>'
    assert root.get("onload") is None


def test_characters_that_the_layout_font_lacks_do_not_warn():
    def build():
        figure = Figure(figsize=(2, 1))
        figure.text(0.5, 0.5, "设置")
        return figure

    assert "设置" in draw(build, "p", "x", Sheet()).markup


def test_plain_shortens():
    assert plain("a\n b\tc") == "a b c"
    assert plain("x" * 100, 10) == "x" * 9 + "…"


def test_every_light_colour_is_unique_so_that_it_names_its_variable():
    assert len({light for light, _ in VARIABLES.values()}) == len(VARIABLES)
    assert css_variables().count("--ink:") == 2
    for name, (light, _) in VARIABLES.items():
        assert variable_of(light) == name


def test_sixty_four_settings_look_different():
    looks = setting_colours([str(i) for i in range(64)])
    assert len(set(looks.values())) == 64
    assert {marker for _, marker in looks.values()} == set(MARKERS)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, two: str) -> float:
    low, high = sorted((_luminance(one), _luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_text_contrast_in_both_schemes():
    for scheme in (0, 1):
        surface, ink = VARIABLES["surface"][scheme], VARIABLES["ink"][scheme]
        assert _contrast(ink, surface) >= 7
        assert _contrast(ink, VARIABLES["heat"][scheme]) >= 4.5
        assert _contrast(ink, VARIABLES["grid"][scheme]) >= 4.5
        assert _contrast(VARIABLES["muted"][scheme], surface) >= 4.5
        for name, colours in VARIABLES.items():
            if name not in {"ink", "grid", "surface", "heat"}:
                assert _contrast(colours[scheme], surface) >= 3, (name, scheme)


def test_neighbours_of_one_style_share_a_group_unless_they_are_seen_through_each_other():
    def build():
        figure = Figure(figsize=(2, 1))
        axes = canvas(figure)
        for left in range(4):
            place(axes, Rectangle((10 * left, 5), 20, 20, facecolor=VARIABLES["s0"][0]))
            place(axes, Rectangle((10 * left, 5), 20, 20, facecolor=VARIABLES["s1"][0], alpha=0.5, zorder=0))
        return figure

    sheet = Sheet()
    root = ET.fromstring(draw(build, "p", "x", sheet).markup)
    styles = {name: style for style, name in sheet.rules.items()}
    paths = list(root.iter("path"))
    assert len(paths) == 8
    (group,) = root.iter("g")
    assert len(group) == 4
    assert "opacity" not in styles[group.attrib["class"]]
    alone = [path for path in paths if "class" in path.attrib]
    assert len(alone) == 4
    assert all("opacity:0.5" in styles[path.attrib["class"]] for path in alone)


def test_no_clip_path_is_left_that_nothing_uses():
    def build():
        figure = Figure(figsize=(2, 1))
        place(canvas(figure), Rectangle((0, 0), 20, 20))
        return figure

    assert "clipPath" not in draw(build, "p", "x", Sheet()).markup
    assert "clipPath" in draw(_figure, "p", "x", Sheet()).markup
