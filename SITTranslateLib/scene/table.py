"""Table nodes that Slicer shows, sorts and saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def add_table_node(scene: Any, rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """A ``vtkMRMLTableNode`` with one column for each key of the first row.

    Columns whose values are all numbers are numeric (missing: NaN), every other one is text (missing: empty).
    """
    import vtk

    node = scene.CreateNodeByClass("vtkMRMLTableNode")
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    table = vtk.vtkTable()
    for key in rows[0] if rows else ():
        values = [row.get(key) for row in rows]
        numeric = any(value is not None for value in values) and all(
            value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values
        )
        column = vtk.vtkDoubleArray() if numeric else vtk.vtkStringArray()
        column.SetName(str(key))
        for value in values:
            if numeric:
                column.InsertNextValue(float("nan") if value is None else float(value))
            else:
                column.InsertNextValue("" if value is None else str(value))
        table.AddColumn(column)
    node.SetAndObserveTable(table)
    # Renamed in Slicer 5.12; the old name warns there.
    use_titles = getattr(node, "SetUseColumnTitleAsColumnHeader", None) or node.SetUseColumnNameAsColumnHeader
    use_titles(True)
    return scene.AddNode(node)


def rows_of_node(node: Any) -> list[dict[str, Any]]:
    """The rows of a table node as they were given to :func:`add_table_node`."""
    table = node.GetTable()
    names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    rows = []
    for row in range(table.GetNumberOfRows()):
        values = [table.GetValue(row, column) for column in range(len(names))]
        rows.append(
            {
                name: value.ToDouble() if value.IsNumeric() else value.ToString()
                for name, value in zip(names, values, strict=True)
            }
        )
    return rows
