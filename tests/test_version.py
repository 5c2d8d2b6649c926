"""The version: of checkouts with and without tags, of source distributions, of archives and of what is installed."""

from __future__ import annotations

import subprocess
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from ntupleml import __version__
from ntupleml.version import version_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of one commit."""
    (tmp_path / "CITATION.cff").write_text("title: x\nversion: 0.4.0\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "more")


def test_a_checkout_at_a_tag_has_its_version(checkout: Path) -> None:
    git(checkout, "tag", "v0.3.0")
    git(checkout, "tag", "notes")
    assert version_of(checkout) == "0.3.0"


def test_a_checkout_after_a_tag_counts_the_commits(checkout: Path) -> None:
    git(checkout, "tag", "--annotate", "v1.0.0rc1", "--message", "release")
    for _ in range(3):
        commit(checkout)
    found = Version(version_of(checkout))
    assert (found.base_version, found.pre, found.post) == ("1.0.0", ("rc", 1), 3)
    assert found > Version("1.0.0rc1")
    assert git(checkout, "rev-parse", "HEAD").startswith(str(found.local).removeprefix("g"))


def test_a_checkout_without_tags_is_before_the_cited_version(checkout: Path) -> None:
    found = Version(version_of(checkout))
    assert (found.base_version, found.dev) == ("0.4.0", 0)
    assert found < Version("0.4.0")
    assert git(checkout, "rev-parse", "HEAD").startswith(str(found.local).removeprefix("g"))


def test_a_source_distribution_says_it(tmp_path: Path) -> None:
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: ntupleml\nVersion: 1.2.3.post4+gabc\n\ntext\n")
    assert version_of(tmp_path) == "1.2.3.post4+gabc"


@pytest.mark.parametrize("broken", [False, True])
def test_an_archive_has_the_cited_version(broken: bool, tmp_path: Path) -> None:
    """Also a checkout that git cannot read, as without git."""
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 0.4.0\n")
    if broken:
        (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    assert version_of(tmp_path) == "0.4.0"


def test_an_installed_package_has_that_of_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", {"ntupleml": "2.0"}.__getitem__)
    assert version_of(tmp_path) == "2.0"


def test_the_own_version_is_one(project: Path) -> None:
    assert str(Version(__version__)) == __version__
    assert Version(__version__).release == Version(version_of(project)).release
