"""Artifacts without a client: which version a name stands for, what a commit takes, what a deletion frees."""

import base64
import hashlib
import json

import pytest

from jade.server import artifacts, drafts, manifests, runs
from jade.server.blobs import UnsafeNameError
from jade.server.manifests import Entry
from jade.server.runs import RefusedError
from jade.server.store import Store


@pytest.fixture
def db(tmp_path):
    store = Store(tmp_path)
    with store.write() as connection:
        yield connection
    store.close()


def md5(text):
    return base64.b64encode(hashlib.md5(text.encode()).digest()).decode()


def begun(db, digest="d", name="set", **more):
    given = {
        "projectName": "p",
        "artifactCollectionNames": [name],
        "artifactTypeName": "data",
        "digest": digest,
        **more,
    }
    return drafts.create(db, given, "local", 1.0)


def uploaded(db, artifact, **texts):
    """Announce files and upload what is not there; give the names of those that were."""
    sent = []
    for name, text in texts.items():
        row = drafts.want_file(db, artifact, name, md5(text), 1.0)
        if row["blob"] is None:
            sent.append(name)
            values = (f"blob of {text}", len(text), row["id"])
            db.execute("UPDATE artifact_files SET blob = ?, size = ? WHERE id = ?", values)
    return sent


def entries(**texts):
    return [Entry(name, md5(text), len(text), None) for name, text in texts.items()]


def committed(db, digest="d", **texts):
    artifact = begun(db, digest)
    uploaded(db, artifact, **texts)
    drafts.commit(db, artifact, entries(**texts), 2.0)
    return artifact


def version_of(db, name):
    row = artifacts.find(db, 1, name)
    return row and row["version"]


def test_a_name_stands_for_the_latest_version_and_a_number_or_an_alias_for_its_own(db):
    first, second = committed(db, "1"), committed(db, "2")
    artifacts.name_it(db, first, ["best", "v"])

    found = {name: version_of(db, f"set{name}") for name in ("", ":latest", ":v0", ":v1", ":best", ":v")}
    missing = [version_of(db, name) for name in ("set:v2", "set:v01x", "other", "set:no", "", None)]

    assert found == {"": 1, ":latest": 1, ":v0": 0, ":v1": 1, ":best": 0, ":v": 0}
    assert missing == [None] * 6
    assert artifacts.by_id(db, second)["version"] == 1


def test_what_is_not_committed_has_no_version_and_is_found_by_no_name(db):
    begun(db)

    assert version_of(db, "set") is None
    assert version_of(db, "set:v0") is None


def test_the_same_contents_begin_nothing_new_and_bring_their_aliases(db):
    first = committed(db, "1")
    committed(db, "2")

    again = begun(db, "1", aliases=[{"alias": "best"}], tags=[{"tagName": "t"}])

    assert again == first
    assert version_of(db, "set:best") == version_of(db, "set:latest") == 0
    assert artifacts.by_id(db, first)["tags"] == '["t"]'


def test_a_client_that_asks_once_more_goes_on_with_what_it_has_begun(db):
    first = begun(db, clientID="made up")

    assert begun(db, clientID="made up") == first
    assert begun(db, clientID="another") != first
    assert artifacts.by_client(db, "made up")["id"] == first
    assert artifacts.by_client(db, "unknown") is None


def test_two_that_are_begun_with_the_same_contents_become_one_version(db):
    run, _ = runs.upsert(db, {"modelName": "p", "name": "r"}, "local", None, 1.0)
    one, other = begun(db), begun(db, runName="r", aliases=[{"alias": "best"}])
    for artifact in (one, other):
        db.execute(
            "INSERT INTO manifests (artifact, name, digest, blob) VALUES (?, 'm', '', ?)",
            (artifact, f"m{artifact}"),
        )
        uploaded(db, artifact, a="1")
    drafts.commit(db, one, entries(a="1"), 2.0)

    left = drafts.commit(db, other, entries(a="1"), 2.0)

    assert left == [f"m{other}"]
    assert artifacts.by_id(db, other)["id"] == one
    assert version_of(db, "set:best") == 0
    assert [tuple(row) for row in db.execute("SELECT * FROM artifact_runs")].count((one, run, "output")) == 1


def test_a_commit_that_comes_twice_changes_nothing(db):
    first = committed(db, "1", a="1")
    committed(db, "2", a="2")

    left = drafts.commit(db, first, [], 3.0)

    assert left == []
    assert version_of(db, "set:latest") == 1
    assert artifacts.by_id(db, first)["file_count"] == 1


def test_a_commit_names_the_files_that_are_missing(db):
    artifact = begun(db)
    uploaded(db, artifact, a="1")

    with pytest.raises(RefusedError, match=r"^2 files were not uploaded: b, c\.$"):
        drafts.commit(db, artifact, entries(a="1", b="2", c="3"), 2.0)

    assert artifacts.by_id(db, artifact)["state"] == "PENDING"


def test_a_commit_takes_what_the_manifest_lists_and_nothing_else(db):
    artifact = begun(db)
    uploaded(db, artifact, a="1", b="2")

    left = drafts.commit(db, artifact, [*entries(a="1"), Entry("r", "etag", 7, "s3://bucket/r")], 2.0)

    rows = db.execute("SELECT name, reference, size FROM artifact_files ORDER BY name").fetchall()
    assert [tuple(row) for row in rows] == [("a", None, 1), ("r", "s3://bucket/r", 7)]
    assert left == ["blob of 2"]
    assert artifacts.by_id(db, artifact)["size"] == 8


def test_a_file_that_another_artifact_has_is_not_sent_again_and_outlives_it(db):
    first = committed(db, "1", a="shared", b="own")
    second = begun(db, "2")

    sent = uploaded(db, second, x="shared", y="new")
    drafts.commit(db, second, entries(x="shared", y="new"), 2.0)

    assert sent == ["y"]
    assert artifacts.delete(db, first, with_aliases=True) == ["blob of own"]
    assert sorted(artifacts.delete(db, second, with_aliases=True)) == ["blob of new", "blob of shared"]


def test_a_deleted_version_gives_latest_to_the_one_before_and_its_number_to_nobody(db):
    committed(db, "1")
    second = committed(db, "2")

    with pytest.raises(RefusedError, match="which must be deleted with it: latest"):
        artifacts.delete(db, second, with_aliases=False)
    artifacts.delete(db, second, with_aliases=True)

    assert version_of(db, "set:latest") == 0
    assert committed(db, "3") > second
    assert version_of(db, "set:latest") == 2


def test_a_run_takes_the_artifacts_that_it_has_made_along_if_that_is_asked_for(db):
    run, _ = runs.upsert(db, {"modelName": "p", "name": "r"}, "local", None, 1.0)
    own = begun(db, "1", runName="r")
    uploaded(db, own, a="own")
    drafts.commit(db, own, entries(a="own"), 2.0)
    committed(db, "2", a="other")

    assert artifacts.delete_outputs(db, run) == ["blob of own"]
    assert version_of(db, "set:v0") is None
    assert version_of(db, "set:v1") == 1


def test_what_was_begun_long_ago_and_never_committed_is_forgotten(db):
    old, kept = begun(db, "1"), committed(db, "2")

    drafts.forget_unfinished(db, before=1.5)

    assert artifacts.by_id(db, old) is None
    assert artifacts.by_id(db, kept)["state"] == "COMMITTED"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"artifactCollectionNames": ["a/b"]}, "'a/b' cannot be the name of an artifact."),
        ({"artifactCollectionNames": ["a:b"]}, "'a:b' cannot be the name of an artifact."),
        ({"artifactCollectionNames": [".."]}, "'..' cannot be the name of an artifact."),
        ({"artifactCollectionNames": None}, "'None' cannot be the name of an artifact."),
        ({"artifactTypeName": ""}, "'' cannot be the name of a type of artifacts."),
        ({"artifactTypeName": "model"}, "The artifact 'set' is of the type 'data', not 'model'."),
        ({"digest": ""}, "An artifact without a digest is not served."),
        ({"metadata": "[1]"}, r"The metadata of an artifact are a JSON object, not '[1]'."),
        ({"aliases": [{"alias": "v3"}]}, "'v3' names a version: it cannot be an alias."),
        ({"aliases": [{"alias": "a:b"}]}, "'a:b' cannot be the name of an alias."),
        ({"tags": [{"tagName": "a/b"}]}, "'a/b' cannot be the name of a tag."),
        ({"runName": "none"}, "There is no run 'none' in local/p."),
        ({"ttlDurationSeconds": 60}, "This server keeps artifacts until they are deleted: it serves no time to live."),
    ],
)  # fmt: skip
def test_an_artifact_that_cannot_be_is_refused_with_the_reason(db, given, said):
    begun(db, "before")

    with pytest.raises(RefusedError) as refusal:
        begun(db, **given)

    assert str(refusal.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "The manifest is not JSON."),
        ("[" * 100_000, "The manifest is not JSON."),
        ("[]", "The manifest is not one of version 1."),
        ('{"version": 2, "contents": {}}', "The manifest is not one of version 1."),
        ('{"version": 1, "contents": {"a": {}}}', "The manifest gives no digest of 'a'."),
        ('{"version": 1, "contents": {"a": 1}}', "The manifest gives no digest of 'a'."),
    ],
)
def test_a_broken_manifest_is_refused_with_the_reason(tmp_path, text, said):
    path = tmp_path / "manifest"
    path.write_text(text)

    with pytest.raises(RefusedError) as refusal:
        manifests.read(path)

    assert str(refusal.value) == said


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "C:/x", "a\\..\\b", "", "a\nb"])
def test_an_entry_that_would_leave_its_folder_is_refused(tmp_path, name):
    path = tmp_path / "manifest"
    path.write_text(json.dumps({"version": 1, "contents": {name: {"digest": "d"}}}))

    with pytest.raises(UnsafeNameError):
        manifests.read(path)
