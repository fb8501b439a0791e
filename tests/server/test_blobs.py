"""Uploaded contents: whole or not at all, and names that stay inside their folder."""

import base64
import hashlib

import pytest

from jade.server.blobs import Blobs, UnsafeNameError, checked_name


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "files")


def stored(blobs, *parts):
    upload = blobs.begin()
    for part in parts:
        upload.add(part)
    blobs.finish(upload)
    return upload


def on_disk(tmp_path):
    return sorted(path.name for path in (tmp_path / "files").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "media/images/a b_0.png",
        ".hidden",
        "a..b",
        "...",
        "日本/ü.txt",
        "family\u200d😀.png",
        "wide\u3000space.txt",
        "a%2e%2e",
        "x" * 1024,
        "日" * 341,
    ],
)
def test_the_name_of_a_file_is_taken_as_it_is(name):
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "//x", "a//b", "a/", "./a",
        "..\\x", "a\\..\\..\\x", "\\\\host\\x", "C:\\x", "C:x", "c:/x",
        "a\x00b", "a\nb", "a\u2028b", "\ud800", "\x7f", "\x85",
        "x" * 1025, "日" * 342,
        None, 5, b"a", ["a"], {},
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_or_that_no_folder_takes_is_refused(name):
    with pytest.raises(UnsafeNameError, match="is no name of a file"):
        checked_name(name)


def test_the_name_that_is_refused_is_shown_but_not_all_of_a_long_one():
    with pytest.raises(UnsafeNameError) as caught:
        checked_name("../" + "x" * 5_000)

    assert str(caught.value) == f"{'../' + 'x' * 97!r} is no name of a file."


def test_what_is_uploaded_in_parts_is_one_file(blobs):
    upload = stored(blobs, b"ab", b"", b"cd")

    assert blobs.path(upload.name).read_bytes() == b"abcd"
    assert upload.size == 4
    assert upload.md5 == base64.b64encode(hashlib.md5(b"abcd").digest()).decode()


def test_what_is_not_finished_has_no_name_yet(blobs):
    upload = blobs.begin()
    upload.add(b"ab")

    assert not blobs.path(upload.name).exists()
    blobs.abandon(upload)


def test_what_is_abandoned_is_gone(blobs, tmp_path):
    upload = blobs.begin()
    upload.add(b"ab")

    blobs.abandon(upload)

    assert on_disk(tmp_path) == []


def test_blobs_are_deleted_and_may_be_gone_already(blobs, tmp_path):
    upload = stored(blobs, b"ab")

    blobs.delete(upload.name)
    blobs.delete(upload.name)

    assert on_disk(tmp_path) == []


def test_what_a_killed_server_left_is_cleared_and_what_is_used_stays(blobs, tmp_path):
    used, unused, part = stored(blobs, b"a"), stored(blobs, b"b"), blobs.begin()
    part.file.close()

    assert blobs.clear({used.name}) == 2

    assert on_disk(tmp_path) == [used.name]
    assert unused.name != used.name


def test_what_is_no_blob_is_never_cleared(blobs, tmp_path):
    precious = tmp_path / "files" / "me" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("precious")

    assert blobs.clear(set()) == 0

    assert precious.read_text() == "precious"
