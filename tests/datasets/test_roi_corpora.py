"""Region series of HCP, ABIDE, ADHD-200 and UK Biobank: made trees in their layouts."""

import numpy as np
import pytest

import neuro.datasets
from neuro.data import InputContract, windows
from neuro.errors import ConfigError, DataError, DataUnavailableError, FileError


def numbers(seed, n=60, regions=4, zero=None):
    x = np.random.default_rng(seed).normal(size=(n, regions)).round(4)
    if zero is not None:
        x[:, zero] = 0.0
    return x


def rows(x, mark="\t"):
    return "\n".join(mark.join(f"{v:g}" for v in row) for row in x) + "\n"


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def load(name, root, **options):
    return neuro.datasets.load(name, root=root, **options)


# ---- ABIDE ---------------------------------------------------------------------


@pytest.fixture
def abide(tmp_path):
    people = "SITE_ID,SUB_ID,FILE_ID,DX_GROUP,AGE_AT_SCAN,SEX,func_mean_fd,NAME,NOTE\n"
    for i, (site, place) in enumerate([("PITT", "Pitt"), ("LEUVEN_1", "Leuven_1"),
                                       ("MAX_MUN", "MaxMun_a")]):  # fmt: skip
        number = 50002 + i
        name = f"{place}_00{number}"
        people += f'{site},{number},{name},{1 + i % 2},{10 + i},{1 + i % 2},0.{i + 1},Ann,"a, b"\n'
        folder = tmp_path / "Outputs" / "cpac" / "filt_global" / "rois_cc200"
        head = "\t".join(f"#{k + 1}" for k in range(4)) + "\n"
        put(folder / f"{name}_rois_cc200.1D", head + rows(numbers(i, zero=1 if i else None)))
    put(tmp_path / "Phenotypic_V1_0b_preprocessed1.csv", people)
    return tmp_path


def test_abide_facts_and_site_specific_tr(abide):
    runs = load("abide", abide)
    assert [(r.subject, r.site, r.group, r.sex, r.age) for r in runs] == [
        ("0050003", "LEUVEN_1", "control", "F", 11.0),
        ("0050004", "MAX_MUN", "autism", "M", 12.0),
        ("0050002", "PITT", "autism", "M", 10.0),
    ]
    assert [1 / r.regular("bold").sfreq for r in runs] == [1.656, 3.0, 1.5]
    pitt = runs[2].regular("bold")
    np.testing.assert_allclose(pitt.values().T, numbers(0), rtol=1e-6)
    assert (pitt.axis.names, pitt.axis.atlas) == (("1", "2", "3", "4"), "cc200")
    assert runs[0].regular("bold").axis.bad.tolist() == [False, True, False, False]
    assert "regions without a signal: 2" in runs[0].provenance.steps
    np.testing.assert_allclose(runs[2].regular("motion").values(), 0.1, rtol=1e-6)
    assert not any("Ann" in repr(v) for v in vars(runs[0]).values())


def test_abide_splits_by_site(abide):
    runs = load("abide", abide, tr=2.0)
    index = windows(runs, stream="bold", length_s=40, label="group")
    train, test = index.split("site", test=["PITT"])
    assert set(test.column("subject")) == {"0050002"}
    assert "PITT" not in set(train.column("site"))


def test_abide_sites_meet_at_one_rate(abide):
    runs = load("abide", abide)
    with pytest.raises(DataError, match="Hz"):
        windows(runs, stream="bold", length_s=30)
    common = InputContract(modality="bold", sfreq="1/3", unit="au", missing="mask")
    index = windows([common.conform(r, "bold") for r in runs], stream="bold", length_s=30)
    assert (index.n_times, len(set(index.column("site")))) == (10, 3)


def test_abide_versions_must_be_chosen(abide):
    source = next(abide.rglob("Pitt*.1D"))
    put(abide / "Outputs/niak/filt_global/rois_cc200" / source.name, source.read_text())
    with pytest.raises(ConfigError, match="2 kinds of version; choose one: version='cpac/filt_gl"):
        load("abide", abide)
    assert len(load("abide", abide, version="niak/filt_global")) == 1
    with pytest.raises(ConfigError, match="no atlas 'cc400'"):
        load("abide", abide, version="niak/filt_global", atlas="cc400")


def test_abide_site_without_a_tr(abide):
    source = next(abide.rglob("Pitt*.1D"))
    source.rename(source.with_name("Oslo_0050002_rois_cc200.1D"))
    with pytest.raises(FileError, match=r"site 'Oslo' is not known. Pass tr=\{'Oslo'"):
        load("abide", abide)
    one = load("abide", abide, tr={"Oslo": 0.8, "Leuven": 1.7, "MaxMun": 3})[2]
    assert one.regular("bold").sfreq == 1.25


def test_abide_bad_files(abide):
    broken = next(abide.rglob("Pitt*.1D"))
    broken.write_text(broken.read_text()[:-20])
    with pytest.raises(FileError, match=r"Pitt_0050002.*bad_files='skip'"):
        load("abide", abide)
    runs = load("abide", abide, bad_files="skip")
    assert len(runs) == 2
    assert any("1 of 3 files of the data set left out" in s for s in runs[0].provenance.steps)
    empty = abide / "Outputs" / "empty"
    empty.mkdir()
    with pytest.raises(DataUnavailableError, match="no file below"):
        load("abide", empty)


def test_people_in_no_table(abide):
    (abide / "Phenotypic_V1_0b_preprocessed1.csv").unlink()
    first = load("abide", abide)[0]
    assert (first.group, first.site, first.age) == ("", "Leuven_1", None)
    assert any("not in the tables of people" in s for s in first.provenance.steps)


# ---- ADHD-200 ------------------------------------------------------------------


def athena(root, site, subject, version="sfnwmrda", regions=3, n=40, seed=0):
    head = "File\tSub-brick\t" + "\t".join(f"Mean_{2001 + k}" for k in range(regions))
    x = numbers(seed, n, regions)
    body = [f"{version}.nii.gz\t{t}[?]\t" + "\t".join(f"{v:g}" for v in x[t]) for t in range(n)]
    name = f"{version}{subject}_session_1_rest_2_aal_TCs.1D"
    put(root / site / subject / name, "\n".join([head, *body]) + "\n")
    return x


def test_adhd200(tmp_path):
    x = athena(tmp_path, "KKI", "1018959")
    athena(tmp_path, "Peking_1", "0010042", seed=1)
    put(tmp_path / "KKI" / "KKI_phenotypic.csv",
        "ScanDir ID,Site,Gender,Age,DX\n1018959,3,0,12.4,3\n")  # fmt: skip
    put(tmp_path / "adhd200_preprocessed_phenotypics.tsv",
        "ScanDir ID\tSite\tGender\tAge\tDX\n0010042\t1\t1\t-999\tpending\n")  # fmt: skip
    kki, peking = load("adhd200", tmp_path)
    assert (kki.subject, kki.site, kki.group, kki.sex, kki.age, kki.run) == (
        "1018959", "KKI", "adhd_inattentive", "F", 12.4, "2",
    )  # fmt: skip
    assert (peking.group, peking.sex, peking.age, peking.site) == ("", "M", None, "Peking_1")
    signal = kki.regular("bold")
    assert (signal.sfreq, signal.axis.names[0]) == (0.4, "Mean_2001")
    np.testing.assert_allclose(signal.values().T, x, rtol=1e-6)
    athena(tmp_path, "KKI", "1018959", version="snwmrda")
    with pytest.raises(ConfigError, match="version='sfnwmrda' or 'snwmrda'"):
        load("adhd200", tmp_path)


# ---- HCP -----------------------------------------------------------------------


def test_hcp_nodes_keep_families_together(tmp_path):
    folder = tmp_path / "node_timeseries" / "3T_HCP1200_MSMAll_d50_ts2"
    for i in range(4):
        put(folder / f"10020{i}.txt", rows(numbers(i, 2400, 3), "  "))
    put(tmp_path / "unrestricted_x.csv",
        "Subject,Gender,Age\n" + "".join(f"10020{i},F,26-30\n" for i in range(4)))  # fmt: skip
    first = load("hcp_nodes", tmp_path)[0]
    assert (first.sex, first.age, first.group) == ("F", None, "")
    assert any("family unknown" in s for s in first.provenance.steps)
    put(tmp_path / "RESTRICTED_x.csv", "Subject,Age_in_Yrs,Family_ID\n" + "".join(
        f"10020{i},{26 + i},{50 + i // 2}_1\n" for i in range(4)))  # fmt: skip
    runs = load("hcp_nodes", tmp_path)
    signal = runs[0].regular("bold")
    assert signal.segments.tolist() == [[0, 1200], [1200, 2400]]
    assert (runs[0].age, runs[0].group) == (26.0, "family_50_1")
    train, test = windows(runs, stream="bold", length_s=144).split("group", test=0.5)
    assert {*train.column("subject")} in ({"100200", "100201"}, {"100202", "100203"})
    assert len(test) == 2 * 2 * 6  # people, runs, windows of 200 volumes
    put(folder / "100200.txt", rows(numbers(0, 2300, 3), "  "))
    with pytest.raises(DataError, match="no whole number of runs of 1200"):
        load("hcp_nodes", tmp_path)


def test_hcp_parcels(tmp_path):
    import nibabel

    axes = nibabel.cifti2
    places = [(f"L_{k}", axes.BrainModelAxis.from_mask(np.eye(3)[k] > 0, name="CORTEX_LEFT"))
              for k in range(3)]  # fmt: skip
    x = numbers(0, 50, 3).astype(np.float32)
    for scan in ("rfMRI_REST1_LR", "tfMRI_WM_RL"):
        path = tmp_path / "100206" / "MNINonLinear" / "Results" / scan
        path.mkdir(parents=True)
        header = (axes.SeriesAxis(0, 0.72, 50), axes.ParcelsAxis.from_brain_models(places))
        nibabel.save(nibabel.Cifti2Image(x, header), path / f"{scan}_Atlas_MMP.ptseries.nii")
    rest, memory = load("hcp_parcels", tmp_path)
    assert (rest.task, rest.session, rest.run) == ("rest", "REST1", "LR")
    assert (memory.task, memory.session, memory.run) == ("wm", "WM", "RL")
    assert rest.regular("bold").axis.atlas == "MMP"
    np.testing.assert_allclose(rest.regular("bold").values().T, x)


# ---- UK Biobank ----------------------------------------------------------------


def test_ukb_regions(tmp_path):
    x = numbers(0, 50, 3)
    head = "label_name," + ",".join(f"timepoint_{t}" for t in range(50)) + "\n"
    body = "".join(f"region{k}," + ",".join(f"{v:g}" for v in x[:, k]) + "\n" for k in range(3))
    put(tmp_path / "1000011_2" / "fMRI" / "fMRI.Glasser.csv", head + body)
    put(tmp_path / "main.csv",
        "eid,31-0.0,53-2.0,54-2.0,21003-2.0,25741-2.0\n"
        "1000011,0,2015-03-04,11025,61,0.12\n")  # fmt: skip
    (rec,) = load("ukb_regions", tmp_path)
    assert (rec.subject, rec.session, rec.sex, rec.age, rec.site) == (
        "1000011", "2", "F", 61.0, "11025",
    )  # fmt: skip
    signal = rec.regular("bold")
    assert (1 / signal.sfreq, signal.axis.names[0]) == (0.735, "region0")
    np.testing.assert_allclose(signal.values().T, x, rtol=1e-6)
    np.testing.assert_allclose(rec.regular("motion").values(), 0.12, rtol=1e-6)
    assert not any("2015" in repr(v) for v in vars(rec).values())
    components = tmp_path / "1000011_20227_2_0" / "fMRI" / "rfMRI_25.dr" / "dr_stage1.txt"
    put(components, rows(numbers(1, 50, 21), "  "))
    assert load("ukb_regions", tmp_path, atlas="25")[0].regular("bold").shape == (21, 50)
