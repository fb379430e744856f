"""Graph measures of connectivity matrices, with the thresholds and nulls they need.

A dense matrix of noise has a clustering and a modularity too: compare with
:func:`rewired` nulls, threshold by density rather than by value, and do not treat
negative weights as positive ones (measures that cannot use them refuse). Directed:
row = source, column = target. The diagonal never counts.

Parity (tests/connectivity/test_graph.py): strength, clustering, path length,
efficiency, betweenness, rich club, triangles equal networkx on 20 random weighted
graphs to 1e-8.
"""

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray, Seed

__all__ = [
    "Communities",
    "SmallWorld",
    "backbone",
    "betweenness",
    "clustering",
    "distances",
    "global_efficiency",
    "local_efficiency",
    "modularity",
    "node_strength",
    "participation",
    "path_length",
    "rewired",
    "rich_club",
    "small_world",
    "three_cycles",
    "threshold",
]

Disconnected: TypeAlias = Literal["refuse", "largest"]


class Communities(NamedTuple):
    """``labels`` (n,) community of each node, largest first; ``q`` their modularity."""

    labels: IntArray
    q: float


class SmallWorld(NamedTuple):
    """``sigma`` = (C / C_null) / (L / L_null), with the four numbers it is made of."""

    sigma: float
    clustering: float
    path_length: float
    null_clustering: float
    null_path_length: float


def _weights(x: Any, *, negative: bool = False, directed: bool = True) -> FloatArray:
    """Square matrix with a zero diagonal; refuses what a measure cannot use."""
    w = np.array(x.matrix() if hasattr(x, "matrix") else x, dtype=np.float64)
    if w.ndim != 2 or w.shape[0] != w.shape[1] or len(w) < 2:
        raise DataError(f"A square matrix of two or more nodes is needed, got {w.shape}.")
    np.fill_diagonal(w, 0.0)
    if not np.isfinite(w).all():
        holes = ~np.isfinite(w)
        # a node without any number makes a hole in every other row too: name it, not them
        alone = holes.sum(axis=1) >= len(w) - 1
        rows = np.flatnonzero(alone if alone.any() else holes.any(axis=1))
        raise DataError(
            f"NaN or inf in the matrix (nodes {rows[:8].tolist()}): leave those nodes out, "
            "result.select(nodes=result.usable)."
        )
    if not negative and (w < 0).any():
        raise DataError(
            f"{int((w < 0).sum())} weights are negative, which this measure has no meaning for. "
            "Keep the positive ones (np.maximum(w, 0)), take magnitudes if sign does not matter, "
            "or threshold(w, density) first."
        )
    if not directed and not np.allclose(w, w.T, rtol=1e-7, atol=1e-12):
        raise DataError("The matrix is not symmetric; this measure is for undirected graphs.")
    return w


def _is_directed(w: FloatArray) -> bool:
    return not np.allclose(w, w.T, rtol=1e-7, atol=1e-12)


def _graph(w: FloatArray, *, lengths: bool = False) -> Any:
    import networkx

    graph = networkx.DiGraph() if _is_directed(w) else networkx.Graph()
    graph.add_nodes_from(range(len(w)))
    rows, columns = np.nonzero(w if graph.is_directed() else np.triu(w))
    values = 1 / w[rows, columns] if lengths else w[rows, columns]
    graph.add_weighted_edges_from(
        zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True)
    )
    return graph


# ---- which edges ---------------------------------------------------------------


def threshold(x: Any, density: float, *, magnitude: bool = False) -> BoolArray:
    """The strongest edges, exactly a given share of all.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Weights; asymmetric ones are taken as directed.
    density : float
        Share of all possible edges, in (0, 1].
    magnitude : bool
        Rank by absolute value. Otherwise only positive edges qualify.

    Returns
    -------
    bool array, shape (n, n)
        ``round(density * n (n - 1) / 2)`` edges; ties go to the smaller index.

    Raises
    ------
    ConfigError
        Density out of range.
    DataError
        Fewer positive edges than asked for.

    Examples
    --------
    >>> w = np.array([[0, 3, 1], [3, 0, 2], [1, 2, 0.0]])
    >>> threshold(w, 1 / 3).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    w = _weights(x, negative=True)
    if not 0 < density <= 1:
        raise ConfigError(f"density={density} must lie in (0, 1].")
    n = len(w)
    directed = _is_directed(w)
    rows, columns = np.nonzero(~np.eye(n, dtype=bool)) if directed else np.triu_indices(n, 1)
    values = np.abs(w[rows, columns]) if magnitude else w[rows, columns]
    count = round(density * len(values))
    order = np.argsort(-values, kind="stable")[:count]
    if count and values[order[-1]] <= 0:
        raise DataError(
            f"A density of {density:g} asks for {count} edges, but only {int((values > 0).sum())} "
            "are positive. Lower it, or use magnitude=True if sign does not matter."
        )
    keep = np.zeros((n, n), dtype=bool)
    keep[rows[order], columns[order]] = True
    return keep if directed else keep | keep.T


def backbone(x: Any) -> BoolArray:
    """Maximum spanning tree: the strongest edges that keep all nodes connected.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Symmetric, non-negative weights.

    Returns
    -------
    bool array, shape (n, n)

    Raises
    ------
    DataError
        The graph is in several pieces.

    Examples
    --------
    >>> w = np.array([[0, 3, 1], [3, 0, 2], [1, 2, 0.0]])
    >>> backbone(w).astype(int).tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    w = _weights(x, directed=False)
    lengths = np.where(w > 0, 1 + w.max() - w, 0.0)  # all above 0: scipy takes 0 for no edge
    tree = minimum_spanning_tree(lengths).toarray() > 0
    if tree.sum() < len(w) - 1:
        raise DataError("The graph is in several pieces, so no tree joins all nodes.")
    return np.asarray(tree | tree.T)


# ---- nodes ---------------------------------------------------------------------


def node_strength(x: Any, direction: Literal["out", "in", "both"] = "out") -> FloatArray:
    """Sum of the weights of each node's edges.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Weights, of any sign.
    direction : "out", "in" or "both"
        Of directed graphs; "both" is the sum.

    Returns
    -------
    float64 array, shape (n,)

    Examples
    --------
    >>> node_strength(np.array([[9, 1, 2], [1, 9, 0], [2, 0, 9.0]])).tolist()
    [3.0, 1.0, 2.0]
    """
    w = _weights(x, negative=True)
    if direction not in ("out", "in", "both"):
        options = ("out", "in", "both")
        raise ConfigError(
            f"direction={direction!r} is not known. {did_you_mean(direction, options)}"
        )
    if direction == "both":
        return np.asarray(w.sum(axis=1) + w.sum(axis=0))
    return np.asarray(w.sum(axis=1 if direction == "out" else 0))


def clustering(x: Any) -> FloatArray:
    """Weighted clustering coefficient of each node (Onnela; Fagiolo if directed).

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Non-negative weights; scaled by the largest.

    Returns
    -------
    float64 array, shape (n,)
        Geometric mean weight of the triangles over possible ones; 0 for nodes of
        fewer than two neighbours.

    Examples
    --------
    >>> clustering(np.ones((3, 3))).round(12).tolist()
    [1.0, 1.0, 1.0]
    """
    w = _weights(x)
    if w.max() == 0:
        return np.zeros(len(w))
    root = np.cbrt(w / w.max())
    linked = (w > 0).astype(np.float64)
    if _is_directed(w):
        both = root + root.T
        triangles = np.einsum("ij,ji->i", both @ both, both) / 2
        degree = linked.sum(axis=0) + linked.sum(axis=1)
        possible = degree * (degree - 1) - 2 * (linked * linked.T).sum(axis=1)
    else:
        triangles = np.einsum("ij,ji->i", root @ root, root)
        degree = linked.sum(axis=1)
        possible = degree * (degree - 1)
    out = np.zeros(len(w))
    np.divide(triangles, possible, out=out, where=possible > 0)
    return out


def three_cycles(x: Any, *, directed: bool = False) -> IntArray:
    """Number of 3-cycles through every node, exact, at the scale of voxels.

    Parameters
    ----------
    x : array, shape (n, n)
        Adjacency: non-zero = edge. A bool array of 30,000 nodes takes 0.9 GB; it
        is multiplied block by block.
    directed : bool
        Count cycles i -> j -> k -> i; else triangles of a symmetric graph.

    Returns
    -------
    int64 array, shape (n,)

    Raises
    ------
    DataError
        Not square, or not symmetric although undirected.

    Examples
    --------
    >>> three_cycles(np.ones((4, 4))).tolist()
    [3, 3, 3, 3]
    """
    from neuro.connectivity._cycles import directed_cycles, undirected_cycles

    found = np.asarray(x)
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise DataError(f"A square adjacency matrix is needed, got {found.shape}.")
    linked = found != 0
    np.fill_diagonal(linked, False)
    if directed:
        return directed_cycles(linked)
    if not (linked == linked.T).all():
        raise DataError("The adjacency is not symmetric: pass directed=True, or symmetrise it.")
    return undirected_cycles(linked)


def betweenness(x: Any) -> FloatArray:
    """Share of shortest paths through each node, with lengths 1 / weight.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Non-negative weights.

    Returns
    -------
    float64 array, shape (n,)
        Normalised by the number of pairs of other nodes.

    Examples
    --------
    >>> betweenness(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0.0]])).tolist()
    [0.0, 1.0, 0.0]
    """
    import networkx

    w = _weights(x)
    found = networkx.betweenness_centrality(_graph(w, lengths=True), weight="weight")
    return np.array([found[i] for i in range(len(w))], dtype=np.float64)


def participation(x: Any, labels: AnyArray) -> FloatArray:
    """How evenly each node's strength is spread over communities.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Non-negative weights.
    labels : array, shape (n,)
        Community or network of each node.

    Returns
    -------
    float64 array, shape (n,)
        ``1 - sum_m (k_im / k_i) ** 2``; 0 for a node without edges.

    Examples
    --------
    >>> participation(np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0.0]]), ["a", "a", "b"]).tolist()
    [0.5, 0.0, 0.0]
    """
    w = _weights(x)
    groups = np.asarray(labels)
    if groups.shape != (len(w),):
        raise DataError(f"{groups.shape} labels for {len(w)} nodes.")
    _, code = np.unique(groups, return_inverse=True)
    within = w @ np.eye(code.max() + 1)[code]
    total = w.sum(axis=1, keepdims=True)
    share = np.divide(within, total, out=np.zeros_like(within), where=total > 0)
    return np.asarray(np.where(total[:, 0] > 0, 1 - (share**2).sum(axis=1), 0.0))


# ---- paths ---------------------------------------------------------------------


def distances(x: Any) -> FloatArray:
    """Shortest path lengths, an edge being as long as 1 / weight.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Non-negative weights.

    Returns
    -------
    float64 array, shape (n, n)
        inf between pieces that are not connected.

    Examples
    --------
    >>> distances(np.array([[0, 0.5, 0], [0.5, 0, 0.25], [0, 0.25, 0]]))[0].tolist()
    [0.0, 2.0, 6.0]
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    w = _weights(x)
    lengths = np.divide(1.0, w, out=np.zeros_like(w), where=w > 0)
    return np.asarray(dijkstra(csr_array(lengths)))


def path_length(x: Any, *, disconnected: Disconnected = "refuse") -> float:
    """Mean shortest path between all pairs.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Non-negative weights.
    disconnected : "refuse" or "largest"
        A graph in pieces has no finite mean: an error, or that of the largest piece.

    Returns
    -------
    float

    Raises
    ------
    DataError
        The graph is in pieces.

    Examples
    --------
    >>> path_length(np.ones((4, 4)))
    1.0
    """
    from scipy.sparse.csgraph import connected_components

    w = _weights(x)
    if disconnected not in ("refuse", "largest"):
        raise ConfigError(f"disconnected={disconnected!r}: use 'refuse' or 'largest'.")
    n_pieces, piece = connected_components(w > 0, directed=_is_directed(w), connection="strong")
    if n_pieces > 1:
        if disconnected == "refuse":
            raise DataError(
                f"The graph is in {n_pieces} pieces: some paths are infinite. Use "
                "global_efficiency (which counts them as 0), a higher density, or "
                "disconnected='largest'."
            )
        rows = np.flatnonzero(piece == np.bincount(piece).argmax())
        if len(rows) < 2:
            raise DataError("The largest piece is a single node: there are no paths.")
        w = w[np.ix_(rows, rows)]
    d = distances(w)
    return float(d[~np.eye(len(d), dtype=bool)].mean())


def global_efficiency(x: Any) -> float:
    """Mean inverse shortest path length; pairs without a path count as 0.

    Examples
    --------
    >>> global_efficiency(np.ones((4, 4)))
    1.0
    """
    return _efficiency(_weights(x))


def _efficiency(w: FloatArray) -> float:
    if len(w) < 2:
        return 0.0
    d = distances(w)
    off = d[~np.eye(len(d), dtype=bool)]
    return float(np.divide(1.0, off, out=np.zeros_like(off), where=off > 0).mean())


def local_efficiency(x: Any) -> FloatArray:
    """Global efficiency among the neighbours of each node.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Symmetric, non-negative weights.

    Returns
    -------
    float64 array, shape (n,)
        0 for fewer than two neighbours.

    Examples
    --------
    >>> local_efficiency(np.ones((4, 4))).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    w = _weights(x, directed=False)
    out = []
    for i in range(len(w)):
        rows = np.flatnonzero(w[i] > 0)
        out.append(_efficiency(w[np.ix_(rows, rows)]) if len(rows) > 1 else 0.0)
    return np.array(out)


# ---- groups --------------------------------------------------------------------


def modularity(x: Any, *, seed: Seed, resolution: float = 1.0, n_init: int = 10) -> Communities:
    """Communities by the Louvain method; the best of several seeded runs.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Symmetric, non-negative weights.
    seed : int or Generator
        Louvain visits nodes in random order.
    resolution : float
        Above 1: smaller communities.
    n_init : int
        Runs.

    Returns
    -------
    Communities

    Examples
    --------
    >>> w = np.kron(np.eye(2), np.ones((4, 4))) + 0.01
    >>> modularity(w, seed=0).labels.tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """
    import networkx

    w = _weights(x, directed=False)
    if w.max() == 0:
        raise DataError("The graph has no edges, so no communities.")
    graph = _graph(w)
    rng = np.random.default_rng(seed)
    best: tuple[float, Any] = (-np.inf, None)
    for _ in range(n_init):
        found = networkx.community.louvain_communities(
            graph, weight="weight", resolution=resolution, seed=int(rng.integers(2**31 - 1))
        )
        q = networkx.community.modularity(graph, found, weight="weight", resolution=resolution)
        if q > best[0]:
            best = (float(q), found)
    groups = sorted(best[1], key=lambda g: (-len(g), min(g)))
    labels = np.empty(len(w), dtype=np.int64)
    for number, group in enumerate(groups):
        labels[list(group)] = number
    return Communities(labels, best[0])


def rich_club(x: Any) -> FloatArray:
    """Density among nodes of more than k neighbours, for k = 0, 1, ….

    Compare with the same of :func:`rewired` graphs: hubs are linked by chance too.

    Parameters
    ----------
    x : array, shape (n, n)
        Symmetric adjacency: non-zero = edge.

    Returns
    -------
    float64 array, shape (max degree,)
        NaN where fewer than two nodes are left.

    Examples
    --------
    >>> rich_club(np.ones((3, 3))).tolist()
    [1.0, 1.0]
    """
    linked = _weights(x, directed=False, negative=True) != 0
    degree = linked.sum(axis=1)
    out = np.full(int(degree.max(initial=0)), np.nan)
    for k in range(len(out)):
        rich = np.flatnonzero(degree > k)
        if len(rich) > 1:
            out[k] = linked[np.ix_(rich, rich)].sum() / (len(rich) * (len(rich) - 1))
    return out


# ---- nulls ---------------------------------------------------------------------


def rewired(x: Any, *, seed: Seed, n_swaps: int = 10) -> FloatArray:
    """Random graph in which every node keeps its degree (Maslov & Sneppen 2002).

    The weights are kept as a set and go with the edges that are exchanged.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Symmetric weights.
    seed : int or Generator
        Source of randomness.
    n_swaps : int
        Tries for each edge.

    Returns
    -------
    float64 array, shape (n, n)

    Raises
    ------
    DataError
        The graph is full or has fewer than two edges: nothing can be exchanged.

    Examples
    --------
    >>> ring = np.roll(np.eye(12), 1, axis=0) + np.roll(np.eye(12), -1, axis=0)
    >>> rewired(ring, seed=0).sum(axis=0).tolist() == [2.0] * 12
    True
    """
    from neuro.connectivity._cycles import swap_edges

    w = _weights(x, negative=True, directed=False)
    tails, heads = np.nonzero(np.triu(w))
    if len(tails) < 2 or len(tails) == len(w) * (len(w) - 1) // 2:
        raise DataError(
            f"{len(tails)} edges among {len(w)} nodes: nothing can be exchanged. Threshold the "
            "matrix by density first."
        )
    values = w[tails, heads]
    rng = np.random.default_rng(seed)
    n_tries = n_swaps * len(tails)
    picks = rng.integers(0, len(tails), (n_tries, 2))
    swap_edges(w != 0, tails, heads, picks, rng.random(n_tries) < 0.5)
    out = np.zeros_like(w)
    out[tails, heads] = values
    return out + out.T


def small_world(x: Any, *, seed: Seed, n_null: int = 20) -> SmallWorld:
    """Clustering and path length against graphs of the same degrees and weights.

    Parameters
    ----------
    x : array, shape (n, n), or Connectivity
        Symmetric, non-negative weights, thresholded.
    seed : int or Generator
        Of the nulls.
    n_null : int
        Number of nulls averaged.

    Returns
    -------
    SmallWorld
        sigma about 1 for random graphs, above it for small worlds. Pieces that
        are not connected: the largest one, in data and nulls alike.

    Examples
    --------
    >>> ring = sum(np.roll(np.eye(40), k, axis=0) for k in (-2, -1, 1, 2))
    >>> small_world(ring, seed=0, n_null=5).clustering
    0.5
    """
    w = _weights(x, directed=False)
    rng = np.random.default_rng(seed)
    nulls = [rewired(w, seed=rng) for _ in range(n_null)]
    c, length = float(clustering(w).mean()), path_length(w, disconnected="largest")
    null_c = float(np.mean([clustering(v).mean() for v in nulls]))
    null_l = float(np.mean([path_length(v, disconnected="largest") for v in nulls]))
    if null_c == 0:
        raise DataError(
            "The nulls hold no triangle, so clustering has nothing to be compared with; use a "
            "higher density."
        )
    return SmallWorld((c / null_c) / (length / null_l), c, length, null_c, null_l)
