"""SlicerRT's own exporter, offered where it is installed: what it does to the targets is said, since it changes them."""

import importlib
from typing import Any

import slicer

from ...errors import InputError

CHANGES = (
    "SlicerRT writes the image anew, with new image, series and frame of reference UIDs, and the structure set refers to that copy: "
    "a planning system does not join it to the original series. Plastimatch draws the contours: as measured in our benchmark, small "
    "structures change by up to 1.5 % of their volume, those at the images' edge by up to 2.5 %; holes become nested loops, which readers "
    "that join contours fill; and on oblique and sagittal series contours refer to wrong slices or to none. Types (CTV, GTV) and "
    "descriptions are left out, and of the structures only the targets go along."
)


def available() -> bool:
    """Whether SlicerRT's DICOM export is part of this application."""
    return hasattr(slicer.modules, "dicomrtimportexport")


def export(segmentation: Any, reference: Any, folder: str) -> str:
    """Send a segmentation and its image through SlicerRT's exporter; both appear as new DICOM files in `folder`.

    Returns
    -------
    str
        `CHANGES`, to be shown.

    Raises
    ------
    InputError
        If SlicerRT is not installed, no folder is chosen, either cannot be exported, or SlicerRT refuses.
    """
    if not available():
        raise InputError(
            "SlicerRT is not installed; get it in the Extensions Manager, or write the RT structure set from here"
        )
    if not folder:
        raise InputError("no folder is chosen; a folder for SlicerRT's files is needed")
    plugin = importlib.import_module("DicomRtImportExportPlugin").DicomRtImportExportPluginClass()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    exportables = []
    for node, modality in ((reference, "MR"), (segmentation, "RTSTRUCT")):
        offered = plugin.examineForExport(hierarchy.GetItemByDataNode(node))
        if not offered:
            raise InputError(
                f"SlicerRT cannot export {node.GetName()}; it must lie in a study of the subject hierarchy"
            )
        best = max(offered, key=lambda e: e.confidence)
        best.directory = folder
        best.setTag("Modality", modality)
        exportables.append(best)
    message = plugin.export(exportables)
    if message:
        raise InputError(f"SlicerRT did not export the targets: {message}")
    return CHANGES
