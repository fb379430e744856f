"""Graph measures beside networkx, and truths of known graphs."""

import networkx as nx
import numpy as np
import pytest

from neuro.connectivity import graph
from neuro.errors import DataError

SEEDS = range(20)


def weighted(seed, directed=False, n=14, density=0.5):
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.05, 1, (n, n)) * (rng.random((n, n)) < density)
    if not directed:
        w = np.triu(w, 1)
        w = w + w.T
    # a ring keeps it in one piece
    for i in range(n):
        j = (i + 1) % n
        w[i, j] = max(w[i, j], 0.3)
        if not directed:
            w[j, i] = w[i, j]
    np.fill_diagonal(w, 0)
    return w


def as_nx(w, *, lengths=False):
    g = nx.from_numpy_array(w, create_using=nx.DiGraph if (w != w.T).any() else nx.Graph)
    if lengths:
        for _, _, d in g.edges(data=True):
            d["weight"] = 1 / d["weight"]
    return g


def values(found):
    return np.array([found[i] for i in sorted(found)])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("directed", [False, True])
def test_equals_networkx(seed, directed):
    w = weighted(seed, directed)
    g, far = as_nx(w), as_nx(w, lengths=True)
    np.testing.assert_allclose(graph.clustering(w), values(nx.clustering(g, weight="weight")))
    np.testing.assert_allclose(
        graph.betweenness(w), values(nx.betweenness_centrality(far, weight="weight"))
    )
    length = nx.average_shortest_path_length(far, weight="weight")
    assert graph.path_length(w) == pytest.approx(length, abs=1e-8)
    np.testing.assert_allclose(
        graph.node_strength(w, "in" if directed else "out"),
        values(dict(g.in_degree(weight="weight") if directed else g.degree(weight="weight"))),
    )
    if not directed:
        binary = (w > 0).astype(float)
        h = as_nx(binary)
        assert graph.global_efficiency(binary) == pytest.approx(nx.global_efficiency(h), abs=1e-8)
        assert graph.local_efficiency(binary).mean() == pytest.approx(nx.local_efficiency(h))
        theirs = nx.rich_club_coefficient(h, normalized=False)
        ours = graph.rich_club(w)
        np.testing.assert_allclose([ours[k] for k in theirs], list(theirs.values()))
        np.testing.assert_array_equal(graph.three_cycles(w), values(nx.triangles(h)))


def test_three_cycles_across_blocks(monkeypatch):
    from neuro.connectivity import _cycles

    monkeypatch.setattr(_cycles, "_BLOCK", 32)
    rng = np.random.default_rng(0)
    a = rng.random((150, 150)) < 0.4
    np.fill_diagonal(a, False)
    cube = np.linalg.matrix_power(a.astype(np.int64), 3)
    np.testing.assert_array_equal(graph.three_cycles(a, directed=True), np.diag(cube))
    s = a | a.T
    cube = np.linalg.matrix_power(s.astype(np.int64), 3)
    np.testing.assert_array_equal(graph.three_cycles(s), np.diag(cube) // 2)


@pytest.mark.slow
def test_three_cycles_beyond_what_float32_can_count():
    n = 5800  # a full graph: 16,808,401 triangles at every node, above 2 ** 24
    found = graph.three_cycles(np.ones((n, n), dtype=bool))
    assert set(found.tolist()) == {(n - 1) * (n - 2) // 2}


def test_asymmetric_adjacency_is_refused_unless_directed():
    a = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    with pytest.raises(DataError, match="directed=True"):
        graph.three_cycles(a)
    assert graph.three_cycles(a, directed=True).tolist() == [1, 1, 1]


@pytest.mark.parametrize("density", [0.05, 0.13, 0.4])
@pytest.mark.parametrize("directed", [False, True])
def test_threshold_keeps_exactly_its_share(density, directed):
    rng = np.random.default_rng(0)
    w = rng.integers(1, 5, (21, 21)).astype(float)  # many ties
    w = w if directed else np.triu(w, 1) + np.triu(w, 1).T
    keep = graph.threshold(w, density)
    possible = 21 * 20 // (1 if directed else 2)
    assert keep.sum() == round(density * possible) * (1 if directed else 2)
    off = ~np.eye(21, dtype=bool)
    assert w[keep].min() >= w[~keep & off].max()


def test_threshold_never_keeps_a_negative_edge():
    r = np.array([[1, 0.5, -0.9], [0.5, 1, -0.2], [-0.9, -0.2, 1]])
    with pytest.raises(DataError, match="only 1 are positive"):
        graph.threshold(r, 0.67)
    assert graph.threshold(r, 1 / 3, magnitude=True)[0, 2]


def test_backbone_equals_networkx():
    w = weighted(3)
    tree = nx.maximum_spanning_tree(as_nx(w))
    np.testing.assert_array_equal(
        graph.backbone(w), nx.to_numpy_array(tree, nodelist=range(14)) > 0
    )


def test_planted_communities_are_found_whatever_the_seed():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 12)
    w = np.where(truth[:, None] == truth, 0.8, 0.15) * rng.uniform(0.7, 1.3, (36, 36))
    w = np.triu(w, 1) + np.triu(w, 1).T
    for seed in range(5):
        np.testing.assert_array_equal(graph.modularity(w, seed=seed).labels, truth)
    found = graph.modularity(w, seed=0)
    g = as_nx(w)
    groups = [set(np.flatnonzero(truth == k).tolist()) for k in range(3)]
    assert found.q == pytest.approx(nx.community.modularity(g, groups), abs=1e-10)


@pytest.mark.parametrize("measure", ["clustering", "betweenness", "path_length",
                                     "global_efficiency", "local_efficiency"])  # fmt: skip
def test_negative_weights_are_refused(measure):
    w = np.array([[0, -0.2, 0.5], [-0.2, 0, 0.4], [0.5, 0.4, 0]])
    with pytest.raises(DataError, match="weights are negative"):
        getattr(graph, measure)(w)


def test_nan_nodes_are_named_with_the_remedy():
    w = np.ones((4, 4))
    w[2] = w[:, 2] = np.nan
    with pytest.raises(DataError, match=r"nodes \[2\].*usable"):
        graph.clustering(w)


def test_paths_of_a_graph_in_pieces_are_refused_not_infinite():
    w = np.kron(np.eye(2), np.ones((3, 3)))
    with pytest.raises(DataError, match="2 pieces"):
        graph.path_length(w)
    assert graph.path_length(w, disconnected="largest") == 1.0
    assert graph.global_efficiency(w) == pytest.approx(2 / 5)  # two of five others in reach


def test_participation_of_a_connector_and_a_provincial_node():
    w = np.zeros((5, 5))
    w[0, 1:] = w[1:, 0] = 1
    p = graph.participation(w, ["a", "a", "b", "c", "d"])
    assert p.tolist() == [0.75, 0, 0, 0, 0]


def test_rewiring_keeps_degrees_and_weights_and_changes_edges():
    w = weighted(1, n=30, density=0.2)
    found = graph.rewired(w, seed=0)
    np.testing.assert_array_equal((found > 0).sum(0), (w > 0).sum(0))
    np.testing.assert_allclose(np.sort(found[found > 0]), np.sort(w[w > 0]))
    assert ((found > 0) & (w > 0)).sum() < 0.5 * (w > 0).sum()
    np.testing.assert_array_equal(found, graph.rewired(w, seed=0))


def test_full_graph_cannot_be_rewired():
    with pytest.raises(DataError, match="Threshold the matrix by density"):
        graph.rewired(np.ones((6, 6)), seed=0)


def test_small_world_of_a_rewired_ring_and_of_a_random_graph():
    small = nx.to_numpy_array(nx.connected_watts_strogatz_graph(100, 8, 0.1, seed=1))
    random = nx.to_numpy_array(nx.gnm_random_graph(100, 400, seed=1))
    assert graph.small_world(small, seed=0, n_null=10).sigma > 1.5
    assert 0.8 < graph.small_world(random, seed=0, n_null=10).sigma < 1.2


def test_rich_club_of_planted_hubs_exceeds_its_null():
    rng = np.random.default_rng(0)
    a = np.triu(rng.random((100, 100)) < 0.04, 1)
    a[:8, 8:] |= rng.random((8, 92)) < 0.12
    a[:8, :8] = np.triu(np.ones((8, 8), bool), 1)
    w = (a | a.T).astype(float)
    k = int(np.sort(w.sum(0))[-9])  # all but the hubs have at most this many neighbours
    null = np.mean([graph.rich_club(graph.rewired(w, seed=s))[k] for s in range(10)])
    assert graph.rich_club(w)[k] > 1.5 * null


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_the_brain_connectivity_toolbox(seed):
    bct = pytest.importorskip("bct")
    w = weighted(seed)
    scaled = w / w.max()  # it expects weights between 0 and 1
    np.testing.assert_allclose(graph.clustering(w), bct.clustering_coef_wu(scaled), atol=1e-8)
    np.testing.assert_allclose(graph.node_strength(w), bct.strengths_und(w), atol=1e-8)
    assert graph.global_efficiency(w) == pytest.approx(bct.efficiency_wei(w), abs=1e-8)
    labels = np.arange(len(w)) % 3
    np.testing.assert_allclose(
        graph.participation(w, labels), bct.participation_coef(w, labels + 1), atol=1e-8
    )
    pairs = (len(w) - 1) * (len(w) - 2)
    np.testing.assert_allclose(
        graph.betweenness(w), bct.betweenness_wei(1 / np.where(w > 0, w, np.inf)) / pairs, atol=1e-8
    )
