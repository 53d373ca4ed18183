"""Each connector reads its published layout, in every version that is about, and keeps the source's own words."""

import pytest

from cxr_core.classes import SOURCES
from cxr_core.errors import SourceError
from cxr_core.ingest import github, kaggle, rsna, sirm
from cxr_core.ingest.connectors import CONNECTORS, LICENCES
from cxr_core.ingest.faults import IngestFault
from tests.cxr_core.ingest.build import tree


def reasons(layout):
    return {exclusion.name: exclusion.reason for exclusion in layout.exclusions}


def test_there_is_a_connector_and_a_licence_for_every_source():
    assert set(CONNECTORS) == set(LICENCES) == set(SOURCES)


def test_sirm_reads_cases(tmp_path):
    table = (
        "case,file,finding,view,sex,age,url,license\ncaso-02,caso-02/rx-1.jpg,COVID-19, AP Supine ,M,62.0,https://x,\n"
    )
    [one] = sirm.read(tree("sirm", tmp_path, {"cases.csv": table, "caso-02/rx-1.jpg": "x"})).candidates
    assert (one.path, one.finding, one.view, one.modality) == ("caso-02/rx-1.jpg", "COVID-19", "AP Supine", "X-ray")
    assert (one.patient, one.sex, one.age_years, one.origin_url) == ("caso-02", "M", 62.0, "https://x")
    assert (one.licence, one.label_provenance) == ("", "case_report")


def test_github_reads_its_last_table(tmp_path):
    table = (
        "patientid,offset,sex,age,finding,RT_PCR_positive,view,modality,folder,filename,url,license,\n"
        "2,0,M,65,Pneumonia/Viral/COVID-19,Y,PA,X-ray,images,a.jpg,https://x,CC BY-NC-SA,\n"
        "2,3,M,65,Pneumonia/Viral/COVID-19,Unclear,L,X-ray,images,b.png,https://x,,\n"
        "9,0,F,30,todo,,Axial,CT,volumes,c.nii.gz,https://x,CC BY,\n"
    )
    files = {"metadata.csv": table, "images/a.jpg": "x", "images/b.png": "y", "volumes/c.nii.gz": "z"}
    layout = github.read(tree("github", tmp_path, files))
    assert [(c.path, c.view, c.patient, c.licence, c.label_provenance) for c in layout.candidates] == [
        ("images/a.jpg", "PA", "2", "CC BY-NC-SA", "rt_pcr"),
        ("images/b.png", "L", "2", "", "case_report"),
    ]
    assert layout.candidates[0].finding == "Pneumonia/Viral/COVID-19"
    assert reasons(layout) == {"github:metadata.csv#3": IngestFault.NOT_AN_IMAGE_FILE}


def test_github_reads_its_first_tables_too(tmp_path):
    table = "Patientid,offset,sex,age,finding,survival,view,date,location,filename,doi, url,notes\n"
    table += "2,0,M,65,COVID-19,Y,PA,,,a.jpg,,https://x,\n5,0,,,COVID-19,,Axial,,,b.jpg,,https://y,\n"
    files = {"metadata.csv": table, "images/a.jpg": "x", "images/b.jpg": "y"}
    one, two = github.read(tree("github", tmp_path, files)).candidates
    assert (one.patient, one.origin_url, one.modality, one.licence) == ("2", "https://x", "X-ray", "")
    assert (two.modality, two.age_years, two.sex) == ("CT", None, "")


def test_github_refuses_a_file_name_that_climbs_out(tmp_path):
    table = (
        "patientid,finding,view,filename,folder\n1,x,PA,../../secret.jpg,images\n2,x,PA,/etc/a.jpg,\n3,x,PA,a.jpg,/\n"
    )
    files = {"metadata.csv": table, "images/a.jpg": "x"}
    layout = github.read(tree("github", tmp_path, files))
    assert layout.candidates == ()
    assert sorted(reasons(layout).values()) == [IngestFault.NO_METADATA, *[IngestFault.UNSAFE_PATH] * 3]


def test_rsna_takes_one_class_a_patient_however_many_boxes(tmp_path):
    table = "patientId,class\np1,Normal\np2,Lung Opacity\np2,Lung Opacity\np3,Normal\np3,Lung Opacity\n"
    files = {"stage_2_detailed_class_info.csv": table, "stage_2_train_labels.csv": "patientId,Target\n"}
    files |= {f"stage_2_train_images/p{n}.dcm": f"{n}" for n in (1, 2, 3)} | {"stage_2_test_images/q.dcm": "q"}
    layout = rsna.read(tree("rsna", tmp_path, files))
    assert [(c.patient, c.finding) for c in layout.candidates] == [("p1", "Normal"), ("p2", "Lung Opacity")]
    assert {c.label_provenance for c in layout.candidates} == {"radiologist"}
    assert reasons(layout) == {
        "rsna:stage_2_train_images/p3.dcm": IngestFault.CONFLICTING_ROWS,
        "rsna:stage_2_detailed_class_info.csv#5": IngestFault.DUPLICATE_ROW,
        "rsna:stage_2_test_images/q.dcm": IngestFault.NO_METADATA,
    }


RSNA = {
    "stage_2_detailed_class_info.csv": "patientId,class\n" + "".join(f"p{n},Normal\n" for n in range(1, 6)),
    **{f"stage_2_train_images/p{n}.dcm": f"{n}" for n in range(1, 6)},
}


def test_rsna_joins_the_pictures_of_one_patient_where_a_mapping_is_given(tmp_path):
    mapping = "patientId,nih_patient\np1,7\np2,7\np3,p4\np5, \nelsewhere,7\n"
    layout = rsna.read(tree("rsna", tmp_path, {**RSNA, "nih_patients.csv": mapping}))
    patient = {c.path[-6:-4]: c.patient for c in layout.candidates}
    assert patient["p1"] == patient["p2"]
    # What the mapping leaves out or blank is a patient of its own, whatever the others are called.
    assert len(set(patient.values())) == 4
    assert (patient["p4"], patient["p5"]) == ("p4", "p5")
    assert layout.exclusions == ()


def test_rsna_without_a_mapping_takes_each_patient_id_for_a_patient(tmp_path):
    layout = rsna.read(tree("rsna", tmp_path, RSNA))
    assert [c.patient for c in layout.candidates] == ["p1", "p2", "p3", "p4", "p5"]


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ("patientId,nih_patient\nsecret-one,7\nsecret-one,8\n", "conflicting_patients"),
        ("patientId,person\np1,7\n", "missing_columns"),
    ],
)
def test_rsna_refuses_a_mapping_that_cannot_be_one_and_names_no_patient(tmp_path, mapping, reason):
    with pytest.raises(SourceError) as caught:
        rsna.read(tree("rsna", tmp_path, {**RSNA, "nih_patients.csv": mapping}))
    assert caught.value.reason == reason
    assert "nih_patients.csv" in caught.value.message
    assert "secret" not in str(caught.value)


def test_every_source_gives_each_image_its_licence_origin_and_what_the_label_rests_on(tmp_path):
    github_table = (
        "patientid,finding,view,filename,RT_PCR_positive,doi,url,license\n"
        "1,COVID-19,PA,a.jpg,Y,10.1/x,https://page,CC BY 4.0\n2,COVID-19,PA,b.jpg,,10.1/x,,\n3,SARS,PA,c.jpg,,,, \n"
    )
    sources = {
        "sirm": {
            "cases.csv": "case,file,finding,view,sex,age,url,license\n1,r.jpg,COVID-19,PA,,,https://s,\n",
            "r.jpg": "",
        },
        "github": {"metadata.csv": github_table, **{f"images/{n}.jpg": n for n in "abc"}},
        "rsna": RSNA,
        "kaggle": {"chest_xray/train/NORMAL/IM-0001-0001.jpeg": "k"},
    }
    found = {
        source: [
            (c.label_provenance, c.licence, c.origin_url)
            for c in CONNECTORS[source](tree(source, tmp_path / source, files)).candidates
        ]
        for source, files in sources.items()
    }
    assert found["sirm"] == [("case_report", "", "https://s")]
    assert found["github"] == [
        ("rt_pcr", "CC BY 4.0", "https://page"),
        ("case_report", "", "https://doi.org/10.1/x"),
        ("case_report", "", ""),
    ]
    assert set(found["rsna"]) == {("radiologist", LICENCES["rsna"], rsna._ORIGIN)}
    assert found["kaggle"] == [("file_name", "CC BY 4.0", kaggle._ORIGIN)]


KAGGLE = {
    "train/NORMAL/IM-0115-0001.jpeg": ("NORMAL", "IM-0115"),
    "train/NORMAL/IM-0429-0001-0002.jpeg": ("NORMAL", "IM-0429"),
    "test/NORMAL/NORMAL2-IM-0115-0001.jpeg": ("NORMAL", "NORMAL2-IM-0115"),
    "train/PNEUMONIA/person12_virus_46.jpeg": ("virus", "person12"),
    "test/PNEUMONIA/person12_bacteria_47.jpeg": ("bacteria", "person12"),
    "val/PNEUMONIA/person1949_virus_4880_1.jpeg": ("virus", "person1949"),
}


@pytest.mark.parametrize("folder", ["chest_xray/", "chest_xray/chest_xray/", ""])
def test_kaggle_reads_finding_and_patient_off_the_path(tmp_path, folder):
    source = tree("kaggle", tmp_path, {folder + path: path for path in KAGGLE})
    layout = kaggle.read(source)
    assert {c.path.removeprefix(folder): (c.finding, c.patient) for c in layout.candidates} == KAGGLE
    assert {(c.licence, c.label_provenance, c.view) for c in layout.candidates} == {("CC BY 4.0", "file_name", "AP")}
    assert layout.exclusions == ()


def test_kaggle_s_copy_of_itself_is_excluded_and_a_differing_file_in_it_is_not(tmp_path):
    one, two = "train/NORMAL/IM-0001-0001.jpeg", "train/NORMAL/IM-0002-0001.jpeg"
    inner = {f"chest_xray/chest_xray/{one}": "x", f"chest_xray/chest_xray/{two}": "other"}
    layout = kaggle.read(tree("kaggle", tmp_path, {f"chest_xray/{one}": "x", f"chest_xray/{two}": "y", **inner}))
    assert reasons(layout) == {f"kaggle:chest_xray/chest_xray/{one}": IngestFault.NESTED_COPY}
    assert len(layout.candidates) == 3


ODD = [
    "readme.png",
    "train/NORMAL/person1_virus_1.jpeg",
    "train/PNEUMONIA/person1_fungus_1.jpeg",
    "extra/NORMAL/IM-1-1.jpeg",
]


@pytest.mark.parametrize("odd", ODD)
def test_kaggle_excludes_what_its_layout_does_not_know(tmp_path, odd):
    files = {f"chest_xray/{odd}": "x", "chest_xray/train/NORMAL/IM-0001-0001.jpeg": "y"}
    layout = kaggle.read(tree("kaggle", tmp_path, files))
    assert reasons(layout) == {f"kaggle:chest_xray/{odd}": IngestFault.UNKNOWN_LAYOUT}


@pytest.mark.parametrize("source", SOURCES)
def test_another_folder_is_refused_saying_what_was_expected(tmp_path, source):
    with pytest.raises(SourceError, match="Expected") as caught:
        CONNECTORS[source](tree(source, tmp_path, {"holiday.jpg": "x"}))
    assert caught.value.reason == "layout_not_found"
