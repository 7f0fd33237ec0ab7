import dataclasses
import re

import pytest
import torch
from lightning import LightningModule, Trainer

from doodl.generation import Generation
from doodl.jobs.checks import parse_seeds
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.dealing import Work, count_alone


def test_the_seeds_of_a_prompt_stand_together():
    data = PromptsAndSeeds(["a", "b"], [3, 1])
    made = [(g.prompt, g.seed) for g in data.generations]
    assert made == [("a", 3), ("a", 1), ("b", 3), ("b", 1)]


@pytest.mark.parametrize(
    "prompt",
    ["a/../b\n", "心", "Ein Häuschen!", "x" * 500, "-", "CON", "a" + " b" * 60],
)
def test_an_id_is_a_portable_file_name(prompt):
    name = Generation(prompt, 2**63 - 1).id
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*-s\d+-[0-9a-f]{12}", name)
    assert len(name) < 100


def test_an_id_reads_like_the_prompt():
    assert Generation("A green heart, above!", 7).id.startswith(
        "a-green-heart-above-s7-"
    )


def test_an_id_is_the_same_in_every_run():
    assert Generation("a cat", 0).id == "a-cat-s0-1cffba1cf7a7"


def test_an_id_differs_with_every_field():
    plain = Generation("a cat", 0)
    others = [
        Generation("a  cat", 0),
        Generation("a cat", 1),
        Generation("a cat", 0, negative_prompt="dog"),
        Generation("a cat", 0, guide_prompt="dog"),
        Generation("a cat", 0, guide_prompt=""),
    ]
    assert len({g.id for g in [plain, *others]}) == 6


def test_a_generation_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Generation("a cat", 0).seed = 1


def test_batches_hold_every_generation_once_and_in_order():
    data = PromptsAndSeeds(["a", "b", "c"], [0, 1, 2], batch_size=4)
    assert [len(batch) for batch in data.batches()] == [4, 4, 1]
    assert [g for batch in data.batches() for g in batch] == list(data.generations)


def test_the_negative_prompt_belongs_to_all():
    data = PromptsAndSeeds(["a"], [0, 1], negative_prompt="blurry")
    assert {g.negative_prompt for g in data.generations} == {"blurry"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": []}, "at least one prompt, received an empty list"),
        ({"prompts": "a cat"}, "list of prompts or a file of them, received 'a cat'"),
        ({"prompts": ["a", " \t"]}, r"received ' \\t' at position 2"),
        ({"prompts": ["a", "b", "a"]}, "different prompts, received 'a' twice"),
        ({"seeds": []}, "at least one seed"),
        ({"seeds": [0, -1]}, "received -1"),
        ({"seeds": [2**63]}, f"received {2**63}"),
        ({"seeds": [0.5]}, "received 0.5"),
        ({"seeds": [1, 1]}, "different seeds, received 1 twice"),
        ({"prompts": "none.txt"}, "'none.txt'; there is none"),
        ({"categories": ["Colors"]}, "categories only with a file"),
        ({"batch_size": 0}, "batch_size of at least 1, received 0"),
    ],
)
def test_bad_input_is_named_in_one_sentence(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        PromptsAndSeeds(**{"prompts": ["a"], **settings})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-3", [0, 1, 2, 3]), ("7", [7]), ("0-1, 5,8 - 9", [0, 1, 5, 8, 9])],
)
def test_seeds_can_be_ranges(text, seeds):
    assert parse_seeds(text) == seeds
    assert {g.seed for g in PromptsAndSeeds(["a"], text).generations} == set(seeds)


@pytest.mark.parametrize(
    "text", ["", "a", "3-1", "1-", "-1", "1.5", "0-99999999", "1 2"]
)
def test_other_texts_are_no_seeds(text):
    with pytest.raises(ValueError, match=r"range such as '0-99', .* received"):
        parse_seeds(text)


def test_a_file_says_all_that_a_generation_needs(tmp_path):
    path = tmp_path / "job.jsonl"
    path.write_text(
        '{"prompt": "a cat", "class": "lynx", "image": "cat.png", "id": "mine"}\n'
        '{"prompt": "a dog", "negative_prompt": "", "guide_prompt": "b", "seed": 9}\n'
    )
    data = PromptsAndSeeds(str(path), seeds=[0, 1], negative_prompt="blurry")
    cats, dog = data.generations[:2], data.generations[2]
    assert [(g.seed, g.target, g.image, g.name) for g in cats] == [
        (0, "lynx", "cat.png", "mine"),
        (1, "lynx", "cat.png", "mine"),
    ]
    assert cats[0].id.startswith("mine-s0-")
    assert (dog.seed, dog.negative_prompt, dog.guide_prompt) == (9, "", "b")
    assert cats[0].negative_prompt == "blurry"
    assert len(data.generations) == 3


def test_categories_select_of_drawbench(tmp_path):
    path = tmp_path / "drawbench.csv"
    path.write_text("Prompts,Category\na red cat,Colors\nfour dogs,Counting\n")
    data = PromptsAndSeeds(str(path), [0], categories=["Counting"])
    assert [g.prompt for g in data.generations] == ["four dogs"]


def test_a_file_that_asks_for_the_same_twice_is_refused(tmp_path):
    path = tmp_path / "job.csv"
    path.write_text("prompt,seed\na cat,1\na cat,\n")
    with pytest.raises(ValueError, match="different generations"):
        PromptsAndSeeds(str(path), seeds=[0, 1])


class Recorder(LightningModule):
    """Takes part in a run and writes down what it is given."""

    num_updates = 3

    def __init__(self):
        super().__init__()
        self.latents = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def updates(self):
        return range(self.num_updates)

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        return self.latents.sum()

    def predict_step(self, batch, batch_idx):
        self.seen.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.fixture
def trainer(tmp_path):
    return Trainer(
        accelerator="cpu",
        logger=False,
        max_epochs=2,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.mark.filterwarnings("ignore")
def test_a_training_batch_is_the_number_of_an_update(trainer):
    module = Recorder()
    trainer.fit(module, datamodule=PromptsAndSeeds(["a"]))
    assert module.seen == [0, 1, 2, 0, 1, 2]


@pytest.mark.filterwarnings("ignore")
def test_an_epoch_that_resumes_has_the_updates_that_are_left(trainer):
    class Resumed(Recorder):
        def updates(self):
            return range(2 - self.current_epoch, self.num_updates)

    module = Resumed()
    trainer.fit(module, datamodule=PromptsAndSeeds(["a"]))
    assert module.seen == [2, 1, 2]


@pytest.mark.filterwarnings("ignore")
def test_a_prediction_batch_is_a_batch_of_generations(trainer):
    module, data = Recorder(), PromptsAndSeeds(["a", "b"], [0, 1, 2], batch_size=4)
    module.work = Work(data.batches(), count_alone(), list)
    trainer.predict(module, datamodule=data)
    assert module.seen == list(data.batches())


def test_loaders_need_a_trainer():
    with pytest.raises(RuntimeError, match="belongs to no trainer"):
        PromptsAndSeeds(["a"]).train_dataloader()
