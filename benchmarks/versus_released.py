"""Prints our update beside the call structure of the released code.

    python benchmarks/versus_released.py [--steps 20] [--threads 2]

The other column does what the released code does, written anew here: conditional and
unconditional predictions in two calls, nothing frozen (so that every weight's gradient
is computed), one checkpoint per whole EDICT step, one generation at a time. Same
weights, same process, same crops.
"""

from __future__ import annotations

import argparse
import copy

import torch
from measuring import Cost, cost
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from doodl import latents as pairs
from doodl.data import Generation
from doodl.guides import CLIPText, cutouts
from doodl.images import to_pixels
from doodl.pretrained import TextToImage
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.sampler import Sampler
from doodl.sampling.schedule import Step

PROMPT, SCALE, MIXING = "a green heart above a red ring", 5.0, 0.75


class Task:
    """The loss of one update for B generations, with the parts that both share."""

    def __init__(self, model: TextToImage, guide: CLIPText, batch: int) -> None:
        self.model, self.guide, self.batch = model, guide, batch
        generations = [Generation(PROMPT, seed) for seed in range(batch)]
        self.conditioning = model.conditioning([PROMPT] * batch, [""] * batch)
        self.targets = guide.prepare(generations)
        draw = pairs.draw(range(batch), model.latent_shape())
        self.latents = torch.stack((draw, draw)).requires_grad_()

    def loss(self, final: Tensor) -> Tensor:
        """Decode the pair, look at 16 crops of each image, and sum the losses."""
        pixels = to_pixels(self.model.decode(final.flatten(0, 1)))
        generators = [pairs.stream(k, "crops", 0) for k in range(len(pixels))]
        crops = cutouts.cutout(
            pixels, self.guide.input_size, generators, cutout_size=40
        )
        targets = {
            k: v.repeat(2, 1).repeat_interleave(16, 0) for k, v in self.targets.items()
        }
        return self.guide(crops.flatten(0, 1), targets).sum() / 32

    def ours(self, steps: int) -> None:
        """One gradient through our chain."""
        denoiser = GuidedDenoiser(self.model.network, SCALE)
        sampler = Sampler(self.model.schedule, denoiser, EDICT(MIXING), num_steps=steps)
        self.loss(sampler.sample(self.latents, self.conditioning)).backward()

    def released(self, steps: int) -> None:
        """One gradient through the released code's call structure."""
        x, y = self.latents.unbind()
        for index, step in enumerate(self.model.schedule.steps(steps)):
            x, y = checkpoint(self._step, x, y, step, index, use_reentrant=False)
        self.loss(torch.stack((x, y))).backward()

    def _step(
        self, x: Tensor, y: Tensor, step: Step, index: int
    ) -> tuple[Tensor, Tensor]:
        pair = [x, y]
        for k in (0, 1) if index % 2 == 0 else (1, 0):
            noise = self._noise(pair[1 - k], step.t)
            pair[k] = step.a * pair[k] + step.b * noise
        x = MIXING * pair[0] + (1 - MIXING) * pair[1]
        return x, MIXING * pair[1] + (1 - MIXING) * x

    def _noise(self, z: Tensor, t: int) -> Tensor:
        timesteps = torch.full((len(z),), t, device=z.device)
        negative = self.model.network(z, timesteps, **self.conditioning.negative)
        positive = self.model.network(z, timesteps, **self.conditioning.positive)
        return negative + SCALE * (positive - negative)


def main() -> None:
    """Measure both at one generation, and ours at four, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    known = parser.parse_args()
    torch.set_num_threads(known.threads)

    frozen, guide = TextToImage.load("shapes"), CLIPText("shapes/guide")
    guide.load()
    thawed = TextToImage(copy.deepcopy(frozen.pipeline))
    thawed_guide = copy.deepcopy(guide)
    for part in (thawed.unet, thawed.vae, thawed_guide):
        part.requires_grad_(True)
    weights = [
        *frozen.unet.parameters(),
        *thawed.unet.parameters(),
        *frozen.vae.parameters(),
        *thawed.vae.parameters(),
        *guide.parameters(),
        *thawed_guide.parameters(),
    ]
    reference = Task(thawed, thawed_guide, 1)
    theirs = cost(lambda: reference.released(known.steps), weights, known.repeats)
    print(f"T = {known.steps}, {known.threads} threads; per image, released / ours")
    print(f"{'':10}{'seconds':>9}{'faster':>9}{'FLOPs':>9}{'bytes':>9}")
    for batch in (1, 4):
        task = Task(frozen, guide, batch)
        ours = cost(lambda t=task: t.ours(known.steps), weights, known.repeats)
        print(_line(f"ours B={batch}", theirs, ours, batch))


def _line(name: str, theirs: Cost, ours: Cost, batch: int) -> str:
    seconds, flops = ours.seconds / batch, ours.flops / batch
    saved = ours.saved_bytes / batch
    return (
        f"{name:10}{seconds:9.2f}{theirs.seconds / seconds:9.2f}"
        f"{theirs.flops / flops:9.2f}{theirs.saved_bytes / saved:9.2f}"
    )


if __name__ == "__main__":
    main()
