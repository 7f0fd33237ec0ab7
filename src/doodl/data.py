"""What is to be made: prompts x seeds, cut into batches of generations.

An epoch of the trainer is one batch of generations and a training batch is one
update, so the training loader counts updates; the prediction loader hands over the
batches themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader
from typing_extensions import override


@dataclass(frozen=True)
class Generation:
    """One picture to be made.

    Attributes:
        prompt: what the model is asked for.
        seed: of the initial noise, of the crops and of the optimiser's noise.
        negative_prompt: what the model is led away from.
        guide_prompt: what the guide is asked for, if not the prompt.
    """

    prompt: str
    seed: int
    negative_prompt: str = ""
    guide_prompt: str | None = None

    @property
    def id(self) -> str:
        """A file name for it, readable and different wherever any field is.

        Example: `a-green-heart-above-a-red-ring-s0-1b2c3d4e`.
        """
        content = json.dumps(astuple(self)).encode()
        digest = hashlib.blake2b(content, digest_size=4).hexdigest()
        return f"{_slug(self.prompt)}-s{self.seed}-{digest}"


def _slug(text: str, length: int = 48) -> str:
    """Lower-case letters and digits joined by hyphens; accents are dropped."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return words[:length].rstrip("-") or "prompt"


def make_generations(
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    negative_prompt: str = "",
    guide_prompt: str | None = None,
) -> list[Generation]:
    """Every prompt with every seed, the seeds of one prompt next to each other."""
    return [
        Generation(prompt, seed, negative_prompt, guide_prompt)
        for prompt in prompts
        for seed in seeds
    ]


class PromptsAndSeeds(LightningDataModule):
    """Every prompt with every seed, in batches.

    Args:
        prompts: what to draw, each different.
        seeds: of the initial noise, each different; every prompt gets all of them.
        batch_size: generations that a process optimises at a time.
        negative_prompt: what the model is led away from, for all prompts.

    Raises:
        ValueError: a list is empty or repeats itself, a prompt is blank, a seed is
            outside [0, 2^63), or `batch_size` is below 1.
    """

    def __init__(
        self,
        prompts: list[str],
        seeds: Sequence[int] = (0, 1),
        batch_size: int = 4,
        negative_prompt: str = "",
    ) -> None:
        super().__init__()
        check_prompts(prompts)
        check_seeds(seeds)
        if batch_size < 1:
            raise ValueError(
                f"Expected a batch_size of at least 1, received {batch_size}."
            )
        self.batch_size = batch_size
        self.generations = make_generations(
            prompts, seeds, negative_prompt=negative_prompt
        )

    def batches(self) -> list[list[Generation]]:
        """All generations in order, `batch_size` at a time, whatever the ranks."""
        starts = range(0, len(self.generations), self.batch_size)
        return [self.generations[i : i + self.batch_size] for i in starts]

    def assigned(self, rank: int, world_size: int) -> list[list[Generation]]:
        """The batches of one process of several: whole ones, dealt in turn."""
        return self.batches()[rank::world_size]

    @override
    def train_dataloader(self) -> DataLoader[int]:
        """The numbers of the updates, as many as the module asks for."""
        module: Any = self._trainer().lightning_module
        return _one_by_one(range(module.num_updates))

    @override
    def predict_dataloader(self) -> DataLoader[list[Generation]]:
        """The batches of this process."""
        trainer = self._trainer()
        return _one_by_one(self.assigned(trainer.global_rank, trainer.world_size))

    @override
    def transfer_batch_to_device(
        self, batch: Any, device: Any, dataloader_idx: int
    ) -> Any:
        """The batch as it is: texts and numbers live on no device."""
        return batch

    def _trainer(self) -> Any:
        if self.trainer is None:
            raise RuntimeError("The data belongs to no trainer yet; pass it to fit().")
        return self.trainer


def _one_by_one(items: Any) -> DataLoader[Any]:
    return DataLoader(items, batch_size=None, collate_fn=_as_it_is, num_workers=0)


def _as_it_is(item: Any) -> Any:
    return item


def check_prompts(prompts: Sequence[str]) -> None:
    """Refuse a list of prompts that is empty, repeats itself, or has blank texts.

    Raises:
        ValueError: in each of these cases, naming the prompt.
    """
    if isinstance(prompts, str):
        raise ValueError(
            f"Expected a list of prompts, received '{prompts}'; put it in a list."
        )
    if not prompts:
        raise ValueError(
            "Expected at least one prompt, received an empty list; add a text."
        )
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(
                f"Expected prompts with at least one word, received {prompt!r} at "
                f"position {i + 1}; remove it or fill it in."
            )
    _check_distinct("prompts", prompts)


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse a list of seeds that is empty, repeats itself, or leaves [0, 2^63).

    Raises:
        ValueError: in each of these cases, naming the seed.
    """
    if not seeds:
        raise ValueError(
            "Expected at least one seed, received an empty list; add a number."
        )
    for seed in seeds:
        if not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise ValueError(
                f"Expected seeds from 0 to 2^63 - 1, received {seed!r}; choose another."
            )
    _check_distinct("seeds", seeds)


def _check_distinct(name: str, values: Sequence[Any]) -> None:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ValueError(
                f"Expected different {name}, received {value!r} twice; remove one."
            )
