"""Every family: loaded from its own files, reversible, with the right gradient."""

import math
import warnings

import pytest
import torch

import families
from doodl.guided_generation import GuidedGeneration
from doodl.guides import Symmetry
from doodl.pretrained import cut_tail, load_text_to_image
from doodl.sampling.adjoints import CheckpointAdjoint, DirectAdjoint, ReversibleAdjoint
from doodl.sampling.ddim import DDIM
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.sampler import Sampler

ALL = tuple(families.BUILDERS)
PROMPTS = ["a red circle", "a blue star"]


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Saves a family's pipeline when it is first asked for, and returns its folder."""
    root, made = tmp_path_factory.mktemp("families"), {}

    def folder(name):
        if name not in made:
            made[name] = root / name
            families.build(name).save_pretrained(made[name])
        return made[name]

    return folder


@pytest.fixture
def loaded(folders):
    def load(name, dtype=torch.float64):
        return load_text_to_image(str(folders(name)), "cpu", dtype)

    return load


def sampler(model, num_steps, method, adjoint=None, w=3.0):
    scale = 1.0 if model.embeds_guidance else w
    return Sampler(
        model.schedule(model.latent_shape(32, 32)),
        GuidedDenoiser(model.network, scale, model.dtype),
        method,
        adjoint,
        num_steps=num_steps,
    )


def told(model):
    return model.conditioning(PROMPTS, ["", ""], model.latent_shape(32, 32), 3.0)


def pair(model, count=2):
    generator = torch.Generator().manual_seed(1)
    shape = (count, len(PROMPTS), *model.latent_shape(32, 32))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def gradient(model, method, adjoint, num_steps):
    latents = pair(model, method.num_latents).requires_grad_()
    final = sampler(model, num_steps, method, adjoint).sample(latents, told(model))
    model.decode(final.flatten(0, 1)).square().mean().backward()
    return latents.grad


@pytest.mark.parametrize("name", families.COUPLED)
def test_a_family_is_reversible_and_has_the_direct_gradient(name, loaded):
    model = loaded(name)
    chain, latents = sampler(model, 5, EDICT(0.9)), pair(model)
    with torch.no_grad():
        final = chain.sample(latents, told(model))
        back = chain.invert(final, told(model))
    assert (final - latents).abs().mean() > 1e-3
    torch.testing.assert_close(back, latents, rtol=1e-6, atol=1e-6)
    direct = gradient(model, EDICT(0.9), DirectAdjoint(), 3)
    found = gradient(model, EDICT(0.9), ReversibleAdjoint(), 3)
    assert direct.abs().max() > 0
    assert (found - direct).norm() < 1e-6 * direct.norm()


@pytest.mark.slow
@pytest.mark.parametrize("num_steps", [1, 4, 7])
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", families.COUPLED)
def test_the_round_trip_of_odd_even_and_partial_chains(name, num_steps, start, loaded):
    model = loaded(name)
    chain, latents = sampler(model, num_steps + start, EDICT(0.9)), pair(model)
    final = chain.sample(latents, told(model), start=start)
    back = chain.invert(final, told(model), start=start)
    torch.testing.assert_close(back, latents, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", families.JUMPING)
def test_a_model_of_few_steps_has_the_direct_gradient_of_one_latent(name, loaded):
    model = loaded(name)
    direct = gradient(model, DDIM(), DirectAdjoint(), 1)
    found = gradient(model, DDIM(), CheckpointAdjoint(), 1)
    assert direct.abs().max() > 0
    torch.testing.assert_close(found, direct, rtol=1e-10, atol=0)


def run(folder, tmp_path, **settings):
    """Three updates without noise; returns the losses."""
    from lightning import Trainer

    from doodl.events import GenerationCallback
    from doodl.jobs.data import PromptsAndSeeds
    from doodl.optimizer import LatentSGD

    losses = []

    class Watch(GenerationCallback):
        def on_rendered(self, trajectory, rendering, terms):
            if "loss" in terms:
                losses.append(terms["loss"].sum().item())

    stage, images = settings.pop("stage", "fit"), settings.pop("images", None)
    edit = {"average_pair": False, "tie_gradients": False, "renormalize": False}
    if settings.get("edit") is None:
        edit = {}
    chosen = {"num_steps": 5, "mixing": 0.9, "guidance_scale": 3.0}
    settings = chosen | {"height": 32, "width": 32} | settings
    module = GuidedGeneration(
        str(folder),
        Symmetry(),
        num_updates=3,
        optimizer=lambda p: LatentSGD(p, lr=50, clip=0.05, noise_scale=0, **edit),
        **settings,
    )
    runner = Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        inference_mode=False,
        callbacks=[Watch()],
        default_root_dir=tmp_path,
    )
    prompts = None if images else PROMPTS
    data = PromptsAndSeeds(prompts, seeds=[0], images=images)
    getattr(runner, stage)(module, datamodule=data)
    return losses, module


@pytest.mark.slow
@pytest.mark.parametrize("name", families.COUPLED)
def test_three_updates_lower_the_loss(name, folders, tmp_path):
    losses, module = run(folders(name), tmp_path)
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert [n for n, _ in module.named_parameters()] == ["latents"]


@pytest.mark.parametrize("name", families.JUMPING)
def test_three_updates_of_a_model_of_few_steps_lower_the_loss(name, folders, tmp_path):
    losses, module = run(folders(name), tmp_path, num_steps=1, method=DDIM())
    assert losses[-1] < losses[0]
    assert module.latents.shape[0] == 1


@pytest.mark.parametrize("name", [*families.JUMPING, "flux"])
def test_edict_of_few_steps_is_refused(name, folders, tmp_path):
    with pytest.raises(ValueError, match=r"nearly clean.*set model.method"):
        run(folders(name), tmp_path, num_steps=4)


def test_a_chain_that_cannot_be_undone_has_no_reversible_adjoint():
    with pytest.raises(ValueError, match="CheckpointAdjoint or DirectAdjoint"):
        GuidedGeneration("tiny", Symmetry(), method=DDIM(), adjoint=ReversibleAdjoint())


@pytest.mark.slow
@pytest.mark.parametrize("name", families.COUPLED)
def test_a_picture_is_edited(name, folders, tmp_path):
    from torchvision.utils import save_image

    from doodl.editing import Edit

    path = tmp_path / "picture.png"
    save_image(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)), path)
    losses, module = run(
        folders(name),
        tmp_path,
        images=[str(path)],
        edit=Edit(0.8),
        guidance_scale=1.0,
        latents_dtype="float64",
    )
    assert losses[-1] < losses[0]
    assert not torch.equal(*module.latents.detach())


@pytest.mark.slow
@pytest.mark.parametrize("name", families.COUPLED)
@pytest.mark.parametrize("baseline", ["OneStep", "BestOfN"])
def test_baselines_sample_every_family(name, baseline, folders, tmp_path):
    from doodl import baselines

    made = {"OneStep": {"strength": 1.0}, "BestOfN": {"samples": 2}}[baseline]
    _, module = run(
        folders(name),
        tmp_path,
        stage="predict",
        baseline=getattr(baselines, baseline)(**made),
    )
    assert all(math.isfinite(shot.guide) for shot in module.trajectory.best)


# What the network is told ------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd1", "sd2", "xl", "sd3", "flux"])
def test_the_original_is_the_image_of_diffusers(name, loaded, folders):
    import diffusers

    model = loaded(name, torch.float32)
    kind = getattr(diffusers, type(model.pipeline).__name__)
    pipeline = kind.from_pretrained(folders(name), torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if name in ("sd1", "sd2", "xl"):
        pipeline.scheduler = diffusers.DDIMScheduler.from_config(
            pipeline.scheduler.config, clip_sample=False
        )
    noise = pair(model, 1).float()
    height, width = (side * model.factor for side in model.latent_shape(32, 32)[1:])
    given = noise[0]
    if name == "flux":
        given = pipeline._pack_latents(given, *given.shape)
    expected = pipeline(
        PROMPTS,
        latents=given,
        num_inference_steps=4,
        guidance_scale=3.0,
        height=height,
        width=width,
        output_type="pt",
        **({"max_sequence_length": 32} if name == "flux" else {}),
    ).images
    with torch.no_grad():
        chain = sampler(model, 4, DDIM())
        conditioning = told(model)
        final = chain.sample(noise, conditioning)
        pixels = model.decode(final[0]) / 2 + 0.5
    torch.testing.assert_close(pixels.clamp(0, 1), expected, rtol=1e-3, atol=2e-4)


def test_an_empty_negative_prompt_of_xl_is_none(loaded):
    model = loaded("xl", torch.float32)
    negative = model.conditioning(PROMPTS, ["", "a circle"]).negative
    assert not negative["text_embeds"][0].any()
    assert negative["text_embeds"][1].any()


def test_flux_takes_no_negative_prompt(loaded):
    with pytest.raises(ValueError, match="no negative prompt for FLUX"):
        loaded("flux").conditioning(PROMPTS, ["", "a circle"])


@pytest.mark.parametrize("name", ALL)
def test_sides_that_do_not_fit_are_refused(name, loaded):
    model = loaded(name, torch.float32)
    assert model.latent_shape(32, 48)[1:] == (8, 12) or name == "flux"
    with pytest.raises(ValueError, match="multiple of"):
        model.latent_shape(36 + 1, 32)


# Prompts beyond the limit of a text encoder ------------------------------------------


def cuts(model, prompt):
    """The warnings that a prompt's conditioning gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.conditioning([prompt], [""])
    return [str(w.message) for w in caught if "is longer than" in str(w.message)]


def test_a_prompt_that_t5_reads_is_not_reported_as_lost(loaded):
    model = loaded("sd3", torch.float32)
    (message,) = cuts(model, "a red circle " * 12)  # 36 words; CLIP reads 18
    assert "some of the text encoders" in message
    assert "text_encoder and text_encoder_2 (20 tokens) cut 'a red circle" in message
    assert message.endswith("text_encoder_3 reads all of it.")


def test_a_prompt_beyond_every_encoder_is_quoted_for_each(loaded):
    model = loaded("flux", torch.float32)
    (message,) = cuts(model, "a red circle " * 30)
    assert "than the text encoders read" in message
    assert "text_encoder (20 tokens) cuts 'a red circle" in message
    assert "text_encoder_2 (32 tokens) cuts '" in message
    assert "reads all of it" not in message


@pytest.mark.parametrize("encoder", [0, 1])
def test_a_text_is_cut_as_soon_as_the_tokenizer_has_more_tokens(encoder, loaded):
    reader = loaded("flux", torch.float32).text_inputs()[encoder]
    for words in range(1, 40):
        text = " ".join(["a"] * words)
        tokens = reader.tokenizer(text, verbose=False).input_ids  # special ones too
        tail = cut_tail(reader.tokenizer, text, reader.limit)
        assert bool(tail) == (len(tokens) > reader.limit)
        assert text.endswith(tail)


def test_sd3_without_t5_has_no_such_reader(loaded):
    model = loaded("sd3", torch.float32)
    model.pipeline.register_modules(text_encoder_3=None)
    (message,) = cuts(model, "a red circle " * 12)
    assert "than the text encoders read" in message
    assert "text_encoder_3" not in message
