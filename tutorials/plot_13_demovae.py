"""After this you can take age, sex and site out of connectivity, and sample people of your choice.

Simulated people first, because only there is it known what is right: 600 vectors of
connectivity that age, sex, site and five traits have left their marks on. Then twelve
real people of two sites, to see how a model says that twelve are too few.
"""

# %%
# Recordings know their demographics. Rows may also be vectors or matrices, with a
# mapping of arrays beside them. 400 people train, 200 are never shown.
# From the shell: `neuro train demovae --data FOLDER --stream bold --out model`.
import tempfile
from pathlib import Path

import numpy as np

from neuro import datasets, models
from neuro.connectivity import connectivity, matrix_of
from neuro.data import windows
from neuro.datasets import synthetic
from neuro.models.demovae.fidelity import fidelity, group_map, map_error, nearest_subjects
from neuro.plot import latent_traversal, real_and_synthetic, variance_match

made = synthetic.demographic_fc(seed=0)
truth, train, test = made.truth, made.recordings[:400], made.recordings[400:]
model = models.create("demovae").fit(train)
print(f"{model.n_latents} numbers a person; told of {', '.join(model.table.names)}")

# %%
# Codes of people it has not seen. The largest of 30 chance correlations with 200 people
# is about 0.2; the traits, which have nothing to do with demographics, must stay.
x, own = truth["x"][400:], {name: truth[name][400:] for name in model.table.names}
codes = model.get_latents(test)
known = model.table.encode(own, len(x), standardise=True)
r = np.abs(np.corrcoef(codes.T, known.T)[: codes.shape[1], codes.shape[1] :])
design = np.column_stack([codes, np.ones(len(codes))])
rest = truth["traits"][400:] - design @ np.linalg.lstsq(design, truth["traits"][400:])[0]
kept = 1 - rest.var() / truth["traits"][400:].var()
print(f"codes and demographics: |r| up to {r.max():.2f}, median {np.median(r):.2f}; "
      f"traits explained by codes: {kept:.2f}")  # fmt: skip
assert r.max() < 0.3
assert kept > 0.9

# %%
# People with chosen demographics. The difference between sampled men and women is
# compared with the planted one; real people's own difference says what 400 allow.
n = 2000
anyone = {"age": np.linspace(8, 22, n), "site": np.resize(["A", "B", "C"], n)}
sex = np.resize(["F", "M"], n)
sampled = group_map(model.generate(n, anyone | {"sex": sex}), sex == "M")
measured = group_map(truth["x"][:400], truth["sex"][:400] == "M")
errors = [map_error(truth["sex_map"], found) for found in (sampled, measured)]
print(f"sex map, relative error: sampled {errors[0]:.2f}, the training people {errors[1]:.2f}")
assert errors[0] < 0.35

# %%
# Do samples vary like people, and together like people? Compared with unseen ones, and
# with a Gaussian that knows each feature's mean and variance and nothing else. And are
# they nearer to training people than to others, which would be copying?
synthetic_x = model.generate(len(x), own, seed=1)
found = fidelity(x, synthetic_x, train=truth["x"][:400])
copying = nearest_subjects(synthetic_x, truth["x"][:400], x)
print(f"variance ratio {found.variance_ratio.round(2)} (10, 50, 90 %); energy distance "
      f"{found.energy:.3f}, Gaussian {found.energy_floor:.3f}; nearer to training people: "
      f"{copying.share:.0%}")  # fmt: skip
assert 0.8 < found.variance_ratio[1] < 1.25
assert found.energy < found.energy_floor

# %%
# Everybody at site A: whose site can still be told from the nearest site mean?
sites = ("A", "B", "C")


def told_apart(rows):
    """Share of the second hundred whose site the means of the first hundred give."""
    means = [rows[:100][own["site"][:100] == s].mean(axis=0) for s in sites]
    distance = [((rows[100:] - mean) ** 2).sum(axis=1) for mean in means]
    return (np.array(sites)[np.argmin(distance, axis=0)] == own["site"][100:]).mean()


moved = model.swap(test, to={"site": "A"})
print(f"site told from the rows {told_apart(x):.2f}, after the swap {told_apart(moved):.2f}; "
      "chance 0.33")  # fmt: skip
assert told_apart(x) > 0.8
assert told_apart(moved) < 0.45

# %%
# Pictures: what the first codes do to the matrix, real beside sampled means, variances.
folder = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))
steps = [-2.0, -1.0, 0.0, 1.0, 2.0]
places = np.zeros((3, len(steps), model.n_latents))
for code in range(3):
    places[code, :, code] = steps
plain = models.load(model.save(folder / "model")).set_params(scatter=False)
person = {"age": 15.0, "sex": "F", "site": "A"}
walked = plain.generate(3 * len(steps), person, z=places.reshape(-1, model.n_latents))
walked = matrix_of(walked).reshape(3, len(steps), 20, 20)
latent_traversal(walked, steps=steps).savefig(folder / "traversal.png")
means = [matrix_of(rows.mean(axis=0)) for rows in (x, synthetic_x)]
real_and_synthetic(*means).savefig(folder / "means.png")
variance_match({"demovae": synthetic_x.var(axis=0) / x.var(axis=0)}).savefig(folder / "var.png")
print(f"pictures and model: {folder}")

# %%
# Real data: seven people of one study and five of another, 94 regions, in pieces of
# 170 s. Nothing but the site is known of them. One of each study is left out.
people = [*datasets.load("hcp94", download=True), *datasets.load("gw94", download=True)]
pieces = [
    connectivity(windows(p, stream="bold", length_s=170), method="correlation", average="time")
    for p in people
]
rows = np.concatenate([piece.vector() for piece in pieces])
counts = [len(piece.values) for piece in pieces]
site = np.repeat([p.dataset for p in people], counts)
person_of = np.repeat([p.subject for p in people], counts)
left_out = np.isin(person_of, [people[0].subject, people[-1].subject])
few = models.create("demovae", epochs=100).fit(rows[~left_out], {"site": site[~left_out]})
seen = few.calibration_["explained"]
unseen = few.score(rows[left_out], {"site": site[left_out]})
copied = nearest_subjects(
    few.generate(100, {"site": np.resize(site[~left_out], 100)}),
    rows[~left_out],
    rows[left_out],
).share
print(f"{len(rows)} pieces of {len(people)} people: explained {seen:.2f} of those seen, "
      f"{unseen:.2f} of others; samples nearer to people seen: {copied:.0%}")  # fmt: skip

# %%
# It knows ten people and no population: what it explains does not carry over, and samples
# lie near those it saw. As each person was at one site, site and person cannot be parted
# either. Hundreds of people are what such a model is for; check with these two numbers.
assert unseen < seen - 0.2
assert copied > 0.6
