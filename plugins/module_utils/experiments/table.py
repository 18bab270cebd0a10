# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of results: a row for each value that was recorded. PRIVATE to the collection."""

from __future__ import annotations

import csv
import io
import os
import typing as t
from contextlib import suppress

from ..files import write_text
from ..model.experiment import Trial
from ..model.free import Json
from ..model.report import MachineProfile

Cell = t.Union[None, bool, int, float, str]
Row = t.Mapping[str, Cell]

#: Columns besides the parameters, which come after the first, in the order in which the sweep has them.
COLUMNS = (
    "trial",
    "repetition",
    "ok",
    "name",
    "value",
    "text",
    "unit",
    "message",
    "started",
    "seconds",
    "deployment",
    "release",
    "composition",
    "revision",
    "digest",
    "images",
    "kernel",
    "machines",
    "platform",
    "host",
    "runner",
    "tools",
)
_NUMBERS = ("value", "seconds")
_WHOLE = ("repetition", "release")


def rows_of(trial: Trial) -> list[dict[str, Cell]]:
    """A row for each value; one without a value where the trial recorded none."""
    source = trial.provenance
    kernels = {each.kernel for each in source.machines.values()} if source else set()
    same: dict[str, Cell] = {
        **{name: _cell(value) for name, value in trial.combination.items()},
        "trial": trial.id,
        "repetition": trial.repetition,
        "ok": trial.ok,
        "message": trial.message or None,
        "started": trial.started,
        "seconds": round(trial.seconds, 3),
        "deployment": trial.deployment,
        "runner": trial.runner or None,
        "tools": _pairs(trial.tools),
    }
    if source is not None:
        same.update(
            release=source.release,
            composition=source.composition,
            revision=source.revision,
            digest=source.digest,
            images=_pairs(source.images),
            kernel=" ".join(sorted(kernels)),
            machines=_pairs({name: _machine(each) for name, each in source.machines.items()}),
            platform=source.platform,
            host=source.host,
        )
    values: list[dict[str, Cell]] = [
        {
            "name": record.name,
            "unit": record.unit or None,
            "value": None if isinstance(record.value, str) else float(record.value),
            "text": record.value if isinstance(record.value, str) else None,
        }
        for record in trial.records
    ]
    return [{**same, **each} for each in values or [{}]]


def _machine(profile: MachineProfile) -> str:
    return f"{profile.processors}x {profile.processor or 'unknown'} {profile.memory} MiB".replace(";", ",")


def _pairs(values: t.Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in sorted(values.items()))


def _cell(value: Json) -> Cell:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _columns(parameters: t.Sequence[str]) -> list[str]:
    return [COLUMNS[0], *parameters, *COLUMNS[1:]]


def write_csv(path: str, trials: t.Sequence[Trial], parameters: t.Sequence[str]) -> None:
    """The table for people and spreadsheets: RFC 4180 with a header, UTF-8; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(parameters), lineterminator="\r\n")
    writer.writeheader()
    for trial in trials:
        writer.writerows(map(_shown, rows_of(trial)))
    write_text(path, text.getvalue(), mode=0o644)


def _shown(row: Row) -> dict[str, Cell]:
    return {key: _text(value) if isinstance(value, bool) else value for key, value in row.items()}


def write_parquet(path: str, trials: t.Sequence[Trial], parameters: t.Sequence[str]) -> bool:
    """The same for programs, with a type for each column; ``False`` where there is no library for it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return False
    rows = [row for trial in trials for row in rows_of(trial)]
    fields = []
    for name in _columns(parameters):
        found = {_kind(row.get(name)) for row in rows} - {type(None)}
        fields.append((name, _type(pyarrow, name, found)))
    forms = {pyarrow.string(): _text, pyarrow.float64(): _number}
    data = [{name: forms.get(kind, _same)(row.get(name)) for name, kind in fields} for row in rows]
    table = pyarrow.Table.from_pylist(data, schema=pyarrow.schema(fields))
    temporary = f"{path}.new"
    try:
        pyarrow.parquet.write_table(table, temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return True


def _text(value: Cell) -> Cell:
    """As the other table has it."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Cell) -> Cell:
    return None if value is None else float(value)


def _same(value: Cell) -> Cell:
    return value


def _kind(value: Cell) -> type:
    """What a cell is; a whole number that no column of numbers has room for is a text."""
    return str if isinstance(value, int) and value.bit_length() > 63 else type(value)


def _type(library: t.Any, name: str, found: set[type]) -> t.Any:
    """Of a column: parameters may have values of several types, and are texts then."""
    if name in _NUMBERS:
        return library.float64()
    if name in _WHOLE or found == {int}:
        return library.int64()
    if found == {bool}:
        return library.bool_()
    if found and found <= {int, float}:
        return library.float64()
    return library.string()
