"""One call from Python, and what it leaves behind."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from lightning import Callback
from PIL import Image
from torch import nn

import doodl
from doodl.callbacks import Results
from doodl.execution import Execution
from doodl.guides import Function, Symmetry
from doodl.pretrained import borrowed, load_text_to_image

SMALL = {"num_steps": 2, "num_updates": 2, "mixing": 0.8, "progress": False}


def uneven(pixels):
    return (pixels - pixels.flip(-1)).square().mean((1, 2, 3))


@pytest.fixture
def pipe(world):
    return StableDiffusionPipeline.from_pretrained(world / "pipeline")


def state(pipe):
    """All that a caller could see of a pipeline."""
    parts = {k: p for k, p in pipe.components.items() if isinstance(p, nn.Module)}
    return {
        name: (
            {k: v.clone() for k, v in part.state_dict().items()},
            (part.dtype, part.device),
            [p.requires_grad for p in part.parameters()],
            [m.training for m in part.modules()],
            [type(getattr(m, "_hf_hook", None)) for m in part.modules()],
        )
        for name, part in parts.items()
    } | {"scheduler": (id(pipe.scheduler), dict(pipe.scheduler.config))}


def equal(one, other):
    assert one["scheduler"] == other["scheduler"]
    for name, (weights, *rest) in ((k, v) for k, v in one.items() if k != "scheduler"):
        assert rest == list(other[name][1:]), name
        assert all(torch.equal(w, other[name][0][k]) for k, w in weights.items())
    return True


def test_five_lines_make_a_picture(pipe, tmp_path):
    result = doodl.optimize(pipe, "a red circle", uneven, **SMALL)
    result[0].best.image.save(tmp_path / "circle.png")
    with Image.open(tmp_path / "circle.png") as picture:
        assert picture.size == (32, 32)
    assert result[0].generation.prompt == "a red circle"
    assert (result[0].last.update, result[0].failure) == (2, None)


def test_it_is_what_the_module_and_a_trainer_make(pipe, fit):
    settings = {k: v for k, v in SMALL.items() if k != "progress"}
    (trajectory,) = fit(["a red circle"], seeds=(3, 4), **settings).kept
    results = doodl.optimize(pipe, ["a red circle"], Symmetry(), seeds=[3, 4], **SMALL)
    for mine, theirs in zip(results, trajectory.best, strict=True):
        assert torch.equal(mine.best.pixels, theirs.pixels)
        assert torch.equal(mine.best.latents, theirs.latents)


def test_results_have_the_scores_of_every_update(pipe, tmp_path):
    found = doodl.optimize(
        pipe,
        ["a red circle", "a blue star"],
        uneven,
        judge=Symmetry(),
        callbacks=[Results(str(tmp_path))],
        **SMALL,
    )
    for result in found:
        assert [scores.update for scores in result.scores] == [0, 1, 2]
        for shot in (result.first, result.best, result.last):
            scores = result.scores[shot.update]
            assert (scores.guide, scores.judge) == (shot.guide, shot.judge)


def test_scores_of_an_interrupted_job_go_on(pipe, tmp_path):
    armed = [True]

    class Interrupt(Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if index == 1 and armed:
                armed.clear()
                raise RuntimeError("interrupted")

    def make():
        callbacks = [Results(str(tmp_path)), Interrupt()]
        args = pipe, "a red circle", Symmetry()
        return doodl.optimize(*args, callbacks=callbacks, **SMALL)

    with pytest.raises(RuntimeError, match="interrupted"):
        make()
    (found,) = make()
    assert [scores.update for scores in found.scores] == [0, 1, 2]


def test_an_interrupt_stays_one(pipe):
    class Interrupt(Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        doodl.optimize(pipe, "a red circle", uneven, callbacks=[Interrupt()], **SMALL)


def test_without_progress_nothing_is_printed(pipe, capfd, caplog):
    doodl.optimize(pipe, "a red circle", uneven, **SMALL)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if "lightning" in record.name]


def test_a_name_and_callbacks_work_too(world, tmp_path):
    folder = tmp_path / "results"
    results = doodl.optimize(
        str(world / "pipeline"),
        ["a red circle", "a blue star"],
        uneven,
        callbacks=[Results(str(folder))],
        **SMALL,
    )
    assert [r.generation.prompt for r in results] == ["a red circle", "a blue star"]
    assert len(list(folder.glob("*/best.png"))) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_pipeline_is_left_as_it_was(pipe, dtype):
    pipe.to(dtype)
    pipe.unet.train().requires_grad_(True)
    before = state(pipe)
    with borrowed(pipe):
        pipe.vae.float().requires_grad_(False).eval()
        pipe.unet.requires_grad_(False).eval()
        pipe.scheduler = None
    assert equal(before, state(pipe))
    if dtype == torch.float32:
        doodl.optimize(pipe, "a ring", uneven, **SMALL)
        assert equal(before, state(pipe))


def test_also_how_its_networks_are_run(pipe):
    weight = pipe.unet.conv_in.weight
    strides = weight.stride()
    with borrowed(pipe):
        Execution(compile=True, channels_last=True).prepare(load_text_to_image(pipe))
        assert weight.stride() != strides
    assert weight.stride() == strides
    assert pipe.unet._compiled_call_impl is None


def test_numbers_of_numpy_are_numbers(pipe, tmp_path):
    small = SMALL | {"num_updates": np.int64(1), "num_steps": np.int32(2)}
    watch = [Results(str(tmp_path / "results"))]
    for seeds in (np.int64(3), [np.int64(4)]):
        (result,) = doodl.optimize(
            pipe, "a ring", uneven, seeds=seeds, callbacks=watch, **small
        )
        assert result.failure is None


def test_also_after_an_error(pipe):
    before = state(pipe)

    def broken(pixels):
        raise RuntimeError("broken")

    with pytest.raises(ValueError, match="RuntimeError in test_.*: broken"):
        doodl.optimize(pipe, "a ring", broken, **SMALL)
    assert equal(before, state(pipe))


def test_offload_hooks_come_back(pipe):
    from accelerate import cpu_offload_with_hook

    for part in (pipe.text_encoder, pipe.unet, pipe.vae):
        cpu_offload_with_hook(part, torch.device("cpu"))
    before = state(pipe)
    assert any(kind.__name__ != "NoneType" for kind in before["unet"][4])
    results = doodl.optimize(pipe, "a ring", uneven, **SMALL)
    assert results[0].failure is None
    assert equal(before, state(pipe))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (
            lambda pixels: pixels.mean(),
            r"one loss a picture, \(2,\), from the function",
        ),
        (lambda pixels: 3.0, "from the function .*received a float"),
        (lambda pixels: pixels.detach().mean((1, 2, 3)), "losses with a gradient"),
    ],
)
def test_a_function_that_is_no_loss_is_one_sentence(pipe, function, sentence):
    with pytest.raises(ValueError, match=sentence):
        doodl.optimize(pipe, "a ring", function, **SMALL)


def test_what_is_no_guide_or_no_pipeline_is_refused_early():
    with pytest.raises(ValueError, match="Expected a guide, or a function"):
        doodl.optimize("shapes", "a ring", 3, **SMALL)
    with pytest.raises(ValueError, match="received a Linear; load a model"):
        doodl.optimize(nn.Linear(1, 1), "a ring", uneven, **SMALL)


def test_a_module_is_frozen():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.Flatten(0))
    guide = Function(module)
    assert not any(p.requires_grad for p in guide.parameters())
    assert not module.training


def test_importing_is_cheap_and_names_are_public():
    program = "import sys, doodl; print('torch' in sys.modules, dir(doodl))"
    run = [sys.executable, "-c", program]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert out.startswith("False")
    for name in (n for n in doodl.__all__ if n != "__version__"):
        assert name in out
        assert inspect.getdoc(getattr(doodl, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        doodl.nothing  # noqa: B018
