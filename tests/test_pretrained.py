"""Loading: what a name stands for, what is refused, and what a model is asked for."""

import itertools
import json
import shutil
import warnings

import pytest
import torch

from doodl import latents as pairs
from doodl.generation import Generation
from doodl.guides import CLIPText
from doodl.pretrained import (
    load_classifier,
    load_clip,
    load_text_to_image,
    load_timm,
    locate,
)
from doodl.sampling.ddim import DDIM
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.sampler import Sampler

LONG = (
    "a red circle above a blue square left of a green star below a yellow cross "
    "on a grey background"
)


@pytest.fixture
def pipeline(world, tmp_path):
    """A copy of the tiny pipeline's folder, to be damaged."""
    return shutil.copytree(world / "pipeline", tmp_path / "pipeline")


def sentence(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


# Names


def test_a_folder_and_shapes_are_the_same_loader(shapes, model):
    for name in ("shapes", str(shapes / "pipeline")):
        loaded = load_text_to_image(name)
        for key, value in loaded.denoiser.state_dict().items():
            assert value.equal(model.denoiser.state_dict()[key])


def test_networks_are_frozen(model):
    for network in (model.denoiser, model.vae, model.pipeline.text_encoder):
        assert not any(p.requires_grad for p in network.parameters())
        assert not any(part.training for part in network.modules())


@pytest.mark.parametrize("name", ["./nothing", "/nothing", "~/nothing", "a/b/c"])
def test_a_missing_folder_is_refused(name):
    with pytest.raises(ValueError, match="no such folder") as caught:
        load_text_to_image(name)
    assert name in sentence(caught)


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(ValueError, match="model_index.json .* found none there"):
        load_text_to_image(str(tmp_path))


def test_an_unknown_network_of_the_shapes_world_is_refused(shapes):
    with pytest.raises(ValueError, match="'shapes/nothing'; choose one of .*guide"):
        locate("shapes/nothing", "config.json")


def test_another_family_is_refused_by_its_name(pipeline):
    index = pipeline / "model_index.json"
    content = json.loads(index.read_text())
    content["_class_name"] = "PixArtAlphaPipeline"
    index.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="found a PixArtAlphaPipeline, which is not"):
        load_text_to_image(str(pipeline))


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"3", b"\xff\xfe\x00"])
def test_a_corrupt_index_is_refused(pipeline, content):
    (pipeline / "model_index.json").write_bytes(content)
    with pytest.raises(ValueError, match="Could not read the pipeline's index"):
        load_text_to_image(str(pipeline))


@pytest.mark.parametrize("part", ["unet", "scheduler", "tokenizer"])
def test_a_pipeline_without_a_part_is_refused(pipeline, part):
    shutil.rmtree(pipeline / part)
    with pytest.raises(ValueError, match=str(pipeline)) as caught:
        load_text_to_image(str(pipeline))
    sentence(caught)


def test_weights_that_are_cut_short_are_refused(pipeline):
    weights = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=str(pipeline)) as caught:
        load_text_to_image(str(pipeline))
    sentence(caught)


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (load_text_to_image, "nobody/no-such-model"),
        (load_clip, "hf-hub:nobody/no-such-clip"),
        (load_timm, "hf-hub:nobody/no-such-network"),
    ],
)
def test_a_hub_name_without_a_network_is_one_sentence(load, name):
    with pytest.raises(ValueError, match=f"Could not load '{name}'") as caught:
        load(name)
    sentence(caught)


@pytest.mark.parametrize("name", ["nothing", "ViT-B-32", "./nothing"])
def test_a_clip_that_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match=name) as caught:
        load_clip(name)
    sentence(caught)


def test_an_architecture_that_open_clip_does_not_know_is_refused():
    with pytest.raises(ValueError, match="Could not load 'ViT-Z-9:laion'") as caught:
        load_clip("ViT-Z-9:laion")
    sentence(caught)


# What a model is asked for


def test_the_native_size_is_the_unets(model):
    assert model.latent_shape() == (4, 8, 8)
    assert model.latent_shape(48, 64) == (4, 12, 16)


@pytest.mark.parametrize("side", [-8, 0, 4, 33])
def test_a_side_that_the_model_cannot_draw_is_refused(model, side):
    for name in ("height", "width"):
        with pytest.raises(ValueError, match=f"{name} that is a multiple of 8 px"):
            model.latent_shape(**{name: side})


def test_a_refused_side_comes_with_one_that_works(model):
    with pytest.raises(ValueError, match="received 33; try 32"):
        model.latent_shape(height=33)
    assert model.latent_shape(height=32)


def test_conditioning_has_both_prompts_of_every_generation(model):
    told = model.conditioning(["a ring", "a star"], ["", "a moon"])
    positive = told.positive["encoder_hidden_states"]
    negative = told.negative["encoder_hidden_states"]
    assert positive.shape == negative.shape == (2, 20, 16)
    swapped = model.conditioning(["", "a moon"], ["a ring", "a star"])
    torch.testing.assert_close(swapped.positive["encoder_hidden_states"], negative)


def test_a_prompt_means_the_same_beside_others(model):
    together = model.conditioning(["a ring", "a star"], ["", ""])
    alone = model.conditioning(["a star"], [""])
    torch.testing.assert_close(
        alone.positive["encoder_hidden_states"][0],
        together.positive["encoder_hidden_states"][1],
    )


@pytest.mark.parametrize("prompt", ["xylophone", "größer", "円", "🙂", "", "\n"])
def test_words_outside_the_vocabulary_work(model, world, prompt):
    told = model.conditioning([prompt], [""]).positive["encoder_hidden_states"]
    assert told.isfinite().all()
    guide = CLIPText(str(world / "guide"))
    guide.load()
    assert guide.embed_texts([prompt]).isfinite().all()


def test_a_cut_prompt_is_quoted_where_the_model_stops_reading(model):
    with pytest.warns(UserWarning, match="is longer than") as caught:
        told = model.conditioning([LONG], [""])
    tail = str(caught[0].message).split("'")[-2]
    assert LONG.endswith(tail)
    kept = LONG.removesuffix(tail)
    assert kept != LONG
    # What is quoted is all that is not read: without it, the model is told the same,
    # and one word more of it would be cut again.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = model.conditioning([kept], [""])
    assert told.positive["encoder_hidden_states"].equal(
        same.positive["encoder_hidden_states"]
    )
    with pytest.warns(UserWarning, match="is longer than"):
        model.conditioning([kept + tail.split()[0]], [""])


def test_a_guide_quotes_what_its_clip_does_not_read(world):
    guide = CLIPText(str(world / "guide"))
    guide.load()
    with pytest.warns(UserWarning, match="The guide prompt .* is cut") as caught:
        cut = guide.prepare([Generation(LONG, 0)])["embedding"]
    tail = str(caught[0].message).split("'")[-2]
    assert LONG.endswith(tail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = guide.prepare([Generation(LONG.removesuffix(tail), 0)])["embedding"]
    torch.testing.assert_close(cut, kept)


def test_a_long_prompt_is_quoted_once_a_batch(model):
    with pytest.warns(UserWarning, match="is longer than") as caught:
        model.conditioning([LONG, LONG], ["", ""])
    assert len(caught) == 1


def test_decoding_undoes_the_scaling_factor(model, generator):
    latents = torch.randn(2, 4, 8, 8, generator=generator)
    assert model.vae.config.scaling_factor == 0.7
    images = model.decode(latents)
    assert images.shape == (2, 3, 32, 32)
    torch.testing.assert_close(images, model.vae.decode(latents / 0.7).sample)


def test_the_prediction_is_the_unets(model, generator):
    z = torch.randn(2, 4, 8, 8, generator=generator)
    told = model.conditioning(["a ring", "a star"], ["", ""]).positive
    timestep = torch.tensor([3, 999])
    expected = model.denoiser(z, timestep, told["encoder_hidden_states"]).sample
    torch.testing.assert_close(model.network(z, timestep, **told), expected)


def test_the_original_is_diffusers_own_ddim_picture(fit, model):
    module = fit(["a ring"], seeds=[7], num_steps=5, mixing=1.0, stage="predict")
    draw = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    batch = module.renderer.prepare(module.trajectory.generations)
    ours = module.renderer.render_ddim(draw[None], batch, update=0)
    pipeline = model.pipeline
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "a ring",
        num_inference_steps=5,
        guidance_scale=7.5,
        generator=torch.Generator().manual_seed(7),
        output_type="pt",
    ).images
    torch.testing.assert_close(ours.pixels, theirs, rtol=0, atol=1e-4)


# Other networks


def test_a_clip_has_what_a_guide_needs(world):
    clip = load_clip(str(world / "guide"))
    assert (clip.image_size, clip.context_length) == (32, 20)
    assert clip.mean == clip.std == (0.5, 0.5, 0.5)
    assert clip.tokenize(["a ring", "a star"]).shape == (2, 20)
    assert not any(p.requires_grad for p in clip.network.parameters())
    assert not clip.network.training


def test_a_classifier_has_the_input_of_its_own_config(world):
    classifier = load_classifier(str(world / "attributes"))
    assert classifier.image_size == 32
    assert not classifier.network.training
    assert not any(p.requires_grad for p in classifier.network.parameters())


@pytest.mark.slow
def test_edict_approaches_ddim_like_one_over_the_number_of_steps():
    model = load_text_to_image("shapes")
    shape = model.latent_shape()
    told = model.conditioning(["a red circle", "a blue square"], ["", ""])
    draw = pairs.draw([0, 1], shape)
    distances = []
    for num_steps in (20, 40, 80, 160):
        ddim, edict = (
            Sampler(
                model.schedule(shape),
                GuidedDenoiser(model.network, 5.0),
                method,
                num_steps=num_steps,
            )
            for method in (DDIM(), EDICT(0.75))
        )
        with torch.no_grad():
            target = ddim.sample(draw[None], told)[0]
            found = edict.sample(torch.stack((draw, draw)), told)[0]
        distances.append((found - target).norm() / target.norm())
    halved = [after / before for before, after in itertools.pairwise(distances)]
    assert all(ratio < 0.85 for ratio in halved)
    assert distances[-1] < distances[0] / 4
