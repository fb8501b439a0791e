"""What the installed client does with artifacts, against the server: log, find, download, rename, delete."""

import base64
import contextlib
import hashlib
import json
import re
import sqlite3
import sys
import urllib.error
import urllib.request

import pytest

from tests.server.conftest import KEY

PREPARE = """
import json, os
from pathlib import Path
import wandb
PROJECT = os.environ["WANDB_PROJECT"]
def shown(value): print("shown", json.dumps(value))
def blobs(): return len([path for path in Path(os.environ["BLOBS"]).glob("??/*")])
def made(name, **texts):
    artifact = wandb.Artifact(name, "data")
    for file, text in texts.items():
        with artifact.new_file(file) as opened: opened.write(text)
    return artifact
def logged(name, aliases=None, **texts):
    with wandb.init() as run: return run.log_artifact(made(name, **texts), aliases=aliases).wait()
def found(name): return wandb.Api().artifact(f"{PROJECT}/{name}")
def refused(call):
    try: call()
    except Exception as error: return f"{type(error).__name__}: {error}"
"""


class Artifacts:
    """The client of a test, each of whose processes begins with an empty cache; and the server's own side."""

    def __init__(self, client):
        self.server, self.folder, self.project = client.server, client.folder, client.project
        self._client = client
        self._blobs = client.server.folder / "data" / "files"
        self._caches = 0

    def start(self, *command, **environ):
        self._caches += 1
        own = {
            "WANDB_SILENT": "true",
            "BLOBS": self._blobs,
            "WANDB_CACHE_DIR": self.folder / f"cache{self._caches}",
        }
        return self._client.start(*command, **{**own, **environ})

    def end(self, process):
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text
        return text

    def python(self, code, **environ):
        """Run code; give the values that it has shown."""
        text = self.end(self.start(sys.executable, "-c", PREPARE + code, **environ))
        return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("shown ")]

    def entries_and_blobs(self):
        """How many files the artifacts of the project have, and how many of them are stored."""
        with contextlib.closing(sqlite3.connect(self.server.folder / "data" / "server.sqlite")) as db:
            return db.execute(
                "SELECT count(*), count(DISTINCT blob) FROM artifact_files"
                " JOIN artifacts ON artifacts.id = artifact JOIN collections ON collections.id = collection"
                " JOIN projects ON projects.id = project WHERE projects.name = ?",
                (self.project,),
            ).fetchone()

    def post(self, query, **variables):
        """Send an operation as the client does; give the answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        return json.loads(self.http("POST", f"{self.server.url}/graphql", body)[1])

    def http(self, method, address, body=None, key=KEY):
        """Send a request; give its status and what was answered."""
        request = urllib.request.Request(address, body, method=method)
        if key:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"api:{key}".encode()).decode())
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def client(client):
    return Artifacts(client)


def test_another_client_downloads_what_one_has_logged(client):
    (client.folder / "kept" / "inner").mkdir(parents=True)
    (client.folder / "kept" / "one.txt").write_text("first")
    (client.folder / "kept" / "inner" / "ünï code#1?.txt").write_text("second")
    (client.folder / "outside.txt").write_text("referred to")
    path, logged = client.python(
        """
with wandb.init() as run:
    artifact = wandb.Artifact("set", "dataset", description="why", metadata={"rows": 2, "deep": {"a": [1]}})
    artifact.add_dir("kept", name="folder")
    artifact.add_file("outside.txt", name="copied.txt")
    artifact.add_reference(f"file://{os.getcwd()}/outside.txt", name="reference.txt")
    run.log_artifact(artifact, aliases=["best"], tags=["small"]).wait()
    shown(run.path)
    shown([artifact.name, artifact.state, sorted(artifact.aliases), artifact.tags])
"""
    )

    values = client.python(
        """
with wandb.init() as run:
    used = run.use_artifact("set:latest")
    folder = Path(used.download("down"))
    shown(sorted([str(path.relative_to(folder)), path.read_text()] for path in folder.rglob("*") if path.is_file()))
    shown([used.source_name, used.type, used.description, used.metadata, used.size, used.file_count, used.tags])
    used.verify("down")
    shown([run.use_artifact(name).version for name in ("set:v0", "set:best", "set:latest")])
    name = run.path
one = found("set:v0")
shown([one.logged_by().path, [user.path for user in one.used_by()], name])
shown([[other.name for other in wandb.Api().run(name).used_artifacts()],
       [other.name for other in one.logged_by().logged_artifacts()]])
shown(sorted([file.name, file.size] for file in one.files()))
shown([file.name for file in one.files(names=["copied.txt"])])
shown(Path(one.get_entry("folder/one.txt").download("alone")).read_text())
shown(one.digest == used.digest)
"""
    )

    files, told, versions, runs, listed, sizes, named, alone, is_same = values
    assert logged == ["set:v0", "COMMITTED", ["best", "latest"], ["small"]]
    assert files == [
        ["copied.txt", "referred to"],
        ["folder/inner/ünï code#1?.txt", "second"],
        ["folder/one.txt", "first"],
        ["reference.txt", "referred to"],
    ]
    assert told == ["set:v0", "dataset", "why", {"rows": 2, "deep": {"a": [1]}}, 33, 4, ["small"]]
    assert versions == ["v0", "v0", "v0"]
    assert "/".join(runs[0]) == path
    assert ["/".join(one) for one in runs[1]] == [runs[2]]
    assert listed == [["set:v0"], ["set:v0"]]
    assert sizes == [
        ["copied.txt", 11], ["folder/inner/ünï code#1?.txt", 6], ["folder/one.txt", 5], ["reference.txt", 11]
    ]  # fmt: skip
    assert (named, alone, is_same) == (["copied.txt"], "first", True)


def test_the_same_contents_are_the_same_version_and_a_kept_file_is_not_sent_again(client):
    values = client.python(
        """
names = []
for texts in ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, {"a": "1", "b": "changed"}, {"a": "1", "b": "2"}):
    one = logged("set", **texts)
    names.append([one.version, one.aliases])
shown(names)
shown([one.version for one in wandb.Api().artifacts("data", f"{PROJECT}/set")])
draft = found("set:v1").new_draft()
with draft.new_file("c") as opened: opened.write("3")
with wandb.init() as run: run.log_artifact(draft).wait()
shown(sorted([path.name, path.read_text()] for path in Path(found("set:v2").download("down")).iterdir()))
shown([one.name for one in wandb.Api().run(run.path).logged_artifacts()])
"""
    )

    names, versions, drafted, outputs = values
    assert names == [["v0", ["latest"]], ["v0", ["latest"]], ["v1", ["latest"]], ["v0", ["latest"]]]
    assert versions == ["v1", "v0"]
    assert drafted == [["a", "1"], ["b", "changed"], ["c", "3"]]
    assert outputs == ["set:v2"]
    assert client.entries_and_blobs() == (7, 4)


def test_aliases_and_what_is_said_about_a_version_can_be_changed(client):
    values = client.python(
        """
logged("set", ["best", "old"], a="1"); logged("set", ["best"], a="2")
first, second = found("set:v0"), found("set:v1")
shown([sorted(first.aliases), sorted(second.aliases)])
first.aliases.append("prod"); first.aliases.remove("old")
first.description, first.metadata["k"], first.tags = "said", [1], ["x", "y"]
first.save()
first.tags.remove("x")
first.save()
second.aliases.append("prod")
second.save()
"""
    )
    later = client.python(
        """
first, second = found("set:v0"), found("set:v1")
shown([first.aliases, sorted(second.aliases), first.description, first.metadata, first.tags])
shown(sorted(wandb.Api().artifact_collection("data", f"{PROJECT}/set").aliases))
shown([refused(lambda: found(f"set:{name}")) for name in ("old", "v7", "no")])
shown(refused(lambda: (second.aliases.append("v3"), second.save())))
"""
    )

    assert values == [[["old"], ["best", "latest"]]]
    told, names, missing, version = later
    assert told == [[], ["best", "latest", "prod"], "said", {"k": [1]}, ["y"]]
    assert names == ["best", "latest", "prod"]
    assert all("not found" in text for text in missing)
    assert "v3" in version


def test_a_deleted_version_takes_its_files_along_and_its_number_is_not_given_again(client):
    values = client.python(
        """
logged("set", a="kept in both", b="of the first"); logged("set", a="kept in both", c="of the second")
before = blobs()
shown(refused(lambda: found("set:v1").delete()))
found("set:v1").delete(delete_aliases=True)
shown(before - blobs())
latest = found("set:latest")
shown([latest.version, sorted(path.name for path in Path(latest.download("down")).iterdir())])
shown(logged("set", d="of the third").version)
before = blobs()
wandb.Api().artifact_collection("data", f"{PROJECT}/set").delete()
shown(before - blobs())
shown(wandb.Api().artifact_exists(f"{PROJECT}/set:v0"))
"""
    )

    refusal, freed, latest, third, rest, is_there = values
    assert "latest" in refusal
    assert freed == 2  # its manifest, and the file that only it had
    assert latest == ["v0", ["a", "b"]]
    assert third == "v2"
    assert rest == 5  # two manifests and three files
    assert is_there is False


def test_collections_and_types_are_listed_renamed_and_retyped(client):
    values = client.python(
        """
with wandb.init() as run:
    for name, kind in (("a", "data"), ("b", "data"), ("c", "model")):
        artifact = wandb.Artifact(name, kind)
        with artifact.new_file("f") as opened: opened.write(name)
        run.log_artifact(artifact)
api = wandb.Api()
shown([kind.name for kind in api.artifact_types(PROJECT)])
shown([[one.name for one in api.artifact_type(kind, PROJECT).collections()] for kind in ("data", "model")])
shown([api.artifact_collection_exists(f"{PROJECT}/{name}", "data") for name in ("a", "c", "d")])
collection = api.artifact_collection("data", f"{PROJECT}/a")
collection.name, collection.description, collection.type, collection.tags = "renamed", "why", "model", ["t"]
collection.save()
collection = wandb.Api().artifact_collection("model", f"{PROJECT}/renamed")
shown([collection.description, list(collection.tags), [one.name for one in collection.artifacts()]])
collection.name = "b"
shown(refused(collection.save))
shown([one.version for one in api.artifacts("data", f"{PROJECT}/b", order="+createdAt", tags=["none"])])
"""
    )

    types, names, there, renamed, taken, tagged = values
    assert types == ["data", "model"]
    assert names == [["b", "a"], ["c"]]
    assert there == [True, False, False]
    assert renamed == ["why", ["t"], ["renamed:v0"]]
    assert "There is an artifact 'b' already." in taken
    assert tagged == []


def test_tables_media_and_models_are_artifacts_that_can_be_read_back(client):
    (client.folder / "weights.pt").write_text("weights")
    values = client.python(
        """
import numpy
with wandb.init() as run:
    picture = wandb.Artifact("pictures", "data")
    image = wandb.Image(numpy.eye(4))
    picture.add(image, "one")
    run.log_artifact(picture).wait()
    table = wandb.Table(columns=["x", "y"], data=[[1, "a"], [2, "b"]])
    run.log({"table": table, "pictures": wandb.Table(columns=["p"], data=[[image]])})
    run.log_model("weights.pt", name="net", aliases=["best"])
    name = run.id
shown(name)
with wandb.init() as run:
    shown(Path(run.use_model("net:best")).read_text())
    shown(run.use_artifact(f"run-{name}-table:latest").get("table").data)
    shown([list(row[0].image.size) for row in run.use_artifact(f"run-{name}-pictures:latest").get("pictures").data])
"""
    )

    name, weights, rows, sizes = values
    assert weights == "weights"
    assert rows == [[1, "a"], [2, "b"]]
    assert sizes == [[4, 4]]


def test_an_offline_run_brings_its_artifact_when_it_is_synced_and_only_once(client):
    client.python(
        """
with wandb.init() as run: run.log_artifact(made("set", a="offline"), aliases=["best"])
""",
        WANDB_MODE="offline",
    )
    folder = next((client.folder / "wandb").glob("offline-run-*"))

    for _ in range(2):
        client.end(client.start(sys.executable, "-m", "wandb", "sync", "--include-synced", folder))

    values = client.python(
        """
shown([[one.version, sorted(one.aliases)] for one in wandb.Api().artifacts("data", f"{PROJECT}/set")])
shown((Path(found("set:best").download("down")) / "a").read_text())
"""
    )
    assert values == [[["v0", ["best", "latest"]]], "offline"]


def test_two_clients_at_once_lose_no_version_and_double_none(client):
    code = (
        PREPARE
        + """
with wandb.init() as run:
    for number in range(5): run.log_artifact(made("own", a=f"{number} of {run.id}"))
    for number in range(5): run.log_artifact(made("same", a=str(number)))
shown(len(wandb.Api().run(run.path).logged_artifacts()))
"""
    )

    processes = [client.start(sys.executable, "-c", code) for _ in range(2)]
    texts = [client.end(process) for process in processes]

    values = client.python(
        """
for name in ("own", "same"):
    versions = list(wandb.Api().artifacts("data", f"{PROJECT}/{name}"))
    shown([one.version for one in versions])
    shown(len({one.digest for one in versions}))
"""
    )
    assert all("shown 10" in text for text in texts)
    assert values[:2] == [[f"v{number}" for number in range(9, -1, -1)], 10]
    assert values[2:] == [[f"v{number}" for number in range(4, -1, -1)], 5]


def test_what_is_not_served_says_so_and_the_run_goes_on(client):
    values = client.python(
        """
run = wandb.init()
one = run.log_artifact(made("set", a="1")).wait()
shown(refused(lambda: run.log_artifact(wandb.Artifact("set", "other"))))
part = wandb.Artifact("part", "data", incremental=True)
with part.new_file("b") as opened: opened.write("2")
shown(refused(lambda: run.log_artifact(part).wait()))
one.ttl = __import__("datetime").timedelta(days=1)
shown(refused(one.save))
shown(refused(lambda: one.link("portfolio/models")))
shown(refused(lambda: one.link("wandb-registry-model/models")))
run.log({"x": 1})
run.finish()
shown(wandb.Api().run(run.path).summary["x"])
"""
    )

    kind, incremental, ttl, portfolio, registry, summary = values
    assert re.search("data.*other|other.*data", kind)
    assert "neither incremental nor distributed" in incremental
    assert "time to live" in ttl
    assert "linkArtifact" in portfolio
    assert "organization" in registry
    assert summary == 1


CREATE = "mutation ($input: X) { createArtifact(input: $input) { artifact { id state } } }"
FILES = (
    "mutation ($input: X) { createArtifactFiles(input: $input) { files { edges { node { uploadUrl } } } } }"
)
MANIFEST = """mutation ($input: X) {
  createArtifactManifest(input: $input) { artifactManifest { file { uploadUrl } } }
}"""
COMMIT = "mutation ($input: X) { commitArtifact(input: $input) { artifact { id state } } }"
READ = """query ($id: X) {
  artifact(id: $id) {
    filesByManifestEntries(entries: [{name: "a"}]) { edges { node { name directUrl } } }
    artifactMemberships { edges { node { versionIndex artifactCollection { __typename name } } } }
  }
}"""


def md5(text):
    return base64.b64encode(hashlib.md5(text.encode()).digest()).decode()


def begun(client, digest="d"):
    given = {
        "projectName": client.project, "artifactCollectionName": "set", "artifactTypeName": "data", "digest": digest
    }  # fmt: skip
    return client.post(CREATE, input=given)["data"]["createArtifact"]["artifact"]["id"]


def address_of_file(client, artifact, name="a", text="right"):
    given = {"artifactFiles": [{"artifactID": artifact, "name": name, "md5": md5(text)}]}
    edges = client.post(FILES, input=given)["data"]["createArtifactFiles"]["files"]["edges"]
    return edges[0]["node"]["uploadUrl"]


def address_of_manifest(client, artifact, text):
    given = {"artifactID": artifact, "name": "m.json", "digest": md5(text), "type": "FULL"}
    reply = client.post(MANIFEST, input=given)
    return reply["data"]["createArtifactManifest"]["artifactManifest"]["file"]["uploadUrl"]


def test_an_upload_that_is_not_what_was_announced_is_refused(client):
    artifact = begun(client)
    address = address_of_file(client, artifact)

    wrong = client.http("PUT", address, b"wrong", key=None)
    right = [client.http("PUT", address, b"right", key=None) for _ in range(2)]
    broken = client.http("PUT", address[:-9] + "x" + address[-8:], b"right", key=None)

    assert wrong == (400, "What arrived as 'a' has another MD5 sum than was announced.")
    assert right == [(200, ""), (200, "")]
    assert broken[0] == 403
    assert address_of_file(client, begun(client, "other")) is None


def test_a_commit_before_the_uploads_are_done_is_refused_and_can_be_done_later(client):
    artifact = begun(client)
    text = json.dumps({"version": 1, "contents": {"a": {"digest": md5("commit"), "size": 6}}})

    without_manifest = client.post(COMMIT, input={"artifactID": artifact})
    client.http("PUT", address_of_manifest(client, artifact, text), text.encode(), key=None)
    without_file = client.post(COMMIT, input={"artifactID": artifact})
    client.http("PUT", address_of_file(client, artifact, text="commit"), b"commit", key=None)
    complete = [client.post(COMMIT, input={"artifactID": artifact}) for _ in range(2)]
    late = client.post(MANIFEST, input={"artifactID": artifact, "name": "m.json", "digest": "d"})

    assert "manifest of this artifact was not uploaded" in without_manifest["errors"][0]["message"]
    assert without_file["errors"][0]["message"] == "1 files were not uploaded: a."
    assert [one["data"]["commitArtifact"]["artifact"]["state"] for one in complete] == ["COMMITTED"] * 2
    assert "nothing can be added" in late["errors"][0]["message"]
    read = client.post(READ, id=artifact)["data"]["artifact"]
    node = read["filesByManifestEntries"]["edges"][0]["node"]
    assert client.http("GET", node["directUrl"], key=None) == (200, "commit")
    assert read["artifactMemberships"]["edges"][0]["node"] == {
        "versionIndex": 0, "artifactCollection": {"__typename": "ArtifactSequence", "name": "set"}
    }  # fmt: skip


def test_one_file_is_got_by_its_digest_with_a_key_only(client):
    client.http("PUT", address_of_file(client, begun(client), text="alone"), b"alone", key=None)
    digest = hashlib.md5(b"alone").hexdigest()
    address = f"{client.server.url}/artifactsV2/default/local/p/set/QQ%3D%3D/{digest}/a"

    assert client.http("GET", address) == (200, "alone")
    assert client.http("GET", f"{client.server.url}/artifacts/local/{digest}") == (200, "alone")
    assert client.http("GET", address, key=None)[0] == 401
    assert client.http("GET", address.replace(digest, "0" * 32))[0] == 404
    assert client.http("GET", address.replace(digest, "none"))[0] == 404


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("createArtifact", {}),
        ("createArtifactManifest", {"artifactID": "QXJ0aWZhY3Q6OTk5OQ==", "name": "m"}),
        ("updateArtifactManifest", {"artifactManifestID": "?"}),
        ("createArtifactFiles", {"artifactFiles": [{"artifactID": "QXJ0aWZhY3Q6OTk5OQ==", "name": "../a"}]}),
        ("commitArtifact", {"artifactID": "QXJ0aWZhY3Q6OTk5OQ=="}),
        ("useArtifact", {"artifactID": "QXJ0aWZhY3Q6OTk5OQ=="}),
        ("updateArtifact", {"artifactID": None}),
        ("deleteArtifact", {"artifactID": "QXJ0aWZhY3Q6OTk5OQ=="}),
        ("addAliases", {"artifactID": "QXJ0aWZhY3Q6OTk5OQ==", "aliases": []}),
        ("deleteArtifactSequence", {"artifactSequenceID": "QXJ0aWZhY3Q6MQ=="}),
        ("linkArtifact", {"artifactPortfolioName": "x"}),
        ("completeMultipartUploadArtifact", {"uploadID": "x"}),
    ],
)
def test_a_mutation_that_cannot_be_done_always_says_why(client, field, given):
    reply = client.post(f"mutation ($input: X) {{ {field}(input: $input) {{ __typename }} }}", input=given)

    assert not (reply["data"] or {}).get(field)
    assert reply["errors"][0]["message"]
