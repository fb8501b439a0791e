"""What the installed client does with runs, against the server: log, read, change, resume, sync, log in."""

import json
import sys

PREPARE = """
import json, math
import numpy
import wandb
def shown(value): print("shown", json.dumps(value, default=dict))
"""


def lines(text):
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("shown ")]


def test_what_a_run_logs_is_what_the_api_reads(client):
    (client.folder / "notes.txt").write_text("kept")
    text = client.python(
        PREPARE
        + """
run = wandb.init(config={"model.params.beta": 0.5, "nested": {"lr": 1}}, name="shown", tags=["a"], notes="why")
for step in range(30):
    run.log({"x": step, "y": math.nan if step == 3 else math.inf if step == 4 else step * step})
run.log({"picture": wandb.Image(numpy.eye(4))})
run.save("notes.txt", policy="now")
print("said aloud")
run.finish()
api = wandb.Api()
found = api.run(run.path)
shown([found.state, found.name, found.tags, found.notes, dict(found.config)])
shown([found.summary["x"], found.summary["y"], found.lastHistoryStep])
shown([row["y"] for row in found.scan_history(keys=["y"], page_size=7)][:6])
shown(len(list(found.scan_history())))
shown(len(found.history(samples=10, pandas=False)))
shown(sorted(file.name for file in found.files()))
shown(found.file("notes.txt").download(root="down").read())
shown(found.file("output.log").download(root="down").read())
"""
    )

    state, summary, values, rows, sampled, files, kept, said = lines(text)
    assert state == [
        "finished", "shown", ["a"], "why", {"model.params.beta": 0.5, "nested": {"lr": 1}}
    ]  # fmt: skip
    assert summary == [29, 841, 30]
    assert values == [0, 1, 4, "NaN", "Infinity", 25]
    assert (rows, sampled) == (31, 8)
    assert {"config.yaml", "notes.txt", "output.log", "wandb-metadata.json", "wandb-summary.json"} <= set(
        files
    )
    assert kept == "kept"
    assert "said aloud" in said


def test_runs_are_found_by_filters_in_the_order_that_is_asked_for(client):
    text = client.python(
        PREPARE
        + """
for number, (beta, loss) in enumerate([(0.1, 3.0), (0.2, math.nan), (0.3, 1.0), (0.4, None)]):
    with wandb.init(id=f"run{number}", config={"model.params.beta": beta, "model": {"z": number}}) as run:
        if loss is not None:
            run.log({"loss": loss})
api, path = wandb.Api(), f"{run.entity}/{run.project}"
def found(query=None, order="+created_at"):
    shown([one.id for one in api.runs(path, query, order=order, per_page=2)])
found()
found(order="-created_at")
found(order="+summary_metrics.loss")
found(order="-summary_metrics.loss")
found({"config.model.params.beta": {"$gte": 0.2, "$lt": 0.4}})
found({"$or": [{"config.model.z": 0}, {"display_name": {"$regex": "nothing"}}]})
found({"state": "finished", "summary_metrics.loss": {"$exists": False}})
shown(len(api.runs(path, {"config.model.z": {"$in": [1, 2]}})))
"""
    )

    assert lines(text) == [
        ["run0", "run1", "run2", "run3"],
        ["run3", "run2", "run1", "run0"],
        ["run2", "run0", "run1", "run3"],
        ["run0", "run2", "run1", "run3"],
        ["run1", "run2"],
        ["run0"],
        ["run3"],
        2,
    ]


def test_a_run_goes_on_or_begins_anew_as_the_client_asks(client):
    text = client.python(
        PREPARE
        + """
with wandb.init(id="one") as run:
    for step in range(6):
        run.log({"x": step})
    run.summary["bad"] = math.nan
with wandb.init(id="one", resume="must") as run:
    shown([run.resumed, run.starting_step, run.summary["x"]])
    run.log({"x": 6})
shown([row["x"] for row in wandb.Api().run(run.path).scan_history()])
with wandb.init(id="one") as run:
    run.log({"x": "anew"})
shown([row["x"] for row in wandb.Api().run(run.path).scan_history()])
for wanted in ("must", "never"):
    try:
        wandb.init(id="missing" if wanted == "must" else "one", resume=wanted)
    except wandb.errors.UsageError as error:
        shown(str(error)[:30])
"""
    )

    assert lines(text) == [
        [True, 6, 5],
        [0, 1, 2, 3, 4, 5, 6],
        ["anew"],
        "Run (missing) does not exist o",
        "Run (one) already exists, but ",
    ]


def test_a_run_is_changed_and_deleted_by_the_api(client):
    text = client.python(
        PREPARE
        + """
with wandb.init(id="one", config={"a": 1}) as run:
    run.log({"x": 1})
found = wandb.Api().run(run.path)
found.config["b"] = [1, 2]
found.tags = ["good"]
found.summary["late"] = 3
found.update()
again = wandb.Api().run(run.path)
shown([dict(again.config), again.tags, again.summary["late"], again.state])
again.delete()
try:
    wandb.Api().run(run.path)
except wandb.errors.CommError as error:
    shown(str(error)[:18])
shown(len(wandb.Api().runs(f"{run.entity}/{run.project}")) == 0)
"""
    )

    assert lines(text) == [[{"a": 1, "b": [1, 2]}, ["good"], 3, "finished"], "Could not find run", True]


def test_an_offline_run_is_synced_once_however_often(client):
    client.python(
        PREPARE
        + """
with wandb.init(id="one", mode="offline", config={"a": 1}) as run:
    for step in range(5):
        run.log({"x": step})
"""
    )

    for _ in range(2):
        code, text = client.run("wandb", "sync", "--yes", *client.folder.glob("wandb/offline-run-*"))
        assert code == 0, text

    read = f"run = wandb.Api().run('local/{client.project}/one'); shown([row['x'] for row in run.scan_history()])"
    assert lines(client.python(PREPARE + read + "; shown([run.state, dict(run.config)])")) == [
        [0, 1, 2, 3, 4],
        ["finished", {"a": 1}],
    ]


def test_wandb_login_stores_a_key_of_the_server(client):
    home = {"WANDB_API_KEY": ""}
    code, text = client.run("wandb", "login", "--host", client.server.url, "f" * 40, **home)

    assert code == 0, text
    assert "f" * 40 in (client.server.folder / "home" / ".netrc").read_text()
    (client.server.folder / "home" / ".netrc").unlink()


def test_how_a_run_ended_is_its_state(client):
    text = client.python(
        PREPARE
        + """
def state(**ended):
    run = wandb.init()
    if ended.pop("preempting", False):
        run.mark_preempting()
    run.finish(**ended)
    return wandb.Api().run(run.path).state
shown([state(), state(exit_code=3), state(exit_code=1, preempting=True), state(preempting=True)])
"""
    )

    assert lines(text) == [["finished", "failed", "preempted", "finished"]]


def test_a_client_that_logs_on_while_the_server_is_killed_loses_no_row(own_server, client_of):
    server = own_server()
    client = client_of(server)
    logging = client.start(
        sys.executable,
        "-c",
        "import time, wandb\n"
        "with wandb.init(id='one') as run:\n"
        "    for step in range(60):\n"
        "        run.log({'x': step})\n"
        "        print('logged', flush=True)\n"
        "        time.sleep(0.1)\n",
    )
    for line in logging.stdout:
        if line == "logged\n":
            break

    for _ in range(2):
        server.kill()
        server.start()
    text, _ = logging.communicate(timeout=120)

    assert logging.returncode == 0, text
    read = "shown([row['x'] for row in wandb.Api().run('local/project/one').scan_history()])"
    assert lines(client.python(PREPARE + read)) == [list(range(60))]
