"""What all tests share: one thread, handed-in randomness, and a world of tiny networks.

`world` has the layout of the package's own weights and the true architectures, with
random weights and 32 px pictures.
"""

import json
import os
from dataclasses import dataclass, field

import pytest
import torch

from browser import browser  # noqa: F401

# No test asks the network for anything; the hub's client reads this when imported.
os.environ["HF_HUB_OFFLINE"] = "1"

TINY = 32
"""Side of the tiny world's pictures, in pixels."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Gradients of convolutions differ between one thread and two; tests that ask
    # for equal bits, and machines that run several at once, want one.
    torch.set_num_threads(1)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with networks of the names that the package's own have."""
    from doodl.shapes.aesthetic import save_head
    from doodl.shapes.attributes import NUM_LOGITS
    from doodl.shapes.fine import CLASSES

    folder = tmp_path_factory.mktemp("world")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _pipeline().save_pretrained(folder / "pipeline")
        _save_clip(folder / "guide", width=8)
        _save_clip(folder / "judge", width=16)
        for name, width in (("guide_b", 8), ("guide_c", 24), ("referee", 16)):
            _save_clip(folder / name, width=width)
        _save_classifier(folder / "attributes", NUM_LOGITS)
        for name in ("fine", "fine_judge"):
            _save_classifier(folder / name, len(CLASSES))
            (folder / name / "labels.txt").write_text("\n".join(CLASSES))
        save_head(torch.randn(1, 128), torch.tensor([5.0]), folder / "aesthetic")
    return folder


@pytest.fixture
def shapes(world, monkeypatch):
    """Lets `shapes` name the tiny world."""
    monkeypatch.setattr("doodl.pretrained.folders.SHAPES", world)
    return world


@pytest.fixture(scope="session")
def model(world):
    """The tiny pipeline, loaded once; it is frozen, so tests can share it."""
    from doodl.pretrained import load_text_to_image

    return load_text_to_image(str(world / "pipeline"))


@pytest.fixture
def counted(model, monkeypatch):
    """Counts the calls of the U-Net: sizes of their batches, `grad` and without."""
    calls = Calls()
    network = model.denoiser.forward

    def forward(z, *args, **kwargs):
        (calls.grad if torch.is_grad_enabled() else calls.no_grad).append(len(z))
        return network(z, *args, **kwargs)

    monkeypatch.setattr(model.denoiser, "forward", forward)
    return calls


@dataclass
class Calls:
    grad: list[int] = field(default_factory=list)
    no_grad: list[int] = field(default_factory=list)


@pytest.fixture
def fit(model, monkeypatch, tmp_path):
    """Runs `fit` or `predict` of tiny generations; returns the module.

    Keywords are the module's, except those of the data, the trainer and callbacks.
    """
    from lightning import Trainer

    from doodl.events import GenerationCallback
    from doodl.guided_generation import GuidedGeneration
    from doodl.guides import Symmetry
    from doodl.jobs.data import PromptsAndSeeds

    monkeypatch.setattr("doodl.pretrained.load_text_to_image", lambda *args: model)

    class Keep(GenerationCallback):
        """Keeps each batch's trajectory and every rendering, in order."""

        changes_images = False

        def setup(self, trainer, pl_module, stage):
            self.module = pl_module
            pl_module.kept, pl_module.renderings, pl_module.terms = [], [], []

        def on_rendered(self, trajectory, rendering, terms):
            self.module.renderings.append(rendering)
            self.module.terms.append(terms)

        def on_generations_end(self, trajectory):
            self.module.kept.append(trajectory)

    def run(
        prompts=("a red circle", "a blue star"),
        seeds=(0,),
        *,
        batch_size=4,
        callbacks=(),
        trainer=None,
        stage="fit",
        module=None,
        **settings,
    ):
        defaults = {"num_steps": 2, "num_updates": 2, "mixing": 0.8}
        guide = settings.pop("guide", None) or Symmetry()
        data = PromptsAndSeeds(
            prompts and list(prompts),
            seeds=list(seeds),
            batch_size=batch_size,
            images=settings.pop("images", None),
        )
        module = module or GuidedGeneration("own/tiny", guide, **defaults | settings)
        runner = Trainer(
            **{"inference_mode": False, **QUIET, **(trainer or {})},
            default_root_dir=tmp_path,
            callbacks=[*callbacks, Keep()],
        )
        getattr(runner, stage)(module, datamodule=data)
        return module

    return run


QUIET = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "enable_progress_bar": False,
}


def _pipeline():
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from doodl.shapes.diffusion import make_pipeline
    from doodl.shapes.tokenizer import CONTEXT, make_tokenizer

    tokenizer = make_tokenizer()
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=TINY,
        scaling_factor=0.7,
        mid_block_add_attention=False,
    )
    unet = UNet2DConditionModel(
        sample_size=TINY // 4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            projection_dim=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return make_pipeline(vae, unet, encoder)


def _save_clip(folder, *, width):
    from doodl.shapes.towers import clip_config, make_clip, save_clip

    vision = {"layers": 1, "width": width, "head_width": 8, "patch_size": 8}
    config = clip_config({**vision, "image_size": TINY}, width=16, layers=1)
    config["preprocess_cfg"]["size"] = TINY
    save_clip(make_clip(config), config, folder)


def _save_classifier(folder, classes):
    import timm
    from safetensors.torch import save_file

    name = "test_resnet"
    network = timm.create_model(name, num_classes=classes)
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    config = {"architecture": name, "num_classes": classes}
    config["pretrained_cfg"] = {
        "input_size": [3, TINY, TINY],
        "num_classes": classes,
    }
    (folder / "config.json").write_text(json.dumps(config))
