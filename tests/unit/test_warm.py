"""Runs that begin with the weights of another one, in this process: what is taken, refused and recorded."""

import hashlib
import json
import logging
import shutil

import pytest
import torch

from jade import assembly, checkpoint, experiment, intervals, warm
from jade.errors import CheckpointError, ConfigError, JadeError, shown
from jade.experiment import Continued, Surroundings
from jade.intervals import NEVER
from jade.record import Record
from jade.resume import read as earlier_of
from jade.schedule import Schedule
from jade.tracking.local import LocalTracker

TRAINER = "modules/models/line.py"
UNSAID = object()
SAID = {"log_loss_every": "1", "checkpoint_every": "1 epochs", "backup_every": "never"}


class Tracker(LocalTracker):
    """A tracker that may change params, as a sweep does."""

    def __init__(self, record, **changed):
        super().__init__(record)
        self.changed = changed
        self.used = []

    @property
    def changes_params(self):
        return bool(self.changed)

    def start(self, flat, earlier=None):
        return {**flat, **self.changed}

    def uses(self, artifact):
        self.used.append(artifact)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "experiments"


@pytest.fixture
def begin(written, root):
    """Make a run of the project as it is now; return its folder."""

    def run(run_id, before=None, changed=None, **values):
        written.start_anew()
        record = Record(root, run_id)
        record.was_there = before is not None
        schedule = Schedule(intervals.parse(1, "iteration", ""), intervals.parse(1, "epoch", ""), NEVER)
        around = Surroundings(written.plugins(), torch.device("cpu"), schedule, SAID, ["train.py"], {})
        said = values if run_id == "a" else {"init_from": "a", **values}
        config = written.composed(**{key: value for key, value in said.items() if value is not UNSAID})
        experiment.run(config, around, record, Tracker(record, **(changed or {})), before)
        return root / run_id

    return run


@pytest.fixture
def first(begin):
    """The run whose weights are taken: two epochs, six iterations."""
    return begin("a", epochs=2)


@pytest.fixture
def refused(begin, root, first):
    def text(**values):
        with pytest.raises(JadeError) as caught:
            begin("b", **values)
        assert sorted(path.name for path in root.iterdir()) == ["a"]
        return shown(caught.value)

    return text


def weights(path):
    return checkpoint.read(path)["attributes"]["net"]


def norms(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["iterations"]: row["metrics"]["Norm"] for row in rows if "Norm" in row["metrics"]}


def facts(folder):
    return json.loads((folder / "environment.json").read_text())


# What is taken


@pytest.mark.parametrize(
    ("named", "file", "at"),
    [
        ("a", "model.pt", 6),
        ("a:last", "model.pt", 6),
        ("a:3", "checkpoint_3.pt", 3),
        ("{root}/a:3", "checkpoint_3.pt", 3),
        ("a:best", "best.pt", 3),
    ],
)
def test_a_run_begins_with_the_weights_of_a_checkpoint_and_its_own_counters(
    begin, first, root, named, file, at
):
    shutil.copy(first / "checkpoint_3.pt", first / "best.pt")

    second = begin("b", init_from=named.format(root=root), epochs=1)

    assert norms(second)[0] == norms(first)[at]
    assert sorted(norms(second)) == [0, 3]
    known = facts(second)["init_from"]
    assert known["sha256"] == hashlib.sha256((first / file).read_bytes()).hexdigest()
    assert (known["id"], known["checkpoint"], known["iterations"]) == ("a", file, at)
    assert known["attributes"] == ["net"]
    assert f"init_from: {named.format(root=root)}" in (second / "config.yml").read_text()


def test_every_bit_of_the_weights_is_taken_and_nothing_of_the_optimizer(written, first, root):
    written.change(
        TRAINER, "SGD(self.net.parameters(), lr=lr)", "SGD(self.net.parameters(), lr=lr, momentum=0.5)"
    )
    written.start_anew()
    config = written.composed(init_from="a")
    begun = warm.opened(config, warm.Lookup(root, {}))

    built = assembly.assemble(
        config, written.plugins(), torch.device("cpu"), Schedule(NEVER, NEVER, NEVER), begun.give
    )

    theirs = weights(first / "model.pt")
    assert all(torch.equal(own, theirs[key]) for key, own in built.trainer.net.state_dict().items())
    assert (built.trainer.iterations, built.trainer.epochs, built.trainer.opt.state_dict()["state"]) == (
        0,
        0,
        {},
    )


def test_an_evaluation_sees_the_weights_in_its_initialize(written, begin, first):
    written.change(
        "modules/eval/norm.py",
        "self.dataset = self.datasets[on]",
        "self.seen = self.trainer.net.layer.weight.norm().item()",
    )
    written.change("modules/eval/norm.py", "self.trainer.net.layer.weight.norm()}", "self.seen}")

    second = begin("b")

    assert norms(second)[0] == norms(first)[6]


def test_on_start_sees_the_weights(written, begin, first):
    written.add(
        TRAINER,
        "\n    def on_start(self):\n        self.add_loss_item('begun', self.net.layer.weight.norm())\n",
    )

    second = begin("b")

    row = json.loads((second / "metrics.jsonl").read_text().splitlines()[1])
    assert row["metrics"]["begun"] == norms(first)[6]


def test_nothing_of_it_stands_in_a_run_that_begins_with_its_own_weights(first):
    assert "init" not in (first / "config.yml").read_text()
    assert "init_from" not in facts(first)


def test_the_model_file_may_say_it_and_a_flag_wins(written, begin, first):
    written.add("m.yml", "init_from: a:3\ninit_attributes: [net]\n")

    assert norms(begin("b", init_from="a:3"))[0] == norms(first)[3]
    assert norms(begin("c", init_from="a:last"))[0] == norms(first)[6]


def test_a_sweep_may_choose_the_run(begin, first):
    second = begin("b", init_from=None, changed={"init_from": "a:3"})
    third = begin("c", init_from="a:3", changed={"init_from": None})

    assert norms(second)[0] == norms(first)[3]
    assert "init_from: a:3" in (second / "config.yml").read_text()
    assert norms(third)[0] == norms(first)[0]
    assert "init_from" not in (third / "config.yml").read_text()


# What is refused, with nothing on disk


def test_shapes_that_do_not_fit_are_named_at_once_with_the_place(written, refused):
    written.write("m.yml", "class: LineTrainer\nparams:\n  lr: 0.1\n  width: 5\ninit_from: a\n")

    assert refused() == (
        "LineTrainer cannot begin with the weights of a (model.pt, iteration 6).\n"
        "  at: m.yml:5 (init_from)\n"
        "  net.layer.weight has the shape [5, 1], in the checkpoint [2, 1]\n"
        "  net.layer.bias has the shape [5], in the checkpoint [2]\n"
        "  The checkpoint has: net, opt.\n"
        "  init_partial takes what fits; init_attributes names what is taken."
    ).replace("m.yml", str(written.root / "m.yml"))


def test_an_attribute_that_the_other_run_has_not_is_named(written, refused):
    written.change(
        TRAINER,
        'self.add_attribute_to_store("net")',
        'self.add_attribute_to_store("net")\n        self.head = torch.nn.Linear(1, 1)\n        self.add_attribute_to_store("head")',
    )

    assert "missing in the checkpoint: head" in refused()


def test_attributes_that_cannot_be_taken_are_named_at_once(refused):
    text = refused(init_attributes=["nett", "opt"])

    assert "LineTrainer stores no attribute 'nett'; did you mean: net" in text
    assert "opt is of the type SGD: only networks, parameters and tensors are taken" in text


def test_nothing_that_fits_is_refused_also_in_part(written, refused):
    written.change("net.py", "nn.Linear(1, width)", "nn.Linear(1, width + 3)")

    assert "net.layer.weight has the shape [5, 1]" in refused(init_partial=True)


@pytest.mark.parametrize(
    ("named", "part"),
    [
        ("ab:best", "There is no run 'ab'"),
        ("a:best", "has no checkpoint 'best'"),
        ("a:4", "has no checkpoint '4'"),
        ("a:bset", "did you mean: best"),
    ],
)
def test_a_run_or_checkpoint_that_is_not_there_is_refused_with_the_place(refused, named, part):
    text = refused(init_from=named)

    assert part in text
    assert "at: command line (init_from)" in text


def test_a_damaged_checkpoint_is_refused(refused, first):
    (first / "checkpoint_3.pt").write_bytes(b"nothing")

    assert "is damaged" in refused(init_from="a:3")


def test_what_is_taken_without_a_run_is_refused(refused):
    assert refused(init_from=UNSAID, init_attributes=["net"]) == (
        "init_attributes says what is taken of another run's weights, but no run is named.\n"
        "  at: command line (init_attributes)\n"
        "  init_from names it, as --init-from RUN does."
    )


def test_a_trainer_that_stores_no_network_is_refused(written, refused):
    written.change(TRAINER, 'self.add_attribute_to_store("net")', "pass")

    assert "LineTrainer stores no network and no parameter" in refused()


# In part


def test_in_part_what_fits_is_taken_and_the_rest_is_named(written, begin, first, caplog):
    written.change(
        "net.py",
        "self.layer = nn.Linear(1, width)",
        "self.layer = nn.Linear(1, width)\n                self.more = nn.Linear(1, 1)".replace(
            "                self", "        self"
        ),
    )
    caplog.set_level(logging.INFO)

    second = begin("b", init_partial=True, epochs=1)

    left = ["missing in the checkpoint: net.more.weight", "missing in the checkpoint: net.more.bias"]
    assert norms(second)[0] == norms(first)[6]
    assert facts(second)["init_from"]["left"] == left
    assert "\n".join(["What was left as initialize made it:", *left]) in caplog.text
    assert "The run begins with the weights of a (model.pt, iteration 6): net." in caplog.text


# A run that goes on


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_run_that_goes_on_takes_nothing_again_and_one_that_left_no_checkpoint_does(
    written, begin, first, root, is_whole
):
    whole = begin("b", epochs=2)
    cut = shutil.copytree(whole, root / "c")
    for name in ("model.pt", "checkpoint_6.pt", *([] if is_whole else ["checkpoint_3.pt"])):
        (cut / name).unlink()
    if is_whole:
        shutil.rmtree(first)
    state = experiment.newest_state(checkpoint.Checkpoints(cut), damaged_is_lost=False)

    begin("c", Continued(earlier_of(cut), state), epochs=2)

    mended, wanted = (weights(folder / "model.pt") for folder in (cut, whole))
    assert all(torch.equal(mended[key], wanted[key]) for key in wanted)
    assert norms(cut) == norms(whole)
    assert facts(cut)["init_from"] == facts(whole)["init_from"]


def test_check_tries_it(written, first, root):
    config = written.composed(init_from="a", **{"model.params.lr": 0.1})
    begun = warm.opened(config, warm.Lookup(root, {}))
    written.change("net.py", "nn.Linear(1, width)", "nn.Linear(1, width + 1)")
    written.start_anew()

    (error,) = assembly.check(
        config, written.plugins(), torch.device("cpu"), Schedule(NEVER, NEVER, NEVER), begun.give
    )

    assert isinstance(error, CheckpointError)
    assert "net.layer.weight has the shape [3, 1], in the checkpoint [2, 1]" in str(error)


def test_a_run_that_is_named_by_a_number_is_refused_with_the_way_out(written):
    with pytest.raises(ConfigError) as caught:
        written.composed(init_from=12345678)

    assert "init_from is set to 12345678, which is a number; text is expected." in str(caught.value)
    assert """init_from='"12345678"'""" in str(caught.value)
