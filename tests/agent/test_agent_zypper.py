"""What the agent says of a host with zypper."""

from typing import Any

import msgspec
from patchbay_shared.report import Pin, ReportRepository, ZyppOptions

VARIABLES = {"releasever": "15.6", "releasever_major": "15", "releasever_minor": "6", "arch": "x86_64"}


def repositories(tree: Any) -> list[ReportRepository]:
    variables = dict(VARIABLES, basearch="x86_64")
    return msgspec.convert(tree.agent.zypp_repositories(tree.host, variables), type=list[ReportRepository])


def test_a_repository_is_reported_by_its_alias(tree: Any) -> None:
    """Priority 99 is the default and 0 means not set; `path` is part of the URL."""
    tree.write(
        "/etc/zypp/repos.d/oss.repo",
        "[repo-oss]\nname=Main\nenabled=1\nautorefresh=1\nbaseurl=http://d.test/leap/$releasever/oss\npath=/sub\n"
        "type=rpm-md\npriority=0\n",
    )

    [found] = repositories(tree)

    assert (found.id, found.name, found.type, found.priority) == ("repo-oss", "Main", "rpm-md", 99)
    assert found.urls == ["http://d.test/leap/15.6/oss/sub"]


def test_the_type_is_what_the_file_or_the_cache_says(tree: Any) -> None:
    """Today's files say nothing; zypp has probed and cached. A plain directory has no metadata to crawl."""
    tree.write(
        "/etc/zypp/repos.d/a.repo",
        "[old]\nbaseurl=http://a.test\ntype=yast2\n[probed]\nbaseurl=http://b.test\n[new]\nbaseurl=http://c.test\n"
        "[plain]\nbaseurl=dir:/srv\ntype=plaindir\n",
    )
    tree.write("/var/cache/zypp/raw/probed/suse/setup/descr/packages", "")

    assert [(found.id, found.type) for found in repositories(tree)] == [
        ("old", "susetags"),
        ("probed", "susetags"),
        ("new", "rpm-md"),
    ]


def test_package_locks_are_pins(tree: Any) -> None:
    """As `zypper addlock` writes them; locks of patterns and patches do not hold packages."""
    tree.write(
        "/etc/zypp/locks",
        "\ntype: package\nversion: > 4\nmatch_type: glob\ncase_sensitive: on\nsolvable_name: bash\n\n\n"
        "type: patch\nmatch_type: glob\nsolvable_name: p1\n\n\nrepo: foo\ntype: package\nmatch_type: exact\n"
        "solvable_name: x11\n",
    )

    assert msgspec.convert(tree.agent.zypp_locks(tree.host), type=list[Pin]) == [
        Pin(type="lock", match="glob", name="bash", version="> 4"),
        Pin(type="lock", match="exact", name="x11", repo="foo"),
    ]


def test_the_solver_s_options_are_reported(tree: Any) -> None:
    """Multiversion adds up from the file and its directory; vendors.d makes vendors equal."""
    tree.write(
        "/etc/zypp/zypp.conf",
        "## comment\n[main]\nsolver.allowVendorChange = true\nmultiversion = provides:multiversion(kernel)\n",
    )
    tree.write("/etc/zypp/multiversion.d/mine", "# x\nfoo\n")
    tree.write("/etc/zypp/vendors.d/00-openSUSE.conf", "[main]\nvendors=openSUSE,SUSE LLC <https://www.suse.com/>\n")

    assert msgspec.convert(tree.agent.zypp_options(tree.host), type=ZyppOptions) == ZyppOptions(
        allow_vendor_change=True,
        multiversion=["provides:multiversion(kernel)", "foo"],
        vendor_equivalence=[["openSUSE", "SUSE LLC <https://www.suse.com/>"]],
    )


def test_the_drop_ins_come_on_top_of_the_configuration(tree: Any) -> None:
    """Tumbleweed ships /usr/etc/zypp/zypp.conf and reads /etc/zypp/zypp.conf.d."""
    tree.write("/usr/etc/zypp/zypp.conf", "[main]\nsolver.allowVendorChange = true\n")
    tree.write("/etc/zypp/zypp.conf.d/50.conf", "[main]\nsolver.allowVendorChange = no\n")

    assert tree.agent.zypp_options(tree.host)["allow_vendor_change"] is False


def test_the_release_version_is_that_of_the_base_product(tree: Any) -> None:
    """zypp asks the product, not os-release."""
    tree.write("/etc/os-release", 'ID="opensuse-leap"\nVERSION_ID="15.5"\n')
    before = tree.agent.zypp_releasever(tree.host)
    tree.write("/etc/products.d/Leap.prod", "<?xml version='1.0'?><product><version>15.6</version></product>")
    (tree.root / "etc/products.d/baseproduct").symlink_to("Leap.prod")

    assert (before, tree.agent.zypp_releasever(tree.host)) == ("15.5", "15.6")
