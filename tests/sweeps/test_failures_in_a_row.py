"""How many trials have failed one after the other."""

from jade.sweeps.failures import Failures
from jade.trials import Trial, Trials


def trials(*states):
    rows = tuple(Trial(f"run{number}", "", state, began=float(number)) for number, state in enumerate(states))
    return Trials("e/p/s", "s", "grid", None, "minimize", (), "running", None, rows)


def test_failed_trials_are_counted_until_one_finishes():
    failures = Failures()

    failures.look(trials("failed", "crashed", "running"))
    assert (failures.in_a_row, failures.newest) == (2, "run1")
    failures.look(trials("failed", "crashed", "failed", "killed"))
    assert (failures.in_a_row, failures.newest) == (3, "run2")
    failures.look(trials("failed", "crashed", "failed", "killed", "finished"))
    assert failures.in_a_row == 0


def test_what_was_over_before_is_not_counted():
    failures = Failures()
    failures.forget(trials("failed", "failed", "running"))

    failures.look(trials("failed", "failed", "failed"))

    assert failures.in_a_row == 1


def test_a_trial_that_is_handed_out_again_counts_again():
    failures = Failures()
    failures.forget(trials("crashed"))

    for state in ("pending", "running", "crashed", "running"):
        failures.look(trials(state))
    assert failures.in_a_row == 1
    failures.look(trials("finished"))

    assert failures.in_a_row == 0
