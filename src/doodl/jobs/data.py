"""The job: every prompt with every seed, cut into batches of generations.

An epoch of the trainer is one batch of generations and a training batch is one
update, so the training loader counts updates; the prediction loader hands over the
batches themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader
from typing_extensions import override

from doodl.files import named
from doodl.generation import Generation
from doodl.jobs.checks import (
    check_file,
    check_prompts,
    check_seeds,
    check_text,
    parse_seeds,
)
from doodl.jobs.generations import Batches, Generations
from doodl.jobs.loaders import DealtBatches, RemainingUpdates, passthrough_loader
from doodl.jobs.prompts import Row, read_prompts


class PromptsAndSeeds(LightningDataModule):
    """Every prompt with every seed, in batches.

    Args:
        prompts: what to draw, each different; or a file of them: `.txt` with one a
            line, `.csv` or `.jsonl` with `prompt` and, where wanted, `negative_prompt`,
            `guide_prompt`, `class`, `image`, `seed` and `id`, or DrawBench's CSV.
        seeds: of the initial noise, each different; every prompt gets all of them. A
            list, or a text such as `0-99` or `0-3,7`.
        batch_size: generations that a process optimises at a time.
        negative_prompt: what the model is led away from, where a file does not say;
            None and `""` are nothing.
        categories: of a DrawBench file, to keep only these.
        images: picture files that every prompt gets, one after the other: to edit, or
            to be like. Without prompts the prompt is empty.
        target: the class that a classifier guides to, where a file does not say.

    Raises:
        ValueError: a list is empty or repeats itself, a prompt is blank, a seed is
            outside [0, 2^63), `batch_size` is below 1, or a file cannot be used.
    """

    def __init__(
        self,
        prompts: list[str] | str | None = None,
        seeds: Sequence[int] | int | str = (0, 1),
        batch_size: int = 4,
        negative_prompt: str | None = "",
        categories: list[str] | None = None,
        images: list[str] | None = None,
        target: str | int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(
                f"Expected a batch_size of at least 1, received {batch_size}."
            )
        seeds = parse_seeds(seeds) if isinstance(seeds, str) else seeds
        seeds = [seeds] if isinstance(seeds, int) else seeds
        check_seeds(seeds)
        negative_prompt = negative_prompt or ""
        check_text("negative_prompt", negative_prompt)
        self.batch_size = batch_size
        if isinstance(prompts, str):
            check_file(prompts)
            rows = read_prompts(prompts, categories)
        elif prompts is None and images:
            rows = [Row("")]
        else:
            check_prompts(prompts or [])
            if categories is not None:
                raise ValueError(
                    "Expected categories only with a file of prompts, received them "
                    "with a list; leave them out."
                )
            rows = [Row(prompt) for prompt in prompts or []]
        default = None if target is None else str(target)
        rows = [replace(r, class_name=r.class_name or default) for r in rows]
        if images:
            images = [str(named(image, "a picture")) for image in images]
            rows = [
                replace(r, image=r.image or image) for r in rows for image in images
            ]
        self.generations = Generations(rows, seeds, negative_prompt)

    def batches(self) -> Batches:
        """All generations in order, `batch_size` at a time, for any number of ranks."""
        return Batches(self.generations, self.batch_size)

    @override
    def train_dataloader(self) -> DataLoader[int]:
        """The numbers of the updates that the current batch still needs."""
        module: Any = self._trainer().lightning_module
        updates = RemainingUpdates(module.updates, module.num_updates)
        return passthrough_loader(updates)

    @override
    def predict_dataloader(self) -> DataLoader[list[Generation]]:
        """The batches of this process, each taken when the one before is done."""
        module: Any = self._trainer().lightning_module
        batches = DealtBatches(module.work, len(self.batches()))
        return passthrough_loader(batches)

    @override
    def transfer_batch_to_device(
        self, batch: Any, device: Any, dataloader_idx: int
    ) -> Any:
        """Return the batch unchanged: texts and numbers live on no device."""
        return batch

    def _trainer(self) -> Any:
        if self.trainer is None:
            raise RuntimeError("The data belongs to no trainer yet; pass it to fit().")
        return self.trainer
