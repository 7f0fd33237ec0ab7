"""Pictures: their two value ranges, reading, writing, cropping and grids.

*Images* are the outputs of the decoder, in [-1, 1]; *pixels* are the inputs of guides
and judges and the content of files, in [0, 1]. Both are RGB with channels first.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn.functional import interpolate

from doodl.files import named, readable, write

PICTURES = Path(__file__).parent / "shapes" / "pictures"
"""Folder of the packaged pictures; the path `shapes/NAME.png` refers to one of them."""
MOST_BYTES = 2**28
"""Size of the largest picture file that is read, 256 MiB."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
"""Formats that are read. Others may start programs, as PostScript does."""
MOST_HIDDEN = 8
"""Most of a picture that `cover` scales, in sides of the part that remains."""


def to_pixels(images: Tensor) -> Tensor:
    """Pixels of images:  clamp(x / 2 + 1/2, 0, 1).

    The gradient is the gradient of the clamp: it is zero where an image exceeds
    [-1, 1], so that a guide cannot gain from colours that no file can store.

    Args:
        images: any shape, in [-1, 1]; values outside are clamped.
    """
    return (images / 2 + 0.5).clamp(0, 1)


def to_images(pixels: Tensor) -> Tensor:
    """Images of pixels in [0, 1]:  2 x - 1, the inverse of `to_pixels`."""
    return 2 * pixels - 1


def located(path: str | os.PathLike[str]) -> Path:
    """Return the path of a picture; a user's file has precedence over a packaged one.

    Args:
        path: path of a file, or `shapes/NAME.png` for a packaged picture.
    """
    path = named(path, "a picture")
    packaged = PICTURES / path.name
    if path.parent == Path("shapes") and not path.exists() and packaged.is_file():
        return packaged
    return path


def load(path: str | os.PathLike[str]) -> Tensor:
    """Return the pixels (3, H, W) of a picture file, float32 in [0, 1].

    Greyscale and palette pictures are converted to RGB, transparent ones are composited
    over white, the orientation in the EXIF data is applied, and 16-bit greyscale
    pictures keep their depth.

    Args:
        path: path of the file, or `shapes/NAME.png` for a packaged picture.

    Raises:
        ValueError: the file is missing, unreadable or not a picture of `FORMATS`.
    """
    path = readable(located(path), "a picture", MOST_BYTES)
    try:
        with Image.open(path, formats=FORMATS) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode == "F":
                raise ValueError("its pixels are floating-point numbers; save 8 bits")
            return (
                _sixteen_bits(picture) if "I" in picture.mode else _eight_bits(picture)
            )
    except UnidentifiedImageError:
        raise ValueError(
            f"Expected a picture as {', '.join(FORMATS)}, found another file at "
            f"'{path}'; save it as PNG."
        ) from None
    except Exception as error:  # Pillow raises many kinds for broken files
        raise ValueError(
            f"Could not read the picture '{path}': {error}; replace or delete it."
        ) from error


def _eight_bits(picture: Image.Image) -> Tensor:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return values.view(picture.height, picture.width, 3).permute(2, 0, 1) / 255


def _sixteen_bits(picture: Image.Image) -> Tensor:
    # Pillow's conversion to RGB would clip these values at 255 instead of scaling.
    values = torch.frombuffer(
        bytearray(picture.convert("I").tobytes()), dtype=torch.int32
    )
    grey = (values.view(1, picture.height, picture.width) / 65535).clamp(0, 1)
    return grey.expand(3, -1, -1).clone()


def save(
    pixels: Tensor,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write pixels as an 8-bit PNG, atomically; create missing folders.

    Args:
        pixels: (3, H, W) in [0, 1]; values outside are clamped.
        path: path of the file; an existing one is replaced.
        metadata: texts to store in the file, for example prompt and seed.

    Raises:
        ValueError: `pixels` have another shape or are not finite.
    """
    content = encode(pixels, metadata)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(Path(path), content)


def encode(pixels: Tensor, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of the PNG file that `save` writes.

    Raises:
        ValueError: `pixels` have another shape or are not finite.
    """
    picture = to_pil(pixels)
    info = PngInfo()
    for key, text in (metadata or {}).items():
        info.add_text(key, text)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def to_pil(pixels: Tensor) -> Image.Image:
    """Return pixels (3, H, W) in [0, 1] as an 8-bit RGB Pillow image.

    Raises:
        ValueError: `pixels` have another shape or are not finite.
    """
    return Image.fromarray(_bytes(pixels).numpy())


def _bytes(pixels: Tensor) -> Tensor:
    """Return (H, W, 3) uint8 values of pixels (3, H, W), rounded to the nearest."""
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise ValueError(f"Expected pixels (3, H, W), received {tuple(pixels.shape)}.")
    pixels = pixels.detach().to("cpu", torch.float32)
    if not pixels.isfinite().all():
        raise ValueError("Expected finite pixels, received NaN or infinity.")
    rounded = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return rounded.permute(1, 2, 0).contiguous()


def cover(pixels: Tensor, height: int, width: int) -> Tensor:
    """Return a picture scaled to cover a frame and cropped to its centre.

    Of a very long picture only the middle is scaled, which bounds time and memory.

    Args:
        pixels: (3, H, W) in [0, 1].
        height: height of the frame in pixels.
        width: width of the frame in pixels.

    Returns:
        (3, height, width) in [0, 1].
    """
    scale = max(height / pixels.shape[1], width / pixels.shape[2])
    seen = math.ceil(height / scale), math.ceil(width / scale)
    pixels = _middle(pixels, MOST_HIDDEN * seen[0], MOST_HIDDEN * seen[1])
    size = [max(height, round(pixels.shape[1] * scale))]
    size += [max(width, round(pixels.shape[2] * scale))]
    if size != list(pixels.shape[1:]):
        pixels = interpolate(
            pixels[None], size, mode="bilinear", antialias=True, align_corners=False
        )[0].clamp(0, 1)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return pixels[:, top : top + height, left : left + width]


def _middle(pixels: Tensor, height: int, width: int) -> Tensor:
    """Return the middle of a picture, which is one pixel larger where sides are odd."""
    rows, columns = pixels.shape[1:]
    top, left = max(0, rows - height) // 2, max(0, columns - width) // 2
    return pixels[:, top : rows - top, left : columns - left]


def grid(pixels: Tensor, columns: int) -> Tensor:
    """Return pictures arranged in a grid, row by row; unused cells are white.

    Args:
        pixels: (N, 3, H, W) in [0, 1].
        columns: number of pictures in a row.

    Returns:
        (3, rows * H, columns * W) with rows = ceil(N / columns).

    Raises:
        ValueError: `pixels` are empty or have another shape, or `columns` is below 1.
    """
    if pixels.ndim != 4 or not len(pixels):
        raise ValueError(
            f"Expected pixels (N, 3, H, W), N >= 1, received {tuple(pixels.shape)}."
        )
    if columns < 1:
        raise ValueError(f"Expected at least one column, received {columns}.")
    number, channels, height, width = pixels.shape
    blank = pixels.new_ones(-number % columns, channels, height, width)
    cells = torch.cat([pixels, blank]).unflatten(0, (-1, columns))
    return cells.permute(2, 0, 3, 1, 4).reshape(
        channels, cells.shape[0] * height, columns * width
    )
