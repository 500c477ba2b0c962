"""The client's own list against the server's."""

from patchbay_shared.report import ClientUpdate
from patchbay_update_engine.evaluate.opinion import ListedUpdate, compare_opinions


def test_two_equal_lists_have_no_difference() -> None:
    """Whatever their order."""
    client = [ClientUpdate("bash", "amd64", "5.2-3"), ClientUpdate("zsh", "amd64", "5.9-5")]
    server = [ListedUpdate("zsh", "5.9-5", "amd64"), ListedUpdate("bash", "5.2-3", "amd64")]

    assert compare_opinions(client, server).count == 0


def test_each_side_of_a_difference_is_named() -> None:
    """Another version is a difference on both sides."""
    difference = compare_opinions([ClientUpdate("bash", "amd64", "5.2-3")], [ListedUpdate("bash", "5.2-4", "amd64")])

    assert difference.only_client == [ListedUpdate("bash", "5.2-3", "amd64")]
    assert difference.only_server == [ListedUpdate("bash", "5.2-4", "amd64")]
    assert difference.count == 2


def test_an_epoch_of_zero_is_no_difference() -> None:
    """dnf writes 0:1.0-1 in some lists."""
    assert compare_opinions([ClientUpdate("a", "noarch", "0:1-1")], [ListedUpdate("a", "1-1", "noarch")]).count == 0


def test_an_architecture_that_the_client_left_out_is_no_difference() -> None:
    """Older protocols name only the package."""
    assert compare_opinions([ClientUpdate("a", "", "1-1")], [ListedUpdate("a", "1-1", "amd64")]).count == 0
    assert compare_opinions([ClientUpdate("a", "", "1-1")], []).count == 1
