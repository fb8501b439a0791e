"""The shipped notebook: what it shows without being run, and that it shows the same when it is, after a real sweep."""

import ast
import base64
import io
import json
import re
import sys

import nbformat
from matplotlib import image

from tests.conftest import REPOSITORY

SHIPPED = REPOSITORY / "notebooks" / "load_and_compare.ipynb"
METRIC = "TestReconstructionsError"


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def forms(cells):
    """Give the kinds of each cell's outputs, which is all that two runs of a notebook have in common."""
    return [
        [(output.output_type, *sorted(output.get("data", {}))) for output in cell.outputs] for cell in cells
    ]


def shown(cells, code, kind):
    """Give what the one cell that has a piece of code has put out."""
    (cell,) = [cell for cell in cells if code in cell.source]
    (output,) = cell.outputs
    return output.data[kind]


def pictures(cells):
    return [
        base64.b64decode(output.data["image/png"])
        for cell in cells
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def test_what_is_shipped_can_be_read_without_being_run():
    cells = code_cells(SHIPPED)

    assert SHIPPED.stat().st_size < 300_000
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert len(pictures(cells)) == 3
    assert {type(line) for line in ast.parse(cells[0].source).body} == {ast.Assign}
    assert all(len(cell.source.splitlines()) <= 10 for cell in cells)
    text = SHIPPED.read_text()
    assert re.findall(r"/(?:home|tmp|work|root|Users)/", text) == []


def test_run_after_a_sweep_it_shows_the_same_of_the_runs_there_are(command, tmp_path):
    project, written = tmp_path / "project", tmp_path / "executed.ipynb"

    done = command(
        sys.executable, "notebooks/make.py", "--project", project, "-o", written, "--trials", 2, "--epochs", 1
    )

    assert done.returncode == 0, done.stderr
    cells = code_cells(written)
    statuses = {
        path.parent.name: json.loads(path.read_text()) for path in project.glob("experiments/*/status.json")
    }
    logged = {run: status["metrics"][METRIC]["last"] for run, status in statuses.items()}
    best, other = sorted(logged, key=logged.get)
    assert [cell.source for cell in cells] == [cell.source for cell in code_cells(SHIPPED)]
    assert forms(cells) == forms(code_cells(SHIPPED))
    assert all(image.imread(io.BytesIO(one)).std() > 0.05 for one in pictures(cells))
    assert re.findall(r"<td>\d</td><td>(\w+)</td>", shown(cells, "jade.runs(", "text/html")) == [best, other]
    evaluated = ast.literal_eval(shown(cells, "run.evaluate(METRIC)[METRIC]", "text/plain"))
    assert list(evaluated.values()) == [(logged[run], logged[run]) for run in (best, other)]
    on_test_data = ast.literal_eval(shown(cells, "data_conf=TEST_DATA", "text/plain"))
    assert set(on_test_data) == set(evaluated) == {"beta 0.1", "beta 1.0"}
    assert not set(on_test_data.values()) & set(logged.values())
