"""What `doodl --help` and `doodl fit --help` print."""

from __future__ import annotations

import re
import shutil
import textwrap
from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from typing import Any

OVERVIEW = """\
usage: doodl COMMAND [--OPTION VALUE ...]

Guides a text-to-image diffusion model with any differentiable loss on its images.
Without any option, `doodl fit` runs a demonstration on a small embedded model.

  doodl fit       optimise the initial noise of pictures (`doodl fit --help`)
  doodl predict   sample only: the original, or a baseline
  doodl test      compare finished results: scores with intervals, wins, reasons
  doodl report    write a page that shows finished results, and a blind rating sheet
  doodl models    print the supported model families, each with a command
"""
FIT = """\
usage: doodl fit [--OPTION VALUE ...]

Optimises the initial noise of every prompt with every seed, so that a guide scores the
pictures higher. Every option has a default. Type for example

  doodl fit
  doodl fit --data.prompts '["a red ring"]' --data.seeds 0-3 --results.folder results/1
  doodl fit --config aesthetic       or classifier, clip_text, personalization, symmetry
  doodl fit --model.pretrained HUB_ID_OR_FOLDER --results.folder results/mine
  doodl fit --data.prompts prompts.txt --dry-run
"""
PREDICT = """\
usage: doodl predict [--OPTION VALUE ...]

Samples every prompt with every seed, without optimising them. Type for example

  doodl predict
  doodl predict --data.prompts '["a red ring"]' --results.folder results/ring
  doodl predict --model.baseline doodl.baselines.BestOfN --results.folder results/best
"""
GROUPS = {
    "What to make": ("data.prompts", "data.seeds", "data"),
    "The guide: the loss and its evaluation": (
        *("model.guide", "model.judge", "model.verdict", "multicrop"),
    ),
    "How to make it: the model, the chain and the updates": (
        *("model.pretrained", "model.num_steps", "model.num_updates"),
        *("model.guidance_scale", "model.mixing", "model", "early_stopping"),
    ),
    "Results": ("results", "image_logger", "trainer.logger", "trainer.callbacks"),
    "The machine": (
        *("data.batch_size", "model.execution", "progress"),
        *("trainer.accelerator", "trainer.devices", "trainer.num_nodes"),
        *("trainer.precision", "trainer.max_time"),
    ),
    "More": ("config", "print_config", "dry_run", "help_all"),
}
"""Groups of options, each with their names or the beginnings of their names."""
CONFIG_FILE = "Path to a configuration file."
"""Lightning's description of options that give a whole group as a file."""
HINTS = {
    "config": "a file of settings, or the name of a packaged one; may be repeated",
    "print_config": "print all settings, as a file to edit, and exit",
    "data.prompts": "texts, or a .txt, .csv or .jsonl file of them",
    "data.seeds": "seeds of the initial noise, such as 0-99; every prompt gets each",
    "data.negative_prompt": "what the model is led away from",
    "data.target": "class toward which a classifier guides, by name or number",
    "data.images": "picture files, to edit or to resemble",
    "model.guide": "the loss, for example doodl.guides.Symmetry",
    "model.guidance_interval": "first and last timestep with guidance, by default all",
    "model.latents_dtype": "float32 or float64, for latents and steps",
    "model.mixing": "p of EDICT; fewer steps need a smaller p",
    "model.guidance_scale": "classifier-free guidance w; 1 turns it off",
    "early_stopping.target": "score at which a generation stops, by default none",
    "early_stopping.patience": "updates without improvement before it stops",
    "model.execution": "compile, channels_last, image_by_image, offload",
    "dry_run": "check the whole job, print its estimated cost and exit",
    "help_all": "print every option, with types and all of Lightning's Trainer",
    "model.pretrained": "hub id, diffusers folder, `.safetensors` file, or `shapes`",
    "trainer.accelerator": "cpu, gpu, mps or auto",
    "trainer.devices": "number of processes, or a list of devices",
    "trainer.num_nodes": "number of machines",
    "trainer.precision": "of the networks: 32-true, bf16-true, 16-mixed, ...",
    "trainer.max_time": "DD:HH:MM:SS after which the job saves its state and stops",
    "trainer.logger": "class path of a Lightning logger, beside TensorBoard's log",
    "trainer.callbacks": "`--trainer.callbacks+=CLASS_PATH` adds a callback",
}
"""Descriptions that replace those of Lightning, or longer ones."""


class FullHelp(Action):
    """Prints every option with its type and default, as jsonargparse lists them."""

    def __init__(self, option_strings: list[str], **kwargs: Any) -> None:
        text = "print every option, with types, defaults and all of Lightning's Trainer"
        super().__init__(option_strings, "help_all", 0, default=SUPPRESS, help=text)

    def __call__(self, parser: ArgumentParser, *args: Any) -> None:
        """Print the list and exit."""
        print(parser.full_help())  # type: ignore[attr-defined]
        parser.exit()


def command_help(parser: ArgumentParser) -> str | None:
    """Return the short help of `doodl` or of a subcommand; None for other parsers."""
    names = {action.dest for action in parser._actions}
    if "subcommand" in names:
        return OVERVIEW
    command = parser.prog.split()[-1]
    if "results.folder" not in names or command not in ("fit", "predict"):
        return None
    return short_help(parser._actions, command, parser.get_defaults())  # type: ignore[attr-defined]


def short_help(
    actions: Iterable[Action], command: str, defaults: Namespace | Mapping
) -> str:
    """Return the help of `doodl fit` or `doodl predict`, one line for each option.

    Args:
        actions: the options of the command's parser.
        command: `fit` or `predict`.
        defaults: default values by the options' names.
    """
    shown = [
        a for a in actions if a.option_strings and a.option_strings[-1][:2] == "--"
    ]
    rows: dict[str, list[str]] = {title: [] for title in GROUPS}
    for action in sorted(shown, key=lambda a: place(a.dest) or ("", 0)):
        found = place(action.dest)
        if found and not action.dest.endswith(".help") and action.help != CONFIG_FILE:
            rows[found[0]].append(line(action, defaults))
    parts = [FIT if command == "fit" else PREDICT]
    parts += [f"{title}\n" + "\n".join(found) for title, found in rows.items() if found]
    return "\n\n".join(part.rstrip() for part in parts) + (
        "\n\nIn brackets: the default. A class is chosen by its path, and its options "
        "follow its name:\n"
        "--model.guide doodl.guides.CLIPText --model.guide.model ViT-B-32:openai, "
        "listed by\n--model.guide.help doodl.guides.CLIPText.\n"
    )


def place(name: str) -> tuple[str, int] | None:
    """Return an option's group and the position of its prefix in it, or None.

    The longest prefix decides: `model.guide` belongs to another group than `model`.
    """
    fits = {
        start: (title, position)
        for title, starts in GROUPS.items()
        for position, start in enumerate(starts)
        if name == start or name.startswith(f"{start}.")
    }
    return fits[max(fits, key=len)] if fits else None


def line(action: Action, defaults: Namespace | Mapping) -> str:
    """Return "--name  description [default]", cut to the width of the terminal."""
    text = HINTS.get(action.dest) or re.split(r"[;:.]\s|\.$", action.help or "")[0]
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    name = action.option_strings[-1].removesuffix("+")
    value = defaults.get(action.dest)
    default = "" if value is None else f" [{value}]"
    if isinstance(value, bool | dict | list) or len(default) > 14 or not value:
        default = ""
    room = max(width - 34 - len(default), 20)
    text = textwrap.shorten(text.replace("`", ""), room, placeholder=" ...")
    return f"  {name:<31} {text}{default}"
