"""CSV files: what is read, and what a refusal says."""

from __future__ import annotations

import errno
import json
from threading import Event

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.local.datasets import csv_import
from airflow_provider_personalize.local.datasets.csv_import import DatasetImportError, import_csv
from airflow_provider_personalize.local.datasets.schema import parse_schema


def schema_of(name, **fields):
    entries = [
        {"name": key, "type": kind, **({"textual": True} if key == "PLOT" else {})} for key, kind in fields.items()
    ]
    return parse_schema(json.dumps({"type": "record", "name": name, "fields": entries}))


INTERACTIONS = schema_of("Interactions", USER_ID="string", ITEM_ID="string", TIMESTAMP="long")
ITEMS = schema_of("Items", ITEM_ID="string", PLOT=["null", "string"], PRICE=["null", "float"], YEAR=["int", "null"])


@pytest.fixture
def imported(tmp_path):
    """Import CSV texts and return the table."""

    def run(schema, *texts, **kwargs):
        paths = []
        for number, text in enumerate(texts, 1):
            path = tmp_path / f"part-{number}.csv"
            path.write_bytes(text.encode() if isinstance(text, str) else text)
            paths.append(path)
        rows = import_csv(paths, schema, tmp_path / "out" / "part.arrow", **kwargs)
        table = pl.read_ipc(tmp_path / "out" / "part.arrow")
        assert rows == len(table)
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["part.arrow"]
        return table

    return run


@pytest.fixture
def refused(imported, tmp_path):
    """The reason why CSV texts are not imported; nothing may be left behind."""

    def run(schema, *texts, **kwargs):
        with pytest.raises(DatasetImportError) as refusal:
            imported(schema, *texts, **kwargs)
        assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
        return str(refusal.value)

    return run


class TestWhatIsRead:
    def test_types_follow_the_schema(self, imported):
        table = imported(
            schema_of("Items", ITEM_ID="string", A="int", B="long", C="float", D="double", E="boolean"),
            "ITEM_ID,A,B,C,D,E\n007,-1,8589934592,.5,1e-3,TRUE\n8,+2,0,2,3.,false\n",
        )
        assert table.dtypes == [pl.String, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.Boolean]
        assert table.rows() == [("007", -1, 8589934592, 0.5, 0.001, True), ("8", 2, 0, 2.0, 3.0, False)]

    def test_columns_stand_in_any_order_and_others_are_ignored(self, imported):
        table = imported(INTERACTIONS, "NOTE,TIMESTAMP,ITEM_ID,USER_ID\nx,5,i,u\n")
        assert table.to_dicts() == [{"USER_ID": "u", "ITEM_ID": "i", "TIMESTAMP": 5}]

    def test_empty_cells_are_null_where_the_schema_allows(self, imported):
        table = imported(ITEMS, 'ITEM_ID,PLOT,PRICE,YEAR\na,,,\nb,"",,1999\nc\n')
        assert table.rows() == [("a", None, None, None), ("b", None, None, 1999), ("c", None, None, None)]

    def test_lower_case_columns_become_upper_case(self, imported):
        assert imported(schema_of("Users", USER_ID="string", age="int"), "USER_ID,age\nu,5\n").columns == [
            "USER_ID",
            "AGE",
        ]

    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_line_ends_byte_order_mark_and_blank_lines(self, imported, newline):
        text = newline.join(["\ufeffUSER_ID,ITEM_ID,TIMESTAMP", "u,i,1", "", "v,i,2", "", ""])
        assert imported(INTERACTIONS, text).rows() == [("u", "i", 1), ("v", "i", 2)]

    def test_the_last_line_needs_no_end(self, imported):
        assert imported(INTERACTIONS, "USER_ID,ITEM_ID,TIMESTAMP\nu,i,1").rows() == [("u", "i", 1)]

    @pytest.mark.parametrize(
        ("cell", "value"),
        [
            ('"a, b"', "a, b"),
            ('"two\nlines"', "two\nlines"),
            ('"say ""hi"""', 'say "hi"'),
            (r'"say \"hi\""', 'say "hi"'),
            (r'"C:\\dir"', "C:\\dir"),
            (r'"C:\dir"', "C:\\dir"),
            (r"C:\dir", "C:\\dir"),
            (r'"\"",', '"'),
            (r'"\\"', "\\"),
            ('"x"""', 'x"'),
            (r'"x,""y\z"', r'x,"y\z'),
            (r'"x,""y\"z"', 'x,"y"z'),
            ('"x\n""y\\\\"', 'x\n"y\\'),
            ('6" pipe', '6" pipe'),
            ("日本 \N{PARTY POPPER}", "日本 \N{PARTY POPPER}"),
        ],
    )
    def test_text_in_quotes(self, imported, cell, value):
        cell = cell.rstrip(",")
        # The second record shows that the reader is still in step.
        table = imported(ITEMS, f'ITEM_ID,PLOT,PRICE,YEAR\na,{cell},1,2\nb,"q\\"r",3,4\n')
        assert table.rows() == [("a", value, 1.0, 2), ("b", 'q"r', 3.0, 4)]

    def test_several_files_are_one_import_in_their_order(self, imported):
        header = "USER_ID,ITEM_ID,TIMESTAMP\n"
        table = imported(INTERACTIONS, header + "u,i,1\n", "ITEM_ID,USER_ID,TIMESTAMP\ni,v,2\n", header + "w,i,3\n")
        assert table["USER_ID"].to_list() == ["u", "v", "w"]

    def test_ids_count_characters_not_bytes(self, imported):
        long_id = "é" * 256
        assert imported(INTERACTIONS, f"USER_ID,ITEM_ID,TIMESTAMP\n{long_id},i,1\n")["USER_ID"][0] == long_id

    def test_long_text_is_kept(self, imported):
        assert len(imported(ITEMS, f"ITEM_ID,PLOT,PRICE,YEAR\na,{'x' * 30000},,\n")["PLOT"][0]) == 30000

    def test_an_import_replaces_its_file_whole(self, imported, tmp_path):
        imported(INTERACTIONS, "USER_ID,ITEM_ID,TIMESTAMP\nu,i,1\n")
        with pytest.raises(DatasetImportError):
            imported(INTERACTIONS, "USER_ID,ITEM_ID,TIMESTAMP\nu,i,x\n")
        assert pl.read_ipc(tmp_path / "out" / "part.arrow").rows() == [("u", "i", 1)]

    def test_a_file_that_must_not_be_published_is_not(self, imported, tmp_path):
        imported(INTERACTIONS, "USER_ID,ITEM_ID,TIMESTAMP\nu,i,1\n")
        (tmp_path / "in.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nv,j,2\n")
        place = tmp_path / "out" / "part.arrow"

        def refuse():
            raise InterruptedError

        with pytest.raises(InterruptedError):
            import_csv([tmp_path / "in.csv"], INTERACTIONS, place, before_publishing=refuse)
        assert pl.read_ipc(place).rows() == [("u", "i", 1)]
        assert list(place.parent.iterdir()) == [place]

    def test_a_disk_that_fails_meanwhile_fails_the_import(self, tmp_path, monkeypatch):
        told = Event()

        def fail_once(descriptor):  # as the system does
            if not told.is_set():
                told.set()
                raise OSError(errno.EIO, "Input/output error")

        def convert(paths, schema, destination):
            assert told.wait(10)
            return 1

        monkeypatch.setattr(csv_import, "_WRITE_BACK_SECONDS", 0.001)
        monkeypatch.setattr(csv_import, "_convert", convert)
        monkeypatch.setattr(csv_import.os, "fsync", fail_once)
        (tmp_path / "in.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu,i,1\n")
        with pytest.raises(OSError, match="Input/output error"):
            import_csv([tmp_path / "in.csv"], INTERACTIONS, tmp_path / "out" / "part.arrow")
        assert list((tmp_path / "out").iterdir()) == []

    def test_whoever_shares_the_directory_may_read_the_file(self, imported, tmp_path):
        imported(INTERACTIONS, "USER_ID,ITEM_ID,TIMESTAMP\nu,i,1\n")
        assert (tmp_path / "out" / "part.arrow").stat().st_mode & 0o777 == 0o644

    @settings(max_examples=60, deadline=None)
    @given(
        cells=st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8)
            | st.text(st.sampled_from(',"\\\n'), max_size=6),
            min_size=1,
            max_size=6,
        ),
        quote=st.sampled_from(['\\"', '""']),
        chunk=st.integers(1, 7),
    )
    def test_quoting_is_undone_wherever_the_file_is_cut(self, cells, quote, chunk, tmp_path_factory):
        directory = tmp_path_factory.mktemp("quoting")
        escaped = [cell.replace("\\", "\\\\").replace('"', quote) for cell in cells]
        (directory / "in").write_text("".join(f'{i},"{cell}"\n' for i, cell in enumerate(escaped)), encoding="utf-8")
        whole, cut = directory / "whole", directory / "cut"
        csv_import._double_quotes(directory / "in", whole)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csv_import, "_CHUNK", chunk)
            csv_import._double_quotes(directory / "in", cut)
        assert whole.read_bytes() == cut.read_bytes()
        expected = "".join('{},"{}"\n'.format(i, cell.replace('"', '""')) for i, cell in enumerate(cells))
        assert whole.read_text(encoding="utf-8") == expected

    @pytest.mark.parametrize("cell", [" 5", "\t5", '" 5"', '"\t5"'])
    @pytest.mark.parametrize("chunk", range(1, 12))
    def test_a_blank_before_a_number_is_seen_wherever_the_file_is_cut(self, cell, chunk, tmp_path, monkeypatch):
        monkeypatch.setattr(csv_import, "_CHUNK", chunk)
        path = tmp_path / "in.csv"
        path.write_text(f"I,A\na b,{cell}\n")
        assert csv_import._traits(path) == csv_import._Traits.INDENTED_CELL
        path.write_text("I,A\na b,5\nc \t,6\n")
        assert not csv_import._traits(path)

    def test_records_without_a_value_and_blanks_in_text_do_not_hinder_the_others(self, imported):
        table = imported(ITEMS, 'ITEM_ID,PLOT,PRICE,YEAR\na,"one, two",1,1999\n,,,\nb," three",2.5,\n')
        assert table.rows() == [("a", "one, two", 1.0, 1999), ("b", " three", 2.5, None)]

    @settings(max_examples=80, deadline=None)
    @given(
        kind=st.sampled_from(["int", "long", "float", "double", "boolean", "string"]),
        cell=st.text("0123456789+-.eE_ xinfaNtrue", max_size=12)
        | st.from_regex(r"[+-]?\d{1,20}(\.\d*)?(e[+-]?\d{1,3})?", fullmatch=True),
        quote=st.sampled_from(["", '"']),
    )
    def test_the_exact_reader_finds_what_the_fast_one_refuses(self, kind, cell, quote, tmp_path_factory):
        directory = tmp_path_factory.mktemp("agreement")
        (directory / "in.csv").write_text(f"ITEM_ID,A\na,{quote}{cell}{quote}\n")
        schema = schema_of("Items", ITEM_ID="string", A=[kind, "null"])
        if csv_import._fault(schema.fields[1], cell) is None:
            assert import_csv([directory / "in.csv"], schema, directory / "out.arrow") == 1
        else:
            with pytest.raises(DatasetImportError, match=r"^in\.csv, line 2: column A: "):
                import_csv([directory / "in.csv"], schema, directory / "out.arrow")


HEADER = "USER_ID,ITEM_ID,TIMESTAMP\n"


class TestWhatIsRefused:
    def test_a_missing_column(self, refused):
        assert "Input CSV is missing the following columns:[USER_ID, TIMESTAMP]." in refused(
            INTERACTIONS, "ITEM_ID,user_id\ni,u\n"
        )

    def test_a_column_twice(self, refused):
        assert "ITEM_ID more than once" in refused(INTERACTIONS, "USER_ID,ITEM_ID,ITEM_ID,TIMESTAMP\nu,i,i,1\n")

    def test_no_file(self, tmp_path):
        with pytest.raises(DatasetImportError, match="Invalid Data location"):
            import_csv([], INTERACTIONS, tmp_path / "out.arrow")
        with pytest.raises(DatasetImportError, match=r"Invalid Data location.*gone\.csv"):
            import_csv([tmp_path / "gone.csv"], INTERACTIONS, tmp_path / "out.arrow")

    @pytest.mark.parametrize("text", ["", "\ufeff", "\n"])
    def test_an_empty_file(self, refused, text):
        assert "part-1.csv" in refused(INTERACTIONS, text)

    def test_a_header_without_records(self, refused):
        assert "0 interactions; an import needs at least 1 " in refused(INTERACTIONS, HEADER)

    def test_fewer_records_than_the_service_wants(self, refused, imported):
        text = HEADER + "u,i,1\n" * 999
        assert refused(INTERACTIONS, text, minimum_rows=1000) == (
            "Input CSV has 999 interactions; an import needs at least 1000 interactions."
        )
        assert len(imported(INTERACTIONS, text, HEADER + "u,i,1\n", minimum_rows=1000)) == 1000

    @pytest.mark.parametrize(
        ("cell", "said"),
        [
            ("x", "'x' is not a long; whole epoch seconds was expected"),
            ("1.5", "'1.5' is not a long"),
            (" 1", "' 1' is not a long"),
            ("99999999999999999999", "is not a long"),
            ("1700000000000", "It looks like milliseconds"),
            ("-1", "is not a time"),
            ("", "the value is empty; TIMESTAMP is not nullable"),
            ('""', "the value is empty"),
        ],
    )
    def test_a_value_of_another_type(self, refused, cell, said):
        reason = refused(INTERACTIONS, HEADER + f"u,i,1\nu,i,{cell}\nu,i,bad\n")
        assert reason.startswith("part-1.csv, line 3: column TIMESTAMP: ")
        assert said in reason

    @pytest.mark.parametrize(
        ("kind", "cell"),
        [
            ("int", "2147483648"),
            ("int", "1e3"),
            ("float", "nan"),
            ("float", "inf"),
            ("float", "1e39"),
            ("float", "1,5"),
            ("double", "1e999"),
            ("double", "0x1"),
            ("boolean", "yes"),
            ("boolean", "1"),
        ],
    )
    def test_a_number_or_boolean_that_is_none(self, refused, kind, cell):
        reason = refused(schema_of("Items", ITEM_ID="string", A=kind), f'ITEM_ID,A\na,"{cell}"\n')
        assert f"line 2: column A: '{cell}' is" in reason

    def test_an_id_that_is_too_long(self, refused):
        reason = refused(INTERACTIONS, HEADER + f"u,i,1\n{'x' * 257},i,1\n")
        assert "line 3: column USER_ID: Length cannot be more than 256 characters for USER_ID" in reason

    def test_a_string_that_is_too_long(self, refused):
        schema = schema_of("Items", ITEM_ID="string", GENRE="string")
        assert "more than 1000 characters for GENRE" in refused(schema, f"ITEM_ID,GENRE\na,{'x' * 1001}\n")

    def test_a_record_with_too_many_values(self, refused):
        reason = refused(INTERACTIONS, HEADER + "u,i,1\nu,i,1,2\n")
        assert reason == "part-1.csv, line 3: 4 values where the header names 3 columns."

    def test_a_record_that_ends_early(self, refused):
        reason = refused(INTERACTIONS, HEADER + "u,i\n")
        assert "line 2: column TIMESTAMP: the value is empty" in reason
        assert "The record ends after 2 of 3 values." in reason

    def test_bytes_that_are_not_utf8(self, refused):
        reason = refused(INTERACTIONS, (HEADER + "u,i,1\n").encode() + b"u,\xe9,1\n")
        assert reason == "part-1.csv, line 3: the file is not UTF-8 (byte 0xE9)."
        assert "line 1: the file is not UTF-8" in refused(INTERACTIONS, b"USER_ID,\xe9\n")

    def test_a_quote_that_never_closes(self, refused):
        reason = refused(ITEMS, 'ITEM_ID,PLOT,PRICE,YEAR\na,"x\ny",1,2\nb,"z,1,2\nc,z,1,2\n')
        assert reason.startswith("part-1.csv, line 4: the record that begins here cannot be read")

    @pytest.mark.parametrize("plot", ['"one\ntwo\nthree"', '"one\n\n""two"",\nthree"', '"one\n\\"two\\"\nthree"'])
    def test_lines_are_counted_through_quoted_newlines(self, refused, plot):
        lines = plot.count("\n") + 1
        text = f"ITEM_ID,PLOT,PRICE,YEAR\na,{plot},1,2\n\nb,x,oops,2\n"
        assert f"line {2 + lines + 1}: column PRICE: 'oops'" in refused(ITEMS, text)

    def test_the_file_at_fault_is_named(self, refused):
        assert refused(INTERACTIONS, HEADER + "u,i,1\n", HEADER + "\nu,i,x\n").startswith("part-2.csv, line 3: ")

    def test_a_long_value_is_shortened(self, refused):
        assert len(refused(INTERACTIONS, HEADER + f"u,i,{'x' * 5000}\n")) < 300
