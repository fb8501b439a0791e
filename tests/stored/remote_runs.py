"""A server with stored runs, for tests: filled by requests, as a client fills it, and read by the real client."""

import base64
import hashlib
import json
import os
from contextlib import contextmanager
from urllib.parse import quote

import pytest
import wandb

from tests.server.doors import KEY, opened

FILES = {
    "config.yml": "model:\n  class: Toy\n  params: {lr: 0.1}\nseed: 1\n",
    "environment.json": "{}",
    "yaml/model.yml": "class: Toy\n",
    "code/modules/models/Toy.py": "class Toy: pass\n",
    "metrics.jsonl": '{"row": 0, "iterations": 3, "metrics": {"Loss": 0.5}}\n',
    "model.pt": b"weights" * 100,
    "checkpoint_3.pt": b"older" * 100,
    "wandb-metadata.json": "{}",
    "output.log": "said\n",
}
SUMMARY = {
    "Loss": 0.5, "Loss/best": 0.25, "Worst": "Infinity", "iterations": 3, "epochs": 1, "row": 2, "_runtime": 7.5,
    "picture": {"_type": "image-file"},
}  # fmt: skip
_FILES = (
    "mutation F($input: CreateRunFilesInput!) { createRunFiles(input: $input) { files { name uploadUrl } } }"
)


@contextmanager
def home_of_nobody(folder):
    """Run with nobody's home, no account, and no server but the one that a test names."""
    known = {
        "HOME": folder,
        "NETRC": folder / ".netrc",
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CONFIG_DIR": folder / "config",
        "WANDB_CACHE_DIR": folder / "cache",
        "WANDB_DATA_DIR": folder / "data",
        "JADE_CACHE": folder / "jade",
    }
    wandb.teardown()  # before its variable is put away, which would come back after its process has ended
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB_", "JADE_", "XDG_CACHE"))]:
            patch.delenv(name)
        for name, value in known.items():
            patch.setenv(name, str(value))
        wandb.teardown()  # wandb reads its environment once in a process
        yield
        wandb.teardown()


class Filled:
    """A server, what is on it, and the environment of who asks it."""

    def __init__(self, doors, folder):
        self.doors = doors
        self.url = f"http://127.0.0.1:{doors.port}"
        self.environ = {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": KEY,
            "HOME": str(folder),
            "JADE_CACHE": str(folder / "cache"),
            "EXPERIMENTS_ROOT": str(folder / "experiments"),
        }

    def run(self, run_id="abc", files=None, entity="local", project="p", code=0, **fields):
        """Have a run on the server; give its path."""
        config = {"model.class": "Toy", "model.params.lr": 0.1, "data": {"n": 2}, "_wandb": {"t": 1}}
        values = json.dumps({key: {"value": value} for key, value in config.items()})
        reply = self.doors.graphql(
            "mutation Begin($input: UpsertBucketInput!) { upsertBucket(input: $input) { bucket { id } } }",
            input={"entityName": entity, "modelName": project, "name": run_id, "config": values, **fields},
        )
        assert reply.errors == []
        ended = {} if code is None else {"complete": True, "exitcode": code}
        lines = {"wandb-summary.json": {"offset": 0, "content": [json.dumps(SUMMARY)]}}
        path = f"/files/{entity}/{project}/{quote(run_id, safe='')}/file_stream"
        assert self.doors.ask("POST", path, json.dumps({"files": lines, **ended})).status == 200
        self.put(f"{entity}/{project}/{run_id}", FILES if files is None else files)
        return f"{entity}/{project}/{run_id}"

    def put(self, path, files):
        """Upload files of a run, or replace them."""
        entity, project, run_id = path.split("/")
        fields = {"entityName": entity, "projectName": project, "runName": run_id, "files": list(files)}
        reply = self.doors.graphql(_FILES, input=fields)
        for file in reply.data["createRunFiles"]["files"]:
            content = files[file["name"]]
            address = "/" + file["uploadUrl"].split("/", 3)[3]
            sent = content.encode() if isinstance(content, str) else content
            assert self.doors.ask("PUT", address, sent).status == 200

    def write(self, statement, *values):
        """Change what the server has, as a client cannot."""
        with self.doors.parts.store.write() as db:
            db.execute(statement, values)


def artifact(filled, folder, name="abc-model", aliases=("best",), files=None, run_id=None):
    """Have an artifact logged by the real client; give the id of its run."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in filled.environ.items():
            patch.setenv(key, value)
        patch.setenv("WANDB_SILENT", "true")
        wandb.teardown()
        with wandb.init(entity="local", project="p", id=run_id, dir=str(folder), resume="allow") as run:
            made = wandb.Artifact(name, "model", metadata={"iterations": 3})
            for path, content in (files or {"best.pt": b"best" * 50}).items():
                with made.new_file(path, "wb") as file:
                    file.write(content)
            run.log_artifact(made, aliases=list(aliases)).wait()
            run_id = run.id
        wandb.teardown()
    return run_id


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def in_base64(data):
    return base64.b64encode(bytes.fromhex(md5(data))).decode()


@contextmanager
def filled_server(folder):
    with opened(folder / "data") as doors:
        yield Filled(doors, folder)
