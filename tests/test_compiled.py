from __future__ import annotations

import resource

import numba
import pytest

from ntupleml import compiled


def double(number: int) -> int:
    return 2 * number


def test_compiled_loops_are_kept_where_there_is_a_place(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled.kept(double)(21) == 42
    assert list(tmp_path.rglob("*.nbc"))


def test_compiled_loops_do_without_a_place(monkeypatch, caplog):
    def without_place(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiled, "_Cache", without_place)
    caplog.set_level("INFO")
    assert compiled.kept(double)(21) == 42
    assert "not kept" in caplog.text


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_full_disk_or_a_damaged_file_costs_time_only(ending, monkeypatch, tmp_path, caplog):
    """A quota of the home folder that is used up is no reason to stop, and a file that was cut is none."""
    caplog.set_level("INFO")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        assert compiled.kept(double)(21) == 42
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "are not kept" in caplog.text
    assert compiled.kept(double)(21) == 42
    (path,) = tmp_path.rglob(f"*.{ending}")
    path.write_bytes(path.read_bytes()[:10])
    assert compiled.kept(double)(21) == 42
    assert "are compiled again" in caplog.text


def test_other_errors_of_the_decorator_are_not_hidden(monkeypatch):
    def broken(**options):
        raise TypeError("no such option")

    monkeypatch.setattr(numba, "njit", broken)
    with pytest.raises(TypeError):
        compiled.kept(double)
