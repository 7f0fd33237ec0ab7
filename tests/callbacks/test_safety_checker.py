"""What the safety checker refuses is black wherever it is written."""

import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import (
    StableDiffusionSafetyChecker,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig

from doodl.callbacks import Results, SafetyChecker
from doodl.images import load

TOWER = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.fixture
def checker(tmp_path):
    """Saves a checker that refuses everything above a threshold, or nothing."""

    def make(threshold):
        config = CLIPConfig(
            text_config={**TOWER, "vocab_size": 10},
            vision_config={**TOWER, "image_size": 16, "patch_size": 8},
            projection_dim=8,
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = StableDiffusionSafetyChecker(config)
        torch.nn.init.constant_(network.concept_embeds_weights, threshold)
        torch.nn.init.constant_(network.special_care_embeds_weights, threshold)
        network.save_pretrained(tmp_path / "checker")
        return SafetyChecker(str(tmp_path / "checker"))

    return make


def pictures(folder):
    found = {p.name: load(str(p)) for p in folder.glob("*/*.png")}
    assert found
    return found


@pytest.mark.parametrize("order", [1, -1], ids=["before", "after"])
@pytest.mark.parametrize("stage", ["fit", "predict"])
@pytest.mark.parametrize(("threshold", "black"), [(-2.0, True), (2.0, False)])
def test_refused_pictures_are_black(
    stage, threshold, black, order, fit, checker, tmp_path
):
    callbacks = [checker(threshold), Results(str(tmp_path / "results"))]
    module = fit(["a red circle"], stage=stage, callbacks=callbacks[::order])
    for picture in pictures(tmp_path / "results").values():
        assert bool((picture == 0).all()) is black
    (trajectory,) = module.kept
    assert bool((trajectory.last[0].pixels == 0).all()) is black


def test_what_is_optimised_does_not_change(fit, checker):
    plain = fit(["a red circle"]).latents.detach().clone()
    checked = fit(["a red circle"], callbacks=[checker(-2.0)]).latents.detach()
    assert torch.equal(plain, checked)


def test_only_what_is_refused_is_black(fit, checker, monkeypatch):
    callback = checker(2.0)
    monkeypatch.setattr(
        callback, "_unsafe", lambda shots: [i % 2 == 0 for i in range(len(shots))]
    )
    module = fit(["a red circle", "a blue star"], callbacks=[callback])
    (trajectory,) = module.kept
    first, second = trajectory.last
    assert (first.pixels == 0).all()
    assert (second.pixels != 0).any()


def test_a_checker_that_is_not_there_is_one_sentence(fit, tmp_path):
    callback = SafetyChecker(str(tmp_path / "gone"))
    with pytest.raises(ValueError, match="Expected a safety checker's folder"):
        fit(callbacks=[callback])


def test_a_checker_that_lacks_a_weight_is_one_sentence(fit, checker, tmp_path):
    callback = checker(2.0)
    path = tmp_path / "checker" / "model.safetensors"
    tensors = load_file(path)
    del tensors["visual_projection.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks the weight visual_projection\.weight"):
        fit(callbacks=[callback])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"Expected a safety checker's .*header"):
        fit(callbacks=[callback])


def test_where_the_checker_cannot_run_nothing_is_written(
    fit, checker, tmp_path, monkeypatch
):
    callback = checker(2.0)

    def fail(pictures):
        raise RuntimeError("the checker is broken")

    monkeypatch.setattr(callback, "_unsafe", fail)
    with pytest.raises(RuntimeError, match="broken"):
        fit(callbacks=[Results(str(tmp_path / "results")), callback])
    assert not list((tmp_path / "results").rglob("*.png"))
