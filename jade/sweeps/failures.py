"""How many trials have failed one after the other: a sweep in which nothing works any more is stopped."""

from __future__ import annotations

from dataclasses import dataclass, field

from jade import trials as found
from jade.trials import Trials

OVER = ("finished", "failed", "crashed")  # a trial that the sweep itself has stopped says nothing


@dataclass
class Failures:
    """Counts the trials that failed one after the other since this command began.

    Attributes:
        in_a_row: how many.
        newest: the run that failed last.
    """

    in_a_row: int = 0
    newest: str = ""
    _over: set[str] = field(default_factory=set)

    def forget(self, trials: Trials) -> None:
        """Take note of the trials that were over before."""
        self._over = {trial.run_id for trial in trials.rows if trial.state in OVER}

    def look(self, trials: Trials) -> None:
        """Take note of the trials that are over now."""
        # One that is handed out again may fail again.
        self._over &= {trial.run_id for trial in trials.rows if trial.state in OVER}
        for trial in found.in_order(trials.rows):
            if trial.run_id in self._over or trial.state not in OVER:
                continue
            self._over.add(trial.run_id)
            failed = trial.state != "finished"
            self.in_a_row = self.in_a_row + 1 if failed else 0
            self.newest = trial.run_id if failed else self.newest
