import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.stream import LinearRule, Selection, Table, fit_rule, from_sklearn

TABLE = Table(("C3", "Cz", "C4"), (8.0, 10.0, 12.0, 14.0), "dB")


def trials(n=60, d=4, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 5
    x[:, 0] += 1.5 * y
    return x, np.array(["rest", "left", "right"])[y]


class TestSelection:
    values = np.arange(12.0).reshape(3, 4)

    def test_points_and_bands(self):
        said = Selection(("C4;10", "cz;8:12", "C3;14:14")).apply(self.values, TABLE)
        assert said.tolist() == [9.0, 5.0, 3.0]

    def test_none_is_all(self):
        assert Selection().apply(self.values, TABLE).tolist() == list(range(12))

    def test_many_trials_at_once(self):
        both = np.stack([self.values, -self.values])
        assert Selection(("C4;10",)).apply(both, TABLE).tolist() == [[9.0], [-9.0]]

    @pytest.mark.parametrize(
        ("name", "says"),
        [("C4", "write 'C4;13'"), ("C4;99", "no frequency"), ("C4;8.9:9.1", "no frequency")],
    )
    def test_names_that_mean_nothing(self, name, says):
        with pytest.raises(ConfigError, match=says):
            Selection((name,)).apply(self.values, TABLE)

    def test_a_channel_that_is_not_there(self):
        with pytest.raises(DataError, match="'P3' is not there"):
            Selection(("P3;10",)).places(TABLE)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["lda", "shrinkage_lda", "logistic"])
def test_a_frozen_rule_says_what_scikit_learn_says(kind, n_classes):
    from neuro.stream.rules import _pipeline

    x, y = trials(n_classes=n_classes)
    theirs = _pipeline(kind).fit(x, y)
    rule = fit_rule(kind, x, y)
    ours = np.stack([rule.probabilities(one) for one in x])
    assert rule.classes == tuple(theirs.classes_)
    np.testing.assert_allclose(ours, theirs.predict_proba(x), atol=1e-10)


def test_scalers_and_components_are_folded_into_the_weights():
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = trials()
    theirs = make_pipeline(StandardScaler(), PCA(3), LogisticRegression()).fit(x, y)
    rule = from_sklearn(theirs)
    ours = np.stack([rule.probabilities(one) for one in x])
    np.testing.assert_allclose(ours, theirs.predict_proba(x), atol=1e-10)


def test_only_named_steps_can_be_frozen():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    x, y = trials()
    forest = RandomForestClassifier(2, random_state=0)
    for pipeline in (make_pipeline(forest), make_pipeline(MinMaxScaler(), forest)):
        with pytest.raises(ConfigError, match="cannot be frozen"):
            from_sklearn(pipeline.fit(x, y))


def test_tangent_space_separates_what_only_covariance_tells():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"] * 30)
    mix = {"a": np.array([[1.0, 0.0], [0.6, 0.8]]), "b": np.array([[1.0, 0.0], [-0.6, 0.8]])}
    c = np.stack([np.cov(mix[k] @ rng.standard_normal((2, 200))) for k in y]).reshape(60, 4)
    rule = fit_rule("tangent", c[:40], y[:40])
    said = [rule.classes[rule.probabilities(one).argmax()] for one in c[40:]]
    assert said == y[40:].tolist()
    again = LinearRule.from_json(rule.to_json(), rule.arrays)
    np.testing.assert_array_equal(again.probabilities(c[0]), rule.probabilities(c[0]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x, y: (x, np.array(["rest"] * 60)), "two classes or more"),
        (lambda x, y: (x[:3], y[:3]), "two trials or more"),
        (lambda x, y: (x * np.nan, y), "no usable window"),
    ],
)
def test_training_on_too_little_is_refused(change, says):
    with pytest.raises(DataError, match=says):
        fit_rule("lda", *change(*trials()))


def test_shapes_that_do_not_fit_are_refused():
    rule = LinearRule(("a", "b"), np.ones((1, 2)), np.zeros(1))
    with pytest.raises(DataError, match="needs 2 features"):
        rule.probabilities(np.zeros(3))
    with pytest.raises(ConfigError, match="3 classes need 3 rows"):
        LinearRule(("a", "b", "c"), np.ones((1, 2)), np.zeros(1))
    with pytest.raises(ConfigError, match="intercepts"):
        LinearRule(("a", "b"), np.ones((1, 2)), np.zeros(2))
    with pytest.raises(ConfigError, match="No classifier 'svm'"):
        fit_rule("svm", *trials())
    with pytest.raises(ConfigError, match="reads covariances"):
        fit_rule("tangent", *trials(d=5))


def test_a_tangent_vector_has_the_norm_of_its_logarithm():
    from scipy.linalg import logm

    from neuro.stream.rules import tangent_vector

    x = np.random.default_rng(0).standard_normal((3, 50))
    c = np.cov(x)
    norm = np.linalg.norm(tangent_vector(c, np.eye(3)))
    assert norm == pytest.approx(np.linalg.norm(logm(c)), rel=1e-10)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((("a", "b"), np.full((1, 2), np.nan), np.zeros(1)), "is no number"),
        ((("a", "a"), np.ones((1, 2)), np.zeros(1)), "different names"),
        ((("a", "b"), np.ones((1, 2)), np.zeros(1), np.eye(2)), "do not fit"),
    ],
)
def test_rules_that_would_decide_nonsense_are_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        LinearRule(*values)


@pytest.mark.parametrize("name", ["C3;1.2.3", "C3;.", "C3;10:", 3])
def test_frequencies_that_are_no_numbers(name):
    with pytest.raises(ConfigError, match="write 'C4;13'"):
        Selection((name,)).apply(np.zeros((3, 4)), TABLE)
