"""Tables of labels as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import LabelError
from detector.evaluate.labels import IGNORED, Label, LabelMap, any_animal, assign_recordings
from detector.evaluate.tables import read_labels

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def shared_annotations() -> Path:
    path = Path(__file__).parents[2].parent / "shared" / "audio" / "annotations_all.csv"
    assert path.is_file(), f"{path} is needed"
    return path


def test_raven_table_of_one_recording(tmp_path: Path) -> None:
    rows = "\n1\tSpectrogram 1\t1\t0.5\t1.25\t2000\t8000\tlehtopöllö\n"
    table = read_labels(write(tmp_path, "yö 1.Table.1.selections.txt", RAVEN + "\tAnnotation" + rows))
    assert table.labels == (Label("yö 1", 0.5, 1.25, "lehtopöllö", 2000.0, 8000.0),)
    assert table.recordings == ("yö 1",)


def test_raven_selection_in_two_views_counts_once(tmp_path: Path) -> None:
    rows = "\n1\tWaveform 1\t1\t0.5\t1.0\t0\t9000\n1\tSpectrogram 1\t1\t0.5\t1.0\t0\t9000\n2\tSpectrogram 1\t1\t3\t4\t0\t9000"
    table = read_labels(write(tmp_path, "a.txt", RAVEN + rows))
    assert [(label.start_s, label.label) for label in table.labels] == [(0.5, ""), (3.0, "")]


def test_raven_table_over_several_files_uses_the_offset(tmp_path: Path) -> None:
    rows = (
        "\n1\tSpectrogram 1\t1\t10\t11\t0\t9000\tC:\\rec\\a.wav\t10\towl\n2\tSpectrogram 1\t1\t610\t612\t0\t9000\tC:\\rec\\b.wav\t10.5\towl"
    )
    table = read_labels(write(tmp_path, "all.txt", RAVEN + "\tBegin Path\tFile Offset (s)\tSpecies" + rows))
    assert [(label.recording, label.start_s, label.end_s) for label in table.labels] == [
        ("C:\\rec\\a.wav", 10.0, 11.0),
        ("C:\\rec\\b.wav", 10.5, 12.5),
    ]
    without = rows.replace("\t10\towl", "\towl").replace("\t10.5\towl", "\towl")
    with pytest.raises(LabelError, match="names 2 recordings but has no column File Offset"):
        read_labels(write(tmp_path, "bad.txt", RAVEN + "\tBegin File\tSpecies" + without))


def test_an_empty_raven_table_says_no_calls(tmp_path: Path) -> None:
    table = read_labels(write(tmp_path, "quiet.selections.txt", RAVEN + "\n"))
    assert (table.labels, table.recordings) == ((), ("quiet",))


def test_raven_label_column_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", RAVEN + "\tMy Class\n1\tS\t1\t0\t1\t0\t9\tfrog\n")
    assert read_labels(path, "my class").labels[0].label == "frog"
    with pytest.raises(LabelError, match="no column 'Kind'") as caught:
        read_labels(path, "Kind")
    assert "My Class" in caught.value.hint


def test_audacity_labels_with_bands_points_and_crlf(tmp_path: Path) -> None:
    text = "\ufeff0.5\t1.5\tcall \"A\"\r\n\\\t1000.0\t2000.0\r\n3.0\t3.0\tclick\r\n\\\t-1\t-1\r\n4\t5\r\n"
    table = read_labels(write(tmp_path, "night 2.txt", text))
    assert table.labels == (
        Label("night 2", 0.5, 1.5, 'call "A"', 1000.0, 2000.0),
        Label("night 2", 3.0, 3.0, "click"),
        Label("night 2", 4.0, 5.0, ""),
    )


def test_utf_16_with_a_mark_is_read(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, "a.txt", "1\t2\tkäki\n", "utf-16")).labels == (Label("a", 1.0, 2.0, "käki"),)


def test_csv_with_quotes(tmp_path: Path) -> None:
    text = 'file,start_s,end_s,low_hz,high_hz,label,set\n"a, b.wav",0,1.5,,,"say ""hoo""",x\n\nc.wav,2,3,100,200,owl,x\n'
    assert read_labels(write(tmp_path, "t.csv", text)).labels == (
        Label("a, b.wav", 0.0, 1.5, 'say "hoo"'),
        Label("c.wav", 2.0, 3.0, "owl", 100.0, 200.0),
    )


def test_a_folder_of_tables(tmp_path: Path) -> None:
    write(tmp_path, "b.txt", "0\t1\towl\n")
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", "a.txt", "")
    table = read_labels(tmp_path)
    assert (len(table.labels), table.recordings) == (1, ("b", "a"))


@pytest.mark.parametrize(
    ("name", "text", "message", "hint"),
    [
        ("a.txt", "0\t1\tx\n0,5\t1,5\ty\n", "line 2: '0,5' is not a number", "decimal comma"),
        ("a.txt", "5\t1\tx\n", "line 1: an event from 5.0 to 1.0 s", "not after the end"),
        ("a.txt", "-1\t1\tx\n", "an event from -1.0", "at least 0"),
        ("a.txt", "nan\t1\tx\n", "'nan' is not a number", "seconds"),
        ("a.txt", "owls everywhere\n", "line 1: 'owls everywhere' is not start, end and label", "tabs"),
        ("a.txt", "\\\t1\t2\n", "line 1: a band without a label", "Audacity"),
        ("a.csv", "file;start_s;end_s;label\n", "line 1: no column file, start_s, end_s, label", "semicolons"),
        ("a.csv", "file,start_s,end_s,label\na.wav,1,5,2,5,x\n", "line 2: 6 columns, the header has 4", "decimal comma"),
        ("a.csv", "file,start_s,end_s,label\n,1,5,x\n", "line 2: no file is named", "column file"),
        ("a.csv", 'file,start_s,end_s,label\n"a"b,1,5,x\n', "line 2: ", "quotes"),
        ("a.txt", "a\0b", "is not a text file", "Raven"),
        ("a.txt", RAVEN.replace("End Time (s)", "Fin"), "no column End Time", "default columns"),
        ("a.txt", RAVEN + "\n1\tS\t1\t0,5\t1\t0\t9\n", "line 2: '0,5' is not a number", "decimal comma"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_line(tmp_path: Path, name: str, text: str, message: str, hint: str) -> None:
    with pytest.raises(LabelError) as caught:
        read_labels(write(tmp_path, name, text))
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_other_encodings_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="not UTF-8"):
        read_labels(write(tmp_path, "a.txt", "1\t2\tkäki\n", "latin-1"))
    with pytest.raises(LabelError, match="No such file"):
        read_labels(tmp_path / "absent.txt")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LabelError, match="no table of labels"):
        read_labels(empty)


def test_recordings_are_found_by_path_name_or_stem() -> None:
    files = [Path("/r/site 1/a.wav"), Path("/r/site 2/b.wav"), Path("/r/site 2/c.flac")]
    references = ["site 1/a.wav", "b.wav", "c", "D:\\old\\a.wav", "site 2\\b", "site 9/b.wav", "unknown"]
    assert assign_recordings(references, files) == {
        "site 1/a.wav": files[0],
        "b.wav": files[1],
        "c": files[2],
        "D:\\old\\a.wav": files[0],
        "site 2\\b": files[1],
    }


def test_an_ambiguous_name_is_refused_with_its_candidates() -> None:
    files = [Path("/r/1/a.wav"), Path("/r/2/a.wav")]
    with pytest.raises(LabelError, match=r"'a.wav' fits 2 recordings: /r/1/a.wav, /r/2/a.wav"):
        assign_recordings(["a.wav"], files)
    assert assign_recordings(["2/a.wav"], files) == {"2/a.wav": files[1]}


def test_a_full_name_beats_the_same_name_with_another_ending() -> None:
    files = [Path("/r/a.wav"), Path("/r/a.wav.flac")]
    assert assign_recordings(["a.wav"], files) == {"a.wav": files[0]}


def test_any_animal_knows_what_is_none() -> None:
    mapping = any_animal()
    assert [mapping.classify(label) for label in ("Strix aluco", "x", "NOT_mel", "Speech", "ambient", "unknown", "?", "")] == [
        "animal",
        "animal",
        None,
        None,
        None,
        IGNORED,
        IGNORED,
        "animal",
    ]
    assert LabelMap((("owl*", "owl"),)).classify("frog") is None


def test_the_shared_annotations_are_read(shared_annotations: Path) -> None:
    table = read_labels(shared_annotations)
    assert len(table.labels) > 2500
    assert table.labels[0] == Label("birdvox/audio/BirdVox-full-night_unit03_00-19-45_01min.wav", 0.915, 1.065, "model:BTBW")
