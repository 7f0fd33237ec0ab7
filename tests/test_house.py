"""Who may know whom, and what is packaged: one law a test."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "doodl"
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path):
    """Names of all modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def roots(path):
    return {name.partition(".")[0] for name in imports(path)}


def test_the_package_map_names_every_package():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    places = {ROOT / folder for folder in setup["package-dir"].values()}
    found = set()
    for place in places:
        name = "doodl" if place == SOURCE else f"doodl.{place.name}"
        for init in place.rglob("__init__.py"):
            found.add(".".join([name, *init.parent.relative_to(place).parts]))
    assert sorted(found) == sorted(setup["packages"])


@pytest.mark.parametrize(
    ("leaf", "allowed"),
    [
        ("images.py", {"PIL", "doodl"}),  # doodl.files, which knows nothing
        ("guides/cutouts.py", set()),
        ("latents.py", set()),
        ("sampling/schedule.py", set()),
    ],
)
def test_leaves_know_torch_only(leaf, allowed):
    foreign = {"numpy", "lightning", "diffusers", "transformers", "open_clip", "timm"}
    foreign |= {"doodl", "PIL", "torchvision", "torchmetrics"}
    assert not roots(SOURCE / leaf) & (foreign - allowed)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_import_belongs_in_its_room(path):
    room = path.relative_to(SOURCE).as_posix()
    training = room.startswith("shapes/")
    if room != "cli.py":
        assert not any(name.startswith("doodl.callbacks") for name in imports(path))
    if room not in (
        "cli.py",
        "guided_generation.py",
        "jobs/data.py",
        "jobs/launcher.py",
        "jobs/strategy.py",
        "precision.py",
    ):
        assert training or "lightning" not in roots(path)
    if not room.startswith("pretrained/"):
        assert training or not {"diffusers", "transformers"} & roots(path)


def test_edict_knows_no_autograd_and_adjoints_know_no_edict():
    tree = ast.parse((SOURCE / "sampling" / "edict.py").read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & {"autograd", "backward", "grad", "requires_grad_", "detach"}
    for path in SOURCE.glob("sampling/adjoint*.py"):
        assert not any("edict" in name for name in imports(path))


def test_the_weights_fit_into_25_megabytes_and_tell_no_paths():
    files = [p for p in (SOURCE / "shapes" / "weights").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 25 * 2**20
    texts = [p.read_text() for p in files if p.suffix == ".json"]
    assert not any("_name_or_path" in text for text in texts)
