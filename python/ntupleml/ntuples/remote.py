"""Files behind an address such as root://host//path: telling them from paths, opening and fetching them (fsspec)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BLOCK = 8_000_000


def is_remote(path: str | Path) -> bool:
    """Whether a path is an address in a network.

    Examples
    --------
    >>> is_remote("root://eospublic.cern.ch//eos/a.root"), is_remote("data/a.root")
    (True, False)
    """
    return isinstance(path, str) and _ADDRESS.match(path) is not None


def joined(folder: str | Path, file: str) -> str | Path:
    """File in a folder, where either may be an address.

    Examples
    --------
    >>> joined("root://host//store", "a.root")
    'root://host//store/a.root'
    >>> joined("data", "root://host//a.root")
    'root://host//a.root'
    """
    if is_remote(file):
        return file
    return f"{str(folder).rstrip('/')}/{file}" if is_remote(folder) else Path(folder) / file


def remote_call(address: str, where: str, action: Callable[[], Any]) -> Any:
    """Do something with a remote file; what fails becomes one line."""
    start = f"{where}: " if where else ""
    scheme = address.partition("://")[0]
    try:
        return action()
    except (ImportError, ValueError) as error:
        if scheme in ("root", "roots", "xroot") and _lacks_xrootd():
            raise NtuplemlError(
                f"{start}{address}: {scheme}:// needs fsspec-xrootd, which is not installed; run "
                "pip install 'ntupleml[xrootd]', or copy the file (e.g. with xrdcp)"
            ) from error
        raise NtuplemlError(f"{start}{address}: cannot be opened: {one_line(error)}") from error
    except FileNotFoundError as error:
        raise NtuplemlError(f"{start}{address}: no such file") from error
    except OSError as error:
        raise NtuplemlError(f"{start}{address}: cannot be read: {one_line(error)}") from error


def _lacks_xrootd() -> bool:
    from importlib.util import find_spec

    return find_spec("fsspec_xrootd") is None


def fetch(address: str, target: Path) -> None:
    """Copy a remote file to a local one.

    Raises
    ------
    NtuplemlError
        As `remote_call`.
    """

    def copy() -> None:
        import fsspec

        with fsspec.open(address, "rb") as source, target.open("wb") as destination:
            while block := source.read(_BLOCK):
                destination.write(block)

    remote_call(address, "", copy)


def matching_addresses(pattern: str) -> list[str]:
    """Addresses that match an address with wildcards."""

    def match() -> list[str]:
        import fsspec

        system, path = fsspec.core.url_to_fs(pattern)
        return [str(system.unstrip_protocol(found)) for found in system.glob(path)]

    return sorted(remote_call(pattern, "", match))
