"""Small folders of derivatives as fMRIPrep and XCP-D lay them out, with known region series."""

import json

import numpy as np

AFFINE = np.array([[3.0, 0, 0, -9], [0, 3, 0, -12], [0, 0, 3, 6], [0, 0, 0, 1]])
SHAPE = (6, 5, 4)
REGIONS = ("VisA", "VisB", "MotA", "MotB", "DefA", "DefB")
SCHAEFER = ("LH_Vis_1", "RH_Vis_1", "LH_SomMot_1", "RH_SomMot_1", "LH_Default_1", "RH_Default_1")
SPACE = "MNI152NLin2009cAsym"
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


def series(person, n=160, patient=False):
    """(6, n): pairs of regions share a slow signal; in patients all of them share one more."""
    rng = np.random.default_rng(100 + person)
    noise = rng.normal(size=(10, n + 40))
    slow = np.stack([np.convolve(row, np.ones(5) / 5, "same") for row in noise])[:, 20:-20]
    x = np.repeat(slow[:3], 2, axis=0) + slow[3:9]
    return x + 3.0 * slow[9] if patient else x


def save(path, x, tr=None):
    import nibabel

    image = nibabel.Nifti1Image(x, AFFINE)
    if tr is not None:
        image.header.set_zooms((3.0, 3.0, 3.0, tr))
        image.header.set_xyzt_units("mm", "sec")
    image.set_sform(AFFINE, code=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def parcels():
    """One slab along the first axis a region, numbered from 201: more than int8 holds."""
    out = np.zeros(SHAPE, np.int16)
    for i in range(6):
        out[i, 1:] = 201 + i
    return out


def atlas(folder, names=REGIONS, first=201):
    """An atlas image and the table of its names; the image's path."""
    rows = "".join(f"{first + i}\t{name}\n" for i, name in enumerate(names))
    (folder / "six.tsv").write_text("index\tname\n" + rows)
    return save(folder / "six.nii.gz", parcels())


def table(path, columns):
    n = len(next(iter(columns.values())))
    rows = [
        "\t".join("n/a" if np.isnan(v[i]) else f"{v[i]:.6g}" for v in columns.values())
        for i in range(n)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["\t".join(columns), *rows]) + "\n")
    return path


def confounds(n, seed, jerks=()):
    """All columns the presets ask for; `jerks` are volumes with much displacement."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in (*MOTION, "csf", "white_matter"):
        out[name] = rng.normal(size=n)
        for end in ("derivative1", "power2", "derivative1_power2"):
            out[f"{name}_{end}"] = rng.normal(size=n)
            if end != "power2":
                out[f"{name}_{end}"][0] = np.nan
    out["cosine00"] = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    out |= {f"a_comp_cor_{i:02d}": rng.normal(size=n) for i in range(3)}
    fd = np.full(n, 0.1)
    fd[list(jerks)] = 2.0
    out["framewise_displacement"] = np.where(np.arange(n) == 0, np.nan, fd)
    out["std_dvars"] = np.ones(n)
    out["non_steady_state_outlier00"] = (np.arange(n) == 0).astype(float)
    return out


def participants(root, n_people, **columns):
    rows = ["participant_id\tage\tgender\tdiagnosis\tsite_id\tbirth_date"]
    for i in range(n_people):
        group = "patient" if i % 2 else "control"
        rows.append(f"sub-{i:02d}\t{20 + i}\t{'FM'[i % 2]}\t{group}\tsite{i % 3}\t2001-02-03")
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")


def fmriprep(root, n_people=2, n=160, tr=2.0, jerks=(), spaces=(SPACE,), change=None):
    """DATASET/derivatives/fmriprep with one resting run a person; the derivatives' path.

    `change(person, volumes)` may spoil the (6, 5, 4, n) volumes of a person.
    """
    folder = root / "derivatives" / "fmriprep"
    participants_at = root
    folder.mkdir(parents=True)
    participants(participants_at, n_people)
    for name, where in (("raw", root), ("fMRIPrep", folder)):
        text = json.dumps({"Name": name, "BIDSVersion": "1.9.0"})
        (where / "dataset_description.json").write_text(text)
    for i in range(n_people):
        func = folder / f"sub-{i:02d}" / "func"
        stem = f"sub-{i:02d}_task-rest_"
        x = np.full((*SHAPE, n), 100.0, np.float32)
        x[:, 1:] += series(i, n, patient=bool(i % 2))[:, None, None, :]
        x += np.random.default_rng(i).normal(scale=0.1, size=x.shape)
        if change is not None:
            change(i, x)
        for space in spaces:
            save(func / f"{stem}space-{space}_desc-preproc_bold.nii.gz", x, tr)
            side = {"RepetitionTime": tr, "SliceTimingCorrected": True, "StartTime": 0.9}
            (func / f"{stem}space-{space}_desc-preproc_bold.json").write_text(json.dumps(side))
        table(func / f"{stem}desc-confounds_timeseries.tsv", confounds(n, i, jerks))
        method = {"Method": "aCompCor", "Mask": "combined", "Retained": True}
        pieces = {f"a_comp_cor_{k:02d}": method for k in range(3)}
        (func / f"{stem}desc-confounds_timeseries.json").write_text(json.dumps(pieces))
    return folder


def segmentations(folder, missing=None):
    """A segmentation beside every run of a folder, with the table of its names at the top."""
    for path in sorted(folder.rglob("*_desc-preproc_bold.nii.gz")):
        image = parcels()
        if missing is not None and path.name.startswith(f"sub-{missing:02d}"):
            image[image == 206] = 0
        name = path.name.replace("_desc-preproc_bold", "_desc-aparcaseg_dseg")
        save(path.with_name(name), image)
    rows = "".join(f"{201 + i}\t{name}\n" for i, name in enumerate(REGIONS))
    lookup = "index\tname\n" + rows + "999\tNowhere\n"
    (folder / "desc-aparcaseg_dseg.tsv").write_text(lookup)


def xcpd(root, n_people=2, n=160, tr=2.0, outliers=(), drop=True, atlases=("4S6",), key="seg"):
    """Tables of regions; outlier volumes are left out of them if `drop`."""
    root.mkdir(parents=True, exist_ok=True)
    participants(root, n_people)
    kept = [t for t in range(n) if not drop or t not in outliers]
    for i in range(n_people):
        func = root / f"sub-{i:02d}" / "func"
        stem = f"sub-{i:02d}_task-rest_"
        x = series(i, n, patient=bool(i % 2))
        for name in atlases:
            columns = dict(zip(REGIONS, x[:, kept], strict=True))
            table(func / f"{stem}space-{SPACE}_{key}-{name}_stat-mean_timeseries.tsv", columns)
        bold = func / f"{stem}space-{SPACE}_desc-denoised_bold.json"
        bold.write_text(json.dumps({"RepetitionTime": tr}))
        flags = np.isin(np.arange(n), outliers).astype(float)
        table(func / f"{stem}outliers.tsv", {"framewise_displacement": flags})
        fd = np.where(flags > 0, 2.0, 0.1)
        table(func / f"{stem}motion.tsv", {"framewise_displacement": fd})
    return root
