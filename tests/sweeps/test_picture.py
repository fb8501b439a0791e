"""The picture of a sweep: drawn for every kind of sweep there is, whole or not at all."""

import math
import random

import pytest

from jade.errors import ConfigError
from jade.sweeps.picture import draw
from jade.trials import Trial, Trials

KINDS = {
    "model.params.lr": lambda chance: 10 ** chance.uniform(-5, -1),
    "model.params.z_dim": lambda chance: chance.choice([2, 8, 32]),
    "data.augment": lambda chance: chance.choice([True, False]),
    "model.params.layers": lambda chance: chance.choice([[64], [128, 64]]),
    "model.params.$a_{very}_long^name_with_$signs_of_formulas": lambda chance: chance.choice(["$x$", "_y_"]),
    "model.params.momentum": lambda chance: chance.choice([None, 0.9]),
    "eval.日本": lambda chance: chance.uniform(-1, 1),
}


def sweep(count, keys=3, value=lambda number, chance: chance.random(), state="finished", goal="minimize"):
    chance = random.Random(0)
    named = dict(list(KINDS.items())[:keys])
    rows = tuple(
        Trial(
            f"r{number}", f"trial-{number}", state, {key: make(chance) for key, make in named.items()},
            last=value(number, chance), began=float(number),
        )
        for number in range(count)
    )  # fmt: skip
    return Trials("me/p/s", "s", "random", "Loss", goal, tuple(named), "finished", count, rows)


@pytest.mark.parametrize(
    "trials",
    [
        sweep(3),
        sweep(60, 7),
        sweep(1, 1),
        sweep(0),
        sweep(5, 0),
        sweep(9, state="failed"),
        sweep(9, value=lambda number, chance: None),
        sweep(9, value=lambda number, chance: 0.5),
        sweep(9, value=lambda number, chance: [math.nan, math.inf, 1.0][number % 3]),
        sweep(30, value=lambda number, chance: 1e9 if number == 3 else chance.random()),
        sweep(30, goal="maximize", value=lambda number, chance: 10 ** chance.uniform(-6, 0)),
    ],
    ids=[
        "3",
        "60 of all kinds",
        "1",
        "0",
        "no params",
        "failed",
        "none",
        "equal",
        "nan",
        "outlier",
        "decades",
    ],
)
def test_every_kind_of_sweep_is_drawn(trials, tmp_path):
    draw(trials, tmp_path / "x.png")

    assert (tmp_path / "x.png").stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_the_same_sweep_gives_the_same_picture(tmp_path):
    for name in ("a.png", "b.png"):
        draw(sweep(30, 7), tmp_path / name)

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        (sweep(9, state="failed"), "No trial has finished with a number as its Loss yet."),
        (sweep(0), "No trial has begun yet."),
    ],
)
def test_a_picture_without_a_result_says_so(trials, said, tmp_path):
    draw(trials, tmp_path / "x.svg")

    assert f"<!-- {said} -->" in (tmp_path / "x.svg").read_text()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "there").write_text("")

    with pytest.raises(ConfigError, match=r"there/x.png cannot be written"):
        draw(sweep(3), tmp_path / "there" / "x.png")


def test_a_picture_that_fails_leaves_the_one_before(tmp_path):
    draw(sweep(3), tmp_path / "x.png")
    before = (tmp_path / "x.png").read_bytes()
    broken = Trials(
        "p", "p", "", "Loss", "minimize", ("a",), "", None, (Trial("r", "r", "finished", {"a": [object]}),)
    )

    with pytest.raises(Exception, match="cannot represent"):
        draw(broken, tmp_path / "x.png")

    assert (tmp_path / "x.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
