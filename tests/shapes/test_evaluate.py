import pytest
import torch

from doodl.pretrained import load_text_to_image
from doodl.shapes import samples
from doodl.shapes.evaluate import megabytes, plain_captions, plain_scenes
from doodl.shapes.goals import GOALS, Goal, table
from doodl.shapes.samples import Chain, edict_pairs, guided_call_gflop, relative_gap
from doodl.shapes.sharpness import edge_energy, sharpness


def test_a_goal_is_a_bound_from_below_or_above():
    assert Goal(0.9, "a share").met(0.9)
    assert not Goal(0.9, "a share").met(0.89)
    assert Goal(0.1, "a gap", at_most=True).met(0.1)
    assert not Goal(0.1, "a gap", at_most=True).met(0.11)


def test_the_table_says_which_goals_are_met():
    lines = table({"vae_psnr_db": 32.5, "edict50_gap": 0.05, "other": 1.0}).split("\n")
    assert lines[0].split()[2:] == ["goal", ">=", "35", "missed"]
    assert lines[1].split()[2:] == ["goal", "<=", "0.1", "met"]
    assert "goal" not in lines[2]
    assert lines[3].split() == ["guide_twin_accuracy", "goal", ">=", "0.97", "missed"]
    assert len(lines) == 1 + len(GOALS)


def test_captions_run_out(monkeypatch):
    monkeypatch.setattr("doodl.shapes.evaluate.FRUITLESS", 3)
    captions = plain_captions(10**6, pairs=0.0, held_out="only")
    assert 0 < len(captions) == len(set(captions)) < 200


def test_plain_scenes_have_the_plain_captions_each_once():
    scenes = plain_scenes(40, pairs=1.0, held_out="only")
    captions = plain_captions(40, pairs=1.0, held_out="only")
    assert scenes.captions() == captions
    assert len(set(captions)) == 40
    assert not [c for c in captions if "shape" in c or "patterned" in c]


def test_the_gap_counts_in_standard_deviations(generator):
    x = torch.randn(3, 4, 16, 16, generator=generator)
    final = torch.stack((x, x + 0.5 * x.flatten(1).std(dim=1).view(3, 1, 1, 1)))
    torch.testing.assert_close(relative_gap(7 * final), 0.5)


def test_blur_lowers_the_sharpness_and_a_faint_edge_does_too():
    edge = torch.zeros(1, 3, 16, 16)
    edge[..., 8:] = 1
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 16, 16)
    assert sharpness(edge, edge) == 1
    assert sharpness(ramp, edge) < 0.1
    torch.testing.assert_close(edge_energy(0.5 * edge), 0.25 * edge_energy(edge))


def test_a_folders_size_is_that_of_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.bin").write_bytes(b"0" * 1500)
    assert megabytes(tmp_path) == 0.0015


@pytest.fixture(scope="module")
def world():
    """The model that ships."""
    return load_text_to_image("shapes")


def test_a_pair_depends_on_its_number_and_not_on_its_batch(world, monkeypatch):
    captions, chain = ["a red ring", "a blue heart", "a green star"], Chain(2, 0.8, 5.0)
    together = edict_pairs(world, captions, chain)
    assert together.shape == (2, 3, 4, 16, 16)
    monkeypatch.setattr(samples, "BATCH", 2)
    apart = edict_pairs(world, captions, chain)
    torch.testing.assert_close(apart, together, rtol=0, atol=1e-4)


def test_without_guidance_and_with_full_mixing_of_a_small_step_the_pair_agrees(world):
    final = edict_pairs(world, ["a red ring"], Chain(1, 0.01, 1.0))
    assert relative_gap(final) < 1e-2


def test_twice_the_batch_costs_twice_as_much(world):
    one = guided_call_gflop(world, batch_size=1)
    assert one > 0.5
    torch.testing.assert_close(guided_call_gflop(world, batch_size=2), 2 * one)
