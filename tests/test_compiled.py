from __future__ import annotations

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
    njit = numba.njit

    def without_place(*, cache: bool = False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", without_place)
    caplog.set_level("INFO")
    assert compiled.kept(double)(21) == 42
    assert "not kept" in caplog.text


def test_other_errors_of_the_decorator_are_not_hidden(monkeypatch):
    def broken(**options):
        raise TypeError("no such option")

    monkeypatch.setattr(numba, "njit", broken)
    with pytest.raises(TypeError):
        compiled.kept(double)
