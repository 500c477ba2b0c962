#!/usr/bin/env python3
"""Patchbay's agent: says what this host has installed, where it gets it from, and what still runs old files.

One file, standard library only, Python 3.6 and newer. The report has the shape of `patchbay_shared/report.py`;
what is collected, the commands and the exit codes are described in docs/agent.md.

Facts come from the package managers' own files and from output that is meant for machines
(deb822, rpm's query formats, INI, XML); text meant for people is never parsed.
"""

import argparse
import calendar
import contextlib
import email.utils
import fcntl
import fnmatch
import glob
import gzip
import hashlib
import http.client
import json
import os
import platform
import random
import re
import shlex
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple
from urllib.parse import unquote
from xml.etree import ElementTree

VERSION = "0.1.0"

DELIVERED, KEPT, REFUSED, FAILED, USAGE = 0, 1, 2, 3, 64
"""Exit codes: see docs/agent.md."""

# Limits of the wire shape. One value that is too long must not cost the whole report.
SHORT, TEXT, DOCUMENT = 255, 4096, 1000000
MAX_REPOSITORIES = 2000

COMMAND_SECONDS = 120
STALE_SECONDS = 10
REQUEST_SECONDS = 60
LONGEST_WAIT_SECONDS = 300
SPOOL_REPORTS = 10
SPOOL_BYTES = 32 * 1024 * 1024
REPLY_BYTES = 1024 * 1024
WHOLE_SECONDS = 24 * 3600
ROTATE_DAYS = 90

Json = Dict[str, Any]


class AgentError(Exception):
    """What the person at the terminal reads; `code` is the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def warn(message: str) -> None:
    print("patchbay-agent: " + message, file=sys.stderr)


# ---------------------------------------------------------------------------------------------------
# The host's files and commands


class Host:
    """The file system and the programs of the host to be reported, live or below another root."""

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.realpath(root)
        self.live = self.root == "/"

    def path(self, name: str) -> str:
        """Real path of the host's absolute `name`; below another root no link leads out of it."""
        if self.live:
            return name
        done: List[str] = []
        pending = [part for part in name.split("/") if part][::-1]
        links = 0
        while pending:
            part = pending.pop()
            if part == ".":
                continue
            if part == "..":
                del done[-1:]
                continue
            here = os.path.join(self.root, *done, part)
            if os.path.islink(here) and links < 40:
                links += 1
                target = os.readlink(here)
                if target.startswith("/"):
                    done = []
                pending.extend([step for step in target.split("/") if step][::-1])
            else:
                done.append(part)
        return os.path.join(self.root, *done)

    def inside(self, real: str) -> str:
        """The host's own name of a path that a tool gave with the root in front."""
        if not self.live and (real + "/").startswith(self.root + "/"):
            return "/" + real[len(self.root) :].lstrip("/")
        return real

    def text(self, name: str) -> Optional[str]:
        """The file's text, or None if it cannot be read."""
        try:
            with open(self.path(name), "rb") as file:
                return file.read().decode("utf-8", "replace")
        except OSError:
            return None

    def line(self, name: str) -> str:
        return (self.text(name) or "").split("\n", 1)[0].strip()

    def names(self, directory: str) -> List[str]:
        """The names in a directory in byte order; empty if there is none."""
        try:
            return sorted(os.listdir(self.path(directory)))
        except OSError:
            return []

    def files(self, directory: str, ending: str) -> List[str]:
        """Paths of the directory's visible files with that ending, in byte order."""
        found = [directory.rstrip("/") + "/" + name for name in self.names(directory)]
        return [
            name
            for name in found
            if name.endswith(ending) and not os.path.basename(name).startswith(".") and self.is_file(name)
        ]

    def is_file(self, name: str) -> bool:
        return os.path.isfile(self.path(name))

    def exists(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def modified_at(self, name: str) -> Optional[int]:
        try:
            return int(os.stat(self.path(name)).st_mtime)
        except OSError:
            return None

    @staticmethod
    def run(
        argv: Sequence[str], *, environment: Optional[Dict[str, str]] = None, seconds: float = COMMAND_SECONDS
    ) -> Optional[str]:
        """Standard output of a program that ended with 0; None if it is missing, failed or took too long."""
        env = dict(os.environ, LC_ALL="C", LANG="C")
        env["PATH"] = env.get("PATH", "") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        env.update(environment or {})
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=env,
            )
        except OSError:
            return None
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None
        return output.decode("utf-8", "replace") if process.returncode == 0 else None


def clip(value: str, limit: int = SHORT) -> str:
    """`value` as the wire takes it: no NUL, no longer than `limit`."""
    return value.replace("\0", "")[:limit]


def slim(record: Json, keep: Sequence[str] = ()) -> Json:
    """`record` without what is unknown or empty; an absent field means exactly that on the wire."""
    return {
        key: value for key, value in record.items() if key in keep or not (value is None or value in ("", [], {}))
    }


def words(value: str) -> List[str]:
    return [word for word in re.split(r"[\s,]+", value) if word]


def truth(value: str, default: Optional[bool] = None) -> Optional[bool]:
    """The booleans of dnf, zypper and apt; `default` for anything else."""
    word = value.strip().lower()
    if word in ("1", "yes", "true", "on", "with", "enable", "enabled"):
        return True
    if word in ("0", "no", "false", "off", "without", "disable", "disabled"):
        return False
    return default


def whole_number(value: str) -> Optional[int]:
    try:
        return int(value.strip())
    except ValueError:
        return None


def without_credentials(url: str) -> str:
    """A URL without `user:password@` and SUSE's `?token`: what opens mirrors stays on the host."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@\s]*@", r"\1", re.sub(r"\?[^=]*$", "", url))


def deb822(text: str) -> Iterator[Dict[str, str]]:
    """The paragraphs of a deb822 text, keys in lower case; a folded value keeps its line ends."""
    fields: Dict[str, str] = {}
    key = ""
    for line in text.split("\n"):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, key = {}, ""
        elif line[0] in " \t":
            if key:
                part = line.strip()
                fields[key] += "\n" + ("" if part == "." else part)
        else:
            key, colon, value = line.partition(":")
            key = key.strip().lower() if colon else ""
            if key:
                fields[key] = value.strip()
    if fields:
        yield fields


def ini(text: str) -> List[Tuple[str, Dict[str, str]]]:
    """The sections of a .repo or dnf.conf file in order, keys in lower case, folded lines joined by a line end."""
    sections: List[Tuple[str, Dict[str, str]]] = []
    key = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        bare = line.strip()
        if not bare or bare[0] in "#;":
            continue
        if line[0] in " \t" and key:
            sections[-1][1][key] += "\n" + bare
            continue
        key = ""
        if bare[0] == "[" and "]" in bare:
            sections.append((bare[1 : bare.index("]")].strip(), {}))
        elif sections and "=" in bare:
            name, _, value = bare.partition("=")
            key = name.strip().lower()
            sections[-1][1][key] = value.strip()
    return sections


VARIABLE = re.compile(r"\\\$|\$(\w+)|\$\{(\w+)(?::([-+])([^}]*))?\}")


def expand(text: str, variables: Dict[str, str]) -> str:
    """`text` with $name, ${name}, ${name:-word} and ${name:+word} replaced; an unknown $name stays."""

    def value(match: Any) -> str:
        name = match.group(1) or match.group(2)
        if name is None:
            return "$"
        known = variables.get(name)
        if match.group(3) == "-":
            return str(known or match.group(4))
        if match.group(3) == "+":
            return str(match.group(4)) if known else ""
        return str(match.group(0)) if known is None else known

    return VARIABLE.sub(value, text)


# ---------------------------------------------------------------------------------------------------
# Who the host is

OS_RELEASE_FIELDS = (
    "ID",
    "ID_LIKE",
    "VERSION_ID",
    "VERSION_CODENAME",
    "PRETTY_NAME",
    "CPE_NAME",
    "VARIANT_ID",
    "PLATFORM_ID",
)


def os_release(host: Host) -> Dict[str, str]:
    """os-release(5): all its fields."""
    text = host.text("/etc/os-release")
    if text is None:
        text = host.text("/usr/lib/os-release") or ""
    fields = {}
    for line in text.split("\n"):
        name, equals, value = line.strip().partition("=")
        if equals and re.match(r"[A-Z][A-Z0-9_]*$", name):
            try:
                fields[name] = "".join(shlex.split(value))
            except ValueError:
                fields[name] = value.strip("'\"")
    return fields


def hostname(host: Host) -> str:
    """The fully qualified name if the host knows it; the resolver gets five seconds."""
    if not host.live:
        return host.line("/etc/hostname")
    name = socket.gethostname()
    if "." in name:
        return name
    found: List[str] = []

    def resolve() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            for entry in socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME):
                found.append(entry[3])

    resolver = threading.Thread(target=resolve)
    resolver.daemon = True
    resolver.start()
    resolver.join(5)
    for full in found:
        if full.lower().startswith(name.lower() + "."):
            return full
    return name


def identity(host: Host) -> Json:
    """The fields of the report that say which host this is and what it runs."""
    release = os_release(host)
    machine_id = host.line("/etc/machine-id") or host.line("/var/lib/dbus/machine-id")
    if not re.match(r"[0-9a-f]{32}$", machine_id):
        machine_id = ""
    name = release.get("NAME", "")
    facts = {
        "hostname": hostname(host),
        "os": release.get("PRETTY_NAME") or (name + " " + release.get("VERSION_ID", "")).strip(),
        "os_release": slim({field: clip(release.get(field, "")) for field in OS_RELEASE_FIELDS}),
        "machine_id": machine_id,
    }
    if host.live:
        facts["arch"] = platform.machine()
        facts["kernel"] = platform.release()
        facts["boot_id"] = host.line("/proc/sys/kernel/random/boot_id")
    return facts


FAMILY_OF_ID = {
    "debian": "apt",
    "ubuntu": "apt",
    "fedora": "dnf",
    "rhel": "dnf",
    "centos": "dnf",
    "amzn": "dnf",
    "mageia": "dnf",
    "suse": "zypper",
    "opensuse": "zypper",
    "sles": "zypper",
    "sled": "zypper",
    "arch": "pacman",
}


def package_manager(host: Host) -> str:
    """apt, dnf, zypper or pacman: what os-release says if its database is there, else what is there.

    Raises AgentError if there is no package database.
    """
    present = []
    if host.exists("/var/lib/dpkg/status") or host.exists("/var/lib/dpkg/status.d"):
        present.append("apt")
    if rpm_database(host):
        present.append("zypper" if host.exists("/etc/zypp/repos.d") else "dnf")
    if host.exists("/var/lib/pacman/local"):
        present.append("pacman")
    release = os_release(host)
    for name in [release.get("ID", "")] + release.get("ID_LIKE", "").split():
        family = FAMILY_OF_ID.get(name.split("-")[0])
        if family in present:
            return str(family)
        if family in ("dnf", "zypper") and ("dnf" in present or "zypper" in present):
            return str(family)
    if not present:
        raise AgentError("no package database of dpkg, rpm or pacman below " + host.root)
    return present[0]


# ---------------------------------------------------------------------------------------------------
# apt and dpkg


class AptPaths:
    """Where this host's apt keeps its files, and the two of its options that decide updates.

    `apt-config` knows; without it the paths are apt's defaults.
    """

    NAMES = (
        ("status", "Dir::State::status/f", "/var/lib/dpkg/status"),
        ("extended_states", "Dir::State::extended_states/f", "/var/lib/apt/extended_states"),
        ("lists", "Dir::State::lists/d", "/var/lib/apt/lists/"),
        ("sourcelist", "Dir::Etc::sourcelist/f", "/etc/apt/sources.list"),
        ("sourceparts", "Dir::Etc::sourceparts/d", "/etc/apt/sources.list.d/"),
        ("preferences", "Dir::Etc::preferences/f", "/etc/apt/preferences"),
        ("preferencesparts", "Dir::Etc::preferencesparts/d", "/etc/apt/preferences.d/"),
    )

    def __init__(self, host: Host) -> None:
        self.path = {name: default for name, _, default in self.NAMES}
        self.default_release: Optional[str] = None
        self.check_valid_until: Optional[bool] = None
        self.architectures: List[str] = []
        environment = {}
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as redirect:
            if not host.live:
                # Read before every other configuration file, so those too come from the other root.
                redirect.write('Dir "%s/";\n' % host.root.replace('"', "%22"))
                redirect.flush()
                environment = {"APT_CONFIG": redirect.name}
            argv = ["apt-config", "shell"]
            for name, option, _ in self.NAMES:
                argv += [name, option]
            shell = Host.run(argv, environment=environment)
            dump = Host.run(["apt-config", "dump", "--format", "%F %V%n"], environment=environment)
        for word in shlex.split(shell or ""):
            name, _, value = word.partition("=")
            if value:
                self.path[name] = host.inside(value)
        native = ""
        for line in (dump or "").split("\n"):
            option, _, value = line.partition(" ")
            option, value = unquote(option), unquote(value)
            if option == "APT::Default-Release":
                self.default_release = value or None
            elif option.lower() == "acquire::check-valid-until":
                self.check_valid_until = truth(value)
            elif option == "APT::Architecture":
                native = value
            elif option.startswith("APT::Architectures::") and value:
                self.architectures.append(value)
        if not host.live:
            # These two would be of the machine that collects, not of the host below the root.
            self.architectures = []
        elif native and native not in self.architectures[:1]:
            self.architectures = [native] + [arch for arch in self.architectures if arch != native]


def dpkg_paragraphs(host: Host, status: str) -> List[Dict[str, str]]:
    """What dpkg knows: its status file, then the journal that an interrupted or running dpkg left."""
    texts = [host.text(status) or ""]
    if not texts[0]:
        texts = [host.text(name) or "" for name in host.files("/var/lib/dpkg/status.d", "")]
    journal = os.path.join(os.path.dirname(status), "updates")
    texts += [host.text(journal + "/" + name) or "" for name in host.names(journal) if name.isdigit()]
    known: Dict[Tuple[str, str], Dict[str, str]] = {}
    for text in texts:
        for fields in deb822(text):
            if "package" in fields:
                known[fields["package"], fields.get("architecture", "")] = fields
    return list(known.values())


def split_deb_version(version: str) -> Tuple[str, str, str]:
    """epoch, upstream version and revision of a Debian version (Policy 5.6.12)."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "", version
    upstream, hyphen, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if hyphen else (epoch, rest, "")


def automatic_debs(host: Host, states: str) -> Optional[Set[Tuple[str, str]]]:
    """(name, arch) of what apt installed as a dependency; None if apt never said."""
    text = host.text(states)
    if text is None:
        return None
    return {
        (fields.get("package", ""), fields.get("architecture", ""))
        for fields in deb822(text)
        if fields.get("auto-installed") == "1"
    }


def native_architecture(host: Host, paths: AptPaths, paragraphs: List[Dict[str, str]]) -> str:
    """dpkg's own architecture: apt's word, else the first in dpkg's list, else that of the package dpkg."""
    if paths.architectures:
        return paths.architectures[0]
    known = words(host.text("/var/lib/dpkg/arch") or "")
    if known:
        return known[0]
    for fields in paragraphs:
        if fields["package"] == "dpkg":
            return fields.get("architecture", "")
    # An image without dpkg itself (distroless): what most of its packages are built for.
    present = [fields.get("architecture", "all") for fields in paragraphs]
    return max(sorted(set(present) - {"all"}), key=present.count, default="")


CONTENT_FIELDS = ("installed-size", "depends", "pre-depends", "conflicts", "breaks", "replaces", "multi-arch")


def deb_content(fields: Dict[str, str]) -> str:
    """Digest over what apt compares beside the version: builds of one version with other content differ in it.

    apt 2.6, debListParser::VersionHash and SameVersion: the fields without blanks, in lower case, `<` and `>` as
    `<=` and `>=`, an absent Multi-Arch as `no`. The digest is that of the catalogue's packages (repo-sync's
    formats/apt.py): BLAKE2b-64 in hexadecimal of the values in the order of CONTENT_FIELDS, joined by line ends.
    """
    values = [re.sub(r"\s+", "", fields.get(name, "")).lower() for name in CONTENT_FIELDS]
    if values[-1] == "no":
        values[-1] = ""
    joined = re.sub(r"([<>])(?![<>=])", r"\1=", "\n".join(values))
    return hashlib.blake2b(joined.encode("utf-8"), digest_size=8).hexdigest()


def deb_packages(host: Host, paths: AptPaths) -> Tuple[List[Json], str]:
    """The packages as dpkg has them, and dpkg's own architecture."""
    paragraphs = dpkg_paragraphs(host, paths.path["status"])
    native = native_architecture(host, paths, paragraphs)
    auto = automatic_debs(host, paths.path["extended_states"])
    info = os.path.join(os.path.dirname(paths.path["status"]), "info")
    lists = set(host.names(info))
    packages = []
    for fields in paragraphs:
        selection = fields.get("status", "install ok installed").split()
        version = fields.get("version", "")
        if len(selection) != 3 or selection[2] == "not-installed" or not version:
            continue
        name, arch = fields["package"], fields.get("architecture", "")
        epoch, upstream, revision = split_deb_version(version)
        record: Json = {
            "name": clip(name),
            "epoch": clip(epoch, 20),
            "version": clip(upstream),
            "release": clip(revision),
            "arch": clip(arch),
            "type": "deb",
            "status": "" if selection[2] == "installed" else clip(selection[2]),
            "held": True if selection[0] == "hold" else None,
        }
        source = re.match(r"(\S+)(?:\s*\((.*)\))?$", fields.get("source", ""))
        if source:
            record["source"] = clip(source.group(1)) if source.group(1) != name else None
            record["source_version"] = clip(source.group(2)) if source.group(2) not in (None, version) else None
        if selection[2] != "config-files":
            record["content"] = deb_content(fields)
        if auto is not None and selection[2] != "config-files":
            # apt files "all" packages under the native architecture.
            record["auto"] = (name, native if arch == "all" else arch) in auto
        for listing in (name + ".list", name + ":" + arch + ".list"):
            if listing in lists:
                record["installed_at"] = host.modified_at(info + "/" + listing)
        packages.append(slim(record, keep=("version",)))
    return packages, native


def apt_parts(host: Host, directory: str, extensions: Sequence[str]) -> List[str]:
    """The files of a .d directory that apt reads, in its order; "" among `extensions` allows names without one.

    Names: letters, digits, hyphen, underscore, period and colon (apt's GetListOfFilesInDir).
    """
    found = []
    for name in host.names(directory):
        extension = name.rsplit(".", 1)[1] if "." in name else ""
        dotted = "" not in extensions or extension
        allowed = r"[A-Za-z0-9_:.-]+$" if dotted else r"[A-Za-z0-9_:-]+$"
        path = directory.rstrip("/") + "/" + name
        if extension in extensions and name[0] != "." and re.match(allowed, name) and host.is_file(path):
            found.append(path)
    return found


def without_comment(line: str) -> str:
    """A line of sources.list up to its `#`; inside [] a `#` is no comment."""
    place = 0
    while place < len(line) and line[place] != "#":
        if line[place] == "[":
            end = line.find("]", place)
            place = end if end > 0 else place
        place += 1
    return line[:place]


QUOTED_WORD = re.compile(r'(?:"[^"]*"|\[[^\]]*\]|[^\s"\[])+')
ONE_LINE = re.compile(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(.*)$")
ONE_LINE_FIELDS = {
    "arch": "architectures",
    "arch+": "architectures-add",
    "arch-": "architectures-remove",
    "signed-by": "signed-by",
    "trusted": "trusted",
    "check-valid-until": "check-valid-until",
}


def one_line_sources(text: str) -> Iterator[Dict[str, str]]:
    """The `deb` lines of a sources.list(5) as the fields of the deb822 form."""
    for line in text.split("\n"):
        match = ONE_LINE.match(without_comment(line))
        if not match:
            continue
        parts = [word.replace('"', "") for word in QUOTED_WORD.findall(match.group(2))]
        if len(parts) < 2:
            continue
        fields = {"uris": parts[0], "suites": parts[1], "components": " ".join(parts[2:])}
        if parts[0].startswith("cdrom:"):
            fields["one-uri"] = "yes"
        for option in QUOTED_WORD.findall(match.group(1) or ""):
            name, _, value = option.partition("=")
            if name.lower() in ONE_LINE_FIELDS:
                fields[ONE_LINE_FIELDS[name.lower()]] = value.replace('"', "")
        yield fields


def apt_sources(host: Host, paths: AptPaths) -> Iterator[Dict[str, str]]:
    """Every source of binary packages in apt's order, as deb822 fields."""
    names = [paths.path["sourcelist"]] if host.is_file(paths.path["sourcelist"]) else []
    names += apt_parts(host, paths.path["sourceparts"], ("list", "sources"))
    for name in names:
        text = host.text(name) or ""
        if not name.endswith(".sources"):
            for fields in one_line_sources(text):
                yield fields
            continue
        for fields in deb822(text):
            if "deb" in fields.get("types", "").split():
                yield fields


def list_file_prefix(uri: str, suite: str) -> str:
    """Start of the names under lists/ of one suite's files (apt's URItoFileName)."""
    base = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:(?://)?(?:[^/@]*@)?", "", uri).rstrip("/") + "/"
    if not suite.endswith("/"):
        base += "dists/" + suite + "/"
    elif suite != "/":
        base += suite
    bad = '\\|{}[]<>"^~_=!@#$%^&*'
    quoted = "".join("%%%02x" % ord(c) if c in bad or not 0x20 < ord(c) < 0x7F else c for c in base)
    return quoted.replace("/", "_")


def release_fields(host: Host, lists: str, uri: str, suite: str) -> Dict[str, str]:
    """The first paragraph of the Release file that apt fetched for this suite; empty if it has none."""
    prefix = lists.rstrip("/") + "/" + list_file_prefix(uri, suite)
    text = host.text(prefix + "InRelease")
    if text is None:
        text = host.text(prefix + "Release") or ""
    for fields in deb822(text):
        if "date" in fields or "suite" in fields or "codename" in fields or "origin" in fields:
            return fields
    return {}


def is_security_suite(suite: str, release: Dict[str, str]) -> bool:
    suites = (suite, release.get("suite", ""), release.get("codename", ""))
    if any(name.rstrip("/").endswith("-security") for name in suites):
        return True
    return "security" in (release.get("label", "") + " " + release.get("origin", "")).lower()


def source_architectures(fields: Dict[str, str], native: str, default: List[str]) -> List[str]:
    chosen = words(fields.get("architectures", "")) or list(default)
    chosen += [arch for arch in words(fields.get("architectures-add", "")) if arch not in chosen]
    removed = words(fields.get("architectures-remove", ""))
    return [native if arch == "native" else arch for arch in chosen if arch not in removed]


def apt_mirrors(host: Host, uri: str) -> List[str]:
    """The places behind a URI: itself, or those of the file that `mirror+file:` names, best first.

    Debian's and Ubuntu's cloud images are configured so. The file's lines may have a priority and a type
    (apt-transport-mirror(1)).
    """
    if not uri.startswith("mirror+file:"):
        return [without_credentials(uri)]
    text = host.text("/" + uri[len("mirror+file:") :].lstrip("/")) or ""
    ranked = []
    for line in text.split("\n"):
        place, *notes = without_comment(line).split() or [""]
        kinds = [note for note in notes if note.startswith("type:")]
        rank = re.search(r"priority:([0-9]{1,6})\b", " ".join(notes))
        if place and (not kinds or "type:index" in kinds):
            ranked.append((int(rank.group(1)) if rank else 10**7, without_credentials(place)))
    places = [place for _, place in sorted(ranked, key=lambda pair: pair[0])]
    return list(dict.fromkeys(places))[:20] or [without_credentials(uri)]


def deb_repositories(host: Host, paths: AptPaths, architectures: List[str]) -> List[Json]:
    """One record per URI and suite, with the components of all its sources that agree on everything else."""
    native = architectures[0] if architectures else ""
    merged: Dict[Tuple[Any, ...], Json] = {}
    for fields in apt_sources(host, paths):
        enabled = truth(fields.get("enabled", ""), default=True)
        trusted = truth(fields.get("trusted", ""))
        expires = truth(fields.get("check-valid-until", ""), default=paths.check_valid_until)
        signed_by = clip(fields.get("signed-by", "").strip("\n"), DOCUMENT)
        arch = source_architectures(fields, native, architectures)
        uris = [fields["uris"]] if "one-uri" in fields else fields.get("uris", "").split()
        for configured in uris:
            places = apt_mirrors(host, configured.replace("$(ARCH)", native))
            uri = places[0]
            for suite in fields.get("suites", "").replace("$(ARCH)", native).split():
                key = (uri.rstrip("/"), suite, enabled, tuple(arch), signed_by, trusted, expires)
                record = merged.get(key)
                if record is None:
                    release = release_fields(host, paths.path["lists"], configured, suite)
                    name = fields.get("x-repolib-name") or (
                        " ".join([release["origin"], suite]) if release.get("origin") else uri + " " + suite
                    )
                    record = merged[key] = {
                        "id": "",
                        "type": "deb",
                        "name": clip(name, TEXT),
                        "enabled": enabled,
                        "urls": [clip(place, TEXT) for place in places],
                        "arch": [clip(each) for each in arch],
                        "suite": clip(suite),
                        "components": [],
                        "security": is_security_suite(suite, release),
                        "signed_by": signed_by,
                        "trusted": trusted,
                        "check_valid_until": expires,
                    }
                for component in fields.get("components", "").split():
                    if clip(component) not in record["components"]:
                        record["components"].append(clip(component))
    records = list(merged.values())
    name_deb_repositories(records)
    return [slim(record, keep=("id", "urls", "arch", "components")) for record in records]


def name_deb_repositories(records: List[Json]) -> None:
    """Gives each record an id that a person recognises: its suite, with the place where that is taken."""
    taken: Set[str] = set()
    for record in records:
        place = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:(//)?", "", record["urls"][0]).rstrip("/")
        suite = record["suite"].strip("/.")
        name = choice = clip(suite or place, TEXT - 200)
        if choice in taken:
            name = choice = clip((suite + "@" if suite else "") + place, TEXT - 200)
        number = 2
        while choice in taken:
            choice = "%s#%d" % (name, number)
            number += 1
        taken.add(choice)
        record["id"] = choice


def apt_preferences(host: Host, paths: AptPaths) -> str:
    """All of apt_preferences(5) in apt's order: the one file first, then the parts."""
    names = [paths.path["preferences"]] + apt_parts(host, paths.path["preferencesparts"], ("pref", ""))
    texts = [(host.text(name) or "").strip("\n") for name in names]
    joined = "\n\n".join(text for text in texts if text.strip())
    if len(joined) > DOCUMENT:
        warn("apt preferences are longer than %d characters: the rest is not reported" % DOCUMENT)
    return clip(joined, DOCUMENT)


def apt_updates(host: Host, repositories: List[Json]) -> Optional[List[Json]]:
    """apt's own candidates, asked through its Python binding where that is installed.

    `repo` is the id of the reported repository that has the candidate, or its suite if none fits.
    """
    if not host.live:
        return None
    try:
        import apt_pkg  # type: ignore[import-not-found, unused-ignore]  # Debian's python3-apt, if present
    except ImportError:
        return None
    updates = []
    try:
        apt_pkg.init()
        cache = apt_pkg.Cache(None)
        candidates = apt_pkg.DepCache(cache)
        for package in cache.packages:
            if package.current_ver is None or not candidates.is_upgradable(package):
                continue
            version = candidates.get_candidate_ver(package)
            files = [file for file, _ in version.file_list if not file.not_source]
            homes = [
                repository["id"]
                for file in files
                for repository in repositories
                if repository["suite"] in (file.codename, file.archive) and file.site in repository["urls"][0]
            ] + [file.codename or file.archive for file in files]
            record = {
                "name": clip(package.name),
                "arch": clip(version.arch),
                "to": clip(version.ver_str),
                "repo": clip(homes[0] if homes else "", TEXT),
                "security": any(
                    is_security_suite(file.archive, {"codename": file.codename, "label": file.label})
                    for file in files
                ),
            }
            updates.append(slim(record))
    except (apt_pkg.Error, AttributeError, SystemError, UnicodeError, ValueError) as error:
        warn("apt did not say which updates it sees: %s" % error)
        return None
    return updates


KERNEL_DEB = re.compile(
    r"(linux-image|pve-kernel|proxmox-kernel)-(unsigned-)?[0-9](?!.*-dbg(sym)?$)|raspberrypi-kernel$"
)


def collect_apt(host: Host, *, ask: bool) -> Json:
    paths = AptPaths(host)
    packages, native = deb_packages(host, paths)
    listed = words(host.text("/var/lib/dpkg/arch") or "")
    foreign = [arch for arch in (paths.architectures[1:] or listed) if arch != native]
    repositories = deb_repositories(host, paths, ([native] if native else []) + foreign)
    facts: Json = {
        "packages": packages,
        "repos": repositories,
        "native_arch": native,
        "foreign_archs": foreign,
        "default_release": paths.default_release,
        "preferences": apt_preferences(host, paths),
        "updates": apt_updates(host, repositories) if ask else None,
    }
    reasons = []
    if host.exists("/run/reboot-required") or host.exists("/var/run/reboot-required"):
        named = host.text("/run/reboot-required.pkgs") or host.text("/var/run/reboot-required.pkgs") or ""
        reasons = sorted(set(words(named))) or ["/run/reboot-required"]
    # Also an update within one ABI counts, whose package has the name of the running kernel.
    reasons += installed_since_boot(host, [each for each in packages if KERNEL_DEB.match(each["name"])])
    facts["reboot_reasons"] = reasons
    if not host.live:
        facts["arch"] = MACHINE_OF_DEB.get(native, native)
    return facts


MACHINE_OF_DEB = {
    "amd64": "x86_64",
    "i386": "i686",
    "arm64": "aarch64",
    "armhf": "armv7l",
    "armel": "armv5tel",
    "ppc64el": "ppc64le",
}


# ---------------------------------------------------------------------------------------------------
# rpm: what dnf, yum and zypper share

RPM_HOMES = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
RPM_DATABASES = ("rpmdb.sqlite", "Packages.db", "Packages")


def rpm_database(host: Host) -> str:
    """The directory that holds the host's rpm database; empty if there is none."""
    for home in RPM_HOMES:
        if any(host.is_file(home + "/" + name) for name in RPM_DATABASES):
            return home
    return ""


class RpmQuery:
    """`rpm` with machine-readable query formats, on the host's database."""

    def __init__(self, host: Host) -> None:
        """Raises AgentError if the host has no rpm database: rpm would make an empty one."""
        home = rpm_database(host)
        if not home:
            raise AgentError("no rpm database below " + host.root)
        self.argv = ["rpm", "--nosignature", "--nodigest", "--dbpath", host.path(home)]

    def records(self, selection: Sequence[str], fields: Sequence[str]) -> Optional[List[List[str]]]:
        """One list of values per package, in the order of `fields`; None if the query failed.

        A field is a tag name, whose absence gives "", or a whole query format. Unit and record separators
        (0x1F, 0x1E) cannot occur in a header's text.
        """
        formats = [field if "%" in field else "%%|%s?{%%{%s}}:{}|" % (field, field) for field in fields]
        output = Host.run(self.argv + ["-q", "--qf", "\x1f".join(formats) + "\x1e"] + list(selection))
        if output is None:
            return None
        rows = [row.split("\x1f") for row in output.split("\x1e") if row]
        return [row for row in rows if len(row) == len(fields)]


RPM_FIELDS = ["NAME", "EPOCH", "VERSION", "RELEASE", "ARCH", "VENDOR", "SOURCERPM", "INSTALLTIME"]


def rpm_packages(rpm: RpmQuery, automatic: Optional[Callable[[str, str], Optional[bool]]] = None) -> List[Json]:
    """The installed rpms. Raises AgentError if rpm cannot be asked."""
    rows = rpm.records(["-a"], RPM_FIELDS + ["MODULARITYLABEL"])
    if rows is None:
        # rpm before 4.14 does not know the tag.
        rows = rpm.records(["-a"], RPM_FIELDS + ["%%"])
    if rows is None:
        raise AgentError("rpm could not read its database (is the program rpm installed?)")
    packages = []
    for name, epoch, version, release, arch, vendor, sourcerpm, installed, label in rows:
        if name == "gpg-pubkey":
            continue
        source = re.match(r"(.+)-[^-]+-[^-]+\.(?:no)?src\.rpm$", sourcerpm)
        record = {
            "name": clip(name),
            "epoch": clip(epoch or "0", 20),
            "version": clip(version),
            "release": clip(release),
            "arch": clip(arch),
            "type": "rpm",
            "vendor": clip(vendor),
            "source": clip(source.group(1)) if source and source.group(1) != name else None,
            "modularitylabel": clip(label) if label not in ("", "%", "(none)") else None,
            "installed_at": whole_number(installed),
            "auto": automatic(name, arch) if automatic else None,
        }
        packages.append(slim(record, keep=("version",)))
    return packages


BASEARCH = {
    "i386": ("i386", "i486", "i586", "i686", "athlon", "geode"),
    "x86_64": ("x86_64", "x86_64_v2", "x86_64_v3", "x86_64_v4", "amd64", "ia32e"),
    "armhfp": ("armv6hl", "armv7hl", "armv7hnl", "armv8hl"),
    "arm": ("armv5tejl", "armv5tel", "armv5tl", "armv6l", "armv7l", "armv8l"),
    "ppc64": ("ppc64", "ppc64iseries", "ppc64p7", "ppc64pseries"),
    "sparc": ("sparc", "sparc64", "sparc64v", "sparcv8", "sparcv9", "sparcv9v"),
}


def basearch(arch: str) -> str:
    """dnf's $basearch of an architecture."""
    for base, members in BASEARCH.items():
        if arch in members:
            return base
    return arch


def machine_of(host: Host, packages: List[Json]) -> str:
    """The machine of the host; below another root the architecture that most of its packages have."""
    if host.live:
        return platform.machine()
    counts: Dict[str, int] = {}
    for package in packages:
        arch = package.get("arch", "noarch")
        if arch != "noarch":
            counts[arch] = counts.get(arch, 0) + 1
    return max(sorted(counts), key=lambda arch: counts[arch]) if counts else platform.machine()


DISTRIBUTION_PROVIDES = (
    "system-release(releasever)",
    "system-release",
    "distribution-release(releasever)",
    "distribution-release",
    "redhat-release",
    "suse-release",
)
RPMSENSE_EQUAL = "8"


def detect_releasever(rpm: RpmQuery, distroverpkg: Sequence[str] = DISTRIBUTION_PROVIDES) -> str:
    """$releasever as dnf finds it: version of the package that provides the first known name, or of that provide.

    The provide's version counts if it is exact and the package is not called like it (dnf.rpm.detect_releasever).
    """
    provides = "[%{PROVIDENAME}\x1d%{PROVIDEFLAGS}\x1d%{PROVIDEVERSION}\x1c]"
    for wanted in distroverpkg:
        rows = rpm.records(["--whatprovides", wanted], ["NAME", "VERSION", provides])
        if not rows:
            continue
        name, version, listed = rows[0]
        for item in listed.split("\x1c"):
            parts = item.split("\x1d")
            if len(parts) == 3 and parts[0] == wanted:
                if parts[1] == RPMSENSE_EQUAL and parts[2] and name != wanted:
                    return parts[2]
                break
        return version
    return ""


def release_variables(releasever: str, machine: str) -> Dict[str, str]:
    major, _, minor = releasever.partition(".")
    known = {"arch": machine, "basearch": basearch(machine)}
    if releasever:
        known.update({"releasever": releasever, "releasever_major": major, "releasever_minor": minor})
    return known


def variable_files(host: Host, directories: Iterable[str]) -> Dict[str, str]:
    """The variables of vars directories: file name and first line; a later directory wins."""
    found = {}
    for directory in directories:
        for name in host.names(directory):
            if host.is_file(directory.rstrip("/") + "/" + name):
                found[name] = (host.text(directory.rstrip("/") + "/" + name) or "").split("\n", 1)[0]
    return found


def urls_of(value: str, variables: Dict[str, str]) -> List[str]:
    return [clip(without_credentials(expand(url, variables)), TEXT) for url in words(value)]


# ---------------------------------------------------------------------------------------------------
# dnf and yum


class DnfConfiguration:
    """The [main] options of dnf 4, dnf 5 or yum, and the sections of repositories in the same files."""

    LISTS = ("excludepkgs", "exclude", "includepkgs", "installonlypkgs")

    def __init__(self, host: Host) -> None:
        self.dnf5 = any(host.exists("/usr/bin/" + name) for name in ("dnf5", "libdnf5")) or host.exists(
            "/usr/share/dnf5"
        )
        main = "/etc/dnf/dnf.conf" if host.is_file("/etc/dnf/dnf.conf") else "/etc/yum.conf"
        # dnf 5: a file in /etc replaces the one of the same name that the distribution ships; dnf.conf is last.
        parts: Dict[str, str] = {}
        for directory in ("/usr/share/dnf5/libdnf.conf.d", "/etc/dnf/libdnf5.conf.d"):
            for path in host.files(directory, ".conf"):
                parts[os.path.basename(path)] = path
        self.main: Dict[str, str] = {}
        self.repositories: List[Tuple[str, Dict[str, str]]] = []
        for path in [parts[name] for name in sorted(parts)] + [main]:
            for section, fields in ini(host.text(path) or ""):
                if section != "main":
                    self.repositories.append((section, fields))
                    continue
                for key, value in fields.items():
                    if key in self.LISTS and self.main.get(key):
                        self.main[key] += "\n" + value
                    else:
                        self.main[key] = value

    def items(self, *names: str) -> List[str]:
        """The list option that goes by any of these names."""
        return [clip(item, TEXT) for name in names for item in words(self.main.get(name, ""))]

    def options(self) -> Json:
        """`DnfOptions` of the report."""
        limit = whole_number(self.main.get("installonly_limit", ""))
        return {
            "obsoletes": truth(self.main.get("obsoletes", ""), default=True),
            "best": truth(self.main.get("best", ""), default=self.dnf5),
            "installonly_limit": 3 if limit is None else limit,
            "installonlypkgs": [clip(name) for name in self.items("installonlypkgs")],
        }


def dnf_repository_sections(host: Host, configuration: DnfConfiguration) -> List[Tuple[str, Dict[str, str]]]:
    """(id, fields) of every repository in dnf's order; the first of an id counts, overrides are applied."""
    directories = configuration.items("reposdir") or [
        "/etc/yum.repos.d",
        "/etc/yum/repos.d",
        "/etc/distro.repos.d",
        "/usr/share/dnf5/repos.d",
    ]
    sections = list(configuration.repositories)
    for directory in directories:
        for path in host.files(directory, ".repo"):
            sections += ini(host.text(path) or "")
    overrides: Dict[str, str] = {}
    for directory in ("/usr/share/dnf5/repos.override.d", "/etc/dnf/repos.override.d"):
        for path in host.files(directory, ".repo"):
            overrides[os.path.basename(path)] = path
    changes = [part for name in sorted(overrides) for part in ini(host.text(overrides[name]) or "")]
    known: Dict[str, Dict[str, str]] = {}
    for section, fields in sections:
        if section == "main" or section in known:
            continue
        known[section] = dict(fields)
        for pattern, changed in changes:
            if fnmatch.fnmatchcase(section, pattern):
                known[section].update(changed)
    return list(known.items())


def dnf_repositories(host: Host, configuration: DnfConfiguration, variables: Dict[str, str]) -> List[Json]:
    records = []
    everywhere = configuration.items("includepkgs")
    gpgcheck = truth(configuration.main.get("gpgcheck", ""), default=False)
    for section, fields in dnf_repository_sections(host, configuration):
        urls = urls_of(fields.get("baseurl", ""), variables)
        mirrorlist = urls_of(fields.get("mirrorlist", ""), variables)
        metalink = urls_of(fields.get("metalink", ""), variables)
        if mirrorlist and "metalink" in mirrorlist[0] and not metalink:
            # dnf reads such a list as the metalink that it is.
            mirrorlist, metalink = [], mirrorlist
        if not urls and not mirrorlist and not metalink:
            continue
        priority, cost = whole_number(fields.get("priority", "")), whole_number(fields.get("cost", ""))
        includes = everywhere + [clip(item, TEXT) for item in words(fields.get("includepkgs", ""))]
        excludes = words(fields.get("excludepkgs", "")) + words(fields.get("exclude", ""))
        record = {
            "id": clip(expand(section, variables), TEXT),
            "type": "rpm-md",
            "name": clip(expand(fields.get("name", section), variables), TEXT),
            "enabled": truth(fields.get("enabled", ""), default=True),
            "urls": urls,
            "mirrorlist": mirrorlist[0] if mirrorlist else None,
            "metalink": metalink[0] if metalink else None,
            "arch": variables["basearch"],
            "priority": 99 if priority is None else priority,
            "cost": 1000 if cost is None else cost,
            "excludes": [clip(item, TEXT) for item in excludes],
            "includes": includes,
            "module_hotfixes": truth(fields.get("module_hotfixes", "")) or None,
            "signed_by": clip("\n".join(urls_of(fields.get("gpgkey", ""), variables)), DOCUMENT),
            "gpgcheck": truth(fields.get("gpgcheck", ""), default=gpgcheck),
        }
        records.append(slim(record, keep=("id", "urls")))
    return records


def versionlock_entries(host: Host) -> List[str]:
    """The entries of the versionlock plugin, in dnf 4's syntax; none if the plugin is not configured."""
    entries: List[str] = []
    for configured, fallback in (
        ("/etc/dnf/plugins/versionlock.conf", "/etc/dnf/plugins/versionlock.list"),
        ("/etc/yum/pluginconf.d/versionlock.conf", "/etc/yum/pluginconf.d/versionlock.list"),
    ):
        main = dict(ini(host.text(configured) or "")).get("main")
        if main is None or not truth(main.get("enabled", ""), default=True):
            continue
        for line in (host.text(main.get("locklist", fallback)) or "").split("\n"):
            entry = line.strip()
            if entry and not entry.startswith("#"):
                # yum wrote the epoch in front of the name.
                entries.append(re.sub(r"^(!?)(\d+):(.+)-([^-]+)-([^-]+)$", r"\1\3-\2:\4-\5", entry))
    return entries + dnf5_versionlocks(host.text("/etc/dnf/versionlock.toml") or "")


def dnf5_versionlocks(text: str) -> List[str]:
    """The locks of versionlock.toml that fix or exclude one exact version, in dnf 4's syntax.

    The file is written by dnf 5 as one `key = "value"` a line, which is all of TOML that is read here.
    """
    entries = []
    name, condition = "", {}  # type: str, Dict[str, str]
    in_condition = False
    for line in text.split("\n") + ["[[packages]]"]:
        bare = line.strip()
        if bare.startswith("[["):
            sign = {"=": "", "==": "", "!=": "!"}.get(condition.get("comparator", ""))
            if name and condition.get("key") == "evr" and condition.get("value") and sign is not None:
                entries.append("%s%s-%s.*" % (sign, name, condition["value"]))
            condition = {}
            in_condition = bare == "[[packages.conditions]]"
            if not in_condition:
                name = ""
            continue
        match = re.match(r'(\w+)\s*=\s*["\'](.*)["\']$', bare)
        if match and in_condition:
            condition[match.group(1)] = match.group(2)
        elif match and match.group(1) == "name":
            name = match.group(2)
    return entries


def dnf_modules(host: Host) -> List[Json]:
    """The module states of /etc/dnf/modules.d."""
    records = []
    for path in host.files("/etc/dnf/modules.d", ".module"):
        for section, fields in ini(host.text(path) or ""):
            state = fields.get("state", "").lower()
            record = {
                "name": clip(fields.get("name", section)),
                "stream": clip(fields.get("stream", "")),
                "state": state if state in ("enabled", "disabled") else "",
                "profiles": [clip(profile) for profile in words(fields.get("profiles", ""))],
            }
            if record["state"]:
                records.append(slim(record))
    return records


AUTOMATIC_REASONS = {1: True, 2: False, 3: True, 4: True, 5: True}
"""dnf 4's TransactionItemReason: dependency, user, clean, weak dependency, group; 0 is unknown."""


def dnf_automatic(host: Host) -> Callable[[str, str], Optional[bool]]:
    """Whether dnf 4's history says that (name, arch) came as a dependency; None where it does not know."""
    reasons: Dict[Tuple[str, str], Optional[bool]] = {}
    path = host.path("/var/lib/dnf/history.sqlite")
    if os.path.isfile(path):
        try:
            with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % path, uri=True)) as history:
                for name, arch, reason in history.execute(
                    "SELECT rpm.name, rpm.arch, item.reason FROM trans_item AS item"
                    " JOIN rpm ON rpm.item_id = item.item_id ORDER BY item.id"
                ):
                    if reason:
                        reasons[name, arch] = AUTOMATIC_REASONS.get(reason)
        except sqlite3.Error as error:
            warn("dnf's history could not be read: %s" % error)
            return lambda name, arch: None
    return lambda name, arch: reasons.get((name, arch))


def dnf_updates(host: Host) -> Optional[List[Json]]:
    """dnf's own list from the metadata that it has already, through its query format."""
    program = shutil.which("dnf") or shutil.which("dnf5")
    if not host.live or program is None:
        return None
    tags = ("name", "epoch", "version", "release", "arch", "repoid")
    form = "|".join("%{" + tag + "}" for tag in tags) + "\n"
    output = Host.run([program, "-q", "-C", "repoquery", "--upgrades", "--qf", form])
    if output is None:
        return None
    updates = []
    for line in sorted(set(output.split("\n"))):
        parts = line.split("|")
        if len(parts) != len(tags):
            continue
        name, epoch, version, release, arch, repository = parts
        to = "%s-%s" % (version, release)
        if epoch not in ("", "0", "(none)"):
            to = epoch + ":" + to
        updates.append({"name": clip(name), "arch": clip(arch), "to": clip(to), "repo": clip(repository, TEXT)})
    return updates


# needs-restarting of dnf-plugins-core: an update of one of these takes effect at the next boot.
BOOT_PACKAGES = frozenset(
    (
        "kernel",
        "kernel-core",
        "kernel-rt",
        "kernel-rt-core",
        "glibc",
        "linux-firmware",
        "systemd",
        "dbus",
        "dbus-broker",
        "dbus-daemon",
        "microcode_ctl",
    )
)


def collect_dnf(host: Host, *, ask: bool) -> Json:
    rpm = RpmQuery(host)
    packages = rpm_packages(rpm, dnf_automatic(host))
    machine = machine_of(host, packages)
    configuration = DnfConfiguration(host)
    directories = configuration.items("varsdir") or ["/etc/yum/vars", "/etc/dnf/vars"]
    files = variable_files(host, ["/usr/share/dnf5/vars.d"] + directories)
    releasever = (
        files.get("releasever")
        or detect_releasever(rpm, configuration.items("distroverpkg") or DISTRIBUTION_PROVIDES)
        or os_release(host).get("VERSION_ID", "")
    )
    variables = release_variables(releasever, machine)
    variables.update(files)
    boot = [package for package in packages if package["name"] in BOOT_PACKAGES]
    return {
        "packages": packages,
        "repos": dnf_repositories(host, configuration, variables),
        "arch": machine,
        "releasever": clip(releasever),
        "pins": [{"type": "versionlock", "entry": clip(entry, TEXT)} for entry in versionlock_entries(host)],
        "excludes": configuration.items("excludepkgs", "exclude"),
        "modules": dnf_modules(host),
        "dnf": slim(configuration.options()),
        "updates": dnf_updates(host) if ask else None,
        "reboot_reasons": installed_since_boot(host, boot),
    }


# ---------------------------------------------------------------------------------------------------
# zypper


def zypp_releasever(host: Host) -> str:
    """Version of the base product, which is what zypp puts in for $releasever."""
    text = host.text("/etc/products.d/baseproduct")
    if text and "<!DOCTYPE" not in text:
        with contextlib.suppress(ElementTree.ParseError):
            version = ElementTree.fromstring(text).findtext("version")
            if version:
                return version.strip()
    return os_release(host).get("VERSION_ID", "")


def zypp_repository_type(host: Host, alias: str, configured: str) -> str:
    """rpm-md or susetags; where the file does not say, what zypp found and cached. Empty for a plain directory."""
    named = {"rpm-md": "rpm-md", "yum": "rpm-md", "yast2": "susetags", "susetags": "susetags", "plaindir": ""}
    if configured.lower() in named:
        return named[configured.lower()]
    raw = "/var/cache/zypp/raw/" + alias
    return "susetags" if host.exists(raw + "/suse/setup") and not host.exists(raw + "/repodata") else "rpm-md"


def zypp_repositories(host: Host, variables: Dict[str, str]) -> List[Json]:
    records = []
    for path in host.files("/etc/zypp/repos.d", ".repo"):
        for alias, fields in ini(host.text(path) or ""):
            below = fields.get("path", "").strip("/")
            urls = urls_of(fields.get("baseurl", ""), variables)
            if below:
                urls = [url.rstrip("/") + "/" + below for url in urls]
            mirrorlist = urls_of(fields.get("mirrorlist", ""), variables)
            metalink = urls_of(fields.get("metalink", ""), variables)
            kind = zypp_repository_type(host, alias, fields.get("type", ""))
            # A plain directory of rpms has no metadata that a server could read.
            if not kind or not (urls or mirrorlist or metalink):
                continue
            priority = whole_number(fields.get("priority", ""))
            record = {
                "id": clip(alias, TEXT),
                "type": kind,
                "name": clip(expand(fields.get("name", alias), variables), TEXT),
                "enabled": truth(fields.get("enabled", ""), default=True),
                "urls": urls,
                "mirrorlist": mirrorlist[0] if mirrorlist else None,
                "metalink": metalink[0] if metalink else None,
                "arch": variables["basearch"],
                # zypp reads 0 as "not set".
                "priority": priority or 99,
                "signed_by": clip("\n".join(urls_of(fields.get("gpgkey", ""), variables)), DOCUMENT),
                "gpgcheck": truth(fields.get("gpgcheck", "")),
            }
            records.append(slim(record, keep=("id", "urls")))
    return records


def zypp_locks(host: Host) -> List[Json]:
    """The package locks of /etc/zypp/locks."""
    locks = []
    for fields in deb822(host.text("/etc/zypp/locks") or ""):
        if fields.get("type", "package") != "package":
            continue
        names = words(fields.get("solvable_name", "")) or words(fields.get("query_string", "")) or [""]
        for name in names:
            record = {
                "type": "lock",
                "match": clip(fields.get("match_type", "glob")),
                "name": clip(name, TEXT),
                "repo": clip(fields.get("repo", ""), TEXT),
                "arch": clip(fields.get("solvable_arch", "")),
                "version": clip(fields.get("version", "")),
            }
            if name or record["repo"]:
                locks.append(slim(record))
    return locks


def zypp_options(host: Host) -> Json:
    """`ZyppOptions` of the report; /etc/zypp/zypp.conf replaces the vendor's file, zypp.conf.d comes on top."""
    main: Dict[str, str] = {}
    base = "/etc/zypp/zypp.conf" if host.is_file("/etc/zypp/zypp.conf") else "/usr/etc/zypp/zypp.conf"
    parts: Dict[str, str] = {}
    for directory in ("/usr/etc/zypp/zypp.conf.d", "/etc/zypp/zypp.conf.d"):
        for path in host.files(directory, ".conf"):
            parts[os.path.basename(path)] = path
    for path in [base] + [parts[name] for name in sorted(parts)]:
        for section, fields in ini(host.text(path) or ""):
            if section == "main":
                main.update(fields)
    multiversion = words(main.get("multiversion", ""))
    directory = main.get("multiversiondir", "/etc/zypp/multiversion.d")
    for name in host.names(directory):
        for line in (host.text(directory.rstrip("/") + "/" + name) or "").split("\n"):
            if line.strip() and not line.strip().startswith("#"):
                multiversion.append(line.strip())
    equivalence = []
    for directory in ("/usr/etc/zypp/vendors.d", "/etc/zypp/vendors.d"):
        for name in host.names(directory):
            for section, fields in ini(host.text(directory + "/" + name) or ""):
                if section == "main" and fields.get("vendors"):
                    vendors = [clip(vendor.strip()) for vendor in fields["vendors"].split(",")]
                    equivalence.append([vendor for vendor in vendors if vendor])
    return {
        "allow_vendor_change": truth(main.get("solver.allowvendorchange", ""), default=False),
        "multiversion": [clip(entry, TEXT) for entry in multiversion],
        "vendor_equivalence": equivalence,
    }


def zypper_updates(host: Host) -> Optional[List[Json]]:
    """zypper's own list from the metadata that it has already, in its XML."""
    if not host.live or shutil.which("zypper") is None:
        return None
    output = Host.run(["zypper", "--xmlout", "--non-interactive", "--no-refresh", "list-updates"])
    if output is None or "<!DOCTYPE" in output:
        return None
    updates = []
    try:
        for update in ElementTree.fromstring(output).iter("update"):
            source = update.find("source")
            record = {
                "name": clip(update.get("name", "")),
                "arch": clip(update.get("arch", "")),
                "to": clip(update.get("edition", "")),
                "repo": clip(source.get("alias", "") if source is not None else "", TEXT),
            }
            if update.get("kind", "package") == "package":
                updates.append(slim(record, keep=("name",)))
    except ElementTree.ParseError:
        return None
    return updates


def collect_zypper(host: Host, *, ask: bool) -> Json:
    rpm = RpmQuery(host)
    listed = host.text("/var/lib/zypp/AutoInstalled")
    names = {line.strip() for line in (listed or "").split("\n") if line.strip() and not line.startswith("#")}
    packages = rpm_packages(rpm, (lambda name, arch: name in names) if listed is not None else None)
    machine = machine_of(host, packages)
    releasever = zypp_releasever(host)
    variables = release_variables(releasever, machine)
    variables.update(variable_files(host, ["/etc/zypp/vars.d"]))
    hinted = {row[0] for row in rpm.records(["--whatprovides", "installhint(reboot-needed)"], ["NAME", "%%"]) or []}
    reasons = installed_since_boot(host, [package for package in packages if package["name"] in hinted])
    if host.live and host.exists("/run/reboot-needed") and not reasons:
        reasons = ["/run/reboot-needed"]
    return {
        "packages": packages,
        "repos": zypp_repositories(host, variables),
        "arch": machine,
        "releasever": clip(releasever),
        "pins": zypp_locks(host),
        "zypp": slim(zypp_options(host), keep=("multiversion",)),
        "updates": zypper_updates(host) if ask else None,
        "reboot_reasons": reasons,
    }


# ---------------------------------------------------------------------------------------------------
# pacman


class PacmanConfiguration:
    """pacman.conf(5) with its includes: the [options], and the repositories in order."""

    DEPTH = 10

    def __init__(self, host: Host) -> None:
        self.options: Dict[str, List[str]] = {}
        self.repositories: Dict[str, Dict[str, List[str]]] = {}
        self._host = host
        self._section = ""
        self._read("/etc/pacman.conf", 0)

    def _read(self, path: str, depth: int) -> None:
        for line in (self._host.text(path) or "").split("\n"):
            bare = line.strip()
            # Only a whole line can be a comment: pacman takes a later # as part of the value.
            if bare.startswith("#"):
                continue
            if bare.startswith("[") and bare.endswith("]"):
                self._section = bare[1:-1].strip()
                if self._section != "options":
                    self.repositories.setdefault(self._section, {})
                continue
            key, _, value = (part.strip() for part in bare.partition("="))
            if not key or not self._section:
                continue
            if key == "Include":
                if depth < self.DEPTH:
                    for name in self._matching(value):
                        self._read(name, depth + 1)
                continue
            target = self.options if self._section == "options" else self.repositories[self._section]
            # A list of servers is one URL a line; a URL may hold spaces, the other values are lists.
            target.setdefault(key, []).extend([value] if key in ("Server", "CacheServer") else value.split())

    def _matching(self, pattern: str) -> List[str]:
        if self._host.live:
            return sorted(glob.glob(pattern))
        found = glob.glob(glob.escape(self._host.root) + pattern)
        return sorted(self._host.inside(name) for name in found) or [pattern]


def pacman_records(text: str) -> Dict[str, List[str]]:
    """The %FIELD% blocks of a `desc` file."""
    fields: Dict[str, List[str]] = {}
    values: List[str] = []
    for line in text.split("\n"):
        if len(line) > 2 and line.startswith("%") and line.endswith("%"):
            values = fields.setdefault(line[1:-1], [])
        elif line.strip():
            values.append(line.strip())
    return fields


def split_pacman_version(version: str) -> Tuple[str, str, str]:
    """epoch, pkgver and pkgrel of `[epoch:]pkgver-pkgrel`."""
    return split_deb_version(version)


def pacman_packages(host: Host, database: str) -> List[Json]:
    packages = []
    local = database.rstrip("/") + "/local"
    for entry in host.names(local):
        text = host.text(local + "/" + entry + "/desc")
        if text is None:
            continue
        fields = {name: values for name, values in pacman_records(text).items() if values}
        if "NAME" not in fields or "VERSION" not in fields:
            continue
        name = fields["NAME"][0]
        epoch, version, release = split_pacman_version(fields["VERSION"][0])
        base = fields.get("BASE", [name])[0]
        record = {
            "name": clip(name),
            "epoch": clip(epoch, 20),
            "version": clip(version),
            "release": clip(release),
            "arch": clip(fields.get("ARCH", [""])[0]),
            "type": "pacman",
            "vendor": clip(fields.get("PACKAGER", [""])[0]),
            "source": clip(base) if base != name else None,
            "groups": [clip(group) for group in fields.get("GROUPS", [])],
            "auto": fields.get("REASON", ["0"])[0] == "1",
            "installed_at": whole_number(fields.get("INSTALLDATE", [""])[0]),
        }
        packages.append(slim(record, keep=("version",)))
    return packages


def pacman_repositories(configuration: PacmanConfiguration, architecture: str) -> List[Json]:
    records = []
    for order, (name, fields) in enumerate(configuration.repositories.items()):
        variables = {"repo": name, "arch": architecture}
        urls = [clip(without_credentials(expand(url, variables)), TEXT) for url in fields.get("Server", [])]
        record = {
            "id": clip(name, TEXT),
            "type": "pacman",
            "name": clip(name, TEXT),
            "enabled": True,
            "urls": urls,
            "arch": clip(architecture),
            "order": order,
            "usage": clip(" ".join(fields.get("Usage", [])) or "All"),
        }
        records.append(slim(record, keep=("id", "urls")))
    return records


def pacman_updates(host: Host) -> Optional[List[Json]]:
    """What `pacman -Su` would take by the databases that it has already, through its print format."""
    if not host.live or shutil.which("pacman") is None:
        return None
    output = Host.run(["pacman", "-Su", "--print", "--noconfirm", "--print-format", "%n|%v|%r"])
    if output is None:
        return None
    rows = [line.split("|") for line in output.split("\n")]
    return [{"name": clip(row[0]), "to": clip(row[1]), "repo": clip(row[2], TEXT)} for row in rows if len(row) == 3]


def collect_pacman(host: Host, *, ask: bool) -> Json:
    configuration = PacmanConfiguration(host)
    options = configuration.options
    packages = pacman_packages(host, " ".join(options.get("DBPath", ["/var/lib/pacman"])))
    architecture = options.get("Architecture", ["auto"])[0]
    machine = machine_of(host, [package for package in packages if package.get("arch") != "any"])
    if architecture == "auto":
        architecture = machine
    pins = [
        {"type": kind, "name": clip(name, TEXT)}
        for kind in ("IgnorePkg", "IgnoreGroup")
        for name in options.get(kind, [])
    ]
    return {
        "packages": packages,
        "repos": pacman_repositories(configuration, architecture),
        "arch": machine,
        "pins": pins,
        "updates": pacman_updates(host) if ask else None,
    }


# ---------------------------------------------------------------------------------------------------
# What has to be restarted


def booted_at(host: Host) -> Optional[int]:
    match = re.search(r"^btime (\d+)$", host.text("/proc/stat") or "", re.M) if host.live else None
    return int(match.group(1)) if match else None


def is_container(host: Host) -> bool:
    """A container has no kernel of its own: what was installed since it came up asks for no reboot."""
    if host.exists("/run/.containerenv") or host.exists("/.dockerenv") or host.exists("/run/systemd/container"):
        return True
    return bool(os.environ.get("container")) and host.live


def installed_since_boot(host: Host, packages: List[Json]) -> List[str]:
    """Reasons to reboot: those of the packages that were installed after the machine came up."""
    boot = booted_at(host)
    if boot is None or is_container(host):
        return []
    return [
        clip("%s %s was installed after the boot" % (package["name"], package["version"]), TEXT)
        for package in packages
        if package.get("installed_at", 0) > boot and package.get("status", "installed") == "installed"
    ]


def vanished_kernel(host: Host) -> List[str]:
    """A reason to reboot: the modules of the running kernel are gone while those of another are there."""
    if not host.live or is_container(host):
        return []
    running = platform.release()
    for home in ("/usr/lib/modules", "/lib/modules"):
        others = [name for name in host.names(home) if host.exists(home + "/" + name + "/modules.dep")]
        if others and running not in host.names(home):
            return ["the modules of the running kernel %s have been removed" % running]
    return []


def unit_of(cgroup: str) -> Tuple[str, bool]:
    """(systemd unit, whether it is a container) of the text of /proc/PID/cgroup."""
    if re.search(r"docker|libpod|kubepods|containerd|crio|/lxc|machine\.slice", cgroup):
        return "", True
    for line in cgroup.split("\n"):
        if line.startswith("0::") or ":name=systemd:" in line:
            for part in reversed(line.split(":", 2)[2].split("/")):
                if part.endswith((".service", ".scope")):
                    return re.sub(r"\\x([0-9a-f]{2})", lambda hit: chr(int(hit.group(1), 16)), part), False
    return "", False


def replaced_file(maps: str) -> str:
    """The first deleted file below /usr, /lib, /bin or /opt that a process has mapped as code; "" if none."""
    for line in maps.split("\n"):
        if not line.endswith(" (deleted)"):
            continue
        parts = line.split(None, 5)
        if len(parts) == 6 and "x" in parts[1]:
            path = parts[5][: -len(" (deleted)")]
            if re.match(r"/(usr|lib\w*|s?bin|opt)/", path):
                return path
    return ""


def stale_services(host: Host, proc: str = "/proc", seconds: float = STALE_SECONDS) -> Optional[List[Json]]:
    """Units whose processes run replaced files, one record a unit; None if this cannot be seen."""
    if not host.live or os.geteuid() != 0:
        return None
    deadline = time.monotonic() + seconds
    found: Dict[str, Json] = {}
    for pid in sorted(whole_number(name) or 0 for name in os.listdir(proc) if name.isdigit()):
        if time.monotonic() > deadline:
            warn("looking for services that run replaced files took too long: the list is not complete")
            break
        base = "%s/%d/" % (proc, pid)
        try:
            with open(base + "maps", "rb") as file:
                path = replaced_file(file.read().decode("utf-8", "replace"))
            if not path or pid == os.getpid():
                continue
            with open(base + "cgroup") as file:
                unit, contained = unit_of(file.read())
            with open(base + "comm", "rb") as file:
                command = file.read().decode("utf-8", "replace").strip()
        except OSError:
            # The process ended while it was looked at.
            continue
        name = clip(unit or command)
        if not contained and name and name not in found and len(found) < 500:
            found[name] = {"name": name, "pid": pid, "reason": clip(path + " has been replaced", TEXT)}
    return [found[name] for name in sorted(found)]


def owner_of(manager: str, path: str) -> str:
    """The package that has a file, by the package manager's own word; "" if none has it or the question failed.

    A library whose name holds its whole version is gone after its update: the link that is named by its soname
    is asked for then. dpkg knows a file by the path that its package used, before or after /usr was merged.
    """
    queries = {
        "apt": ["dpkg-query", "-S"],
        "dnf": ["rpm", "-qf", "--qf", "%{NAME}\\n"],
        "zypper": ["rpm", "-qf", "--qf", "%{NAME}\\n"],
        "pacman": ["pacman", "-Qqo"],
    }
    paths = [path, re.sub(r"(\.so\.\d+)\..*$", r"\1", path)]
    if manager == "apt":
        paths += [each[len("/usr") :] if each.startswith("/usr/") else "/usr" + each for each in paths]
    for each in dict.fromkeys(paths) if manager in queries else ():
        answer = Host.run(queries[manager] + [each])
        if answer and not answer.startswith("diversion "):
            return clip(re.split(r"[:,\n]", answer)[0].strip())
    return ""


def name_owners(manager: str, services: Optional[List[Json]], limit: int = 20) -> None:
    """Note in the records of `stale_services` of which packages the replaced files are; at most `limit` files."""
    owners: Dict[str, str] = {}
    for service in services or []:
        path = service["reason"].split(" has been replaced")[0]
        if path not in owners and len(owners) < limit:
            owners[path] = owner_of(manager, path)
        if owners.get(path):
            service["package"] = owners[path]


# ---------------------------------------------------------------------------------------------------
# The report

COLLECTORS = {"apt": collect_apt, "dnf": collect_dnf, "zypper": collect_zypper, "pacman": collect_pacman}

SECTIONS = {
    "packages": ("packages",),
    "repos": ("repos",),
    "modules": ("modules",),
    "policy": (
        "package_manager",
        "native_arch",
        "foreign_archs",
        "default_release",
        "preferences",
        "pins",
        "excludes",
        "dnf",
        "zypp",
        "releasever",
    ),
}
"""What need not be sent while the server has it: name to the fields of the report."""


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def section_digests(report: Json) -> Dict[str, str]:
    """SHA-256 of the sections that decide updates, each in the bytes in which it is sent."""
    sections = {
        "packages": report["packages"],
        "repos": report["repos"],
        "modules": report.get("modules", []),
        "policy": {name: report[name] for name in SECTIONS["policy"] if name in report},
    }
    return {name: hashlib.sha256(canonical(value)).hexdigest() for name, value in sections.items()}


def without_sections(report: Json, names: Iterable[str]) -> Json:
    """The report without what the server has already; it says so, and the digests say what that is."""
    fields = {field for name in names for field in SECTIONS[name]}
    rest = {field: value for field, value in report.items() if field not in fields}
    rest["unchanged"] = sorted(names)
    return rest


def has_an_order(package: Json) -> bool:
    """Whether the server can order the package's version; one that it cannot would cost the whole report."""
    parts = package["version"] + package.get("release", "")
    if not package["version"] or re.search(r"[\s\x00-\x1f\x7f]", parts) or not package["name"]:
        return False
    if package["type"] != "rpm" and re.search(r"[^!-~]", parts):
        return False
    return bool(re.match(r"[0-9]*$", package.get("epoch", "")))


def within_limits(report: Json) -> None:
    """Leaves out what the server would refuse the report for, and says so."""
    orderly = [package for package in report["packages"] if has_an_order(package)]
    for package in report["packages"]:
        if not has_an_order(package):
            warn("%s is not reported: its version %r has no order" % (package["name"], package["version"]))
    report["packages"] = orderly
    if len(report["repos"]) > MAX_REPOSITORIES:
        # A subscribed RHEL host lists thousands that it does not use.
        warn("more than %d repositories: disabled ones are left out" % MAX_REPOSITORIES)
        enabled = [each for each in report["repos"] if each["enabled"]]
        disabled = [each for each in report["repos"] if not each["enabled"]]
        report["repos"] = (enabled + disabled)[:MAX_REPOSITORIES]


def collect(host: Host, *, manager: str = "", name: str = "", tags: Sequence[str] = (), ask: bool = True) -> Json:
    """The report of this host, as the dict that is its JSON.

    Raises AgentError if there is nothing to report from.
    """
    started = time.monotonic()
    manager = manager or package_manager(host)
    report = identity(host)
    report["package_manager"] = manager
    report.update(COLLECTORS[manager](host, ask=ask))
    within_limits(report)
    report["packages"].sort(
        key=lambda each: [each.get(key, "") for key in ("name", "arch", "epoch", "version", "release")]
    )
    reasons = report.pop("reboot_reasons", []) + vanished_kernel(host)
    report["reboot_reasons"] = [clip(reason, TEXT) for reason in reasons]
    # Below another root only a flag file can speak; its absence says nothing.
    report["reboot_required"] = bool(reasons) if host.live else (True if reasons else None)
    report["stale_services"] = stale_services(host)
    name_owners(report["package_manager"], report["stale_services"])
    if name:
        report["hostname"] = name
    if not report["hostname"]:
        raise AgentError("the host has no name: give one with --hostname")
    report["tags"] = [clip(tag) for tag in tags]
    for field in ("hostname", "os", "arch", "kernel", "native_arch", "default_release"):
        if report.get(field):
            report[field] = clip(report[field])
    if not report["packages"]:
        raise AgentError("the package database of %s is empty or cannot be read" % manager)
    report = slim(
        report, keep=("packages", "repos", "updates") if report.get("updates") == [] else ("packages", "repos")
    )
    report["digests"] = section_digests(report)
    report["agent_version"] = VERSION
    report["collected_at"] = round(time.time(), 3)
    report["collect_seconds"] = round(time.monotonic() - started, 3)
    return report


# ---------------------------------------------------------------------------------------------------
# Settings, state and lock


def write_file(path: str, content: bytes, mode: int) -> None:
    """Replaces `path` in one step; the content is on disk, with `mode`, before the name points to it."""
    directory = os.path.dirname(path) or "."
    os.makedirs(directory, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".patchbay-", dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


class Settings:
    """agent.conf, the token beside it, and what the command line says over both."""

    KEYS = ("server", "ca_file", "proxy", "tags", "hostname", "updates", "host_id", "rotate_days")

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.config: str = arguments.config
        self.state: str = arguments.state_dir
        self.token_file: str = arguments.token_file or os.path.join(os.path.dirname(self.config), "token")
        try:
            with open(self.config) as file:
                stored = dict(ini(file.read())).get("agent", {})
        except FileNotFoundError:
            stored = {}
        except OSError as error:
            raise AgentError("cannot read %s: %s" % (self.config, error.strerror))
        self.values = {key: stored.get(key, "") for key in self.KEYS}
        for key in self.KEYS:
            given = getattr(arguments, key, None)
            if given:
                self.values[key] = str(given)
        if arguments.no_updates:
            self.values["updates"] = "no"

    @property
    def server(self) -> str:
        server = self.values["server"].rstrip("/")
        if not server:
            raise AgentError("not enrolled: run `patchbay-agent enrol --server URL --token TOKEN`")
        if not re.match(r"https?://[^/\s]+(/\S*)?$", server):
            raise AgentError("the server must be an http:// or https:// URL, not %r" % server)
        return server

    @property
    def rotate_seconds(self) -> float:
        """The age at which the token is replaced; 0 for never."""
        text = self.values["rotate_days"] or str(ROTATE_DAYS)
        if not re.match(r"[0-9]{1,5}$", text):
            raise AgentError("rotate_days in %s must be a number of days, not %r" % (self.config, text))
        return int(text) * 86400.0

    @property
    def tags(self) -> List[str]:
        return words(self.values["tags"])

    def token(self) -> str:
        try:
            with open(self.token_file) as file:
                token = file.read().strip()
        except OSError as error:
            raise AgentError("cannot read the token %s: %s" % (self.token_file, error.strerror))
        if not token:
            raise AgentError("the token file %s is empty: enrol again" % self.token_file)
        return token

    def save(self, token: str) -> None:
        """Writes both files; the token first, so that a configured agent always has one."""
        write_file(self.token_file, (token + "\n").encode(), 0o600)
        lines = ["[agent]"] + ["%s = %s" % (key, self.values[key]) for key in self.KEYS if self.values[key]]
        write_file(self.config, ("\n".join(lines) + "\n").encode(), 0o644)


@contextlib.contextmanager
def only_one(state: str, *, delay: Optional[float] = None) -> Iterator[bool]:
    """Serialises the runs on one host.

    With a `delay` (seconds; hooks) a run first waits in the queue, which has one place: yields False at once if
    that is taken, because the run that waits there has yet to collect and will see the same change.
    """
    try:
        os.makedirs(state, mode=0o700, exist_ok=True)
        queue = open(os.path.join(state, "queue.lock"), "w")
        lock = open(os.path.join(state, "run.lock"), "w")
    except OSError:
        # Without a place for locks, as a plain user, there is nothing to be serialised with.
        yield True
        return
    with queue, lock:
        if delay is not None:
            try:
                fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            time.sleep(max(0.0, delay))
        fcntl.flock(lock, fcntl.LOCK_EX)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield True


class Spool:
    """Reports that wait for the server: at most ten, oldest first, each whole or not there at all."""

    def __init__(self, state: str) -> None:
        self.directory = os.path.join(state, "spool")
        self.pause = os.path.join(state, "not-before")

    def names(self) -> List[str]:
        try:
            return sorted(name for name in os.listdir(self.directory) if re.match(r"\d{14}-\w+\.json\.gz$", name))
        except OSError:
            return []

    def add(self, body: bytes, digests: Dict[str, str], collected_at: float) -> str:
        """Keeps a report and returns its name. An earlier one that says the same is replaced."""
        mark = hashlib.sha256(canonical(digests)).hexdigest()[:16]
        name = "%014d-%s.json.gz" % (int(collected_at * 1000), mark)
        before = self.names()
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        write_file(os.path.join(self.directory, name), body, 0o600)
        if before and before[-1] != name and before[-1].split("-")[1] == name.split("-")[1]:
            self.remove(before[-1])
        self._shrink()
        return name

    def _shrink(self) -> None:
        names = self.names()
        size = {name: os.stat(os.path.join(self.directory, name)).st_size for name in names}
        while len(names) > 1 and (len(names) > SPOOL_REPORTS or sum(size[name] for name in names) > SPOOL_BYTES):
            self.remove(names.pop(0))

    def read(self, name: str) -> bytes:
        with open(os.path.join(self.directory, name), "rb") as file:
            return file.read()

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.directory, name))

    def wait_until(self, moment: float) -> None:
        with contextlib.suppress(OSError):
            write_file(self.pause, b"%d\n" % int(moment), 0o600)

    def not_before(self) -> float:
        """Unix seconds before which the server does not want to be asked; 0 if it did not say."""
        try:
            with open(self.pause) as file:
                return float(file.read().strip() or 0)
        except (OSError, ValueError):
            return 0.0


def decoded(body: bytes) -> Json:
    """The report of a kept body; empty for one that cannot be read, of which the server will say so."""
    try:
        report = json.loads(gzip.decompress(body).decode("utf-8"))
    except (OSError, EOFError, ValueError, zlib.error):
        return {}
    return report if isinstance(report, dict) else {}


class Held:
    """The sections of this host's reports that its server has, by their digests.

    Another server, another token, a refused report or a day without a whole one: the whole is sent. So nothing
    that this file says can keep the server from the truth for longer.
    """

    def __init__(self, state: str, server: str, token: str) -> None:
        self.path = os.path.join(state, "sections.json")
        self.of = hashlib.sha256((server + "\n" + token).encode("utf-8", "surrogateescape")).hexdigest()

    def _read(self) -> Json:
        try:
            with open(self.path) as file:
                stored = json.load(file)
        except (OSError, ValueError):
            return {}
        if not isinstance(stored, dict) or stored.get("of") != self.of:
            return {}
        whole = isinstance(stored.get("digests"), dict) and isinstance(stored.get("whole_at"), (int, float))
        return stored if whole else {}

    def shortened(self, body: bytes, now: float) -> bytes:
        """The report (gzip of its JSON) without what the server has; `body` itself if that is nothing."""
        stored = self._read()
        if not 0 <= now - stored.get("whole_at", 0) < WHOLE_SECONDS:
            return body
        report = decoded(body)
        held = stored["digests"]
        digests = report.get("digests", {})
        same = [name for name in SECTIONS if name in digests and held.get(name) == digests[name]]
        return gzip.compress(canonical(without_sections(report, same)), 6) if same else body

    def note(self, body: bytes, sent: bytes, sections: Any, now: float) -> None:
        """The server has accepted a report (`body` if it had been sent whole) and may be spared these sections."""
        names = [name for name in SECTIONS if name in sections] if isinstance(sections, list) else []
        if not names:
            self.forget()
            return
        digests = decoded(body).get("digests", {})
        whole_at = now if sent is body else self._read().get("whole_at", 0)
        held = {name: digests[name] for name in names if name in digests}
        with contextlib.suppress(OSError):
            write_file(self.path, canonical({"of": self.of, "whole_at": whole_at, "digests": held}), 0o600)

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)


# ---------------------------------------------------------------------------------------------------
# The server


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would lose its body and carry the token to another place."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Reply:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Json:
        try:
            decoded = json.loads(self.body.decode("utf-8", "replace"))
        except ValueError:
            return {}
        return decoded if isinstance(decoded, dict) else {}

    def problem(self) -> str:
        """One line: the RFC 9457 fields if the server sent them, else the HTTP status."""
        fields = self.json()
        shown = [str(fields[name]) for name in ("title", "detail") if fields.get(name)]
        text = ": ".join(shown) or http.client.responses.get(self.status, "no reason given")
        if fields.get("pointer"):
            text += " (at %s)" % fields["pointer"]
        return "HTTP %d, %s" % (self.status, re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:1000])

    def retry_after(self, now: float) -> float:
        """Seconds that the server asks to wait; 0 if it does not say."""
        value = str(self.headers.get("Retry-After", "")).strip()
        if value.isdigit():
            return float(min(int(value), 86400))
        parsed = email.utils.parsedate(value) if value else None
        return min(max(0.0, calendar.timegm(parsed) - now), 86400.0) if parsed else 0.0


class Unreachable(Exception):
    """The server did not answer."""


class Server:
    """Patchbay's ingest, as this agent's settings say to reach it."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.server
        ca_file = settings.values["ca_file"]
        try:
            context = ssl.create_default_context(cafile=ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise AgentError("cannot use the CA file %s: %s" % (ca_file, error))
        proxy = settings.values["proxy"]
        proxies = None if not proxy else {} if proxy == "none" else {"http": proxy, "https": proxy}
        self._opener = urllib.request.build_opener(
            NoRedirect(), urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
        )

    def post(self, path: str, body: bytes, token: str, *, compressed: bool = False, trace: str = "") -> Reply:
        """Raises Unreachable."""
        request = urllib.request.Request(self.url + path, data=body, method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("Accept", "application/json")
        request.add_header("User-Agent", "patchbay-agent/" + VERSION)
        # Never follows a redirect and is never sent to a proxy in the clear for https.
        request.add_unredirected_header("Authorization", "Bearer " + token)
        if compressed:
            request.add_header("Content-Encoding", "gzip")
        if trace:
            request.add_header("traceparent", "00-%s-%s-01" % (trace, trace[:16]))
        try:
            with self._opener.open(request, timeout=REQUEST_SECONDS) as response:
                return Reply(response.getcode(), response.headers, response.read(REPLY_BYTES))
        except urllib.error.HTTPError as error:
            with contextlib.closing(error), contextlib.suppress(OSError, http.client.HTTPException):
                return Reply(error.code, error.headers, error.read(REPLY_BYTES))
            return Reply(error.code, error.headers, b"")
        except ssl.SSLError as error:
            raise Unreachable("TLS with %s failed: %s" % (self.url, error))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            hint = " (is its CA given with --ca-file?)" if "CERTIFICATE_VERIFY_FAILED" in str(reason) else ""
            raise Unreachable("%s does not answer: %s%s" % (self.url, reason, hint))


def enrol(settings: Settings, token: str, name: str, machine_id: str) -> None:
    """Exchanges the enrolment token for the host's own and saves it. Raises AgentError."""
    if not re.match(r"https://|http://(127\.|localhost[:/]|localhost$|\[::1\])", settings.server):
        warn("%s is not encrypted: the token and the reports can be read on the way" % settings.server)
    body = canonical({"hostname": name, "machine_id": machine_id})
    try:
        reply = Server(settings).post("/api/v1/enrol", body, token)
    except Unreachable as error:
        raise AgentError(str(error), KEPT)
    answer = reply.json()
    if reply.status != 201 or not isinstance(answer.get("token"), str) or not answer["token"]:
        later = reply.status in (408, 429) or reply.status >= 500
        raise AgentError("the server did not enrol this host: " + reply.problem(), KEPT if later else REFUSED)
    settings.values["host_id"] = str(answer.get("host_id", ""))
    try:
        settings.save(answer["token"])
    except OSError as error:
        raise AgentError("enrolled, but the settings cannot be saved: %s" % error)


def rotate(settings: Settings, server: Server) -> None:
    """Exchanges the host's token for a new one. Raises Unreachable, AgentError.

    The server ends the old one when the new one is first used. The file is replaced by itself first, so that
    a place that cannot be written is found before there is a new token to lose.
    """
    token, age = settings.token(), os.stat(settings.token_file).st_mtime
    try:
        write_file(settings.token_file, (token + "\n").encode(), 0o600)
        os.utime(settings.token_file, (age, age))
    except OSError as error:
        raise AgentError("the token is not rotated, %s cannot be written: %s" % (settings.token_file, error.strerror))
    reply = server.post("/api/v1/enrol/rotate", b"{}", token)
    fresh = reply.json().get("token")
    if reply.status != 201 or not isinstance(fresh, str) or not fresh:
        later = reply.status in (408, 429) or reply.status >= 500
        raise AgentError("the server did not rotate the token: " + reply.problem(), KEPT if later else REFUSED)
    try:
        write_file(settings.token_file, (fresh + "\n").encode(), 0o600)
    except OSError as error:
        raise AgentError("the new token cannot be saved, the old one stays: %s" % error)


def rotate_if_due(settings: Settings, server: Server, now: float) -> None:
    """Replaces a token of `rotate_days`; what hinders that is said, and tried again in a day at the earliest."""
    tried = os.path.join(settings.state, "rotation-tried")
    try:
        due = settings.rotate_seconds and now - os.stat(settings.token_file).st_mtime >= settings.rotate_seconds
        if not due or (os.path.exists(tried) and 0 <= now - os.stat(tried).st_mtime < 86400):
            return
        write_file(tried, b"", 0o600)
        os.utime(tried, (now, now))
        rotate(settings, server)
        os.unlink(tried)
    except (AgentError, OSError, Unreachable) as error:
        warn("the token is kept for now: %s" % error)


def trace_of(body: bytes) -> str:
    """The `trace_id` under which the server's logs speak of a report: the same at each attempt to deliver it."""
    return hashlib.sha256(body).hexdigest()[:32]


def deliver(
    server: Server,
    token: str,
    body: bytes,
    *,
    held: Optional[Held] = None,
    attempts: int = 1,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Tuple[int, str, float]:
    """Posts one report: (DELIVERED, receipt, 0), (KEPT, why, seconds to wait) or (REFUSED, why, 0).

    What the server has according to `held` is left out; a server that says it lacks that gets the whole at once.
    Further attempts follow after the server's Retry-After, else after 2, 4, 8 … seconds with jitter.
    """
    why, pause, trace = "", 0.0, trace_of(body)
    named = " [trace_id %s]" % trace
    for attempt in range(1, attempts + 1):
        sent = held.shortened(body, now()) if held else body
        try:
            reply = server.post("/api/v1/reports", sent, token, compressed=True, trace=trace)
            if held and sent is not body and 400 <= reply.status < 500 and reply.status not in (401, 408, 429):
                held.forget()
                sent = body
                reply = server.post("/api/v1/reports", sent, token, compressed=True, trace=trace)
        except Unreachable as error:
            why, pause = str(error), 0.0
        else:
            if 200 <= reply.status < 300:
                if held:
                    held.note(body, sent, reply.json().get("sections"), now())
                return DELIVERED, str(reply.json().get("receipt", "")), 0.0
            why, pause = reply.problem(), reply.retry_after(now())
            if reply.status == 401:
                return KEPT, "the server does not know this host's token, enrol it again: " + why + named, pause
            if 400 <= reply.status < 500 and reply.status not in (408, 429):
                return REFUSED, why + named, 0.0
            if reply.status < 400:
                return KEPT, "the server has moved, set its new address: " + why + named, pause
        if attempt < attempts:
            delay = pause or 2.0**attempt * random.uniform(0.5, 1.5)
            if delay > LONGEST_WAIT_SECONDS:
                break
            sleep(delay)
    return KEPT, why + named, pause


def send_all(
    server: Server,
    token: str,
    spool: Spool,
    newest: str,
    *,
    held: Optional[Held] = None,
    attempts: int = 1,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Tuple[int, str]:
    """Sends the spool oldest first, up to `newest`; the outcome and receipt (or reason) of `newest`."""
    wait = spool.not_before() - now()
    if wait > 0:
        if attempts == 1 or wait > LONGEST_WAIT_SECONDS:
            return KEPT, "the server asked to wait another %d seconds" % (wait + 1)
        sleep(wait)
    outcome, message = KEPT, "the report has left the spool"
    for name in spool.names():
        try:
            body = spool.read(name)
        except OSError:
            continue
        outcome, message, pause = deliver(server, token, body, held=held, attempts=attempts, sleep=sleep, now=now)
        if outcome == KEPT:
            if pause:
                spool.wait_until(now() + pause)
            return outcome, message
        spool.remove(name)
        if outcome == REFUSED and name != newest:
            warn("an older report was refused and dropped: " + message)
        if name == newest:
            break
    return outcome, message


# ---------------------------------------------------------------------------------------------------
# Installing

BINARY = "/usr/local/bin/patchbay-agent"
UNIT_DIRECTORY = "/etc/systemd/system"
CRON_FILE = "/etc/cron.d/patchbay-agent"

SERVICE_UNIT = """\
[Unit]
Description=Report this host's packages to Patchbay
Documentation=man:systemd.timer(5)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart={binary} report --quiet --wait
# 1: the report is kept and goes with the next one.
SuccessExitStatus=1
Nice=19
IOSchedulingClass=idle
TimeoutStartSec=30min
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=read-only
ProtectSystem=full
"""

TIMER_UNIT = """\
[Unit]
Description=Report this host's packages to Patchbay every {minutes} minutes

[Timer]
OnBootSec=3min
OnUnitActiveSec={minutes}min
RandomizedDelaySec={spread}
AccuracySec=1min

[Install]
WantedBy=timers.target
"""

CRON_LINES = """\
# Written by `patchbay-agent install`. The minute was drawn at random so that a fleet does not report at once.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
{minute} {hours} * * * root {binary} report --quiet --wait
"""


def systemctl(*words_: str) -> None:
    """Raises AgentError if systemd refuses."""
    if Host.run(("systemctl",) + words_) is None:
        raise AgentError("`systemctl %s` failed" % " ".join(words_))


def has_systemd(host: Host) -> bool:
    if host.live:
        return os.path.isdir("/run/systemd/system") and shutil.which("systemctl") is not None
    return host.exists("/lib/systemd/systemd") or host.exists("/usr/lib/systemd/systemd")


def install(host: Host, *, minutes: int, timer: bool) -> List[str]:
    """Puts this file and its schedule in place; returns the paths that were written. Raises AgentError."""
    with open(os.path.abspath(__file__), "rb") as file:
        source = file.read()
    # The interpreter that runs now is one that works, which `env python3` need not be (RHEL 8: platform-python).
    interpreter = os.path.abspath(sys.executable or "/usr/bin/python3")
    body = b"#!" + interpreter.encode() + b"\n" + source.split(b"\n", 1)[1]
    written = [BINARY]
    try:
        write_file(host.path(BINARY), body, 0o755)
        if timer and has_systemd(host):
            spread = "%ds" % max(60, minutes * 60 // 6)
            for name, text in (("service", SERVICE_UNIT), ("timer", TIMER_UNIT)):
                path = UNIT_DIRECTORY + "/patchbay-agent." + name
                content = text.format(binary=BINARY, minutes=minutes, spread=spread)
                write_file(host.path(path), content.encode(), 0o644)
                written.append(path)
        elif timer:
            hours = "*" if minutes <= 60 else "*/%d" % min(23, minutes // 60)
            step = min(60, minutes)
            minute = ",".join(str(each) for each in range(random.randrange(step), 60, step))
            lines = CRON_LINES.format(binary=BINARY, minute=minute, hours=hours)
            write_file(host.path(CRON_FILE), lines.encode(), 0o644)
            written.append(CRON_FILE)
    except OSError as error:
        raise AgentError("cannot install: %s" % error)
    if timer and host.live and has_systemd(host):
        systemctl("daemon-reload")
        systemctl("enable", "--now", "patchbay-agent.timer")
    return written


def uninstall(host: Host, settings: Settings, *, purge: bool) -> List[str]:
    """Takes away what `install` put in place, with `purge` also settings, token and spool; returns the paths."""
    if host.live and has_systemd(host) and host.exists(UNIT_DIRECTORY + "/patchbay-agent.timer"):
        systemctl("disable", "--now", "patchbay-agent.timer")
    paths = [UNIT_DIRECTORY + "/patchbay-agent." + kind for kind in ("timer", "service")] + [CRON_FILE, BINARY]
    real = [host.path(path) for path in paths]
    if purge:
        real += [settings.token_file, settings.config]
    removed = []
    try:
        for path in real:
            if os.path.lexists(path):
                os.unlink(path)
                removed.append(path)
        if purge and os.path.isdir(settings.state):
            shutil.rmtree(settings.state)
            removed.append(settings.state)
    except OSError as error:
        raise AgentError("cannot uninstall: %s" % error)
    if host.live and has_systemd(host):
        systemctl("daemon-reload")
    return removed


# ---------------------------------------------------------------------------------------------------
# The command line


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # exit code 2 means a refused report here
        self.print_usage(sys.stderr)
        self.exit(USAGE, "patchbay-agent: %s\n" % message)


def minutes(text: str) -> int:
    if not re.match(r"[0-9]{1,4}$", text) or not 5 <= int(text) <= 1440:
        raise argparse.ArgumentTypeError("%r is no number of minutes from 5 to 1440" % text)
    return int(text)


def parser() -> Parser:
    env = os.environ.get
    made = Parser(
        prog="patchbay-agent",
        description="Reports this host's packages and repositories to Patchbay.",
        epilog="Exit codes: 0 delivered, 1 kept for later, 2 refused, 3 cannot collect or local error, 64 usage.",
    )
    made.add_argument(
        "command",
        nargs="?",
        default="report",
        choices=("report", "enrol", "rotate", "install", "uninstall"),
        metavar="COMMAND",
        help="report (without a command): send what changed; enrol: get this host a token of its own, with --server"
        " and --token; rotate: get another token; install, uninstall: this program, its schedule and its hooks",
    )
    made.add_argument("--print", action="store_true", dest="print_only", help="print the report, send nothing")
    made.add_argument("--version", action="version", version="patchbay-agent " + VERSION)
    made.add_argument("--quiet", action="store_true", help="print only what went wrong")
    made.add_argument(
        "--config",
        default=env("PATCHBAY_CONFIG", "/etc/patchbay/agent.conf"),
        metavar="FILE",
        help="settings, default %(default)s",
    )
    made.add_argument(
        "--token-file",
        default=env("PATCHBAY_TOKEN_FILE", ""),
        metavar="FILE",
        help="this host's token; default: the file token beside the settings",
    )
    made.add_argument(
        "--state-dir",
        default=env("PATCHBAY_STATE_DIR", "/var/lib/patchbay-agent"),
        metavar="DIR",
        help="reports that are still to be sent, default %(default)s",
    )
    host = made.add_argument_group("what is collected")
    host.add_argument("--root", default="/", metavar="DIR", help="collect the host whose root directory this is")
    host.add_argument(
        "--package-manager",
        choices=sorted(COLLECTORS),
        default="",
        metavar="NAME",
        help="%s; default: the one that is there" % ", ".join(sorted(COLLECTORS)),
    )
    host.add_argument(
        "--hostname",
        default=env("PATCHBAY_HOSTNAME", ""),
        metavar="NAME",
        help="report under this name in place of the system's",
    )
    host.add_argument(
        "--tags", default=env("PATCHBAY_TAGS", ""), help="tags of this host in Patchbay, with commas between them"
    )
    host.add_argument("--no-updates", action="store_true", help="do not ask the package manager for its own list")
    server = made.add_argument_group("server")
    server.add_argument("--server", default=env("PATCHBAY_SERVER", ""), metavar="URL", help="where Patchbay is")
    server.add_argument("--token", default=env("PATCHBAY_ENROL_TOKEN", ""), help="enrolment token (for enrol)")
    server.add_argument(
        "--ca-file",
        default=env("PATCHBAY_CA_FILE", ""),
        metavar="FILE",
        help="certificates of authorities (PEM) to trust in place of the system's",
    )
    server.add_argument(
        "--proxy",
        default=env("PATCHBAY_PROXY", ""),
        metavar="URL",
        help="HTTP proxy, or none; default: that of the environment",
    )
    run = made.add_argument_group("report")
    run.add_argument(
        "--wait", action="store_true", help="try three times, as the server's Retry-After says, before giving up"
    )
    run.add_argument("--full", action="store_true", help="send everything, also what the server has already")
    run.add_argument("--background", action="store_true", help="return at once, report a little later (hooks)")
    run.add_argument("--queued", action="store_true", help="what --background does, but in the foreground")
    run.add_argument("--delay", type=float, default=20.0, metavar="SECONDS", help="of --background, default 20")
    place = made.add_argument_group("install and uninstall")
    place.add_argument(
        "--every", type=minutes, default=60, metavar="MINUTES", help="how often to report: 5 to 1440, default 60"
    )
    place.add_argument("--no-timer", action="store_true", help="install no schedule")
    place.add_argument("--purge", action="store_true", help="uninstall also settings, token and kept reports")
    return made


def background(arguments: argparse.Namespace) -> bool:
    """Leaves the package manager that called a hook; True in the process that goes on to report.

    Inside a systemd service (dnf-automatic) everything is killed when that ends, so the report becomes a unit
    of its own; elsewhere it becomes a process with no terminal and no pipe.
    """
    if os.environ.get("INVOCATION_ID") and shutil.which("systemd-run"):
        argv = ["systemd-run", "--quiet", "--", sys.executable, os.path.abspath(__file__)]
        argv += ["report", "--quiet", "--queued", "--delay", str(arguments.delay), "--config", arguments.config]
        argv += ["--state-dir", arguments.state_dir, "--token-file", arguments.token_file]
        argv += ["--full"] if arguments.full else []
        if Host.run(argv) is not None:
            return False
    if os.fork():
        return False
    os.setsid()
    if os.fork():
        os._exit(DELIVERED)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    # apt and dnf hold locks in descriptors that a child would keep open.
    os.closerange(3, 256)
    return True


def run_report(host: Host, settings: Settings, arguments: argparse.Namespace) -> int:
    server, token = Server(settings), settings.token()
    with only_one(settings.state, delay=arguments.delay if arguments.queued else None) as alone:
        if not alone:
            return DELIVERED
        report = collect(
            host,
            manager=arguments.package_manager,
            name=settings.values["hostname"],
            tags=settings.tags,
            ask=truth(settings.values["updates"]) is not False,
        )
        body = gzip.compress(canonical(report), 6)
        attempts = 3 if arguments.wait else 1
        spool = Spool(settings.state)
        held = Held(settings.state, settings.server, token)
        if arguments.full:
            held.forget()
        try:
            name = spool.add(body, report["digests"], report["collected_at"])
        except OSError as error:
            warn("reports cannot be kept in %s: %s" % (spool.directory, error.strerror))
            outcome, message, _ = deliver(server, token, body, held=held, attempts=attempts)
        else:
            outcome, message = send_all(server, token, spool, name, held=held, attempts=attempts)
        if outcome == DELIVERED:
            rotate_if_due(settings, server, time.time())
    if outcome == DELIVERED:
        if not arguments.quiet:
            print(message)
    elif outcome == KEPT:
        warn("not delivered, kept for the next run: " + message)
    else:
        warn("the server refused the report: " + message)
    return outcome


def run(arguments: argparse.Namespace) -> int:
    host = Host(arguments.root)
    if not os.path.isdir(host.root):
        raise AgentError("%s is not a directory" % arguments.root)
    settings = Settings(arguments)
    if arguments.print_only:
        report = collect(
            host,
            manager=arguments.package_manager,
            name=settings.values["hostname"],
            tags=settings.tags,
            ask=truth(settings.values["updates"]) is not False,
        )
        print(json.dumps(report, indent=2 if sys.stdout.isatty() else None, sort_keys=True))
        return DELIVERED
    if arguments.command == "enrol":
        if not arguments.token:
            raise AgentError("enrolling needs --token", USAGE)
        facts = identity(host)
        enrol(settings, arguments.token, settings.values["hostname"] or facts["hostname"], facts["machine_id"])
        if not arguments.quiet:
            print("enrolled at %s as %s" % (settings.server, settings.values["host_id"] or facts["hostname"]))
        return DELIVERED
    if arguments.command == "rotate":
        with only_one(settings.state):
            try:
                rotate(settings, Server(settings))
            except Unreachable as error:
                raise AgentError(str(error), KEPT)
        if not arguments.quiet:
            print("the host has a new token")
        return DELIVERED
    if arguments.command == "install":
        for path in install(host, minutes=arguments.every, timer=not arguments.no_timer):
            if not arguments.quiet:
                print("wrote " + host.path(path))
        return DELIVERED
    if arguments.command == "uninstall":
        for path in uninstall(host, settings, purge=arguments.purge):
            if not arguments.quiet:
                print("removed " + path)
        return DELIVERED
    if arguments.background:
        if not background(arguments):
            return DELIVERED
        arguments.queued = True
    return run_report(host, settings, arguments)


def main(argv: Optional[Sequence[str]] = None) -> int:
    arguments = parser().parse_args(argv)
    os.umask(0o022)
    try:
        return run(arguments)
    except AgentError as error:
        warn(str(error))
        return error.code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
