"""Compares compositions of method, rule and gradient at equal numbers of network calls.

    python benchmarks/quality_per_call.py [NAME ...] [--budgets 250 500] [--prompts 8]
        [--seeds 1] [--model FOLDER] [--folder results/quality] [--picture FILE]
        [--output benchmarks/results]

Prompts and seeds are those of tuning (`splits.py`), so that no table uses them. A call
is one guided prediction; the gradient of a call counts 1.4 more, and what an adjoint
repeats counts again (`gradient_calls`). Guide, judge and decoder are not counted. Every
line is the picture that the guide preferred within the budget. The same command goes on
with what is finished; `--budgets` beyond what was run runs it again. The gains compare
with all updates of the paper's rule that were run; 50 take a budget of 4840.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from budgets import PAPER, Run, Scores, gains, load, report, save
from compositions import NAMES, Composition, composition
from quality_picture import draw
from splits import rows, seeds
from torch import Tensor, nn

from doodl import latents as pairs
from doodl.baselines import BestOfN, OneStep
from doodl.callbacks import Multicrop
from doodl.generation import Generation
from doodl.guides import Classifier, CLIPText, Ensemble, Guide
from doodl.jobs.checks import parse_seeds
from doodl.optimizer import LatentSGD
from doodl.pretrained.folders import SHAPES
from doodl.render_settings import RenderSettings
from doodl.rendering import Batch, Renderer
from doodl.sampling.adjoints import gradient_calls
from doodl.shapes.judge import AttributeJudge
from doodl.trajectory import Rendering
from doodl.white_noise import whiteness

BATCH = 8
BASELINES = ("best of n", "one step 10", "one step 20", "one step 40")


def watchers(folder: Path, application: str) -> tuple[Guide, Guide]:
    """Return guide and judge of an application, from a world's folder."""
    if application == "clip_text":
        names = ("guide", "guide_b", "guide_c")
        guide = Ensemble([CLIPText(str(folder / name)) for name in names])
        return guide, CLIPText(str(folder / "judge"))
    return Classifier(str(folder / "fine")), Classifier(str(folder / "fine_judge"))


def renderer_of(folder: Path, application: str, **settings: Any) -> Renderer:
    """Return a renderer with the pipeline, guide, judge and verdict of a world."""
    guide, judge = watchers(folder, application)
    chosen = RenderSettings(
        guide,
        judge=judge,
        verdict=AttributeJudge(str(folder / "attributes")),
        guidance_scale=5.0,
        **settings,
    )
    return Renderer.load(str(folder / "pipeline"), chosen)


def optimise(
    renderer: Renderer, short: Renderer, batch: Batch, parts: Composition, count: int
) -> Iterator[Rendering]:
    """Yield the renderings of `count` updates, the first one before them.

    Early updates, which the `short` renderer makes, are not rendered.
    """
    views = Multicrop(parts.num_cutouts, cutout_size=40)
    latents = nn.Parameter(renderer.initial(batch))
    optimizer = parts.optimizer([latents])
    optimizer.start(batch.seeds)
    early = parts.early[0]
    for update in range(early):
        final = short.sample(latents, batch)
        latents.grad = None
        short.losses(final, batch, update, views).total.sum().backward()
        optimizer.step()
    for update in range(early, early + count):
        final = renderer.sample(latents, batch)
        losses = renderer.losses(final, batch, update, views)
        pixels = losses.pixels[0]
        rendering = renderer.score(final, pixels, batch, update=update, latents=latents)
        yield rendering
        latents.grad = None
        losses.total.sum().backward()
        optimizer.step()
    yield renderer.render(latents, batch, update=early + count)


def sample(
    renderer: Renderer, batch: Batch, name: str, budget: float
) -> Iterator[Rendering]:
    """Yield the renderings of a baseline."""
    start, steps = renderer.initial(batch), len(renderer.sampler.steps)
    if name == "best of n":
        yield from BestOfN(int(budget // steps))(renderer, batch, start, 1)
    else:
        *_, last = OneStep(float(name.split()[-1]))(renderer, batch, start, 1)
        yield last


def run(
    make: Callable[..., Renderer],
    name: str,
    generations: Sequence[Generation],
    budget: int,
) -> Run:
    """Return what a composition or a baseline makes within a number of calls."""
    baseline = name in BASELINES
    parts = Composition({"num_steps": 20}, LatentSGD, 0)
    parts = parts if baseline else composition(name)
    settings, (early, few) = parts.settings, parts.early
    renderer = make(**settings)
    short = make(**settings | {"num_steps": few}) if early else renderer
    moves, steps = renderer.sampler.moves(), len(renderer.sampler.steps)
    found = gradient_calls(renderer.sampler.adjoint, moves)
    chain = gradient_calls(short.sampler.adjoint, short.sampler.moves())
    first = found.forward + early * chain.equivalents
    each, kept = found.equivalents, found._replace(repeated=0).equivalents
    if baseline:
        first, each = (steps, steps) if name == "best of n" else (4 * steps, 0)
        kept = each
    made = Run(budget, first, each, kept, {})
    for begin in range(0, len(generations), BATCH):
        some = generations[begin : begin + BATCH]
        batch = renderer.prepare(some)
        noise = pairs.draw(batch.seeds, renderer.shape)[None]
        original = renderer.render_ddim(noise, batch, update=0).pixels
        count = int((budget - first) // kept) if kept and budget > first else 0
        shown = (
            sample(renderer, batch, name, budget)
            if baseline
            else optimise(renderer, short, batch, parts, count)
        )
        columns = [scores_of(rendering, original) for rendering in shown]
        for generation, line in zip(some, zip(*columns, strict=True), strict=True):
            made.scores[key_of(generation)] = list(line)
    return made


def key_of(generation: Generation) -> tuple[str, int]:
    """Return the prompt with its class, and the seed."""
    target = f" ({generation.target})" if generation.target else ""
    return generation.prompt + target, generation.seed


def scores_of(rendering: Rendering, original: Tensor) -> list[Scores]:
    """Return the scores of every generation of a rendering.

    `moved` is the root mean square distance of the pixels from the original image.
    """
    judge, z, change = rendering.judge, rendering.latents, rendering.pixels - original
    columns = {
        "guide": rendering.guide,
        "judge": torch.full_like(rendering.guide, math.nan) if judge is None else judge,
        "right": torch.tensor([float(bool(v)) for v in rendering.verdicts]),
        "whiteness": torch.full_like(rendering.guide, math.nan)
        if z is None
        else whiteness(z).mean(dim=0),
        "kurtosis": torch.full_like(rendering.guide, math.nan)
        if z is None
        else pairs.properties(z)["kurtosis"],
        "moved": change.square().flatten(1).mean(dim=1).sqrt(),
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*NAMES, *BASELINES])
    parser.add_argument(
        "--application", choices=("clip_text", "classifier"), default="clip_text"
    )
    parser.add_argument("--budgets", nargs="+", type=int, default=[250, 500])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--model", type=Path, default=SHAPES)
    parser.add_argument("--folder", type=Path, default=Path("results/quality"))
    parser.add_argument("--picture", type=Path, help="of the curves, PNG or SVG")
    parser.add_argument("--output", type=Path, help="of calls.md and gains.md")
    known = parser.parse_args()
    torch.set_num_threads(1)
    folder = known.folder / known.application
    found = rows(known.application, "tuning", known.prompts, folder / "prompts")
    make = partial(renderer_of, known.model, known.application)
    numbers = parse_seeds(seeds("tuning", known.seeds))
    generations = [
        Generation(r["prompt"], s, target=r.get("class"))
        for r in found
        for s in numbers
    ]
    keys, most = {key_of(g) for g in generations}, max(known.budgets)
    runs: dict[str, Run] = {}
    for name in known.names:
        path = folder / known.model.name / f"{name}.json"
        made = load(path, keys)
        if made is None or made.budget < most:
            print(f"running {name}", flush=True)
            made = run(make, name, generations, most)
            save(made, path)
        runs[name] = made
    texts = {"calls": report(runs, known.budgets)}
    if PAPER in runs and runs[PAPER].budget >= runs[PAPER].first:
        texts["gains"] = gains(runs)
    end = "" if known.application == "clip_text" else f"_{known.application}"
    for name, text in texts.items():
        print(text)
        if known.output:
            known.output.mkdir(parents=True, exist_ok=True)
            (known.output / f"{name}{end}.md").write_text(f"{text}\n", encoding="utf-8")
    if known.picture:
        draw(runs, known.picture)


if __name__ == "__main__":
    main()
