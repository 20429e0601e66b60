"""Drawing with Pillow. Slow: `Images` runs it in threads."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from services.gateway.domain import media_types
from services.gateway.domain.dimensions import HEAD, MAX_PIXELS, Size, size_of
from services.gateway.domain.initials import color_of, initials_of

AVATAR: Final = 200
"""Pixels of a stored avatar, wide and high."""
EMOJI: Final = 512
"""Pixels of a custom emoji at most, wide or high."""

DRAWABLE: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Types that are read; no other code of the library is ever reached."""

FORMATS: Final = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""Formats that pictures are written in, and their types."""

_PREVIEW: Final = 32  # pixels of the longer side
_BACKGROUND: Final = "#ffffff"  # behind transparent pixels where the format has none

# The size is checked before a picture is opened; the library's own limit is a warning.
Image.MAX_IMAGE_PIXELS = None


class Undrawable(Exception):
    """This is no picture, a broken one, or one that is too large."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A finished picture."""

    data: bytes
    type: str


def check(data: bytes) -> tuple[str, Size]:
    """The type and size of a picture that can be drawn. Raises: Undrawable."""
    media_type = media_types.sniffed(data)
    size = size_of(data[:HEAD], media_type)
    if media_type not in DRAWABLE or size is None or size.is_too_large:
        raise Undrawable
    return media_type, size


def avatar(data: bytes) -> Drawn:
    """A picture cut to a square of `AVATAR` pixels. Raises: Undrawable."""
    with _opened(data, (AVATAR, AVATAR)) as image:
        square = ImageOps.fit(_upright(image), (AVATAR, AVATAR), Image.Resampling.LANCZOS)
        # Photographs are many times smaller as JPEG; only transparent pictures need PNG.
        if _is_transparent(square):
            return _written(square, "png")
        return _written(square, "jpeg")


def preview(data: bytes) -> str | None:
    """A tiny, blurred JPEG in base64 that is shown while the picture loads; None: undrawable."""
    try:
        with _opened(data, (_PREVIEW, _PREVIEW)) as image:
            small = _upright(image)
            small.thumbnail((_PREVIEW, _PREVIEW))
            blurred = _opaque(small).filter(ImageFilter.GaussianBlur(1))
            return base64.b64encode(_written(blurred, "jpeg", quality=60).data).decode()
    except Undrawable:
        return None


def converted(data: bytes, size: int | None, form: str) -> Drawn:
    """A stored picture in another size or format. Raises: Undrawable."""
    with _opened(data, None) as image:
        wanted = image if size is None else image.resize((size, size), Image.Resampling.LANCZOS)
        return _written(wanted, form)


def initials(name: str, size: int, form: str) -> Drawn:
    """The picture of somebody without one, in pixels."""
    image = Image.new("RGB", (size, size), color_of(name))
    # The library brings this font; letters it lacks are drawn as a box.
    font = ImageFont.load_default(size * 0.45)
    ImageDraw.Draw(image).text(
        (size / 2, size / 2), initials_of(name), fill="#ffffff", font=font, anchor="mm"
    )
    return _written(image, form)


def _opened(data: bytes, wanted: tuple[int, int] | None) -> Image.Image:
    media_type, _ = check(data)
    form = media_type.partition("/")[2].upper()
    try:
        image = Image.open(io.BytesIO(data), formats=[form])
        _check_size(image)
        if wanted is not None:
            image.draft("RGB", (wanted[0] * 2, wanted[1] * 2))  # JPEG: draws no more than needed
        image.load()
    except Undrawable:
        raise
    except Exception as error:
        # A decoder of many formats has many ways to stumble over broken files.
        raise Undrawable from error
    return image


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise Undrawable


def _upright(image: Image.Image) -> Image.Image:
    """As the camera was held, in a mode that can be scaled."""
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception:  # broken camera data spoils no picture
        turned = image
    return turned.convert("RGBA" if _has_alpha(turned) else "RGB")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _is_transparent(image: Image.Image) -> bool:
    if image.mode != "RGBA":
        return False
    lowest: Any = image.getchannel("A").getextrema()[0]
    return bool(lowest < 255)


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, _BACKGROUND)
    return Image.alpha_composite(ground, image).convert("RGB")


def _written(image: Image.Image, form: str, quality: int = 85) -> Drawn:
    out = io.BytesIO()
    ready = _opaque(image.convert("RGBA")) if form == "jpeg" else image
    # Nothing but pixels is written: no camera data, no comments, no places.
    ready.info = {}
    ready.save(out, form.upper(), **({} if form == "png" else {"quality": quality}))
    return Drawn(out.getvalue(), FORMATS[form])
