"""SlicerRT's exporter, by a stand-in with its interface (``DicomRtImportExportPlugin``): what it is given, and what is said."""

import sys
import types

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid

GRID = Grid((10, 10, 6), (2.0, 2.0, 3.0), (-10.0, -10.0, -9.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


class Exportable:
    def __init__(self, item, confidence):
        self.item, self.confidence, self.directory, self.tags = item, confidence, "", {}

    def setTag(self, name, value):  # noqa: N802
        self.tags[name] = value


@pytest.fixture
def plugin(slicer, monkeypatch):
    """The stand-in's exporter; ``plugin.message`` is what it answers, ``plugin.exported`` what it got."""

    class Plugin:
        message, exported, offers = "", [], True

        def examineForExport(self, item):  # noqa: N802
            return [Exportable(item, 0.3), Exportable(item, 0.9)] if Plugin.offers else []

        def export(self, exportables):
            Plugin.exported = exportables
            return Plugin.message

    monkeypatch.setattr(slicer.modules, "dicomrtimportexport", object(), raising=False)
    module = types.SimpleNamespace(DicomRtImportExportPluginClass=Plugin)
    monkeypatch.setitem(sys.modules, "DicomRtImportExportPlugin", module)
    return Plugin


@pytest.fixture
def nodes(slicer):
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image, place_beside

    reference = node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), "T1c")
    inside = np.zeros(GRID.shape, np.uint8)
    inside[2:4, 3:6, 3:6] = 1
    segmentation = segmentation_from_masks({"CTV_RTOG": GRID.image(inside)}, reference, "Target volumes")
    place_beside(segmentation, reference)
    return segmentation, reference


def test_image_and_targets_are_given_and_the_changes_told(slicer, plugin, nodes, tmp_path):
    from gliosuite.mrml.rt import slicerrt

    assert slicerrt.available()
    changes = slicerrt.export(*nodes, str(tmp_path))
    for text in ("new image, series and frame of reference UIDs", "up to 1.5 %", "wrong slices", "Types (CTV, GTV)"):
        assert text in changes
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert [e.item for e in plugin.exported] == [hierarchy.GetItemByDataNode(n) for n in reversed(nodes)]
    assert [e.tags["Modality"] for e in plugin.exported] == ["MR", "RTSTRUCT"]
    assert {e.confidence for e in plugin.exported} == {0.9}
    assert {e.directory for e in plugin.exported} == {str(tmp_path)}


def test_what_slicerrt_refuses_is_said(plugin, nodes, tmp_path):
    from gliosuite.mrml.rt import slicerrt

    plugin.message = "Must export the primary anatomical (CT/MR) image"
    with pytest.raises(InputError, match="SlicerRT did not export the targets: Must export the primary"):
        slicerrt.export(*nodes, str(tmp_path))
    plugin.offers = False
    with pytest.raises(InputError, match="SlicerRT cannot export T1c"):
        slicerrt.export(*nodes, str(tmp_path))
    with pytest.raises(InputError, match="no folder is chosen"):
        slicerrt.export(*nodes, "")


def test_without_slicerrt_it_is_not_offered(slicer, nodes, tmp_path):
    from gliosuite.mrml.rt import slicerrt

    assert not slicerrt.available()
    with pytest.raises(InputError, match="SlicerRT is not installed"):
        slicerrt.export(*nodes, str(tmp_path))
