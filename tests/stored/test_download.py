"""One file from an address to the disk, from servers that break off, lie, or know no ranges."""

import base64
import random

import pytest
import requests

from jade.errors import TrackingError, UnreachableError
from jade.stored.answer import Address, digest_of
from jade.stored.download import ATTEMPTS, CHUNK, StaleError, Wanted, download, download_all
from jade.stored.source import StoredFile
from tests.stored.files_server import files_server
from tests.stored.remote_runs import in_base64, md5

CONTENT = random.Random(1).randbytes(1_000_000)
WANTED = StoredFile(len(CONTENT), digest=md5(CONTENT))


@pytest.fixture
def server():
    with files_server(CONTENT) as found:
        yield found


@pytest.fixture
def get(server, tmp_path):
    """Download the server's file; give where it is, and how many bytes were told of."""

    def run(file=WANTED, key=None, url=None):
        told = []
        wanted = Wanted("model.pt", Address(url or server.url, key), file, tmp_path / "part")
        with requests.Session() as session:
            download(wanted, told.append, session, wait=lambda seconds: None)
        return wanted.part.read_bytes(), sum(told)

    return run


def test_a_file_comes_whole(get, server):
    assert get() == (CONTENT, len(CONTENT))
    assert server.requests == [(None, None)]


def test_what_broke_off_goes_on_where_it_was(get, server):
    server.faults = [-20 * CHUNK, -10 * CHUNK]

    content, told = get()

    assert (content, told) == (CONTENT, len(CONTENT))
    assert [wanted for wanted, _ in server.requests] == [
        None,
        f"bytes={20 * CHUNK}-",
        f"bytes={30 * CHUNK}-",
    ]
    assert server.served == len(CONTENT)


def test_what_an_earlier_process_left_is_gone_on_with(get, server, tmp_path):
    (tmp_path / "part").write_bytes(CONTENT[:600_000])

    assert get() == (CONTENT, len(CONTENT))
    assert server.served == 400_000


def test_a_server_without_ranges_gives_all_of_it_again(get, server, tmp_path):
    server.knows_ranges = False
    (tmp_path / "part").write_bytes(CONTENT[:600_000])

    assert get() == (CONTENT, len(CONTENT))
    assert server.served == len(CONTENT)


def test_a_server_that_has_no_such_part_is_asked_for_all_of_it(get, server, tmp_path):
    (tmp_path / "part").write_bytes(CONTENT[:600_000])
    server.faults = [416]

    assert get() == (CONTENT, len(CONTENT))
    assert [wanted for wanted, _ in server.requests] == ["bytes=600000-", None]


def test_what_is_whole_already_is_not_asked_for(get, server, tmp_path):
    (tmp_path / "part").write_bytes(CONTENT)

    assert get() == (CONTENT, len(CONTENT))
    assert server.requests == []


def test_an_empty_file_is_not_asked_for(get, server):
    assert get(StoredFile(0, digest=md5(b""))) == (b"", 0)
    assert server.requests == []


def test_a_server_that_is_busy_is_asked_again(get, server):
    server.faults = [503, 429]

    assert get() == (CONTENT, len(CONTENT))


def test_a_server_that_never_gives_more_is_given_up(get, server, tmp_path):
    server.faults = [-CHUNK] + [502] * ATTEMPTS

    with pytest.raises(UnreachableError, match=r"127.0.0.1:\d+ does not give the file: it answers 502"):
        get()

    assert (tmp_path / "part").read_bytes() == CONTENT[:CHUNK]
    assert len(server.requests) == ATTEMPTS + 1


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(get, server):
    server.knows_ranges = False
    server.faults = [-CHUNK] * 100

    with pytest.raises(UnreachableError):
        get()

    assert len(server.requests) == ATTEMPTS + 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_any_more_is_to_be_listed_again(get, server, status):
    server.faults = [status]

    with pytest.raises(StaleError, match=f"answers {status}"):
        get()


def test_a_beginning_of_something_else_is_thrown_away(get, server, tmp_path):
    (tmp_path / "part").write_bytes(b"x" * 600_000)

    with pytest.raises(StaleError, match="another MD5 sum"):
        get()

    assert not (tmp_path / "part").exists()
    assert get() == (CONTENT, len(CONTENT))


def test_more_than_there_should_be_is_thrown_away(get, server, tmp_path):
    with pytest.raises(StaleError, match="gives more than the 500000 bytes"):
        get(StoredFile(500_000, digest=md5(CONTENT[:500_000])))

    assert (tmp_path / "part").read_bytes() == b""


def test_a_part_that_is_too_long_is_begun_anew(get, server, tmp_path):
    (tmp_path / "part").write_bytes(b"x" * 2_000_000)

    assert get() == (CONTENT, len(CONTENT))


def test_the_key_is_shown_only_where_it_belongs(get, server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))

    get(key="k" * 40)
    (tmp_path / "part").unlink()
    get()

    expected = "Basic " + base64.b64encode(b"api:" + b"k" * 40).decode()
    assert server.requests == [(None, expected), (None, None)]


def test_where_a_server_leads_to_another_neither_its_key_nor_one_of_netrc_is_shown(
    server, tmp_path, monkeypatch
):
    (tmp_path / "netrc").write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    other = server.url.replace("127.0.0.1", "localhost")
    with files_server(CONTENT) as leading:
        leading.leads_to = other
        wanted = Wanted("model.pt", Address(leading.url, "k" * 40), WANTED, tmp_path / "part")

        download_all([wanted], lambda count: None, lambda one: None)

    assert leading.requests[0][1].startswith("Basic ")
    assert [shown for _, shown in server.requests] == [None]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "s3://bucket/name", "", "http://"])
def test_an_address_that_is_none_is_not_tried_again(get, url):
    with pytest.raises(TrackingError, match="does not give the file"):
        get(url=url or "no-address")


def test_digests_are_read_as_w_and_b_gives_them():
    assert digest_of(in_base64(CONTENT)) == digest_of(md5(CONTENT)) == md5(CONTENT)
    assert [digest_of(text) for text in (None, "", "0", "bm8=", "?")] == [None] * 5


def test_of_many_files_those_that_came_are_kept_when_one_does_not(server, tmp_path):
    good = [Wanted(f"f{n}", Address(server.url), WANTED, tmp_path / f"f{n}") for n in range(3)]
    bad = Wanted("bad", Address(server.url), StoredFile(len(CONTENT), digest="0" * 32), tmp_path / "bad")
    done, told = [], []

    download_all(good, told.append, lambda file: done.append(file.name))
    with pytest.raises(StaleError, match="What arrived as bad has another MD5 sum"):
        download_all([bad], told.append, lambda file: done.append(file.name))

    assert sorted(done) == ["f0", "f1", "f2"]
    assert sum(told) == 3 * len(CONTENT)
    assert all(file.part.read_bytes() == CONTENT for file in good)
