"""Metadata: text stays text, rows find their works, odd CSV files are read or refused with a reason."""

import pytest

from artatlas import config, metadata
from artatlas.errors import UserError

IDS = ["Realism/a_one.jpg", "Realism/b_two words_too.jpg", "c.jpg", "é.png"]


def load(tmp_path, data, *more):
    path = tmp_path / "table.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return config.load(None, (f"paths.metadata={path}", *more))


def columns(tmp_path, data, *more, ids=IDS):
    settings = load(tmp_path, data, *more)
    return metadata.columns(ids, metadata.read(settings), settings)


def test_text_stays_text(tmp_path):
    """A32: "007" stays "007", and nothing is guessed to be a number, a date or a missing value."""
    found = columns(tmp_path, "number,filename,year,note\n007,c.jpg,1e3,NA\n,é.png,c. 1900,nan\n")
    assert found == {"number": ["", "", "007", ""], "year": ["", "", "1e3", "c. 1900"], "note": ["", "", "NA", "nan"]}


def test_rows_are_joined_by_name_never_by_position(tmp_path):
    found = columns(tmp_path, "filename,n\né.png,4\nc.jpg,3\nRealism/b_two words_too.jpg,2\nRealism/a_one.jpg,1\n")
    assert found == {"n": ["1", "2", "3", "4"]}


def test_names_are_read_loosely_where_that_is_unambiguous():
    """Other Unicode form, backslashes, "./", another root folder; never a guess between two."""
    ids = ["x/a.jpg", "x/b.jpg", "y/b.jpg", "caf\u00e9.jpg", "d e.jpg", "q/1.jpg"]
    names = ["x\\a.jpg", "b.jpg", "cafe\u0301.jpg", "./d e.jpg ", "/home/me/pictures/1.jpg", "other.jpg"]
    assert metadata.join(ids, names) == {"x/a.jpg": 0, "caf\u00e9.jpg": 2, "d e.jpg": 3, "q/1.jpg": 4}
    # The row that names a file exactly wins over one that only ends the same, wherever it stands.
    assert metadata.join(["a/x.jpg"], ["b/x.jpg", "a/x.jpg"]) == {"a/x.jpg": 1}
    assert metadata.join(["a/x.jpg"], ["b/x.jpg", "c/x.jpg"]) == {}
    # Both forms as files: each gets its own row.
    assert metadata.join(["\u00e9.jpg", "e\u0301.jpg"], ["e\u0301.jpg", "\u00e9.jpg"]) == {
        "\u00e9.jpg": 1,
        "e\u0301.jpg": 0,
    }


def test_what_does_not_fit_is_told(tmp_path, capsys):
    data = "filename,t\nc.jpg,first\nc.jpg,second\nnowhere.jpg,x\ngone.jpg,y\n"
    assert columns(tmp_path, data) == {"t": ["", "", "first", ""]}
    told = capsys.readouterr().err
    assert "3 works have no row" in told
    assert "2 rows name files that are not a work" in told
    assert "1 row repeats a file name; the first row counts" in told


def test_a_missing_column_lists_what_there_is(tmp_path):
    """A32: missing columns crash the neighbours late."""
    with pytest.raises(UserError) as caught:
        columns(tmp_path, "file,title\nc.jpg,T\n")
    assert "table.csv: has no column filename (its columns are: file, title). Set images.filename_column to" in str(
        caught.value
    )
    assert columns(tmp_path, "file,title\nc.jpg,T\n", "images.filename_column=file")["title"][2] == "T"
    with pytest.raises(UserError, match=r"has no column filename \(it is empty\)"):
        columns(tmp_path, "")


def test_missing_and_unreadable_files(tmp_path):
    for path, reason in ((tmp_path / "none.csv", "does not exist"), (tmp_path, r"cannot be read \(Is a directory\)")):
        settings = config.load(None, (f"paths.metadata={path}",))
        with pytest.raises(
            UserError, match=f"paths.metadata: .* {reason}. Set paths.metadata to a CSV file, or to null"
        ):
            metadata.read(settings)
        with pytest.raises(UserError, match=reason):
            metadata.sha256(settings)


def test_no_csv_is_fine(tmp_path, capsys):
    settings = config.load(None, ("paths.metadata=null",))
    assert metadata.columns(IDS, metadata.read(settings), settings) == {}
    assert metadata.sha256(settings) == "" and capsys.readouterr().err == ""


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters(tmp_path, delimiter):
    rows = [["filename", "a, b; c", "d"], ["c.jpg", "1,2;3", "4"]]
    data = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    assert columns(tmp_path, data) == {"a, b; c": ["", "", "1,2;3", ""], "d": ["", "", "4", ""]}


def test_encodings(tmp_path, capsys):
    data = "filename,title\né.png,Žižek – “é”\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert columns(tmp_path, data.encode(encoding))["title"][3] == "Žižek – “é”"
        assert "Windows-1252" not in capsys.readouterr().err
    assert columns(tmp_path, data.encode("cp1252"))["title"][3] == "Žižek – “é”"
    assert "is not UTF-8, so it is read as Windows-1252" in capsys.readouterr().err
    assert columns(tmp_path, b"filename,title\nc.jpg,\x81\xff\n")["title"][2]  # bytes that stand for nothing there


def test_odd_contents(tmp_path, capsys):
    """NULs, fields longer than csv's own limit, line breaks in quotes, rows too short and too long, blank lines."""
    long = "x" * 300_000
    data = f'filename,a,b\nc.jpg,"{long}","two\nlines"\n\n,,\nRealism/a_one.jpg,n\0ul\né.png,1,2,3,4\n'
    found = columns(tmp_path, data)
    assert found["a"] == ["nul", "", long, "1"] and found["b"] == ["", "", "two\nlines", "2"]
    told = capsys.readouterr().err
    assert "2 rows have more or fewer fields than its header" in told and "name" not in told.replace("filename", "")


def test_column_names_are_made_fit_for_hdf5(tmp_path):
    """A "/" would open a group; two columns of one name, or none at all, would overwrite each other."""
    found = columns(tmp_path, "filename,w/h,w/h,,.,title \nc.jpg,1,2,3,4,5\n")
    assert {name: values[2] for name, values in found.items()} == {
        "w\u2215h": "1", "w\u2215h (3)": "2", "column 4": "3", "column 5": "4", "title": "5",
    }  # fmt: skip


def test_path_pattern(tmp_path, capsys):
    """WikiArt's own layout, without any CSV: fields are short, the last one long, and a CSV's word stands above."""
    assert metadata.parse_paths(IDS, "{style}/{artist}_{title}") == {
        "style": ["Realism", "Realism", "", ""], "artist": ["a", "b", "", ""],
        "title": ["one", "two words_too", "", ""],
    }  # fmt: skip
    assert metadata.parse_paths(["1999 (x+y).jpg"], "{year} ({what})") == {"year": ["1999"], "what": ["x+y"]}
    assert metadata.parse_paths(["a/b/c.jpg"], "{whole}") == {"whole": [""]}
    assert metadata.parse_paths(IDS, None) == {}
    data = "filename,artist\nRealism/a_one.jpg,Anna\nRealism/b_two words_too.jpg,\n"
    found = columns(tmp_path, data, "images.path_pattern='{style}/{artist}_{title}'")
    assert found["artist"] == ["Anna", "b", "", ""] and found["style"] == ["Realism", "Realism", "", ""]
    assert "images.path_pattern: 2 works do not look like {style}/{artist}_{title}" in capsys.readouterr().err
