"""FID and KID of each group of classes against renders of its classes."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchvision.utils import save_image

from doodl.evaluation.markdown import cell, table
from doodl.evaluation.metrics import ClipFeatures, features
from doodl.evaluation.scores import Scored
from doodl.evaluation.statistics import LEVEL, Interval
from doodl.evaluation.summary import Evaluation
from doodl.jobs.data import PromptsAndSeeds
from doodl.pretrained import load_clip
from doodl.shapes.renderer import render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.words import KINDS, PATTERNS

if TYPE_CHECKING:
    from draws import Row
    from tasks import Task

COMPONENTS = 8
"""Principal components of the judge CLIP's features that FID compares."""
RENDERS = 240
"""Renders of a group, and of all groups for the components."""
PAPER = "DOODL −3.2%, −5.3%, −0.4% and one-step +6.1%, +0.27%, +13.7%"
Grouped = dict[str, dict[str, list[Tensor]]]
"""Features of pictures (D,), by group of classes and by prompt."""


class Same(nn.Module):
    """Gives features as they are to torchmetrics.

    Args:
        size: their number.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.num_features = size

    def forward(self, values: Tensor) -> Tensor:
        """Return the features."""
        return values


def group_of(target: str) -> str:
    """Return the group of a class as "striped house": its kind."""
    return target.rpartition(" ")[2]


def group_distances(
    evaluation: Evaluation, made: Task, rows: Sequence[Row], folder: Path
) -> list[str]:
    """Return FID and KID by group of classes, and their change from the original."""
    network = ClipFeatures(load_clip("shapes/judge"))
    classes = sorted({row["class"] for row in rows})
    basis = components(features(references(classes, folder / "basis", 12), network))
    targets = {g.id: str(g.target) for g in PromptsAndSeeds(**made.data).generations}
    methods = {
        m.name: grouped(m, targets, lambda paths: basis(features(paths, network)))
        for m in evaluation.methods
    }
    groups = sorted({group_of(name) for name in classes})
    lines = []
    for number, group in enumerate(groups):
        own = [name for name in classes if group_of(name) == group]
        paths = references(own, folder / f"real_{group}", 13 + number)
        real = basis(features(paths, network))
        found = {name: some.get(group, {}) for name, some in methods.items()}
        least = min(fewest(some) for some in found.values())
        if least <= COMPONENTS:
            return [
                f"FID of {COMPONENTS} features needs at least {COMPONENTS + 1} "
                "pictures of each group without any one of its prompts, received "
                f"{least} of {group}: left out."
            ]
        lines += group_rows(group, real, found)
    header = ["group", "", "FID", "change from the original"]
    header += ["KID", "change from the original"]
    note = (
        f"Features are the first {COMPONENTS} principal components of the judge CLIP's "
        "embeddings; 95% intervals come from a jackknife over a group's prompts."
    )
    lines = table(header, lines)
    return ["\n".join(lines), f"{note} The paper, change of FID: {PAPER}."]


def fewest(found: dict[str, list[Tensor]]) -> int:
    """Return the number of pictures that are left without the largest prompt."""
    sizes = [len(values) for values in found.values()]
    return sum(sizes) - max(sizes, default=0)


def group_rows(
    group: str, real: Tensor, found: dict[str, dict[str, list[Tensor]]]
) -> list[list[str]]:
    """Return a row for each method."""
    prompts = sorted(set.intersection(*(set(some) for some in found.values())))

    def measured(name: str, left_out: str | None = None) -> tuple[float, float]:
        kept = [p for p in prompts if p != left_out]
        made = torch.stack([v for p in kept for v in found[name][p]])
        return distance(real, made), kernel_distance(real, made)

    places = [None, *prompts]
    values = {name: [measured(name, place) for place in places] for name in found}
    rows = []
    for name, made in values.items():
        (fid, kid), changes = made[0], ["–", "–"]
        if "original" in values and name != "original":
            base = values["original"]
            pairs = list(zip(made, base, strict=True))
            ratios = [100 * (a[0] / b[0] - 1) for a, b in pairs]
            differences = [a[1] - b[1] for a, b in pairs]
            changes = [
                f"{cell(jackknife(ratios), signed=True)}%",
                cell(jackknife(differences), signed=True),
            ]
        rows.append([group, name, f"{fid:.4f}", changes[0], f"{kid:.4f}", changes[1]])
    return rows


def jackknife(values: Sequence[float]) -> Interval:
    """Return the interval of an estimate, from those that leave out one prompt each.

    A bootstrap repeats pictures, which makes every FID larger; this does not.

    Args:
        values: the estimate of all prompts, then one without each prompt.
    """
    mean, without = values[0], np.array(values[1:])
    count = len(without)
    error = math.sqrt((count - 1) / count * np.square(without - without.mean()).sum())
    width = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * error
    return Interval(mean, mean - width, mean + width, count, count, count)


def grouped(
    method: Scored, targets: dict[str, str], encode: Callable[[list[Path]], Tensor]
) -> dict[str, dict[str, list[Tensor]]]:
    """Return the features of a method's results by group and prompt."""
    results = [r for r in method.method.results.values() if r.after is not None]
    found: Grouped = defaultdict(lambda: defaultdict(list))
    values = encode([result.after for result in results if result.after])
    for result, value in zip(results, values, strict=True):
        found[group_of(targets[result.name])][result.prompt].append(value)
    return found


def components(values: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the projection of features on the principal components of (N, D)."""
    mean = values.mean(dim=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the decomposition is a randomised one
        _, _, basis = torch.pca_lowrank(values, q=COMPONENTS)
    return lambda some: (some - mean) @ basis


def distance(real: Tensor, made: Tensor) -> float:
    """Return torchmetrics' FID of features (N, D) and (M, D)."""
    fid = FrechetInceptionDistance(Same(real.shape[1]))
    fid.update(real, real=True)
    fid.update(made, real=False)
    return float(fid.compute())


def kernel_distance(real: Tensor, made: Tensor) -> float:
    """Return torchmetrics' KID of features (N, D) and (M, D)."""
    size = min(len(real), len(made))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # KID says that it keeps all features
        torch.manual_seed(0)  # and draws its subsets
        kid = KernelInceptionDistance(Same(real.shape[1]), subsets=50, subset_size=size)
        kid.update(real, real=True)
        kid.update(made, real=False)
        return float(kid.compute()[0])


def references(classes: Sequence[str], folder: Path, seed: int) -> list[Path]:
    """Render `RENDERS` pictures of classes in turn, once; return their files."""
    paths = [folder / f"{index}.png" for index in range(RENDERS)]
    if all(path.is_file() for path in paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    scenes = draw_scenes(RENDERS, generator, held_out="with", pairs=0.0)
    for index in range(RENDERS):
        pattern, _, kind = classes[index % len(classes)].partition(" ")
        scenes.kind[index, 0] = KINDS.index(kind)
        scenes.pattern[index, 0] = PATTERNS.index(pattern)
    for pixels, path in zip(render(scenes), paths, strict=True):
        save_image(pixels, path)
    return paths
