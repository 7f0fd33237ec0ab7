"""What callbacks are told, in which order, how often, and what they may not do."""

import json

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import Timer

from doodl import images
from doodl.callbacks import Multicrop, Results
from doodl.events import Events, GenerationCallback
from doodl.guided_generation import GuidedGeneration
from doodl.guides import Guide, Symmetry
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.identity import identity
from doodl.precision import NetworkPrecision


class Told(GenerationCallback):
    """Writes down what it is told."""

    changes_images = False

    def __init__(self):
        self.heard = []

    def check(self, trainer, module):
        self.heard.append("check")

    def on_generations_start(self, batch):
        self.heard.append(f"start {len(batch)}")

    def filter(self, rendering):
        self.heard.append(f"filter {rendering.update}")
        return rendering

    def stops(self, trajectory, rendering):
        self.heard.append(f"stops {rendering.update}")
        return {}

    def on_rendered(self, trajectory, rendering, terms):
        self.heard.append(f"rendered {rendering.update}")
        self.terms = sorted(terms) or self.terms

    def on_state(self, state):
        self.heard.append(f"state {state['update']}")

    def on_generations_end(self, trajectory):
        self.heard.append("end")


def test_events_come_in_their_order_and_once(fit):
    told = Told()
    fit(callbacks=[told], num_updates=2, seeds=(0, 1), batch_size=2)
    batch = [
        *("start 2", "filter 0", "stops 0", "rendered 0", "state 1"),
        *("filter 1", "stops 1", "rendered 1", "filter 2", "rendered 2", "end"),
    ]
    assert told.heard == ["check", *batch, *batch]
    assert told.terms == sorted(
        ["loss", "latent_norm", "autocorrelation", "kurtosis", "pair_gap", "whiteness"]
    )


def test_predict_tells_of_batches_only(fit):
    told = Told()
    fit(callbacks=[told], stage="predict")
    assert told.heard == ["check", "start 2", "filter 0", "end"]


def test_a_filter_replaces_the_picture_wherever_it_stands(fit):
    class White(GenerationCallback):
        def filter(self, rendering):
            rendering.pixels = torch.ones_like(rendering.pixels)
            return rendering

    class Seen(GenerationCallback):
        def __init__(self):
            self.means = []

        def on_rendered(self, trajectory, rendering, terms):
            self.means.append(rendering.pixels.mean().item())

    first, last = Seen(), Seen()
    module = fit(callbacks=[first, White(), last])
    assert first.means == last.means == [1.0, 1.0, 1.0]
    assert all((shot.pixels == 1).all() for shot in module.kept[0].best)


# Memory


def test_memory_that_runs_out_later_repeats_no_rendering(fit, monkeypatch, tmp_path):
    from doodl.rendering import Renderer

    losses = Renderer.losses

    def once(self, final, batch, update, *args):
        if update == 2:
            raise torch.OutOfMemoryError("of 2 GiB")
        return losses(self, final, batch, update, *args)

    monkeypatch.setattr(Renderer, "losses", once)
    results, told = Results(str(tmp_path / "results")), Told()
    module = fit(callbacks=[results, told], num_updates=4)
    assert all("out of memory" in reason for reason in module.kept[0].failures)
    assert [line for line in told.heard if "rendered" in line] == [
        "rendered 0",
        "rendered 1",
    ]
    for path in results.folder.glob("*/metrics.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["update"] for line in lines] == [0, 1]


# A second fit


class Shift(GenerationCallback):
    """Shows the guide darker pictures."""

    def views(self):
        return self

    def __call__(self, pixels, size, generators):
        return pixels[:, None] / 2

    def reduce(self, losses):
        return losses.mean(dim=1)


def test_a_second_fit_keeps_nothing_of_the_first(fit, tmp_path):
    class Bright(Guide):
        def forward(self, pixels, targets):
            return -pixels.mean(dim=(1, 2, 3))

    whole, told = fit(guide=Bright()), Told()
    losses = []

    class Loss(GenerationCallback):
        def on_rendered(self, trajectory, rendering, terms):
            losses.extend(terms["loss"].tolist() if "loss" in terms else [])

    results = Results(str(tmp_path / "first"))
    module = fit(guide=Bright(), callbacks=[results, Shift(), told, Loss()])
    halved, count = losses.copy(), len(told.heard)
    losses.clear()
    fit(module=module, callbacks=[Loss()], prompts=["a red circle", "a blue star"])
    assert losses[:2] == pytest.approx([2 * loss for loss in halved[:2]])
    assert len(told.heard) == count
    assert module.kept[0].first[0].pixels.equal(whole.kept[0].first[0].pixels)
    # The folder of the first is not asked: nothing counts as finished.
    assert len(module.kept) == 1


def test_a_second_fit_has_the_precision_of_its_trainer(world, tmp_path):
    module = GuidedGeneration(
        str(world / "pipeline"), Symmetry(), num_steps=2, num_updates=1, mixing=0.8
    )
    for precision, expected in (
        ("32-true", torch.float32),
        ("bf16-true", torch.bfloat16),
    ):
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            plugins=NetworkPrecision(precision),
        )
        trainer.fit(module, datamodule=PromptsAndSeeds(["a"], seeds=[0]))
        assert module.renderer.model.dtype == expected


# The identity of a folder


class Tint(Guide):
    """Stores nothing under the names of its arguments."""

    def __init__(self, red=1.0, *, others=()):
        super().__init__()
        self.values = (red, others)

    def forward(self, pixels, targets):
        return pixels[:, 0].mean(dim=(1, 2)) * self.values[0]


@pytest.mark.parametrize(
    ("guides", "callbacks", "different"),
    [
        ((Tint(1.0), Tint(2.0)), ([], []), True),
        ((Tint(), Tint(others=[1])), ([], []), True),
        ((Tint(), Tint()), ([Multicrop(2)], [Multicrop(2)]), False),
        ((Symmetry(), Symmetry()), ([Multicrop(2)], [Multicrop(3)]), True),
        ((Symmetry(), Symmetry()), ([], [Shift()]), True),
        ((Symmetry(), Symmetry()), ([], [Timer()]), False),
        ((Symmetry(), Symmetry()), ([], [Told()]), False),
    ],
)
def test_a_folders_identity_has_the_values_of_guide_and_callbacks(
    guides, callbacks, different
):
    found = [
        identity(
            GuidedGeneration("shapes", guide),
            Trainer(callbacks=own, logger=False),
            "fit",
        )
        for guide, own in zip(guides, callbacks, strict=True)
    ]
    assert (found[0] != found[1]) is different
    json.dumps(found)


def test_changed_settings_from_python_are_no_finished_job(fit, tmp_path):
    folder = str(tmp_path / "results")
    fit(guide=Tint(1.0), callbacks=[Results(folder), Multicrop(2)])
    with pytest.raises(ValueError, match="guide.init_args.red was 1.0, is 2.0"):
        fit(guide=Tint(2.0), callbacks=[Results(folder), Multicrop(2)])
    with pytest.raises(ValueError, match="made with other settings: callbacks"):
        fit(guide=Tint(1.0), callbacks=[Results(folder), Multicrop(3)])


# What is refused


@pytest.mark.parametrize(
    ("setting", "value"), [("limit_train_batches", 0), ("max_steps", 0)]
)
def test_a_job_that_would_make_nothing_is_refused(fit, setting, value):
    with pytest.raises(ValueError, match=f"no trainer.{setting}, received {value}"):
        fit(trainer={setting: value})


class Foreign(Callback):
    """Has a state that a safe reader refuses."""

    changes_images = False

    def state_dict(self):
        return {"path": [object()]}


def test_a_callback_whose_state_could_not_be_read_back_is_refused(fit, monkeypatch):
    monkeypatch.setattr("doodl.pretrained.load_text_to_image", pytest.fail)
    with pytest.raises(ValueError, match="the callback Foreign, received one with"):
        fit(callbacks=[Foreign()])


def test_plain_states_are_kept_by_the_callbacks_key():
    class Plain(GenerationCallback):
        def state_dict(self):
            return {"a": [1, (2.0, None)], "b": torch.ones(2), "c": {"d": "e"}}

    plain = Plain()
    states = Events([plain, Callback()]).states()
    assert list(states) == [plain.state_key]


def test_other_data_is_refused_in_one_sentence(model, monkeypatch):
    from torch.utils.data import DataLoader

    trainer = Trainer(logger=False, accelerator="cpu")
    module = GuidedGeneration("shapes", Symmetry())
    with pytest.raises(ValueError, match="Expected the data PromptsAndSeeds, received"):
        trainer.fit(module, DataLoader([1]))


# What a callback, a guide or a judge does to its input


class Vandal(GenerationCallback):
    """Overwrites everything that it is shown."""

    changes_images = False

    def _overwrite(self, *shown):
        for value in shown:
            for tensor in tensors(value):
                tensor.fill_(0.5)

    def stops(self, trajectory, rendering):
        self._overwrite(trajectory, rendering)
        return {}

    def on_rendered(self, trajectory, rendering, terms):
        self._overwrite(trajectory, rendering, terms)

    def on_state(self, state):
        self._overwrite(state)

    def on_generations_end(self, trajectory):
        self._overwrite(trajectory)


class Writer(Guide):
    """Symmetry that overwrites its input from the second call on."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, pixels, targets):
        losses = (pixels - pixels.flip(-1)).square().mean(dim=(1, 2, 3))
        self.calls += 1
        if self.calls > 9 and not torch.is_grad_enabled():
            pixels.fill_(0.5)
        return losses


class Painter:
    """A verdict that overwrites its input."""

    def load(self, device):
        pass

    def verdicts(self, pixels, generations):
        pixels.fill_(0.5)
        return [None] * len(generations)


def tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)
    elif hasattr(value, "__dict__"):
        yield from tensors(vars(value))


def test_what_is_done_to_an_input_does_not_reach_the_archive(fit, tmp_path):
    for name, guide, judge, callbacks, verdict in (
        ("clean", Symmetry(), Symmetry(), [], None),
        ("hostile", Writer(), Writer(), [Vandal()], Painter()),
    ):
        results = Results(str(tmp_path / name))
        fit(
            guide=guide,
            judge=judge,
            verdict=verdict,
            callbacks=[*callbacks, results, *callbacks],
        )
    compared = list((tmp_path / "clean").glob("*/*"))
    assert len(compared) >= 10
    for path in compared:
        other = tmp_path / "hostile" / path.relative_to(tmp_path / "clean")
        if path.suffix == ".png":
            assert images.load(path).equal(images.load(other)), path.name
        elif path.name in ("latents.safetensors", "metrics.jsonl"):
            assert path.read_bytes() == other.read_bytes(), path.name
