"""Numbers over regions."""

from .regions import histogram_table, statistics_table

__all__ = ["histogram_table", "statistics_table"]
