import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from doodl import images


def test_pixels_and_images_are_inverse_inside_the_range(generator):
    pixels = torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    assert torch.allclose(images.to_pixels(images.to_images(pixels)), pixels)


def test_saturated_pixels_have_no_gradient():
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5], requires_grad=True)
    (gradient,) = torch.autograd.grad(images.to_pixels(x).sum(), x)
    assert gradient.tolist() == [0, 0.5, 0.5, 0]


def test_every_byte_survives_a_file(tmp_path):
    pixels = (torch.arange(3 * 16 * 16) % 256).view(3, 16, 16) / 255
    images.save(pixels, tmp_path / "new" / "folder" / "a.png")
    assert torch.equal(images.load(tmp_path / "new" / "folder" / "a.png"), pixels)


def test_bytes_are_rounded_to_the_nearest_and_saturate(tmp_path):
    values = torch.tensor([0.6 / 255, 0.4 / 255, -1.0, 2.0])
    images.save(values.expand(3, 1, 4), tmp_path / "a.png")
    read = images.load(tmp_path / "a.png")[0, 0] * 255
    assert read.round().tolist() == [1, 0, 0, 255]


def test_a_file_carries_its_texts_in_any_script(tmp_path):
    texts = {"prompt": "ein grünes Herz, 心", "seed": "7"}
    images.save(torch.zeros(3, 2, 2), tmp_path / "a.png", texts)
    with Image.open(tmp_path / "a.png") as file:
        file.load()
        assert file.info == texts


def test_a_failed_save_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    images.save(torch.zeros(3, 2, 2), path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        images.save(torch.ones(3, 2, 2), path)
    assert list(tmp_path.iterdir()) == [path]
    assert images.load(path).max() == 0


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(1, 3, 2, 2), r"received \(1, 3, 2, 2\)"),
        (torch.full((3, 2, 2), float("nan")), "finite pixels, received NaN"),
    ],
)
def test_what_is_no_picture_is_not_saved(tmp_path, pixels, message):
    with pytest.raises(ValueError, match=message):
        images.save(pixels, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def _file(folder, mode, colour, **options):
    path = folder / f"{mode.replace(';', '')}.png"
    Image.new(mode, (5, 3), colour).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (255, 0, 51), (1, 0, 0.2)),
        ("L", 51, (0.2, 0.2, 0.2)),
        ("1", 1, (1, 1, 1)),
        ("RGBA", (255, 0, 0, 51), (1, 0.8, 0.8)),
        ("LA", (0, 0), (1, 1, 1)),
        ("I;16", 32768, (32768 / 65535,) * 3),
    ],
)
def test_every_kind_of_file_becomes_rgb(tmp_path, mode, colour, expected):
    pixels = images.load(_file(tmp_path, mode, colour))
    assert pixels.shape == (3, 3, 5)
    assert pixels.dtype == torch.float32
    assert torch.allclose(
        pixels[:, 1, 2], torch.tensor(expected, dtype=torch.float32), atol=1e-6
    )


def test_a_transparent_palette_colour_becomes_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.png", transparency=0)
    pixels = images.load(tmp_path / "a.png")[:, 0]
    assert pixels.T.tolist() == [[1, 1, 1], [0, 1, 0]]


def test_the_camera_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    picture = Image.new("RGB", (4, 2))
    picture.putpixel((0, 0), (255, 255, 255))
    picture.save(tmp_path / "a.png", exif=exif)
    pixels = images.load(tmp_path / "a.png")
    assert pixels.shape == (3, 4, 2)
    assert pixels[:, 0, 1].tolist() == [1, 1, 1]


def test_floating_point_pixels_are_refused(tmp_path):
    Image.new("F", (4, 4), 0.2).save(tmp_path / "float.tiff")
    with pytest.raises(ValueError, match=r"float\.tiff': its pixels are floating"):
        images.load(tmp_path / "float.tiff")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="a picture at .*missing.png'; there is none"):
        images.load(tmp_path / "missing.png")


def test_what_is_not_a_picture_is_named(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match="found another file at .*text.png"):
        images.load(tmp_path / "text.png")
    with pytest.raises(ValueError, match="found a folder"):
        images.load(tmp_path)


@pytest.mark.parametrize("kind", images.FORMATS)
def test_these_formats_are_read_whatever_the_name(tmp_path, kind):
    Image.new("RGB", (4, 2), "white").save(tmp_path / "a.png", format=kind)
    assert torch.equal(images.load(tmp_path / "a.png"), torch.ones(3, 2, 4))


@pytest.mark.parametrize("kind", ["EPS", "PPM", "PCX", "ICNS"])
def test_no_other_format_is_read(tmp_path, kind):
    Image.new("RGB", (16, 16), "white").save(tmp_path / "a.png", format=kind)
    with pytest.raises(ValueError, match="as PNG, JPEG, WEBP, GIF, TIFF, BMP, found"):
        images.load(tmp_path / "a.png")


def test_a_file_that_was_cut_off_is_named(tmp_path, generator):
    path = tmp_path / "a.png"
    images.save(torch.rand(3, 64, 64, generator=generator), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="Could not read .*a.png"):
        images.load(path)


def test_a_grid_is_read_row_by_row_and_ends_in_white(generator):
    pixels = torch.rand(3, 3, 2, 4, generator=generator)
    sheet = images.grid(pixels, columns=2)
    assert sheet.shape == (3, 4, 8)
    assert torch.equal(sheet[:, :2, :4], pixels[0])
    assert torch.equal(sheet[:, :2, 4:], pixels[1])
    assert torch.equal(sheet[:, 2:, :4], pixels[2])
    assert torch.equal(sheet[:, 2:, 4:], torch.ones(3, 2, 4))


@pytest.mark.parametrize(("number", "columns"), [(0, 2), (2, 0)])
def test_an_empty_grid_is_refused(number, columns):
    with pytest.raises(ValueError, match="received"):
        images.grid(torch.zeros(number, 3, 2, 2), columns)


@pytest.mark.parametrize("shape", [(8, 8), (16, 8), (5, 20), (4, 4), (6, 3)])
def test_a_cover_fills_the_frame_and_keeps_the_middle(shape):
    height, width = shape
    row = torch.linspace(0, 1, width).expand(height, width)
    column = torch.linspace(0, 1, height)[:, None].expand(height, width)
    covered = images.cover(torch.stack((row, column, torch.ones(shape))), 8, 8)
    assert covered.shape == (3, 8, 8)
    assert torch.allclose(covered[2], torch.ones(8, 8))
    # Symmetric pictures stay symmetric: the middle is the middle.
    assert torch.allclose(covered[0] + covered[0].flip(1), torch.ones(8, 8), atol=1e-5)
    assert torch.allclose(covered[1] + covered[1].flip(0), torch.ones(8, 8), atol=1e-5)


@pytest.mark.parametrize("shape", [(60, 59), (64, 8), (9, 71), (300, 38)])
def test_an_ordinary_picture_is_scaled_as_a_whole(shape, monkeypatch, generator):
    pixels = torch.rand(3, *shape, generator=generator)
    covered = images.cover(pixels, 8, 8)
    monkeypatch.setattr(images, "MOST_HIDDEN", 10**6)
    assert torch.equal(covered, images.cover(pixels, 8, 8))


@pytest.mark.parametrize("shape", [(1001, 3), (4, 1000), (2000, 16)])
def test_of_a_long_picture_the_middle_is_scaled(shape, monkeypatch, generator):
    pixels, sizes = torch.rand(3, *shape, generator=generator), []

    def scaled(given, size, **options):
        sizes.append(max(size))
        return interpolate(given, size, **options)

    monkeypatch.setattr(images, "interpolate", scaled)
    covered = images.cover(pixels, 8, 8)
    monkeypatch.setattr(images, "MOST_HIDDEN", 10**6)
    assert torch.allclose(covered, images.cover(pixels, 8, 8), atol=1e-2)
    assert sizes[0] <= 9 * 8 < sizes[1]


def test_a_cover_of_the_frames_size_is_the_picture(generator):
    pixels = torch.rand(3, 8, 6, generator=generator)
    assert torch.equal(images.cover(pixels, 8, 6), pixels)


def test_a_picture_of_the_embedded_world_has_a_short_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert images.load("shapes/dull.png").shape == (3, 64, 64)
    images.save(torch.zeros(3, 2, 2), tmp_path / "shapes" / "dull.png")
    assert images.load("shapes/dull.png").shape == (3, 2, 2)
