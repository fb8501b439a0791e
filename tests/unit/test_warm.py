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
from jade.stored import checkpoints
from jade.stored import weights as stored_weights
from jade.stored.overview import about
from jade.stored.source import FolderSource
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


# A run that goes on, or is made again


NET = 'self.add_attribute_to_store("net")'
SEEN = "        self.seen = self.trainer.net.layer.weight.norm().item()\n        self.dataset"


@pytest.fixture
def looked_at(written):
    """Have `on_start` and an evaluation look at the weights that the run begins with, as no checkpoint does."""
    written.add(
        TRAINER, "\n    def on_start(self):\n        self.first = self.net.layer.weight.norm().item()\n"
    )
    written.change(TRAINER, 'self.add_loss_item("loss", loss)', 'self.add_loss_item("loss", self.first)')
    written.change("modules/eval/norm.py", "        self.dataset", SEEN)
    written.change("modules/eval/norm.py", "self.trainer.net.layer.weight.norm()}", "self.seen}")


@pytest.fixture
def cut(looked_at, begin, first, root):
    """Give the folder of a run as it was after one of its two epochs, or before its first checkpoint."""

    def made(*, has_gone_on=True, **values):
        whole = begin("b", epochs=2, **values)
        folder = shutil.copytree(whole, root / "c")
        for name in ("model.pt", "checkpoint_6.pt", *([] if has_gone_on else ["checkpoint_3.pt"])):
            (folder / name).unlink()
        return folder

    return made


@pytest.fixture
def go_on(begin, caplog):
    """Let a run go on in its folder; give what was told."""

    def told(folder, **values):
        caplog.clear()
        caplog.set_level(logging.INFO)
        state = experiment.newest_state(checkpoint.Checkpoints(folder), damaged_is_lost=False)
        begin(folder.name, Continued(earlier_of(folder), state), epochs=2, **values)
        return caplog.text

    return told


@pytest.fixture
def change_last(first):
    """Change the attributes in the newest checkpoint of the other run."""

    def changed(change):
        (first / "checkpoint_6.pt").unlink(missing_ok=True)
        found = checkpoint.read(first / "model.pt")
        change(found["attributes"])
        checkpoint.write(first / "model.pt", found)

    return changed


def doubled(attributes):
    attributes["net"]["layer.weight"] *= 2


def rows(folder):
    return [json.loads(line)["metrics"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def is_as_undisturbed(folder):
    ended, wanted = (weights(each / "model.pt") for each in (folder, folder.parent / "b"))
    is_same = all(torch.equal(ended[key], wanted[key]) for key in wanted)
    return is_same and rows(folder) == rows(folder.parent / "b")


def test_what_a_run_begins_with_is_kept_and_is_no_checkpoint(begin, first):
    second = begin("b", init_from="a:3", epochs=1)

    kept = checkpoint.read(second / "init.pt")
    taken = weights(first / "checkpoint_3.pt")
    assert (kept["run"], kept["iterations"], kept["epochs"], list(kept["attributes"])) == ("b", 0, 0, ["net"])
    assert all(torch.equal(kept["attributes"]["net"][key], taken[key]) for key in taken)
    assert kept["init_from"] == facts(second)["init_from"]
    source = FolderSource(second)
    assert [one.name for one in checkpoints.listed(source)] == ["checkpoint_3.pt", "model.pt"]
    assert about(source)["files"]["checkpoints"]["count"] == 2
    assert "init.pt" not in (second / "checkpoints.json").read_text()
    with pytest.raises(CheckpointError, match=r"has no checkpoint 'init\.pt'"):
        stored_weights.state(source, "init.pt")
    assert not (first / "init.pt").exists()


def test_the_tracker_gets_what_the_run_begins_with(begin, first, monkeypatch):
    kept = []
    monkeypatch.setattr(Tracker, "keep", lambda self, path: kept.append(path.name))

    begin("b", epochs=1)

    assert kept.count("init.pt") == 1
    assert kept.index("init.pt") < kept.index("checkpoint_3.pt")


@pytest.mark.parametrize("has_gone_on", [True, False])
def test_a_run_that_goes_on_is_given_the_same_weights_though_the_other_run_is_gone(
    cut, go_on, first, has_gone_on
):
    folder = cut(has_gone_on=has_gone_on)
    before = facts(folder)["init_from"]
    shutil.rmtree(first)

    told = go_on(folder)

    assert is_as_undisturbed(folder)
    assert facts(folder)["init_from"] == before
    assert ("begins with the weights of" in told) is not has_gone_on
    assert ("There is no run 'a'. Those of then are taken, from " in told) is not has_gone_on


def test_weights_that_were_taken_in_part_are_given_again_in_the_same_way(written, cut, go_on, first):
    written.change("net.py", "self.layer =", "self.more = nn.Linear(1, 1)\n        self.layer =")
    folder = cut(init_partial=True)
    before = facts(folder)["init_from"]
    shutil.rmtree(first)

    told = go_on(folder, init_partial=True)

    assert is_as_undisturbed(folder)
    assert len(facts(folder)["init_from"]["left"]) == 2
    assert facts(folder)["init_from"] == before
    assert "What was left" not in told


@pytest.mark.parametrize("has_gone_on", [True, False])
def test_another_run_that_has_trained_on_is_not_taken_from_a_second_time(
    cut, go_on, change_last, has_gone_on
):
    folder = cut(has_gone_on=has_gone_on)
    change_last(doubled)

    told = go_on(folder)

    assert is_as_undisturbed(folder)
    line = "a (model.pt, iteration 6) is not the checkpoint that the run began with. Those of then are taken"
    assert (line in told) is not has_gone_on


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_what_was_kept_and_is_lost_is_taken_from_the_other_run_if_that_is_as_it_was(cut, go_on, content):
    folder = cut()
    (folder / "init.pt").unlink()
    if content:
        (folder / "init.pt").write_bytes(content)

    told = go_on(folder)

    assert is_as_undisturbed(folder)
    assert "It is written anew." in told
    assert checkpoint.read(folder / "init.pt")["init_from"] == facts(folder)["init_from"]


def test_a_run_whose_beginning_is_lost_is_refused_and_left_as_it_is(cut, go_on, first):
    folder = cut()
    (folder / "init.pt").unlink()
    shutil.rmtree(first)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with pytest.raises(CheckpointError) as caught:
        go_on(folder)

    assert shown(caught.value) == (
        f"What the run began with is lost. {folder / 'init.pt'} is missing.\n"
        "  at: command line (init_from)\n"
        "  on_start and the evaluations may make something of these weights that no checkpoint has.\n"
        "  They cannot be taken again: There is no run 'a'.\n"
        "  A copy of the run's folder, or its page on W&B, has init.pt. A new run begins with what this one"
        " has learned: --init-from c."
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_that_left_no_checkpoint_takes_what_there_is_and_says_so(cut, go_on, change_last):
    folder = cut(has_gone_on=False)
    (folder / "init.pt").write_bytes(b"nothing")
    change_last(doubled)

    told = go_on(folder)

    assert "a (model.pt, iteration 6) is not the checkpoint that the run began with." in told
    assert "is damaged, or none: it does not end as one does. They are taken nevertheless." in told
    assert norms(folder)[0] == pytest.approx(2 * norms(folder.parent / "b")[0])


def test_a_run_that_left_no_checkpoint_and_nothing_to_begin_with_is_refused(cut, go_on, first):
    folder = cut(has_gone_on=False)
    (folder / "init.pt").unlink()
    shutil.rmtree(first)

    with pytest.raises(JadeError, match="There is no run 'a'"):
        go_on(folder)


def test_mended_code_of_a_run_that_left_no_checkpoint_may_take_more_of_the_other_run(
    written, cut, go_on, change_last
):
    change_last(lambda attributes: attributes.update(head=torch.nn.Linear(1, 1).state_dict()))
    folder = cut(has_gone_on=False)
    head = "self.head = torch.nn.Linear(1, 1)\n        self.add_attribute_to_store"
    written.change(TRAINER, 'self.add_attribute_to_store("net")', f'{head}("head")\n        {NET}')

    go_on(folder)

    assert facts(folder)["init_from"]["attributes"] == ["head", "net"]
    assert list(checkpoint.read(folder / "init.pt")["attributes"]) == ["head", "net"]


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
