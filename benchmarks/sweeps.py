"""A random sweep of many trivial trials by real agents, one of which is killed, and so is the server.

    python benchmarks/sweeps.py [TRIALS]

Counts trials that were lost, doubled or cut short, and rows that are missing; and compares bayes with random search
on functions whose optimum is known.
"""

import collections
import json
import math
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
import results  # beside this file
import yaml

from jade.server import search
from tests.server.conftest import HERE, Client, Server

TRIALS = 200
STEPS = 3
GRACE = 5.0
READ = """
import json
import wandb
sweep = wandb.Api().sweep("local/project/{sweep}")
found = [[run.id, run.state, run.config["x"], len(list(run.scan_history()))] for run in sweep.runs]
print("found", json.dumps([sweep.state, found]))
"""


def main():
    trials = int(sys.argv[1]) if sys.argv[1:] else TRIALS
    with tempfile.TemporaryDirectory() as folder:
        failed = swept(Path(folder), trials)
    searched()
    return int(failed)


def swept(folder, trials):
    """Run the sweep with two agents; kill one of them, and the server, on the way."""
    server = Server(folder / "server", "--grace", str(GRACE))
    client = Client(server, folder / "client", "project")
    shutil.copy(HERE / "programs" / "quadratic.py", client.folder)
    path = client.folder / "sweep.yml"
    range_of_x = {"x": {"min": 0.0, "max": 1.0}}
    config = {"program": "quadratic.py", "method": "random", "run_cap": trials, "parameters": range_of_x}
    path.write_text(yaml.safe_dump(config))
    sweep = client.sweep(path)
    begun = time.monotonic()
    first, second = (quiet(client, sweep) for _ in range(2))
    wait_for(client, sweep, trials // 3)
    kill_with_trials(first)
    third = quiet(client, sweep)
    wait_for(client, sweep, 2 * trials // 3)
    server.kill()
    time.sleep(3)
    server.start()
    for agent in (second, third):
        agent.wait()
    seconds = time.monotonic() - begun
    state, runs = read(client, sweep)
    client.close()
    server.stop()
    return report(trials, state, runs, seconds)


def report(trials, state, runs, seconds):
    states = collections.Counter(run[1] for run in runs)
    points = collections.Counter(run[2] for run in runs)
    doubled = sum(count - 1 for count in points.values())
    missing = sum(max(0, STEPS - run[3]) for run in runs)
    text = [
        "| trials | finished | lost | doubled | rows missing | sweep | seconds |",
        "|---|---|---|---|---|---|---|",
        f"| {trials} | {states['finished']} | {trials - len(points)} | {doubled} | {missing} | {state} | {seconds:.0f} |",
    ]
    how = "Two real agents that ask every 0.2 s; one is killed with its trial (-9), then the server, which is away for 3 s."
    results.write("A sweep whose agent and server are killed", how, text)
    return states["finished"] != trials or doubled or missing


def quiet(client, sweep):
    """Start an agent, and throw away what it prints."""
    process = client.agent(sweep, STEPS=str(STEPS), WANDB_SILENT="true")
    # A pipe that is not read would fill and stop the agent.
    threading.Thread(target=lambda: collections.deque(process.stdout, maxlen=0), daemon=True).start()
    return process


def kill_with_trials(agent):
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    for process in (agent.pid, *map(int, children)):
        os.kill(process, signal.SIGKILL)


def read(client, sweep):
    code, text = client.run(sys.executable, "-c", READ.format(sweep=sweep), WANDB_SILENT="true")
    assert code == 0, text
    return json.loads(next(line for line in text.splitlines() if line.startswith("found "))[6:])


def wait_for(client, sweep, count):
    while len(read(client, sweep)[1]) < count:
        time.sleep(2)


PROBLEMS = {
    "quadratic in two params": (
        {"x": {"min": -1.0, "max": 1.0}, "y": {"min": -1.0, "max": 1.0}},
        lambda x, y: (x - 0.3) ** 2 + (y + 0.6) ** 2,
    ),
    "the same, one param logarithmic": (
        {
            "x": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1.0},
            "y": {"min": -1.0, "max": 1.0},
        },
        lambda x, y: (math.log10(x) + 3) ** 2 + (y - 0.5) ** 2,
    ),
}


def searched(seeds=20, trials=30):
    """Compare the best of 30 trials by bayes and by random search, seed by seed."""
    text = ["| function | bayes better | median best, bayes | median best, random |", "|---|---|---|---|"]
    for name, (parameters, function) in PROBLEMS.items():
        best = {
            method: [lowest(method, parameters, function, seed, trials) for seed in range(seeds)]
            for method in ("bayes", "random")
        }
        wins = sum(one < other for one, other in zip(best["bayes"], best["random"], strict=True))
        medians = [f"{statistics.median(best[method]):.2g}" for method in ("bayes", "random")]
        text.append(f"| {name} | {wins} of {seeds} seeds | {' | '.join(medians)} |")
    results.write("Bayes against random search", f"{trials} trials, one after the other.", text)


def lowest(method, parameters, function, seed, trials):
    config = {"method": method, "metric": {"name": "loss", "goal": "minimize"}, "parameters": parameters}
    done = []
    for _ in range(trials):
        params = search.propose(config, done, seed)
        done.append(search.Trial(params, "finished", function(**params)))
    return min(trial.metric for trial in done)


if __name__ == "__main__":
    sys.exit(main())
