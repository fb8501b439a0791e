"""The layers of `jade/server/`: who may import whom, and that the core stands without it."""

import ast
import subprocess
import sys

from tests.conftest import REPOSITORY

RANKS = {
    0: ["announced", "blobs", "bodies", "connections", "curves", "ids", "log", "pages", "space", "tokens"],
    1: ["bayes", "hyperband", "runs", "schema"],
    2: ["arguments", "artifacts", "history", "manifests", "patterns", "refusal", "store", "streams"],
    3: ["backup", "drafts", "filters", "graphql", "search"],
    4: ["sweeps"],
    5: ["dispatcher"],
    6: ["context"],
    7: ["artifact_files", "files", "health", "owners"],
    8: ["artifact_nodes"],
    9: ["artifact_mutations", "run_nodes"],
    10: ["sweep_nodes"],
    11: ["project_nodes"],
    12: ["mutations", "queries"],
    13: [
        "web.addresses",
        "web.console",
        "web.run_curves",
        "web.run_files",
        "web.run_images",
        "web.run_metrics",
        "web.trials",
        "web.unchanged",
        "web.words",
    ],  # fmt: skip
    14: ["web.axes", "web.filter_text", "web.responses", "web.run_config", "web.wanted"],
    15: ["web.run_compare", "web.table"],
    16: ["web.project_view", "web.sweep_view"],
    17: ["web.project_page", "web.projects_page", "web.static_files"],
    18: ["web.run_lookup", "web.sweep_page"],
    19: ["web.run_data", "web.run_page"],
    20: ["web.site"],
    21: ["http"],
    22: ["serve"],
}
RANK = {name: rank for rank, names in RANKS.items() for name in names}
ROOM = REPOSITORY / "jade" / "server"
DOOR = REPOSITORY / "jade" / "commands" / "server.py"
# What the room may take from the core: what a sweep may say is the same on both sides.
OF_THE_CORE = {"distributions", "errors", "quantiles", "scalars"}
# The packages of the extra, and YAML, which the core has as well.
PACKAGES = {"graphql", "jinja2", "optuna", "starlette", "uvicorn", "yaml"}


def files_of_the_room():
    paths = [path for path in sorted(ROOM.rglob("*.py")) if path.name != "__init__.py"]
    return {".".join(path.relative_to(ROOM).with_suffix("").parts): path for path in paths}


def imported(path):
    """Give each module that a file imports, and the line; `from jade.server import runs` imports jade.server.runs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            packages = node.module in ("jade", "jade.server", "jade.server.web")
            names = [f"{node.module}.{alias.name}" for alias in node.names] if packages else [node.module]
            yield from ((name, node.lineno) for name in names)


def test_every_file_of_the_room_has_a_rank():
    assert set(files_of_the_room()) == set(RANK)


def test_every_file_of_the_room_is_in_the_map():
    room = (REPOSITORY / "jade" / "README.md").read_text().partition("### The room `server/`")[2]

    missing = [name for name in RANK if f"`{name.replace('.', '/')}.py`" not in room]

    assert missing == []


def test_imports_of_the_room_point_down():
    wrong, seen = [], 0
    for name, path in files_of_the_room().items():
        for target, line in imported(path):
            if not target.startswith("jade.server."):
                continue
            seen += 1
            if RANK.get(target.removeprefix("jade.server."), 99) >= RANK[name]:
                wrong.append(f"{path.name}:{line}: {name} imports {target}")

    assert seen > 60
    assert wrong == []


def test_the_room_takes_from_the_core_what_a_sweep_says_and_nothing_else():
    taken = {
        (name, target.split(".")[1])
        for name, path in files_of_the_room().items()
        for target, _ in imported(path)
        if target.startswith("jade.") and not target.startswith("jade.server.")
    }

    assert ("store", "errors") in taken
    assert {target for _, target in taken} <= OF_THE_CORE


def test_the_room_needs_the_packages_of_its_extra():
    needed = {
        target.partition(".")[0] for path in files_of_the_room().values() for target, _ in imported(path)
    } - sys.stdlib_module_names

    assert needed == {"jade", *PACKAGES}


def test_nobody_but_its_command_enters_the_room():
    inside = {path.relative_to(REPOSITORY) for path in ROOM.rglob("*.py")}
    others = [
        path for path in (REPOSITORY / "jade").rglob("*.py") if path.relative_to(REPOSITORY) not in inside
    ]

    entering = {path for path in others for target, _ in imported(path) if target.startswith("jade.server")}

    assert len(others) > 40
    assert entering == {DOOR}


def test_tests_of_the_core_do_not_enter_the_room():
    others = [
        path
        for path in (REPOSITORY / "tests").rglob("*.py")
        if "server" not in path.relative_to(REPOSITORY).parts
    ]

    entering = [
        path.name for path in others for target, _ in imported(path) if target.startswith("jade.server")
    ]

    assert len(others) > 40
    assert entering == []


def test_the_server_loads_neither_torch_nor_wandb():
    code = (
        "import sys, jade.server.serve; print([name for name in ('torch', 'wandb') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_core_has_all_its_commands_without_the_room():
    code = (
        "import sys; sys.modules['jade.server'] = None\n"
        "from jade.__main__ import main\nsys.exit(main(['--help']))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert "train" in done.stdout
