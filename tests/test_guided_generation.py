"""The module: what it is made of, what an update costs and does, who is kept apart."""

import json
import math
import warnings
from functools import partial

import pytest
import torch
from lightning import Trainer
from torch import nn

from doodl import latents as pairs
from doodl.baselines import BestOfN, OneStep
from doodl.callbacks import Multicrop, Results
from doodl.editing import Edit
from doodl.execution import Execution
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.guides import Guide, Symmetry
from doodl.images import save, to_pixels
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.identity import identity
from doodl.optimizer import LatentSGD
from doodl.sampling.adjoints import BudgetAdjoint
from doodl.sampling.edict import EDICT
from doodl.trajectory import CORRUPT_GAP

T = 3
PLAIN = partial(LatentSGD, average_pair=False)
SMALL = {"num_steps": T, "num_updates": 2}


class Brightness(Guide):
    """Wants bright pictures; its weight could be trained, and must not be."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(sign))

    def forward(self, pixels, targets):
        return -self.weight * pixels.mean(dim=(1, 2, 3))


class Blind(Brightness):
    """Cannot score the pictures of one prompt, from one update on."""

    def __init__(self, prompt="a blue star"):
        super().__init__()
        self.prompt = prompt

    def prepare(self, generations):
        blind = [math.nan if g.prompt == self.prompt else 1.0 for g in generations]
        return {"factor": torch.tensor(blind)}

    def forward(self, pixels, targets):
        return super().forward(pixels, targets) * targets["factor"]


# What it is made of


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"method": EDICT(0.9)}, {"method": EDICT(0.6)}),
        ({"baseline": OneStep(1.0)}, {"baseline": OneStep(2.0)}),
        ({"baseline": BestOfN(3)}, {"baseline": BestOfN(4)}),
        (
            {"optimizer": PLAIN, "edit": Edit(0.5)},
            {"optimizer": PLAIN, "edit": Edit(0.6)},
        ),
    ],
)
def test_a_folders_identity_tells_values_apart(first, second):
    trainer = Trainer(logger=False, callbacks=[Multicrop(2)])
    one, again, other = (
        identity(GuidedGeneration("shapes", Symmetry(), **o), trainer, "fit")
        for o in (first, first, second)
    )
    assert one == again != other
    json.dumps(one)


def test_a_methods_own_mixing_is_the_modules():
    module = GuidedGeneration("shapes", Symmetry(), method=EDICT(0.6), mixing=0.9)
    assert module.settings.mixing == 0.6


def test_the_only_parameter_is_the_latent_pair(fit):
    module = fit(judge=Brightness(), guide=Brightness(), **SMALL)
    assert [name for name, _ in module.named_parameters()] == ["latents"]
    assert list(module.state_dict()) == ["latents"]
    assert module.latents.shape == (2, 2, 4, 8, 8)
    assert [type(child) for child in module.children()] == []


def test_a_checkpoint_is_kilobytes(fit, tmp_path):
    module = fit(**SMALL)
    module.trainer.save_checkpoint(tmp_path / "last.ckpt")
    pair = module.latents.numel() * 4
    # The pair, its momentum, and a few kilobytes of Lightning's counters.
    assert (tmp_path / "last.ckpt").stat().st_size < 2 * pair + 16 * 1024


def test_frozen_networks_stay_in_eval_and_get_no_gradient(fit, model):
    guide, judge = Brightness(), Brightness()
    module = fit(guide=guide, judge=judge, **SMALL)
    assert module.training
    for network in (
        model.denoiser,
        model.vae,
        model.pipeline.text_encoder,
        guide,
        judge,
    ):
        assert not any(part.training for part in network.modules())
        assert all(p.grad is None for p in network.parameters())
        assert not any(p.requires_grad for p in network.parameters())


# What an update costs


@pytest.fixture
def observers(tmp_path):
    from doodl.callbacks import ImageLogger, Multicrop, Results

    folder = str(tmp_path / "results")
    return [Multicrop(2, 16), ImageLogger(folder, every_n_updates=1), Results(folder)]


@pytest.mark.parametrize("watched", [False, True])
def test_an_update_costs_2T_calls_and_2T_with_gradient(
    fit, counted, observers, watched
):
    extra = {"callbacks": observers, "judge": Brightness()} if watched else {}
    fit(num_steps=T, num_updates=2, **extra)
    # Two generations, with and without prompt: batches of four. The rendering of
    # the last update's result is the third.
    assert counted.no_grad == [4] * (2 * T * 3)
    assert counted.grad == [4] * (2 * T * 2)


def test_no_guidance_is_half_the_batch(fit, counted):
    fit(num_steps=T, num_updates=1, guidance_scale=1.0)
    assert set(counted.no_grad + counted.grad) == {2}


def test_predict_costs_one_rendering(fit, counted):
    fit(num_steps=T, stage="predict")
    assert (counted.no_grad, counted.grad) == ([4] * 2 * T, [])


def test_n_updates_are_n_plus_1_renderings(fit):
    module = fit(num_steps=1, num_updates=3, seeds=(0, 1), batch_size=2)
    assert [r.update for r in module.renderings] == [0, 1, 2, 3] * 2


# Which picture it makes


def pictures(module):
    return {
        g.id: (t.first[i], t.best[i], t.last[i])
        for t in module.kept
        for i, g in enumerate(t.generations)
    }


def test_a_generation_is_close_to_itself_in_another_batch(fit):
    guide = Brightness()
    together = pictures(fit(guide=guide, seeds=(0, 1), batch_size=4, **SMALL))
    alone = pictures(fit(guide=guide, seeds=(0, 1), batch_size=1, **SMALL))
    assert list(together) == list(alone)
    for key, shots in together.items():
        for one, other in zip(shots, alone[key], strict=True):
            torch.testing.assert_close(one.pixels, other.pixels, rtol=0, atol=1e-4)


def test_a_generation_is_bit_equal_in_another_run(fit):
    runs = [pictures(fit(guide=Brightness(), **SMALL)) for _ in range(2)]
    for key, shots in runs[0].items():
        for one, other in zip(shots, runs[1][key], strict=True):
            assert one.pixels.equal(other.pixels)
            assert one.latents.equal(other.latents)
            assert one.guide == other.guide


def test_update_0_is_what_predict_draws(fit):
    fitted = pictures(fit(**SMALL))
    for key, shots in pictures(fit(**SMALL, stage="predict")).items():
        assert shots[0].pixels.equal(fitted[key][0].pixels)


def test_different_seeds_and_prompts_are_different_pictures(fit):
    shots = list(pictures(fit(seeds=(0, 1), **SMALL)).values())
    for i, one in enumerate(shots):
        assert all(not one[0].pixels.equal(other[0].pixels) for other in shots[:i])


def test_the_height_and_width_of_the_picture_can_be_chosen(fit):
    module = fit(height=48, width=32, **SMALL)
    assert module.renderings[-1].pixels.shape == (2, 3, 48, 32)


def test_the_guide_chooses_and_the_judge_reports_on_its_choice(fit):
    # The judge wants the opposite of what the guide wants.
    module = fit(guide=Brightness(), judge=Brightness(-1.0), num_steps=2, num_updates=4)
    trajectory = module.kept[0]
    for i, best in enumerate(trajectory.best):
        scores = [r.guide[i].item() for r in module.renderings]
        assert best.guide == max(scores)
        assert best.update == scores.index(max(scores))
        assert best.judge == pytest.approx(-best.guide)
        assert best.pixels.mean().item() == pytest.approx(best.guide, abs=1e-6)


def test_updates_improve_what_the_guide_asks_for(fit):
    from functools import partial

    from doodl.optimizer import LatentSGD

    optimizer = partial(LatentSGD, clip=0.05)
    module = fit(guide=Brightness(), optimizer=optimizer, num_updates=5)
    for first, last in zip(module.kept[0].first, module.kept[0].last, strict=True):
        assert last.guide > first.guide


# One generation never reaches another


def test_a_generation_without_a_score_fails_alone(fit):
    broken, whole = (fit(guide=g, **SMALL) for g in (Blind(), Blind("nobody")))
    trajectory = broken.kept[0]
    assert trajectory.failures == [None, "the image's score is not finite"]
    assert trajectory.best[1] is None
    mine, expected = pictures(broken), pictures(whole)
    key = trajectory.generations[0].id
    for one, other in zip(mine[key], expected[key], strict=True):
        assert one.pixels.equal(other.pixels)
        assert one.latents.equal(other.latents)


def test_a_generation_without_a_gradient_keeps_its_original(fit):
    class Cliff(Brightness):
        def prepare(self, generations):
            return {
                "blue": torch.tensor([float("blue" in g.prompt) for g in generations])
            }

        def forward(self, pixels, targets):
            # The slope of a root is infinite at zero.
            zero = 0 * pixels.flatten(1).sum(dim=1)
            cliff = torch.where(targets["blue"] > 0, zero, zero + 1).sqrt()
            return super().forward(pixels, targets) + cliff

    trajectory = fit(guide=Cliff(), **SMALL).kept[0]
    assert trajectory.failures == [None, "the gradient is not finite"]
    assert [shot.update for shot in trajectory.last] == [2, 0]


# What the trainer may not do


@pytest.mark.parametrize(
    ("setting", "value"), [("gradient_clip_val", 0.5), ("accumulate_grad_batches", 2)]
)
def test_a_trainer_that_changes_gradients_is_refused(fit, setting, value):
    with pytest.raises(ValueError, match=f"trainer.{setting}.* received {value}"):
        fit(trainer={setting: value}, **SMALL)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_updates": 0}, "num_updates of at least 1, .* received 0"),
        ({"num_steps": 0}, "num_steps between 1 and 1000, received 0"),
        ({"num_steps": 1001}, "num_steps between 1 and 1000, received 1001"),
        ({"mixing": 0.0}, r"a mixing in \(0, 1\], received 0"),
        ({"mixing": 1.5}, r"a mixing in \(0, 1\], received 1.5"),
        ({"guidance_scale": math.nan}, "a guidance_scale between"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_loaded(settings, message):
    with pytest.raises(ValueError, match=message):
        GuidedGeneration("nowhere", Symmetry(), **settings)


# One update, written out


def by_hand(model, generations, *, guide, p, w, lr, clip, noise_scale, updates):
    """The paper's algorithm 1, with autograd through a plain loop; guide, 1 crop."""
    cond = model.conditioning([g.prompt for g in generations], [""] * len(generations))
    draw = pairs.draw([g.seed for g in generations], (4, 8, 8))
    z, m = torch.stack((draw, draw)), torch.zeros(2, *draw.shape)
    norms = draw.flatten(1).norm(dim=1)[None, :, None, None, None]

    def eps(latent, t):
        times = torch.full((len(latent),), t)
        cold, hot = (
            model.denoiser(latent, times, c["encoder_hidden_states"]).sample
            for c in (cond.negative, cond.positive)
        )
        return cold + w * (hot - cold)

    alphas = model.pipeline.scheduler.alphas_cumprod.double().sqrt().tolist()
    times = [i * (1000 // T) + 1 for i in reversed(range(T))]
    for update in range(updates):
        z.requires_grad_(True)
        x, y = z
        for i, (t, s) in enumerate(zip(times, [*times[1:], 0], strict=True)):
            a = alphas[s] / alphas[t]
            b = math.sqrt(1 - alphas[s] ** 2) - a * math.sqrt(1 - alphas[t] ** 2)
            if i % 2 == 0:
                x = a * x + b * eps(y, t)
                y = a * y + b * eps(x, t)
            else:
                y = a * y + b * eps(x, t)
                x = a * x + b * eps(y, t)
            x = p * x + (1 - p) * y
            y = p * y + (1 - p) * x
        pictures = [
            to_pixels(model.vae.decode(k / model.vae.config.scaling_factor).sample)
            for k in (x, y)
        ]
        loss = sum(guide(k, {}).sum() for k in pictures) / 2
        (gradient,) = torch.autograd.grad(loss, z)
        g = lr * gradient.mean(dim=0, keepdim=True).expand(2, -1, -1, -1, -1)
        m = 0.9 * m + g.clamp(-clip, clip)
        xi = torch.stack(
            [
                torch.randn((4, 8, 8), generator=pairs.stream(g.seed, "noise", update))
                for g in generations
            ]
        )
        z = (z - m + noise_scale * xi).detach().mean(dim=0, keepdim=True)
        z = z.expand(2, -1, -1, -1, -1)
        z = (z * norms / z.flatten(2).norm(dim=2)[..., None, None, None]).contiguous()
    return z


def test_two_updates_are_the_papers_algorithm(fit, model):
    from functools import partial

    from doodl.optimizer import LatentSGD

    settings = {"lr": 300.0, "clip": 0.05, "noise_scale": 1e-2}
    guide = Symmetry()
    module = fit(
        guide=guide,
        optimizer=partial(LatentSGD, **settings),
        num_steps=T,
        num_updates=2,
        mixing=0.8,
        guidance_scale=4.0,
    )
    generations = module.kept[0].generations
    expected = by_hand(
        model, generations, guide=guide, p=0.8, w=4.0, updates=2, **settings
    )
    initial = module.kept[0].first[0].latents
    assert (initial - expected[:, 0]).abs().max() > 0.05  # something moved
    torch.testing.assert_close(module.latents.data, expected, rtol=0, atol=1e-4)


class Counts(Symmetry):
    """A loss that leaves PyTorch on its way."""

    def forward(self, pixels, targets):
        bright = (pixels.detach().numpy() > 0.5).mean(axis=(1, 2, 3))
        return torch.tensor(bright, dtype=pixels.dtype)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_loss_without_a_gradient_is_refused_and_names_best_of_n(fit, one_by_one):
    execution = Execution(image_by_image=one_by_one)
    with pytest.raises(ValueError, match="gradient from the guide Counts .*BestOfN"):
        fit(guide=Counts(), execution=execution, num_steps=T)
    fit(guide=Counts(), baseline=BestOfN(2), stage="predict", num_steps=T)


@pytest.mark.parametrize("editing", [False, True])
def test_latents_that_move_away_from_white_noise_are_warned_about_once(
    fit, monkeypatch, recwarn, editing, tmp_path
):
    monkeypatch.setattr("doodl.white_noise.KEPT", 1.01)
    monkeypatch.setattr("doodl.white_noise.LEAST", 0)
    settings = {}
    if editing:
        save(torch.rand(3, 32, 32), tmp_path / "picture.png")
        settings = {"edit": Edit(), "images": [str(tmp_path / "picture.png")]}
    module = fit(optimizer=PLAIN, num_steps=T, num_updates=2, **settings)
    said = [str(w.message) for w in recwarn if "white noise" in str(w.message)]
    first = module.terms[0]["whiteness"]
    assert len(said) == 1
    assert f"was {first[0]:.3f} before the updates" in said[0]
    assert all(0 < t["whiteness"].min() < 1 for t in module.terms[:2])


def test_white_noise_that_small_updates_hardly_move_is_not_warned_about(
    fit, monkeypatch, recwarn
):
    monkeypatch.setattr("doodl.white_noise.LEAST", 0)
    fit(num_steps=T, num_updates=2)
    assert not [w for w in recwarn if "white noise" in str(w.message)]


# The gap


def test_a_wide_gap_is_warned_about_once_by_name(fit, monkeypatch):
    monkeypatch.setattr("doodl.trajectory.CORRUPT_GAP", 1e-6)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = fit(mixing=0.9, num_steps=2, seeds=(0, 1), batch_size=2)
    said = [str(w.message) for w in caught if "two latents" in str(w.message)]
    first = module.renderings[0].gap.max().item()
    assert len(said) == 1
    for part in ("p = 0.9", "num_steps 2", f"{first:.2f} standard deviations"):
        assert part in said[0]


def test_a_narrow_gap_is_not_warned_about(fit, recwarn):
    module = fit(**SMALL)
    assert module.renderings[-1].gap.max() < CORRUPT_GAP
    assert not any("two latents" in str(w.message) for w in recwarn)


# From Python


def test_it_runs_from_python_in_ten_lines(shapes, tmp_path):
    from doodl.guides import CLIPText

    module = GuidedGeneration(
        "shapes",
        guide=CLIPText("shapes/guide"),
        judge=CLIPText("shapes/judge"),
        num_steps=2,
        num_updates=1,
        mixing=0.75,
    )
    data = PromptsAndSeeds(["a green heart above a red ring"], seeds=[0, 1])
    results = Results(str(tmp_path / "results"))
    trainer = Trainer(
        callbacks=[Multicrop(4, cutout_size=16), results],
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, datamodule=data)
    best = sorted(path.parent.name for path in results.folder.glob("*/best.png"))
    assert best == sorted(g.id for g in data.generations)
    assert isinstance(module.trajectory.generations[0], Generation)


def test_a_trainer_can_fit_twice(tmp_path):
    module = GuidedGeneration("shapes", Symmetry(), num_steps=2, num_updates=1)
    results = Results(str(tmp_path))
    trainer = Trainer(
        max_epochs=-1, logger=False, enable_checkpointing=False, callbacks=[results]
    )
    for seed in (0, 1):
        trainer.fit(module, datamodule=PromptsAndSeeds(["a ring"], seeds=[seed]))
    assert len(list(tmp_path.glob("*/best.png"))) == 2


def test_finding_out_how_many_graphs_fit_is_no_call_of_a_generation(fit):
    kept = fit(seeds=(0, 1), batch_size=1, adjoint=BudgetAdjoint(gib=1)).kept
    calls = {trajectory.last[0].calls for trajectory in kept}
    assert len(kept) > 1
    assert len(calls) == 1
