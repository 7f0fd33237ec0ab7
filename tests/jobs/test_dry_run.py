"""`doodl fit --dry-run`: everything is checked and counted, and nothing is loaded."""

import json
import math
import shutil
import sys
from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from doodl import cli, images
from doodl.editing import Edit
from doodl.jobs import timing
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.dry_run import dry_run
from doodl.optimizer import LatentSGD
from doodl.pretrained import TextToImage
from doodl.pretrained.outline import outline
from doodl.sampling.adjoints import CheckpointBudgetAdjoint

JOB = ("--model.num_steps", "3", "--model.num_updates", "4", "--data.batch_size", "2")


@pytest.fixture(autouse=True)
def unloaded(shapes, tmp_path, monkeypatch):
    """Takes the weights of the tiny world away, and runs in an empty folder."""
    world = tmp_path / "world"
    shutil.copytree(shapes, world)
    for path in world.rglob("*.safetensors"):
        path.unlink()
    monkeypatch.setattr("doodl.pretrained.folders.SHAPES", world)
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return folder


@pytest.fixture
def costs(monkeypatch):
    """Runs a dry run, with timing however small the job, and returns what it found."""
    found = []
    monkeypatch.setattr("doodl.jobs.probe.WORTH_TIMING", 0)

    def run(*arguments):
        def keep(*args):
            found.append(dry_run(*args))
            return found[-1]

        monkeypatch.setattr("doodl.jobs.dry_run.dry_run", keep)
        cli.main(["fit", "--dry-run", *JOB, *arguments])
        return found.pop()

    return run


@pytest.fixture
def refused(capsys):
    def run(*arguments, command="fit"):
        with pytest.raises(SystemExit) as exit_:
            cli.main([command, "--dry-run", *JOB, *arguments])
        assert exit_.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run


def test_it_counts_what_an_update_computes(costs, fit, model, unloaded):
    cost = costs("--data.prompts", '["a red circle"]', "--data.seeds", "0-1")
    assert (cost.guided, cost.plain, cost.batch) == (6, 0, 2)

    adjoint = CheckpointBudgetAdjoint()  # of configs/shapes.yaml
    module = fit(["a red circle"], (0, 1), num_steps=3, num_updates=1, adjoint=adjoint)
    with FlopCounterMode(display=False) as counter:
        final = module.renderer.sample(module.latents, module.batch)
        module.renderer.losses(final, module.batch, 0).total.sum().backward()
    assert cost.flops == counter.get_total_flops()
    networks = model.networks()
    assert cost.weights == sum(4 * p.numel() for n in networks for p in n.parameters())


@pytest.mark.usefixtures("unloaded")
def test_a_tiny_job_is_estimated_because_timing_would_cost_more(costs, monkeypatch):
    one = ("--data.prompts", '["a red circle"]', "--data.seeds", "[0]")
    assert not any(call.estimated for call in costs(*one).calls)
    monkeypatch.setattr("doodl.jobs.probe.WORTH_TIMING", 10**6)
    monkeypatch.delattr("doodl.jobs.probe.fill")  # nothing is called for real
    assert costs(*one).calls[0].estimated


def test_it_prints_a_table_and_leaves_nothing_behind(costs, capsys, unloaded):
    cost = costs("--data.prompts", '["a red circle"]', "--data.seeds", "0-4")
    printed = " ".join(capsys.readouterr().out.split())
    assert "generations 5 in 3 batches" in printed
    assert "6 forward, 6 with gradient" in printed
    assert 0 < cost.seconds < cost.total
    assert not list(unloaded.iterdir())


@pytest.mark.parametrize(
    ("adjoint", "calls"),
    [
        ("DirectAdjoint", 6),
        ("CheckpointAdjoint", 12),
        ("ReversibleAdjoint", 12),
        ("BudgetAdjoint", 6),
    ],
)
def test_the_adjoint_says_how_often_the_network_is_called(costs, adjoint, calls):
    cost = costs("--model.adjoint", f"doodl.sampling.adjoints.{adjoint}")
    (guided, _), decoder = cost.calls, cost.decoder
    again = (calls - 6) * guided.flops
    assert cost.flops == again + 6 * guided.gradient_flops + decoder.gradient_flops


@pytest.mark.parametrize("name", ["Direct", "Checkpoint", "Reversible"])
def test_the_memory_of_the_job_is_that_of_its_adjoint(costs, name, capsys):
    cost = costs("--model.adjoint", f"doodl.sampling.adjoints.{name}Adjoint")
    assert cost.peak == cost.memory()[name.lower()]
    kept = 6 if name == "Direct" else 0
    assert f"{kept} graphs kept" in " ".join(capsys.readouterr().out.split())


def test_without_a_gradient_of_the_network_no_graph_is_kept(costs):
    cost = costs("--model.adjoint", "doodl.sampling.adjoints.StraightThroughAdjoint")
    assert cost.peak == cost.weights + cost.decoder.graph


def test_memory_grows_with_steps_where_the_adjoint_keeps_something(costs):
    few, many = costs().memory(), costs("--model.num_steps", "9").memory()
    assert few["reversible"] == many["reversible"]
    assert few["checkpoint"] < many["checkpoint"] < many["direct"]
    graph = costs().calls[0].graph
    assert many["direct"] - few["direct"] == 12 * graph > 0


def test_a_checkpoint_keeps_one_latent_a_call_whatever_the_method(costs, model):
    latent = 2 * 4 * math.prod(model.latent_shape())  # a batch of 2 in 4 bytes
    for method, calls in (("edict.EDICT", 2), ("ddim.DDIM", 1)):
        chosen = ("--model.method", f"doodl.sampling.{method}")
        few = costs(*chosen, "--data.seeds", "0-1").memory()
        many = costs(*chosen, "--data.seeds", "0-1", "--model.num_steps", "9").memory()
        more = many["checkpoint"] - few["checkpoint"]
        assert more == 6 * calls * latent
        assert ("reversible" in many) == (calls == 2)


def test_an_estimate_costs_no_gradient_of_the_network(costs, capsys):
    adjoint = "doodl.sampling.adjoints.StraightThroughAdjoint"
    cost = costs("--model.adjoint", adjoint)
    (guided, _), decoder = cost.calls, cost.decoder
    assert cost.flops == pytest.approx(6 * guided.flops + decoder.gradient_flops)
    printed = " ".join(capsys.readouterr().out.split())
    assert "6 forward, 0 with gradient, 0 repeated" in printed


@pytest.mark.parametrize("editing", [True, False])
def test_chains_without_a_gradient_are_counted(costs, fit, counted, editing, tmp_path):
    options, settings = [], {}
    if editing:
        picture = str(tmp_path / "picture.png")
        images.save(torch.rand(3, 32, 32), picture)
        options = [
            "--model.edit",
            "doodl.editing.Edit",
            "--data.images",
            f"[{picture}]",
        ]
        options += ["--model.optimizer.init_args.average_pair", "false"]
        sgd = partial(LatentSGD, average_pair=False)
        settings = {"edit": Edit(), "images": [picture], "optimizer": sgd}
    cost = costs("--data.prompts", '["a red circle"]', "--data.seeds", "0-1", *options)
    fit(["a red circle"], (0, 1), num_steps=3, num_updates=4, **settings)
    # An update calls the network as often with a gradient as without.
    others = len(counted.no_grad) - len(counted.grad)
    assert others == cost.other_chains * cost.guided
    seconds = cost.guided * cost.calls[0].seconds * cost.other_chains
    assert cost.total == pytest.approx(
        4 * cost.seconds + seconds + cost.decoder.seconds
    )


def test_mixed_precision_is_measured_as_the_job_computes(costs):
    full, mixed = costs(), costs("--trainer.precision", "bf16-mixed")
    assert mixed.weights == full.weights
    assert mixed.calls[0].graph < full.calls[0].graph
    assert mixed.decoder.graph < full.decoder.graph


def test_it_says_what_is_timed(costs, capsys):
    costs()
    said = capsys.readouterr().err
    assert "doodl: timing the denoiser with guidance, a batch of 2, on cpu" in said
    assert "doodl: timing the decoder on cpu" in said


def test_what_takes_too_long_is_estimated(costs, capsys, monkeypatch):
    measured = costs()
    capsys.readouterr()
    monkeypatch.setattr("doodl.jobs.timing.LIMIT", 0.0)
    monkeypatch.delattr("doodl.jobs.probe.fill")  # nothing is called for real
    estimated = costs()
    out, err = capsys.readouterr()
    assert out.count("estimated from FLOPs") == 2
    assert err.count("estimated from FLOPs") == 1
    assert estimated.flops == pytest.approx(measured.flops, rel=0.05)
    assert estimated.total > 0
    assert estimated.weights == measured.weights


def test_timing_ends_at_the_limit(monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock, calls = Clock(), []
    monkeypatch.setattr(timing, "time", clock)

    def slow(z):
        calls.append(z.device.type)
        clock.now += 0.0 if z.device.type == "meta" else 16.0
        return 2 * z @ z

    counted = timing.count_flops(slow, torch.ones(4, 4, device="meta"))
    calls.clear()
    stopwatch = timing.Stopwatch(torch.device("cpu"), torch.float32)
    found = stopwatch.measure("it", slow, torch.ones(4, 4), counted)
    assert len(calls) == 1
    assert found.estimated
    assert found.seconds == 16.0
    ratio = counted.gradient_flops / counted.flops
    assert found.gradient_seconds == pytest.approx(16.0 * ratio)
    stopwatch.measure("another", slow, torch.ones(4, 4), counted)
    assert len(calls) == 1


def test_with_several_devices_it_prints_the_table_and_starts_nobody(
    costs, capsys, monkeypatch
):
    monkeypatch.delattr("subprocess.Popen")
    costs("--trainer.devices", "2", "--trainer.accelerator", "cpu")
    printed = capsys.readouterr().out
    assert "on 2 processes" in printed
    assert "manifest.csv" not in printed


@pytest.mark.parametrize("rank", [0, 1])
def test_of_torchruns_ranks_the_first_speaks(capsys, monkeypatch, rank):
    variables = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": 2}
    variables |= {"LOCAL_WORLD_SIZE": 2, "TORCHELASTIC_RUN_ID": 1}
    variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    cli.main(["fit", "--dry-run", *JOB, "--trainer.accelerator", "cpu"])
    out, err = capsys.readouterr()
    assert ("on 2 processes" in out) == (rank == 0)
    if rank:
        assert (out, err) == ("", "")


def test_calls_without_guidance_are_counted_apart(costs):
    cost = costs("--model.guidance_interval", "[0, 500]")
    assert (cost.guided, cost.plain) == (4, 2)
    assert cost.calls[1].flops < cost.calls[0].flops


def test_more_processes_share_the_batches(costs, monkeypatch):
    one = costs("--data.seeds", "0-9", "--data.prompts", '["a red circle"]')
    assert one.batches == 5
    many = type(one)(**{**vars(one), "processes": 2})
    assert many.total == pytest.approx(one.total * 3 / 5)


def test_what_is_finished_costs_nothing(costs, unloaded, monkeypatch):
    monkeypatch.setattr("doodl.jobs.archive.Archive.check", lambda *args: None)
    where = ("--results.folder", "there", "--data.prompts", '["a red circle"]')
    whole = costs(*where, "--data.seeds", "0-3")
    data = PromptsAndSeeds(["a red circle"], seeds=[0, 1, 2, 3])
    for generation in data.generations[:3]:
        folder = unloaded / "there" / generation.id
        folder.mkdir(parents=True)
        row = {
            "id": generation.id,
            "prompt": "a",
            "seed": 0,
            "status": "finished",
            "files": [],
        }
        (folder / "summary.json").write_text(json.dumps(row))
    rest = costs(*where, "--data.seeds", "0-3")
    assert (whole.remaining, rest.remaining) == (4, 1)
    assert (whole.batches, rest.batches) == (2, 1)


def test_a_prompt_that_is_cut_is_quoted(costs, capsys):
    costs("--data.prompts", json.dumps(["a red circle " * 40]))
    assert "is longer than the text encoders read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--config", "classifier", "--data.target", "unicorn"), "'unicorn'"),
        (("--config", "personalization", "--data.images", "[gone.png]"), "gone.png"),
        (("--model.height", "33"), "Expected a height that is a multiple of"),
        (("--model.guidance_interval", "[5, 4]"), "first timestep not above its last"),
        (("--model.pretrained", "gone.safetensors"), "There is no checkpoint at"),
        (("--trainer.accumulate_grad_batches", "2"), "of 1, received 2"),
        (
            ("--model.judge", "null", "--early_stopping.monitor", "judge"),
            "Expected a judge for early_stopping.monitor",
        ),
    ],
)
def test_it_refuses_what_the_job_would(refused, arguments, sentence):
    assert sentence in refused(*arguments)


def test_it_refuses_a_folder_of_other_settings(refused, unloaded):
    (unloaded / "results" / "one").mkdir(parents=True)
    (unloaded / "results" / "one" / "summary.json").write_text("{}")
    (unloaded / "results" / "settings.json").write_text('{"command": "predict"}')
    assert "command was predict, is fit" in refused()


def test_it_belongs_to_fit(refused):
    assert "Expected --dry-run with `doodl fit`" in refused(command="predict")


def test_weights_that_do_not_fit_are_said_before_they_are_made(refused, monkeypatch):
    monkeypatch.setattr("doodl.sampling.memory.available_bytes", lambda device: 1000)
    assert "Expected room for the networks'" in refused()


def test_a_single_file_needs_its_configuration(tmp_path, world):
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ValueError, match="received none; set model.loading.config"):
        outline(str(file))


def test_an_outline_has_every_network_without_data(world, model):
    found = outline(str(world / "pipeline"), torch.bfloat16)
    for mine, loaded in zip(found.networks(), model.networks(), strict=True):
        weights = dict(mine.named_parameters())
        assert {p.device.type for p in weights.values()} == {"meta"}
        assert {p.dtype for p in weights.values()} == {torch.bfloat16}
        shapes = {name: p.shape for name, p in loaded.named_parameters()}
        assert {name: p.shape for name, p in weights.items()} == shapes
    assert isinstance(found, TextToImage)
