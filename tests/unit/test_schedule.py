import pytest

from jade import schedule
from jade.errors import ConfigError
from jade.intervals import NEVER, Interval
from jade.schedule import Schedule, schedule_of


def complaint(**given):
    with pytest.raises(ConfigError) as caught:
        schedule_of(given)
    return str(caught.value)


def seconds(text):
    return schedule_of({"time_limit": text}).seconds


# Intervals


def test_what_is_not_said_has_its_default():
    found = schedule_of({})

    assert found == Schedule(
        log_loss=Interval(100, "iteration"),
        checkpoint=Interval(100, "epoch"),
        backup=Interval(600, "second"),
        kept=None,
        seconds=None,
        allow_nan=False,
    )


def test_the_defaults_say_the_same_when_they_are_said():
    said = {name: text for name, (text, _) in schedule.DEFAULT_EVERY.items()}

    assert schedule_of(said) == schedule_of({})


def test_a_bare_number_counts_iterations_for_the_losses_and_epochs_for_the_rest():
    found = schedule_of({"log_loss_every": "5", "checkpoint_every": "5", "backup_every": "5"})

    assert [str(every) for every in (found.log_loss, found.checkpoint, found.backup)] == [
        "5 iterations",
        "5 epochs",
        "5 epochs",
    ]


def test_each_interval_may_be_said_in_any_unit_or_be_never():
    found = schedule_of(
        {"log_loss_every": "1 epoch", "checkpoint_every": "never", "backup_every": "7 iterations"}
    )

    assert (found.log_loss, found.checkpoint) == (Interval(1, "epoch"), NEVER)
    assert found.backup == Interval(7, "iteration")


def test_a_loss_may_be_no_number_only_where_that_was_said():
    assert schedule_of({"allow_nan": "true"}).allow_nan


@pytest.mark.parametrize("name", list(schedule.DEFAULT_EVERY))
@pytest.mark.parametrize("text", ["0", "often", "5 parsecs", ""])
def test_a_wrong_interval_is_told_with_its_flag(name, text):
    assert f"\n  at: --{name.replace('_', '-')}\n" in complaint(**{name: text})


def test_all_wrong_values_are_told_at_once():
    told = complaint(
        log_loss_every="often",
        checkpoint_every="0",
        backup_every="1.5",
        keep_checkpoints="some",
        time_limit="soon",
    )

    assert told.startswith("5 faults were found.")
    for part in (
        "'often' says not how often.\n  at: --log-loss-every",
        "'0' is not above 0.\n  at: --checkpoint-every",
        "'1.5' is no whole number of epochs.\n  at: --backup-every",
        "'some' is no number of checkpoints.\n  at: --keep-checkpoints",
        "'soon' is no time.\n  at: --time-limit",
    ):
        assert part in told


# How many checkpoints are kept


@pytest.mark.parametrize(
    ("text", "kept"), [("1", 1), ("5", 5), (" 12 ", 12), ("007", 7), ("all", None), (" All ", None)]
)
def test_so_many_checkpoints_are_kept_or_all(text, kept):
    assert schedule_of({"keep_checkpoints": text}).kept == kept


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e2", "", "none", "all of them", "²"], ids=repr)
def test_another_number_of_checkpoints_is_refused(text):
    assert complaint(keep_checkpoints=text) == (
        f"{text!r} is no number of checkpoints.\n  at: --keep-checkpoints\n  Write a number above 0, or all."
    )


# How long a process may take


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", 7200),
        ("2 h", 7200),
        ("2 hours", 7200),
        ("2 Hours", 7200),
        ("1 hour", 3600),
        ("1hr", 3600),
        ("3 hrs", 10800),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        ("1h30m15s", 5415),
        ("1 hour 30 minutes", 5400),
        ("1 hour, 30 minutes", 5400),
        ("90 minutes", 5400),
        ("90 mins", 5400),
        ("90 min", 5400),
        ("90m", 5400),
        ("45 seconds", 45),
        ("45 sec", 45),
        ("45 secs", 45),
        ("45s", 45),
        ("1d", 86400),
        ("2 days", 172800),
        ("1.5h", 5400),
        (".5h", 1800),
        ("0h 5m", 300),
        ("  2h  ", 7200),
    ],
)
def test_a_time_is_said_in_units_of_any_length(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("01:30:00", 5400), ("1:30:00", 5400), ("00:00:30", 30), ("100:00:00", 360000), (" 00:05:00 ", 300)],
)
def test_a_time_is_said_as_slurm_writes_it(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["never", "Never", " none "])
def test_there_may_be_no_limit(text):
    assert seconds(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "h",
        "90",
        "2 parsecs",
        "2 hourglasses",
        "2hx",
        "two hours",
        "0h",
        "0 minutes",
        "-2h",
        "- 2h",
        "1h -30m",
        "1h 30",
        "1.2.3h",
        ".h",
        "2 mo",
        "1:2:3:4",
        "1:xx",
        "1:",
        ":30",
        "-1:30:00",
        "soon",
        "2h or so",
        "nan",
        "inf hours",
        "1e3 s",
        "²h",
    ],
    ids=repr,
)
def test_another_time_is_refused_with_how_to_write_one(text):
    assert complaint(time_limit=text) == (
        f'{text!r} is no time.\n  at: --time-limit\n  Write "2h", "1h 30m", "90 minutes", "01:30:00" or never.'
    )


@pytest.mark.parametrize("text", ["00:00:00", "0:00"])
def test_no_time_at_all_is_refused_however_it_is_written(text):
    assert f"{text!r} is no time." in complaint(time_limit=text)
