"""Clusters of content that the source does not explain: size, place, order, and the verdict above them."""

from __future__ import annotations

import numpy as np
import pytest
from moved_phantoms import oblique_grid, world
from test_estimate import head

from SITTranslateLib.traceability import clusters
from SITTranslateLib.traceability.clusters import Cluster, Limits, clusters_of, inside_the_brain
from SITTranslateLib.traceability.table import SegmentTable
from SITTranslateLib.traceability.tracing import trace_pair
from SITTranslateLib.traceability.verdict import judge_table, with_clusters
from SITTranslateLib.volume import Volume

LIMITS = Limits(edge=4.0, peak=6.0, millilitres=0.05)


def test_a_cluster_has_a_place_a_size_and_a_peak() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-10.0, 4.0, 7.0)
    values = np.zeros((20, 20, 20), np.float32)
    values[2:4, 5, 6:11] = 5.0  # 10 voxels of 8 mm3
    values[2:4, 5, 8] = 8.0
    values[10, 10:17, 10] = 7.0  # 7
    values[15, 2, 2:8] = 9.0  # 6: too small
    values[17, 10:18, 15] = 5.9  # its peak is too low
    found, numbered = clusters_of(Volume(values, affine), LIMITS)
    assert [c.millilitres for c in found] == pytest.approx([0.080, 0.056])
    assert [c.peak for c in found] == [8.0, 7.0]
    assert found[0].middle == pytest.approx((-10 + 2 * 8, 4 + 2 * 5, 7 + 2 * 2.5))
    assert found[1].middle == pytest.approx((-10 + 2 * 10, 4 + 2 * 13, 7 + 2 * 10))
    assert np.bincount(numbered.ravel()).tolist() == [8000 - 17, 10, 7]
    assert clusters_of(Volume(np.zeros((4, 4, 4)), affine), LIMITS)[0] == []


def test_no_pair_above_a_cluster_is_traceable() -> None:
    clean = judge_table(SegmentTable("a", "b", "estimated", 0.2, (), {"folded_percent": 0.0}))
    many = [Cluster((1.2, -3.0, 40.0), 0.5 - 0.05 * n, 12.0, "left thalamus") for n in range(6)]
    table = with_clusters(clean, many)
    assert (clean.verdict, table.verdict) == ("traceable", "caution")
    assert table.reasons[0].startswith("6 clusters hold content that the source does not explain: 0.5 mL, peak 12, at ")
    assert "R 1, A -3, S 40 mm (left thalamus); 0.45 mL" in table.reasons[0]
    assert table.reasons[0].endswith(", and 2 more")
    assert table.reasons[1:] == clean.reasons[1:]
    assert with_clusters(clean, []) == clean
    failed = judge_table(SegmentTable("a", "b", "estimated", 0.2, (), {"folded_percent": 3.0}))
    assert with_clusters(failed, many[:1]).verdict == "not traceable"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_somebody_added_or_took_away_is_named(sign: float) -> None:
    grid = oblique_grid((40, 44, 42), (2.0, 2.0, 2.0))
    source, again = head(grid, "T1w", 1), head(grid, "T1w", 1)
    noise = np.random.default_rng(0).normal(0.0, 0.01, grid.shape).astype(np.float32) * float(source.array.max())
    ball = np.clip(4.0 - np.linalg.norm(world(grid) - (6.0, -10.0, 4.0), axis=-1) + 0.5, 0.0, 1.0)
    changed = again.with_array(again.array + noise + sign * 0.3 * float(source.array.max()) * ball.astype(np.float32))
    clean = trace_pair(source, again.with_array(again.array + noise))
    assert clean.clusters == () and clean.table.verdict == "traceable"
    traced = trace_pair(source, changed)
    assert len(traced.clusters) == 1 and traced.table.verdict == "caution"
    assert np.linalg.norm(np.subtract(traced.clusters[0].middle, (6.0, -10.0, 4.0))) < 2.0
    # The ball has 0.27 mL; the map is averaged over 1 mm, so that its edge counts, too.
    assert 0.2 < traced.clusters[0].millilitres < 0.8
    assert traced.to_dict()["clusters"][0]["peak"] == traced.clusters[0].peak
    assert traced.table.reasons[0].startswith("1 cluster holds content")


def test_clusters_outside_the_brain_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = oblique_grid((40, 44, 42), (2.0, 2.0, 2.0))
    scan = head(grid, "T1w", 1)
    numbered = np.zeros(grid.shape, np.float32)
    numbered[18:22, 20:24, 19:23] = 1.0
    numbered[2:4, 2:4, 2:4] = 2.0
    both = [Cluster((0.0, 0.0, 0.0), 0.5, 9.0), Cluster((50.0, 0.0, 0.0), 0.06, 9.0)]

    def shares(found: object, on: object) -> object:
        k, j, i = np.indices(on.shape)  # type: ignore[attr-defined]
        near = np.linalg.norm(on.to_world(np.stack((i, j, k), axis=-1)), axis=-1) < 25  # type: ignore[attr-defined]
        parts = {"left thalamus": 0.8 * near, "left caudate": 0.2 * near}

        class Found:
            grid, brain = on, np.asarray(near, np.float32)

        Found.parts = parts  # type: ignore[attr-defined]
        return Found()

    monkeypatch.setattr(clusters, "parcellated", lambda image: image)
    monkeypatch.setattr(clusters, "shares_of_parcellation", shares)
    kept = inside_the_brain(both, Volume(numbered, grid.affine), scan, None)
    assert [(c.millilitres, c.structure) for c in kept] == [(0.5, "left thalamus")]
