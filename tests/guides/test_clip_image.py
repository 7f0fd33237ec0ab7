import pytest
import torch
from PIL import Image

from doodl import images
from doodl.generation import Generation
from doodl.guides.clip import spherical_distance
from doodl.guides.clip_image import CLIPImage, centre_square

GENERATIONS = [Generation("a cat", 0), Generation("a dog", 1)]


@pytest.fixture
def paths(tmp_path, generator):
    """Three square pictures of the CLIP's own size."""
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    for path in paths:
        images.save(torch.rand(3, 4, 4, generator=generator), path)
    return paths


def loaded(paths):
    guide = CLIPImage("fake", paths)
    guide.load()
    return guide


def test_a_picture_equal_to_its_reference_has_no_loss(clips, paths):
    guide = loaded(paths[:1])
    targets = guide.prepare(GENERATIONS[:1])
    reference = images.load(paths[0])[None]
    assert guide(reference, targets).item() < 1e-30
    assert guide.score(reference, targets).item() == pytest.approx(1, abs=1e-12)


def test_the_target_is_the_unit_mean_of_unit_embeddings(clips, paths, pixels):
    guide = loaded(paths)
    each = guide.embed(torch.stack([images.load(path) for path in paths]))
    mean = each.mean(dim=0)
    target = mean / mean.norm()
    targets = guide.prepare(GENERATIONS)
    assert torch.allclose(targets["embedding"], target.expand(2, -1))
    expected = spherical_distance(guide.embed(pixels), target)
    assert torch.allclose(guide(pixels, targets), expected)


def test_repeating_every_reference_changes_nothing(clips, paths):
    once, twice = (loaded(p).prepare(GENERATIONS) for p in (paths, paths * 2))
    assert torch.allclose(once["embedding"], twice["embedding"])


def test_gradient_equals_finite_differences(clips, paths, pixels):
    guide = loaded(paths)
    targets = guide.prepare(GENERATIONS)
    assert torch.autograd.gradcheck(
        lambda x: guide(x, targets), pixels.requires_grad_(), rtol=1e-6
    )


def oddity(kind, path):
    """A picture, plain in the middle, stored in an unusual way."""
    path = str(path / "odd.png")
    if kind == "greyscale":
        Image.new("L", (8, 8), 51).save(path)
    elif kind == "palette":
        Image.new("RGB", (8, 8), (51, 51, 51)).convert("P").save(path)
    elif kind == "transparent":
        Image.new("RGBA", (8, 8), (0, 0, 0, 204)).save(path)
    elif kind == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6
        picture = Image.new("RGB", (16, 8), (255, 0, 0))
        picture.paste((51, 51, 51), (4, 0, 12, 8))
        picture.save(path, exif=exif)
    elif kind == "wide":
        picture = Image.new("RGB", (4000, 10), (255, 0, 0))
        picture.paste((51, 51, 51), (1995, 0, 2005, 10))
        picture.save(path)
    elif kind == "tall":
        picture = Image.new("RGB", (2, 60), (255, 0, 0))
        picture.paste((51, 51, 51), (0, 29, 2, 31))
        picture.save(path)
    else:
        Image.new("RGB", (1, 1), (51, 51, 51)).save(path)
    return path


@pytest.mark.parametrize(
    "kind",
    ["greyscale", "palette", "transparent", "rotated", "wide", "tall", "one pixel"],
)
def test_any_picture_file_is_a_reference(clips, tmp_path, kind):
    path = oddity(kind, tmp_path)
    pixels = loaded([path]).read([path])
    assert pixels.shape == (1, 3, 4, 4)
    assert torch.allclose(pixels, torch.tensor(0.2), atol=1e-3)


@pytest.mark.parametrize("shape", [(3, 9, 4), (3, 4, 9), (3, 5, 5), (3, 1, 8)])
def test_the_square_is_in_the_middle(shape):
    weights = torch.zeros(shape)
    square = centre_square(weights)
    assert square.shape[-1] == square.shape[-2] == min(shape[1:])
    square += 1
    for dim in (1, 2):
        profile = weights.sum(dim=(0, 3 - dim)).nonzero().flatten()
        margin = shape[dim] - 1 - int(profile[-1]) - int(profile[0])
        assert margin in (0, 1)


def test_a_generation_can_have_an_image_of_its_own(clips, paths):
    guide, own = loaded(paths), loaded(paths[:1])
    generations = [Generation("a cat", 0), Generation("a cat", 0, image=paths[0])]
    mine, its = guide.prepare(generations)["embedding"]
    assert torch.equal(mine, guide.prepare(generations[:1])["embedding"][0])
    assert torch.equal(its, own.prepare(generations[:1])["embedding"][0])
    assert not torch.equal(mine, its)


def test_a_generation_without_any_image_is_refused_before_loading(paths, tmp_path):
    guide = CLIPImage("clip")
    guide.check([Generation("a cat", 0, image=paths[0])])
    with pytest.raises(ValueError, match="reference images, received none; set"):
        guide.check(GENERATIONS)
    with pytest.raises(ValueError, match="a picture at '.*none.png'; there is none"):
        guide.check([Generation("a cat", 0, image=str(tmp_path / "none.png"))])


def test_bad_references_are_refused_before_any_network_is_loaded(tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    for images_, message in [
        ([], "at least one reference image, received an empty list"),
        ("a.png", "list of images, received 'a.png'"),
        ([str(tmp_path / "none.png")], "a picture at '.*none.png'; there is none"),
        ([str(text)], "Expected a picture as PNG, .* found another file"),
        ([str(tmp_path)], "found a folder; give the path of a file"),
    ]:
        with pytest.raises(ValueError, match=message):
            CLIPImage("no such model", images_)
    with pytest.raises(ValueError, match="name or the folder of a CLIP"):
        CLIPImage(" ", [])


def test_without_networks_there_is_no_target(paths):
    with pytest.raises(RuntimeError, match="call load"):
        CLIPImage("no such model", paths).prepare(GENERATIONS)
