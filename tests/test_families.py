"""Every family: loaded from its own files, reversible, with the right gradient."""

import copy
import json
import math
import warnings
from functools import cache
from pathlib import Path

import diffusers
import pytest
import torch

import families
from doodl.cli import main
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.guides import Symmetry
from doodl.pretrained import cut_tail, load_text_to_image, models_table
from doodl.pretrained.families import FAMILIES, pipeline_class
from doodl.pretrained.models import MODELS
from doodl.pretrained.outline import fill, outline
from doodl.render_settings import RenderSettings
from doodl.rendering import Renderer
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
        try:
            pipeline_class(families.NEEDS.get(name, "DiffusionPipeline"))
        except ValueError as error:  # an older diffusers
            pytest.skip(str(error))
        if name not in made:
            made[name] = root / name
            families.build(name).save_pretrained(made[name])
        return made[name]

    return folder


@pytest.fixture(scope="session")
def loaded(folders):
    """Loads a family's model once; tests that change one load another."""

    @cache
    def load(name, dtype=torch.float64):
        return load_text_to_image(str(folders(name)), "cpu", dtype)

    return load


def sampler(model, num_steps, method, adjoint=None, w=3.0):
    scale = 1.0 if model.embeds_guidance else w
    return Sampler(
        model.schedule(model.latent_shape(32, 32)),
        GuidedDenoiser(model.network, scale, model.dtype, combine=model.combine),
        method,
        adjoint,
        num_steps=num_steps,
    )


@cache
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
    chain, latents = sampler(model, 3, EDICT(0.9)), pair(model)
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
    if name == "qwen" and num_steps + start == 1:
        pytest.skip("the terminal shift of its noise levels needs two steps")
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
    num_steps = 10 if folder.name == "z_image" else 5  # with fewer it jumps
    chosen = {"num_steps": num_steps, "mixing": 0.9, "guidance_scale": 3.0}
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


@pytest.mark.parametrize(
    ("name", "num_steps"),
    [*((name, 4) for name in (*families.JUMPING, "flux")), ("z_image", 9)],
)
def test_edict_of_few_steps_is_refused(name, num_steps, folders, tmp_path):
    with pytest.raises(ValueError, match=r"nearly clean.*set model.method"):
        run(folders(name), tmp_path, num_steps=num_steps)


def test_a_chain_that_cannot_be_undone_has_no_reversible_adjoint():
    with pytest.raises(ValueError, match="CheckpointAdjoint or DirectAdjoint"):
        GuidedGeneration(
            "own/tiny", Symmetry(), method=DDIM(), adjoint=ReversibleAdjoint()
        )


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


SIZE = {"height": 32, "width": 64}
WIDE = (64, 32), (32, 96)
LENGTHS = ["a red circle", "a red circle on a blue star"]


def drawn(model, prompts, w, num_steps=4, **size):
    """Pixels of a chain without updates, of the prompts as one batch."""
    settings = RenderSettings(
        Symmetry(),
        method=DDIM(),
        num_steps=num_steps,
        guidance_scale=w,
        **(size or SIZE),
    )
    renderer = Renderer(model, settings)
    batch = renderer.prepare([Generation(p, LENGTHS.index(p)) for p in prompts])
    return renderer.render_ddim(renderer.initial(batch), batch, update=0).pixels


def pipelined(model, prompts, w, num_steps=4, **size):
    """Pixels of diffusers' own pipeline, with the sampler that the chain has."""
    name = type(model.pipeline).__name__
    config = model.pipeline.scheduler.config
    pipeline = type(model.pipeline)(**model.pipeline.components)
    told = {"guidance_scale": w}
    if name == "QwenImagePipeline":
        told = {"true_cfg_scale": w, "negative_prompt": [""] * len(prompts)}
    elif name == "ZImagePipeline":
        told = {"guidance_scale": w - 1}
    elif name == "SanaPipeline":
        told |= {"use_resolution_binning": False}
        if config.get("use_flow_sigmas"):  # a DPM solver, whose first order is Euler's
            pipeline.scheduler = type(model.pipeline.scheduler).from_config(
                config, solver_order=1
            )
    elif name == "FluxPipeline":
        told |= {"max_sequence_length": 32}
    elif name in ("StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        pipeline.scheduler = diffusers.DDIMScheduler.from_config(
            config, clip_sample=False
        )
    if "is_distilled" in model.pipeline.config:
        pipeline.register_to_config(is_distilled=model.pipeline.config.is_distilled)
    pipeline.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(LENGTHS.index(p)) for p in prompts]
    return pipeline(
        prompt=list(prompts),
        generator=seeds,
        num_inference_steps=num_steps,
        output_type="pt",
        **told,
        **(size or SIZE),
    ).images


def close(found, expected, atol=1e-4):
    assert expected.std() > 0.01  # there is a picture
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("w", [1.0, 3.0])
@pytest.mark.parametrize("name", ALL)
def test_the_original_is_the_image_of_diffusers(name, w, loaded):
    # Of each prompt alone, so that neither the batch nor its padding changes one.
    model, steps = loaded(name, torch.float32), 1 if name == "lcm" else 4
    expected = [pipelined(model, [prompt], w, steps) for prompt in LENGTHS]
    close(drawn(model, LENGTHS, w, steps), torch.cat(expected))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_prompts_of_different_lengths_equal_each_alone(name, loaded):
    model = loaded(name, torch.float32)
    alone = [drawn(model, [prompt], 3.0, 2) for prompt in LENGTHS]
    close(drawn(model, LENGTHS, 3.0, 2), torch.cat(alone), 1e-5)


@pytest.mark.parametrize("name", families.GUIDED)
def test_guidance_of_one_is_a_pipeline_without_guidance(name, loaded):
    model = loaded(name, torch.float32)
    close(drawn(model, LENGTHS, 1.0), pipelined(model, LENGTHS, 0.0))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "size", [(40, 56), *(pytest.param(s, marks=pytest.mark.slow) for s in WIDE)]
)
def test_odd_sizes_are_those_of_diffusers(name, size, loaded):
    if name == "sana" and size == (40, 56):
        pytest.skip("its pipeline refuses sizes that 32 does not divide")
    model, (height, width) = loaded(name, torch.float32), size
    steps = 1 if name == "lcm" else 2
    size = {"height": height, "width": width}
    close(
        drawn(model, LENGTHS[:1], 3.0, steps, **size),
        pipelined(model, LENGTHS[:1], 3.0, steps, **size),
    )


def test_qwen_keeps_the_norm_of_every_conditional_token(loaded):
    model, generator = loaded("qwen"), torch.Generator().manual_seed(0)
    f_u, f_c = torch.randn(2, 3, 4, 6, 8, generator=generator, dtype=torch.float64)
    pack = model.pipeline._pack_latents
    guided = model.combine(f_u, f_c, 3.0)
    norms = [pack(z, *z.shape).norm(dim=-1) for z in (guided, f_c)]
    torch.testing.assert_close(*norms)
    plain = pack(f_u + 3 * (f_c - f_u), *f_c.shape)  # the same direction
    likeness = torch.cosine_similarity(pack(guided, *f_c.shape), plain, dim=-1)
    torch.testing.assert_close(likeness, torch.ones_like(likeness))
    torch.testing.assert_close(model.combine(f_u, f_c, 1.0), f_c)


@pytest.mark.parametrize("name", ALL)
def test_scaling_is_undone_by_unscaling(name, loaded):
    model = loaded(name, torch.float32)
    z = pair(model, 1)[0]
    torch.testing.assert_close(model.scale(model.unscale(z)), z)


@pytest.mark.parametrize("name", ALL)
def test_a_picture_is_encoded_into_the_shape_of_a_latent(name, loaded):
    model = loaded(name, torch.float32)
    images = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    assert model.encode(2 * images - 1).shape[1:] == model.latent_shape(32, 64)


def test_flux_2_encodes_pictures_as_its_pipeline_does(loaded):
    model = loaded("klein", torch.float32)
    images = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    expected = model.pipeline._encode_vae_image(images, None)
    torch.testing.assert_close(model.encode(images), expected)


def test_the_shift_of_flux_2_depends_on_the_number_of_steps(loaded):
    from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

    model = loaded("klein", torch.float32)
    for num_steps in (4, 50):
        mu = compute_empirical_mu(8, num_steps)
        last = 1 / num_steps
        expected = math.exp(mu) / (math.exp(mu) + 1 / last - 1)
        found = model.schedule((16, 2, 4)).sigmas(num_steps)[-2]
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("w", [1.0, 3.0])
def test_sana_with_eulers_method_is_its_pipelines(w, loaded):
    euler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    model = variant(loaded("sana", torch.float32), scheduler=euler)
    close(drawn(model, LENGTHS, w), pipelined(model, LENGTHS, w))


def test_a_terminal_shift_of_one_step_is_refused(loaded):
    with pytest.raises(ValueError, match="Expected more num_steps"):
        drawn(loaded("qwen", torch.float32), LENGTHS, 1.0, 1)


# Traps of community models -----------------------------------------------------------


def variant(model, **changed):
    """A model with other components; its networks are shared."""
    pipeline = type(model.pipeline)(**(model.pipeline.components | changed))
    return type(model)(pipeline)


BETAS = {k: families.SD[k] for k in ("beta_start", "beta_end", "beta_schedule")}


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("name", ["sd1", "xl"])
def test_the_spacing_of_timesteps_is_the_schedulers(name, spacing, loaded):
    scheduler = diffusers.EulerDiscreteScheduler(
        **BETAS, timestep_spacing=spacing, steps_offset=1
    )
    model = variant(loaded(name, torch.float32), scheduler=scheduler)
    close(drawn(model, LENGTHS, 3.0, 2), pipelined(model, LENGTHS, 3.0, 2))


@pytest.mark.parametrize(("spacing", "steps"), [("linspace", 4), ("trailing", 7)])
def test_uneven_timesteps_are_those_of_eulers_method(spacing, steps, loaded):
    # diffusers' DDIM steps back by 1000 // T from any of them, Euler to the next one.
    scheduler = diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing=spacing)
    model = variant(loaded("sd1", torch.float32), scheduler=scheduler)
    found = drawn(model, LENGTHS[:1], 3.0, steps)
    scheduler.set_timesteps(steps)
    variance = 1 + scheduler.sigmas[0] ** 2  # of its latents, z / alpha
    shape = (1, *model.latent_shape(**SIZE))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    model.pipeline.set_progress_bar_config(disable=True)
    expected = model.pipeline(
        LENGTHS[:1],
        latents=noise * variance.sqrt() / scheduler.init_noise_sigma,
        num_inference_steps=steps,
        guidance_scale=3.0,
        output_type="pt",
        **SIZE,
    ).images
    close(found, expected)


def test_betas_rescaled_to_zero_snr_are_diffusers_own(loaded):
    # As published with Euler's method, whose last level is not quite noise.
    scheduler = diffusers.EulerDiscreteScheduler(
        **BETAS,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    model = variant(loaded("xl", torch.float32), scheduler=scheduler)
    assert model.schedule(()).steps(4)[0].alpha_t == 0
    close(drawn(model, LENGTHS, 3.0), pipelined(model, LENGTHS, 3.0))


def test_zero_snr_without_v_prediction_is_refused(loaded):
    scheduler = diffusers.DDIMScheduler(**BETAS, rescale_betas_zero_snr=True)
    model = variant(loaded("sd1", torch.float32), scheduler=scheduler)
    with pytest.raises(ValueError, match="use v_prediction"):
        drawn(model, LENGTHS, 3.0)


DYNAMIC = {"use_dynamic_shifting": True, "base_shift": 0.3, "max_shift": 2.0}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sd3", {"shift": 1.0}),
        ("sd3", {"shift": 6.0}),
        ("sd3", DYNAMIC),
        ("sd3", DYNAMIC | {"time_shift_type": "linear"}),
        ("sd3", {"shift": 3.0, "use_karras_sigmas": True}),
        ("flux", {"shift": 2.0}),
        ("qwen", DYNAMIC | {"shift_terminal": 0.1}),
        ("z_image", {"shift": 3.0}),
        ("z_image", DYNAMIC | {"base_image_seq_len": 16}),
        ("klein", {"shift": 2.0}),
    ],
)
def test_the_shift_of_noise_levels_is_the_schedulers(name, settings, loaded):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**settings)
    model = variant(loaded(name, torch.float32), scheduler=scheduler)
    close(drawn(model, LENGTHS[:1], 1.0, 2), pipelined(model, LENGTHS[:1], 1.0, 2))


@pytest.mark.parametrize("other", ["FlowMatchHeunDiscreteScheduler"])
def test_a_flow_of_another_sampler_has_the_noise_levels_of_eulers(other, loaded):
    model, euler = (
        variant(
            loaded("sd3", torch.float32), scheduler=getattr(diffusers, kind)(shift=2)
        )
        for kind in (other, "FlowMatchEulerDiscreteScheduler")
    )
    expected = euler.schedule(euler.latent_shape()).sigmas(4)
    assert model.schedule(model.latent_shape()).sigmas(4) == expected


def tiny(channels):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return diffusers.AutoencoderTiny(
            encoder_block_out_channels=(4, 4, 4),
            decoder_block_out_channels=(4, 4, 4),
            num_encoder_blocks=(1, 1, 1),
            num_decoder_blocks=(1, 1, 1),
            latent_channels=channels,
        )


@pytest.mark.parametrize(("name", "channels"), [("sd1", 4), ("sd3", 16), ("flux", 4)])
def test_a_tiny_vae_encodes_and_decodes_without_a_posterior(name, channels, loaded):
    model = variant(loaded(name, torch.float32), vae=tiny(channels))
    close(drawn(model, LENGTHS, 3.0, 2), pipelined(model, LENGTHS, 3.0, 2))
    images = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    expected = model.vae.encode(images).latents  # its scaling factor is 1
    torch.testing.assert_close(model.encode(images), expected)


def tiled(model):
    """The model with a VAE that works on tiles of 16 px."""
    vae = copy.deepcopy(model.vae)
    vae.enable_slicing()
    vae.enable_tiling()
    for name, value in {
        "tile_sample_min_size": 16,
        "tile_latent_min_size": 4,
        "tile_sample_min_height": 16,
        "tile_sample_min_width": 16,
        "tile_sample_stride_height": 12,
        "tile_sample_stride_width": 12,
        "tile_latent_min_height": 8,
        "tile_latent_min_width": 8,
        "spatial_scale_factor": 4,
    }.items():
        if hasattr(vae, name):
            setattr(vae, name, value)
    return variant(model, vae=vae)


@pytest.mark.parametrize("name", ["sd1", "tiny", "klein", "qwen", "sana"])
def test_a_vae_of_tiles_and_slices_has_the_pipelines_picture_and_gradient(name, loaded):
    whole = loaded("sd1" if name == "tiny" else name, torch.float32)
    if name == "tiny":
        whole = variant(whole, vae=tiny(4))
    model = tiled(whole)
    found = drawn(model, LENGTHS[:1], 1.0, 2)
    close(found, pipelined(model, LENGTHS[:1], 1.0, 2))
    assert (found - drawn(whole, LENGTHS[:1], 1.0, 2)).abs().max() > 1e-3
    model.vae.double()
    weights = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    latents = pair(model, 1)[0].requires_grad_()
    (slope,) = torch.autograd.grad((weights * model.decode(latents)).sum(), latents)
    step = 1e-3 * slope / slope.norm()  # blended tiles may have 32 bits
    with torch.no_grad():
        ends = [(weights * model.decode(latents + d)).sum() for d in (-step, step)]
    rise = (ends[1] - ends[0]) / 2e-3
    torch.testing.assert_close(rise, slope.norm(), rtol=5e-3, atol=0)


@pytest.mark.parametrize("name", families.NEEDS)
def test_an_outline_is_told_prompts_and_predicts_with_made_up_weights(name, folders):
    model = outline(str(folders(name)))
    shape = model.latent_shape(**SIZE)
    conditioning = model.conditioning(PROMPTS, ["", ""], shape, 3.0)
    fill(model.denoiser, torch.device("cpu"))
    made = {k: torch.randn(v.shape) for k, v in conditioning.positive.items()}
    z = torch.randn(2, *shape)
    found = model.network(z, torch.full((2,), 500.0), **made)
    assert found.shape == z.shape
    assert found.isfinite().all()


def test_an_older_diffusers_is_named_with_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "LaterPipeline", FAMILIES["FluxPipeline"])
    index = {"_class_name": "LaterPipeline"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="a diffusers with LaterPipeline, found"):
        load_text_to_image(str(tmp_path))


def test_a_pipeline_that_cannot_be_coupled_is_refused_with_the_reason(tmp_path):
    index = {"_class_name": "SanaSprintPipeline"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="fresh noise after each of its few steps"):
        load_text_to_image(str(tmp_path))
    loaded = type("SanaSprintPipeline", (), {})()
    with pytest.raises(ValueError, match="fresh noise after each of its few steps"):
        load_text_to_image(loaded)


def test_a_pipeline_stored_in_8_bits_is_refused(loaded):
    model = variant(loaded("sd1", torch.float32))
    unet = copy.deepcopy(model.pipeline.unet)
    unet.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    pipeline = variant(model, unet=unet).pipeline
    with pytest.raises(ValueError, match="16 or 32 bits, .*float8_e4m3fn in .* unet"):
        load_text_to_image(pipeline)
    packed = copy.deepcopy(model.pipeline.unet)  # as a quantised network has it
    packed.codes = torch.nn.Parameter(torch.zeros(2, dtype=torch.uint8), False)
    load_text_to_image(variant(model, unet=packed).pipeline)


# What the network is told, in particular ---------------------------------------------


def test_an_empty_negative_prompt_of_xl_is_none(loaded):
    model = loaded("xl", torch.float32)
    negative = model.conditioning(PROMPTS, ["", "a circle"]).negative
    assert not negative["text_embeds"][0].any()
    assert negative["text_embeds"][1].any()


@pytest.mark.parametrize("name", ["flux", "flux2", "klein_distilled"])
def test_flux_takes_no_negative_prompt(name, loaded):
    with pytest.raises(ValueError, match=r"no negative prompt for .*FLUX"):
        loaded(name).conditioning(PROMPTS, ["", "a circle"])


@pytest.mark.parametrize("name", ALL)
def test_sides_that_do_not_fit_are_refused(name, loaded):
    model = loaded(name, torch.float32)
    assert model.latent_shape(32, 64)[2] == 2 * model.latent_shape(32, 64)[1]
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


@pytest.mark.parametrize(
    ("name", "kept"), [("z_image", 506), ("klein", 506), ("sana", 298)]
)
def test_a_prompt_is_cut_where_its_template_leaves_no_room(name, kept, loaded):
    # Their small tokenizers make one token of a character, and 6 of the template.
    reader = loaded(name, torch.float32).text_inputs()[0]
    prompt = "a red circle " * 60
    assert cut_tail(reader.tokenizer, prompt, reader.limit) == prompt[kept:].strip()


@pytest.mark.slow
@pytest.mark.parametrize("name", families.NEEDS)
def test_networks_of_16_bits_make_nearly_the_same_picture(name, loaded):
    model = loaded(name, torch.bfloat16)
    found = drawn(model, LENGTHS, 3.0)
    assert found.dtype == torch.float32
    expected = drawn(loaded(name, torch.float32), LENGTHS, 3.0)
    assert (found - expected).abs().mean() < 0.02


def test_sd3_without_t5_has_no_such_reader(folders):
    model = load_text_to_image(str(folders("sd3")))
    model.pipeline.register_modules(text_encoder_3=None)
    (message,) = cuts(model, "a red circle " * 12)
    assert "than the text encoders read" in message
    assert "text_encoder_3" not in message


# The table of models -----------------------------------------------------------------


def test_the_table_of_models_is_the_readmes_and_names_every_pipeline(capsys):
    readme = Path(__file__).parents[1] / "README.md"
    main(["models"])
    table = capsys.readouterr().out
    assert table == models_table() + "\n"
    assert table in readme.read_text()
    assert {name for m in MODELS for name in m.pipeline.split(", ")} == set(FAMILIES)


def test_an_older_diffusers_is_refused_by_what_it_needs(monkeypatch):
    monkeypatch.setattr(diffusers, "__version__", "0.36.0")
    with pytest.raises(ValueError, match="diffusers 0.40 or newer for QwenImage"):
        pipeline_class("QwenImagePipeline")
    assert pipeline_class("StableDiffusionPipeline")
    with pytest.raises(ValueError, match="a diffusers with NoSuchPipeline, found"):
        pipeline_class("NoSuchPipeline")
