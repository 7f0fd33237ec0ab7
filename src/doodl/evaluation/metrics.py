"""Metrics of pictures, by torchmetrics with networks of ours or its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, interpolate
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.multimodal import CLIPScore
from typing_extensions import override

from doodl.images import cover, load
from doodl.pretrained import Clip

BATCH = 64
"""Pictures that a network sees at once."""
MOST_PSNR = 60.0
"""Decibels of equal pictures, in place of infinity."""
LPIPS_WEIGHTS = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
"""Files of torchvision that LPIPS needs, by network."""
INCEPTION_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
"""File of torch-fidelity that FID and KID need."""


class ClipFeatures(nn.Module):
    """A CLIP as a feature module of torchmetrics.

    Args:
        clip: the network.
    """

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.network, self.clip = clip.network, clip
        blank = torch.zeros(1, 3, clip.image_size, clip.image_size)
        self.num_features = int(self(blank).shape[1])

    @override
    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Return embeddings (N, D) of pixels (N, 3, H, W) in [0, 1]."""
        return self.clip.encode_image(normalised(pixels, self.clip))


def normalised(pixels: Tensor, clip: Clip) -> Tensor:
    """Return pixels (N, 3, H, W) in [0, 1] as a CLIP takes them."""
    size = (clip.image_size, clip.image_size)
    if pixels.shape[-2:] != size:
        pixels = interpolate(
            pixels, size, mode="bicubic", antialias=True, align_corners=False
        ).clamp(0, 1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (clip.mean, clip.std))
    return (pixels - mean) / std


class _ClipModel(nn.Module):
    """A CLIP with the method names of transformers, for `CLIPScore`."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip, self.config = clip, SimpleNamespace()

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        return self.clip.encode_image(pixel_values)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.clip.encode_text(input_ids)


def clip_score(clip: Clip) -> CLIPScore:
    """Return torchmetrics' CLIPScore by any CLIP; pictures are pixels in [0, 1]."""

    def process(
        text: list[str] | None = None,
        images: Sequence[Tensor] | None = None,
        **options: Any,
    ) -> dict[str, Tensor]:
        if images is not None:
            return {"pixel_values": normalised(torch.stack(list(images)), clip)}
        tokens = clip.tokenize(text or [])
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

    return CLIPScore(lambda: (_ClipModel(clip), process))  # type: ignore[arg-type]


@torch.no_grad()
def clip_scores(
    paths: Sequence[Path], prompts: Sequence[str], clip: Clip
) -> list[float]:
    """Return torchmetrics' CLIPScore of each picture, 100 max(0, cos(image, text))."""
    metric = clip_score(clip)
    return [
        float(metric(load(path), prompt))
        for path, prompt in zip(paths, prompts, strict=True)
    ]


def batches(
    paths: Sequence[Path], size: tuple[int, int] | None = None
) -> Iterator[Tensor]:
    """Yield the pictures of files, `BATCH` at a time, (N, 3, H, W) in [0, 1].

    Args:
        paths: of the files.
        size: height and width that pictures are scaled and cropped to; None if all have
            one size.
    """
    for start in range(0, len(paths), BATCH):
        pictures = [load(path) for path in paths[start : start + BATCH]]
        yield torch.stack([cover(p, *size) if size else p for p in pictures])


def features(paths: Sequence[Path], network: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the features (N, D) of picture files."""
    return torch.cat([network(pixels) for pixels in batches(paths)])


def movements(
    before: Sequence[Path], after: Sequence[Path], network: ClipFeatures | None
) -> dict[str, list[float]]:
    """Return how far pictures have moved from their originals.

    Args:
        before: files of the originals.
        after: files of the results, of the same size.
        network: makes the features whose distance `moved` is, 1 minus the cosine.

    Returns:
        `psnr` in dB, at most `MOST_PSNR`, and with a network `moved`.
    """
    found: dict[str, list[float]] = {"psnr": []}
    for a, b in zip(batches(before), batches(after), strict=True):
        ratio = peak_signal_noise_ratio(
            b, a, data_range=1.0, dim=(1, 2, 3), reduction="none"
        )
        found["psnr"] += ratio.clamp(max=MOST_PSNR).tolist()
        if network is not None:
            moved = 1 - cosine_similarity(network(a), network(b), dim=1)
            found.setdefault("moved", []).extend(moved.tolist())
    return found


def distances(
    real: Sequence[Path], made: Sequence[Path], network: nn.Module | None
) -> dict[str, float]:
    """Return FID and KID of pictures to real ones.

    Args:
        real: files of real pictures, which are scaled and cropped to the size of the
            made ones.
        made: files of made pictures.
        network: makes features (N, `num_features`) of pixels in [0, 1]; None for
            torchmetrics' own Inception.

    Raises:
        ValueError: there are not more pictures than features, so that FID's covariance
            would be singular, or Inception's weights are not on this machine.
    """
    if network is None:
        require_weights("FID with Inception", INCEPTION_WEIGHTS)
    size: Any = 2048 if network is None else network.num_features
    least = min(len(real), len(made))
    if least <= size:
        raise ValueError(
            f"FID with {size} features needs at least {size + 1} pictures on both "
            f"sides, received {len(real)} real and {len(made)} made ones; add pictures "
            "or choose a smaller feature network."
        )
    feature: Any = 2048 if network is None else network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KID says that it keeps all features
        fid = FrechetInceptionDistance(feature, normalize=True)
        kid = KernelInceptionDistance(
            feature, subsets=50, subset_size=min(1000, least), normalize=True
        )
    height, width = load(made[0]).shape[-2:]
    for paths, is_real in ((real, True), (made, False)):
        for pixels in batches(paths, (height, width)):
            fid.update(pixels, real=is_real)
            kid.update(pixels, real=is_real)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # KID draws its subsets
        mean, _ = kid.compute()
    return {"fid": float(fid.compute()), "kid": float(mean)}


def check_lpips(network: str) -> None:
    """Refuse a network that LPIPS does not have, or that would be downloaded.

    Raises:
        ValueError: there is no such network, or its weights are not on this machine.
    """
    if network not in LPIPS_WEIGHTS:
        raise ValueError(
            f"Expected LPIPS with {', '.join(LPIPS_WEIGHTS)}, received '{network}'."
        )
    require_weights(f"LPIPS with {network}", LPIPS_WEIGHTS[network])


def lpips(before: Sequence[Path], after: Sequence[Path], network: str) -> list[float]:
    """Return LPIPS of each result to its original; nothing is downloaded.

    Raises:
        ValueError: `check_lpips` refuses the network.
    """
    check_lpips(network)
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    metric = LearnedPerceptualImagePatchSimilarity(network, normalize=True)  # type: ignore[arg-type]
    pairs = zip(before, after, strict=True)
    return [float(metric(load(a)[None], load(b)[None])) for a, b in pairs]


def require_weights(what: str, file: str) -> None:
    """Refuse a network whose weights would have to be downloaded.

    Raises:
        ValueError: the file is not in torch's folder of checkpoints.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        raise ValueError(
            f"{what} needs the weights '{path}', which are not there; save them there."
        )
