"""Tables: classes by name, numbers to predict, and cells that are none, by row and column."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.data import check_fits
from pruning_core.errors import DataError, FileRefused, UnknownName
from pruning_core.loaders import load_data
from tests.pruning_core.loaders.toys import reader

IRIS = "long,wide,kind\n5.1,3.5,setosa\n7.0,3.2,versicolor\n4.9,3.0,setosa\n"


def table(folder: Path, text: str, name: str = "flowers.csv") -> str:
    (folder / name).write_bytes(text.encode())
    return str(folder / name)


def test_words_are_classes_in_alphabetical_order(tmp_path: Path) -> None:
    found = load_data(f"{table(tmp_path, IRIS)}+y@kind", model=reader(2, outputs=3))
    data = found.validation
    assert data.labels().tolist() == [0, 1, 0]
    assert data.class_names == ("setosa", "versicolor")
    np.testing.assert_allclose(data.inputs, [[5.1, 3.5], [7.0, 3.2], [4.9, 3.0]], rtol=1e-6)
    assert found.note == "Classes of 'kind' by name: setosa, versicolor."
    check_fits(data, reader(2, outputs=3).graph)


def test_the_target_may_be_any_column_and_numbers_are_predicted(tmp_path: Path) -> None:
    spec = table(tmp_path, "price;size;rooms\r\n1.5;70;3\r\n2.25;90;4\r\n", "homes.tsv")
    data = load_data(f"{spec}+y@price", model=reader(2, outputs=1)).validation
    assert data.labels().tolist() == [1.5, 2.25]
    assert data.is_regression
    two = load_data(f"{spec}+y@rooms,price", model=reader(1, outputs=2)).validation
    assert two.targets is not None
    assert two.targets.tolist() == [[3.0, 1.5], [4.0, 2.25]]


def test_whole_numbers_are_classes_or_numbers_as_the_model_answers(tmp_path: Path) -> None:
    spec = table(tmp_path, "a,b\n1,0\n2,1\n") + "+y@b"
    assert load_data(spec, model=reader(1, outputs=2)).validation.has_classes
    assert load_data(spec, model=reader(1, outputs=1)).validation.is_regression
    assert load_data(f"{spec}+task@regression", model=reader(1, outputs=2)).validation.is_regression


def test_pixels_in_columns_become_pictures(tmp_path: Path) -> None:
    rows = "\n".join(",".join(map(str, [i % 3, *range(16)])) for i in range(2))
    spec = table(tmp_path, ",".join(["label", *(f"p{i}" for i in range(16))]) + "\n" + rows)
    data = load_data(f"{spec}+y@label", model=reader(1, 4, 4)).validation
    assert data.inputs.shape == (2, 1, 4, 4)
    assert data.inputs[1, 0, 3].tolist() == [12, 13, 14, 15]


@pytest.mark.parametrize(
    ("text", "end", "code", "message"),
    [
        ("a,b\n1,2\n3,x\n", "", "E315", r"row 3, column 'b' of '.*' is 'x', which is no finite number"),
        ("a,b\n1,2\n3,\n", "", "E315", "row 3, column 'b' of '.*' is empty"),
        ("a,b\n1,nan\n", "", "E315", "row 2, column 'b' of '.*' is 'nan', which is no finite number"),
        ("a,b\n1,2\n3\n", "", "E315", "row 3 of '.*' has 1 cells, the header 2"),
        ("1,2\n3,4\n", "", "E315", "its first line is all numbers"),
        ("a,a\n3,4\n", "", "E315", "two columns named 'a'"),
        ("a,b\n", "", "E306", "no row below its header"),
        ("", "", "E306", "no row below its header"),
        ("a,kind\n1,cat\n2,\n", "+y@kind", "E315", "row 3, column 'kind' of '.*' is empty"),
        ("a,kind\n1,cat\n2,7\n", "+y@kind", "E315", "row 2, column 'kind' of '.*' is 'cat'"),
        ("a,b\n1,2\n", "+y@a,b", "E315", "no column of inputs"),
        ('a,b\n"1,2\n', "", "E315", "damaged"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path, text: str, end: str, code: str, message: str) -> None:
    with pytest.raises(FileRefused, match=message) as caught:
        load_data(table(tmp_path, text) + end)
    assert caught.value.code == code


def test_other_refusals(tmp_path: Path) -> None:
    spec = table(tmp_path, IRIS.replace("setosa", "1").replace("versicolor", "2"))
    with pytest.raises(UnknownName, match=r"has no column 'knd'; did you mean 'kind'\?"):
        load_data(f"{spec}+y@knd")
    with pytest.raises(FileRefused, match=r"3 columns, one more than the model takes; say which .* \+y@COLUMN"):
        load_data(spec, model=reader(2))
    with pytest.raises(FileRefused, match=r"has 3 columns of inputs; the model takes \(5,\)"):
        load_data(spec, model=reader(5))
    (tmp_path / "latin.csv").write_bytes(b"a,b\n1,\xe9\n")
    with pytest.raises(FileRefused, match="is not UTF-8"):
        load_data(str(tmp_path / "latin.csv"))
    with pytest.raises(DataError, match="there is no such file"):
        load_data(str(tmp_path / "none.csv"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2), min_size=1, max_size=5))
def test_numbers_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]
) -> None:
    text = "a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows)
    data = load_data(table(tmp_path_factory.mktemp("tables"), text)).validation
    assert np.array_equal(data.inputs, np.array(rows, np.float32))
