"""Draws one SVG: markup on standard input, PNG on standard output.

python -m services.gateway.files.rasterize < picture.svg > picture.png

SVG is a language: a few lines can ask for more work than a machine can do, or for other files.
So it is drawn by a process that may use little time and memory and is thrown away, after
everything is taken out of the markup that refers to anything outside it.
"""

from __future__ import annotations

import resource
import sys
from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

LARGEST: Final = 512 * 1024
"""Bytes of markup."""

_PIXELS: Final = 400
_ELEMENTS: Final = 20_000
_DEPTH: Final = 200
_CPU: Final = 5  # seconds
_MEMORY: Final = 1024 * 1024 * 1024  # bytes of address space
_REMOVED: Final = frozenset("image feImage script foreignObject iframe audio video".split())
_SVG: Final = "{http://www.w3.org/2000/svg}svg"


class Refused(Exception):
    """This is no SVG, or one that is not drawn."""


def harmless(markup: bytes) -> str:
    """The markup without references to anything outside it. Raises: Refused."""
    if len(markup) > LARGEST or b"\x00" in markup:
        raise Refused
    _check(markup)
    root = ElementTree.fromstring(markup)  # noqa: S314  checked: no entities, not too deep
    if root.tag not in (_SVG, "svg"):
        raise Refused
    _clean(root)
    return ElementTree.tostring(root, encoding="unicode")


def _check(markup: bytes) -> None:
    elements = depth = 0

    def started(_name: str, _attributes: object) -> None:
        nonlocal elements, depth
        elements, depth = elements + 1, depth + 1
        if elements > _ELEMENTS or depth > _DEPTH:
            raise Refused

    def ended(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def declared(*_: object) -> None:
        raise Refused

    parser = expat.ParserCreate()
    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.EntityDeclHandler = declared
    try:
        parser.Parse(markup, True)
    except expat.ExpatError:
        raise Refused from None


def _clean(element: ElementTree.Element) -> None:
    for child in list(element):
        # Comments are not among the children: the parser leaves them out.
        if child.tag.rpartition("}")[2] in _REMOVED:
            element.remove(child)
        else:
            _clean(child)
    for name, value in list(element.attrib.items()):
        is_link = name.rpartition("}")[2] in ("href", "src")
        if is_link and not value.strip().startswith("#"):
            del element.attrib[name]


def main() -> int:
    """Exit status 1: not drawn."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU, _CPU))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        markup = harmless(sys.stdin.buffer.read(LARGEST + 1))
        # Loaded late, under the limits.
        import resvg_py

        picture = resvg_py.svg_to_bytes(svg_string=markup, width=_PIXELS)
    except (Refused, ElementTree.ParseError, ValueError, MemoryError):
        return 1
    sys.stdout.buffer.write(bytes(picture))
    return 0


if __name__ == "__main__":
    sys.exit(main())
