"""What the README and docs/server.md say of the server, as it stands there."""

import re
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.server.conftest import Client
from tests.server.test_runs_of_the_real_client import PREPARE, lines
from tests.test_shipped_files import blocks, tutorial_files

DOCUMENT = (REPOSITORY / "docs" / "server.md").read_text()


@pytest.fixture
def project(server, tmp_path, command):
    """The project that the README builds, its sweep cut short, and the client in it."""
    folder = tmp_path / "my_project"
    command(sys.executable, "-m", "jade", "new", folder)
    for name, body in tutorial_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body.replace("--epochs=10", "--epochs=1").replace("run_cap: 30", "run_cap: 2"))
    client = Client(server, folder, "digits")
    yield client
    client.close()


def test_the_readme_sweeps_without_an_account(project):
    (block,) = [body for body in blocks("shell") if body.startswith("export WANDB_BASE_URL")]
    text = block.replace("http://127.0.0.1:8080", project.server.url)
    begin, agent = text.split("wandb agent")

    code, said = project.run("bash", "-euc", begin)
    assert code == 0, said
    sweep = re.search(r"wandb agent local/digits/(\w+)", said)[1]
    exports = "\n".join(line for line in begin.splitlines() if line.startswith("export"))
    code, said = project.run(
        "bash", "-euc", f"{exports}\nwandb agent{agent}".replace("sweep-id", sweep), timeout=300
    )

    assert code == 0, said
    shown = (project.folder / "read_sweep.py").read_text().replace("sweep-id", sweep)
    read = f"""
{shown}
shown([sweep.state, [run.state for run in sweep.runs]])
shown([best.summary["TestLoss/reconstruction"] >= best.summary["TestLoss/reconstruction/best"]])
"""
    said = project.python(PREPARE + read)
    assert [line.split()[1] for line in said.splitlines()[:2]] == ["finished", "finished"]
    assert (project.folder / "best" / "model.pt").stat().st_size > 0
    assert lines(said) == [["FINISHED", ["finished", "finished"]], [True]]


def test_what_the_server_prints_is_what_the_documents_show(server):
    shown = re.findall(r"^ *export (WANDB_\w+)=(\S+)$", DOCUMENT, re.MULTILINE)

    assert [name for name, _ in shown] == ["WANDB_BASE_URL", "WANDB_API_KEY"]
    assert shown[1][1] == server.environ()["WANDB_API_KEY"]


def test_the_document_lists_every_flag_of_the_server_and_no_other(command):
    helped = command(sys.executable, "-m", "jade", "server", "--help").stdout

    listed = set(re.findall(r"^\| `(--[\w-]+)` \|", DOCUMENT, re.MULTILINE))
    assert listed == set(re.findall(r"(?<![\w-])--[a-z][\w-]+", helped)) - {"--help"}
    assert len(listed) > 6
