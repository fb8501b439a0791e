"""All runs of a project, page by page: the same whether or not the server has to look at each of them."""

import pytest

from tests.server.doors import opened

PAGES = """query Runs($after: String, $filters: JSONString, $order: String) {
  project(name: "p", entityName: "e") { runs(first: 3, after: $after, filters: $filters, order: $order) {
    totalCount edges { node { name } cursor } pageInfo { endCursor hasNextPage } } } }"""


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("data")) as found:
        for number in range(8):
            found.begin(f"run{number}")
        yield found


def pages(doors, **asked):
    found, after = [], None
    while True:
        page = doors.graphql(PAGES, after=after, **asked).data["project"]["runs"]
        found.append(page)
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


@pytest.mark.parametrize("order", [None, "+created_at", "-created_at"])
def test_unfiltered_pages_are_those_of_a_filter_that_finds_all(doors, order):
    fast = pages(doors, order=order)

    assert fast == pages(doors, order=order, filters='{"display_name": {"$ne": "nothing"}}')
    names = [edge["node"]["name"] for page in fast for edge in page["edges"]]
    assert names == [f"run{number}" for number in range(8)][:: -1 if order == "-created_at" else 1]
    assert {page["totalCount"] for page in fast} == {8}
