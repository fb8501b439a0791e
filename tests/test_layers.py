"""The layers of `jade/`: who may import whom. A new file must be given a rank here and a room in jade/README.md."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

RANKS = {
    0: [
        "errors", "generators", "isolated", "json_file", "quantiles", "scalars", "signals",
        "stored.package_versions", "stored.readonly", "trials",
    ],
    1: [
        "agent", "calls", "checkpoint_index", "devices", "distributions", "divergence", "entries",
        "imports", "intervals", "lock", "params", "picture_file", "progress", "seeding", "snapshot",
        "summary", "sweep_command", "sweep_notation", "texts", "yaml_file",
    ],
    2: [
        "checkpoint", "command_line", "config", "plugins", "schedule", "sheet", "state", "stored.history",
        "stored.local_runs", "sweep_yaml", "tracking.base", "workers",
    ],
    3: [
        "batches", "build", "fitting", "logged", "options", "record", "stored.source", "stored.variables",
        "sweep_file", "table", "tracking.wandb_artifacts", "tracking.wandb_control", "unstored",
    ],
    4: [
        "best", "journal", "publishing", "resume", "stored.answer", "stored.checkpoints", "stored.curves",
        "stored.overview_text", "stored.standin", "stored.trust", "sweep_program", "tracking.local",
        "tracking.wandb_agent", "tracking.wandb_run", "trainer",
    ],
    5: [
        "begun", "eval", "stored.curve_picture", "stored.download", "stored.selection", "stored.weights",
        "tracking.wandb_client",
    ],
    6: [
        "loop", "stored.bitwise", "stored.cache", "stored.exported", "stored.overview",
        "stored.runs_sheet", "tracking.wandb_files", "tracking.wandb_store", "tracking.wandb_sweeps",
    ],
    7: [
        "assembly", "stored.display", "stored.remote",
    ],
    8: [
        "stored.find", "stored.pull",
    ],
    9: [
        "stored.find_several", "stored.reference",
    ],
    10: [
        "warm",
    ],
    11: [
        "experiment", "stored.opened", "sweep_check",
    ],
    12: [
        "cli", "stored.run", "sweep_new",
    ],
    13: [
        "stored.rerun", "stored.runs",
    ],
    14: [
        "commands.evaluate", "commands.export", "commands.new", "commands.plot", "commands.pull",
        "commands.rerun", "commands.runs", "commands.show", "commands.sweep", "commands.train",
    ],
    15: [
        "__main__",
    ],
}  # fmt: skip
# The façade for users, and packages that hold a docstring only.
UNRANKED = {"", "tracking", "commands", "stored"}
RANK = {name: rank for rank, names in RANKS.items() for name in names}
# Not layers: a package's own name, imported for its version or its folder.
FACADE = {name: {""} for name in ("commands.new", "stored.exported", "loop", "publishing")} | {
    "__main__": {"", "commands"}
}
CAPABILITIES = ("server", "sweeps", "slurm", "analysis", "recipes", "job_batches")


def modules():
    """The files of the core: neither the room of a capability nor its command, which may be deleted."""
    root = REPOSITORY / "jade"
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if "template" not in parts and not {*parts[:1], *parts[1:2]} & set(CAPABILITIES):
            yield ".".join(parts).removesuffix("__init__").rstrip("."), path


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "jade":
                    yield alias.name.removeprefix("jade").lstrip("."), node.lineno
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "jade":
            inner = node.module.removeprefix("jade").lstrip(".")
            for alias in node.names:
                whole = f"{inner}.{alias.name}".lstrip(".")
                yield (whole if whole in RANK or whole in UNRANKED else inner), node.lineno


def test_every_module_has_a_rank():
    found = {name for name, _ in modules()}

    assert len(found) > 30
    assert found - UNRANKED == set(RANK)


def test_imports_point_down():
    wrong, seen = [], 0
    for name, path in modules():
        if name in UNRANKED:
            continue
        for target, line in imported(path):
            seen += 1
            if target in FACADE.get(name, ()):
                continue
            if target not in RANK or RANK[target] >= RANK[name]:
                wrong.append(f"jade/{path.name}:{line}: {name} imports {target or 'jade'}")

    assert seen > 80
    assert wrong == []


def test_the_core_names_no_capability():
    named = [
        f"{name}: {target}"
        for name, path in modules()
        for target, _ in imported(path)
        if target.partition(".")[0] in CAPABILITIES
    ]

    assert named == []


def test_every_module_is_in_the_map():
    rooms = (REPOSITORY / "jade" / "README.md").read_text()

    missing = [name for name in RANK if f"`{name.replace('.', '/')}.py`" not in rooms]

    assert missing == []


@pytest.mark.parametrize(
    "module", ["config", "params", "entries", "tracking.base", "cli", "errors", "__main__"]
)
def test_light_modules_load_neither_torch_nor_wandb(module):
    code = f"import sys, jade.{module}; print([name for name in ('torch', 'wandb', 'numpy') if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_public_names_are_there():
    code = "import jade; print([getattr(jade, name) for name in jade.__all__] and 'torch' in __import__('sys').modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "True"


def test_no_two_files_of_tests_have_one_name():
    # Their folders are no packages: pytest would take the second one for the first.
    names = [path.name for path in (REPOSITORY / "tests").rglob("test_*.py")]

    assert sorted(name for name in set(names) if names.count(name) > 1) == []
