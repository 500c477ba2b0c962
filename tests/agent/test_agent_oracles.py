"""Configuration as the package managers themselves read it: dnf's Python, zypper's XML, pacman-conf."""

import json
import shutil
import subprocess
from typing import Any
from xml.etree import ElementTree

import pytest
from patchbay_ingest.wire.patchbay import report_of

pytestmark = pytest.mark.live

ASK_DNF = """
import json, sys
import dnf
root = sys.argv[1]
base = dnf.Base()
conf = base.conf
conf.installroot = root
conf.read(root + "/etc/dnf/dnf.conf")
conf.substitutions.update({"releasever": "9.4", "arch": "i686", "basearch": "i386"})
conf.substitutions.update_from_etc(root)
conf.reposdir = [root + "/etc/yum.repos.d"]
base.read_all_repos()
print(json.dumps({
    "main": [conf.best, conf.obsoletes, conf.installonly_limit, sorted(conf.excludepkgs)],
    "repos": {
        repo.id: [repo.name, list(repo.baseurl), repo.mirrorlist, repo.metalink, repo.enabled, repo.priority,
                  repo.cost, sorted(repo.excludepkgs), sorted(repo.includepkgs), repo.module_hotfixes, repo.gpgcheck]
        for repo in base.repos.all()
    },
}))
"""


def dnf_says(tree: Any) -> Any:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", ASK_DNF, str(tree.root)], capture_output=True, text=True, check=False
    )
    if "No module named" in done.stderr:
        pytest.skip("the system's Python has no dnf")
    return json.loads(done.stdout)


def test_dnf_configuration_is_read_as_dnf_reads_it(tree: Any) -> None:
    """Folded lists, both spellings, variables from files, booleans in words, comments, sections of dnf.conf."""
    tree.write("/etc/dnf/vars/stream", "st\nx\n")
    tree.write("/etc/yum/vars/stream", "older")
    tree.write("/etc/yum/vars/infra", "inf")
    tree.write(
        "/etc/dnf/dnf.conf",
        "[main]\nbest=1\nexclude=foo* bar\nexcludepkgs=other\ngpgcheck=1\ninstallonly_limit=4\nobsoletes=False\n"
        "[inline]\nname=Inline\nbaseurl=http://i.test/${basearch}\n",
    )
    tree.write(
        "/etc/yum.repos.d/a.repo",
        "# comment\n[base]\nname = Base $releasever - $basearch\nbaseurl=http://a.test/$releasever/${basearch}/os/\n"
        "  http://b.test/$stream/$arch, http://c.test/$infra/$unknown\nenabled=1\npriority = 7\n"
        "exclude=kernel* foo,bar\n excludefolded\nincludepkgs=x y\nmodule_hotfixes=yes\ncost=12\n\n"
        "[ml]\nname=ml\nmirrorlist=http://m.test/?repo=$releasever&arch=$basearch\nenabled=False\n"
        "[mm]\n; comment\nname=a=b # c\nmetalink=https://m.test/metalink?x=$releasever\ngpgcheck=0\n",
    )
    agent = tree.agent
    configuration = agent.DnfConfiguration(tree.host)
    variables = {"releasever": "9.4", "arch": "i686", "basearch": "i386"}
    variables.update(agent.variable_files(tree.host, ["/etc/yum/vars", "/etc/dnf/vars"]))
    options = configuration.options()

    said = dnf_says(tree)

    assert said["main"] == [
        options["best"],
        options["obsoletes"],
        options["installonly_limit"],
        sorted(configuration.items("excludepkgs", "exclude")),
    ]
    found = agent.dnf_repositories(tree.host, configuration, variables)
    assert said["repos"] == {
        each["id"]: [
            each["name"],
            each["urls"],
            each.get("mirrorlist"),
            each.get("metalink"),
            each["enabled"],
            each["priority"],
            each["cost"],
            sorted(each.get("excludes", [])),
            sorted(each.get("includes", [])),
            each.get("module_hotfixes", False),
            each["gpgcheck"],
        ]
        for each in found
    }


@pytest.mark.skipif(shutil.which("zypper") is None, reason="zypper is not installed")
def test_zypper_repositories_are_read_as_zypper_reads_them(tree: Any) -> None:
    """Alias, name, priority, enabled and URLs, with zypp's variables in all their spellings."""
    tree.write(
        "/etc/zypp/repos.d/t.repo",
        "[t1]\nname=Test $releasever\nbaseurl=http://z.test/$releasever/${basearch}/x\n  http://z2.test/$arch\n"
        "priority=0\nenabled=0\n[t2]\nname=b\nbaseurl=http://m.test/$releasever_major/${releasever_minor}/${x:-y}${arch:+z}\n"
        "type=rpm-md\npriority=90\n",
    )
    command = ["zypper", "--root", str(tree.root), "--releasever", "15.6", "--xmlout", "repos"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = tree.agent.zypp_repositories(tree.host, tree.agent.release_variables("15.6", "x86_64"))

    assert {
        (
            *(each.get(key) for key in ("alias", "name", "priority", "enabled")),
            *(url.text for url in each.findall("url")),
        )
        for each in ElementTree.fromstring(said).iter("repo")
    } == {
        (each["id"], each["name"], str(each["priority"]), "1" if each["enabled"] else "0", *each["urls"])
        for each in found
    }


@pytest.mark.skipif(shutil.which("zypper") is None, reason="zypper is not installed")
def test_zypper_locks_are_read_as_zypper_writes_them(tree: Any) -> None:
    """`zypper addlock` is what writes the file on real hosts."""
    tree.write("/etc/zypp/repos.d/r.repo", "[r]\nbaseurl=http://r.test\n")
    for arguments in (["vim", "kernel*"], ["bash > 4"], ["--type", "patch", "p1"]):
        command = ["zypper", "--root", str(tree.root), "--non-interactive", "addlock", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    names = {(lock["name"], lock.get("version", "")) for lock in tree.agent.zypp_locks(tree.host)}

    assert names == {("vim", ""), ("kernel*", ""), ("bash", "> 4")}


@pytest.mark.skipif(shutil.which("pacman-conf") is None, reason="pacman is not installed")
def test_pacman_configuration_is_read_as_pacman_reads_it(tree: Any) -> None:
    """Comments are whole lines, lists may be repeated, includes count where they stand."""
    servers = tree.write(
        "/etc/pacman.d/mirrorlist", "#Server = http://off\n  Server = http://m.test/$repo/os/$arch\n"
    )
    main = tree.write(
        "/etc/pacman.conf",
        "[options]\nArchitecture = x86_64 x86_64_v3\nIgnorePkg = a b*\nIgnorePkg = c\nIgnoreGroup=g # h\nColor\n"
        "[core]\nServer = http://a.test/$repo/$arch # x\nUsage = Sync Install\n# [off]\n"
        f"[extra]\nInclude = {servers}\n",
    )
    said: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    printed = subprocess.run(
        ["pacman-conf", "--config", str(main)], check=True, capture_output=True, text=True
    ).stdout
    for line in printed.splitlines():
        if line.startswith("["):
            section = said.setdefault(line[1:-1], {})
        else:
            key, _, value = line.partition(" = ")
            section.setdefault(key, []).append(value)
    # pacman-conf knows no other root for includes, the agent does: give it the name below the root.
    main.write_text(main.read_text().replace(str(servers), "/etc/pacman.d/mirrorlist"))

    configuration = tree.agent.PacmanConfiguration(tree.host)
    found = tree.agent.pacman_repositories(configuration, "x86_64")

    for key in ("IgnorePkg", "IgnoreGroup", "Architecture"):
        assert configuration.options[key] == said["options"][key]
    assert [(each["id"], each["urls"], each["usage"].split()) for each in found] == [
        (name, section["Server"], section["Usage"]) for name, section in said.items() if name != "options"
    ]


def test_ingest_accepts_the_report_of_this_host(agent: Any) -> None:
    """Every package type, version and repository type is one that the server knows."""
    document = agent.canonical(agent.collect(agent.Host("/"), manager="apt"))

    assert len(report_of(document).packages or []) == len(json.loads(document)["packages"])
