import pytest
import torch
from torch.nn.functional import normalize

from doodl.pretrained import load_clip
from doodl.shapes.towers import CLIPS, make_clip, save_clip


def size(name):
    return sum(p.numel() for p in make_clip(CLIPS[name].config()).parameters())


def test_no_two_clips_are_alike():
    visions = [tower.vision for tower in CLIPS.values()]
    assert all(a != b for i, a in enumerate(visions) for b in visions[:i])
    assert len({tower.width for tower in CLIPS.values()}) >= len(CLIPS) - 1
    assert len({tower.seed for tower in CLIPS.values()}) == len(CLIPS)


def test_the_other_clips_of_an_ensemble_and_the_judges_are_small():
    others = [size(name) for name in CLIPS if name != "guide"]
    assert max(others) <= 1.1e6 < size("guide")


@pytest.mark.parametrize("name", CLIPS)
def test_a_saved_clip_sees_and_reads_as_before(name, tmp_path, generator):
    torch.manual_seed(1)
    clip = make_clip(CLIPS[name].config()).eval()
    save_clip(clip, CLIPS[name].config(), tmp_path)
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
