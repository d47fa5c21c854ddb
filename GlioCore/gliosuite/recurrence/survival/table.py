"""A table as people keep it: CSV with commas, semicolons or tabs, decimal points or commas, words for categories, gaps."""

import csv
import difflib
import fnmatch
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError, option

# What stands in a cell that holds nothing, in lower case.
_GAPS = {
    "",
    ".",
    "-",
    "--",
    "?",
    "na",
    "n/a",
    "n.a.",
    "nan",
    "null",
    "unknown",
    "not available",
    "[not available]",
    "missing",
}
_EVENT = {"1", "1.0", "true", "yes", "y", "dead", "died", "deceased", "death", "event"}
_CENSORED = {"0", "0.0", "false", "no", "n", "alive", "living", "censored"}
# Of two categories or more, one that says that something is absent is what the others are compared with.
_ABSENT = {
    *("-", "0", "no", "n", "none", "false", "neg", "negative", "absent", "normal", "control", "low"),
    *(
        "unmethylated",
        "not methylated",
        "wildtype",
        "wild-type",
        "wild type",
        "wt",
        "intact",
        "non-codeleted",
        "not codeleted",
    ),
}
_IDS = {
    *(
        "id",
        "case",
        "case_id",
        "caseid",
        "patient",
        "patient_id",
        "patientid",
        "patient id",
        "pat_id",
        "subject",
        "subject_id",
    ),
    *("bcr_patient_barcode", "mrn", "pid"),
}
_MOST_CATEGORIES = 12  # chosen: more are an identifier or free text
_RARE = 3  # rows of a category below which a misspelling is likely; chosen
_SHOWN = 3  # of rows in a sentence


@dataclass(frozen=True)
class Covariate:
    """A column of numbers that a model takes.

    Attributes
    ----------
    column
        Of the table.
    level, reference
        The category that is 1, and the one that it is compared with; None where the column holds numbers.
    levels
        All categories of the column; empty for numbers.
    """

    column: str
    level: str | None = None
    reference: str | None = None
    levels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the column, or ``column=level``."""
        return self.column if self.level is None else f"{self.column}={self.level}"

    @property
    def title(self) -> str:
        """For a picture, with what it is compared with."""
        return self.column if self.level is None else f"{self.column}: {self.level} (against {self.reference})"


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes
    ----------
    name
        Of the file.
    columns
        Stripped cells of each column by its name.
    lines
        The line of the file that each row stands in, for messages.
    decimal_comma
        Whether a lone comma in a number is a decimal one: not where commas part the cells.
    """

    name: str
    columns: dict[str, list[str]]
    lines: list[int]
    decimal_comma: bool

    def __len__(self) -> int:
        return len(self.lines)

    def kept(self, rows: np.ndarray) -> "Table":
        """Some of its rows."""
        columns = {n: [cells[i] for i in rows] for n, cells in self.columns.items()}
        return Table(self.name, columns, [self.lines[i] for i in rows], self.decimal_comma)

    def cells(self, column: str) -> list[str]:
        """Cells of a column; gaps of any spelling are empty.

        Raises
        ------
        InputError
            If there is no such column; the nearest name is said.
        """
        if column not in self.columns:
            near = _nearest(column, self.columns)
            raise InputError(f"{self.name} has no column {column!r}{near}")
        cells = self.columns[column]
        gaps = _GAPS - {"-"} if "+" in cells else _GAPS
        return ["" if c.casefold() in gaps else c for c in cells]

    def matching(self, patterns: Sequence[str]) -> list[str]:
        """Names of columns, patterns such as ``CE_*`` replaced by all that match, in the table's order.

        Raises
        ------
        InputError
            If a name or pattern matches none.
        """
        found: list[str] = []
        for pattern in patterns:
            if pattern not in self.columns and set("*?[") & set(pattern):
                names = [c for c in self.columns if fnmatch.fnmatchcase(c, pattern)]
                if not names:
                    raise InputError(f"{self.name} has no column that matches {pattern!r}")
            else:
                self.cells(pattern)
                names = [pattern]
            found += [n for n in names if n not in found]
        return found

    def numbers(self, column: str) -> np.ndarray:
        """A column (n,) as numbers, NaN in gaps.

        Raises
        ------
        InputError
            If a cell is no number; the first is named.
        """
        values = self._parsed(column)
        cells = self.cells(column)
        wrong = [i for i, (v, c) in enumerate(zip(values, cells)) if np.isnan(v) and c]
        if wrong:
            raise InputError(
                f"{self.name}: {column} holds {cells[wrong[0]]!r} in {self.where(wrong)}, which is no number"
            )
        return values

    def _parsed(self, column: str) -> np.ndarray:
        cells = self.cells(column)
        if not self.decimal_comma and any(re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+", c) for c in cells):
            at = next(i for i, c in enumerate(cells) if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+", c))
            raise InputError(
                f"{self.name}: {column} holds {cells[at]!r} in {self.where([at])}, a decimal comma or thousands; write it without a comma"
            )
        return np.array([_number(c) for c in cells])

    def is_numeric(self, column: str) -> bool:
        """Whether a column holds numbers rather than categories.

        Raises
        ------
        InputError
            If most cells are numbers and others are not.
        """
        cells = [c for c in self.cells(column) if c]
        numbers = int(np.isfinite(self._parsed(column)).sum())
        if 2 * numbers > len(cells) > numbers:
            self.numbers(column)
        return bool(cells) and numbers == len(cells)

    def events(self, column: str, value: str | None = None) -> np.ndarray:
        """Whether each row ended in the event, (n,) 1 or 0, NaN in gaps.

        Parameters
        ----------
        value
            The cell that means the event; None: it is told from words such as 1, yes, dead.

        Raises
        ------
        InputError
            If a cell could mean either.
        """
        # cBioPortal writes 1:DECEASED.
        cells = [
            c.partition(":")[0] if re.fullmatch(r"[01]:.+", c) else c for c in map(str.casefold, self.cells(column))
        ]
        if value is not None:
            if value.casefold() not in cells:
                raise InputError(f"{self.name}: no row of {column} is {value!r}; it holds {_listed(cells)}")
            return np.array([np.nan if not c else float(c == value.casefold()) for c in cells])
        strange = sorted({c for c in cells if c and c not in _EVENT | _CENSORED})
        if strange:
            raise InputError(
                f"{self.name}: {column} holds {_listed(cells)}, of which {_listed(strange)} may mean that the event happened or not; "
                f"0 and 1, no and yes, alive and dead are understood; else say which one is the event ({option('--event-value')})"
            )
        return np.array([np.nan if not c else float(c in _EVENT) for c in cells])

    def categories(self, column: str) -> list[str]:
        """Cells of a column, spellings that differ in capitals alone made one."""
        cells = self.cells(column)
        spelt: dict[str, Counter[str]] = {}
        for c in cells:
            spelt.setdefault(c.casefold(), Counter())[c] += 1
        usual = {key: min(found, key=lambda s: (-found[s], s)) for key, found in spelt.items()}
        return [usual[c.casefold()] for c in cells]

    def covariates(
        self, columns: Sequence[str], as_categories: Collection[str] = (), references: dict[str, str] | None = None
    ) -> list[Covariate]:
        """What a model takes of some columns: numbers as they are, a 0-1 column for each category but the reference.

        Parameters
        ----------
        as_categories
            Columns of numbers that stand for categories.
        references
            Category that the others of its column are compared with; else one that says that something is absent, else the first by name.

        Raises
        ------
        InputError
            If a column is empty, has one category or too many, or lacks its reference.
        """
        references = references or {}
        for column in [c for c in (*as_categories, *references) if c not in columns]:
            raise InputError(f"{column!r} is not among the covariates{_nearest(column, columns)}")
        found = []
        for column in columns:
            if not any(self.cells(column)):
                raise InputError(f"{self.name}: {column} is empty in all rows")
            if self.is_numeric(column) and column not in as_categories and column not in references:
                found.append(Covariate(column))
                continue
            levels = sorted({c for c in self.categories(column) if c}, key=_natural)
            if len(levels) > min(_MOST_CATEGORIES, max(2, len(self) // 2)):
                raise InputError(
                    f"{self.name}: {column} holds {len(levels)} different texts ({_listed(levels)}), too many for categories; "
                    "numbers are needed, or fewer categories"
                )
            reference = references.get(column)
            if reference is None:
                reference = next((v for v in levels if v.casefold() in _ABSENT), levels[0])
            same = [v for v in levels if v.casefold() == reference.casefold()]
            if not same:
                raise InputError(f"{self.name}: no row of {column} is {reference!r}; it holds {_listed(levels)}")
            if len(levels) == 1:
                raise InputError(
                    f"{self.name}: {column} is {levels[0]!r} in all rows, which tells nobody apart; leave it out"
                )
            found += [Covariate(column, v, same[0], tuple(levels)) for v in levels if v != same[0]]
        return found

    def design(self, covariates: Sequence[Covariate]) -> np.ndarray:
        """Numbers (n, p) for a model, NaN in gaps.

        Raises
        ------
        InputError
            If a column is missing, holds no numbers, or a category that the model does not know.
        """
        values = []
        for one in covariates:
            if one.level is None:
                values.append(self.numbers(one.column))
                continue
            cells = [c.casefold() for c in self.cells(one.column)]
            known = {v.casefold() for v in one.levels}
            strange = [i for i, c in enumerate(cells) if c and c not in known]
            if strange:
                raise InputError(
                    f"{self.name}: {one.column} is {self.cells(one.column)[strange[0]]!r} in {self.where(strange)}; the model knows "
                    f"{_listed(one.levels)}"
                )
            values.append(np.array([np.nan if not c else float(c == one.level.casefold()) for c in cells]))
        return np.stack(values, axis=1)

    def remarks(self, covariates: Sequence[Covariate]) -> list[str]:
        """What looks like a slip: rare categories, patients that stand in several rows."""
        said = []
        for column in dict.fromkeys(c.column for c in covariates if c.level is not None):
            counts = Counter(c for c in self.categories(column) if c)
            rare = sorted(v for v, n in counts.items() if n < _RARE)
            if rare:
                said.append(
                    f"{column}: {_listed(rare)} {'stands' if len(rare) == 1 else 'stand'} in fewer than {_RARE} rows; a misspelling?"
                )
        for column in self._identifiers():
            rows: dict[str, list[int]] = {}
            for i, c in enumerate(self.cells(column)):
                if c:
                    rows.setdefault(c, []).append(i)
            twice = [where for where in rows.values() if len(where) > 1]
            if twice:
                plural = "" if len(twice) == 1 else "s"
                said.append(
                    f"{len(twice)} value{plural} of {column} {'stands' if len(twice) == 1 else 'stand'} in more than one row "
                    f"(e.g. {self.where(twice[0])}); every row counts as a patient of its own"
                )
        return said

    def _identifiers(self) -> list[str]:
        return [c for c in self.columns if c.casefold() in _IDS]

    def identifier(self) -> str | None:
        """The first column that names patients, such as ``id``."""
        return next(iter(self._identifiers()), None)

    def is_simulated(self) -> bool:
        """Whether a column ``simulated`` says so of every row, as `gliosuite pattern simulate` writes it."""
        return "simulated" in self.columns and bool((self.events("simulated") == 1).all())

    def where(self, rows: Sequence[int]) -> str:
        """Where rows stand in the file."""
        listed = ", ".join(str(self.lines[i]) for i in rows[:_SHOWN])
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        return f"line{'s' if len(rows) > 1 else ''} {listed}{more}"


def read_table(path: str | Path) -> Table:
    """Read a table; its first line names the columns.

    Raises
    ------
    InputError
        If it is a spreadsheet's own format, is empty, a row has more cells than there are columns, or two columns share a name.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"the table {path} cannot be read: {error.strerror}") from error
    if content[:2] == b"PK" or content[:4] == b"\xd0\xcf\x11\xe0" or path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise InputError(
            f"{path.name} is a spreadsheet in its program's own format; save it as CSV there and give that file"
        )
    text = _decoded(content, path.name)
    lines = text.splitlines(keepends=True)
    skipped = 0
    told = re.fullmatch(r'"?sep=(.)"?\s*', lines[0]) if lines else None
    if told:
        lines, skipped = lines[1:], 1
    first = next((line for line in lines if line.strip()), "")
    delimiter = told.group(1) if told else max(";\t,", key=lambda d: len(next(csv.reader([first], delimiter=d), [])))
    reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter)
    rows, at = [], []
    for row in reader:
        if any(c.strip() for c in row):
            rows.append([c.strip() for c in row])
            at.append(reader.line_num + skipped)
    if len(rows) < 2:
        raise InputError(
            f"{path.name} has {len(rows)} line{'' if len(rows) == 1 else 's'} with text; column names and rows below them are needed"
        )
    heads = rows[0]
    while heads and not heads[-1]:
        heads = heads[:-1]
    twice = [h for h, n in Counter(h for h in heads if h).items() if n > 1]
    if twice:
        raise InputError(f"{path.name} has {_listed(twice)} as the name of more than one column; each needs its own")
    for row, line in zip(rows[1:], at[1:]):
        if any(row[len(heads) :]):
            raise InputError(
                f"{path.name} has {len(row)} cells in line {line} and {len(heads)} named columns; are cells with {delimiter!r} quoted?"
            )
    filled = [row + [""] * (len(heads) - len(row)) for row in rows[1:]]
    columns = {h: [row[i] for row in filled] for i, h in enumerate(heads) if h}
    return Table(path.name, columns, at[1:], delimiter != ",")


def _decoded(content: bytes, name: str) -> str:
    # Spreadsheet programs write UTF-8 with a mark, UTF-16, or the code page of Western Windows.
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    if b"\0" in content:
        raise InputError(f"{name} is no text; a CSV table is needed")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _number(text: str) -> float:
    if "," in text:
        # 1.234,5 and 1,234.5: what comes last parts the decimals.
        decimal, thousands = (",", ".") if text.rfind(",") > text.rfind(".") else (".", ",")
        text = text.replace(thousands, "").replace(decimal, ".")
    # float() takes words and underscores too.
    value = float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) else np.nan
    return value if np.isfinite(value) else np.nan


def _natural(text: str) -> tuple[float, str]:
    value = _number(text)
    return (value if np.isfinite(value) else np.inf, text.casefold())


def _listed(texts: Collection[str]) -> str:
    names = sorted({t for t in texts if t}, key=_natural)
    shown = ", ".join(repr(t) for t in names[: 2 * _SHOWN])
    return shown + (f" and {len(names) - 2 * _SHOWN} more" if len(names) > 2 * _SHOWN else "")


def _nearest(column: str, names: Collection[str]) -> str:
    """The end of a sentence on a name that is not there."""
    folded = {n.casefold(): n for n in names}
    near = difflib.get_close_matches(column.casefold(), folded, 1)
    if near:
        return f"; did you mean {folded[near[0]]!r}?"
    return f"; it has {_listed(names)}" if names else ""
