"""Networks of a checkpoint as safetensors: bit for bit, all or none, and nothing of the run executed."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from jade import checkpoint
from jade.commands import export
from jade.errors import CheckpointError, ConfigError
from tests.stored.test_local_runs import Experiments

# torch says that it looks at each of them.
pytestmark = pytest.mark.filterwarnings("ignore:Validating sparse")


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.outer = nn.Linear(3, 3)
        self.outer.weight = self.inner.weight
        self.norm = nn.BatchNorm1d(3)


def attributes():
    torch.manual_seed(0)
    net = Tied()
    return {
        "net": net.state_dict(),
        "transposed": {"w": torch.arange(6.0).reshape(2, 3).T, "h": torch.ones(2, dtype=torch.bfloat16)},
        "scale": nn.Parameter(torch.tensor(2.0)),
        "opt": torch.optim.Adam(net.parameters()).state_dict(),
        "beta": 0.5,
        "array": {"jade.type": "numpy array", "value": torch.ones(2)},
        "mixed": {"w": torch.ones(1), "n": 3},
        "sparse": {"w": torch.eye(2).to_sparse()},
        "../out": {"w": torch.ones(1)},
    }


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPERIMENTS_ROOT", raising=False)
    folder = Experiments(tmp_path / "experiments").run("a1")
    stored(folder / "model.pt", attributes(), 9)
    stored(folder / "checkpoint_4.pt", {"net": {"w": torch.tensor([4.0])}}, 4)
    return folder


def stored(path, states, iterations):
    checkpoint.write(path, {"format": 1, "iterations": iterations, "epochs": 1, "attributes": states})


def test_each_network_is_a_file_with_every_bit_and_what_is_none_is_said(run, tmp_path, capsys):
    assert export.run(["a1", "-o", "out"]) == 0

    told = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "net.safetensors", "scale.safetensors", "transposed.safetensors",
    ]  # fmt: skip
    for name, states in attributes().items():
        if name in ("net", "transposed"):
            found = load_file(tmp_path / "out" / f"{name}.safetensors")
            assert found.keys() == states.keys()
            assert all(torch.equal(found[key], states[key]) for key in states)
            assert all(found[key].dtype == states[key].dtype for key in states)
    Tied().load_state_dict(load_file(tmp_path / "out" / "net.safetensors"))
    assert load_file(tmp_path / "out" / "scale.safetensors")["scale"] == 2.0
    assert (
        "left out: opt (an optimizer), beta (no network, but a float), array (a numpy array),"
        " mixed (no network, but a dictionary), sparse (sparse or quantized tensors), ../out (its name is none)\n"
    ) in told
    assert "out/net.safetensors  net: 9 tensors, " in told


def test_a_file_says_where_it_is_from(run, tmp_path):
    export.run(["a1", "-o", "made/one.safetensors", "--attribute", "net", "--checkpoint", "4"])

    with safe_open(tmp_path / "made" / "one.safetensors", "pt") as file:
        about = file.metadata()
        assert file.get_tensor("w") == 4.0
    assert about | {"jade": ""} == {
        "format": "pt", "run": "a1", "run_id": "a1", "checkpoint": "checkpoint_4.pt", "iterations": "4",
        "epochs": "1", "trainer": "VIB", "attribute": "net", "jade": "",
    }  # fmt: skip


def test_files_that_are_there_stay_unless_they_are_to_be_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scale.safetensors").write_text("mine")

    with pytest.raises(ConfigError, match="There already: out/scale.safetensors"):
        export.run(["a1", "-o", "out"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scale.safetensors"]
    assert (tmp_path / "out" / "scale.safetensors").read_text() == "mine"

    assert export.run(["a1", "-o", "out", "--force"]) == 0
    assert load_file(tmp_path / "out" / "scale.safetensors")["scale"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "one.safetensors"], "one.safetensors is one file, but there are 3 networks."),
        (["-o", "out", "--attribute", "nett"], "did you mean: net"),
        (
            ["-o", "out", "--attribute", "opt", "--attribute", "beta"],
            "'opt' cannot be written: it is an optimizer.",
        ),
        (["-o", "out", "--attribute", "opt", "--attribute", "beta"], "'beta' cannot be written"),
        (["-o", "experiments/a1/status.json"], "status.json is no folder."),
        (["-o", "out", "--checkpoint", "5"], "has no checkpoint '5'"),
        (["-o", "out", "--checkpoint", "best"], "has no checkpoint 'best'"),
        (["-o", "experiments/a1/status.json/out"], "cannot be written"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(run, tmp_path, arguments, said):
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises((ConfigError, CheckpointError)) as caught:
        export.run(["a1", *arguments])

    assert said in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_type_that_the_format_lacks_leaves_nothing_behind(run, tmp_path):
    stored(run / "model.pt", {"net": {"w": torch.ones(2, dtype=torch.complex128)}}, 9)

    with pytest.raises(CheckpointError, match="cannot be written"):
        export.run(["a1", "-o", "out/below"])

    assert not (tmp_path / "out").exists()


def test_a_run_without_a_network_says_what_it_has(run):
    stored(run / "model.pt", {"beta": 1, "empty": {}}, 9)

    with pytest.raises(CheckpointError) as caught:
        export.run(["a1", "-o", "out"])

    assert str(caught.value) == (
        "The run a1 stores no network.\n  beta: no network, but an int\n"
        "  empty: no network, but an empty dictionary"
    )


def test_what_would_execute_something_is_refused(run, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"format": 1, "attributes": Evil()}, run / "model.pt")
    (run / "checkpoint_4.pt").unlink()

    with pytest.raises(CheckpointError):
        export.run(["a1", "-o", "out"])

    assert not (tmp_path / "executed").exists()
