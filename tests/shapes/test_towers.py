import pytest
import torch
from torch.nn.functional import normalize

from doodl.pretrained import load_clip
from doodl.shapes.towers import GUIDES, JUDGE, clip_config, make_clip, save_clip


def config_of(name):
    tower = GUIDES[name]
    return clip_config(tower.vision, width=tower.width, layers=tower.layers)


def size(name):
    return sum(p.numel() for p in make_clip(config_of(name)).parameters())


def test_no_two_clips_are_alike():
    visions = [JUDGE, *(tower.vision for tower in GUIDES.values())]
    assert all(a != b for i, a in enumerate(visions) for b in visions[:i])
    assert len({tower.width for tower in GUIDES.values()}) == len(GUIDES)
    assert len({tower.seed for tower in GUIDES.values()}) == len(GUIDES)


def test_the_guides_of_an_ensemble_are_small():
    assert max(size("guide_b"), size("guide_c")) <= 1.1e6 < size("guide")


@pytest.mark.parametrize("name", GUIDES)
def test_a_saved_clip_sees_and_reads_as_before(name, tmp_path, generator):
    torch.manual_seed(1)
    clip = make_clip(config_of(name)).eval()
    save_clip(clip, config_of(name), tmp_path)
    loaded = load_clip(str(tmp_path))
    rounded = clip.half().float()
    pixels = torch.rand(2, 3, 64, 64, generator=generator)
    tokens = loaded.tokenize(["a red circle", "a blue star above a green heart"])
    assert loaded.image_size == 64
    for seen, expected in (
        (loaded.encode_image(pixels), rounded.encode_image(pixels)),
        (loaded.encode_text(tokens), rounded.encode_text(tokens)),
    ):
        assert seen.shape == (2, 128)
        torch.testing.assert_close(normalize(seen), normalize(expected))
