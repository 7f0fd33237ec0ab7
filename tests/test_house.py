"""Who may know whom, and what is packaged: one law a test."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "doodl"
FILES = sorted(SOURCE.rglob("*.py"))
CALLBACKS = (ROOT / "callbacks").glob("*.py")


def imports(path):
    """Names of all modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def roots(path):
    return {name.partition(".")[0] for name in imports(path)}


def module(path):
    """The dotted name of a file of the package."""
    home, name = (
        (SOURCE, "doodl")
        if path.is_relative_to(SOURCE)
        else (ROOT / "callbacks", "doodl.callbacks")
    )
    parts = path.relative_to(home).with_suffix("").parts
    return ".".join([name, *(part for part in parts if part != "__init__")])


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


# What importing a file pulls in, in a fresh interpreter -------------------------------

LEAVES = {
    "doodl.latents": set(),
    "doodl.generation": set(),
    "doodl.description": set(),
    "doodl.white_noise": set(),
    "doodl.sampling.schedule": {"doodl.sampling.timesteps", "doodl.sampling.betas"},
    "doodl.images": {"doodl.files"},
}
"""Files that know torch only, and the files that they are made of."""
MODELS = {"diffusers", "transformers", "open_clip", "timm", "torchvision"}
WITHOUT_TRAINER = ("doodl.rendering", "doodl.baselines", "doodl.editing")
"""What makes pictures without a Trainer."""
PROGRAM = """
import importlib, json, sys
import torch, torch.multiprocessing.reductions, torch.autograd.graph
before, found = set(sys.modules), []
for name in sys.argv[1:]:
    for known in [m for m in sys.modules if m.partition(".")[0] == "doodl"]:
        del sys.modules[known]
    importlib.import_module(name)
    new = set(sys.modules) - before
    roots = {m.partition(".")[0] for m in new} - sys.stdlib_module_names - {"doodl"}
    found.append([sorted(roots), sorted(m for m in new if m.startswith("doodl"))])
print(json.dumps(found))
"""


def names_in(*rooms):
    return [module(p) for room in rooms for p in sorted(SOURCE.glob(f"{room}/*.py"))]


@pytest.fixture(scope="module")
def pulled():
    """What importing a file pulls in: foreign packages, and files of doodl.

    One interpreter imports all of them, the least first, since foreign packages stay
    loaded: a file's are its own and those of the files before. torch is there from the
    start, as it imports more than itself.
    """
    rooms = names_in("sampling", "guides")
    names = list(dict.fromkeys([*LEAVES, *rooms, "doodl.pretrained", *WITHOUT_TRAINER]))
    run = [sys.executable, "-c", PROGRAM, *names]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {n: (set(a), set(b)) for n, (a, b) in zip(names, found, strict=True)}


@pytest.mark.parametrize("leaf", LEAVES)
def test_leaves_pull_in_torch_only(leaf, pulled):
    foreign, ours = pulled[leaf]
    assert foreign <= ({"torch", "PIL"} if leaf == "doodl.images" else {"torch"})
    folders = {leaf.rsplit(".", k)[0] for k in range(leaf.count(".") + 1)}
    assert ours <= folders | LEAVES[leaf] | {"doodl.version"}


def test_cutouts_know_torch_only():
    # Its folder imports all guides, so that only the file itself can be asked.
    assert roots(SOURCE / "guides" / "cutouts.py") <= {
        "torch",
        *sys.stdlib_module_names,
    }


@pytest.mark.parametrize("name", names_in("sampling", "guides"))
def test_sampling_and_guides_pull_in_no_trainer_no_models_and_no_job(name, pulled):
    foreign, ours = pulled[name]
    assert not foreign & {"lightning", *MODELS}
    rooms = {m.split(".")[1] for m in ours if "." in m}
    assert not rooms & {"jobs", "callbacks", "pretrained", "shapes"}


def test_methods_and_adjoints_do_not_know_each_other(pulled):
    methods = {"doodl.sampling.edict", "doodl.sampling.ddim"}
    adjoints = {"doodl.sampling.adjoints", "doodl.sampling.backward"}
    for method in methods:
        assert not adjoints & pulled[method][1]
    for adjoint in adjoints:
        assert not methods & pulled[adjoint][1]


def test_pretrained_pulls_in_no_trainer_and_no_other_room(pulled):
    foreign, ours = pulled["doodl.pretrained"]
    assert "lightning" not in foreign
    rooms = {m.split(".")[1] for m in ours if "." in m}
    assert rooms <= {"files", "pretrained", "sampling", "version"}


@pytest.mark.parametrize("name", WITHOUT_TRAINER)
def test_pictures_are_made_without_a_trainer(name, pulled):
    foreign, ours = pulled[name]
    assert "lightning" not in foreign
    assert not any(m.startswith(("doodl.jobs", "doodl.callbacks")) for m in ours)


# What a file says that it imports, also where it does so late -------------------------


def edges(path, known):
    """The files of the package that a file imports, for types only or late as well."""
    own = module(path)
    folder = own if path.name == "__init__.py" else own.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [folder * bool(node.level), node.module]))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if inner in known or base in known:
                    yield inner if inner in known else base


def circles(graph):
    """Sets of files that can all be reached from each other."""
    reached = {}
    for start in graph:
        found, ahead = set(), list(graph[start])
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += graph[name]
        reached[start] = found
    rings = {
        frozenset(b for b in reached[a] if a in reached[b])
        for a in graph
        if a in reached[a]
    }
    return sorted(sorted(ring) for ring in rings)


@pytest.fixture(scope="module")
def graph():
    files = {module(p): p for p in (*FILES, *sorted(CALLBACKS))}
    return {name: set(edges(p, files)) - {name} for name, p in files.items()}


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert circles(graph) == [["b", "c"]]


def test_no_import_circle_runs_through_the_house(graph):
    assert circles(graph) == []


def test_no_import_circle_runs_through_a_room(graph):
    rooms = ("sampling", "guides", "pretrained", "jobs", "evaluation", "shapes")
    for room in (*rooms, "callbacks"):
        inside = {n for n in graph if n.startswith(f"doodl.{room}")}
        assert circles({n: graph[n] & inside for n in inside}) == []


def test_pretrained_loads_families_and_families_know_their_base_only(graph):
    families = {n for n in graph if n.startswith("doodl.pretrained.families")}
    base = {"doodl.pretrained.text_to_image"}
    for name in families:
        rooms = {n for n in graph[name] if n.startswith("doodl.pretrained")}
        assert rooms <= families | base
    assert not graph["doodl.pretrained.text_to_image"] & families
    assert "doodl.pretrained.families" in graph["doodl.pretrained.loading"]


def test_nothing_but_what_assembles_a_job_knows_the_callbacks(graph):
    for name, found in graph.items():
        if name not in ("doodl.command", "doodl.optimization") and not name.startswith(
            "doodl.callbacks"
        ):
            assert not any(n.startswith("doodl.callbacks") for n in found), name


def test_no_job_is_known_to_sampling_guides_and_pretrained(graph):
    for room in ("sampling", "guides", "pretrained"):
        for name in (n for n in graph if n.startswith(f"doodl.{room}")):
            assert not any(n.startswith("doodl.jobs") for n in graph[name]), name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_import_belongs_in_its_room(path):
    room = path.relative_to(SOURCE).as_posix()
    training = room.startswith("shapes/")
    if room not in (
        "arguments.py",
        "command.py",
        "events.py",
        "guided_generation.py",
        "optimization.py",
        "precision.py",
    ):
        job = room.startswith("jobs/")
        assert training or job or "lightning" not in roots(path)
    if not room.startswith("pretrained/"):
        assert training or not {"diffusers", "transformers"} & roots(path)


def test_methods_know_no_autograd():
    for name in ("chain", "edict", "ddim"):
        tree = ast.parse((SOURCE / "sampling" / f"{name}.py").read_text())
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not used & {"autograd", "backward", "grad", "requires_grad_", "detach"}


def test_the_weights_fit_into_25_megabytes_and_tell_no_paths():
    files = [p for p in (SOURCE / "shapes" / "weights").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 25 * 2**20
    texts = [p.read_text() for p in files if p.suffix == ".json"]
    assert not any("_name_or_path" in text for text in texts)


def test_callbacks_and_cli_keep_nothing_on_the_module():
    allowed = {"settings", "num_updates"}
    for path in (*CALLBACKS, SOURCE / "command.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            owner = getattr(getattr(node, "value", None), "id", None)
            if isinstance(node, ast.Attribute) and owner in ("module", "pl_module"):
                assert node.attr in allowed, f"{path.name}: {node.attr}"
