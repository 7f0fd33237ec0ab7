"""Pictures: the two ranges they live in, reading, writing, and laying them out.

*Images* are what the autoencoder speaks, in [-1, 1]; *pixels* are what guides,
judges and files see, in [0, 1]. Both have channels first, RGB.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn.functional import interpolate

from doodl.files import write

PICTURES = Path(__file__).parent / "shapes" / "pictures"
"""Pictures of the embedded world; `shapes/NAME.png` names one of them."""


def to_pixels(images: Tensor) -> Tensor:
    """Pixels of images:  clamp(x / 2 + 1/2, 0, 1).

    The gradient is that of the clamp: zero wherever the decoder saturates, so that
    a guide cannot earn anything by colours that no file can hold.

    Args:
        images: any shape, in [-1, 1], values beyond saturate.
    """
    return (images / 2 + 0.5).clamp(0, 1)


def to_images(pixels: Tensor) -> Tensor:
    """Inverse of `to_pixels` inside the range:  2 x - 1."""
    return 2 * pixels - 1


def located(path: str | os.PathLike[str]) -> Path:
    """Return the path of a picture; a user's own file goes before a packaged one."""
    path = Path(path)
    packaged = PICTURES / path.name
    if path.parent == Path("shapes") and not path.exists() and packaged.is_file():
        return packaged
    return path


def load(path: str | os.PathLike[str]) -> Tensor:
    """Read a picture file as (3, H, W) float32 pixels.

    Greyscale and palette pictures become RGB, transparency is composited over
    white, the camera's rotation is applied, 16-bit greyscale keeps its depth.

    Args:
        path: of the file; `shapes/NAME.png` is a picture of the embedded world.

    Raises:
        ValueError: `path` is missing, unreadable or no picture.
    """
    path = located(path)
    if not path.exists():
        raise ValueError(f"There is no picture at '{path}'; give the path of a file.")
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode == "F":
                raise ValueError("its pixels are floating-point numbers; save 8 bits")
            return (
                _sixteen_bits(picture) if "I" in picture.mode else _eight_bits(picture)
            )
    except UnidentifiedImageError:
        raise ValueError(
            f"Expected a picture, found another file at '{path}'; give a PNG or JPEG."
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"Could not read the picture '{path}': {error}.") from error


def _eight_bits(picture: Image.Image) -> Tensor:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return values.view(picture.height, picture.width, 3).permute(2, 0, 1) / 255


def _sixteen_bits(picture: Image.Image) -> Tensor:
    # Pillow's own conversion to RGB cuts these off at 255 instead of scaling them.
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
    """Write pixels as an 8-bit PNG, whole or not at all; missing folders are made.

    Args:
        pixels: (3, H, W) in [0, 1], values beyond saturate.
        path: the file; an older one is replaced.
        metadata: texts that the file carries, for example prompt and seed.

    Raises:
        ValueError: `pixels` have another shape or are not finite.
    """
    content = encode(pixels, metadata)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(Path(path), content)


def encode(pixels: Tensor, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return what `save` writes.

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
    """Return pixels (3, H, W) in [0, 1] as an 8-bit RGB image of Pillow.

    Raises:
        ValueError: `pixels` have another shape or are not finite.
    """
    return Image.fromarray(_bytes(pixels).numpy())


def _bytes(pixels: Tensor) -> Tensor:
    """(H, W, 3) bytes of (3, H, W) pixels, rounded to the nearest."""
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise ValueError(f"Expected pixels (3, H, W), received {tuple(pixels.shape)}.")
    pixels = pixels.detach().to("cpu", torch.float32)
    if not pixels.isfinite().all():
        raise ValueError("Expected finite pixels, received NaN or infinity.")
    rounded = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return rounded.permute(1, 2, 0).contiguous()


def cover(pixels: Tensor, height: int, width: int) -> Tensor:
    """Scale a picture until it covers a frame, and keep the middle.

    Args:
        pixels: (3, H, W) in [0, 1].
        height: of the frame.
        width: of the frame.

    Returns:
        (3, height, width)
    """
    scale = max(height / pixels.shape[1], width / pixels.shape[2])
    size = [max(height, round(pixels.shape[1] * scale))]
    size += [max(width, round(pixels.shape[2] * scale))]
    if size != list(pixels.shape[1:]):
        pixels = interpolate(
            pixels[None], size, mode="bilinear", antialias=True, align_corners=False
        )[0].clamp(0, 1)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return pixels[:, top : top + height, left : left + width]


def grid(pixels: Tensor, columns: int) -> Tensor:
    """Lay pictures out row by row; cells that are left over stay white.

    Args:
        pixels: (N, 3, H, W) in [0, 1].
        columns: how many stand side by side.

    Returns:
        (3, rows * H, columns * W), rows = N / columns rounded up.

    Raises:
        ValueError: no pictures, another shape, or less than one column.
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
