"""The layers of `jade/sweeps/`: who may import whom; what it knows of the server."""

import ast

from tests.conftest import REPOSITORY

RANKS = {
    0: [
        "asked",
        "embedded",
        "failures",
        "kept",
        "lost",
        "left",
        "seeds",
        "tied",
        "voice",
        "yaml_edit",
    ],
    1: ["board", "service"],
    2: ["agents", "scales", "sources"],
    3: ["picture", "sheets"],
    4: ["ending"],
    5: ["run", "show"],
    6: ["export"],
}
RANK = {name: rank for rank, names in RANKS.items() for name in names}
ROOM = REPOSITORY / "jade" / "sweeps"


def imported(path):
    """Give each module of JADE that a file imports, and the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            packages = node.module in ("jade", "jade.sweeps")
            names = [f"{node.module}.{alias.name}" for alias in node.names] if packages else [node.module]
            yield from ((name, node.lineno) for name in names)


def files_of_the_room():
    return {path.stem: path for path in ROOM.glob("*.py") if path.name != "__init__.py"}


def test_every_file_of_the_room_has_a_rank_and_is_in_the_map():
    room = (REPOSITORY / "jade" / "README.md").read_text().partition("### The room `sweeps/`")[2]

    assert set(files_of_the_room()) == set(RANK)
    assert [name for name in RANK if f"`{name}.py`" not in room] == []


def test_imports_of_the_room_point_down():
    wrong, seen = [], 0
    for name, path in files_of_the_room().items():
        for target, line in imported(path):
            inner = target.removeprefix("jade.sweeps.")
            if inner == target:
                continue
            seen += 1
            if RANK.get(inner, 99) >= RANK[name]:
                wrong.append(f"{path.name}:{line}: {name} imports {target}")

    assert seen > 30
    assert wrong == []


def test_the_server_is_another_process_that_the_room_does_not_import():
    named = [
        name
        for name, path in files_of_the_room().items()
        for target, _ in imported(path)
        if "jade.server" in target
    ]

    assert named == []
